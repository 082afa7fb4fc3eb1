/*
 * parse_for - the stages of rules, and "for" around them.
 *
 *	at  = "at" stage EOL *rule
 *	for = "for" ("domain" / "listener") element *("," element)
 *	      "{" EOL *( at / for / EOL ) "}" EOL
 *
 * A "for" becomes a group with a condition in each stage that it has rules
 * for, so the rest of the program knows groups only.
 */

#include <string.h>

#include "rules/load_impl.h"

#define NESTED_MAX	32

/* What is around an "at". */
struct around {
	const struct around	*outer;
	bool			 listener;	/* else domain */
	uint32_t		 list;
	uint32_t		 table;		/* name + 1, when it has one */
	struct span		 head;
	unsigned		 line;
};

static const struct {
	const char		*name;
	enum rules_stage	 stage;
} stage_words[] = {
	{ "connect", RULES_CONNECT }, { "helo", RULES_HELO },
	{ "ehlo", RULES_HELO }, { "auth", RULES_AUTH },
	{ "mail", RULES_MAIL }, { "rcpt", RULES_RCPT },
	{ "data", RULES_DATA }, { "header", RULES_HEADER },
	{ "body", RULES_BODY }, { "eom", RULES_EOM },
	{ "disconnect", RULES_DISCONNECT },
};

#define NSTAGE_WORDS	(sizeof(stage_words) / sizeof(stage_words[0]))

static bool
parse_stage(struct parser *p, enum rules_stage *stage)
{
	struct nearest near = { .wanted = p->token.text };
	char text[80], hint[100];
	size_t i;

	for (i = 0; i < NSTAGE_WORDS; i++)
		if (parser_is_word(p, stage_words[i].name)) {
			*stage = stage_words[i].stage;
			parser_next(p);
			return true;
		}
	if (p->token.kind == T_WORD)
		for (i = 0; i < NSTAGE_WORDS; i++)
			nearest_try(&near, stage_words[i].name);
	nearest_text(&near, hint);
	parser_error(p, p->token.span, "%s is no stage%s",
	    token_text(&p->token, text), near.best != NULL ? hint :
	    " (there are connect, helo, auth, mail, rcpt, data, header, "
	    "body, eom, disconnect)");
	return false;
}

static uint32_t
field_expr(struct parser *p, enum rules_field f, struct span at)
{
	uint32_t e = expr_new(p->r, E_NAME, at);

	expr_at(p->r, e)->text = SLICE_STR(rules_field_name(f));
	return e;
}

static uint32_t
binary(struct parser *p, enum expr_op op, uint32_t a, uint32_t b,
    struct span at)
{
	uint32_t e = expr_new(p->r, op, at);

	expr_at(p->r, e)->a = a;
	expr_at(p->r, e)->b = b;
	return e;
}

/* The right side of "in": the list or table that "for" names. */
static uint32_t
members(struct parser *p, const struct around *a)
{
	uint32_t e = expr_new(p->r, a->table != 0 ? E_NAME : E_LIST, a->head);

	if (a->table != 0)
		expr_at(p->r, e)->text = expr_at(p->r, a->table)->text;
	else
		expr_at(p->r, e)->n = a->list;
	return e;
}

/*
 * At rcpt a domain is that of the recipient; later there may be several
 * recipients, and what one of their domains demands holds for the message.
 */
static uint32_t
around_condition(struct parser *p, const struct around *a,
    enum rules_stage stage)
{
	struct span at = a->head;
	uint32_t e, element, list;

	if (a->listener)
		return binary(p, E_IN, field_expr(p, FIELD_LISTENER, at),
		    members(p, a), at);
	if (stage == RULES_RCPT)
		return binary(p, E_IN_DOMAINS,
		    field_expr(p, FIELD_RCPT_DOMAIN, at), members(p, a), at);
	list = field_expr(p, FIELD_RCPTS, at);
	e = binary(p, E_CALL, list, 0, at);
	expr_at(p->r, e)->text = SLICE_STR("domain");
	element = expr_new(p->r, E_ELEMENT, at);
	e = binary(p, E_ANY, e, binary(p, E_IN_DOMAINS, element,
	    members(p, a), at), at);
	expr_at(p->r, e)->n = element;
	return e;
}

