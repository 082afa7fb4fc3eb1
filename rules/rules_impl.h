/*
 * rules_impl - the tree of a policy and the plan made of it; for the files of
 * this folder.
 *
 * Loading goes through three steps. parse*.c makes rules and expressions of
 * text; check.c finds out what names and types mean and rewrites expressions
 * in place, so that a checked expression needs no second tree; plan.c puts
 * the rules of each stage in a row and finds those that can be skipped by a
 * look at one value. eval.c runs the plan.
 *
 * All of it lives in the arena of struct rules, and nothing of it changes
 * after the load but "scratch".
 */
#ifndef RULES_RULES_IMPL_H
#define RULES_RULES_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net.h"
#include "base/threads.h"
#include "rules/arena.h"
#include "rules/keys.h"
#include "rules/rules.h"

struct regex;

/* Text of a policy and places in it */

struct policy_file {
	char			*path;		/* ours */
	const char		*name;		/* its last component */
	char			*text;		/* ours; NUL-terminated */
	size_t			 len;
	bool			 bare;		/* a condition from elsewhere:
						   name says where, and it has
						   no lines of its own */
	struct policy_file	*next;
};

struct span {
	const struct policy_file *file;
	uint32_t		  at, len;
};

struct slice span_text(struct span s);
/* From the start of a to the end of b. */
struct span span_join(struct span a, struct span b);
/* Line and column of its start, from 1; a column is a character. */
void span_line(struct span s, unsigned *line, unsigned *column);

/* Expressions */

enum expr_op {
	/* As the parser leaves them; check.c replaces these. */
	E_NAME,			/* text */
	E_CALL,			/* text "(" a, b ")" */
	E_IS,			/* a is b */
	E_IN,			/* a in b */
	E_NETS,			/* a network: list */
	E_LIST,			/* { … }: list */
	E_EQUAL, E_UNEQUAL, E_LESS, E_LESS_EQUAL, E_GREATER, E_GREATER_EQUAL,

	/* These stay. */
	E_BAD,			/* a mistake has been reported */
	E_AND, E_OR, E_NOT,
	E_ANY, E_ALL,		/* b holds for an element of a */
	E_MATCH,		/* a ~ regex n */
	E_ADD, E_SUBTRACT,
	E_CONST,		/* value */
	E_TEXT,			/* a, and then the rest, b or 0 */
	E_CAPTURE,		/* group n of the last match */

	E_FIELD,		/* slot n */
	E_VARIABLE,		/* variable n */
	E_ELEMENT,		/* that E_ANY or E_ALL looks at */
	E_TRUTH,		/* a is there: not empty, not unknown */
	E_SAME,			/* a and b are the same but for case */
	E_EQ_TEXT, E_EQ_NUMBER, E_EQ_BOOLEAN, E_EQ_IP,
	E_CMP_LESS, E_CMP_LESS_EQUAL, E_CMP_GREATER, E_CMP_GREATER_EQUAL,
	E_CLASS,		/* a is of class n */
	E_IN_LIST,		/* a in list n */
	E_IN_DOMAINS,		/* the same, ".x" means below x */
	E_IN_TABLE,		/* a in table n */
	E_IN_FIELD,		/* a is an element of b */
	E_LOWER, E_LOCAL, E_DOMAIN, E_DETAIL, E_LENGTH, E_COUNT, E_NUMBER,
	E_LOOKUP,		/* the value of a in table n */
	E_RESOLVES
};

struct expr {
	enum expr_op		 op;
	enum rules_type		 type;
	bool			 checked;
	bool			 varies;	/* in the course of a run */
	bool			 denied;	/* written as "not in", "!=", …, by
						   the E_NOT above it */
	uint32_t		 a, b;		/* expressions; 0: none */
	uint32_t		 n;		/* slot, list, table, regex, … */
	struct slice		 text;		/* E_NAME, E_CALL */
	struct rules_value	 value;		/* E_CONST */
	struct span		 span;
};

/*
 * What eval.c needs of an expression, and nothing else: the numbers are those
 * of the expressions. Thousands of conditions that are looked at one by one
 * cost what it takes to get them from memory.
 */
struct node {
	uint8_t		 op;		/* enum expr_op */
	uint32_t	 a, b, n;
	double		 number;	/* E_CONST: a number, or yes */
};

/* A list of constants: all of one type. */
struct constants {
	const char		*name;		/* NULL: it has none */
	struct span		 span;
	bool			 typed;		/* it has an element */
	enum rules_type		 type;		/* STRING, NUMBER or IP */
	struct slice		*text;		/* ours, all three */
	double			*number;
	struct netset		 nets;
	size_t			 n;
	uint32_t		*buckets;	/* ours; of text, folded */
	size_t			 nbuckets;	/* a power of two */
};

