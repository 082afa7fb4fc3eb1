/*
 * check - what the names of an expression mean, and whether its types fit.
 *
 * Each expression is rewritten in place into what eval.c runs: a name becomes
 * a field, "in" becomes a look-up in a list or a table, and so on. A mistake
 * makes it E_BAD, about which nothing more is said, so one mistake is told
 * once however deep it is.
 */

#include <string.h>

#include "rules/load_impl.h"

static bool check(struct load *l, uint32_t e);

static struct expr *
at(struct load *l, uint32_t e)
{
	return &l->r->exprs.v[e];
}

static bool
bad(struct load *l, uint32_t e)
{
	at(l, e)->op = E_BAD;
	return false;
}

/* e becomes an operation on a copy of what it was. */
static void
wrap(struct load *l, uint32_t e, enum expr_op op)
{
	struct expr copy = *at(l, e);
	uint32_t inner;

	SET_ADD(&l->r->exprs, copy);
	inner = (uint32_t)(l->r->exprs.n - 1);
	at(l, e)->op = op;
	at(l, e)->type = RULES_BOOLEAN;
	at(l, e)->a = inner;
	at(l, e)->b = 0;
	at(l, e)->checked = true;
}

static bool
is_text(enum rules_type t)
{
	return t == RULES_STRING || t == RULES_ADDRESS;
}

static bool
is_list(enum rules_type t)
{
	return t == RULES_STRINGS || t == RULES_ADDRESSES ||
	    t == RULES_NUMBERS;
}

/* Names */

static int
find_list(const struct rules *r, struct slice name)
{
	size_t i;

	for (i = 0; i < r->lists.n; i++)
		if (r->lists.v[i].name != NULL &&
		    slice_is(name, r->lists.v[i].name))
			return (int)i;
	return -1;
}

static int
find_variable(const struct rules *r, struct slice name)
{
	size_t i;

	for (i = 0; i < r->variables.n; i++)
		if (slice_is(name, r->variables.v[i].name))
			return (int)i;
	return -1;
}

int
table_number(const struct rules *r, struct slice name)
{
	size_t i;

	for (i = 0; i < r->tables.n; i++)
		if (slice_is(name, r->tables.v[i].name))
			return (int)i;
	return -1;
}

static void
nearest_value(const struct rules *r, struct nearest *near)
{
	enum rules_field f;
	size_t i;

	for (f = 0; f < RULES_NFIELDS; f++)
		nearest_try(near, rules_field_name(f));
	for (i = 0; i < r->variables.n; i++)
		nearest_try(near, r->variables.v[i].name);
}

static void
nearest_members(const struct rules *r, struct nearest *near)
{
	size_t i;

	for (i = 0; i < r->lists.n; i++)
		if (r->lists.v[i].name != NULL)
			nearest_try(near, r->lists.v[i].name);
	for (i = 0; i < r->tables.n; i++)
		nearest_try(near, r->tables.v[i].name);
}

/* "auth" → "auth.user"; or NULL. */
static const char *
field_below(struct slice name)
{
	enum rules_field f;
	const char *field;

	for (f = 0; f < RULES_NFIELDS; f++) {
		field = rules_field_name(f);
		if (strncmp(field, name.p, name.len) == 0 &&
		    field[name.len] == '.')
			return field;
	}
	return NULL;
}

static bool
no_such_value(struct load *l, uint32_t e)
{
	struct slice name = at(l, e)->text;
	struct nearest near = { .wanted = name };
	char hint[100];

	if (find_list(l->r, name) >= 0 || table_number(l->r, name) >= 0) {
		load_error(l, at(l, e)->span, "\"%.*s\" is a %s: write \"X in "
		    "%.*s\"", (int)name.len, name.p,
		    find_list(l->r, name) >= 0 ? "list" : "table",
		    (int)name.len, name.p);
		return bad(l, e);
	}
	nearest_value(l->r, &near);
	if (near.best == NULL)
		near.best = field_below(name);
	if (near.best == NULL && name.len > 0 && *name.p >= '0' &&
	    *name.p <= '9')
		load_error(l, at(l, e)->span, "\"%.*s\" is no number (units "
		    "are ms, s, m, h, d, w, K, M and G), and no time of day "
		    "(09:30)", (int)name.len, name.p);
	else
		load_error(l, at(l, e)->span, "there is no field \"%.*s\"%s",
		    (int)name.len, name.p, near.best != NULL ?
		    nearest_text(&near, hint) : " (a text needs quotes)");
	return bad(l, e);
}

