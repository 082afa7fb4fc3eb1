/*
 * checks_scan - a message as header_checks(5) and body_checks(5) see it.
 *
 * Two steps. cut() finds the next line in what was pushed, or as much of it as
 * is allowed at once; it is copied only when it came in several pushes. take()
 * moves the state by one piece of that line. A header is complete when what
 * comes next is not its continuation: then the header is given, and the piece
 * is taken again.
 */

#include "filters/checks_scan.h"

#include <stdlib.h>
#include <string.h>

#include "filters/checks_impl.h"

#define MAILBOX_LINE	"X-Mailbox-Line: "
/* What a header may grow to by its last piece. */
#define HEADER_ROOM	(SCAN_HEADER_SIZE + 2 * SCAN_LINE)

/* A piece of a line, as it is taken. */
struct piece {
	struct slice	 text;
	uint64_t	 at;		/* in the content */
	size_t		 len;		/* with its line end */
	bool		 last;		/* of its line */
	bool		 ended;
};

enum taken {
	TAKEN,
	TAKEN_FOUND,		/* … and there is something to give */
	FOUND_FIRST		/* to give; the piece is taken after it */
};

void
checks_scan_init(struct checks_scan *s, bool whole_lines, bool no_mime)
{
	memset(s, 0, sizeof(*s));
	s->whole_lines = whole_lines;
	s->no_mime = no_mime;
	s->first = true;
	buf_init(&s->line, SCAN_WHOLE_LINE + 2);
	buf_init(&s->header, HEADER_ROOM);
	buf_init(&s->scratch, HEADER_ROOM);
}

void
checks_drop_boundaries(struct checks_scan *s, unsigned n)
{
	while (s->nboundaries > n)
		free(s->boundaries[--s->nboundaries].text);
}

void
checks_scan_fini(struct checks_scan *s)
{
	checks_drop_boundaries(s, 0);
	buf_fini(&s->line);
	buf_fini(&s->header);
	buf_fini(&s->scratch);
}

bool
checks_scan_is_too_deep(const struct checks_scan *s)
{
	return s->too_deep;
}

bool
checks_scan_lacks_empty_line(const struct checks_scan *s, uint64_t *at)
{
	*at = s->body_at;
	return s->no_empty_line;
}

/* What a line is */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Length of the name of a header, or 0. */
static size_t
name_length(struct slice s)
{
	size_t n = 0, end;

	while (n < s.len && s.p[n] > ' ' && s.p[n] < 0x7f && s.p[n] != ':')
		n++;
	for (end = n; n < s.len && is_blank(s.p[n]); n++)
		;
	return n < s.len && s.p[n] == ':' ? end : 0;
}

/* ">>From ", as mailbox files have it. */
static bool
is_mailbox_line(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] == '>')
		n++;
	return s.len - n >= 5 && memcmp(s.p + n, "From ", 5) == 0;
}

static bool
is_mime_name(struct slice name)
{
	static const char *const names[] = {
		"content-description", "content-disposition", "content-id",
		"content-transfer-encoding", "content-type", "mime-version"
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_is_nocase(name, names[i]))
			return true;
	return false;
}

static struct slice
up_to_nul(struct slice s)
{
	return SLICE(s.p, strnlen(s.p, s.len));
}

/* Headers. Of a piece with a NUL the rest is missing in the text. */

static void
start_header(struct checks_scan *s, const struct piece *p, struct slice text,
    size_t name)
{
	size_t n = name;

	text = up_to_nul(text);
	while (n < text.len && is_blank(text.p[n]))
		n++;
	buf_reset(&s->header);
	buf_add(&s->header, text.p, name);
	buf_add(&s->header, text.p + n, text.len - n);
	s->header_at = p->at;
	s->continued = !p->last;
}

