/*
 * parse - a policy file in rules.
 *
 *	policy = *(at / for / block / table / list / variable / include / option)
 *
 * The parser goes on after a mistake with the next line, so that one run
 * tells of all of them; of the mistakes in one line it tells the first. The
 * whole grammar is in rules/README.md; each production stands above its
 * function here.
 *
 * A "for" block becomes a group with a condition in each stage that it has
 * rules for, so the rest of the program knows groups only.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/load_impl.h"

#define FILE_MAX	((size_t)64 << 20)
#define INCLUDES_MAX	16
#define GROUPS_MAX	32
#define TEXT_MAX	1024	/* of a name, a file or a specification */

/* What is around an "at". */
struct around {
	const struct around	*outer;
	bool			 listener;	/* else domain */
	uint32_t		 list;
	uint32_t		 table;		/* name + 1, when it has one */
	struct span		 head;
	unsigned		 line;
};

/* Files */

static int
read_all(struct policy_file *f, FILE *in)
{
	size_t room = 4096, n;

	f->text = xmalloc(room);
	while ((n = fread(f->text + f->len, 1, room - f->len - 1, in)) > 0) {
		f->len += n;
		if (f->len > FILE_MAX) {
			errno = EFBIG;
			return -1;
		}
		if (room - f->len < 2)
			f->text = xrealloc(f->text, room *= 2);
	}
	f->text[f->len] = '\0';
	return ferror(in) ? -1 : 0;
}

struct policy_file *
policy_file_new(struct rules *r, const char *path)
{
	struct policy_file *f = xcalloc(1, sizeof(*f));
	const char *slash = strrchr(path, '/');

	f->path = xstrdup(path);
	f->name = slash != NULL ? f->path + (slash - path) + 1 : f->path;
	f->next = r->files;
	r->files = f;
	return f;
}

/* Directories open as well, and only reading says what they are. */
const struct policy_file *
load_file(struct load *l, const char *path, struct span from)
{
	struct policy_file *f;
	FILE *in = fopen(path, "re");

	if (in == NULL) {
		load_error(l, from, "%s: %s", path, strerror(errno));
		return NULL;
	}
	f = policy_file_new(l->r, path);
	if (read_all(f, in) == -1) {
		load_error(l, from, "%s: %s", path, strerror(errno));
		fclose(in);
		return NULL;
	}
	fclose(in);
	return f;
}

/* Tokens */

void
parser_init(struct parser *p, struct load *l, const struct policy_file *f,
    uint32_t at, uint32_t end)
{
	*p = (struct parser){ .load = l, .r = l->r };
	lex_init(&p->lex, l, f, at, end);
	p->last = (struct span){ f, at, 0 };
	p->token = lex_next(&p->lex);
}

void
parser_next(struct parser *p)
{
	p->last = p->token.span;
	p->token = lex_next(&p->lex);
}

bool
parser_is_word(const struct parser *p, const char *word)
{
	return p->token.kind == T_WORD && slice_is(p->token.text, word);
}

bool
parser_take(struct parser *p, enum token_kind kind)
{
	if (p->token.kind != kind)
		return false;
	parser_next(p);
	return true;
}

bool
parser_take_word(struct parser *p, const char *word)
{
	if (!parser_is_word(p, word))
		return false;
	parser_next(p);
	return true;
}

void
parser_error(struct parser *p, struct span at, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (p->lost)
		return;
	p->lost = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	load_error(p->load, at, "%s", text);
}

void
parser_expected(struct parser *p, const char *what)
{
	char text[80];

	parser_error(p, p->token.span, "%s expected, not %s", what,
	    token_text(&p->token, text));
}

char *
parser_strdup(struct parser *p, struct slice s)
{
	return arena_strndup(&p->r->arena, s.p, s.len);
}

const char *
parse_name(struct parser *p, const char *what)
{
	const char *name;

	if (p->token.kind != T_WORD) {
		parser_expected(p, what);
		return NULL;
	}
	name = parser_strdup(p, p->token.text);
	parser_next(p);
	return name;
}

/* Forget the rest of the line. True: it ended in "{", so a group is open. */
static bool
skip_line(struct parser *p)
{
	enum token_kind last = T_EOL;

	p->lex.parens = 0;
	while (p->token.kind != T_EOL && p->token.kind != T_EOF) {
		last = p->token.kind;
		parser_next(p);
		p->lex.parens = 0;
	}
	p->lost = false;
	return last == T_LBRACE;
}

