/*
 * eval - what an expression is worth.
 *
 * The tree that check.c left is walked as it is; what is a value in it has its
 * type already, so nothing is asked about types here. When something cannot be
 * known now, run->stop says so, and every value from there on is good for
 * nothing: the caller looks at run->stop when it is done with a condition.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "rules/run_impl.h"

static bool truth(struct run *run, uint32_t e);

static const struct node *
at(const struct run *run, uint32_t e)
{
	return &run->r->nodes[e];
}

/* Addresses */

/* No domain has a "@": the last one is the border. */
static const char *
border(struct slice a)
{
	return a.len > 0 ? memrchr(a.p, '@', a.len) : NULL;
}

struct slice
address_domain_part(struct slice a)
{
	const char *sign = border(a);

	if (sign == NULL)
		return SLICE("", 0);
	return SLICE(sign + 1, (size_t)(a.p + a.len - sign - 1));
}

/* "a b"@example.org → a b */
static struct slice
unquoted(struct run *run, struct slice s)
{
	char *out = arena_alloc(&run->s->arena, s.len);
	size_t i, n = 0;

	for (i = 1; i + 1 < s.len; i++) {
		if (s.p[i] == '\\' && i + 2 < s.len)
			i++;
		out[n++] = s.p[i];
	}
	return SLICE(out, n);
}

struct slice
address_local_part(struct run *run, struct slice a)
{
	const char *sign = border(a);
	struct slice s = a;

	if (sign != NULL)
		s.len = (size_t)(sign - a.p);
	if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"')
		return unquoted(run, s);
	return s;
}

/* The extension, as table_find_address() would cut it. */
static struct slice
detail_part(struct run *run, struct slice address)
{
	struct slice local = address_local_part(run, address);
	const char *delimiter = run->r->delimiter;
	size_t i;

	if (delimiter != NULL)
		for (i = 1; i < local.len; i++)
			if (strchr(delimiter, local.p[i]) != NULL &&
			    local.p[i] != '\0')
				return SLICE(local.p + i + 1,
				    local.len - i - 1);
	return SLICE("", 0);
}

/* Fields */

static void
set_text(struct rules_value *v, struct slice s)
{
	v->type = RULES_STRING;
	v->text = s;
}

static void
set_number(struct rules_value *v, double number)
{
	v->type = RULES_NUMBER;
	v->number = number;
}

static void
set_yes(struct rules_value *v, bool yes)
{
	v->type = RULES_BOOLEAN;
	v->yes = yes;
}

static struct tm
local_time(void)
{
	time_t now = clock_wall().tv_sec;
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	localtime_r(&now, &tm);
	return tm;
}

