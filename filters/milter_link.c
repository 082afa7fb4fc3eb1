/*
 * milter_link - the connection to a milter: what is said, what is waited for,
 * and what happens when it fails.
 *
 * For each event of the chain there is a list of commands, and each is said
 * when the one before it is answered, or at once if the milter does not answer
 * it (SMFIP_NR_*). A connection that is new, because the session is or because
 * the last one was lost, gets the commands of its session first.
 *
 * A milter that closes, is late, or says what makes no sense has lost its
 * connection. In a message that is the end for both: the milter would have
 * missed something of it. The next MAIL gets a new connection. Nothing fails
 * before MAIL, so that a client is told 451 of MAIL and not turned away at the
 * door for something that will be mended when it says MAIL.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/milter_conn.h"
#include "filters/milter_impl.h"

#define HIGH	((size_t)256 << 10)	/* so much may wait for the milter */

#define REPLIES_MAX 200000	/* to one event; a body may come by the line */

/* Nobody waits longer for one answer, however much progress there is (RFC 5321
   4.5.3.2.6). */
#define EVENT_MAX_MS	((uint64_t)10 * 60 * 1000)

#define BIT(command)	(1u << ((command) - 'A'))

/* Commands, when they are left out, and when they are not answered. */
static const struct command {
	char		 command;
	uint32_t	 no, nr;		/* SMFIP_ */
	uint32_t	 version;		/* that has it */
	bool		 content;		/* its time is content-timeout */
} commands[] = {
	{ SMFIC_CONNECT, SMFIP_NOCONNECT, SMFIP_NR_CONN, 2, false },
	{ SMFIC_HELO, SMFIP_NOHELO, SMFIP_NR_HELO, 2, false },
	{ SMFIC_MAIL, SMFIP_NOMAIL, SMFIP_NR_MAIL, 2, false },
	{ SMFIC_RCPT, SMFIP_NORCPT, SMFIP_NR_RCPT, 2, false },
	{ SMFIC_UNKNOWN, SMFIP_NOUNKNOWN, SMFIP_NR_UNKN, 3, false },
	{ SMFIC_DATA, SMFIP_NODATA, SMFIP_NR_DATA, 4, false },
	{ SMFIC_HEADER, SMFIP_NOHDRS, SMFIP_NR_HDR, 2, true },
	{ SMFIC_EOH, SMFIP_NOEOH, SMFIP_NR_EOH, 2, true },
	{ SMFIC_BODY, SMFIP_NOBODY, SMFIP_NR_BODY, 2, true },
	{ SMFIC_BODYEOB, 0, 0, 2, true },
};

static void dial(struct milter_session *m);

static const struct command *
find_command(char command)
{
	const struct command *c = commands;

	while (c->command != command)
		c++;
	return c;
}

static bool
is_wanted(const struct milter_session *m, const struct command *c)
{
	return (m->protocol & c->no) == 0 && m->version >= c->version &&
	    !(m->skipped & BIT(c->command)) &&
	    (c->command != SMFIC_HELO || m->slot->facts->helo != NULL);
}

bool
milter_wants(const struct milter_session *m, char command)
{
	return is_wanted(m, find_command(command));
}

/* The packets that were made are to be sent. */
static void
put_out(struct milter_session *m)
{
	struct buf *out = &m->milter->out;

	if (out->len > 0)
		evbuffer_add(milter_conn_out(m->conn), out->p, out->len);
	buf_reset(out);
}

/* Leaving */

void
milter_reset(struct milter_session *m)
{
	if (m->body != NULL)
		evbuffer_drain(m->body, evbuffer_get_length(m->body));
	if (m->replaces)
		buf_fini(&m->new_body);
	m->replaces = m->hold = m->lost = m->passed = m->in_message = false;
	m->skipped = 0;
	m->txn = NULL;
	m->rcpt = NULL;
	m->header = NULL;
	free(m->message_id);
	m->message_id = NULL;
}

void
milter_hang_up(struct milter_session *m)
{
	timer_stop(&m->deadline);
	dial_cancel(&m->dial);
	if (m->link == LINK_OPEN && m->due == 0) {
		wire_put(&m->milter->out, SMFIC_QUIT);
		put_out(m);
		/* What it does not take now, it does not get. */
		milter_conn_flush(m->conn);
	}
	milter_conn_free(&m->conn);
	m->link = LINK_NONE;
	m->due = 0;
	m->full = m->in_message = false;
	memset(m->chose, 0, sizeof(m->chose));
}

