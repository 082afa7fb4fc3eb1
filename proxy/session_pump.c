/*
 * session_pump - commands in, replies out, both in order.
 *
 * session_pump() is the only loop and the only reader of the input. Every
 * command passes three steps: check (syntax, state; at once), ask (who may
 * send what to whom), proceed (forward to the backend), and then its reply.
 * MAIL and RCPT commands that arrived together are one group: each is checked
 * and asked in turn, what must be forwarded is queued, and the queue goes to
 * the backend in one write when the input is empty or another verb comes. Every
 * other verb waits until all replies have left: then the state is the true
 * state.
 */

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "proxy/session_impl.h"
#include "smtp/line.h"

#define INPUT_MAX	65536	/* octets kept while a command is busy */
#define AUTH_LINE_LIMIT	12290	/* RFC 4954 section 4.5, and CR LF */
#define LINE_LIMIT	INPUT_MAX /* whatever command-line-limit says */
#define GROUP_MS	50	/* for the rest of a group's replies */
#define SLOTS_MAX	256	/* replies that wait; then commands do, too */

/* Replies, in order */

static void
slot_free_first(struct session *s)
{
	struct slot *slot = STAILQ_FIRST(&s->slots);

	STAILQ_REMOVE_HEAD(&s->slots, next);
	s->nslots--;
	buf_fini(&slot->text);
	free(slot);
}

/* What is complete at the head of the queue goes out. */
static void
send_filled(struct session *s)
{
	struct slot *slot;

	while ((slot = STAILQ_FIRST(&s->slots)) != NULL && slot->filled) {
		evbuffer_add(conn_output(s->client), slot->text.p,
		    slot->text.len);
		slot_free_first(s);
	}
}

/*
 * Let the replies go: those of a group together, in one write, if the rest of
 * them comes soon. A backend that takes its time for each recipient must not
 * keep the client from the replies there are.
 */
static void
flush(struct session *s)
{
	if (STAILQ_EMPTY(&s->slots) || conn_is_full(s->client)) {
		timer_stop(&s->flush);
		conn_flush(s->client);
	} else if (!conn_is_drained(s->client) && !timer_is_set(&s->flush))
		timer_set(&s->flush, GROUP_MS);
}

void
session_on_flush(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	conn_flush(s->client);
}

void
session_drop_slots(struct session *s)
{
	while (!STAILQ_EMPTY(&s->slots))
		slot_free_first(s);
}

struct slot *
slot_new(struct session *s)
{
	struct slot *slot = xcalloc(1, sizeof(*slot));

	buf_init(&slot->text, 2 * REPLY_TEXT_MAX);
	STAILQ_INSERT_TAIL(&s->slots, slot, next);
	s->nslots++;
	return slot;
}

static void
fill(struct session *s, struct slot *slot, const struct reply *r, bool bare)
{
	reply_format(r, bare, &slot->text);
	slot->filled = true;
	if (r->code >= 400)
		s->errors++;
	send_filled(s);
}

void
slot_fill(struct session *s, struct slot *slot, const struct reply *r)
{
	assert(!slot->filled);
	fill(s, slot, r, !s->esmtp);
	if (!STAILQ_EMPTY(&s->slots))
		flush(s);
	else if (s->busy == BUSY_REPLIES)
		session_resume(s);
	else {
		session_expect_command(s);
		session_pump(s);
	}
}

void
session_reply_as(struct session *s, const struct reply *r, bool bare)
{
	struct buf text;

	if (!STAILQ_EMPTY(&s->slots)) {
		fill(s, slot_new(s), r, bare);
		return;
	}
	buf_init(&text, 2 * REPLY_TEXT_MAX);
	reply_format(r, bare, &text);
	evbuffer_add(conn_output(s->client), text.p, text.len);
	buf_fini(&text);
	if (r->code >= 400)
		s->errors++;
}

void
session_reply(struct session *s, int code, const char *fmt, ...)
{
	char text[512];
	struct reply r;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_init(&r);
	reply_set(&r, code, "%s", text);
	session_reply_as(s, &r, code == 220 || code == 354);
	reply_fini(&r);
}

/* "550 5.1.1 text" as a reply. */
static void
reply_from_text(struct reply *r, const char *text)
{
	reply_init(r);
	reply_set(r, (int)strtol(text, NULL, 10), "%s", text + 4);
}

void
session_reply_text(struct session *s, const char *text)
{
	struct reply r;

	reply_from_text(&r, text);
	session_reply_as(s, &r, false);
	reply_fini(&r);
}

void
slot_fill_text(struct session *s, struct slot *slot, const char *text)
{
	struct reply r;

	reply_from_text(&r, text);
	slot_fill(s, slot, &r);
	reply_fini(&r);
}

/* The pump */

void
session_wait(struct session *s, enum session_busy why,
    void (*then)(struct session *))
{
	assert(s->busy == BUSY_NO);
	s->busy = why;
	s->then = then;
	conn_deadline(s->client, why == BUSY_TLS ? s->conf->client_timeout : 0);
}

