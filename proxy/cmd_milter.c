/*
 * cmd_milter - "vratar milter": the chain for an MTA that asks milters.
 */

#include "proxy/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/conf.h"
#include "proxy/milterd.h"

static const char usage[] =
    "    --socket unix:PATH|inet:PORT@HOST [--listener NAME]\n";

static const struct {
	const char	*option;
} own[] = {
	{ "--socket" },
	{ "--listener" },
};

/* What is ours of the arguments; the rest stays in argv. */
struct arguments {
	const char	*values[2];
	char		**argv;		/* ours */
	int		 argc;
	bool		 policy, file;
	const char	*bare;		/* an option of ours without a value;
					   NULL: none is */
};

/* "--name VALUE" or "--name=VALUE" at argv[*i]; true: it was that. */
static bool
take(struct arguments *a, int argc, char **argv, int *i)
{
	size_t j, len;

	for (j = 0; j < sizeof(own) / sizeof(own[0]); j++) {
		len = strlen(own[j].option);
		if (strncmp(argv[*i], own[j].option, len) != 0)
			continue;
		if (argv[*i][len] == '=')
			a->values[j] = argv[*i] + len + 1;
		else if (argv[*i][len] != '\0')
			continue;
		else if (*i + 1 < argc)
			a->values[j] = argv[++*i];
		else
			a->bare = own[j].option;
		return true;
	}
	return false;
}

static void
read_arguments(struct arguments *a, int argc, char **argv)
{
	int i;

	*a = (struct arguments){ .argv = xcalloc((size_t)argc + 1,
	    sizeof(argv[0])) };
	a->argv[a->argc++] = argv[0];
	for (i = 1; i < argc; i++) {
		if (take(a, argc, argv, &i))
			continue;
		a->file |= strcmp(argv[i], "-c") == 0;
		a->policy |= strcmp(argv[i], "--policy") == 0 ||
		    strncmp(argv[i], "--policy=", 9) == 0;
		a->argv[a->argc++] = argv[i];
	}
}

static int
wrong(const char *what, const char *why)
{
	fprintf(stderr, "vratar milter: %s %s\n%s", what, why, usage);
	return 2;
}

int
cmd_milter(int argc, char **argv)
{
	struct milterd_options m = { .listener = NULL };
	const struct conf_flag flags[] = {
		{ "--foreground", &m.foreground },
		{ NULL, NULL }
	};
	struct conf_options o;
	struct arguments a;
	const char *why;
	int r;

	read_arguments(&a, argc, argv);
	if (a.bare != NULL) {
		free(a.argv);
		return wrong(a.bare, "needs a value");
	}
	r = conf_getopt(&o, a.argc, a.argv, flags, stderr);
	free(a.argv);
	if (r != 0) {
		fputs(usage, r == 1 ? stdout : stderr);
		return r == 1 ? 0 : 2;
	}
	o.milter = a.values[0];
	m.conf = &o;
	m.listener = a.values[1];
	if (a.policy && !a.file)
		conf_make_up(&o);
	if (o.milter == NULL)
		r = wrong("--socket", "is missing");
	else if ((why = milterd_bad_socket(o.milter)) != NULL)
		r = wrong(o.milter, why);
	else
		r = milterd_run(&m);
	conf_options_fini(&o);
	return r;
}
