/*
 * dot - dot transparency and line ends.
 *
 * Two things run side by side. The state knows lines as the sender must mean
 * them: only CR LF ends one, so only behind CR LF a dot means anything. The
 * counters know lines as somebody else might see them: they start behind any LF
 * that is written. When normalize makes a CR LF out of a bare LF, a dot behind
 * it is content still, and is counted so that it gets stuffed.
 *
 * A CR is withheld until the next octet tells what it was. The dot that starts
 * a line is never written: it is either a stuffed one or the end.
 *
 * Ordinary text is not looked at octet by octet: memchr() finds the LF of a
 * line, then the CR before it, and the line is copied as a whole.
 */

#include "smtp/dot.h"

#include <assert.h>
#include <string.h>

enum {
	START,			/* of a line */
	TEXT,			/* inside a line */
	CR,			/* withheld, and the line goes on or ends */
	DOT,			/* at the start of a line, not written */
	DOT_CR,			/* the same, then a CR, withheld */
	END
};

void
dot_init(struct dot *d, bool normalize)
{
	*d = (struct dot){ .state = START, .normalize = normalize,
		.ends_in_crlf = true };
}

static void
count(struct dot *d, size_t n)
{
	d->line += n;
	if (d->line > d->longest)
		d->longest = d->line;
}

/* The put_ functions write to out and return the place behind. */

/* Octets without CR and LF. */
static char *
put_text(struct dot *d, char *out, const char *p, size_t n)
{
	if (n == 0)
		return out;
	if (d->line == 0 && *p == '.')
		d->dotted++;
	memcpy(out, p, n);
	count(d, n);
	d->ends_in_crlf = false;
	return out + n;
}

static char *
put_crlf(struct dot *d, char *out)
{
	*out++ = '\r';
	*out++ = '\n';
	count(d, 2);
	d->line = 0;
	d->ends_in_crlf = true;
	return out;
}

static char *
put_bare_cr(struct dot *d, char *out)
{
	d->bare_cr = true;
	*out++ = d->normalize ? ' ' : '\r';
	count(d, 1);
	d->ends_in_crlf = false;
	return out;
}

static char *
put_bare_lf(struct dot *d, char *out)
{
	d->bare_lf = true;
	if (d->normalize)
		return put_crlf(d, out);
	*out++ = '\n';
	count(d, 1);
	d->line = 0;
	d->ends_in_crlf = false;
	return out;
}

/*
 * Write octets of a line up to its CR LF or a bare LF or the end of input.
 * Returns how many were read. Each octet is searched once for a LF and once for
 * a CR, however many bare ones there are.
 */
static size_t
put_line(struct dot *d, const char *in, size_t len, char **out)
{
	const char *lf = memchr(in, '\n', len);
	const char *stop = lf ? lf : in + len;
	const char *p = in, *cr;

	d->state = TEXT;
	while ((cr = memchr(p, '\r', (size_t)(stop - p))) != NULL) {
		*out = put_text(d, *out, p, (size_t)(cr - p));
		p = cr + 1;
		if (p == stop) {
			d->state = lf ? START : CR;
			if (lf)
				*out = put_crlf(d, *out);
			return (size_t)(stop - in) + (lf ? 1 : 0);
		}
		*out = put_bare_cr(d, *out);
	}
	*out = put_text(d, *out, p, (size_t)(stop - p));
	if (lf)
		*out = put_bare_lf(d, *out);
	return (size_t)(stop - in) + (lf ? 1 : 0);
}

/* An octet behind a withheld CR. Returns 1 if it was read: a LF. */
static size_t
put_withheld(struct dot *d, char c, char **out)
{
	if (c == '\n') {
		*out = put_crlf(d, *out);
		d->state = START;
		return 1;
	}
	*out = put_bare_cr(d, *out);
	d->state = TEXT;
	return 0;
}

/* Decode the next octets in the present state. Returns how many were read;
   none when only the state has changed. */
static size_t
step(struct dot *d, const char *in, size_t len, char **out)
{
	switch (d->state) {
	case START:
		if (*in != '.')
			return put_line(d, in, len, out);
		d->state = DOT;
		return 1;
	case TEXT:
		return put_line(d, in, len, out);
	case CR:
		return put_withheld(d, *in, out);
	case DOT:
		d->state = *in == '\r' ? DOT_CR : TEXT;
		return *in == '\r';
	case DOT_CR:
		if (*in != '\n')
			return put_withheld(d, *in, out);
		d->state = END;
		return 1;
	}
	assert(!"decoding behind the end of data");
	return 0;
}

/* Is there an octet above 127? Eight at a time. */
static bool
has_eight_bit(const char *p, size_t len)
{
	uint64_t all = 0, word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		all |= word;
	}
	for (; len > 0; p++, len--)
		all |= (unsigned char)*p;
	return (all & 0x8080808080808080) != 0;
}

static void
look_at(struct dot *d, const char *p, size_t len)
{
	if (!d->nul)
		d->nul = memchr(p, '\0', len) != NULL;
	if (!d->eight_bit)
		d->eight_bit = has_eight_bit(p, len);
}

enum dot_status
dot_decode(struct dot *d, const char *in, size_t inlen, char *out,
    size_t *outlen, size_t *used)
{
	char *o = out;
	size_t n = 0;

	while (n < inlen && d->state != END)
		n += step(d, in + n, inlen - n, &o);
	*outlen = (size_t)(o - out);
	*used = n;
	look_at(d, out, *outlen);
	return d->state == END ? DOT_END : DOT_MORE;
}

size_t
dot_pass(struct dot *d, const char *in, size_t inlen, char *out)
{
	char *o = out;
	size_t n = 0;

	while (n < inlen) {
		if (d->state == CR)
			n += put_withheld(d, in[n], &o);
		else
			n += put_line(d, in + n, inlen - n, &o);
	}
	look_at(d, out, (size_t)(o - out));
	return (size_t)(o - out);
}

size_t
dot_pass_end(struct dot *d, char *out)
{
	if (d->state != CR)
		return 0;
	d->state = TEXT;
	put_bare_cr(d, out);
	return 1;
}

/*
 * A dot is stuffed behind any LF. In canonical content that is every CR LF; if
 * content that is not canonical came here by mistake, no reader could take a
 * line of it for the end.
 */
size_t
dot_encode(bool *at_bol, const char *in, size_t inlen, char *out)
{
	const char *end = in + inlen, *run = in, *p = in;
	char *o = out;
	bool bol = *at_bol;

	while (p < end) {
		const char *lf;

		if (bol && *p == '.') {
			memcpy(o, run, (size_t)(p - run));
			o += p - run;
			*o++ = '.';
			run = p;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		bol = lf != NULL;
		p = lf ? lf + 1 : end;
	}
	if (run < end)
		memcpy(o, run, (size_t)(end - run));
	o += end - run;
	*at_bol = bol;
	return (size_t)(o - out);
}