bool constants_have_text(const struct constants *c, struct slice s);
bool constants_have_domain(const struct constants *c, struct slice s);
bool constants_have_number(const struct constants *c, double number);
uint32_t hash_folded(struct slice s);

/* A field, and for header("X") which one. */
struct slot {
	enum rules_field	 field;
	const char		*name;		/* NULL: the field takes none */
};

struct named_table {
	const char	*name, *spec;
	struct span	 span;
	struct table	*table;		/* ours; NULL after a mistake */
	bool		 used;
	unsigned	 access;	/* stages of "use access", as bits */
	unsigned	 checks;	/* OF_HEADER, OF_BODY, as bits */
	struct rules	*rules;		/* that it belongs to */
	struct load	*load;		/* while it is read; or NULL */
};

struct variable {
	const char		*name;
	struct rules_value	 initial;
	struct span		 span;
};

struct regex_use {
	struct regex	*regex;		/* the cache's; NULL after a mistake */
	struct span	 span;
	uint32_t	 subject;	/* slot + 1; 0: something else */
	uint32_t	 set;		/* … of all on the subject, from 1; 0:
					   none */
	uint32_t	 nth;		/* in the set */
};

/* The expressions on one field. */
struct pattern_set {
	uint32_t	*uses;		/* ours; numbers of regexes */
	size_t		 n;
	struct sieve	*sieve;		/* ours; NULL: too few, or none that
					   could be excluded */
	uint32_t	 epoch;		/* of the run that has looked at it */
	const struct rules_scan *scan;	/* … by a thread; or NULL */
};

/* What a thread needs to look for patterns; the first is the loop's. */
struct kit {
	struct regex_matcher *matcher;	/* ours */
	struct sieve_look **looks;	/* ours, by set; NULL: not yet */
	size_t		 nlooks;
};

/* Rules */

enum action {
	A_ACCEPT, A_REJECT, A_TEMPFAIL, A_DISCARD,
	A_SCORE, A_LOG, A_SET, A_QUARANTINE,
	A_REDIRECT, A_ADD_RCPT, A_DELETE_RCPT,
	A_ADD_HEADER, A_INSERT_HEADER, A_CHANGE_HEADER, A_DELETE_HEADER,
	A_DELAY, A_ROUTE, A_CALL,
	A_ACCESS, A_HEADER_CHECKS, A_MIME_HEADER_CHECKS,
	A_NESTED_HEADER_CHECKS, A_BODY_CHECKS,
	A_GROUP,		/* if … { … }, for … { … } */
	A_NACTIONS
};

enum subject { ON_STAGE, ON_CLIENT, ON_HELO, ON_SENDER, ON_RECIPIENT };

struct rule_list {
	struct rule	*first, *last;
};

struct rule {
	struct rule	*next;
	enum action	 action;
	bool		 observe;
	struct span	 source;	/* the rule; of a group its head */
	const char	*place;		/* "policy.rules:17" */
	uint32_t	 cond;		/* 0: always */

	uint32_t	 text;		/* reply, header, …; 0: none */
	uint32_t	 value;		/* A_SET, A_SCORE; 0: none */
	int		 code;		/* 0: what fits the stage */
	const char	*enhanced;	/* NULL: what fits the code */
	const char	*name;		/* of what the action is about */
	struct span	 name_span;
	int		 index;		/* of a header field; -1: not given */
	uint32_t	 n;		/* table, variable or block */
	uint64_t	 delay_ms;
	enum subject	 on;
	struct rule_list body;		/* A_GROUP */
	bool		 checked;	/* what is the same at every stage */
};

struct block {
	const char	*name;
	struct span	 span;
	struct rule_list rules;
	bool		 used, busy;	/* busy: being planned, for loops */
	unsigned	 planned;	/* stages, as bits */
	struct seq	*seq[RULES_NSTAGES];
};

/* The plan: the rules of one stage, or of a group in it, in a row. */

struct entry {
	const struct rule	*rule;
	uint32_t		 cond;
	struct seq		*body;	/* of a group or a call */
};

/*
 * Entries whose condition can only hold when one field has one of a few
 * values are not looked at one by one: the value is, once.
 */
struct keyed {
	uint32_t	 hash;		/* of slot's value; or nth of a set */
	uint32_t	 entry;
};

struct dispatch {
	uint32_t	 slot;
	uint32_t	 set;		/* of patterns, from 1; 0: values */
	uint8_t		 family, bits;	/* of the networks; 0: no IP */
	uint32_t	 first;		/* entry that has a key here */
	struct keyed	*keyed;		/* sorted by hash, then by entry */
	size_t		 n;
	uint32_t	*start;		/* by the top bits of the hash: where in
					   keyed to begin */
	unsigned	 shift;
};

