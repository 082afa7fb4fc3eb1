/*
 * lines - the logical lines of a table file, as Postfix reads them.
 *
 * A logical line starts with text and goes on in lines that start with white
 * space; empty lines and lines whose first text is "#" count for nothing, even
 * in the middle of a logical line. White space at its end is cut off.
 */
#ifndef RULES_LINES_H
#define RULES_LINES_H

#include <stddef.h>

#include "base/buf.h"

struct report;
struct lines;

/* NULL with errno. Mistakes are reported for this file name. */
struct lines *lines_open(const char *path, struct report *report);
/*
 * The lines are the items of a list within braces: pcre:{ {/a/ 1}, {/b/ 2} }.
 * NULL with *why (static) when it is no such list. name is for the reports and
 * must live as long as the lines.
 */
struct lines *lines_open_list(struct slice list, const char *name,
    struct report *report, const char **why);
void lines_close(struct lines **l);

/*
 * The next logical line, NUL-terminated, ours to change until the next call;
 * NULL at the end. Stores its length and the number of its first line.
 * A line with a NUL in it, a continuation without a beginning and a line of
 * more than a megabyte are reported and skipped.
 */
char *lines_next(struct lines *l, size_t *len, unsigned long *line);
/* After the end: 0, or the errno of what could not be read. */
int lines_error(const struct lines *l);
/* For reports and log lines. */
const char *lines_name(const struct lines *l);

#endif