static bool
check_field(struct load *l, uint32_t e, enum rules_field f, const char *name)
{
	struct expr *x = at(l, e);

	x->op = E_FIELD;
	x->type = rules_field_type(f);
	x->n = slot_for(l->r, f, name);
	x->a = x->b = 0;
	x->varies = f == FIELD_SCORE;
	return true;
}

static bool
check_name(struct load *l, uint32_t e)
{
	struct expr *x = at(l, e);
	enum rules_field f = field_find(x->text);
	int v;

	if (f != RULES_NFIELDS && field_has_name(f)) {
		load_error(l, x->span, "which field of the header? Write "
		    "%s(\"Subject\")", rules_field_name(f));
		return bad(l, e);
	}
	if (f != RULES_NFIELDS)
		return check_field(l, e, f, NULL);
	v = find_variable(l->r, x->text);
	if (v < 0)
		return no_such_value(l, e);
	x->op = E_VARIABLE;
	x->n = (uint32_t)v;
	x->type = l->r->variables.v[v].initial.type;
	x->varies = true;
	return true;
}

/* Functions */

enum takes { TAKES_TEXT, TAKES_LIST, TAKES_HEADER, TAKES_TABLE };

static const struct {
	const char	*name;
	enum expr_op	 op;
	enum rules_type	 type;		/* of the result */
	enum takes	 takes;
	bool		 maps;		/* any f(list) … asks each f(element) */
	enum rules_field field;		/* TAKES_HEADER */
} functions[] = {
	{ "lower",	E_LOWER,	RULES_STRING,	TAKES_TEXT,  true, 0 },
	{ "local",	E_LOCAL,	RULES_STRING,	TAKES_TEXT,  true, 0 },
	{ "domain",	E_DOMAIN,	RULES_STRING,	TAKES_TEXT,  true, 0 },
	{ "detail",	E_DETAIL,	RULES_STRING,	TAKES_TEXT,  true, 0 },
	{ "length",	E_LENGTH,	RULES_NUMBER,	TAKES_TEXT,  true, 0 },
	{ "number",	E_NUMBER,	RULES_NUMBER,	TAKES_TEXT,  true, 0 },
	{ "count",	E_COUNT,	RULES_NUMBER,	TAKES_LIST,  false, 0 },
	{ "resolves",	E_RESOLVES,	RULES_BOOLEAN,	TAKES_TEXT,  false, 0 },
	{ "lookup",	E_LOOKUP,	RULES_STRING,	TAKES_TABLE, false, 0 },
	{ "header",	E_FIELD, RULES_STRING, TAKES_HEADER, false,
	    FIELD_HEADER },
	{ "headers",	E_FIELD, RULES_STRINGS, TAKES_HEADER, false,
	    FIELD_HEADERS },
	{ "addresses",	E_FIELD, RULES_ADDRESSES, TAKES_HEADER, false,
	    FIELD_ADDRESSES },
	{ "age",	E_FIELD, RULES_NUMBER, TAKES_HEADER, false,
	    FIELD_AGE },
};

#define NFUNCTIONS	(sizeof(functions) / sizeof(functions[0]))

static size_t
find_function(struct slice name)
{
	size_t i = 0;

	while (i < NFUNCTIONS && !slice_is(name, functions[i].name))
		i++;
	return i;
}

