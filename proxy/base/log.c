/*
 * log - one line per event: session id first, verb second, then key=value.
 *
 * A line is put together on the stack, because "out of memory" has to be
 * logged as well, and leaves with one write(2). The message is cleaned in one
 * place: whatever a caller forgot to quote, no control character and no broken
 * UTF-8 gets past clean(), so nobody can forge a line.
 *
 * A message is cut so that a plain line fits into PIPE_BUF: a pipe takes that
 * much at once, and lines of several workers do not mix there either.
 */

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#define MESSAGE_MAX	4000	/* with time, id and level below PIPE_BUF */
#define LINE_ROOM	(3 * MESSAGE_MAX + 256)	/* as JSON: see put_json() */

struct line {
	char	text[LINE_ROOM];
	size_t	len;
};

static struct {
	char			*path;	/* NULL: stderr or syslog */
	int			 fd;	/* -1: syslog */
	bool			 json;
	enum log_level		 level;
	char			 name[16];
} out = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO, .name = "vratar" };

static const struct {
	const char	*name;
	int		 priority;	/* of syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN]  = { "warn",  LOG_WARNING },
	[LOG_LEVEL_INFO]  = { "info",  LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

/* Where lines go */

static int
open_file(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
	    0640);
}

int
log_open(const char *where, bool json)
{
	const char *path = NULL;
	int fd = STDERR_FILENO;

	if (strncmp(where, "file:", 5) == 0) {
		path = where + 5;
		if ((fd = open_file(path)) == -1)
			return -1;
	} else if (strcmp(where, "syslog") == 0) {
		fd = -1;
	} else if (strcmp(where, "stderr") != 0) {
		errno = EINVAL;
		return -1;
	}
	log_close();
	if (fd == -1)
		openlog("vratar", LOG_PID | LOG_NDELAY, LOG_MAIL);
	out.fd = fd;
	out.json = json;
	out.path = path != NULL ? xstrdup(path) : NULL;
	return 0;
}

void
log_reopen(void)
{
	int fd;

	if (out.path == NULL)
		return;
	/* The old file is better than none: its name may be gone, it is not. */
	if ((fd = open_file(out.path)) == -1) {
		log_warn(0, "log-reopen file=%s error=\"%s\"", out.path,
		    strerror(errno));
		return;
	}
	log_flush();
	close(out.fd);
	out.fd = fd;
}

void
log_close(void)
{
	log_flush();
	if (out.path != NULL)
		close(out.fd);
	else if (out.fd == -1)
		closelog();
	free(out.path);
	out.path = NULL;
	out.fd = STDERR_FILENO;
	out.json = false;
}

void
log_set_level(enum log_level level)
{
	out.level = level;
}

bool
log_wants(enum log_level level)
{
	return level <= out.level;
}

void
log_set_name(const char *name)
{
	snprintf(out.name, sizeof(out.name), "%s", name);
}

/* Putting a line together */

static void
put(struct line *l, const char *p, size_t len)
{
	/* One octet stays free for the line end. */
	if (len > sizeof(l->text) - 1 - l->len)
		len = sizeof(l->text) - 1 - l->len;
	memcpy(l->text + l->len, p, len);
	l->len += len;
}

static void
puts_to(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* RFC 3339 in UTC, with milliseconds. */
static void
put_time(struct line *l)
{
	static _Thread_local time_t second = -1;
	static _Thread_local char text[32];
	struct timespec ts = clock_wall();
	struct tm tm;
	char ms[8];

	if (ts.tv_sec != second) {
		gmtime_r(&ts.tv_sec, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		second = ts.tv_sec;
	}
	puts_to(l, text);
	snprintf(ms, sizeof(ms), ".%03dZ", (int)(ts.tv_nsec / 1000000));
	puts_to(l, ms);
}

/* The session, or who speaks when it is about none. */
static void
put_who(struct line *l, uint64_t id)
{
	char text[20];

	if (id == 0) {
		puts_to(l, out.name);
		return;
	}
	snprintf(text, sizeof(text), "%08" PRIx64, id);
	puts_to(l, text);
}

/*
 * Is a character of this length fit for a line? Controls are not, neither
 * those of ASCII nor U+0080 to U+009F, which some terminals obey.
 */
static bool
is_clean(const char *p, size_t length)
{
	unsigned char c = (unsigned char)p[0];

	if (length == 1)
		return c >= 0x20 && c != 0x7f;
	return length > 0 && !(c == 0xc2 && (unsigned char)p[1] < 0xa0);
}

static void
clean(char *p, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = utf8_length(p + i, len - i);
		if (!is_clean(p + i, n))
			p[i] = '?', n = 1;
	}
}

/* At most MESSAGE_MAX octets of message; "..." says that it was cut. */
__attribute__((format(printf, 2, 0))) static size_t
format(char text[MESSAGE_MAX + 1], const char *fmt, va_list ap)
{
	int n = vsnprintf(text, MESSAGE_MAX + 1, fmt, ap);
	size_t len = n < 0 ? 0 : (size_t)n;

	if (len > MESSAGE_MAX) {
		len = MESSAGE_MAX;
		memcpy(text + len - 3, "...", 3);
	}
	clean(text, len);
	return len;
}

/* JSON */

/*
 * The end of the token at p: a space that is not in quotes. What is cut off
 * in quotes ends with the line.
 */
static const char *
token_end(const char *p, const char *end)
{
	bool quoted = false;

	for (; p < end && (quoted || *p != ' '); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p + 1 < end)
			p++;
	}
	return p;
}

