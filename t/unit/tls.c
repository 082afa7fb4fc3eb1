/* TLS contexts: what is loaded, what is refused and why, who believes whom;
   whole handshakes in memory. */

#include <errno.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "proxy/tls.h"
#include "tap.h"
#include "cert.h"

static char dir[] = "/tmp/vratar-tls-XXXXXX";
static char *ca_file, *both_file, *cert_file, *key_file, *other_key_file,
    *locked_file, *junk_file;

static void
make_files(void)
{
	EVP_PKEY *ca_key = cert_key(), *key = cert_key(), *other = cert_key();
	X509 *ca = cert_make(ca_key, "Test CA", NULL, true, NULL, NULL);
	X509 *x = cert_make(key, "mx.example.org",
	    "DNS:mx.example.org,IP:192.0.2.7", false, ca, ca_key);
	FILE *f;

	if (mkdtemp(dir) == NULL)
		abort();
	cert_write(ca_file = xasprintf("%s/ca", dir), ca, NULL, NULL);
	cert_write(both_file = xasprintf("%s/both", dir), x, key, NULL);
	cert_write(cert_file = xasprintf("%s/cert", dir), x, NULL, NULL);
	cert_write(key_file = xasprintf("%s/key", dir), NULL, key, NULL);
	cert_write(other_key_file = xasprintf("%s/other", dir), NULL, other,
	    NULL);
	cert_write(locked_file = xasprintf("%s/locked", dir), NULL, key, "pw");
	junk_file = xasprintf("%s/junk", dir);
	if ((f = fopen(junk_file, "w")) == NULL)
		abort();
	fputs("not PEM\n", f);
	fclose(f);
	X509_free(ca), X509_free(x);
	EVP_PKEY_free(ca_key), EVP_PKEY_free(key), EVP_PKEY_free(other);
}

static void
remove_files(void)
{
	char **all[] = { &ca_file, &both_file, &cert_file, &key_file,
	    &other_key_file, &locked_file, &junk_file };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		unlink(*all[i]);
		free(*all[i]);
	}
	rmdir(dir);
}

/* The whole message is before, file, after. */
static void
refused(SSL_CTX *ctx, char *why, const char *before, const char *file,
    const char *after, const char *name)
{
	char *want = xasprintf("%s%s%s", before, file, after);

	ok(ctx == NULL, "%s is refused", name);
	is_str(why, want, "  why");
	ok(ERR_peek_error() == 0, "  the error queue is empty");
	free(want);
	free(why);
	SSL_CTX_free(ctx);
}

static void
test_loading(void)
{
	SSL_CTX *ctx;
	char *why = NULL, *both;

	ctx = tls_server("l", both_file, NULL, &why);
	ok(ctx != NULL, "certificate and key in one file");
	SSL_CTX_free(ctx);
	ctx = tls_server("l", cert_file, key_file, &why);
	ok(ctx != NULL, "certificate and key in two files");
	is_int(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION,
	    "nothing below TLS 1.2");
	SSL_CTX_free(ctx);
	ctx = tls_server("l", "/nonexistent", NULL, &why);
	refused(ctx, why, "cannot read certificate ", "/nonexistent",
	    ": No such file or directory", "a file that is not there");
	ctx = tls_server("l", cert_file, NULL, &why);
	refused(ctx, why, "no key in ", cert_file, " (PEM begins with "
	    "-----BEGIN PRIVATE KEY-----): set tls-key", "no key");
	ctx = tls_server("l", key_file, key_file, &why);
	refused(ctx, why, "no certificate in ", key_file, " (PEM begins with "
	    "-----BEGIN CERTIFICATE-----)", "no certificate");
	ctx = tls_server("l", junk_file, key_file, &why);
	refused(ctx, why, "no certificate in ", junk_file, " (PEM begins with "
	    "-----BEGIN CERTIFICATE-----)", "junk");
	both = xasprintf("%s does not match the certificate in %s",
	    other_key_file, cert_file);
	ctx = tls_server("l", cert_file, other_key_file, &why);
	refused(ctx, why, "the key in ", both, "", "another's key");
	free(both);
	/* It must not ask, either: the test would hang. */
	ctx = tls_server("l", cert_file, locked_file, &why);
	refused(ctx, why, "cannot read key ", locked_file,
	    ": it has a passphrase", "a key with a passphrase");
	ctx = tls_client(true, junk_file, &why);
	refused(ctx, why, "cannot read certificates ", junk_file,
	    ": no certificate or crl found", "junk as CA");
	ctx = tls_client(true, "/nonexistent", &why);
	refused(ctx, why, "cannot read certificates ", "/nonexistent",
	    ": No such file or directory", "no CA file");
	ctx = tls_client(true, NULL, &why);
	ok(ctx != NULL, "the CAs of the system");
	SSL_CTX_free(ctx);
}

