/*
 * rspamd - the filter that asks an rspamd (HTTP, POST /checkv2).
 *
 * HTTP wants to know how long the message is, so it is sent when all of it has
 * come; until then it is kept as any message is that waits. libevent is the
 * client. A connection that rspamd leaves open is used again; when it turns
 * out to be closed, which nobody can know before, the question is asked once
 * more on a new one.
 *
 * rspamd_reply.c reads the answer.
 */

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/rspamd_impl.h"

#define REPLY_MAX	((ev_ssize_t)4 << 20)
#define HEADERS_MAX	((ev_ssize_t)64 << 10)
#define IDLE_MAX	16	/* connections that are kept */
#define NEVER		86400	/* s: the time-outs are ours */

const char *const rspamd_greylist_words[] = { "continue", "tempfail", NULL };

static const struct setting rspamd_settings[] = {
	PEERS_SETTINGS(rspamd_settings, "127.0.0.1:11333"),
	SCAN_SETTINGS(rspamd_settings, "50M"),
	SETTING(rspamd_settings, greylist, "greylist", WORD,
	    .def = "tempfail", .words = rspamd_greylist_words,
	    .help = "What the action greylist means. "
	    "rspamd's own greylisting says soft reject while a message has to "
	    "wait, and greylist when it is not set up: then \"tempfail\" "
	    "refuses such a message each time it comes, and \"continue\" is "
	    "right."),
	SETTING(rspamd_settings, edits, "edits", BOOL, .def = "no",
	    .help = "Change the header as rspamd wants it: the fields that its "
	    "milter_headers add and remove, X-Spam: Yes with the action add "
	    "header, and the subject with rewrite subject. "
	    "Messages are then held until they have been looked at."),
	{ .name = NULL }
};

struct rspamd {
	unsigned	 magic;
#define RSPAMD_MAGIC	 0x45ba3d01
	const struct rspamd_settings *settings;
	const char	*spool_directory;
	const char	*hostname;
	struct peers	*peers;			/* ours */
	struct event_base *base;		/* borrowed */
	struct idle {
		struct evhttp_connection *conn;	/* ours */
		int	 peer;
	}		 idle[IDLE_MAX];
	size_t		 nidle;
	struct evhttp_connection **doomed;	/* ours: freed from the loop */
	size_t		 ndoomed;
	struct timer	 bury;
};

/* Setting up */

static int
check_addresses(const struct setting_list *l, char **why)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strncmp(l->v[i], "unix:", 5) == 0) {
			*why = xasprintf("address: \"%s\": HTTP goes over TCP "
			    "here", l->v[i]);
			return -1;
		}
	return 0;
}

static int
rspamd_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	struct rspamd *r = xcalloc(1, sizeof(*r));

	r->magic = RSPAMD_MAGIC;
	r->settings = settings;
	r->spool_directory = host->spool_directory;
	r->hostname = host->hostname;
	if (check_addresses(&r->settings->peers.address, why) == 0)
		r->peers = peers_new(&r->settings->peers, host->name,
		    "127.0.0.1:11333", why);
	if (r->peers == NULL) {
		free(r);
		return -1;
	}
	self->priv = r;
	if (!r->settings->edits)
		self->edits = self->wants = 0;
	return 0;
}

static void
rspamd_teardown(void *priv)
{
	struct rspamd *r;

	OBJ_CAST(r, priv, RSPAMD_MAGIC);
	peers_free(&r->peers);
	r->magic = 0;
	free(r);
}

/* A connection cannot be freed from inside its own callback. */
static void
on_bury(void *arg)
{
	struct rspamd *r;

	OBJ_CAST(r, arg, RSPAMD_MAGIC);
	while (r->ndoomed > 0)
		evhttp_connection_free(r->doomed[--r->ndoomed]);
}

static void
rspamd_start(void *priv, const struct filter_worker *w)
{
	struct rspamd *r;

	OBJ_CAST(r, priv, RSPAMD_MAGIC);
	r->base = w->base;
	timer_init(&r->bury, on_bury, r);
	peers_start(r->peers, w->base);
}

static void
rspamd_stop(void *priv)
{
	struct rspamd *r;

	OBJ_CAST(r, priv, RSPAMD_MAGIC);
	while (r->nidle > 0)
		evhttp_connection_free(r->idle[--r->nidle].conn);
	timer_stop(&r->bury);
	on_bury(r);
	free(r->doomed);
	r->doomed = NULL;
}

/* Connections */

static struct evhttp_connection *
take_idle(struct rspamd *r, int peer)
{
	struct evhttp_connection *conn;
	size_t i;

	for (i = 0; i < r->nidle; i++)
		if (r->idle[i].peer == peer)
			break;
	if (i == r->nidle)
		return NULL;
	conn = r->idle[i].conn;
	r->idle[i] = r->idle[--r->nidle];
	return conn;
}

