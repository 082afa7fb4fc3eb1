/*
 * literals - which of many patterns can match a subject at all.
 *
 * Of each literal four octets are kept in a table, those that the fewest other
 * literals have. A window of four octets goes over the subject; it is looked up
 * in a small bitmap first, and nearly always that is all. Letters are compared
 * without case, whatever the pattern says: that only makes more of them "maybe".
 */

#include "rules/literals.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/mem.h"

#define GRAM		4		/* octets of the window */
#define BITMAP_BITS	16
#define LITERAL_MAX	64		/* octets of one */
#define DEPTH_MAX	20		/* groups in groups */
#define LITERALS_ROOM	((size_t)4096)	/* for those of a pattern */

struct literal {
	uint32_t	 at, len;	/* in text */
	uint32_t	 gram;		/* where in it its four octets are */
	uint32_t	 pattern;
	uint32_t	 next;		/* of the same bucket, from 1; 0: none */
};

struct literals {
	size_t		 npatterns, nliterals, ncounted;
	struct literal	*v;		/* ours */
	struct buf	 text;		/* of all of them */
	uint64_t	*always;	/* a bit each; ours */
	uint32_t	*buckets;	/* ours; from 1 */
	unsigned	 shift;		/* of a hash, to be a bucket */
	uint64_t	 bitmap[1 << (BITMAP_BITS - 6)];
};

/* Reading a pattern */

static unsigned char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 'a' - 'A') : c;
}

/* Literals, one of which must be there. */
struct need {
	size_t		 n;		/* 0: nothing is known */
	size_t		 least;		/* octets of the shortest */
	char		 text[LITERALS_EACH][LITERAL_MAX];
	size_t		 len[LITERALS_EACH];
};

struct reader {
	struct slice	 in;
	bool		 lost;		/* something that is not understood */
	unsigned	 depth;
};

static bool
at_end(const struct reader *r)
{
	return r->in.len == 0;
}

static unsigned char
peek(const struct reader *r)
{
	return (unsigned char)r->in.p[0];
}

static void
skip(struct reader *r, size_t n)
{
	if (n > r->in.len) {
		r->lost = true;
		n = r->in.len;
	}
	r->in.p += n;
	r->in.len -= n;
}

/* What repeats the atom before it. */
enum repeat { ONCE, OFTEN, PERHAPS };

static enum repeat
read_repeat(struct reader *r)
{
	enum repeat repeat = ONCE;

	if (at_end(r) || strchr("*+?{", peek(r)) == NULL || peek(r) == '\0')
		return ONCE;
	repeat = peek(r) == '+' ? OFTEN : PERHAPS;
	if (peek(r) == '{') {
		skip(r, 1);
		while (!at_end(r) && strchr("0123456789,", peek(r)) != NULL &&
		    peek(r) != '\0')
			skip(r, 1);
		/* A "{" that repeats nothing is itself. */
		r->lost = r->lost || at_end(r) || peek(r) != '}';
	}
	skip(r, 1);
	/* Lazy and possessive. */
	if (!at_end(r) && (peek(r) == '?' || peek(r) == '+'))
		skip(r, 1);
	return repeat;
}

static void
skip_class(struct reader *r)
{
	skip(r, 1);
	if (!at_end(r) && peek(r) == '^')
		skip(r, 1);
	if (!at_end(r) && peek(r) == ']')
		skip(r, 1);
	while (!at_end(r) && peek(r) != ']') {
		/* [:alpha:] */
		if (peek(r) == '[' && r->in.len > 1 &&
		    strchr(":.=", r->in.p[1]) != NULL)
			r->lost = true;
		if (peek(r) == '\\' && r->in.len > 1 && r->in.p[1] == 'Q')
			r->lost = true;
		skip(r, peek(r) == '\\' ? 2 : 1);
	}
	skip(r, 1);
}

/* Take the better one: long literals, and few of them. */
static void
choose(struct need *best, const struct need *other)
{
	if (other->n > 0 && other->least >= GRAM && (best->n == 0 ||
	    other->least > best->least ||
	    (other->least == best->least && other->n < best->n)))
		*best = *other;
}

/* A run of octets that follow each other. */
struct chain_of {
	char		 text[LITERAL_MAX];
	size_t		 len;
};

static void
end_run(struct chain_of *run, struct need *best)
{
	struct need one = { .n = 1, .least = run->len, .len = { run->len } };

	memcpy(one.text[0], run->text, run->len);
	if (run->len >= GRAM)
		choose(best, &one);
	run->len = 0;
}

