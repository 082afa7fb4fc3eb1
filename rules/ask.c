/*
 * ask - one look-up in a table that may be remote, or made of remote tables.
 *
 * The recursion through members of members is written out as a stack of frames,
 * because it must be able to stop in the middle and go on later.
 */

#include "rules/ask.h"

#include <assert.h>
#include <string.h>

#include "rules/fold.h"
#include "rules/table_impl.h"

static void
set(struct buf *b, const char *p, size_t len)
{
	buf_reset(b);
	buf_add(b, p, len);
}

void
ask_start(struct ask *a, struct table *t, const struct keys *k)
{
	size_t i;

	*a = (struct ask){ .table = t, .result = TABLE_NOT_FOUND };
	keys_init(&a->keys);
	buf_add(&a->keys.text, k->text.p, k->text.len);
	buf_init(&a->key, VALUE_MAX);
	buf_init(&a->value, VALUE_MAX);
	for (i = 0; i < TABLE_DEPTH; i++) {
		buf_init(&a->frames[i].key, VALUE_MAX);
		buf_init(&a->frames[i].value, VALUE_MAX);
	}
}

void
ask_fini(struct ask *a)
{
	size_t i;

	keys_fini(&a->keys);
	buf_fini(&a->key);
	buf_fini(&a->value);
	for (i = 0; i < TABLE_DEPTH; i++) {
		buf_fini(&a->frames[i].key);
		buf_fini(&a->frames[i].value);
	}
}

/* Make this table the next to be asked. */
static void
aim(struct ask *a, struct table *t, const char *key, size_t len)
{
	a->asking = t;
	set(&a->key, key, len);
}

static void
deliver(struct ask *a, enum table_result r, const char *value, size_t len)
{
	a->result = r;
	set(&a->value, r == TABLE_FOUND ? value : "",
	    r == TABLE_FOUND ? len : 0);
	a->asking = NULL;
}

/* Go down into a union or pipemap. It has a member at least. */
static void
descend(struct ask *a)
{
	struct ask_frame *f = &a->frames[a->depth];

	assert(a->depth < TABLE_DEPTH);
	a->depth++;
	f->table = a->asking;
	f->next = 0;
	f->any = f->limit = false;
	set(&f->key, a->key.p, a->key.len);
	buf_reset(&f->value);
	aim(a, table_member(f->table, 0), f->key.p, f->key.len);
}

static void
leave(struct ask *a, enum table_result r, const struct buf *value)
{
	a->depth--;
	deliver(a, value->failed ? TABLE_FAILED : r, value->p, value->len);
}

/* A member of a union has answered: all of them are asked. */
static void
next_of_union(struct ask *a, struct ask_frame *f)
{
	struct table *member;

	if (a->result == TABLE_FAILED) {
		leave(a, a->result, &f->value);
		return;
	}
	f->limit |= a->result == TABLE_LIMIT;
	if (a->result == TABLE_FOUND) {
		if (f->any)
			buf_addc(&f->value, ',');
		buf_add(&f->value, a->value.p, a->value.len);
		f->any = true;
	}
	if ((member = table_member(f->table, ++f->next)) != NULL)
		aim(a, member, f->key.p, f->key.len);
	else
		leave(a, f->any ? TABLE_FOUND : f->limit ? TABLE_LIMIT :
		    TABLE_NOT_FOUND, &f->value);
}

/* A member of a pipemap has answered: that is the key for the next. */
static void
next_of_pipemap(struct ask *a, struct ask_frame *f)
{
	struct table *member = table_member(f->table, ++f->next);

	set(&f->value, a->value.p, a->value.len);
	if (a->result != TABLE_FOUND || member == NULL)
		leave(a, a->result, &f->value);
	else
		aim(a, member, f->value.p, f->value.len);
}

static void
ask_member(struct ask *a)
{
	const char *value = "";
	enum table_result r;

	if (table_member(a->asking, 0) != NULL) {
		descend(a);
		return;
	}
	/* As for every table: what is not UTF-8 is nowhere. */
	a->waiting = table_remote(a->asking);
	if (a->waiting != NULL && is_utf8(a->key.p, a->key.len))
		return;
	r = TABLE_NOT_FOUND;
	if (a->waiting == NULL)
		r = table_find_local(a->asking, a->key.p, a->key.len, &value);
	a->waiting = NULL;
	deliver(a, r, value, strlen(value));
}

/* There is a result for one key. True: it is the result. */
static bool
next_key(struct ask *a)
{
	const char *key;

	if (a->result != TABLE_NOT_FOUND ||
	    (a->at > 0 && table_wants_whole(a->table)) ||
	    (key = keys_next(&a->keys, &a->at)) == NULL)
		return true;
	aim(a, a->table, key, strlen(key));
	return false;
}

bool
ask_run(struct ask *a)
{
	struct ask_frame *f;

	while (a->waiting == NULL) {
		if (a->asking != NULL) {
			ask_member(a);
		} else if (a->depth > 0) {
			f = &a->frames[a->depth - 1];
			if (table_type_of(f->table) == &table_pipemap)
				next_of_pipemap(a, f);
			else
				next_of_union(a, f);
		} else if (next_key(a)) {
			return true;
		}
	}
	return false;
}

const struct remote *
ask_remote(const struct ask *a)
{
	return a->waiting;
}

struct slice
ask_key(const struct ask *a)
{
	return SLICE(a->key.p, a->key.len);
}

void
ask_answer(struct ask *a, enum table_result r, const char *value, size_t len)
{
	assert(a->waiting != NULL);
	a->waiting = NULL;
	if (r == TABLE_FOUND && (len > VALUE_MAX || !is_utf8(value, len) ||
	    memchr(value, '\0', len) != NULL))
		r = TABLE_FAILED;
	deliver(a, r, value, len);
}

enum table_result
ask_result(const struct ask *a, const char **value)
{
	*value = a->value.p;
	return a->result;
}
