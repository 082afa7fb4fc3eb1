/*
 * setting - tables of settings: what a configuration may say, and the way from
 * its text to a member of a struct.
 *
 * A row has the name as written, the type with its unit, the default, the
 * limits, and the sentence for the manual. Whoever wants settings (the daemon,
 * a block of the file, a filter) brings rows for a struct of its own and never
 * sees configuration text. Tables end with a row without a name.
 *
 *	type		text			member
 *	STRING		any			char *, ours
 *	WORD		one of words		their number, in an enum or bool
 *	BOOL		yes, no, true, …	bool
 *	COUNT		20			an integer of 4 or 8 octets
 *	SIZE		1000, 64K, 50M, 2G	the same, octets
 *	DURATION	500ms, 30s, 5m, 1h, 7d,	the same, milliseconds
 *			30 (seconds)
 *	LIST		several texts		struct setting_list
 *	NETWORKS	several, "10.0.0.0/8"	struct netset
 */
#ifndef BASE_SETTING_H
#define BASE_SETTING_H

#include <stdbool.h>
#include <stddef.h>

enum setting_type {
	SETTING_STRING, SETTING_WORD, SETTING_BOOL, SETTING_COUNT,
	SETTING_SIZE, SETTING_DURATION, SETTING_LIST, SETTING_NETWORKS
};

struct setting_list {
	char	**v;		/* ours, and the strings */
	size_t	  n;
};

/* Is text allowed? NULL, or the end of '"x" is not a host name' (static),
   from "is" on. For STRING, each text of LIST, and in front of words. */
typedef const char *setting_check_fn(const char *text);

struct setting {
	const char		*name;		/* "client-timeout" */
	enum setting_type	 type;
	size_t			 offset, size;	/* of the member */
	const char		*def;		/* as text; NULL: empty, zero */
	const char		*min, *max;	/* as text; NULL: no limit */
	const char *const	*words;		/* the last is NULL */
	setting_check_fn	*check;		/* NULL: any text */
	const char		*help;
};

/* The common part of a row; the rest in ... as designated initialisers. */
#define SETTING(struct_, member_, name_, type_, ...)			\
	{ .name = (name_), .type = SETTING_##type_,			\
	  .offset = offsetof(struct struct_, member_),			\
	  .size = sizeof(((struct struct_ *)0)->member_), __VA_ARGS__ }

/* The settings that hold more than one text. */
bool setting_is_list(const struct setting *row);

/* Fill *base, which is all zeros, with the defaults. */
void setting_defaults(const struct setting *rows, void *base);
/* Free what the members hold and leave them zero. */
void setting_fini(const struct setting *rows, void *base);
/* The same for one member. */
void setting_clear(const struct setting *row, void *base);

/*
 * Set the member of *base from text; a list gets one more element. 0; or -1
 * with *why (ours to free; '"5x" is not a duration (try 300s, 5m)') and *base
 * as it was.
 */
int setting_set(const struct setting *row, void *base, const char *text,
    char **why);
/* The same for an option of the command line: a list is replaced by the
   elements of text, separated by commas or spaces. */
int setting_set_option(const struct setting *row, void *base,
    const char *text, char **why);

/* NULL if there is none. */
const struct setting *setting_find(const struct setting *rows,
    const char *name);
/* The name of the row that was probably meant; NULL if none is near. */
const char *setting_nearest(const struct setting *rows, const char *name);
/*
 * Is b near enough to a to be what was meant? The number of letters to
 * change, add, drop or swap, or -1.
 */
int setting_distance(const char *a, const char *b);

#endif
