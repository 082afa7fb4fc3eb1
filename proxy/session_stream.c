/*
 * session_stream - content that goes on to the backend before all of it is
 * here.
 *
 * A large message would cost us its size, and the client the time to send it
 * twice. So it is held only until it is known to be large, and if nobody may
 * change it any more what came goes on, all but the last piece. What is found
 * wrong with it in the middle ends the backend's transaction at once, but the
 * client hears of it where it expects a reply: at the end of its data, or of
 * its chunk.
 */

#include <stdlib.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/session_impl.h"

/*
 * Over DATA a refusal costs the connection, which a client who has logged in
 * through it must not lose.
 */
static bool
may_stream(const struct session *s, bool bdat)
{
	return (s->chain == NULL || chain_edits(s->chain) == 0) &&
	    s->txn->nedits == 0 && !session_may_rewrite(s) &&
	    !s->txn->discarded && (bdat || !s->authenticated);
}

void
session_stream_if_large(struct session *s)
{
	struct intake *in = s->intake;
	uint64_t known = in->size > s->txn->size ? in->size : s->txn->size;
	struct spool *held = in->spool;
	bool bdat;

	if (in->streams || in->doomed || in->size == 0 ||
	    known < s->conf->hold_size || !hops_knows_mailbox(&in->hops))
		return;
	bdat = session_travels_by_bdat(s);
	if (!may_stream(s, bdat))
		return;
	log_debug(s->id, "stream by=%s held=%llu", bdat ? "BDAT" : "DATA",
	    (unsigned long long)in->size);
	in->streams = true;
	in->bdat = bdat;
	in->spool = NULL;
	backend_stream(s->backend, held, bdat, NULL);
}

bool
session_stream_waits(struct session *s)
{
	if (!s->intake->streams || !backend_stream_is_full(s->backend))
		return false;
	session_wait(s, BUSY_ROOM, session_restart_clock);
	return true;
}

void
session_on_room(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	if (s->busy == BUSY_ROOM)
		session_resume(s);
}

void
session_stream_end(struct session *s)
{
	struct intake *in = s->intake;

	in->streams = false;
	session_wait(s, BUSY_BACKEND, NULL);
	backend_stream_end(s->backend, in->dot.ends_in_crlf, in->due);
}

void
session_stream_drop(struct session *s)
{
	s->intake->streams = false;
	s->intake->dropped = true;
	if (!backend_stream_drop(s->backend))
		backend_put(&s->backend);
}

/* Nothing of it is under way any more; the client hears this at its end. */
static void
give_up(struct session *s, int code, const char *text)
{
	s->intake->streams = false;
	s->intake->refusal = xasprintf("%d %s", code, text);
	session_doom(s);
	if (s->busy == BUSY_ROOM)
		session_resume(s);
}

void
session_stream_refused(struct session *s, const struct reply *r)
{
	backend_reset(s->backend);
	give_up(s, r->code, r->text.p);
}

bool
session_stream_lost(struct session *s, const struct reply *r)
{
	if (s->intake == NULL || !s->intake->streams)
		return false;
	/* Who has logged in through it cannot go on without it. */
	give_up(s, s->authenticated ? 421 : r->code, r->text.p);
	return true;
}