/* Both ends of a connection, joined by memory. */
struct pair {
	SSL	*client, *server;
};

static void
pair_init(struct pair *p, SSL_CTX *client, SSL_CTX *server)
{
	BIO *a, *b;

	p->client = SSL_new(client);
	p->server = SSL_new(server);
	BIO_new_bio_pair(&a, 0, &b, 0);
	SSL_set_bio(p->client, a, a);
	SSL_set_bio(p->server, b, b);
	SSL_set_connect_state(p->client);
	SSL_set_accept_state(p->server);
}

static void
pair_fini(struct pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
}

/* True when both ends are content. */
static bool
shake(struct pair *p)
{
	int i, c = 0, s = 0;
	char any;

	for (i = 0; i < 20 && (c != 1 || s != 1); i++) {
		c = SSL_do_handshake(p->client);
		s = SSL_do_handshake(p->server);
	}
	/* TLS 1.3 tickets come behind the handshake. */
	if (c == 1)
		SSL_read(p->client, &any, 1);
	ERR_clear_error();
	return c == 1 && s == 1;
}

static const struct {
	const char	*name, *host;
	bool		 verify, ca, good;
} beliefs[] = {
	{ "the right name", "mx.example.org", true, true, true },
	{ "the right name in capitals", "MX.Example.ORG", true, true, true },
	{ "another name", "mail.example.org", true, true, false },
	{ "a subdomain", "a.mx.example.org", true, true, false },
	{ "the right address", "192.0.2.7", true, true, true },
	{ "another address", "192.0.2.8", true, true, false },
	{ "an IPv6 address", "2001:db8::7", true, true, false },
	{ "an unknown CA", "mx.example.org", true, false, false },
	{ "an unknown CA, without verification", "mx.example.org", false,
	    false, true },
	{ "another name, without verification", "mail.example.org", false,
	    true, true },
};

