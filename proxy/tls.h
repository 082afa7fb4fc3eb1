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
