/*
 * lex - a policy in tokens.
 *
 * A rule is a line; it goes on where it cannot have ended: inside parentheses,
 * and when the next line starts with "and" or "or". Everything that is made of
 * letters, digits and ". : _ -" is one word first, and what it is is decided
 * by its form: 10s is a duration, 5.7.1 an enhanced code, 192.0.2.0/24 a
 * network, example.org a word. So no value needs quotes that has none in
 * conversation.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "rules/load_impl.h"

#define BYTE_ORDER_MARK	"\xef\xbb\xbf"	/* what editors of Windows begin with */

void
lex_init(struct lex *x, struct load *l, const struct policy_file *f,
    uint32_t at, uint32_t end)
{
	if (at == 0 && end >= 3 && memcmp(f->text, BYTE_ORDER_MARK, 3) == 0)
		at = 3;
	*x = (struct lex){ .load = l, .file = f, .at = at, .end = end,
	    .line = 1, .fresh = true, .last = T_EOL };
}

static char
peek(const struct lex *x, uint32_t ahead)
{
	return x->at + ahead < x->end ? x->file->text[x->at + ahead] : '\0';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool
is_word_char(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' &&
	    strchr("._:-", c) != NULL) || (unsigned char)c >= 0x80;
}

/* "." starts .example.org, ":" starts ::1; "-" starts no word. */
static bool
starts_word(const struct lex *x)
{
	char c = peek(x, 0), next = peek(x, 1);

	return isalnum((unsigned char)c) || c == '_' ||
	    (unsigned char)c >= 0x80 || (c == ':' && next == ':') ||
	    (c == '.' && is_word_char(next));
}

/* Blanks, and a comment up to the end of its line. */
static void
skip_blanks(struct lex *x)
{
	while (is_blank(peek(x, 0)))
		x->at++;
	if (peek(x, 0) == '#')
		while (x->at < x->end && x->file->text[x->at] != '\n')
			x->at++;
}

/* Past all line ends, blanks and comments. */
static void
skip_lines(struct lex *x)
{
	for (;;) {
		skip_blanks(x);
		if (x->at >= x->end || peek(x, 0) != '\n')
			return;
		x->at++;
		x->line++;
	}
}

static bool
at_keyword(const struct lex *x, const char *word)
{
	size_t len = strlen(word);

	return x->end - x->at >= len &&
	    memcmp(x->file->text + x->at, word, len) == 0 &&
	    !is_word_char(peek(x, (uint32_t)len));
}

/* At the end of a line. Does the next text belong to it? */
static bool
goes_on(struct lex *x)
{
	struct lex after = *x;

	skip_lines(&after);
	if (x->parens == 0 && (x->fresh || (!at_keyword(&after, "and") &&
	    !at_keyword(&after, "or"))))
		return false;
	*x = after;
	return x->at < x->end;
}

static struct span
span_from(const struct lex *x, uint32_t start)
{
	return (struct span){ x->file, start, x->at - start };
}

/* Numbers and other words */

static const struct {
	const char	*name;
	double		 factor;
	char		 unit;
} units[] = {
	{ "ms", 0.001, 's' }, { "s", 1, 's' }, { "m", 60, 's' },
	{ "h", 3600, 's' }, { "d", 86400, 's' }, { "w", 604800, 's' },
	{ "K", 1024, 'K' }, { "M", 1048576, 'K' }, { "G", 1073741824, 'K' },
};

static size_t
digits(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && isdigit((unsigned char)p[n]))
		n++;
	return n;
}

/* [digits]: a number that fits a double exactly. */
static double
decimal(const char *p, size_t len)
{
	double d = 0;
	size_t i;

	for (i = 0; i < len; i++)
		d = d * 10 + (p[i] - '0');
	return d;
}

/* 10, 2.5, 10s, 4K */
static bool
is_number(struct token *t)
{
	const char *p = t->text.p, *end = p + t->text.len;
	size_t whole = digits(p, end), part = 0, i;

	if (whole == 0 || whole > 15)
		return false;
	t->number = decimal(p, whole);
	p += whole;
	if (p < end && *p == '.' && (part = digits(p + 1, end)) > 0) {
		double scale = 1;

		for (i = 0; i < part; i++)
			scale *= 10;
		t->number += decimal(p + 1, part) / scale;
		p += part + 1;
	}
	if (p == end)
		return part <= 9;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_is(SLICE(p, (size_t)(end - p)), units[i].name)) {
			t->number *= units[i].factor;
			t->unit = units[i].unit;
			return part <= 9;
		}
	return false;
}

