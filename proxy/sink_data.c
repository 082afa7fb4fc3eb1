/*
 * sink_data - the content of a message, from DATA or BDAT into the Maildir.
 *
 * A client that made a mistake in its content is told at the end of it, never
 * before: what follows must not be read as commands. The same holds for a
 * chunk that we do not want; its octets are counted and thrown away.
 */

#include "proxy/sink_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "proxy/maildir.h"

#define PIECE	8192		/* octets decoded at a time */

static const char *
client_name(const struct sink_session *s)
{
	return s->client.name != NULL ? s->client.name : "unknown";
}

/* The name the client gave itself, not the one a proxy has. */
static const char *
client_helo(const struct sink_session *s)
{
	if (s->client.helo != NULL)
		return s->client.helo;
	return s->helo != NULL ? s->helo : "unknown";
}

static const char *
protocol(const struct sink_session *s)
{
	if (s->sink->lmtp)
		return s->utf8 ? "UTF8LMTP" : "LMTP";
	if (s->utf8)
		return "UTF8SMTP";
	return s->esmtp ? "ESMTP" : "SMTP";
}

/* "name[addr]:port helo=…", and what else XCLIENT told. */
static void
add_client(struct buf *b, const struct sink_session *s)
{
	const struct xclient *x = &s->client;
	char ip[NETADDR_TEXT];

	buf_addf(b, "X-Client: %s[%s]:%u helo=%s", client_name(s),
	    netaddr_ip(&x->addr, ip), x->addr.port, client_helo(s));
	if (x->proto != NULL)
		buf_addf(b, " proto=%s", x->proto);
	if (x->login != NULL)
		buf_addf(b, " login=%s", x->login);
	buf_addc(b, '\n');
}

static void
add_received(struct buf *b, const struct sink_session *s)
{
	time_t now = clock_wall().tv_sec;
	char ip[NETADDR_TEXT], date[64];
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", &tm);
	buf_addf(b, "Received: from %s (%s [%s])\n"
	    "\tby %s (vratar sink) with %s id %s;\n\t%s\n",
	    client_helo(s), client_name(s), netaddr_ip(&s->client.addr, ip),
	    s->sink->hostname, protocol(s), maildir_id(s->file), date);
}

/* Open the file and write what stands above the client's header. */
static void
content_begin(struct sink_session *s)
{
	struct buf trace;

	dot_init(&s->dot, false);
	s->size = 0;
	s->error = 0;
	if ((s->file = maildir_begin(s->sink->maildir)) == NULL) {
		s->error = errno;
		return;
	}
	buf_init(&trace, 8192);
	add_client(&trace, s);
	add_received(&trace, s);
	maildir_write(s->file, s->envelope.p, s->envelope.len);
	maildir_write(s->file, trace.p, trace.len);
	buf_fini(&trace);
}

/* Files end their lines with LF. A CR that is not part of a line end is no
   loss: it is the reason why the message will be refused. */
static void
write_text(struct maildir_file *f, const char *p, size_t len)
{
	const char *cr, *end = p + len;

	for (; (cr = memchr(p, '\r', (size_t)(end - p))) != NULL; p = cr + 1)
		maildir_write(f, p, (size_t)(cr - p));
	maildir_write(f, p, (size_t)(end - p));
}

static void
content_add(struct sink_session *s, const char *p, size_t len)
{
	s->size += len;
	if (s->size > s->sink->size_limit)
		maildir_abort(&s->file);
	if (s->file == NULL)
		return;
	if (s->binary)
		maildir_write(s->file, p, len);
	else
		write_text(s->file, p, len);
}

/* RFC 2033 4.2: LMTP answers once for each recipient that was accepted. */
static void
reply_content(struct sink_session *s, int code, const char *text)
{
	unsigned i, n = s->sink->lmtp ? s->nrcpts : 1;

	for (i = 0; i < n; i++)
		sink_reply(s, code, "%s", text);
}

static void
reply_not_stored(struct sink_session *s, int error)
{
	log_error(s->id, "not-stored error=\"%s\"", strerror(error));
	if (error == ENOSPC || error == EDQUOT || error == EFBIG)
		reply_content(s, 452, "4.3.1 Insufficient system storage");
	else
		reply_content(s, 451, "4.3.0 Cannot store the message");
}

