/*
 * milter_macro - the macros of Sendmail that milters want to know, from what
 * vratar knows.
 *
 * A macro without a value is not sent: milters look whether it is there
 * ({auth_type}: sign). Names of one letter stand without braces, as Postfix
 * has them. What a milter lists in the negotiation takes the place of what is
 * sent at a stage otherwise; what the administrator adds is sent in any case.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "filters/milter_impl.h"
#include "smtp/reply.h"
#include "smtp/xtext.h"

#define ROOM	400	/* of a value that is made here */

enum macro {
	M_J, M_V, M_Z, M_UNDERSCORE, M_DAEMON_NAME, M_DAEMON_ADDR,
	M_DAEMON_PORT, M_IF_NAME, M_IF_ADDR, M_CLIENT_ADDR, M_CLIENT_NAME,
	M_CLIENT_PORT, M_CLIENT_PTR, M_CLIENT_RESOLVE,
	M_S, M_R, M_TLS_VERSION, M_CIPHER, M_CIPHER_BITS, M_CERT_SUBJECT,
	M_CERT_ISSUER,
	M_I, M_B, M_T, M_AUTH_TYPE, M_AUTH_AUTHEN, M_AUTH_AUTHOR,
	M_MAIL_ADDR, M_MAIL_HOST, M_MAIL_MAILER,
	M_RCPT_ADDR, M_RCPT_HOST, M_RCPT_MAILER, M_MSG_ID,
	M_MACROS
};

static const struct {
	const char	*name;
	int		 stage;		/* where it is sent unless somebody
					   wants it elsewhere; -1: nowhere */
} macros[M_MACROS] = {
	[M_J]			= { "j", WIRE_CONNECT },
	[M_V]			= { "v", WIRE_CONNECT },
	[M_Z]			= { "Z", -1 },
	[M_UNDERSCORE]		= { "_", WIRE_CONNECT },
	[M_DAEMON_NAME]		= { "{daemon_name}", WIRE_CONNECT },
	[M_DAEMON_ADDR]		= { "{daemon_addr}", WIRE_CONNECT },
	[M_DAEMON_PORT]		= { "{daemon_port}", WIRE_CONNECT },
	[M_IF_NAME]		= { "{if_name}", WIRE_CONNECT },
	[M_IF_ADDR]		= { "{if_addr}", WIRE_CONNECT },
	[M_CLIENT_ADDR]		= { "{client_addr}", WIRE_CONNECT },
	[M_CLIENT_NAME]		= { "{client_name}", WIRE_CONNECT },
	[M_CLIENT_PORT]		= { "{client_port}", WIRE_CONNECT },
	[M_CLIENT_PTR]		= { "{client_ptr}", WIRE_CONNECT },
	[M_CLIENT_RESOLVE]	= { "{client_resolve}", WIRE_CONNECT },
	[M_S]			= { "s", WIRE_HELO },
	[M_R]			= { "r", WIRE_HELO },
	[M_TLS_VERSION]		= { "{tls_version}", WIRE_HELO },
	[M_CIPHER]		= { "{cipher}", WIRE_HELO },
	[M_CIPHER_BITS]		= { "{cipher_bits}", WIRE_HELO },
	[M_CERT_SUBJECT]	= { "{cert_subject}", WIRE_HELO },
	[M_CERT_ISSUER]		= { "{cert_issuer}", WIRE_HELO },
	[M_I]			= { "i", WIRE_MAIL },
	[M_B]			= { "b", WIRE_MAIL },
	[M_T]			= { "t", -1 },
	[M_AUTH_TYPE]		= { "{auth_type}", WIRE_MAIL },
	[M_AUTH_AUTHEN]		= { "{auth_authen}", WIRE_MAIL },
	[M_AUTH_AUTHOR]		= { "{auth_author}", WIRE_MAIL },
	[M_MAIL_ADDR]		= { "{mail_addr}", WIRE_MAIL },
	[M_MAIL_HOST]		= { "{mail_host}", WIRE_MAIL },
	[M_MAIL_MAILER]		= { "{mail_mailer}", WIRE_MAIL },
	[M_RCPT_ADDR]		= { "{rcpt_addr}", WIRE_RCPT },
	[M_RCPT_HOST]		= { "{rcpt_host}", WIRE_RCPT },
	[M_RCPT_MAILER]		= { "{rcpt_mailer}", WIRE_RCPT },
	[M_MSG_ID]		= { "{msg_id}", WIRE_EOM },
};

/* Which */

static struct slice
without_braces(struct slice name)
{
	if (name.len > 2 && name.p[0] == '{' && name.p[name.len - 1] == '}')
		return SLICE(name.p + 1, name.len - 2);
	return name;
}