void
session_resume(struct session *s)
{
	void (*then)(struct session *) = s->then;

	s->busy = BUSY_NO;
	s->then = NULL;
	if (s->state == S_CLOSING)
		return;
	if (then != NULL)
		then(s);
	session_expect_command(s);
	session_pump(s);
}

static void
refuse_and_close(struct session *s, const char *reply, enum close_reason why)
{
	session_reply_text(s, reply);
	session_close(s, why);
}

/* Longer lines come with what we advertise (RFC 5321 4.1.1.11): every
   extension's allowance is there whether it was offered or not. */
static size_t
line_limit(const struct session *s)
{
	size_t limit;

	if (s->state == S_AUTH)
		return AUTH_LINE_LIMIT;
	limit = s->conf->command_line_limit +
	    26 +		/* SIZE: RFC 1870 */
	    17 + 10 +		/* BODY, SMTPUTF8 */
	    500 +		/* AUTH=: RFC 4954 */
	    600 +		/* DSN: RFC 3461 4.2, 4.3, 4.4 */
	    17 + 16 + 12;	/* BY, MT-PRIORITY, REQUIRETLS */
	return limit < LINE_LIMIT ? limit : LINE_LIMIT;
}

/* AUTH PLAIN with its initial response is one line, in any state. */
static size_t
limit_for(const struct session *s, const char *p, size_t len)
{
	size_t limit = line_limit(s);

	if (limit < AUTH_LINE_LIMIT && len > 5 &&
	    strncasecmp(p, "AUTH ", 5) == 0)
		return AUTH_LINE_LIMIT;
	return limit;
}

/* What the line needs is that all replies to those before it have left. */
static bool
wait_for_replies(struct session *s)
{
	if (STAILQ_EMPTY(&s->slots))
		return false;
	session_wait(s, BUSY_REPLIES, NULL);
	return true;
}

/*
 * Octets of a line over the limit: it is thrown away up to its end, and then
 * answered; who sends 64 K without a line end does not speak SMTP.
 */
static void
skip_line(struct session *s, bool complete, size_t octets)
{
	evbuffer_drain(conn_input(s->client), octets);
	s->skipped += octets;
	if (s->skipped > INPUT_MAX)
		refuse_and_close(s, "421 4.7.0 line too long",
		    CLOSE_LINE_TOO_LONG);
	if (!complete || s->state == S_CLOSING)
		return;
	s->skipped = 0;
	if (s->state == S_AUTH)
		session_auth_line(s, "*", 1);	/* ends the exchange */
	else
		session_reply(s, 500, "5.5.6 line too long");
}

/* A TLS ClientHello has no line end: do not wait for one. */
static bool
is_foreign(const struct session *s, char first)
{
	return s->state != S_AUTH && s->skipped == 0 && first != '\r' &&
	    first != '\n' && !isalpha((unsigned char)first);
}

/* May a command line of this client end in a bare LF? */
static bool
takes_bare_lf(const struct session *s)
{
	return s->conf->line_endings == LINES_NORMALIZE ||
	    netset_has(&s->conf->normalize_from, &s->client_addr);
}

/* Must this line wait until the replies to those before it have left? */
static bool
has_to_wait(const struct session *s, struct slice line)
{
	struct command c;

	if (STAILQ_EMPTY(&s->slots) || s->state == S_AUTH)
		return false;
	if (s->nslots >= SLOTS_MAX)
		return true;
	command_parse(&c, line.p, line.len);
	return !session_is_group(c.verb) || s->txn == NULL ||
	    c.verb == CMD_MAIL;
}

/*
 * The line is copied: what it points to is gone when it is taken out of the
 * input, and it has to be out before DATA and STARTTLS look what came too
 * early.
 */
static void
take_line(struct session *s, struct slice line, size_t used)
{
	char copy[LINE_LIMIT];
	struct command c;

	memcpy(copy, line.p, line.len);
	evbuffer_drain(conn_input(s->client), used);
	if (s->state == S_AUTH) {
		session_auth_line(s, copy, line.len);
		return;
	}
	command_parse(&c, copy, line.len);
	session_command(s, &c);
}

/* The line, or what is there of it, is over the limit. */
static bool
run_too_long(struct session *s, const char *p, size_t used)
{
	if (used == 0 || wait_for_replies(s))
		return false;
	if (s->state != S_AUTH && s->skipped == 0 && used > 5 &&
	    strncasecmp(p, "BDAT ", 5) == 0) {
		/* Its chunk would be taken for commands. */
		refuse_and_close(s, "501 5.5.4 syntax: BDAT size [LAST]",
		    CLOSE_BAD_BDAT);
		return false;
	}
	skip_line(s, p[used - 1] == '\n', used);
	return true;
}

static bool
run_bare_lf(struct session *s)
{
	if (!wait_for_replies(s))
		refuse_and_close(s, "550 5.5.2 command line ends in a bare "
		    "LF, not in CR LF", CLOSE_BARE_LF);
	return false;
}

static bool
run_foreign(struct session *s)
{
	static const struct command foreign = { .verb = CMD_FOREIGN };

	if (!wait_for_replies(s))
		session_command(s, &foreign);
	return false;
}

