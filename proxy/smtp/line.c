/*
 * line - cut command and reply lines from a buffer (RFC 5321 section 2.3.8).
 *
 * The search is for LF: a CR LF ends there, and a bare LF must not be missed.
 */

#include "smtp/line.h"

#include <assert.h>
#include <string.h>

/* No line end within the limit: what may go, without a CR at the end whose LF
   may still be on its way, and would look like a bare one then. */
static size_t
discard(const char *p, size_t len)
{
	return p[len - 1] == '\r' ? len - 1 : len;
}

enum line_status
line_cut(const char *p, size_t len, size_t limit, size_t *scanned,
    struct slice *line, size_t *used)
{
	const char *lf = NULL;

	assert(limit >= 2 && *scanned <= len);
	*line = SLICE(p, 0);
	*used = 0;
	if (len > *scanned)
		lf = memchr(p + *scanned, '\n', len - *scanned);
	if (lf == NULL && len < limit) {
		*scanned = len;
		return LINE_MORE;
	}
	*scanned = 0;
	if (lf == NULL) {
		*used = discard(p, len);
		return LINE_TOO_LONG;
	}
	*used = (size_t)(lf - p) + 1;
	*line = SLICE(p, *used - 1);
	if (lf == p || lf[-1] != '\r')
		return LINE_BARE_LF;
	line->len--;
	return *used > limit ? LINE_TOO_LONG : LINE_OK;
}