static bool
no_function(struct load *l, uint32_t e)
{
	struct slice name = at(l, e)->text;
	struct nearest near = { .wanted = name };
	char hint[100];
	size_t i;

	for (i = 0; i < NFUNCTIONS; i++)
		nearest_try(&near, functions[i].name);
	load_error(l, at(l, e)->span, "there is no function \"%.*s\"%s",
	    (int)name.len, name.p, nearest_text(&near, hint));
	return bad(l, e);
}

static bool
check_header(struct load *l, uint32_t e, enum rules_field f)
{
	const struct expr *arg = at(l, at(l, e)->a);

	if (arg->op != E_CONST || arg->type != RULES_STRING ||
	    arg->value.text.len == 0) {
		load_error(l, arg->span, "the name of a header field in "
		    "quotes expected: %s(\"Subject\")", rules_field_name(f));
		return bad(l, e);
	}
	return check_field(l, e, f, arg->value.text.p);
}

static bool
check_lookup(struct load *l, uint32_t e)
{
	const struct expr *name = at(l, at(l, e)->a);
	uint32_t key = at(l, e)->b;
	int table = name->op == E_NAME ? table_number(l->r, name->text) : -1;

	if (table < 0) {
		struct nearest near = { .wanted = span_text(name->span) };
		char hint[100];

		nearest_members(l->r, &near);
		load_error(l, name->span, "the name of a table expected%s",
		    nearest_text(&near, hint));
		return bad(l, e);
	}
	if (key == 0) {
		load_error(l, at(l, e)->span, "lookup takes two arguments: "
		    "lookup(TABLE, KEY)");
		return bad(l, e);
	}
	if (!check(l, key))
		return bad(l, e);
	if (!is_text(at(l, key)->type) && at(l, key)->type != RULES_IP) {
		load_error(l, at(l, key)->span, "a key is a string, an "
		    "address or an IP address, not %s",
		    type_name(at(l, key)->type));
		return bad(l, e);
	}
	l->r->tables.v[table].used = true;
	at(l, e)->a = key;
	at(l, e)->b = 0;
	at(l, e)->n = (uint32_t)table;
	return true;
}

static bool
check_call(struct load *l, uint32_t e)
{
	size_t f = find_function(at(l, e)->text);
	uint32_t a = at(l, e)->a;

	if (f == NFUNCTIONS)
		return no_function(l, e);
	at(l, e)->type = functions[f].type;
	if (at(l, e)->b != 0 && functions[f].takes != TAKES_TABLE) {
		load_error(l, at(l, at(l, e)->b)->span, "%s takes one "
		    "argument", functions[f].name);
		return bad(l, e);
	}
	if (functions[f].takes == TAKES_HEADER)
		return check_header(l, e, functions[f].field);
	at(l, e)->op = functions[f].op;
	if (functions[f].takes == TAKES_TABLE)
		return check_lookup(l, e);
	if (!check(l, a))
		return bad(l, e);
	if (functions[f].takes == TAKES_LIST ? is_list(at(l, a)->type) :
	    is_text(at(l, a)->type))
		return true;
	load_error(l, at(l, a)->span, "%s takes %s, not %s%s",
	    functions[f].name, functions[f].takes == TAKES_LIST ? "a list" :
	    "a string", type_name(at(l, a)->type),
	    is_list(at(l, a)->type) ? " (say \"any\" or \"all\" in front)" :
	    "");
	return bad(l, e);
}

/* Comparisons */

static bool
mismatch(struct load *l, uint32_t e, const char *word)
{
	enum rules_type a = at(l, at(l, e)->a)->type;
	enum rules_type b = at(l, at(l, e)->b)->type;

	load_error(l, at(l, at(l, e)->b)->span, "%s and %s cannot be compared "
	    "by %s%s", type_name(a), type_name(b), word,
	    is_list(a) ? " (say \"any\" or \"all\" in front)" :
	    a == RULES_IP && b == RULES_STRING ?
	    " (an IP address has no quotes)" : a == RULES_NUMBER &&
	    b == RULES_STRING ? " (a number has no quotes)" : "");
	return bad(l, e);
}

