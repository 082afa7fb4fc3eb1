/*
 * filters - the list of filters.
 *
 * A module that was loaded is never unloaded: a session may be running its
 * code. What it exports is checked as far as that can be done, because a
 * module of another version would otherwise be found out by a crash.
 */

#include "filters/filters.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/policy.h"

#define SYMBOL	"vratar_filter"

/* One row for each filter that is compiled in. */
static const struct filter *const builtin[] = {
	&filter_policy,
	&filter_clamd,
	&filter_rspamd,
	&filter_spamd,
	&filter_exec,
	&filter_icap,
	&filter_milter,
	NULL
};

static struct module {
	char			*path;
	const struct filter	*filter;
} *modules;
static size_t nmodules;

const struct filter *
filters_nth(size_t i)
{
	const struct filter *const *f;

	for (f = builtin; *f != NULL; f++, i--)
		if (i == 0)
			return *f;
	return i < nmodules ? modules[i].filter : NULL;
}

const struct filter *
filters_find(const char *name)
{
	const struct filter *f;
	size_t i;

	for (i = 0; (f = filters_nth(i)) != NULL; i++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* Modules */

/* What is wrong with it, or NULL. */
static char *
objection(const struct filter *f)
{
	if (f->abi != FILTER_ABI)
		return xasprintf("is made for version %u of the filter "
		    "interface, and this is version %u", f->abi, FILTER_ABI);
	if (f->name == NULL || *f->name == '\0')
		return xstrdup("has a filter without a name");
	if (filters_find(f->name) != NULL)
		return xasprintf("has a filter \"%s\", and there is one of "
		    "that name already", f->name);
	return NULL;
}

const struct filter *
filters_load(const char *path, char **why)
{
	const struct filter *f;
	char *wrong;
	void *so;
	size_t i;

	for (i = 0; i < nmodules; i++)
		if (strcmp(modules[i].path, path) == 0)
			return modules[i].filter;
	if ((so = dlopen(path, RTLD_NOW | RTLD_LOCAL)) == NULL) {
		*why = xstrdup(dlerror());
		return NULL;
	}
	if ((f = dlsym(so, SYMBOL)) == NULL)
		wrong = xstrdup("does not export " SYMBOL);
	else
		wrong = objection(f);
	if (wrong != NULL) {
		*why = xasprintf("%s %s", path, wrong);
		free(wrong);
		dlclose(so);
		return NULL;
	}
	modules = xrealloc(modules, (nmodules + 1) * sizeof(modules[0]));
	modules[nmodules++] = (struct module){ xstrdup(path), f };
	return f;
}

/* Instances */

static unsigned
events_of(const struct filter *f)
{
	return (unsigned)(f->connect != NULL) << EV_CONNECT |
	    (unsigned)(f->helo != NULL) << EV_HELO |
	    (unsigned)(f->auth != NULL) << EV_AUTH |
	    (unsigned)(f->unknown != NULL) << EV_UNKNOWN |
	    (unsigned)(f->mail != NULL) << EV_MAIL |
	    (unsigned)(f->rcpt != NULL) << EV_RCPT |
	    (unsigned)(f->refused != NULL) << EV_REFUSED |
	    (unsigned)(f->data != NULL) << EV_DATA |
	    (unsigned)(f->content != NULL) << EV_CONTENT |
	    (unsigned)(f->header != NULL) << EV_HEADER |
	    (unsigned)(f->eoh != NULL) << EV_EOH |
	    (unsigned)(f->body != NULL) << EV_BODY |
	    (unsigned)(f->eom != NULL) << EV_EOM;
}

int
filters_setup(struct filter_conf *f, const struct filter_host *host,
    char **why)
{
	const struct filter *type = f->type;
	unsigned events = events_of(type);

	f->self = (struct filter_instance){
		.events = events, .edits = type->edits, .wants = type->wants,
	};
	*why = NULL;
	if (type->setup != NULL &&
	    type->setup(&f->self, f->settings, host, why) == -1)
		return -1;
	/* Nobody hears of what there is no function for. */
	f->self.events &= events;
	f->self.edits &= type->edits;
	return 0;
}

void
filter_conf_free(struct filter_conf **fp)
{
	struct filter_conf *f = *fp;

	if (f == NULL)
		return;
	*fp = NULL;
	if (f->type->teardown != NULL && f->self.priv != NULL)
		f->type->teardown(f->self.priv);
	filter_conf_free(&f->when);
	if (f->settings != NULL)
		setting_fini(f->type->settings, f->settings);
	free(f->settings);
	free(f->name);
	free(f);
}
