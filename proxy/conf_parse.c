/*
 * conf_parse - the text of a configuration, through libconfuse, to the rows of
 * settings that know what the words mean.
 *
 * For libconfuse every setting is a pointer that our callback makes from the
 * text: the text itself and its line. Nothing is judged while it parses, so a
 * wrong value stops nothing, and a mistake that is found later (a key that
 * does not load) still has its place.
 *
 * An unknown name does stop libconfuse. Then the name becomes known, as
 * something without a meaning, and parsing starts again, until it gets through
 * or finds an error of syntax: so one run tells all unknown names. Each pass
 * knows one name more or one of them better, so the passes come to an end.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/conf_impl.h"

/* A hidden setting of every block, whose default is read where it begins; the
   name is none that somebody writes. */
#define BLOCK_START	"{"

#define UNKNOWN_DEPTH	3	/* of unknown blocks in unknown blocks */

struct value {
	char	*text;
	int	 line;
};

/* What an unknown name turned out to be: what libconfuse still accepts. */
enum shape { SHAPE_VALUE, SHAPE_TITLED_BLOCK, SHAPE_BLOCK };

struct unknown {
	char		*section, *name;	/* ours */
	enum shape	 shape;
	bool		 quiet;			/* no mistake of its own */
};

/* A block that was begun, for a second one of its title. */
struct begun {
	char	*section, *title;		/* ours */
};

struct parser {
	const struct setting	*rows;
	const struct conf_block	*blocks;
	struct mistakes		*m;
	struct unknown		*unknown;
	size_t			 nunknown;
	struct begun		*begun;		/* in this pass */
	size_t			 nbegun;
	bool			 again;		/* something became known */
};

/* libconfuse's callbacks have no argument of ours. Set during cfg_parse_buf. */
static struct parser *parser;

/* Values */

static void
value_free(void *p)
{
	struct value *v = p;

	free(v->text);
	free(v);
}

static int
on_value(cfg_t *s, cfg_opt_t *opt, const char *text, void *result)
{
	struct value *v = xcalloc(1, sizeof(*v));

	(void)opt;
	v->text = xstrdup(text);
	v->line = s->line;
	*(void **)result = v;
	return 0;
}

/*
 * The start of a block that we know. Of two with one title libconfuse has the
 * second only; it could refuse that itself, but would read no further.
 */
static int
on_block(cfg_t *s, cfg_opt_t *opt, const char *text, void *result)
{
	struct parser *p = parser;
	size_t i;

	for (i = 0; i < p->nbegun; i++) {
		if (strcmp(p->begun[i].section, s->name) != 0 ||
		    strcmp(p->begun[i].title, s->title) != 0)
			continue;
		mistake_add(p->m, (struct place){ .line = s->line },
		    "a second block \"%s\"", s->title);
		return on_value(s, opt, text, result);
	}
	p->begun = xrealloc(p->begun, (p->nbegun + 1) * sizeof(p->begun[0]));
	p->begun[p->nbegun++] = (struct begun){
		.section = xstrdup(s->name), .title = xstrdup(s->title),
	};
	return on_value(s, opt, text, result);
}

static void
forget_begun(struct parser *p)
{
	while (p->nbegun > 0) {
		free(p->begun[--p->nbegun].section);
		free(p->begun[p->nbegun].title);
	}
	free(p->begun);
	p->begun = NULL;
}

/* Unknown names */

static const struct conf_block *
block_find(const struct parser *p, const char *name)
{
	const struct conf_block *b;

	for (b = p->blocks; b->name != NULL; b++)
		if (strcmp(b->name, name) == 0)
			return b;
	return NULL;
}

static struct unknown *
unknown_find(const struct parser *p, const char *section, const char *name)
{
	size_t i;

	for (i = 0; i < p->nunknown; i++)
		if (strcmp(p->unknown[i].section, section) == 0 &&
		    strcmp(p->unknown[i].name, name) == 0)
			return &p->unknown[i];
	return NULL;
}

static bool
is_root(const char *section)
{
	return strcmp(section, "root") == 0;
}

/* The name that was meant, among settings and, at the top, blocks. */
static const char *
nearest(const struct parser *p, const char *section, const char *name)
{
	const struct conf_block *b = block_find(p, section);
	const char *best = setting_nearest(b ? b->rows : p->rows, name);

	if (best != NULL || !is_root(section))
		return best;
	for (b = p->blocks; b->name != NULL; b++)
		if (setting_distance(name, b->name) != -1)
			return b->name;
	return NULL;
}

static void
report_unknown(const struct parser *p, const char *section, int line,
    const char *name)
{
	const char *meant = nearest(p, section, name);
	struct place at = { .line = line };
	char *inside = is_root(section) ? xstrdup("") :
	    xasprintf(" in \"%s\"", section);

	if (meant != NULL)
		mistake_add(p->m, at, "unknown setting \"%s\"%s "
		    "(did you mean \"%s\"?)", name, inside, meant);
	else
		mistake_add(p->m, at, "unknown setting \"%s\"%s", name,
		    inside);
	free(inside);
}