/* client.ip = 192.0.2.1: the address is a network of one. */
static bool
check_right(struct load *l, uint32_t e)
{
	uint32_t b = at(l, e)->b;

	return at(l, b)->op == E_NETS &&
	    at(l, at(l, e)->a)->type == RULES_IP ? true : check(l, b);
}

static bool
equality(struct load *l, uint32_t e, const char *word)
{
	struct expr *x = at(l, e);
	const struct expr *a = at(l, x->a), *b = at(l, x->b);

	if (is_text(a->type) && is_text(b->type))
		x->op = x->op == E_IS ? E_SAME : E_EQ_TEXT;
	else if (a->type == RULES_IP && b->op == E_NETS) {
		x->op = E_IN_LIST;
		x->n = b->n;
		x->b = 0;
	} else if (a->type != b->type)
		return mismatch(l, e, word);
	else if (a->type == RULES_NUMBER)
		x->op = E_EQ_NUMBER;
	else if (a->type == RULES_BOOLEAN)
		x->op = E_EQ_BOOLEAN;
	else if (a->type == RULES_IP)
		x->op = E_EQ_IP;
	else
		return mismatch(l, e, word);
	return true;
}

static bool
check_equal(struct load *l, uint32_t e)
{
	bool not = at(l, e)->op == E_UNEQUAL;

	if (!check(l, at(l, e)->a) || !check_right(l, e))
		return bad(l, e);
	at(l, e)->op = E_EQUAL;
	at(l, e)->type = RULES_BOOLEAN;
	if (!equality(l, e, not ? "!=" : "="))
		return false;
	if (not) {
		at(l, e)->denied = true;
		wrap(l, e, E_NOT);
	}
	return true;
}

static bool
check_order(struct load *l, uint32_t e)
{
	uint32_t a = at(l, e)->a, b = at(l, e)->b;

	if (!check(l, a) || !check(l, b))
		return bad(l, e);
	if (at(l, a)->type != RULES_NUMBER || at(l, b)->type != RULES_NUMBER)
		return mismatch(l, e, "<, <=, > or >=");
	at(l, e)->type = RULES_BOOLEAN;
	at(l, e)->op = at(l, e)->op - E_LESS + E_CMP_LESS;
	return true;
}

static bool
no_class(struct load *l, uint32_t e)
{
	const struct expr *a = at(l, at(l, e)->a), *b = at(l, at(l, e)->b);
	struct nearest near = { .wanted = b->text };
	const char *name;
	char hint[100];
	size_t i;

	for (i = 0; (name = class_nth(a->type, i)) != NULL; i++)
		nearest_try(&near, name);
	nearest_value(l->r, &near);
	load_error(l, b->span, "\"%.*s\" is nothing that %s can be%s",
	    (int)b->text.len, b->text.p, type_name(a->type),
	    near.best != NULL ? nearest_text(&near, hint) :
	    is_text(a->type) ? " (a text needs quotes)" : "");
	return bad(l, e);
}

/* x is "text", x is FIELD, x is CLASS */
static bool
check_is(struct load *l, uint32_t e)
{
	uint32_t a = at(l, e)->a, b = at(l, e)->b;
	struct expr *x;
	int class = -1;

	if (!check(l, a))
		return bad(l, e);
	at(l, e)->type = RULES_BOOLEAN;
	x = at(l, b);
	if (x->op == E_NAME) {
		class = class_find(x->text, at(l, a)->type);
		if (class < 0 && field_find(x->text) == RULES_NFIELDS &&
		    find_variable(l->r, x->text) < 0)
			return no_class(l, e);
	}
	if (class >= 0) {
		x = at(l, e);
		x->op = E_CLASS;
		x->n = (uint32_t)class;
		x->b = 0;
		return true;
	}
	return check_right(l, e) ? equality(l, e, "is") : bad(l, e);
}

