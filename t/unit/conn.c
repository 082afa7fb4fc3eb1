/* conn: octets both ways, back-pressure, ends in every order, TLS from both
   sides, a header that is peeked at, the deadline. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/proxyhdr.h"
#include "proxy/conn.h"
#include "proxy/tls.h"
#include "tap.h"
#include "cert.h"

static struct event_base *base;
static SSL_CTX *server_ctx, *client_ctx;

/* One end under test, and what its owner has heard. */
struct end {
	struct conn	*c;
	bool		 peeks;		/* it reads a PROXY header first */
	bool		 frees;		/* at the first callback */
	int		 inputs, drained, tls;
	int		 eofs, errors, timeouts;
	char		 detail[100];
	char		 header[200];	/* what conn_peek() gave last */
};

static void
on_input(void *arg)
{
	struct end *e = arg;
	struct proxyhdr h;
	const char *why;
	size_t n, used;

	e->inputs++;
	if (e->frees)
		conn_free(&e->c);
	if (!e->peeks)
		return;
	n = conn_peek(e->c, e->header, sizeof(e->header));
	if (n > 0 && proxyhdr_parse(&h, e->header, n, &used, &why) ==
	    PROXYHDR_DONE) {
		e->peeks = false;
		conn_skip(e->c, used);
	}
}

static void
on_drained(void *arg)
{
	struct end *e = arg;

	e->drained++;
}

static void
on_tls(void *arg)
{
	struct end *e = arg;

	e->tls++;
	if (e->frees)
		conn_free(&e->c);
}

static void
on_end(void *arg, enum conn_end why, const char *detail)
{
	struct end *e = arg;

	e->eofs += why == CONN_EOF;
	e->errors += why == CONN_ERROR;
	e->timeouts += why == CONN_TIMEOUT;
	if (e->frees)
		conn_free(&e->c);
	snprintf(e->detail, sizeof(e->detail), "%s", detail);
}

static const struct conn_owner owner = { on_input, on_drained, on_tls,
    on_end };

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/* Everything here happens in one process: what was sent has arrived. */
static void
turn(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Over TCP it may take the kernel's time: wait for what is to happen. */
static void
turn_until(const int *count, int want)
{
	const struct timeval beat = { 0, 5000 };
	struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);

	event_add(tick, &beat);
	for (int i = 0; *count < want && i < 1000; i++)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(tick);
}

static int
pair(struct end *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		abort();
	*e = (struct end){ .c = NULL };
	e->c = conn_new(base, fds[0], &owner, e);
	return fds[1];
}

/* The same over TCP, where SO_RCVLOWAT means something. */
static int
tcp_pair(struct end *e)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int l = socket(AF_INET, SOCK_STREAM, 0), to, fd;

	if (bind(l, (struct sockaddr *)&in, len) == -1 || listen(l, 1) == -1 ||
	    getsockname(l, (struct sockaddr *)&in, &len) == -1)
		abort();
	to = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(to, (struct sockaddr *)&in, len) == -1)
		abort();
	if ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) == -1)
		abort();
	close(l);
	fcntl(to, F_SETFL, O_NONBLOCK);
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	*e = (struct end){ .c = NULL };
	e->c = conn_new(base, fd, &owner, e);
	return to;
}

static void
put(int fd, const char *s)
{
	if (write(fd, s, strlen(s)) != (ssize_t)strlen(s))
		abort();
}

/* What has come for fd, as a string. */
static const char *
got(int fd)
{
	static char room[1000];
	ssize_t n = read(fd, room, sizeof(room) - 1);

	room[n > 0 ? n : 0] = '\0';
	return room;
}

static const char *
input(struct end *e)
{
	static char room[1000];
	ev_ssize_t n = evbuffer_copyout(conn_input(e->c), room,
	    sizeof(room) - 1);

	room[n > 0 ? n : 0] = '\0';
	return room;
}

static void
say(struct end *e, const char *s)
{
	evbuffer_add(conn_output(e->c), s, strlen(s));
	conn_flush(e->c);
}

static void
test_plain(void)
{
	struct end e;
	int fd = pair(&e);

	put(fd, "HELO\r\n");
	turn();
	is_str(input(&e), "HELO\r\n", "input arrives");
	is_int(e.inputs, 1, "with one callback");
	say(&e, "250 hi\r\n");
	is_str(got(fd), "250 hi\r\n", "output leaves at once");
	turn();
	is_int(e.drained, 0, "without a callback: nothing waited");
	is_int((long long)conn_octets_in(e.c), 6, "octets in");
	is_int((long long)conn_octets_out(e.c), 8, "octets out");
	put(fd, "more");
	conn_pause(e.c);
	turn();
	is_int(e.inputs, 1, "paused: nothing is read");
	conn_resume(e.c);
	turn();
	is_str(input(&e), "HELO\r\nmore", "resumed: it is");
	conn_free(&e.c);
	ok(e.c == NULL && read(fd, (char[1]){ 0 }, 1) == 0, "freed: closed");
	close(fd);
	conn_free(&e.c);
}

