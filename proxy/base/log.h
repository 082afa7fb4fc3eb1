/*
 * log - one line per event: session id first, verb second, then key=value.
 *
 *	4f0c2a91 mail from=<a@example.org> size=18233 proto=ESMTPS
 *
 * log_info is the mail log that an administrator greps. warn: somebody should
 * look at it. error: mail is being delayed because of it. What a stranger on
 * the internet can cause at will is info at most. A line is written with one
 * write(2), so lines of several workers do not mix.
 *
 * fmt gives the verb and the pairs: log_info(id, "rcpt to=<%s>", …). A value
 * that came from a peer goes through log_quote() first. With log-format json
 * the same line is split into its pairs and written as one JSON object
 * {"time":…,"level":…,"session":…,"event":"rcpt","to":"<a@b>"}; values are
 * strings, and words that are no pair go into "text". A plain line says
 * level=… at its end unless it is info, and without a session it has the name
 * of the process in its place ("process" in JSON).
 *
 * errno is left as it was, and %m works. Controls and broken UTF-8 become "?",
 * and a message is cut after 4000 octets: nobody can forge a line even if
 * log_quote() was forgotten.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG
};

/*
 * Where lines go: "stderr", "file:PATH" (appended to, created 0640), "syslog"
 * (facility mail, ident "vratar"). json: one JSON object a line instead of
 * logfmt (stderr and file lines start with an RFC 3339 time either way).
 * Before the first call lines go to stderr. Returns 0, or -1 with errno.
 */
int log_open(const char *where, bool json);
/*
 * Hold lines back until log_flush(), so that a turn of the loop costs one
 * write(2) for all its sessions. A line above info takes those before it along
 * at once. Off at start; a process that forks turns it on afterwards.
 */
void log_buffer(bool on);
void log_flush(void);
/* Open the same file again, for log rotation. */
void log_reopen(void);
void log_close(void);
/* Lines above this level are not written; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);
/* The word for this process in every line without a session, "master" … */
void log_set_name(const char *name);

/* id 0: not about a session. */
void log_debug(uint64_t id, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_info(uint64_t id, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_warn(uint64_t id, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_error(uint64_t id, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Start-up and out-of-memory only: logs and exits with 1. */
void fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/*
 * Text from a peer, made fit for a line: in double quotes when it holds
 * anything but printable ASCII without space, quote, backslash and "=" (UTF-8
 * that is valid stays), with \" \\ \n \r \t \xHH; cut after max octets of
 * input with "..." behind the quotes. Returns out, which has room for outlen
 * octets, at least 6; 4 * max + 6 is always enough, less cuts earlier.
 */
char *log_quote(char *out, size_t outlen, const char *p, size_t len,
    size_t max);

#endif
