/*
 * facts - what is known of one session, for filters to read.
 *
 * The engine fills it, and brings it up to date before each question. Strings
 * are the engine's: copy what you want to keep. NULL, 0 and false mean "not
 * known (yet)", "none" and "no".
 */
#ifndef FILTERS_FACTS_H
#define FILTERS_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"

struct facts {
	uint64_t	 id;		/* in every log line of the session */
	uint64_t	 age_ms;	/* since the client connected */
	const char	*hostname;	/* ours */
	const char	*authserv_id;	/* ours in Authentication-Results: those
					   that came with it are not there */
	const char	*listener;	/* "0.0.0.0:25", its block's title */

	/* The client, as PROXY or XCLIENT say if they may */
	struct netaddr	 client, local;	/* with their ports */
	const char	*client_name;	/* PTR name that leads back (only with
					   FILTER_WANTS_NAME) */
	const char	*reverse_name;	/* PTR name, unverified */
	bool		 name_failed;	/* client_name is NULL because the DNS
					   did not answer */

	/* HELO */
	const char	*helo;
	bool		 esmtp;		/* it said EHLO */

	/* TLS; NULL without it */
	const char	*tls_version;	/* "TLSv1.3" */
	const char	*tls_cipher;
	int		 tls_bits;
	const char	*tls_subject;	/* of the client's certificate */
	const char	*tls_issuer;
	const char	*tls_fingerprint; /* SHA-256, "AB:CD:…" */
	bool		 tls_verified;	/* … and we know who signed it */

	/* AUTH, or the LOGIN of XCLIENT */
	const char	*auth_user;
	const char	*auth_mechanism;

	/* So far */
	unsigned	 errors;	/* replies of 4xx and 5xx */
	unsigned	 bad_rcpts;	/* recipients that were refused */
	unsigned	 messages;	/* that were accepted */
};

#endif