/*
 * The octets at the front of the input, a whole line if there is one. They are
 * brought together only when the line does not end in the first chain: doing so
 * for each line of a long input would copy all of it each time.
 */
static const char *
front(struct evbuffer *in, size_t *have)
{
	struct evbuffer_iovec v;

	*have = evbuffer_get_length(in);
	if (*have > LINE_LIMIT)
		*have = LINE_LIMIT;
	if (*have == 0)
		return NULL;
	evbuffer_peek(in, -1, NULL, &v, 1);
	if (v.iov_len < *have &&
	    memchr(v.iov_base, '\n', v.iov_len) == NULL)
		return (const char *)evbuffer_pullup(in, (ssize_t)*have);
	if (v.iov_len < *have)
		*have = v.iov_len;
	return v.iov_base;
}

/*
 * Run the next line of the input, if there is one and it is its turn. What
 * happens is the same in whatever pieces the line comes.
 */
static bool
run_next(struct session *s)
{
	enum line_status status;
	size_t have, limit, used;
	struct slice line;
	const char *p = front(conn_input(s->client), &have);

	if (p == NULL)
		return false;
	if (is_foreign(s, *p))
		return run_foreign(s);
	limit = s->skipped > 0 ? 2 : limit_for(s, p, have);
	status = line_cut(p, have, limit, &s->scanned, &line, &used);
	if (status == LINE_MORE)
		return false;
	if (status == LINE_BARE_LF && !takes_bare_lf(s))
		return run_bare_lf(s);
	if (status == LINE_TOO_LONG || s->skipped > 0 || used > limit)
		return run_too_long(s, p, used);
	if (has_to_wait(s, line)) {
		session_wait(s, BUSY_REPLIES, NULL);
		return false;
	}
	take_line(s, line, used);
	return true;
}

/* Is nothing of the client's under way, so that we may say 421? */
static bool
is_quiet(const struct session *s)
{
	return s->busy == BUSY_NO && STAILQ_EMPTY(&s->slots) &&
	    s->state != S_DATA && s->state != S_CHUNK && s->state != S_PROXY &&
	    s->state != S_TLS && s->state != S_CLOSING;
}

static void
limits(struct session *s)
{
	if (s->state == S_CLOSING || !is_quiet(s))
		return;
	if (s->errors >= s->conf->error_limit) {
		session_reply(s, 421, "4.7.0 %s too many errors",
		    s->conf->hostname);
		session_close(s, CLOSE_TOO_MANY_ERRORS);
	} else if (s->junk > s->conf->junk_command_limit) {
		session_reply(s, 421, "4.7.0 %s too many commands without a "
		    "message", s->conf->hostname);
		session_close(s, CLOSE_TOO_MUCH_JUNK);
	} else if (s->w->draining) {
		session_reply(s, 421, "4.3.2 %s is shutting down",
		    s->conf->hostname);
		session_close(s, CLOSE_SHUTDOWN);
	}
}

/* Run what is there, and queue what is for the backend. */
static void
run_all(struct session *s)
{
	bool more = true;

	while (more && s->busy == BUSY_NO && !conn_is_full(s->client)) {
		if (s->last_words != NULL) {
			session_say_last_words(s);
			return;
		}
		limits(s);
		if (s->state == S_CLOSING || s->state == S_PROXY)
			return;
		if (s->state == S_DATA || s->state == S_CHUNK)
			more = session_content(s);
		else
			more = run_next(s);
	}
}

bool
session_hold(struct session *s)
{
	bool held = s->pumping;

	s->pumping = true;
	return held;
}

void
session_let_go(struct session *s, bool held)
{
	s->pumping = held;
	if (!held && s->pump_again)
		session_pump(s);
}

/* What is left to do when all is run that can be. */
static void
after_pump(struct session *s)
{
	size_t input = evbuffer_get_length(conn_input(s->client));

	if (s->client_eof && s->busy == BUSY_NO && STAILQ_EMPTY(&s->slots)) {
		session_close(s, CLOSE_CLIENT_GONE);
		return;
	}
	if (!STAILQ_EMPTY(&s->slots))
		conn_deadline(s->client, 0);	/* it is the backend's turn */
	if (input > INPUT_MAX || conn_is_full(s->client))
		conn_pause(s->client);
	else
		conn_resume(s->client);
}

void
session_pump(struct session *s)
{
	bool full;

	OBJ_CHECK(s, SESSION_MAGIC);
	/* Whoever ends a wait calls us, perhaps from below ourselves. */
	s->pump_again = true;
	if (s->pumping)
		return;
	s->pumping = true;
	while (s->pump_again && s->state != S_CLOSING) {
		s->pump_again = false;
		run_all(s);
		if (s->state == S_CLOSING)
			break;
		session_forward(s);
		full = conn_is_full(s->client);
		flush(s);
		/* Room at once: nobody else would tell us. */
		if (full && !conn_is_full(s->client))
			s->pump_again = true;
	}
	s->pumping = false;
	if (s->state != S_CLOSING)
		after_pump(s);
}
