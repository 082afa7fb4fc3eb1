/*
 * sink_command - what each command does.
 *
 * One table says which states a command is legal in, so the functions need not
 * ask; sink_command() at the end is the only one that looks at it.
 */

#include "proxy/sink_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "smtp/address.h"
#include "smtp/ext.h"

#define ENVELOPE_ROOM	6144	/* more than one command adds */

/* A server is lenient about lengths (RFC 5321 4.5.3.1), within our buffers. */
static const struct address_limits limits = {
	.local_part = 256, .domain = 255, .path = 514
};

typedef void sink_command_fn(struct sink_session *, const struct command *);

/* "555 5.5.4 …", as params_parse() says it. */
static void
reply_line(struct sink_session *s, const char *line)
{
	sink_reply(s, (int)strtol(line, NULL, 10), "%s", line + 4);
}

static void
set_helo(struct sink_session *s, struct slice name, bool esmtp)
{
	free(s->helo);
	s->helo = xstrndup(name.p, name.len);
	s->esmtp = esmtp;
	sink_enter(s, K_READY);
	sink_reset(s);
}

static void
cmd_helo(struct sink_session *s, const struct command *c)
{
	if (!helo_is_safe(c->arg.p, c->arg.len)) {
		sink_reply(s, 501, "5.5.4 Syntax: HELO hostname");
		return;
	}
	set_helo(s, c->arg, false);
	reply_set(&s->reply, 250, "%s", s->sink->hostname);
	sink_send(s, true);
}

static void
offer(struct sink_session *s)
{
	struct ext_set *e = &s->offered;

	*e = (struct ext_set){
		.bits = EXT_BIT(PIPELINING) | EXT_BIT(SIZE) |
		    EXT_BIT(ENHANCED) | EXT_BIT(CHUNKING) |
		    EXT_BIT(EIGHTBITMIME) | EXT_BIT(BINARYMIME) |
		    EXT_BIT(SMTPUTF8) | EXT_BIT(DSN),
		.size = s->sink->size_limit,
	};
	if (!s->local)
		return;
	e->bits |= EXT_BIT(XCLIENT);
	e->xclient = 1u << XATTR_NAME | 1u << XATTR_ADDR | 1u << XATTR_PORT |
	    1u << XATTR_PROTO | 1u << XATTR_HELO | 1u << XATTR_LOGIN |
	    1u << XATTR_DESTADDR | 1u << XATTR_DESTPORT;
}

static void
cmd_ehlo(struct sink_session *s, const struct command *c)
{
	if (!helo_is_safe(c->arg.p, c->arg.len)) {
		sink_reply(s, 501, "5.5.4 Syntax: %s hostname",
		    command_name(c->verb));
		return;
	}
	set_helo(s, c->arg, true);
	offer(s);
	reply_reset(&s->reply);
	s->reply.code = 250;
	ext_format(&s->offered, s->sink->hostname, &s->reply);
	sink_send(s, true);
}

/*
 * The sink believes each of its neighbours on this machine: it is not a server
 * for the network, and its Maildir shows what it was told.
 */
static void
cmd_xclient(struct sink_session *s, const struct command *c)
{
	const char *why;

	if (!s->local) {
		sink_reply(s, 550, "5.7.0 Not allowed from your address");
		return;
	}
	if (xclient_parse(&s->client, c->arg, &s->client_text, &why) == -1) {
		sink_reply(s, 501, "5.5.4 %s", why);
		return;
	}
	/* Everything starts again, as if this client had just connected. */
	free(s->helo);
	s->helo = NULL;
	s->esmtp = false;
	s->state = K_HELO;
	sink_reset(s);
	sink_greet(s);
}

/*
 * The path of MAIL or RCPT, and its parameters. Replies and returns -1 when
 * they are wrong.
 */
static int
parse_path(struct sink_session *s, const struct command *c,
    struct address *a, struct params *params)
{
	bool mail = c->verb == CMD_MAIL;
	const char *why;
	struct slice rest;
	size_t used;

