/*
 * tls - OpenSSL contexts for listeners and backends.
 *
 * Contexts are made in the master, so session tickets are encrypted with keys
 * that all workers inherit; the server-side session cache, which each worker
 * would have for itself, is off. A ticket of one listener is worthless at
 * another: keys and session id context differ (a client that proved something
 * here has not proved it there).
 *
 * Mail between hosts that do not know each other is encrypted as well as both
 * can. That is why a client context without verification takes any certificate
 * and still asks for nothing below TLS 1.2.
 */

#include "proxy/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

#define TLS_ERROR_ROOM	256
#define NAME_MAX_OCTETS	1000	/* of a subject; a longer one is not told */

void
tls_init(void)
{
	OPENSSL_init_ssl(0, NULL);
	ERR_clear_error();
}

/* The first error is the cause, the others are the way up from it. */
char *
tls_error(char *out, size_t outlen)
{
	unsigned long e = ERR_get_error();
	const char *reason;

	if (e == 0)
		reason = "unknown error";
	else if (ERR_SYSTEM_ERROR(e))
		reason = strerror(ERR_GET_REASON(e));
	else if ((reason = ERR_reason_error_string(e)) == NULL)
		reason = ERR_lib_error_string(e);
	snprintf(out, outlen, "%s", reason ? reason : "unknown error");
	ERR_clear_error();
	return out;
}

/* A daemon has nobody to ask: a key with a passphrase is a mistake. */
static int
on_passphrase(char *buf, int size, int rwflag, void *arg)
{
	bool *asked = arg;

	(void)buf, (void)size, (void)rwflag;
	if (asked != NULL)
		*asked = true;
	return -1;
}

/* What both sides have in common. */
static SSL_CTX *
context_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx;

	ERR_clear_error();
	if ((ctx = SSL_CTX_new(method)) == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* What is written may move between two tries: it is in an evbuffer. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
	return ctx;
}

static int
set_session_id_context(SSL_CTX *ctx, const char *name)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (EVP_Digest(name, strlen(name), digest, &len, EVP_sha256(),
	    NULL) != 1)
		return -1;
	return SSL_CTX_set_session_id_context(ctx, digest,
	    len < SSL_MAX_SID_CTX_LENGTH ? len : SSL_MAX_SID_CTX_LENGTH) == 1 ?
	    0 : -1;
}

/* OpenSSL's words for a file without what is looked for help nobody. */
static bool
finds_none(void)
{
	unsigned long e = ERR_peek_error();
	bool none = ERR_GET_REASON(e) == ERR_R_UNSUPPORTED ||
	    (ERR_GET_LIB(e) == ERR_LIB_PEM &&
	    ERR_GET_REASON(e) == PEM_R_NO_START_LINE);

	if (none)
		ERR_clear_error();
	return none;
}

/* What is wrong with the certificate; ours to free. */
static char *
why_no_certificate(const char *file)
{
	char text[TLS_ERROR_ROOM];

	if (finds_none())
		return xasprintf("no certificate in %s (PEM begins with "
		    "-----BEGIN CERTIFICATE-----)", file);
	return xasprintf("cannot read certificate %s: %s", file,
	    tls_error(text, sizeof(text)));
}

/* What is wrong with the key; ours to free. */
static char *
why_no_key(const char *certificate, const char *key, bool asked)
{
	char text[TLS_ERROR_ROOM];

	if (asked) {
		ERR_clear_error();
		return xasprintf("cannot read key %s: it has a passphrase",
		    key);
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) ==
	    X509_R_KEY_VALUES_MISMATCH) {
		ERR_clear_error();
		return xasprintf("the key in %s does not match the "
		    "certificate in %s", key, certificate);
	}
	if (finds_none())
		return xasprintf("no key in %s (PEM begins with -----BEGIN "
		    "PRIVATE KEY-----)%s", key, strcmp(key, certificate) == 0 ?
		    ": set tls-key" : "");
	return xasprintf("cannot read key %s: %s", key,
	    tls_error(text, sizeof(text)));
}

/* 0, or -1 with *why. */
static int
load_keys(SSL_CTX *ctx, const char *certificate, const char *key, char **why)
{
	bool asked = false;
	int r;

	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
		*why = why_no_certificate(certificate);
		return -1;
	}
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	r = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (r == 1)
		return 0;
	*why = why_no_key(certificate, key, asked);
	return -1;
}

