/*
 * chain_record - the decision record: for each transaction who sent what to
 * whom, what each filter said of it, at which rule and in what time, and what
 * the client was told. One line of the log:
 *
 *	decision from=<a@example.org> accepted=1 refused=2 verdict=reject
 *	at=eom by=policy.rules:17 reply="554 5.7.1 …" id=4f0c2a91.2
 *	filter.policy=reject@eom,317us,policy.rules:17
 *	rspamd.score=12.5 rspamd.symbols=GTUBE,MISSING_DATE
 *
 * What is decided before there is a transaction has a line of its own,
 * "verdict", and so has what an observed filter would have done, "observe".
 */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/chain_impl.h"

#define LINE_ROOM	3000	/* of the 4000 a log line may have */
#define FINDINGS_ROOM	800	/* of these */

void
chain_record(struct chain *c, struct place *p, enum verdict v)
{
	p->record.verdict = v;
	p->record.event = c->event;
	chain_set_text(&p->record.rule, p->rule);
}

void
chain_clear_record(struct place *p)
{
	free(p->record.rule);
	memset(&p->record, 0, sizeof(p->record));
}

static const char *
quoted(char out[1200], const char *text)
{
	return log_quote(out, 1200, text, strlen(text), 280);
}

void
chain_log_verdict(const struct chain *c, const struct place *p, enum verdict v,
    const char *reply)
{
	const char *event = filter_event_name(c->event);
	char q[1200], r[1200];

	if (!p->conf->observe && c->event >= EV_MAIL)
		return;			/* it will be in the record */
	log_info(c->facts->id, "%s filter=%s at=%s %s=%s%s%s%s%s",
	    p->conf->observe ? "observe" : "verdict", p->conf->name, event,
	    p->conf->observe ? "would" : "verdict", verdict_name(v),
	    p->rule ? " rule=" : "", p->rule ? quoted(q, p->rule) : "",
	    reply ? " reply=" : "", reply ? quoted(r, reply) : "");
}

static const char *
verdict_in_record(const struct place *p, const struct place_record *r)
{
	if (r->failed)
		return "failed";
	return p->when != NULL && !p->open ? "not-asked" :
	    verdict_name(r->verdict);
}

static void
add_filter(struct buf *b, const struct place *p)
{
	/* What its condition says is in its name when that is a failure. */
	const struct place_record *r = p->when != NULL &&
	    p->when->record.failed ? &p->when->record : &p->record;
	char rule[1200];

	buf_addf(b, " filter.%s=%s", p->conf->name, verdict_in_record(p, r));
	if (r->verdict != V_CONTINUE)
		buf_addf(b, "@%s", filter_event_name(r->event));
	buf_addf(b, ",%lluus", (unsigned long long)r->spent_us);
	if (r->rule != NULL)
		buf_addf(b, ",%s", quoted(rule, r->rule));
}

/* All findings of one name, the i-th the first of them. */
static void
add_finding(struct buf *b, const struct txn *t, size_t i)
{
	const struct txn_finding *f = &t->findings[i];
	struct buf list;
	char out[4 * FINDINGS_ROOM];
	size_t j;

	for (j = 0; j < i; j++)
		if (strcmp(t->findings[j].name, f->name) == 0)
			return;		/* was said */
	buf_init(&list, FINDINGS_ROOM);
	buf_adds(&list, f->text);
	for (j = i + 1; j < t->nfindings && !list.failed; j++)
		if (strcmp(t->findings[j].name, f->name) == 0)
			buf_addf(&list, ",%s", t->findings[j].text);
	buf_addf(b, " %s=%s", f->name, log_quote(out, sizeof(out), list.p,
	    list.len, FINDINGS_ROOM / 2));
	buf_fini(&list);
}

static void
add_findings(struct buf *b, const struct txn *t)
{
	struct buf findings;
	size_t i;

	buf_init(&findings, FINDINGS_ROOM);
	for (i = 0; i < t->nfindings; i++)
		add_finding(&findings, t, i);
	buf_add(b, findings.p, findings.len);
	buf_fini(&findings);
}

/* The message as a whole: a recipient or a command that was refused is none of
   it. */
static const char *
overall(const struct chain *c)
{
	if (c->txn->discarded)
		return verdict_name(V_DISCARD);
	if (c->result.verdict != V_CONTINUE && c->decided_at != EV_RCPT &&
	    c->event != EV_UNKNOWN)
		return verdict_name(c->result.verdict);
	return c->message_accepted || c->session_accepted ? "accept" :
	    "continue";
}

void
chain_log_record(const struct chain *c)
{
	const struct txn *t = c->txn;
	char from[1200], by[1200], reply[1200];
	struct buf b;
	size_t i;

	buf_init(&b, LINE_ROOM);
	buf_addf(&b, "decision from=%s accepted=%zu refused=%zu verdict=%s",
	    quoted(from, t->from), t->naccepted, t->nrefused, overall(c));
	if (c->decided_by != NULL)
		buf_addf(&b, " at=%s by=%s", filter_event_name(c->decided_at),
		    quoted(by, c->by != NULL ? c->by : c->decided_by->name));
	if (t->reply != NULL)
		buf_addf(&b, " reply=%s", quoted(reply, t->reply));
	if (t->queue_id != NULL)
		buf_addf(&b, " queue-id=%s", quoted(by, t->queue_id));
	buf_addf(&b, " id=%08llx.%u", (unsigned long long)c->facts->id,
	    t->serial);
	for (i = 0; i < c->conf->n; i++)
		add_filter(&b, c->places[i]);
	add_findings(&b, t);
	log_info(c->facts->id, "%s", b.p);
	buf_fini(&b);
}
