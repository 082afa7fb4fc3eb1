/*
 * mime_param - the type and the parameters of a MIME header field.
 */

#include "filters/mime_param.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "filters/charset.h"
#include "filters/words.h"

#define SECTIONS_MAX	100	/* of one parameter (RFC 2231 section 3) */
#define VALUE_MAX	((size_t)256 << 10)

/* A parameter as it is written: name*section* = value */
struct param {
	struct slice	 name;		/* without section and "*" */
	int		 section;	/* -1: none */
	bool		 extended;	/* "*" in front of "=" */
	struct slice	 value;		/* without the quotes around it */
	bool		 quoted;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice
trimmed(struct slice s)
{
	while (s.len > 0 && is_space(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.p[s.len - 1]))
		s.len--;
	return s;
}

static struct slice
first_word(struct slice s)
{
	size_t n = 0;

	while (n < s.len && !is_space(s.p[n]))
		n++;
	return SLICE(s.p, n);
}

/* What may stand between parameters: spaces, semicolons and comments. */
static void
skip_between(struct slice *s)
{
	unsigned depth = 0;

	while (s->len > 0 && (depth > 0 || is_space(*s->p) || *s->p == ';' ||
	    *s->p == '(')) {
		if (*s->p == '(')
			depth++;
		else if (*s->p == ')')
			depth--;
		else if (*s->p == '\\' && s->len > 1)
			slice_drop(s, 1);
		slice_drop(s, 1);
	}
}

/* The word in front of the parameters; some forget it. */
static struct slice
take_word(struct slice *s)
{
	struct slice word;
	size_t i = 0;

	skip_between(s);
	while (i < s->len && !is_space(s->p[i]) &&
	    memchr(";(\"", s->p[i], 3) == NULL)
		i++;
	word = SLICE(s->p, i);
	if (memchr(word.p, '=', i) != NULL)
		return SLICE("", 0);
	slice_drop(s, i);
	return word;
}

void
mime_word(struct slice value, struct buf *out)
{
	struct slice word = take_word(&value);
	size_t i;

	for (i = 0; i < word.len; i++)
		buf_addc(out, (char)tolower((unsigned char)word.p[i]));
}

/* name*2* → name, 2, extended */
static void
take_section(struct param *p)
{
	const char *star;
	size_t i;

	p->section = -1;
	p->extended = p->name.len > 0 && p->name.p[p->name.len - 1] == '*';
	if (p->extended)
		p->name.len--;
	star = memchr(p->name.p, '*', p->name.len);
	if (star == NULL)
		return;
	p->section = 0;
	for (i = (size_t)(star - p->name.p) + 1; i < p->name.len; i++)
		if (isdigit((unsigned char)p->name.p[i]) &&
		    p->section < SECTIONS_MAX)
			p->section = p->section * 10 + p->name.p[i] - '0';
	p->name.len = (size_t)(star - p->name.p);
}

static void
take_quoted(struct slice *s, struct param *p)
{
	size_t i = 1;

	while (i < s->len && s->p[i] != '"')
		i += s->p[i] == '\\' && i + 1 < s->len ? 2 : 1;
	if (i > s->len)
		i = s->len;
	p->quoted = true;
	p->value = SLICE(s->p + 1, i - 1);
	slice_drop(s, i < s->len ? i + 1 : i);
}

static void
take_unquoted(struct slice *s, struct param *p)
{
	const char *end = memchr(s->p, ';', s->len);
	size_t len = end != NULL ? (size_t)(end - s->p) : s->len;

	p->quoted = false;
	p->value = trimmed(SLICE(s->p, len));
	slice_drop(s, len);
}

/* The next parameter; those without a "=" do not count. */
static bool
next_param(struct slice *s, struct param *p)
{
	size_t i;

	for (;;) {
		skip_between(s);
		if (s->len == 0)
			return false;
		for (i = 0; i < s->len && s->p[i] != '=' && s->p[i] != ';'; i++)
			;
		p->name = trimmed(SLICE(s->p, i));
		slice_drop(s, i);
		if (s->len == 0 || *s->p == ';')
			continue;
		slice_drop(s, 1);
		while (s->len > 0 && is_space(*s->p))
			slice_drop(s, 1);
		take_section(p);
		if (s->len > 0 && *s->p == '"')
			take_quoted(s, p);
		else
			take_unquoted(s, p);
		return true;
	}
}

/* Without its backslashes; in names, the world means those of C:\x as they
   are. */
static void
add_value(const struct param *p, bool is_name, struct buf *out)
{
	size_t i;

	for (i = 0; i < p->value.len; i++) {
		if (p->quoted && p->value.p[i] == '\\' &&
		    i + 1 < p->value.len && (!is_name ||
		    p->value.p[i + 1] == '"' || p->value.p[i + 1] == '\\'))
			i++;
		buf_addc(out, p->value.p[i]);
	}
}

/* charset'language'text; the charset, and *s becomes the text. */
static struct slice
take_charset(struct slice *s)
{
	const char *one = memchr(s->p, '\'', s->len), *two;
	struct slice charset = SLICE("", 0);

	if (one == NULL)
		return charset;
	two = memchr(one + 1, '\'', s->len - (size_t)(one + 1 - s->p));
	if (two == NULL)
		return charset;
	charset = SLICE(s->p, (size_t)(one - s->p));
	slice_drop(s, (size_t)(two + 1 - s->p));
	return charset;
}

/* One section of RFC 2231 to raw; the first has the charset. */
static void
add_section(const struct param *p, bool first, struct slice *charset,
    struct buf *raw)
{
	struct slice text = p->value;

