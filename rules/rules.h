/*
 * rules - the policy language: text in, verdicts out.
 *
 * A policy file is loaded once and is then a plan that never changes. Each
 * session has a rules_state: its score, its variables, the answers it has had
 * from remote tables. At each stage the caller runs the rules of that stage,
 * and hands in an environment that knows the facts: a field is asked for when
 * a rule reads it, at most once a run, so a fact that no rule reads costs
 * nothing. The language is described in rules/README.md.
 *
 * Nothing here waits. What needs the network (remote tables, DNS) or more time
 * than a loop has (patterns on a long text) are
 * questions: rules_run() hands all questions of the stage to env->ask, answers
 * RULES_WAIT, and is called again when they have been answered.
 *
 * One thread: a plan and all states made from it belong to one thread. Runs
 * of different sessions do not overlap, they only follow each other.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/net.h"

struct keys;
struct rules;
struct rules_scan;
struct rules_state;
struct table;

/* Stages, in the order of a session. */
enum rules_stage {
	RULES_CONNECT,
	RULES_HELO,
	RULES_AUTH,		/* after a successful AUTH */
	RULES_MAIL,
	RULES_RCPT,		/* once for each recipient */
	RULES_DATA,		/* once, before 354 (or with the first BDAT) */
	RULES_HEADER,		/* once for each field of the message header */
	RULES_MIME_HEADER,	/* … of a MIME part: only checks look at it */
	RULES_NESTED_HEADER,	/* … of an attached message: the same */
	RULES_BODY,		/* once for each line of the body */
	RULES_EOM,
	RULES_DISCONNECT,
	RULES_NSTAGES
};

/* "connect"; static. */
const char *rules_stage_name(enum rules_stage stage);

/* Values */

enum rules_type {
	RULES_STRING,
	RULES_NUMBER,
	RULES_BOOLEAN,
	RULES_IP,
	RULES_ADDRESS,		/* mail address, canonical, without <> */
	RULES_STRINGS,		/* list of strings */
	RULES_ADDRESSES,	/* list of mail addresses */
	RULES_NUMBERS		/* list of numbers */
};

struct rules_value {
	enum rules_type	 type;
	union {
		struct slice	 text;		/* STRING, ADDRESS */
		double		 number;
		bool		 yes;
		struct netaddr	 ip;		/* family 0: unknown */
		struct {
			union {
				const struct slice	*v;
				const double		*numbers;
			};
			size_t			 n;
		}		 list;		/* STRINGS, ADDRESSES; NUMBERS */
	};
};

/* Fields: one row each in rules/field.def. FIELD_CLIENT_IP, … */
enum rules_field {
#define FIELD(id, name, type, stages, help)	FIELD_##id,
#include "rules/field.def"
#undef FIELD
	RULES_NFIELDS
};

/* "client.ip", and the type that the environment gives it; static. */
const char *rules_field_name(enum rules_field f);
enum rules_type rules_field_type(enum rules_field f);
/* The first stage at which there is such a thing, and what it is. */
enum rules_stage rules_field_from(enum rules_field f);
const char *rules_field_help(enum rules_field f);
const char *rules_type_name(enum rules_type type);	/* "string" */

/* Loading */

struct rules_options {
	/* Characters in front of an address extension, "+"; NULL: none. The
	   policy's own "recipient-delimiter" wins. */
	const char	*recipient_delimiter;
	/* Is there a backend of this name? NULL: take any name. */
	bool		(*has_backend)(void *arg, const char *name);
	void		*arg;
};

/*
 * Load the policy at path, with all that it includes, and open its tables.
 * Every mistake goes to err as "FILE:LINE:COL: what", the line, a caret, and
 * where there is one a suggestion: all of them in one run, then NULL. Warnings
 * (a rule that can never run) go there as well and do no harm. o may be NULL.
 */
struct rules *rules_load(const char *path, const struct rules_options *o,
    FILE *err);
/* The same for a text; name stands in messages and places. */
struct rules *rules_load_text(const char *name, const char *text, size_t len,
    const struct rules_options *o, FILE *err);
/*
 * A policy that is one condition: it accepts at mail when the condition holds,
 * and at connect as well if all that it reads is known there
 * (rules_has_stage()). where stands in messages for a file and a line.
 */
struct rules *rules_load_condition(const char *where, const char *text,
    const struct rules_options *o, FILE *err);
/* Frees it and leaves NULL; NULL is fine. Its states must be gone. */
void rules_free(struct rules **r);

/* Rules for this stage exist: if not, rules_run() need not be called. */
bool rules_has_stage(const struct rules *r, enum rules_stage stage);
/* Some rule may ask for an edit of body lines. */
bool rules_edits_body(const struct rules *r);
/* A rule, an entry of a table, or perhaps a server, adds, changes or deletes
   header fields. */
bool rules_writes_header(const struct rules *r);
/* The same of tables of header_checks and body_checks, or a server that may say
   so: lines are replaced, deleted, put in front of others. */
