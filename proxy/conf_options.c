/*
 * conf_options - the options that serve and check have in common.
 *
 * --hostname and its like are short forms of --set, so they mean the same and
 * fail with the same words.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/conf_impl.h"

#define DEFAULT_FILE	"/etc/vratar/vratar.conf"

static const struct {
	const char	*option, *argument, *key;
} options[] = {
	{ "-c",		     "FILE", NULL },
	{ "--listen",	     "ADDRESS:PORT", NULL },
	{ "--backend",	     "WHERE", NULL },
	{ "--identity",	     "KIND", NULL },
	{ "--policy",	     "FILE", NULL },
	{ "--set",	     "KEY=VALUE", NULL },
	{ "--hostname",	     "NAME", "hostname" },
	{ "--relay-domains", "LIST", "relay-domains" },
	{ "--workers",	     "N", "workers" },
	{ "--control",	     "PATH", "control-socket" },
};

#define NOPTIONS	(sizeof(options) / sizeof(options[0]))

/* A list of strings that ends where n says. */
static void
append(const char ***v, size_t *n, char *text)
{
	*v = xrealloc(*v, (*n + 1) * sizeof((*v)[0]));
	(*v)[(*n)++] = text;
}

static void
replace(const char **member, const char *text)
{
	free((char *)*member);
	*member = xstrdup(text);
}

/* One option with its argument. */
static void
take(struct conf_options *o, size_t i, const char *argument)
{
	const char *name = options[i].option;

	if (options[i].key != NULL)
		append(&o->set, &o->nset,
		    xasprintf("%s=%s", options[i].key, argument));
	else if (strcmp(name, "-c") == 0)
		replace(&o->file, argument);
	else if (strcmp(name, "--listen") == 0)
		append(&o->listen, &o->nlisten, xstrdup(argument));
	else if (strcmp(name, "--backend") == 0)
		replace(&o->backend, argument);
	else if (strcmp(name, "--identity") == 0)
		replace(&o->identity, argument);
	else if (strcmp(name, "--policy") == 0)
		replace(&o->policy, argument);
	else
		append(&o->set, &o->nset, xstrdup(argument));
}

static void
usage(const char *verb, const struct conf_flag *flags, FILE *to)
{
	size_t i;

	fprintf(to, "usage: vratar %s", verb);
	for (i = 0; i < NOPTIONS; i++)
		fprintf(to, "%s[%s %s]", i % 3 == 0 ? "\n    " : " ",
		    options[i].option, options[i].argument);
	for (; flags != NULL && flags->name != NULL; flags++)
		fprintf(to, " [%s]", flags->name);
	fputc('\n', to);
}

/* "--name" or "--name=…". */
static bool
is_name(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return strncmp(arg, name, len) == 0 &&
	    (arg[len] == '\0' || (arg[len] == '=' && name[1] == '-'));
}

static size_t
option_find(const char *arg)
{
	size_t i;

	for (i = 0; i < NOPTIONS; i++)
		if (is_name(arg, options[i].option))
			break;
	return i;
}

static const char *
nearest(const char *arg, const struct conf_flag *flags)
{
	size_t i;

	for (i = 0; i < NOPTIONS; i++)
		if (setting_distance(arg, options[i].option) != -1)
			return options[i].option;
	for (; flags != NULL && flags->name != NULL; flags++)
		if (setting_distance(arg, flags->name) != -1)
			return flags->name;
	return NULL;
}

static bool
take_flag(const struct conf_flag *flags, const char *arg)
{
	for (; flags != NULL && flags->name != NULL; flags++)
		if (strcmp(flags->name, arg) == 0)
			return *flags->set = true;
	return false;
}

/* The option at argv[*at], and its argument. 0, or -1. */
static int
next(struct conf_options *o, int argc, char **argv, int *at,
    const struct conf_flag *flags, FILE *err)
{
	const char *arg = argv[*at], *value, *meant;
	size_t i = option_find(arg);

	if (take_flag(flags, arg))
		return 0;
	if (i == NOPTIONS) {
		meant = nearest(arg, flags);
		fprintf(err, "vratar %s: unknown option \"%s\"", argv[0], arg);
		if (meant != NULL)
			fprintf(err, " (did you mean \"%s\"?)", meant);
		fputc('\n', err);
		return -1;
	}
	value = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
	if (value != NULL) {
		value++;
	} else if (*at + 1 < argc) {
		value = argv[++*at];
	} else {
		fprintf(err, "vratar %s: %s needs %s\n", argv[0],
		    options[i].option, options[i].argument);
		return -1;
	}
	take(o, i, value);
	return 0;
}

int
conf_getopt(struct conf_options *o, int argc, char **argv,
    const struct conf_flag *flags, FILE *err)
{
	int i, r = 0;

	*o = (struct conf_options){ 0 };
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			usage(argv[0], flags, stdout);
			r = 1;
			break;
		}
		if (next(o, argc, argv, &i, flags, err) == -1)
			r = -1;
	}
	if (r == -1)
		usage(argv[0], flags, err);
	if (o->file == NULL && (o->nlisten == 0 || o->backend == NULL))
		o->file = xstrdup(DEFAULT_FILE);
	if (r != 0)
		conf_options_fini(o);
	return r;
}

void
conf_make_up(struct conf_options *o)
{
	size_t i;

	free((char *)o->file);
	o->file = NULL;
	if (o->nlisten == 0)
		append(&o->listen, &o->nlisten, xstrdup("127.0.0.1:0"));
	if (o->backend == NULL)
		o->backend = xstrdup("127.0.0.1:25");
	if (o->identity == NULL)
		o->identity = xstrdup("none");
	/* In front, so that what was given holds. */
	append(&o->set, &o->nset, NULL);
	append(&o->set, &o->nset, NULL);
	for (i = o->nset - 1; i > 1; i--)
		o->set[i] = o->set[i - 2];
	o->set[0] = xstrdup("relay-domains=*");
	o->set[1] = xstrdup("hostname=localhost");
}

bool
conf_is_alone(const struct conf_options *o)
{
	return o->policy != NULL && o->file != NULL &&
	    strcmp(o->file, DEFAULT_FILE) == 0 && access(o->file, F_OK) == -1;
}

void
conf_options_fini(struct conf_options *o)
{
	while (o->nlisten > 0)
		free((char *)o->listen[--o->nlisten]);
	while (o->nset > 0)
		free((char *)o->set[--o->nset]);
	free(o->listen);
	free(o->set);
	free((char *)o->file);
	free((char *)o->backend);
	free((char *)o->identity);
	free((char *)o->policy);
	*o = (struct conf_options){ 0 };
}
