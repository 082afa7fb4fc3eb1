/*
 * command - a command line of a client, taken apart (RFC 5321 section 4.1).
 *
 * Verbs are an allow-list: what is not in the table is CMD_UNKNOWN and is
 * answered by us, never relayed.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum command_verb {
	CMD_UNKNOWN,		/* answered 500 5.5.2 */
	CMD_FOREIGN,		/* not SMTP at all: GET, POST, PUT, HEAD,
				   OPTIONS, CONNECT, PRI, …, a "Label:" line, a
				   line that starts with no letter (a TLS
				   ClientHello, a space): one reply and a
				   close. An empty line is CMD_UNKNOWN */
	CMD_HELO, CMD_EHLO, CMD_LHLO, CMD_MAIL, CMD_RCPT, CMD_DATA, CMD_BDAT,
	CMD_RSET, CMD_NOOP, CMD_VRFY, CMD_EXPN, CMD_HELP, CMD_QUIT,
	CMD_STARTTLS, CMD_AUTH, CMD_XCLIENT, CMD_XFORWARD,
	CMD_VERBS
};

struct command {
	enum command_verb	verb;
	struct slice		name;	/* the verb as sent: up to the first
					   space */
	struct slice		arg;	/* behind the verb, without the spaces
					   around it; len 0: none */
	bool			ctl;	/* the line has a control character or
					   NUL (TAB counts): 501 5.5.2 */
	bool			eight_bit; /* it has octets above 127 */
};

/* Take a line without its CR LF apart. Cannot fail. All slices point into p. */
void command_parse(struct command *c, const char *p, size_t len);
/* "MAIL"; "?" for CMD_UNKNOWN and CMD_FOREIGN. */
const char *command_name(enum command_verb v);

/*
 * The argument of MAIL or RCPT, which begins with keyword ("FROM:", "TO:"; the
 * colon may be left out here) in any case: stores what follows the colon,
 * perhaps nothing. Strict as in 4.1.1.2: no space on either side of the colon,
 * unless lenient ("postel"), which lets a run of spaces pass. 0, or -1.
 */
int command_path_arg(struct slice arg, const char *keyword, bool lenient,
    struct slice *rest);

/*
 * BDAT's "size [LAST]" (RFC 3030 section 2): decimal, at most 2^63-1. 0, or -1
 * when it is neither; then the caller cannot know where the chunk ends.
 */
int command_bdat_arg(struct slice arg, uint64_t *size, bool *last);

/* The next word of s, separated by single or several spaces; false at the
   end. Advances s. */
bool slice_word(struct slice *s, struct slice *word);

#endif