static bool
in_list(struct load *l, uint32_t e, uint32_t list)
{
	struct expr *x = at(l, e);
	enum rules_type a = at(l, x->a)->type;
	const struct constants *c = &l->r->lists.v[list];

	if (c->typed && a != c->type &&
	    !(is_text(a) && c->type == RULES_STRING)) {
		load_error(l, at(l, x->b)->span, "%s is not in a list of %s%s",
		    type_name(a), c->type == RULES_STRING ? "strings" :
		    c->type == RULES_NUMBER ? "numbers" : "networks",
		    is_list(a) ? " (say \"any\" or \"all\" in front)" : "");
		return bad(l, e);
	}
	x->op = x->op == E_IN_DOMAINS ? E_IN_DOMAINS : E_IN_LIST;
	x->n = list;
	x->b = 0;
	return true;
}

static bool
in_table(struct load *l, uint32_t e, uint32_t table)
{
	struct expr *x = at(l, e);
	enum rules_type a = at(l, x->a)->type;

	if (!is_text(a) && a != RULES_IP) {
		load_error(l, at(l, x->a)->span, "a table is asked for a "
		    "string, an address or an IP address, not %s%s",
		    type_name(a), is_list(a) ?
		    " (say \"any\" or \"all\" in front)" : "");
		return bad(l, e);
	}
	l->r->tables.v[table].used = true;
	x->op = E_IN_TABLE;
	x->n = table;
	x->b = 0;
	return true;
}

static bool
in_value(struct load *l, uint32_t e)
{
	uint32_t b = at(l, e)->b;

	if (!check(l, b))
		return bad(l, e);
	if (!is_list(at(l, b)->type)) {
		load_error(l, at(l, b)->span, "behind \"in\" stands a list, a "
		    "table or a network, not %s%s", type_name(at(l, b)->type),
		    is_text(at(l, b)->type) ? " (for one value say \"is\")" :
		    "");
		return bad(l, e);
	}
	if (!is_text(at(l, at(l, e)->a)->type) ||
	    at(l, b)->type == RULES_NUMBERS)
		return mismatch(l, e, "in");
	at(l, e)->op = E_IN_FIELD;
	return true;
}

static bool
in_name(struct load *l, uint32_t e)
{
	struct slice name = at(l, at(l, e)->b)->text;
	struct nearest near = { .wanted = name };
	char hint[100];
	int n;

	if ((n = find_list(l->r, name)) >= 0)
		return in_list(l, e, (uint32_t)n);
	if ((n = table_number(l->r, name)) >= 0)
		return in_table(l, e, (uint32_t)n);
	if (field_find(name) != RULES_NFIELDS ||
	    find_variable(l->r, name) >= 0)
		return in_value(l, e);
	nearest_members(l->r, &near);
	load_error(l, at(l, at(l, e)->b)->span, "there is no list or table "
	    "\"%.*s\"%s", (int)name.len, name.p, nearest_text(&near, hint));
	return bad(l, e);
}

/* A table without a name is named by its specification. */
static uint32_t
unnamed_table(struct load *l, const struct expr *x)
{
	const char *spec = arena_strndup(&l->r->arena, x->value.text.p,
	    x->value.text.len);

	table_declare(l->r, spec, spec, x->span);
	return (uint32_t)table_number(l->r, SLICE_STR(spec));
}

static bool
check_in(struct load *l, uint32_t e)
{
	const struct expr *b;

	if (!check(l, at(l, e)->a))
		return bad(l, e);
	at(l, e)->type = RULES_BOOLEAN;
	b = at(l, at(l, e)->b);
	if (b->op == E_LIST || b->op == E_NETS)
		return in_list(l, e, b->n);
	if (b->op == E_CONST && b->type == RULES_STRING &&
	    memchr(b->value.text.p, ':', b->value.text.len) != NULL)
		return in_table(l, e, unnamed_table(l, b));
	return b->op == E_NAME ? in_name(l, e) : in_value(l, e);
}