static void
on_unknown(struct parser *p, const cfg_t *s, const char *name)
{
	const struct conf_block *b = block_find(p, s->name);
	/* What is inside an unknown block is unknown with it. */
	bool quiet = b != NULL ? b->open : !is_root(s->name);

	if (unknown_find(p, s->name, name) != NULL) {
		mistake_add(p->m, (struct place){ .line = s->line },
		    "blocks in blocks, too deep");
		return;
	}
	if (!quiet)
		report_unknown(p, s->name, s->line, name);
	p->unknown = xrealloc(p->unknown,
	    (p->nunknown + 1) * sizeof(p->unknown[0]));
	p->unknown[p->nunknown++] = (struct unknown){
		.section = xstrdup(s->name), .name = xstrdup(name),
		.quiet = quiet,
	};
	p->again = true;
}

/* An unknown name, at another place than the first. */
static int
on_unknown_value(cfg_t *s, cfg_opt_t *opt, const char *text, void *result)
{
	const struct unknown *u = unknown_find(parser, s->name, opt->name);

	if (opt->nvalues == 1 && !u->quiet)
		report_unknown(parser, s->name, s->line, opt->name);
	return on_value(s, opt, text, result);
}

static int
on_unknown_block(cfg_t *s, cfg_opt_t *opt, const char *text, void *result)
{
	const struct unknown *u = parser->unknown;

	while (strcmp(u->name, s->name) != 0)
		u++;
	if (!u->quiet)
		report_unknown(parser, u->section, s->line, s->name);
	return on_value(s, opt, text, result);
}

/* libconfuse has tried an unknown name in one shape: is it another? */
static bool
reshape(struct parser *p, const cfg_t *s, const char *name,
    enum shape was, enum shape is)
{
	struct unknown *u = unknown_find(p, s->name, name);

	if (u == NULL || u->shape != was)
		return false;
	u->shape = is;
	p->again = true;
	return true;
}

static bool
is_error(const char *fmt, const char *start)
{
	return strncmp(fmt, start, strlen(start)) == 0;
}

/*
 * Errors of libconfuse come as formats with their arguments; those that it
 * has a remedy for are known by the format.
 */
static void
on_error(cfg_t *s, const char *fmt, va_list ap)
{
	struct place at = { .line = s->line };
	char text[512], name[256] = "";
	va_list copy;

	va_copy(copy, ap);
	vsnprintf(text, sizeof(text), fmt, copy);
	va_end(copy);
	if (strstr(fmt, "'%s'") != NULL) {
		va_copy(copy, ap);
		snprintf(name, sizeof(name), "%s", va_arg(copy, char *));
		va_end(copy);
	}
	if (is_error(fmt, "no such option"))
		on_unknown(parser, s, name);
	else if (!(is_error(fmt, "missing equal sign") &&
	    reshape(parser, s, name, SHAPE_VALUE, SHAPE_TITLED_BLOCK)) &&
	    !(is_error(fmt, "missing title") &&
	    reshape(parser, s, name, SHAPE_TITLED_BLOCK, SHAPE_BLOCK)))
		mistake_add(parser->m, at, "%s", text);
}

/* Options */

struct options {
	cfg_opt_t	*v;
	size_t		 n;
};

static cfg_opt_t *
option_add(struct options *o)
{
	o->v = xrealloc(o->v, (o->n + 2) * sizeof(o->v[0]));
	memset(&o->v[o->n], 0, 2 * sizeof(o->v[0]));	/* the end as well */
	return &o->v[o->n++];
}

static void
option_add_value(struct options *o, const char *name, bool list,
    cfg_callback_t make)
{
	cfg_opt_t *opt = option_add(o);

	opt->name = name;
	opt->type = CFGT_PTR;
	opt->flags = list ? CFGF_LIST : CFGF_NONE;
	opt->parsecb = make;
	opt->freecb = value_free;
}

static void
option_add_start(struct options *o, cfg_callback_t make)
{
	static char any[] = "here";

	option_add_value(o, BLOCK_START, false, make);
	o->v[o->n - 1].def.parsed = any;
}

static void
option_add_block(struct options *o, const char *name, cfg_opt_t *inside,
    cfg_flag_t flags)
{
	cfg_opt_t *opt = option_add(o);

	opt->name = name;
	opt->type = CFGT_SEC;
	opt->flags = CFGF_MULTI | flags;
	opt->subopts = inside;
}

static void
add_unknown(const struct parser *p, struct options *o, const char *section,
    int depth)
{
	const struct unknown *u;
	struct options inside;
	size_t i;

	for (i = 0; i < p->nunknown; i++) {
		u = &p->unknown[i];
		if (strcmp(u->section, section) != 0)
			continue;
		if (u->shape == SHAPE_VALUE) {
			option_add_value(o, u->name, true, on_unknown_value);
			continue;
		}
		inside = (struct options){ 0 };
		option_add_start(&inside, on_unknown_block);
		if (depth < UNKNOWN_DEPTH)
			add_unknown(p, &inside, u->name, depth + 1);
		option_add_block(o, u->name, inside.v,
		    u->shape == SHAPE_TITLED_BLOCK ? CFGF_TITLE : CFGF_NONE);
	}
}

