/*
 * Log lines: one write each, nothing in them that a peer could use to forge
 * another one, and JSON that is JSON whatever the message was.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "tap.h"

/* Standard error is a socket that keeps writes apart. */
static int channel, real_stderr;
static char line[16384];

static void
catch_stderr(void)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == -1)
		exit(1);
	real_stderr = dup(STDERR_FILENO);
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	channel = fd[0];
}

/* What the next write was; "" if there was none. */
static const char *
next_write(void)
{
	ssize_t n = recv(channel, line, sizeof(line) - 1, MSG_DONTWAIT);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

/* Cut "2026-08-21T12:34:56.789Z" off the start of s; NULL if it is not. */
static const char *
after_time(const char *s)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	size_t i;

	for (i = 0; form[i] != '\0'; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return NULL;
	return s + i;
}

static void
test_plain(void)
{
	log_info(0x4f0c2a91, "mail from=<%s>", "a@b");
	is_str(after_time(next_write()), " 4f0c2a91 mail from=<a@b>\n",
	    "one line, one write");
	is_str(next_write(), "", "and no other");
	log_info(0x1, "x");
	is_str(after_time(next_write()), " 00000001 x\n", "a small id");
	log_info(UINT64_MAX, "x");
	is_str(after_time(next_write()), " ffffffffffffffff x\n", "a large id");
	log_info(0, "ready");
	is_str(after_time(next_write()), " vratar ready\n", "no session");
	log_set_name("master");
	log_warn(0, "odd n=%d", 3);
	is_str(after_time(next_write()), " master odd n=3 level=warn\n",
	    "a name for the process; a warning");
	log_error(7, "bad");
	is_str(after_time(next_write()), " 00000007 bad level=error\n",
	    "an error");
	log_info(7, "a\nb\rc\x1b[2Jd\x7f" "e\xff" "f\xc2\x9bg\xc3\xa9");
	is_str(after_time(next_write()),
	    " 00000007 a?b?c?[2Jd?e?f??g\xc3\xa9\n",
	    "what nobody quoted is cleaned");
}

static void
test_levels(void)
{
	log_debug(7, "state");
	is_str(next_write(), "", "debug is not written");
	ok(!log_wants(LOG_LEVEL_DEBUG) && log_wants(LOG_LEVEL_INFO),
	    "nor wanted");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug(7, "state");
	is_str(after_time(next_write()), " 00000007 state level=debug\n",
	    "until it is");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn(7, "x");
	is_str(next_write(), "", "a warning below the level");
	log_error(7, "x");
	ok(next_write()[0] != '\0', "errors always");
	log_set_level(LOG_LEVEL_INFO);
	errno = EPERM;
	log_info(7, "%m");
	ok(strstr(next_write(), strerror(EPERM)) != NULL, "%%m works");
	log_open("file:/dev/full", false);
	errno = EPERM;
	log_info(7, "x");
	is_int(errno, EPERM, "errno is left alone, though the disk is full");
	log_close();
}

static void
test_long(void)
{
	char text[9000];

	memset(text, 'x', sizeof(text));
	log_error(UINT64_MAX, "%.*s", (int)sizeof(text), text);
	next_write();
	ok(strlen(line) <= 4096, "a long line fits into a pipe");
	is_str(strstr(line, "xxx..."), "xxx... level=error\n",
	    "and says that it was cut");
	/* Cut in the middle of a character. */
	memset(text, '\xc3', sizeof(text));
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '\xa9';
	log_info(1, "%.*s", (int)sizeof(text), text);
	is_str(strstr(next_write(), "?..."), "?...\n",
	    "half a character is none");
}

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len, max;
	const char	*want;
} quotes[] = {
	{ "plain", "a@b.example", 11, 99, "a@b.example" },
	{ "brackets are plain", "<a+b@[::1]>", 11, 99, "<a+b@[::1]>" },
	{ "nothing", "", 0, 99, "\"\"" },
	{ "space", "a b", 3, 99, "\"a b\"" },
	{ "equals", "a=b", 3, 99, "\"a=b\"" },
	{ "quote and backslash", "\"\\", 2, 99, "\"\\\"\\\\\"" },
	{ "line ends", "a\r\n\tb", 5, 99, "\"a\\r\\n\\tb\"" },
	{ "NUL, ESC, DEL", "\0\x1b\x7f", 3, 99, "\"\\x00\\x1b\\x7f\"" },
	{ "UTF-8 stays", "\xc3\xa9", 2, 99, "\"\xc3\xa9\"" },
	{ "broken UTF-8", "\xc3(", 2, 99, "\"\\xc3(\"" },
	{ "C1 control", "\xc2\x9b", 2, 99, "\"\\xc2\\x9b\"" },
	{ "just fits", "abc", 3, 3, "abc" },
	{ "cut", "abcd", 4, 3, "abc..." },
	{ "cut in quotes", "a bc", 4, 3, "\"a b\"..." },
	{ "quotes for what is cut off", "abc d", 5, 3, "abc..." },
	{ "no half characters", "ab\xc3\xa9", 4, 3, "\"ab\"..." },
	{ "nothing but the cut", "abc", 3, 0, "\"\"..." },
};

