/*
 * chain_content - content as events: content, header, eoh, body, eom.
 *
 * The engine feeds octets, and each call of chain_next_event() finds the next
 * event in them, until they are used up. The parser keeps what it needs for a
 * field; the rest of a piece is copied only when somebody waits.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/authres.h"
#include "filters/chain_impl.h"

void
chain_drop_content(struct chain *c)
{
	if (c->parsing)
		header_fini(&c->parser);
	c->parsing = false;
	free(c->backlog);
	c->backlog = NULL;
	c->in = c->rest = SLICE(NULL, 0);
	c->content = CONTENT_NONE;
	c->part = AT_HEADER;
}

void
chain_keep_content(struct chain *c)
{
	const char *from = c->event == EV_BODY && c->part == AT_BODY ?
	    c->piece.p : c->in.p;
	size_t len = (size_t)(c->in.p + c->in.len - from);
	char *copy;

	if (c->backlog != NULL || len == 0)
		return;
	copy = xmalloc(len);
	memcpy(copy, from, len);
	if (from == c->piece.p)
		c->piece.p = copy;
	c->in.p = copy + len - c->in.len;
	c->backlog = copy;
}

static bool
is_wanted(const struct chain *c, enum filter_event ev)
{
	return (c->events & EV_BIT(ev)) != 0;
}

/* Past the limits nobody could tell what a filter has not seen. */
static bool
too_big(struct chain *c)
{
	c->event = EV_HEADER;
	chain_decide(c, V_REJECT, "552 5.3.4 message header is too large",
	    "header-limit");
	return false;
}

/* Somebody speaks in our name: the field is not there. After the first round
   it is a filter that does. */
static bool
is_forged(const struct chain *c)
{
	return c->round == 1 && c->facts->authserv_id != NULL &&
	    slice_is_nocase(c->header.name, "Authentication-Results") &&
	    authres_is_from(c->header.raw, c->facts->authserv_id);
}

/* True: the next field is in c->header, and somebody wants to see it. */
static bool
take_field(struct chain *c)
{
	const struct header *h = &c->header;

	if (is_forged(c)) {
		header_forget(&c->parser);
		return false;
	}
	if (c->wants & FILTER_WANTS_HEADERS &&
	    !txn_add_header(c->txn, h->name.p, h->name.len, h->value.p,
	    h->value.len))
		return too_big(c);
	return is_wanted(c, EV_HEADER);
}

static enum header_status
parse(struct chain *c)
{
	enum header_status status;
	size_t used = 0;

	if (!c->parsing) {
		header_init(&c->parser);
		c->parsing = true;
	}
	status = header_parse(&c->parser, c->in.p, c->in.len, &used,
	    &c->header, &c->rest);
	c->in.p += used;
	c->in.len -= used;
	if (status == HEADER_MORE && c->content == CONTENT_FINISH)
		status = header_finish(&c->parser, &c->header, &c->rest);
	return status;
}

/* The next field that is wanted. */
static bool
next_field(struct chain *c)
{
	while (c->part == AT_HEADER && !c->decided) {
		switch (parse(c)) {
		case HEADER_MORE:
			return false;
		case HEADER_TOO_BIG:
			return too_big(c);
		case HEADER_FIELD:
			c->event = EV_HEADER;
			if (take_field(c))
				return true;
			break;
		case HEADER_END:
			c->part = AT_EOH;
			break;
		}
	}
	return false;
}

/* The next piece of the body: what the parser held, then the input. */
static bool
next_piece(struct chain *c)
{
	struct slice *from = c->part == AT_REST ? &c->rest : &c->in;

	c->event = EV_BODY;
	c->piece = *from;
	from->p += from->len;
	from->len = 0;
	return c->piece.len > 0 && is_wanted(c, EV_BODY);
}

bool
chain_is_over(const struct chain *c)
{
	return c->decided || c->message_accepted || c->session_accepted;
}

/* What was fed, before it is taken apart. */
static bool
whole_piece(struct chain *c)
{
	if (!c->whole_due || c->in.len == 0)
		return false;
	c->whole_due = false;
	c->event = EV_CONTENT;
	c->piece = c->in;
	return is_wanted(c, EV_CONTENT);
}

static bool
find_event(struct chain *c)
{
	if (whole_piece(c))
		return true;
	if (c->part == AT_HEADER && next_field(c))
		return true;
	if (c->part == AT_EOH) {
		c->part = AT_REST;
		c->event = EV_EOH;
		if (is_wanted(c, EV_EOH))
			return true;
	}
	if (c->part == AT_REST) {
		if (next_piece(c))
			return true;
		c->part = AT_BODY;
	}
	if (c->part == AT_BODY && next_piece(c))
		return true;
	if (c->content == CONTENT_FINISH && c->part == AT_BODY) {
		c->part = AT_EOM;
		c->event = EV_EOM;
		return true;
	}
	return false;
}

enum step
chain_next_event(struct chain *c)
{
	enum step step;

	do {
		if (!chain_is_over(c) && find_event(c))
			return STEP_NEXT;
		free(c->backlog);
		c->backlog = NULL;
		step = chain_read_more(c);
	} while (step == STEP_NEXT);
	if (step == STEP_STOP)
		c->content = CONTENT_NONE;
	return step;
}
