/*
 * sink - dialogues with the sink, on a bufferevent pair: no sockets.
 *
 * Each dialogue is played in pieces of 1, 8 and 64 octets and as a whole, and
 * must give the same replies. "\f" in what the client sends means that it
 * waits for the replies; replies are compared as "code" or "code/enhanced".
 */

#include "proxy/sink.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "proxy/maildir.h"
#include "tap.h"

#define EHLO	"EHLO c.example\r\n"
#define LHLO	"LHLO c.example\r\n"
#define MAIL	"MAIL FROM:<a@example.org>\r\n"
#define RCPT	"RCPT TO:<b@example.org>\r\n"
#define ENV	EHLO "\f" MAIL RCPT
#define DATA	ENV "DATA\r\n\f"

static const struct dialogue {
	const char	*name;
	const char	*client;
	const char	*want;		/* behind the greeting */
	int		 stored;	/* messages */
	enum { WHOLE = 1, LMTP = 2, REMOTE = 4 } flags; /* WHOLE: only so */
} dialogues[] = {
	{ "a message", DATA "Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n",
	  "250 250/2.1.0 250/2.1.5 354 250/2.0.0 221/2.0.0", 1, 0 },
	{ "two messages", DATA "x\r\n.\r\n\f" MAIL RCPT "DATA\r\n\f.\r\n",
	  "250 250/2.1.0 250/2.1.5 354 250/2.0.0 250/2.1.0 250/2.1.5 354 "
	  "250/2.0.0", 2, 0 },
	{ "HELO has no enhanced codes of its own, and no parameters",
	  "HELO c\r\nMAIL FROM:<a@b> SIZE=1\r\n" MAIL "NOOP\r\n",
	  "250 555/5.5.4 250/2.1.0 250/2.0.0", 0, 0 },
	{ "null sender and postmaster", EHLO "\fMAIL FROM:<>\r\n"
	  "RCPT TO:<Postmaster>\r\nDATA\r\n\f.\r\n",
	  "250 250/2.1.0 250/2.1.5 354 250/2.0.0", 1, 0 },
	{ "the three refusals", EHLO "\f" MAIL "RCPT TO:<nobody@x.y>\r\n"
	  "RCPT TO:<Later@x.y>\r\nRCPT TO:<full@x.y>\r\nDATA\r\n",
	  "250 250/2.1.0 550/5.1.1 450/4.2.0 452/4.2.2 554/5.5.1", 0, 0 },
	{ "commands before EHLO", MAIL RCPT "DATA\r\nBDAT 1\r\nx",
	  "503/5.5.1 503/5.5.1 503/5.5.1 503/5.5.1", 0, 0 },
	{ "bad order", EHLO "\f" RCPT "DATA\r\n\f" MAIL MAIL "DATA\r\n",
	  "250 503/5.5.1 503/5.5.1 250/2.1.0 503/5.5.1 554/5.5.1", 0, 0 },
	{ "RSET and EHLO forget", ENV "RSET\r\nDATA\r\n\f" MAIL RCPT "\f" EHLO
	  "\fDATA\r\n", "250 250/2.1.0 250/2.1.5 250/2.0.0 503/5.5.1 "
	  "250/2.1.0 250/2.1.5 250 503/5.5.1", 0, 0 },
	{ "bad paths", EHLO "\fMAIL FROM:<a@@b>\r\nMAIL FROM: <a@b>\r\n"
	  "MAIL\r\n" MAIL "RCPT TO:<>\r\nRCPT TO:b@c\r\n",
	  "250 501/5.1.7 501/5.5.4 501/5.5.4 250/2.1.0 501/5.1.3 501/5.1.3",
	  0, 0 },
	{ "SIZE and an unknown parameter", EHLO "\f"
	  "MAIL FROM:<a@b> SIZE=1001\r\nMAIL FROM:<a@b> FOO=1\r\n"
	  "MAIL FROM:<a@b> SIZE=1000\r\n",
	  "250 552/5.3.4 555/5.5.4 250/2.1.0", 0, 0 },
	{ "a UTF-8 address needs SMTPUTF8", EHLO "\f"
	  "MAIL FROM:<\xc3\xa4@b>\r\nMAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\n"
	  "RCPT TO:<\xc3\xb6@b>\r\nRSET\r\n" MAIL "RCPT TO:<\xc3\xb6@b>\r\n",
	  "250 553/5.6.7 250/2.1.0 250/2.1.5 250/2.0.0 250/2.1.0 553/5.6.7",
	  0, 0 },
	{ "other commands", EHLO "\fVRFY a\r\nHELP\r\nNOOP x\r\nEXPN a\r\n"
	  "STARTTLS\r\nAUTH PLAIN\r\nXYZZY\r\n",
	  "250 252/2.0.0 214/2.0.0 250/2.0.0 502/5.5.1 502/5.5.1 502/5.5.1 "
	  "500/5.5.2", 0, 0 },
	{ "too many recipients", ENV RCPT RCPT, "250 250/2.1.0 250/2.1.5 "
	  "250/2.1.5 452/4.5.3", 0, 0 },
	{ "too big is said at the end, and the session goes on", DATA
	  "01234567890123456789012345678901234567890123456789\r\n" /* 52 */
	  "01234567890123456789012345678901234567890123456789\r\n" /* 104 */
	  "0123456789\r\n.\r\nNOOP\r\n", "250 250/2.1.0 250/2.1.5 354 "
	  "250/2.0.0 250/2.0.0", 1, 0 },

	{ "LF . LF is content, and refused", DATA "x\n.\nQUIT\n\r\n.\r\nNOOP\r\n",
	  "250 250/2.1.0 250/2.1.5 354 550/5.5.2 250/2.0.0", 0, 0 },
	{ "LF . CRLF", DATA "x\n.\r\nQUIT\r\n.\r\n",
	  "250 250/2.1.0 250/2.1.5 354 550/5.5.2", 0, 0 },
	{ "CR . CR", DATA "x\r.\rQUIT\r\n.\r\n",
	  "250 250/2.1.0 250/2.1.5 354 550/5.5.2", 0, 0 },
	{ "bare LF in a command ends the session", EHLO "\fNOOP\nNOOP\r\n",
	  "250 550/5.5.2", 0, 0 },
	{ "control characters in a command", EHLO "\fMAIL FROM:<a\001@b>\r\n"
	  "NOOP\t\r\n", "250 501/5.5.2 500/5.5.2", 0, 0 },
	{ "HTTP", "GET / HTTP/1.1\r\nHost: x\r\n", "500/5.5.2", 0, 0 },
	{ "input behind DATA", ENV "DATA\r\nx\r\n.\r\n",
	  "250 250/2.1.0 250/2.1.5 554/5.5.0", 0, WHOLE },
	{ "input behind EHLO", EHLO MAIL, "554/5.5.0", 0, WHOLE },

	{ "chunks", ENV "BDAT 4\r\nx\r\n.BDAT 3\r\n\r\nyBDAT 0 LAST\r\nNOOP\r\n",
	  "250 250/2.1.0 250/2.1.5 250/2.0.0 250/2.0.0 250/2.0.0 250/2.0.0",
	  1, 0 },
	{ "one last chunk", ENV "BDAT 5 LAST\r\n.\r\n.\r",
	  "250 250/2.1.0 250/2.1.5 550/5.5.2", 0, 0 },
	{ "bare LF in a chunk", ENV "BDAT 4\r\nx\ny\nBDAT 2 LAST\r\n\r\nNOOP\r\n",
	  "250 250/2.1.0 250/2.1.5 250/2.0.0 550/5.5.2 250/2.0.0", 0, 0 },
	{ "a binary message", EHLO "\fMAIL FROM:<a@b> BODY=BINARYMIME\r\n" RCPT
	  "DATA\r\n\fBDAT 4 LAST\r\nx\ry\n",
	  "250 250/2.1.0 250/2.1.5 503/5.5.1 250/2.0.0", 1, 0 },
	{ "refused chunks are not commands", EHLO "\f" MAIL
	  "BDAT 6\r\nQUIT\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	  "250 250/2.1.0 554/5.5.1 250/2.0.0 503/5.5.1 250/2.0.0", 0, 0 },
	{ "no DATA and no envelope among chunks", ENV "BDAT 1\r\nxDATA\r\n\f" MAIL
	  RCPT "BDAT 0 LAST\r\n", "250 250/2.1.0 250/2.1.5 250/2.0.0 503/5.5.1 "
	  "503/5.5.1 503/5.5.1 250/2.0.0", 1, 0 },
	{ "a chunk of unknown size ends the session", ENV "BDAT x\r\nNOOP\r\n",
	  "250 250/2.1.0 250/2.1.5 501/5.5.4", 0, 0 },
	{ "a size beyond 63 bits", ENV "BDAT 9223372036854775808\r\nNOOP\r\n",
	  "250 250/2.1.0 250/2.1.5 501/5.5.4", 0, 0 },
	{ "RSET among chunks", ENV "BDAT 2\r\nx\nRSET\r\nBDAT 1\r\nx" MAIL,
	  "250 250/2.1.0 250/2.1.5 250/2.0.0 250/2.0.0 503/5.5.1 250/2.1.0",
	  0, 0 },

	{ "XCLIENT starts again", EHLO "\fXCLIENT NAME=c.example ADDR=192.0.2.7\r\n"
	  "\f" MAIL EHLO "\f" MAIL, "250 220 503/5.5.1 250 250/2.1.0", 0, 0 },
	{ "XCLIENT from elsewhere", EHLO "\fXCLIENT ADDR=192.0.2.7\r\n\f" MAIL,
	  "250 550/5.7.0 250/2.1.0", 0, REMOTE },
	{ "bad XCLIENT", EHLO "\fXCLIENT ADDR=example.org\r\n\fXCLIENT\r\n\f"
	  "XCLIENT NAME=a+0D+0Ab\r\n\f" MAIL "XCLIENT ADDR=192.0.2.7\r\n",
	  "250 501/5.5.4 501/5.5.4 501/5.5.4 250/2.1.0 503/5.5.1", 0, 0 },

	{ "LMTP answers for each recipient", LHLO "\f" MAIL RCPT
	  "RCPT TO:<nobody@b>\r\n" RCPT "DATA\r\n\fx\r\n.\r\n",
	  "250 250/2.1.0 250/2.1.5 550/5.1.1 250/2.1.5 354 250/2.0.0 250/2.0.0",
	  1, LMTP },
	{ "LMTP refuses for each recipient", LHLO "\f" MAIL RCPT RCPT
	  "BDAT 2\r\nx\nBDAT 0 LAST\r\n", "250 250/2.1.0 250/2.1.5 250/2.1.5 "
	  "250/2.0.0 550/5.5.2 550/5.5.2", 0, LMTP },
	{ "LMTP knows no EHLO", EHLO "\fHELO c\r\n" MAIL,
	  "500/5.5.1 500/5.5.1 503/5.5.1", 0, LMTP },
	{ "SMTP knows no LHLO", LHLO "\f" MAIL, "500/5.5.1 503/5.5.1", 0, 0 },
};

static char dir[] = "/tmp/vratar-sink-XXXXXX";
static struct event_base *base;
static struct sink sink;
static struct bufferevent *client;

/* The Maildir */

/* Remove the files of dir/sub; the content of the last one goes to out. */
static int
take_files(const char *sub, struct buf *out)
{
	char name[256], path[1024], piece[4096];
	struct dirent *e;
	ssize_t n;
	int fd, files = 0;
	DIR *d;

	snprintf(name, sizeof(name), "%s/%s", dir, sub);
	if ((d = opendir(name)) == NULL)
		return -1;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", name, e->d_name);
		fd = open(path, O_RDONLY);
		while (out != NULL && (n = read(fd, piece, sizeof(piece))) > 0)
			buf_add(out, piece, (size_t)n);
		close(fd);
		unlink(path);
		files++;
	}
	closedir(d);
	return files;
}