static void
doom(struct rspamd *r, struct evhttp_connection *conn)
{
	r->doomed = xrealloc(r->doomed, (r->ndoomed + 1) *
	    sizeof(r->doomed[0]));
	r->doomed[r->ndoomed++] = conn;
	timer_set(&r->bury, 0);
}

static void
put_idle(struct rspamd *r, struct evhttp_connection *conn, int peer)
{
	if (r->nidle < IDLE_MAX)
		r->idle[r->nidle++] = (struct idle){ conn, peer };
	else
		doom(r, conn);
}

static struct evhttp_connection *
new_connection(struct rspamd *r, int peer)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct evhttp_connection *conn;
	const struct sockaddr *sa;
	socklen_t len;

	sa = peers_address(r->peers, peer, &len);
	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return NULL;
	conn = evhttp_connection_base_new(r->base, NULL, host,
	    (uint16_t)strtoul(port, NULL, 10));
	evhttp_connection_set_timeout(conn, NEVER);
	evhttp_connection_set_max_body_size(conn, REPLY_MAX);
	evhttp_connection_set_max_headers_size(conn, HEADERS_MAX);
	return conn;
}

/* The question */

static void try_next(struct rspamd_txn *rt);

/* Nothing of it is left. */
static void
clean_up(struct rspamd_txn *rt)
{
	timer_stop(&rt->connect);
	if (rt->conn != NULL)
		evhttp_connection_free(rt->conn);
	rt->conn = NULL;
	scan_drop(&rt->held);
}

static void
finish(struct rspamd_txn *rt, enum verdict v)
{
	clean_up(rt);
	chain_resume(rt->slot, v);
}

static void
fail(struct rspamd_txn *rt, const char *why)
{
	chain_reply(rt->slot, 451, "4.7.1", "%s", why);
	finish(rt, V_FAIL);
}

/* The connection has come to nothing. */
static void
unreachable(struct rspamd_txn *rt, const char *why)
{
	timer_stop(&rt->connect);
	peers_failed(rt->rspamd->peers, rt->peer, why);
	try_next(rt);
}

static void
on_reply(struct evhttp_request *req, void *arg)
{
	struct evhttp_connection *conn;
	struct rspamd_txn *rt;
	bool again;

	OBJ_CAST(rt, arg, RSPAMD_TXN_MAGIC);
	conn = rt->conn;
	rt->conn = NULL;
	timer_stop(&rt->connect);
	/* libevent says it so: with a request when it could not connect, and
	   with none when the connection failed later. */
	if (req != NULL && evhttp_request_get_response_code(req) == 0) {
		doom(rt->rspamd, conn);
		unreachable(rt, "no connection");
		return;
	}
	peers_worked(rt->rspamd->peers, rt->peer);
	if (req != NULL) {
		put_idle(rt->rspamd, conn, rt->peer);
		finish(rt, rspamd_reply(rt, req));
		return;
	}
	again = rt->reused && !rt->again;
	doom(rt->rspamd, conn);
	if (again) {
		rt->again = true;
		try_next(rt);
	} else
		fail(rt, "rspamd closed the connection or makes no sense");
}

/* Is it still not connected? */
static void
on_connect_timeout(void *arg)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct bufferevent *bev;
	struct rspamd_txn *rt;

	OBJ_CAST(rt, arg, RSPAMD_TXN_MAGIC);
	bev = evhttp_connection_get_bufferevent(rt->conn);
	if (getpeername(bufferevent_getfd(bev), (struct sockaddr *)&ss,
	    &len) == 0)
		return;
	evhttp_connection_free(rt->conn);
	rt->conn = NULL;
	unreachable(rt, "no connection in time");
}

/* A value may not begin another field, and libevent would not take it. */
static void
add_field(struct evhttp_request *req, const char *name, const char *value)
{
	char copy[1200];
	size_t i;

	if (value == NULL || *value == '\0')
		return;
	snprintf(copy, sizeof(copy), "%s", value);
	for (i = 0; copy[i] != '\0'; i++)
		if ((unsigned char)copy[i] < ' ' || copy[i] == 127)
			copy[i] = '?';
	evhttp_add_header(evhttp_request_get_output_headers(req), name, copy);
}

static void
add_address(struct evhttp_request *req, const char *name, const char *address)
{
	char *path = xasprintf("<%s>", address);

	add_field(req, name, path);
	free(path);
}