static void
add_names(const struct parser *p, struct options *o, const char *section,
    const struct setting *rows)
{
	const struct setting *row;

	for (row = rows; row->name != NULL; row++)
		option_add_value(o, row->name, setting_is_list(row), on_value);
	add_unknown(p, o, section, 0);
}

static struct options
options_new(const struct parser *p)
{
	const struct conf_block *b;
	struct options o = { 0 }, inside;

	add_names(p, &o, "root", p->rows);
	for (b = p->blocks; b->name != NULL; b++) {
		inside = (struct options){ 0 };
		option_add_start(&inside, on_block);
		add_names(p, &inside, b->name, b->rows);
		option_add_block(&o, b->name, inside.v, CFGF_TITLE);
	}
	return o;
}

static void
options_free(cfg_opt_t *v)
{
	cfg_opt_t *opt;

	for (opt = v; opt->name != NULL; opt++)
		if (opt->subopts != NULL)
			options_free(opt->subopts);
	free(v);
}

/* One pass. NULL: an error. */
static cfg_t *
parse_once(struct parser *p, const char *text)
{
	struct options o = options_new(p);
	cfg_t *root = cfg_init(o.v, CFGF_NONE);

	options_free(o.v);
	cfg_set_error_function(root, on_error);
	p->again = false;
	parser = p;
	if (cfg_parse_buf(root, text) != CFG_SUCCESS) {
		cfg_free(root);
		root = NULL;
	}
	parser = NULL;
	forget_begun(p);
	return root;
}

cfg_t *
conf_parse(const struct conf_text *t, const struct setting *rows,
    const struct conf_block *blocks, struct mistakes *m)
{
	struct parser p = { .rows = rows, .blocks = blocks, .m = m };
	cfg_t *root;

	do
		root = parse_once(&p, t->text.p);
	while (root == NULL && p.again);
	while (p.nunknown > 0) {
		free(p.unknown[--p.nunknown].section);
		free(p.unknown[p.nunknown].name);
	}
	free(p.unknown);
	return root;
}

/* The tree */

static cfg_opt_t *
option_find(cfg_t *s, const char *name)
{
	cfg_opt_t *opt;

	if (s == NULL)
		return NULL;
	for (opt = s->opts; opt->name != NULL; opt++)
		if (strcmp(opt->name, name) == 0)
			return opt;
	return NULL;
}

bool
conf_given(cfg_t *s, const char *name)
{
	cfg_opt_t *opt = option_find(s, name);

	return opt != NULL && (opt->flags & CFGF_MODIFIED) != 0;
}

static int
line_of(cfg_opt_t *opt, unsigned i)
{
	const struct value *v;

	if (opt == NULL || (v = cfg_opt_getnptr(opt, i)) == NULL)
		return 0;
	return v->line;
}

int
conf_start(cfg_t *s)
{
	return line_of(option_find(s, BLOCK_START), 0);
}

int
conf_line(cfg_t *s, const char *name, unsigned i)
{
	int line = line_of(option_find(s, name), i);

	return line != 0 ? line : conf_start(s);
}

const char *
conf_given_name(cfg_t *s, unsigned i, int *line)
{
	cfg_opt_t *opt;
	bool given;

	for (opt = s->opts; opt->name != NULL; opt++) {
		given = opt->type == CFGT_SEC ? opt->nvalues > 0 :
		    (opt->flags & CFGF_MODIFIED) != 0;
		if (!given || strcmp(opt->name, BLOCK_START) == 0 || i-- > 0)
			continue;
		*line = opt->type == CFGT_SEC ?
		    conf_start(cfg_opt_getnsec(opt, 0)) :
		    conf_line(s, opt->name, 0);
		return opt->name;
	}
	return NULL;
}

cfg_t *
conf_section(cfg_t *root, const char *block, unsigned i)
{
	cfg_opt_t *opt = option_find(root, block);

	return opt != NULL && i < opt->nvalues ? cfg_opt_getnsec(opt, i) : NULL;
}

static void
apply_row(cfg_opt_t *opt, const struct setting *row, void *base,
    struct mistakes *m)
{
	const struct value *v;
	struct place at = { 0 };
	unsigned i;
	char *why;

	if (setting_is_list(row))
		setting_clear(row, base);
	else if (opt->nvalues > 1) {
		/* In an open block every name takes a list, for libconfuse. */
		at.line = line_of(opt, 1);
		mistake_add(m, at, "%s: one value, not a list", row->name);
	}
	for (i = 0; i < opt->nvalues; i++) {
		v = cfg_opt_getnptr(opt, i);
		at.line = v->line;
		if (setting_set(row, base, v->text, &why) == 0)
			continue;
		mistake_add(m, at, "%s: %s", row->name, why);
		free(why);
	}
}

void
conf_apply(cfg_t *s, const struct setting *rows, void *base,
    struct mistakes *m)
{
	const struct setting *row;

	for (row = rows; row->name != NULL; row++)
		if (conf_given(s, row->name))
			apply_row(option_find(s, row->name), row, base, m);
}
