/*
 * plan - the rules of each stage, and of each group in it, in a row.
 *
 * Here a rule meets its stage: what it does and what it asks must exist
 * there. The rules of "at header" make three plans: for the message's own
 * header, and for the headers of MIME parts and of attached messages, where
 * only the tables of Postfix look (header_checks(5): without tables of their
 * own these use header_checks).
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules/entry.h"
#include "rules/load_impl.h"
#include "rules/table.h"

static struct seq *plan_rules(struct load *l, const struct rule_list *list,
    enum rules_stage stage, const char *call);

static bool
is_part_header(enum rules_stage stage)
{
	return stage == RULES_MIME_HEADER || stage == RULES_NESTED_HEADER;
}

/* Is there such an action anywhere in these rules? */
static bool
have_action(const struct rule_list *list, enum action action)
{
	const struct rule *rule;

	for (rule = list->first; rule != NULL; rule = rule->next)
		if (rule->action == action ||
		    have_action(&rule->body, action))
			return true;
	return false;
}

static bool
policy_has(const struct rules *r, enum action action)
{
	size_t i;

	for (i = 0; i < r->blocks.n; i++)
		if (have_action(&r->blocks.v[i].rules, action))
			return true;
	return have_action(&r->stages[RULES_HEADER], action);
}

/* Of "at header", does this rule look at headers of this kind? */
static bool
looks_at(const struct rules *r, enum action action, enum rules_stage stage)
{
	enum action own = stage == RULES_MIME_HEADER ? A_MIME_HEADER_CHECKS :
	    A_NESTED_HEADER_CHECKS;

	if (action == A_GROUP || action == A_CALL)
		return true;
	if (!is_part_header(stage))
		return action != A_MIME_HEADER_CHECKS &&
		    action != A_NESTED_HEADER_CHECKS;
	return action == own || (action == A_HEADER_CHECKS &&
	    !policy_has(r, own));
}

/* Fields that an action reads by itself */

static const struct {
	enum rules_field	field[2];
	int			n;
	const char		*name;
} subjects[] = {
	[ON_CLIENT]	= { { FIELD_CLIENT_NAME, FIELD_CLIENT_IP }, 2,
	    "the client" },
	[ON_HELO]	= { { FIELD_HELO_NAME, 0 }, 1, "a HELO name" },
	[ON_SENDER]	= { { FIELD_MAIL, 0 }, 1, "a sender" },
	[ON_RECIPIENT]	= { { FIELD_RCPT, 0 }, 1, "a recipient" },
};

enum subject
access_subject(const struct rule *rule, enum rules_stage stage)
{
	if (rule->on != ON_STAGE)
		return rule->on;
	switch (stage) {
	case RULES_CONNECT:
		return ON_CLIENT;
	case RULES_HELO:
		return ON_HELO;
	case RULES_MAIL:
		return ON_SENDER;
	case RULES_RCPT:
		return ON_RECIPIENT;
	default:
		return ON_STAGE;
	}
}

static void
plan_access(struct load *l, const struct rule *rule, enum rules_stage stage)
{
	enum subject on = access_subject(rule, stage);
	int i;

	if (on == ON_STAGE) {
		load_error(l, rule->source, "at %s it must be said whom the "
		    "table is about: use access %s on client", rules_stage_name(
		    stage), rule->name);
		return;
	}
	for (i = 0; i < subjects[on].n; i++) {
		if (!field_at(subjects[on].field[i], stage)) {
			load_error(l, rule->source, "at %s there is no %s",
			    rules_stage_name(stage), subjects[on].name + 2);
			return;
		}
		slot_for(l->r, subjects[on].field[i], NULL);
	}
	if (rule->n < l->r->tables.n)
		l->r->tables.v[rule->n].access |= 1u << stage;
}

/* One rule at its stage */

static void
note_checks(struct rules *r, const struct rule *rule, enum entry_of of,
    enum rules_field line)
{
	if (rule->n < r->tables.n)
		r->tables.v[rule->n].checks |= 1u << of;
	slot_for(r, line, NULL);
}