/* An octet, and how often it is there. */
static void
add_octet(struct reader *r, struct chain_of *run, struct need *best)
{
	char c = (char)lower(peek(r));
	enum repeat repeat;

	skip(r, 1);
	repeat = read_repeat(r);
	if (repeat == PERHAPS || run->len == LITERAL_MAX)
		end_run(run, best);
	if (repeat == PERHAPS)
		return;
	run->text[run->len++] = c;
	if (repeat == OFTEN)
		end_run(run, best);
}

static void read_branches(struct reader *r, struct need *all);

static void
read_group(struct reader *r, struct need *best)
{
	struct need inside;

	skip(r, 1);
	if (at_end(r) || peek(r) == '*' || r->depth == DEPTH_MAX) {
		r->lost = true;
		return;
	}
	if (peek(r) == '?') {
		if (r->in.len < 2 || r->in.p[1] != ':') {
			r->lost = true;
			return;
		}
		skip(r, 2);
	}
	r->depth++;
	read_branches(r, &inside);
	r->depth--;
	skip(r, 1);
	if (read_repeat(r) != PERHAPS)
		choose(best, &inside);
}

/* \d and the like match an octet or a place; signs are themselves. What is
   followed by something of its own (\x41) is not understood. */
static void
read_escape(struct reader *r, struct chain_of *run, struct need *best)
{
	unsigned char c;

	skip(r, 1);
	if (at_end(r)) {
		r->lost = true;
		return;
	}
	c = peek(r);
	if (c < 0x80 && strchr("dDwWsSbBAzZhHvVRtnrfae", c) != NULL &&
	    c != '\0') {
		end_run(run, best);
		skip(r, 1);
		read_repeat(r);
	} else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z'))
		r->lost = true;
	else
		add_octet(r, run, best);
}

/* One thing after the other: the best of what each of them needs. */
static void
read_branch(struct reader *r, struct need *best)
{
	struct chain_of run = { .len = 0 };

	*best = (struct need){ .n = 0 };
	while (!at_end(r) && !r->lost && peek(r) != '|' && peek(r) != ')') {
		switch (peek(r)) {
		case '(':
			end_run(&run, best);
			read_group(r, best);
			break;
		case '[':
			end_run(&run, best);
			skip_class(r);
			read_repeat(r);
			break;
		case '.':
		case '^':
		case '$':
			end_run(&run, best);
			skip(r, 1);
			read_repeat(r);
			break;
		case '\\':
			read_escape(r, &run, best);
			break;
		case '*':
		case '+':
		case '?':
		case '{':
		case '\0':
			r->lost = true;
			break;
		default:
			add_octet(r, &run, best);
			break;
		}
	}
	end_run(&run, best);
}

/* Each branch must need something, or all of them together need nothing. */
static void
add_branch(struct need *all, const struct need *one)
{
	size_t i;

	if (one->n == 0 || all->n + one->n > LITERALS_EACH) {
		all->n = 0;
		all->least = 0;
		return;
	}
	for (i = 0; i < one->n; i++) {
		memcpy(all->text[all->n], one->text[i], one->len[i]);
		all->len[all->n++] = one->len[i];
	}
	if (one->least < all->least)
		all->least = one->least;
}

static void
read_branches(struct reader *r, struct need *all)
{
	bool known = true;
	struct need one;

	*all = (struct need){ .least = LITERAL_MAX };
	for (;;) {
		read_branch(r, &one);
		if (known)
			add_branch(all, &one);
		known = all->n > 0;
		if (at_end(r) || peek(r) != '|')
			break;
		skip(r, 1);
	}
}

size_t
literals_of(const struct literals_pattern *p, struct buf *out)
{
	struct reader r = { .in = p->text };
	struct need need;
	size_t i;

	buf_reset(out);
	if (p->extended || (p->utf && p->caseless))
		return 0;
	read_branches(&r, &need);
	if (r.lost || !at_end(&r))
		return 0;
	for (i = 0; i < need.n; i++) {
		buf_add(out, need.text[i], need.len[i]);
		buf_addc(out, '\0');
	}
	return need.n;
}

/* The table */

static uint32_t
hash_gram(const char *p)
{
	uint32_t g = 0;
	int i;

	for (i = 0; i < GRAM; i++)
		g = g << 8 | lower((unsigned char)p[i]);
	return g * 2654435761u;
}

static void
add_literal(struct literals *l, const char *p, size_t len, size_t pattern)
{
	if ((l->nliterals & (l->nliterals + 1)) == 0)
		l->v = xrealloc(l->v, (2 * l->nliterals + 1) *
		    sizeof(l->v[0]));
	l->v[l->nliterals++] = (struct literal){
		.at = (uint32_t)l->text.len, .len = (uint32_t)len,
		.pattern = (uint32_t)pattern,
	};
	buf_add(&l->text, p, len);
}

static void
add_pattern(struct literals *l, const struct literals_pattern *p, size_t i,
    struct buf *room)
{
	size_t n = literals_of(p, room), len;
	const char *text = room->p;

