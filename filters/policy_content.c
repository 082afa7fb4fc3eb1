/*
 * policy_content - what rules read of the content of a message.
 *
 * The scanner gives parts and their content in pieces. Of each part that is
 * open there is a struct open_part with what goes on while it comes: a digest,
 * a conversion to UTF-8, the first octets, an archive. Of a part that is over
 * there is only a row of facts.
 */

#include "filters/policy_content.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "filters/charset.h"
#include "filters/links.h"
#include "filters/magic_type.h"
#include "filters/mime.h"
#include "filters/mime_param.h"
#include "filters/packed.h"

#define TEXT_ROOM	(CONTENT_TEXT_MAX + ((size_t)64 << 10))
#define TEXT_STEP	((size_t)4 << 10)

enum {
	WANTS_PARTS	= 1 << 0,
	WANTS_PACKED	= 1 << 1,
	WANTS_SHA256	= 1 << 2,
	WANTS_MAGIC	= 1 << 3,
	WANTS_TEXT	= 1 << 4,
	WANTS_HTML	= 1 << 5,
	WANTS_LINKS	= 1 << 6,
	WANTS_RAW	= 1 << 7,
	WANTS_FULL	= 1 << 8
};

static const struct {
	enum rules_field field;
	unsigned	 wants;
} rows[] = {
	{ FIELD_PART_TYPE,	   WANTS_PARTS },
	{ FIELD_PART_DISPOSITION,  WANTS_PARTS },
	{ FIELD_PART_FILENAME,	   WANTS_PARTS | WANTS_PACKED },
	{ FIELD_PART_SIZE,	   WANTS_PARTS },
	{ FIELD_PART_SHA256,	   WANTS_PARTS | WANTS_SHA256 },
	{ FIELD_PART_MAGIC,	   WANTS_PARTS | WANTS_MAGIC },
	{ FIELD_PART_IS_ENCRYPTED, WANTS_PARTS | WANTS_PACKED },
	{ FIELD_MIME_ERRORS,	   WANTS_PARTS | WANTS_PACKED },
	{ FIELD_BODY,		   WANTS_PARTS | WANTS_TEXT },
	{ FIELD_HTML,		   WANTS_PARTS | WANTS_HTML },
	{ FIELD_RAW_BODY,	   WANTS_RAW },
	{ FIELD_FULL,		   WANTS_FULL },
	{ FIELD_LINKS,		   WANTS_PARTS | WANTS_LINKS },
	{ FIELD_LINK_HOST,	   WANTS_PARTS | WANTS_LINKS },
	{ FIELD_LINK_DOMAIN,	   WANTS_PARTS | WANTS_LINKS },
};

/* What did not go as it should, besides what the scanner says. */
enum {
	LONG_TEXT, TOO_MANY_NAMES, TOO_MANY_LINKS, LONG_ARCHIVE, BAD_ARCHIVE,
	DEEP_ARCHIVE, TOO_MANY_TYPES, NFACTS
};

static const char *const facts[NFACTS] = {
	"long-text", "too-many-names", "too-many-links", "long-archive",
	"bad-archive", "deep-archive", "too-many-types"
};

struct part {
	char		*type, *disposition;	/* ours */
	bool		 has_content;
	double		 size;
	char		 sha256[2 * 32 + 1];
	struct slice	 first;			/* for libmagic, until
						   content_work(); ours */
	char		*magic;			/* ours, or NULL */
};

/* A list of texts, all ours. */
struct texts {
	struct slice	*v;
	size_t		 n, room, octets;
};

struct content {
	unsigned	 wants;
	struct magic_type *magic;
	struct mime	*mime;		/* ours; NULL: no parts are wanted */
	unsigned	 errors;	/* the scanner's */
	unsigned	 facts;		/* 1 << LONG_TEXT, … */
	bool		 is_encrypted;
	unsigned	 nmagic;
	struct buf	*packed;	/* archives, to be listed; ours */
	size_t		 npacked, packed_octets;

	struct part	*parts;		/* ours, by number - 1 */
	size_t		 nparts;
	struct texts	 names, links, hosts;
	struct buf	 text, html;
	struct charset	 around;	/* of text around parts */
	bool		 has_around;
	struct buf	 raw, full;	/* the body; all of the message */
};

