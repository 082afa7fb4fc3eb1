/* Addresses of header fields: what RFC 5322 has, and what the world has. */

#include "filters/addrlist.h"
#include "tap.h"

static const struct {
	const char	*in, *want;
} cases[] = {
	{ "joe@example.org", "joe@example.org|" },
	{ " joe@example.org ", "joe@example.org|" },
	{ "Joe <joe@example.org>", "joe@example.org|" },
	{ "<joe@example.org>", "joe@example.org|" },
	{ "Joe Q. Public <joe@example.org>", "joe@example.org|" },
	{ "\"Public, Joe\" <joe@example.org>", "joe@example.org|" },
	{ "a@b, c@d,e@f", "a@b|c@d|e@f|" },
	{ "A <a@b>, C <c@d>", "a@b|c@d|" },
	{ "a@b,,c@d,", "a@b|c@d|" },
	{ "joe@example.org (Joe)", "joe@example.org|" },
	{ "(Joe) joe@example.org", "joe@example.org|" },
	{ "joe(a (nested) one)@example.org", "joe@example.org|" },
	{ "(joe@one.example) joe@two.example", "joe@two.example|" },
	{ "(a \\) b) c@d", "c@d|" },
	{ "joe @ example . org", "joe@example.org|" },
	{ "friends: a@b, C <c@d>;", "a@b|c@d|" },
	{ "friends: a@b;, e@f", "a@b|e@f|" },
	{ "undisclosed-recipients:;", "" },
	{ "\"a b\"@example.org", "\"a b\"@example.org|" },
	{ "\"a@b\" <c@d>", "c@d|" },
	{ "a@b <c@d>", "c@d|" },
	{ "\"a\\\"b\" <c@d>", "c@d|" },
	{ "<@one,@two:joe@example.org>", "joe@example.org|" },
	{ "<@one,@two:>", "" },
	{ "<@one:joe>", "" },
	{ "joe@[192.0.2.1]", "joe@[192.0.2.1]|" },
	{ "=?utf-8?Q?J=2C?= <joe@example.org>", "joe@example.org|" },
	{ "j\xc3\xb6@ex\xc3\xa4mple.org", "j\xc3\xb6@ex\xc3\xa4mple.org|" },
	{ "", "" },
	{ "<>", "" },
	{ "joe", "" },
	{ "@example.org", "" },
	{ "joe@", "" },
	{ "Joe", "" },
	{ "Joe joe@example.org", "joe@example.org|" },
	{ "joe@example.org Joe", "joe@example.org|" },
	{ "a@b c@d", "a@b|c@d|" },
	{ "<a@b> <c@d>", "a@b|c@d|" },
	{ "<a@b, <c@d>", "a@b|c@d|" },
	{ "<a@b", "a@b|" },
	{ "a@b>", "a@b|" },
	{ "<<a@b>>", "a@b|" },
	{ "\"no end <a@b>", "a@b|" },
	{ "\"\\\"\\\" <a@b>", "a@b|" },
	{ "(no end a@b", "" },
	{ "a@[no end", "a@[no end|" },
	{ "a@b;c@d", "a@b|c@d|" },
	{ "mailto:a@b", "a@b|" },
};

static void
add(void *arg, struct slice address)
{
	buf_add(arg, address.p, address.len);
	buf_addc(arg, '|');
}

int
main(void)
{
	char longer[1200];
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&out, 1000);
		addrlist_parse(SLICE_STR(cases[i].in), add, &out);
		is_str(out.p, cases[i].want, cases[i].in);
		buf_fini(&out);
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer + sizeof(longer) - 10, "@b , c@d  ", 10);
	buf_init(&out, 1000);
	addrlist_parse(SLICE(longer, sizeof(longer)), add, &out);
	is_str(out.p, "c@d|", "one that is too long");
	buf_fini(&out);
	return tap_done();
}
