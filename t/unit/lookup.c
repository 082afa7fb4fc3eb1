/* Waiting look-ups: a server on the same loop answers well, late, wrongly or
   not at all. */

#include "filters/lookup.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rules/keys.h"
#include "tap.h"

#define TIMEOUT	5000

static struct event_base *base;

/* The server speaks tcp_table(5). */
static struct server {
	struct evconnlistener	*listener;
	struct bufferevent	*peers[2000];
	int			 npeers, open, questions;
	int			 silent;	/* questions without answer */
} server;

static const struct {
	const char	*question, *answer;
} script[] = {
	{ "get a",	"200 one\n" },
	{ "get b",	"200 two\n" },
	{ "get later",	"400 later\n" },
	{ "get junk",	"nonsense\n" },
	{ "get extra",	"200 x\n200 y\n" },
	{ "get slow",	"" },
};

static void
say(struct bufferevent *bev, const char *question)
{
	size_t i;

	for (i = 0; i < sizeof(script) / sizeof(script[0]); i++)
		if (strcmp(question, script[i].question) == 0)
			break;
	if (i == sizeof(script) / sizeof(script[0]))
		bufferevent_write(bev, "500 no\n", 7);
	else
		bufferevent_write(bev, script[i].answer,
		    strlen(script[i].answer));
	server.silent += i < sizeof(script) / sizeof(script[0]) &&
	    script[i].answer[0] == '\0';
}

static void
hang_up(struct bufferevent *bev)
{
	int i;

	for (i = 0; i < server.npeers; i++)
		if (server.peers[i] == bev)
			server.peers[i] = NULL;
	server.open--;
	bufferevent_free(bev);
}

static void
on_question(struct bufferevent *bev, void *arg)
{
	char *line;
	bool bye;

	(void)arg;
	while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL,
	    EVBUFFER_EOL_LF)) != NULL) {
		server.questions++;
		bye = strcmp(line, "get close") == 0;
		if (!bye)
			say(bev, line);
		free(line);
		if (bye) {
			hang_up(bev);
			return;
		}
	}
}

static void
on_gone(struct bufferevent *bev, short what, void *arg)
{
	(void)what;
	(void)arg;
	hang_up(bev);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct bufferevent *bev;

	(void)l;
	(void)sa;
	(void)len;
	(void)arg;
	bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, on_question, NULL, on_gone, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	server.peers[server.npeers++] = bev;
	server.open++;
}

static void
server_start(const struct sockaddr *sa, int len)
{
	server.npeers = server.open = server.questions = server.silent = 0;
	server.listener = evconnlistener_new_bind(base, on_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16, sa, len);
	if (server.listener == NULL) {
		printf("Bail out! bind\n");
		exit(1);
	}
}

/* Returns the port. */
static int
server_start_tcp(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server_start((struct sockaddr *)&sin, sizeof(sin));
	getsockname(evconnlistener_get_fd(server.listener),
	    (struct sockaddr *)&sin, &len);
	return ntohs(sin.sin_port);
}

static void
server_hang_up(void)
{
	int i;

	for (i = 0; i < server.npeers; i++)
		if (server.peers[i] != NULL)
			hang_up(server.peers[i]);
}

static void
server_stop(void)
{
	server_hang_up();
	evconnlistener_free(server.listener);
}

/* Answers */

struct answer {
	int			 times;
	enum table_result	 result;
	char			 value[100];
};

static int answered;

static void
on_answer(void *arg, enum table_result r, const char *value)
{
	struct answer *a = arg;

	a->times++;
	a->result = r;
	snprintf(a->value, sizeof(a->value), "%s", value);
	answered++;
}

static struct lookup *
ask(struct lookup_client *c, const char *key, struct answer *a)
{
	struct lookup *l;
	struct keys k;

	keys_init(&k);
	keys_one(&k, key, strlen(key));
	*a = (struct answer){ 0 };
	l = lookup(c, &k, TIMEOUT, on_answer, a);
	keys_fini(&k);
	return l;
}