/* A peer that takes nothing, and then all. */
static void
test_drained(void)
{
	static char much[400000], room[65536];
	struct end e;
	int fd = pair(&e);
	size_t taken = 0;
	ssize_t n;

	memset(much, 'x', sizeof(much));
	evbuffer_add(conn_output(e.c), much, sizeof(much));
	ok(conn_is_full(e.c) && !conn_is_drained(e.c), "too much output");
	evbuffer_add(conn_output(e.c), much, sizeof(much));
	conn_flush(e.c);
	ok(!conn_is_drained(e.c), "the peer does not take all of it");
	turn();
	is_int(e.drained, 0, "not drained yet");
	while ((n = read(fd, room, sizeof(room))) > 0) {
		taken += (size_t)n;
		turn();
	}
	is_int((long long)taken, 2 * sizeof(much), "it has it all");
	is_int(e.drained, 1, "drained once");
	ok(conn_is_drained(e.c) && !conn_is_full(e.c), "and empty");
	turn();
	is_int(e.drained, 1, "an idle socket is not asked about again");
	conn_free(&e.c);
	close(fd);
}

static void
test_ends(void)
{
	struct end e;
	int fd = pair(&e);

	put(fd, "last words");
	shutdown(fd, SHUT_WR);
	turn();
	is_str(input(&e), "last words", "what came before the end is there");
	is_int(e.eofs, 1, "one EOF");
	say(&e, "reply");
	is_str(got(fd), "reply", "the peer can still read");
	conn_pause(e.c);
	conn_resume(e.c);
	turn();
	is_int(e.eofs, 1, "no second EOF");
	close(fd);
	say(&e, "reply");
	is_int(e.errors, 0, "an error is not reported from inside a call");
	turn();
	is_int(e.errors, 1, "but from the loop, behind the EOF");
	ok(conn_is_drained(e.c), "nothing waits any more");
	say(&e, "reply");
	conn_shutdown(e.c);
	turn();
	is_int(e.errors, 1, "once");
	conn_free(&e.c);

	fd = pair(&e);
	close(fd);
	say(&e, "x");
	conn_pause(e.c);
	turn();
	is_int(e.errors, 1, "an error of a paused conn is heard of");
	conn_free(&e.c);

	fd = pair(&e);
	e.frees = true;
	close(fd);
	say(&e, "x");
	turn();
	ok(e.c == NULL, "on_end() may free it");
	is_str(e.detail, "Broken pipe", "and ask why afterwards");

	fd = pair(&e);
	e.frees = true;
	put(fd, "x");
	turn();
	ok(e.c == NULL, "on_input() may free it");
	close(fd);

	fd = pair(&e);
	put(fd, "unread");
	say(&e, "bye");
	conn_shutdown(e.c);
	turn();
	is_str(got(fd), "bye", "shutdown: the peer reads the last reply");
	is_int((long long)read(fd, (char[1]){ 0 }, 1), 0, "and then EOF");
	put(fd, "more");
	turn();
	is_str(input(&e), "unreadmore", "and we still read");
	conn_free(&e.c);
	close(fd);

	fd = tcp_pair(&e);
	setsockopt(fd, SOL_SOCKET, SO_LINGER,
	    &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd);
	turn_until(&e.errors, 1);
	is_int(e.errors, 1, "a reset is an error");
	is_str(e.detail, "Connection reset by peer", "with its name");
	conn_free(&e.c);
}

static void
test_deadline(void)
{
	struct end e;
	int fd = pair(&e);

	conn_deadline(e.c, 60000);
	clock_advance(50000);
	is_int(e.timeouts, 0, "before the deadline");
	conn_deadline(e.c, 60000);
	clock_advance(50000);
	is_int(e.timeouts, 0, "moved");
	clock_advance(10000);
	is_int(e.timeouts, 1, "passed");
	put(fd, "x");
	turn();
	is_int(e.inputs, 1, "a deadline changes nothing");
	conn_deadline(e.c, 60000);
	conn_deadline(e.c, 0);
	clock_advance(120000);
	is_int(e.timeouts, 1, "none");
	conn_deadline(e.c, 60000);
	e.frees = true;
	clock_advance(60000);
	ok(e.c == NULL, "on_end() may free it");
	close(fd);
}

