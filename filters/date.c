/*
 * date - the time in a header field.
 */

#include "filters/date.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *const months[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct",
	"nov", "dec"
};

/* RFC 5322 section 4.3; all others are +0000. */
static const struct {
	const char	*name;
	int		 hours;
} zones[] = {
	{ "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 },
	{ "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 },
	{ "CET", 1 }, { "CEST", 2 },
};

/* Spaces, commas and comments. */
static void
skip(struct slice *s)
{
	unsigned depth = 0;

	while (s->len > 0 && (depth > 0 || *s->p == '(' || *s->p == ',' ||
	    isspace((unsigned char)*s->p))) {
		if (*s->p == '(')
			depth++;
		else if (*s->p == ')')
			depth--;
		slice_drop(s, 1);
	}
}

/* A number of at most so many digits; its digits, 0: there are none. */
static int
number(struct slice *s, int digits, int *n)
{
	int i;

	*n = 0;
	for (i = 0; i < digits && s->len > 0 &&
	    isdigit((unsigned char)*s->p); i++) {
		*n = *n * 10 + *s->p - '0';
		slice_drop(s, 1);
	}
	return i;
}

static struct slice
letters(struct slice *s)
{
	struct slice word = *s;
	size_t n = 0;

	while (n < s->len && isalpha((unsigned char)s->p[n]))
		n++;
	slice_drop(s, n);
	word.len = n;
	return word;
}

static bool
month(struct slice *s, int *n)
{
	struct slice word;

	skip(s);
	if (s->len > 0 && *s->p == '-')
		slice_drop(s, 1);
	word = letters(s);
	for (*n = 0; *n < 12; (*n)++)
		if (word.len >= 3 && strncasecmp(word.p, months[*n], 3) == 0)
			return true;
	return false;
}

static bool
year(struct slice *s, int *n)
{
	int digits;

	skip(s);
	if (s->len > 0 && *s->p == '-')
		slice_drop(s, 1);
	digits = number(s, 4, n);
	if (digits == 2)
		*n += *n < 50 ? 2000 : 1900;
	else if (digits == 3)
		*n += 1900;
	return digits >= 2 && *n >= 1900;
}

static bool
time_of_day(struct slice *s, struct tm *tm)
{
	skip(s);
	if (number(s, 2, &tm->tm_hour) == 0 || s->len == 0 || *s->p != ':')
		return false;
	slice_drop(s, 1);
	if (number(s, 2, &tm->tm_min) == 0)
		return false;
	if (s->len > 0 && *s->p == ':') {
		slice_drop(s, 1);
		if (number(s, 2, &tm->tm_sec) == 0)
			return false;
	}
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* Seconds east of Greenwich. */
static int
zone(struct slice *s)
{
	struct slice word;
	bool west;
	size_t i;
	int n;

	skip(s);
	if (s->len > 0 && (*s->p == '+' || *s->p == '-')) {
		west = *s->p == '-';
		slice_drop(s, 1);
		number(s, 4, &n);
		n = n / 100 * 3600 + n % 100 * 60;
		return west ? -n : n;
	}
	word = letters(s);
	for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (slice_is_nocase(word, zones[i].name))
			return zones[i].hours * 3600;
	return 0;
}

bool
date_parse(struct slice value, int64_t *seconds)
{
	struct tm tm = { .tm_mday = 0 };
	int y;

	skip(&value);
	letters(&value);		/* the day of the week */
	skip(&value);
	if (number(&value, 2, &tm.tm_mday) == 0 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || !month(&value, &tm.tm_mon) ||
	    !year(&value, &y) || !time_of_day(&value, &tm))
		return false;
	tm.tm_year = y - 1900;
	*seconds = (int64_t)timegm(&tm) - zone(&value);
	return true;
}
