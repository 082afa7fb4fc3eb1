/*
 * cert - keys and certificates for tests, made when they are needed.
 */
#ifndef T_CERT_H
#define T_CERT_H

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static inline EVP_PKEY *
cert_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (key == NULL)
		abort();
	return key;
}

/*
 * A certificate for key with the alternative names alt ("DNS:a.example,
 * IP:127.0.0.1"), signed by itself (issuer NULL) or by issuer_key. A signer
 * needs ca.
 */
static inline X509 *
cert_make(EVP_PKEY *key, const char *name, const char *alt, bool ca,
    X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509_EXTENSION *e;
	static long serial;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x,
	    issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(x, key);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
	    ca ? "critical,CA:TRUE" : "CA:FALSE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	if (alt != NULL) {
		e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	if (X509_sign(x, issuer_key ? issuer_key : key, EVP_sha256()) == 0)
		abort();
	return x;
}

/* x or key may be NULL: a file of one of them, or of both. */
static inline void
cert_write(const char *path, X509 *x, EVP_PKEY *key, const char *passphrase)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		abort();
	if (x != NULL)
		PEM_write_X509(f, x);
	if (key != NULL)
		PEM_write_PrivateKey(f, key,
		    passphrase ? EVP_aes_128_cbc() : NULL,
		    (const unsigned char *)passphrase,
		    passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
	if (fclose(f) != 0)
		abort();
}

#endif
