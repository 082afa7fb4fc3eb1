/*
 * session_command - the verbs of SMTP: where each is legal, and its handler.
 *
 * The dispatcher looks the verb up, compares the state, and answers 5xx or
 * calls; handlers never test the state again. A handler checks, asks, and
 * either replies or queues what session_forward() will send.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "proxy/access.h"
#include "proxy/auth_user.h"
#include "proxy/session_impl.h"
#include "rules/keys.h"
#include "smtp/xclient.h"

typedef void command_fn(struct session *s, const struct command *c);

static command_fn cmd_helo, cmd_ehlo, cmd_mail, cmd_rcpt, cmd_data, cmd_bdat,
    cmd_rset, cmd_noop, cmd_vrfy, cmd_expn, cmd_help, cmd_quit, cmd_starttls,
    cmd_auth, cmd_xclient, cmd_xforward, cmd_foreign, cmd_unknown;

#define IN_GREETED	(IN(S_HELO) | IN(S_READY) | IN(S_MAIL) | IN(S_RCPT) | \
			 IN(S_BDAT))

#define NOT_GIVEN	"?"	/* no name that XCLIENT can give */
#define RECIPIENT_MS	10000	/* for a remote table of recipients to answer */

#define CMD_JUNK	1	/* harmless once, an attack a thousand times */
#define CMD_BEFORE_TLS	2	/* works where starttls = "required" */
#define CMD_NO_ARG	4	/* 501 with an argument */
#define CMD_OCTETS	8	/* whose handler must see it, whatever is wrong
				   with it: octets follow that are no commands */

static const struct {
	command_fn	*run;
	unsigned	 allowed;	/* states, as IN() bits */
	unsigned	 flags;
} commands[CMD_VERBS] = {
	[CMD_UNKNOWN]	= { cmd_unknown, IN_GREETED, CMD_BEFORE_TLS },
	[CMD_FOREIGN]	= { cmd_foreign, IN_GREETED, CMD_BEFORE_TLS },
	[CMD_HELO]	= { cmd_helo, IN_GREETED, CMD_JUNK },
	[CMD_EHLO]	= { cmd_ehlo, IN_GREETED, CMD_JUNK | CMD_BEFORE_TLS },
	[CMD_LHLO]	= { cmd_unknown, IN_GREETED, 0 },
	[CMD_STARTTLS]	= { cmd_starttls, IN(S_READY), CMD_BEFORE_TLS },
	[CMD_AUTH]	= { cmd_auth, IN(S_READY), 0 },
	[CMD_XCLIENT]	= { cmd_xclient, IN(S_HELO) | IN(S_READY), 0 },
	[CMD_XFORWARD]	= { cmd_xforward, IN_GREETED, 0 },
	[CMD_MAIL]	= { cmd_mail, IN(S_READY), 0 },
	[CMD_RCPT]	= { cmd_rcpt, IN(S_MAIL) | IN(S_RCPT), 0 },
	[CMD_DATA]	= { cmd_data, IN(S_MAIL) | IN(S_RCPT), CMD_NO_ARG },
	[CMD_BDAT]	= { cmd_bdat, IN_GREETED, CMD_OCTETS |
						      CMD_BEFORE_TLS },
	[CMD_RSET]	= { cmd_rset, IN_GREETED, CMD_JUNK | CMD_NO_ARG },
	[CMD_NOOP]	= { cmd_noop, IN_GREETED, CMD_JUNK | CMD_BEFORE_TLS },
	[CMD_VRFY]	= { cmd_vrfy, IN_GREETED, CMD_JUNK },
	[CMD_EXPN]	= { cmd_expn, IN_GREETED, CMD_JUNK },
	[CMD_HELP]	= { cmd_help, IN_GREETED, CMD_JUNK },
	[CMD_QUIT]	= { cmd_quit, IN_GREETED, CMD_BEFORE_TLS },
};

bool
session_is_tls(const struct session *s)
{
	return conn_tls(s->client) != NULL;
}

