/*
 * message - telling of mistakes in a policy: where, what, the line itself, a
 * caret, and what was probably meant.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/setting.h"
#include "rules/load_impl.h"

#define ERRORS_MAX	50	/* told; the rest is counted */
#define LINE_MAX_SHOWN	160	/* of a line, around the caret */

struct slice
span_text(struct span s)
{
	return s.file != NULL ? SLICE(s.file->text + s.at, s.len) :
	    SLICE("", 0);
}

struct span
span_join(struct span a, struct span b)
{
	if (a.file == NULL || a.file != b.file)
		return a;
	return (struct span){ a.file, a.at, b.at + b.len - a.at };
}

static bool
starts_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static uint32_t
line_start(struct span s)
{
	uint32_t at = s.at;

	while (at > 0 && s.file->text[at - 1] != '\n')
		at--;
	return at;
}

void
span_line(struct span s, unsigned *line, unsigned *column)
{
	uint32_t at, start = line_start(s);

	*line = *column = 1;
	for (at = 0; at < start; at++)
		*line += s.file->text[at] == '\n';
	for (at = start; at < s.at; at++)
		*column += starts_char(s.file->text[at]);
}

static void
put_char(FILE *to, char c)
{
	unsigned char u = (unsigned char)c;

	if (c == '\t' || (u >= 0x20 && u != 0x7f))
		putc(c, to);
	else
		putc('?', to);
}

/* The caret is below its character whatever the width of a tab is. */
static void
show_line(FILE *to, struct span s)
{
	const char *text = s.file->text;
	uint32_t from = line_start(s), end = s.at, i;

	while (end < s.file->len && text[end] != '\n' && text[end] != '\r')
		end++;
	if (s.at - from > LINE_MAX_SHOWN / 2 && end - from > LINE_MAX_SHOWN)
		for (from = s.at - LINE_MAX_SHOWN / 2;
		    from < s.at && !starts_char(text[from]); from++)
			;
	if (end - from > LINE_MAX_SHOWN)
		end = from + LINE_MAX_SHOWN;
	for (i = from; i < end; i++)
		put_char(to, text[i]);
	putc('\n', to);
	for (i = from; i < s.at; i++)
		if (starts_char(text[i]))
			putc(text[i] == '\t' ? '\t' : ' ', to);
	fputs("^\n", to);
}

__attribute__((format(printf, 4, 0))) static void
tell(FILE *to, struct span at, const char *kind, const char *fmt, va_list ap)
{
	unsigned line, column;

	if (at.file != NULL && at.file->bare)
		fprintf(to, "%s: ", at.file->path);
	else if (at.file != NULL) {
		span_line(at, &line, &column);
		fprintf(to, "%s:%u:%u: ", at.file->path, line, column);
	}
	fputs(kind, to);
	vfprintf(to, fmt, ap);
	putc('\n', to);
	if (at.file != NULL)
		show_line(to, at);
}

void
load_error(struct load *l, struct span at, const char *fmt, ...)
{
	va_list ap;

	l->errors++;
	if (l->errors > ERRORS_MAX)
		return;
	va_start(ap, fmt);
	tell(l->err, at, "", fmt, ap);
	va_end(ap);
}

void
load_warn(struct load *l, struct span at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(l->err, at, "warning: ", fmt, ap);
	va_end(ap);
}

void
span_warn(FILE *err, struct span at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(err, at, "warning: ", fmt, ap);
	va_end(ap);
}

void
load_summary(struct load *l)
{
	if (l->errors > ERRORS_MAX)
		fprintf(l->err, "… and %u more mistakes\n",
		    l->errors - ERRORS_MAX);
}

/* Suggestions */

void
nearest_try(struct nearest *n, const char *candidate)
{
	char wanted[100];
	int d;

	if (n->wanted.len >= sizeof(wanted))
		return;
	memcpy(wanted, n->wanted.p, n->wanted.len);
	wanted[n->wanted.len] = '\0';
	d = setting_distance(wanted, candidate);
	if (d < 0 || (n->best != NULL && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}

char *
nearest_text(const struct nearest *n, char out[100])
{
	out[0] = '\0';
	if (n->best != NULL)
		snprintf(out, 100, " (did you mean %.70s?)", n->best);
	return out;
}
