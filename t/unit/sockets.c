/* Listening sockets: no connection in their queues is lost, whatever happens
   to workers and configurations. */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/net.h"
#include "proxy/conf.h"
#include "proxy/sockets.h"
#include "proxy/worker.h"
#include "tap.h"

#define MOST	4

static char dir[] = "/tmp/vratar-sockets-XXXXXX";
static struct conf_listener blocks[MOST];

/* A configuration of up to MOST listen blocks; the last is NULL. */
static struct conf
configure(int workers, const char *const *listen)
{
	struct conf c = { .workers = workers, .listeners = blocks };
	const char *why;

	for (; listen[c.nlisteners] != NULL; c.nlisteners++) {
		where_fini(&blocks[c.nlisteners].where);
		if (where_parse(&blocks[c.nlisteners].where,
		    listen[c.nlisteners], &why) != 0)
			abort();
	}
	return c;
}

#define CONFIGURE(workers, ...) \
	configure(workers, (const char *const[]){ __VA_ARGS__, NULL })

static struct sockets *
must_open(const struct conf *c, const struct sockets *have)
{
	char *why = NULL;
	struct sockets *s = sockets_open(c, have, &why);

	if (s == NULL || sockets_listen(s, &why) != 0)
		printf("# %s\n", why);
	free(why);
	return s;
}

static void
refuses(const struct conf *c, const struct sockets *have, const char *want,
    const char *name)
{
	char *why = NULL;
	struct sockets *s = sockets_open(c, have, &why);

	ok(s == NULL && strstr(why, want) != NULL, "%s", name);
	if (s == NULL)
		printf("# %s\n", why);
	free(why);
	sockets_free(&s);
}

