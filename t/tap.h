/*
 * tap - checks for unit tests, in the format prove(1) reads. A check that
 * fails prints what was wanted and what came. tap_done() prints the plan and
 * gives the exit status.
 */
#ifndef T_TAP_H
#define T_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_run, tap_failed;

__attribute__((format(printf, 2, 3), unused)) static bool
ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_run);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!good)
		tap_failed++;
	return good;
}

__attribute__((unused)) static bool
is_int(long long got, long long want, const char *name)
{
	if (ok(got == want, "%s", name))
		return true;
	printf("#   got %lld\n#  want %lld\n", got, want);
	return false;
}

__attribute__((unused)) static bool
is_str(const char *got, const char *want, const char *name)
{
	bool same = got != NULL && want != NULL ? strcmp(got, want) == 0
						: got == want;

	if (ok(same, "%s", name))
		return true;
	printf("#   got \"%s\"\n#  want \"%s\"\n", got ? got : "(null)",
	    want ? want : "(null)");
	return false;
}

__attribute__((unused)) static int
tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed > 0;
}

#endif
