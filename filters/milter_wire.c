/*
 * milter_wire - the packets of the milter protocol.
 */

#include "filters/milter_wire.h"

#include <arpa/inet.h>
#include <string.h>

/* Integers */

static void
store32(char *p, uint32_t n)
{
	n = htonl(n);
	memcpy(p, &n, sizeof(n));
}

static uint32_t
load32(const char *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return ntohl(n);
}

static void
put32(struct buf *b, uint32_t n)
{
	char octets[4];

	store32(octets, n);
	buf_add(b, octets, sizeof(octets));
}

/* Commands */

static size_t
begin(struct buf *b, char command)
{
	size_t start = b->len;

	buf_add(b, "\0\0\0\0", 4);
	buf_addc(b, command);
	return start;
}

static void
end(struct buf *b, size_t start)
{
	if (!b->failed)
		store32(b->p + start, (uint32_t)(b->len - start - 4));
}

/* How many octets of payload still fit. */
static size_t
room(const struct buf *b, size_t start)
{
	return WIRE_PAYLOAD_MAX + WIRE_HEAD - (b->len - start);
}

/* A string of at most max octets with its NUL. */
static void
put_string(struct buf *b, struct slice s, size_t max)
{
	size_t i, n;

	for (i = 0, n = 1; i < s.len && n < max; i++)
		if (s.p[i] != '\0') {
			buf_addc(b, s.p[i]);
			n++;
		}
	buf_addc(b, '\0');
}

void
wire_put(struct buf *b, char command)
{
	end(b, begin(b, command));
}

void
wire_put_options(struct buf *b)
{
	size_t start = begin(b, SMFIC_OPTNEG);

	put32(b, WIRE_VERSION);
	put32(b, WIRE_ACTIONS);
	put32(b, WIRE_PROTOCOL);
	end(b, start);
}

void
wire_put_connect(struct buf *b, const char *hostname,
    const struct netaddr *client)
{
	size_t start = begin(b, SMFIC_CONNECT);
	bool inet = client->family == AF_INET || client->family == AF_INET6;
	char ip[NETADDR_TEXT], port[2] = {
		(char)(client->port >> 8), (char)(client->port & 255),
	};

	put_string(b, SLICE_STR(hostname), 1000);
	buf_addc(b, !inet ? SMFIA_UNKNOWN : client->family == AF_INET ?
	    SMFIA_INET : SMFIA_INET6);
	if (inet) {
		buf_add(b, port, sizeof(port));
		put_string(b, SLICE_STR(netaddr_ip(client, ip)), sizeof(ip));
	}
	end(b, start);
}

void
wire_put_text(struct buf *b, char command, const char *text)
{
	size_t start = begin(b, command);

	put_string(b, SLICE_STR(text), room(b, start));
	end(b, start);
}

void
wire_put_address(struct buf *b, char command, const char *address,
    const char *params)
{
	size_t start = begin(b, command), len;

	buf_addc(b, '<');
	buf_add(b, address, strnlen(address, 10000));
	buf_add(b, ">", 2);
	for (; *params != '\0'; params += len) {
		params += strspn(params, " ");
		len = strcspn(params, " ");
		if (len > 0 && len < room(b, start))
			put_string(b, SLICE(params, len), len + 1);
	}
	end(b, start);
}

/* Lines of a field end in LF for a milter. */
static void
put_value(struct buf *b, struct slice raw, size_t max)
{
	size_t i, n;

	for (i = 0, n = 1; i < raw.len && n < max; i++) {
		if (raw.p[i] == '\0' || (raw.p[i] == '\r' &&
		    i + 1 < raw.len && raw.p[i + 1] == '\n'))
			continue;
		buf_addc(b, raw.p[i]);
		n++;
	}
	buf_addc(b, '\0');
}

void
wire_put_header(struct buf *b, struct slice name, struct slice raw,
    bool leadspc)
{
	size_t start = begin(b, SMFIC_HEADER);

	if (!leadspc && raw.len > 0 && *raw.p == ' ')
		raw = SLICE(raw.p + 1, raw.len - 1);
	put_string(b, name, 1000);
	put_value(b, raw, room(b, start));
	end(b, start);
}