/* The client */

static void
turn(void)
{
	while (event_base_loop(base, EVLOOP_NONBLOCK) == 0 &&
	    event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE) > 0)
		;
}

static void
start(unsigned flags)
{
	struct bufferevent *end[2];
	struct netaddr peer, local;

	sink.lmtp = flags & LMTP;
	netaddr_parse_ip(&peer, flags & REMOTE ? "192.0.2.1" : "127.0.0.1", 9);
	netaddr_parse_ip(&local, "127.0.0.1", 9);
	peer.port = 1024;
	bufferevent_pair_new(base, BEV_OPT_DEFER_CALLBACKS, end);
	client = end[0];
	bufferevent_enable(client, EV_READ | EV_WRITE);
	sink_session_new(&sink, end[1], &peer, &local);
	turn();
}

static void
stop(void)
{
	bufferevent_flush(client, EV_WRITE, BEV_FINISHED);
	turn();
	sink_abort(&sink);
	bufferevent_free(client);
	turn();
}

/* Send a part in pieces. */
static void
send_part(const char *p, size_t len, size_t piece)
{
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = len < piece ? len : piece;
		bufferevent_write(client, p, n);
		turn();
	}
}

static void
send_script(const char *script, size_t piece)
{
	size_t n;

	for (; *script != '\0'; script += n + (script[n] == '\f')) {
		n = strcspn(script, "\f");
		send_part(script, n, piece);
	}
}

