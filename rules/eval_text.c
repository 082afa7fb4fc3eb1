/*
 * eval_text - texts with values in them, made harmless.
 *
 * What is inserted comes from a peer. In a reply, a log line or a header field
 * it must not be able to end the line or to start another: controls become
 * "?", a folded header is unfolded, and a text has an end. The person who
 * writes a policy need not think of any of this.
 */

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "rules/run_impl.h"

/*
 * Octets. A reply line has 512 with code and CRLF (RFC 5321 4.5.3.1.5), a
 * header line should have no more than 998 (RFC 5322 2.1.1).
 */
static const size_t limits[] = {
	[TEXT_RAW]	= 65536,
	[TEXT_REPLY]	= 400,
	[TEXT_LOG]	= 1000,
	[TEXT_HEADER]	= 900,
	[TEXT_ADDRESS]	= 1000,
};

/* Values as text */

static struct slice
number_text(struct run *run, double d)
{
	char text[64];
	int n;

	/* NaN and the like are no number of ours, and fit no integer. */
	if (d > -1e15 && d < 1e15 && d == (double)(long long)d) {
		n = snprintf(text, sizeof(text), "%.0f", d);
	} else {
		n = snprintf(text, sizeof(text), "%.3f", d);
		while (n > 0 && text[n - 1] == '0')
			n--;
		if (n > 0 && text[n - 1] == '.')
			n--;
	}
	return SLICE(arena_strndup(&run->s->arena, text, (size_t)n),
	    (size_t)n);
}

/* Numbers as the list of their texts. */
static struct rules_value
texts_of(struct run *run, const struct rules_value *v)
{
	struct slice *list = arena_alloc(&run->s->arena,
	    v->list.n * sizeof(*list) + 1);
	struct rules_value texts = *v;
	size_t i;

	for (i = 0; i < v->list.n; i++)
		list[i] = number_text(run, v->list.numbers[i]);
	texts.list.v = list;
	return texts;
}

static struct slice
list_text(struct run *run, const struct rules_value *v)
{
	size_t len = 0, i;
	char *out, *p;

	for (i = 0; i < v->list.n && len < limits[TEXT_RAW]; i++)
		len += v->list.v[i].len + 2;
	p = out = arena_alloc(&run->s->arena, len + 1);
	for (i = 0; i < v->list.n; i++) {
		if ((size_t)(p - out) + v->list.v[i].len + 2 > len)
			break;
		if (i > 0) {
			*p++ = ',';
			*p++ = ' ';
		}
		if (v->list.v[i].len > 0)
			memcpy(p, v->list.v[i].p, v->list.v[i].len);
		p += v->list.v[i].len;
	}
	return SLICE(out, (size_t)(p - out));
}

struct slice
value_text(struct run *run, const struct rules_value *v)
{
	char ip[NETADDR_TEXT];
	struct rules_value texts;
	const char *s;

	switch (v->type) {
	case RULES_NUMBER:
		return number_text(run, v->number);
	case RULES_BOOLEAN:
		return SLICE_STR(v->yes ? "yes" : "no");
	case RULES_IP:
		s = arena_strdup(&run->s->arena, netaddr_ip(&v->ip, ip));
		return SLICE_STR(s);
	case RULES_STRINGS:
	case RULES_ADDRESSES:
		return list_text(run, v);
	case RULES_NUMBERS:
		texts = texts_of(run, v);
		return list_text(run, &texts);
	case RULES_STRING:
	case RULES_ADDRESS:
		break;
	}
	return v->text;
}

/* Making it harmless */

struct out {
	enum text_use	 use;
	char		*p;
	size_t		 len, room;
	bool		 cut;
};

static char
harmless(unsigned char c, enum text_use use)
{
	if (c == '\t' && use == TEXT_HEADER)
		return '\t';
	if (c < 0x20 || c == 0x7f)
		return '?';
	if (c >= 0x80 && use == TEXT_REPLY)
		return '?';
	return (char)c;
}

/* A line break in front of white space is folding (RFC 5322 2.2.3). */
static size_t
folding(struct slice s, size_t i)
{
	size_t n = 0;

	if (i < s.len && s.p[i] == '\r')
		n++;
	if (i + n < s.len && s.p[i + n] == '\n')
		n++;
	if (n == 0 || i + n >= s.len ||
	    (s.p[i + n] != ' ' && s.p[i + n] != '\t'))
		return 0;
	return n;
}

static void
add(struct out *o, struct slice s)
{
	size_t i = 0, n;

	if (o->use == TEXT_RAW) {
		n = s.len < o->room - o->len ? s.len : o->room - o->len;
		if (n > 0)
			memcpy(o->p + o->len, s.p, n);
		o->len += n;
		return;
	}
	while (i < s.len && o->len < o->room) {
		if ((n = folding(s, i)) > 0)
			i += n;
		else
			o->p[o->len++] = harmless((unsigned char)s.p[i++],
			    o->use);
	}
	o->cut |= i < s.len;
}

/* Half a character at the end would be none. */
static void
trim(struct out *o)
{
	size_t start = o->len;

	while (start > 0 && ((unsigned char)o->p[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)o->p[start - 1] >= 0xc0 &&
	    utf8_length(o->p + start - 1, o->len - start + 1) == 0)
		o->len = start - 1;
}

static const char *
finish(struct out *o)
{
	if (o->cut)
		trim(o);
	o->p[o->len] = '\0';
	return o->p;
}

static struct out
out_for(struct run *run, size_t len, enum text_use use)
{
	size_t room = len < limits[use] ? len : limits[use];

	return (struct out){ .use = use, .room = room,
	    .p = arena_alloc(&run->s->arena, room + 1) };
}

const char *
clean_text(struct run *run, struct slice s, enum text_use use)
{
	struct out o = out_for(run, s.len, use);

	add(&o, s);
	return finish(&o);
}

/* Texts with parts */

struct part {
	struct slice	 s;
	struct part	*next;
};

static struct part *
parts_of(struct run *run, uint32_t e, size_t *len)
{
	struct part *first = NULL, **last = &first, *part;
	const struct expr *x;
	struct rules_value v;

	for (; e != 0; e = x->b) {
		x = &run->r->exprs.v[e];
		eval(run, x->a, &v);
		part = arena_alloc(&run->s->arena, sizeof(*part));
		part->s = value_text(run, &v);
		*len += part->s.len;
		*last = part;
		last = &part->next;
	}
	return first;
}

static struct out
joined(struct run *run, uint32_t e, enum text_use use)
{
	struct part *part;
	struct out o;
	size_t len = 0;

	part = parts_of(run, e, &len);
	o = out_for(run, len, use);
	for (; part != NULL; part = part->next)
		add(&o, part->s);
	return o;
}

struct slice
eval_raw_text(struct run *run, uint32_t e)
{
	struct out o = joined(run, e, TEXT_RAW);

	return SLICE(o.p, o.len);
}

const char *
eval_text(struct run *run, uint32_t e, enum text_use use)
{
	struct rules_value v;
	const char *text;
	struct out o;

	run->saying = true;
	if (run->r->exprs.v[e].op != E_TEXT) {
		eval(run, e, &v);
		text = clean_text(run, value_text(run, &v), use);
	} else {
		o = joined(run, e, use);
		text = finish(&o);
	}
	run->saying = false;
	return text;
}