struct open_part {
	EVP_MD_CTX	*digest;	/* ours, or NULL */
	struct buf	*to;		/* text or html, or NULL */
	struct charset	 charset;
	struct buf	 first;		/* its beginning, or all of an archive */
	bool		 looked;	/* first has been looked at */
	bool		 is_packed;
};

unsigned
content_wants(const struct rules *r)
{
	unsigned wants = 0;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rules_reads_field(r, rows[i].field))
			wants |= rows[i].wants;
	return wants;
}

bool
content_wants_magic(unsigned wants)
{
	return wants & WANTS_MAGIC;
}

bool
content_wants_octets(unsigned wants)
{
	return wants & WANTS_FULL;
}

const char *
content_error_name(unsigned i)
{
	if (i < MIME_NERRORS)
		return mime_error_name(i);
	return i - MIME_NERRORS < NFACTS ? facts[i - MIME_NERRORS] : NULL;
}

/* Lists */

static void
texts_add(struct texts *t, struct slice s)
{
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 8;
		t->v = xrealloc(t->v, t->room * sizeof(t->v[0]));
	}
	t->v[t->n++] = SLICE(xstrndup(s.p, s.len), s.len);
	t->octets += s.len;
}

static void
texts_fini(struct texts *t)
{
	while (t->n > 0)
		free((void *)t->v[--t->n].p);
	free(t->v);
}

static void
add_name(void *arg, struct slice name)
{
	struct content *c = arg;

	if (c->names.n < CONTENT_NAMES_MAX &&
	    c->names.octets + name.len <= CONTENT_NAME_OCTETS)
		texts_add(&c->names, name);
	else
		c->facts |= 1u << TOO_MANY_NAMES;
}

static void
add_packed_name(void *arg, struct slice name)
{
	mime_name(name, add_name, arg);
}

static bool
add_link(void *arg, const struct link *link)
{
	struct content *c = arg;

	if (c->links.n == CONTENT_LINKS_MAX) {
		c->facts |= 1u << TOO_MANY_LINKS;
		return false;
	}
	texts_add(&c->links, link->url);
	if (link->host.len > 0)
		texts_add(&c->hosts, link->host);
	return true;
}

/* Text */

static void
add_text(struct content *c, struct buf *to, struct charset *charset,
    const char *p, size_t len)
{
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = len < TEXT_STEP ? len : TEXT_STEP;
		if (to->len >= CONTENT_TEXT_MAX) {
			c->facts |= 1u << LONG_TEXT;
			return;
		}
		charset_convert(charset, p, n, to);
	}
}

/* What follows is another text. */
static void
end_text(struct charset *charset, struct buf *to)
{
	charset_fini(charset, to);
	if (to->len > 0 && to->p[to->len - 1] != '\n')
		buf_addc(to, '\n');
}

static void
add_around(struct content *c, const char *p, size_t len)
{
	if (!(c->wants & (WANTS_TEXT | WANTS_LINKS)))
		return;
	if (!c->has_around)
		charset_init(&c->around, SLICE("", 0));
	c->has_around = true;
	add_text(c, &c->text, &c->around, p, len);
}

static struct buf *
text_for(struct content *c, const char *type)
{
	if (strcmp(type, "text/html") == 0 ||
	    strcmp(type, "application/xhtml+xml") == 0)
		return c->wants & (WANTS_HTML | WANTS_LINKS) ? &c->html : NULL;
	if (strncmp(type, "text/", 5) == 0)
		return c->wants & (WANTS_TEXT | WANTS_LINKS) ? &c->text : NULL;
	return NULL;
}

/* Parts */

static bool
wants_first(const struct content *c)
{
	return c->wants & (WANTS_PACKED | WANTS_MAGIC);
}

static bool
is_named_packed(const struct mime_part *p)
{
	size_t i;

	for (i = 0; i < p->nnames; i++)
		if (packed_has_name(p->names[i]))
			return true;
	return false;
}