int
milter_macro_find(struct slice name)
{
	struct slice wanted = without_braces(name), has;
	int i;

	for (i = 0; i < M_MACROS; i++) {
		has = without_braces(SLICE_STR(macros[i].name));
		if (has.len == wanted.len &&
		    memcmp(has.p, wanted.p, has.len) == 0)
			return i;
	}
	return -1;
}

void
milter_macros_standard(struct milter_macros m[WIRE_STAGES])
{
	int i;

	for (i = 0; i < M_MACROS; i++)
		if (macros[i].stage != -1)
			m[macros[i].stage].id[m[macros[i].stage].n++] =
			    (uint8_t)i;
	/* libmilter forgets it with each earlier command. */
	m[WIRE_RCPT].id[m[WIRE_RCPT].n++] = M_I;
	m[WIRE_DATA].id[m[WIRE_DATA].n++] = M_I;
	m[WIRE_EOH].id[m[WIRE_EOH].n++] = M_I;
	m[WIRE_EOM].id[m[WIRE_EOM].n++] = M_I;
}

/* What they are */

static const char *
ip(const struct netaddr *a, char out[ROOM])
{
	return a->family == 0 ? NULL : netaddr_ip(a, out);
}

static const char *
number(unsigned long n, char out[ROOM])
{
	if (n == 0)
		return NULL;
	snprintf(out, ROOM, "%lu", n);
	return out;
}

static const char *
or_unknown(const char *s)
{
	return s != NULL ? s : "unknown";
}

static const char *
at_time(const char *format, char out[ROOM])
{
	struct timespec now = clock_wall();
	struct tm tm;

	gmtime_r(&now.tv_sec, &tm);
	strftime(out, ROOM, format, &tm);
	return out;
}

static const char *
host_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return at != NULL ? at + 1 : NULL;
}

static const char *
protocol(const struct facts *f)
{
	if (!f->esmtp)
		return "SMTP";
	if (f->tls_version == NULL)
		return f->auth_user != NULL ? "ESMTPA" : "ESMTP";
	return f->auth_user != NULL ? "ESMTPSA" : "ESMTPS";
}

/* A name that does not lead back is said with a warning. */
static const char *
client_text(const struct facts *f, char out[ROOM])
{
	bool forged = f->client_name == NULL && f->reverse_name != NULL;
	char text[NETADDR_TEXT];

	snprintf(out, ROOM, "%.255s [%s]%s", or_unknown(forged ?
	    f->reverse_name : f->client_name), netaddr_ip(&f->client, text),
	    forged ? " (may be forged)" : "");
	return out;
}

/* Of the client and its connection. */
static const char *
session_value(const struct facts *f, enum macro id, char out[ROOM])
{
	switch (id) {
	case M_J:
	case M_DAEMON_NAME:
	case M_IF_NAME:
		return f->hostname;
	case M_V:
	case M_Z:
		return "vratar";
	case M_UNDERSCORE:
		return client_text(f, out);
	case M_DAEMON_ADDR:
	case M_IF_ADDR:
		return ip(&f->local, out);
	case M_DAEMON_PORT:
		return number(f->local.port, out);
	case M_CLIENT_ADDR:
		return ip(&f->client, out);
	case M_CLIENT_NAME:
		return or_unknown(f->client_name);
	case M_CLIENT_PORT:
		return number(f->client.port, out);
	case M_CLIENT_PTR:
		return or_unknown(f->reverse_name);
	case M_CLIENT_RESOLVE:
		return f->client_name != NULL ? "OK" : f->name_failed ?
		    "TEMP" : f->reverse_name != NULL ? "FORGED" : "FAIL";
	case M_S:
		return f->helo;
	case M_R:
		return protocol(f);
	case M_TLS_VERSION:
		return f->tls_version;
	case M_CIPHER:
		return f->tls_cipher;
	case M_CIPHER_BITS:
		return number((unsigned long)f->tls_bits, out);
	case M_CERT_SUBJECT:
		return f->tls_verified ? f->tls_subject : NULL;
	case M_CERT_ISSUER:
		return f->tls_verified ? f->tls_issuer : NULL;
	case M_AUTH_TYPE:
		/* It may be XCLIENT that says who it is: so does Postfix. */
		return f->auth_user == NULL ? NULL :
		    f->auth_mechanism != NULL ? f->auth_mechanism : "XCLIENT";
	case M_AUTH_AUTHEN:
		return f->auth_user;
	case M_B:
		return at_time("%a, %d %b %Y %H:%M:%S +0000", out);
	case M_T:
		return at_time("%Y%m%d%H%M", out);
	default:
		return NULL;
	}
}

/* The AUTH= of MAIL (RFC 4954 5), from somebody who has logged in: of others it
   proves nothing. */