static void
continue_header(struct checks_scan *s, const struct piece *p,
    struct slice text)
{
	if (s->header.len < SCAN_HEADER_SIZE) {
		if (!s->continued)
			buf_addc(&s->header, '\n');
		text = up_to_nul(text);
		buf_add(&s->header, text.p, text.len);
	}
	s->continued = !p->last;
}

static enum scan_class
class_of(const struct checks_scan *s, struct slice name)
{
	if (s->state == SCAN_IN_PART || is_mime_name(name))
		return SCAN_MIME;
	return s->state == SCAN_IN_TOP ? SCAN_PRIMARY : SCAN_NESTED;
}

/* The header is complete; end is where in the content. */
static void
give_header(struct checks_scan *s, uint64_t end, struct scan_line *l)
{
	struct slice text = SLICE(s->header.p, s->header.len);
	struct slice name = SLICE(text.p, name_length(text));

	*l = (struct scan_line){
		.class = class_of(s, name), .top = s->state == SCAN_IN_TOP,
		.text = text, .offset = s->header_at,
		.len = (size_t)(end - s->header_at), .ended = true,
	};
	s->header_given = true;
	if (!s->no_mime && slice_is_nocase(name, "content-type"))
		checks_take_type(s, SLICE(text.p + name.len + 1,
		    text.len - name.len - 1));
}

static void
end_headers(struct checks_scan *s, const struct piece *p, bool empty_line)
{
	if (s->state == SCAN_IN_TOP) {
		s->body_at = p->at;
		s->no_empty_line = !empty_line || p->text.len > 0;
		s->separator = !s->no_empty_line;
	}
	s->body_offset = empty_line ? 1 : 0;
	s->state = s->message && empty_line ? SCAN_IN_MESSAGE : SCAN_IN_BODY;
	s->message = false;
}

/* Body */

/* A line that begins like a boundary is one. */
static void
find_boundary(struct checks_scan *s, struct slice text)
{
	const struct scan_boundary *b;
	unsigned i = s->nboundaries;

	if (text.len < 3 || text.p[0] != '-' || text.p[1] != '-')
		return;
	while (i-- > 0) {
		b = &s->boundaries[i];
		if (text.len < 2 + b->len ||
		    memcmp(text.p + 2, b->text, b->len) != 0)
			continue;
		if (text.len >= 4 + b->len &&
		    memcmp(text.p + 2 + b->len, "--", 2) == 0) {
			s->body_offset = 0;
			checks_drop_boundaries(s, i);
			return;
		}
		s->state = SCAN_IN_PART;
		s->message = b->digest;
		checks_drop_boundaries(s, i + 1);
		return;
	}
}

static enum taken
take_body(struct checks_scan *s, const struct piece *p, struct scan_line *l)
{
	struct slice text = up_to_nul(p->text);
	uint64_t offset;

	if (!s->continued)
		find_boundary(s, p->text);
	offset = s->body_offset;
	s->body_offset += p->text.len + 1;
	s->continued = !p->last;
	if (text.len == 0 || offset >= SCAN_BODY_SIZE)
		return TAKEN;
	*l = (struct scan_line){
		.class = SCAN_BODY, .text = text, .offset = p->at,
		.len = p->len, .ended = p->ended,
	};
	return TAKEN_FOUND;
}

/* Pieces */

static enum taken
take_text(struct checks_scan *s, const struct piece *p, struct slice text,
    struct scan_line *l)
{
	size_t name;

	if (s->state == SCAN_IN_BODY)
		return take_body(s, p, l);
	if (s->header.len > 0) {
		if (s->continued || (text.len > 0 && is_blank(text.p[0]))) {
			continue_header(s, p, text);
			return TAKEN;
		}
		give_header(s, p->at, l);
		return FOUND_FIRST;
	}
	if ((name = name_length(text)) > 0) {
		start_header(s, p, text, name);
		return TAKEN;
	}
	end_headers(s, p, text.len == 0);
	if (text.len > 0)
		return take_body(s, p, l);
	s->continued = !p->last;
	return TAKEN;
}

