/*
 * spamd_reply - the head of what a spamd answers (SPAMC/1.5).
 *
 *	SPAMD/1.1 0 EX_OK
 *	Content-length: 17
 *	Spam: True ; 12.5 / 5.0
 */
#ifndef FILTERS_SPAMD_REPLY_H
#define FILTERS_SPAMD_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define SPAMD_REPLY_MAX	((size_t)256 << 10)	/* head; body */

struct spamd_reply {
	bool	 spam;
	double	 score, required;
	size_t	 body;		/* octets behind the head */
};

/* head: lines with CR LF, without the empty one. NULL, or why it is none;
   static. */
const char *spamd_reply(const char *head, struct spamd_reply *r);

/* A finite number, and spaces, up to one of the octets of end or to the end of
   text. */
bool spamd_number(const char *text, const char *end, double *number);

#endif
