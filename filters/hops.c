/*
 * hops - what the daemon itself wants to know of a header.
 *
 * Names are short and looked at octet by octet; values are skipped with
 * memchr(). The only word that is no name and does not end the header is the
 * "From " of a mailbox file, in the first lines.
 */

#include "filters/hops.h"

#include <stdbool.h>
#include <string.h>

#define NAME_MAX_OCTETS	998	/* as in header.c */

enum {
	FIRST,			/* the message begins */
	SECOND,			/* so does the line behind a mailbox line */
	LINE,			/* … or behind a field */
	NAME,
	SPACES,			/* between a name and its colon */
	MAILBOX,		/* the rest of that line */
	VALUE,
	BODY
};

static const struct {
	const char	*name;
	size_t		 len, counter;
} names[] = {
	{ "received", 8, offsetof(struct hops, received) },
	{ "authentication-results", 22, offsetof(struct hops, authres) },
};

#define NNAMES	(sizeof(names) / sizeof(names[0]))

void
hops_init(struct hops *s)
{
	*s = (struct hops){ .state = FIRST };
}

static void
take_name(struct hops *s, char c)
{
	size_t i;

	if (c >= 'A' && c <= 'Z')
		c = (char)(c + 'a' - 'A');
	for (i = 0; s->candidates >> i != 0; i++)
		if (s->at >= names[i].len || names[i].name[s->at] != c)
			s->candidates &= ~(1u << i);
	s->at++;
}

static void
count_field(struct hops *s)
{
	size_t i;

	for (i = 0; s->candidates >> i != 0; i++)
		if (s->candidates & 1u << i && s->at == names[i].len)
			++*(unsigned *)((char *)s + names[i].counter);
	s->state = VALUE;
}

/* ">From " counts as well. from: octets of it so far; -1: something else. */
static void
take_from(struct hops *s, char c)
{
	if (s->from == -1 || (c == '>' && s->from == 0))
		return;
	s->from = s->from < 5 && c == "From "[s->from] ? s->from + 1 : -1;
}

static int
begin_line(struct hops *s, char c)
{
	if ((c == ' ' || c == '\t') && s->state == LINE)
		return VALUE;
	if (c <= ' ' || c >= 127 || c == ':')
		return BODY;
	s->from = s->state == LINE ? -1 : 0;
	s->candidates = (1u << NNAMES) - 1;
	s->at = 0;
	take_name(s, c);
	take_from(s, c);
	return NAME;
}

/* Behind a name, and not its colon. */
static int
end_name(struct hops *s, char c)
{
	if (c == ' ' || c == '\t') {
		if (s->state == NAME)
			take_from(s, c);
		return SPACES;
	}
	if (s->from != 5)
		return BODY;
	s->mailbox = true;
	return c == '\n' ? SECOND : MAILBOX;
}

static int
go_on_name(struct hops *s, char c)
{
	if (c <= ' ' || c >= 127 || s->at == NAME_MAX_OCTETS)
		return end_name(s, c);
	take_name(s, c);
	take_from(s, c);
	return NAME;
}

bool
hops_knows_mailbox(const struct hops *s)
{
	return s->mailbox || (s->state != FIRST &&
	    (s->from == -1 || (s->state != NAME && s->state != SPACES)));
}

void
hops_feed(struct hops *s, const char *p, size_t len)
{
	const char *end = p + len;

	for (; p < end && s->state != BODY; p++) {
		if (s->state == VALUE || s->state == MAILBOX) {
			if ((p = memchr(p, '\n', (size_t)(end - p))) == NULL)
				return;
			s->state = s->state == VALUE ? LINE : SECOND;
		} else if (s->state < NAME)
			s->state = begin_line(s, *p);
		else if (*p == ':')
			count_field(s);
		else
			s->state = s->state == NAME ? go_on_name(s, *p) :
			    end_name(s, *p);
	}
}