static void
add_envelope(struct evhttp_request *req, const struct rspamd_txn *rt)
{
	const struct facts *f = rt->slot->facts;
	const struct txn *t = rt->txn;
	char text[NETADDR_TEXT];
	size_t i;

	add_field(req, "Host", "rspamd");
	add_field(req, "IP", netaddr_ip(&f->client, text));
	add_field(req, "Helo", f->helo);
	add_field(req, "Hostname", f->client_name != NULL ? f->client_name :
	    "unknown");
	add_field(req, "User", f->auth_user);
	add_field(req, "TLS-Version", f->tls_version);
	add_field(req, "TLS-Cipher", f->tls_cipher);
	add_field(req, "MTA-Name", rt->rspamd->hostname);
	snprintf(text, sizeof(text), "%08llx", (unsigned long long)f->id);
	add_field(req, "Queue-Id", text);
	add_address(req, "From", t->from);
	for (i = 0; i < t->nrcpts; i++)
		if (t->rcpts[i]->state != RCPT_REFUSED)
			add_address(req, "Rcpt", t->rcpts[i]->address);
}

/* From the loop only. It may have failed, and have asked the next, when this
   returns. */
static void
ask(struct rspamd_txn *rt)
{
	struct evhttp_request *req = evhttp_request_new(on_reply, rt);
	struct evbuffer *out = evhttp_request_get_output_buffer(req);

	evbuffer_set_flags(out, EVBUFFER_FLAG_DRAINS_TO_FD);
	if (scan_refer(&rt->held, out) == -1) {
		evhttp_request_free(req);
		fail(rt, "the message cannot be read again");
		return;
	}
	add_envelope(req, rt);
	timer_set(&rt->connect,
	    rt->rspamd->settings->peers.connect_timeout);
	if (evhttp_make_request(rt->conn, req, EVHTTP_REQ_POST, "/checkv2") ==
	    0)
		return;
	evhttp_connection_free(rt->conn);
	rt->conn = NULL;
	unreachable(rt, "no socket");
}

/* The first that can be tried. From the loop only. */
static void
try_next(struct rspamd_txn *rt)
{
	struct rspamd *r = rt->rspamd;

	rt->peer = peers_pick(r->peers);
	if (rt->peer == -1) {
		fail(rt, "rspamd cannot be reached");
		return;
	}
	rt->conn = rt->again ? NULL : take_idle(r, rt->peer);
	rt->reused = rt->conn != NULL;
	if (rt->conn == NULL)
		rt->conn = new_connection(r, rt->peer);
	if (rt->conn == NULL)
		unreachable(rt, "an address that is none");
	else
		ask(rt);
}

/* Events */

static enum verdict
rspamd_content(struct chain_slot *slot, struct txn *t, const char *p,
    size_t len)
{
	struct rspamd_txn *rt = slot->txn;
	struct rspamd *r;

	(void)t;
	OBJ_CAST(r, slot->priv, RSPAMD_MAGIC);
	return scan_hold(slot, &rt->held, &r->settings->scan,
	    r->spool_directory, p, len);
}

static void
on_start(void *arg)
{
	struct rspamd_txn *rt;

	OBJ_CAST(rt, arg, RSPAMD_TXN_MAGIC);
	rt->connect.fire = on_connect_timeout;
	try_next(rt);
}

static enum verdict
rspamd_eom(struct chain_slot *slot, struct txn *t)
{
	struct rspamd_txn *rt = slot->txn;

	OBJ_CAST(rt->rspamd, slot->priv, RSPAMD_MAGIC);
	if (rt->held.oversize)
		return scan_oversize(slot, &rt->rspamd->settings->scan,
		    "rspamd");
	rt->magic = RSPAMD_TXN_MAGIC;
	rt->slot = slot;
	rt->txn = t;
	rt->settings = rt->rspamd->settings;
	timer_init(&rt->connect, on_start, rt);
	timer_set(&rt->connect, 0);
	return V_WAIT;
}

static void
rspamd_abort(struct chain_slot *slot, struct txn *t)
{
	struct rspamd_txn *rt = slot->txn;

	(void)t;
	if (rt != NULL)
		clean_up(rt);
}

const struct filter filter_rspamd = {
	.abi		= FILTER_ABI,
	.name		= "rspamd",
	.settings	= rspamd_settings,
	.settings_size	= sizeof(struct rspamd_settings),
	.txn_size	= sizeof(struct rspamd_txn),
	.edits		= EDIT_BIT(EDIT_ADD_HEADER) |
			    EDIT_BIT(EDIT_INSERT_HEADER) |
			    EDIT_BIT(EDIT_CHANGE_HEADER) |
			    EDIT_BIT(EDIT_DELETE_HEADER),
	.wants		= FILTER_WANTS_HEADERS,
	.setup		= rspamd_setup,
	.teardown	= rspamd_teardown,
	.start		= rspamd_start,
	.stop		= rspamd_stop,
	.content	= rspamd_content,
	.eom		= rspamd_eom,
	.abort		= rspamd_abort,
};
