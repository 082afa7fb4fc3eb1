/*
 * header - the fields of a message header from a stream of octets.
 *
 * The lines of one field are collected in a buffer. The field is complete when
 * the first octet of the next line is no space; that octet is left where it is.
 */

#include "filters/header.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NAME_ROOM	998	/* RFC 5322 2.1.1: a line that has no colon by
				   then is no field */

void
header_init(struct header_parser *p)
{
	memset(p, 0, sizeof(*p));
	buf_init(&p->text, HEADER_FIELD_MAX);
	buf_init(&p->value, HEADER_FIELD_MAX);
	buf_init(&p->names, HEADER_OCTETS_MAX + HEADER_FIELDS_MAX);
}

void
header_fini(struct header_parser *p)
{
	buf_fini(&p->text);
	buf_fini(&p->value);
	buf_fini(&p->names);
	free(p->hashes);
	free(p->starts);
	p->hashes = NULL;
	p->starts = NULL;
}

/* What a line is */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Length of the line without its end. */
static size_t
bare_length(const char *line, size_t len)
{
	if (len > 0 && line[len - 1] == '\n')
		len--;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	return len;
}

/*
 * field-name = 1*ftext, ftext = %d33-57 / %d59-126; spaces in front of the
 * colon are obsolete and still read (RFC 5322 4.5). Length of the name, or 0.
 */
static size_t
name_length(const char *line, size_t len)
{
	size_t n = 0, colon;

	if (len > NAME_ROOM)
		len = NAME_ROOM;
	while (n < len && line[n] > 32 && line[n] < 127 && line[n] != ':')
		n++;
	for (colon = n; colon < len && is_space(line[colon]); colon++)
		;
	return colon < len && line[colon] == ':' ? n : 0;
}

/* ">From " counts as well: mailbox files escape it so. */
static bool
is_mailbox_line(const char *line, size_t len)
{
	while (len > 0 && *line == '>') {
		line++;
		len--;
	}
	return len >= 5 && len <= NAME_ROOM && memcmp(line, "From ", 5) == 0;
}

/* Fields */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* Remember a name; returns how many fields have it, this one included. */
static unsigned
count_name(struct header_parser *p, struct slice name)
{
	uint32_t hash = 2166136261u;	/* FNV-1a */
	size_t start = p->names.len, i;
	unsigned nth = 1;

	for (i = 0; i < name.len; i++) {
		buf_addc(&p->names, lower(name.p[i]));
		hash = (hash ^ (unsigned char)lower(name.p[i])) * 16777619u;
	}
	buf_addc(&p->names, '\0');
	for (i = 0; i < p->nfields; i++)
		if (p->hashes[i] == hash && strcmp(p->names.p + p->starts[i],
		    p->names.p + start) == 0)
			nth++;
	if ((p->nfields & (p->nfields + 1)) == 0) {
		i = 2 * p->nfields + 1;
		p->hashes = xrealloc(p->hashes, i * sizeof(p->hashes[0]));
		p->starts = xrealloc(p->starts, i * sizeof(p->starts[0]));
	}
	p->hashes[p->nfields] = hash;
	p->starts[p->nfields++] = start;
	return nth;
}

/* RFC 5322 2.2.3: take the line ends out of a folded value. */
static struct slice
unfold(struct header_parser *p, struct slice raw)
{
	const char *start, *end;
	size_t i;

	buf_reset(&p->value);
	for (i = 0; i < raw.len; i++)
		if (raw.p[i] != '\n' && !(raw.p[i] == '\r' &&
		    i + 1 < raw.len && raw.p[i + 1] == '\n'))
			buf_addc(&p->value, raw.p[i]);
	if (p->value.len == 0)
		return SLICE("", 0);
	start = p->value.p;
	end = start + p->value.len;
	while (start < end && is_space(*start))
		start++;
	while (end > start && is_space(end[-1]))
		end--;
	return SLICE(start, (size_t)(end - start));
}

static enum header_status
too_big(struct header_parser *p)
{
	p->state = OVER_LIMIT;
	return HEADER_TOO_BIG;
}

