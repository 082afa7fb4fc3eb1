/*
 * parse_expr - conditions and values.
 *
 *	condition  = and-expr *("or" and-expr)
 *	and-expr   = not-expr *("and" not-expr)
 *	not-expr   = "not" not-expr / comparison
 *	comparison = ["any" / "all"] sum [ operator ]
 *	sum        = primary *(("+" / "-") primary)
 *
 * Names are left as names: whether "bad" in "x in bad" is a list or a table,
 * and whether types fit, is for check.c, when everything has been read.
 */

#include <stdlib.h>
#include <string.h>

#include "rules/load_impl.h"
#include "rules/regex.h"

#define DEPTH_MAX	100	/* of parentheses and "not" */
#define TERMS_MAX	1000	/* of one "and" or "or" */
#define LIST_MAX	100000	/* elements; more is a table */

uint32_t
expr_new(struct rules *r, enum expr_op op, struct span span)
{
	struct expr e = { .op = op, .span = span };

	SET_ADD(&r->exprs, e);
	return (uint32_t)(r->exprs.n - 1);
}

struct expr *
expr_at(struct rules *r, uint32_t e)
{
	return &r->exprs.v[e];
}

static uint32_t
expr2(struct parser *p, enum expr_op op, uint32_t a, uint32_t b)
{
	struct span span;
	uint32_t e;

	if (a == 0 || (b == 0 && op != E_NOT && op != E_CALL))
		return 0;
	span = span_join(expr_at(p->r, a)->span, p->last);
	e = expr_new(p->r, op, span);
	expr_at(p->r, e)->a = a;
	expr_at(p->r, e)->b = b;
	return e;
}

static void
too_deep(struct parser *p)
{
	parser_error(p, p->token.span, "this condition is nested deeper than "
	    "%d", DEPTH_MAX);
}

/* Operators that stand at the end of a line: it goes on. */
static void
skip_lines(struct parser *p)
{
	while (p->token.kind == T_EOL)
		parser_next(p);
}

/* Lists */

static bool
list_takes(struct parser *p, uint32_t list, enum rules_type type)
{
	struct constants *c = &p->r->lists.v[list];

	if (c->n >= LIST_MAX) {
		parser_error(p, p->token.span, "more than %d elements: make "
		    "it a table", LIST_MAX);
		return false;
	}
	if (!c->typed || c->type == type)
		return true;
	parser_error(p, p->token.span, "%s in a list that starts with %s",
	    type_name(type), type_name(c->type));
	return false;
}

static bool
add_net(struct parser *p, uint32_t list)
{
	struct span at = p->token.span;
	char text[80];
	const char *why;
	struct slice s = span_text(at);

	if (s.len >= sizeof(text)) {
		parser_error(p, at, "not a network");
		return false;
	}
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	if (list_add_net(p->r, list, text, &why) == 0)
		return true;
	parser_error(p, at, "\"%s\" is no network: %s", text, why);
	return false;
}

bool
parse_element(struct parser *p, uint32_t list)
{
	struct token t = p->token;
	const char *text;

	if (t.kind == T_STRING) {
		if (!list_takes(p, list, RULES_STRING) ||
		    (text = parse_plain_text(p, &t)) == NULL)
			return false;
		list_add_text(p->r, list, SLICE_STR(text));
	} else if (t.kind == T_NUMBER) {
		if (!list_takes(p, list, RULES_NUMBER))
			return false;
		list_add_number(p->r, list, t.number);
	} else if (t.kind == T_NET) {
		if (!list_takes(p, list, RULES_IP) || !add_net(p, list))
			return false;
	} else {
		parser_expected(p, t.kind == T_WORD ? "a \"text\" in quotes, "
		    "a number or a network" :
		    "a \"text\", a number or a network");
		return false;
	}
	parser_next(p);
	return true;
}

/* list-literal = "{" [element *("," element) [","]] "}" */
uint32_t
parse_list(struct parser *p)
{
	struct span open = p->token.span;
	uint32_t list = list_new(p->r, open);

	if (!parser_take(p, T_LBRACE)) {
		parser_expected(p, "\"{\"");
		return 0;
	}
	for (;;) {
		skip_lines(p);
		if (p->token.kind == T_RBRACE)
			break;
		if (!parse_element(p, list))
			return 0;
		skip_lines(p);
		if (!parser_take(p, T_COMMA))
			break;
	}
	if (!parser_take(p, T_RBRACE)) {
		parser_expected(p, "\",\" or \"}\"");
		return 0;
	}
	p->r->lists.v[list].span = span_join(open, p->last);
	return list + 1;
}

/* Primaries */

static uint32_t
constant(struct parser *p, enum rules_type type)
{
	uint32_t e = expr_new(p->r, E_CONST, p->token.span);

	expr_at(p->r, e)->type = type;
	expr_at(p->r, e)->value.type = type;
	return e;
}