static bool
domain_is_known(const struct parser *p, const struct around *a,
    enum rules_stage stage, struct span at)
{
	for (; a != NULL; a = a->outer)
		if (!a->listener && !field_at(FIELD_RCPTS, stage)) {
			load_error(p->load, at, "\"for domain\" is about "
			    "recipients, which there are none of at %s",
			    rules_stage_name(stage));
			return false;
		}
	return true;
}

/* The groups of what is around, the innermost last; where its rules go. */
static struct rule_list *
open_groups(struct parser *p, const struct around *a, enum rules_stage stage)
{
	struct rule_list *list;
	struct rule *group;

	if (a == NULL)
		return &p->r->stages[stage];
	list = open_groups(p, a->outer, stage);
	group = rule_new(p, a->line, a->head);
	group->action = A_GROUP;
	group->cond = around_condition(p, a, stage);
	rule_append(list, group);
	return &group->body;
}

/* at = "at" stage EOL *rule */
void
parse_at(struct parser *p, const struct around *a)
{
	struct rule_list lost = { NULL, NULL }, *list = &lost;
	struct span at = p->token.span;
	enum rules_stage stage;

	parser_next(p);
	if (!parse_stage(p, &stage) || !parser_end_line(p)) {
		parser_skip_line(p);
		parse_rules(p, &lost, false);
		return;
	}
	if (domain_is_known(p, a, stage, at))
		list = open_groups(p, a, stage);
	parse_rules(p, list, false);
}

/* for-element = word / string / a network in a "for listener" is none */
static bool
for_element(struct parser *p, struct around *a)
{
	struct constants *c = &p->r->lists.v[a->list];
	struct token t = p->token;

	/* A single word without a dot is the name of a list or table. */
	if (!a->listener && c->n == 0 && a->table == 0 && t.kind == T_WORD &&
	    memchr(t.text.p, '.', t.text.len) == NULL) {
		a->table = expr_new(p->r, E_NAME, t.span);
		expr_at(p->r, a->table)->text = t.text;
		parser_next(p);
		return true;
	}
	if (t.kind == T_WORD || t.kind == T_NET) {
		p->token.kind = T_STRING;
		p->token.text = span_text(t.span);
	}
	return parse_element(p, a->list);
}

static bool
for_elements(struct parser *p, struct around *a)
{
	struct slice name;

	a->list = list_new(p->r, p->token.span);
	do {
		if (!for_element(p, a))
			return false;
		if (a->table != 0 && p->token.kind == T_COMMA) {
			/* One of several: it was a plain word. */
			name = expr_at(p->r, a->table)->text;
			a->table = 0;
			list_add_text(p->r, a->list, name);
		}
	} while (parser_take(p, T_COMMA));
	return true;
}

static void
for_body(struct parser *p, const struct around *a)
{
	for (;;) {
		parser_skip_empty(p);
		if (parser_is_word(p, "at"))
			parse_at(p, a);
		else if (parser_is_word(p, "for"))
			parse_for(p, a);
		else if (p->token.kind == T_RBRACE || p->token.kind == T_EOF)
			return;
		else {
			parser_expected(p, "\"at\", \"for\" or \"}\"");
			parser_skip_line(p);
		}
	}
}

/* for = "for" ("domain" / "listener") element *("," element) "{" EOL
 *       *(at / for) "}" EOL */
void
parse_for(struct parser *p, const struct around *outer)
{
	struct around a = { .outer = outer, .head = p->token.span,
	    .line = p->token.line };
	struct span at = p->token.span;
	bool good = true;

	parser_next(p);
	if (parser_take_word(p, "listener"))
		a.listener = true;
	else if (!parser_take_word(p, "domain")) {
		parser_expected(p, "\"domain\" or \"listener\"");
		good = false;
	}
	good = good && for_elements(p, &a);
	a.head = span_join(at, p->last);
	if (good && !parser_take(p, T_LBRACE)) {
		parser_expected(p, "\"{\"");
		good = false;
	}
	if (!good && !parser_skip_line(p))
		return;
	if (++p->depth > NESTED_MAX)
		load_error(p->load, at, "blocks are nested deeper than %d",
		    NESTED_MAX);
	else
		for_body(p, good ? &a : outer);
	p->depth--;
	if (!parser_take(p, T_RBRACE))
		load_error(p->load, at, "this block has no end: a } is "
		    "missing");
	else if (!parser_end_line(p))
		parser_skip_line(p);
}
