/*
 * agree - a backend that says yes to everything.
 *
 * It is spoken to by our own backend.c alone, which is exact about the
 * protocol, so little is checked here: commands are told apart, content is
 * counted or read up to its dot, and every reply is positive.
 */

#include "proxy/agree.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/conn.h"
#include "proxy/sockets.h"
#include "smtp/command.h"

struct peer {
	unsigned	 magic;
#define PEER_MAGIC	 0xa94ee001
	struct agree	*agree;
	struct conn	*conn;		/* ours */
	struct peer	*next;
	bool		 in_data;
	uint64_t	 chunk_left;
};

struct agree {
	char		*dir;
	char		*path;
	int		 fd;
	struct event	*on_client;
	struct peer	*peers;		/* ours */
	struct buf	 content;	/* of the last message */
	bool		 has_content;
};

static const struct {
	enum command_verb	 verb;
	const char		*reply;
} replies[] = {
	{ CMD_EHLO, "250-localhost\r\n250-PIPELINING\r\n250-SIZE\r\n"
	    "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n"
	    "250-BINARYMIME\r\n250 ENHANCEDSTATUSCODES\r\n" },
	{ CMD_MAIL, "250 2.1.0 Ok\r\n" },
	{ CMD_RCPT, "250 2.1.5 Ok\r\n" },
	{ CMD_DATA, "354 go ahead\r\n" },
	{ CMD_QUIT, "221 2.0.0 Bye\r\n" },
};

static void
say(struct peer *p, const char *text)
{
	evbuffer_add(conn_output(p->conn), text, strlen(text));
	conn_flush(p->conn);
}

static void
run(struct peer *p, const char *line, size_t len)
{
	const char *reply = "250 2.0.0 Ok\r\n";
	struct command c;
	bool last;
	size_t i;

	command_parse(&c, line, len);
	if (c.verb == CMD_BDAT) {
		if (command_bdat_arg(c.arg, &p->chunk_left, &last) == 0 &&
		    p->chunk_left > 0)
			return;		/* replied to behind its octets */
	}
	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (replies[i].verb == c.verb)
			reply = replies[i].reply;
	p->in_data = c.verb == CMD_DATA;
	if (c.verb == CMD_MAIL) {
		buf_reset(&p->agree->content);
		p->agree->has_content = false;
	}
	say(p, reply);
}

static void
keep(struct agree *a, const char *p, size_t len)
{
	size_t room = AGREE_CONTENT_MAX - a->content.len;

	buf_add(&a->content, p, len < room ? len : room);
	a->has_content = true;
}

/* Take content. False: more has to come. */
static bool
take_chunk(struct peer *p, struct evbuffer *in)
{
	size_t n = evbuffer_get_contiguous_space(in);

	if (n > p->chunk_left)
		n = (size_t)p->chunk_left;
	keep(p->agree, (const char *)evbuffer_pullup(in, (ssize_t)n), n);
	evbuffer_drain(in, n);
	p->chunk_left -= n;
	if (p->chunk_left > 0)
		return false;
	say(p, "250 2.0.0 Ok\r\n");
	return true;
}

static void
on_input(void *arg)
{
	struct evbuffer *in;
	struct peer *p;
	char *line;
	size_t len;

	OBJ_CAST(p, arg, PEER_MAGIC);
	in = conn_input(p->conn);
	while (evbuffer_get_length(in) > 0) {
		if (p->chunk_left > 0) {
			if (!take_chunk(p, in) && evbuffer_get_length(in) == 0)
				return;
			continue;
		}
		line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF_STRICT);
		if (line == NULL)
			return;
		if (!p->in_data)
			run(p, line, len);
		else if (strcmp(line, ".") == 0) {
			p->in_data = false;
			p->agree->has_content = true;
			say(p, "250 2.0.0 Ok\r\n");
		} else {
			keep(p->agree, line + (*line == '.'),
			    len - (*line == '.'));
			keep(p->agree, "\r\n", 2);
		}
		free(line);
	}
}

static void
on_end(void *arg, enum conn_end why, const char *detail)
{
	(void)arg, (void)why, (void)detail;	/* freed with the rest */
}

static void
on_nothing(void *arg)
{
	(void)arg;
}

static const struct conn_owner owner = {
	.on_input	= on_input,
	.on_drained	= on_nothing,
	.on_tls		= on_nothing,
	.on_end		= on_end,
};

static void
on_client(evutil_socket_t fd, short what, void *arg)
{
	struct agree *a = arg;
	struct peer *p;
	int client = accept4((int)fd, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (client == -1)
		return;
	p = xcalloc(1, sizeof(*p));
	p->magic = PEER_MAGIC;
	p->agree = a;
	p->conn = conn_new(event_get_base(a->on_client), client, &owner, p);
	p->next = a->peers;
	a->peers = p;
	say(p, "220 localhost ESMTP\r\n");
}

struct agree *
agree_new(struct event_base *base)
{
	struct agree *a = xcalloc(1, sizeof(*a));
	const char *tmp = getenv("TMPDIR");
	char *why;

	buf_init(&a->content, AGREE_CONTENT_MAX);
	a->dir = xasprintf("%s/vratar-test-XXXXXX", tmp ? tmp : "/tmp");
	if (mkdtemp(a->dir) == NULL) {
		free(a->dir);
		free(a);
		return NULL;
	}
	a->path = xasprintf("%s/backend", a->dir);
	a->fd = sockets_unix(a->path, 0600, false, &why);
	if (a->fd == -1) {
		free(why);
		agree_free(&a);
		errno = EIO;
		return NULL;
	}
	listen(a->fd, SOMAXCONN);
	a->on_client = event_new(base, a->fd, EV_READ | EV_PERSIST, on_client,
	    a);
	event_add(a->on_client, NULL);
	return a;
}

void
agree_free(struct agree **ap)
{
	struct agree *a = *ap;
	struct peer *p;

	if (a == NULL)
		return;
	*ap = NULL;
	while ((p = a->peers) != NULL) {
		a->peers = p->next;
		conn_free(&p->conn);
		free(p);
	}
	if (a->on_client != NULL)
		event_free(a->on_client);
	if (a->fd != -1)
		close(a->fd);
	unlink(a->path);
	rmdir(a->dir);
	buf_fini(&a->content);
	free(a->path);
	free(a->dir);
	free(a);
}

const char *
agree_content(struct agree *a, size_t *len)
{
	*len = a->content.len;
	return a->has_content ? a->content.p : NULL;
}

const char *
agree_path(const struct agree *a)
{
	return a->path;
}
