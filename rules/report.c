/*
 * report - mistakes in table files.
 */

#include "rules/report.h"

#include <stdarg.h>
#include <stdio.h>

#define MISTAKE_MAX	1000	/* one of them quotes the line it is about */

void
report_mistake(struct report *r, const char *file, unsigned long line,
    const char *fmt, ...)
{
	char what[MISTAKE_MAX], all[2 * MISTAKE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (line != 0)
		snprintf(all, sizeof(all), "%s:%lu: %s", file, line, what);
	else
		snprintf(all, sizeof(all), "%s: %s", file, what);
	r->n++;
	r->say(r->arg, all);
}
