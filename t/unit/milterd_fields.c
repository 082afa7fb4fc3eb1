/* From one header to another by milter's calls, as Postfix and as Sendmail
   count fields. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "proxy/milterd_impl.h"
#include "tap.h"

#define HOW_MANY	20000

static struct milterd_plan plan;

/* "i1 A: v, m2 B: w, m1 C:, h D: x" */
static char *
told(void)
{
	static char text[4096];
	const struct milterd_op *o;
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; i < plan.n; i++) {
		o = &plan.ops[i];
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s%c", i > 0 ? ", " : "", o->kind == OP_ADD ? 'h' :
		    o->kind == OP_INSERT ? 'i' : 'm');
		if (o->kind != OP_ADD)
			len += (size_t)snprintf(text + len,
			    sizeof(text) - len, "%d", o->index);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    " %s:%s", o->name, o->value);
	}
	return text;
}

static int
make_plan(const char *from, unsigned n, const char *to, size_t place,
    bool leadspc)
{
	struct fields_job job = { .from = SLICE_STR(from), .to = SLICE_STR(to),
	    .nfields = n, .place = place, .leadspc = leadspc };

	plan_clear(&plan);
	return fields_plan(&plan, &job);
}

static const struct {
	const char	*name, *from, *to;
	unsigned	 n;
	size_t		 place;
	const char	*want;
} cases[] = {
	{ "nothing", "A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n", 2, 0, "" },
	{ "added", "A: 1\r\n\r\n", "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", 1, 0,
	  "h B: 2, h C: 3" },
	{ "above Received", "A: 1\r\n\r\n", "X: x\r\nA: 1\r\n\r\n", 1, 1,
	  "i0 X: x" },
	{ "below Received", "A: 1\r\n\r\n", "X: x\r\nA: 1\r\n\r\n", 1, 0,
	  "i1 X: x" },
	{ "two above, one below", "A: 1\r\n\r\n",
	  "X: x\r\nY: y\r\nZ: z\r\nA: 1\r\n\r\n", 1, 2,
	  "i1 Z: z, i0 Y: y, i0 X: x" },
	{ "deleted", "A: 1\r\nB: 2\r\nA: 3\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n", 3,
	  0, "m2 A:" },
	{ "all deleted", "A: 1\r\na: 2\r\n\r\n", "\r\n", 2, 0,
	  "m2 a:, m1 A:" },
	{ "changed", "A: 1\r\nB: 2\r\nA: 3\r\n\r\n",
	  "A: 1\r\nB: 2\r\nA: 4\r\n\r\n", 3, 0, "m2 A: 4" },
	{ "in the middle", "A: 1\r\nB: 2\r\n\r\n",
	  "A: 1\r\nX: x\r\nB: 2\r\n\r\n", 2, 0, "i2 X: x" },
	{ "folded", "A: 1\r\n\r\n", "A: 1\r\nB: 2\r\n\t3\r\n\r\n", 1, 0,
	  "h B: 2\n\t3" },
	{ "no space", "A:1\r\n\r\n", "A:1\r\nB:2\r\n\r\n", 1, 0, "h B:2" },
	{ "empty", "A: 1\r\nB: 2\r\n\r\n", "A:\r\nB: 2\r\n\r\n", 2, 0,
	  "i2 A:, m1 A:" },
	{ "nothing there", "\r\n", "A: 1\r\n\r\n", 0, 0, "h A: 1" },
	{ "a body is none of it", "A: 1\r\n\r\nB: 2\r\n",
	  "A: 1\r\n\r\nC: 3\r\n", 1, 0, "" },
};

/* An MTA, which counts what was deleted or does not. */
struct mta {
	struct { char name[4], value[8]; bool gone; } v[64];
	size_t	n;
	bool	counts;
};

static void
put(struct mta *m, size_t at, const char *name, const char *value)
{
	if (at > m->n)
		at = m->n;
	memmove(&m->v[at + 1], &m->v[at], (m->n++ - at) * sizeof(m->v[0]));
	snprintf(m->v[at].name, sizeof(m->v[at].name), "%s", name);
	snprintf(m->v[at].value, sizeof(m->v[at].value), "%s", value);
	m->v[at].gone = false;
}

