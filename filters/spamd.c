/*
 * spamd - the filter that asks a spamd (SpamAssassin; the protocol is
 * SPAMC/1.5).
 *
 *	SYMBOLS SPAMC/1.5			SPAMD/1.1 0 EX_OK
 *	Content-length: 1234			Content-length: 17
 *						Spam: True ; 12.5 / 5.0
 *	message
 *						GTUBE,MISSING_MID
 *
 * A spamd has few processes, and one of them would wait for each client that is
 * slow; so the message is kept until it is complete. In front of it goes a
 * Received field about the client, as the next MTA will add one: most of what
 * SpamAssassin knows about a sender it reads there.
 *
 * With edits = yes the command is HEADERS: the answer is the header with
 * spamd's own fields in it, and the symbols are those in X-Spam-Status.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/header.h"
#include "filters/peers.h"
#include "filters/scan.h"
#include "filters/spamd_reply.h"
#include "filters/talk.h"

#define RECEIVED_MAX	2000

struct spamd_settings {
	struct peers_settings	 peers;
	struct scan_settings	 scan;
	char			*reject_score;
	char			*user;
	bool			 edits;
};

static const char *check_number(const char *text);
static const char *check_word(const char *text);

static const struct setting spamd_settings[] = {
	PEERS_SETTINGS(spamd_settings, "127.0.0.1:783"),
	SCAN_SETTINGS(spamd_settings, "512K"),
	SETTING(spamd_settings, reject_score, "reject-score", STRING,
	    .check = check_number,
	    .help = "A message with this score or a higher one is refused with "
	    "554 5.7.1. "
	    "Unset: what spamd calls spam is (its required_score)."),
	SETTING(spamd_settings, user, "spamd-user", STRING,
	    .check = check_word,
	    .help = "The user whose preferences spamd takes. "
	    "Unset: those for all."),
	SETTING(spamd_settings, edits, "edits", BOOL, .def = "no",
	    .help = "Put spamd's X-Spam- fields into the header, and take out "
	    "those that were there. "
	    "Messages are then held until they have been looked at, and "
	    "spamd.symbols are those of X-Spam-Status."),
	{ .name = NULL }
};

struct spamd {
	unsigned	 magic;
#define SPAMD_MAGIC	 0x5ba3d001
	const struct spamd_settings *settings;
	const char	*spool_directory;
	struct peers	*peers;		/* ours */
};

/* The slot's transaction memory. */
struct spamd_txn {
	struct talk		 talk;
	struct scan_held	 held;
	struct chain_slot	*slot;
	const struct txn	*txn;
	struct spamd		*spamd;
	struct spamd_reply	 reply;
	char			*body;		/* of the reply; ours */
};

/* Settings */

static const char *
check_number(const char *text)
{
	double number;

	return spamd_number(text, "", &number) ? NULL : "is not a number";
}

static const char *
check_word(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return "is not the name of a user";
	return NULL;
}

static int
spamd_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	struct spamd *s = xcalloc(1, sizeof(*s));

	s->magic = SPAMD_MAGIC;
	s->settings = settings;
	s->spool_directory = host->spool_directory;
	s->peers = peers_new(&s->settings->peers, host->name, "127.0.0.1:783",
	    why);
	if (s->peers == NULL) {
		free(s);
		return -1;
	}
	self->priv = s;
	if (!s->settings->edits)
		self->edits = self->wants = 0;
	return 0;
}

static void
spamd_teardown(void *priv)
{
	struct spamd *s;

	OBJ_CAST(s, priv, SPAMD_MAGIC);
	peers_free(&s->peers);
	s->magic = 0;
	free(s);
}

static void
spamd_start(void *priv, const struct filter_worker *w)
{
	struct spamd *s;

	OBJ_CAST(s, priv, SPAMD_MAGIC);
	peers_start(s->peers, w->base);
}

/* What spamd says */

static void
fail(struct spamd_txn *st, const char *why, const char *head)
{
	char line[100], text[300];

	scan_harmless(line, sizeof(line), head, strcspn(head, "\r\n"));
	snprintf(text, sizeof(text), "spamd: %s: %s", why, line);
	talk_fail(&st->talk, text);
}

/* Head and body, when both are there. */
static void
take_reply(struct spamd_txn *st, struct evbuffer *in, char *head, size_t len)
{
	const char *why = spamd_reply(head, &st->reply);
	size_t body = st->reply.body;

	if (why != NULL) {
		fail(st, why, head);
		return;
	}
	if (evbuffer_get_length(in) < len + body)
		return;
	evbuffer_drain(in, len);
	free(st->body);
	st->body = xcalloc(1, body + 1);
	evbuffer_remove(in, st->body, body);
	talk_done(&st->talk);
}