/* The end of a line, or of the group on the same line. */
static bool
end_line(struct parser *p)
{
	if (p->token.kind == T_EOF || p->token.kind == T_RBRACE ||
	    parser_take(p, T_EOL))
		return true;
	parser_expected(p, "the end of the line");
	return false;
}

static void
skip_empty(struct parser *p)
{
	while (p->token.kind == T_EOL)
		parser_next(p);
}

/* Rules */

static void
append(struct rule_list *list, struct rule *rule)
{
	if (list->first == NULL)
		list->first = rule;
	else
		list->last->next = rule;
	list->last = rule;
}

static struct rule *
rule_new(struct parser *p, unsigned line, struct span at)
{
	struct rule *rule = arena_alloc(&p->r->arena, sizeof(*rule));
	char place[300];

	/* A place that is too long is still a place. */
	snprintf(place, sizeof(place), "%.255s:%u", p->lex.file->name, line);
	rule->place = arena_strdup(&p->r->arena, place);
	rule->source = at;
	rule->index = -1;
	p->r->nrules++;
	return rule;
}

static void parse_rules(struct parser *p, struct rule_list *list, bool group);

/* group = "if" condition "{" EOL *rule "}" EOL */
static bool
parse_group(struct parser *p, struct rule *group)
{
	group->action = A_GROUP;
	group->cond = parse_condition(p);
	group->source = span_join(group->source, p->last);
	if (group->cond == 0)
		return false;
	if (p->token.kind != T_LBRACE) {
		parser_error(p, p->token.span, "\"{\" expected: an \"if\" "
		    "that starts a line opens a group; the condition of one "
		    "action stands in the line of the action");
		return false;
	}
	parser_next(p);
	return true;
}

static void
parse_group_rules(struct parser *p, struct rule *group, struct span open)
{
	if (++p->depth > GROUPS_MAX)
		load_error(p->load, open, "groups are nested deeper than %d",
		    GROUPS_MAX);
	parse_rules(p, &group->body, true);
	p->depth--;
	if (!parser_take(p, T_RBRACE))
		load_error(p->load, open, "this group has no end: a } is "
		    "missing");
	else if (!end_line(p))
		skip_line(p);
}

/* rule = (group / action) EOL */
static void
parse_one(struct parser *p, struct rule_list *list)
{
	struct span at = p->token.span;
	struct rule *rule = rule_new(p, p->token.line, at);
	bool good, group = parser_take_word(p, "if");

	good = group ? parse_group(p, rule) : parse_rule(p, rule);
	if (!group && good) {
		rule->source = span_join(at, p->last);
		good = end_line(p);
	}
	if (!good) {
		if (!skip_line(p))
			return;
		/* Something with a group: look for mistakes in there, too. */
		group = true;
		rule->action = A_GROUP;
		rule->cond = rule->text = rule->value = 0;
	}
	if (group)
		parse_group_rules(p, rule, at);
	append(list, rule);
}

static bool
at_item(const struct parser *p)
{
	static const char *const items[] = {
		"at", "for", "block", "table", "list", "variable", "include",
		"on-regex-limit", "recipient-delimiter",
	};
	size_t i;

	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (parser_is_word(p, items[i]))
			return true;
	return false;
}

/* Up to what is no rule: the end of the group, or the next item. */
static void
parse_rules(struct parser *p, struct rule_list *list, bool group)
{
	for (;;) {
		skip_empty(p);
		if (p->token.kind == T_EOF || p->token.kind == T_RBRACE)
			return;
		if (at_item(p)) {
			if (group)
				load_error(p->load, p->token.span, "\"%.*s\" "
				    "inside a group: is a } missing?",
				    (int)p->token.text.len,
				    p->token.text.p);
			return;
		}
		parse_one(p, list);
	}
}

/* at, for */

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
	append(list, group);
	return &group->body;
}