	if (command_path_arg(c->arg, mail ? "FROM" : "TO", false, &rest) == -1) {
		sink_reply(s, 501, "5.5.4 Syntax: %s:<address>",
		    mail ? "MAIL FROM" : "RCPT TO");
		return -1;
	}
	if (address_parse_path(a, mail ? PATH_REVERSE : PATH_FORWARD, rest.p,
	    rest.len, true, &limits, &used, &why) == -1) {
		sink_reply(s, 501, "5.1.%d %s", mail ? 7 : 3, why);
		return -1;
	}
	rest = SLICE(rest.p + used, rest.len - used);
	if (params_parse(params, mail ? PARAM_MAIL : PARAM_RCPT, rest,
	    s->esmtp ? &s->offered : NULL, &why) == -1) {
		reply_line(s, why);
		return -1;
	}
	if (mail)
		s->utf8 = params->present & 1u << PARAM_SMTPUTF8;
	if (a->utf8 && !s->utf8) {
		sink_reply(s, 553, "5.6.7 Address needs SMTPUTF8");
		return -1;
	}
	return 0;
}

/* What we answered to an address. */
static void
log_path(struct sink_session *s, const char *what, const struct address *a,
    int code)
{
	char path[ADDRESS_ROOM + 2], text[4 * sizeof(path) + 6];
	int len = snprintf(path, sizeof(path), "<%s>", a->text);

	log_info(s->id, "%s=%s code=%d", what,
	    log_quote(text, sizeof(text), path, (size_t)len, sizeof(path)),
	    code);
}

static void
add_envelope(struct sink_session *s, const char *name, const struct address *a,
    const char *params_name, const struct params *p)
{
	buf_addf(&s->envelope, "%s: <%s>\n", name, a->text);
	if (p->text.len == 0)
		return;
	buf_addf(&s->envelope, "%s: ", params_name);
	buf_add(&s->envelope, p->text.p, p->text.len);
	buf_addc(&s->envelope, '\n');
}

static void
cmd_mail(struct sink_session *s, const struct command *c)
{
	struct address a;
	struct params p;

	if (parse_path(s, c, &a, &p) == -1)
		return;
	if (p.present & 1u << PARAM_SIZE && p.size > s->sink->size_limit) {
		sink_reply(s, 552, "5.3.4 Message size exceeds limit");
		return;
	}
	s->binary = p.body == BODY_BINARYMIME;
	buf_addf(&s->envelope, "Return-Path: <%s>\n", a.text);
	add_envelope(s, "X-Envelope-From", &a, "X-Mail-Parameters", &p);
	log_path(s, "mail from", &a, 250);
	sink_enter(s, K_MAIL);
	sink_reply(s, 250, "2.1.0 Ok");
}

/* The addresses that are refused, to have something to show. */
static const struct {
	const char	*local;
	int		 code;
	const char	*enhanced, *text;
} refusals[] = {
	{ "nobody", 550, "5.1.1", "Recipient address rejected: User unknown" },
	{ "later",  450, "4.2.0", "Recipient address rejected: Try again later" },
	{ "full",   452, "4.2.2", "Recipient address rejected: Mailbox is full" },
};

static bool
is_refused(struct sink_session *s, const struct address *a)
{
	char local[ADDRESS_ROOM];
	size_t i;

	address_local(a, local);
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (strcasecmp(local, refusals[i].local) != 0)
			continue;
		log_path(s, "rcpt to", a, refusals[i].code);
		sink_reply(s, refusals[i].code, "%s <%s>: %s",
		    refusals[i].enhanced, a->text, refusals[i].text);
		return true;
	}
	return false;
}

static void
cmd_rcpt(struct sink_session *s, const struct command *c)
{
	struct address a;
	struct params p;

	if (parse_path(s, c, &a, &p) == -1 || is_refused(s, &a))
		return;
	if (s->nrcpts >= s->sink->rcpt_limit ||
	    s->envelope.len > SINK_ENVELOPE_MAX - ENVELOPE_ROOM) {
		sink_reply(s, 452, "4.5.3 Too many recipients");
		return;
	}
	add_envelope(s, "X-Envelope-To", &a, "X-Rcpt-Parameters", &p);
	s->nrcpts++;
	log_path(s, "rcpt to", &a, 250);
	sink_enter(s, K_RCPT);
	sink_reply(s, 250, "2.1.5 Ok");
}

static void
cmd_rset(struct sink_session *s, const struct command *c)
{
	(void)c;
	sink_reset(s);
	sink_reply(s, 250, "2.0.0 Ok");
}

static void
cmd_noop(struct sink_session *s, const struct command *c)
{
	(void)c;
	sink_reply(s, 250, "2.0.0 Ok");
}

