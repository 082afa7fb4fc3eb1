/*
 * index - strings to strings, in memory, for millions of them.
 *
 * Open addressing with linear probing, at most three quarters full. The hash
 * starts from a number that differs in each process: the keys of a table are
 * its owner's, but the questions come from strangers.
 */

#include "rules/index.h"

#include <sys/random.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define FIRST_BITS	6
#define FIRST_ROOM	1024
#define TEXT_MAX	((size_t)UINT32_MAX - 1)

static uint64_t
seed(void)
{
	static uint64_t value;

	/* Threads find it set: a table is first read before there are any. */
	if (value != 0)
		return value;
	/* Even this is good; it is only a weaker hash. */
	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) == -1)
		value = (uint64_t)getpid() << 32;
	return value |= 1;
}

/* Eight octets at a time, mixed by multiplications (as splitmix64 does). */
static uint32_t
hash_of(const char *p, size_t len)
{
	uint64_t h = seed() ^ len, w;

	for (; len > 0; p += sizeof(w), len -= sizeof(w)) {
		w = 0;
		memcpy(&w, p, len < sizeof(w) ? len : sizeof(w));
		h = (h ^ w) * 0xbf58476d1ce4e5b9u;
		h ^= h >> 29;
		if (len < sizeof(w))
			break;
	}
	h *= 0x94d049bb133111ebu;
	return (uint32_t)(h >> 32);
}

void
index_init(struct index *x)
{
	*x = (struct index){ .bits = FIRST_BITS };
	x->slots = xcalloc((size_t)1 << x->bits, sizeof(x->slots[0]));
}

void
index_fini(struct index *x)
{
	free(x->text);
	free(x->slots);
	*x = (struct index){ 0 };
}

/* The slot that has the key, or the free one where it belongs. */
static struct index_slot *
slot_of(const struct index *x, const char *key, size_t len, uint32_t hash)
{
	size_t mask = ((size_t)1 << x->bits) - 1, i;
	const char *there;

	for (i = hash & mask; x->slots[i].place != 0; i = (i + 1) & mask) {
		if (x->slots[i].hash != hash)
			continue;
		there = x->text + x->slots[i].place - 1;
		/* The NUL behind "there" keeps strncmp() within its key. */
		if (strncmp(there, key, len) == 0 && there[len] == '\0')
			break;
	}
	return &x->slots[i];
}

static void
grow_slots(struct index *x)
{
	size_t n = (size_t)1 << x->bits, mask = 2 * n - 1, i, at;
	struct index_slot *old = x->slots;

	x->bits++;
	x->slots = xcalloc(2 * n, sizeof(x->slots[0]));
	for (i = 0; i < n; i++) {
		if (old[i].place == 0)
			continue;
		for (at = old[i].hash & mask; x->slots[at].place != 0;)
			at = (at + 1) & mask;
		x->slots[at] = old[i];
	}
	free(old);
}

static void
append(struct index *x, const char *p, size_t len)
{
	memcpy(x->text + x->len, p, len);
	x->len += len;
	x->text[x->len++] = '\0';
}

/* Room for more octets. -1: there cannot be so much. */
static int
make_room(struct index *x, size_t more)
{
	if (more > TEXT_MAX - x->len)
		return -1;
	if (x->len + more <= x->room)
		return 0;
	if (x->room == 0)
		x->room = FIRST_ROOM;
	while (x->room < x->len + more)
		x->room *= 2;
	x->text = xrealloc(x->text, x->room);
	return 0;
}

enum index_add
index_add(struct index *x, const char *key, size_t keylen, const char *value,
    size_t valuelen)
{
	uint32_t hash = hash_of(key, keylen);
	struct index_slot *slot;

	slot = slot_of(x, key, keylen, hash);
	if (slot->place != 0)
		return INDEX_DUPLICATE;
	if (keylen > TEXT_MAX / 4 || valuelen > TEXT_MAX / 4 ||
	    make_room(x, keylen + valuelen + 2) == -1)
		return INDEX_FULL;
	*slot = (struct index_slot){ (uint32_t)x->len + 1, hash };
	append(x, key, keylen);
	append(x, value, valuelen);
	if (++x->n > ((size_t)3 << x->bits) / 4)
		grow_slots(x);
	return INDEX_ADDED;
}

void
index_done(struct index *x)
{
	if (x->len == 0)
		return;
	x->text = xrealloc(x->text, x->len);
	x->room = x->len;
}

const char *
index_find(const struct index *x, const char *key, size_t len)
{
	const struct index_slot *slot;

	slot = slot_of(x, key, len, hash_of(key, len));
	return slot->place != 0 ? x->text + slot->place - 1 + len + 1 : NULL;
}