static void
open_content(struct content *c, struct mime_part *p)
{
	struct open_part *o = xcalloc(1, sizeof(*o));

	p->user = o;
	buf_init(&o->first, CONTENT_PACKED_MAX);
	o->looked = !wants_first(c);
	o->is_packed = c->wants & WANTS_PACKED && is_named_packed(p);
	o->to = text_for(c, p->type);
	if (o->to != NULL)
		charset_init(&o->charset, SLICE_STR(p->charset));
	if (c->wants & WANTS_SHA256) {
		o->digest = EVP_MD_CTX_new();
		EVP_DigestInit_ex(o->digest, EVP_sha256(), NULL);
	}
}

static void
on_begin(void *arg, struct mime_part *p)
{
	struct content *c = arg;
	struct part *part;
	size_t i;

	if ((c->nparts & (c->nparts - 1)) == 0)
		c->parts = xrealloc(c->parts, (c->nparts ? 2 * c->nparts : 1) *
		    sizeof(*part));
	part = &c->parts[c->nparts++];
	*part = (struct part){
		.type = xstrdup(p->type), .disposition =
		    xstrdup(p->disposition), .has_content = !p->has_parts,
	};
	for (i = 0; i < p->nnames; i++)
		add_name(c, p->names[i]);
	if (!p->has_parts)
		open_content(c, p);
}

/* Keep what libmagic needs for content_work(). */
static void
keep_first(struct content *c, const struct open_part *o, struct part *part)
{
	size_t len = o->first.len < MAGIC_TYPE_LOOK ? o->first.len :
	    MAGIC_TYPE_LOOK;
	char *copy;

	if (c->nmagic == CONTENT_MAGIC_MAX) {
		c->facts |= 1u << TOO_MANY_TYPES;
		return;
	}
	c->nmagic++;
	copy = xcalloc(1, len + 1);
	memcpy(copy, o->first.p, len);
	part->first = SLICE(copy, len);
}

/* The beginning of a part is there, or all of it. */
static void
look(struct content *c, struct open_part *o, struct part *part)
{
	o->looked = true;
	if (c->wants & WANTS_PACKED)
		o->is_packed |= packed_is(o->first.p, o->first.len);
	if (c->wants & WANTS_MAGIC)
		keep_first(c, o, part);
	if (!o->is_packed) {
		buf_fini(&o->first);
		buf_init(&o->first, 0);
	}
}

/* Keep what is needed of the beginning, or of an archive. */
static void
keep(struct content *c, struct open_part *o, struct part *part,
    const char *p, size_t len)
{
	size_t used = o->first.len + c->packed_octets;
	size_t room = used < CONTENT_PACKED_MAX ? CONTENT_PACKED_MAX - used : 0;

	if (o->looked && !o->is_packed)
		return;
	if (len > room) {
		c->facts |= 1u << LONG_ARCHIVE;
		len = room;
	}
	buf_add(&o->first, p, len);
	if (!o->looked && o->first.len >= PACKED_LOOK)
		look(c, o, part);
}

static void
on_data(void *arg, struct mime_part *p, const char *in, size_t len)
{
	struct content *c = arg;
	struct open_part *o = p->user;
	struct part *part;

	if (p->number == 0) {
		add_around(c, in, len);
		return;
	}
	part = &c->parts[p->number - 1];
	part->size += (double)len;
	if (o->digest != NULL)
		EVP_DigestUpdate(o->digest, in, len);
	if (o->to != NULL)
		add_text(c, o->to, &o->charset, in, len);
	keep(c, o, part, in, len);
}

/* Keep an archive for content_work(). */
static void
add_packed(struct content *c, struct open_part *o)
{
	c->packed = xrealloc(c->packed, (c->npacked + 1) *
	    sizeof(c->packed[0]));
	c->packed[c->npacked++] = o->first;
	c->packed_octets += o->first.len;
	buf_init(&o->first, 0);
}

static void
list_packed(struct content *c, const struct buf *b, struct packed_cost *cost)
{
	unsigned found = packed_names(b->p, b->len, cost, add_packed_name, c);

	c->is_encrypted |= (found & PACKED_ENCRYPTED) != 0;
	if (found & PACKED_BROKEN)
		c->facts |= 1u << BAD_ARCHIVE;
	if (found & PACKED_TOO_DEEP)
		c->facts |= 1u << DEEP_ARCHIVE;
	if (found & PACKED_TOO_BIG)
		c->facts |= 1u << LONG_ARCHIVE;
}

