/*
 * milterd_socket - where MTAs find us.
 *
 * libmilter binds the socket and gives nothing of it away. So the port that
 * the system chose is found by looking which of our descriptors listens, and a
 * file that is in the way is looked at before libmilter removes it: it may be
 * the socket of a milter that runs.
 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "base/net.h"
#include "proxy/milterd_impl.h"

#define BACKLOG		1024	/* MTAs that begin at the same moment */
#define FDS_MAX		1024	/* descriptors there may be at the start */

const char *
milterd_bad_socket(const char *socket)
{
	struct sockaddr_un sun;
	unsigned long port;
	char *end;

	if (strncmp(socket, "unix:", 5) == 0)
		return socket[5] != '/' ? "is no absolute path" :
		    strlen(socket + 5) >= sizeof(sun.sun_path) ?
		    "is too long a path" : NULL;
	if (strncmp(socket, "inet:", 5) != 0 &&
	    strncmp(socket, "inet6:", 6) != 0)
		return "is not a socket (try unix:/run/vratar/milter, "
		    "inet:8899@127.0.0.1)";
	socket = strchr(socket, ':') + 1;
	port = *socket >= '0' && *socket <= '9' ? strtoul(socket, &end, 10) :
	    ULONG_MAX;
	/* Without a host it would be for everybody. */
	if (port == ULONG_MAX || end[0] != '@' || end[1] == '\0')
		return "is not inet:PORT@HOST";
	return port > UINT16_MAX ? "has a port above 65535" : NULL;
}

static const char *
path_of(const char *spec)
{
	return strncmp(spec, "unix:", 5) == 0 ? spec + 5 : NULL;
}

/* NULL, or what stands in the way of a socket there; ours to free. */
static char *
obstacle(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	bool alive;
	int fd;

	if (lstat(path, &st) != 0)
		return NULL;
	if (!S_ISSOCK(st.st_mode))
		return xasprintf("%s is there and is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return NULL;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	alive = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ||
	    errno == EAGAIN;
	close(fd);
	return alive ? xasprintf("somebody listens at %s", path) : NULL;
}

/* Who is not allowed to write to it cannot connect, and an MTA runs as another
   user: the umask we were started with decides. */
static void
warn_of_mode(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & 022) == 0)
		log_warn(0, "socket path=%s mode=%04o problem=\"only our user "
		    "can connect: start with umask 007 or 0\"", path,
		    st.st_mode & 0777);
}

/* The address of the socket that listens, or family 0. */
static struct netaddr
find_listening(void)
{
	struct netaddr a = { .family = 0 };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, on;

	for (fd = 3; fd < FDS_MAX; fd++) {
		len = sizeof(on);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) ==
		    -1 || !on)
			continue;
		len = sizeof(ss);
		if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
			continue;
		netaddr_from_sockaddr(&a, (struct sockaddr *)&ss);
		if (a.family == AF_INET || a.family == AF_INET6)
			return a;
	}
	return (struct netaddr){ .family = 0 };
}

/* With the port there really is. */
static char *
real_name(const char *spec)
{
	struct netaddr a;

	if (path_of(spec) != NULL)
		return xstrdup(spec);
	a = find_listening();
	return a.family == 0 ? xstrdup(spec) : xasprintf("%.*s:%u@%s",
	    (int)strcspn(spec, ":"), spec, a.port, strchr(spec, '@') + 1);
}

int
socket_open(const char *spec, char **name)
{
	const char *path = path_of(spec);

	if (path != NULL && (*name = obstacle(path)) != NULL)
		return -1;
	errno = 0;
	if (smfi_setconn((char *)spec) != MI_SUCCESS ||
	    smfi_setbacklog(BACKLOG) != MI_SUCCESS ||
	    smfi_opensocket(path != NULL) != MI_SUCCESS) {
		*name = xasprintf("cannot listen at %s: %s", spec, errno != 0 ?
		    strerror(errno) : "libmilter does not say why");
		return -1;
	}
	if (path != NULL)
		warn_of_mode(path);
	*name = real_name(spec);
	return 0;
}

void
socket_unlink(const char *spec)
{
	if (path_of(spec) != NULL)
		unlink(path_of(spec));
}