bool rules_writes_lines(const struct rules *r);
/* There are rules for lines of the body, and not only body_checks. */
bool rules_reads_lines(const struct rules *r);
/* Some rule itself writes a field Authentication-Results. */
bool rules_adds_authres(const struct rules *r);
/* A rule, or an entry of a table that is known now, asks for a quarantine. */
bool rules_quarantines(const struct rules *r);
/* Some rule may add, delete or replace recipients. */
bool rules_edits_envelope(const struct rules *r);
/* The tables of the policy, to make clients for the remote ones
   (table_is_remote()); NULL after the last. */
struct table *rules_table(const struct rules *r, size_t i);
/* Some rule reads this field: what nobody reads need not be collected. */
bool rules_reads_field(const struct rules *r, enum rules_field f);

/*
 * Try each regular expression on subjects made to be hostile, and tell err of
 * those that reach the match limit ("FILE:LINE:COL: warning: …"). Returns how
 * many do. Takes up to some milliseconds for each expression.
 */
int rules_check_regexes(const struct rules *r, FILE *err);
/* The plan in words: stages, fields needed, tables, pattern sets. */
void rules_explain(const struct rules *r, FILE *to);

/* Questions that need the network, or time */

enum rules_ask {
	RULES_ASK_TABLE,	/* the value of key in a remote table */
	RULES_ASK_RESOLVES,	/* has the domain key an MX, A or AAAA? */
	RULES_ASK_SCAN		/* which patterns match a long text? */
};

enum rules_answer {
	RULES_NOT_ASKED, RULES_WAITING,		/* the engine's own */
	RULES_YES,				/* table: value is there */
	RULES_NO,
	RULES_CANNOT_SAY			/* deadline, SERVFAIL, … */
};

struct rules_question {
	enum rules_ask		 kind;
	struct table		*table;		/* RULES_ASK_TABLE, and then … */
	const struct keys	*keys;		/* … what ask_start() wants */
	struct slice		 key;		/* the first of them, or the
						   domain; NUL-terminated */
	struct rules_scan	*scan;		/* RULES_ASK_SCAN */
	enum rules_answer	 answer;
	char			*value;		/* RULES_YES of a table */
	void			*handle;	/* the environment's: it may
						   keep here what it needs to
						   cancel; we never look */
	struct rules_state	*state;
	struct rules_question	*next;
};

/*
 * Give the answer to a question that env->ask was handed, at once or later,
 * exactly once, and by a deadline. value (copied; NULL unless a table said
 * RULES_YES) is limited to 64 KiB. True: no question of this state waits any
 * more, so call rules_run() again with the same stage and facts — but not from
 * inside env->ask, where the answer is ignored and rules_run() goes on itself.
 */
bool rules_answer(struct rules_question *q, enum rules_answer answer,
    const char *value, size_t len);
/* Call fn for each question that waits: to cancel what is under way before
   rules_state_free() or rules_give_up(). */
void rules_each_waiting(struct rules_state *s,
    void (*fn)(struct rules_question *q, void *arg), void *arg);
/* Forget the questions that wait: they are asked again when they are needed. */
void rules_give_up(struct rules_state *s);

/*
 * Do what the scan of a question is about: long and pure, so that a thread may
 * do it (base/threads.h); the answer is RULES_YES then. Everything else on a
 * scan and its rules, which must be there until it is over, is the loop's.
 */
void rules_scan_do(struct rules_scan *x, unsigned thread);
/* Nobody waits for it any more: a thread that is at it ends soon. */
void rules_scan_stop(struct rules_scan *x);
/* The scan of a question that is given up belongs to the caller, who frees it
   when it is over. */
struct rules_scan *rules_scan_take(struct rules_question *q);
void rules_scan_free(struct rules_scan **x);

/* Running */

/* One comparison of a condition, while a rule is traced. */
struct rules_test {
	const char	*asked;		/* "client.ip" */
	const char	*value;		/* "192.0.2.7" */
	const char	*against;	/* "in bad_clients" */
	bool		 held;
};

/*
 * One rule that was looked at. All texts die when the trace function ends. A
 * run that ends with RULES_WAIT may have told steps already; the next one tells
 * them again.
 */
struct rules_step {
	enum rules_stage	 stage;
	const char		*place;		/* "policy.rules:17" */
	const char		*source;	/* the rule as it is written */
	const struct rules_test	*tests;		/* those that were made */
	size_t			 ntests;
	bool			 held;		/* the whole condition */
	const char		*followed;	/* "reject 554 5.7.1 …", or
						   "next rule" */
};

typedef void rules_trace_fn(void *arg, const struct rules_step *step);