bool
session_is_group(enum command_verb v)
{
	return v == CMD_MAIL || v == CMD_RCPT;
}

static bool
has_tls_to_offer(const struct session *s)
{
	return s->listener->tls != NULL && !session_is_tls(s) &&
	    s->listener->starttls != STARTTLS_OFF;
}

const char *
session_needs_tls(const struct session *s)
{
	bool require = s->listener->ask_certificate == TLS_ASK_REQUIRE;

	if (!session_is_tls(s))
		return require || s->listener->starttls == STARTTLS_REQUIRED ?
		    "530 5.7.0 must issue a STARTTLS command first" : NULL;
	if (!require || (s->certificate != NULL && s->certificate->verified))
		return NULL;
	return s->certificate != NULL ?
	    "530 5.7.0 client certificate is not trusted" :
	    "530 5.7.0 no client certificate presented";
}

void
session_command(struct session *s, const struct command *c)
{
	unsigned flags = commands[c->verb].flags;
	const char *needs_tls = flags & CMD_BEFORE_TLS ? NULL :
	    session_needs_tls(s);

	if (flags & CMD_JUNK)
		s->junk++;
	if (c->ctl && c->verb != CMD_FOREIGN && !(flags & CMD_OCTETS))
		session_reply(s, 501, "5.5.2 control character in a command");
	else if (!(commands[c->verb].allowed & IN(s->state)))
		session_reply(s, 503, "5.5.1 bad sequence of commands%s",
		    s->state == S_HELO ? ": send EHLO first" : "");
	else if (needs_tls != NULL)
		session_reply_text(s, needs_tls);
	else if (flags & CMD_NO_ARG && c->arg.len > 0)
		session_reply(s, 501, "5.5.4 %s takes no argument",
		    command_name(c->verb));
	else
		commands[c->verb].run(s, c);
}

static const char *
take(char **to, const char *value)
{
	char *copy = value != NULL ? xstrdup(value) : NULL;

	free(*to);
	*to = copy;
	return copy;
}

/* What is not SMTP */

static void
cmd_unknown(struct session *s, const struct command *c)
{
	session_ask_unknown(s, c);
}

static void
cmd_foreign(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 500, "5.5.2 this is an SMTP server");
	session_close(s, CLOSE_NOT_SMTP);
}

/* Greetings */

void
session_greet(struct session *s)
{
	session_reply(s, 220, "%s ESMTP", s->conf->hostname);
	session_enter(s, S_HELO);
}

/* EHLO and HELO begin anew, whatever was before (RFC 5321 4.1.4). */
static bool
begin(struct session *s, const struct command *c)
{
	bool esmtp = c->verb == CMD_EHLO;

	if (c->arg.len == 0) {
		session_reply(s, 501, "5.5.4 %s needs your host name",
		    command_name(c->verb));
		return false;
	}
	if (!helo_is_safe(c->arg.p, c->arg.len)) {
		session_reply(s, 501, "5.5.2 %s needs a host name or an "
		    "address literal", command_name(c->verb));
		return false;
	}
	session_end_txn(s);
	/* The backend was told another name, or of HELO, not EHLO. */
	if (s->helo != NULL && !s->authenticated &&
	    (!slice_is(c->arg, s->helo) || s->esmtp != esmtp))
		session_release_backend(s, false);
	free(s->helo);
	s->helo = xstrndup(c->arg.p, c->arg.len);
	s->esmtp = esmtp;
	memset(&s->offered, 0, sizeof(s->offered));
	session_enter(s, S_READY);
	return true;
}

static void
cmd_helo(struct session *s, const struct command *c)
{
	if (begin(s, c))
		session_ask_helo(s);
}

void
session_helo(struct session *s)
{
	struct reply r;

	if (s->esmtp) {
		session_ask_name(s);
		session_ehlo(s);
		return;
	}
	reply_init(&r);
	reply_set(&r, 250, "%s", s->conf->hostname);
	session_reply_as(s, &r, true);
	reply_fini(&r);
}

