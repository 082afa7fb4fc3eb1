/*
 * sockets - the listening sockets, as the master keeps them.
 *
 * A row is recognised in the next set, or by the next process, by its key:
 * the address as it is written in the configuration and the how-manieth it is
 * ("127.0.0.1%3A0#1"), because an address with port 0 does not say where the
 * socket really is. Sockets from systemd have other names, and several the
 * same one; those are recognised by their local address.
 */

#include "proxy/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "proxy/conf.h"
#include "proxy/notify.h"
#include "proxy/worker.h"

struct row {
	char		*key;		/* ours */
	char		*name;		/* the real address; ours */
	int		*fds;		/* ours; -1: taken */
	size_t		 n;
};

struct sockets {
	struct row	*rows;		/* as conf->listeners, or as given */
	size_t		 n;
};

/*
 * Keys and names
 */

/* Without colons, which separate the names in LISTEN_FDNAMES. */
static char *
make_key(const struct conf *conf, size_t i)
{
	const char *text = conf->listeners[i].where.text, *p;
	unsigned nth = 0;
	struct buf b;
	size_t j;

	for (j = 0; j < i; j++)
		nth += strcmp(conf->listeners[j].where.text, text) == 0;
	buf_init(&b, 4096);
	for (p = text; *p != '\0'; p++) {
		if (*p > ' ' && *p < 0x7f && *p != ':' && *p != '%')
			buf_addc(&b, *p);
		else
			buf_addf(&b, "%%%02X", (unsigned char)*p);
	}
	buf_addf(&b, "#%u", nth);
	return b.p;
}

static bool
is_ours(const struct row *r)
{
	return strchr(r->key, '#') != NULL;
}

/* The real address of a socket. */
static char *
local_name(int fd)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&ss;
	socklen_t len = sizeof(ss);
	char text[NETADDR_TEXT];
	struct netaddr a;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return xstrdup("unknown");
	if (ss.ss_family == AF_UNIX)
		return xasprintf("unix:%.*s", (int)sizeof(un->sun_path),
		    un->sun_path);
	netaddr_from_sockaddr(&a, (struct sockaddr *)&ss);
	return xstrdup(netaddr_text(&a, text));
}

/* The address that a listen block asks for, in the same form. */
static char *
wanted_name(const struct where *w, struct netaddr *a, char **why)
{
	char text[NETADDR_TEXT];
	const char *problem;

	*a = (struct netaddr){ 0 };
	if (w->kind == WHERE_UNIX)
		return xasprintf("unix:%s", w->path);
	if (where_resolve(w, a, 1, &problem) < 1) {
		*why = xasprintf("cannot listen at %s: %s", w->text, problem);
		return NULL;
	}
	return xstrdup(netaddr_text(a, text));
}

static const struct row *
find(const struct sockets *s, const char *key, const char *name)
{
	size_t i;

	for (i = 0; s != NULL && key != NULL && i < s->n; i++)
		if (strcmp(s->rows[i].key, key) == 0)
			return &s->rows[i];
	for (i = 0; s != NULL && i < s->n; i++)
		if (strcmp(s->rows[i].name, name) == 0)
			return &s->rows[i];
	return NULL;
}

static void
row_add(struct row *r, int fd)
{
	r->fds = xrealloc(r->fds, (r->n + 1) * sizeof(r->fds[0]));
	r->fds[r->n++] = fd;
}

/*
 * Binding
 */

static int
failed(const char *name, int fd, char **why)
{
	*why = xasprintf("cannot listen at %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Accepted connections inherit TCP_NODELAY. TCP_DEFER_ACCEPT must not be set:
   in SMTP the server speaks first. */
static int
tcp_socket(const struct netaddr *a, bool shared)
{
	int on = 1, fd;

	fd = socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (a->family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	return fd;
}

/* shared: to be one of several; else it is just a question. */
static int
tcp_bind(const struct netaddr *a, bool shared, char **why)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss);
	char name[NETADDR_TEXT];
	int fd = tcp_socket(a, shared);

	netaddr_text(a, name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) != 0)
		return failed(name, fd, why);
	return fd;
}

/* Grow a row to n sockets at a, or where its first one is. */
static int
tcp_fill(struct row *r, const struct netaddr *a, size_t n, char **why)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr at = *a;
	int fd;

	while (r->n < n) {
		if (r->n > 0 && getsockname(r->fds[0],
		    (struct sockaddr *)&ss, &len) == 0)
			netaddr_from_sockaddr(&at, (struct sockaddr *)&ss);
		if ((fd = tcp_bind(&at, true, why)) < 0)
			return -1;
		row_add(r, fd);
	}
	return 0;
}

