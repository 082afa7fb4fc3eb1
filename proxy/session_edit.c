/*
 * session_edit - what the filters want changed, when all have agreed to the
 * message: the envelope, by saying it again.
 *
 * The backend has accepted the envelope as the client gave it. If it is to be
 * another one, the same backend session hears RSET, MAIL and RCPT again, and
 * all its replies must be positive: one that is not means that nobody gets the
 * message now, and the client hears 451. The content is sent after that and
 * not before, so edits are done as a whole or not at all.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "proxy/envelope.h"
#include "proxy/session_impl.h"

#define LINE_ROOM	4096

/* Saying it again */

/* 0, or -1 when the backend cannot take a parameter. */
static int
say(struct session *s, enum backend_kind kind, const char *verb,
    const char *address, const char *params)
{
	struct buf line;
	int r = -1;

	buf_init(&line, LINE_ROOM);
	buf_addf(&line, "%s:<%s>", verb, address);
	if (params_forward(&line, SLICE_STR(params),
	    backend_extensions(s->backend)) == 0 && !line.failed) {
		backend_command(s->backend, kind, NULL, line.p);
		s->replays++;
		r = 0;
	}
	buf_fini(&line);
	return r;
}

static void
give_up(struct session *s, const char *why, const char *detail)
{
	char q[600];

	log_warn(s->id, "edit failed=\"%s\" detail=%s", why,
	    log_quote(q, sizeof(q), detail, strlen(detail), 100));
	session_refuse_content(s, "451 4.3.0 the message cannot be handled as "
	    "it has to be now; try again");
}

static void
replay(struct session *s, const struct envelope *e)
{
	size_t i;
	int r;

	backend_reset(s->backend);
	s->replays = 0;
	s->replay_refused = false;
	r = say(s, BACKEND_MAIL, "MAIL FROM", e->from, e->params);
	for (i = 0; r == 0 && i < e->n; i++)
		r = say(s, BACKEND_RCPT, "RCPT TO", e->rcpts[i].address,
		    e->rcpts[i].params);
	if (s->replays == 0) {
		give_up(s, "the backend takes no such parameter", e->from);
		return;
	}
	s->replay_refused = r == -1;
	session_wait(s, BUSY_BACKEND, NULL);
	backend_flush(s->backend);
}

/* True: the content is as it is to be. */
static bool
edit_content(struct session *s)
{
	const char *refusal = session_rewrite(s);

	if (refusal == NULL)
		refusal = session_objection(s);
	if (refusal != NULL)
		session_refuse_content(s, refusal);
	return refusal == NULL;
}

const struct txn_edit *
session_find_quarantine(const struct txn *t)
{
	size_t i;

	for (i = 0; i < t->nedits; i++)
		if (t->edits[i].kind == EDIT_QUARANTINE)
			return &t->edits[i];
	return NULL;
}

/* To the mailbox, as if that had been the recipient. */
static void
quarantine_to(struct session *s, const struct txn_edit *why,
    const char *address)
{
	const char *refusal = session_mark(s, why);
	struct envelope e;

	if (refusal == NULL)
		refusal = session_objection(s);
	if (refusal != NULL) {
		session_refuse_content(s, refusal);
		return;
	}
	envelope_make_to(&e, s->txn, address);
	if (envelope_needs_utf8(&e, s->txn))
		give_up(s, "an address needs SMTPUTF8", address);
	else {
		session_log_quarantine(s, why, address);
		envelope_log(&e, s->id);
		replay(s, &e);
	}
	envelope_fini(&e);
}

static void
quarantine(struct session *s, const struct txn_edit *why)
{
	const char *address = conf_quarantine_address(s->conf);

	if (conf_quarantine_dir(s->conf) != NULL)
		session_keep(s, why);
	else if (address != NULL)
		quarantine_to(s, why, address);
	else
		give_up(s, "quarantine is \"off\"", why->value);
}

void
session_edit(struct session *s)
{
	const struct txn_edit *why = session_find_quarantine(s->txn);
	struct envelope e;

	if (why != NULL) {
		quarantine(s, why);
		return;
	}
	envelope_make(&e, s->txn);
	if (e.n == 0)
		session_discard(s);
	else if (!edit_content(s))
		;			/* refused */
	else if (!e.changed)
		session_send_approved(s);
	else if (e.n > 1 && backend_is_lmtp(s->backend))
		give_up(s, "several recipients for LMTP", e.rcpts[1].address);
	else if (envelope_needs_utf8(&e, s->txn))
		give_up(s, "an address needs SMTPUTF8", e.from);
	else {
		envelope_log(&e, s->id);
		replay(s, &e);
	}
	envelope_fini(&e);
}

bool
session_is_replaying(const struct session *s)
{
	return s->replays > 0;
}

void
session_replayed(struct session *s, const struct reply *r)
{
	char text[600];

	assert(s->replays > 0);
	if (!reply_is_positive(r)) {
		s->replay_refused = true;
		log_warn(s->id, "edit refused=%d reply=%s", r->code,
		    log_quote(text, sizeof(text), r->text.p, r->text.len,
		    100));
	}
	if (--s->replays > 0)
		return;
	s->busy = BUSY_NO;
	if (s->replay_refused)
		give_up(s, "the backend does not take the envelope", "");
	else
		session_send_approved(s);
	if (s->busy == BUSY_NO)
		session_resume(s);
}
