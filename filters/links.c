/*
 * links - addresses of the web in text and in HTML.
 *
 * HTML is read as far as it takes to know what is a tag, an attribute, a
 * comment or text. Nothing is kept; each octet is looked at a few times at
 * most.
 */

#include "filters/links.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libpsl.h>

#include "filters/link_url.h"

struct found {
	link_fn	*fn;
	void	*arg;
	bool	 enough;
};

static void
give(struct found *f, struct slice raw)
{
	struct buf url, host;
	struct link link;

	if (raw.len > LINK_MAX)
		raw.len = LINK_MAX;
	buf_init(&url, 2 * LINK_MAX);
	buf_init(&host, LINK_MAX);
	if (link_url(raw, &url, &host)) {
		link.url = SLICE(url.p, url.len);
		link.host = SLICE(host.p, host.len);
		f->enough = !f->fn(f->arg, &link);
	}
	buf_fini(&url);
	buf_fini(&host);
}

/* Text */

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* What a link in text is made of; it ends with spaces, quotes and brackets. */
static bool
is_url_char(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f &&
	    strchr("<>\"`|{}^", c) == NULL;
}

static size_t
url_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_url_char(s.p[n]))
		n++;
	/* The end of a sentence is none of the link. */
	while (n > 0 && strchr(".,;:!?'*_)]", s.p[n - 1]) != NULL)
		n--;
	return n;
}

static const char *const schemes[] = { "http://", "https://", "ftp://" };

/* Does a link begin at i? */
static bool
begins(struct slice text, size_t i, bool *bare)
{
	const char *p = text.p + i;
	size_t left = text.len - i, k;

	if (i > 0 && is_word(p[-1]))
		return false;
	*bare = left > 4 && strncasecmp(p, "www.", 4) == 0 && is_word(p[4]);
	if (*bare)
		return true;
	for (k = 0; k < sizeof(schemes) / sizeof(schemes[0]); k++)
		if (left > strlen(schemes[k]) &&
		    strncasecmp(p, schemes[k], strlen(schemes[k])) == 0)
			return true;
	return false;
}

static void
give_bare(struct found *f, struct slice s)
{
	struct buf b;

	buf_init(&b, LINK_MAX + 10);
	buf_adds(&b, "http://");
	buf_add(&b, s.p, s.len < LINK_MAX ? s.len : LINK_MAX);
	give(f, SLICE(b.p, b.len));
	buf_fini(&b);
}

static void
scan_text(struct slice text, struct found *f)
{
	size_t i = 0, n;
	struct slice s;
	bool bare;

	while (i < text.len && !f->enough) {
		if (strchr("hHfFwW", text.p[i]) == NULL ||
		    text.p[i] == '\0' || !begins(text, i, &bare)) {
			i++;
			continue;
		}
		n = url_length(SLICE(text.p + i, text.len - i));
		s = SLICE(text.p + i, n);
		if (bare)
			give_bare(f, s);
		else
			give(f, s);
		i += n > 0 ? n : 1;
	}
}

void
links_in_text(struct slice text, link_fn *fn, void *arg)
{
	struct found f = { .fn = fn, .arg = arg };

	scan_text(text, &f);
}

/* HTML: entities */

static const struct {
	const char	*name;
	uint32_t	 c;
} entities[] = {
	{ "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
	{ "apos", '\'' }, { "nbsp", 0xa0 }, { "colon", ':' }, { "sol", '/' },
	{ "period", '.' }, { "commat", '@' }, { "num", '#' },
	{ "quest", '?' }, { "equals", '=' }, { "lowbar", '_' },
	{ "hyphen", '-' }, { "percnt", '%' }, { "bsol", '\\' },
	{ "Tab", '\t' }, { "NewLine", '\n' }, { "shy", 0xad },
};

static void
add_character(uint32_t c, struct buf *out)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80)
		buf_addc(out, (char)c);
	else if (c < 0x800)
		buf_addf(out, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
	else if (c < 0x10000)
		buf_addf(out, "%c%c%c", 0xe0 | c >> 12,
		    0x80 | (c >> 6 & 63), 0x80 | (c & 63));
	else
		buf_addf(out, "%c%c%c%c", 0xf0 | c >> 18,
		    0x80 | (c >> 12 & 63), 0x80 | (c >> 6 & 63),
		    0x80 | (c & 63));
}

