/*
 * report - mistakes in table files, told one by one to whoever opens a table.
 *
 * Postfix warns of a line that makes no sense and goes on without it. So do
 * the readers of tables here: they report, and skip. Whether a table with
 * mistakes is used is decided in table.c.
 */
#ifndef RULES_REPORT_H
#define RULES_REPORT_H

#include <stddef.h>

#include "rules/table.h"

struct report {
	table_mistake_fn	*say;	/* never NULL */
	void			*arg;
	size_t			 n;	/* mistakes so far */
	struct table_use	 use;	/* what values must be good for */
	table_mistake_fn	*warn;	/* hears of what is no mistake, in place
					   of the log; or NULL */
};

/* Something for the log that is no mistake: "file=… line=…". */
void report_warn(struct report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "FILE:LINE: what"; line 0: the mistake has no line, "FILE: what". */
void report_mistake(struct report *r, const char *file, unsigned long line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * There is this value; if it is not good for the use of the table, that is a
 * mistake: 'FILE:LINE: "value" …', or 'FILE: key "key": "value" …'. key may be
 * NULL.
 */
void report_value(struct report *r, const char *file, unsigned long line,
    const char *key, size_t keylen, const char *value);

#endif
