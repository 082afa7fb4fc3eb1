/*
 * rehearsal - one session of a made-up client, through the real engine and the
 * real chain, in front of a backend that agrees with everything.
 *
 * So the replies are what a client would see, as far as it is up to us. No
 * socket of the configuration is bound, and no backend of it is spoken to.
 */
#ifndef PROXY_REHEARSAL_H
#define PROXY_REHEARSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/net.h"

struct conf;

struct rehearsal {
	struct netaddr	 client;
	const char	*name;		/* of the client; NULL: ask the DNS */
	const char	*login;		/* who has logged in; NULL: nobody */
	const char	*helo;
	const char	*from;		/* with or without <> */
	const char	**rcpts;
	size_t		 nrcpts;
	const char	*content;	/* lines end in CR LF */
	size_t		 len;

	/*
	 * The reply to each step: CONNECT, EHLO, MAIL, RCPT, DATA (the reply
	 * to the end of data, if 354 came). rcpt is the recipient or NULL; text
	 * is the whole reply with its codes, lines separated by LF.
	 */
	void		(*on_reply)(void *arg, const char *step,
			    const char *rcpt, int code, const char *text);
	/* The message, if it was accepted: its first octets, a few MB. */
	void		(*on_content)(void *arg, const char *p, size_t len);
	void		*arg;
};

/*
 * Run it on the listener with this index. The configuration is changed: what
 * concerns backends and encryption is not as it was. 0, or -1 with *why
 * (static) when it could not be run.
 */
int rehearsal_run(struct conf *conf, size_t listener,
    const struct rehearsal *r, const char **why);

#endif
