/*
 * session_rewrite - content that is not to arrive as it came: what filters want
 * and what we want ourselves, put together for intake_edit.c.
 *
 * The filters' edits are done at the end, for the backend, and before that
 * between two rounds of filters (filters/chain.h). Our Received is written at
 * the very end, so that filters see none, as milters of Postfix do not.
 */

#include <stdlib.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/session_impl.h"

#define ROOM_FOR_EDITS	16384	/* of the backend's SIZE */

const char *
session_authserv_id(const struct session *s)
{
	if (s->conf->authserv_id != NULL)
		return s->conf->authserv_id;
	return s->listener->filters.wants & FILTER_ADDS_AUTHRES ?
	    s->conf->hostname : NULL;
}

/* With these edits of filters, or ones of these kinds. */
static bool
may_rewrite(const struct session *s, unsigned edits)
{
	return s->conf->received || session_authserv_id(s) != NULL ||
	    (edits & EDITS_CONTENT) != 0;
}

bool
session_may_rewrite(const struct session *s)
{
	return may_rewrite(s, s->chain != NULL ? chain_edits(s->chain) : 0);
}

/* It is not known yet what a milter will not do. */
void
session_leave_room(const struct session *s, uint64_t *offered, uint64_t theirs)
{
	if (may_rewrite(s, s->listener->filters.edits) &&
	    theirs > 2 * ROOM_FOR_EDITS && *offered > theirs - ROOM_FOR_EDITS)
		*offered = theirs - ROOM_FOR_EDITS;
}

static struct intake_job
job_of(const struct session *s, const struct txn_edit *edits, size_t n)
{
	return (struct intake_job){
		.conf = s->conf, .edits = edits, .n = n,
		.authserv_id = session_authserv_id(s),
		.smtputf8 = (s->txn->present & 1u << PARAM_SMTPUTF8) != 0,
	};
}

/* What is left to do of the filters' edits. */
static struct intake_job
rest_of(const struct session *s)
{
	const struct txn *t = s->txn;
	size_t n = t->nedits - t->napplied;

	return job_of(s, n > 0 ? &t->edits[t->napplied] : NULL, n);
}

bool
session_wants_rewrite(const struct session *s)
{
	struct intake_job job = rest_of(s);

	return s->conf->received || intake_has_job(s->intake, &job);
}

/* RFC 1870: the backend counts what we have added, too. */
static const char *
judge_size(const struct session *s)
{
	uint64_t limit = backend_extensions(s->backend)->size;

	return limit > 0 && spool_size(s->intake->spool) > limit ?
	    "552 5.3.4 message size exceeds the limit with what is added" :
	    NULL;
}

static const char *
rewrite(struct session *s, struct intake_job *job, bool sent)
{
	char *received = s->conf->received ? session_received(s) : NULL;
	const char *refusal;

	job->received = received;
	refusal = intake_edit(s->intake, job);
	free(received);
	return refusal == NULL && sent ? judge_size(s) : refusal;
}

const char *
session_rewrite(struct session *s)
{
	struct intake_job job = rest_of(s);

	return rewrite(s, &job, true);
}

const char *
session_put_on_top(struct session *s, const struct txn_edit *fields, size_t n,
    bool sent)
{
	struct intake_job job = job_of(s, fields, n);

	intake_restore(s->intake);
	return rewrite(s, &job, sent);
}

/* Rounds */

/* Then it has to be kept as it came. */
static bool
may_be_held_back(const struct session *s)
{
	return (chain_edits(s->chain) & EDIT_BIT(EDIT_QUARANTINE)) != 0 ||
	    session_find_quarantine(s->txn) != NULL;
}

/* Between two of them. */
static const char *
rewrite_for_round(void *arg, const struct txn_edit *edits, size_t n)
{
	struct intake_job job;
	const char *refusal;
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	job = job_of(s, edits, n);
	job.keep = may_be_held_back(s);
	refusal = intake_edit(s->intake, &job);
	if (refusal == NULL)
		s->txn->octets = spool_size(s->intake->spool);
	return refusal;
}

static int64_t
read_for_round(void *arg, uint64_t at, void *out, size_t len)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	return spool_peek(s->intake->spool, at, out, len);
}

const struct chain_source session_source = {
	.rewrite = rewrite_for_round,
	.read = read_for_round,
};
