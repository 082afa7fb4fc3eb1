/*
 * dispatch - finding the rules that can hold without looking at each.
 *
 * "reject … if mail.domain is "example.com"" can only hold for one value of
 * mail.domain. Five thousand such rules in a row are a hash table: the value
 * is hashed once, and the rules that name it are looked at, in their order,
 * between those that have no such condition. The condition itself is always
 * evaluated in full, so all the table must never do is to leave a rule out.
 *
 * Networks have a table for each length of prefix that occurs: the address is
 * hashed once for each of them. Patterns on one field that are a set with a
 * sieve (set.c) have a table by their number in it: the sieve says which of the
 * numbers there are.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/load_impl.h"

#define FEW	4	/* entries that are as fast one by one */
#define TABLES_MAX	200	/* more kinds of keys: the rest one by one */

/* Collecting: keys of one kind. */
struct kind {
	struct dispatch	 d;
	size_t		 room;
};

struct maker {
	struct rules	*r;
	struct seq	*q;
	struct kind	*kinds;		/* TABLES_MAX; ours */
	size_t		 nkinds;
};

uint32_t
hash_number(double number)
{
	return hash_folded(SLICE((const char *)&number, sizeof(number)));
}

/* The first bits of the address; what is behind them counts for nothing. */
uint32_t
hash_prefix(const uint8_t *ip, uint8_t family, uint8_t bits)
{
	size_t whole = bits / 8;
	uint32_t h = 2166136261u ^ family ^ (uint32_t)bits << 8;
	size_t i;

	for (i = 0; i < whole; i++)
		h = (h ^ ip[i]) * 16777619u;
	if (bits % 8 != 0)
		h = (h ^ (ip[whole] & (0xff00u >> bits % 8 & 0xff))) *
		    16777619u;
	h ^= h >> 15;
	h *= 2246822519u;
	return h ^ h >> 13;
}

static bool
is_field(const struct rules *r, uint32_t e)
{
	return r->exprs.v[e].op == E_FIELD && !r->exprs.v[e].varies;
}

static bool
is_const(const struct rules *r, uint32_t e)
{
	return r->exprs.v[e].op == E_CONST;
}

/* Below-domain elements (.x) are no single value. */
static bool
is_plain_list(const struct constants *c)
{
	size_t i;

	if (c->type != RULES_STRING)
		return true;
	for (i = 0; i < c->n; i++)
		if (c->text[i].len > 0 && c->text[i].p[0] == '.')
			return false;
	return true;
}

static bool
is_sieved(const struct rules *r, uint32_t regex)
{
	uint32_t set = r->regexes.v[regex].set;

	return set != 0 && r->sets.v[set - 1].sieve != NULL;
}

/* Can e only hold for some values of a field? Then *x is that part of it. */
static const struct expr *
key_of(const struct rules *r, uint32_t e)
{
	const struct expr *x = &r->exprs.v[e], *key;

	if (e == 0)
		return NULL;
	switch (x->op) {
	case E_AND:
		key = key_of(r, x->a);
		return key != NULL ? key : key_of(r, x->b);
	case E_SAME:
	case E_EQ_TEXT:
	case E_EQ_NUMBER:
		return is_field(r, x->a) && is_const(r, x->b) ? x : NULL;
	case E_IN_LIST:
		return is_field(r, x->a) && r->lists.v[x->n].n > 0 ? x : NULL;
	case E_MATCH:
		return is_sieved(r, x->n) ? x : NULL;
	case E_IN_DOMAINS:
		return is_field(r, x->a) && r->lists.v[x->n].n > 0 &&
		    is_plain_list(&r->lists.v[x->n]) ? x : NULL;
	default:
		return NULL;
	}
}

/* NULL: there are too many kinds. */
static struct kind *
kind_for(struct maker *m, const struct dispatch *like)
{
	struct kind *k;
	size_t i;

	for (i = 0; i < m->nkinds; i++) {
		k = &m->kinds[i];
		if (k->d.slot == like->slot && k->d.set == like->set &&
		    k->d.family == like->family && k->d.bits == like->bits)
			return k;
	}
	if (m->nkinds == TABLES_MAX)
		return NULL;
	k = &m->kinds[m->nkinds++];
	*k = (struct kind){ .d = *like };
	return k;
}

