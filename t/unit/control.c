/* The control socket: one command at a time, whoever asks, and its file. */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "proxy/control.h"
#include "tap.h"

static struct event_base *base;
static struct control *control;
static char dir[] = "/tmp/vratar-control-XXXXXX";
static char path[64];
static char ran[256];		/* commands, each with "|" behind */

/* "later" is answered by the test, the rest at once. */
static void
run(void *arg, const char *command)
{
	(void)arg;
	strncat(ran, command, sizeof(ran) - strlen(ran) - 2);
	strcat(ran, "|");
	if (strcmp(command, "later") != 0)
		control_answer(control, "ok %s", command);
}

static void
turn(void)
{
	int i;

	for (i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int
client(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0)
		return -1;
	turn();
	return fd;
}

static void
say(int fd, const char *text)
{
	/* It may be closed already: that is for the answer to say. */
	send(fd, text, strlen(text), MSG_NOSIGNAL);
	turn();
}

/* What has been answered so far; "-" nothing, "EOF" the end. */
static const char *
answer(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n == 0)
		return "EOF";
	if (n < 0)
		return "-";
	text[n] = '\0';
	return text;
}

static void
test_one_at_a_time(void)
{
	int a = client(), b = client();

	ran[0] = '\0';
	say(a, "one\n");
	is_str(answer(a), "ok one\n", "a command and its answer");
	say(a, "later\nafter\n");
	say(b, "other\n");
	is_str(ran, "one|later|", "the others wait");
	is_str(answer(b), "-", "without an answer");
	control_answer(control, "ok %d", 42);
	turn();
	is_str(ran, "one|later|other|after|", "each client in turn");
	is_str(answer(a), "ok 42\nok after\n", "answers of the first");
	is_str(answer(b), "ok other\n", "answer of the second");
	control_answer(control, "ok nobody asked");
	is_str(answer(a), "-", "an answer without a question goes nowhere");
	close(a);
	close(b);
	turn();
}

static void
test_gone_client(void)
{
	int a = client(), b = client(), i;

	say(a, "later\n");
	close(a);
	turn();
	control_answer(control, "ok");
	say(b, "still\n");
	is_str(answer(b), "ok still\n", "a client that is gone does no harm");
	say(b, "a\nb\nc\n");
	is_str(answer(b), "ok a\nok b\nok c\n", "many in one write");
	shutdown(b, SHUT_WR);
	turn();
	is_str(answer(b), "EOF", "and closed after them");
	close(b);
	a = client();
	for (i = 0; i < 10; i++)
		say(a, "a line that does not end, 40 octets long");
	is_str(answer(a), "EOF", "a line that is too long");
	close(a);
}

static void
test_many_clients(void)
{
	int fd[40], i, open = 0;

	for (i = 0; i < 40; i++)
		fd[i] = client();
	for (i = 0; i < 40; i++)
		open += strcmp(answer(fd[i]), "-") == 0;
	is_int(open, 32, "not more clients than that");
	for (i = 0; i < 40; i++)
		close(fd[i]);
	turn();
	fd[0] = client();
	say(fd[0], "x\n");
	is_str(answer(fd[0]), "ok x\n", "room again");
	close(fd[0]);
	turn();
}

static void
test_file(void)
{
	struct control *second;
	struct stat st;
	char *why = NULL;

	is_int(stat(path, &st), 0, "the file is there");
	is_int(st.st_mode & 0777, 0600, "and ours alone");
	second = control_open(base, path, false, run, NULL, &why);
	ok(second == NULL && strstr(why, "in use") != NULL,
	    "another process cannot take it");
	free(why);
	second = control_open(base, path, true, run, NULL, &why);
	ok(second != NULL, "a successor can");
	control_unlink(control);
	is_int(stat(path, &st), 0, "and its file is not removed by the first");
	control_free(&control);
	control = second;
	control_free(&control);
	is_int(stat(path, &st), 0, "left behind, as after a crash");
	control = control_open(base, path, false, run, NULL, &why);
	ok(control != NULL, "it is replaced");
	control_unlink(control);
	is_int(stat(path, &st), -1, "removed");
	control_free(&control);
	control_free(&control);
}

static void
refuses(const char *bad, const char *name)
{
	char *why = NULL;

	ok(control_open(base, bad, true, run, NULL, &why) == NULL, "%s", name);
	ok(why != NULL && strstr(why, bad) != NULL, "and says where");
	free(why);
}

static void
test_bad_paths(void)
{
	char file[80], name[200];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	refuses(name, "a path that is too long");
	refuses("/nowhere/at/all", "a directory that is not there");
	snprintf(file, sizeof(file), "%s/file", dir);
	fclose(fopen(file, "w"));
	refuses(file, "a file that is no socket");
	is_int(unlink(file), 0, "and is still there");
}

int
main(void)
{
	char *why;

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/control", dir);
	base = event_base_new();
	control = control_open(base, path, false, run, NULL, &why);
	test_one_at_a_time();
	test_gone_client();
	test_many_clients();
	test_file();
	test_bad_paths();
	rmdir(dir);
	event_base_free(base);
	return tap_done();
}
