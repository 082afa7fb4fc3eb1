/*
 * conf_mistakes - what is wrong with a configuration, collected and told at the
 * end.
 *
 * Names are unknown while the text is parsed, values are wrong when they are
 * applied, and keys fail to load later still; a reader goes through the file
 * once, from the top. So a mistake keeps its line of the joined text, and they
 * are told in that order, those without a line behind them.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/conf_impl.h"

#define REPEATS_MAX	100	/* mistakes that are looked at for another */

static void
add(struct mistakes *m, int line, char *text)
{
	m->v = xrealloc(m->v, (m->n + 1) * sizeof(m->v[0]));
	m->v[m->n++] = (struct mistake){ .line = line, .text = text };
}

static char *
format(const char *fmt, va_list ap)
{
	va_list again;
	char *text, *p;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	text = xmalloc((size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	/* Names of the file's own choice must not move the cursor. */
	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	return text;
}

/* libconfuse is behind the last line when it misses something there. */
static char *
at_origin(const struct conf_text *t, int line, const char *what)
{
	const struct conf_origin *o;

	o = &t->origins[(size_t)line <= t->nlines ? (size_t)line - 1 :
	    t->nlines - 1];
	return xasprintf("%s:%d: %s", o->file, o->line, what);
}

void
mistake_add(struct mistakes *m, struct place at, const char *fmt, ...)
{
	const struct conf_text *t = m->where;
	char *what, *text;
	va_list ap;

	va_start(ap, fmt);
	what = format(fmt, ap);
	va_end(ap);
	if (at.option != NULL)
		text = xasprintf("%s: %s", at.option, what);
	else if (at.line > 0 && t->nlines > 0)
		text = at_origin(t, at.line, what);
	else
		text = xasprintf("%s: %s",
		    t->nfiles > 0 ? t->files[0] : "vratar", what);
	add(m, at.option == NULL ? at.line : 0, text);
	free(what);
}

void
mistake_add_file(struct mistakes *m, const char *file, int line,
    const char *fmt, ...)
{
	char *what;
	va_list ap;

	va_start(ap, fmt);
	what = format(fmt, ap);
	va_end(ap);
	/* The text so far is in front of this place. */
	if (line > 0)
		add(m, (int)m->where->nlines + 1,
		    xasprintf("%s:%d: %s", file, line, what));
	else
		add(m, 0, xasprintf("%s: %s", file, what));
	free(what);
}

void
mistake_add_text(struct mistakes *m, int line, const char *text)
{
	add(m, line, xstrdup(text));
}

/* Stable, so that what has no line keeps its order, behind the rest. */
static void
sort(struct mistakes *m)
{
	struct mistake one;
	size_t i, j;

	for (i = 1; i < m->n; i++) {
		one = m->v[i];
		for (j = i; j > 0 && one.line != 0 &&
		    (m->v[j - 1].line == 0 || m->v[j - 1].line > one.line); j--)
			m->v[j] = m->v[j - 1];
		m->v[j] = one;
	}
}

/* Each pass of conf_parse() tells of what the others have told, too; that is
   near. A table may have a million of other mistakes in the same line. */
static bool
is_repeated(const struct mistakes *m, size_t i)
{
	size_t j;

	for (j = i; j-- > 0 && i - j <= REPEATS_MAX &&
	    m->v[j].line == m->v[i].line;)
		if (strcmp(m->v[j].text, m->v[i].text) == 0)
			return true;
	return false;
}

void
mistakes_write(struct mistakes *m, FILE *err)
{
	size_t i;

	sort(m);
	for (i = 0; i < m->n; i++)
		if (!is_repeated(m, i))
			fprintf(err, "%s\n", m->v[i].text);
	while (m->n > 0)
		free(m->v[--m->n].text);
	free(m->v);
	m->v = NULL;
}

struct conf *
conf_load_again(const struct conf_options *o, char *first, size_t room)
{
	char *text = NULL, *line, *rest, quoted[1024];
	struct conf *conf;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	snprintf(first, room, "out of memory");
	if (f == NULL)
		return NULL;
	conf = conf_load(o, f);
	fclose(f);
	if (text[0] != '\0')
		snprintf(first, room, "%.*s", (int)strcspn(text, "\n"), text);
	for (rest = text; conf == NULL &&
	    (line = strsep(&rest, "\n")) != NULL; ) {
		if (*line != '\0')
			log_error(0, "configuration mistake=%s",
			    log_quote(quoted, sizeof(quoted), line,
			    strlen(line), 250));
	}
	free(text);
	return conf;
}
