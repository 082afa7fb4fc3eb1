/*
 * parse - a policy file in rules.
 *
 *	policy = *(at / for / block / table / list / variable / include /
 *	           option)
 *
 * The parser goes on after a mistake with the next line, so that one run
 * tells of all of them; of the mistakes in one line it tells the first. The
 * whole grammar is in rules/README.md; each production stands above its
 * function here.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/load_impl.h"

#define FILE_MAX	((size_t)64 << 20)
#define GROUPS_MAX	32

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
	p->lost = p->lost || p->lex.stray;
	p->lex.stray = false;
}

void
parser_next(struct parser *p)
{
	p->last = p->token.span;
	p->token = lex_next(&p->lex);
	p->lost = p->lost || p->lex.stray;
	p->lex.stray = false;
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
bool
parser_skip_line(struct parser *p)
{
	enum token_kind last = T_EOL;

	p->lex.parens = 0;
	p->lex.quiet = true;
	while (p->token.kind != T_EOL && p->token.kind != T_EOF) {
		last = p->token.kind;
		parser_next(p);
		p->lex.parens = 0;
	}
	p->lost = false;
	return last == T_LBRACE;
}

/* The end of a line, or of the group on the same line. */
bool
parser_end_line(struct parser *p)
{
	if (p->token.kind == T_EOF || p->token.kind == T_RBRACE ||
	    p->token.kind == T_EOL) {
		p->lost = false;
		parser_take(p, T_EOL);
		return true;
	}
	if (parser_is_word(p, "when") || parser_is_word(p, "where"))
		parser_expected(p, "\"if\"");
	else if (parser_is_word(p, "unless"))
		parser_expected(p, "\"if not\"");
	else
		parser_expected(p, "the end of the line");
	return false;
}

void
parser_skip_empty(struct parser *p)
{
	while (p->token.kind == T_EOL)
		parser_next(p);
}

/* Rules */

void
rule_append(struct rule_list *list, struct rule *rule)
{
	if (list->first == NULL)
		list->first = rule;
	else
		list->last->next = rule;
	list->last = rule;
}

struct rule *
rule_new(struct parser *p, unsigned line, struct span at)
{
	struct rule *rule = arena_alloc(&p->r->arena, sizeof(*rule));
	char place[300];

	/* A place that is too long is still a place. */
	if (p->lex.file->bare)
		snprintf(place, sizeof(place), "%.255s", p->lex.file->name);
	else
		snprintf(place, sizeof(place), "%.255s:%u",
		    p->lex.file->name, line);
	rule->place = arena_strdup(&p->r->arena, place);
	rule->source = at;
	rule->index = -1;
	p->r->nrules++;
	return rule;
}

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
	else if (!parser_end_line(p))
		parser_skip_line(p);
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
		good = parser_end_line(p);
	}
	if (!good) {
		if (!parser_skip_line(p))
			return;
		/* Something with a group: look for mistakes in there, too. */
		group = true;
		rule->action = A_GROUP;
		rule->cond = rule->text = rule->value = 0;
	}
	if (group)
		parse_group_rules(p, rule, at);
	rule_append(list, rule);
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
void
parse_rules(struct parser *p, struct rule_list *list, bool group)
{
	for (;;) {
		parser_skip_empty(p);
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

/* Items */

static bool
parse_item(struct parser *p)
{
	struct nearest near = { .wanted = p->token.text };
	char text[80], hint[100];

	if (parser_is_word(p, "table"))
		return parse_table(p) && parser_end_line(p);
	if (parser_is_word(p, "list"))
		return parse_named_list(p) && parser_end_line(p);
	if (parser_is_word(p, "variable"))
		return parse_variable(p) && parser_end_line(p);
	if (parser_is_word(p, "include"))
		return parse_include(p) && parser_end_line(p);
	if (parser_is_word(p, "on-regex-limit"))
		return parse_on_limit(p) && parser_end_line(p);
	if (parser_is_word(p, "recipient-delimiter"))
		return parse_delimiter(p) && parser_end_line(p);
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
	const char *nul = memchr(f->text, '\0', f->len);
	struct parser p;

	if (nul != NULL) {
		load_error(l, (struct span){ f, (uint32_t)(nul - f->text), 0 },
		    "a NUL octet: this is no text");
		return;
	}
	parser_init(&p, l, f, 0, (uint32_t)f->len);
	for (;;) {
		parser_skip_empty(&p);
		if (p.token.kind == T_EOF)
			return;
		if (parser_is_word(&p, "at"))
			parse_at(&p, NULL);
		else if (parser_is_word(&p, "for"))
			parse_for(&p, NULL);
		else if (parser_is_word(&p, "block") ? !parse_block(&p) :
		    !parse_item(&p))
			parser_skip_line(&p);
	}
}

void
parse_only_condition(struct load *l, const struct policy_file *f)
{
	struct parser p;
	struct rule *rule;
	uint32_t cond;

	l->r->condition = true;
	parser_init(&p, l, f, 0, (uint32_t)f->len);
	parser_skip_empty(&p);
	if ((cond = parse_condition(&p)) == 0)
		return;
	rule = rule_new(&p, 1, (struct span){ f, 0, (uint32_t)f->len });
	rule->action = A_ACCEPT;
	rule->cond = cond;
	rule_append(&l->r->stages[RULES_MAIL], rule);
	parser_skip_empty(&p);
	if (p.token.kind != T_EOF)
		parser_expected(&p, "the end of the condition");
}
