/*
 * engine - a worker, its client and its backend in one process and one loop,
 * for the tests of session and backend.
 *
 * Nothing here waits: turn() runs the loop until nothing moves any more, and
 * time passes by clock_advance() only. The backend is a script: it answers
 * like a friendly MTA, except where a rule says otherwise, and writes down all
 * it hears. The client is a socket whose other end is the session's.
 */
#ifndef T_ENGINE_H
#define T_ENGINE_H

#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/backend.h"
#include "proxy/conf.h"
#include "proxy/conn.h"
#include "proxy/session.h"
#include "proxy/tls.h"
#include "proxy/worker.h"
#include "tap.h"
#include "cert.h"

#define UNUSED __attribute__((unused))

static struct event_base *base;
static unsigned progress;	/* counts whatever a test can see moving */

/*
 * The backend: one listening socket for each address.
 *
 * A rule is "PREFIX=REPLY": what is said to a line that begins with PREFIX,
 * in place of the usual. CONNECT and "." are lines, too, BDAT is a chunk that
 * is not the last. In REPLY "|" is CR LF,
 * and "!" at its end closes; "" is silence.
 */
#define ADDRESSES	2
#define RULES		16

struct peer {
	struct conn	*c;
	struct peer	*next;
	int		 address;
	bool		 data;		/* reading content up to the dot */
	bool		 auth;		/* the next line is a SASL response */
	size_t		 chunk;		/* octets of BDAT to come */
	bool		 last;		/* it is the last */
	struct buf	 message;	/* so far, if somebody wants it */
};

static struct {
	char		 path[ADDRESSES][64];
	struct event	*accepts[ADDRESSES];
	struct peer	*peers;
	const char	*rules[RULES];
	size_t		 nrules;
	bool		 first_only;	/* rules are for address 0 */
	bool		 once;		/* a rule is used up by its use */
	const char	*ehlo;		/* keywords, separated by spaces */
	struct buf	 heard;
	int		 connects;
	SSL_CTX		*tls;		/* for STARTTLS; NULL: none */
	/* It has taken this message: "." was answered with 2xx. */
	void		(*took)(const char *wire, size_t len, bool dots);
} mta;

static struct conf conf;
static struct conf_backend conf_backend;
static struct conf_backend_address addresses[ADDRESSES];
static struct conf_listener conf_listener;
static struct worker w;
static int sessions_ended;

void
worker_session_ended(struct worker *worker)
{
	sessions_ended++;
	(void)worker;
}

/* Run the loop until nothing moves. */
UNUSED static void
turn(void)
{
	int quiet = 0;

	while (quiet < 6) {
		unsigned before = progress;

		event_base_loop(base, EVLOOP_NONBLOCK);
		quiet = progress == before ? quiet + 1 : 0;
	}
}

UNUSED static void
rule(const char *r)
{
	if (mta.nrules == RULES)
		abort();
	mta.rules[mta.nrules++] = r;
}

static void
peer_say(struct peer *p, const char *reply)
{
	for (; *reply != '\0' && strcmp(reply, "!") != 0; reply++)
		evbuffer_add(conn_output(p->c), *reply == '|' ? "\r\n" : reply,
		    *reply == '|' ? 2 : 1);
	conn_flush(p->c);
	if (*reply == '!')
		conn_shutdown(p->c);
}

static void
peer_ehlo(struct peer *p)
{
	char room[1024] = "250", *keys, *key;

	keys = xstrdup(mta.ehlo);
	strcat(room, *keys ? "-mta|" : " mta|");
	for (key = strtok(keys, " "); key != NULL; ) {
		char *next = strtok(NULL, " ");
		size_t n = strlen(room);

		snprintf(room + n, sizeof(room) - n, "250%c%s|",
		    next ? '-' : ' ', key);
		for (; room[n] != '\0'; n++)
			if (room[n] == '_')
				room[n] = ' ';
		key = next;
	}
	free(keys);
	peer_say(p, room);
}

static bool
begins(const char *line, const char *prefix)
{
	return strncasecmp(line, prefix, strlen(prefix)) == 0;
}

