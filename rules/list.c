/*
 * list - constants in braces: { "a", "b" }, { 192.0.2.0/24 }, { 25, 587 }.
 *
 * Texts are looked up in a hash table, folded, however many there are.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "rules/load_impl.h"

#define NONE	UINT32_MAX

void *
set_grow(void *v, size_t *room, size_t size)
{
	*room = *room > 0 ? *room * 2 : 16;
	return xrealloc(v, *room * size);
}

static unsigned char
fold(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

/* FNV-1a, and a last mix because the table uses the low bits and the
   dispatcher the high ones. */
uint32_t
hash_folded(struct slice s)
{
	uint32_t h = 2166136261u;
	size_t i;

	for (i = 0; i < s.len; i++)
		h = (h ^ fold(s.p[i])) * 16777619u;
	h ^= h >> 15;
	h *= 2246822519u;
	return h ^ h >> 13;
}

uint32_t
list_new(struct rules *r, struct span span)
{
	struct constants c = { .span = span };

	SET_ADD(&r->lists, c);
	return (uint32_t)(r->lists.n - 1);
}

/* Room for one more of size: doubles when n is a power of two. */
static void *
grow(void *v, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0)
		return v;
	return xrealloc(v, (n > 0 ? n * 2 : 1) * size);
}

void
list_add_text(struct rules *r, uint32_t list, struct slice s)
{
	struct constants *c = &r->lists.v[list];

	c->typed = true;
	c->type = RULES_STRING;
	c->text = grow(c->text, c->n, sizeof(c->text[0]));
	c->text[c->n++] = s;
}

void
list_add_number(struct rules *r, uint32_t list, double number)
{
	struct constants *c = &r->lists.v[list];

	c->typed = true;
	c->type = RULES_NUMBER;
	c->number = grow(c->number, c->n, sizeof(c->number[0]));
	c->number[c->n++] = number;
}

int
list_add_net(struct rules *r, uint32_t list, const char *text,
    const char **why)
{
	struct constants *c = &r->lists.v[list];

	if (netset_add(&c->nets, text, why) == -1)
		return -1;
	c->typed = true;
	c->type = RULES_IP;
	c->n++;
	return 0;
}

static uint32_t *
bucket(const struct constants *c, struct slice s)
{
	size_t i = hash_folded(s) & (c->nbuckets - 1);

	while (c->buckets[i] != NONE &&
	    (c->text[c->buckets[i]].len != s.len ||
	    strncasecmp(c->text[c->buckets[i]].p, s.p, s.len) != 0))
		i = (i + 1) & (c->nbuckets - 1);
	return &c->buckets[i];
}

void
list_finish(struct constants *c)
{
	uint32_t *b;
	size_t i;

	if (c->text == NULL || c->buckets != NULL)
		return;
	for (c->nbuckets = 4; c->nbuckets < c->n * 2; c->nbuckets *= 2)
		;
	c->buckets = xmalloc(c->nbuckets * sizeof(c->buckets[0]));
	memset(c->buckets, 0xff, c->nbuckets * sizeof(c->buckets[0]));
	for (i = 0; i < c->n; i++) {
		b = bucket(c, c->text[i]);
		if (*b == NONE)
			*b = (uint32_t)i;
	}
}

void
list_fini(struct constants *c)
{
	free(c->text);
	free(c->number);
	free(c->buckets);
	netset_fini(&c->nets);
}

bool
constants_have_text(const struct constants *c, struct slice s)
{
	return c->n > 0 && *bucket(c, s) != NONE;
}

/* example.org itself, or .example.org or .org for what is below. */
bool
constants_have_domain(const struct constants *c, struct slice s)
{
	const char *dot, *end = s.p + s.len;

	if (s.len == 0)
		return false;
	if (constants_have_text(c, s))
		return true;
	for (dot = s.p; (dot = memchr(dot, '.', (size_t)(end - dot))) != NULL;
	    dot++)
		if (constants_have_text(c, SLICE(dot, (size_t)(end - dot))))
			return true;
	return false;
}

bool
constants_have_number(const struct constants *c, double number)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->number[i] == number)
			return true;
	return false;
}
