/*
 * mime_level - what a scanner is inside of: a multipart with its boundary, or
 * an attached message.
 */
#ifndef FILTERS_MIME_LEVEL_H
#define FILTERS_MIME_LEVEL_H

#include <stdbool.h>

#include "base/buf.h"
#include "filters/mime_entity.h"

struct mime_level {
	bool	 multipart;		/* or an attached message */
	bool	 digest;
	bool	 closed;
	char	*boundary;		/* ours; NULL: the first that comes */
	size_t	 len;
	bool	 cut;			/* it is longer than we compare */
	char	*other;			/* ours; or NULL: as good as boundary
					   until one of them comes */
	size_t	 other_len;
};

enum mime_match { MIME_NO_MATCH, MIME_NEXT_PART, MIME_LAST_PART };

/* Zeros are a level without a boundary. */
void mime_level_set(struct mime_level *l, const struct mime_entity *e);
/* It names none: this is what came behind "--". */
void mime_level_guess(struct mime_level *l, struct slice rest);
void mime_level_fini(struct mime_level *l);

/*
 * What a line is for this level, from behind its "--". Spaces may follow a
 * boundary. Of two that may be meant, the one that comes is meant from then on.
 */
enum mime_match mime_level_match(struct mime_level *l, struct slice rest);

/* Nothing but spaces, tabs and CR. */
bool mime_is_blank(const char *p, size_t len);

#endif
