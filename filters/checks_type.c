/*
 * checks_type - Content-Type as Postfix reads it.
 *
 * Words, quoted strings and single signs, with comments between them; of what
 * is between two semicolons the first three count. A type that is neither text
 * nor message nor multipart leaves what was said before: so it is with Postfix,
 * and tables for one must see the same lines with the other.
 */

#include <string.h>

#include "base/mem.h"
#include "filters/checks_impl.h"

#define TOKENS	3

struct token {
	enum { WORD, STRING, SIGN } kind;
	size_t		 at, len;	/* in the scratch buffer */
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_word(char c)
{
	unsigned char u = (unsigned char)c;

	return u > ' ' && u != 0x7f &&
	    strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* A comment, with those inside it. */
static void
skip_comment(struct slice *in)
{
	size_t depth = 0, n = 0;

	do {
		if (in->p[n] == '\\' && n + 1 < in->len)
			n++;
		else if (in->p[n] == '(')
			depth++;
		else if (in->p[n] == ')')
			depth--;
		n++;
	} while (n < in->len && depth > 0);
	slice_drop(in, n);
}

static void
take_string(struct slice *in, struct buf *out)
{
	slice_drop(in, 1);
	for (; in->len > 0 && *in->p != '"'; slice_drop(in, 1)) {
		if (*in->p == '\\') {
			slice_drop(in, 1);
			if (in->len == 0)
				return;
		}
		if (*in->p != '\n')
			buf_addc(out, *in->p);
	}
	if (in->len > 0)
		slice_drop(in, 1);
}

static void
skip_blank(struct slice *in)
{
	while (in->len > 0 && (is_space(*in->p) || *in->p == '('))
		if (*in->p == '(')
			skip_comment(in);
		else
			slice_drop(in, 1);
}

/* False: there is none before the next semicolon, which is left. */
static bool
take_token(struct slice *in, struct buf *out, struct token *t)
{
	skip_blank(in);
	if (in->len == 0 || *in->p == ';')
		return false;
	t->at = out->len;
	t->kind = *in->p == '"' ? STRING : is_word(*in->p) ? WORD : SIGN;
	if (t->kind == STRING)
		take_string(in, out);
	else
		do {
			buf_addc(out, *in->p);
			slice_drop(in, 1);
		} while (t->kind == WORD && in->len > 0 && is_word(*in->p));
	t->len = out->len - t->at;
	return true;
}

/* The tokens up to the next semicolon: how many, TOKENS at most; -1: the
   end. */
static int
take_tokens(struct slice *in, struct buf *out, struct token t[TOKENS])
{
	struct token other;
	int n = 0;

	buf_reset(out);
	if (in->len == 0)
		return -1;
	while (take_token(in, out, n < TOKENS ? &t[n] : &other))
		n++;
	if (in->len > 0)
		slice_drop(in, 1);
	return n < TOKENS ? n : TOKENS;
}

static struct slice
text_of(const struct buf *out, const struct token *t)
{
	return SLICE(out->p + t->at, t->len);
}

static bool
is_named(const struct buf *out, const struct token *t, const char *word)
{
	return t->kind == WORD && slice_is_nocase(text_of(out, t), word);
}

static bool
is_sign(const struct buf *out, const struct token *t, char sign)
{
	return t->kind == SIGN && out->p[t->at] == sign;
}

/* type/subtype: is it this subtype? */
static bool
has_subtype(const struct buf *out, const struct token t[TOKENS], int n,
    const char *subtype)
{
	return n == TOKENS && is_sign(out, &t[1], '/') &&
	    is_named(out, &t[2], subtype);
}

static void
add_boundary(struct checks_scan *s, struct slice text, bool digest)
{
	struct scan_boundary *b = &s->boundaries[s->nboundaries];

	if (s->nboundaries == SCAN_NESTING) {
		s->too_deep = true;
		return;
	}
	*b = (struct scan_boundary){ .text = xmalloc(text.len + 1),
	    .len = text.len, .digest = digest };
	memcpy(b->text, text.p, text.len);
	s->nboundaries++;
}

static void
take_boundaries(struct checks_scan *s, struct slice *in, bool digest)
{
	struct buf *out = &s->scratch;
	struct token t[TOKENS];
	int n;

	while ((n = take_tokens(in, out, t)) >= 0)
		if (n == TOKENS && is_named(out, &t[0], "boundary") &&
		    is_sign(out, &t[1], '='))
			add_boundary(s, text_of(out, &t[2]), digest);
}

void
checks_take_type(struct checks_scan *s, struct slice value)
{
	struct buf *out = &s->scratch;
	struct token t[TOKENS];
	int n = take_tokens(&value, out, t);

	if (n <= 0 || is_named(out, &t[0], "text")) {
		s->message = false;
	} else if (is_named(out, &t[0], "message")) {
		s->message = has_subtype(out, t, n, "rfc822") ||
		    has_subtype(out, t, n, "global");
	} else if (is_named(out, &t[0], "multipart")) {
		s->message = false;
		take_boundaries(s, &value, has_subtype(out, t, n, "digest"));
	}
}
