/*
 * session_quarantine - a message that a filter wants held back: to a Maildir,
 * and the client is told that it is refused, or to a mailbox in place of its
 * recipients, and the client is told what that one's server says.
 *
 * Either way it is the message as it came, whatever else filters wanted
 * changed, with fields on top that say why, from whom and for whom it is. The
 * names are those that amavis uses where it has one.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/quarantine.h"
#include "proxy/session_impl.h"

#define RCPTS_OCTETS_MAX	((size_t)64 << 10)
#define FIELDS_MAX		6

struct block {
	struct txn_edit	 edits[FIELDS_MAX];
	size_t		 n;
};

/* Each is put on top of those before it; value is ours to free. */
static void
put_on_top(struct block *b, const char *name, char *value)
{
	b->edits[b->n++] = (struct txn_edit){
		.kind = EDIT_INSERT_HEADER, .name = name, .value = value,
	};
}

static char *
list_recipients(const struct txn *t)
{
	size_t i, n = 0;
	struct buf b;

	buf_init(&b, 2 * RCPTS_OCTETS_MAX);
	for (i = 0; i < t->nrcpts && b.len < RCPTS_OCTETS_MAX; i++)
		if (t->rcpts[i]->state == RCPT_ACCEPTED)
			buf_addf(&b, "%s<%s>", n++ > 0 ? ",\n\t" : "",
			    t->rcpts[i]->address);
	if (n < t->naccepted)
		buf_addf(&b, ",\n\t(and %zu more)", t->naccepted - n);
	return b.p;
}

const char *
session_mark(struct session *s, const struct txn_edit *why)
{
	bool kept = conf_quarantine_dir(s->conf) != NULL;
	struct block b = { .n = 0 };
	const char *refusal;
	size_t i;

	/* Nobody behind us writes one into a Maildir. */
	if (kept && !s->conf->received)
		put_on_top(&b, "Received", session_received(s));
	put_on_top(&b, "X-Envelope-To", list_recipients(s->txn));
	put_on_top(&b, "X-Envelope-From", xasprintf("<%s>", s->txn->from));
	put_on_top(&b, "X-Quarantine-By", xstrdup(why->by));
	put_on_top(&b, "X-Quarantine-Reason", xstrdup(why->value));
	put_on_top(&b, "X-Quarantine-ID", xasprintf("%08llx",
	    (unsigned long long)s->id));
	refusal = session_put_on_top(s, b.edits, b.n, !kept);
	for (i = 0; i < b.n; i++)
		free((char *)b.edits[i].value);
	return refusal;
}

void
session_log_quarantine(const struct session *s, const struct txn_edit *why,
    const char *where)
{
	char from[4 * ADDRESS_ROOM + 8], reason[600], place[600];
	const struct txn *t = s->txn;

	log_warn(s->id, "quarantine from=%s nrcpt=%zu by=%s reason=%s "
	    "where=%s", log_quote(from, sizeof(from), t->from,
	    strlen(t->from), ADDRESS_ROOM), t->naccepted, why->by,
	    log_quote(reason, sizeof(reason), why->value, strlen(why->value),
	    140), log_quote(place, sizeof(place), where, strlen(where), 140));
}

/* Into the Maildir */

static void
refuse(struct session *s, const struct txn_edit *why)
{
	char *reply = xasprintf("554 5.7.1 %.400s", *why->value != '\0' ?
	    why->value : "message is held back and not delivered");

	session_refuse_content(s, reply);
	free(reply);
}

static void
on_kept(void *arg, const char *name, int error)
{
	const struct txn_edit *why;
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	assert(s->busy == BUSY_QUARANTINE);
	s->quarantine_job = NULL;
	why = session_find_quarantine(s->txn);
	assert(why != NULL);
	if (name != NULL) {
		session_log_quarantine(s, why, name);
		refuse(s, why);
	} else {
		log_error(s->id, "quarantine failed=\"%s\" directory=%s",
		    strerror(error), conf_quarantine_dir(s->conf));
		session_refuse_content(s, "451 4.3.0 the message cannot be "
		    "kept now; try again");
	}
	session_resume(s);
}

static struct quarantine *
quarantine_of(struct worker *w)
{
	if (w->quarantine == NULL)
		w->quarantine = quarantine_new(w->base,
		    conf_quarantine_dir(w->conf), w->conf->hostname);
	return w->quarantine;
}

void
session_keep(struct session *s, const struct txn_edit *why)
{
	const char *refusal = session_mark(s, why);

	if (refusal != NULL)
		session_refuse_content(s, refusal);
	else if (s->conf->rehearsal)
		refuse(s, why);
	else {
		session_wait(s, BUSY_QUARANTINE, NULL);
		s->quarantine_job = quarantine_keep(quarantine_of(s->w),
		    s->intake->spool, on_kept, s);
		s->intake->spool = NULL;
	}
}
