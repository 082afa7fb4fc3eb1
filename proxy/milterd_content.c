/*
 * milterd_content - the message that the MTA shows us in pieces, kept until
 * its verdict when somebody may want it changed.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/milterd_impl.h"

const char *
content_authserv_id(const struct milterd_era *e)
{
	if (e->conf->authserv_id != NULL)
		return e->conf->authserv_id;
	return e->listener->filters.wants & FILTER_ADDS_AUTHRES ?
	    e->conf->hostname : NULL;
}

bool
content_is_held(const struct milterd_era *e)
{
	return content_authserv_id(e) != NULL ||
	    (e->listener->filters.edits & EDITS_CONTENT) != 0;
}

void
content_keep(struct milterd_session *s)
{
	struct evbuffer *b;

	if (!content_is_held(s->era) || s->no_room)
		return;
	if (s->spool == NULL)
		s->spool = spool_new(s->era->conf->spool_directory,
		    s->era->conf->spool_memory);
	b = evbuffer_new();
	if (b == NULL || evbuffer_add(b, s->in.p, s->in.len) == -1)
		fatal("out of memory");
	if (spool_add(s->spool, b) == -1)
		s->no_room = true;
	evbuffer_free(b);
}

void
content_drop(struct milterd_session *s)
{
	spool_free(&s->spool);
	plan_clear(&s->plan);
	buf_reset(&s->in);
	s->size = 0;
	s->nfields = 0;
	s->too_big = s->no_room = s->nothing_left = false;
}