/* Append "code" or "code/enhanced" for each reply that has come. */
static void
add_replies(struct buf *out)
{
	struct evbuffer *in = bufferevent_get_input(client);
	char *line;
	size_t len;

	while ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF_STRICT))) {
		if (len > 3 && line[3] == ' ') {
			buf_addf(out, "%s%.3s", out->len ? " " : "", line);
			if (len > 8 && line[5] == '.' && line[7] == '.')
				buf_addf(out, "/%.5s", line + 4);
		}
		free(line);
	}
}

static void
play(const struct dialogue *d, size_t piece)
{
	struct buf got;
	char want[512], name[256];
	int stored;

	buf_init(&got, 4096);
	start(d->flags);
	send_script(d->client, piece);
	add_replies(&got);
	stop();
	snprintf(want, sizeof(want), "220 %s", d->want);
	snprintf(name, sizeof(name), "%s, %zu octets at a time", d->name,
	    piece);
	is_str(got.p, want, name);
	if ((stored = take_files("new", NULL)) != d->stored)
		is_int(stored, d->stored, "messages stored");
	if ((stored = take_files("tmp", NULL)) != 0)
		is_int(stored, 0, "files left in tmp");
	buf_fini(&got);
}

static void
test_dialogues(void)
{
	static const size_t pieces[] = { 1, 8, 64 };
	size_t i, j, n = sizeof(dialogues) / sizeof(dialogues[0]);

	for (i = 0; i < n; i++) {
		play(&dialogues[i], 100000);
		for (j = 0; j < 3 && !(dialogues[i].flags & WHOLE); j++)
			play(&dialogues[i], pieces[j]);
	}
}