/* 9:30, 09:30, 24:00: seconds since midnight. */
static bool
is_time(struct token *t)
{
	const char *p = t->text.p, *end = p + t->text.len;
	size_t n = digits(p, end);
	double hour, minute;

	if (n == 0 || n > 2 || p + n == end || p[n] != ':' ||
	    digits(p + n + 1, end) != 2 || p + n + 3 != end)
		return false;
	hour = decimal(p, n);
	minute = decimal(p + n + 1, 2);
	t->number = hour * 3600 + minute * 60;
	t->unit = ':';
	return minute < 60 && t->number <= 86400;
}

/* RFC 3463 2: class "." subject "." detail; any class here. */
static bool
is_enhanced(const struct token *t)
{
	const char *p = t->text.p, *end = p + t->text.len;
	size_t n;

	if (digits(p, end) != 1 || p + 1 == end || p[1] != '.')
		return false;
	p += 2;
	n = digits(p, end);
	if (n == 0 || n > 3 || p + n == end || p[n] != '.')
		return false;
	p += n + 1;
	n = digits(p, end);
	return n > 0 && n <= 3 && p + n == end;
}

/* Four numbers with dots, or hex digits with two colons; what is behind the
   "/" is looked at later, with a better message. */
static bool
is_net(const struct token *t)
{
	size_t dots = 0, colons = 0, letters = 0, i;
	char c;

	for (i = 0; i < t->text.len; i++) {
		c = t->text.p[i];
		if (c == '.')
			dots++;
		else if (c == ':')
			colons++;
		else if (!isxdigit((unsigned char)c))
			return false;
		else if (!isdigit((unsigned char)c))
			letters++;
	}
	return colons >= 2 || (colons == 0 && letters == 0 && dots == 3);
}

static void
take_word(struct lex *x, struct token *t)
{
	uint32_t start = x->at;

	while (is_word_char(peek(x, 0)))
		x->at++;
	t->text = SLICE(x->file->text + start, x->at - start);
	t->kind = T_WORD;
	if (is_net(t)) {
		t->kind = T_NET;
		if (peek(x, 0) == '/' && isdigit((unsigned char)peek(x, 1)))
			for (x->at++; isdigit((unsigned char)peek(x, 0));)
				x->at++;
		t->text.len = x->at - start;
	} else if (is_number(t) || is_time(t)) {
		t->kind = T_NUMBER;
	} else {
		t->unit = 0;
		if (is_enhanced(t))
			t->kind = T_ENHANCED;
	}
}

/* Texts and regular expressions */

static bool
in_line(const struct lex *x)
{
	return x->at < x->end && peek(x, 0) != '\n';
}

/* Behind "%{": to the "}" that closes it, which may be behind texts. */
static void
skip_inserted(struct lex *x)
{
	bool quoted = false;

	for (; in_line(x); x->at++) {
		if (quoted && peek(x, 0) == '\\' && peek(x, 1) != '\n')
			x->at++;
		else if (peek(x, 0) == '"')
			quoted = !quoted;
		else if (!quoted && peek(x, 0) == '}')
			return;
	}
}

static void
take_string(struct lex *x, struct token *t)
{
	uint32_t open = x->at++, start = x->at;

	t->kind = T_STRING;
	for (; in_line(x) && peek(x, 0) != '"'; x->at++) {
		if (peek(x, 0) == '\\' && peek(x, 1) != '\n')
			x->at++;
		else if (peek(x, 0) == '%' && peek(x, 1) == '%')
			x->at++;
		else if (peek(x, 0) == '%' && peek(x, 1) == '{') {
			skip_inserted(x);
			if (!in_line(x))
				break;
		}
	}
	if (x->at > x->end)
		x->at = x->end;
	t->text = SLICE(x->file->text + start, x->at - start);
	if (in_line(x))
		x->at++;
	else
		load_error(x->load, (struct span){ x->file, open, 1 },
		    "this text has no end: a \" is missing in its line");
}

static void
take_regex(struct lex *x, struct token *t)
{
	uint32_t open = x->at++, start = x->at;

	t->kind = T_REGEX;
	for (; in_line(x) && peek(x, 0) != '/'; x->at++)
		if (peek(x, 0) == '\\' && peek(x, 1) != '\n')
			x->at++;
	if (x->at > x->end)
		x->at = x->end;
	t->text = SLICE(x->file->text + start, x->at - start);
	if (!in_line(x)) {
		load_error(x->load, (struct span){ x->file, open, 1 },
		    "this regular expression has no end: a / is missing in "
		    "its line");
		return;
	}
	start = ++x->at;
	while (isalnum((unsigned char)peek(x, 0)))
		x->at++;
	t->flags = SLICE(x->file->text + start, x->at - start);
}

/* Signs */