/* &#NN; &#xNN; the semicolon may be missing. Returns its length; 0. */
static size_t
numeric(struct slice s, uint32_t *c)
{
	bool is_hex = s.len > 2 && (s.p[2] | 0x20) == 'x';
	size_t i = is_hex ? 3 : 2, from = i;

	for (*c = 0; i < s.len && (is_hex ? isxdigit((unsigned char)s.p[i]) :
	    isdigit((unsigned char)s.p[i])); i++) {
		if (*c <= 0x10ffff)
			*c = is_hex ? *c * 16 + (uint32_t)(s.p[i] <= '9' ?
			    s.p[i] - '0' : (s.p[i] | 0x20) - 'a' + 10) :
			    *c * 10 + (uint32_t)(s.p[i] - '0');
	}
	if (i == from)
		return 0;
	return i + (i < s.len && s.p[i] == ';');
}

/* The entity s begins with; its length, 0: it is none. */
static size_t
entity(struct slice s, uint32_t *c)
{
	size_t i, n;

	if (s.len > 2 && s.p[1] == '#')
		return numeric(s, c);
	for (i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		if (s.len < 2 || s.p[1] != entities[i].name[0])
			continue;
		n = strlen(entities[i].name);
		if (s.len > n + 1 && s.p[n + 1] == ';' &&
		    memcmp(s.p + 1, entities[i].name, n) == 0) {
			*c = entities[i].c;
			return n + 2;
		}
	}
	return 0;
}

static void
decode(struct slice s, struct buf *out)
{
	const char *amp;
	uint32_t c;
	size_t n;

	while ((amp = memchr(s.p, '&', s.len)) != NULL) {
		buf_add(out, s.p, (size_t)(amp - s.p));
		s = SLICE(amp, s.len - (size_t)(amp - s.p));
		n = entity(s, &c);
		if (n > 0)
			add_character(c, out);
		else
			buf_addc(out, *s.p);
		n += n == 0;
		s = SLICE(s.p + n, s.len - n);
	}
	buf_add(out, s.p, s.len);
}

/* HTML: tags */

static const char *const leading[] = {
	"href", "src", "action", "formaction", "background", "data", "poster",
	"cite", "xlink:href", "srcset", "longdesc", "content", "url",
};

