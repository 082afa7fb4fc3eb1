/*
 * rules - loading a policy, and letting it go.
 */

#include "rules/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "rules/load_impl.h"
#include "rules/regex.h"
#include "rules/table.h"

static struct rules *
rules_new(const struct rules_options *o)
{
	struct rules *r = xcalloc(1, sizeof(*r));

	r->magic = RULES_MAGIC;
	arena_init(&r->arena, 0);
	r->cache = regex_cache_new();
	keys_init(&r->scratch.keys);
	arena_init(&r->scratch.pool, 0);
	/* Number 0 is "no expression". */
	expr_new(r, E_BAD, (struct span){ NULL, 0, 0 });
	if (o->recipient_delimiter != NULL)
		r->delimiter = arena_strdup(&r->arena,
		    o->recipient_delimiter);
	return r;
}

static void
free_files(struct rules *r)
{
	struct policy_file *f;

	while ((f = r->files) != NULL) {
		r->files = f->next;
		free(f->path);
		free(f->text);
		free(f);
	}
}

void
rules_free(struct rules **rp)
{
	struct rules *r = *rp;
	size_t i;

	if (r == NULL)
		return;
	OBJ_CHECK(r, RULES_MAGIC);
	*rp = NULL;
	for (i = 0; i < r->tables.n; i++)
		table_free(&r->tables.v[i].table);
	for (i = 0; i < r->lists.n; i++)
		list_fini(&r->lists.v[i]);
	regex_cache_free(&r->cache);
	keys_fini(&r->scratch.keys);
	arena_fini(&r->scratch.pool);
	free(r->scratch.values);
	free(r->scratch.epochs);
	free(r->exprs.v);
	free(r->nodes);
	free(r->slots.v);
	free(r->lists.v);
	free(r->tables.v);
	free(r->variables.v);
	free(r->blocks.v);
	sets_free(r);
	free(r->regexes.v);
	free_files(r);
	arena_fini(&r->arena);
	r->magic = 0;
	free(r);
}

static void
make_nodes(struct rules *r)
{
	const struct expr *x;
	size_t i;

	r->nodes = xcalloc(r->exprs.n, sizeof(r->nodes[0]));
	for (i = 0; i < r->exprs.n; i++) {
		x = &r->exprs.v[i];
		r->nodes[i] = (struct node){ .op = (uint8_t)x->op, .a = x->a,
		    .b = x->b, .n = x->n };
		if (x->op == E_CONST && x->type == RULES_NUMBER)
			r->nodes[i].number = x->value.number;
		else if (x->op == E_CONST && x->type == RULES_BOOLEAN)
			r->nodes[i].number = x->value.yes;
	}
}

/* Is all there when the client connects? */
static bool
is_known_early(const struct rules *r)
{
	size_t i;

	for (i = 0; i < r->slots.n; i++)
		if (!field_at(r->slots.v[i].field, RULES_CONNECT))
			return false;
	return true;
}

/* The plan of what has been parsed; NULL after a mistake. */
static struct rules *
finish(struct load *l)
{
	struct rules *r = l->r;
	size_t i;

	check_all(l);
	if (r->condition && is_known_early(r))
		r->stages[RULES_CONNECT] = r->stages[RULES_MAIL];
	plan_all(l);
	/* An unused table is opened as well: its mistake is a mistake. */
	for (i = 0; i < r->tables.n; i++)
		table_open_named(l, &r->tables.v[i]);
	load_summary(l);
	if (l->errors > 0) {
		rules_free(&r);
		return NULL;
	}
	sets_make(r);
	plan_finish(r);
	make_nodes(r);
	r->loaded = true;
	r->scratch.values = xcalloc(r->slots.n + 1,
	    sizeof(r->scratch.values[0]));
	r->scratch.epochs = xcalloc(r->slots.n + 1,
	    sizeof(r->scratch.epochs[0]));
	return r;
}

static struct load
load_new(const struct rules_options *o, FILE *err)
{
	static const struct rules_options none;

	if (o == NULL)
		o = &none;
	return (struct load){ .r = rules_new(o), .o = o, .err = err };
}

struct rules *
rules_load(const char *path, const struct rules_options *o, FILE *err)
{
	struct load l = load_new(o, err);
	const struct policy_file *f;

	f = load_file(&l, path, (struct span){ NULL, 0, 0 });
	if (f != NULL)
		parse_policy(&l, f);
	return finish(&l);
}

struct rules *
rules_load_text(const char *name, const char *text, size_t len,
    const struct rules_options *o, FILE *err)
{
	struct load l = load_new(o, err);
	struct policy_file *f = policy_file_new(l.r, name);

	f->text = xmalloc(len + 1);
	memcpy(f->text, text, len);
	f->text[len] = '\0';
	f->len = len;
	parse_policy(&l, f);
	return finish(&l);
}

struct rules *
rules_load_condition(const char *where, const char *text,
    const struct rules_options *o, FILE *err)
{
	struct load l = load_new(o, err);
	struct policy_file *f = policy_file_new(l.r, where);

	f->text = xstrdup(text);
	f->len = strlen(text);
	f->bare = true;
	parse_only_condition(&l, f);
	return finish(&l);
}

/* The slot of a field; fields that others are made of have theirs, too. */
uint32_t
slot_for(struct rules *r, enum rules_field f, const char *name)
{
	struct slot s = { f, name };
	uint32_t i;

	if (field_source(f) != f)
		slot_for(r, field_source(f), NULL);
	for (i = 0; i < r->slots.n; i++)
		if (r->slots.v[i].field == f && (name == NULL ||
		    strcasecmp(r->slots.v[i].name, name) == 0))
			return i;
	SET_ADD(&r->slots, s);
	return i;
}

/* Questions about the plan */

bool
rules_has_stage(const struct rules *r, enum rules_stage stage)
{
	return r->plan[stage] != NULL;
}

bool
rules_writes_lines(const struct rules *r)
{
	return r->writes_lines;
}

bool
rules_reads_lines(const struct rules *r)
{
	return r->reads_lines || rules_reads_field(r, FIELD_BODY_LINE);
}

bool
rules_edits_body(const struct rules *r)
{
	return r->edits_body;
}

bool
rules_writes_header(const struct rules *r)
{
	return r->writes_header;
}

bool
rules_adds_authres(const struct rules *r)
{
	return r->adds_authres;
}

bool
rules_quarantines(const struct rules *r)
{
	return r->quarantines;
}

bool
rules_edits_envelope(const struct rules *r)
{
	return r->edits_envelope;
}

struct table *
rules_table(const struct rules *r, size_t i)
{
	return i < r->tables.n ? r->tables.v[i].table : NULL;
}

bool
rules_reads_field(const struct rules *r, enum rules_field f)
{
	size_t i;

	for (i = 0; i < r->slots.n; i++)
		if (r->slots.v[i].field == f)
			return true;
	return false;
}

uint64_t
rules_regex_limits_hit(const struct rules *r)
{
	return regex_limits_hit(r->cache);
}

int
rules_check_regexes(const struct rules *r, FILE *err)
{
	const struct regex_use *u;
	const char *what;
	int n = 0;
	size_t i;

	for (i = 0; i < r->regexes.n; i++) {
		u = &r->regexes.v[i];
		if ((what = regex_try(u->regex)) == NULL)
			continue;
		span_warn(err, u->span, "this regular expression gives up on "
		    "%s: a sender can make it slow", what);
		n++;
	}
	return n;
}
