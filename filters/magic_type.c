/*
 * magic_type - what a file is by its first octets, by libmagic.
 */

#include "filters/magic_type.h"

#include <pthread.h>
#include <stdlib.h>

#include <magic.h>

#include "base/mem.h"

/* Types only, of the octets at hand: no look into archives or documents. */
#define FLAGS	(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS |		\
		 MAGIC_NO_CHECK_TAR | MAGIC_NO_CHECK_TOKENS |		\
		 MAGIC_NO_CHECK_CSV | MAGIC_NO_CHECK_JSON)

/* Octets that its regular expressions look at: some of them take the square of
   it. With more it would tell C from other texts. */
#define REGEX_LOOK	((size_t)256)

struct magic_type {
	magic_t		 cookie;
	pthread_mutex_t	 lock;		/* of the cookie */
};

struct magic_type *
magic_type_new(char **why)
{
	magic_t cookie = magic_open(FLAGS);
	size_t regex = REGEX_LOOK;
	struct magic_type *m;

	if (cookie == NULL || magic_load(cookie, NULL) == -1 ||
	    magic_setparam(cookie, MAGIC_PARAM_REGEX_MAX, &regex) == -1) {
		*why = xasprintf("part.magic: %s", cookie != NULL ?
		    magic_error(cookie) : "libmagic does not start");
		if (cookie != NULL)
			magic_close(cookie);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	m->cookie = cookie;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void
magic_type_free(struct magic_type **m)
{
	if (*m == NULL)
		return;
	magic_close((*m)->cookie);
	pthread_mutex_destroy(&(*m)->lock);
	free(*m);
	*m = NULL;
}

char *
magic_type_of(struct magic_type *m, const char *p, size_t len)
{
	const char *type;
	char *copy;

	pthread_mutex_lock(&m->lock);
	type = magic_buffer(m->cookie, p,
	    len < MAGIC_TYPE_LOOK ? len : MAGIC_TYPE_LOOK);
	copy = xstrdup(type != NULL ? type : "application/octet-stream");
	pthread_mutex_unlock(&m->lock);
	return copy;
}