static void
note_lines(struct rules *r, const struct rule *rule)
{
	switch (rule->action) {
	case A_HEADER_CHECKS:
	case A_MIME_HEADER_CHECKS:
	case A_NESTED_HEADER_CHECKS:
		note_checks(r, rule, OF_HEADER, FIELD_HEADER_LINE);
		break;
	case A_BODY_CHECKS:
		note_checks(r, rule, OF_BODY, FIELD_BODY_PIECE);
		break;
	default:
		break;
	}
}

/* What is only observed is never asked for. */
static void
note_edits(struct rules *r, const struct rule *rule)
{
	if (rule->observe)
		return;
	switch (rule->action) {
	case A_ADD_HEADER:
	case A_INSERT_HEADER:
	case A_CHANGE_HEADER:
		if (rule->name != NULL && strcasecmp(rule->name,
		    "Authentication-Results") == 0)
			r->adds_authres = true;
		r->edits_header = r->writes_header = true;
		break;
	case A_DELETE_HEADER:
		r->edits_header = r->writes_header = true;
		break;
	case A_QUARANTINE:
		r->quarantines = true;
		break;
	case A_BODY_CHECKS:
		r->edits_body = r->edits_envelope = true;
		break;
	case A_HEADER_CHECKS:
	case A_MIME_HEADER_CHECKS:
	case A_NESTED_HEADER_CHECKS:
	case A_ACCESS:
		r->edits_header = r->edits_envelope = true;
		break;
	case A_REDIRECT:
	case A_ADD_RCPT:
	case A_DELETE_RCPT:
		r->edits_envelope = true;
		break;
	default:
		break;
	}
}

/* … but at connect, helo and mail. */
static void
tell_place(struct load *l, const struct rule *rule, enum rules_stage stage,
    const char *call)
{
	const char *comma = "";
	enum rules_stage s;
	struct buf b;

	buf_init(&b, 200);
	for (s = 0; s < RULES_NSTAGES; s++) {
		if (is_part_header(s) || !action_at(rule->action, s))
			continue;
		buf_addf(&b, "%s%s", comma, rules_stage_name(s));
		comma = ", ";
	}
	load_error(l, rule->source, "\"%s\" has no place at %s%s (but at %s)",
	    action_name(rule->action), rules_stage_name(stage), call != NULL ?
	    ", where this block is called" : "", b.p);
	buf_fini(&b);
}

static void
check_at_stage(struct load *l, const struct rule *rule,
    enum rules_stage stage, const char *call)
{
	if (!action_at(rule->action, stage))
		tell_place(l, rule, stage, call);
	check_stage(l, rule->cond, stage, call);
	check_stage(l, rule->text, stage, call);
	check_stage(l, rule->value, stage, call);
	if (rule->action == A_ACCESS)
		plan_access(l, rule, stage);
}

static struct seq *
plan_block(struct load *l, const struct rule *rule, enum rules_stage stage)
{
	struct block *b;

	if (rule->n == UINT32_MAX)
		return NULL;
	b = &l->r->blocks.v[rule->n];
	if (b->busy) {
		load_error(l, rule->name_span, "the block \"%s\" calls itself",
		    b->name);
		return NULL;
	}
	if (!(b->planned & 1u << stage)) {
		b->busy = true;
		b->planned |= 1u << stage;
		b->seq[stage] = plan_rules(l, &b->rules, stage, rule->place);
		b->busy = false;
	}
	return b->seq[stage];
}

/* What is behind a rule that always ends the stage. */
static void
warn_dead(struct load *l, const struct rule *rule, enum rules_stage stage)
{
	if (rule->next != NULL && rule->cond == 0 && !rule->observe &&
	    action_is_final(rule->action) && !is_part_header(stage))
		load_warn(l, rule->next->source, "this rule never runs: %s "
		    "above it has no condition", action_name(rule->action));
}

static bool
plan_entry(struct load *l, const struct rule *rule, enum rules_stage stage,
    const char *call, struct entry *e)
{
	*e = (struct entry){ .rule = rule, .cond = rule->cond };
	if (!is_part_header(stage))
		check_at_stage(l, rule, stage, call);
	if (!looks_at(l->r, rule->action, stage))
		return false;
	warn_dead(l, rule, stage);
	note_lines(l->r, rule);
	if (stage == RULES_BODY && rule->action < A_CALL)
		l->r->reads_lines = true;
	note_edits(l->r, rule);
	if (rule->action == A_GROUP)
		e->body = plan_rules(l, &rule->body, stage, call);
	else if (rule->action == A_CALL)
		e->body = plan_block(l, rule, stage);
	else
		return true;
	return e->body != NULL;
}

