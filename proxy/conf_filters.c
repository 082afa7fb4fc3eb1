/*
 * conf_filters - the filter blocks, modules, and the chain of each listener.
 *
 * A block has the rows that all filters share, in conf.def, and the rows of its
 * type, which the filter brings along.
 */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/filters.h"
#include "filters/policy.h"
#include "proxy/conf_impl.h"

static struct place
at_line(int line)
{
	return (struct place){ .line = line };
}

/* Modules */

void
conf_load_modules(struct loader *l)
{
	size_t i;
	char *why;

	for (i = 0; i < l->c->load_module.n; i++)
		if (filters_load(l->c->load_module.v[i], &why) == NULL) {
			mistake_add(&l->m, at_line(conf_line(l->root,
			    "load-module", (unsigned)i)), "load-module: %s",
			    why);
			free(why);
		}
}

/* The rows of a block */

static const struct filter *
find_type(struct loader *l, cfg_t *s, const char *name)
{
	struct place at = at_line(conf_line(s, "type", 0));
	const struct filter *f = filters_find(name);
	size_t i;

	if (f != NULL)
		return f;
	for (i = 0; (f = filters_nth(i)) != NULL; i++)
		if (setting_distance(name, f->name) != -1)
			break;
	if (f != NULL)
		mistake_add(&l->m, at, "type: there is no filter type \"%s\" "
		    "(did you mean \"%s\"?)", name, f->name);
	else
		mistake_add(&l->m, at, "type: there is no filter type \"%s\"",
		    name);
	return NULL;
}

/* Names in the block that are in neither table. */
static void
check_names(struct loader *l, cfg_t *s, const struct filter *type)
{
	const char *name, *meant;
	unsigned i;
	int line;

	for (i = 0; (name = conf_given_name(s, i, &line)) != NULL; i++) {
		if (setting_find(filter_rows, name) != NULL ||
		    (type->settings != NULL &&
		    setting_find(type->settings, name) != NULL))
			continue;
		meant = setting_nearest(filter_rows, name);
		if (meant == NULL && type->settings != NULL)
			meant = setting_nearest(type->settings, name);
		if (meant != NULL)
			mistake_add(&l->m, at_line(line), "unknown setting "
			    "\"%s\" of a filter of type \"%s\" (did you mean "
			    "\"%s\"?)", name, type->name, meant);
		else
			mistake_add(&l->m, at_line(line), "unknown setting "
			    "\"%s\" of a filter of type \"%s\"", name,
			    type->name);
	}
}

static struct filter_conf *
new_filter(struct loader *l, const char *name, const struct filter *type)
{
	struct filter_conf *f = xcalloc(1, sizeof(*f));

	f->name = xstrdup(name);
	f->type = type;
	if (type->settings != NULL) {
		f->settings = xcalloc(1, type->settings_size);
		setting_defaults(type->settings, f->settings);
	}
	l->c->filters = xrealloc(l->c->filters,
	    (l->c->nfilters + 1) * sizeof(l->c->filters[0]));
	l->c->filters[l->c->nfilters++] = f;
	return f;
}

/* Setting it up */

/* It is never done silently, and never left out silently. */
static void
check_quarantine(struct loader *l, const struct filter_conf *f,
    struct place at)
{
	if ((f->self.edits & EDIT_BIT(EDIT_QUARANTINE)) != 0 && !f->observe &&
	    l->o->milter == NULL &&	/* the MTA has a queue for it */
	    strcmp(l->c->quarantine, "off") == 0)
		mistake_add(&l->m, at, "filter \"%s\" may want messages held "
		    "back: set quarantine to where they go (maildir:DIR or "
		    "redirect:ADDRESS)", f->name);
}

/* What setup wrote is lines with places of their own: mistakes, or warnings. */
static void
report(struct loader *l, struct place at, char *text, bool good)
{
	size_t len = strlen(text);

	if (good) {
		fputs(text, l->err);
		return;
	}
	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	mistake_add_text(&l->m, at.line, text);
}

/* A filter that has something to do before its condition is known would
   silently not do it. A milter hears of the session when it is asked first. */
static void
check_when(struct loader *l, const struct filter_conf *f, struct place at)
{
	unsigned early = f->self.events & (1u << EV_CONNECT | 1u << EV_HELO |
	    1u << EV_AUTH);

	if (f->when != NULL && early != 0 &&
	    (f->self.wants & FILTER_JOINS_LATE) == 0 &&
	    (f->when->self.events & 1u << EV_CONNECT) == 0)
		mistake_add(&l->m, at, "filter \"%s\": when reads what is not "
		    "known before MAIL, and this filter is asked at %s "
		    "already", f->name, filter_event_name(
		    (enum filter_event)__builtin_ctz(early)));
}