static void
test_quote(void)
{
	char out[4 * 99 + 6], small[12];
	size_t i;

	for (i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++)
		is_str(log_quote(out, 4 * quotes[i].max + 6, quotes[i].in,
		    quotes[i].len, quotes[i].max), quotes[i].want,
		    quotes[i].name);
	is_str(log_quote(small, sizeof(small), "a\n\n\nbcd", 7, 99),
	    "\"a\\n\\n\"...", "a small buffer cuts earlier");
	is_str(log_quote(small, 6, "abc", 3, 99), "...", "the smallest one");
}

/* The whole range of octets in every place of a small buffer. */
static void
test_quote_room(void)
{
	char guarded[40], in[8];
	int i, wrong = 0;
	size_t room;

	srand(1);
	for (i = 0; i < 100000; i++) {
		for (size_t k = 0; k < sizeof(in); k++)
			in[k] = (char)(rand() % 4 ? rand()
			    : " \"\\=a"[rand() % 5]);
		room = 6 + (size_t)rand() % 33;
		memset(guarded, '#', sizeof(guarded));
		log_quote(guarded, room, in, (size_t)rand() % 9,
		    (size_t)rand() % 9);
		wrong += memchr(guarded, '\0', room) == NULL ||
		    guarded[room] != '#';
	}
	is_int(wrong, 0, "it stays in its room");
}

/* JSON */

static const struct {
	const char	*name;
	const char	*message;
	const char	*want;		/* from "event" on */
} objects[] = {
	{ "pairs", "mail from=<a@b> size=18233",
	    "mail\",\"from\":\"<a@b>\",\"size\":\"18233\"}" },
	{ "verb only", "ready", "ready\"}" },
	{ "nothing", "", "\"}" },
	{ "quoted value", "rcpt reply=\"451 4.7.1 \\\"x\\\" \\\\\" n=1",
	    "rcpt\",\"reply\":\"451 4.7.1 \\\"x\\\" \\\\\",\"n\":\"1\"}" },
	{ "quotes inside", "rcpt to=<\"a b\"> x=\"y\"...",
	    "rcpt\",\"to\":\"<a b>\",\"x\":\"y...\"}" },
	{ "escapes", "x v=\"\\n\\r\\t\\x00\\x1b\\xff\"",
	    "x\",\"v\":\"\\n\\r\\t\\u0000\\u001b\\\\xff\"}" },
	{ "broken escapes", "x v=\"\\xg0\\q\\",
	    "x\",\"v\":\"xg0q\\\\\"}" },
	{ "text behind", "fatal cannot open x: No such file",
	    "fatal\",\"text\":\"cannot open x: No such file\"}" },
	{ "text around", "down for a=1 some  time b=\"2 3\" yet",
	    "down\",\"a\":\"1\",\"b\":\"2 3\","
	    "\"text\":\"for some time yet\"}" },
	{ "quotes in text", "open \"a b\" k=v",
	    "open\",\"k\":\"v\",\"text\":\"\\\"a b\\\"\"}" },
	{ "no key, no value", "x =1 a= \xc3\xa9=2",
	    "x\",\"a\":\"\",\"text\":\"=1 \xc3\xa9=2\"}" },
	{ "open quotes", "x a=\"b c=d",
	    "x\",\"a\":\"b c=d\"}" },
	{ "controls", "x a=\x01\n\xff", "x\",\"a\":\"???\"}" },
};

