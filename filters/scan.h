/*
 * scan - what all scanners have in common: the settings that say how large a
 * message they look at and whether they refuse it themselves, and foreign text
 * made fit for a reply.
 *
 * A finding "TYPE.scanned" says that the whole message was looked at.
 */
#ifndef FILTERS_SCAN_H
#define FILTERS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filters/filter.h"

struct evbuffer;
struct spool;

/* Goes into the settings of a scanner, under the name scan. */
struct scan_settings {
	uint64_t	 max_size;		/* octets */
	bool		 oversize_fails;
	bool		 refuse;
};

/* The words of oversize, in the order of the bool. */
extern const char *const scan_oversize_words[];

#define SCAN_SETTINGS(struct_, max_size_)				\
	SETTING(struct_, scan.max_size, "max-size", SIZE,		\
	    .def = max_size_, .min = "1", .max = "1T",			\
	    .help = "Largest message that is scanned."),		\
	SETTING(struct_, scan.oversize_fails, "oversize", WORD,		\
	    .def = "skip", .words = scan_oversize_words,		\
	    .help = "What happens to a larger message, or one that is "	\
	    "too large for the scanner: it is not scanned and goes on, " \
	    "which the log tells, or the filter has failed and "	\
	    "on-failure says what follows."),				\
	SETTING(struct_, scan.refuse, "refuse", BOOL, .def = "yes",	\
	    .help = "Refuse what the scanner does not like. "		\
	    "With \"no\" the filter only tells the filters behind it, "	\
	    "and rules decide; see vratar-policy(5).")

/*
 * The answer to eom for a message that was not scanned because of its size, as
 * oversize wants it. type is that of the filter.
 */
enum verdict scan_oversize(struct chain_slot *slot,
    const struct scan_settings *s, const char *type);
/* The whole message was looked at. */
void scan_done(struct chain_slot *slot, const char *type);
/* … and this was found, which is published as name; "" is nothing. The answer
   to eom. */
enum verdict scan_found(struct chain_slot *slot, const struct scan_settings *s,
    const char *type, const char *name, const char *what);

/*
 * A message that is kept until all of it is there, in memory and then in a
 * file. All zeros at first, and after scan_drop().
 */
struct scan_held {
	struct spool	*spool;		/* ours; NULL: nothing yet */
	bool		 oversize;	/* nothing is kept */
};

/* The answer to a content event: continue, skip or fail. dir is borrowed. */
enum verdict scan_hold(struct chain_slot *slot, struct scan_held *h,
    const struct scan_settings *s, const char *dir, const char *p, size_t len);
uint64_t scan_held_size(const struct scan_held *h);
/* Put it into to, as spool_refer(). 0, or -1 with errno. */
int scan_refer(const struct scan_held *h, struct evbuffer *to);
void scan_drop(struct scan_held *h);

/* The value of a field in a head of lines (CR LF, the first one is none), up to
   the end of the head; or NULL. */
const char *scan_field(const char *head, const char *name);

/* Printable ASCII of at most outlen - 1 octets; what is not becomes "?".
   Returns out. */
char *scan_harmless(char *out, size_t outlen, const char *p, size_t len);

#endif
