/* Tokens of a policy: what a word is by its form, lines that go on, texts and
   regular expressions. */

#include <stdlib.h>

#include "base/mem.h"
#include "rules/load_impl.h"
#include "tap.h"

static const char *const kinds[] = {
	[T_EOF] = "EOF", [T_EOL] = "EOL", [T_WORD] = "word", [T_NUMBER] =
	    "number", [T_ENHANCED] = "enhanced", [T_NET] = "net",
	[T_STRING] = "string", [T_REGEX] = "regex", [T_LBRACE] = "{",
	[T_RBRACE] = "}", [T_LPAREN] = "(", [T_RPAREN] = ")", [T_COMMA] = ",",
	[T_EQUAL] = "=", [T_UNEQUAL] = "!=", [T_LESS] = "<",
	[T_LESS_EQUAL] = "<=", [T_GREATER] = ">", [T_GREATER_EQUAL] = ">=",
	[T_MATCH] = "~", [T_UNMATCH] = "!~", [T_PLUS] = "+", [T_MINUS] = "-",
};

static const struct {
	const char	*text, *want;
} cases[] = {
	/* Words */
	{ "client.name", "word:client.name" },
	{ "bad-clients_2", "word:bad-clients_2" },
	{ "example.org", "word:example.org" },
	{ ".example.org", "word:.example.org" },
	{ "3com.example", "word:3com.example" },
	{ "0.0.0.0:25", "word:0.0.0.0:25" },
	{ "h\xc3\xa4user.de", "word:h\xc3\xa4user.de" },

	/* Numbers */
	{ "0 10 2.5", "number:0 number:10 number:2.5" },
	{ "500ms 10s 5m 2h 1d 1w", "number:0.5s number:10s number:300s "
	    "number:7200s number:86400s number:604800s" },
	{ "4K 1M 1.5G", "number:4096K number:1048576K number:1610612736K" },
	{ "09:30 9:05 0:00 24:00", "number:34200: number:32700: number:0: "
	    "number:86400:" },
	{ "9:5 25:00 12:60 24:01", "word:9:5 word:25:00 word:12:60 "
	    "word:24:01" },
	{ "10x 1.", "word:10x word:1." },
	{ "9999999999999999", "word:9999999999999999" },
	{ "1.1234567890", "word:1.1234567890" },

	/* Enhanced codes and networks */
	{ "5.7.1 4.123.999", "enhanced:5.7.1 enhanced:4.123.999" },
	{ "5.7. 5..1 55.7.1 5.1234.1", "word:5.7. word:5..1 word:55.7.1 "
	    "word:5.1234.1" },
	{ "192.0.2.1 10.0.0.0/8", "net:192.0.2.1 net:10.0.0.0/8" },
	{ "::1 2001:db8::/32 fe80::1", "net:::1 net:2001:db8::/32 "
	    "net:fe80::1" },
	{ "::ffff:192.0.2.1", "net:::ffff:192.0.2.1" },
	{ "1.2.3.4.5", "word:1.2.3.4.5" },

	/* Signs */
	{ "=!=<<=>>=~!~", "= != < <= > >= ~ !~" },
	{ "a==b", "word:a = word:b" },
	{ "{a,b}(c)", "{ word:a , word:b } ( word:c )" },
	{ "a + b - 1", "word:a + word:b - number:1" },
	{ "-1", "- number:1" },

	/* Texts */
	{ "\"a b\"", "string:a b" },
	{ "\"\"", "string:" },
	{ "\"a\\\"b\"", "string:a\\\"b" },
	{ "\"%{header(\"X\")} c\"", "string:%{header(\"X\")} c" },
	{ "\"%{f(\"}\")}\" x", "string:%{f(\"}\")} word:x" },
	{ "\"100%%{\" x", "string:100%%{ word:x" },
	{ "\"a # b\"", "string:a # b" },

	/* Regular expressions, behind ~ only */
	{ "x ~ /a b/", "word:x ~ regex:a b" },
	{ "x ~ /a\\/b/im y", "word:x ~ regex:a\\/b(im) word:y" },
	{ "x ~/#/", "word:x ~ regex:#" },
	{ "x !~ //", "word:x !~ regex:" },

	/* Lines */
	{ "a\nb", "word:a EOL word:b" },
	{ "a # comment\nb", "word:a EOL word:b" },
	{ "a\r\nb\r\n", "word:a EOL word:b EOL" },
	{ "\xef\xbb\xbf" "a\nb", "word:a EOL word:b" },
	{ "a\n\n\nb", "word:a EOL EOL EOL word:b" },
	{ "(a\n\n# c\nb)\nc", "( word:a word:b ) EOL word:c" },
	{ "a\n  and b", "word:a word:and word:b" },
	{ "a\n\n # c\n or b", "word:a word:or word:b" },
	{ "a\nandy", "word:a EOL word:andy" },
	{ "a\nor-else", "word:a EOL word:or-else" },
	{ "\nand", "EOL word:and" },
	{ "#\n", "EOL" },
	{ "", "" },
};

