/*
 * rehearsal - one session of a made-up client through the real engine.
 *
 * The client is the other end of a socketpair whose one end is the session's.
 * It says one command at a time and goes on with the reply, so that each reply
 * belongs to what stands above it. What a connection cannot show (a name, a
 * login) is said by XCLIENT, as a front would.
 */

#include "proxy/rehearsal.h"

#include <sys/socket.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proxy/agree.h"
#include "proxy/backend.h"
#include "proxy/conf.h"
#include "proxy/conn.h"
#include "proxy/resolve.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

enum step {
	STEP_CONNECT, STEP_XCLIENT, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA,
	STEP_CONTENT, STEP_QUIT, STEP_END
};

struct play {
	const struct rehearsal	*r;
	struct worker		 w;
	struct agree		*agree;		/* ours */
	struct conn		*client;	/* ours */
	enum step		 step;		/* whose reply is to come */
	size_t			 rcpt;		/* the one of STEP_RCPT */
	size_t			 accepted;
	bool			 utf8, eight_bit; /* what MAIL has to say */
	struct reply		 reply;
	bool			 over;
};

/* Saying */

static void
say(struct play *p, enum step step, const char *text, size_t len)
{
	p->step = step;
	evbuffer_add(conn_output(p->client), text, len);
	conn_flush(p->client);
}

static void
say_line(struct play *p, enum step step, char *line)
{
	say(p, step, line, strlen(line));
	free(line);
}

/* "a@b" or "<a@b>"; controls would be another command. */
static const char *
path(const char *address, char out[1100])
{
	size_t len = strlen(address), i;
	bool bare = len == 0 || *address != '<';

	snprintf(out, 1100, "%s%.1000s%s", bare ? "<" : "", address,
	    bare ? ">" : "");
	for (i = 0; out[i] != '\0'; i++)
		if ((unsigned char)out[i] < ' ')
			out[i] = '?';
	return out;
}

static void
say_xclient(struct play *p)
{
	struct xclient x = {
		.addr = p->r->client, .name = p->r->name,
		.login = p->r->login,
	};
	unsigned what = 1u << XATTR_ADDR;
	struct buf line;

	if (p->r->name != NULL)
		what |= 1u << XATTR_NAME;
	if (p->r->login != NULL)
		what |= 1u << XATTR_LOGIN;
	buf_init(&line, 4096);
	xclient_format(&line, "XCLIENT", what, &x);
	say(p, STEP_XCLIENT, line.p, line.len);
	buf_fini(&line);
}

static void
say_ehlo(struct play *p)
{
	say_line(p, STEP_EHLO, xasprintf("EHLO %.500s\r\n", p->r->helo));
}

static void
say_mail(struct play *p)
{
	char room[1100];

	say_line(p, STEP_MAIL, xasprintf("MAIL FROM:%s SIZE=%zu%s%s\r\n",
	    path(p->r->from, room), p->r->len,
	    p->eight_bit ? " BODY=8BITMIME" : "", p->utf8 ? " SMTPUTF8" : ""));
}

static void
say_rcpt(struct play *p)
{
	char room[1100];

	say_line(p, STEP_RCPT, xasprintf("RCPT TO:%s\r\n",
	    path(p->r->rcpts[p->rcpt], room)));
}

static void
say_quit(struct play *p)
{
	say(p, STEP_QUIT, "QUIT\r\n", 6);
}

/* RFC 5321 4.5.2 */
static void
say_content(struct play *p)
{
	const char *at = p->r->content, *end = at + p->r->len, *lf;
	struct evbuffer *out = conn_output(p->client);

	while (at < end) {
		if (*at == '.')
			evbuffer_add(out, ".", 1);
		lf = memchr(at, '\n', (size_t)(end - at));
		lf = lf != NULL ? lf + 1 : end;
		evbuffer_add(out, at, (size_t)(lf - at));
		at = lf;
	}
	if (p->r->len > 0 && end[-1] != '\n')
		evbuffer_add(out, "\r\n", 2);
	say(p, STEP_CONTENT, ".\r\n", 3);
}