static void
content_store(struct sink_session *s)
{
	char id[128], text[160];

	snprintf(id, sizeof(id), "%s", maildir_id(s->file));
	if (maildir_commit(&s->file) == -1) {
		reply_not_stored(s, errno);
		return;
	}
	log_info(s->id, "queued id=%s rcpts=%u size=%llu", id, s->nrcpts,
	    (unsigned long long)s->size);
	snprintf(text, sizeof(text), "2.0.0 Ok: queued as %s", id);
	reply_content(s, 250, text);
}

/* The message is complete: store it, or say why not. */
static void
content_end(struct sink_session *s)
{
	if (s->size > s->sink->size_limit)
		reply_content(s, 552, "5.3.4 Message size exceeds limit");
	else if (s->error != 0)
		reply_not_stored(s, s->error);
	else if (!s->binary && (s->dot.bare_cr || s->dot.bare_lf))
		reply_content(s, 550, "5.5.2 Bare CR or LF in the message");
	else
		content_store(s);
	sink_reset(s);
}

void
sink_data(struct sink_session *s, const struct command *c)
{
	(void)c;
	if (s->binary) {
		/* RFC 3030 3: only BDAT carries BINARYMIME. */
		sink_reply(s, 503, "5.5.1 BINARYMIME needs BDAT");
		return;
	}
	content_begin(s);
	sink_enter(s, K_DATA);
	sink_reply(s, 354, "End data with <CR><LF>.<CR><LF>");
}

void
sink_take_data(struct sink_session *s, struct evbuffer *in)
{
	static char out[2 * PIECE + 2];
	size_t n = evbuffer_get_length(in), outlen, used;
	enum dot_status status;
	const char *p;

	if (n > PIECE)
		n = PIECE;
	p = (const char *)evbuffer_pullup(in, (ssize_t)n);
	status = dot_decode(&s->dot, p, n, out, &outlen, &used);
	content_add(s, out, outlen);
	evbuffer_drain(in, used);
	if (status == DOT_END)
		content_end(s);
}

/* BDAT */

/* A chunk is refused: what may still come belongs to no message. */
static void
refuse_chunk(struct sink_session *s)
{
	if (s->state == K_MAIL) {
		sink_reply(s, 554, "5.5.1 No valid recipients");
		return;
	}
	sink_reply(s, 503, "5.5.1 No transaction for this chunk");
}

/* RFC 3030 2: after a chunk that failed nothing goes on before RSET. */
static void
fail_chunks(struct sink_session *s)
{
	sink_reply(s, 552, "5.3.4 Message size exceeds limit");
	sink_enter(s, K_FAILED);
}

static void
end_chunk(struct sink_session *s)
{
	char rest[1];

	s->in_chunk = false;
	if (!s->chunk_wanted) {
		refuse_chunk(s);
		return;
	}
	if (s->chunk_last) {
		content_add(s, rest, dot_pass_end(&s->dot, rest));
		content_end(s);
	} else if (s->size > s->sink->size_limit)
		fail_chunks(s);
	else
		sink_reply(s, 250, "2.0.0 Ok: %llu octets",
		    (unsigned long long)s->chunk_size);
}

void
sink_bdat(struct sink_session *s, const struct command *c)
{
	if (command_bdat_arg(c->arg, &s->chunk_size, &s->chunk_last) == -1) {
		/* Where the chunk ends is unknown, so where the next command
		   begins is too. */
		sink_reply(s, 501, "5.5.4 Syntax: BDAT size [LAST]");
		sink_close(s, "bad BDAT");
		return;
	}
	s->in_chunk = true;
	s->chunk_left = s->chunk_size;
	s->chunk_wanted = s->state == K_RCPT || s->state == K_BDAT;
	if (s->state == K_RCPT) {
		content_begin(s);
		sink_enter(s, K_BDAT);
	}
	if (s->chunk_left == 0)
		end_chunk(s);
}

void
sink_take_chunk(struct sink_session *s, struct evbuffer *in)
{
	static char out[2 * PIECE + 2];
	size_t n = evbuffer_get_length(in);
	const char *p;

	if (n > PIECE)
		n = PIECE;
	if (n > s->chunk_left)
		n = (size_t)s->chunk_left;
	if (s->chunk_wanted) {
		p = (const char *)evbuffer_pullup(in, (ssize_t)n);
		content_add(s, out, dot_pass(&s->dot, p, n, out));
	}
	evbuffer_drain(in, n);
	s->chunk_left -= n;
	if (s->chunk_left == 0)
		end_chunk(s);
}
