/* session_command: STARTTLS and what may not be behind it, TLS from the start,
   PROXY headers, XCLIENT from who may. */

#include "t/engine.h"

#define HI_	"EHLO c.example|"
#define MAIL	"MAIL FROM:<a@example.org>|"
#define RCPT	"RCPT TO:<b@example.com>|"

static SSL_CTX *server_ctx, *client_ctx;

/* A client that can do TLS: the other end of the session is a conn. */
struct tls_client {
	struct conn	*c;
	bool		 tls, closed;
};

static void
on_tls_input(void *arg)
{
	(void)arg;
	progress++;
}

static void
on_tls_up(void *arg)
{
	struct tls_client *c = arg;

	c->tls = true;
	progress++;
}

static void
on_tls_end(void *arg, enum conn_end why, const char *detail)
{
	struct tls_client *c = arg;

	(void)why, (void)detail;
	c->closed = true;
	progress++;
}

static const struct conn_owner tls_owner = { on_tls_input, on_tls_input,
    on_tls_up, on_tls_end };

static const struct netaddr peer = { AF_INET, 1234, { 192, 0, 2, 1 } };
static const struct netaddr local = { AF_INET, 25, { 192, 0, 2, 2 } };

static void
tls_connect(struct tls_client *c)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		abort();
	*c = (struct tls_client){ .c = conn_new(base, fds[1], &tls_owner, c) };
	session_new(&w, &conf_listener, fds[0], &peer, &local);
	turn();
}

static void
tls_start(struct tls_client *c)
{
	conn_start_tls(c->c, SSL_new(client_ctx), false);
	turn();
}

static void
tls_say(struct tls_client *c, const char *text)
{
	for (; *text != '\0'; text++)
		evbuffer_add(conn_output(c->c), *text == '|' ? "\r\n" : text,
		    *text == '|' ? 2 : 1);
	conn_flush(c->c);
	turn();
}

/* The codes of all replies that have come. */
static const char *
tls_codes(struct tls_client *c)
{
	static char room[1000];
	size_t n = 0;
	char *line;

	room[0] = '\0';
	while ((line = evbuffer_readln(conn_input(c->c), NULL,
	    EVBUFFER_EOL_CRLF_STRICT)) != NULL) {
		if (strlen(line) > 3 && line[3] == ' ')
			n += (size_t)snprintf(room + n, sizeof(room) - n,
			    "%s%.3s", n > 0 ? " " : "", line);
		free(line);
	}
	if (c->closed)
		snprintf(room + n, sizeof(room) - n, "%sclosed",
		    n > 0 ? " " : "");
	return room;
}

static void
tls_close(struct tls_client *c)
{
	conn_free(&c->c);
	turn();
}

static void
tls_conf(enum conf_starttls starttls)
{
	engine_conf();
	conf_listener.tls = server_ctx;
	conf_listener.starttls = starttls;
	conf_listener.tls_implicit = false;
}

static void
test_starttls(void)
{
	struct tls_client c;

	tls_conf(STARTTLS_OPTIONAL);
	engine_start();
	tls_connect(&c);
	tls_say(&c, HI_ "STARTTLS now|STARTTLS|");
	is_str(tls_codes(&c), "220 250 501 220", "STARTTLS");
	tls_start(&c);
	ok(c.tls, "and a handshake");
	tls_say(&c, MAIL);
	is_str(tls_codes(&c), "503", "what came before is forgotten");
	tls_say(&c, HI_ "STARTTLS|" MAIL RCPT "BDAT 0 LAST|QUIT|");
	is_str(tls_codes(&c), "250 503 250 250 250 221 closed",
	    "a message, and no second STARTTLS");
	tls_close(&c);

	tls_connect(&c);
	tls_say(&c, HI_ "STARTTLS|RSET|");
	is_str(tls_codes(&c), "220 250 554 closed", "plain text behind it");
	tls_close(&c);

	tls_connect(&c);
	tls_say(&c, HI_ "STARTTLS|");
	tls_codes(&c);
	tls_say(&c, "RSET|");
	is_str(tls_codes(&c), "closed", "plain text instead of a handshake");
	tls_close(&c);
	is_int((long long)w.nsessions, 0, "no session stays");

	tls_connect(&c);
	tls_say(&c, HI_ "STARTTLS|");
	tls_codes(&c);
	clock_advance(300001);
	turn();
	is_str(tls_codes(&c), "closed", "no handshake at all");
	is_int((long long)w.nsessions, 0, "and no lingering");
	tls_close(&c);

	tls_connect(&c);
	tls_say(&c, HI_ MAIL RCPT "STARTTLS|");
	is_str(tls_codes(&c), "220 250 250 250 503", "in a transaction");
	tls_close(&c);
	engine_stop();
}

/* Somebody pipelines STARTTLS behind a group: its turn comes later, and then
   there must be nothing behind it. */
static void
test_starttls_behind(void)
{
	struct tls_client c;

	tls_conf(STARTTLS_OPTIONAL);
	rule("RCPT=");
	engine_start();
	tls_connect(&c);
	tls_say(&c, HI_ MAIL RCPT "RSET|STARTTLS|");
	clock_advance(50);
	turn();
	is_str(tls_codes(&c), "220 250 250", "STARTTLS waits for its turn");
	mta_say("250 ok|");
	is_str(tls_codes(&c), "250 250 220", "which comes");
	tls_start(&c);
	ok(c.tls, "and a handshake");
	tls_close(&c);
	tls_connect(&c);
	tls_say(&c, HI_ MAIL RCPT "RSET|STARTTLS|NOOP|");
	clock_advance(50);
	turn();
	tls_codes(&c);
	mta_say("250 ok|");
	is_str(tls_codes(&c), "250 250 554 closed", "or the end");
	tls_close(&c);
	engine_stop();
}