static void
derive(struct run *run, enum rules_field f, struct rules_value *v)
{
	static const char *const days[] = { "sun", "mon", "tue", "wed", "thu",
		"fri", "sat" };
	struct slice address = SLICE("", 0);
	struct tm tm;

	if (field_source(f) != f)
		address = eval_field(run, field_source(f))->text;
	switch (f) {
	case FIELD_MAIL_LOCAL:
	case FIELD_RCPT_LOCAL:
		set_text(v, address_local_part(run, address));
		break;
	case FIELD_MAIL_DOMAIN:
	case FIELD_RCPT_DOMAIN:
		set_text(v, address_domain_part(address));
		break;
	case FIELD_MAIL_DETAIL:
	case FIELD_RCPT_DETAIL:
		set_text(v, detail_part(run, address));
		break;
	case FIELD_TIME:
		tm = local_time();
		set_number(v, tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
		break;
	case FIELD_WEEKDAY:
		tm = local_time();
		set_text(v, SLICE_STR(days[tm.tm_wday]));
		break;
	default:
		break;
	}
}

static bool
is_derived(enum rules_field f)
{
	return field_source(f) != f || f == FIELD_TIME || f == FIELD_WEEKDAY;
}

static void
empty_value(struct rules_value *v, enum rules_type type)
{
	memset(v, 0, sizeof(*v));
	v->type = type;
	if (type == RULES_STRING || type == RULES_ADDRESS)
		v->text = SLICE("", 0);
}

static const struct rules_value *
slot_value(struct run *run, uint32_t n)
{
	struct rules *r = run->r;
	struct rules_value *v = &r->scratch.values[n];
	const struct slot *slot = &r->slots.v[n];

	if (r->scratch.epochs[n] == r->scratch.epoch)
		return v;
	r->scratch.epochs[n] = r->scratch.epoch;
	empty_value(v, rules_field_type(slot->field));
	if (is_derived(slot->field))
		derive(run, slot->field, v);
	else
		run->env->field(run->env->arg, run->s, slot->field,
		    slot->name, v);
	/* A fact that is not of its type would be read as if it were. */
	assert(v->type == rules_field_type(slot->field));
	return v;
}

bool
eval_is_unsure(struct run *run, uint32_t n)
{
	enum rules_field f = run->r->slots.v[n].field;

	return run->env->name_failed &&
	    (f == FIELD_CLIENT_NAME || f == FIELD_CLIENT_REVERSE) &&
	    slot_value(run, n)->text.len == 0;
}

const struct rules_value *
eval_slot(struct run *run, uint32_t n)
{
	static const struct rules_value unknown = { .type = RULES_STRING,
	    .text = { "unknown", 7 } };

	if (!eval_is_unsure(run, n))
		return slot_value(run, n);
	if (run->saying)
		return &unknown;
	run_fail(run, "DNS cannot say the name of the client now");
	return slot_value(run, n);
}

const struct rules_value *
eval_field(struct run *run, enum rules_field f)
{
	uint32_t i = 0;

	while (i < run->r->slots.n && run->r->slots.v[i].field != f)
		i++;
	assert(i < run->r->slots.n);
	return eval_slot(run, i);
}

/* Comparisons */

static bool
same_text(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

static bool
equal_text(struct slice a, struct slice b)
{
	return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

static bool
compare(const struct node *x, const struct rules_value *a,
    const struct rules_value *b)
{
	switch (x->op) {
	case E_SAME:
		return same_text(a->text, b->text);
	case E_EQ_TEXT:
		return equal_text(a->text, b->text);
	case E_EQ_BOOLEAN:
		return a->yes == b->yes;
	case E_EQ_IP:
		return netaddr_same_ip(&a->ip, &b->ip);
	default:
		assert(!"a comparison");
		return false;
	}
}

/* The value of a number, without the detour over struct rules_value. */
static double
number_of(struct run *run, uint32_t e)
{
	const struct node *x = at(run, e);
	struct rules_value v;

	if (x->op == E_CONST)
		return x->number;
	if (x->op == E_FIELD && run->r->slots.v[x->n].field != FIELD_SCORE)
		return eval_slot(run, x->n)->number;
	eval(run, e, &v);
	return v.number;
}

static bool
compare_numbers(struct run *run, const struct node *x)
{
	double a = number_of(run, x->a), b = number_of(run, x->b);

	switch (x->op) {
	case E_EQ_NUMBER:
		return a == b;
	case E_CMP_LESS:
		return a < b;
	case E_CMP_LESS_EQUAL:
		return a <= b;
	case E_CMP_GREATER:
		return a > b;
	default:
		return a >= b;
	}
}

static bool
in_list(const struct node *x, const struct constants *c,
    const struct rules_value *v)
{
	switch (c->type) {
	case RULES_NUMBER:
		return constants_have_number(c, v->number);
	case RULES_IP:
		return netset_has(&c->nets, &v->ip);
	default:
		return x->op == E_IN_DOMAINS ?
		    constants_have_domain(c, v->text) :
		    constants_have_text(c, v->text);
	}
}

static bool
in_field(const struct rules_value *v, const struct rules_value *list)
{
	size_t i;

	for (i = 0; i < list->list.n; i++)
		if (same_text(list->list.v[i], v->text))
			return true;
	return false;
}

static bool
match(struct run *run, const struct node *x, const struct rules_value *v)
{
	switch (pattern_match(run, x->n, v->text)) {
	case REGEX_YES:
		return true;
	case REGEX_LIMIT:
		run_limit(run, regex_pattern(run->r->regexes.v[x->n].regex));
		return false;
	case REGEX_NO:
		break;
	}
	return false;
}

static bool
is_there(const struct rules_value *v)
{
	switch (v->type) {
	case RULES_IP:
		return v->ip.family != 0;
	case RULES_STRINGS:
	case RULES_ADDRESSES:
	case RULES_NUMBERS:
		return v->list.n > 0;
	default:
		return v->text.len > 0;
	}
}

/* Something about one value. */
static bool
test(struct run *run, const struct node *x, const struct rules_value *v)
{
	struct rules_value b;

	switch (x->op) {
	case E_TRUTH:
		return is_there(v);
	case E_CLASS:
		return class_has((int)x->n, v);
	case E_MATCH:
		return match(run, x, v);
	case E_IN_LIST:
	case E_IN_DOMAINS:
		return in_list(x, &run->r->lists.v[x->n], v);
	case E_IN_TABLE:
		return lookup_value(run, x->n, v, NULL) == LOOKUP_YES;
	case E_IN_FIELD:
		eval(run, x->b, &b);
		return in_field(v, &b);
	case E_RESOLVES:
		return lookup_resolves(run, v->text) == LOOKUP_YES;
	default:
		eval(run, x->b, &b);
		return compare(x, v, &b);
	}
}

/* The element n of a list. */
static bool
element_holds(struct run *run, const struct node *x,
    const struct rules_value *list, size_t n)
{
	run->element.type = element_type(list->type);
	if (list->type == RULES_NUMBERS)
		run->element.number = list->list.numbers[n];
	else
		run->element.text = list->list.v[n];
	if (run->s->arena.full)
		run_fail(run, "the rules need too much memory");
	return truth(run, x->b);
}

/* All elements are looked at even when one has to be waited for, so that the
   questions about all of them are asked together. */
static bool
quantified(struct run *run, const struct node *x)
{
	bool any = x->op == E_ANY, held = !any, waits = false;
	struct rules_value list;
	size_t i;

	eval(run, x->a, &list);
	for (i = 0; i < list.list.n && run->stop == RUN_GO && held != any;
	    i++) {
		held = element_holds(run, x, &list, i);
		if (run->stop == RUN_WAIT) {
			waits = true;
			run->stop = RUN_GO;
			held = !any;
		}
	}
	if (waits && run->stop == RUN_GO)
		run->stop = RUN_WAIT;
	return held;
}

static bool
truth(struct run *run, uint32_t e)
{
	const struct node *x = at(run, e);
	struct rules_value v;
	bool held;

	switch (x->op) {
	case E_AND:
		return truth(run, x->a) && run->stop == RUN_GO &&
		    truth(run, x->b);
	case E_OR:
		return truth(run, x->a) ||
		    (run->stop == RUN_GO && truth(run, x->b));
	case E_NOT:
		return !truth(run, x->a);
	case E_ANY:
	case E_ALL:
		return quantified(run, x);
	case E_CONST:
		return x->number != 0;
	case E_FIELD:
	case E_VARIABLE:
		eval(run, e, &v);
		held = v.yes;
		break;
	case E_EQ_NUMBER:
	case E_CMP_LESS:
	case E_CMP_LESS_EQUAL:
	case E_CMP_GREATER:
	case E_CMP_GREATER_EQUAL:
		held = compare_numbers(run, x);
		if (run->tests != NULL)
			eval(run, x->a, &v);
		break;
	default:
		eval(run, x->a, &v);
		held = run->stop == RUN_GO && test(run, x, &v);
	}
	if (run->tests != NULL && run->stop == RUN_GO)
		trace_test(run, e, &v, held);
	return held;
}

bool
eval_condition(struct run *run, uint32_t e)
{
	return e == 0 || truth(run, e);
}

/* Values */

static struct slice
lowered(struct run *run, struct slice s)
{
	char *out = arena_alloc(&run->s->arena, s.len);
	size_t i;

	for (i = 0; i < s.len; i++)
		out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ?
		    (char)(s.p[i] + 'a' - 'A') : s.p[i];
	return SLICE(out, s.len);
}

/* RFC 3629: octets that do not continue a character. */
static size_t
characters(struct slice s)
{
	size_t i, n = 0;

	for (i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* What is no number is 0, as an empty text is. */
static double
to_number(struct slice s)
{
	char text[32], *end;
	double d;

	if (s.len == 0 || s.len >= sizeof(text))
		return 0;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	d = strtod(text, &end);
	return *end == '\0' && d > -1e15 && d < 1e15 ? d : 0;
}

static void
lookup(struct run *run, const struct node *x, const struct rules_value *key,
    struct rules_value *v)
{
	const char *found;

	empty_value(v, RULES_STRING);
	if (lookup_value(run, x->n, key, &found) == LOOKUP_YES)
		v->text = SLICE_STR(found);
}

static void
function(struct run *run, const struct node *x, struct rules_value *v)
{
	struct rules_value a;

	eval(run, x->a, &a);
	switch (x->op) {
	case E_LOWER:
		set_text(v, lowered(run, a.text));
		break;
	case E_LOCAL:
		set_text(v, address_local_part(run, a.text));
		break;
	case E_DOMAIN:
		set_text(v, address_domain_part(a.text));
		break;
	case E_DETAIL:
		set_text(v, detail_part(run, a.text));
		break;
	case E_LENGTH:
		set_number(v, (double)characters(a.text));
		break;
	case E_COUNT:
		set_number(v, (double)a.list.n);
		break;
	case E_NUMBER:
		set_number(v, to_number(a.text));
		break;
	case E_LOOKUP:
		lookup(run, x, &a, v);
		break;
	default:
		assert(!"a function");
	}
}

static void
sum(struct run *run, const struct node *x, struct rules_value *v)
{
	struct rules_value a, b;

	eval(run, x->a, &a);
	eval(run, x->b, &b);
	set_number(v, x->op == E_ADD ? a.number + b.number :
	    a.number - b.number);
}

static void
eval_variable(struct run *run, const struct node *x, struct rules_value *v)
{
	if (x->op == E_FIELD)
		set_number(v, run->next.score);
	else
		*v = run->next.vars[x->n];
}

void
eval(struct run *run, uint32_t e, struct rules_value *v)
{
	const struct node *x = at(run, e);

	switch (x->op) {
	case E_CONST:
		*v = run->r->exprs.v[e].value;
		break;
	case E_FIELD:
		if (run->r->slots.v[x->n].field == FIELD_SCORE)
			eval_variable(run, x, v);
		else
			*v = *eval_slot(run, x->n);
		break;
	case E_VARIABLE:
		eval_variable(run, x, v);
		break;
	case E_ELEMENT:
		*v = run->element;
		break;
	case E_CAPTURE:
		set_text(v, run->groups[x->n]);
		break;
	case E_TEXT:
		set_text(v, eval_raw_text(run, e));
		break;
	case E_ADD:
	case E_SUBTRACT:
		sum(run, x, v);
		break;
	case E_LOWER:
	case E_LOCAL:
	case E_DOMAIN:
	case E_DETAIL:
	case E_LENGTH:
	case E_COUNT:
	case E_NUMBER:
	case E_LOOKUP:
		function(run, x, v);
		break;
	default:
		set_yes(v, truth(run, e));
	}
}
