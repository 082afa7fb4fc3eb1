/*
 * authres - whose word is a field Authentication-Results?
 *
 *	authres-payload = [CFWS] authserv-id [CFWS authres-version] …
 *	authserv-id     = value, a token or a quoted string (RFC 2045)
 *
 * Somebody who forges one will not keep to the grammar: any octet that cannot
 * be in a token ends it, and what cannot be read at all has no name.
 */

#include "filters/authres.h"

#include <string.h>
#include <strings.h>


#define ID_ROOM	1024

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* comment = "(" *(ctext / quoted-pair / comment) ")". p is at the "(". */
static const char *
skip_comment(const char *p, const char *end)
{
	unsigned depth = 0;

	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '(')
			depth++;
		else if (*p == ')' && --depth == 0)
			return p + 1;
	}
	return end;
}

static const char *
skip_cfws(const char *p, const char *end)
{
	while (p < end && (is_space(*p) || *p == '('))
		p = *p == '(' ? skip_comment(p, end) : p + 1;
	return p;
}

/* The octets of a token, or of a quoted string without its quotes. -1: more
   than there is room for, and than anybody's name has. */
static int
take_id(const char *p, const char *end, char *id, size_t room)
{
	bool quoted = p < end && *p == '"';
	size_t n = 0;

	if (quoted)
		p++;
	for (; p < end; p++) {
		if (quoted ? *p == '"' : (unsigned char)*p <= ' ' ||
		    strchr("()<>@,;:\\\"/[]?=", *p) != NULL)
			break;
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		if (quoted && (*p == '\r' || *p == '\n'))
			continue;
		if (n == room - 1)
			return -1;
		id[n++] = *p;
	}
	id[n] = '\0';
	return (int)n;
}

bool
authres_is_from(struct slice value, const char *id)
{
	const char *end = value.p + value.len;
	char found[ID_ROOM];
	int n;

	n = take_id(skip_cfws(value.p, end), end, found, sizeof(found));
	if (n <= 0 || strlen(found) != (size_t)n)
		return false;
	if (found[n - 1] == '.')	/* the same name, fully qualified */
		found[n - 1] = '\0';
	return strcasecmp(found, id) == 0;
}