/* Is there a process behind this file? errno says why not. */
static bool
unix_answers(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool answers;

	if (fd < 0)
		return false;
	answers = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ||
	    errno == EAGAIN;
	close(fd);
	return answers;
}

int
sockets_unix(const char *path, mode_t mode, bool replace, char **why)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return failed(path, -1, why);
	}
	memcpy(un.sun_path, path, strlen(path));
	if (!replace && unix_answers(&un)) {
		errno = EADDRINUSE;
		return failed(path, -1, why);
	}
	/* Only what a process has left behind; bind() refuses the rest. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(path, fd, why);
	mask = umask(~mode & 0777);
	rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(mask);
	if (rc != 0)
		return failed(path, fd, why);
	return fd;
}

/*
 * Sets
 */

/* SO_REUSEPORT lets a second vratar share our port, and half of the mail would
   go to each. So ask once without it, unless the port is ours already. */
static bool
is_taken(const struct sockets *have, const struct netaddr *a, char **why)
{
	char port[8];
	size_t i, len;
	int fd;

	if (a->port == 0)
		return false;
	snprintf(port, sizeof(port), ":%u", (unsigned)a->port);
	for (i = 0; have != NULL && i < have->n; i++) {
		len = strlen(have->rows[i].name);
		if (len > strlen(port) && strcmp(have->rows[i].name + len -
		    strlen(port), port) == 0)
			return false;
	}
	if ((fd = tcp_bind(a, false, why)) < 0)
		return true;
	close(fd);
	return false;
}

/* Use again what old has. */
static int
row_dup(struct row *r, const struct row *old, char **why)
{
	size_t i;
	int fd;

	free(r->key);
	r->key = xstrdup(old->key);
	free(r->name);
	r->name = xstrdup(old->name);
	for (i = 0; i < old->n; i++) {
		if ((fd = fcntl(old->fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
			return failed(r->name, -1, why);
		row_add(r, fd);
	}
	return 0;
}

static int
row_bind(struct row *r, const struct conf_listener *l, const struct netaddr *a,
    size_t n, char **why)
{
	int fd;

	if (l->where.kind == WHERE_TCP) {
		if (tcp_fill(r, a, n, why) != 0)
			return -1;
		free(r->name);
		r->name = local_name(r->fds[0]);
		return 0;
	}
	/* Who may connect is said by the rights of the directory. */
	if ((fd = sockets_unix(l->where.path, 0666, false, why)) < 0)
		return -1;
	row_add(r, fd);
	return 0;
}

static int
row_open(struct row *r, const struct conf_listener *l, size_t n,
    const struct sockets *have, char **why)
{
	const struct row *old;
	struct netaddr a;

	if ((r->name = wanted_name(&l->where, &a, why)) == NULL)
		return -1;
	if ((old = find(have, r->key, r->name)) == NULL)
		return row_bind(r, l, &a, n, why);
	if (row_dup(r, old, why) != 0)
		return -1;
	return is_ours(r) && l->where.kind == WHERE_TCP ?
	    tcp_fill(r, &a, n, why) : 0;
}

/* Before anything is bound, so that we are not in our own way. */
static int
check_free(const struct conf *conf, const struct sockets *have, char **why)
{
	struct netaddr a;
	char *name, *key;
	bool taken;
	size_t i;

	for (i = 0; i < conf->nlisteners; i++) {
		name = wanted_name(&conf->listeners[i].where, &a, why);
		if (name == NULL)
			return -1;
		key = make_key(conf, i);
		taken = a.family != 0 && find(have, key, name) == NULL &&
		    is_taken(have, &a, why);
		free(key);
		free(name);
		if (taken)
			return -1;
	}
	return 0;
}

struct sockets *
sockets_open(const struct conf *conf, const struct sockets *have, char **why)
{
	struct sockets *s;
	size_t i, j;

	if (check_free(conf, have, why) != 0)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->rows = xcalloc(conf->nlisteners + 1, sizeof(s->rows[0]));
	for (i = 0; i < conf->nlisteners; i++) {
		s->n = i + 1;
		s->rows[i].key = make_key(conf, i);
		if (row_open(&s->rows[i], &conf->listeners[i],
		    (size_t)conf->workers, have, why) != 0)
			goto fail;
		for (j = 0; j < i; j++) {
			if (strcmp(s->rows[j].name, s->rows[i].name) != 0)
				continue;
			*why = xasprintf("two listen blocks for %s",
			    s->rows[i].name);
			goto fail;
		}
	}
	return s;
fail:
	sockets_free(&s);
	return NULL;
}

int
sockets_listen(const struct sockets *s, char **why)
{
	const struct row *r;
	size_t i, j;

	for (i = 0; i < s->n; i++) {
		r = &s->rows[i];
		/* systemd has its own idea of the length of the queue. */
		if (!is_ours(r))
			continue;
		for (j = 0; j < r->n; j++)
			if (listen(r->fds[j], SOMAXCONN) != 0)
				return failed(r->name, -1, why);
	}
	return 0;
}

void
sockets_free(struct sockets **sp)
{
	struct sockets *s = *sp;
	size_t i, j;

	if (s == NULL)
		return;
	*sp = NULL;
	for (i = 0; i < s->n; i++) {
		for (j = 0; j < s->rows[i].n; j++)
			if (s->rows[i].fds[j] >= 0)
				close(s->rows[i].fds[j]);
		free(s->rows[i].fds);
		free(s->rows[i].key);
		free(s->rows[i].name);
	}
	free(s->rows);
	free(s);
}

const char *
sockets_name(const struct sockets *s, size_t i)
{
	return s->rows[i].name;
}

void
sockets_warn_unused(const struct sockets *s, const struct sockets *now)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (find(now, NULL, s->rows[i].name) == NULL)
			log_warn(0, "socket listen=%s problem=\"given to us, "
			    "but no listen block has this address\"",
			    s->rows[i].name);
}

void
sockets_unlink(const struct sockets *s, const struct sockets *now)
{
	const struct row *r;
	size_t i;

	for (i = 0; i < s->n; i++) {
		r = &s->rows[i];
		if (is_ours(r) && strncmp(r->name, "unix:", 5) == 0 &&
		    find(now, NULL, r->name) == NULL)
			unlink(r->name + 5);
	}
}

/*
 * From and to other processes
 */

/* One address is one row: for ours these are the sockets of the slots. */
static void
inherit_one(struct sockets *s, int fd, const char *key)
{
	char *name = local_name(fd);
	struct row *r = NULL;
	size_t i;

	for (i = 0; i < s->n && r == NULL; i++)
		if (strcmp(s->rows[i].name, name) == 0)
			r = &s->rows[i];
	if (r == NULL) {
		s->rows = xrealloc(s->rows, (s->n + 1) * sizeof(s->rows[0]));
		r = &s->rows[s->n++];
		*r = (struct row){ .key = xstrdup(key), .name = xstrdup(name) };
	}
	row_add(r, fd);
	free(name);
}

struct sockets *
sockets_inherit(int *master)
{
	struct sockets *s = xcalloc(1, sizeof(*s));
	int first, n, fd, flags;
	char **names;

	*master = -1;
	n = notify_listen_fds(&first, &names);
	for (fd = first; fd < first + n; fd++) {
		const char *name = names[fd - first];

		if (strcmp(name, SOCKETS_MASTER) == 0 && *master < 0 &&
		    sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 0) > 0) {
			*master = fd;
		} else if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
			log_warn(0, "socket fd=%d problem=\"given to us, but "
			    "is no listening stream socket\"", fd);
			close(fd);
		} else {
			flags = fcntl(fd, F_GETFL);
			fcntl(fd, F_SETFL, flags | O_NONBLOCK);
			inherit_one(s, fd, name);
		}
	}
	notify_free_names(names);
	return s;
}

