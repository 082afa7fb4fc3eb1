/*
 * conf_impl - the parts of reading a configuration; for the conf files only.
 *
 *	conf_mistakes.c	what is wrong, told in the order of the files
 *	conf_text.c	files → one text, without comments, with its places
 *	conf_parse.c	text → libconfuse's tree → rows of settings
 *	conf_rows.c	the rows, from conf.def, and what is allowed in them
 *	conf.c		the tree → struct conf, checked and loaded
 *	conf_filters.c	… the filters and chains of it
 *	conf_options.c	the command line
 */
#ifndef PROXY_CONF_IMPL_H
#define PROXY_CONF_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <confuse.h>

#include "base/buf.h"
#include "base/setting.h"
#include "proxy/conf.h"

/* Files, joined */

struct conf_text {
	struct buf		 text;
	struct conf_origin {
		const char	*file;		/* one of files */
		int		 line;
	}			*origins;	/* of text's lines, from 1 */
	size_t			 nlines;
	char			**files;	/* names; ours */
	size_t			 nfiles;
};

/* Mistakes, collected so that they can be told in the order of the file */

struct mistakes {
	struct mistake {
		int		 line;		/* of the joined text, or 0 */
		char		*text;		/* ours; with its place */
	}			*v;
	size_t			 n;
	const struct conf_text	*where;
};

/* Where something was written. */
struct place {
	int			 line;		/* of the joined text, or 0 */
	const char		*option;	/* "--set"; NULL: in the file */
};

void mistake_add(struct mistakes *m, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "LINE and what is wrong" of a file that is not in the text (yet). */
void mistake_add_file(struct mistakes *m, const char *file, int line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Text as it is, with places of its own; line: where it belongs, or 0. */
void mistake_add_text(struct mistakes *m, int line, const char *text);
/* Write them, one a line, in order and each once; frees them all. */
void mistakes_write(struct mistakes *m, FILE *err);

/*
 * Read file and what it includes: a line of its own, include("PATH"), PATH
 * relative to the file it is in. Comments become spaces, because libconfuse
 * takes none inside a list and miscounts lines behind them. 0; or -1, and the
 * mistakes are in m.
 */
int conf_text_read(struct conf_text *t, const char *file, struct mistakes *m);
void conf_text_fini(struct conf_text *t);

/* The tree */

struct conf_block {
	const char		*name;
	const struct setting	*rows;
	bool			 open;	/* other names are allowed */
};

/*
 * Parse. Unknown names are mistakes, all of them; the first error of syntax
 * is the last mistake. NULL when the syntax is wrong. Free with cfg_free().
 */
cfg_t *conf_parse(const struct conf_text *t, const struct setting *rows,
    const struct conf_block *blocks, struct mistakes *m);

/* Set the members of *base that section s has texts for. */
void conf_apply(cfg_t *s, const struct setting *rows, void *base,
    struct mistakes *m);
/* Is the setting written there? s may be NULL. */
bool conf_given(cfg_t *s, const char *name);
/* The line of its i-th text, of the section's start, or 0 (s is NULL or the
   root). */
int conf_line(cfg_t *s, const char *name, unsigned i);
/* The i-th name that is written in section s, and its line; NULL behind the
   last. Blocks in it are names, too. */
const char *conf_given_name(cfg_t *s, unsigned i, int *line);
/* The line where section s starts. */
int conf_start(cfg_t *s);
/* The i-th block of a kind, NULL behind the last; root may be NULL. */
cfg_t *conf_section(cfg_t *root, const char *block, unsigned i);

/* The rows */

struct backend_draft {		/* what BACKEND rows fill */
	struct conf_backend	 b;
	struct setting_list	 addresses;
};

struct route_draft {
	char			*backend;
};

struct filter_draft {
	char			*type;
	uint64_t		 timeout;
	int			 on_failure;	/* enum verdict - V_ACCEPT */
	char			*when;
	bool			 observe;
};

extern const struct setting conf_rows[], listen_rows[], backend_rows[],
    route_rows[], filter_rows[];

/* What the steps of loading share. */
struct loader {
	const struct conf_options	*o;
	cfg_t				*root;	/* NULL: no file */
	struct conf_text		 text;
	struct mistakes			 m;
	FILE				*err;	/* for warnings */
	struct conf			*c;
};

/* conf_filters.c, in this order */
void conf_load_modules(struct loader *l);
void conf_load_filters(struct loader *l);
void conf_load_chains(struct loader *l);

/* A domain as recipients have it when they are compared: lower case, A-labels
   (RFC 5890). A dot in front stays. NULL: no domain. Ours to free. */
char *domain_normal(const char *text);
bool is_hostname(const char *text);

#endif