/* Turn the loop until n look-ups have been answered since the last call. */
static void
wait_for(int n)
{
	while (answered < n)
		event_base_loop(base, EVLOOP_ONCE);
	answered = 0;
}

/* … or until that is true. */
#define WAIT_UNTIL(condition)						\
	while (!(condition))						\
		event_base_loop(base, EVLOOP_ONCE)

static void
is_answer(const struct answer *a, enum table_result r, const char *value,
    const char *name)
{
	is_int(a->result, r, name);
	is_str(a->value, value, "  value");
	is_int(a->times, 1, "  answered once");
}

static struct lookup_client *
client(const char *spec, struct table **t)
{
	struct lookup_client *c = NULL;
	char *why;

	*t = table_open(spec, &why);
	if (*t != NULL)
		c = lookup_client_new(base, *t, &why);
	if (c == NULL) {
		printf("Bail out! %s: %s\n", spec, why);
		exit(1);
	}
	return c;
}

static void
done(struct lookup_client **c, struct table **t)
{
	lookup_client_free(c);
	ok(*c == NULL, "  freed");
	table_free(t);
}

static void
test_answers(int port)
{
	char *spec = xasprintf("tcp:127.0.0.1:%d", port);
	struct lookup_client *c;
	struct answer a, many[20];
	struct table *t;
	int i, good = 0;

	c = client(spec, &t);
	ask(c, "a", &a);
	is_int(a.times, 0, "no answer from inside the call");
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "one", "found");
	ask(c, "nobody", &a);
	wait_for(1);
	is_answer(&a, TABLE_NOT_FOUND, "", "not found");
	ask(c, "later", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "the server's own error");
	is_int(server.npeers, 1, "one connection for all of them");

	for (i = 0; i < 20; i++)
		ask(c, i % 2 ? "a" : "b", &many[i]);
	wait_for(20);
	for (i = 0; i < 20; i++)
		good += many[i].times == 1 && strcmp(many[i].value,
		    i % 2 ? "one" : "two") == 0;
	is_int(good, 20, "each of many gets its own answer");
	is_int(server.npeers, 4, "over four connections");
	done(&c, &t);
	WAIT_UNTIL(server.open == 0);
	ok(true, "and they are closed with the client");
	free(spec);
}

static void
test_trouble(int port)
{
	char *spec = xasprintf("tcp:127.0.0.1:%d", port);
	struct lookup_client *c;
	struct answer a, b;
	struct table *t;
	struct lookup *l;
	int before;

	c = client(spec, &t);
	before = server.npeers;
	ask(c, "slow", &a);
	WAIT_UNTIL(server.silent == 1);
	clock_advance(TIMEOUT - 1);
	is_int(a.times, 0, "a slow server is waited for");
	clock_advance(1);
	is_answer(&a, TABLE_FAILED, "", "  but not for ever");
	ask(c, "a", &a);
	answered = 0;
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "one", "  and then asked");
	is_int(server.npeers, before + 2, "  on another connection");

	ask(c, "junk", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "a reply that makes no sense");
	ask(c, "extra", &a);
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "x", "a reply too much");
	before = server.npeers;
	ask(c, "a", &a);
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "one", "  is no answer to the next");
	is_int(server.npeers, before + 1, "  which has a new connection");

	server_hang_up();
	ask(c, "b", &a);
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "two", "the server has hung up meanwhile");
	before = server.questions;
	ask(c, "close", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "a server that hangs up");
	is_int(server.questions, before + 2, "  is asked twice");
	before = server.questions;
	ask(c, "close", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "  and once on a new connection");
	is_int(server.questions, before + 1, "  because it was not stale");

	l = ask(c, "a", &a);
	lookup_cancel(&l);
	ok(l == NULL, "cancelled before it started");
	l = ask(c, "slow", &a);
	WAIT_UNTIL(server.silent == 2);
	lookup_cancel(&l);
	ask(c, "a", &b);
	wait_for(1);
	is_answer(&b, TABLE_FOUND, "one", "cancelled on its connection");
	is_int(a.times, 0, "  and not answered");
	ask(c, "slow", &a);
	WAIT_UNTIL(server.silent == 3);
	done(&c, &t);
	is_int(a.times, 0, "freed with a look-up under way");
	WAIT_UNTIL(server.open == 0);
	free(spec);
}