/* What a friendly MTA says, and what follows from what was said. */
static void
peer_answer(struct peer *p, const char *line)
{
	const char *reply = NULL;
	size_t i, n;

	for (i = 0; i < mta.nrules && reply == NULL; i++) {
		if (mta.first_only && p->address != 0)
			break;
		n = strcspn(mta.rules[i], "=");
		if (strncasecmp(line, mta.rules[i], n) == 0)
			reply = mta.rules[i] + n + 1;
	}
	if (reply != NULL && mta.once)
		mta.rules[i - 1] = "\001";
	if (mta.took != NULL && begins(line, ".") &&
	    (reply == NULL || *reply == '2'))
		mta.took(p->message.p, p->message.len, !p->last);
	if (!begins(line, "BDAT") && !begins(line, "NOOP"))
		buf_reset(&p->message);
	if (begins(line, "DATA"))
		p->data = reply == NULL || begins(reply, "354");
	if (p->auth || begins(line, "AUTH"))
		p->auth = reply != NULL && begins(reply, "334");
	if (reply != NULL)
		peer_say(p, reply);
	else if (begins(line, "EHLO") || begins(line, "LHLO"))
		peer_ehlo(p);
	else if (begins(line, "DATA"))
		peer_say(p, "354 go|");
	else if (begins(line, "CONNECT") || begins(line, "XCLIENT"))
		peer_say(p, "220 mta ready|");
	else if (begins(line, "."))
		peer_say(p, "250 2.0.0 queued as Q1|");
	else if (begins(line, "STARTTLS") && mta.tls != NULL) {
		peer_say(p, "220 go|");
		conn_start_tls(p->c, SSL_new(mta.tls), true);
	} else if (begins(line, "QUIT"))
		peer_say(p, "221 bye|!");
	else
		peer_say(p, "250 2.0.0 ok|");
}

static void
hear(const char *text, size_t len)
{
	buf_add(&mta.heard, text, len);
	buf_addc(&mta.heard, '\n');
	progress++;
}

/* One step of content; false when more has to come first. */
static bool
peer_content(struct peer *p)
{
	struct evbuffer *in = conn_input(p->c);
	size_t len = evbuffer_get_length(in);
	const char *d = (const char *)evbuffer_pullup(in, -1), *end;

	if (len == 0)
		return false;
	if (p->data) {
		end = memmem(d, len, "\r\n.\r\n", 5);
		if (len >= 3 && memcmp(d, ".\r\n", 3) == 0)
			len = 0;
		else if (end != NULL)
			len = (size_t)(end - d) + 2;
		else
			return false;
		hear(d, len);
		if (mta.took != NULL)
			buf_add(&p->message, d, len);
		evbuffer_drain(in, len + 3);
		p->data = p->last = false;
		peer_answer(p, ".");
		return true;
	}
	if (len < p->chunk)
		return false;
	hear(d, p->chunk);
	if (mta.took != NULL)
		buf_add(&p->message, d, p->chunk);
	evbuffer_drain(in, p->chunk);
	p->chunk = 0;
	peer_answer(p, p->last ? "." : "BDAT");
	return true;
}

static bool
peer_command(struct peer *p)
{
	char *line = evbuffer_readln(conn_input(p->c), NULL,
	    EVBUFFER_EOL_CRLF_STRICT);

	if (line == NULL)
		return false;
	hear(line, strlen(line));
	if (begins(line, "BDAT ")) {
		p->chunk = (size_t)strtoul(line + 5, NULL, 10);
		p->last = strstr(line, " LAST") != NULL;
	} else
		peer_answer(p, line);
	if (begins(line, "BDAT 0 LAST"))
		peer_answer(p, ".");
	free(line);
	return true;
}

static void
on_peer_input(void *arg)
{
	struct peer *p = arg;

	progress++;
	while (p->data || p->chunk > 0 ? peer_content(p) : peer_command(p))
		;
}

static void
on_peer_end(void *arg, enum conn_end why, const char *detail)
{
	struct peer *p = arg, **at;

	(void)why, (void)detail;
	hear("gone", 4);
	for (at = &mta.peers; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	conn_free(&p->c);
	buf_fini(&p->message);
	free(p);
}

static void
on_peer_event(void *arg)
{
	(void)arg;
	progress++;
}

static const struct conn_owner peer_owner = { on_peer_input, on_peer_event,
    on_peer_event, on_peer_end };

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	char text[32];
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK);

	(void)what;
	if (c == -1)
		abort();
	p->c = conn_new(base, c, &peer_owner, p);
	p->address = (int)(intptr_t)arg;
	buf_init(&p->message, 10000000);
	p->next = mta.peers;
	mta.peers = p;
	snprintf(text, sizeof(text), "connect %d", p->address);
	hear(text, strlen(text));
	mta.connects++;
	peer_answer(p, "CONNECT");
}

