/*
 * chain_slot - what a filter may call, with its place in a session.
 *
 * Here everything is checked that a filter could get wrong: a broken promise
 * is remembered in the place, and when the filter has answered it has failed.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/chain_impl.h"
#include "smtp/address.h"
#include "smtp/param.h"
#include "smtp/reply.h"

#define REPLY_MAX_TEXT	400	/* fits one line of 512 with code and more */
#define REPLY_LINES_ROOM ((size_t)REPLY_TEXT_MAX / 2)
#define PLACE_NAME_MAX	200
#define DELAY_MAX_MS	((uint64_t)5 * 60 * 1000)

static struct place *
place_of(struct chain_slot *slot)
{
	struct place *p;

	/* The slot is its first member. */
	OBJ_CAST(p, (struct place *)(void *)slot, PLACE_MAGIC);
	return p;
}

static bool
has_question(const struct place *p)
{
	return p->chain != NULL && p->state != PLACE_IDLE;
}

/* It spoke when nobody had asked it. */
static void
out_of_turn(struct place *p, const char *what)
{
	log_warn(p->slot.id, "filter-misbehaved filter=%s what=\"%s\"%s",
	    p->conf->name, what, p->chain == NULL ? " session=over" : "");
	if (p->chain != NULL && p->chain->txn != NULL)
		p->failed = p->record.failed = true;
}

static struct place *
in_turn(struct chain_slot *slot, const char *what)
{
	struct place *p = place_of(slot);

	if (has_question(p))
		return p;
	out_of_turn(p, what);
	return NULL;
}

void
chain_resume(struct chain_slot *slot, enum verdict v)
{
	struct place *p = in_turn(slot, "an answer that nobody waits for");

	if (p == NULL)
		return;
	if (p->state == PLACE_ANSWERED) {
		p->broken = "two answers to one question";
		return;
	}
	p->answer = v;
	if (p->state == PLACE_WAITS) {
		p->chain->waiting = WAIT_RESUMED;
		timer_soon(&p->chain->timer);
	}
	p->state = PLACE_ANSWERED;
}

/* Replies */

/* "X.Y.Z" of the class of code? */
static bool
is_enhanced(const char *s, int code)
{
	char text[16];

	snprintf(text, sizeof(text), "%s", s);
	return reply_enhanced(code, text, strlen(text)) == strlen(s);
}

/* One printable line. */
static void
clean(char *p)
{
	for (; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
}

void
chain_reply(struct chain_slot *slot, int code, const char *enhanced,
    const char *fmt, ...)
{
	struct place *p = in_turn(slot, "a reply without a question");
	char text[REPLY_MAX_TEXT];
	va_list ap;

	if (p == NULL)
		return;
	if (code < 400 || code > 599 ||
	    (enhanced != NULL && !is_enhanced(enhanced, code))) {
		p->broken = "a reply that is none";
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clean(text);
	free(p->reply);
	p->reply = xasprintf("%d %s%s%s", code, enhanced ? enhanced : "",
	    enhanced ? " " : "", text);
}

void
chain_reply_lines(struct chain_slot *slot, int code, const char *lines)
{
	struct place *p = in_turn(slot, "a reply without a question");
	char *text, *line, *lf;

	if (p == NULL)
		return;
	if (code < 400 || code > 599) {
		p->broken = "a reply that is none";
		return;
	}
	text = xstrndup(lines, strnlen(lines, REPLY_LINES_ROOM));
	for (line = text; (lf = strchr(line, '\n')) != NULL; line = lf + 1) {
		*lf = '\0';
		clean(line);
		*lf = '\n';
	}
	clean(line);
	free(p->reply);
	p->reply = xasprintf("%d %s", code, text);
	free(text);
}

void
chain_lost(struct chain_slot *slot)
{
	struct place *p = in_turn(slot, "a failure without a question");

	if (p != NULL)
		p->lost = true;
}

void
chain_patience(struct chain_slot *slot, uint64_t ms)
{
	struct place *p = in_turn(slot, "a wait without a question");

	if (p != NULL)
		p->patience_ms = ms;
}

void
chain_place(struct chain_slot *slot, const char *place)
{
	struct place *p = in_turn(slot, "a rule's place without a question");
	char text[PLACE_NAME_MAX];

	if (p == NULL)
		return;
	snprintf(text, sizeof(text), "%s", place);
	clean(text);
	chain_set_text(&p->rule, text);
}

/* Findings */

#define FINDING_MAX	200

static void
publish(struct chain_slot *slot, const char *name, const char *text,
    double number)
{
	struct place *p = in_turn(slot, "a finding without a question");
	char copy[FINDING_MAX + 1];
	struct txn_finding f = {
		.name = (char *)name, .text = copy, .number = number,
	};

	if (p == NULL)
		return;
	if (p->chain->txn == NULL) {
		p->broken = "a finding where there is no message";
		return;
	}
	snprintf(copy, sizeof(copy), "%s", text);
	clean(copy);
	f.by = p->conf->name;
	txn_add_finding(p->chain->txn, &f);
}

void
chain_publish(struct chain_slot *slot, const char *name, const char *text)
{
	publish(slot, name, text, 0);
}

void
chain_publish_number(struct chain_slot *slot, const char *name, double number)
{
	char text[40];

	snprintf(text, sizeof(text), "%.10g", number);
	publish(slot, name, text, number);
}

/* What else follows */

void
chain_delay(struct chain_slot *slot, uint64_t ms)
{
	struct place *p = in_turn(slot, "a delay without a question");

	if (p == NULL)
		return;
	if (ms > DELAY_MAX_MS)
		ms = DELAY_MAX_MS;
	if (ms > p->delay_ms)
		p->delay_ms = ms;
}

void
chain_route(struct chain_slot *slot, const char *backend)
{
	struct place *p = in_turn(slot, "a route without a question");
	struct chain *c;

	if (p == NULL)
		return;
	c = p->chain;
	if (p->conf->observe)
		log_info(c->facts->id, "observe filter=%s at=%s would=route "
		    "backend=%s", p->conf->name, filter_event_name(c->event),
		    backend);
	else if (c->event < EV_MAIL)
		chain_set_text(&c->route_session, backend);
	else if (c->event == EV_MAIL)
		chain_set_text(&c->route_txn, backend);
	else if (c->event == EV_RCPT)
		chain_set_text(&c->route_rcpt, backend);
	else
		p->broken = "a route after the recipients";
}

void
chain_narrow(struct chain_slot *slot, unsigned edits)
{
	struct place *p = in_turn(slot, "edits narrowed without a question");

	if (p == NULL)
		return;
	/* Some of the content may be on its way to the backend. */
	if (p->chain->event >= EV_DATA)
		p->broken = "edits declared in the middle of a message";
	else
		p->edits = edits & p->conf->self.edits;
}

/* Edits: hostile until checked, because filters pass on what strangers sent
   and another filter's program may have been written by anybody. */

static bool
is_field_name(const char *s)
{
	if (s == NULL || *s == '\0' || strlen(s) > 998)
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 127 || *s == ':')
			return false;
	return true;
}

/* One line, printable, UTF-8 or not. */
static bool
is_line(const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 127)
			return false;
	return true;
}

