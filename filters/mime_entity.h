/*
 * mime_entity - the header of a part: what its fields say about its content.
 */
#ifndef FILTERS_MIME_ENTITY_H
#define FILTERS_MIME_ENTITY_H

#include <stdbool.h>

#include "base/buf.h"
#include "filters/codec.h"
#include "filters/mime.h"

struct mime_entity {
	bool		 has_type, has_encoding, has_disposition;
	struct buf	 type, charset, disposition, boundary;	/* ours */
	struct buf	 other_boundary;	/* of a second type; ours */
	enum codec_kind	 encoding;
	bool		 uuencoded;
	char		*names[MIME_NAMES_MAX];		/* ours */
	struct slice	 slices[MIME_NAMES_MAX];	/* the same */
	size_t		 nnames;
};

void mime_entity_init(struct mime_entity *e);
void mime_entity_fini(struct mime_entity *e);

/* Take a field, unfolded. Returns what is wrong with it: bits of
   enum mime_error. */
unsigned mime_entity_field(struct mime_entity *e, struct slice name,
    struct slice value);
/* Add a file name; arg is the struct mime_entity, see mime_names(). */
void mime_entity_add_name(void *arg, struct slice name);

#endif