void
milter_leave(struct milter_session *m)
{
	if (m->link == LINK_OPEN && m->in_message) {
		wire_put(&m->milter->out, SMFIC_ABORT);
		put_out(m);
		milter_conn_flush(m->conn);
	}
	m->in_message = false;
	m->passed = true;
}

/* Failing */

static void
answer(struct milter_session *m, enum verdict v)
{
	m->asked = false;
	timer_stop(&m->deadline);
	chain_resume(m->slot, v);
}

static enum verdict
fail(struct milter_session *m)
{
	chain_reply(m->slot, 451, "4.7.1", "%s", m->trouble);
	chain_lost(m->slot);
	m->lost = false;
	m->passed = true;
	return V_FAIL;
}

static void
lose(struct milter_session *m, const char *why)
{
	bool in_message = m->in_message;

	free(m->trouble);
	m->trouble = xstrdup(why);
	/* It may have stopped listening; it is not told. */
	m->due = m->due != 0 ? m->due : SMFIC_QUIT;
	milter_hang_up(m);
	if (!m->asked)
		m->lost = in_message;
	else if (m->event < EV_MAIL && !in_message)
		answer(m, V_CONTINUE);
	else
		answer(m, fail(m));
}

/* One that is there and does not make sense from the beginning: as if it were
   not there. The next one is tried. */
static void
no_greeting(struct milter_session *m, const char *why)
{
	free(m->trouble);
	m->trouble = xstrdup(why);
	peers_failed(m->milter->peers, m->peer, why);
	milter_hang_up(m);
	dial(m);
}

/* Waiting */

static void
wait_for_answer(struct milter_session *m)
{
	const struct milter *it = m->milter;

	timer_set(&m->deadline, find_command(m->due)->content ?
	    it->settings->content_timeout : it->timeout);
}

static void
on_deadline(void *arg)
{
	struct milter_session *m;

	OBJ_CAST(m, arg, MILTER_SESSION_MAGIC);
	if (m->link == LINK_GREETS)
		no_greeting(m, "no answer to the negotiation in time");
	else
		lose(m, m->full ? "it does not read" : "no answer in time");
}

/* Saying */

static void
make_packet(struct milter_session *m, char command)
{
	const struct facts *f = m->slot->facts;
	struct buf *out = &m->milter->out;
	char name[NETADDR_TEXT + 2], ip[NETADDR_TEXT];

	switch (command) {
	case SMFIC_CONNECT:
		snprintf(name, sizeof(name), "[%s]",
		    netaddr_ip(&f->client, ip));
		wire_put_connect(out, f->client_name != NULL ?
		    f->client_name : f->client.family == AF_INET ||
		    f->client.family == AF_INET6 ? name : "localhost",
		    &f->client);
		break;
	case SMFIC_HELO:
		wire_put_text(out, command, f->helo);
		break;
	case SMFIC_UNKNOWN:
		wire_put_text(out, command, m->unknown);
		break;
	case SMFIC_MAIL:
		wire_put_address(out, command, m->txn->from, m->txn->params);
		break;
	case SMFIC_RCPT:
		wire_put_address(out, command, m->rcpt->address,
		    m->rcpt->params);
		break;
	case SMFIC_HEADER:
		wire_put_header(out, m->header->name, m->header->raw,
		    (m->protocol & SMFIP_HDR_LEADSPC) != 0);
		break;
	default:
		wire_put(out, command);
		break;
	}
}

/* How much of the body goes now: full pieces, and at the end the rest. */
static size_t
piece_due(const struct milter_session *m)
{
	size_t len = m->body != NULL ? evbuffer_get_length(m->body) : 0;

	if (len >= WIRE_PAYLOAD_MAX)
		return WIRE_PAYLOAD_MAX;
	return m->event == EV_EOM ? len : 0;
}

static void
say_piece(struct milter_session *m, size_t len)
{
	struct evbuffer *out = milter_conn_out(m->conn);
	char head[WIRE_HEAD];

	wire_body_head(head, len);
	evbuffer_add(out, head, sizeof(head));
	evbuffer_remove_buffer(m->body, out, len);
}

/* Say the first command of what is to be said. */
static void
say(struct milter_session *m, const struct command *c)
{
	milter_macros_put(m, &m->milter->out, c->command);
	if (c->command == SMFIC_MAIL)
		m->in_message = true;
	if (!is_wanted(m, c)) {
		if (c->command == SMFIC_BODY && m->body != NULL)
			evbuffer_drain(m->body, evbuffer_get_length(m->body));
		put_out(m);
		return;
	}
	if (c->command == SMFIC_BODY)
		say_piece(m, piece_due(m));
	else
		make_packet(m, c->command);
	put_out(m);
	if ((m->protocol & c->nr) == 0)
		m->due = c->command;
}

