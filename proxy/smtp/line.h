/*
 * line - cut command and reply lines from a buffer (RFC 5321 section 2.3.8).
 *
 * A line ends with CR LF and with nothing else. A LF without CR before it is
 * reported where it stands, because what follows it is a command to one
 * program and text to another: that difference is SMTP smuggling.
 */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include <stddef.h>

#include "base/buf.h"

enum line_status {
	LINE_MORE,		/* no line end yet, and still within the limit */
	LINE_OK,
	LINE_BARE_LF,		/* the line ends at a LF without CR */
	LINE_TOO_LONG		/* limit octets without a line end, or a line
				   longer than limit */
};

/*
 * Look for the first line in p[0..len). limit is the longest line in octets,
 * CR LF included, at least 2. For LINE_OK and LINE_BARE_LF (which is reported
 * whatever the length) *line is the line without its end and *used its length
 * with the end; for LINE_TOO_LONG *used is what may be thrown away: the line
 * with its end (p[*used - 1] is a LF), or all of it when the end has not come,
 * save a CR whose LF may follow. The caller then goes on discarding: it calls
 * with the next octets until any line ends. A CR inside a line is left there:
 * no command allows it, and the parser says so.
 * *scanned holds the number of octets known to have no LF, so that a line that
 * comes octet by octet is looked at once: 0 for a new line; it is 0 again
 * after anything but LINE_MORE.
 */
enum line_status line_cut(const char *p, size_t len, size_t limit,
    size_t *scanned, struct slice *line, size_t *used);

#endif
