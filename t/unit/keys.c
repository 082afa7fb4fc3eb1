/* The order in which parts are looked up: recipients, access(5). */

#include "rules/keys.h"

#include "tap.h"

/* All keys, with "|" between them. */
static const char *
all(const struct keys *k)
{
	static struct buf b;
	const char *key;
	size_t at = 0;

	buf_fini(&b);
	buf_init(&b, 100000);
	while ((key = keys_next(k, &at)) != NULL)
		buf_addf(&b, "%s%s", b.len > 0 ? "|" : "", key);
	return b.p;
}

static const struct {
	const char	*local, *domain, *delimiter, *recipient, *access;
} addresses[] = {
	{ "user+ext", "example.org", "+",
	    "user+ext@example.org|user@example.org|@example.org",
	    "user+ext@example.org|user@example.org|example.org|org|"
	    "user+ext@|user@" },
	{ "user", "a.b.c", "+", "user@a.b.c|@a.b.c",
	    "user@a.b.c|a.b.c|b.c|c|user@" },
	{ "User", "Example.ORG", NULL, "user@example.org|@example.org",
	    "user@example.org|example.org|org|user@" },
	{ "user-ext", "x", "", "user-ext@x|@x", "user-ext@x|x|user-ext@" },
	{ "a b", "x", "+", "\"a b\"@x|@x", "\"a b\"@x|x|\"a b\"@" },
	{ "a\"b\\c", "x", "+", "\"a\\\"b\\\\c\"@x|@x",
	    "\"a\\\"b\\\\c\"@x|x|\"a\\\"b\\\\c\"@" },
	{ "a b+c", "x", "+", "\"a b+c\"@x|\"a b\"@x|@x",
	    "\"a b+c\"@x|\"a b\"@x|x|\"a b+c\"@|\"a b\"@" },
	{ "postmaster+x", "x", "+", "postmaster+x@x|postmaster@x|@x",
	    "postmaster+x@x|postmaster@x|x|postmaster+x@|postmaster@" },
	{ "Postmaster", "x", "m", "postmaster@x|@x",
	    "postmaster@x|x|postmaster@" },
	{ "owner-l", "x", "-", "owner-l@x|@x", "owner-l@x|x|owner-l@" },
	{ "l-request", "x", "-", "l-request@x|@x",
	    "l-request@x|x|l-request@" },
	{ "l-request", "x", "r", "l-request@x|l-@x|@x",
	    "l-request@x|l-@x|x|l-request@|l-@" },
	{ "+x", "x", "+", "+x@x|@x", "+x@x|x|+x@" },
	{ "u", "[192.0.2.1]", "+", "u@[192.0.2.1]|@[192.0.2.1]",
	    "u@[192.0.2.1]|[192.0.2.1]|0.2.1]|2.1]|1]|u@" },
	{ "J\xc3\x96RG", "x", "", "j\xc3\xb6rg@x|@x",
	    "j\xc3\xb6rg@x|x|j\xc3\xb6rg@" },
	{ "\xff", "x", "", "\xff@x|@x", "\xff@x|x|\xff@" },
	{ "", "x", "+", "\"\"@x|@x", "\"\"@x|x|\"\"@" },
	{ "u", "", "+", "u@|@", "u@|u@" },
	{ "u", "x.", "", "u@x.|@x.", "u@x.|x|u@" },
};

static void
test_addresses(void)
{
	struct keys k;
	size_t i;

	keys_init(&k);
	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		keys_recipient(&k, addresses[i].local, addresses[i].domain,
		    addresses[i].delimiter);
		is_str(all(&k), addresses[i].recipient, addresses[i].local);
		keys_access_address(&k, addresses[i].local,
		    addresses[i].domain, addresses[i].delimiter, true);
		is_str(all(&k), addresses[i].access, "  access");
	}
	keys_access_address(&k, "u+e", "a.b.c", "+", false);
	is_str(all(&k), "u+e@a.b.c|u@a.b.c|a.b.c|.b.c|.c|u+e@|u@",
	    "parents that do not match subdomains");
	keys_fini(&k);
}

static const struct {
	const char	*host, *parents, *dots;
} hosts[] = {
	{ "a.b.c", "a.b.c|b.c|c", "a.b.c|.b.c|.c" },
	{ "Mail.Example.ORG.", "mail.example.org|example.org|org",
	    "mail.example.org|.example.org|.org" },
	{ "localhost", "localhost", "localhost" },
	{ ".b.c", ".b.c|c", ".b.c|.c" },
	{ "", "", "" },
	{ "...", "", "" },
};

static const struct {
	const char	*ip, *want;
} ips[] = {
	{ "192.0.2.1", "192.0.2.1|192.0.2|192.0|192" },
	{ "2001:db8::1", "2001:db8::1|2001:db8:|2001:db8|2001" },
	{ "::1", "::1|:" },
	{ "::", "::|:" },
	{ "::ffff:1.2.3.4", "::ffff:1.2.3.4|::ffff|:" },
	{ "10", "10" },
	{ "", "" },
};

static void
test_hosts(void)
{
	struct keys k;
	size_t i;

	keys_init(&k);
	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		keys_access_host(&k, hosts[i].host, true);
		is_str(all(&k), hosts[i].parents, hosts[i].host);
		keys_access_host(&k, hosts[i].host, false);
		is_str(all(&k), hosts[i].dots, "  with dots");
	}
	for (i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		keys_access_ip(&k, ips[i].ip);
		is_str(all(&k), ips[i].want, ips[i].ip);
	}
	keys_fini(&k);
}

static void
test_limits(void)
{
	char long_local[5000], name[3000];
	struct keys k;
	size_t i, at, n;
	const char *key;

	keys_init(&k);
	keys_one(&k, "a\0b", 3);
	is_str(all(&k), "", "a key with a NUL is none");
	keys_one(&k, "", 0);
	at = 0;
	key = keys_next(&k, &at);
	is_str(key, "", "an empty key is one");
	ok(keys_next(&k, &at) == NULL, "  and the last");
	memset(long_local, 'a', sizeof(long_local) - 1);
	long_local[sizeof(long_local) - 1] = '\0';
	keys_recipient(&k, long_local, "x", "");
	is_str(all(&k), "@x", "a key that is too long is none");
	for (i = 0; i < sizeof(name) - 1; i++)
		name[i] = i % 2 ? '.' : 'a';
	name[sizeof(name) - 1] = '\0';
	keys_access_host(&k, name, true);
	for (at = n = 0; (key = keys_next(&k, &at)) != NULL; n++)
		if (strlen(key) > 4096)
			break;
	ok(key == NULL && n > 10 && k.text.len <= 65536,
	    "a name of 1500 labels has a limit: %zu keys", n);
	keys_fini(&k);
}

int
main(void)
{
	test_addresses();
	test_hosts();
	test_limits();
	return tap_done();
}
