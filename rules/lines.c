/*
 * lines - the logical lines of a table file, as Postfix reads them.
 *
 * One line is always read ahead: whether a logical line is complete is known
 * only from the first octet of the next one.
 */

#include "rules/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/report.h"

#define LOGICAL_MAX	((size_t)1 << 20)

struct lines {
	char		*name;		/* ours */
	char		*text;		/* ours: of a list; or NULL */
	FILE		*f;		/* ours: of the file, or of text */
	struct report	*report;	/* borrowed */
	char		*ahead;		/* ours: getline(3)'s */
	size_t		 room;
	ssize_t		 len;		/* of ahead; -1: the end */
	unsigned long	 number;	/* of ahead */
	struct buf	 line;		/* the logical line */
	int		 error;
};

static struct lines *
lines_new(FILE *f, const char *name, struct report *report)
{
	struct lines *l = xcalloc(1, sizeof(*l));

	l->name = xstrdup(name);
	l->f = f;
	l->report = report;
	buf_init(&l->line, LOGICAL_MAX);
	return l;
}

struct lines *
lines_open(const char *path, struct report *report)
{
	FILE *f = fopen(path, "re");

	return f != NULL ? lines_new(f, path, report) : NULL;
}

/* A list as the text that it stands for. NULL with *why. */
static char *
text_of(struct slice list, size_t *len, const char **why)
{
	struct slice item, rule;
	struct buf b;

	buf_init(&b, 2 * list.len + 2);
	while (braces_next(&list, &item)) {
		if (!braces_open(item, &rule)) {
			*why = "each rule needs its own braces "
			    "(try \"{ {/a/ OK}, {/b/ NO} }\")";
			buf_fini(&b);
			return NULL;
		}
		buf_add(&b, rule.p, rule.len);
		buf_addc(&b, '\n');
	}
	buf_addc(&b, '\n');	/* fmemopen(3) refuses to open nothing */
	*len = b.len;
	return b.p;
}

struct lines *
lines_open_list(struct slice list, const char *name, struct report *report,
    const char **why)
{
	struct lines *l;
	size_t len;
	char *text;
	FILE *f;

	if ((text = text_of(list, &len, why)) == NULL)
		return NULL;
	if ((f = fmemopen(text, len, "r")) == NULL) {
		*why = strerror(errno);
		free(text);
		return NULL;
	}
	l = lines_new(f, name, report);
	l->text = text;
	return l;
}

void
lines_close(struct lines **l)
{
	if (*l == NULL)
		return;
	fclose((*l)->f);
	free((*l)->text);
	free((*l)->name);
	free((*l)->ahead);
	buf_fini(&(*l)->line);
	free(*l);
	*l = NULL;
}

/* Read ahead the next line that counts. False at the end. */
static bool
read_ahead(struct lines *l)
{
	ssize_t i;

	do {
		l->len = getline(&l->ahead, &l->room, l->f);
		if (l->len == -1) {
			l->error = ferror(l->f) ? errno : 0;
			return false;
		}
		l->number++;
		if (l->len > 0 && l->ahead[l->len - 1] == '\n')
			l->len--;
		for (i = 0; i < l->len && is_white(l->ahead[i]); i++)
			;
	} while (i == l->len || l->ahead[i] == '#');
	return true;
}

/* NULL, or why this logical line is none (static). */
static const char *
wrong(const struct lines *l)
{
	if (l->line.failed)
		return "a line of more than a megabyte";
	if (memchr(l->line.p, '\0', l->line.len) != NULL)
		return "a NUL octet";
	if (is_white(l->line.p[0]))
		return "white space in front of the first key";
	return NULL;
}

char *
lines_next(struct lines *l, size_t *len, unsigned long *line)
{
	const char *why;

	if (l->number == 0 && !read_ahead(l))
		return NULL;
	while (l->len != -1) {
		buf_reset(&l->line);
		*line = l->number;
		do {
			buf_add(&l->line, l->ahead, (size_t)l->len);
		} while (read_ahead(l) && is_white(l->ahead[0]));
		if ((why = wrong(l)) != NULL) {
			report_mistake(l->report, l->name, *line, "%s", why);
			continue;
		}
		while (is_white(l->line.p[l->line.len - 1]))
			l->line.len--;
		l->line.p[l->line.len] = '\0';
		*len = l->line.len;
		return l->line.p;
	}
	return NULL;
}

int
lines_error(const struct lines *l)
{
	return l->error;
}

const char *
lines_name(const struct lines *l)
{
	return l->name;
}
