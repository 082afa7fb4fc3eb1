/*
 * icap - the filter that has messages looked at by an ICAP server (RFC 3507).
 *
 * To the server a message is the body of an HTTP response (RESPMOD), or of a
 * request (REQMOD), of type message/rfc822:
 *
 *	RESPMOD icap://HOST:PORT/SERVICE ICAP/1.0
 *	Allow: 204
 *	Preview: 1024
 *	Encapsulated: req-hdr=0, res-hdr=77, res-body=126
 *
 *	GET http://mx.example.org/mail/4f0c2a91 HTTP/1.1
 *	…
 *	400
 *	the first 1024 octets
 *	0
 *
 * and the server says 204 (it is clean), 100 (send the rest), or 200 with what
 * ought to be there instead. OPTIONS tells how much of a preview the server
 * wants; that is asked on the connection of the first message, and again when
 * it has got old or something went wrong. What comes of a message meanwhile is
 * pending.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/icap_impl.h"

#define CHUNK_MAX	((size_t)64 << 10)

static const char *const method_words[] = { "respmod", "reqmod", NULL };

static const char *check_service(const char *text);

static const struct setting icap_settings[] = {
	PEERS_SETTINGS(icap_settings, "127.0.0.1:1344"),
	SETTING(icap_settings, service, "service", STRING,
	    .def = "virus_scan", .check = check_service,
	    .help = "The service of the server: what is behind the host in "
	    "its URI."),
	SETTING(icap_settings, reqmod, "method", WORD, .def = "respmod",
	    .words = method_words,
	    .help = "Whether the server sees a message as something that is "
	    "fetched or as something that is sent."),
	SCAN_SETTINGS(icap_settings, "50M"),
	{ .name = NULL }
};

/* Setting up */

static const char *
check_service(const char *text)
{
	if (*text == '\0')
		return "is empty";
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return "is not a part of a URI";
	return NULL;
}

static const char *
authority_of(const struct icap_settings *s)
{
	if (s->peers.address.n == 0)
		return "127.0.0.1:1344";
	return strncmp(s->peers.address.v[0], "unix:", 5) == 0 ? "localhost" :
	    s->peers.address.v[0];
}

static int
icap_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	struct icap *i = xcalloc(1, sizeof(*i));

	i->magic = ICAP_MAGIC;
	i->settings = settings;
	i->hostname = host->hostname;
	i->authority = authority_of(i->settings);
	i->peers = peers_new(&i->settings->peers, host->name,
	    "127.0.0.1:1344", why);
	if (i->peers == NULL) {
		free(i);
		return -1;
	}
	self->priv = i;
	return 0;
}

static void
icap_teardown(void *priv)
{
	struct icap *i;

	OBJ_CAST(i, priv, ICAP_MAGIC);
	peers_free(&i->peers);
	i->magic = 0;
	free(i);
}

static void
icap_start(void *priv, const struct filter_worker *w)
{
	struct icap *i;

	OBJ_CAST(i, priv, ICAP_MAGIC);
	peers_start(i->peers, w->base);
}

/* What goes out */

static void
add_request_line(struct icap_txn *it, const char *method)
{
	const struct icap *i = it->icap;

	evbuffer_add_printf(talk_output(&it->talk), "%s icap://%s/%s ICAP/1.0"
	    "\r\nHost: %s\r\nUser-Agent: vratar\r\n", method, i->authority,
	    i->settings->service, i->authority);
}

static void
ask_options(struct icap_txn *it)
{
	it->phase = ICAP_OPTIONS;
	add_request_line(it, "OPTIONS");
	evbuffer_add_printf(talk_output(&it->talk), "\r\n");
}

/* The HTTP header around the message, and where its parts begin. */
static void
encapsulate(struct icap_txn *it, struct buf *http, char *where, size_t room)
{
	const struct icap *i = it->icap;
	unsigned long long id = it->slot->facts->id;
	size_t request;

	buf_addf(http, "%s http://%s/mail/%08llx HTTP/1.1\r\nHost: %s\r\n",
	    i->settings->reqmod ? "POST" : "GET", i->hostname, id,
	    i->hostname);
	if (i->settings->reqmod) {
		buf_adds(http, "Content-Type: message/rfc822\r\n\r\n");
		snprintf(where, room, "req-hdr=0, req-body=%zu", http->len);
		return;
	}
	buf_adds(http, "\r\n");
	request = http->len;
	buf_adds(http, "HTTP/1.1 200 OK\r\nContent-Type: message/rfc822"
	    "\r\n\r\n");
	snprintf(where, room, "req-hdr=0, res-hdr=%zu, res-body=%zu", request,
	    http->len);
}