size_t
sockets_export(const struct sockets *s, int **fds, char **names)
{
	size_t i, j, n = 0, limit = 0;
	struct buf b;

	for (i = 0; i < s->n; i++) {
		n += s->rows[i].n;
		limit += s->rows[i].n * (strlen(s->rows[i].key) + 1);
	}
	buf_init(&b, limit);
	*fds = xcalloc(n + 1, sizeof(**fds));
	for (n = 0, i = 0; i < s->n; i++) {
		for (j = 0; j < s->rows[i].n; j++) {
			if (n > 0)
				buf_addc(&b, ':');
			buf_adds(&b, s->rows[i].key);
			(*fds)[n++] = s->rows[i].fds[j];
		}
	}
	*names = n > 0 ? b.p : xstrdup("");
	return n;
}

struct worker_socket *
sockets_take(struct sockets *s, size_t slot, size_t nworkers, size_t *n)
{
	struct worker_socket *out = NULL;
	size_t i, j;
	int *fd;

	*n = 0;
	for (i = 0; i < s->n; i++) {
		/* Fewer sockets than workers: this one is shared. */
		j = s->rows[i].n < nworkers ? slot % s->rows[i].n : slot;
		for (; j < s->rows[i].n; j += nworkers) {
			fd = &s->rows[i].fds[j];
			out = xrealloc(out, (*n + 1) * sizeof(out[0]));
			out[*n] = (struct worker_socket){ *fd, i };
			++*n;
			*fd = -1;
		}
	}
	return out;
}