	if (n == 0) {
		bits_set(l->always, i);
		return;
	}
	l->ncounted++;
	for (; n > 0; n--) {
		len = strlen(text);
		add_literal(l, text, len, i);
		text += len + 1;
	}
}

static uint32_t
hash_at(const struct literals *l, const struct literal *x, uint32_t gram)
{
	return hash_gram(l->text.p + x->at + gram);
}

/* The four octets of a literal that the fewest have. */
static void
choose_gram(const struct literals *l, struct literal *x,
    const uint32_t *counts)
{
	uint32_t i, n, least = UINT32_MAX;

	for (i = 0; i + GRAM <= x->len; i++) {
		n = counts[hash_at(l, x, i) >> (32 - BITMAP_BITS)];
		if (n < least) {
			least = n;
			x->gram = i;
		}
	}
}

static void
choose_grams(struct literals *l)
{
	uint32_t *counts = xcalloc((size_t)1 << BITMAP_BITS,
	    sizeof(counts[0])), k;
	size_t i;

	for (i = 0; i < l->nliterals; i++)
		for (k = 0; k + GRAM <= l->v[i].len; k++)
			counts[hash_at(l, &l->v[i], k) >>
			    (32 - BITMAP_BITS)]++;
	for (i = 0; i < l->nliterals; i++)
		choose_gram(l, &l->v[i], counts);
	free(counts);
}

static void
fill_table(struct literals *l)
{
	unsigned bits = 4;
	uint32_t h, *bucket;
	size_t i;

	while (bits < 24 && ((size_t)1 << bits) < 2 * l->nliterals)
		bits++;
	l->shift = 32 - bits;
	l->buckets = xcalloc((size_t)1 << bits, sizeof(l->buckets[0]));
	for (i = 0; i < l->nliterals; i++) {
		h = hash_at(l, &l->v[i], l->v[i].gram);
		bits_set(l->bitmap, h >> (32 - BITMAP_BITS));
		bucket = &l->buckets[h >> l->shift];
		l->v[i].next = *bucket;
		*bucket = (uint32_t)i + 1;
	}
}

struct literals *
literals_new(const struct literals_pattern *v, size_t n,
    const uint64_t *others)
{
	struct literals *l = xcalloc(1, sizeof(*l));
	struct buf room;
	size_t i;

	l->npatterns = n;
	buf_init(&l->text, SIZE_MAX / 2);
	buf_init(&room, LITERALS_ROOM);
	l->always = xcalloc(bits_words(n), sizeof(l->always[0]));
	for (i = 0; i < n; i++)
		if (!bits_has(others, i))
			add_pattern(l, &v[i], i, &room);
	buf_fini(&room);
	if (l->ncounted == 0) {
		literals_free(&l);
		return NULL;
	}
	choose_grams(l);
	fill_table(l);
	return l;
}

void
literals_free(struct literals **lp)
{
	struct literals *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	buf_fini(&l->text);
	free(l->v);
	free(l->always);
	free(l->buckets);
	free(l);
}

size_t
literals_count(const struct literals *l)
{
	return l->ncounted;
}

/* Looking */

/* Is the literal there, with its four octets at p[i]? */
static bool
is_there(const struct literals *l, const struct literal *x, struct slice s,
    size_t i)
{
	const char *want = l->text.p + x->at;
	size_t k;

	if (i < x->gram || x->len > s.len - (i - x->gram))
		return false;
	for (k = 0; k < x->len; k++)
		if (lower((unsigned char)s.p[i - x->gram + k]) !=
		    (unsigned char)want[k])
			return false;
	return true;
}

static void
look_up(const struct literals *l, uint32_t hash, struct slice s, size_t i,
    uint64_t *maybe)
{
	const struct literal *x;
	uint32_t at;

	for (at = l->buckets[hash >> l->shift]; at != 0; at = x->next) {
		x = &l->v[at - 1];
		if (!bits_has(maybe, x->pattern) && is_there(l, x, s, i))
			bits_set(maybe, x->pattern);
	}
}

void
literals_always(const struct literals *l, uint64_t *maybe)
{
	size_t i;

	for (i = 0; i < bits_words(l->npatterns); i++)
		maybe[i] |= l->always[i];
}

void
literals_scan(const struct literals *l, struct slice s, uint64_t *maybe)
{
	uint32_t gram = 0, hash;
	size_t i;

	for (i = 0; i < s.len; i++) {
		gram = gram << 8 | lower((unsigned char)s.p[i]);
		hash = gram * 2654435761u;
		if (i + 1 >= GRAM &&
		    bits_has(l->bitmap, hash >> (32 - BITMAP_BITS)))
			look_up(l, hash, s, i + 1 - GRAM, maybe);
	}
}
