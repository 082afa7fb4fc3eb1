/* Lines between processes: in pieces, too long, held back, and the end. */

#include <sys/socket.h>

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "proxy/channel.h"
#include "tap.h"

static struct event_base *base;
static struct channel *channel;
static int far_end;
static char heard[1024];	/* all lines, each with "|" behind */
static int ended;
static bool pause_after_line;

static void
on_line(void *arg, const char *line)
{
	(void)arg;
	strncat(heard, line, sizeof(heard) - strlen(heard) - 2);
	strcat(heard, "|");
	if (pause_after_line)
		channel_pause(channel);
}

static void
on_end(void *arg)
{
	(void)arg;
	ended++;
}

static void
open_pair(void)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		abort();
	heard[0] = '\0';
	ended = 0;
	pause_after_line = false;
	far_end = fd[1];
	channel = channel_new(base, fd[0], on_line, on_end, NULL);
}

static void
close_pair(void)
{
	channel_free(&channel);
	if (far_end >= 0)
		close(far_end);
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
feed(const char *p, size_t len, size_t piece)
{
	size_t n;

	/* Nobody reads after the end, and the socket fills. */
	for (; len > 0 && !ended; p += n, len -= n) {
		n = len < piece ? len : piece;
		if (send(far_end, p, n, MSG_NOSIGNAL |
		    MSG_DONTWAIT) != (ssize_t)n)
			return;
		turn();
	}
}

static const struct {
	const char	*name;
	const char	*wire;
	const char	*want;
} cases[] = {
	{ "one line", "ready\n", "ready|" },
	{ "two lines", "clock 1\ndrain\n", "clock 1|drain|" },
	{ "an empty line", "\nx\n", "|x|" },
	{ "half a line is none", "a\nrea", "a|" },
	{ "CR is content", "a\r\n", "a\r|" },
	{ "nothing", "", "" },
};

static void
test_pieces(void)
{
	static const size_t pieces[] = { 1, 8, 64 };
	char name[80];
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (j = 0; j < 3; j++) {
			open_pair();
			feed(cases[i].wire, strlen(cases[i].wire), pieces[j]);
			snprintf(name, sizeof(name), "%s, in pieces of %zu",
			    cases[i].name, pieces[j]);
			is_str(heard, cases[i].want, name);
			is_int(ended, 0, "the peer is there");
			close_pair();
		}
	}
}

static void
test_too_long(void)
{
	char junk[4096];
	size_t piece;

	memset(junk, 'x', sizeof(junk));
	for (piece = 1; piece <= sizeof(junk); piece *= 8) {
		open_pair();
		feed(junk, sizeof(junk), piece);
		is_int(ended, 1, "a line without end is the end, once");
		is_str(heard, "", "and no line");
		close_pair();
	}
}

static void
test_end(void)
{
	open_pair();
	feed("last\nwords", 10, 64);
	close(far_end);
	far_end = -1;
	turn();
	turn();
	is_str(heard, "last|", "what came before the end is heard");
	is_int(ended, 1, "the end is told once");
	ok(!channel_say(channel, "hello"), "nobody takes a line");
	close_pair();
	ok(channel == NULL, "freed");
	channel_free(&channel);
}

static void
test_pause(void)
{
	open_pair();
	pause_after_line = true;
	feed("one\ntwo\nthree\n", 14, 64);
	turn();
	is_str(heard, "one|", "lines wait after a pause in on_line");
	channel_resume(channel);
	is_str(heard, "one|", "resume itself calls nobody");
	turn();
	is_str(heard, "one|two|", "the next one");
	close(far_end);
	far_end = -1;
	turn();
	is_int(ended, 0, "a paused channel does not hear the end");
	pause_after_line = false;
	channel_resume(channel);
	turn();
	turn();
	is_str(heard, "one|two|three|", "the last one");
	is_int(ended, 1, "and then the end");
	close_pair();
}

static void
test_say(void)
{
	char got[64] = "", big[20000];
	int i;

	open_pair();
	ok(channel_say(channel, "clock %d", 77), "said");
	is_int(read(far_end, got, sizeof(got) - 1), 9, "at once");
	is_str(got, "clock 77\n", "as a line");
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	ok(!channel_say(channel, "%s", big), "a line that is too long");
	is_int(recv(far_end, got, sizeof(got), MSG_DONTWAIT), -1,
	    "no part of it is sent");
	for (i = 0; i < 100000 && channel_say(channel, "%s", big + 10000); i++)
		;
	ok(i > 0 && i < 100000, "a peer that does not read is noticed");
	close_pair();
}

int
main(void)
{
	base = event_base_new();
	test_pieces();
	test_too_long();
	test_end();
	test_pause();
	test_say();
	event_base_free(base);
	return tap_done();
}