/* "From " at the start, which smtpd(8) makes a header of. */
static enum taken
take_mailbox_line(struct checks_scan *s, const struct piece *p,
    struct scan_line *l)
{
	buf_reset(&s->scratch);
	buf_adds(&s->scratch, MAILBOX_LINE);
	buf_add(&s->scratch, p->text.p, p->text.len);
	return take_text(s, p, SLICE(s->scratch.p, s->scratch.len), l);
}

/* A message that begins with a space has no header: smtpd(8) puts an empty
   line in front of it, or behind a long line "From ". */
static enum taken
take_first_blank(struct checks_scan *s, const struct piece *p,
    struct scan_line *l)
{
	if (s->continued)
		s->continued = false;
	else if (s->header.len > 0) {
		give_header(s, p->at, l);
		return FOUND_FIRST;
	} else
		end_headers(s, p, true);
	s->first = false;
	return take_text(s, p, p->text, l);
}

static enum taken
take(struct checks_scan *s, const struct piece *p, struct scan_line *l)
{
	if (s->first && is_mailbox_line(p->text))
		return take_mailbox_line(s, p, l);
	if (s->first && p->text.len > 0 && is_blank(p->text.p[0]))
		return take_first_blank(s, p, l);
	s->first = false;
	return take_text(s, p, p->text, l);
}

/* Lines */

/* A line, or as much of it as is allowed at once. */
struct cut {
	struct slice	 text;
	size_t		 end;		/* octets of its line end */
	bool		 ended;		/* or it goes on */
	size_t		 from_input;	/* octets of it that are input */
};

/*
 * Postfix counts a dot at the start of a line twice: it looks at the length
 * before it undoes what SMTP does to dots.
 */
static size_t
dots(const struct checks_scan *s, struct slice text)
{
	return !s->goes_on && text.len > 0 && text.p[0] == '.' ? 1 : 0;
}

static size_t
most(const struct checks_scan *s, struct slice text)
{
	return (s->whole_lines ? SCAN_WHOLE_LINE : SCAN_LINE) - dots(s, text);
}

/* Is there a line in text, or the most that is allowed of one? */
static bool
cut_text(const struct checks_scan *s, struct slice text, struct cut *c)
{
	size_t room = most(s, text);
	/* A CR at the very end belongs to a LF behind it. */
	size_t look = text.len > room ? room + 1 : text.len;
	const char *lf = look > 0 ? memchr(text.p, '\n', look) : NULL;
	size_t n = lf != NULL ? (size_t)(lf - text.p) : 0;

	*c = (struct cut){ .ended = true };
	if (lf != NULL && (n < room || text.p[n - 1] == '\r')) {
		c->end = 1;
		if (n > 0 && text.p[n - 1] == '\r') {
			n--;
			c->end = 2;
		}
		c->text = SLICE(text.p, n);
		return true;
	}
	if (text.len < room || (text.len == room &&
	    text.p[room - 1] == '\r'))
		return false;
	c->ended = false;
	c->text = SLICE(text.p, room);
	return true;
}

/* The input goes on a line that has begun before. */
static bool
cut_rest(struct checks_scan *s, const char *in, size_t len, size_t *used,
    struct cut *c)
{
	size_t before = s->line.len, n = SCAN_WHOLE_LINE + 2 - before;
	const char *lf;

	if (n > len)
		n = len;
	lf = n > 0 ? memchr(in, '\n', n) : NULL;
	if (lf != NULL)
		n = (size_t)(lf - in) + 1;
	buf_add(&s->line, in, n);
	if (!cut_text(s, SLICE(s->line.p, s->line.len), c)) {
		*used += n;
		return false;
	}
	/* What is too much stays input. */
	s->line.len = c->text.len + c->end;
	*used += s->line.len - before;
	s->complete = true;
	s->ended = c->ended;
	s->end = c->end;
	return true;
}

