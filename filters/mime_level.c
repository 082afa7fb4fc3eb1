/*
 * mime_level - what a scanner is inside of.
 */

#include "filters/mime_level.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/mime.h"

/* A copy, of what is compared; it may have a NUL. NULL: there is nothing. */
static char *
boundary_copy(struct slice s, size_t *len)
{
	char *copy;

	while (s.len > 0 && (s.p[s.len - 1] == ' ' ||
	    s.p[s.len - 1] == '\t'))
		s.len--;
	*len = s.len < MIME_BOUNDARY_MAX ? s.len : MIME_BOUNDARY_MAX;
	if (s.len == 0)
		return NULL;
	copy = xmalloc(*len);
	memcpy(copy, s.p, *len);
	return copy;
}

void
mime_level_guess(struct mime_level *l, struct slice rest)
{
	free(l->boundary);
	l->boundary = boundary_copy(rest, &l->len);
	l->cut = rest.len > MIME_BOUNDARY_MAX;
}

void
mime_level_set(struct mime_level *l, const struct mime_entity *e)
{
	mime_level_guess(l, SLICE(e->boundary.p, e->boundary.len));
	if (e->other_boundary.len > 0 && !l->cut)
		l->other = boundary_copy(SLICE(e->other_boundary.p,
		    e->other_boundary.len), &l->other_len);
}

/* One of the two has come: it is the one that was meant. */
static void
settle(struct mime_level *l, bool other)
{
	if (other) {
		free(l->boundary);
		l->boundary = l->other;
		l->len = l->other_len;
	} else
		free(l->other);
	l->other = NULL;
}

void
mime_level_fini(struct mime_level *l)
{
	free(l->boundary);
	free(l->other);
	l->boundary = l->other = NULL;
}

bool
mime_is_blank(const char *p, size_t len)
{
	size_t i = 0;

	while (i < len && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r'))
		i++;
	return i == len;
}

/* What the line behind "--" is for this boundary. */
static enum mime_match
match_boundary(struct slice rest, const char *boundary, size_t len, bool cut)
{
	if (boundary == NULL || rest.len < len ||
	    memcmp(rest.p, boundary, len) != 0)
		return MIME_NO_MATCH;
	rest = SLICE(rest.p + len, rest.len - len);
	if (cut || mime_is_blank(rest.p, rest.len))
		return MIME_NEXT_PART;
	if (rest.len >= 2 && rest.p[0] == '-' && rest.p[1] == '-' &&
	    mime_is_blank(rest.p + 2, rest.len - 2))
		return MIME_LAST_PART;
	return MIME_NO_MATCH;
}


enum mime_match
mime_level_match(struct mime_level *l, struct slice rest)
{
	enum mime_match match = match_boundary(rest, l->boundary, l->len,
	    l->cut);
	bool other = match == MIME_NO_MATCH;

	if (l->other == NULL)
		return match;
	if (other)
		match = match_boundary(rest, l->other, l->other_len, false);
	if (match != MIME_NO_MATCH)
		settle(l, other);
	return match;
}