/* Four are asked, a thousand wait, and the next has no place. */
static void
test_queue(int port)
{
	enum { N = 1005 };
	char *spec = xasprintf("tcp:127.0.0.1:%d", port);
	struct answer *a = xcalloc(N, sizeof(*a));
	struct lookup_client *c;
	struct lookup *first[4];
	struct table *t;
	int i, found = 0, failed = 0;

	c = client(spec, &t);
	server.silent = 0;
	for (i = 0; i < 4; i++)
		first[i] = ask(c, "slow", &a[i]);
	WAIT_UNTIL(server.silent == 4);
	for (; i < N; i++)
		ask(c, "a", &a[i]);
	wait_for(1);
	for (i = 4; i < N; i++)
		failed += a[i].times == 1 && a[i].result == TABLE_FAILED;
	is_int(failed, 1, "one look-up too much");
	lookup_cancel(&first[0]);
	wait_for(1000);
	for (i = 4; i < N; i++)
		found += a[i].times == 1 && a[i].result == TABLE_FOUND;
	is_int(found, 1000, "the others wait until there is a connection");
	clock_advance(TIMEOUT);
	is_int(answered, 3, "and the slow ones end");
	answered = 0;
	done(&c, &t);
	WAIT_UNTIL(server.open == 0);
	free(a);
	free(spec);
}

static void
test_places(int port)
{
	char path[] = "/tmp/vratar-lookup-XXXXXX", *spec, *why = NULL;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct lookup_client *c;
	struct answer a;
	struct table *t;

	spec = xasprintf("tcp:localhost:%d", port);
	c = client(spec, &t);
	ask(c, "a", &a);
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "one", "a name, perhaps of two addresses");
	done(&c, &t);
	free(spec);
	server_stop();

	spec = xasprintf("tcp:127.0.0.1:%d", port);
	c = client(spec, &t);
	ask(c, "a", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "nobody listens");
	done(&c, &t);
	free(spec);

	t = table_open("tcp:127.0.0.1:no-such-service", &why);
	c = lookup_client_new(base, t, &why);
	ok(c == NULL, "no such port: %s", why ? why : "");
	free(why);
	table_free(&t);

	close(mkstemp(path));
	unlink(path);
	spec = xasprintf("socketmap:unix:%s:map", path);
	c = client(spec, &t);
	ask(c, "a", &a);
	wait_for(1);
	is_answer(&a, TABLE_FAILED, "", "no such socket");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	server_start((struct sockaddr *)&un, sizeof(un));
	ask(c, "a", &a);
	WAIT_UNTIL(server.npeers == 1);
	/* This server reads lines, and a socketmap question is none. */
	bufferevent_write(server.peers[0], "6:OK abc,", 9);
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "abc", "a socketmap on a UNIX socket");
	done(&c, &t);
	server_stop();
	unlink(path);
	free(spec);
}

static void
test_local(void)
{
	struct lookup_client *c;
	struct answer a;
	struct table *t;

	c = client("inline:{a=1}", &t);
	ask(c, "A", &a);
	is_int(a.times, 0, "a table that is not remote");
	wait_for(1);
	is_answer(&a, TABLE_FOUND, "1", "  is asked as well");
	done(&c, &t);
}

int
main(void)
{
	int port;

	alarm(60);
	signal(SIGPIPE, SIG_IGN);
	log_open("file:/dev/null", false);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	port = server_start_tcp();
	test_answers(port);
	test_trouble(port);
	test_queue(port);
	test_places(port);
	test_local();
	clock_stop();
	event_base_free(base);
	return tap_done();
}