/* Say what both sides can do; the answer to EHLO. */
void
session_offer(struct session *s)
{
	struct ext_ours ours = {
		.size = s->conf->message_size_limit,
		.rcptmax = (unsigned)s->conf->recipient_limit,
		.starttls = has_tls_to_offer(s),
		.tls = session_is_tls(s),
		.auth = (session_is_tls(s) || s->conf->auth_without_tls) &&
		    !s->authenticated,
		.binary = session_may_chunk(s),
	};
	const struct ext_set *theirs;
	struct ext_set room;
	struct reply r;

	if (s->trusted_xclient)
		ours.xclient = 1u << XATTR_NAME | 1u << XATTR_ADDR |
		    1u << XATTR_PORT | 1u << XATTR_PROTO | 1u << XATTR_HELO |
		    1u << XATTR_LOGIN | 1u << XATTR_DESTADDR |
		    1u << XATTR_DESTPORT;
	theirs = session_backend_ext(s, &room);
	ext_intersect(&s->offered, &ours, theirs);
	if (theirs != NULL)
		session_leave_room(s, &s->offered.size, theirs->size);
	reply_init(&r);
	ext_format(&s->offered, s->conf->hostname, &r);
	session_reply_as(s, &r, true);
	reply_fini(&r);
}

static void
cmd_ehlo(struct session *s, const struct command *c)
{
	if (begin(s, c))
		session_ask_helo(s);
}

static void
cmd_starttls(struct session *s, const struct command *c)
{
	SSL *ssl;

	if (c->arg.len > 0) {
		session_reply(s, 501, "5.5.4 STARTTLS takes no argument");
		return;
	}
	if (!has_tls_to_offer(s)) {
		session_reply(s, session_is_tls(s) ? 503 : 502,
		    session_is_tls(s) ? "5.5.1 TLS is active already" :
		    "5.5.1 STARTTLS is not offered");
		return;
	}
	/* A client, or somebody between us and the client, that sends more
	   before the handshake wants it taken as if it came encrypted. */
	if (evbuffer_get_length(conn_input(s->client)) > 0) {
		session_reply(s, 554, "5.5.0 input behind STARTTLS");
		session_close(s, CLOSE_STARTTLS_INJECTION);
		return;
	}
	if ((ssl = SSL_new(s->listener->tls)) == NULL) {
		session_reply(s, 454, "4.7.0 TLS is not available now");
		return;
	}
	session_reply(s, 220, "2.0.0 ready to start TLS");
	/* RFC 3207 4.2: forget what came in plain text. */
	session_release_backend(s, false);
	s->authenticated = false;
	take(&s->auth_user, NULL);
	free(s->helo);
	s->helo = NULL;
	s->esmtp = false;
	session_enter(s, S_HELO);
	session_wait(s, BUSY_TLS, NULL);
	conn_start_tls(s->client, ssl, true);
}

/* XCLIENT, from those who may. The session starts again with the banner. */

/* The name in an XCLIENT: given, given as unavailable, or not at all. */
static void
take_name(struct session *s, const struct xclient *x, bool same_address)
{
	bool given = x->name == NULL || strcmp(x->name, NOT_GIVEN) != 0;

	if (given) {
		s->name_given = true;
		take(&s->client_name, x->name);
		take(&s->reverse_name, x->reverse_name);
	} else if (!same_address && !s->name_given) {
		/* DNS said it of the old address. */
		take(&s->client_name, NULL);
		take(&s->reverse_name, NULL);
	}
	if (s->name_given)
		s->name_state = x->name == NULL && x->name_tempfail ?
		    NAME_FAILED : NAME_DONE;
}