static void
load_when(struct loader *l, struct filter_conf *f, const char *condition,
    int line)
{
	const struct conf_origin *o = &l->text.origins[line - 1];
	char *where = xasprintf("%s:%d: when", o->file, o->line);
	char *text = NULL;
	size_t len;
	FILE *err;

	if ((err = open_memstream(&text, &len)) == NULL)
		fatal("out of memory");
	f->when = policy_when(f, condition, where, l->c->recipient_delimiter,
	    err);
	fclose(err);
	if (*text != '\0')
		report(l, at_line(line), text, f->when != NULL);
	free(text);
	free(where);
}

static void
setup(struct loader *l, struct filter_conf *f, struct place at)
{
	struct setting_list backends = { 0 };
	char *why = NULL, *text = NULL;
	struct filter_host host = {
		.name = f->name, .hostname = l->c->hostname,
		.recipient_delimiter = l->c->recipient_delimiter,
		.backends = &backends,
		.spool_directory = l->c->spool_directory,
		.timeout = f->timeout,
	};
	size_t i, len;
	int r;

	backends.v = xcalloc(l->c->nbackends + 1, sizeof(backends.v[0]));
	for (i = 0; i < l->c->nbackends; i++)
		backends.v[backends.n++] = l->c->backends[i].name;
	if ((host.err = open_memstream(&text, &len)) == NULL)
		fatal("out of memory");
	r = filters_setup(f, &host, &why);
	fclose(host.err);
	if (*text != '\0')
		report(l, at, text, r == 0);
	if (r == -1 && why != NULL)
		mistake_add(&l->m, at, "filter \"%s\": %s", f->name, why);
	else if (r == -1 && *text == '\0')
		mistake_add(&l->m, at, "filter \"%s\" cannot be set up",
		    f->name);
	else if (r == 0) {
		check_quarantine(l, f, at);
		check_when(l, f, at);
	}
	free(why);
	free(text);
	free(backends.v);
}

static void
load_filter(struct loader *l, cfg_t *s)
{
	struct filter_draft d = { 0 };
	const struct filter *type = NULL;
	struct filter_conf *f;
	size_t before = l->m.n;

	setting_defaults(filter_rows, &d);
	conf_apply(s, filter_rows, &d, &l->m);
	if (d.type == NULL)
		mistake_add(&l->m, at_line(conf_start(s)),
		    "filter \"%s\" has no type", cfg_title(s));
	else
		type = find_type(l, s, d.type);
	if (type != NULL) {
		check_names(l, s, type);
		f = new_filter(l, cfg_title(s), type);
		f->timeout = d.timeout;
		/* The words are in the order of the verdicts. */
		f->on_failure = V_ACCEPT + (enum verdict)d.on_failure;
		f->observe = d.observe;
		if (type->settings != NULL)
			conf_apply(s, type->settings, f->settings, &l->m);
		if (d.when != NULL)
			load_when(l, f, d.when, conf_line(s, "when", 0));
		/* A filter need not cope with settings that are wrong. */
		if (l->m.n == before)
			setup(l, f, at_line(conf_start(s)));
	}
	setting_fini(filter_rows, &d);
}

/* --policy FILE: one filter of that type, on every listener. */
static void
load_policy_option(struct loader *l)
{
	const struct filter *type = filters_find("policy");
	const struct setting *file;
	struct filter_conf *f;
	char *why;

	if (type == NULL ||
	    (file = setting_find(type->settings, "file")) == NULL) {
		mistake_add(&l->m, (struct place){ .option = "--policy" },
		    "there is no filter type \"policy\"");
		return;
	}
	f = new_filter(l, "policy", type);
	f->timeout = 30000;
	f->on_failure = V_TEMPFAIL;
	if (setting_set(file, f->settings, l->o->policy, &why) == -1) {
		mistake_add(&l->m, (struct place){ .option = "--policy" },
		    "%s", why);
		free(why);
	} else
		setup(l, f, (struct place){ .option = "--policy" });
}

void
conf_load_filters(struct loader *l)
{
	unsigned i;
	cfg_t *s;

	if (l->o->policy != NULL) {
		load_policy_option(l);
		return;
	}
	for (i = 0; (s = conf_section(l->root, "filter", i)) != NULL; i++)
		load_filter(l, s);
}

