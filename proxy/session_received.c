/*
 * session_received - our line in the history of a message (RFC 5321 4.4), as
 * Postfix writes it.
 *
 *	from HELO (NAME [IP])
 *		(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256
 *		bits))
 *		by HOSTNAME (vratar) with ESMTPS id 00000001
 *		for <RCPT>; Mon, 23 Nov 2026 18:13:05 +0000
 *
 * What the client said of itself is cut and loses what has a meaning in a
 * header. The recipient is named only when there is one: others need not know
 * of each other.
 */

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "proxy/session_impl.h"

#define WORD_MAX	255

/* A word from outside: RFC 5322's specials would be comments and the like. */
static void
add_word(struct buf *b, const char *p)
{
	size_t i;

	for (i = 0; p[i] != '\0' && i < WORD_MAX; i++)
		buf_addc(b, p[i] > ' ' && p[i] < 127 &&
		    strchr("()<>\\\";,@", p[i]) == NULL ? p[i] : '?');
}

static void
add_client(struct buf *b, const struct session *s)
{
	char ip[NETADDR_TEXT];

	buf_adds(b, "from ");
	add_word(b, s->helo != NULL ? s->helo : "unknown");
	buf_adds(b, " (");
	add_word(b, s->client_name != NULL ? s->client_name : "unknown");
	buf_addf(b, " [%s%s])", s->client_addr.family == AF_INET6 ? "IPv6:" :
	    "", netaddr_ip(&s->client_addr, ip));
}

static void
add_tls(struct buf *b, const struct session *s)
{
	SSL *ssl = conn_tls(s->client);
	int bits, of;

	if (ssl == NULL)
		return;
	bits = SSL_get_cipher_bits(ssl, &of);
	buf_addf(b, "\n\t(using %s with cipher %s (%d/%d bits))",
	    SSL_get_version(ssl), SSL_get_cipher_name(ssl), bits, of);
}

/* RFC 3848, RFC 6531 4.3 */
static void
add_protocol(struct buf *b, const struct session *s)
{
	bool utf8 = (s->txn->present & 1u << PARAM_SMTPUTF8) != 0;
	bool auth = s->authenticated || s->login != NULL;

	buf_addf(b, " with %s", utf8 ? "UTF8SMTP" : s->esmtp ? "ESMTP" :
	    "SMTP");
	if (s->esmtp)
		buf_addf(b, "%s%s", session_is_tls(s) ? "S" : "",
		    auth ? "A" : "");
}

/* The only one whom the backend accepted, or NULL. */
static const char *
only_recipient(const struct txn *t)
{
	size_t i;

	for (i = 0; t->naccepted == 1 && i < t->nrcpts; i++)
		if (t->rcpts[i]->state == RCPT_ACCEPTED)
			return t->rcpts[i]->address;
	return NULL;
}

static void
add_date(struct buf *b)
{
	struct timespec now = clock_wall();
	struct tm tm;
	char text[64];

	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "; %a, %d %b %Y %H:%M:%S +0000", &tm);
	buf_adds(b, text);
}

char *
session_received(const struct session *s)
{
	const char *rcpt = only_recipient(s->txn);
	struct buf b;

	buf_init(&b, 8192);
	add_client(&b, s);
	add_tls(&b, s);
	buf_addf(&b, "\n\tby %s (vratar)", s->conf->hostname);
	add_protocol(&b, s);
	buf_addf(&b, " id %08llx", (unsigned long long)s->id);
	if (rcpt != NULL)
		buf_addf(&b, "\n\tfor <%s>", rcpt);
	add_date(&b);
	return b.p;
}