/* at = "at" stage EOL *rule */
static void
parse_at(struct parser *p, const struct around *a)
{
	struct rule_list lost = { NULL, NULL }, *list = &lost;
	struct span at = p->token.span;
	enum rules_stage stage;

	parser_next(p);
	if (!parse_stage(p, &stage) || !end_line(p)) {
		skip_line(p);
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

static void parse_for(struct parser *p, const struct around *outer);

static void
for_body(struct parser *p, const struct around *a)
{
	for (;;) {
		skip_empty(p);
		if (parser_is_word(p, "at"))
			parse_at(p, a);
		else if (parser_is_word(p, "for"))
			parse_for(p, a);
		else if (p->token.kind == T_RBRACE || p->token.kind == T_EOF)
			return;
		else {
			parser_expected(p, "\"at\", \"for\" or \"}\"");
			skip_line(p);
		}
	}
}

/* for = "for" ("domain" / "listener") element *("," element) "{" EOL
 *       *(at / for) "}" EOL */
static void
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
	if (!good && !skip_line(p))
		return;
	if (++p->depth > GROUPS_MAX)
		load_error(p->load, at, "blocks are nested deeper than %d",
		    GROUPS_MAX);
	else
		for_body(p, good ? &a : outer);
	p->depth--;
	if (!parser_take(p, T_RBRACE))
		load_error(p->load, at, "this block has no end: a } is "
		    "missing");
	else if (!end_line(p))
		skip_line(p);
}

/* Declarations */

static bool
is_taken(struct parser *p, const char *name, struct span at)
{
	struct rules *r = p->r;
	bool taken = false;
	size_t i;

	for (i = 0; i < r->tables.n; i++)
		taken |= strcmp(r->tables.v[i].name, name) == 0;
	for (i = 0; i < r->lists.n; i++)
		taken |= r->lists.v[i].name != NULL &&
		    strcmp(r->lists.v[i].name, name) == 0;
	for (i = 0; i < r->variables.n; i++)
		taken |= strcmp(r->variables.v[i].name, name) == 0;
	if (taken)
		parser_error(p, at, "there is a \"%s\" already", name);
	else if (field_find(SLICE_STR(name)) != RULES_NFIELDS)
		parser_error(p, at, "\"%s\" is the name of a field", name);
	return taken || p->lost;
}

static const char *
declared_name(struct parser *p, const char *what)
{
	struct span at = p->token.span;
	const char *name = parse_name(p, what);

	return name == NULL || is_taken(p, name, at) ? NULL : name;
}

static const char *
plain_string(struct parser *p, const char *what)
{
	struct token t = p->token;

	if (t.kind != T_STRING) {
		parser_expected(p, what);
		return NULL;
	}
	parser_next(p);
	return parse_plain_text(p, &t);
}

/* table = "table" NAME string EOL */
static bool
parse_table(struct parser *p)
{
	struct rules *r = p->r;
	struct named_table t = { 0 };

	parser_next(p);
	t.span = p->token.span;
	if ((t.name = declared_name(p, "a name for the table")) == NULL)
		return false;
	t.span = p->token.span;
	t.spec = plain_string(p, "\"TYPE:PATH\"");
	if (t.spec == NULL)
		return false;
	SET_ADD(&r->tables, t);
	return true;
}

/* list = "list" NAME "=" list-literal EOL */
static bool
parse_named_list(struct parser *p)
{
	const char *name;
	uint32_t list;

	parser_next(p);
	if ((name = declared_name(p, "a name for the list")) == NULL)
		return false;
	if (!parser_take(p, T_EQUAL)) {
		parser_expected(p, "\"=\"");
		return false;
	}
	list = parse_list(p);
	if (list == 0)
		return false;
	p->r->lists.v[list - 1].name = name;
	return true;
}

/* The constant at the token, or false. */
static bool
constant(struct parser *p, struct rules_value *v)
{
	struct token t = p->token;
	const char *text;

	if (t.kind == T_NUMBER) {
		v->type = RULES_NUMBER;
		v->number = t.number;
	} else if (parser_is_word(p, "yes") || parser_is_word(p, "no")) {
		v->type = RULES_BOOLEAN;
		v->yes = slice_is(t.text, "yes");
	} else if (t.kind == T_STRING) {
		if ((text = parse_plain_text(p, &t)) == NULL)
			return false;
		v->type = RULES_STRING;
		v->text = SLICE_STR(text);
	} else {
		parser_expected(p, "a number, a text, yes or no");
		return false;
	}
	parser_next(p);
	return true;
}

/* variable = "variable" NAME "=" constant EOL */
static bool
parse_variable(struct parser *p)
{
	struct variable v = { 0 };

	parser_next(p);
	v.span = p->token.span;
	if ((v.name = declared_name(p, "a name for the variable")) == NULL)
		return false;
	if (!parser_take(p, T_EQUAL)) {
		parser_expected(p, "\"=\"");
		return false;
	}
	if (!constant(p, &v.initial))
		return false;
	SET_ADD(&p->r->variables, v);
	return true;
}

/* block = "block" NAME EOL *rule */
static bool
parse_block(struct parser *p)
{
	struct block b = { 0 };
	struct rules *r = p->r;
	bool taken;
	size_t i;

	parser_next(p);
	b.span = p->token.span;
	if ((b.name = parse_name(p, "a name for the block")) == NULL)
		return false;
	for (i = 0; i < r->blocks.n; i++)
		if (strcmp(r->blocks.v[i].name, b.name) == 0)
			parser_error(p, b.span, "there is a block \"%s\" "
			    "already", b.name);
	if (!p->lost && !end_line(p))
		return false;
	taken = p->lost;
	p->lost = false;
	parse_rules(p, &b.rules, false);
	if (!taken)
		SET_ADD(&r->blocks, b);
	return true;
}

/* Relative to the file that includes. */
static char *
included_path(struct parser *p, const char *name)
{
	const char *path = p->lex.file->path;
	const char *slash = strrchr(path, '/');

	if (name[0] == '/' || slash == NULL)
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - path), path, name);
}

