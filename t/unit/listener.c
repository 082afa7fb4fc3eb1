/* Accepting: what a session gets, and when nobody is accepted. */

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/net.h"
#include "proxy/conf.h"
#include "proxy/listener.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "tap.h"

static struct conf conf = { .session_limit = 1000 };
static struct worker worker = { .magic = WORKER_MAGIC, .conf = &conf };

/* What the listener gave to the last session. */
static struct netaddr peer, local;
static int session_fd[64];

struct session *
session_new(struct worker *w, const struct conf_listener *l, int fd,
    const struct netaddr *p, const struct netaddr *lo)
{
	(void)l;
	session_fd[w->nsessions++] = fd;
	peer = *p;
	local = *lo;
	return NULL;
}

bool
worker_is_full(const struct worker *w)
{
	return w->nsessions >= w->conf->session_limit;
}

static void
end_sessions(void)
{
	while (worker.nsessions > 0)
		close(session_fd[--worker.nsessions]);
}

static void
turn(void)
{
	int i;

	for (i = 0; i < 5; i++)
		event_base_loop(worker.base, EVLOOP_NONBLOCK);
}

static int
listen_at(const char *ip, struct sockaddr_storage *ss, socklen_t *len)
{
	struct netaddr a;
	int fd;

	if (netaddr_parse_ip(&a, ip, strlen(ip)) != 0)
		abort();
	*len = netaddr_to_sockaddr(&a, ss);
	fd = socket(a.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(fd, (struct sockaddr *)ss, *len) != 0 || listen(fd, 64) != 0)
		abort();
	getsockname(fd, (struct sockaddr *)ss, len);
	return fd;
}

static int
connect_to(const struct sockaddr_storage *ss, socklen_t len)
{
	int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	connect(fd, (const struct sockaddr *)ss, len);
	return fd;
}

static const struct {
	const char	*at, *to, *want;
} addresses[] = {
	{ "127.0.0.1", "127.0.0.1", "127.0.0.1" },
	{ "0.0.0.0", "127.0.0.9", "127.0.0.9" },
	{ "::1", "::1", "::1" },
	{ "::", "::1", "::1" },
};

static void
test_addresses(void)
{
	struct conf_listener c = { .where = { .kind = WHERE_TCP } };
	struct sockaddr_storage at, to;
	struct netaddr a;
	struct listener *l;
	socklen_t len;
	char text[NETADDR_TEXT];
	size_t i;
	int on, fd;

	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		l = listener_new(&worker, &c, listen_at(addresses[i].at, &at,
		    &len));
		netaddr_from_sockaddr(&a, (struct sockaddr *)&at);
		on = a.port;
		netaddr_parse_ip(&a, addresses[i].to,
		    strlen(addresses[i].to));
		a.port = (uint16_t)on;
		len = netaddr_to_sockaddr(&a, &to);
		fd = connect_to(&to, len);
		turn();
		is_int((long long)worker.nsessions, 1, "a session");
		is_str(netaddr_ip(&local, text), addresses[i].want,
		    "our end");
		is_int(local.port, a.port, "and our port");
		ok(peer.family == a.family && peer.port != 0, "the client");
		len = sizeof(on);
		on = 0;
		getsockopt(session_fd[0], IPPROTO_TCP, TCP_NODELAY, &on,
		    &len);
		ok(on != 0, "replies do not wait for each other");
		ok((fcntl(session_fd[0], F_GETFL) & O_NONBLOCK) != 0 &&
		    (fcntl(session_fd[0], F_GETFD) & FD_CLOEXEC) != 0,
		    "non-blocking, close-on-exec");
		close(fd);
		end_sessions();
		listener_free(&l);
	}
}

static void
test_unix(void)
{
	struct conf_listener c = { .where = { .kind = WHERE_UNIX } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage ss = { 0 };
	char dir[] = "/tmp/vratar-listener-XXXXXX";
	struct listener *l;
	int fd;

	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
	    listen(fd, 5) != 0)
		abort();
	l = listener_new(&worker, &c, fd);
	memcpy(&ss, &un, sizeof(un));
	fd = connect_to(&ss, sizeof(un));
	turn();
	is_int((long long)worker.nsessions, 1, "a session on a unix socket");
	ok(peer.family == AF_UNIX && local.family == AF_UNIX, "both ends");
	close(fd);
	end_sessions();
	listener_free(&l);
	unlink(un.sun_path);
	rmdir(dir);
}

static void
test_limit(void)
{
	struct conf_listener c = { .where = { .kind = WHERE_TCP } };
	struct sockaddr_storage at;
	struct listener *l;
	socklen_t len;
	int fd[40], i;

	conf.session_limit = 3;
	l = listener_new(&worker, &c, listen_at("127.0.0.1", &at, &len));
	for (i = 0; i < 40; i++)
		fd[i] = connect_to(&at, len);
	turn();
	is_int((long long)worker.nsessions, 3, "not more than the limit");
	close(session_fd[--worker.nsessions]);
	turn();
	is_int((long long)worker.nsessions, 2, "deaf until it is told");
	listener_resume(l);
	turn();
	is_int((long long)worker.nsessions, 3, "one place, one session");
	conf.session_limit = 1000;
	listener_resume(l);
	event_base_loop(worker.base, EVLOOP_ONCE);
	is_int((long long)worker.nsessions, 3 + 16, "not all at once");
	turn();
	is_int((long long)worker.nsessions, 40 - 1, "nobody is forgotten");
	for (i = 0; i < 40; i++)
		close(fd[i]);
	end_sessions();
	listener_free(&l);
	listener_free(&l);
}

/* No descriptor for the next client: it waits, and a timer lets it in. */
static void
test_no_descriptors(void)
{
	struct conf_listener c = { .where = { .kind = WHERE_TCP,
	    .text = (char *)(uintptr_t)"here" } };
	struct rlimit old, r;
	struct sockaddr_storage at;
	struct listener *l;
	socklen_t len;
	int fd, next;

	l = listener_new(&worker, &c, listen_at("127.0.0.1", &at, &len));
	fd = connect_to(&at, len);
	next = dup(fd);
	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	r = old;
	r.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &r);
	turn();
	is_int((long long)worker.nsessions, 0, "no descriptor, no session");
	clock_advance(99);
	turn();
	setrlimit(RLIMIT_NOFILE, &old);
	turn();
	is_int((long long)worker.nsessions, 0, "not tried all the time");
	clock_advance(1);
	turn();
	is_int((long long)worker.nsessions, 1, "but after 100 ms");
	close(fd);
	end_sessions();
	listener_free(&l);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	worker.base = event_base_new();
	clock_freeze();
	clock_start(worker.base);
	test_addresses();
	test_unix();
	test_limit();
	test_no_descriptors();
	clock_stop();
	event_base_free(worker.base);
	return tap_done();
}
