/*
 * trace - each rule that was looked at, in words: what was asked, what it was
 * worth, what it was compared with, and what followed.
 */

#include <string.h>

#include "rules/run_impl.h"

#define SHOWN	200	/* octets of a value */

/* On one line, without the blanks of a rule that goes over several. */
static const char *
one_line(struct run *run, struct slice s)
{
	char *out = arena_alloc(&run->s->arena, s.len + 1), *p = out;
	size_t i;

	for (i = 0; i < s.len; i++) {
		if (strchr(" \t\r\n", s.p[i]) == NULL)
			*p++ = s.p[i];
		else if (p > out && p[-1] != ' ')
			*p++ = ' ';
	}
	while (p > out && p[-1] == ' ')
		p--;
	*p = '\0';
	return out;
}

static const char *
shown(struct run *run, const struct rules_value *v)
{
	struct slice s = value_text(run, v);
	bool quotes = v->type == RULES_STRING || v->type == RULES_ADDRESS;

	if (v->type == RULES_IP && v->ip.family == 0)
		return "unknown";
	return run_printf(run, "%s%s%s%s", quotes ? "\"" : "", clean_text(run,
	    SLICE(s.p, s.len > SHOWN ? SHOWN : s.len), TEXT_LOG),
	    s.len > SHOWN ? "…" : "", quotes ? "\"" : "");
}

/* What stands behind the left side: "in bad_clients". */
static struct slice
right_side(struct span whole, struct span left)
{
	struct slice s = span_text(whole);
	size_t skip = (size_t)(left.at - whole.at) + left.len;

	if (whole.file != left.file || left.at < whole.at || skip > s.len)
		return s;
	return SLICE(s.p + skip, s.len - skip);
}

/* "not in t": the comparison was made without its "not", and is told with it. */
static bool
says_not(const char *against)
{
	return *against == '!' || strncmp(against, "not ", 4) == 0 ||
	    strncmp(against, "is not ", 7) == 0;
}

void
trace_test(struct run *run, uint32_t e, const struct rules_value *v,
    bool held)
{
	const struct expr *x = &run->r->exprs.v[e];
	struct span left = x->a != 0 ? run->r->exprs.v[x->a].span : x->span;
	struct rules_test *t;

	if (run->ntests == TESTS_MAX)
		return;
	t = &run->tests[run->ntests++];
	t->held = held != x->denied;
	t->value = shown(run, v);
	t->asked = one_line(run, span_text(left));
	if (x->op == E_RESOLVES) {
		t->asked = one_line(run, span_text(x->span));
		t->against = "";
	} else if (x->a == 0 || x->op == E_TRUTH) {
		t->against = "";
	} else {
		t->against = one_line(run, right_side(x->span, left));
	}
	if (says_not(t->against))
		t->held = !held;
}

void
trace_rule(struct run *run, bool held, const char *followed)
{
	struct rules_step step = { .stage = run->stage,
	    .place = run->rule->place, .held = held, .tests = run->tests,
	    .ntests = run->ntests, .followed = followed ? followed : "" };

	step.source = one_line(run, span_text(run->rule->source));
	run->env->trace(run->env->trace_arg, &step);
}