/* Hearing */

static void
after_connect(struct play *p)
{
	if (p->step == STEP_CONNECT &&
	    (p->r->name != NULL || p->r->login != NULL))
		say_xclient(p);
	else
		say_ehlo(p);
}

static void
after_rcpt(struct play *p, bool good)
{
	p->accepted += good;
	if (++p->rcpt < p->r->nrcpts)
		say_rcpt(p);
	else if (p->accepted > 0)
		say(p, STEP_DATA, "DATA\r\n", 6);
	else
		say_quit(p);
}

static void
report(struct play *p, const char *step)
{
	const struct reply *r = &p->reply;
	const char *line = r->text.p;
	struct buf text;
	size_t len;

	buf_init(&text, 2 * REPLY_TEXT_MAX);
	for (;; line += len + 1) {
		len = strcspn(line, "\n");
		buf_addf(&text, "%s%d%c%.*s", text.len > 0 ? "\n" : "",
		    r->code, line[len] == '\n' ? '-' : ' ', (int)len, line);
		if (line[len] == '\0')
			break;
	}
	p->r->on_reply(p->r->arg, step, p->step == STEP_RCPT ?
	    p->r->rcpts[p->rcpt] : NULL, r->code, text.p);
	buf_fini(&text);
}

/* A reply is complete: the next step follows from it. */
static void
go_on(struct play *p)
{
	bool good = p->reply.code / 100 == 2;

	switch (p->step) {
	case STEP_CONNECT:
	case STEP_XCLIENT:
		/* After XCLIENT there is another banner: that is the one. */
		if (p->step == STEP_XCLIENT || !good || (p->r->name == NULL &&
		    p->r->login == NULL))
			report(p, "CONNECT");
		if (good)
			after_connect(p);
		break;
	case STEP_EHLO:
		report(p, "EHLO");
		good ? say_mail(p) : say_quit(p);
		break;
	case STEP_MAIL:
		report(p, "MAIL");
		good ? say_rcpt(p) : say_quit(p);
		break;
	case STEP_RCPT:
		report(p, "RCPT");
		after_rcpt(p, good);
		break;
	case STEP_DATA:
		if (p->reply.code == 354) {
			say_content(p);
			break;
		}
		report(p, "DATA");
		say_quit(p);
		break;
	case STEP_CONTENT:
		report(p, "DATA");
		say_quit(p);
		break;
	case STEP_QUIT:
	case STEP_END:
		p->step = STEP_END;
		break;
	}
}

static void
on_input(void *arg)
{
	struct play *p = arg;
	struct evbuffer *in = conn_input(p->client);
	enum reply_status status = REPLY_DONE;
	const char *octets, *why;
	size_t len, used;

	while ((len = evbuffer_get_length(in)) > 0 && status == REPLY_DONE) {
		octets = (const char *)evbuffer_pullup(in, -1);
		status = reply_parse(&p->reply, octets, len, &used, &why);
		evbuffer_drain(in, used);
		if (status != REPLY_DONE)
			break;
		go_on(p);
		reply_reset(&p->reply);
	}
}