/* What is in the file */

static void
is_stored(unsigned flags, const char *script, const char *head,
    const char *tail, const char *name)
{
	const char *end;
	struct buf got;

	buf_init(&got, 65536);
	start(flags);
	send_script(script, 100000);
	stop();
	is_int(take_files("new", &got), 1, name);
	if (!ok(strncmp(got.p, head, strlen(head)) == 0, "what is on top"))
		printf("# got %s\n", got.p);
	end = strstr(got.p, "+0000\n");
	is_str(end == NULL ? got.p : end + 6, tail, "the message");
	buf_fini(&got);
}

static void
test_stored(void)
{
	is_stored(0, EHLO "\fMAIL FROM:<a@b.c> SIZE=9 RET=HDRS\r\n"
	    "RCPT TO:<d@e.f> NOTIFY=NEVER\r\nRCPT TO:<\"g\"@e.f>\r\nDATA\r\n\f"
	    "S: x\r\n\r\n..\r\n..a\r\n.\r\n",
	    "Return-Path: <a@b.c>\nX-Envelope-From: <a@b.c>\n"
	    "X-Mail-Parameters: SIZE=9 RET=HDRS\nX-Envelope-To: <d@e.f>\n"
	    "X-Rcpt-Parameters: NOTIFY=NEVER\nX-Envelope-To: <g@e.f>\n"
	    "X-Client: unknown[127.0.0.1]:1024 helo=c.example\n"
	    "Received: from c.example (unknown [127.0.0.1])\n"
	    "\tby sink.example (vratar sink) with ESMTP id ",
	    "S: x\n\n.\n.a\n", "dots are taken off, line ends become LF");
	is_stored(0, ENV "BDAT 6\r\nS: x\r\n\fBDAT 5\r\n\r\n..\r\fBDAT 1 LAST\r\n\n",
	    "Return-Path: <a@example.org>\n", "S: x\n\n..\n",
	    "dots in chunks stay");
	is_stored(0, EHLO "\fMAIL FROM:<> BODY=BINARYMIME SMTPUTF8\r\n" RCPT
	    "BDAT 8 LAST\r\n\r\n\xff\r.\n\r\n",
	    "Return-Path: <>\nX-Envelope-From: <>\n", "\r\n\xff\r.\n\r\n",
	    "binary content is not touched");
	is_stored(LMTP, "XCLIENT\r\n\fLHLO proxy.example\r\n\f"
	    "XCLIENT NAME=c.example PORT=7 PROTO=SMTP HELO=h+2Be\r\n\f"
	    "XCLIENT LOGIN=joe ADDR=IPV6:2001:db8::7\r\n\f"
	    "LHLO proxy.example\r\n\f" MAIL RCPT "DATA\r\n\f.\r\n",
	    "Return-Path: <a@example.org>\nX-Envelope-From: <a@example.org>\n"
	    "X-Envelope-To: <b@example.org>\n"
	    "X-Client: c.example[2001:db8::7]:7 helo=h+e proto=SMTP login=joe\n"
	    "Received: from h+e (c.example [2001:db8::7])\n"
	    "\tby sink.example (vratar sink) with LMTP id ", "",
	    "XCLIENT says who the client is");
}