/* The list index of the nth that is seen, from 0; all: whatever its name. */
static size_t
seen(const struct mta *m, int nth, const char *name)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		if (m->v[i].gone && !m->counts)
			continue;
		if (name == NULL || strcasecmp(m->v[i].name, name) == 0)
			if (nth-- == 0)
				break;
	}
	return i;
}

static bool
obey(struct mta *m)
{
	const struct milterd_op *o;
	size_t i, j;

	for (i = 0; i < plan.n; i++) {
		o = &plan.ops[i];
		switch (o->kind) {
		case OP_ADD:
			put(m, m->n, o->name, o->value);
			break;
		case OP_INSERT:
			put(m, seen(m, o->index, NULL), o->name, o->value);
			break;
		default:
			j = seen(m, o->index - 1, o->name);
			if (j == m->n)
				return false;
			m->v[j].gone = *o->value == '\0';
			snprintf(m->v[j].name, 4, "%s", o->name);
			snprintf(m->v[j].value, 8, "%s", o->value);
		}
	}
	return true;
}

static void
show(const struct mta *m, char *out)
{
	size_t i;

	for (i = 0, *out = '\0'; i < m->n; i++)
		if (!m->v[i].gone && strcmp(m->v[i].name, "R") != 0)
			sprintf(out + strlen(out), "%s:%s\r\n", m->v[i].name,
			    m->v[i].value);
	strcat(out, "\r\n");
}

static unsigned
make_header(char *out, size_t most)
{
	size_t i, n = (size_t)random() % most;

	for (i = 0, *out = '\0'; i < n; i++)
		sprintf(out + strlen(out), "%c: %c\r\n",
		    "AaBC"[random() % 4], "123"[random() % 3]);
	strcat(out, "\r\n");
	return (unsigned)n;
}

/* Does the one become the other, with the place of the Received kept? */
static bool
becomes(const char *from, unsigned n, const char *to, size_t place,
    bool counts)
{
	struct mta m = { .counts = counts };
	char result[2048], name[4], value[8];
	const char *p;
	size_t above = 0, i;

	put(&m, 0, "R", "");
	for (p = from; sscanf(p, "%1[A-Za-z]:%7[^\r]", name, value) == 2;
	    p = strchr(p, '\n') + 1)
		put(&m, m.n, name, value);
	if (make_plan(from, n, to, place, true) != 0 || !obey(&m))
		return false;
	for (i = 0; strcmp(m.v[i].name, "R") != 0; i++)
		above += !m.v[i].gone;
	show(&m, result);
	return strcmp(result, to) == 0 && above == place;
}

static void
test_at_random(void)
{
	char from[1024], to[1024];
	unsigned n, nto, i, bad = 0;
	size_t place;

	srandom(1);
	for (i = 0; i < HOW_MANY && bad == 0; i++) {
		n = make_header(from, 8);
		nto = make_header(to, 8);
		place = (size_t)random() % (nto + 1);
		bad = !becomes(from, n, to, place, i & 1);
		if (bad)
			printf("# from:\n%s# to (%zu above):\n%s# by %s\n",
			    from, place, to, told());
	}
	is_int(bad, 0, "any header becomes any other, for both MTAs");
}

int
main(void)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(make_plan(cases[i].from, cases[i].n, cases[i].to,
		    cases[i].place, true), 0, cases[i].name);
		is_str(told(), cases[i].want, cases[i].name);
	}
	is_int(make_plan("A: 1\r\nno field\r\n\r\n", 2, "A: 1\r\n\r\n", 0,
	    true), -1, "what is no field for us");
	make_plan("A: 1\r\n\r\n", 1, "A: 1\r\nB: 2\r\nC:  3\r\nD:4\r\n\r\n", 0,
	    false);
	is_str(told(), "h B:2, h C: 3, h D:4",
	    "without the space that the MTA writes");
	test_at_random();
	plan_clear(&plan);
	return tap_done();
}