static void
cmd_xclient(struct session *s, const struct command *c)
{
	struct xclient x = {
		.addr = s->client_addr, .dest = s->local_addr,
		.name = NOT_GIVEN, .reverse_name = s->reverse_name,
		.helo = s->helo, .login = s->login,
	};
	struct buf store;
	const char *why;
	bool same;

	if (!s->trusted_xclient) {
		session_reply(s, 550, "5.7.1 XCLIENT is not for you");
		return;
	}
	buf_init(&store, 4096);
	if (xclient_parse(&x, c->arg, &store, &why) == -1) {
		session_reply(s, 501, "5.5.4 XCLIENT: %s", why);
		buf_fini(&store);
		return;
	}
	session_end_txn(s);
	session_release_backend(s, false);
	s->authenticated = false;
	session_forget_name(s);
	same = netaddr_same_ip(&s->client_addr, &x.addr);
	s->client_addr = x.addr;
	s->local_addr = x.dest;
	take_name(s, &x, same);
	take(&s->login, x.login);
	free(s->helo);
	s->helo = NULL;
	s->esmtp = false;
	buf_fini(&store);
	session_log_xclient(s);
	session_end_chain(s);
	session_enter(s, S_GREETING);
	session_connect(s);
}

static void
cmd_xforward(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 550, "5.7.1 XFORWARD is not for you");
}

/* The envelope */

static void
cmd_mail(struct session *s, const struct command *c)
{
	struct address from;
	struct params params;
	struct slice path;
	const char *why;
	size_t used;

	if (command_path_arg(c->arg, "FROM", s->conf->lenient_paths, &path)) {
		session_reply(s, 501, "5.5.4 syntax: MAIL FROM:<address>");
		return;
	}
	if (address_parse_path(&from, PATH_REVERSE, path.p, path.len, true,
	    &s->conf->address, &used, &why) == -1) {
		session_reply(s, 501, "5.1.7 %s", why);
		return;
	}
	path.p += used;
	path.len -= used;
	if (params_parse(&params, PARAM_MAIL, path,
	    s->esmtp ? &s->offered : NULL, &why) == -1) {
		session_reply_text(s, why);
		return;
	}
	if (from.utf8 && !(params.present & 1u << PARAM_SMTPUTF8)) {
		session_reply(s, 553, "5.6.7 the address needs SMTPUTF8");
		return;
	}
	if (s->offered.size > 0 && params.size > s->offered.size) {
		session_reply(s, 552, "5.3.4 message size exceeds the limit "
		    "of %llu octets", (unsigned long long)s->offered.size);
		return;
	}
	s->txn = txn_new(&from, &params);
	s->txn->serial = ++s->serial;
	session_ask_mail(s);
}

static size_t
recipient_limit(const struct session *s)
{
	size_t limit = s->conf->recipient_limit;

	if (s->offered.rcptmax > 0 && s->offered.rcptmax < limit)
		return s->offered.rcptmax;
	return limit;
}

/* Log what we refuse ourselves; the rest is logged with its reply. r is ours;
   NULL: the filters have been asked about it already. */
static void
refuse_rcpt(struct session *s, struct txn_rcpt *r, const char *reply,
    const char *by, const struct address *to)
{
	s->txn->nrefused++;
	session_log_rcpt(s, to->text, "reject", by, reply);
	session_refuse_rcpt(s, r, reply);
}

void
session_take_rcpt(struct session *s, struct txn_rcpt *r,
    const struct address *to)
{
	const char *reply = session_route(s, to);

	if (reply != NULL) {
		refuse_rcpt(s, NULL, reply, "route", to);
		txn_rcpt_free(&r);
		return;
	}
	r->slot = slot_new(s);
	txn_add_rcpt(s->txn, r);
}

/* relay-domains and recipients have nothing against it; r is ours. */
static void
approve_rcpt(struct session *s, struct txn_rcpt *r, const struct address *to)
{
	if (s->chain != NULL)
		session_ask_rcpt(s, r, to);
	else
		session_take_rcpt(s, r, to);
}