/* The length of the key if p[0..end) is key=value, or 0. */
static size_t
key_length(const char *p, const char *end)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	const char *s = p;

	while (s < end && memchr(letters, *s, sizeof(letters) - 1) != NULL)
		s++;
	return s < end && *s == '=' ? (size_t)(s - p) : 0;
}

static void
put_json_char(struct line *l, char c)
{
	if (c == '"' || c == '\\')
		put(l, "\\", 1);
	put(l, &c, 1);
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/*
 * What stands behind a backslash of log_quote() at p. Returns how much it was.
 * An octet from 80 on was no character, so it stays the text "\xHH".
 */
static size_t
put_unescaped(struct line *l, const char *p, const char *end)
{
	if (end - p >= 3 && p[0] == 'x' && is_hex(p[1]) && is_hex(p[2])) {
		puts_to(l, p[1] < '8' ? "\\u00" : "\\\\x");
		put(l, p + 1, 2);
		return 3;
	}
	if (p[0] == 'n' || p[0] == 'r' || p[0] == 't') {
		put(l, "\\", 1);
		put(l, p, 1);
	} else {
		put_json_char(l, p[0]);
	}
	return 1;
}

/* A value with the quotes of log_quote() taken off, wherever they are. */
static void
put_json_value(struct line *l, const char *p, const char *end)
{
	bool quoted = false;

	put(l, "\"", 1);
	for (; p < end; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p + 1 < end)
			p += put_unescaped(l, p + 1, end);
		else
			put_json_char(l, *p);
	}
	put(l, "\"", 1);
}

static void
put_json_pairs(struct line *l, const char *p, const char *end)
{
	const char *next;
	size_t key;

	for (; p < end; p = next + 1) {
		next = token_end(p, end);
		if ((key = key_length(p, next)) == 0)
			continue;
		puts_to(l, ",\"");
		put(l, p, key);
		puts_to(l, "\":");
		put_json_value(l, p + key + 1, next);
	}
}

/* All words that are no pair, with single spaces. */
static void
put_json_text(struct line *l, const char *p, const char *end)
{
	const char *next;
	bool first = true;

	for (; p < end; p = next + 1) {
		next = token_end(p, end);
		if (p == next || key_length(p, next) > 0)
			continue;
		puts_to(l, first ? ",\"text\":\"" : " ");
		first = false;
		for (; p < next; p++)
			put_json_char(l, *p);
	}
	if (!first)
		put(l, "\"", 1);
}

/*
 * The longest object for n octets of message comes of "a= a= …": 3 become the
 * 7 of ,"a":"". LINE_ROOM is more, so the closing brace is always there.
 */
static void
put_json(struct line *l, enum log_level level, uint64_t id, const char *p,
    size_t len)
{
	const char *end = p + len, *verb_end = token_end(p, end);

	puts_to(l, "{\"time\":\"");
	put_time(l);
	puts_to(l, "\",\"level\":\"");
	puts_to(l, levels[level].name);
	puts_to(l, id == 0 ? "\",\"process\":\"" : "\",\"session\":\"");
	put_who(l, id);
	puts_to(l, "\",\"event\":");
	put_json_value(l, p, verb_end);
	put_json_pairs(l, verb_end, end);
	put_json_text(l, verb_end, end);
	puts_to(l, "}");
}

