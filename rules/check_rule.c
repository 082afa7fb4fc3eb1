/*
 * check_rule - what the parts of a rule mean, apart from its stage.
 */

#include <stdlib.h>
#include <string.h>

#include "rules/entry.h"
#include "rules/load_impl.h"
#include "rules/regex.h"
#include "rules/table.h"

bool
table_declare(struct rules *r, const char *name, const char *spec,
    struct span span)
{
	struct named_table t = { .name = name, .spec = spec, .span = span };

	if (table_number(r, SLICE_STR(name)) < 0)
		SET_ADD(&r->tables, t);
	return true;
}

/* Captures */

/* The most groups that a regular expression in e has, and one for %{0}. */
static unsigned
groups_of(const struct rules *r, uint32_t e)
{
	const struct expr *x = &r->exprs.v[e];
	unsigned n = 0, m;

	if (e == 0 || x->op == E_BAD)
		return 0;
	if (x->op == E_MATCH && r->regexes.v[x->n].regex != NULL)
		n = regex_groups(r->regexes.v[x->n].regex) + 1;
	m = groups_of(r, x->a);
	n = m > n ? m : n;
	m = groups_of(r, x->b);
	return m > n ? m : n;
}

static void
check_captures(struct load *l, uint32_t e, unsigned groups)
{
	const struct expr *x = &l->r->exprs.v[e];

	if (e == 0 || x->op == E_BAD)
		return;
	if (x->op == E_CAPTURE && groups == 0)
		load_error(l, x->span, "%%{%u} needs a regular expression in "
		    "the condition of this rule", x->n);
	else if (x->op == E_CAPTURE && x->n >= groups)
		load_error(l, x->span, "the regular expression of this rule "
		    "has %u group%s", groups - 1, groups == 2 ? "" : "s");
	check_captures(l, x->a, groups);
	check_captures(l, x->b, groups);
}

/* Arguments */

static void
check_text_arg(struct load *l, uint32_t e)
{
	enum rules_type t;

	if (e == 0 || !check_value(l, e))
		return;
	t = l->r->exprs.v[e].type;
	if (t != RULES_STRING && t != RULES_ADDRESS)
		load_error(l, l->r->exprs.v[e].span, "a string or a mail "
		    "address expected, not %s", type_name(t));
}

/* A recipient that is written down; one that is put together is looked at when
   it is known. */
static void
check_recipient(struct load *l, const struct rule *rule)
{
	const struct expr *x = &l->r->exprs.v[rule->text];

	if (x->op == E_CONST && !entry_is_address(x->value.text))
		load_error(l, x->span, "\"%.*s\" is no mail address (try "
		    "\"postmaster@example.com\")", (int)x->value.text.len,
		    x->value.text.p);
}

/* Replies are ASCII (RFC 5321 4.2), logs and the rest are not. */
static void
check_reply(struct load *l, const struct rule *rule)
{
	struct slice s;
	size_t i = 0;

	if (rule->text == 0)
		return;
	s = span_text(l->r->exprs.v[rule->text].span);
	while (i < s.len && (unsigned char)s.p[i] < 0x80)
		i++;
	if (i < s.len)
		load_warn(l, l->r->exprs.v[rule->text].span, "what is not "
		    "ASCII becomes a question mark in a reply");
}

static void
check_score(struct load *l, const struct rule *rule)
{
	const struct expr *x;

	if (!check_value(l, rule->value))
		return;
	x = &l->r->exprs.v[rule->value];
	if (x->type != RULES_NUMBER)
		load_error(l, x->span, "a score is a number, not %s",
		    type_name(x->type));
}

static void
check_set(struct load *l, struct rule *rule)
{
	struct rules *r = l->r;
	struct nearest near = { .wanted = SLICE_STR(rule->name) };
	enum rules_type want, got;
	char hint[100];
	size_t i;

	for (i = 0; i < r->variables.n; i++) {
		nearest_try(&near, r->variables.v[i].name);
		if (strcmp(r->variables.v[i].name, rule->name) == 0)
			break;
	}
	if (i == r->variables.n) {
		load_error(l, rule->name_span, "there is no variable \"%s\"%s",
		    rule->name, near.best != NULL ? nearest_text(&near, hint) :
		    " (declare it: variable NAME = VALUE)");
		return;
	}
	rule->n = (uint32_t)i;
	want = r->variables.v[i].initial.type;
	if (want == RULES_BOOLEAN ? !check_condition(l, rule->value) :
	    !check_value(l, rule->value))
		return;
	got = r->exprs.v[rule->value].type;
	if (got != want && !(want == RULES_STRING && got == RULES_ADDRESS))
		load_error(l, r->exprs.v[rule->value].span, "\"%s\" is %s, "
		    "this is %s", rule->name, type_name(want), type_name(got));
}

/* RFC 5322 2.2: printable ASCII without colon. */
static size_t
name_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] > ' ' && s.p[n] < 0x7f && s.p[n] != ':')
		n++;
	return n;
}

/* What a header text starts with: the name must not be inserted, so that no
   peer can choose it. */
static struct expr *
first_literal(struct rules *r, uint32_t e)
{
	struct expr *x = &r->exprs.v[e];

	if (x->op == E_TEXT)
		x = &r->exprs.v[x->a];
	return x->op == E_CONST ? x : NULL;
}