static SSL_CTX *
no_context(SSL_CTX *ctx, char **why)
{
	char text[TLS_ERROR_ROOM];

	*why = xasprintf("no TLS context: %s", tls_error(text, sizeof(text)));
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *
tls_server(const char *name, const char *certificate, const char *key,
    char **why)
{
	SSL_CTX *ctx = context_new(TLS_server_method());

	if (ctx == NULL || set_session_id_context(ctx, name) == -1)
		return no_context(ctx, why);
	if (load_keys(ctx, certificate, key ? key : certificate, why) == -1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* Clients */

/* Whoever it is may go on: what he may do is decided later, in words. */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

/* A ticket says who the client was, by the lights of those who gave it. */
static int
bind_tickets(SSL_CTX *ctx, const char *name, enum tls_ask ask,
    const char *ca_file)
{
	char *all = xasprintf("%s\n%d\n%s", name, (int)ask,
	    ca_file ? ca_file : "");
	int r = set_session_id_context(ctx, all);

	free(all);
	return r;
}

int
tls_ask_clients(SSL_CTX *ctx, const char *name, enum tls_ask ask,
    const char *ca_file, char **why)
{
	STACK_OF(X509_NAME) *names = NULL;
	char text[TLS_ERROR_ROOM];

	ERR_clear_error();
	if (bind_tickets(ctx, name, ask, ca_file) == -1 ||
	    (ca_file != NULL && (SSL_CTX_load_verify_file(ctx, ca_file) != 1 ||
	    (names = SSL_load_client_CA_file(ca_file)) == NULL))) {
		*why = xasprintf("cannot read certificates %s: %s",
		    ca_file ? ca_file : "", tls_error(text, sizeof(text)));
		return -1;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE,
	    on_verify);
	return 0;
}

/* RFC 2253 with its escapes, so that no value can look like two. */
static char *
name_text(const X509_NAME *name)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *p = NULL;
	long len = 0;

	if (out != NULL && X509_NAME_print_ex(out, name, 0,
	    XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) >= 0)
		len = BIO_get_mem_data(out, &p);
	p = xstrndup(p != NULL ? p : "", len > 0 && len <= NAME_MAX_OCTETS ?
	    (size_t)len : 0);
	BIO_free(out);
	return p;
}

static void
fingerprint(const X509 *x, char out[TLS_FINGERPRINT])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0, i;

	if (X509_digest(x, EVP_sha256(), digest, &len) != 1)
		len = 0;
	*out = '\0';
	for (i = 0; i < len && i < TLS_FINGERPRINT / 3; i++)
		snprintf(out + 3 * i, TLS_FINGERPRINT - 3 * i, "%02X%s",
		    digest[i], i + 1 < len ? ":" : "");
}

struct tls_certificate *
tls_certificate_new(SSL *ssl)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	struct tls_certificate *c;

	if (x == NULL)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->verified = SSL_get_verify_result(ssl) == X509_V_OK;
	c->subject = name_text(X509_get_subject_name(x));
	c->issuer = name_text(X509_get_issuer_name(x));
	fingerprint(x, c->fingerprint);
	ERR_clear_error();
	return c;
}

void
tls_certificate_free(struct tls_certificate **cp)
{
	struct tls_certificate *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	free(c->subject);
	free(c->issuer);
	free(c);
}

SSL_CTX *
tls_client(bool verify, const char *ca_file, char **why)
{
	SSL_CTX *ctx = context_new(TLS_client_method());
	char text[TLS_ERROR_ROOM];

	if (ctx == NULL)
		return no_context(ctx, why);
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
	    NULL);
	if (ca_file == NULL) {
		if (SSL_CTX_set_default_verify_paths(ctx) != 1)
			return no_context(ctx, why);
	} else if (SSL_CTX_load_verify_file(ctx, ca_file) != 1) {
		*why = xasprintf("cannot read certificates %s: %s", ca_file,
		    tls_error(text, sizeof(text)));
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static bool
is_ip(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 ||
	    inet_pton(AF_INET6, host, &any) == 1;
}

int
tls_expect(SSL *ssl, const char *host, bool verify)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	bool ip = is_ip(host);

	ERR_clear_error();
	/* RFC 6066 section 3: an address is no server name. */
	if (!ip && SSL_set_tlsext_host_name(ssl, host) != 1)
		return -1;
	if (!verify)
		return 0;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (ip)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : -1;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 ? 0 : -1;
}