/* What is in text is a field. */
static enum header_status
give_field(struct header_parser *p, struct header *h)
{
	const char *colon;

	p->given = true;
	p->octets += p->done;
	if (p->done > HEADER_FIELD_MAX || p->octets > HEADER_OCTETS_MAX ||
	    p->nfields == HEADER_FIELDS_MAX)
		return too_big(p);
	h->name = SLICE(p->text.p, name_length(p->text.p, p->done));
	colon = memchr(p->text.p, ':', p->done);
	h->raw.p = colon + 1;
	h->raw.len = bare_length(p->text.p, p->done) -
	    (size_t)(h->raw.p - p->text.p);
	h->value = unfold(p, h->raw);
	h->nth = count_name(p, h->name);
	return HEADER_FIELD;
}

static enum header_status
end(struct header_parser *p, struct slice *rest, size_t body)
{
	p->state = AT_END;
	p->done = p->text.len - body;
	*rest = SLICE(p->text.p, body);
	return HEADER_END;
}

/* text is one line, the first of a field or none. */
static enum header_status
new_line(struct header_parser *p, struct slice *rest)
{
	bool first = p->state == AT_START;

	p->state = IN_FIELDS;
	if (bare_length(p->text.p, p->text.len) == 0)
		return end(p, rest, 0);
	if (name_length(p->text.p, p->text.len) > 0) {
		p->done = p->text.len;
		return HEADER_MORE;
	}
	if (first && is_mailbox_line(p->text.p, p->text.len)) {
		p->state = AT_START;	/* there may be another one */
		buf_reset(&p->text);
		return HEADER_MORE;
	}
	return end(p, rest, p->text.len);
}

/* Can the line that is coming in still be a field? */
static bool
is_hopeless(const struct header_parser *p)
{
	return p->done == 0 && p->text.len >= NAME_ROOM &&
	    name_length(p->text.p, p->text.len) == 0;
}

static bool
is_at_line_start(const struct header_parser *p)
{
	return p->text.len == p->done;
}

static enum header_status
take_piece(struct header_parser *p, const char *in, size_t len, size_t *used,
    struct slice *rest)
{
	size_t n = len < NAME_ROOM ? len : NAME_ROOM;
	const char *lf = memchr(in, '\n', n);

	if (lf != NULL)
		n = (size_t)(lf - in) + 1;
	if (n > HEADER_FIELD_MAX - p->text.len)
		return too_big(p);
	buf_add(&p->text, in, n);
	*used += n;
	if (lf != NULL && p->done > 0)
		p->done = p->text.len;
	else if (lf != NULL)
		return new_line(p, rest);
	else if (is_hopeless(p))
		return end(p, rest, p->text.len);
	return HEADER_MORE;
}

static void
drop_given(struct header_parser *p)
{
	if (!p->given)
		return;
	buf_reset(&p->text);
	p->done = 0;
	p->given = false;
}

enum header_status
header_parse(struct header_parser *p, const char *in, size_t len, size_t *used,
    struct header *h, struct slice *rest)
{
	enum header_status status = HEADER_MORE;

	*used = 0;
	*rest = SLICE("", 0);
	if (p->state == OVER_LIMIT)
		return HEADER_TOO_BIG;
	if (p->state == AT_END)
		return HEADER_END;
	drop_given(p);
	while (status == HEADER_MORE && *used < len) {
		if (p->done > 0 && is_at_line_start(p) && !is_space(in[*used]))
			return give_field(p, h);
		status = take_piece(p, in + *used, len - *used, used, rest);
	}
	return status;
}

enum header_status
header_finish(struct header_parser *p, struct header *h, struct slice *rest)
{
	enum header_status status = HEADER_MORE;

	*rest = SLICE("", 0);
	if (p->state == OVER_LIMIT)
		return HEADER_TOO_BIG;
	if (p->state == AT_END)
		return HEADER_END;
	drop_given(p);
	/* A last line without an end. */
	if (p->done > 0)
		p->done = p->text.len;
	else if (p->text.len > 0)
		status = new_line(p, rest);
	if (status == HEADER_MORE && p->done > 0)
		return give_field(p, h);
	return status == HEADER_MORE ? end(p, rest, 0) : status;
}

size_t
header_octets(const struct header_parser *p)
{
	return p->done;
}

void
header_forget(struct header_parser *p)
{
	p->names.len = p->starts[--p->nfields];
}