/* Too much, too long, too late */

static void
is_reply(const char *want, const char *name)
{
	struct buf got;

	buf_init(&got, 4096);
	add_replies(&got);
	is_str(got.p, want, name);
	buf_fini(&got);
}

static void
send_many(const char *s, int n)
{
	while (n-- > 0)
		bufferevent_write(client, s, strlen(s));
	turn();
}

static void
test_limits(void)
{
	start(0);
	send_many("x", 5000);
	is_reply("220 500/5.5.6", "an endless line is cut off");
	stop();

	start(0);
	send_script(DATA, 100000);
	send_many("0123456789\r\n", 200);
	send_script("x\r\n.\r\nNOOP\r\n", 100000);
	is_reply("220 250 250/2.1.0 250/2.1.5 354 552/5.3.4 250/2.0.0",
	    "a message that is too big is refused at its end");
	stop();
	is_int(take_files("new", NULL) + take_files("tmp", NULL), 0,
	    "and not stored");

	start(0);
	send_script(ENV "BDAT 1001\r\n", 100000);
	send_many("x", 1001);
	send_script("BDAT 1\r\nyBDAT 1 LAST\r\nzDATA\r\n\fRSET\r\n" MAIL, 9999);
	is_reply("220 250 250/2.1.0 250/2.1.5 552/5.3.4 503/5.5.1 503/5.5.1 "
	    "503/5.5.1 250/2.0.0 250/2.1.0", "after a failed chunk nothing goes "
	    "on before RSET");
	stop();
}

/* A client that never reads makes us hold no more than a bounded output. */
static void
test_no_reader(void)
{
	struct evbuffer *out;
	size_t held;
	int i;

	start(0);
	bufferevent_disable(client, EV_READ);
	for (i = 0; i < 1000; i++)
		send_many("NOOP\r\n", 100);
	out = bufferevent_get_output(client);
	held = evbuffer_get_length(out);
	ok(held > 0, "the input of a client that does not read stays with it "
	    "(%zu octets)", held);
	bufferevent_enable(client, EV_READ);
	while (evbuffer_get_length(out) > 0) {
		size_t before = evbuffer_get_length(out);

		turn();
		evbuffer_drain(bufferevent_get_input(client), 1 << 24);
		turn();
		if (evbuffer_get_length(out) == before)
			break;
	}
	is_int((long long)evbuffer_get_length(out), 0,
	    "and is taken when it reads again");
	stop();
}

