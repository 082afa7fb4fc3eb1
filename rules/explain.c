/*
 * explain - the plan of a policy in words, for "vratar rules --explain".
 *
 * It says what costs something: which fields must be known at which stage,
 * which tables are asked and which of them through the network, how many rules
 * are looked at one by one and how many by a key, and which patterns look at
 * the same text.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/load_impl.h"
#include "rules/regex.h"
#include "rules/sieve.h"
#include "rules/table.h"

/* What the rules of a stage use. */
struct uses {
	const struct rules	*r;
	bool			*slots, *tables, *regexes, *blocks;
	size_t			 rules, keyed;
	bool			 dns;
};

static void note_seq(struct uses *u, const struct seq *q);

static void
note_expr(struct uses *u, uint32_t e)
{
	const struct expr *x = &u->r->exprs.v[e];

	if (e == 0)
		return;
	if (x->op == E_FIELD)
		u->slots[x->n] = true;
	else if (x->op == E_IN_TABLE || x->op == E_LOOKUP)
		u->tables[x->n] = true;
	else if (x->op == E_MATCH)
		u->regexes[x->n] = true;
	else if (x->op == E_RESOLVES)
		u->dns = true;
	note_expr(u, x->a);
	note_expr(u, x->b);
}

static bool
uses_table(enum action a)
{
	return a >= A_ACCESS && a <= A_BODY_CHECKS;
}

static void
note_entry(struct uses *u, const struct entry *e)
{
	const struct rule *rule = e->rule;

	u->rules++;
	note_expr(u, rule->cond);
	note_expr(u, rule->text);
	note_expr(u, rule->value);
	if (uses_table(rule->action))
		u->tables[rule->n] = true;
	if (e->body == NULL)
		return;
	if (rule->action == A_CALL) {
		if (u->blocks[rule->n])
			return;
		u->blocks[rule->n] = true;
	}
	note_seq(u, e->body);
}

static void
note_seq(struct uses *u, const struct seq *q)
{
	uint32_t i;

	u->keyed += q->n - q->nothers;
	for (i = 0; i < q->n; i++)
		note_entry(u, &q->v[i]);
}

static struct uses
uses_new(const struct rules *r)
{
	return (struct uses){ .r = r,
	    .slots = xcalloc(r->slots.n + 1, sizeof(bool)),
	    .tables = xcalloc(r->tables.n + 1, sizeof(bool)),
	    .regexes = xcalloc(r->regexes.n + 1, sizeof(bool)),
	    .blocks = xcalloc(r->blocks.n + 1, sizeof(bool)) };
}

static void
uses_fini(struct uses *u)
{
	free(u->slots);
	free(u->tables);
	free(u->regexes);
	free(u->blocks);
}

/* Telling */

static void
tell_slot(FILE *to, const struct slot *slot)
{
	fputs(rules_field_name(slot->field), to);
	if (slot->name != NULL)
		fprintf(to, "(\"%s\")", slot->name);
}

static void
tell_fields(const struct uses *u, FILE *to)
{
	const char *between = "  fields: ";
	size_t i;

	for (i = 0; i < u->r->slots.n; i++) {
		if (!u->slots[i])
			continue;
		fputs(between, to);
		tell_slot(to, &u->r->slots.v[i]);
		between = ", ";
	}
	if (*between == ',')
		putc('\n', to);
}

static void
tell_tables(const struct uses *u, FILE *to)
{
	const struct named_table *t;
	size_t i;

	for (i = 0; i < u->r->tables.n; i++) {
		t = &u->r->tables.v[i];
		if (!u->tables[i])
			continue;
		fprintf(to, "  table %s", t->name);
		if (strcmp(t->name, t->spec) != 0)
			fprintf(to, " = %s", t->spec);
		if (table_is_remote(t->table))
			fprintf(to, ", asked through the network");
		else
			fprintf(to, ", %zu entr%s", table_size(t->table),
			    table_size(t->table) == 1 ? "y" : "ies");
		putc('\n', to);
	}
	if (u->dns)
		fprintf(to, "  DNS, asked before the rules run\n");
}

static size_t
patterns_on(const struct uses *u, uint32_t subject)
{
	size_t i, n = 0;

	for (i = 0; i < u->r->regexes.n; i++)
		n += u->regexes[i] && u->r->regexes.v[i].subject == subject;
	return n;
}

/* Of all patterns on the subject, those of other stages too. */
static void
tell_set(const struct rules *r, uint32_t subject, FILE *to)
{
	const struct regex_use *u;
	struct sieve_counts n;
	size_t i;

	for (i = 0; i < r->regexes.n; i++) {
		u = &r->regexes.v[i];
		if (u->subject != subject || u->set == 0 ||
		    r->sets.v[u->set - 1].sieve == NULL)
			continue;
		n = sieve_count(r->sets.v[u->set - 1].sieve);
		fprintf(to, ", in a set where libhs tells of %zu, and literals "
		    "of %zu, that they cannot match", n.libhs, n.literals);
		return;
	}
}

static void
tell_patterns(const struct uses *u, FILE *to)
{
	uint32_t slot;
	size_t n;

	for (slot = 0; slot <= u->r->slots.n; slot++) {
		if ((n = patterns_on(u, slot)) == 0)
			continue;
		fprintf(to, "  %zu pattern%s on ", n, n == 1 ? "" : "s");
		if (slot == 0)
			fputs("other texts", to);
		else
			tell_slot(to, &u->r->slots.v[slot - 1]);
		tell_set(u->r, slot, to);
		putc('\n', to);
	}
}

static void
tell_rules(const struct rules *r, const struct seq *q, int depth, FILE *to)
{
	const struct entry *e;
	struct slice s;
	uint32_t i;
	size_t j;

	for (i = 0; i < q->n; i++) {
		e = &q->v[i];
		s = span_text(e->rule->source);
		fprintf(to, "  %-*s%s  ", depth * 2, "", e->rule->place);
		for (j = 0; j < s.len; j++)
			putc(strchr("\t\r\n", s.p[j]) != NULL ? ' ' : s.p[j],
			    to);
		putc('\n', to);
		if (e->body != NULL && e->rule->action == A_GROUP)
			tell_rules(r, e->body, depth + 1, to);
	}
}

static void
tell_stage(const struct rules *r, enum rules_stage stage, FILE *to)
{
	struct uses u = uses_new(r);

	note_seq(&u, r->plan[stage]);
	fprintf(to, "at %s: %zu rule%s", rules_stage_name(stage), u.rules,
	    u.rules == 1 ? "" : "s");
	if (u.keyed > 0)
		fprintf(to, ", %zu of them found by a key", u.keyed);
	putc('\n', to);
	tell_fields(&u, to);
	tell_tables(&u, to);
	tell_patterns(&u, to);
	tell_rules(r, r->plan[stage], 1, to);
	uses_fini(&u);
}

void
rules_explain(const struct rules *r, FILE *to)
{
	enum rules_stage s;

	fprintf(to, "%zu rules, %zu different regular expressions, limit hit: "
	    "%s\n", r->nrules, regex_count(r->cache),
	    r->tempfail_on_limit ? "tempfail" : "the rule is skipped");
	fprintf(to, "may edit:%s%s%s%s\n", r->edits_header ? " header" : "",
	    r->edits_body ? " body" : "", r->edits_envelope ? " recipients" :
	    "", r->edits_header || r->edits_body || r->edits_envelope ? "" :
	    " nothing");
	for (s = 0; s < RULES_NSTAGES; s++)
		if (r->plan[s] != NULL)
			tell_stage(r, s, to);
}