void
icap_ask(struct icap_txn *it)
{
	struct evbuffer *out = talk_output(&it->talk);
	struct icap *i = it->icap;
	char where[100], ip[NETADDR_TEXT];
	struct buf http;

	buf_init(&http, 2000);
	encapsulate(it, &http, where, sizeof(where));
	add_request_line(it, i->settings->reqmod ? "REQMOD" : "RESPMOD");
	if (i->allows_204)
		evbuffer_add_printf(out, "Allow: 204\r\n");
	if (i->preview >= 0)
		evbuffer_add_printf(out, "Preview: %ld\r\n", i->preview);
	evbuffer_add_printf(out, "X-Client-IP: %s\r\n",
	    netaddr_ip(&it->slot->facts->client, ip));
	evbuffer_add_printf(out, "Encapsulated: %s\r\n\r\n", where);
	evbuffer_add(out, http.p, http.len);
	buf_fini(&http);
	it->phase = i->preview >= 0 ? ICAP_PREVIEW : ICAP_SEND;
	icap_advance(it);
}

/* The next of what is pending, at most max, as one chunk. */
static void
add_chunk(struct icap_txn *it, size_t max)
{
	struct evbuffer *out = talk_output(&it->talk);
	size_t len = evbuffer_get_length(it->pending);

	if (len > max)
		len = max;
	if (len == 0)
		return;
	evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_remove_buffer(it->pending, out, len);
	evbuffer_add(out, "\r\n", 2);
}

/* A server has to know whether the preview is all there is. */
static void
add_preview(struct icap_txn *it)
{
	size_t preview = (size_t)it->icap->preview;
	size_t len = evbuffer_get_length(it->pending);
	bool all = it->complete && len <= preview;

	if (!all && len <= preview)
		return;
	add_chunk(it, preview);
	evbuffer_add_printf(talk_output(&it->talk), all ? "0; ieof\r\n\r\n" :
	    "0\r\n\r\n");
	it->phase = all ? ICAP_SENT : ICAP_WAIT;
}

void
icap_advance(struct icap_txn *it)
{
	if (it->phase == ICAP_PREVIEW)
		add_preview(it);
	if (it->phase != ICAP_SEND)
		return;
	while (evbuffer_get_length(it->pending) > 0)
		add_chunk(it, CHUNK_MAX);
	if (!it->complete)
		return;
	evbuffer_add_printf(talk_output(&it->talk), "0\r\n\r\n");
	it->phase = ICAP_SENT;
}

/* Beginning and end */

static void
forget(void *arg)
{
	struct icap_txn *it;

	OBJ_CAST(it, arg, ICAP_TXN_MAGIC);
	evbuffer_free(it->pending);
	EVP_MD_CTX_free(it->ours);
	EVP_MD_CTX_free(it->theirs);
	free(it->reply.head);
	it->magic = 0;
}

static const struct talk_protocol icap_protocol = {
	.input = icap_input, .verdict = icap_verdict, .forget = forget,
};

static void
open_talk(struct icap_txn *it)
{
	talk_open(&it->talk, &icap_protocol, it, it->slot, it->icap->peers);
}

void
icap_reconnect(struct icap_txn *it)
{
	int waits = it->talk.waits;

	talk_close(&it->talk);
	open_talk(it);
	it->talk.waits = waits;
}

static EVP_MD_CTX *
new_digest(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	return ctx;
}

static void
begin(struct chain_slot *slot)
{
	struct icap_txn *it = slot->txn;

	it->magic = ICAP_TXN_MAGIC;
	OBJ_CAST(it->icap, slot->priv, ICAP_MAGIC);
	it->slot = slot;
	it->pending = evbuffer_new();
	it->ours = new_digest();
	it->theirs = new_digest();
	open_talk(it);
	if (clock_ms() < it->icap->known_until)
		icap_ask(it);
	else
		ask_options(it);
}

/* Events */

static enum verdict
icap_content(struct chain_slot *slot, struct txn *t, const char *p,
    size_t len)
{
	struct icap_txn *it = slot->txn;

	(void)t;
	if (it->magic != ICAP_TXN_MAGIC)
		begin(slot);
	it->octets += len;
	if (it->octets > it->icap->settings->scan.max_size) {
		it->oversize = true;
		talk_done(&it->talk);
		return V_SKIP;
	}
	EVP_DigestUpdate(it->ours, p, len);
	evbuffer_add(it->pending, p, len);
	icap_advance(it);
	return talk_content(&it->talk, evbuffer_get_length(it->pending));
}

static enum verdict
icap_eom(struct chain_slot *slot, struct txn *t)
{
	struct icap_txn *it = slot->txn;

	(void)t;
	if (it->magic != ICAP_TXN_MAGIC)
		begin(slot);
	it->complete = true;
	icap_advance(it);
	return talk_eom(&it->talk);
}

static void
icap_abort(struct chain_slot *slot, struct txn *t)
{
	struct icap_txn *it = slot->txn;

	(void)t;
	if (it == NULL)
		return;
	talk_close(&it->talk);
	if (it->magic == ICAP_TXN_MAGIC)
		forget(it);
}

const struct filter filter_icap = {
	.abi		= FILTER_ABI,
	.name		= "icap",
	.settings	= icap_settings,
	.settings_size	= sizeof(struct icap_settings),
	.txn_size	= sizeof(struct icap_txn),
	.setup		= icap_setup,
	.teardown	= icap_teardown,
	.start		= icap_start,
	.content	= icap_content,
	.eom		= icap_eom,
	.abort		= icap_abort,
};
