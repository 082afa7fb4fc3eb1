/* The servers of a filter: the first that can be reached, and no server that
   is down is tried before its time. */

#include "filters/peers.h"

#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tap.h"

#define RETRY	10000

static struct event_base *base;

/* What a dial came to. */
static struct answer {
	int	 n;
	bool	 connected;
	char	 why[300];
} answer;

static void
on_dial(void *arg, int fd, const char *why)
{
	(void)arg;
	answer.n++;
	answer.connected = fd != -1;
	snprintf(answer.why, sizeof(answer.why), "%s", why ? why : "");
	if (fd != -1)
		close(fd);
}

/* Let the loop turn until there is an answer. */
static void
dial(struct peers *p)
{
	answer = (struct answer){ .n = 0 };
	peers_dial(p, on_dial, NULL);
	is_int(answer.n, 0, "no answer but from the loop");
	while (answer.n == 0 && event_base_loop(base, EVLOOP_ONCE) == 0)
		;
	event_base_loop(base, EVLOOP_NONBLOCK);
	is_int(answer.n, 1, "one answer");
}

/* A socket of 127.0.0.1 on any port; and its address. */
static int
bound(char *text, size_t room)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(fd, (struct sockaddr *)&sin, sizeof(sin));
	getsockname(fd, (struct sockaddr *)&sin, &len);
	snprintf(text, room, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

static void
check_addresses(void)
{
	static const char long_path[] = "unix:/a/path/that/is/longer/than/an/"
	    "address/of/a/socket/of/this/kind/may/be/which/is/one/hundred/and/"
	    "eight/octets/here";
	static const char *const bad[] = {
		"nowhere", "exec:true", "mx", "lmtp+127.0.0.1:24", "unix:",
		long_path,
	};
	struct peers_settings s = { .retry_after = RETRY };
	struct peers *p;
	char *why, *v[2] = { (char *)"127.0.0.1:1" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		v[1] = (char *)bad[i];
		s.address.v = v;
		s.address.n = 2;
		why = NULL;
		p = peers_new(&s, "f", "127.0.0.1:1", &why);
		ok(p == NULL && why != NULL && strstr(why, bad[i]) != NULL,
		    "%.20s is no address of a server", bad[i]);
		peers_free(&p);
		free(why);
	}
}

static void
check_health(const char *dead, const char *alive)
{
	char *v[] = { (char *)dead, (char *)alive }, *why = NULL;
	struct peers_settings s = {
		.address = { .v = v, .n = 2 }, .connect_timeout = 2000,
		.retry_after = RETRY,
	};
	struct peers *p = peers_new(&s, "f", "127.0.0.1:1", &why);
	const struct sockaddr_in *sin;
	socklen_t len;
	char text[50];

	peers_start(p, base);
	sin = (const struct sockaddr_in *)(const void *)peers_address(p, 1,
	    &len);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(sin->sin_port));
	is_str(text, alive, "in the order in which they are written");
	is_int(peers_pick(p), 0, "the first comes first");
	dial(p);
	ok(answer.connected, "the second when the first is not there");
	is_int(peers_reached(p), 1, "and which it is");
	is_int(peers_pick(p), 1, "the first is down");
	clock_advance(RETRY - 1);
	is_int(peers_pick(p), 1, "for so long");
	clock_advance(1);
	is_int(peers_pick(p), 0, "then somebody tries");
	is_int(peers_pick(p), 1, "and the others do not");
	peers_worked(p, 0);
	is_int(peers_pick(p), 0, "until it is back");
	peers_failed(p, 0, "of a reason");
	peers_failed(p, 1, "of a reason");
	is_int(peers_pick(p), -1, "none is there");
	dial(p);
	is_str(answer.why, "it was not there a moment ago", "which is said");
	peers_free(&p);
}

/* One that only accepts is not back. */
static void
check_greeting(const char *alive)
{
	char *v[] = { (char *)alive }, *why = NULL;
	struct peers_settings s = {
		.address = { .v = v, .n = 1 }, .connect_timeout = 2000,
		.retry_after = RETRY,
	};
	struct peers *p = peers_new(&s, "f", "127.0.0.1:1", &why);

	peers_must_greet(p);
	peers_start(p, base);
	peers_failed(p, 0, "of a reason");
	clock_advance(RETRY);
	dial(p);
	ok(answer.connected, "it accepts");
	is_int(peers_pick(p), -1, "and has to greet");
	peers_worked(p, 0);
	is_int(peers_pick(p), 0, "which it did");
	peers_free(&p);
}

static void
check_dead(const char *dead)
{
	char *v[] = { (char *)dead }, *why = NULL;
	struct peers_settings s = {
		.address = { .v = v, .n = 1 }, .connect_timeout = 2000,
		.retry_after = RETRY,
	};
	struct peers *p = peers_new(&s, "f", "127.0.0.1:1", &why);
	struct dial *d;

	peers_start(p, base);
	dial(p);
	ok(!answer.connected, "nobody there");
	ok(strstr(answer.why, "Connection refused") != NULL &&
	    strstr(answer.why, dead) != NULL, "who, and why: %s", answer.why);
	clock_advance(RETRY);
	answer = (struct answer){ .n = 0 };
	d = peers_dial(p, on_dial, NULL);
	dial_cancel(&d);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ok(d == NULL && answer.n == 0, "who has cancelled hears nothing");
	dial_cancel(&d);
	peers_free(&p);
	peers_free(&p);
	ok(p == NULL, "nothing to free is fine");
}

static void
check_default(void)
{
	struct peers_settings s = { .retry_after = RETRY };
	char *why = NULL;
	struct peers *p = peers_new(&s, "f", "unix:/nonexistent/x", &why);
	socklen_t len;

	peers_start(p, base);
	is_int(peers_address(p, 0, &len)->sa_family, AF_UNIX,
	    "an address where none is set");
	dial(p);
	ok(strstr(answer.why, "No such file") != NULL, "%s", answer.why);
	peers_free(&p);
}

int
main(void)
{
	char dead[50], alive[50];
	int d = bound(dead, sizeof(dead)), a = bound(alive, sizeof(alive));

	alarm(60);
	log_open("file:/dev/null", false);
	listen(a, 10);
	base = event_base_new();
	clock_start(base);
	clock_freeze();
	check_addresses();
	check_health(dead, alive);
	check_greeting(alive);
	check_dead(dead);
	check_default();
	clock_stop();
	event_base_free(base);
	close(a);
	close(d);
	return tap_done();
}
