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

# Wait until the program with this pid has written "ready listen=ADDR:PORT" to
# its log; print ADDR:PORT.
wait_ready()
{
	for _ in $(seq 100); do
		address=$(sed -n 's/.* ready listen=\([^ ]*\).*/\1/p' "$2")
		if [ -n "$address" ]; then
			echo "$address"
			return 0
		fi
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	echo "It does not start:" >&2
	cat "$2" >&2
	return 1
}

start_sink()
{
	"$vratar" sink --listen 127.0.0.1:0 --maildir "$dir/mail" \
	    2>"$dir/sink.log" &
	sink=$!
	backend=$(wait_ready $sink "$dir/sink.log")
	# Whom we take mail for. It is yours to change; it is not written again.
	[ -e "$dir/recipients" ] ||
	    cp "$(dirname "$0")/examples/recipients" "$dir/recipients"
	set -- --set "recipients=texthash:$dir/recipients"
	start_serve "$@"
}

start_serve()
{
	"$vratar" serve --foreground --listen "$listen" --backend "$backend" \
	    --control "$dir/control" "$@" 2>"$dir/vratar.log" &
	serve=$!
	address=$(wait_ready $serve "$dir/vratar.log")
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

say_real()
{
	cat <<-END
	vratar serves on $address in front of $backend (identity: ${IDENTITY:-auto}).

	  swaks --server $address --from YOU --to SOMEBODY

	The mail server must learn who the client is, or it would trust everybody
	as it trusts this machine. With Postfix, write into its main.cf
	    smtpd_authorized_xclient_hosts = ${address%:*}
	(with the address it sees us come from). Until it offers XCLIENT, each
	recipient gets 451 4.3.0. For a mail server without XCLIENT, let vratar
	refuse to relay, and say for which domains it may:
	    make run BACKEND=$backend IDENTITY=none RELAY_DOMAINS=example.org
	END
}

mkdir -p "$dir"
if [ -z "$backend" ]; then
	start_sink
	say_sink
else
	set --
	[ -z "${IDENTITY-}" ] || set -- "$@" --identity "$IDENTITY"
	[ -z "${RELAY_DOMAINS-}" ] ||
	    set -- "$@" --relay-domains "$RELAY_DOMAINS"
	start_serve "$@"
	say_real
fi
echo
echo "Its log ($dir/vratar.log), until Ctrl-C:"
tail -n +1 -f "$dir/vratar.log" &
tail=$!
wait "$serve"