void
wire_body_head(char out[WIRE_HEAD], size_t len)
{
	store32(out, (uint32_t)len + 1);
	out[4] = SMFIC_BODY;
}

size_t
wire_macros_begin(struct buf *b, char command)
{
	size_t start = begin(b, SMFIC_MACRO);

	buf_addc(b, command);
	return start;
}

void
wire_macro(struct buf *b, size_t start, const char *name, const char *value)
{
	size_t n = strlen(name) + 1, len = strlen(value) + 1;

	if (n + len > room(b, start))
		return;
	buf_add(b, name, n);
	buf_add(b, value, len);
}

void
wire_macros_end(struct buf *b, size_t start)
{
	if (!b->failed && b->len == start + WIRE_HEAD + 1) {
		b->len = start;
		b->p[start] = '\0';
	} else
		end(b, start);
}

/* Replies */

enum wire_status
wire_take(const char *in, size_t len, struct wire_packet *p, size_t *used,
    const char **why)
{
	uint32_t n;

	if (len < 4)
		return WIRE_MORE;
	n = load32(in);
	if (n == 0) {
		*why = "a packet without a command";
		return WIRE_BAD;
	}
	if (n > WIRE_PAYLOAD_MAX + 1) {
		*why = "a packet that is too long";
		return WIRE_BAD;
	}
	if (len - 4 < n)
		return WIRE_MORE;
	p->kind = in[4];
	p->payload = SLICE(in + WIRE_HEAD, n - 1);
	*used = n + 4;
	return WIRE_PACKET;
}

/* A string off the front; NULL: there is none. */
static const char *
take_string(struct slice *s)
{
	const char *string = s->p;
	const char *nul = s->len > 0 ? memchr(s->p, '\0', s->len) : NULL;

	if (nul == NULL)
		return NULL;
	s->len -= (size_t)(nul + 1 - s->p);
	s->p = nul + 1;
	return string;
}

static bool
take32(struct slice *s, uint32_t *n)
{
	if (s->len < 4)
		return false;
	*n = load32(s->p);
	s->p += 4;
	s->len -= 4;
	return true;
}

/* Stages that we do not know are none of our business, as for Postfix. */
static int
take_macros(struct slice s, struct wire_options *o)
{
	const char *list;
	uint32_t stage;

	while (s.len > 0) {
		if (!take32(&s, &stage) || (list = take_string(&s)) == NULL)
			return -1;
		if (stage < WIRE_STAGES)
			o->macros[stage] = SLICE_STR(list);
	}
	return 0;
}

int
wire_options(const struct wire_packet *p, struct wire_options *o,
    const char **why)
{
	struct slice s = p->payload;

	*o = (struct wire_options){ .version = 0 };
	*why = NULL;
	if (p->kind != SMFIC_OPTNEG || !take32(&s, &o->version) ||
	    !take32(&s, &o->actions) || !take32(&s, &o->protocol))
		*why = "no answer to the negotiation";
	else if (o->version < 2 || o->version > WIRE_VERSION)
		*why = "a version of the protocol that was not offered";
	else if ((o->actions & ~WIRE_ACTIONS) != 0)
		*why = "it wants actions that were not offered";
	else if (take_macros(s, o) == -1)
		*why = "a list of macros that is none";
	o->protocol &= WIRE_PROTOCOL;
	return *why == NULL ? 0 : -1;
}

static bool
is_separator(char c)
{
	return c == ' ' || c == ',' || c == '\t';
}

bool
wire_next_name(struct slice *list, struct slice *name)
{
	while (list->len > 0 && is_separator(*list->p)) {
		list->p++;
		list->len--;
	}
	*name = SLICE(list->p, 0);
	while (list->len > 0 && !is_separator(*list->p)) {
		list->p++;
		list->len--;
		name->len++;
	}
	return name->len > 0;
}

/* What is in a reply: a number, name, value, args that may be left out, or
   octets to the end. */
