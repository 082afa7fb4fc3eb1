/*
 * words - encoded words of header fields to UTF-8.
 */

#include "filters/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "filters/charset.h"
#include "filters/codec.h"

/* encoded-word = "=?" charset ["*" language] "?" encoding "?" text "?=" */
struct word {
	struct slice	 charset, text;
	char		 encoding;	/* 'B' or 'Q' */
	size_t		 len;		/* all of it */
};

static bool
read_word(const char *p, size_t len, struct word *w)
{
	const char *end = p + len, *question, *star, *last;

	if (len < 8 || p[0] != '=' || p[1] != '?')
		return false;
	question = memchr(p + 2, '?', len - 2);
	if (question == NULL || question == p + 2 || end - question < 5 ||
	    question[2] != '?')
		return false;
	w->charset = SLICE(p + 2, (size_t)(question - p - 2));
	if (memchr(w->charset.p, ' ', w->charset.len) != NULL)
		return false;
	star = memchr(w->charset.p, '*', w->charset.len);
	if (star != NULL)
		w->charset.len = (size_t)(star - w->charset.p);
	w->encoding = question[1] & ~0x20;
	if (w->encoding != 'B' && w->encoding != 'Q')
		return false;
	w->text.p = question + 3;
	last = memmem(w->text.p, (size_t)(end - w->text.p), "?=", 2);
	if (last == NULL)
		return false;
	w->text.len = (size_t)(last - w->text.p);
	w->len = (size_t)(last + 2 - p);
	return true;
}

/* RFC 2047 section 4.2: "_" is a space; nothing is a line. */
static size_t
decode_q(struct slice text, char *out)
{
	struct codec c;
	size_t i, n = 0;
	char ch;

	codec_init(&c, CODEC_QP);
	for (i = 0; i < text.len; i++) {
		ch = text.p[i] == '_' ? ' ' : text.p[i];
		n += codec_decode(&c, &ch, 1, out + n);
	}
	/* Spaces at the end are no end of a line. */
	n += codec_decode(&c, "x", 1, out + n) - 1;
	return n;
}

static void
add_word(struct charset *c, const struct word *w, struct buf *out)
{
	char *text = xmalloc(w->text.len + 2 * CODEC_HELD_MAX);
	struct codec codec;
	size_t n;

	if (w->encoding == 'Q')
		n = decode_q(w->text, text);
	else {
		codec_init(&codec, CODEC_BASE64);
		n = codec_decode(&codec, w->text.p, w->text.len, text);
		n += codec_finish(&codec, text + n);
	}
	charset_convert(c, text, n, out);
	free(text);
}

/* The spaces that p[0..len) begins with when another word follows them; 0. */
static size_t
spaces_before_word(const char *p, size_t len)
{
	struct word w;
	size_t n = 0;

	while (n < len && strchr(" \t\r\n", p[n]) != NULL && p[n] != '\0')
		n++;
	return n < len && read_word(p + n, len - n, &w) ? n : 0;
}

static bool
same(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

/* The word that p[0..len) begins with and those that follow it: there is
   nothing between words. Returns how much they are. */
static size_t
add_words(const char *p, size_t len, struct word *w, struct buf *out)
{
	struct slice charset = w->charset;
	struct charset c;
	size_t at = 0;

	charset_init(&c, charset);
	do {
		if (!same(charset, w->charset)) {
			charset_fini(&c, out);
			charset = w->charset;
			charset_init(&c, charset);
		}
		add_word(&c, w, out);
		at += w->len;
		at += spaces_before_word(p + at, len - at);
	} while (read_word(p + at, len - at, w));
	charset_fini(&c, out);
	return at;
}

/* How much of it words can be in: they end with "?=". */
static size_t
last_end(struct slice in)
{
	size_t n = in.len;

	while (n > 1 && (in.p[n - 2] != '?' || in.p[n - 1] != '='))
		n--;
	return n > 1 ? n : 0;
}

void
words_decode(struct slice in, struct buf *out)
{
	size_t at = 0, plain = 0, end = last_end(in);
	struct word w;
	const char *p;

	while (at < end &&
	    (p = memmem(in.p + at, end - at, "=?", 2)) != NULL) {
		at = (size_t)(p - in.p);
		if (!read_word(p, in.len - at, &w)) {
			at++;
			continue;
		}
		charset_repair(in.p + plain, at - plain, out);
		at += add_words(p, in.len - at, &w, out);
		plain = at;
	}
	charset_repair(in.p + plain, in.len - plain, out);
}
