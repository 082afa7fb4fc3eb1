/*
 * braces - lists in the names of tables.
 */

#include "rules/braces.h"

bool
is_white(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

struct slice
trim(struct slice s)
{
	while (s.len > 0 && is_white(s.p[0]))
		s.p++, s.len--;
	while (s.len > 0 && is_white(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* The octets up to and with the brace that closes the first; 0 if none does. */
static size_t
closed_at(struct slice s)
{
	size_t i, depth = 0;

	for (i = 0; i < s.len; i++) {
		if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}' && --depth == 0)
			return i + 1;
	}
	return 0;
}

bool
braces_open(struct slice s, struct slice *inside)
{
	if (s.len < 2 || s.p[0] != '{' || closed_at(s) != s.len)
		return false;
	*inside = trim(SLICE(s.p + 1, s.len - 2));
	return true;
}

static bool
is_separator(char c)
{
	return is_white(c) || c == ',';
}

bool
braces_next(struct slice *rest, struct slice *item)
{
	size_t i = 0, n;

	while (rest->len > 0 && is_separator(rest->p[0]))
		rest->p++, rest->len--;
	if (rest->len == 0)
		return false;
	while (i < rest->len && !is_separator(rest->p[i])) {
		n = rest->p[i] != '{' ? 1 :
		    closed_at(SLICE(rest->p + i, rest->len - i));
		i = n != 0 ? i + n : rest->len;
	}
	*item = SLICE(rest->p, i);
	rest->p += i;
	rest->len -= i;
	return true;
}
