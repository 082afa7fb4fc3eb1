/*
 * arena - memory that is given back all at once.
 *
 * Blocks grow with what is asked for; a request that is larger than a block
 * has a block of its own. After a reset one block stays, because the next run
 * needs about as much as the last one.
 */

#include "rules/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK	((size_t)4096)

struct arena_block {
	struct arena_block	*next;
	size_t			 room, used;
	alignas(max_align_t) char data[];
};

void
arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){ .limit = limit };
}

static void
free_blocks(struct arena_block **list)
{
	struct arena_block *b;

	while ((b = *list) != NULL) {
		*list = b->next;
		free(b);
	}
}

void
arena_fini(struct arena *a)
{
	free_blocks(&a->blocks);
	free_blocks(&a->spare);
	arena_init(a, a->limit);
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;

	a->used = 0;
	a->full = false;
	if (b == NULL)
		return;
	a->blocks = b->next;
	free_blocks(&a->blocks);
	if (a->spare == NULL && b->room == BLOCK) {
		b->used = 0;
		b->next = NULL;
		a->spare = b;
	} else {
		free(b);
	}
}

void
arena_lend(struct arena *to, struct arena *from)
{
	if (to->spare != NULL)
		return;
	to->spare = from->spare;
	from->spare = NULL;
}

static struct arena_block *
add_block(struct arena *a, size_t size)
{
	size_t room = size > BLOCK ? size : BLOCK;
	struct arena_block *b = a->spare;

	if (b != NULL && size <= b->room) {
		a->spare = b->next;
	} else {
		b = xmalloc(sizeof(*b) + room);
		b->room = room;
		b->used = 0;
	}
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	size_t align = alignof(max_align_t);
	struct arena_block *b = a->blocks;
	void *p;

	size = (size + align - 1) / align * align;
	a->used += size;
	if (a->limit != 0 && a->used > a->limit)
		a->full = true;
	if (b == NULL || b->room - b->used < size)
		b = add_block(a, size);
	p = b->data + b->used;
	b->used += size;
	memset(p, 0, size);
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}
