/*
 * tls - OpenSSL contexts for listeners and backends, made once from the
 * configuration and inherited by all workers: so their session tickets are
 * good in every worker of a generation, and only for the listener that gave
 * them (each context has its own keys and session id context).
 */
#ifndef PROXY_TLS_H
#define PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

/* Once per process, before anything else here. */
void tls_init(void);

/*
 * A server context: certificate chain and key in PEM (they may be one file).
 * name distinguishes listeners. TLS 1.2 and newer, no renegotiation, buffers
 * released while idle, a close without close_notify is an EOF
 * (SSL_OP_IGNORE_UNEXPECTED_EOF: SMTP has its own end marks).
 * NULL, and *why is ours to free: "cannot read X: …", "key does not match".
 */
SSL_CTX *tls_server(const char *name, const char *certificate,
    const char *key, char **why);

/* What a client has to show, as conf.def explains it. */
enum tls_ask { TLS_ASK_OFF, TLS_ASK, TLS_ASK_REQUIRE };

/*
 * Ask clients of this server context for a certificate. Those of ca_file are
 * trusted, and named to the client; NULL: none is. A handshake goes on whatever
 * the client shows: tls_certificate_new() tells what that was. name is that of
 * tls_server(): a ticket is good where the same is asked. 0, or -1 with *why,
 * which is ours to free.
 */
int tls_ask_clients(SSL_CTX *ctx, const char *name, enum tls_ask ask,
    const char *ca_file, char **why);

#define TLS_FINGERPRINT	96	/* 32 octets as "AB:CD:…" and a NUL */

/* The certificate of a client. The client has its key; all else that stands in
   one that is not verified is what somebody wanted it to say. */
struct tls_certificate {
	bool	 verified;		/* valid now, and of a known authority */
	char	*subject, *issuer;	/* "O=Partner, CN=partner.example", in
					   ASCII; "" when longer than 1000 */
	char	 fingerprint[TLS_FINGERPRINT]; /* SHA-256, as Postfix has it */
};

/* NULL when the client has shown none. Ours to free. */
struct tls_certificate *tls_certificate_new(SSL *ssl);
void tls_certificate_free(struct tls_certificate **c);

/*
 * A client context for backends. verify: the certificate must chain up to
 * ca_file (NULL: the system's roots).
 */
SSL_CTX *tls_client(bool verify, const char *ca_file, char **why);

/*
 * Prepare a connection to host: SNI, and with verify the name or address in
 * the certificate. 0, or -1.
 */
int tls_expect(SSL *ssl, const char *host, bool verify);

/* The OpenSSL error queue as one line of text, emptied. Returns out. */
char *tls_error(char *out, size_t outlen);

#endif