struct seq {
	struct entry	*v;
	uint32_t	 n;
	uint32_t	*others;	/* entries without a key, in order */
	uint32_t	 nothers;
	struct dispatch	*dispatch;
	uint32_t	 ndispatch;
	uint32_t	*needs;		/* expressions and … */
	uint32_t	 nneeds;
	const struct rule **accesses;	/* … rules that may ask the network */
	uint32_t	 naccesses;
	bool		 finished;	/* all but v and n is set */
};

/* A growing array; what points into it does not survive an addition. */
#define SET_OF(type)	struct { type *v; size_t n, room; }
#define SET_ADD(s, e)	do {						\
	if ((s)->n == (s)->room)					\
		(s)->v = set_grow((s)->v, &(s)->room, sizeof((s)->v[0])); \
	(s)->v[(s)->n++] = (e);						\
} while (0)

void *set_grow(void *v, size_t *room, size_t size);

struct rules {
	unsigned		 magic;
#define RULES_MAGIC		 0x9011c7
	struct arena		 arena;
	struct policy_file	*files;		/* ours */
	SET_OF(struct expr)	 exprs;		/* [0] is E_BAD: none */
	struct node		*nodes;		/* ours; of all exprs */
	SET_OF(struct slot)	 slots;
	SET_OF(struct constants) lists;
	SET_OF(struct named_table) tables;
	SET_OF(struct variable)	 variables;
	SET_OF(struct block)	 blocks;
	SET_OF(struct regex_use) regexes;
	SET_OF(struct pattern_set) sets;
	struct kit		*kits[1 + THREADS_MAX];	/* ours; or NULL */
	struct regex_cache	*cache;		/* ours */
	struct rule_list	 stages[RULES_NSTAGES];
	bool			 condition;	/* and nothing else */
	struct seq		*plan[RULES_NSTAGES];	/* NULL: no rules */
	const char		*delimiter;	/* NULL: none */
	bool			 tempfail_on_limit;
	bool			 edits_header, edits_body, edits_envelope;
	bool			 writes_header;	/* a rule, or an entry there is */
	bool			 writes_lines;	/* an entry of checks */
	bool			 reads_lines;	/* a rule at body, no table */
	bool			 adds_authres;	/* a rule itself */
	bool			 quarantines;	/* a rule, or an entry there is */
	size_t			 nrules;
	bool			 loaded;	/* all tables have been read */

	/* Of the run that is under way: runs do not overlap. */
	struct {
		struct rules_value	*values;	/* of slots; ours */
		uint32_t		*epochs;	/* when they were had */
		uint32_t		 epoch;
		struct keys		 keys;
		struct arena		 pool;		/* a block for the
							   next run */
	}			 scratch;
};

/* Whom "use access" is about at this stage; ON_STAGE: it must be said. */
enum subject access_subject(const struct rule *rule, enum rules_stage stage);
/* Of numbers and networks, in dispatch tables. */
uint32_t hash_number(double number);
uint32_t hash_prefix(const uint8_t *ip, uint8_t family, uint8_t bits);

/* Fields: field.c */

/* Is there f at this stage? */
bool field_at(enum rules_field f, enum rules_stage stage);
/* It takes an argument: header("X"). */
bool field_has_name(enum rules_field f);
/* RULES_NFIELDS: no such name. */
enum rules_field field_find(struct slice name);
/* The field that f is computed from, or f itself. */
enum rules_field field_source(enum rules_field f);
/* What a list is made of. */
enum rules_type element_type(enum rules_type list);
/* "a string", for messages. */
const char *type_name(enum rules_type type);

/* Classes of "x is CLASS": class.c */

/* The class of this name for this type; -1: none. */
int class_find(struct slice name, enum rules_type type);
bool class_has(int class, const struct rules_value *v);
/* The i-th class of a type, for suggestions; NULL after the last. */
const char *class_nth(enum rules_type type, size_t i);

/* Entries of Postfix's tables: values.c */
struct load;
struct table_entry;

/* Open t; its mistakes are told. */
void table_open_named(struct load *l, struct named_table *t);
/* NULL; or why this has no place at the stage where "use access" stands. */
const char *entry_misplaced(const struct table_entry *e,
    enum rules_stage stage);

/* Regular expressions on one field: set.c */
void sets_make(struct rules *r);
void sets_free(struct rules *r);
/* Who uses a kit is the only one who asks for it, and may be a thread. */
struct kit *kit_of(struct rules *r, unsigned number);
/* NULL: the set has no sieve. */
struct sieve_look *kit_look(struct kit *k, const struct rules *r,
    const struct pattern_set *set);
/* Epochs begin anew. */
void sets_forget(struct rules *r);

/* Words of actions: action.c */
const char *action_name(enum action a);
bool action_is_final(enum action a);
bool action_at(enum action a, enum rules_stage stage);

#endif