static bool
leads(struct slice name)
{
	size_t i;

	for (i = 0; i < sizeof(leading) / sizeof(leading[0]); i++)
		if (slice_is_nocase(name, leading[i]))
			return true;
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* content="0; url=https://…" of a refresh; what else is in a meta tag is no
   link but may be one in its text. */
static void
give_content(struct found *f, struct slice s)
{
	size_t i;

	for (i = 0; i + 4 < s.len; i++)
		if (strncasecmp(s.p + i, "url=", 4) == 0) {
			i += 4;
			while (i < s.len && (is_space(s.p[i]) ||
			    s.p[i] == '\'' || s.p[i] == '"'))
				i++;
			give(f, SLICE(s.p + i, s.len - i));
			return;
		}
	scan_text(s, f);
}

static void
give_attribute(struct found *f, struct slice name, struct slice value)
{
	struct buf b;

	if (!leads(name))
		return;
	if (value.len > 8 * LINK_MAX)
		value.len = 8 * LINK_MAX;
	buf_init(&b, 8 * LINK_MAX);
	decode(value, &b);
	if (slice_is_nocase(name, "content"))
		give_content(f, SLICE(b.p, b.len));
	else
		give(f, SLICE(b.p, b.len));
	buf_fini(&b);
}

static size_t
value_end(struct slice s, size_t i, char quote)
{
	while (i < s.len && (quote != '\0' ? s.p[i] != quote :
	    !is_space(s.p[i]) && s.p[i] != '>'))
		i++;
	return i;
}

/* One attribute at i; where the next may be. */
static size_t
attribute(struct found *f, struct slice s, size_t i)
{
	struct slice name = SLICE(s.p + i, 0);
	char quote = '\0';
	size_t end;

	while (i < s.len && !is_space(s.p[i]) && s.p[i] != '=' &&
	    s.p[i] != '>' && (s.p[i] != '/' || name.len == 0)) {
		i++;
		name.len++;
	}
	while (i < s.len && is_space(s.p[i]))
		i++;
	if (i == s.len || s.p[i] != '=')
		return i;
	i++;
	while (i < s.len && is_space(s.p[i]))
		i++;
	if (i < s.len && (s.p[i] == '"' || s.p[i] == '\''))
		quote = s.p[i++];
	end = value_end(s, i, quote);
	/* A quote without an end ends with its tag, or nothing would be read
	   behind it. */
	if (quote != '\0' && end == s.len)
		end = value_end(s, i, '\0');
	give_attribute(f, name, SLICE(s.p + i, end - i));
	return end + (quote != '\0' && end < s.len && s.p[end] == quote);
}

/* A tag; what is behind it. */
static size_t
tag(struct found *f, struct slice s)
{
	size_t i = 1, before;

	while (i < s.len && !is_space(s.p[i]) && s.p[i] != '>' &&
	    (s.p[i] != '/' || i == 1))
		i++;
	while (i < s.len && s.p[i] != '>' && !f->enough) {
		before = i;
		while (i < s.len && (is_space(s.p[i]) || s.p[i] == '/'))
			i++;
		if (i < s.len && s.p[i] != '>')
			i = attribute(f, s, i);
		if (i == before)
			i++;
	}
	return i < s.len ? i + 1 : s.len;
}

static size_t
comment(struct slice s)
{
	const char *end = memmem(s.p + 4, s.len - 4, "-->", 3);

	return end != NULL ? (size_t)(end + 3 - s.p) : 4;
}

static void
html_text(struct found *f, struct slice s)
{
	struct buf b;

	if (s.len < 5)
		return;
	buf_init(&b, s.len * 2 + 10);
	decode(s, &b);
	scan_text(SLICE(b.p, b.len), f);
	buf_fini(&b);
}

/* "<" begins a tag when a letter, "/", "!" or "?" follows. */
static bool
is_tag(struct slice s)
{
	return s.len > 1 && (isalpha((unsigned char)s.p[1]) ||
	    strchr("/!?", s.p[1]) != NULL) && s.p[1] != '\0';
}

void
links_in_html(struct slice s, link_fn *fn, void *arg)
{
	struct found f = { .fn = fn, .arg = arg };
	bool comments = true;
	const char *lt;
	size_t n;

	while (s.len > 0 && !f.enough) {
		lt = memchr(s.p + 1, '<', s.len - 1);
		n = lt != NULL ? (size_t)(lt - s.p) : s.len;
		if (!(*s.p == '<' && is_tag(s)))
			html_text(&f, SLICE(s.p, n));
		else if (comments && s.len > 6 && memcmp(s.p, "<!--", 4) == 0) {
			n = comment(s);
			comments = n > 4;	/* none has an end */
		} else
			n = tag(&f, s);
		s = SLICE(s.p + n, s.len - n);
	}
}

struct slice
link_domain(struct slice host)
{
	const char *domain;
	char name[256];

	if (host.len == 0 || host.len >= sizeof(name) || *host.p == '[' ||
	    isdigit((unsigned char)host.p[host.len - 1]) ||
	    memchr(host.p, '\0', host.len) != NULL)
		return SLICE("", 0);
	memcpy(name, host.p, host.len);
	name[host.len] = '\0';
	domain = psl_registrable_domain(psl_builtin(), name);
	if (domain == NULL)
		return SLICE("", 0);
	return SLICE(host.p + (domain - name),
	    host.len - (size_t)(domain - name));
}
