/*
 * spamd_reply - the head of what a spamd answers.
 */

#include "filters/spamd_reply.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filters/scan.h"

bool
spamd_number(const char *text, const char *end, double *number)
{
	char *stop;

	text += strspn(text, " ");
	if (isspace((unsigned char)*text))
		return false;		/* strtod() would go to the next line */
	*number = strtod(text, &stop);
	return stop != text && strspn(stop, " ") == strcspn(stop, end) &&
	    isfinite(*number);
}

static bool
understand_spam(struct spamd_reply *r, const char *value)
{
	const char *end = value + strcspn(value, "\r");
	const char *semicolon = memchr(value, ';', (size_t)(end - value));
	const char *slash = semicolon == NULL ? NULL :
	    memchr(semicolon, '/', (size_t)(end - semicolon));

	if (slash == NULL)
		return false;
	r->spam = strncasecmp(value, "True", 4) == 0 ||
	    strncasecmp(value, "Yes", 3) == 0;
	return spamd_number(semicolon + 1, "/", &r->score) &&
	    spamd_number(slash + 1, "\r", &r->required);
}

static bool
understand_length(struct spamd_reply *r, const char *value)
{
	char *end;
	long len;

	if (value == NULL || !isdigit((unsigned char)*value))
		return false;
	len = strtol(value, &end, 10);
	r->body = (size_t)len;
	return *end == '\r' && len <= (long)SPAMD_REPLY_MAX;
}

const char *
spamd_reply(const char *head, struct spamd_reply *r)
{
	const char *spam = scan_field(head, "Spam");
	int major, minor, code;

	if (sscanf(head, "SPAMD/%d.%d %d ", &major, &minor, &code) != 3)
		return "it does not speak SPAMD";
	if (code != 0)
		return "it could not do it";
	if (spam == NULL || !understand_spam(r, spam))
		return "a reply without a score";
	return understand_length(r, scan_field(head, "Content-length")) ?
	    NULL : "a reply without a length";
}