/* Let the MTA say something of its own, to all who are connected. */
UNUSED static void
mta_say(const char *reply)
{
	struct peer *p, *next;

	for (p = mta.peers; p != NULL; p = next) {
		next = p->next;
		peer_say(p, reply);
	}
	turn();
}

/* Let it read nothing for a while. */
UNUSED static void
mta_pause(bool pause)
{
	for (struct peer *p = mta.peers; p != NULL; p = p->next)
		if (pause)
			conn_pause(p->c);
		else
			conn_resume(p->c);
	turn();
}

UNUSED static void
mta_drop(void)
{
	while (mta.peers != NULL)
		on_peer_end(mta.peers, CONN_EOF, "");
	turn();
}

/* What it has heard since the last call. */
UNUSED static const char *
heard(void)
{
	static char *last;

	free(last);
	last = xstrdup(mta.heard.p);
	buf_reset(&mta.heard);
	return last;
}

static void
mta_listen(int i)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(mta.path[i], sizeof(mta.path[i]), "/tmp/vratar-mta-%d-%d",
	    (int)getpid(), i);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", mta.path[i]);
	unlink(un.sun_path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) == -1 ||
	    listen(fd, 100) == -1)
		abort();
	mta.accepts[i] = event_new(base, fd, EV_READ | EV_PERSIST, on_accept,
	    (void *)(intptr_t)i);
	event_add(mta.accepts[i], NULL);
}

/* The worker */

/* What conf.def has for defaults, but for a backend that asks for no identity;
   tests change it before engine_start(). */
UNUSED static void
engine_conf(void)
{
	static char hostname[] = "proxy.example", spool[] = "/tmp", none[] = "";
	static char listener[] = "test", name[] = "mta", any[] = "*";
	static struct conf_route route;

	conf = (struct conf){
		.hostname = hostname, .workers = 1, .relay_any = true,
		.relay_set = true, .recipient_delimiter = none,
		.address = { 64, 255, 256 }, .command_line_limit = 512,
		.text_line_limit = 1000, .message_size_limit = 1000000,
		.recipient_limit = 100, .client_timeout = 300000,
		.connect_timeout = 30000, .greeting_timeout = 300000,
		.mail_timeout = 300000, .rcpt_timeout = 300000,
		.data_init_timeout = 120000, .data_block_timeout = 180000,
		.data_done_timeout = 600000, .min_data_rate = 500,
		.proxy_timeout = 5000, .session_limit = 100,
		.error_limit = 1000, .junk_command_limit = 1000,
		.spool_directory = spool, .spool_memory = 65536,
		.hold_size = 1048576,
		.backends = &conf_backend, .nbackends = 1,
		.listeners = &conf_listener, .nlisteners = 1,
		.routes = &route, .nroutes = 1,
	};
	route.domain = any;
	conf_backend = (struct conf_backend){
		.name = name, .addresses = addresses, .naddresses = 1,
		.identity = IDENTITY_NONE, .chunking = true,
	};
	conf_listener.name = listener;
	conf_listener.tls = NULL;
	conf_listener.tls_implicit = false;
	conf_listener.starttls = STARTTLS_OFF;
	for (int i = 0; i < ADDRESSES; i++)
		addresses[i].where = (struct where){ .kind = WHERE_UNIX,
		    .text = mta.path[i], .path = mta.path[i] };
	mta.nrules = 0;
	mta.first_only = mta.once = false;
	mta.ehlo = "PIPELINING 8BITMIME SMTPUTF8 DSN";
}

/* Pools with a probe behind them. */
UNUSED static void
engine_start(void)
{
	static struct pool *pools[4];

	w.conf = &conf;
	w.pools = pools;
	w.draining = false;
	for (size_t i = 0; i < conf.nbackends; i++)
		pools[i] = pool_new(&w, i);
	turn();
	heard();
	mta.connects = 0;
}

UNUSED static void
engine_stop(void)
{
	struct session *s, *next;

	for (s = w.sessions; s != NULL; s = next) {
		next = session_next(s);
		session_abort(s);
	}
	turn();
	if (w.sessions != NULL || w.nsessions != 0)
		abort();
	for (size_t i = 0; i < conf.nbackends; i++)
		pool_free(&w.pools[i]);
	turn();
	mta_drop();
	heard();
}