static void
end_digest(EVP_MD_CTX *digest, char out[2 * 32 + 1])
{
	unsigned char octets[EVP_MAX_MD_SIZE];
	static const char digits[] = "0123456789abcdef";
	unsigned i, n = 0;

	EVP_DigestFinal_ex(digest, octets, &n);
	for (i = 0; i < n && i < 32; i++) {
		out[2 * i] = digits[octets[i] >> 4];
		out[2 * i + 1] = digits[octets[i] & 15];
	}
	out[2 * i] = '\0';
	EVP_MD_CTX_free(digest);
}

static void
on_end(void *arg, struct mime_part *p)
{
	struct content *c = arg;
	struct open_part *o = p->user;
	struct part *part = &c->parts[p->number - 1];

	if (!o->looked)
		look(c, o, part);
	if (o->is_packed)
		add_packed(c, o);
	if (o->to != NULL)
		end_text(&o->charset, o->to);
	if (o->digest != NULL)
		end_digest(o->digest, part->sha256);
	buf_fini(&o->first);
	free(o);
}

static const struct mime_handler handler = {
	.begin = on_begin, .data = on_data, .end = on_end,
};

/* A message */

struct content *
content_new(unsigned wants, struct magic_type *magic)
{
	static const struct mime_limits limits = MIME_LIMITS;
	struct content *c = xcalloc(1, sizeof(*c));

	c->wants = wants;
	c->magic = magic;
	if (wants & WANTS_PARTS)
		c->mime = mime_new(&limits, &handler, c);
	buf_init(&c->text, TEXT_ROOM);
	buf_init(&c->html, TEXT_ROOM);
	buf_init(&c->raw, CONTENT_TEXT_MAX);
	buf_init(&c->full, CONTENT_TEXT_MAX);
	return c;
}

static void
free_packed(struct content *c)
{
	while (c->npacked > 0)
		buf_fini(&c->packed[--c->npacked]);
	free(c->packed);
	c->packed = NULL;
}

void
content_free(struct content **cp)
{
	struct content *c = *cp;
	size_t i;

	if (c == NULL)
		return;
	c->wants = 0;		/* nobody will ask */
	content_end(c);
	for (i = 0; i < c->nparts; i++) {
		free(c->parts[i].type);
		free(c->parts[i].disposition);
		free((char *)c->parts[i].first.p);
		free(c->parts[i].magic);
	}
	free(c->parts);
	free_packed(c);
	texts_fini(&c->names);
	texts_fini(&c->links);
	texts_fini(&c->hosts);
	buf_fini(&c->text);
	buf_fini(&c->html);
	buf_fini(&c->raw);
	buf_fini(&c->full);
	free(c);
	*cp = NULL;
}

static void
add_octets(struct content *c, struct buf *to, const char *p, size_t len)
{
	size_t room = CONTENT_TEXT_MAX - to->len;

	if (len > room) {
		c->facts |= 1u << LONG_TEXT;
		len = room;
	}
	buf_add(to, p, len);
}

void
content_octets(struct content *c, const char *p, size_t len)
{
	if (c->wants & WANTS_FULL)
		add_octets(c, &c->full, p, len);
}

void
content_header(struct content *c, const struct header *h)
{
	if (c->mime != NULL)
		mime_header(c->mime, h->name, h->value);
}

void
content_body(struct content *c, const char *p, size_t len)
{
	if (c->wants & WANTS_RAW)
		add_octets(c, &c->raw, p, len);
	if (c->mime != NULL)
		mime_body(c->mime, p, len);
}

static void
end_parts(struct content *c)
{
	if (c->mime == NULL)
		return;
	mime_end(c->mime);
	c->errors = mime_errors(c->mime);
	mime_free(&c->mime);
	if (c->has_around)
		end_text(&c->around, &c->text);
	c->has_around = false;
}

void
content_end(struct content *c)
{
	end_parts(c);
	if (!(c->wants & WANTS_LINKS))
		return;
	links_in_text(SLICE(c->text.p, c->text.len), add_link, c);
	links_in_html(SLICE(c->html.p, c->html.len), add_link, c);
}

bool
content_is_long(const struct content *c)
{
	return c->packed_octets > CONTENT_PACKED_FEW || c->nmagic > 0;
}