/* Questions */

bool
expr_asks_network(const struct rules *r, const struct expr *x)
{
	const struct table *t;

	if (x->op == E_RESOLVES)
		return true;
	if (x->op != E_IN_TABLE && x->op != E_LOOKUP)
		return false;
	t = r->tables.v[x->n].table;
	return t != NULL && table_is_remote(t);
}

#define NEEDS_MAX	32	/* asked ahead; the rest when it is needed */

struct needs {
	uint32_t	 exprs[NEEDS_MAX];
	uint32_t	 nexprs;
	const struct rule *accesses[NEEDS_MAX];
	uint32_t	 naccesses;
};

static void
collect_needs(const struct rules *r, struct needs *n, uint32_t e)
{
	const struct expr *x = &r->exprs.v[e];

	if (e == 0 || n->nexprs == NEEDS_MAX)
		return;
	if (expr_asks_network(r, x) && !r->exprs.v[x->a].varies)
		n->exprs[n->nexprs++] = e;
	collect_needs(r, n, x->a);
	collect_needs(r, n, x->b);
}

static bool
access_is_remote(const struct rules *r, const struct rule *rule)
{
	const struct table *t;

	if (rule->action != A_ACCESS)
		return false;
	t = r->tables.v[rule->n].table;
	return t != NULL && table_is_remote(t);
}

static void
plan_needs(struct rules *r, struct seq *q)
{
	struct needs n = { .nexprs = 0, .naccesses = 0 };
	uint32_t i;

	for (i = 0; i < q->n; i++) {
		collect_needs(r, &n, q->v[i].cond);
		if (access_is_remote(r, q->v[i].rule) &&
		    n.naccesses < NEEDS_MAX)
			n.accesses[n.naccesses++] = q->v[i].rule;
	}
	q->nneeds = n.nexprs;
	q->needs = arena_alloc(&r->arena, n.nexprs * sizeof(n.exprs[0]));
	memcpy(q->needs, n.exprs, n.nexprs * sizeof(n.exprs[0]));
	q->naccesses = n.naccesses;
	q->accesses = arena_alloc(&r->arena,
	    n.naccesses * sizeof(n.accesses[0]));
	memcpy(q->accesses, n.accesses,
	    n.naccesses * sizeof(n.accesses[0]));
}

/* NULL: nothing to do. */
static struct seq *
plan_rules(struct load *l, const struct rule_list *list,
    enum rules_stage stage, const char *call)
{
	struct rules *r = l->r;
	const struct rule *rule;
	struct seq *q;
	size_t n = 0;

	for (rule = list->first; rule != NULL; rule = rule->next)
		n++;
	if (n == 0)
		return NULL;
	q = arena_alloc(&r->arena, sizeof(*q));
	q->v = arena_alloc(&r->arena, n * sizeof(q->v[0]));
	for (rule = list->first; rule != NULL; rule = rule->next)
		if (plan_entry(l, rule, stage, call, &q->v[q->n]))
			q->n++;
	if (q->n == 0)
		return NULL;
	return q;
}

static void
finish(struct rules *r, struct seq *q)
{
	uint32_t i;

	if (q == NULL || q->finished)
		return;
	q->finished = true;
	plan_needs(r, q);
	dispatch_make(r, q);
	for (i = 0; i < q->n; i++)
		finish(r, q->v[i].body);
}

void
plan_finish(struct rules *r)
{
	size_t s;

	for (s = 0; s < RULES_NSTAGES; s++)
		finish(r, r->plan[s]);
}

/* A block that nobody calls has no stage: its types have been checked. */
void
plan_all(struct load *l)
{
	struct rules *r = l->r;
	enum rules_stage s;
	size_t i;

	for (s = 0; s < RULES_NSTAGES; s++)
		r->plan[s] = plan_rules(l, &r->stages[is_part_header(s) ?
		    RULES_HEADER : s], s, NULL);
	for (i = 0; i < r->blocks.n; i++)
		if (!r->blocks.v[i].used)
			load_warn(l, r->blocks.v[i].span, "nothing calls the "
			    "block \"%s\"", r->blocks.v[i].name);
}
