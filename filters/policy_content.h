/*
 * policy_content - what rules read of the content of a message: its parts,
 * their names, sizes and digests, its text, its links; for policy*.c only.
 *
 * It is filled while the content arrives, with what some rule of the policy
 * reads and with nothing else. What it keeps has limits, and what is past them
 * is a fact: an element of mime.errors.
 */
#ifndef FILTERS_POLICY_CONTENT_H
#define FILTERS_POLICY_CONTENT_H

#include <stdbool.h>
#include <stddef.h>

#include "filters/filter.h"
#include "rules/rules.h"

struct content;
struct magic_type;

#define CONTENT_TEXT_MAX	((size_t)1 << 20)	/* body; html; full */
#define CONTENT_PACKED_MAX	((size_t)16 << 20)	/* all archives */
#define CONTENT_PACKED_FEW	((size_t)4 << 10)	/* no work at all */
#define CONTENT_NAMES_MAX	5000	/* part.filename … */
#define CONTENT_NAME_OCTETS	((size_t)1 << 20)	/* … all together */
#define CONTENT_LINKS_MAX	1000
#define CONTENT_MAGIC_MAX	20	/* parts that libmagic looks at */

/* What the rules of a policy want: bits for content_new(); 0: nothing. */
unsigned content_wants(const struct rules *r);
/* … and whether that needs libmagic, or the octets as they came. */
bool content_wants_magic(unsigned wants);
bool content_wants_octets(unsigned wants);

/* magic is borrowed for its life; NULL when it is not wanted. */
struct content *content_new(unsigned wants, struct magic_type *magic);
/* Frees it and leaves NULL; NULL is fine. */
void content_free(struct content **c);

/* What an element of mime.errors may be; NULL after the last. */
const char *content_error_name(unsigned i);

/* The message, in the order of a filter's events: octets are those of "content",
   and nobody needs to tell of them who does not want them. */
void content_octets(struct content *c, const char *p, size_t len);
void content_header(struct content *c, const struct header *h);
void content_body(struct content *c, const char *p, size_t len);
void content_end(struct content *c);

/*
 * Archives are listed behind that, and libmagic looks at the parts, by
 * content_work(): long and pure, so it may be a task (base/threads.h). Nothing
 * else may touch c meanwhile. It must have been done before fields are asked
 * for. False: it takes no time worth a thread.
 */
bool content_is_long(const struct content *c);
void content_work(struct content *c);

/* After content_work(): the value of a field of content, see rules_env. Memory
   is the content's or the state's. False: it is no such field. */
bool content_field(const struct content *c, struct rules_state *s,
    enum rules_field field, struct rules_value *v);

#endif