static void
test_beliefs(void)
{
	SSL_CTX *client, *server;
	char *why;
	struct pair p;
	size_t i;

	server = tls_server("l", both_file, NULL, &why);
	for (i = 0; i < sizeof(beliefs) / sizeof(beliefs[0]); i++) {
		client = tls_client(beliefs[i].verify,
		    beliefs[i].ca ? ca_file : NULL, &why);
		pair_init(&p, client, server);
		is_int(tls_expect(p.client, beliefs[i].host,
		    beliefs[i].verify), 0, beliefs[i].name);
		is_int(shake(&p), beliefs[i].good, "  handshake");
		pair_fini(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

/* One context may serve connections of both kinds: "may" and "verify". */
static void
test_verify_one_connection(void)
{
	SSL_CTX *client, *server;
	struct pair p;
	char *why;

	server = tls_server("l", both_file, NULL, &why);
	client = tls_client(false, ca_file, &why);
	pair_init(&p, client, server);
	tls_expect(p.client, "mail.example.org", true);
	ok(!shake(&p), "tls_expect() verifies, whatever the context does");
	pair_fini(&p);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
test_server_name(void)
{
	SSL_CTX *client, *server;
	struct pair p;
	char *why;

	server = tls_server("l", both_file, NULL, &why);
	client = tls_client(false, NULL, &why);
	pair_init(&p, client, server);
	tls_expect(p.client, "mx.example.org", false);
	is_str(SSL_get_servername(p.client, TLSEXT_NAMETYPE_host_name),
	    "mx.example.org", "a name is sent");
	pair_fini(&p);
	pair_init(&p, client, server);
	tls_expect(p.client, "192.0.2.7", false);
	is_str(SSL_get_servername(p.client, TLSEXT_NAMETYPE_host_name), NULL,
	    "an address is not");
	pair_fini(&p);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
test_versions(void)
{
	SSL_CTX *client, *server;
	struct pair p;
	char *why;
	int v;

	server = tls_server("l", both_file, NULL, &why);
	for (v = TLS1_1_VERSION; v <= TLS1_3_VERSION; v++) {
		client = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_security_level(client, 0);
		SSL_CTX_set_min_proto_version(client, v);
		SSL_CTX_set_max_proto_version(client, v);
		pair_init(&p, client, server);
		is_int(shake(&p), v >= TLS1_2_VERSION, v == TLS1_1_VERSION ?
		    "TLS 1.1" : v == TLS1_2_VERSION ? "TLS 1.2" : "TLS 1.3");
		pair_fini(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

/* Shake hands, with a session of before or NULL. The new one is ours. */
static SSL_SESSION *
resume(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *before, bool *reused)
{
	SSL_SESSION *after;
	struct pair p;

	pair_init(&p, client, server);
	if (before != NULL)
		SSL_set_session(p.client, before);
	if (!shake(&p))
		printf("# no handshake\n");
	*reused = SSL_session_reused(p.server);
	after = SSL_get1_session(p.client);
	SSL_shutdown(p.client);
	pair_fini(&p);
	return after;
}

/* What the server sees of a client that shows this file, or nothing. */
static struct tls_certificate *
shown(SSL_CTX *server, const char *file, bool *good)
{
	struct tls_certificate *c;
	SSL_CTX *client;
	struct pair p;
	char *why;

	client = tls_client(false, NULL, &why);
	if (file != NULL) {
		SSL_CTX_use_certificate_file(client, file, SSL_FILETYPE_PEM);
		SSL_CTX_use_PrivateKey_file(client, file, SSL_FILETYPE_PEM);
	}
	pair_init(&p, client, server);
	*good = shake(&p);
	c = tls_certificate_new(p.server);
	pair_fini(&p);
	SSL_CTX_free(client);
	return c;
}

static void
test_client_certificates(void)
{
	struct tls_certificate *c;
	SSL_CTX *server;
	bool good;
	char *why = NULL;

	server = tls_server("l", both_file, NULL, &why);
	c = shown(server, both_file, &good);
	ok(good && c == NULL, "who is not asked shows nothing");
	is_int(tls_ask_clients(server, "l", TLS_ASK, NULL, &why), 0,
	    "ask, and trust nobody");
	c = shown(server, both_file, &good);
	ok(good && c != NULL && !c->verified, "shown, and not trusted");
	tls_certificate_free(&c);
	ok(c == NULL, "freed");
	is_int(tls_ask_clients(server, "l", TLS_ASK_REQUIRE, ca_file, &why),
	    0, "require one of our authority");
	c = shown(server, both_file, &good);
	ok(good && c != NULL && c->verified, "which is verified");
	is_str(c->subject, "CN=mx.example.org", "its subject");
	is_str(c->issuer, "CN=Test CA", "its issuer");
	is_int(strlen(c->fingerprint), 95, "its fingerprint");
	is_int(strspn(c->fingerprint, "0123456789ABCDEF:"), 95,
	    "in capital hex digits");
	tls_certificate_free(&c);
	c = shown(server, NULL, &good);
	ok(good && c == NULL, "the handshake goes on without one");
	is_int(tls_ask_clients(server, "l", TLS_ASK, junk_file, &why), -1,
	    "an authority that cannot be read");
	refused(NULL, why, "cannot read certificates ", junk_file,
	    ": no certificate or crl found", "junk");
	SSL_CTX_free(server);
}

static void
test_tickets(void)
{
	SSL_CTX *client, *here, *there;
	SSL_SESSION *s, *again;
	char *why;
	bool reused;
	int v;

	for (v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		here = tls_server("25", both_file, NULL, &why);
		there = tls_server("465", both_file, NULL, &why);
		client = tls_client(false, NULL, &why);
		SSL_CTX_set_max_proto_version(client, v);
		s = resume(client, here, NULL, &reused);
		ok(!reused, "a first session");
		again = resume(client, here, s, &reused);
		ok(reused, "is resumed by a ticket");
		SSL_SESSION_free(again);
		again = resume(client, there, s, &reused);
		ok(!reused, "but not at another listener");
		SSL_SESSION_free(again);
		SSL_SESSION_free(s);
		SSL_CTX_free(client);
		SSL_CTX_free(here);
		SSL_CTX_free(there);
	}
}

/* A peer that closes without close_notify has closed, no more. */
static void
test_unclean_close(void)
{
	SSL_CTX *client, *server;
	struct pair p;
	char *why, any;
	int n;

	server = tls_server("l", both_file, NULL, &why);
	client = tls_client(false, NULL, &why);
	pair_init(&p, client, server);
	ok(shake(&p), "handshake");
	BIO_shutdown_wr(SSL_get_wbio(p.client));
	n = SSL_read(p.server, &any, 1);
	is_int(SSL_get_error(p.server, n), SSL_ERROR_ZERO_RETURN,
	    "an end without close_notify is an end");
	pair_fini(&p);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
test_error_text(void)
{
	char text[64];

	ERR_clear_error();
	is_str(tls_error(text, sizeof(text)), "unknown error", "no error");
	ERR_raise(ERR_LIB_SYS, EACCES);
	ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
	is_str(tls_error(text, sizeof(text)), "Permission denied",
	    "the first error is the cause");
	is_str(tls_error(text, sizeof(text)), "unknown error",
	    "and the queue is empty");
	ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
	is_str(tls_error(text, 12), "certificate", "cut to the room");
}

int
main(void)
{
	tls_init();
	make_files();
	test_loading();
	test_beliefs();
	test_verify_one_connection();
	test_server_name();
	test_versions();
	test_client_certificates();
	test_tickets();
	test_unclean_close();
	test_error_text();
	remove_files();
	return tap_done();
}