static void
find_types(struct content *c)
{
	struct part *p;
	size_t i;

	for (i = 0; i < c->nparts; i++) {
		p = &c->parts[i];
		if (p->first.p != NULL)
			p->magic = magic_type_of(c->magic, p->first.p,
			    p->first.len);
	}
}

void
content_work(struct content *c)
{
	struct packed_cost cost = { 0, 0 };
	size_t i;

	for (i = 0; i < c->npacked; i++)
		list_packed(c, &c->packed[i], &cost);
	free_packed(c);
	find_types(c);
}

/* Fields */

static void
give_list(const struct texts *t, struct rules_value *v)
{
	v->list.v = t->v;
	v->list.n = t->n;
}

static struct slice
part_text(const struct part *p, enum rules_field field)
{
	switch (field) {
	case FIELD_PART_TYPE:
		return SLICE_STR(p->type);
	case FIELD_PART_DISPOSITION:
		return SLICE_STR(p->disposition);
	case FIELD_PART_SHA256:
		return SLICE_STR(p->sha256);
	default:
		return p->magic != NULL ? SLICE_STR(p->magic) : SLICE("", 0);
	}
}

static void
give_parts(const struct content *c, struct rules_state *s,
    enum rules_field field, struct rules_value *v)
{
	struct slice *list = rules_alloc(s, (c->nparts + 1) * sizeof(*list));
	bool all = field == FIELD_PART_TYPE || field == FIELD_PART_DISPOSITION;
	size_t i, n = 0;

	for (i = 0; i < c->nparts; i++)
		if (all || c->parts[i].has_content)
			list[n++] = part_text(&c->parts[i], field);
	v->list.v = list;
	v->list.n = n;
}

static void
give_sizes(const struct content *c, struct rules_state *s,
    struct rules_value *v)
{
	double *list = rules_alloc(s, (c->nparts + 1) * sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < c->nparts; i++)
		if (c->parts[i].has_content)
			list[n++] = c->parts[i].size;
	v->list.numbers = list;
	v->list.n = n;
}

static void
give_errors(const struct content *c, struct rules_state *s,
    struct rules_value *v)
{
	unsigned errors = c->errors | c->facts << MIME_NERRORS, i;
	struct slice *list = rules_alloc(s, (MIME_NERRORS + NFACTS) *
	    sizeof(*list));
	size_t n = 0;

	for (i = 0; i < MIME_NERRORS + NFACTS; i++)
		if (errors & 1u << i)
			list[n++] = SLICE_STR(content_error_name(i));
	v->list.v = list;
	v->list.n = n;
}

static void
give_domains(const struct content *c, struct rules_state *s,
    struct rules_value *v)
{
	struct slice *list = rules_alloc(s, (c->hosts.n + 1) * sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < c->hosts.n; i++) {
		list[n] = link_domain(c->hosts.v[i]);
		n += list[n].len > 0;
	}
	v->list.v = list;
	v->list.n = n;
}

bool
content_field(const struct content *c, struct rules_state *s,
    enum rules_field field, struct rules_value *v)
{
	switch (field) {
	case FIELD_PART_TYPE:
	case FIELD_PART_DISPOSITION:
	case FIELD_PART_SHA256:
	case FIELD_PART_MAGIC:
		give_parts(c, s, field, v);
		break;
	case FIELD_PART_FILENAME:
		give_list(&c->names, v);
		break;
	case FIELD_PART_SIZE:
		give_sizes(c, s, v);
		break;
	case FIELD_PART_IS_ENCRYPTED:
		v->yes = c->is_encrypted;
		break;
	case FIELD_MIME_ERRORS:
		give_errors(c, s, v);
		break;
	case FIELD_BODY:
		v->text = SLICE(c->text.p, c->text.len);
		break;
	case FIELD_HTML:
		v->text = SLICE(c->html.p, c->html.len);
		break;
	case FIELD_RAW_BODY:
		v->text = SLICE(c->raw.p, c->raw.len);
		break;
	case FIELD_FULL:
		v->text = SLICE(c->full.p, c->full.len);
		break;
	case FIELD_LINKS:
		give_list(&c->links, v);
		break;
	case FIELD_LINK_HOST:
		give_list(&c->hosts, v);
		break;
	case FIELD_LINK_DOMAIN:
		give_domains(c, s, v);
		break;
	default:
		return false;
	}
	return true;
}