static void
add_token(char *out, size_t room, const struct token *t)
{
	size_t n = strlen(out);

	n += (size_t)snprintf(out + n, room - n, "%s%s", n > 0 ? " " : "",
	    kinds[t->kind]);
	if (t->kind == T_NUMBER)
		n += (size_t)snprintf(out + n, room - n, ":%.10g", t->number);
	else if (t->text.p != NULL)
		n += (size_t)snprintf(out + n, room - n, ":%.*s",
		    (int)t->text.len, t->text.p);
	if (t->unit != 0)
		n += (size_t)snprintf(out + n, room - n, "%c", t->unit);
	if (t->flags.len > 0)
		snprintf(out + n, room - n, "(%.*s)", (int)t->flags.len,
		    t->flags.p);
}

static void
test_tokens(void)
{
	struct load l = { .err = stdout };
	struct policy_file f = { .path = (char[]){ "p" }, .name = "p" };
	char got[1000], *text;
	struct token t;
	struct lex x;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* No octet behind the end is looked at. */
		text = xmalloc(strlen(cases[i].text) + 1);
		memcpy(text, cases[i].text, strlen(cases[i].text) + 1);
		f.text = text;
		f.len = strlen(text);
		got[0] = '\0';
		lex_init(&x, &l, &f, 0, (uint32_t)f.len);
		while ((t = lex_next(&x)).kind != T_EOF)
			add_token(got, sizeof(got), &t);
		is_str(got, cases[i].want, cases[i].text);
		free(text);
	}
	is_int(l.errors, 0, "without a mistake");
}

/* Lines are counted past everything that can hold a line end. */
static void
test_lines(void)
{
	static char text[] = "a\n\n(b\nc)\nd\n and e # x\n# y\nf ~ /z/\ng";
	static const unsigned want[] = { 1, 3, 4, 5, 6, 6, 8, 9 };
	struct load l = { .err = stdout };
	struct policy_file f = { .path = text, .name = "p", .text = text,
	    .len = strlen(text) };
	struct token t;
	struct lex x;
	size_t n = 0;

	lex_init(&x, &l, &f, 0, (uint32_t)f.len);
	while ((t = lex_next(&x)).kind != T_EOF)
		if (t.kind == T_WORD)
			is_int(t.line, want[n++], "line of a word");
	is_int((long long)n, 8, "all words");
}

/* A part of a file, as the inside of %{…} is. */
static void
test_part(void)
{
	static char text[] = "aa bb cc";
	struct load l = { .err = stdout };
	struct policy_file f = { .path = text, .name = "p", .text = text,
	    .len = strlen(text) };
	struct token t;
	struct lex x;

	lex_init(&x, &l, &f, 3, 4);
	t = lex_next(&x);
	ok(t.kind == T_WORD && slice_is(t.text, "b"), "a part of a word");
	is_int(t.span.at, 3, "at its place in the file");
	is_int(lex_next(&x).kind, T_EOF, "and no more");
}

int
main(void)
{
	test_tokens();
	test_lines();
	test_part();
	return tap_done();
}
