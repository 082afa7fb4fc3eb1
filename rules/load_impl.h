/*
 * load_impl - reading a policy: messages, tokens, the parser, the checks; for
 * the files of this folder that do it.
 */
#ifndef RULES_LOAD_IMPL_H
#define RULES_LOAD_IMPL_H

#include <stdio.h>

#include "rules/rules_impl.h"

struct load {
	struct rules		*r;
	const struct rules_options *o;	/* never NULL */
	FILE			*err;
	unsigned		 errors;
	unsigned		 depth;		/* of includes */
};

/* Messages: message.c */

/*
 * Tell of a mistake: place, text, the line and a caret. Once there were fifty
 * the rest is only counted.
 */
void load_error(struct load *l, struct span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void load_warn(struct load *l, struct span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* How many more there were than were told. */
void load_summary(struct load *l);
/* A warning when there is no struct load. */
void span_warn(FILE *err, struct span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The name that was probably meant; feed it candidates, then ask for best. */
struct nearest {
	struct slice	 wanted;
	const char	*best;		/* NULL: nothing is near */
	int		 distance;
};

void nearest_try(struct nearest *n, const char *candidate);
/* " (did you mean X?)" or "". out has room for 100. Returns out. */
char *nearest_text(const struct nearest *n, char out[100]);

/* Tokens: lex.c */

enum token_kind {
	T_EOF, T_EOL,
	T_WORD,			/* names and keywords */
	T_NUMBER,		/* 10, 2.5, 10s, 4K, 09:30 */
	T_ENHANCED,		/* 5.7.1 */
	T_NET,			/* 192.0.2.1, 2001:db8::/32 */
	T_STRING,		/* text: what is between the quotes */
	T_REGEX,		/* text: what is between the slashes */
	T_LBRACE, T_RBRACE, T_LPAREN, T_RPAREN, T_COMMA,
	T_EQUAL, T_UNEQUAL, T_LESS, T_LESS_EQUAL, T_GREATER, T_GREATER_EQUAL,
	T_MATCH, T_UNMATCH, T_PLUS, T_MINUS
};

struct token {
	enum token_kind	 kind;
	struct span	 span;
	unsigned	 line;
	struct slice	 text;		/* T_WORD, T_STRING, T_REGEX */
	struct slice	 flags;		/* T_REGEX */
	double		 number;	/* T_NUMBER */
	char		 unit;		/* T_NUMBER: 0, 's'econds, 'K'ilo, … or
					   ':' for a time of day */
};

struct lex {
	struct load		*load;
	const struct policy_file *file;
	uint32_t		 at, end;
	unsigned		 line;
	unsigned		 parens;	/* a line goes on inside them */
	enum token_kind		 last;
	bool			 fresh;		/* no token in this line yet */
	bool			 quiet;		/* the line has had its mistake */
	bool			 stray;		/* … of the lexer, just now */
};

void lex_init(struct lex *x, struct load *l, const struct policy_file *f,
    uint32_t at, uint32_t end);
/* The next token. What is no token is reported and left out. */
struct token lex_next(struct lex *x);
/* 'the end of the line', '"foo"', for messages. out has room for 80. */
char *token_text(const struct token *t, char out[80]);

/* The parser: parse.c, parse_for.c, parse_decl.c, parse_action.c,
   parse_expr.c, text.c */

struct parser {
	struct load	*load;
	struct rules	*r;		/* load->r */
	struct lex	 lex;
	struct token	 token;		/* the one to look at */
	struct span	 last;		/* of the one before */
	bool		 lost;		/* an error in this line was told */
	unsigned	 depth;		/* of expressions and of groups */
};

struct policy_file *policy_file_new(struct rules *r, const char *path);
/* Read the file into r->files. NULL: it was told. */
const struct policy_file *load_file(struct load *l, const char *path,
    struct span from);
void parse_policy(struct load *l, const struct policy_file *f);
/* A condition alone: "accept" at mail when it holds. */
void parse_only_condition(struct load *l, const struct policy_file *f);

void parser_init(struct parser *p, struct load *l,
    const struct policy_file *f, uint32_t at, uint32_t end);
void parser_next(struct parser *p);
bool parser_is_word(const struct parser *p, const char *word);
/* Take the token if it is this one. */
bool parser_take(struct parser *p, enum token_kind kind);
bool parser_take_word(struct parser *p, const char *word);
/* One error a line: those that follow from the first are not told. */
void parser_error(struct parser *p, struct span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 'X expected, not Y'. */
void parser_expected(struct parser *p, const char *what);
char *parser_strdup(struct parser *p, struct slice s);
/* A name that is declared or used. NULL: it was told. */
const char *parse_name(struct parser *p, const char *what);

/* Forget the rest of the line. True: it ended in "{", so a group is open. */
bool parser_skip_line(struct parser *p);
/* The end of a line, or of the group on the same line. false: told. */
bool parser_end_line(struct parser *p);
void parser_skip_empty(struct parser *p);

/* NULL: nothing is around. */
struct around;
void parse_at(struct parser *p, const struct around *a);
void parse_for(struct parser *p, const struct around *outer);
/* Up to what is no rule: the end of the group, or the next item. */
void parse_rules(struct parser *p, struct rule_list *list, bool group);
struct rule *rule_new(struct parser *p, unsigned line, struct span at);
void rule_append(struct rule_list *list, struct rule *rule);

/* The word is the current token. false: told, and the line is lost. */
bool parse_table(struct parser *p);
bool parse_named_list(struct parser *p);
bool parse_variable(struct parser *p);
bool parse_block(struct parser *p);
bool parse_include(struct parser *p);
bool parse_on_limit(struct parser *p);
bool parse_delimiter(struct parser *p);

/* An action with its condition. false: told, and the line is lost. */
bool parse_rule(struct parser *p, struct rule *rule);
/* Is this word the start of an action? */
bool is_action(struct slice word);

uint32_t expr_new(struct rules *r, enum expr_op op, struct span span);
struct expr *expr_at(struct rules *r, uint32_t e);
/* 0 after a mistake that was told. */
uint32_t parse_condition(struct parser *p);
uint32_t parse_value(struct parser *p);
/* { a, b }: an unnamed list. Its number + 1, 0 after a mistake. */
uint32_t parse_list(struct parser *p);
/* The token is a constant; append it. */
bool parse_element(struct parser *p, uint32_t list);

/* A text with %{…} in it, from a T_STRING: E_CONST or E_TEXT. */
uint32_t parse_text(struct parser *p, const struct token *t);
/* A text without: unescaped, in the arena. NULL: told. */
const char *parse_plain_text(struct parser *p, const struct token *t);

uint32_t regex_use(struct parser *p, const struct token *t);
uint32_t slot_for(struct rules *r, enum rules_field f, const char *name);

/* Lists: list.c */

uint32_t list_new(struct rules *r, struct span span);
/* s is in the arena already. */
void list_add_text(struct rules *r, uint32_t list, struct slice s);
void list_add_number(struct rules *r, uint32_t list, double number);
/* 0; -1 with *why when text is no network. */
int list_add_net(struct rules *r, uint32_t list, const char *text,
    const char **why);
/* Now that it is complete: make it fast. */
void list_finish(struct constants *c);
void list_fini(struct constants *c);

/* Checks: check.c, check_rule.c */

/* Find out what the names of an expression mean, and whether the types fit;
   false: told. A condition is what is true or not, or there or not. */
bool check_condition(struct load *l, uint32_t e);
bool check_value(struct load *l, uint32_t e);
/* Do all its fields exist at this stage, and can it be asked? call: the block is called here, as
   opposed to written; or NULL. */
void check_stage(struct load *l, uint32_t e, enum rules_stage stage,
    const char *call);
/* Is this node, not what is below it, a question to the network? plan.c */
bool expr_asks_network(const struct rules *r, const struct expr *x);
/* Everything of a rule that is the same at each stage. */
void check_rules(struct load *l, struct rule_list *list);
/* Check all rules and blocks. */
void check_all(struct load *l);
/* -1: there is none. */
int table_number(const struct rules *r, struct slice name);
/* Add a table unless there is one of this name. True. */
bool table_declare(struct rules *r, const char *name, const char *spec,
    struct span span);

/* The plan: plan.c, dispatch.c. The tables are opened between the two: what
   they must hold follows from where they are used, and what must be asked from
   what they are. */
void plan_all(struct load *l);
void plan_finish(struct rules *r);
void dispatch_make(struct rules *r, struct seq *q);

#endif