static const char *
auth_author(const struct facts *f, const struct txn *t, char out[ROOM])
{
	const char *p = t->params;
	struct buf text;
	size_t len;

	for (; f->auth_user != NULL && *p != '\0'; p += len) {
		p += strspn(p, " ");
		len = strcspn(p, " ");
		if (len <= 5 || strncasecmp(p, "AUTH=", 5) != 0)
			continue;
		buf_init(&text, ROOM - 1);
		if (xtext_decode(&text, p + 5, len - 5) == -1)
			buf_reset(&text);
		snprintf(out, ROOM, "%s", text.len > 0 ? text.p : "");
		buf_fini(&text);
		return *out != '\0' ? out : NULL;
	}
	return NULL;
}

/* As Postfix has it of a recipient that was refused: the mailer is "error", its
   host the enhanced code, and its address the text. */
static const char *
refusal_value(const char *reply, enum macro id, char out[ROOM])
{
	int code = (int)strtol(reply, NULL, 10);
	size_t len, n;

	if (id == M_RCPT_MAILER)
		return "error";
	reply += strlen(reply) > 4 ? 4 : strlen(reply);
	len = strcspn(reply, "\n");
	n = reply_enhanced(code, reply, len);
	if (id == M_RCPT_HOST && n == 0)
		snprintf(out, ROOM, "%d.0.0", code / 100);
	else if (id == M_RCPT_HOST)
		snprintf(out, ROOM, "%.*s", (int)n, reply);
	else {
		n += n < len && reply[n] == ' ';
		snprintf(out, ROOM, "%.*s", (int)(len - n), reply + n);
	}
	return out;
}

static const char *
rcpt_value(const struct milter_session *m, enum macro id, char out[ROOM])
{
	if (m->refusal_of_rcpt != NULL)
		return refusal_value(m->refusal_of_rcpt, id, out);
	return id == M_RCPT_MAILER ? "smtp" : id == M_RCPT_HOST ?
	    host_of(m->rcpt->address) : m->rcpt->address;
}

/* Of the message, or else of the session. */
static const char *
value(const struct milter_session *m, enum macro id, char out[ROOM])
{
	const struct txn *t = m->txn;

	switch (id) {
	case M_I:
		/* As the decision record has it. */
		snprintf(out, ROOM, "%08llx.%u",
		    (unsigned long long)m->slot->id, t != NULL ? t->serial : 0);
		return t != NULL ? out : NULL;
	case M_AUTH_AUTHOR:
		return t != NULL ? auth_author(m->slot->facts, t, out) : NULL;
	case M_MSG_ID:
		return m->message_id;
	case M_MAIL_ADDR:
		return t != NULL ? t->from : NULL;
	case M_MAIL_HOST:
		return t != NULL ? host_of(t->from) : NULL;
	case M_MAIL_MAILER:
		return t != NULL ? "smtp" : NULL;
	case M_RCPT_ADDR:
	case M_RCPT_HOST:
	case M_RCPT_MAILER:
		return m->rcpt != NULL ? rcpt_value(m, id, out) : NULL;
	default:
		return session_value(m->slot->facts, id, out);
	}
}

/* Sending */

static int
stage_of(char command)
{
	switch (command) {
	case SMFIC_CONNECT:
		return WIRE_CONNECT;
	case SMFIC_HELO:
		return WIRE_HELO;
	case SMFIC_MAIL:
		return WIRE_MAIL;
	case SMFIC_RCPT:
		return WIRE_RCPT;
	case SMFIC_DATA:
		return WIRE_DATA;
	case SMFIC_EOH:
		return WIRE_EOH;
	case SMFIC_BODYEOB:
		return WIRE_EOM;
	default:
		return -1;
	}
}

static void
put(const struct milter_session *m, struct buf *out, size_t start,
    const struct milter_macros *list)
{
	char text[ROOM];
	const char *v;
	unsigned i;

	for (i = 0; i < list->n; i++)
		if ((v = value(m, list->id[i], text)) != NULL)
			wire_macro(out, start, macros[list->id[i]].name, v);
}

void
milter_macros_put(const struct milter_session *m, struct buf *out,
    char command)
{
	const struct milter *it = m->milter;
	int stage = stage_of(command);
	size_t start, i;

	if (stage == -1)
		return;
	start = wire_macros_begin(out, command);
	put(m, out, start, m->chose[stage] ? &m->wanted[stage] :
	    &it->standard[stage]);
	put(m, out, start, &it->added[stage]);
	for (i = 0; i < it->ntexts; i++)
		if ((int)it->texts[i].stage == stage)
			wire_macro(out, start, it->texts[i].name,
			    it->texts[i].value);
	wire_macros_end(out, start);
}