static void
test_time(void)
{
	start(0);
	send_script(DATA "half a mess", 100000);
	is_reply("220 250 250/2.1.0 250/2.1.5 354", "in the middle of DATA");
	clock_advance(299 * 1000);
	turn();
	is_reply("", "299 seconds are not too long");
	clock_advance(2 * 1000);
	turn();
	is_reply("421/4.4.2", "301 are");
	stop();
	is_int(take_files("new", NULL) + take_files("tmp", NULL), 0,
	    "half a message is nowhere");
}

static int ended;

static void
on_end(struct sink *s, void *arg)
{
	(void)s, (void)arg;
	ended++;
}

static void
test_drain(void)
{
	ended = 0;
	sink.on_end = on_end;
	start(0);
	send_script(DATA "half a mess", 100000);
	is_reply("220 250 250/2.1.0 250/2.1.5 354", "in the middle of DATA");
	sink_drain(&sink);
	turn();
	is_reply("421/4.3.2", "drain says 421");
	is_int(ended, 1, "and the session ends");
	ok(LIST_EMPTY(&sink.sessions), "and is not in the list");
	is_int(take_files("new", NULL) + take_files("tmp", NULL), 0,
	    "half a message is nowhere");
	stop();
	sink.on_end = NULL;
}

/*
 * Whatever a client says, no session and no file is left. The alphabet is
 * made of the words that lead deepest.
 */
static void
test_garbage(void)
{
	static const char *const words[] = {
		EHLO, "LHLO c\r\n", MAIL, RCPT, "DATA\r\n", "BDAT 7\r\n",
		"BDAT 3 LAST\r\n", "RSET\r\n", "\r\n.\r\n", ".", "\r", "\n",
		"XCLIENT ADDR=192.0.2.7 HELO=x\r\n", "x", " ", "\xff", "QUIT",
		"MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "BDAT 99999999\r\n",
		"NOOP\r\n", "HELO x\r\n", "0123456789012345678901234567890",
	};
	unsigned seed = 1;
	int i, j;

	for (i = 0; i < 500; i++) {
		start(i % 3 == 0 ? LMTP : 0);
		if (i % 2)
			send_script(ENV, 100000);
		for (j = 0; j < 60; j++) {
			seed = seed * 1103515245 + 12345;
			send_many(words[(seed >> 16) %
			    (sizeof(words) / sizeof(words[0]))], 1);
		}
		evbuffer_drain(bufferevent_get_input(client), 1 << 24);
		stop();
	}
	ok(LIST_EMPTY(&sink.sessions), "500 sessions of garbage have ended");
	ok(take_files("new", NULL) > 0, "some garbage was mail");
	is_int(take_files("tmp", NULL), 0, "nothing is left in tmp");
}

static void
remove_all(void)
{
	static const char *const subs[] = { "/tmp", "/new", "/cur", "" };
	char path[64];

	for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, subs[i]);
		rmdir(path);
	}
}

int
main(void)
{
	setenv("TZ", "UTC", 1);
	log_set_level(LOG_LEVEL_ERROR);
	if (mkdtemp(dir) == NULL || (base = event_base_new()) == NULL)
		return 1;
	clock_freeze();
	clock_start(base);
	sink = (struct sink){
		.maildir = maildir_open(dir, "h"), .hostname = "sink.example",
		.size_limit = 1000, .rcpt_limit = 2,
	};
	LIST_INIT(&sink.sessions);
	test_dialogues();
	test_stored();
	test_limits();
	test_no_reader();
	test_time();
	test_drain();
	test_garbage();
	clock_stop();
	maildir_close(&sink.maildir);
	event_base_free(base);
	remove_all();
	return tap_done();
}