static bool
is_mailbox(const char *s, bool null_ok)
{
	static const struct address_limits limits = {
		.local_part = 1000, .domain = 1000, .path = 1000
	};
	struct address a;
	const char *why;

	if (s == NULL || *s == '\0')
		return null_ok;
	return address_parse_mailbox(&a, s, strlen(s), &limits, &why) == 0;
}

static bool
are_params(const char *s, enum param_where where)
{
	static const struct ext_set all = { .bits = ~0u, .auth = ~0u };
	struct params p;
	const char *why;

	return s == NULL || *s == '\0' ||
	    params_parse(&p, where, SLICE_STR(s), &all, &why) == 0;
}

static bool
is_valid(const struct txn_edit *e)
{
	switch (e->kind) {
	case EDIT_ADD_HEADER:
	case EDIT_INSERT_HEADER:
	case EDIT_CHANGE_HEADER:
	case EDIT_DELETE_HEADER:
		return is_field_name(e->name);	/* rewrite.h: any value */
	case EDIT_REPLACE_BODY:
	case EDIT_REPLACE_OCTETS:
		return e->value != NULL || e->len == 0;
	case EDIT_ADD_RCPT:
		return is_mailbox(e->value, false) &&
		    are_params(e->name, PARAM_RCPT);
	case EDIT_REDIRECT:
		return is_mailbox(e->value, false);
	case EDIT_DELETE_RCPT:
		return e->value != NULL;
	case EDIT_CHANGE_FROM:
		return is_mailbox(e->value, true) &&
		    are_params(e->name, PARAM_MAIL);
	case EDIT_QUARANTINE:
		return is_line(e->value);
	case EDIT_KINDS:
		break;
	}
	return false;
}

void
chain_edit(struct chain_slot *slot, const struct txn_edit *edit)
{
	struct place *p = in_turn(slot, "an edit without a question");
	struct txn_edit e = *edit;

	if (p == NULL)
		return;
	e.by = p->conf->name;
	if (p->chain->txn == NULL)
		p->broken = "an edit where there is no message";
	else if ((unsigned)e.kind >= EDIT_KINDS ||
	    !(p->edits & EDIT_BIT(e.kind)))
		p->broken = "an edit that it did not declare";
	else if (!is_valid(&e))
		p->broken = "an edit that is not valid";
	else if (p->conf->observe)
		log_info(p->slot.id, "observe filter=%s at=%s would=\"%s\"",
		    e.by, filter_event_name(p->chain->event),
		    txn_edit_name(e.kind));
	else if (!txn_add_edit(p->chain->txn, &e))
		p->broken = "too many edits";
}