static uint32_t
number(struct parser *p, double sign)
{
	uint32_t e = constant(p, RULES_NUMBER);

	expr_at(p->r, e)->value.number = sign * p->token.number;
	parser_next(p);
	return e;
}

/* 192.0.2.1 alone is a network of one address. */
static uint32_t
network(struct parser *p)
{
	uint32_t e, list = list_new(p->r, p->token.span);

	if (!add_net(p, list))
		return 0;
	e = expr_new(p->r, E_NETS, p->token.span);
	expr_at(p->r, e)->n = list;
	parser_next(p);
	return e;
}

/* call = NAME "(" value ["," value] ")" */
static uint32_t
call(struct parser *p, struct token name)
{
	uint32_t a, b = 0, e;

	if ((a = parse_value(p)) == 0)
		return 0;
	if (parser_take(p, T_COMMA) && (b = parse_value(p)) == 0)
		return 0;
	if (!parser_take(p, T_RPAREN)) {
		parser_expected(p, "\")\"");
		return 0;
	}
	e = expr2(p, E_CALL, a, b);
	expr_at(p->r, e)->text = name.text;
	expr_at(p->r, e)->span = span_join(name.span, p->last);
	return e;
}

static bool
is_keyword(const struct parser *p)
{
	static const char *const words[] = { "and", "or", "not", "if", "in",
		"is", "any", "all" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (parser_is_word(p, words[i]))
			return true;
	return false;
}

static uint32_t
name_or_call(struct parser *p)
{
	struct token name = p->token;
	uint32_t e;

	if (is_keyword(p)) {
		parser_expected(p, "a field or a value");
		return 0;
	}
	parser_next(p);
	if (parser_take(p, T_LPAREN))
		return call(p, name);
	if (slice_is(name.text, "yes") || slice_is(name.text, "no")) {
		e = expr_new(p->r, E_CONST, name.span);
		expr_at(p->r, e)->type = RULES_BOOLEAN;
		expr_at(p->r, e)->value.type = RULES_BOOLEAN;
		expr_at(p->r, e)->value.yes = slice_is(name.text, "yes");
		return e;
	}
	e = expr_new(p->r, E_NAME, name.span);
	expr_at(p->r, e)->text = name.text;
	return e;
}

static uint32_t
parenthesis(struct parser *p)
{
	struct span open = p->token.span;
	uint32_t e;

	parser_next(p);
	if ((e = parse_condition(p)) == 0)
		return 0;
	if (!parser_take(p, T_RPAREN)) {
		parser_expected(p, "\")\"");
		return 0;
	}
	expr_at(p->r, e)->span = span_join(open, p->last);
	return e;
}

static uint32_t
list_primary(struct parser *p)
{
	struct span at = p->token.span;
	uint32_t e, list = parse_list(p);

	if (list == 0)
		return 0;
	e = expr_new(p->r, E_LIST, span_join(at, p->last));
	expr_at(p->r, e)->n = list - 1;
	return e;
}

/* primary = NAME / call / string / number / network / list-literal /
 *           "(" condition ")" / "-" number */
static uint32_t
primary(struct parser *p)
{
	struct token t = p->token;

	switch (t.kind) {
	case T_WORD:
		return name_or_call(p);
	case T_STRING:
		parser_next(p);
		return parse_text(p, &t);
	case T_NUMBER:
		return number(p, 1);
	case T_MINUS:
		parser_next(p);
		if (p->token.kind == T_NUMBER)
			return number(p, -1);
		parser_expected(p, "a number");
		return 0;
	case T_NET:
		return network(p);
	case T_LBRACE:
		return list_primary(p);
	case T_LPAREN:
		return parenthesis(p);
	case T_REGEX:
	case T_ENHANCED:
	default:
		parser_expected(p, "a field or a value");
		return 0;
	}
}

static uint32_t
sum(struct parser *p)
{
	uint32_t e, b;
	enum expr_op op;

	if (++p->depth > DEPTH_MAX) {
		too_deep(p);
		e = 0;
	} else {
		e = primary(p);
	}
	p->depth--;
	while (e != 0 && (p->token.kind == T_PLUS ||
	    p->token.kind == T_MINUS)) {
		op = p->token.kind == T_PLUS ? E_ADD : E_SUBTRACT;
		parser_next(p);
		b = primary(p);
		e = expr2(p, op, e, b);
	}
	return e;
}

/* Comparisons */

static uint32_t
negate(struct parser *p, uint32_t e, bool yes)
{
	uint32_t not;

	if (!yes || e == 0)
		return e;
	not = expr_new(p->r, E_NOT, expr_at(p->r, e)->span);
	expr_at(p->r, not)->a = e;
	return not;
}

/* The same for "not in" and the like. */
static uint32_t
deny(struct parser *p, uint32_t e, bool yes)
{
	if (yes && e != 0)
		expr_at(p->r, e)->denied = true;
	return negate(p, e, yes);
}

/* "~" regex */
static uint32_t
match(struct parser *p, uint32_t left)
{
	struct token t;
	uint32_t e;

	parser_next(p);
	t = p->token;
	if (t.kind != T_REGEX) {
		parser_expected(p, "a regular expression, /…/,");
		return 0;
	}
	parser_next(p);
	e = expr2(p, E_MATCH, left, left);
	expr_at(p->r, e)->b = 0;
	expr_at(p->r, e)->n = regex_use(p, &t);
	return e;
}

static const struct {
	enum token_kind	 kind;
	enum expr_op	 op;
} comparisons[] = {
	{ T_EQUAL, E_EQUAL }, { T_UNEQUAL, E_UNEQUAL }, { T_LESS, E_LESS },
	{ T_LESS_EQUAL, E_LESS_EQUAL }, { T_GREATER, E_GREATER },
	{ T_GREATER_EQUAL, E_GREATER_EQUAL },
};

/* operator = ("=" / "!=" / "<" / "<=" / ">" / ">=") sum /
 *            "is" ["not"] sum / ["not"] "in" sum / ("~" / "!~") regex */
static uint32_t
comparison_of(struct parser *p, uint32_t left)
{
	bool not;
	size_t i;

	if (p->token.kind == T_MATCH || p->token.kind == T_UNMATCH) {
		not = p->token.kind == T_UNMATCH;
		return deny(p, match(p, left), not);
	}
	if (parser_take_word(p, "is")) {
		not = parser_take_word(p, "not");
		return deny(p, expr2(p, E_IS, left, sum(p)), not);
	}
	not = parser_take_word(p, "not");
	if (parser_take_word(p, "in"))
		return deny(p, expr2(p, E_IN, left, sum(p)), not);
	if (not) {
		parser_expected(p, "\"in\"");
		return 0;
	}
	for (i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++)
		if (parser_take(p, comparisons[i].kind))
			return expr2(p, comparisons[i].op, left, sum(p));
	return left;
}

/* The comparison is made with E_ELEMENT in the place of the list. */
static uint32_t
quantified(struct parser *p, enum expr_op op)
{
	struct span at = p->last;
	uint32_t list, element, test, e;

	if ((list = sum(p)) == 0)
		return 0;
	element = expr_new(p->r, E_ELEMENT, expr_at(p->r, list)->span);
	test = comparison_of(p, element);
	if (test == element) {
		parser_expected(p, "a comparison");
		return 0;
	}
	if ((e = expr2(p, op, list, test)) == 0)
		return 0;
	expr_at(p->r, e)->n = element;
	expr_at(p->r, e)->span = span_join(at, p->last);
	return e;
}

static uint32_t
comparison(struct parser *p)
{
	uint32_t e;

	if (parser_take_word(p, "any"))
		return quantified(p, E_ANY);
	if (parser_take_word(p, "all"))
		return quantified(p, E_ALL);
	e = sum(p);
	return e != 0 ? comparison_of(p, e) : 0;
}

static uint32_t
not_expr(struct parser *p)
{
	struct span at = p->token.span;
	uint32_t e;

	if (++p->depth > DEPTH_MAX) {
		too_deep(p);
		e = 0;
	} else if (parser_take_word(p, "not")) {
		e = negate(p, not_expr(p), true);
		if (e != 0)
			expr_at(p->r, e)->span = span_join(at, p->last);
	} else {
		e = comparison(p);
	}
	p->depth--;
	return e;
}

/* term *(word term): evaluation goes down to the first term, so there is an
   end to it. */
static uint32_t
chain(struct parser *p, const char *word, enum expr_op op,
    uint32_t (*term)(struct parser *))
{
	uint32_t e = term(p), b;
	unsigned n = 1;

	while (e != 0 && parser_is_word(p, word)) {
		if (++n > TERMS_MAX) {
			parser_error(p, p->token.span, "more than %d times "
			    "\"%s\": make it a list", TERMS_MAX, word);
			return 0;
		}
		parser_next(p);
		skip_lines(p);
		b = term(p);
		e = expr2(p, op, e, b);
	}
	return e;
}

static uint32_t
and_expr(struct parser *p)
{
	return chain(p, "and", E_AND, not_expr);
}

uint32_t
parse_condition(struct parser *p)
{
	return chain(p, "or", E_OR, and_expr);
}

/* A value that has no use for "and" and the like outside parentheses. */
uint32_t
parse_value(struct parser *p)
{
	return sum(p);
}

/* Its number, UINT32_MAX after a mistake. */
uint32_t
regex_use(struct parser *p, const struct token *t)
{
	struct regex_use u = { .span = t->span };
	char why[200];
	struct span at = t->span;
	size_t offset;

	u.regex = regex_get(p->r->cache, t->text, t->flags, why, &offset);
	if (u.regex == NULL) {
		at.at += 1 + (uint32_t)offset;
		at.len = 1;
		load_error(p->load, at, "in this regular expression: %s", why);
		return UINT32_MAX;
	}
	SET_ADD(&p->r->regexes, u);
	return (uint32_t)(p->r->regexes.n - 1);
}
