/*
 * milter - the filter that asks a milter, over a UNIX or a TCP socket: what
 * Sendmail and Postfix do, in front of servers that do not.
 *
 * There is one connection for each session, for all its messages. The milter
 * sees the envelope as the client sent it, and the content with what the filters
 * in front of it have changed. It is asked about a recipient before the
 * backend is, so it may see recipients that the backend then refuses.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/milter_impl.h"

#define MESSAGE_ID_MAX	990	/* of one that is told; RFC 5322 2.1.1 */

static const struct setting milter_settings[] = {
	SETTING(milter_settings, peers.address, "socket", LIST,
	    .help = "Where the milter is: unix:PATH, HOST:PORT, or as "
	    "Sendmail writes it inet:PORT@HOST or inet6:PORT@HOST. "
	    "Of several, the next is tried when one cannot be reached or "
	    "does not answer the negotiation."),
	PEERS_TIME_SETTINGS(milter_settings),
	SETTING(milter_settings, content_timeout, "content-timeout", DURATION,
	    .def = "5m", .min = "10ms", .max = "10m",
	    .help = "How long the milter may take for one answer about "
	    "content, where timeout is for the envelope. "
	    "It may say that it makes progress, and has so long again; but "
	    "filter-budget is for all."),
	SETTING(milter_settings, skip_authenticated, "skip-authenticated",
	    BOOL, .def = "no",
	    .help = "The milter is not asked about messages of clients that "
	    "have logged in."),
	SETTING(milter_settings, max_size, "max-size", SIZE, .def = "0",
	    .min = "0", .max = "1T",
	    .help = "Largest message that is shown to the milter. "
	    "A larger one goes on without it, which the log tells. "
	    "With 0 there is no limit."),
	SETTING(milter_settings, quarantine, "quarantine", BOOL, .def = "no",
	    .help = "What happens to a message that the milter wants held "
	    "back. With \"yes\" the setting quarantine of the daemon says "
	    "where it goes; with \"no\" it is refused with 451 4.7.1."),
	MACRO_SETTINGS(WIRE_CONNECT, "macros-connect", "with the connection"),
	MACRO_SETTINGS(WIRE_HELO, "macros-helo", "with HELO"),
	MACRO_SETTINGS(WIRE_MAIL, "macros-mail", "with MAIL"),
	MACRO_SETTINGS(WIRE_RCPT, "macros-rcpt", "with RCPT"),
	MACRO_SETTINGS(WIRE_DATA, "macros-data", "with DATA"),
	MACRO_SETTINGS(WIRE_EOH, "macros-eoh", "with the end of the header"),
	MACRO_SETTINGS(WIRE_EOM, "macros-eom", "with the end of the message"),
	{ .name = NULL }
};

/* Setting up */

static bool
begins_with(const char *text, const char *what)
{
	return strncmp(text, what, strlen(what)) == 0;
}

/* A socket as peers has it: "inet:8891@host" is "host:8891". Ours. */
static char *
as_where(const char *text)
{
	const char *rest, *at;

	if (*text == '/')
		return xasprintf("unix:%s", text);
	if (begins_with(text, "local:"))
		return xasprintf("unix:%s", text + 6);
	if (begins_with(text, "inet:"))
		rest = text + 5;
	else if (begins_with(text, "inet6:"))
		rest = text + 6;
	else
		return xstrdup(text);
	if ((at = strchr(rest, '@')) == NULL)
		return xstrdup(rest);	/* inet:HOST:PORT, as Postfix */
	return xasprintf(strchr(at, ':') != NULL && at[1] != '[' ?
	    "[%s]:%.*s" : "%s:%.*s", at + 1, (int)(at - rest), rest);
}

static int
set_peers(struct milter *m, char **why)
{
	const struct setting_list *from = &m->settings->peers.address;
	struct setting_list *to = &m->where.address;
	char *text;
	size_t i;

	m->where = m->settings->peers;
	to->v = xcalloc(from->n + 1, sizeof(to->v[0]));
	for (i = 0; i < from->n; i++)
		to->v[i] = as_where(from->v[i]);
	if (from->n == 0)
		*why = xstrdup("socket is not set");
	else
		m->peers = peers_new(&m->where, m->name, NULL, why);
	if (m->peers == NULL && begins_with(*why, "address")) {
		text = xasprintf("socket%s", *why + strlen("address"));
		free(*why);
		*why = text;
	}
	if (m->peers == NULL)
		return -1;
	peers_must_greet(m->peers);
	return 0;
}