static void
spamd_input(void *arg, struct evbuffer *in, bool end)
{
	struct spamd_txn *st = arg;
	struct evbuffer_ptr p = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char *head;

	(void)end;
	if (p.pos >= 0 && p.pos < (ssize_t)SPAMD_REPLY_MAX) {
		head = xcalloc(1, (size_t)p.pos + 3);
		evbuffer_copyout(in, head, (size_t)p.pos + 2);
		take_reply(st, in, head, (size_t)p.pos + 4);
		free(head);
	} else if (evbuffer_get_length(in) > SPAMD_REPLY_MAX)
		talk_fail(&st->talk, "spamd: a reply without an end");
}

/* What follows */

/* "A,B, C autolearn=no": names with commas between them. */
static void
publish_symbols(struct chain_slot *slot, const char *list, size_t len)
{
	const char *end = list + len;
	char name[100];
	size_t n;

	while (list < end) {
		list += strspn(list, ", \t");
		n = strcspn(list, ", \t\r\n");
		if (list + n > end || n == 0)
			break;
		scan_harmless(name, sizeof(name), list, n);
		if (strcmp(name, "none") != 0)
			chain_publish(slot, "spamd.symbols", name);
		list += n;
		if (*list != ',')
			break;
	}
}

static void
publish_status(struct chain_slot *slot, const struct header *h)
{
	char *value = xstrndup(h->value.p, h->value.len);
	const char *tests = strstr(value, "tests=");

	if (tests != NULL)
		publish_symbols(slot, tests + 6, strlen(tests + 6));
	free(value);
}

static void
edit(struct spamd_txn *st, enum txn_edit_kind kind, const char *name,
    struct slice value)
{
	char *copy = xstrndup(value.p, value.len);

	chain_edit(st->slot, &(struct txn_edit){
		.kind = kind, .name = name, .value = copy + strspn(copy, " "),
	});
	free(copy);
}

static bool
is_spam_field(const char *name)
{
	return strncasecmp(name, "X-Spam-", 7) == 0;
}

/* What a sender says about his own spam. */
static void
delete_fields(struct spamd_txn *st)
{
	const struct txn *t = st->txn;
	size_t i, j;

	for (i = 0; i < t->nheaders; i++) {
		if (!is_spam_field(t->headers[i].name))
			continue;
		for (j = 0; j < i; j++)
			if (strcasecmp(t->headers[j].name,
			    t->headers[i].name) == 0)
				break;
		if (j == i)
			edit(st, EDIT_DELETE_HEADER, t->headers[i].name,
			    SLICE("", 0));
	}
}

static void
take_field(struct spamd_txn *st, const struct header *h)
{
	char name[100];

	snprintf(name, sizeof(name), "%.*s", (int)h->name.len, h->name.p);
	if (h->name.len >= sizeof(name) || !is_spam_field(name))
		return;
	if (strcasecmp(name, "X-Spam-Status") == 0)
		publish_status(st->slot, h);
	edit(st, EDIT_ADD_HEADER, name, h->raw);
}

/* The header with spamd's fields. */
static void
take_fields(struct spamd_txn *st)
{
	struct header_parser parser;
	struct slice rest;
	struct header h;
	const char *p = st->body;
	size_t len = st->reply.body, used;

	delete_fields(st);
	header_init(&parser);
	while (header_parse(&parser, p, len, &used, &h, &rest) ==
	    HEADER_FIELD) {
		p += used;
		len -= used;
		take_field(st, &h);
	}
	header_fini(&parser);
}

static enum verdict
judge(struct spamd_txn *st)
{
	const struct spamd_settings *s = st->spamd->settings;
	double limit = st->reply.required;
	bool spam = st->reply.spam;

	if (s->reject_score != NULL) {
		limit = strtod(s->reject_score, NULL);
		spam = st->reply.score >= limit;
	}
	if (!spam || !s->scan.refuse)
		return V_CONTINUE;
	chain_place(st->slot, "spam");
	chain_reply(st->slot, 554, "5.7.1", "the message looks like spam "
	    "(%.1f of %.1f)", st->reply.score, limit);
	return V_REJECT;
}

static enum verdict
spamd_verdict(void *arg)
{
	struct spamd_txn *st = arg;

	scan_done(st->slot, "spamd");
	chain_publish_number(st->slot, "spamd.spam", st->reply.spam);
	chain_publish_number(st->slot, "spamd.score", st->reply.score);
	chain_publish_number(st->slot, "spamd.required", st->reply.required);
	if (st->spamd->settings->edits)
		take_fields(st);
	else
		publish_symbols(st->slot, st->body, st->reply.body);
	free(st->body);
	st->body = NULL;
	return judge(st);
}

