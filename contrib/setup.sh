#!/bin/sh
# setup - install the Debian packages that are missing.
#
#	contrib/setup.sh PACKAGE...
#
# Does nothing, and needs nobody's rights, when all are there. Installs as root
# or through "sudo -n"; otherwise prints the command to run and exits with 2.
# Elsewhere than on Debian it only says what is needed.
set -u

if ! command -v dpkg-query >/dev/null; then
	echo "This is no Debian system. Needed, under Debian's names: $*" >&2
	exit 0
fi

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package; do
	is_installed "$package" || missing="$missing $package"
done
# It can use a database, and would bring a client of one. Who has chosen one
# already keeps it.
case "$missing " in
*" opendmarc "*)
	is_installed dbconfig-common || missing="$missing dbconfig-no-thanks" ;;
esac
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root="sudo -n"
else
	echo "Packages are missing. Run this as root, and then make again:" >&2
	echo "	apt-get update && $install" >&2
	exit 2
fi

# Tests start their own Postfix. The packages ask nothing and start nothing:
# nobody who types "make check" wants a mail server on port 25. A policy-rc.d
# of somebody else is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$root rm -f "$policy"' EXIT
	trap 'exit 2' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 755 "$policy"
fi
echo "Installing:$missing"
case "$missing " in
*" postfix "*)
	echo "postfix postfix/main_mailer_type select No configuration" |
	    $root debconf-set-selections ;;
esac
run()
{
	$root env DEBIAN_FRONTEND=noninteractive "$@"
}
if ! run apt-get update || ! run $install; then
	echo "apt-get failed. Once it works, this is the command:" >&2
	echo "	apt-get update && $install" >&2
	exit 2
fi
