/*
 * mime - the parts of a message, from a stream of octets.
 *
 * Content goes through in runs of lines: only a line that begins with "--" is
 * put together and looked at, and the line end in front of it is held back,
 * because it belongs to the boundary if it is one. Lines of headers are put
 * together one by one.
 *
 * What is encoded and has parts in it (no standard allows it, and clients read
 * it) is scanned by a scanner of its own, which shares the limits: "inner".
 */

#include "filters/mime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/codec.h"
#include "filters/mime_entity.h"
#include "filters/mime_level.h"
#include "filters/mime_param.h"
#include "filters/mime_uu.h"

#define CANDIDATE_MAX	(MIME_BOUNDARY_MAX + 200)	/* a line with "--" */
#define FIELD_MAX	((size_t)16 << 10)
#define CHUNK		((size_t)8 << 10)		/* decoded at once */

/* What all scanners of a message have in common. */
struct shared {
	struct mime_limits	 limits;
	const struct mime_handler *handler;
	void			*arg;
	unsigned		 nparts, errors;
	uint64_t		 decoded;
};

enum state {
	IN_HEADER,
	IN_CONTENT,		/* of a part */
	AROUND,			/* the parts of a multipart */
	STOPPED
};

struct mime {
	struct shared	*shared;	/* ours if owner */
	bool		 owner;
	unsigned	 base;		/* depth of our first part */
	enum state	 state;
	bool		 in_body;	/* of the message; if owner */
	bool		 any_part;	/* has begun */
	struct mime_level	 levels[MIME_DEPTH_MAX];
	unsigned	 nlevels;

	struct mime_entity entity;
	struct mime_part part;		/* the one that is open */
	struct codec	 codec;
	bool		 is_text;
	struct mime_uu	 uu;
	struct mime_part uu_part;
	struct slice	 uu_name;
	struct mime	*inner;		/* ours; or NULL */

	struct buf	 line;		/* header line or candidate */
	struct buf	 field;		/* unfolded, so far */
	size_t		 header_len;
	bool		 first_line;	/* of a header */
	bool		 at_start;	/* of a line of content */
	bool		 collecting;	/* a candidate */
	char		 held[2];	/* a line end, or CR */
	size_t		 nheld;
	char		*out;		/* CHUNK and more; ours */
};

static void feed_content(struct mime *m, const char *p, size_t len);

static const char *const errors[MIME_NERRORS] = {
	"too-deep", "too-many-parts", "long-header", "too-big",
	"no-boundary", "no-end", "part-after-end", "same-boundary",
	"bad-header", "duplicate-field", "bad-type", "bad-encoding",
	"encoded-parts",
};

const char *
mime_error_name(unsigned i)
{
	assert(i < MIME_NERRORS);
	return errors[i];
}

static void
found(struct mime *m, unsigned e)
{
	m->shared->errors |= e;
}

unsigned
mime_errors(const struct mime *m)
{
	return m->shared->errors;
}

/* Content */

static void
give(struct mime *m, struct mime_part *part, const char *p, size_t len)
{
	struct shared *s = m->shared;

	if (len > s->limits.decoded - s->decoded) {
		found(m, MIME_TOO_BIG);
		len = (size_t)(s->limits.decoded - s->decoded);
	}
	s->decoded += len;
	if (len > 0)
		s->handler->data(s->arg, part, p, len);
}

static bool
begin(struct mime *m, struct mime_part *part)
{
	struct shared *s = m->shared;

	if (s->nparts == s->limits.parts) {
		found(m, MIME_TOO_MANY_PARTS);
		return false;
	}
	part->number = ++s->nparts;
	m->any_part = true;
	s->handler->begin(s->arg, part);
	return true;
}

static void
uu_begin(void *arg, struct slice name)
{
	struct mime *m = arg;
	struct mime_entity e;

	mime_entity_init(&e);
	mime_name(name, mime_entity_add_name, &e);
	m->uu_part = (struct mime_part){
		.depth = m->part.depth + 1, .charset = "",
		.type = "application/octet-stream",
		.disposition = "attachment", .names = e.slices,
		.nnames = e.nnames,
	};
	begin(m, &m->uu_part);		/* or it has no number */
	m->uu_part.names = NULL;
	m->uu_part.nnames = 0;
	mime_entity_fini(&e);
}