UNUSED static void
engine_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_open("file:/dev/null", false);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	tls_init();
	w.magic = WORKER_MAGIC;
	w.base = base;
	buf_init(&mta.heard, 10000000);
	for (int i = 0; i < ADDRESSES; i++)
		mta_listen(i);
	engine_conf();
}

UNUSED static void
engine_fini(void)
{
	for (int i = 0; i < ADDRESSES; i++) {
		close(event_get_fd(mta.accepts[i]));
		event_free(mta.accepts[i]);
		unlink(mta.path[i]);
	}
	buf_fini(&mta.heard);
	buf_init(&mta.heard, 1);
	heard();
	clock_stop();
	event_base_free(base);
	log_close();
}

/* A pair of contexts with a certificate of its own. */
UNUSED static SSL_CTX *
engine_tls(SSL_CTX **client)
{
	char path[] = "/tmp/vratar-cert-XXXXXX", *why;
	EVP_PKEY *key = cert_key();
	X509 *x = cert_make(key, "mx.example.org", NULL, false, NULL, NULL);
	int fd = mkstemp(path);
	SSL_CTX *server;

	close(fd);
	cert_write(path, x, key, NULL);
	server = tls_server("test", path, NULL, &why);
	*client = tls_client(false, NULL, &why);
	unlink(path);
	X509_free(x);
	EVP_PKEY_free(key);
	if (server == NULL || *client == NULL)
		abort();
	return server;
}

/* The client */

struct client {
	int		 fd;
	struct buf	 got;		/* replies, not yet taken */
	bool		 closed;	/* by the session */
};

/* A connected session; the client's end stays here. */
UNUSED static void
client_connect(struct client *c)
{
	const struct netaddr peer = { AF_INET, 1234, { 192, 0, 2, 1 } };
	const struct netaddr local = { AF_INET, 25, { 192, 0, 2, 2 } };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		abort();
	*c = (struct client){ .fd = fds[1] };
	buf_init(&c->got, 10000000);
	session_new(&w, &conf_listener, fds[0], &peer, &local);
	turn();
}

UNUSED static void
client_read(struct client *c)
{
	char room[4096];
	ssize_t n;

	while ((n = read(c->fd, room, sizeof(room))) > 0) {
		buf_add(&c->got, room, (size_t)n);
		progress++;
	}
	c->closed = c->closed || n == 0 || (n == -1 && errno != EAGAIN);
}

/* Send octets as they are, and let happen what happens. */
UNUSED static void
client_write(struct client *c, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(c->fd, p, len);
		if (n == -1 && errno != EAGAIN)
			break;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		turn();
		client_read(c);
	}
	turn();
	client_read(c);
}

/* Send lines: "|" is CR LF. */
UNUSED static void
client_say(struct client *c, const char *text)
{
	struct buf b;

	buf_init(&b, 10000000);
	for (; *text != '\0'; text++)
		if (*text == '|')
			buf_adds(&b, "\r\n");
		else
			buf_addc(&b, *text);
	client_write(c, b.p, b.len);
	buf_fini(&b);
}

UNUSED static void
client_close(struct client *c)
{
	close(c->fd);
	buf_fini(&c->got);
	turn();
}

/* All replies since the last call, with "|" for CR LF. */
UNUSED static const char *
replies(struct client *c)
{
	static char *last;
	struct buf b;
	size_t i;

	client_read(c);
	free(last);
	buf_init(&b, 10000000);
	for (i = 0; i < c->got.len; i++)
		if (c->got.p[i] == '\n')
			buf_addc(&b, '|');
		else if (c->got.p[i] != '\r')
			buf_addc(&b, c->got.p[i]);
	buf_reset(&c->got);
	last = xstrdup(b.p);
	buf_fini(&b);
	return last;
}

/* Their codes only: "250 250 354", "closed" at the end if it is. */
UNUSED static const char *
codes(struct client *c)
{
	static char room[4096];
	const char *p = replies(c);
	size_t n = 0;

	room[0] = '\0';
	for (; *p != '\0'; p = strchr(p, '|') + 1)
		if (strlen(p) > 3 && p[3] != '-' && n < sizeof(room) - 16)
			n += (size_t)snprintf(room + n, sizeof(room) - n,
			    "%s%.3s", n > 0 ? " " : "", p);
		else if (strchr(p, '|') == NULL)
			break;
	if (c->closed)
		snprintf(room + n, sizeof(room) - n, "%sclosed",
		    n > 0 ? " " : "");
	return room;
}

#endif