static int
connect_to(const char *name)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&ss;
	socklen_t len = sizeof(*un);
	struct netaddr a;
	struct where w;
	const char *why;
	int fd;

	if (strncmp(name, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", name + 5);
	} else {
		if (where_parse(&w, name, &why) != 0 ||
		    where_resolve(&w, &a, 1, &why) != 1)
			abort();
		where_fini(&w);
		len = netaddr_to_sockaddr(&a, &ss);
	}
	fd = socket(ss.ss_family, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Take over all that is in the queues of these. */
static int
accept_all(const struct worker_socket *s, size_t n)
{
	int fd, total = 0;
	size_t i;

	for (i = 0; i < n; i++)
		while ((fd = accept(s[i].fd, NULL, NULL)) >= 0) {
			close(fd);
			total++;
		}
	return total;
}

static void
close_all(struct worker_socket *s, size_t n)
{
	while (n > 0)
		close(s[--n].fd);
	free(s);
}

/* Give the sockets to workers, each with a copy of the set as fork() would
   make it, and count who is served. */
static int
serve_all(const struct conf *c, struct sockets **s, bool *each_has_one)
{
	size_t slot, n, nworkers = (size_t)c->workers;
	struct worker_socket *mine;
	struct sockets *copy;
	int total = 0;

	*each_has_one = true;
	for (slot = 0; slot < nworkers; slot++) {
		copy = must_open(c, *s);
		mine = sockets_take(copy, slot, nworkers, &n);
		*each_has_one = *each_has_one && n > 0 && mine[0].fd >= 0;
		total += accept_all(mine, n);
		close_all(mine, n);
		sockets_free(&copy);
	}
	sockets_free(s);
	return total;
}

/* Grow and shrink the number of workers over the same port: whoever was in a
   queue is served by somebody. */
static void
test_reload(void)
{
	static const int workers[] = { 1, 3, 2, 5, 1, 4 };
	struct conf c = CONFIGURE(2, "127.0.0.1:0");
	struct sockets *s = must_open(&c, NULL), *next;
	char name[80], *first = strdup(sockets_name(s, 0));
	bool each;
	size_t i;
	int fd[20], j;

	for (i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
		for (j = 0; j < 20; j++)
			fd[j] = connect_to(first);
		c.workers = workers[i];
		next = must_open(&c, s);
		sockets_free(&s);
		is_str(sockets_name(next, 0), first, "the port stays");
		s = must_open(&c, next);
		snprintf(name, sizeof(name), "all are served by %d workers",
		    workers[i]);
		is_int(serve_all(&c, &next, &each), 20, name);
		ok(each, "and each worker has a socket");
		for (j = 0; j < 20; j++)
			close(fd[j]);
	}
	sockets_free(&s);
	is_int(connect_to(first), -1, "nobody listens after the last");
	free(first);
}

static void
test_spread(void)
{
	struct conf c = CONFIGURE(4, "127.0.0.1:0", "127.0.0.1:0", "[::1]:0");
	struct sockets *s = must_open(&c, NULL);
	struct worker_socket *mine;
	size_t slot, n;

	ok(strcmp(sockets_name(s, 0), sockets_name(s, 1)) != 0,
	    "port 0 twice: two ports");
	ok(strncmp(sockets_name(s, 2), "[::1]:", 6) == 0 &&
	    strcmp(sockets_name(s, 2), "[::1]:0") != 0, "the real port");
	for (slot = 0; slot < 4; slot++) {
		mine = sockets_take(s, slot, 4, &n);
		is_int((long long)n, 3, "one for each block");
		is_int((long long)mine[2].listener, 2, "in their order");
		ok((fcntl(mine[0].fd, F_GETFL) & O_NONBLOCK) != 0 &&
		    (fcntl(mine[0].fd, F_GETFD) & FD_CLOEXEC) != 0,
		    "non-blocking, close-on-exec");
		close_all(mine, n);
	}
	sockets_free(&s);
}

static void
test_taken(void)
{
	struct conf c = CONFIGURE(2, "127.0.0.1:0"), again;
	struct sockets *s = must_open(&c, NULL), *other;
	const char *name = sockets_name(s, 0);
	char port[40];

	again = CONFIGURE(2, name);
	refuses(&again, NULL, "in use", "a second vratar does not share");
	other = must_open(&again, s);
	ok(other != NULL, "the same address in other words is ours");
	sockets_free(&other);
	snprintf(port, sizeof(port), "0.0.0.0%s", strchr(name, ':'));
	again = CONFIGURE(2, port);
	refuses(&again, NULL, "in use", "nor when it takes the wildcard");
	again = CONFIGURE(2, name, name);
	refuses(&again, s, "two listen blocks", "one address twice");
	sockets_free(&s);
	again = CONFIGURE(2, "203.0.113.1:25");
	refuses(&again, NULL, "203.0.113.1:25", "not an address of ours");
	again = CONFIGURE(2, "no-such-host.invalid:25");
	refuses(&again, NULL, "no-such-host.invalid", "not a name");
}

/*
 * A wildcard and an address of the same port have different settings. Somebody
 * else may have that port at another address: then another one will do.
 */
static void
test_wildcard(void)
{
	struct conf c = CONFIGURE(1, "127.0.0.1:0"), both;
	struct sockets *s, *two;
	bool added = false, fresh = false;
	char any[40], one[40];

	for (int i = 0; i < 500 && !(added && fresh); i++) {
		s = must_open(&c, NULL);
		snprintf(one, sizeof(one), "%s", sockets_name(s, 0));
		snprintf(any, sizeof(any), "0.0.0.0%s", strchr(one, ':'));
		both = CONFIGURE(1, one, any);
		two = must_open(&both, s);
		added |= two != NULL;
		sockets_free(&two);
		sockets_free(&s);
		two = must_open(&both, NULL);
		fresh |= two != NULL;
		sockets_free(&two);
	}
	ok(added, "added while the port is in use by us");
	ok(fresh, "from the start");
}

static void
test_unix(void)
{
	char path[80], listen[90];
	struct conf c;
	struct sockets *s, *next;
	struct stat st;
	bool each;
	int fd;

	snprintf(path, sizeof(path), "%s/smtp", dir);
	snprintf(listen, sizeof(listen), "unix:%s", path);
	c = CONFIGURE(3, listen);
	s = must_open(&c, NULL);
	is_str(sockets_name(s, 0), listen, "a unix socket");
	is_int(stat(path, &st) == 0 ? st.st_mode & 0777 : 0, 0666,
	    "that anybody may open");
	refuses(&c, NULL, "in use", "a second vratar does not take it");
	next = must_open(&c, s);
	sockets_free(&s);
	fd = connect_to(listen);
	s = must_open(&c, next);
	/* The other one was the question whether somebody listens. */
	is_int(serve_all(&c, &next, &each), 2, "who waits is served");
	ok(each, "shared by the workers");
	close(fd);
	sockets_unlink(s, s);
	is_int(stat(path, &st), 0, "kept as long as it is wanted");
	sockets_free(&s);
	s = must_open(&c, NULL);
	ok(s != NULL, "what a crash has left is replaced");
	sockets_unlink(s, NULL);
	is_int(stat(path, &st), -1, "removed at the end");
	sockets_free(&s);
	sockets_free(&s);
}

/* What the next process finds: descriptors from 3 on, and their names (NULL:
   those of the set). Frees the set. Returns the descriptor behind the last. */
static int
hand_over(struct sockets **s, int extra, const char *as)
{
	char *names, text[600], number[16];
	int *fds, i, n;

	n = (int)sockets_export(*s, &fds, &names);
	fds[n++] = extra;
	for (i = 0; i < n; i++)
		fds[i] = fcntl(fds[i], F_DUPFD, 40);
	sockets_free(s);
	for (i = 0; i < n; i++) {
		dup2(fds[i], 3 + i);
		close(fds[i]);
	}
	snprintf(text, sizeof(text), "%s:%s", names, SOCKETS_MASTER);
	setenv("LISTEN_FDNAMES", as != NULL ? as : text, 1);
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	free(fds);
	free(names);
	return 3 + n;
}

/* A set that is given up has taken nobody away from the one that serves. */
static void
test_given_up(void)
{
	struct conf c = CONFIGURE(1, "127.0.0.1:0");
	struct sockets *s = must_open(&c, NULL), *more;
	char *why = NULL;
	int fd[20], i;
	bool each;

	c.workers = 4;
	more = sockets_open(&c, s, &why);
	ok(more != NULL, "three more sockets");
	for (i = 0; i < 20; i++)
		fd[i] = connect_to(sockets_name(s, 0));
	sockets_free(&more);
	c.workers = 1;
	is_int(serve_all(&c, &s, &each), 20, "all have come to the first");
	for (i = 0; i < 20; i++)
		close(fd[i]);
}

/* Runs last: it puts descriptors where others may be. */
static void
test_inherit(void)
{
	struct conf c = CONFIGURE(2, "127.0.0.1:0", "127.0.0.1:0");
	struct sockets *s = must_open(&c, NULL), *given;
	int pair[2], master, fd, end;
	char first[40], second[40];
	bool each;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		abort();
	pair[0] = fcntl(pair[0], F_DUPFD, 60);
	snprintf(first, sizeof(first), "%s", sockets_name(s, 0));
	snprintf(second, sizeof(second), "%s", sockets_name(s, 1));
	fd = fcntl(connect_to(second), F_DUPFD, 60);
	end = hand_over(&s, pair[0], NULL);
	given = sockets_inherit(&master);
	is_int(master, end - 1, "the channel to the old master");
	close(master);
	s = must_open(&c, given);
	is_str(sockets_name(s, 0), first, "the first block");
	is_str(sockets_name(s, 1), second, "the second block");
	is_int(serve_all(&c, &s, &each), 1, "who waits is served");
	close(fd);

	/* Named by systemd: found by address, and shared. */
	end = hand_over(&given, pair[0],
	    "s.socket:s.socket:s.socket:s.socket:junk");
	given = sockets_inherit(&master);
	is_int(master, -1, "no old master");
	is_int(fcntl(end - 1, F_GETFD), -1, "what does not listen is closed");
	c = CONFIGURE(3, second);
	s = must_open(&c, given);
	is_str(sockets_name(s, 0), second, "found by its address");
	fd = connect_to(second);
	is_int(serve_all(&c, &s, &each), 1, "served");
	ok(each, "by all workers");
	sockets_free(&given);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	int i;

	if (mkdtemp(dir) == NULL)
		return 1;
	test_spread();
	test_reload();
	test_taken();
	test_wildcard();
	test_unix();
	test_given_up();
	test_inherit();
	for (i = 0; i < MOST; i++)
		where_fini(&blocks[i].where);
	rmdir(dir);
	return tap_done();
}