static bool
add_key(struct maker *m, const struct dispatch *like, uint32_t hash,
    uint32_t entry)
{
	struct kind *k = kind_for(m, like);

	if (k == NULL)
		return false;
	if (k->d.n == k->room)
		k->d.keyed = set_grow(k->d.keyed, &k->room,
		    sizeof(k->d.keyed[0]));
	k->d.keyed[k->d.n++] = (struct keyed){ hash, entry };
	return true;
}

static bool
add_list(struct maker *m, uint32_t slot, const struct constants *c,
    uint32_t entry)
{
	struct dispatch like = { .slot = slot };
	bool good = true;
	size_t i;

	for (i = 0; i < c->n && c->type == RULES_STRING; i++)
		good &= add_key(m, &like, hash_folded(c->text[i]), entry);
	for (i = 0; i < c->n && c->type == RULES_NUMBER; i++)
		good &= add_key(m, &like, hash_number(c->number[i]), entry);
	for (i = 0; i < c->nets.n; i++) {
		like.family = c->nets.rows[i].family;
		like.bits = c->nets.rows[i].bits;
		good &= add_key(m, &like, hash_prefix(c->nets.rows[i].ip,
		    like.family, like.bits), entry);
	}
	return good;
}

/* False: this entry must be looked at each time. */
static bool
add_entry(struct maker *m, uint32_t entry)
{
	const struct rules *r = m->r;
	const struct expr *x = key_of(r, m->q->v[entry].cond);
	const struct rules_value *v;
	struct dispatch like = { .slot = 0 };

	if (x == NULL)
		return false;
	like.slot = r->exprs.v[x->a].n;
	if (x->op == E_IN_LIST || x->op == E_IN_DOMAINS)
		return add_list(m, like.slot, &r->lists.v[x->n], entry);
	if (x->op == E_MATCH) {
		like.set = r->regexes.v[x->n].set;
		return add_key(m, &like, r->regexes.v[x->n].nth, entry);
	}
	v = &r->exprs.v[x->b].value;
	return add_key(m, &like, x->op == E_EQ_NUMBER ?
	    hash_number(v->number) : hash_folded(v->text), entry);
}

static int
by_hash(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* start[i] is where hashes with the top bits i begin: about one key each. */
static void
finish(struct rules *r, struct dispatch *d)
{
	struct keyed *keyed = d->keyed;
	uint32_t size = 2, i, at = 0;

	for (d->shift = 31; size < d->n && d->shift > 8; d->shift--)
		size *= 2;
	qsort(keyed, d->n, sizeof(keyed[0]), by_hash);
	d->start = arena_alloc(&r->arena, (size + 1) * sizeof(d->start[0]));
	for (i = 0; i <= size; i++) {
		while (at < d->n && keyed[at].hash >> d->shift < i)
			at++;
		d->start[i] = at;
	}
	d->keyed = arena_alloc(&r->arena, d->n * sizeof(keyed[0]));
	memcpy(d->keyed, keyed, d->n * sizeof(keyed[0]));
	d->first = UINT32_MAX;
	for (i = 0; i < d->n; i++)
		if (keyed[i].entry < d->first)
			d->first = keyed[i].entry;
}

/* An entry with keys of a kind that has few goes one by one, too; if it has
   keys of several kinds, finding it twice does no harm. */
static void
keep_few(const struct kind *k, bool *other)
{
	size_t i;

	for (i = 0; i < k->d.n; i++)
		other[k->d.keyed[i].entry] = true;
}

void
dispatch_make(struct rules *r, struct seq *q)
{
	struct maker m = { .r = r, .q = q,
	    .kinds = xcalloc(TABLES_MAX, sizeof(m.kinds[0])) };
	bool *other = xcalloc(q->n, sizeof(other[0]));
	uint32_t i;

	for (i = 0; i < q->n; i++)
		other[i] = !add_entry(&m, i);
	q->dispatch = arena_alloc(&r->arena, m.nkinds * sizeof(*q->dispatch));
	for (i = 0; i < m.nkinds; i++) {
		struct keyed *keyed = m.kinds[i].d.keyed;

		if (m.kinds[i].d.n <= FEW) {
			keep_few(&m.kinds[i], other);
		} else {
			finish(r, &m.kinds[i].d);
			q->dispatch[q->ndispatch++] = m.kinds[i].d;
		}
		free(keyed);
	}
	q->others = arena_alloc(&r->arena, q->n * sizeof(q->others[0]));
	for (i = 0; i < q->n; i++)
		if (other[i])
			q->others[q->nothers++] = i;
	free(other);
	free(m.kinds);
}