/* The table has said whether the recipient is there, or could not. */
static void
after_lookup(struct session *s)
{
	struct txn_rcpt *r = s->asked_rcpt;
	struct address to = *s->asked_to;
	struct access_refusal why;

	s->asked_rcpt = NULL;
	free(s->asked_to);
	s->asked_to = NULL;
	s->txn->nwaiting--;
	if (access_found(&to, s->found, &why) == ACCESS_YES)
		approve_rcpt(s, r, &to);
	else
		refuse_rcpt(s, r, why.reply, why.by, &to);
	if (s->state != S_CLOSING && s->txn != NULL)
		session_end_if_refused(s);
}

static void
on_lookup(void *arg, enum table_result r, const char *value)
{
	struct session *s;

	(void)value;
	OBJ_CAST(s, arg, SESSION_MAGIC);
	s->lookup = NULL;
	s->found = r;
	session_resume(s);
}

void
session_forget_recipient(struct session *s)
{
	lookup_cancel(&s->lookup);
}

static void
look_up(struct session *s, struct txn_rcpt *r, const struct address *to,
    const struct keys *keys)
{
	s->asked_rcpt = r;
	s->asked_to = xmalloc(sizeof(*to));
	*s->asked_to = *to;
	s->txn->nwaiting++;		/* it keeps the transaction open */
	if (s->w->recipients == NULL) {
		s->found = TABLE_FAILED;
		after_lookup(s);
		return;
	}
	s->lookup = lookup(s->w->recipients, keys, RECIPIENT_MS, on_lookup, s);
	session_wait(s, BUSY_RECIPIENT, after_lookup);
}

/* The syntax is good: may he be written to? */
static void
check_rcpt(struct session *s, const struct address *to,
    const struct params *params)
{
	struct access_refusal why;
	struct keys keys;

	keys_init(&keys);
	switch (access_rcpt(s->conf, to, s->authenticated || s->login != NULL,
	    &keys, &why)) {
	case ACCESS_YES:
		approve_rcpt(s, txn_rcpt_new(to, params), to);
		break;
	case ACCESS_NO:
		refuse_rcpt(s, txn_rcpt_new(to, params), why.reply, why.by,
		    to);
		break;
	case ACCESS_ASK:
		look_up(s, txn_rcpt_new(to, params), to, &keys);
		break;
	}
	keys_fini(&keys);
}

static void
cmd_rcpt(struct session *s, const struct command *c)
{
	struct address to;
	struct params params;
	struct slice path;
	const char *why;
	size_t used;

	if (command_path_arg(c->arg, "TO", s->conf->lenient_paths, &path)) {
		session_reply(s, 501, "5.5.4 syntax: RCPT TO:<address>");
		return;
	}
	if (address_parse_path(&to, PATH_FORWARD, path.p, path.len, true,
	    &s->conf->address, &used, &why) == -1) {
		session_reply(s, 501, "5.1.3 %s", why);
		return;
	}
	path.p += used;
	path.len -= used;
	if (params_parse(&params, PARAM_RCPT, path,
	    s->esmtp ? &s->offered : NULL, &why) == -1)
		session_reply_text(s, why);
	else if (to.utf8 && !(s->txn->present & 1u << PARAM_SMTPUTF8))
		session_reply(s, 553, "5.6.7 the address needs SMTPUTF8");
	else if (s->txn->naccepted + s->txn->nwaiting >= recipient_limit(s))
		refuse_rcpt(s, txn_rcpt_new(&to, &params), "452 4.5.3 too many "
		    "recipients", "recipient-limit", &to);
	else
		check_rcpt(s, &to, &params);
}

/* Content */

static void
cmd_data(struct session *s, const struct command *c)
{
	(void)c;
	if (s->txn->naccepted == 0) {
		session_reply(s, 554, "5.5.1 no valid recipients");
		return;
	}
	if (s->bdat_failed) {
		session_reply(s, 503, "5.5.1 send RSET first");
		return;
	}
	if (s->txn->body == BODY_BINARYMIME) {
		session_reply(s, 503, "5.5.1 BINARYMIME needs BDAT");
		return;
	}
	session_ask_data(s);
}