static void
on_end(void *arg, enum conn_end why, const char *detail)
{
	struct play *p = arg;

	(void)why, (void)detail;
	p->over = true;
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

/* The stage */

/* All backends are the one that agrees. */
static void
replace_backends(struct conf *c, const char *path_)
{
	char *text = xasprintf("unix:%s", path_);
	struct conf_backend *b;
	const char *why;
	size_t i;

	for (i = 0; i < c->nbackends; i++) {
		b = &c->backends[i];
		/* One address is enough; the others stay unused. */
		where_fini(&b->addresses[0].where);
		where_parse(&b->addresses[0].where, text, &why);
		b->addresses[0].naddrs = 0;
		b->identity = IDENTITY_NONE;
		b->open = OPEN_RCPT;
		b->tls = TLS_OFF;
	}
	free(text);
}

/* Nobody listens to us but ourselves. */
static void
open_listener(struct conf_listener *l, const struct rehearsal *r)
{
	char ip[NETADDR_TEXT];
	const char *why;

	l->tls_implicit = false;
	l->starttls = STARTTLS_OFF;
	l->ask_certificate = TLS_ASK_OFF;
	netset_fini(&l->accept_proxy_from);
	l->accept_proxy_from = (struct netset){ 0 };
	if (r->name != NULL || r->login != NULL)
		netset_add(&l->accept_xclient_from,
		    netaddr_ip(&r->client, ip), &why);
}

static bool
has_8bit(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)p[i] > 127)
			return true;
	return false;
}

static void
judge_content(struct play *p)
{
	const struct rehearsal *r = p->r;
	size_t i;

	p->eight_bit = has_8bit(r->content, r->len);
	p->utf8 = has_8bit(r->from, strlen(r->from));
	for (i = 0; i < r->nrcpts; i++)
		p->utf8 = p->utf8 || has_8bit(r->rcpts[i],
		    strlen(r->rcpts[i]));
}

static int
set_up(struct play *p, struct conf *conf, const char **why)
{
	size_t i;

	p->w = (struct worker){ .magic = WORKER_MAGIC, .conf = conf };
	p->w.base = event_base_new();
	clock_start(p->w.base);
	reply_init(&p->reply);
	if ((p->agree = agree_new(p->w.base)) == NULL) {
		*why = "no directory can be made for a socket";
		return -1;
	}
	replace_backends(conf, agree_path(p->agree));
	conf->rehearsal = true;
	p->w.resolver = resolver_new(p->w.base,
	    (const char *const *)conf->dns_servers.v, conf->dns_servers.n,
	    conf->dns_timeout, why);
	if (p->w.resolver == NULL)
		return -1;
	p->w.pools = xcalloc(conf->nbackends + 1, sizeof(p->w.pools[0]));
	for (i = 0; i < conf->nbackends; i++)
		p->w.pools[i] = pool_new(&p->w, i);
	worker_start_filters(&p->w);
	return 0;
}

static void
tear_down(struct play *p)
{
	size_t i;

	conn_free(&p->client);
	for (i = 0; p->w.pools != NULL && i < p->w.conf->nbackends; i++)
		pool_free(&p->w.pools[i]);
	free(p->w.pools);
	worker_stop_filters(&p->w);
	resolver_free(&p->w.resolver);
	agree_free(&p->agree);
	reply_fini(&p->reply);
	clock_stop();
	event_base_free(p->w.base);
}

static int
play(struct play *p, const struct conf_listener *l, const char **why)
{
	struct netaddr local = { .family = p->r->client.family, .port = 25 };
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	    fd) == -1) {
		*why = "no socketpair";
		return -1;
	}
	p->client = conn_new(p->w.base, fd[0], &owner, p);
	session_new(&p->w, l, fd[1], &p->r->client, &local);
	while (!p->over || p->w.sessions != NULL) {
		if (p->over)
			conn_free(&p->client);
		event_base_loop(p->w.base, EVLOOP_ONCE);
	}
	return 0;
}

static void
report_content(struct play *p)
{
	size_t len;
	const char *content = agree_content(p->agree, &len);

	if (content != NULL && p->r->on_content != NULL)
		p->r->on_content(p->r->arg, content, len);
}

int
rehearsal_run(struct conf *conf, size_t listener, const struct rehearsal *r,
    const char **why)
{
	struct conf_listener *l = &conf->listeners[listener];
	struct play p = { .r = r };
	int result = -1;

	open_listener(l, r);
	judge_content(&p);
	if (set_up(&p, conf, why) == 0)
		result = play(&p, l, why);
	if (result == 0)
		report_content(&p);
	tear_down(&p);
	return result;
}