	if (!p->extended) {
		add_value(p, true, raw);
		return;
	}
	if (first)
		*charset = take_charset(&text);
	buf_add_percent(raw, text);
}

static bool
is_called(const struct param *p, const char *name)
{
	return slice_is_nocase(p->name, name);
}

/* Put the sections of name together, in order and whatever is missing. False:
   there are none. */
static bool
join_sections(struct slice params, const char *name, struct buf *out)
{
	struct param sections[SECTIONS_MAX], p;
	struct slice charset = SLICE("", 0), rest;
	bool there[SECTIONS_MAX] = { false }, any = false;
	struct buf raw;
	int i;

	for (rest = params; next_param(&rest, &p);)
		if (p.section >= 0 && p.section < SECTIONS_MAX &&
		    is_called(&p, name) && !there[p.section]) {
			there[p.section] = true;
			sections[p.section] = p;
		}
	buf_init(&raw, VALUE_MAX);
	for (i = 0; i < SECTIONS_MAX; i++)
		if (there[i]) {
			add_section(&sections[i], !any, &charset, &raw);
			any = true;
		}
	if (any)
		charset_text(charset, raw.p, raw.len, out);
	buf_fini(&raw);
	return any;
}

/* One that is whole: name= or name*= */
static void
decode_param(const struct param *p, bool is_name, struct buf *out)
{
	struct slice charset = SLICE("", 0), text = p->value;
	struct buf raw;

	buf_init(&raw, VALUE_MAX);
	if (p->extended) {
		charset = take_charset(&text);
		buf_add_percent(&raw, text);
		charset_text(charset, raw.p, raw.len, out);
	} else {
		add_value(p, is_name, &raw);
		words_decode(SLICE(raw.p, raw.len), out);
	}
	buf_fini(&raw);
}

bool
mime_param(struct slice value, const char *name, struct buf *out)
{
	struct slice rest;
	struct param p;

	take_word(&value);
	for (rest = value; next_param(&rest, &p);) {
		if (p.section >= 0 || !is_called(&p, name))
			continue;
		/* Only names have spaces without quotes. */
		if (!p.quoted)
			p.value = first_word(p.value);
		decode_param(&p, false, out);
		return true;
	}
	return join_sections(value, name, out);
}

/* File names */

static void
give_name(struct slice s, void (*fn)(void *, struct slice), void *arg)
{
	char name[MIME_NAME_MAX];
	size_t i, n = 0;

	while (s.len > 0 && (is_space(s.p[s.len - 1]) ||
	    s.p[s.len - 1] == '.' || s.p[s.len - 1] == '\0'))
		s.len--;
	/* Of one that is too long, the end is what counts. */
	if (s.len > sizeof(name))
		s = SLICE(s.p + s.len - sizeof(name), sizeof(name));
	for (i = 0; i < s.len; i++)
		name[n++] = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ?
		    '?' : s.p[i];
	if (n > 0)
		fn(arg, SLICE(name, n));
}

void
mime_name(struct slice raw, void (*fn)(void *, struct slice), void *arg)
{
	const char *nul = memchr(raw.p, '\0', raw.len);
	struct slice s = trimmed(raw);

	give_name(s, fn, arg);
	if (nul != NULL && (size_t)(nul - raw.p) + 1 < raw.len)
		give_name(trimmed(SLICE(raw.p, (size_t)(nul - raw.p))), fn,
		    arg);
}

void
mime_names(struct slice value, const char *name,
    void (*fn)(void *, struct slice), void *arg)
{
	struct slice rest;
	struct param p;
	struct buf out;

	take_word(&value);
	buf_init(&out, 4 * VALUE_MAX);
	for (rest = value; next_param(&rest, &p);) {
		if (p.section >= 0 || !is_called(&p, name))
			continue;
		buf_reset(&out);
		decode_param(&p, true, &out);
		mime_name(SLICE(out.p, out.len), fn, arg);
	}
	buf_reset(&out);
	if (join_sections(value, name, &out))
		mime_name(SLICE(out.p, out.len), fn, arg);
	buf_fini(&out);
}