/* Is it full now? */
static bool
check_full(struct milter_session *m)
{
	if (evbuffer_get_length(milter_conn_out(m->conn)) < HIGH)
		return false;
	m->full = true;
	timer_set(&m->deadline, m->milter->timeout);
	return true;
}

static enum verdict
go_on(struct milter_session *m)
{
	const struct command *c;

	while (*m->todo != '\0') {
		c = find_command(*m->todo);
		if (c->command == SMFIC_BODY && piece_due(m) == 0) {
			m->todo++;
			continue;
		}
		if (c->command != SMFIC_BODY)
			m->todo++;
		say(m, c);
		if (m->due != 0) {
			milter_conn_flush(m->conn);
			wait_for_answer(m);
			return V_WAIT;
		}
		/* With what else is said until then, in one piece. */
		milter_conn_flush_soon(m->conn);
		if (check_full(m))
			return V_WAIT;
	}
	return V_CONTINUE;
}

static void
resume(struct milter_session *m)
{
	enum verdict v = go_on(m);

	if (v != V_WAIT)
		answer(m, v);
}

/* Listening */

static void
take_macros(struct milter_session *m, struct wire_options *o)
{
	struct slice name;
	int i, id;

	for (i = 0; i < WIRE_STAGES; i++) {
		m->chose[i] = false;
		m->wanted[i].n = 0;
		while (wire_next_name(&o->macros[i], &name)) {
			m->chose[i] = true;
			id = milter_macro_find(name);
			if (id != -1 && m->wanted[i].n < MILTER_MACROS_MAX)
				m->wanted[i].id[m->wanted[i].n++] =
				    (uint8_t)id;
		}
	}
}

/* A milter that edits without having said so fails the message, as it does for
   Sendmail with a body. */
static unsigned
edits_of(uint32_t actions)
{
	static const struct {
		uint32_t	 actions;	/* SMFIF_ */
		unsigned	 edits;
	} rows[] = {
		{ SMFIF_ADDHDRS, EDIT_BIT(EDIT_ADD_HEADER) |
		    EDIT_BIT(EDIT_INSERT_HEADER) },
		{ SMFIF_CHGHDRS, EDIT_BIT(EDIT_CHANGE_HEADER) },
		{ SMFIF_CHGBODY, EDIT_BIT(EDIT_REPLACE_BODY) },
		{ SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR, EDIT_BIT(EDIT_ADD_RCPT) },
		{ SMFIF_DELRCPT, EDIT_BIT(EDIT_DELETE_RCPT) },
		{ SMFIF_CHGFROM, EDIT_BIT(EDIT_CHANGE_FROM) },
		{ SMFIF_QUARANTINE, EDIT_BIT(EDIT_QUARANTINE) },
	};
	unsigned edits = 0;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (actions & rows[i].actions)
			edits |= rows[i].edits;
	return edits;
}

static void
take_options(struct milter_session *m, const struct wire_packet *p)
{
	struct wire_options o;
	const char *why;

	if (wire_options(p, &o, &why) == -1) {
		no_greeting(m, why);
		return;
	}
	m->version = o.version;
	m->protocol = o.protocol;
	m->edits = edits_of(o.actions);
	chain_narrow(m->slot, m->edits);
	take_macros(m, &o);
	timer_stop(&m->deadline);
	m->due = 0;
	m->link = LINK_OPEN;
	peers_worked(m->milter->peers, m->peer);
	resume(m);
}

/* A recipient or a command was answered by it: if the message goes on, because
   the milter is only observed, it does so without the milter. */
static void
shut_down(struct milter_session *m)
{
	bool in_message = m->in_message;

	free(m->trouble);
	m->trouble = xstrdup("it has shut down");
	milter_hang_up(m);
	m->lost = in_message;
}