/* include = "include" string EOL */
static bool
parse_include(struct parser *p)
{
	const struct policy_file *f;
	struct span at;
	const char *name;
	char *path;

	parser_next(p);
	at = p->token.span;
	if ((name = plain_string(p, "\"FILE\"")) == NULL)
		return false;
	if (p->load->depth >= INCLUDES_MAX) {
		parser_error(p, at, "files include each other deeper than %d",
		    INCLUDES_MAX);
		return false;
	}
	path = included_path(p, name);
	f = load_file(p->load, path, at);
	free(path);
	p->load->depth++;
	if (f != NULL)
		parse_policy(p->load, f);
	p->load->depth--;
	return true;
}

/* option = "on-regex-limit" "=" ("skip" / "tempfail") EOL */
static bool
parse_on_limit(struct parser *p)
{
	parser_next(p);
	parser_take(p, T_EQUAL);
	if (parser_take_word(p, "tempfail"))
		p->r->tempfail_on_limit = true;
	else if (parser_take_word(p, "skip"))
		p->r->tempfail_on_limit = false;
	else {
		parser_expected(p, "\"skip\" or \"tempfail\"");
		return false;
	}
	return true;
}

/* option =/ "recipient-delimiter" "=" string EOL */
static bool
parse_delimiter(struct parser *p)
{
	parser_next(p);
	parser_take(p, T_EQUAL);
	p->r->delimiter = plain_string(p, "the characters in front of an "
	    "address extension (try \"+\")");
	return p->r->delimiter != NULL;
}

static bool
parse_item(struct parser *p)
{
	struct nearest near = { .wanted = p->token.text };
	char text[80], hint[100];

	if (parser_is_word(p, "table"))
		return parse_table(p) && end_line(p);
	if (parser_is_word(p, "list"))
		return parse_named_list(p) && end_line(p);
	if (parser_is_word(p, "variable"))
		return parse_variable(p) && end_line(p);
	if (parser_is_word(p, "include"))
		return parse_include(p) && end_line(p);
	if (parser_is_word(p, "on-regex-limit"))
		return parse_on_limit(p) && end_line(p);
	if (parser_is_word(p, "recipient-delimiter"))
		return parse_delimiter(p) && end_line(p);
	if (p->token.kind == T_WORD && (is_action(p->token.text) ||
	    parser_is_word(p, "if"))) {
		parser_error(p, p->token.span, "at which stage? Write \"at "
		    "rcpt\", or another stage, in a line above");
		return false;
	}
	if (p->token.kind == T_WORD) {
		nearest_try(&near, "table");
		nearest_try(&near, "variable");
		nearest_try(&near, "include");
		nearest_try(&near, "list");
		nearest_try(&near, "block");
	}
	parser_error(p, p->token.span, "%s starts nothing here%s",
	    token_text(&p->token, text), nearest_text(&near, hint));
	return false;
}

void
parse_policy(struct load *l, const struct policy_file *f)
{
	struct parser p;

	parser_init(&p, l, f, 0, (uint32_t)f->len);
	for (;;) {
		skip_empty(&p);
		if (p.token.kind == T_EOF)
			return;
		if (parser_is_word(&p, "at"))
			parse_at(&p, NULL);
		else if (parser_is_word(&p, "for"))
			parse_for(&p, NULL);
		else if (parser_is_word(&p, "block") ? !parse_block(&p) :
		    !parse_item(&p))
			skip_line(&p);
	}
}