static const char *
from_event(const char *object)
{
	const char *event = strstr(object, "\"event\":\"");

	return event != NULL ? event + 9 : NULL;
}

static void
test_json(void)
{
	char *want, *who;
	size_t i;

	log_open("stderr", true);
	for (i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		log_info(1, "%s", objects[i].message);
		if (asprintf(&want, "%s\n", objects[i].want) == -1)
			return;
		is_str(from_event(next_write()), want, objects[i].name);
		free(want);
	}
	log_warn(0x4f0c2a91, "x");
	next_write();
	ok(strncmp(line, "{\"time\":\"", 9) == 0, "an object");
	who = strstr(line, "\",\"level\"");
	ok(who != NULL && after_time(line + 9) == who, "the time comes first");
	is_str(who, "\",\"level\":\"warn\",\"session\":\"4f0c2a91\","
	    "\"event\":\"x\"}\n", "level and session");
	log_info(0, "x");
	is_str(strstr(next_write(), ",\"level\""), ",\"level\":\"info\","
	    "\"process\":\"master\",\"event\":\"x\"}\n", "or the process");
	log_close();
}

/* Skip a JSON string; NULL if p is none. */
static const char *
skip_string(const char *p)
{
	size_t n;

	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if (*p == '\\' && p[1] == 'u') {
			if (strspn(p + 2, "0123456789abcdefABCDEF") < 4)
				return NULL;
			p += 6;
		} else if (*p == '\\') {
			if (p[1] == '\0' || strchr("\"\\nrt", p[1]) == NULL)
				return NULL;
			p += 2;
		} else {
			n = utf8_length(p, strlen(p));
			if (n == 0 || (n == 1 && (*p < 0x20 || *p == 0x7f)))
				return NULL;
			p += n;
		}
	}
	return p + 1;
}

/* A flat object of strings, and a line end. */
static bool
is_object(const char *p)
{
	if (*p++ != '{')
		return false;
	for (;;) {
		if ((p = skip_string(p)) == NULL || *p++ != ':' ||
		    (p = skip_string(p)) == NULL)
			return false;
		if (*p != ',')
			return strcmp(p, "}\n") == 0;
		p++;
	}
}

/* Random text of characters that matter is always one valid object. */
static void
test_json_random(void)
{
	static const char set[] = "  ==\"\"\\\\\\xxaa0f\n\x01\xc3\xa9\x80";
	char text[4200];
	int round, wrong = 0;
	size_t i, n;

	log_open("stderr", true);
	srand(1);
	for (round = 0; round < 20000 && wrong == 0; round++) {
		n = (size_t)rand() % (round % 100 ? 60 : sizeof(text));
		for (i = 0; i < n; i++)
			text[i] = set[(size_t)rand() % (sizeof(set) - 1)];
		log_info(1, "%.*s", (int)n, text);
		wrong += !is_object(next_write());
	}
	is_int(wrong, 0, "random text is one object");
	for (i = 0; i < sizeof(text); i++)
		text[i] = "a= "[i % 3];
	log_info(1, "%.*s", (int)sizeof(text), text);
	ok(is_object(next_write()), "many small pairs");
	memset(text, '\\', sizeof(text));
	log_info(1, "%.*s", (int)sizeof(text), text);
	ok(is_object(next_write()), "many backslashes");
	log_close();
}