static bool
check_match(struct load *l, uint32_t e)
{
	uint32_t a = at(l, e)->a;

	if (!check(l, a))
		return bad(l, e);
	at(l, e)->type = RULES_BOOLEAN;
	if (is_text(at(l, a)->type)) {
		if (at(l, a)->op == E_FIELD && at(l, e)->n != UINT32_MAX)
			l->r->regexes.v[at(l, e)->n].subject =
			    at(l, a)->n + 1;
		return at(l, e)->n != UINT32_MAX ? true : bad(l, e);
	}
	load_error(l, at(l, a)->span, "a regular expression is for a string, "
	    "not for %s%s", type_name(at(l, a)->type),
	    is_list(at(l, a)->type) ?
	    " (say \"any\" or \"all\" in front)" : "");
	return bad(l, e);
}

/* any, all */

/*
 * any domain(rcpts) in x: the list is rcpts, and what is compared is domain of
 * its element. The functions around the list move to the element.
 */
static void
move_functions(struct load *l, uint32_t e)
{
	uint32_t top = at(l, e)->a, element = at(l, e)->n, fresh;
	uint32_t inner = top, list = top;
	size_t f;

	while (at(l, list)->op == E_CALL && at(l, list)->b == 0) {
		f = find_function(at(l, list)->text);
		if (f == NFUNCTIONS || !functions[f].maps)
			break;
		inner = list;
		list = at(l, list)->a;
	}
	if (list == top)
		return;
	fresh = expr_new(l->r, E_ELEMENT, at(l, list)->span);
	at(l, inner)->a = fresh;
	*at(l, element) = *at(l, top);
	at(l, e)->a = list;
	at(l, e)->n = fresh;
}

static bool
check_quantified(struct load *l, uint32_t e)
{
	struct expr *element;
	uint32_t list;

	at(l, e)->type = RULES_BOOLEAN;
	move_functions(l, e);
	list = at(l, e)->a;
	if (!check(l, list))
		return bad(l, e);
	if (!is_list(at(l, list)->type)) {
		load_error(l, at(l, list)->span, "\"%s\" is for lists, not for "
		    "%s", at(l, e)->op == E_ANY ? "any" : "all",
		    type_name(at(l, list)->type));
		return bad(l, e);
	}
	element = at(l, at(l, e)->n);
	element->type = element_type(at(l, list)->type);
	element->varies = true;
	element->checked = true;
	return check_condition(l, at(l, e)->b) ? true : bad(l, e);
}

/* The rest */

static bool
check_sum(struct load *l, uint32_t e)
{
	uint32_t a = at(l, e)->a, b = at(l, e)->b, wrong;

	if (!check(l, a) || !check(l, b))
		return bad(l, e);
	at(l, e)->type = RULES_NUMBER;
	wrong = at(l, a)->type != RULES_NUMBER ? a :
	    at(l, b)->type != RULES_NUMBER ? b : 0;
	if (wrong == 0)
		return true;
	load_error(l, at(l, wrong)->span, "numbers are added, not %s%s",
	    type_name(at(l, wrong)->type), is_text(at(l, wrong)->type) ?
	    " (texts are put together as \"%{a}%{b}\")" : "");
	return bad(l, e);
}

static bool
check_text(struct load *l, uint32_t e)
{
	bool good = true;
	uint32_t part;

	at(l, e)->type = RULES_STRING;
	for (part = e; part != 0; part = at(l, part)->b) {
		good &= check(l, at(l, part)->a);
		at(l, part)->type = RULES_STRING;
		at(l, part)->checked = true;
	}
	for (part = e; part != 0; part = at(l, part)->b)
		at(l, e)->varies |= at(l, at(l, part)->a)->varies;
	return good ? true : bad(l, e);
}

/* A list or network where a single value belongs. */
static bool
check_stray_list(struct load *l, uint32_t e)
{
	load_error(l, at(l, e)->span, at(l, e)->op == E_NETS ? "a network "
	    "stands behind \"in\" or \"is\" only" : "a list stands behind "
	    "\"in\" only");
	return bad(l, e);
}

static bool
check_logic(struct load *l, uint32_t e)
{
	uint32_t a = at(l, e)->a, b = at(l, e)->b;
	bool good = check_condition(l, a);

	if (b != 0)
		good &= check_condition(l, b);
	at(l, e)->type = RULES_BOOLEAN;
	return good ? true : bad(l, e);
}