static void
take_reply(struct milter_session *m, const struct wire_packet *p)
{
	enum milter_next next = MILTER_ERROR;
	enum verdict v = V_CONTINUE;
	struct wire_reply r;
	const char *why;

	if (wire_reply(p, &r, &why) == 0)
		next = milter_understand(m, &r, &v, &why);
	switch (next) {
	case MILTER_MORE:
		if (++m->replies > REPLIES_MAX)
			lose(m, "it does not come to an end");
		else
			wait_for_answer(m);
		return;
	case MILTER_NEXT:
		m->due = 0;
		resume(m);
		return;
	case MILTER_ANSWER:
		m->due = 0;
		if (m->done)
			milter_hang_up(m);
		else if (r.kind == SMFIR_SHUTDOWN)
			shut_down(m);
		answer(m, v);
		return;
	case MILTER_ERROR:
		lose(m, why);
		return;
	}
}

/* A packet that is a copy: whoever takes it may end the connection. */
static void
take_packet(struct milter_session *m, const struct wire_packet *p)
{
	if (m->due == 0)
		lose(m, "it speaks without being asked");
	else if (m->link == LINK_GREETS)
		take_options(m, p);
	else
		take_reply(m, p);
}

/* The next packet of the input, copied; false: there is none, or no milter any
   more. */
static bool
next_packet(struct milter_session *m, struct wire_packet *p)
{
	struct evbuffer *in = milter_conn_in(m->conn);
	size_t len = evbuffer_get_length(in), used = 0;
	struct buf *copy = &m->milter->in;
	const char *why = NULL;

	if (len == 0)
		return false;
	switch (wire_take((const char *)evbuffer_pullup(in, -1), len, p,
	    &used, &why)) {
	case WIRE_MORE:
		return false;
	case WIRE_BAD:
		if (m->link == LINK_GREETS)
			no_greeting(m, why);
		else
			lose(m, why);
		return false;
	case WIRE_PACKET:
		break;
	}
	buf_reset(copy);
	buf_add(copy, p->payload.p, p->payload.len);
	p->payload = SLICE(copy->p, copy->len);
	evbuffer_drain(in, used);
	return true;
}

static void
on_input(void *arg)
{
	struct milter_session *m;
	struct milter_conn *conn;
	struct wire_packet p;

	OBJ_CAST(m, arg, MILTER_SESSION_MAGIC);
	conn = m->conn;
	while (m->conn == conn && next_packet(m, &p))
		take_packet(m, &p);
}

static void
on_written(void *arg)
{
	struct milter_session *m;

	OBJ_CAST(m, arg, MILTER_SESSION_MAGIC);
	if (!m->full)
		return;
	m->full = false;
	timer_stop(&m->deadline);
	resume(m);
}

static void
on_end(void *arg, const char *why)
{
	struct milter_session *m;

	OBJ_CAST(m, arg, MILTER_SESSION_MAGIC);
	if (m->link == LINK_GREETS)
		no_greeting(m, why);
	else
		lose(m, why);
}

/* Connecting */

static void
greet(struct milter_session *m, int fd)
{
	static const struct milter_conn_calls calls = {
		.input = on_input, .written = on_written, .end = on_end,
	};
	struct peers *peers = m->milter->peers;

	m->conn = milter_conn_new(peers_base(peers), fd, &calls, m);
	m->link = LINK_GREETS;
	m->due = SMFIC_OPTNEG;
	m->peer = peers_reached(peers);
	wire_put_options(&m->milter->out);
	put_out(m);
	milter_conn_flush(m->conn);
	timer_set(&m->deadline, m->milter->where.connect_timeout);
}

static void
on_dialled(void *arg, int fd, const char *why)
{
	struct milter_session *m;
	char *before;

	OBJ_CAST(m, arg, MILTER_SESSION_MAGIC);
	m->dial = NULL;
	if (fd != -1) {
		greet(m, fd);
		return;
	}
	/* What was wrong with the one that was there says more. */
	before = m->trouble;
	m->trouble = NULL;
	lose(m, before != NULL ? before : why);
	free(before);
}

static void
dial(struct milter_session *m)
{
	m->link = LINK_DIALS;
	m->dial = peers_dial(m->milter->peers, on_dialled, m);
}

enum verdict
milter_say(struct milter_session *m, enum filter_event ev, const char *todo)
{
	enum verdict v = V_WAIT;

	m->event = ev;
	m->todo = todo;
	m->replies = 0;
	if (m->lost)
		return fail(m);
	if (m->deadline.fire == NULL)
		timer_init(&m->deadline, on_deadline, m);
	if (m->link == LINK_NONE) {
		free(m->trouble);
		m->trouble = NULL;
		dial(m);
	} else
		v = go_on(m);
	m->asked = v == V_WAIT;
	if (m->asked)
		chain_patience(m->slot, EVENT_MAX_MS);
	return v;
}
