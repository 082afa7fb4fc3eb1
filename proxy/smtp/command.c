/*
 * command - a command line of a client, taken apart (RFC 5321 section 4.1).
 *
 * The name ends at a space and at nothing else: "DATA" with a NUL or a TAB
 * behind it is no DATA, whatever the caller forgets to look at.
 *
 * Peers that speak another protocol are recognised by their first word, since
 * each further line of theirs would be one more command: a browser that was
 * tricked into posting a form to us, a mail that somebody's proxy sends after
 * its DATA was refused.
 */

#include "smtp/command.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char		*name;
	enum command_verb	 verb;
} verbs[] = {
	{ "RCPT",	CMD_RCPT },	/* the frequent ones first */
	{ "MAIL",	CMD_MAIL },
	{ "DATA",	CMD_DATA },
	{ "BDAT",	CMD_BDAT },
	{ "EHLO",	CMD_EHLO },
	{ "QUIT",	CMD_QUIT },
	{ "RSET",	CMD_RSET },
	{ "NOOP",	CMD_NOOP },
	{ "HELO",	CMD_HELO },
	{ "LHLO",	CMD_LHLO },
	{ "STARTTLS",	CMD_STARTTLS },
	{ "AUTH",	CMD_AUTH },
	{ "XCLIENT",	CMD_XCLIENT },
	{ "XFORWARD",	CMD_XFORWARD },
	{ "VRFY",	CMD_VRFY },
	{ "EXPN",	CMD_EXPN },
	{ "HELP",	CMD_HELP },
	/* HTTP and its relatives */
	{ "GET",	CMD_FOREIGN },
	{ "POST",	CMD_FOREIGN },
	{ "PUT",	CMD_FOREIGN },
	{ "HEAD",	CMD_FOREIGN },
	{ "DELETE",	CMD_FOREIGN },
	{ "OPTIONS",	CMD_FOREIGN },
	{ "CONNECT",	CMD_FOREIGN },
	{ "TRACE",	CMD_FOREIGN },
	{ "PATCH",	CMD_FOREIGN },
	{ "PROPFIND",	CMD_FOREIGN },
	{ "PRI",	CMD_FOREIGN },
	{ "INVITE",	CMD_FOREIGN },
	{ "REGISTER",	CMD_FOREIGN },
};

#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

static bool
is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "Received:" or "Host:localhost"; not "MAIL FROM:", whose colon is not in the
   first word. Nor is "MAIL<TAB>FROM:" one, which is only a bad command. */
static bool
is_label(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == ':')
			return true;
		if (name.p[i] < '!' || name.p[i] > '~')
			return false;
	}
	return false;
}

static enum command_verb
verb_find(struct slice name)
{
	if (name.len == 0 || !is_letter(name.p[0]))
		return CMD_FOREIGN;
	for (size_t i = 0; i < NVERBS; i++)
		if (slice_is_nocase(name, verbs[i].name))
			return verbs[i].verb;
	return is_label(name) ? CMD_FOREIGN : CMD_UNKNOWN;
}

static struct slice
trim(struct slice s)
{
	while (s.len > 0 && s.p[0] == ' ') {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && s.p[s.len - 1] == ' ')
		s.len--;
	return s;
}

void
command_parse(struct command *c, const char *p, size_t len)
{
	size_t n = 0;

	*c = (struct command){ .verb = CMD_UNKNOWN };
	while (n < len && p[n] != ' ')
		n++;
	c->name = SLICE(p, n);
	c->arg = trim(SLICE(p + n, len - n));
	for (size_t i = 0; i < len; i++) {
		unsigned char u = (unsigned char)p[i];

		c->ctl |= u < ' ' || u == 0x7f;
		c->eight_bit |= u > 0x7f;
	}
	if (len > 0)
		c->verb = verb_find(c->name);
}

const char *
command_name(enum command_verb v)
{
	if (v == CMD_FOREIGN)
		return "?";
	for (size_t i = 0; i < NVERBS; i++)
		if (verbs[i].verb == v)
			return verbs[i].name;
	return "?";
}

/* Move s behind a run of spaces, if lenient lets it pass. */
static bool
skip_spaces(struct slice *s, bool lenient)
{
	if (s->len > 0 && s->p[0] == ' ' && !lenient)
		return false;
	while (s->len > 0 && s->p[0] == ' ') {
		s->p++;
		s->len--;
	}
	return true;
}

/* RFC 5321 4.1.1.2: "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF */
int
command_path_arg(struct slice arg, const char *keyword, bool lenient,
    struct slice *rest)
{
	size_t n = strcspn(keyword, ":");
	struct slice s;

	if (arg.len < n || strncasecmp(arg.p, keyword, n) != 0)
		return -1;
	s = SLICE(arg.p + n, arg.len - n);
	if (!skip_spaces(&s, lenient) || s.len == 0 || s.p[0] != ':')
		return -1;
	s.p++;
	s.len--;
	if (!skip_spaces(&s, lenient))
		return -1;
	*rest = s;
	return 0;
}

/* 1*DIGIT; s is not empty. */
static int
parse_size(struct slice s, uint64_t *size)
{
	const uint64_t max = INT64_MAX;
	uint64_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit;

		if (!is_digit(s.p[i]))
			return -1;
		digit = (uint64_t)(s.p[i] - '0');
		if (n > (max - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	*size = n;
	return 0;
}

/* RFC 3030 section 2: "BDAT" SP chunk-size [SP "LAST"] CRLF */
int
command_bdat_arg(struct slice arg, uint64_t *size, bool *last)
{
	struct slice word;

	if (!slice_word(&arg, &word) || parse_size(word, size) != 0)
		return -1;
	*last = slice_word(&arg, &word);
	if (*last && !slice_is_nocase(word, "LAST"))
		return -1;
	return slice_word(&arg, &word) ? -1 : 0;
}

bool
slice_word(struct slice *s, struct slice *word)
{
	size_t n = 0;

	skip_spaces(s, true);
	while (n < s->len && s->p[n] != ' ')
		n++;
	*word = SLICE(s->p, n);
	s->p += n;
	s->len -= n;
	return n > 0;
}