static const struct {
	char		text[3];
	enum token_kind	kind;
} signs[] = {
	{ "!=", T_UNEQUAL }, { "<=", T_LESS_EQUAL }, { ">=", T_GREATER_EQUAL },
	{ "!~", T_UNMATCH }, { "==", T_EQUAL }, { "=", T_EQUAL },
	{ "<", T_LESS }, { ">", T_GREATER }, { "~", T_MATCH },
	{ "{", T_LBRACE }, { "}", T_RBRACE }, { "(", T_LPAREN },
	{ ")", T_RPAREN }, { ",", T_COMMA }, { "+", T_PLUS }, { "-", T_MINUS },
};

static bool
take_sign(struct lex *x, struct token *t)
{
	size_t i, len;

	for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		len = strlen(signs[i].text);
		if (x->end - x->at < len || memcmp(x->file->text + x->at,
		    signs[i].text, len) != 0)
			continue;
		x->at += (uint32_t)len;
		t->kind = signs[i].kind;
		if (t->kind == T_LPAREN)
			x->parens++;
		else if (t->kind == T_RPAREN && x->parens > 0)
			x->parens--;
		return true;
	}
	return false;
}

/* A text or expression that should not be there is left out as a whole. */
static void
skip_to(struct lex *x, char c)
{
	while (x->at < x->end && peek(x, 0) != '\n')
		if (x->file->text[x->at++] == c)
			return;
}

static const char *
stray_hint(char c)
{
	return c == '@' ? " (an address needs quotes)" :
	    c == ';' ? " (a comment begins with #)" :
	    c == '$' ? " (in a text, %{NAME} is the value)" : "";
}

static void
tell_stray(struct lex *x)
{
	char c = peek(x, 0);
	struct span at = { x->file, x->at++, 1 };

	if (c == '/' || c == '\'')
		skip_to(x, c);
	if (x->quiet)
		return;
	x->stray = x->quiet = c != '\'';
	if (c == '/')
		load_error(x->load, at, "a regular expression stands behind ~ "
		    "only, a file in \"quotes\"");
	else if (c == '\'')
		load_error(x->load, at, "texts stand in \"double quotes\"");
	else if ((unsigned char)c < 0x20 || c == 0x7f)
		load_error(x->load, at, "a control character");
	else
		load_error(x->load, at, "'%c' means nothing here%s", c,
		    stray_hint(c));
}

/* What other languages have for our words: told, and taken for the word. */
static bool
take_foreign(struct lex *x, struct token *t)
{
	static const struct {
		const char	*sign, *word;
	} foreign[] = { { "&&", "and" }, { "||", "or" }, { "!", "not" } };
	struct span at = { x->file, x->at, 1 };
	size_t i, len;

	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		len = strlen(foreign[i].sign);
		if (x->end - x->at < len || memcmp(x->file->text + x->at,
		    foreign[i].sign, len) != 0)
			continue;
		x->at += (uint32_t)len;
		t->kind = T_WORD;
		t->text = SLICE_STR(foreign[i].word);
		if (!x->quiet)
			load_error(x->load, at, "\"%s\" is written \"%s\"",
			    foreign[i].sign, foreign[i].word);
		return true;
	}
	return false;
}

static bool
take_token(struct lex *x, struct token *t)
{
	char c = peek(x, 0);

	if (x->at >= x->end) {
		t->kind = T_EOF;
	} else if (c == '\n') {
		t->kind = T_EOL;
		x->at++;
	} else if (c == '"') {
		take_string(x, t);
	} else if (c == '/' && (x->last == T_MATCH || x->last == T_UNMATCH)) {
		take_regex(x, t);
	} else if (starts_word(x)) {
		take_word(x, t);
	} else if (!take_sign(x, t) && !take_foreign(x, t)) {
		tell_stray(x);
		return false;
	}
	return true;
}

struct token
lex_next(struct lex *x)
{
	struct token t = { 0 };
	uint32_t start;

	do {
		skip_blanks(x);
		while (x->at < x->end && peek(x, 0) == '\n' && goes_on(x))
			;
		start = x->at;
		t.line = x->line;
	} while (!take_token(x, &t));
	t.span = span_from(x, start);
	x->fresh = t.kind == T_EOL;
	if (t.kind == T_EOL) {
		x->line++;
		x->quiet = false;
	}
	x->last = t.kind;
	return t;
}

char *
token_text(const struct token *t, char out[80])
{
	struct slice s = span_text(t->span);
	bool quoted = t->kind == T_STRING;
	size_t len = s.len;

	if (t->kind == T_EOF)
		s = t->span.file->bare ? SLICE_STR("the end") :
		    SLICE_STR("the end of the file");
	else if (t->kind == T_EOL)
		s = SLICE_STR("the end of the line");
	if (t->kind == T_EOF || t->kind == T_EOL)
		quoted = true;
	else if (s.len > 40)
		s.len = 40;
	snprintf(out, 80, "%s%.*s%s%s", quoted ? "" : "\"", (int)s.len, s.p,
	    s.len < len ? "…" : "", quoted ? "" : "\"");
	return out;
}
