/*
 * report - mistakes in table files.
 */

#include "rules/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define QUOTE_MAX	60	/* octets of a key or value */
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

void
report_warn(struct report *r, const char *fmt, ...)
{
	char text[5 * MISTAKE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->warn != NULL)
		r->warn(r->arg, text);
	else
		log_warn(0, "table %s", text);
}

/* In quotes whatever it is, and a "$" for what a pattern puts there. */
static const char *
quote(char out[QUOTE_MAX + 8], const char *p, size_t len)
{
	size_t cut = len < QUOTE_MAX ? len : QUOTE_MAX, i;

	/* No character of UTF-8 is cut. */
	while (cut < len && cut > 0 && ((unsigned char)p[cut] & 0xc0) == 0x80)
		cut--;
	out[0] = '"';
	for (i = 0; i < cut; i++)
		out[i + 1] = p[i] == TABLE_GROUP ? '$' :
		    (unsigned char)p[i] < ' ' || p[i] == 0x7f ? '?' : p[i];
	strcpy(out + cut + 1, cut < len ? "…\"" : "\"");
	return out;
}

void
report_value(struct report *r, const char *file, unsigned long line,
    const char *key, size_t keylen, const char *value)
{
	char quoted[4 * MISTAKE_MAX + 6];
	char name[QUOTE_MAX + 8], text[QUOTE_MAX + 8], all[MISTAKE_MAX];
	const char *wrong, *warning = NULL;

	if (r->use.check == NULL)
		return;
	wrong = r->use.check(r->use.arg, value, &warning);
	quote(text, value, strlen(value));
	if (wrong == NULL && warning != NULL) {
		snprintf(all, sizeof(all), "%s %s", text, warning);
		report_warn(r, "file=%s line=%lu warning=%s", file, line,
		    log_quote(quoted, sizeof(quoted), all, strlen(all),
		    MISTAKE_MAX));
	}
	if (wrong == NULL)
		return;
	if (key == NULL || line != 0) {
		report_mistake(r, file, line, "%s %s", text, wrong);
		return;
	}
	report_mistake(r, file, 0, "key %s: %s %s", quote(name, key, keylen),
	    text, wrong);
}