static bool
check_op(struct load *l, uint32_t e)
{
	switch (at(l, e)->op) {
	case E_NAME:
		return check_name(l, e);
	case E_CALL:
		return check_call(l, e);
	case E_IS:
		return check_is(l, e);
	case E_IN:
	case E_IN_DOMAINS:
		return check_in(l, e);
	case E_NETS:
	case E_LIST:
		return check_stray_list(l, e);
	case E_EQUAL:
	case E_UNEQUAL:
		return check_equal(l, e);
	case E_LESS:
	case E_LESS_EQUAL:
	case E_GREATER:
	case E_GREATER_EQUAL:
		return check_order(l, e);
	case E_AND:
	case E_OR:
	case E_NOT:
		return check_logic(l, e);
	case E_ANY:
	case E_ALL:
		return check_quantified(l, e);
	case E_MATCH:
		return check_match(l, e);
	case E_ADD:
	case E_SUBTRACT:
		return check_sum(l, e);
	case E_TEXT:
		return check_text(l, e);
	case E_CAPTURE:
		at(l, e)->type = RULES_STRING;
		at(l, e)->varies = true;
		return true;
	case E_BAD:
		return false;
	default:
		return true;
	}
}

static bool
check(struct load *l, uint32_t e)
{
	struct expr *x = at(l, e);

	if (x->checked)
		return x->op != E_BAD;
	x->checked = true;
	if (!check_op(l, e)) {
		at(l, e)->checked = true;
		return false;
	}
	x = at(l, e);
	x->checked = true;
	if (x->op != E_TEXT && x->a != 0)
		x->varies |= at(l, x->a)->varies;
	if (x->op != E_TEXT && x->b != 0)
		x->varies |= at(l, x->b)->varies;
	return true;
}

bool
check_value(struct load *l, uint32_t e)
{
	return check(l, e);
}

bool
check_condition(struct load *l, uint32_t e)
{
	if (!check(l, e))
		return false;
	if (at(l, e)->type == RULES_BOOLEAN)
		return true;
	if (at(l, e)->type == RULES_NUMBER) {
		load_error(l, at(l, e)->span, "a number is no condition: "
		    "compare it (\"> 0\")");
		return bad(l, e);
	}
	wrap(l, e, E_TRUTH);
	return true;
}

/* Stages */

static void
tell_stage(struct load *l, struct span where, enum rules_field f,
    enum rules_stage stage, const char *call)
{
	enum rules_stage from = rules_field_from(f);
	bool only = from + 1 < RULES_NSTAGES && (f == FIELD_RCPT ||
	    field_source(f) == FIELD_RCPT || f == FIELD_RCPT_PARAMS ||
	    !field_at(f, RULES_EOM));

	load_error(l, where, "there is %s %s %s%s%s%s%s%s",
	    rules_field_name(f), only ? "at" : "from",
	    rules_stage_name(from), only ? " only" : " on",
	    stage == RULES_DISCONNECT && !only ? " to the end of the message"
	    : "", only && field_source(f) == FIELD_RCPT && stage > from ?
	    " (rcpts has all recipients)" : "",
	    call != NULL ? ", and this block is called at " : "",
	    call != NULL ? rules_stage_name(stage) : "");
}

void
check_stage(struct load *l, uint32_t e, enum rules_stage stage,
    const char *call)
{
	const struct expr *x = at(l, e);
	enum rules_field f;

	if (e == 0 || x->op == E_BAD)
		return;
	if (stage == RULES_DISCONNECT && expr_asks_network(l->r, x))
		load_error(l, x->span, "at disconnect nobody waits for an "
		    "answer from the network");
	if (x->op == E_FIELD) {
		f = l->r->slots.v[x->n].field;
		if (!field_at(f, stage))
			tell_stage(l, x->span, f, stage, call);
		return;
	}
	check_stage(l, x->a, stage, call);
	check_stage(l, x->b, stage, call);
}
