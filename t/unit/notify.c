/* What systemd hears from us, and the sockets it gives. */

#include <sys/socket.h>
#include <sys/un.h>

#include <stdlib.h>
#include <unistd.h>

#include "proxy/notify.h"
#include "tap.h"

static int manager;

static const char *
heard(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n < 0)
		return "-";
	text[n] = '\0';
	return text;
}

static bool
has(const char *text, const char *line)
{
	const char *p = strstr(text, line);

	return p != NULL && (p == text || p[-1] == '\n');
}

static void
test_messages(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/vratar-notify-XXXXXX";
	const char *text;

	notify_ready("nobody listens");
	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/notify", dir);
	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (bind(manager, (struct sockaddr *)&un, sizeof(un)) != 0)
		abort();
	setenv("NOTIFY_SOCKET", un.sun_path, 1);
	notify_ready("serving");
	text = heard();
	ok(has(text, "READY=1\n"), "ready");
	ok(has(text, "STATUS=serving"), "with a status");
	notify_reloading();
	text = heard();
	ok(has(text, "RELOADING=1\n"), "reloading");
	ok(has(text, "MONOTONIC_USEC="), "with its time");
	notify_stopping();
	ok(has(heard(), "STOPPING=1\n"), "stopping");
	notify_main_pid(77);
	ok(has(heard(), "MAINPID=77"), "main pid");
	unlink(un.sun_path);
	rmdir(dir);
	close(manager);
}

static const struct {
	const char	*name;
	const char	*pid;		/* NULL: ours */
	const char	*fds, *names;
	int		 want;
} cases[] = {
	{ "two sockets", NULL, "2", "a:b", 2 },
	{ "no names", NULL, "2", NULL, 2 },
	{ "not for us", "1", "2", "a:b", 0 },
	{ "a name too few", NULL, "2", "a", 0 },
	{ "no number", NULL, "two", "a:b", 0 },
	{ "a negative number", NULL, "-2", "a:b", 0 },
	{ "nothing", NULL, NULL, NULL, 0 },
};

static void
set(const char *name, const char *value)
{
	if (value == NULL)
		unsetenv(name);
	else
		setenv(name, value, 1);
}

/* fds 3 and 4 are put there for it. */
static void
test_sockets(void)
{
	char pid[16], **names;
	int first, n;
	size_t i;

	dup2(0, 3);
	dup2(0, 4);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set("LISTEN_PID", cases[i].pid ? cases[i].pid : pid);
		set("LISTEN_FDS", cases[i].fds);
		set("LISTEN_FDNAMES", cases[i].names);
		n = notify_listen_fds(&first, &names);
		is_int(n, cases[i].want, cases[i].name);
		is_int(first, 3, "from 3 on");
		if (n == 2 && cases[i].names != NULL)
			is_str(names[1], "b", "with names");
		ok(n == 0 || names != NULL, "an array of names");
		notify_free_names(names);
		ok(getenv("LISTEN_FDS") == NULL || n == 0, "taken once");
	}
}

int
main(void)
{
	unsetenv("NOTIFY_SOCKET");
	test_messages();
	test_sockets();
	return tap_done();
}
