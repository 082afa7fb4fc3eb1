/*
 * literals - which of many patterns can match a subject at all.
 *
 * Most patterns have octets in them that a subject must have: /free (viagra|
 * cialis)/ needs "viagra" or "cialis". Those of all patterns are looked for in
 * one pass over the subject, and a pattern of which none is there cannot match.
 * It is never more than "maybe": who asks goes on with PCRE2.
 *
 * What a pattern needs is read from its text, and not much of the language is
 * understood: whatever is not makes the pattern one that may always match.
 */
#ifndef RULES_LITERALS_H
#define RULES_LITERALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A pattern of PCRE2, and what of its options matters. */
struct literals_pattern {
	struct slice	 text;
	bool		 caseless, multiline, dotall, extended, utf;
};

struct literals;

/* Of n patterns, but not those whose bits (base/bits.h) are in others; the texts
   are not needed any more afterwards. NULL: no pattern could be excluded, ever.
   It does not change after that: threads may share it. */
struct literals *literals_new(const struct literals_pattern *v, size_t n,
    const uint64_t *others);
/* Frees it and leaves NULL; NULL is fine. */
void literals_free(struct literals **l);

/* Set the bits of the patterns that may match: those that cannot be excluded, as
   long as there are; and those of this subject. */
void literals_always(const struct literals *l, uint64_t *maybe);
void literals_scan(const struct literals *l, struct slice subject,
    uint64_t *maybe);

/* Patterns that can be excluded. */
size_t literals_count(const struct literals *l);

/*
 * One of these must be in a subject that matches, in capital or small letters:
 * at most LITERALS_EACH, each ended by a NUL and in small letters. How many; 0:
 * nothing is known.
 */
#define LITERALS_EACH	32
size_t literals_of(const struct literals_pattern *p, struct buf *out);

#endif