/* logfmt. What is not "info" says so at the end, out of the way of the verb. */
static void
put_plain(struct line *l, enum log_level level, uint64_t id, const char *p,
    size_t len)
{
	if (out.fd != -1) {
		put_time(l);
		put(l, " ", 1);
	}
	put_who(l, id);
	put(l, " ", 1);
	put(l, p, len);
	if (out.fd != -1 && level != LOG_LEVEL_INFO) {
		puts_to(l, " level=");
		puts_to(l, levels[level].name);
	}
}

/* Writing it */

/* Lines that wait for log_flush(), as many as a pipe takes at once. */
static struct {
	bool	on;
	char	text[PIPE_BUF];
	size_t	len;
} held;

/* There is nobody to tell when a log cannot be written. */
static void
write_line(const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(out.fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

void
log_flush(void)
{
	size_t len = held.len;

	held.len = 0;
	if (len > 0)
		write_line(held.text, len);
}

void
log_buffer(bool on)
{
	log_flush();
	held.on = on;
}

static void
hold_line(const char *p, size_t len)
{
	if (len > sizeof(held.text) - held.len)
		log_flush();
	if (len > sizeof(held.text)) {
		write_line(p, len);
		return;
	}
	memcpy(held.text + held.len, p, len);
	held.len += len;
}

static void
emit(enum log_level level, uint64_t id, const char *text, size_t len)
{
	struct line l;

	l.len = 0;
	if (out.json)
		put_json(&l, level, id, text, len);
	else
		put_plain(&l, level, id, text, len);
	if (out.fd == -1) {
		syslog(levels[level].priority, "%.*s", (int)l.len, l.text);
		return;
	}
	l.text[l.len++] = '\n';
	hold_line(l.text, l.len);
	if (!held.on || level <= LOG_LEVEL_WARN)
		log_flush();
}

/* errno is left as it was: callers log first and then return -1. */
__attribute__((format(printf, 3, 0))) static void
log_at(enum log_level level, uint64_t id, const char *fmt, va_list ap)
{
	char text[MESSAGE_MAX + 1];
	int saved = errno;

	if (log_wants(level))
		emit(level, id, text, format(text, fmt, ap));
	errno = saved;
}

void
log_debug(uint64_t id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LOG_LEVEL_DEBUG, id, fmt, ap);
	va_end(ap);
}

void
log_info(uint64_t id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LOG_LEVEL_INFO, id, fmt, ap);
	va_end(ap);
}

void
log_warn(uint64_t id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LOG_LEVEL_WARN, id, fmt, ap);
	va_end(ap);
}

void
log_error(uint64_t id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LOG_LEVEL_ERROR, id, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	char text[MESSAGE_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	log_error(0, "fatal %s", text);
	exit(1);
}

/* Quoting */

static bool
needs_quotes(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~' || memchr("\"\\=", p[i], 3))
			return true;
	return len == 0;
}

/* Write the character of n octets at p (0: it is none) as it may stand in
   quotes. Returns how many octets it takes, at most 4. */
static size_t
quote_char(char to[5], const char *p, size_t n)
{
	static const char plain[] = "\"\\\n\r\t", letter[] = "\"\\nrt";
	const char *special = memchr(plain, p[0], sizeof(plain) - 1);

	if (special != NULL)
		return (size_t)snprintf(to, 5, "\\%c",
		    letter[special - plain]);
	if (!is_clean(p, n))
		return (size_t)snprintf(to, 5, "\\x%02x",
		    (unsigned char)p[0]);
	memcpy(to, p, n);
	return n;
}

char *
log_quote(char *to, size_t outlen, const char *p, size_t len, size_t max)
{
	bool quotes = needs_quotes(p, len < max ? len : max);
	size_t i, n, size, used = 0, room;
	char c[5];

	/* Two quotes, "..." and the NUL. */
	assert(outlen >= 6);
	room = outlen - 6;
	if (quotes)
		*to++ = '"';
	for (i = 0; i < len; i += n) {
		n = utf8_length(p + i, len - i);
		size = quote_char(c, p + i, n);
		n = c[0] == '\\' ? 1 : n;
		if (i + n > max || used + size > room)
			break;
		memcpy(to + used, c, size);
		used += size;
	}
	snprintf(to + used, 6, "%s%s", quotes ? "\"" : "",
	    i < len ? "..." : "");
	return quotes ? to - 1 : to;
}
