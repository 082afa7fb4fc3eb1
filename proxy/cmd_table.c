/*
 * cmd_table - "vratar table": look keys up as "postmap -q" does.
 *
 * For trying tables, and for comparing them with Postfix: what is printed and
 * the exit status are postmap's: 0 when a key was found, 1 when none was or
 * when a table could not be asked. Mistakes in a table are warnings here.
 */

#include "proxy/cmd.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/lookup.h"
#include "rules/keys.h"
#include "rules/table.h"

#define TIMEOUT_MS	30000

static const char usage[] =
    "usage: vratar table -q KEY TYPE:PATH...\n"
    "       vratar table -q - TYPE:PATH...      keys from standard input\n";

struct tables {
	struct event_base	*base;		/* ours */
	struct table		**v;		/* ours, and the tables */
	struct lookup_client	**clients;	/* ours; NULL: not remote */
	size_t			 n;
	/* The answer of a remote table. */
	bool			 answered;
	enum table_result	 result;
	char			*value;		/* ours */
};

static void
on_mistake(void *arg, const char *mistake)
{
	(void)arg;
	fprintf(stderr, "vratar: %s\n", mistake);
}

static int
open_one(struct tables *t, size_t i, const char *spec)
{
	char *why;

	t->v[i] = table_open_lenient(spec, on_mistake, NULL);
	if (t->v[i] == NULL)
		return -1;
	if (!table_is_remote(t->v[i]))
		return 0;
	t->clients[i] = lookup_client_new(t->base, t->v[i], &why);
	if (t->clients[i] != NULL)
		return 0;
	fprintf(stderr, "vratar: %s: %s\n", spec, why);
	free(why);
	return -1;
}

static int
tables_open(struct tables *t, char **specs, size_t n)
{
	size_t i;

	*t = (struct tables){ .n = n };
	t->base = event_base_new();
	clock_start(t->base);
	t->v = xcalloc(n, sizeof(t->v[0]));
	t->clients = xcalloc(n, sizeof(t->clients[0]));
	for (i = 0; i < n; i++)
		if (open_one(t, i, specs[i]) == -1)
			return -1;
	return 0;
}

static void
tables_close(struct tables *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		lookup_client_free(&t->clients[i]);
		table_free(&t->v[i]);
	}
	free(t->v);
	free(t->clients);
	free(t->value);
	clock_stop();
	event_base_free(t->base);
}

static void
on_answer(void *arg, enum table_result r, const char *value)
{
	struct tables *t = arg;

	free(t->value);
	t->value = xstrdup(value);
	t->result = r;
	t->answered = true;
}

static enum table_result
find_remote(struct tables *t, size_t i, const char *key, size_t len,
    const char **value)
{
	struct keys k;

	keys_init(&k);
	keys_one(&k, key, len);
	t->answered = false;
	lookup(t->clients[i], &k, TIMEOUT_MS, on_answer, t);
	while (!t->answered && event_base_loop(t->base, EVLOOP_ONCE) == 0)
		;
	keys_fini(&k);
	*value = t->value;
	return t->result;
}

/* The first table that has the key answers. */
static enum table_result
find(struct tables *t, const char *key, size_t len, const char **value)
{
	enum table_result r = TABLE_NOT_FOUND;
	size_t i;

	for (i = 0; i < t->n; i++) {
		r = t->clients[i] != NULL ?
		    find_remote(t, i, key, len, value) :
		    table_find(t->v[i], key, len, value);
		if (r == TABLE_FOUND)
			return r;
		if (r == TABLE_FAILED) {
			fprintf(stderr, "vratar: %s: the look-up failed\n",
			    table_spec(t->v[i]));
			return r;
		}
	}
	return r;
}

/* Keys are lines. */
static int
find_lines(struct tables *t)
{
	enum table_result r = TABLE_NOT_FOUND;
	char *line = NULL;
	size_t room = 0;
	const char *value;
	bool found = false;
	ssize_t len;

	/* Somebody may wait for each answer before the next question. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (r != TABLE_FAILED &&
	    (len = getline(&line, &room, stdin)) != -1) {
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		r = find(t, line, (size_t)len, &value);
		if (r != TABLE_FOUND)
			continue;
		printf("%s\t%s\n", line, value);
		found = true;
	}
	free(line);
	return r != TABLE_FAILED && found ? 0 : 1;
}

static int
find_one(struct tables *t, const char *key)
{
	const char *value;

	if (find(t, key, strlen(key), &value) != TABLE_FOUND)
		return 1;
	printf("%s\n", value);
	return 0;
}

int
cmd_table(int argc, char **argv)
{
	const char *key = NULL;
	struct tables t;
	int c, r = 1;

	optind = 1;
	while ((c = getopt(argc, argv, "q:")) == 'q')
		key = optarg;
	if (c != -1 || key == NULL || optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (tables_open(&t, argv + optind, (size_t)(argc - optind)) == 0)
		r = strcmp(key, "-") == 0 ? find_lines(&t) : find_one(&t, key);
	tables_close(&t);
	if (fflush(stdout) != 0) {
		perror("vratar: standard output");
		r = 1;
	}
	return r;
}
