/*
 * addrlist - mail addresses of a header field.
 *
 * Words are put together in "word" as long as a dot or an "@" joins them; what
 * begins another word was part of a name. An address in angle brackets is one
 * whatever stands in front of it, and then what stands there is none.
 */

#include "filters/addrlist.h"

#include <stdbool.h>
#include <string.h>

#define COMMENTS_MAX	100	/* inside each other */

struct parser {
	struct slice	 in;
	struct buf	 word;		/* so far */
	bool		 space;		/* behind it */
	bool		 in_angle;
	bool		 had_angle;	/* since the last comma */
	bool		 open_quote;	/* one had no end: none has */
	void		(*fn)(void *, struct slice);
	void		*arg;
};

static bool
is_address(struct slice s)
{
	const char *at = s.len > 0 ? memrchr(s.p, '@', s.len) : NULL;

	return at != NULL && at > s.p && at + 1 < s.p + s.len;
}

/* @one,@two:LOCAL@DOMAIN is LOCAL@DOMAIN. */
static struct slice
without_route(const struct buf *b)
{
	const char *colon = b->len > 0 && *b->p == '@' ?
	    memchr(b->p, ':', b->len) : NULL;

	if (colon == NULL)
		return SLICE(b->p, b->len);
	return SLICE(colon + 1, b->len - (size_t)(colon + 1 - b->p));
}

static void
end_word(struct parser *ps)
{
	struct slice s = without_route(&ps->word);

	if (is_address(s) && !ps->word.failed &&
	    (ps->in_angle || !ps->had_angle))
		ps->fn(ps->arg, s);
	buf_reset(&ps->word);
	ps->space = false;
}

static bool
joins(char c)
{
	return c == '@' || c == '.';
}

/* Add n octets to the word; a space in between begins another one. */
static void
add(struct parser *ps, size_t n)
{
	char last = ps->word.len > 0 ? ps->word.p[ps->word.len - 1] : '.';

	if (ps->space && !joins(last) && !joins(*ps->in.p)) {
		end_word(ps);
		buf_reset(&ps->word);
	}
	ps->space = false;
	buf_add(&ps->word, ps->in.p, n);
	ps->in = SLICE(ps->in.p + n, ps->in.len - n);
}

/* How long what begins here is, up to and with end. */
static size_t
enclosed(struct slice s, char end)
{
	size_t i = 1;

	while (i < s.len && s.p[i] != end)
		i += s.p[i] == '\\' && i + 1 < s.len ? 2 : 1;
	return i < s.len ? i + 1 : s.len;
}

static size_t
comment(struct slice s)
{
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(' && depth < COMMENTS_MAX)
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.len;
}

static void
skip(struct parser *ps, size_t n)
{
	ps->in = SLICE(ps->in.p + n, ps->in.len - n);
}

static void
end_of_one(struct parser *ps)
{
	end_word(ps);
	ps->in_angle = ps->had_angle = false;
}

/* What is special, at the start of the input. False: nothing is. */
static bool
special(struct parser *ps)
{
	bool route = ps->in_angle && ps->word.len > 0 && *ps->word.p == '@';

	switch (*ps->in.p) {
	case '<':
		buf_reset(&ps->word);	/* it was a name */
		ps->in_angle = ps->had_angle = true;
		ps->space = false;
		break;
	case '>':
		end_word(ps);
		ps->in_angle = false;
		break;
	case ',':
		if (route)
			return false;
		end_of_one(ps);
		break;
	case ';':
		end_of_one(ps);
		break;
	case ':':
		if (ps->in_angle)
			return false;
		buf_reset(&ps->word);	/* the name of a group */
		break;
	default:
		return false;
	}
	skip(ps, 1);
	return true;
}

static void
quoted(struct parser *ps)
{
	size_t n = enclosed(ps->in, '"');

	ps->open_quote |= n < 2 || ps->in.p[n - 1] != '"';
	if (ps->open_quote)
		skip(ps, 1);
	else
		add(ps, n);
}

static void
step(struct parser *ps)
{
	char c = *ps->in.p;

	if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
		ps->space = true;
		skip(ps, 1);
	} else if (c == '(') {
		ps->space = true;
		skip(ps, comment(ps->in));
	} else if (c == '"' && !ps->open_quote)
		quoted(ps);
	else if (c == '"')
		skip(ps, 1);
	else if (c == '[')
		add(ps, enclosed(ps->in, ']'));
	else if (!special(ps))
		add(ps, 1);
}

void
addrlist_parse(struct slice value, void (*fn)(void *, struct slice),
    void *arg)
{
	struct parser ps = { .in = value, .fn = fn, .arg = arg };

	buf_init(&ps.word, ADDRLIST_ADDRESS_MAX);
	while (ps.in.len > 0)
		step(&ps);
	end_word(&ps);
	buf_fini(&ps.word);
}