static void
test_required(void)
{
	struct tls_client c;

	tls_conf(STARTTLS_REQUIRED);
	engine_start();
	tls_connect(&c);
	tls_say(&c, HI_ MAIL RCPT "DATA|AUTH PLAIN A|NOOP|BDAT 6|QUIT|RSET|");
	is_str(tls_codes(&c), "220 250 530 503 503 530 250 530 530",
	    "required: nothing goes before it");
	tls_say(&c, "STARTTLS|");
	tls_codes(&c);
	tls_start(&c);
	tls_say(&c, HI_ MAIL RCPT "BDAT 0 LAST|");
	is_str(tls_codes(&c), "250 250 250 250", "and all behind it");
	tls_close(&c);
	engine_stop();
}

static void
test_implicit(void)
{
	struct tls_client c;

	tls_conf(STARTTLS_OFF);
	conf_listener.tls_implicit = true;
	engine_start();
	tls_connect(&c);
	is_str(tls_codes(&c), "", "implicit: no banner in plain text");
	tls_start(&c);
	is_str(tls_codes(&c), "220", "but behind the handshake");
	tls_say(&c, HI_ "STARTTLS|QUIT|");
	is_str(tls_codes(&c), "250 503 221 closed", "a dialogue");
	tls_close(&c);
	tls_connect(&c);
	tls_say(&c, "EHLO x|");
	is_str(tls_codes(&c), "closed", "plain text");
	tls_close(&c);
	is_int((long long)w.nsessions, 0, "no session stays");
	engine_stop();
}

/* PROXY */

static void
test_proxy(void)
{
	static const char header[] =
	    "PROXY TCP4 198.51.100.7 192.0.2.2 1234 25|";
	struct client c;
	const char *why;

	engine_conf();
	netset_add(&conf_listener.accept_proxy_from, "192.0.2.0/24", &why);
	mta.ehlo = "XCLIENT_ADDR";
	conf_backend.identity = IDENTITY_AUTO;
	engine_start();
	client_connect(&c);
	is_str(codes(&c), "", "no banner before the header");
	client_say(&c, header);
	is_str(codes(&c), "220", "then it comes");
	client_say(&c, HI_ MAIL RCPT);
	is_str(codes(&c), "250 250 250", "a dialogue");
	ok(strstr(heard(), "XCLIENT ADDR=198.51.100.7") != NULL,
	    "of the client in the header");
	client_close(&c);

	client_connect(&c);
	client_say(&c, header + 10);
	is_str(codes(&c), "closed", "no header");
	client_close(&c);
	clock_advance(2001);
	turn();
	is_int((long long)w.nsessions, 0, "no session stays");

	client_connect(&c);
	client_say(&c, "PROXY TCP4");
	clock_advance(5001);
	turn();
	is_str(codes(&c), "closed", "half a header");
	client_close(&c);
	client_connect(&c);
	client_say(&c, "PROXY TCP4");
	client_close(&c);
	is_int((long long)w.nsessions, 0, "and its end");
	netset_fini(&conf_listener.accept_proxy_from);
	engine_stop();
}

/* XCLIENT */

static void
test_xclient(void)
{
	struct client c;
	const char *why;

	engine_conf();
	netset_add(&conf_listener.accept_xclient_from, "192.0.2.1", &why);
	mta.ehlo = "XCLIENT_ADDR_NAME";
	conf_backend.identity = IDENTITY_AUTO;
	engine_start();
	client_connect(&c);
	client_say(&c, HI_ "XCLIENT ADDR=x|XCLIENT FOO=BAR|"
	    "XCLIENT ADDR=198.51.100.7 NAME=x.example|");
	is_str(codes(&c), "220 250 501 501 220", "XCLIENT starts again");
	client_say(&c, MAIL HI_ MAIL RCPT "XCLIENT ADDR=198.51.100.8|RSET|");
	is_str(codes(&c), "503 250 250 250 503 250",
	    "but not in a transaction");
	ok(strstr(heard(), "XCLIENT NAME=x.example ADDR=198.51.100.7\n"),
	    "the backend is told who that is");
	client_say(&c, "XCLIENT NAME=[UNAVAILABLE]|" HI_ MAIL RCPT "RSET|");
	codes(&c);
	ok(strstr(heard(), "XCLIENT NAME=[UNAVAILABLE] ADDR=198.51.100.7\n"),
	    "that it has no name");
	client_say(&c, "XCLIENT NAME=[TEMPUNAVAIL]|" HI_ MAIL RCPT "RSET|");
	codes(&c);
	ok(strstr(heard(), "XCLIENT NAME=[TEMPUNAVAIL] ADDR=198.51.100.7\n"),
	    "or that nobody knows");
	client_say(&c, "XCLIENT NAME=y.example|XCLIENT ADDR=198.51.100.8|" HI_
	    MAIL RCPT "RSET|");
	codes(&c);
	ok(strstr(heard(), "XCLIENT NAME=y.example ADDR=198.51.100.8\n"),
	    "a name given before the address stays");
	client_say(&c, "XCLIENT ADDR=198.51.100.9|" HI_ MAIL RCPT "RSET|");
	codes(&c);
	client_close(&c);
	netset_fini(&conf_listener.accept_xclient_from);
	engine_stop();
}

int
main(void)
{
	engine_init();
	server_ctx = engine_tls(&client_ctx);
	test_starttls();
	test_starttls_behind();
	test_required();
	test_implicit();
	test_proxy();
	test_xclient();
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	engine_fini();
	return tap_done();
}