/* A peer's text gets through quoting and JSON as it was. */
static void
test_json_value(void)
{
	static const char letters[] = " =\"\\xnrt,:{}a0";
	char in[20], quoted[99], want[99], *w;
	int round, wrong = 0;
	size_t i, n;

	log_open("stderr", true);
	for (round = 0; round < 5000 && wrong == 0; round++) {
		n = (size_t)rand() % sizeof(in);
		w = want + sprintf(want, "x\",\"v\":\"");
		for (i = 0; i < n; i++) {
			in[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
			if (in[i] == '"' || in[i] == '\\')
				*w++ = '\\';
			*w++ = in[i];
		}
		memcpy(w, "\"}\n", 4);
		log_info(1, "x v=%s", log_quote(quoted, sizeof(quoted), in, n,
		    sizeof(in)));
		wrong += strcmp(from_event(next_write()), want) != 0;
	}
	is_int(wrong, 0, "a value comes out as it went in");
	log_close();
}

/* Files */

static const char *
content(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	close(fd);
	return line;
}

static void
test_file(void)
{
	char dir[] = "/tmp/vratar-log-XXXXXX", path[64], old[64], where[72];
	struct stat st;

	if (mkdtemp(dir) == NULL)
		exit(1);
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(old, sizeof(old), "%s/old", dir);
	snprintf(where, sizeof(where), "file:%s", path);
	umask(0);
	is_int(log_open(where, false), 0, "a file");
	log_info(1, "one");
	is_str(after_time(content(path)), " 00000001 one\n", "is written to");
	stat(path, &st);
	is_int(st.st_mode & 07777, 0640, "not for everybody");
	is_int(log_open(where, false), 0, "opened again");
	log_info(1, "two");
	ok(strstr(content(path), "two\n") > strstr(line, "one\n"),
	    "it is appended to");
	rename(path, old);
	log_info(1, "three");
	ok(strstr(content(old), "three\n") != NULL, "renamed, it goes on");
	log_reopen();
	log_info(1, "four");
	is_str(after_time(content(path)), " 00000001 four\n", "until reopened");
	rename(path, old);
	mkdir(path, 0700);
	log_reopen();
	ok(strstr(content(old), "master log-reopen file=") != NULL &&
	    strstr(line, "level=warn\n") != NULL,
	    "what cannot be reopened is kept");
	is_int(log_open("file:/nonexistent/log", false), -1, "no such place");
	is_int(errno, ENOENT, "says errno");
	is_int(log_open("printer", false), -1, "no such kind");
	is_int(errno, EINVAL, "says errno");
	log_info(1, "five");
	ok(strstr(content(old), "five\n") != NULL,
	    "a log that failed to open changes nothing");
	log_close();
	log_info(1, "six");
	is_str(after_time(next_write()), " 00000001 six\n",
	    "closed, it is stderr again");
	unlink(old);
	rmdir(path);
	rmdir(dir);
}

/* Instead of those of libc. */
static int facility, priority;

void
openlog(const char *ident, int option, int fac)
{
	(void)ident, (void)option;
	facility = fac;
}

void
syslog(int prio, const char *fmt, ...)
{
	va_list ap;

	priority = prio;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

static void
test_syslog(void)
{
	is_int(log_open("syslog", false), 0, "syslog");
	is_int(facility, LOG_MAIL, "of facility mail");
	log_warn(1, "odd 100%%");
	is_str(line, "00000001 odd 100%", "has a time and a level of its own");
	is_int(priority, LOG_WARNING, "priority");
	log_reopen();
	log_close();
	is_str(next_write(), "", "nothing on stderr");
}

static void
test_fatal(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	if ((pid = fork()) == 0)
		fatal("cannot bind %s", "x");
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "fatal exits with 1");
	is_str(after_time(next_write()),
	    " master fatal cannot bind x level=error\n", "and says why");
}

int
main(void)
{
	catch_stderr();
	test_plain();
	test_levels();
	test_long();
	test_quote();
	test_quote_room();
	test_json();
	test_json_random();
	test_json_value();
	test_file();
	test_syslog();
	test_fatal();
	dup2(real_stderr, STDERR_FILENO);
	return tap_done();
}