/* Chains */

static struct filter_conf *
find_filter(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nfilters; i++)
		if (strcmp(c->filters[i]->name, name) == 0)
			return c->filters[i];
	return NULL;
}

/* "rspamd" of the findings "rspamd.score", "rspamd.scanned" and so on; the
   length of it, or 0. */
static size_t
finder_of(enum rules_field field)
{
	const char *name = rules_field_name(field);
	size_t len = strcspn(name, ".");
	enum rules_field f;

	for (f = 0; f < RULES_NFIELDS; f++)
		if (strncmp(rules_field_name(f), name, len) == 0 &&
		    strcmp(rules_field_name(f) + len, ".scanned") == 0)
			return len;
	return 0;
}

/* Does a filter of this type stand in front of the n-th? */
static bool
stands_before(const struct chain_conf *c, size_t n, const char *type,
    size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(c->filters[i]->type->name) == len &&
		    strncmp(c->filters[i]->type->name, type, len) == 0)
			return true;
	return false;
}

/* A rule that reads what nobody finds out never holds, or always; on another
   listener it may be right. */
static void
warn_of_findings(struct loader *l, const struct conf_listener *on, size_t n)
{
	const struct filter_conf *p = on->filters.filters[n];
	enum rules_field f;
	size_t len;

	for (f = 0; f < RULES_NFIELDS; f++) {
		len = finder_of(f);
		if (len > 0 && policy_reads(p->self.priv, f) &&
		    !stands_before(&on->filters, n, rules_field_name(f), len))
			fprintf(l->err, "warning: listener \"%s\": filter "
			    "\"%s\" reads %s, but no filter of type %.*s "
			    "stands in front of it\n", on->name, p->name,
			    rules_field_name(f), (int)len,
			    rules_field_name(f));
	}
}

static void
check_findings(struct loader *l, const struct conf_listener *on)
{
	const struct filter_conf *f;
	size_t i;

	for (i = 0; i < on->filters.n; i++) {
		f = on->filters.filters[i];
		if (f->type == &filter_policy && f->self.priv != NULL)
			warn_of_findings(l, on, i);
	}
}

static bool
is_asked(const struct conf *c, const char *filter)
{
	size_t i, j;

	for (i = 0; i < c->nlisteners; i++)
		for (j = 0; j < c->listeners[i].chain.n; j++)
			if (strcmp(c->listeners[i].chain.v[j], filter) == 0)
				return true;
	return false;
}

/* Who writes a filter down believes that it is asked: say so when it is not,
   also because --listen took the place of the blocks that name it. */
static void
warn_of_unasked(struct loader *l)
{
	struct mistakes w = { .where = &l->text };
	unsigned i;
	cfg_t *s;

	for (i = 0; (s = conf_section(l->root, "filter", i)) != NULL; i++)
		if (!is_asked(l->c, cfg_title(s)))
			mistake_add(&w, at_line(conf_start(s)), "warning: "
			    "filter \"%s\" is in the chain of no listener: "
			    "nobody asks it", cfg_title(s));
	mistakes_write(&w, l->err);
}

/* There is no listener, because an MTA asks us: it asks all filters. */
static bool
is_made_up(const struct loader *l)
{
	return l->o->milter != NULL && l->o->policy == NULL &&
	    l->o->nlisten == 0 && conf_section(l->root, "listen", 0) == NULL;
}

/* Names that lead nowhere were reported with the listener. */
void
conf_load_chains(struct loader *l)
{
	struct conf_listener *on;
	struct filter_conf *f;
	size_t i, j;

	for (i = 0; i < l->c->nlisteners; i++) {
		on = &l->c->listeners[i];
		on->filters.budget_ms = l->c->filter_budget;
		if (l->o->policy != NULL && l->c->nfilters > 0)
			chain_conf_add(&on->filters, l->c->filters[0]);
		for (j = 0; l->o->policy == NULL && j < on->chain.n; j++)
			if ((f = find_filter(l->c, on->chain.v[j])) != NULL)
				chain_conf_add(&on->filters, f);
		for (j = 0; is_made_up(l) && j < l->c->nfilters; j++)
			chain_conf_add(&on->filters, l->c->filters[j]);
		check_findings(l, on);
	}
	if (l->o->policy == NULL && l->m.n == 0 && !is_made_up(l))
		warn_of_unasked(l);
}