static const struct {
	char		 kind;
	const char	*form;
} forms[] = {
	{ SMFIR_CONTINUE, "" },		{ SMFIR_ACCEPT, "" },
	{ SMFIR_REJECT, "" },		{ SMFIR_TEMPFAIL, "" },
	{ SMFIR_DISCARD, "" },		{ SMFIR_SKIP, "" },
	{ SMFIR_PROGRESS, "" },		{ SMFIR_SHUTDOWN, "" },
	{ SMFIR_REPLYCODE, "o" },	{ SMFIR_QUARANTINE, "v" },
	{ SMFIR_ADDHEADER, "nv" },	{ SMFIR_INSHEADER, "#nv" },
	{ SMFIR_CHGHEADER, "#nv" },	{ SMFIR_ADDRCPT, "v" },
	{ SMFIR_DELRCPT, "v" },		{ SMFIR_ADDRCPT_PAR, "va" },
	{ SMFIR_CHGFROM, "va" },	{ SMFIR_REPLBODY, "o" },
};

static const char *
form_of(char kind)
{
	size_t i;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (forms[i].kind == kind)
			return forms[i].form;
	return NULL;
}

/* One part of it; false: it is not there. */
static bool
take_part(char part, struct slice *s, struct wire_reply *r)
{
	switch (part) {
	case '#':
		return take32(s, &r->nth);
	case 'n':
		return (r->name = take_string(s)) != NULL;
	case 'v':
		return (r->value = take_string(s)) != NULL;
	case 'a':
		r->args = take_string(s);
		return true;
	default:
		r->octets = *s;
		s->len = 0;
		return true;
	}
}

int
wire_reply(const struct wire_packet *p, struct wire_reply *r,
    const char **why)
{
	const char *form = form_of(p->kind);
	struct slice s = p->payload;

	*r = (struct wire_reply){ .kind = p->kind };
	if (form == NULL) {
		*why = "a reply of a kind that is unknown";
		return -1;
	}
	for (; *form != '\0'; form++)
		if (!take_part(*form, &s, r)) {
			*why = "a reply that lacks something";
			return -1;
		}
	if (s.len > 0) {
		*why = "a reply with octets left over";
		return -1;
	}
	return 0;
}

/* The text of a reply */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Begins it like "5.", and of another class? */
static bool
is_of_other_class(struct slice text, char class)
{
	return text.len >= 3 && is_digit(text.p[0]) && text.p[1] == '.' &&
	    is_digit(text.p[2]) && text.p[0] != class;
}

/* A lone "%" would be a mistake of the milter: it is left out. */
static void
add_text(struct buf *lines, struct slice text)
{
	size_t i;

	for (i = 0; i < text.len; i++) {
		if (text.p[i] == '%' && (++i == text.len || text.p[i] != '%'))
			i--;
		else
			buf_addc(lines, text.p[i]);
	}
}

/* One line, without its end. */
static bool
take_line(struct slice line, bool last, int *code, struct buf *lines)
{
	struct slice text;
	int n;

	if (line.len < 3 || (line.p[0] != '4' && line.p[0] != '5') ||
	    !is_digit(line.p[1]) || !is_digit(line.p[2]) ||
	    memchr(line.p, '\r', line.len) != NULL ||
	    memchr(line.p, '\n', line.len) != NULL)
		return false;
	n = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0';
	if (*code != 0 && *code != n)
		return false;
	*code = n;
	if (line.len == 3)
		return last;
	if (line.p[3] != (last ? ' ' : '-'))
		return false;
	text = SLICE(line.p + 4, line.len - 4);
	if (is_of_other_class(text, line.p[0]))
		return false;
	add_text(lines, text);
	return true;
}

int
wire_replycode(struct slice octets, int *code, struct buf *lines,
    const char **why)
{
	const char *crlf;
	struct slice line;

	*code = 0;
	*why = "a reply code that is none";
	buf_reset(lines);
	if (octets.len > 0 && octets.p[octets.len - 1] == '\0')
		octets.len--;
	if (octets.len == 0 || memchr(octets.p, '\0', octets.len) != NULL)
		return -1;
	do {
		crlf = memmem(octets.p, octets.len, "\r\n", 2);
		line = SLICE(octets.p, crlf != NULL ?
		    (size_t)(crlf - octets.p) : octets.len);
		if (!take_line(line, crlf == NULL, code, lines))
			return -1;
		if (crlf == NULL)
			return 0;
		buf_addc(lines, '\n');
		octets.len -= line.len + 2;
		octets.p = crlf + 2;
	} while (octets.len > 0);
	return -1;			/* the last line has no end */
}
