/*
 * param - the ESMTP parameters behind the path of MAIL and RCPT.
 *
 * Each is checked against the grammar of its RFC and against what we offered
 * this client, and then travels verbatim: params.text is what the client
 * wrote, and nothing is re-encoded (DKIM, DSN and REQUIRETLS are promises
 * between the two ends).
 */
#ifndef SMTP_PARAM_H
#define SMTP_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "smtp/ext.h"

enum param_id {
	PARAM_SIZE,		/* RFC 1870: 1*20DIGIT; more are read, too */
	PARAM_BODY,		/* RFC 6152, 3030: 7BIT 8BITMIME BINARYMIME */
	PARAM_SMTPUTF8,		/* RFC 6531: no value */
	PARAM_REQUIRETLS,	/* RFC 8689: no value */
	PARAM_AUTH,		/* RFC 4954 section 5: xtext mailbox or "<>" */
	PARAM_RET,		/* RFC 3461 4.3: FULL HDRS */
	PARAM_ENVID,		/* 4.4: xtext, at most 100 octets encoded */
	PARAM_BY,		/* RFC 2852 section 4 */
	PARAM_MTPRIORITY,	/* RFC 6710: -9 to 9 */
	PARAM_NOTIFY,		/* RFC 3461 4.1, RCPT: NEVER or a list */
	PARAM_ORCPT,		/* 4.2, RCPT: type ";" xtext, or utf-8-addr of
				   RFC 6533; at most 500 octets */
	PARAM_COUNT
};

enum param_body { BODY_NONE, BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME };

struct params {
	unsigned	present;	/* 1 << param_id */
	uint64_t	size;		/* SIZE=; UINT64_MAX if it is more */
	enum param_body	body;
	bool		never;		/* NOTIFY=NEVER */
	struct slice	text;		/* all parameters, with the spaces
					   between them; into the input */
};

enum param_where { PARAM_MAIL = 1, PARAM_RCPT = 2 };

/*
 * Parse p[0..len), what stands behind the path (leading spaces skipped).
 * offered is what this client was told at EHLO; NULL after HELO, where no
 * parameter is allowed. 0; or -1 with *reply (static text with its code and
 * enhanced code): "555 5.5.4 …" for a keyword that is unknown or not offered
 * here, "501 5.5.4 …" for a bad or repeated one.
 */
int params_parse(struct params *out, enum param_where where, struct slice s,
    const struct ext_set *offered, const char **reply);

/*
 * Append " KEY=VALUE" for each parameter of text (as params_parse accepted it)
 * that a backend with these extensions can take. SIZE, AUTH and BODY=7BIT are
 * left out when it cannot: we checked the size, and the others promise
 * nothing. Returns 0, or the EXT_BIT of an extension a parameter needs and the
 * backend lacks: then the command must not be sent, and out holds only a part.
 */
unsigned params_forward(struct buf *out, struct slice text,
    const struct ext_set *backend);

#endif