/* NAME=VALUE, or the name of one that we know. */
static int
add_macro(struct milter *m, enum wire_stage stage, const char *text,
    char **why)
{
	struct milter_macros *list = &m->added[stage];
	const char *equals = strchr(text, '=');
	int id = equals == NULL ? milter_macro_find(SLICE_STR(text)) : -1;

	if (equals != NULL) {
		m->texts = xrealloc(m->texts, (m->ntexts + 1) *
		    sizeof(m->texts[0]));
		m->texts[m->ntexts++] = (struct milter_text){
			.name = xstrndup(text, (size_t)(equals - text)),
			.value = xstrdup(equals + 1), .stage = stage,
		};
	} else if (id == -1) {
		*why = xasprintf("\"%s\" is not a macro that we know (%s=… "
		    "sets it)", text, text);
		return -1;
	} else if (list->n < MILTER_MACROS_MAX)
		list->id[list->n++] = (uint8_t)id;
	return 0;
}

static int
set_macros(struct milter *m, char **why)
{
	const struct setting_list *list;
	size_t stage, i;

	milter_macros_standard(m->standard);
	for (stage = 0; stage < WIRE_STAGES; stage++) {
		list = &m->settings->macros[stage];
		for (i = 0; i < list->n; i++)
			if (add_macro(m, (enum wire_stage)stage, list->v[i],
			    why) == -1)
				return -1;
	}
	return 0;
}

static void
milter_teardown(void *priv)
{
	struct milter *m;
	size_t i;

	OBJ_CAST(m, priv, MILTER_MAGIC);
	peers_free(&m->peers);
	for (i = 0; i < m->where.address.n; i++)
		free(m->where.address.v[i]);
	free(m->where.address.v);
	for (i = 0; i < m->ntexts; i++) {
		free(m->texts[i].name);
		free(m->texts[i].value);
	}
	free(m->texts);
	buf_fini(&m->out);
	buf_fini(&m->in);
	m->magic = 0;
	free(m);
}

static int
milter_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	struct milter *m = xcalloc(1, sizeof(*m));

	m->magic = MILTER_MAGIC;
	m->settings = settings;
	m->name = host->name;
	m->timeout = host->timeout;
	buf_init(&m->out, 4 * WIRE_PAYLOAD_MAX);
	buf_init(&m->in, 2 * WIRE_PAYLOAD_MAX);
	if (set_peers(m, why) == -1 || set_macros(m, why) == -1) {
		milter_teardown(m);
		return -1;
	}
	if (!m->settings->quarantine)
		self->edits &= ~EDIT_BIT(EDIT_QUARANTINE);
	self->priv = m;
	return 0;
}

static void
milter_start(void *priv, const struct filter_worker *w)
{
	struct milter *m;

	OBJ_CAST(m, priv, MILTER_MAGIC);
	peers_start(m->peers, w->base);
}

/* Events */

static struct milter_session *
session_of(struct chain_slot *slot)
{
	struct milter_session *m = slot->session;

	if (m->magic == 0) {
		m->magic = MILTER_SESSION_MAGIC;
		m->slot = slot;
		m->edits = ~0u;
		OBJ_CAST(m->milter, slot->priv, MILTER_MAGIC);
	}
	OBJ_CHECK(m, MILTER_SESSION_MAGIC);
	return m;
}

static enum verdict
milter_connect(struct chain_slot *slot)
{
	return milter_say(session_of(slot), EV_CONNECT, "C");
}

/* After a failure there is no connection: MAIL makes another one. */
static enum verdict
milter_helo(struct chain_slot *slot)
{
	struct milter_session *m = session_of(slot);

	return m->link == LINK_NONE ? V_CONTINUE :
	    milter_say(m, EV_HELO, "H");
}

static bool
is_too_big(struct milter_session *m, uint64_t octets)
{
	const struct milter_settings *s = m->milter->settings;

	if (s->max_size == 0 || octets <= s->max_size)
		return false;
	log_info(m->slot->id, "milter-skipped filter=%s reason=size",
	    m->milter->name);
	return true;
}

static enum verdict
milter_mail(struct chain_slot *slot, struct txn *t)
{
	struct milter_session *m = session_of(slot);

	milter_reset(m);
	if (m->refusal != V_CONTINUE) {
		m->passed = true;	/* it may only be observed */
		return milter_refuse(m);
	}
	m->passed = m->done || (m->milter->settings->skip_authenticated &&
	    slot->facts->auth_user != NULL) || is_too_big(m, t->size);
	chain_narrow(slot, m->passed ? 0 : m->edits);
	if (m->passed)
		return V_CONTINUE;
	m->txn = t;
	return milter_say(m, EV_MAIL, m->link == LINK_NONE ? "CHM" : "M");
}

static enum verdict
milter_rcpt(struct chain_slot *slot, struct txn *t, const struct txn_rcpt *r)
{
	struct milter_session *m = session_of(slot);
	enum verdict v;

	(void)t;
	if (m->passed)
		return V_CONTINUE;
	m->rcpt = r;
	m->refusal_of_rcpt = NULL;
	v = milter_say(m, EV_RCPT, "R");
	if (v != V_WAIT)
		m->rcpt = NULL;
	return v;
}