static void
uu_data(void *arg, const char *p, size_t len)
{
	struct mime *m = arg;

	if (m->uu_part.number > 0)
		give(m, &m->uu_part, p, len);
}

static void
uu_end(void *arg)
{
	struct mime *m = arg;

	if (m->uu_part.number > 0)
		m->shared->handler->end(m->shared->arg, &m->uu_part);
}

static const struct mime_uu_handler uu_handler = {
	.begin = uu_begin, .data = uu_data, .end = uu_end,
};

/* Octets of a part or around parts, decoded. */
static void
give_decoded(struct mime *m, const char *p, size_t len)
{
	if (m->inner != NULL) {
		mime_body(m->inner, p, len);
		return;
	}
	if (m->is_text)
		mime_uu_text(&m->uu, p, len, &uu_handler, m);
	give(m, &m->part, p, len);
}

static void
emit(struct mime *m, const char *p, size_t len)
{
	size_t n, some;

	if (m->codec.kind == CODEC_NONE) {
		if (len > 0)
			give_decoded(m, p, len);
		return;
	}
	if (m->out == NULL)
		m->out = xmalloc(CHUNK + CODEC_HELD_MAX);
	for (; len > 0; p += some, len -= some) {
		some = len < CHUNK ? len : CHUNK;
		n = codec_decode(&m->codec, p, some, m->out);
		if (n > 0)
			give_decoded(m, m->out, n);
	}
}

static void
emit_held(struct mime *m)
{
	size_t n = m->nheld;

	m->nheld = 0;
	emit(m, m->held, n);
}

/* The content is over: of a part, or what is around parts. */
static void
end_content(struct mime *m)
{
	char out[CODEC_HELD_MAX];
	size_t n;

	m->nheld = 0;
	if (m->state != IN_CONTENT && m->state != AROUND)
		return;
	n = codec_finish(&m->codec, out);
	if (n > 0)
		give_decoded(m, out, n);
	if (m->is_text)
		mime_uu_end(&m->uu, &uu_handler, m);
	/* A multipart that said it was encoded, and was not, is no multipart
	   without an end. */
	if (m->inner != NULL && (m->state == IN_CONTENT || m->inner->any_part))
		mime_end(m->inner);
	mime_free(&m->inner);
	if (m->state == IN_CONTENT && !m->part.has_parts)
		m->shared->handler->end(m->shared->arg, &m->part);
	codec_init(&m->codec, CODEC_NONE);
}

static void
begin_header(struct mime *m)
{
	mime_entity_fini(&m->entity);
	mime_entity_init(&m->entity);
	buf_reset(&m->line);
	buf_reset(&m->field);
	m->header_len = 0;
	m->first_line = true;
	m->state = IN_HEADER;
}

static void
begin_content(struct mime *m, enum state state)
{
	m->state = state;
	m->at_start = true;
	m->collecting = false;
	m->nheld = 0;
	buf_reset(&m->line);
}

/* What is between parts is text that belongs to none. */
static void
begin_around(struct mime *m)
{
	m->part = (struct mime_part){
		.depth = m->base + m->nlevels, .type = "text/plain",
		.charset = "", .disposition = "",
	};
	m->is_text = true;
	memset(&m->uu, 0, sizeof(m->uu));
	begin_content(m, AROUND);
}

/* Levels */

static void
pop(struct mime *m, unsigned n)
{
	struct mime_level *l;

	while (m->nlevels > n) {
		l = &m->levels[--m->nlevels];
		if (l->multipart && !l->closed)
			found(m, MIME_NO_END);
		mime_level_fini(l);
	}
}

static struct mime_level *
push(struct mime *m, bool multipart)
{
	struct mime_level *l = &m->levels[m->nlevels++];

	memset(l, 0, sizeof(*l));
	l->multipart = multipart;
	return l;
}

static bool
is_too_deep(struct mime *m)
{
	if (m->base + m->nlevels < m->shared->limits.depth)
		return false;
	found(m, MIME_TOO_DEEP);
	return true;
}

