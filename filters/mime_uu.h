/*
 * mime_uu - files in text, uuencoded: "begin 644 NAME", lines, "end".
 *
 * It is older than MIME, and some clients still show such files as what they
 * are. Octets of text go in, in pieces of any size; a line that is too long to
 * be one of these is none.
 */
#ifndef FILTERS_MIME_UU_H
#define FILTERS_MIME_UU_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct mime_uu_handler {
	void	(*begin)(void *arg, struct slice name);
	void	(*data)(void *arg, const char *in, size_t len);
	void	(*end)(void *arg);
};

struct mime_uu {
	char	 line[512];
	size_t	 len;
	bool	 long_line;	/* the rest of it does not matter */
	bool	 inside;
};

/* All zeros is the start of a text. */
void mime_uu_text(struct mime_uu *u, const char *in, size_t len,
    const struct mime_uu_handler *h, void *arg);
/* The text has ended. */
void mime_uu_end(struct mime_uu *u, const struct mime_uu_handler *h,
    void *arg);

#endif
