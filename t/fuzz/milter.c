/* What a milter answers: packets, options, reply codes. */

#include "filters/milter_wire.h"

#include "fuzz.h"

static bool
is_string_inside(const char *s, struct slice in)
{
	return s == NULL || (s >= in.p && s < in.p + in.len &&
	    memchr(s, '\0', (size_t)(in.p + in.len - s)) != NULL);
}

/* Lines without code; nothing in them ends a line of SMTP or a string. */
static void
check_code(struct slice octets)
{
	struct buf lines;
	const char *why = NULL;
	int code;

	buf_init(&lines, 1 << 20);
	if (wire_replycode(octets, &code, &lines, &why) == 0) {
		assert(code >= 400 && code <= 599);
		assert(strlen(lines.p) == lines.len);
		assert(strchr(lines.p, '\r') == NULL);
	} else
		assert(why != NULL);
	buf_fini(&lines);
}

static void
check_options(const struct wire_packet *p)
{
	struct wire_options o;
	struct slice name;
	const char *why = NULL;
	size_t i;

	if (wire_options(p, &o, &why) == -1) {
		assert(why != NULL);
		return;
	}
	assert(o.version >= 2 && o.version <= WIRE_VERSION);
	assert((o.actions & ~WIRE_ACTIONS) == 0);
	for (i = 0; i < WIRE_STAGES; i++)
		while (wire_next_name(&o.macros[i], &name))
			assert(is_inside(name, p->payload.p, p->payload.len) &&
			    memchr(name.p, '\0', name.len) == NULL);
}

static void
check_reply(const struct wire_packet *p)
{
	struct wire_reply r;
	const char *why = NULL;

	if (wire_reply(p, &r, &why) == -1) {
		assert(why != NULL);
		return;
	}
	assert(is_string_inside(r.name, p->payload));
	assert(is_string_inside(r.value, p->payload));
	assert(is_string_inside(r.args, p->payload));
	assert(is_inside(r.octets, p->payload.p, p->payload.len));
}

/* What strangers send becomes one packet of the size that is allowed. */
static void
check_header(struct input in, bool leadspc)
{
	struct wire_packet p;
	struct buf out;
	const char *why, *value;
	size_t used, cut = in.len / 3;

	buf_init(&out, 1 << 20);
	wire_put_header(&out, SLICE(in.p, cut), SLICE(in.p + cut,
	    in.len - cut), leadspc);
	assert(wire_take(out.p, out.len, &p, &used, &why) == WIRE_PACKET);
	assert(used == out.len && p.kind == SMFIC_HEADER);
	value = p.payload.p + strlen(p.payload.p) + 1;
	assert(value + strlen(value) + 1 == p.payload.p + p.payload.len);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	struct wire_packet p;
	const char *why = NULL;
	size_t used;

	check_code(SLICE(in.p, in.len));
	check_header(in, size % 2 == 0);
	while (wire_take(in.p, in.len, &p, &used, &why) == WIRE_PACKET) {
		assert(used > 4 && used <= in.len);
		assert(is_inside(p.payload, in.p, in.len));
		check_options(&p);
		check_reply(&p);
		check_code(p.payload);
		in.p += used;
		in.len -= used;
	}
	return 0;
}