/* RFC 5321 3.5.3: who asks shall try to send. */
static void
cmd_vrfy(struct sink_session *s, const struct command *c)
{
	(void)c;
	sink_reply(s, 252, "2.0.0 Send some mail and see");
}

static void
cmd_help(struct sink_session *s, const struct command *c)
{
	(void)c;
	sink_reply(s, 214, "2.0.0 See RFC 5321 and vratar(8)");
}

static void
cmd_quit(struct sink_session *s, const struct command *c)
{
	(void)c;
	sink_reply(s, 221, "2.0.0 Bye");
	sink_close(s, "client said QUIT");
}

#define IN(state)	(1u << (state))
#define IN_ANY		(IN(K_STATES) - 1)
#define IN_BOTH		(FOR_SMTP | FOR_LMTP)

enum { FOR_SMTP = 1, FOR_LMTP = 2, ENDS_GROUP = 4 };

/* ENDS_GROUP: input that is already here was sent too early (RFC 2920 3.1). */
static const struct {
	sink_command_fn	*run;
	unsigned	 allowed;	/* states, as IN() bits */
	unsigned	 flags;
} commands[CMD_VERBS] = {
	[CMD_HELO] = { cmd_helo, IN_ANY, FOR_SMTP },
	[CMD_EHLO] = { cmd_ehlo, IN_ANY, FOR_SMTP | ENDS_GROUP },
	[CMD_LHLO] = { cmd_ehlo, IN_ANY, FOR_LMTP | ENDS_GROUP },
	[CMD_MAIL] = { cmd_mail, IN(K_READY), IN_BOTH },
	[CMD_RCPT] = { cmd_rcpt, IN(K_MAIL) | IN(K_RCPT), IN_BOTH },
	[CMD_DATA] = { sink_data, IN(K_RCPT), IN_BOTH | ENDS_GROUP },
	[CMD_BDAT] = { sink_bdat, IN_ANY, IN_BOTH },
	[CMD_RSET] = { cmd_rset, IN_ANY, IN_BOTH },
	[CMD_NOOP] = { cmd_noop, IN_ANY, IN_BOTH },
	[CMD_VRFY] = { cmd_vrfy, IN_ANY, IN_BOTH },
	[CMD_HELP] = { cmd_help, IN_ANY, IN_BOTH },
	[CMD_QUIT] = { cmd_quit, IN_ANY, IN_BOTH },
	[CMD_XCLIENT] = { cmd_xclient, IN(K_HELO) | IN(K_READY),
	    IN_BOTH | ENDS_GROUP },
};

/* A command that is known but comes at the wrong time. */
static void
refuse_order(struct sink_session *s, enum command_verb verb)
{
	if (s->state == K_HELO)
		sink_reply(s, 503, "5.5.1 Send %s first",
		    s->sink->lmtp ? "LHLO" : "EHLO");
	else if (verb == CMD_DATA && s->state == K_MAIL)
		sink_reply(s, 554, "5.5.1 No valid recipients");
	else
		sink_reply(s, 503, "5.5.1 Bad sequence of commands");
}

void
sink_command(struct sink_session *s, const struct command *c, bool more)
{
	unsigned need = s->sink->lmtp ? FOR_LMTP : FOR_SMTP;

	if (c->verb == CMD_FOREIGN) {
		sink_reply(s, 500, "5.5.2 This is a mail server");
		sink_close(s, "not SMTP");
	} else if (commands[c->verb].run == NULL) {
		sink_reply(s, c->verb == CMD_UNKNOWN ? 500 : 502,
		    "5.5.%d Command not %s", c->verb == CMD_UNKNOWN ? 2 : 1,
		    c->verb == CMD_UNKNOWN ? "recognized" : "implemented");
	} else if (!(commands[c->verb].flags & need)) {
		sink_reply(s, 500, "5.5.1 This server speaks %s",
		    s->sink->lmtp ? "LMTP" : "SMTP");
	} else if (c->ctl && c->verb != CMD_BDAT) {
		sink_reply(s, 501, "5.5.2 Control character in the command");
	} else if (!(commands[c->verb].allowed & IN(s->state))) {
		refuse_order(s, c->verb);
	} else if (commands[c->verb].flags & ENDS_GROUP && more) {
		sink_reply(s, 554, "5.5.0 Input came too early");
		sink_close(s, "input too early");
	} else {
		commands[c->verb].run(s, c);
	}
}