void
session_approve_data(struct session *s)
{
	/* RFC 2920 3.1: the client must wait for our 354. */
	if (evbuffer_get_length(conn_input(s->client)) > 0) {
		session_reply(s, 554, "5.5.0 input before the reply to DATA");
		session_close(s, CLOSE_TOO_EARLY);
		return;
	}
	session_start_data(s);
}

static void
cmd_bdat(struct session *s, const struct command *c)
{
	uint64_t size;
	bool last;

	if (command_bdat_arg(c->arg, &size, &last) == -1) {
		/* Nobody knows where its data ends and commands begin. */
		session_reply(s, 501, "5.5.4 syntax: BDAT size [LAST]");
		session_close(s, CLOSE_BAD_BDAT);
		return;
	}
	session_start_chunk(s, size, last);
}

/* The rest */

static void
cmd_rset(struct session *s, const struct command *c)
{
	(void)c;
	session_end_txn(s);
	if (s->state != S_HELO)
		session_enter(s, S_READY);
	session_reply(s, 250, "2.0.0 Ok");
}

static void
cmd_noop(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 250, "2.0.0 Ok");
}

static void
cmd_vrfy(struct session *s, const struct command *c)
{
	if (c->arg.len == 0)
		session_reply(s, 501, "5.5.4 syntax: VRFY address");
	else
		session_reply(s, 252, "2.0.0 cannot verify here; send some "
		    "mail and see");
}

static void
cmd_expn(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 502, "5.5.1 EXPN is not offered");
}

static void
cmd_help(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 214, "2.0.0 see RFC 5321");
}

static void
cmd_quit(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 221, "2.0.0 Bye");
	session_close(s, CLOSE_QUIT);
}

/* AUTH: an opaque exchange between the client and the backend (RFC 4954) */

/* "=" alone is an empty initial response. */
static bool
is_base64(struct slice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) &&
		    memchr("+/=", s.p[i], 3) == NULL)
			return false;
	return true;
}

/* The first message of an exchange says who it is about. */
static void
read_along(struct session *s, struct slice message)
{
	if (s->auth_first)
		s->auth_user = auth_user(s->auth_mech, message.p, message.len);
	s->auth_first = false;
}

static void
cmd_auth(struct session *s, const struct command *c)
{
	struct slice rest = c->arg, mech, initial;
	int m;

	if (s->authenticated) {
		session_reply(s, 503, "5.5.1 already authenticated");
		return;
	}
	if (!session_is_tls(s) && !s->conf->auth_without_tls) {
		session_reply(s, 538, "5.7.11 encryption required for AUTH");
		return;
	}
	if (!slice_word(&rest, &mech)) {
		session_reply(s, 501, "5.5.4 syntax: AUTH mechanism");
		return;
	}
	m = auth_mech_find(mech);
	if (!s->esmtp || !ext_has(&s->offered, EXT_BIT(AUTH)) || m == -1 ||
	    !(s->offered.auth & 1u << m)) {
		session_reply(s, 504, "5.5.4 mechanism is not offered");
		return;
	}
	take(&s->auth_user, NULL);
	s->auth_mech = (enum auth_mech)m;
	s->auth_mechanism = auth_mech_name(s->auth_mech);
	s->auth_first = true;
	if (slice_word(&rest, &initial)) {
		if (!is_base64(initial) || slice_word(&rest, &mech)) {
			session_reply(s, 501, "5.5.2 cannot decode");
			return;
		}
		read_along(s, initial);
		session_auth(s, xasprintf("AUTH %s %.*s",
		    auth_mech_name((enum auth_mech)m), (int)initial.len,
		    initial.p));
	} else
		session_auth(s, xasprintf("AUTH %s",
		    auth_mech_name((enum auth_mech)m)));
}

void
session_auth_line(struct session *s, const char *line, size_t len)
{
	struct slice text = SLICE(line, len);

	/* Whatever it is, it goes on as one line, or the exchange ends. */
	if (!is_base64(text) && !slice_is(text, "*"))
		session_auth(s, xstrdup("*"));
	else {
		read_along(s, text);
		session_auth(s, xstrndup(line, len));
	}
}
