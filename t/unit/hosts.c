/* Names of /etc/hosts, and what is fit to be the name of a client. */

#include "proxy/hosts.h"

#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define L63	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz" \
		"abcdefghijk"

static const struct {
	const char	*in;
	const char	*want;		/* NULL: refused */
} names[] = {
	{ "localhost", "localhost" },
	{ "Mail.Example.ORG", "mail.example.org" },
	{ "mail.example.org.", "mail.example.org" },
	{ "3com.example", "3com.example" },
	{ "_spf-1.example", "_spf-1.example" },
	{ "a1.2b", "a1.2b" },
	{ L63 ".example", L63 ".example" },
	{ L63 "." L63 "." L63 "." L63, L63 "." L63 "." L63 "." L63 },
	{ "", NULL },
	{ ".", NULL },
	{ "..", NULL },
	{ ".example", NULL },
	{ "a..b", NULL },
	{ "a.b..", NULL },
	{ "-a.example", NULL },
	{ "a-.example", NULL },
	{ "x" L63 ".example", NULL },
	{ L63 "." L63 "." L63 "." L63 ".e", NULL },
	{ "192.0.2.1", NULL },
	{ "1234", NULL },
	{ "a b", NULL },
	{ "a\r\nRCPT TO:<x>", NULL },
	{ "a\n", NULL },
	{ "a\tb", NULL },
	{ "a/b", NULL },
	{ "a+b", NULL },
	{ "[192.0.2.1]", NULL },
	{ "2001:db8::1", NULL },
	{ "b\xc3\xbc" "cher.example", NULL },
};

static void
test_names(void)
{
	char out[HOST_NAME_MAX_OCTETS + 1];
	const char *got;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		got = host_name_canonical(out, names[i].in,
		    strlen(names[i].in)) == 0 ? out : NULL;
		is_str(got, names[i].want, "name");
	}
	ok(host_name_canonical(out, "a\0b", 3) < 0, "NUL inside");
}

static const char text[] =
    "# a comment\n"
    "\n"
    "127.0.0.1\tlocalhost\n"
    "127.0.0.1 second.example\n"
    "  192.0.2.1   Mail.Example.ORG  mail # alias\r\n"
    "192.0.2.2\n"
    "192.0.2.3 bad/name good.example\n"
    "192.0.2.4 #only.a.comment\n"
    "0.0.0.0 blocked.example\n"
    ":: blocked.example\n"
    "nonsense\n"
    "192.0.2.300 nonsense\n"
    "2001:DB8::1 six.example\n"
    "fe80::1%eth0 zone.example\n"
    "::ffff:192.0.2.9 mapped.example\n"
    "192.0.2.8 last.example";		/* no line end */

static const struct {
	const char	*ip, *want;
} cases[] = {
	{ "127.0.0.1", "localhost" },
	{ "192.0.2.1", "mail.example.org" },
	{ "192.0.2.2", NULL },
	{ "192.0.2.3", NULL },
	{ "192.0.2.4", NULL },
	{ "0.0.0.0", NULL },
	{ "::", NULL },
	{ "2001:db8:0::1", "six.example" },
	{ "2001:db8::2", NULL },
	{ "fe80::1", NULL },
	{ "192.0.2.9", "mapped.example" },
	{ "192.0.2.8", "last.example" },
	{ "1.1.1.1", NULL },
	{ "255.255.255.255", NULL },
};

static void
test_file(void)
{
	char path[] = "/tmp/hosts-XXXXXX";
	int fd = mkstemp(path);
	struct hosts *h;
	struct netaddr a;
	size_t i;

	ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text),
	    "file written");
	close(fd);
	h = hosts_load(path);
	unlink(path);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ok(netaddr_parse_ip(&a, cases[i].ip, strlen(cases[i].ip)) == 0,
		    "address %s", cases[i].ip);
		is_str(hosts_name(h, &a), cases[i].want, cases[i].ip);
	}
	hosts_free(&h);
	ok(h == NULL, "freed");
	hosts_free(&h);

	h = hosts_load(path);
	ok(hosts_name(h, &a) == NULL, "no file: no names");
	hosts_free(&h);
}

int
main(void)
{
	test_names();
	test_file();
	return tap_done();
}