static struct mime *
inner_new(struct mime *m)
{
	struct mime *in = xcalloc(1, sizeof(*in));

	in->shared = m->shared;
	in->base = m->base + m->nlevels + 1;
	mime_entity_init(&in->entity);
	buf_init(&in->line, FIELD_MAX);
	buf_init(&in->field, 4 * FIELD_MAX);
	return in;
}

static void
check_same_boundary(struct mime *m, const struct mime_level *new)
{
	const struct mime_level *l;

	for (l = m->levels; l < new; l++)
		if (l->boundary != NULL && new->boundary != NULL &&
		    l->len == new->len &&
		    memcmp(l->boundary, new->boundary, l->len) == 0)
			found(m, MIME_SAME_BOUNDARY);
}

static void
begin_multipart(struct mime *m)
{
	struct mime_entity *e = &m->entity;
	struct mime_level *l, *in;

	l = push(m, true);
	l->digest = strcmp(m->part.type, "multipart/digest") == 0;
	mime_level_set(l, e);
	if (l->boundary == NULL)
		found(m, MIME_NO_BOUNDARY);
	check_same_boundary(m, l);
	if (e->encoding == CODEC_NONE || is_too_deep(m)) {
		begin_around(m);
		return;
	}
	found(m, MIME_ENCODED_PARTS);
	m->inner = inner_new(m);
	in = push(m->inner, true);
	in->digest = l->digest;
	mime_level_set(in, e);
	begin_around(m->inner);
	begin_around(m);
	codec_init(&m->codec, e->encoding);
}

static void
begin_message(struct mime *m)
{
	enum codec_kind encoding = m->entity.encoding;

	if (encoding == CODEC_NONE) {
		push(m, false);
		begin_header(m);
		return;
	}
	found(m, MIME_ENCODED_PARTS);
	m->inner = inner_new(m);
	begin_header(m->inner);
	m->is_text = false;
	codec_init(&m->codec, encoding);
	begin_content(m, IN_CONTENT);
}

static void
begin_leaf(struct mime *m)
{
	memset(&m->uu, 0, sizeof(m->uu));
	m->is_text = m->entity.uuencoded ||
	    strcmp(m->part.type, "text/plain") == 0;
	codec_init(&m->codec, m->entity.encoding);
	begin_content(m, IN_CONTENT);
}

static const char *
default_type(const struct mime *m)
{
	return m->nlevels > 0 && m->levels[m->nlevels - 1].digest ?
	    "message/rfc822" : "text/plain";
}

static bool
is_message(const char *type)
{
	return strcmp(type, "message/rfc822") == 0 ||
	    strcmp(type, "message/global") == 0 ||
	    strcmp(type, "message/news") == 0;
}

/* The header is complete: what is behind it? */
static void
end_header(struct mime *m)
{
	struct mime_entity *e = &m->entity;
	bool multipart, message;

	m->part = (struct mime_part){
		.depth = m->base + m->nlevels,
		.type = e->type.len > 0 ? e->type.p : default_type(m),
		.charset = e->charset.p, .disposition = e->disposition.p,
		.names = e->slices, .nnames = e->nnames,
	};
	multipart = strncmp(m->part.type, "multipart/", 10) == 0;
	message = is_message(m->part.type);
	m->part.has_parts = (multipart || message) && !is_too_deep(m);
	if (!begin(m, &m->part))
		m->state = STOPPED;
	else if (!m->part.has_parts)
		begin_leaf(m);
	else if (multipart)
		begin_multipart(m);
	else
		begin_message(m);
}

/* Boundaries */

/* The level whose boundary it is: the innermost that is open, or else the
   innermost. */
static enum mime_match
find_level(struct mime *m, struct slice rest, unsigned *which)
{
	enum mime_match match;
	bool closed;
	unsigned i;

	for (closed = false;; closed = true) {
		for (i = m->nlevels; i-- > 0;) {
			if (m->levels[i].closed != closed)
				continue;
			match = mime_level_match(&m->levels[i], rest);
			if (match != MIME_NO_MATCH) {
				*which = i;
				return match;
			}
		}
		if (closed)
			return MIME_NO_MATCH;
	}
}