static const struct talk_protocol spamd_protocol = {
	.input = spamd_input, .verdict = spamd_verdict,
};

/* What it is sent */

/* For a name in Received: it must not look like something else there. */
static const char *
plain(char *out, size_t outlen, const char *name)
{
	size_t i;

	snprintf(out, outlen, "%s", name != NULL ? name : "unknown");
	for (i = 0; out[i] != '\0'; i++)
		if (!isalnum((unsigned char)out[i]) &&
		    strchr(".-_:[]", out[i]) == NULL)
			out[i] = '?';
	return out;
}

/* The field that the next MTA will add, for spamd alone. */
static void
add_received(struct buf *b, const struct chain_slot *slot, const char *from)
{
	const struct facts *f = slot->facts;
	char helo[300], name[300], host[300], ip[NETADDR_TEXT], date[50];
	time_t now = clock_wall().tv_sec;
	struct tm tm;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000",
	    gmtime_r(&now, &tm));
	buf_addf(b, "X-Envelope-From: <%s>\r\n", from);
	buf_addf(b, "Received: from %s (%s [%s%s])\r\n",
	    plain(helo, sizeof(helo), f->helo),
	    plain(name, sizeof(name), f->client_name),
	    f->client.family == AF_INET6 ? "IPv6:" : "",
	    netaddr_ip(&f->client, ip));
	buf_addf(b, "\tby %s (vratar) with %s%s%s id %08llx;\r\n\t%s\r\n",
	    plain(host, sizeof(host), f->hostname),
	    f->esmtp ? "ESMTP" : "SMTP", f->tls_version != NULL ? "S" : "",
	    f->auth_user != NULL ? "A" : "", (unsigned long long)f->id, date);
}

static void
ask(struct spamd_txn *st)
{
	const struct spamd_settings *s = st->spamd->settings;
	struct evbuffer *out;
	struct buf received;

	buf_init(&received, RECEIVED_MAX);
	add_received(&received, st->slot, st->txn->from);
	talk_open(&st->talk, &spamd_protocol, st, st->slot, st->spamd->peers);
	out = talk_output(&st->talk);
	evbuffer_add_printf(out, "%s SPAMC/1.5\r\nContent-length: %llu\r\n",
	    s->edits ? "HEADERS" : "SYMBOLS", (unsigned long long)
	    (scan_held_size(&st->held) + received.len));
	if (s->user != NULL)
		evbuffer_add_printf(out, "User: %s\r\n", s->user);
	evbuffer_add_printf(out, "\r\n");
	evbuffer_add(out, received.p, received.len);
	buf_fini(&received);
	if (scan_refer(&st->held, out) == -1)
		talk_fail(&st->talk, "the message cannot be read again");
	scan_drop(&st->held);
}

/* Events */

static enum verdict
spamd_content(struct chain_slot *slot, struct txn *t, const char *p,
    size_t len)
{
	struct spamd_txn *st = slot->txn;
	struct spamd *s;

	(void)t;
	OBJ_CAST(s, slot->priv, SPAMD_MAGIC);
	return scan_hold(slot, &st->held, &s->settings->scan,
	    s->spool_directory, p, len);
}

static enum verdict
spamd_eom(struct chain_slot *slot, struct txn *t)
{
	struct spamd_txn *st = slot->txn;

	OBJ_CAST(st->spamd, slot->priv, SPAMD_MAGIC);
	st->slot = slot;
	st->txn = t;
	if (st->held.oversize)
		return scan_oversize(slot, &st->spamd->settings->scan,
		    "spamd");
	ask(st);
	return talk_eom(&st->talk);
}

static void
spamd_abort(struct chain_slot *slot, struct txn *t)
{
	struct spamd_txn *st = slot->txn;

	(void)t;
	if (st == NULL)
		return;
	talk_close(&st->talk);
	scan_drop(&st->held);
	free(st->body);
	st->body = NULL;
}

const struct filter filter_spamd = {
	.abi		= FILTER_ABI,
	.name		= "spamd",
	.settings	= spamd_settings,
	.settings_size	= sizeof(struct spamd_settings),
	.txn_size	= sizeof(struct spamd_txn),
	.edits		= EDIT_BIT(EDIT_ADD_HEADER) |
			    EDIT_BIT(EDIT_DELETE_HEADER),
	.wants		= FILTER_WANTS_HEADERS,
	.setup		= spamd_setup,
	.teardown	= spamd_teardown,
	.start		= spamd_start,
	.content	= spamd_content,
	.eom		= spamd_eom,
	.abort		= spamd_abort,
};