static bool
cut(struct checks_scan *s, const char *in, size_t len, size_t *used,
    struct cut *c)
{
	if (s->complete) {
		*c = (struct cut){ .ended = s->ended, .end = s->end,
		    .text = SLICE(s->line.p, s->line.len - s->end) };
		return true;
	}
	if (s->line.len > 0)
		return cut_rest(s, in, len, used, c);
	if (cut_text(s, SLICE(in, len), c)) {
		c->from_input = c->text.len + c->end;
		return true;
	}
	buf_add(&s->line, in, len);
	*used += len;
	return false;
}

/* The next piece of the line; false: there is none. */
static bool
next_piece(const struct checks_scan *s, const struct cut *c, struct piece *p)
{
	size_t left = c->text.len - s->done;
	size_t room = SCAN_LINE - (s->done == 0 ? dots(s, c->text) : 0);

	if (s->done > c->text.len || (left == 0 && !c->ended))
		return false;
	*p = (struct piece){
		.text = SLICE(c->text.p + s->done, left < room ? left : room),
		.at = s->at + s->done,
		.last = left < room && c->ended,
	};
	p->ended = p->last && c->end > 0;
	p->len = p->text.len + (p->last ? c->end : 0);
	return true;
}

/* Behind the last octet when the last piece was it. */
static void
piece_done(struct checks_scan *s, const struct piece *p)
{
	s->done += p->text.len + (p->last ? 1 : 0);
}

/* The line has been looked at. */
static void
line_done(struct checks_scan *s, const struct cut *c, size_t *used)
{
	s->at += c->text.len + c->end;
	*used += c->from_input;
	s->done = 0;
	s->goes_on = !c->ended;
	s->given = s->separator = false;
	if (s->complete)
		buf_reset(&s->line);
	s->complete = false;
}

static void
give_line(struct checks_scan *s, const struct cut *c, struct scan_line *l)
{
	if (!s->whole_lines || s->given || s->state == SCAN_IN_TOP ||
	    s->separator)
		return;
	l->line = c->text.p != NULL ? c->text : SLICE("", 0);
	s->given = true;
}

static bool
look_at_line(struct checks_scan *s, const struct cut *c, struct scan_line *l)
{
	struct piece p;

	while (next_piece(s, c, &p)) {
		*l = (struct scan_line){ .class = SCAN_NONE };
		switch (take(s, &p, l)) {
		case FOUND_FIRST:
			return true;
		case TAKEN_FOUND:
			piece_done(s, &p);
			give_line(s, c, l);
			return true;
		case TAKEN:
			piece_done(s, &p);
			break;
		}
	}
	*l = (struct scan_line){ .class = SCAN_NONE, .offset = s->at };
	give_line(s, c, l);
	return l->line.p != NULL;
}

/* What the caller had until now. */
static void
forget_given(struct checks_scan *s)
{
	if (s->header_given)
		buf_reset(&s->header);
	s->header_given = false;
}

enum scan_status
checks_scan(struct checks_scan *s, const char *in, size_t len, size_t *used,
    struct scan_line *l)
{
	struct cut c;

	*used = 0;
	forget_given(s);
	while (cut(s, in + *used, len - *used, used, &c)) {
		if (look_at_line(s, &c, l))
			return SCAN_FOUND;
		line_done(s, &c, used);
	}
	return SCAN_MORE;
}

/* The line that has no end, then the header that nothing follows. */
enum scan_status
checks_scan_finish(struct checks_scan *s, struct scan_line *l)
{
	size_t used = 0;
	struct cut c;

	forget_given(s);
	if (s->line.len > 0) {
		s->complete = s->ended = true;
		s->end = 0;
		cut(s, "", 0, &used, &c);
		if (look_at_line(s, &c, l))
			return SCAN_FOUND;
		line_done(s, &c, &used);
	}
	if (s->header.len == 0)
		return SCAN_MORE;
	*l = (struct scan_line){ .class = SCAN_NONE };
	give_header(s, s->at, l);
	return SCAN_FOUND;
}
