/*
 * milterd_facts - what the MTA has told of the client, for filters to read.
 *
 * It tells in two ways: by the arguments of its commands, and by macros, which
 * it sends at the stages it likes. libmilter finds a macro wherever it was
 * sent last, so all are looked for at each stage, and a macro that has gone
 * says that it is not so (any more): {auth_authen}, {tls_version}.
 */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "proxy/milterd_impl.h"

static const struct {
	const char	*name;
	int		 stage;		/* that we want it at */
} macros[MACROS] = {
	[MACRO_CLIENT_PTR]	= { "{client_ptr}", SMFIM_CONNECT },
	[MACRO_CLIENT_RESOLVE]	= { "{client_resolve}", SMFIM_CONNECT },
	[MACRO_DAEMON_ADDR]	= { "{daemon_addr}", SMFIM_CONNECT },
	[MACRO_DAEMON_PORT]	= { "{daemon_port}", SMFIM_CONNECT },
	[MACRO_IF_ADDR]		= { "{if_addr}", SMFIM_CONNECT },
	[MACRO_DAEMON_NAME]	= { "{daemon_name}", SMFIM_CONNECT },
	[MACRO_TLS_VERSION]	= { "{tls_version}", SMFIM_HELO },
	[MACRO_CIPHER]		= { "{cipher}", SMFIM_HELO },
	[MACRO_CIPHER_BITS]	= { "{cipher_bits}", SMFIM_HELO },
	[MACRO_CERT_SUBJECT]	= { "{cert_subject}", SMFIM_HELO },
	[MACRO_CERT_ISSUER]	= { "{cert_issuer}", SMFIM_HELO },
	[MACRO_VERIFY]		= { "{verify}", SMFIM_HELO },
	[MACRO_AUTH_TYPE]	= { "{auth_type}", SMFIM_ENVFROM },
	[MACRO_AUTH_AUTHEN]	= { "{auth_authen}", SMFIM_ENVFROM },
	[MACRO_PROTOCOL]	= { "r", SMFIM_ENVFROM },
	[MACRO_QUEUE_ID]	= { "i", SMFIM_ENVFROM },
};

const char *
macro_name(enum milterd_macro m, int *stage)
{
	*stage = macros[m].stage;
	return macros[m].name;
}

void
facts_take_macros(struct milterd_session *s)
{
	enum milterd_macro m;

	for (m = 0; m < MACROS; m++) {
		free(s->strings[m]);
		s->strings[m] = s->call.macros[m];
		s->call.macros[m] = NULL;
	}
}

static const char *
macro(const struct milterd_session *s, enum milterd_macro m)
{
	const char *text = s->strings[m];

	return text != NULL && *text != '\0' ? text : NULL;
}

static unsigned
number(const char *text)
{
	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* Where the client connected to. Sendmail says "IPv6:" in front. */
static void
set_local(struct milterd_session *s)
{
	const char *text = macro(s, MACRO_DAEMON_ADDR);
	struct netaddr a;

	if (text == NULL)
		text = macro(s, MACRO_IF_ADDR);
	if (text != NULL && strncasecmp(text, "IPv6:", 5) == 0)
		text += 5;
	if (text == NULL || netaddr_parse_ip(&a, text, strlen(text)) == -1)
		return;
	a.port = (uint16_t)number(macro(s, MACRO_DAEMON_PORT));
	s->facts.local = a;
}

/* A name that leads back to the client, or none: "[192.0.2.1]", "unknown". */
static const char *
confirmed_name(const char *host, const char *resolve)
{
	if (host == NULL || *host == '[' || *host == '\0' ||
	    strcmp(host, "unknown") == 0 ||
	    (resolve != NULL && strcmp(resolve, "OK") != 0))
		return NULL;
	return host;
}

static void
set_name(struct milterd_session *s, const char *host)
{
	const char *resolve = macro(s, MACRO_CLIENT_RESOLVE);
	const char *ptr = confirmed_name(macro(s, MACRO_CLIENT_PTR), NULL);
	const char *name = confirmed_name(host, resolve);

	free(s->host);
	s->host = name != NULL ? xstrdup(name) : NULL;
	s->facts.client_name = s->host;
	s->facts.reverse_name = ptr != NULL ? ptr : s->host;
	s->facts.name_failed = s->host == NULL && resolve != NULL &&
	    strncmp(resolve, "TEMP", 4) == 0;
}

void
facts_connect(struct milterd_session *s)
{
	if (s->call.sa != NULL)
		netaddr_from_sockaddr(&s->facts.client, s->call.sa);
	else if (s->call.text != NULL && strcmp(s->call.text, "localhost") == 0)
		s->facts.client.family = AF_UNIX;	/* sendmail -bs */
	set_local(s);
	set_name(s, s->call.text);
}

void
facts_helo(struct milterd_session *s)
{
	free(s->helo);
	s->helo = xstrdup(s->call.text);
}

/* No milter is told whether it was EHLO; Sendmail has a macro, later. */
static bool
is_esmtp(const struct milterd_session *s)
{
	const char *protocol = macro(s, MACRO_PROTOCOL);

	return s->helo != NULL &&
	    (protocol == NULL || strcmp(protocol, "SMTP") != 0);
}

static void
update_tls(struct milterd_session *s)
{
	struct facts *f = &s->facts;
	const char *verify = macro(s, MACRO_VERIFY);

	f->tls_version = macro(s, MACRO_TLS_VERSION);
	f->tls_cipher = macro(s, MACRO_CIPHER);
	f->tls_bits = (int)number(macro(s, MACRO_CIPHER_BITS));
	f->tls_subject = macro(s, MACRO_CERT_SUBJECT);
	f->tls_issuer = macro(s, MACRO_CERT_ISSUER);
	/* Postfix names only subjects that it trusts; Sendmail says. */
	f->tls_verified = verify != NULL ? strcmp(verify, "OK") == 0 :
	    f->tls_subject != NULL;
}

void
facts_update(struct milterd_session *s)
{
	const struct milterd_era *e = s->era;
	const char *ptr = confirmed_name(macro(s, MACRO_CLIENT_PTR), NULL);
	struct facts *f = &s->facts;

	f->id = s->id;
	f->age_ms = (clock_us() - s->started_us) / 1000;
	f->hostname = e->conf->hostname;
	f->authserv_id = content_authserv_id(e);
	f->listener = e->listener->name;
	f->reverse_name = ptr != NULL ? ptr : s->host;
	f->helo = s->helo;
	f->esmtp = is_esmtp(s);
	f->auth_user = macro(s, MACRO_AUTH_AUTHEN);
	f->auth_mechanism = macro(s, MACRO_AUTH_TYPE);
	f->errors = s->errors;
	f->bad_rcpts = s->bad_rcpts + (s->txn != NULL ?
	    (unsigned)s->txn->nrefused : 0);
	f->messages = s->messages;
	update_tls(s);
}

void
facts_free(struct milterd_session *s)
{
	enum milterd_macro m;

	for (m = 0; m < MACROS; m++)
		free(s->strings[m]);
	free(s->host);
	free(s->helo);
}
