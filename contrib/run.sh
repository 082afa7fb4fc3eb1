#!/bin/sh
# run - vratar on 127.0.0.1:2525, ready to play with. Ctrl-C stops it.
#
#	contrib/run.sh			in front of "vratar sink", a small mail
#					server that writes the Maildir run/mail
#	contrib/run.sh HOST:PORT	in front of a real mail server
#
# From the environment: LISTEN, another address (port 0: a free one); DIR,
# another place than run; and for a real mail server IDENTITY and RELAY_DOMAINS
# (see what is printed).
set -eu

vratar=${VRATAR:-./vratar}
listen=${LISTEN:-127.0.0.1:2525}
dir=${DIR:-run}
backend=${1-}
sink= serve= tail=

stop()
{
	trap - EXIT INT TERM
	for pid in $tail $serve $sink; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap stop EXIT
trap 'exit 0' INT TERM

# Run a verb of vratar in the background, and wait until it has logged where it
# listens: that is $address, and $pid the process.
launch()
{
	log=$dir/$1.log
	: >"$log"
	"$vratar" "$@" 2>>"$log" &
	pid=$!
	for _ in $(seq 100); do
		address=$(sed -n 's/.* ready listen=\([^ ]*\).*/\1/p' "$log")
		[ -z "$address" ] || return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	echo "vratar $1 does not start:" >&2
	cat "$log" >&2
	kill "$pid" 2>/dev/null || true
	return 1
}

# What is copied once is yours to change; it is not written again.
copy()
{
	[ -e "$dir/$2" ] || cp "$(dirname "$0")/examples/$1" "$dir/$2"
}

start_sink()
{
	launch sink --listen 127.0.0.1:0 --maildir "$dir/mail"
	sink=$pid backend=$address
	copy recipients recipients	# whom we take mail for
}

start_serve()
{
	copy first.rules policy.rules
	launch serve --foreground --listen "$listen" --backend "$backend" \
	    --policy "$dir/policy.rules" "$@"
	serve=$pid
}

# How to send a message from $1 to $2.
try()
{
	if command -v swaks >/dev/null; then
		echo "  swaks --server $address --from $1 --to $2"
	else
		echo "  python3 -c 'import smtplib;" \
		    "smtplib.SMTP(\"${address%:*}\", ${address##*:})." \
		    "sendmail(\"$1\", \"$2\", \"Subject: hello\\n\\nhello\\n\")'"
	fi
}

say_sink()
{
	cat <<-END
	vratar serves on $address in front of a sink on $backend.

	A good address; the message appears in $dir/mail/new:
	$(try me@example.net good@example.org)
	An address that is not in $dir/recipients; the sink never hears of it:
	$(try me@example.net bad@example.org)
	An address that the sink refuses itself, in its own words:
	$(try me@example.net nobody@example.org)
	END
}

say_policy()
{
	rule=$(sed -n '/in unwanted/=' "$dir/policy.rules" | head -n 1)
	echo
	[ -z "$rule" ] || cat <<-END
	A sender that the policy does not want; the log below tells the line that
	decided, by=policy.rules:$rule:
	$(try me@bargains.example good@example.org)
	END
	cat <<-END
	The policy is $dir/policy.rules. Change it, see whether it is right, and
	have it read:
	  $vratar check --policy $dir/policy.rules && kill -HUP $serve
	What it would do with a mail, rule by rule, and how it is understood:
	  echo "Subject: hello" | $vratar test --policy $dir/policy.rules \\
	    --client 192.0.2.1 --helo me.example.net \\
	    --from me@bargains.example --rcpt good@example.org -
	  $vratar rules --explain $dir/policy.rules
	END
}

say_real()
{
	cat <<-END
	vratar serves on $address in front of $backend.

	$(try YOU SOMEBODY)

	END
	if [ -n "${IDENTITY-}" ]; then
		echo "Identity \"$IDENTITY\", relay domains: ${RELAY_DOMAINS-not set}."
		return
	fi
	cat <<-END
	The mail server has to learn who the client is, or it would trust everybody
	as it trusts this machine. Until it offers XCLIENT, each recipient gets 451
	4.3.0. For Postfix, that is in main.cf, with the address it sees us come from:
	    smtpd_authorized_xclient_hosts = 127.0.0.1
	For a mail server without XCLIENT, say for which domains to take mail; vratar
	then refuses to relay for others:
	    make run BACKEND=$backend IDENTITY=none RELAY_DOMAINS=example.org
	END
}

mkdir -p "$dir"
if [ -z "$backend" ]; then
	start_sink
	start_serve --set "recipients=texthash:$dir/recipients"
	say_sink
else
	set --
	[ -z "${IDENTITY-}" ] || set -- "$@" --identity "$IDENTITY"
	[ -z "${RELAY_DOMAINS-}" ] ||
	    set -- "$@" --relay-domains "$RELAY_DOMAINS"
	start_serve "$@"
	say_real
fi
say_policy
echo
echo "Its log ($dir/serve.log), until Ctrl-C:"
tail -n +1 -f "$dir/serve.log" 2>/dev/null &
tail=$!
wait "$serve"