struct rules_env {
	/*
	 * Store the value of f in *v, which comes with the type of the field
	 * and its empty value ("", 0, false, family 0, no elements): leave it
	 * when the fact is not known. name is the argument of header("NAME"),
	 * NULL for other fields. Memory is borrowed until rules_run() returns;
	 * rules_alloc() gives some. Fields that rules know themselves
	 * (rcpt.local, score, time, …) are never asked for.
	 */
	void	(*field)(void *arg, struct rules_state *s, enum rules_field f,
		    const char *name, struct rules_value *v);
	/* Ask; see rules_answer(). NULL: such questions cannot be answered. */
	void	(*ask)(void *arg, struct rules_question *q);
	void	 *arg;
	uint64_t  session;	/* its id in log lines; 0: none */
	/* Patterns on a text longer than this are asked about (RULES_ASK_SCAN);
	   0: never. */
	size_t	  scan_above;
	/*
	 * The DNS could not say now what the client is called: where
	 * client.name or client.reverse is empty, that means nothing. Rules
	 * that need it end with RULES_FAILED, and texts say "unknown".
	 */
	bool	  name_failed;
	/* What header_checks(5) leaves to mime_header_checks. */
	bool	  mime_header;
	/* More of a line that the other rules have seen: body_checks only. */
	bool	  only_checks;

	rules_trace_fn	*trace;		/* NULL: off, which costs nothing */
	void		*trace_arg;
};

/* Memory that lives until the next rules_run() or rules_release() of s. */
void *rules_alloc(struct rules_state *s, size_t size);

enum rules_verdict {
	RULES_NONE,		/* no rule has decided */
	RULES_ACCEPT,
	RULES_REJECT,
	RULES_TEMPFAIL,
	RULES_DISCARD
};

enum rules_edit_kind {
	RULES_ADD_HEADER,	/* at the end of the header */
	RULES_INSERT_HEADER,	/* index 0: on top */
	RULES_CHANGE_HEADER,	/* index: which of that name, from 1 */
	RULES_DELETE_HEADER,	/* index 0: all of that name */
	RULES_ADD_RCPT,
	RULES_DELETE_RCPT,
	RULES_REDIRECT,		/* value is the only recipient from now on */
	RULES_QUARANTINE,	/* value is the reason */
	/* About the header field or body line that is being looked at: */
	RULES_REPLACE_LINE,	/* value is the whole new field or line */
	RULES_DELETE_LINE,
	RULES_PREPEND_LINE	/* value goes in front of it */
};

struct rules_edit {
	enum rules_edit_kind	 kind;
	const char		*name;		/* of a header field, or NULL */
	const char		*value;		/* or NULL */
	int			 index;
	const char		*place;		/* the rule that asked for it */
};

/* What "observe" would have done. */
struct rules_observed {
	const char	*would;			/* "reject 554 5.7.1 …" */
	const char	*place;
};

struct rules_note {				/* "log", INFO, WARN, score */
	const char	*text;
	const char	*place;
	bool		 warn;
};

/*
 * What came of a stage. All memory is the state's: copy what must outlive the
 * next rules_run(). Texts have no controls, and reply texts are ASCII.
 */
struct rules_outcome {
	enum rules_verdict		 verdict;
	int				 code;		/* 554; 0: no reply of
							   the rule's own */
	const char			*enhanced;	/* "5.7.1" or NULL */
	const char			*text;		/* or NULL */
	const char			*place;		/* NULL: undecided */

	const struct rules_edit		*edits;
	size_t				 nedits;
	const struct rules_observed	*observed;
	size_t				 nobserved;
	const struct rules_note		*notes;
	size_t				 nnotes;
	uint64_t			 delay_ms;	/* before the reply */
	const char			*route;		/* backend, or NULL */
	const char			*route_place;
	double				 score;		/* so far */
	const char			*why;		/* RULES_FAILED: static
							   or the state's */
};

enum rules_status {
	RULES_DONE,		/* the outcome is complete */
	RULES_WAIT,		/* for answers; the outcome is empty */
	RULES_FAILED		/* a table or DNS could not be asked, or a limit
				   was hit: outcome.why and .place say what and
				   where; the filter's on-failure decides */
};

struct rules_state *rules_state_new(struct rules *r);
/* Frees it and leaves NULL. Questions that wait must not be answered then. */
void rules_state_free(struct rules_state **s);
/*
 * The transaction is over, whatever its result: forget the score and the
 * variables that were set since MAIL. What was set before stays.
 */
void rules_end_txn(struct rules_state *s);
/* Give back the memory of the last outcome before the next run: a session
   that waits for its client needs none. */
void rules_release(struct rules_state *s);

/*
 * Run the rules of a stage. The first accept, reject, tempfail or discard ends
 * it; what follows from that for the session (accept at rcpt accepts that
 * recipient, …) is the caller's to do. After RULES_WAIT nothing has happened
 * yet: the next call starts the stage again.
 */
enum rules_status rules_run(struct rules_state *s, enum rules_stage stage,
    const struct rules_env *env, struct rules_outcome *out);

/* How often a regular expression of this plan has hit its limit. */
uint64_t rules_regex_limits_hit(const struct rules *r);

#endif