/* A multipart that does not name its boundary has the first that comes. */
static void
guess_boundary(struct mime *m, struct slice rest)
{
	struct mime_level *l;

	if (m->nlevels == 0)
		return;
	l = &m->levels[m->nlevels - 1];
	while (rest.len > 0 && mime_is_blank(rest.p + rest.len - 1, 1))
		rest.len--;
	if (l->multipart && l->boundary == NULL && !l->closed &&
	    m->state == AROUND && memchr(rest.p, ' ', rest.len) == NULL)
		mime_level_guess(l, rest);
}

/* True: the line was a boundary, and what follows from it is done. */
static bool
is_boundary(struct mime *m, struct slice line)
{
	enum mime_match match;
	unsigned i;

	if (line.len < 3 || line.p[0] != '-' || line.p[1] != '-')
		return false;
	line = SLICE(line.p + 2, line.len - 2);
	guess_boundary(m, line);
	match = find_level(m, line, &i);
	if (match == MIME_NO_MATCH)
		return false;
	if (m->state == IN_HEADER)
		end_header(m);
	end_content(m);
	if (m->state == STOPPED)
		return true;
	pop(m, i + 1);
	if (match == MIME_LAST_PART) {
		m->levels[i].closed = true;
		begin_around(m);
		return true;
	}
	if (m->levels[i].closed)
		found(m, MIME_AFTER_END);
	m->levels[i].closed = false;
	begin_header(m);
	return true;
}

/*
 * A boundary may look like a field ("--a:b"). One that the header itself has
 * named ends it, without the empty line that ought to be there.
 */
static bool
is_own_boundary(struct mime *m, struct slice line)
{
	struct mime_level l = { .boundary = NULL };
	bool is_it;

	if (m->state != IN_HEADER || line.len < 3 || line.p[0] != '-' ||
	    line.p[1] != '-' || m->entity.type.len <= 10 ||
	    memcmp(m->entity.type.p, "multipart/", 10) != 0)
		return false;
	mime_level_set(&l, &m->entity);
	is_it = mime_level_match(&l, SLICE(line.p + 2, line.len - 2)) !=
	    MIME_NO_MATCH;
	mime_level_fini(&l);
	return is_it;
}

/* A field of the message's own header, which may be such a boundary: how it
   was written is known but for spaces. */
static bool
is_boundary_field(struct mime *m, struct slice name, struct slice value,
    const char *colon)
{
	struct slice line;
	struct buf b;
	bool is_it;

	buf_init(&b, name.len + value.len + 3);
	buf_add(&b, name.p, name.len);
	buf_adds(&b, colon);
	buf_add(&b, value.p, value.len);
	line = SLICE(b.p, b.len);
	if (is_own_boundary(m, line)) {
		found(m, MIME_BAD_HEADER);
		end_header(m);
	}
	is_it = is_boundary(m, line);
	buf_fini(&b);
	return is_it;
}

static void
take_field(struct mime *m, struct slice name, struct slice value)
{
	found(m, mime_entity_field(&m->entity, name, value));
}

void
mime_header(struct mime *m, struct slice name, struct slice value)
{
	if (name.len > 2 && name.p[0] == '-' && name.p[1] == '-' &&
	    (is_boundary_field(m, name, value, ":") ||
	    is_boundary_field(m, name, value, ": ")))
		return;
	if (m->state == IN_HEADER)
		take_field(m, name, value);
}

/* Header lines */

static void
end_field(struct mime *m)
{
	struct slice name, value;
	const char *colon;

	if (m->field.len == 0)
		return;
	if (m->field.failed)
		found(m, MIME_LONG_HEADER);
	colon = memchr(m->field.p, ':', m->field.len);
	if (colon != NULL) {
		name = SLICE(m->field.p, (size_t)(colon - m->field.p));
		while (name.len > 0 && mime_is_blank(name.p + name.len - 1, 1))
			name.len--;
		value = SLICE(colon + 1, m->field.len - 1 -
		    (size_t)(colon - m->field.p));
		take_field(m, name, value);
	}
	buf_reset(&m->field);
}