/* PROXY headers */

#define HEADER	"PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\n"

static void
test_peek(void)
{
	static const char text[] = HEADER "EHLO";
	struct end e;
	int fd = tcp_pair(&e);
	size_t i;

	e.peeks = true;
	conn_peek_first(e.c);
	for (i = 0; i < sizeof(text) - 1; i++) {
		if (write(fd, text + i, 1) != 1)
			abort();
		turn_until(&e.inputs, (int)i + 1);
	}
	is_str(input(&e), "EHLO", "header in 1-octet pieces, then input");
	is_int(e.inputs, (long long)sizeof(text) - 1, "one call for each");
	conn_free(&e.c);
	close(fd);

	fd = tcp_pair(&e);
	e.peeks = true;
	conn_peek_first(e.c);
	put(fd, text);
	turn_until(&e.inputs, 2);
	is_str(input(&e), "EHLO", "all at once");
	conn_free(&e.c);
	close(fd);

	fd = tcp_pair(&e);
	e.peeks = true;
	conn_peek_first(e.c);
	put(fd, "PROXY TC");
	turn_until(&e.inputs, 1);
	turn();
	is_int(e.inputs, 1, "half a header: one call");
	is_int((long long)evbuffer_get_length(conn_input(e.c)), 0,
	    "and it stays in the socket");
	shutdown(fd, SHUT_WR);
	turn_until(&e.eofs, 1);
	is_int(e.eofs, 1, "the end behind half a header is heard of");
	ok(e.inputs <= 3, "and does not keep us busy");
	conn_free(&e.c);
	close(fd);

	fd = tcp_pair(&e);
	e.peeks = true;
	conn_peek_first(e.c);
	close(fd);
	turn_until(&e.eofs, 1);
	is_int(e.eofs, 1, "nothing but an end");
	conn_free(&e.c);
}

/* TLS */

static void
make_contexts(void)
{
	char path[] = "/tmp/vratar-conn-XXXXXX", *why;
	EVP_PKEY *key = cert_key();
	X509 *x = cert_make(key, "mx.example.org", NULL, false, NULL, NULL);
	int fd = mkstemp(path);

	close(fd);
	cert_write(path, x, key, NULL);
	server_ctx = tls_server("test", path, NULL, &why);
	client_ctx = tls_client(false, NULL, &why);
	unlink(path);
	X509_free(x);
	EVP_PKEY_free(key);
	if (server_ctx == NULL || client_ctx == NULL)
		abort();
}

/* Two conns with each other. */
static void
conn_pair(struct end *a, struct end *b)
{
	int fd = pair(a);

	*b = (struct end){ .c = NULL };
	b->c = conn_new(base, fd, &owner, b);
}

static void
start_tls(struct end *server, struct end *client)
{
	conn_start_tls(server->c, SSL_new(server_ctx), true);
	conn_start_tls(client->c, SSL_new(client_ctx), false);
	turn();
}

/* Half a megabyte through a pause and a resume. */
static void
test_tls_bulk(struct end *from, struct end *to)
{
	static char much[500000];
	size_t before = evbuffer_get_length(conn_input(to->c));

	memset(much, 'x', sizeof(much));
	conn_pause(to->c);
	evbuffer_add(conn_output(from->c), much, sizeof(much));
	conn_flush(from->c);
	turn();
	is_int((long long)evbuffer_get_length(conn_input(to->c)),
	    (long long)before, "paused: nothing is read");
	conn_resume(to->c);
	for (int i = 0; i < 100; i++)
		turn();
	is_int((long long)evbuffer_get_length(conn_input(to->c)),
	    (long long)(before + sizeof(much)), "resumed: all of it");
	is_int(from->drained, 1, "drained");
}

static void
test_tls(void)
{
	struct end s, c;

	conn_pair(&s, &c);
	say(&s, "220 go\r\n");
	turn();
	is_str(input(&c), "220 go\r\n", "plain text first");
	evbuffer_drain(conn_input(c.c), 8);
	start_tls(&s, &c);
	ok(s.tls == 1 && c.tls == 1, "both ends: on_tls() once");
	ok(conn_tls(s.c) != NULL && conn_tls(c.c) != NULL, "and TLS is on");
	say(&c, "EHLO\r\n");
	turn();
	is_str(input(&s), "EHLO\r\n", "client to server");
	say(&s, "250\r\n");
	turn();
	is_str(input(&c), "250\r\n", "server to client");
	is_int((long long)conn_octets_in(s.c), 6, "octets without TLS");
	test_tls_bulk(&c, &s);
	say(&s, "bye");
	conn_shutdown(s.c);
	turn();
	is_str(input(&c), "250\r\nbye", "the last words before close_notify");
	is_int(c.eofs, 1, "and then EOF");
	conn_free(&s.c);
	turn();
	is_int(c.errors, 0, "no error");
	conn_free(&c.c);
}