/* "NAME: value" becomes name and text. */
static void
check_header_text(struct load *l, struct rule *rule)
{
	struct expr *x = first_literal(l->r, rule->text);
	struct slice s = x != NULL ? x->value.text : SLICE("", 0);
	size_t n = name_length(s);

	if (n == 0 || n == s.len || s.p[n] != ':') {
		load_error(l, l->r->exprs.v[rule->text].span,
		    "a header field is \"NAME: value\", and its name is fixed");
		return;
	}
	rule->name = arena_strndup(&l->r->arena, s.p, n);
	for (n++; n < s.len && (s.p[n] == ' ' || s.p[n] == '\t'); n++)
		;
	x->value.text = SLICE(s.p + n, s.len - n);
}

/* "NAME" or "NAME:" */
static void
check_header_name(struct load *l, struct rule *rule)
{
	struct expr *x = &l->r->exprs.v[rule->text];
	struct slice s = x->op == E_CONST ? x->value.text : SLICE("", 0);
	size_t n = name_length(s);

	if (n == 0 || n + (n < s.len && s.p[n] == ':') != s.len) {
		load_error(l, x->span, "the name of a header field expected");
		return;
	}
	rule->name = arena_strndup(&l->r->arena, s.p, n);
	rule->text = 0;
}

static void
check_route(struct load *l, const struct rule *rule)
{
	if (l->o->has_backend != NULL &&
	    !l->o->has_backend(l->o->arg, rule->name))
		load_error(l, rule->name_span, "there is no backend \"%s\" in "
		    "the configuration", rule->name);
}

static void
check_call_arg(struct load *l, struct rule *rule)
{
	struct nearest near = { .wanted = SLICE_STR(rule->name) };
	struct rules *r = l->r;
	char hint[100];
	size_t i;

	for (i = 0; i < r->blocks.n; i++) {
		if (strcmp(r->blocks.v[i].name, rule->name) == 0) {
			rule->n = (uint32_t)i;
			r->blocks.v[i].used = true;
			return;
		}
		nearest_try(&near, r->blocks.v[i].name);
	}
	load_error(l, rule->name_span, "there is no block \"%s\"%s",
	    rule->name, nearest_text(&near, hint));
	rule->n = UINT32_MAX;
}

static void
check_table_arg(struct load *l, struct rule *rule)
{
	int n = table_number(l->r, SLICE_STR(rule->name));
	struct nearest near = { .wanted = SLICE_STR(rule->name) };
	char hint[100];
	size_t i;

	if (n >= 0) {
		rule->n = (uint32_t)n;
		l->r->tables.v[n].used = true;
		return;
	}
	for (i = 0; i < l->r->tables.n; i++)
		nearest_try(&near, l->r->tables.v[i].name);
	load_error(l, rule->name_span, "there is no table \"%s\"%s",
	    rule->name, nearest_text(&near, hint));
	rule->n = UINT32_MAX;
}

static void
check_args(struct load *l, struct rule *rule)
{
	check_text_arg(l, rule->text);
	switch (rule->action) {
	case A_REJECT:
	case A_TEMPFAIL:
		check_reply(l, rule);
		break;
	case A_REDIRECT:
	case A_ADD_RCPT:
		check_recipient(l, rule);
		break;
	case A_SCORE:
		check_score(l, rule);
		break;
	case A_SET:
		check_set(l, rule);
		break;
	case A_ADD_HEADER:
	case A_INSERT_HEADER:
	case A_CHANGE_HEADER:
		check_header_text(l, rule);
		break;
	case A_DELETE_HEADER:
		check_header_name(l, rule);
		break;
	case A_ROUTE:
		check_route(l, rule);
		break;
	case A_CALL:
		check_call_arg(l, rule);
		break;
	case A_ACCESS:
	case A_HEADER_CHECKS:
	case A_MIME_HEADER_CHECKS:
	case A_NESTED_HEADER_CHECKS:
	case A_BODY_CHECKS:
		check_table_arg(l, rule);
		break;
	default:
		break;
	}
}

static void
check_rule(struct load *l, struct rule *rule)
{
	unsigned groups;

	if (rule->cond != 0)
		check_condition(l, rule->cond);
	check_args(l, rule);
	groups = groups_of(l->r, rule->cond);
	check_captures(l, rule->cond, groups);
	check_captures(l, rule->text, groups);
	check_captures(l, rule->value, groups);
	if (rule->action == A_GROUP)
		check_rules(l, &rule->body);
}

void
check_rules(struct load *l, struct rule_list *list)
{
	struct rule *rule;

	for (rule = list->first; rule != NULL; rule = rule->next)
		check_rule(l, rule);
}

void
check_all(struct load *l)
{
	struct rules *r = l->r;
	size_t i;

	for (i = 0; i < r->lists.n; i++)
		list_finish(&r->lists.v[i]);
	for (i = 0; i < RULES_NSTAGES; i++)
		check_rules(l, &r->stages[i]);
	for (i = 0; i < r->blocks.n; i++)
		check_rules(l, &r->blocks.v[i].rules);
}