/* field-name [FWS] ":" */
static bool
is_field(struct slice line)
{
	size_t i = 0;

	while (i < line.len && line.p[i] > ' ' && line.p[i] < 0x7f &&
	    line.p[i] != ':')
		i++;
	if (i == 0)
		return false;
	while (i < line.len && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	return i < line.len && line.p[i] == ':';
}

static bool
is_mailbox_line(struct slice line)
{
	return (line.len > 5 && memcmp(line.p, "From ", 5) == 0) ||
	    (line.len > 6 && memcmp(line.p, ">From ", 6) == 0);
}

static void
add_to_field(struct mime *m, struct slice line)
{
	m->header_len += line.len;
	if (m->header_len > m->shared->limits.header) {
		found(m, MIME_LONG_HEADER);
		return;
	}
	buf_add(&m->field, line.p, line.len);
}

/* A line of a header without its line end. False: it is content. */
static bool
header_line(struct mime *m, struct slice line)
{
	bool first = m->first_line;

	m->first_line = false;
	if (line.len > 0 && (*line.p == ' ' || *line.p == '\t') && !first) {
		add_to_field(m, line);
		return true;
	}
	end_field(m);
	if (line.len == 0) {
		end_header(m);
		return true;
	}
	if (is_field(line)) {
		add_to_field(m, line);
		return true;
	}
	if (first && is_mailbox_line(line))
		return true;
	return false;
}

/* What is no field is the first line of the content. */
static void
spill_line(struct mime *m, bool has_lf)
{
	struct buf copy = m->line;

	if (has_lf)
		buf_addc(&copy, '\n');
	buf_init(&m->line, FIELD_MAX);
	found(m, MIME_BAD_HEADER);
	end_header(m);
	feed_content(m, copy.p, copy.len);
	buf_fini(&copy);
}

static void
end_header_line(struct mime *m, bool has_lf)
{
	struct slice line = SLICE(m->line.p, m->line.len);

	if (has_lf && line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (line.len >= 2 && line.p[0] == '-' && line.p[1] == '-')
		end_field(m);
	if (is_own_boundary(m, line))
		spill_line(m, has_lf);
	else if (is_boundary(m, line) || header_line(m, line))
		buf_reset(&m->line);
	else
		spill_line(m, has_lf);
}

/* The line is longer than we keep: is it of the header at all? */
static bool
is_header_line(const struct mime *m)
{
	return is_field(SLICE(m->line.p, m->line.len)) || (!m->first_line &&
	    (*m->line.p == ' ' || *m->line.p == '\t'));
}

static size_t
feed_header(struct mime *m, const char *p, size_t len)
{
	const char *lf = memchr(p, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - p) : len;
	size_t room = m->line.limit - 1 - m->line.len;

	buf_add(&m->line, p, n < room ? n : room);
	if (n > room && !is_header_line(m)) {
		end_field(m);
		spill_line(m, false);
		return room;
	}
	if (n > room)
		found(m, MIME_LONG_HEADER);
	if (lf == NULL)
		return len;
	end_header_line(m, true);
	return n + 1;
}

/* Content lines */

/* It is text, and no boundary. */
static void
not_boundary(struct mime *m)
{
	size_t n = m->line.len;
	bool cr = n > 0 && m->line.p[n - 1] == '\r';

	emit_held(m);
	emit(m, m->line.p, n - cr);
	if (cr)
		m->held[m->nheld++] = '\r';
	m->collecting = false;
	buf_reset(&m->line);
}

/* Go on with a line that begins with "-". Returns how much was used. */
static size_t
collect(struct mime *m, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && p[i] != '\n'; i++) {
		if ((m->line.len == 1 && p[i] != '-') ||
		    m->line.len == CANDIDATE_MAX) {
			not_boundary(m);
			return i;
		}
		buf_addc(&m->line, p[i]);
	}
	if (i == len)
		return len;
	m->collecting = false;
	if (!is_boundary(m, SLICE(m->line.p, m->line.len))) {
		not_boundary(m);
		m->held[m->nheld++] = '\n';
		m->at_start = true;
	} else
		buf_reset(&m->line);
	return i + 1;
}

/* From inside a line: up to a line that has to be looked at, or the end. */
static size_t
run_of_lines(struct mime *m, const char *p, size_t len)
{
	const char *lf, *end = p + len, *from = p;
	size_t n;

	for (;;) {
		lf = memchr(from, '\n', (size_t)(end - from));
		if (lf == NULL || lf + 1 == end || lf[1] == '-')
			break;
		from = lf + 1;
	}
	n = (size_t)((lf != NULL ? lf : end) - p);
	if (n > 0 && p[n - 1] == '\r')
		m->held[m->nheld++] = p[--n];
	emit(m, p, n);
	if (lf == NULL)
		return len;
	m->held[m->nheld++] = '\n';
	m->at_start = true;
	return (size_t)(lf + 1 - p);
}

static void
feed_line_start(struct mime *m, char c)
{
	m->at_start = false;
	m->collecting = c == '-' && m->nlevels > 0;
	if (!m->collecting)
		emit_held(m);
}

static size_t
feed_some(struct mime *m, const char *p, size_t len)
{
	if (m->at_start)
		feed_line_start(m, *p);
	if (m->collecting)
		return collect(m, p, len);
	if (m->nheld == 1 && *p == '\n') {
		m->held[m->nheld++] = '\n';
		m->at_start = true;
		return 1;
	}
	emit_held(m);
	return run_of_lines(m, p, len);
}

static void
feed_content(struct mime *m, const char *p, size_t len)
{
	size_t n;

	while (len > 0 && m->state != STOPPED) {
		n = m->state == IN_HEADER ? feed_header(m, p, len) :
		    feed_some(m, p, len);
		p += n;
		len -= n;
	}
}

/* The ends */

static struct shared *
shared_new(const struct mime_limits *limits, const struct mime_handler *h,
    void *arg)
{
	struct shared *s = xcalloc(1, sizeof(*s));

	assert(limits->depth < MIME_DEPTH_MAX);
	s->limits = *limits;
	s->handler = h;
	s->arg = arg;
	return s;
}

struct mime *
mime_new(const struct mime_limits *limits, const struct mime_handler *h,
    void *arg)
{
	struct mime *m = xcalloc(1, sizeof(*m));

	m->shared = shared_new(limits, h, arg);
	m->owner = true;
	mime_entity_init(&m->entity);
	buf_init(&m->line, FIELD_MAX);
	buf_init(&m->field, 4 * FIELD_MAX);
	m->state = IN_HEADER;
	return m;
}

void
mime_free(struct mime **mp)
{
	struct mime *m = *mp;

	if (m == NULL)
		return;
	mime_free(&m->inner);
	while (m->nlevels > 0)
		mime_level_fini(&m->levels[--m->nlevels]);
	mime_entity_fini(&m->entity);
	buf_fini(&m->line);
	buf_fini(&m->field);
	if (m->owner)
		free(m->shared);
	free(m->out);
	free(m);
	*mp = NULL;
}

/* The header of the message came as fields. */
static void
end_own_header(struct mime *m)
{
	if (m->owner && !m->in_body && m->state == IN_HEADER)
		end_header(m);
	m->in_body = true;
}

void
mime_body(struct mime *m, const char *p, size_t len)
{
	end_own_header(m);
	feed_content(m, p, len);
}

/* The message ends in a header. */
static void
end_last_header(struct mime *m)
{
	/* Behind a boundary that nothing follows there is no part. */
	if (m->first_line && m->line.len == 0) {
		m->state = STOPPED;
		return;
	}
	if (m->line.len > 0)
		end_header_line(m, false);
	if (m->state != IN_HEADER)
		return;
	end_field(m);
	end_header(m);
}

void
mime_end(struct mime *m)
{
	end_own_header(m);
	if (m->state == IN_HEADER)
		end_last_header(m);
	if (m->collecting) {
		m->collecting = false;
		if (!is_boundary(m, SLICE(m->line.p, m->line.len)))
			not_boundary(m);
	}
	if (m->state == IN_CONTENT || m->state == AROUND) {
		emit_held(m);
		end_content(m);
	}
	pop(m, 0);
	m->state = STOPPED;
}
