/*
 * parse_decl - tables, lists, variables, blocks, files and options.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/load_impl.h"

#define INCLUDES_MAX	16

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
bool
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
bool
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
bool
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
bool
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
	if (!p->lost && !parser_end_line(p))
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
bool
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
bool
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
bool
parse_delimiter(struct parser *p)
{
	parser_next(p);
	parser_take(p, T_EQUAL);
	p->r->delimiter = plain_string(p, "the characters in front of an "
	    "address extension (try \"+\")");
	return p->r->delimiter != NULL;
}
