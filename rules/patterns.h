/*
 * patterns - a list of patterns that are tried in order: pcre, regexp, cidr.
 *
 * What the three have in common: "!" negates, "if" and "endif" nest, the first
 * pattern that matches gives the result. What a pattern is, and what its rule
 * looks like, each of them brings itself.
 */
#ifndef RULES_PATTERNS_H
#define RULES_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "rules/table_impl.h"

struct lines;
struct sieve;
struct subst;

enum match {
	MATCH_NO,
	MATCH_YES,
	MATCH_NEVER,		/* neither it nor its negation holds */
	MATCH_LIMIT		/* gave up; treated like MATCH_NEVER */
};

struct pattern {
	void		*what;		/* ours: the kind's */
	struct subst	*result;	/* ours; NULL: an "if" */
	size_t		 end;		/* an "if": where to go on if not */
	unsigned long	 line;
	bool		 negated;
	bool		 limit_seen;	/* logged already */
};

struct patterns;

struct pattern_kind {
	/*
	 * Read one logical line, which may be changed: add a pattern, or report
	 * what is wrong with it.
	 */
	void		(*parse)(struct patterns *p, char *line,
			    unsigned long number);
	/* group: room for subst_groups() + 1, or NULL if nobody wants them. */
	enum match	(*match)(const struct patterns *p, const void *what,
			    const struct query *q, struct slice *group,
			    size_t ngroups);
	void		(*free)(void *what);
};

struct patterns {
	const struct pattern_kind *kind;
	char		*name;		/* ours: the file */
	struct report	*report;	/* while it is read, … */
	bool		 silent;	/* … when nothing may be logged */
	struct pattern	*list;		/* ours */
	size_t		 n, room;
	size_t		*open;		/* ours: the "if"s around here */
	size_t		 nopen;
	size_t		 groups;	/* the most that any result wants */
	uint64_t	 limit_hits;
	struct sieve	*sieve;		/* ours; which of them a key can match;
					   NULL: nothing is known … */
	struct sieve_look *look;	/* ours; … and for this key */
	uint64_t	*unsieved;	/* ours; tried all the same: bits */
	void		*shared;	/* the kind's */
};

/* Add a pattern; takes what and result. result NULL opens an "if". */
void patterns_add(struct patterns *p, void *what, bool negated,
    struct subst *result, unsigned long line);
/* Close the innermost "if". -1: there is none. */
int patterns_endif(struct patterns *p);

/* For the kind's struct table_type, whose priv are the patterns. shared belongs
   to the kind. */
struct patterns *patterns_load(const struct pattern_kind *kind, void *shared,
    const struct source *s, char **why);
void patterns_close(void *priv);
/* From now on a pattern is only tried when the sieve, which has one for each
   that is there now, says "maybe". Takes it; NULL is fine. */
void patterns_sift(struct patterns *p, struct sieve *sieve);
enum table_result patterns_find(void *priv, struct query *q);
size_t patterns_size(const void *priv);
uint64_t patterns_limit_hits(const void *priv);

/* Tools for the kinds: is this line one with the statement "if", "endif"?
   Returns what follows the word and white space, or NULL. */
char *statement(char *line, const char *word);
/* Skip "!" and white space; each "!" turns *negated. */
char *negations(char *p, bool *negated);

#endif