/* close_notify in the same segment as the last octets, and no FIN. */
static void
test_tls_close_notify(void)
{
	struct end s, c;

	conn_pair(&s, &c);
	start_tls(&s, &c);
	conn_pause(s.c);
	say(&c, "QUIT\r\n");
	SSL_shutdown(conn_tls(c.c));
	conn_resume(s.c);
	turn();
	is_str(input(&s), "QUIT\r\n", "input before close_notify");
	is_int(s.eofs, 1, "the end is heard of although no FIN came");
	conn_free(&s.c);
	conn_free(&c.c);
}

static void
test_tls_injection(void)
{
	struct end s, c;

	conn_pair(&s, &c);
	say(&c, "RSET\r\n");
	turn();
	is_int((long long)conn_start_tls(s.c, SSL_new(server_ctx), true), 6,
	    "plain text behind STARTTLS is counted");
	is_int((long long)evbuffer_get_length(conn_input(s.c)), 0,
	    "and thrown away");
	conn_start_tls(c.c, SSL_new(client_ctx), false);
	turn();
	ok(s.tls == 1 && c.tls == 1, "the handshake does not see it");
	conn_free(&s.c);
	conn_free(&c.c);

	conn_pair(&s, &c);
	conn_start_tls(s.c, SSL_new(server_ctx), true);
	say(&c, "RSET\r\n");
	turn();
	ok(s.errors == 1 && s.tls == 0, "one that comes later breaks it");
	conn_free(&s.c);
	conn_free(&c.c);
}

static void
test_tls_failures(void)
{
	struct end s, c;
	int fd;

	fd = pair(&s);
	conn_start_tls(s.c, SSL_new(server_ctx), true);
	close(fd);
	turn();
	is_int(s.errors, 1, "closed in the handshake");
	is_str(s.detail, "closed in the handshake", "said so");
	conn_free(&s.c);

	conn_pair(&s, &c);
	s.frees = c.frees = true;
	start_tls(&s, &c);
	ok(s.c == NULL && c.c == NULL, "on_tls() may free it");

	conn_pair(&s, &c);
	start_tls(&s, &c);
	conn_free(&s.c);
	turn();
	is_int(c.eofs + c.errors, 1, "a close without close_notify");
	say(&c, "x");
	turn();
	say(&c, "x");
	turn();
	is_int(c.errors, 1, "and an error for who goes on writing");
	conn_free(&c.c);

	/* Paused before the handshake, in it, and after it. */
	conn_pair(&s, &c);
	conn_pause(s.c);
	start_tls(&s, &c);
	is_int(s.tls, 1, "a paused conn finishes its handshake");
	say(&c, "EHLO\r\n");
	turn();
	is_int((long long)evbuffer_get_length(conn_input(s.c)), 0,
	    "and reads nothing");
	conn_resume(s.c);
	turn();
	is_str(input(&s), "EHLO\r\n", "until it is resumed");
	conn_free(&s.c);
	conn_free(&c.c);
}

/* The plain reply before the handshake does not fit into the socket. */
static void
test_tls_waits_for_output(void)
{
	static char much[400000];
	struct end s, c;

	conn_pair(&s, &c);
	memset(much, 'x', sizeof(much));
	conn_pause(c.c);
	evbuffer_add(conn_output(s.c), much, sizeof(much));
	conn_start_tls(s.c, SSL_new(server_ctx), true);
	turn();
	ok(!conn_is_drained(s.c), "plain output waits");
	conn_resume(c.c);
	while (evbuffer_get_length(conn_input(c.c)) < sizeof(much) &&
	    c.inputs < 1000)
		turn();
	is_int((long long)evbuffer_get_length(conn_input(c.c)), sizeof(much),
	    "all of it comes in plain text");
	evbuffer_drain(conn_input(c.c), sizeof(much));
	conn_start_tls(c.c, SSL_new(client_ctx), false);
	turn();
	ok(s.tls == 1 && c.tls == 1, "then the handshake");
	conn_free(&s.c);
	conn_free(&c.c);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	tls_init();
	make_contexts();
	test_plain();
	test_drained();
	test_ends();
	test_deadline();
	test_peek();
	test_tls();
	test_tls_close_notify();
	test_tls_injection();
	test_tls_failures();
	test_tls_waits_for_output();
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	clock_stop();
	event_base_free(base);
	return tap_done();
}