/* Only if it has asked for those. */
static enum verdict
milter_refused(struct chain_slot *slot, struct txn *t,
    const struct txn_rcpt *r, const char *reply)
{
	struct milter_session *m = session_of(slot);
	enum verdict v;

	(void)t;
	if (m->passed || (m->protocol & SMFIP_RCPT_REJ) == 0)
		return V_CONTINUE;
	m->rcpt = r;
	m->refusal_of_rcpt = reply;
	v = milter_say(m, EV_REFUSED, "R");
	if (v != V_WAIT)
		m->rcpt = NULL;
	return v;
}

/* libmilter takes nothing but DATA and RCPT behind it, in a message, and would
   not answer the header. */
static enum verdict
milter_unknown(struct chain_slot *slot, const char *line)
{
	struct milter_session *m = session_of(slot);

	if (m->link != LINK_OPEN || m->done ||
	    (m->in_message && !milter_wants(m, SMFIC_DATA)))
		return V_CONTINUE;
	m->unknown = line;
	return milter_say(m, EV_UNKNOWN, "U");
}

static enum verdict
milter_data(struct chain_slot *slot, struct txn *t)
{
	struct milter_session *m = session_of(slot);

	(void)t;
	m->rcpt = NULL;
	return m->passed ? V_CONTINUE : milter_say(m, EV_DATA, "T");
}

/* Is it not shown the content any more? */
static bool
is_over(struct milter_session *m, const struct txn *t)
{
	if (!m->passed && is_too_big(m, t->octets))
		milter_leave(m);
	return m->passed;
}

static enum verdict
milter_header(struct chain_slot *slot, struct txn *t, const struct header *h)
{
	struct milter_session *m = session_of(slot);

	if (is_over(m, t))
		return V_CONTINUE;
	if (m->message_id == NULL && h->value.len <= MESSAGE_ID_MAX &&
	    slice_is_nocase(h->name, "Message-ID"))
		m->message_id = xstrndup(h->value.p, h->value.len);
	m->header = h;
	return milter_say(m, EV_HEADER, "L");
}

static enum verdict
milter_eoh(struct chain_slot *slot, struct txn *t)
{
	struct milter_session *m = session_of(slot);

	return is_over(m, t) ? V_CONTINUE : milter_say(m, EV_EOH, "N");
}

static enum verdict
milter_body(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	struct milter_session *m = session_of(slot);

	if (is_over(m, t) || (!m->lost && !milter_wants(m, SMFIC_BODY)))
		return V_SKIP;
	if (m->body == NULL)
		m->body = evbuffer_new();
	evbuffer_add(m->body, p, len);
	return milter_say(m, EV_BODY, "B");
}

static enum verdict
milter_eom(struct chain_slot *slot, struct txn *t)
{
	struct milter_session *m = session_of(slot);

	if (!is_over(m, t))
		return milter_say(m, EV_EOM, "BE");
	milter_leave(m);
	return V_CONTINUE;
}

/* Also when we have not answered in time. */
static void
milter_abort(struct chain_slot *slot, struct txn *t)
{
	struct milter_session *m = session_of(slot);

	(void)t;
	if (m->asked)
		milter_hang_up(m);
	m->asked = false;
	milter_leave(m);
	milter_reset(m);
}

static void
milter_close(struct chain_slot *slot)
{
	struct milter_session *m = session_of(slot);

	milter_hang_up(m);
	milter_reset(m);
	if (m->body != NULL)
		evbuffer_free(m->body);
	free(m->trouble);
	free(m->text);
	m->magic = 0;
}

const struct filter filter_milter = {
	.abi		= FILTER_ABI,
	.name		= "milter",
	.settings	= milter_settings,
	.settings_size	= sizeof(struct milter_settings),
	.session_size	= sizeof(struct milter_session),
	.edits		= (EDITS_CONTENT | EDITS_ENVELOPE |
			   EDIT_BIT(EDIT_QUARANTINE)) &
			  ~EDIT_BIT(EDIT_REDIRECT),
	.wants		= FILTER_WANTS_NAME | FILTER_JOINS_LATE,
	.setup		= milter_setup,
	.teardown	= milter_teardown,
	.start		= milter_start,
	.connect	= milter_connect,
	.helo		= milter_helo,
	.unknown	= milter_unknown,
	.mail		= milter_mail,
	.rcpt		= milter_rcpt,
	.refused	= milter_refused,
	.data		= milter_data,
	.header		= milter_header,
	.eoh		= milter_eoh,
	.body		= milter_body,
	.eom		= milter_eom,
	.abort		= milter_abort,
	.close		= milter_close,
};
