/*
 * run_impl - a stage while it runs, and what a session keeps between stages;
 * for the files of this folder that do it.
 */
#ifndef RULES_RUN_IMPL_H
#define RULES_RUN_IMPL_H

#include "rules/regex.h"
#include "rules/rules_impl.h"

/* What DEFER_IF_REJECT and DEFER_IF_PERMIT left for later. */
struct deferral {
	char		*text;		/* ours; NULL: not set */
	char		 enhanced[12];
	const char	*place;
};

/* What rules change: there is one for the session and one for now. */
struct memory {
	double		 score;
	struct rules_value *vars;	/* ours, and their texts */
	struct deferral	 if_reject, if_permit;
	bool		 passed;	/* checks said PASS */
	unsigned	 prepended;	/* fields, by access(5) */
};

struct rules_state {
	unsigned		 magic;
#define RULES_STATE_MAGIC	 0x57a7e000
	struct rules		*rules;		/* borrowed */
	struct arena		 arena;		/* of the last run */
	struct memory		 session;	/* what is kept */
	struct memory		 now;		/* … and the transaction's */
	struct rules_question	*questions;	/* ours; the newest first */
	size_t			 nquestions, nwaiting;
	unsigned		 nscans;	/* of this stage */
	bool			 asking;	/* inside env->ask */
	bool			 waits;		/* so said the last run */
};

enum run_stop {
	RUN_GO,
	RUN_SKIP,		/* this rule is not to be followed */
	RUN_WAIT,
	RUN_FAILED,
	RUN_END			/* there is a verdict */
};

#define TESTS_MAX	32	/* of one rule, shown in a trace */

struct run {
	struct rules		*r;
	struct rules_state	*s;
	const struct rules_env	*env;
	struct rules_outcome	*out;
	enum rules_stage	 stage;
	enum run_stop		 stop;
	bool			 saying;	/* a text of a rule is made */
	const char		*why;		/* RUN_FAILED */
	const struct rule	*rule;		/* that is looked at */
	struct rules_value	 element;	/* of any, all */
	struct slice		 groups[REGEX_GROUPS];

	/* What becomes of memory "now" when the stage ends well. */
	struct memory		 next;		/* all of it in the arena */

	size_t			 edits_room, observed_room, notes_room;
	const char		*followed;	/* for the trace */
	struct rules_test	*tests;		/* NULL: no trace */
	size_t			 ntests;
};

/* Stop for a reason that is no verdict. */
void run_fail(struct run *run, const char *why);
/* In the arena. */
const char *run_printf(struct run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A pattern gave up: follow on-regex-limit. */
void run_limit(struct run *run, const char *pattern);

/* Expressions: eval.c */
void eval(struct run *run, uint32_t e, struct rules_value *v);
bool eval_condition(struct run *run, uint32_t e);
/* The value of a slot: asked for once a run. If that is a name which the DNS
   could not say, the run fails, unless it is only for a text. */
const struct rules_value *eval_slot(struct run *run, uint32_t slot);
/* Is it such a name? */
bool eval_is_unsure(struct run *run, uint32_t slot);
/* … of a field that has a slot. */
const struct rules_value *eval_field(struct run *run, enum rules_field f);
/* Parts of an address; local is without quotes. */
struct slice address_local_part(struct run *run, struct slice address);
struct slice address_domain_part(struct slice address);

/* Patterns, those on one field as a set: set.c. Groups go to the run. A long
   value is a question for a thread: then the run may have to wait. */
enum regex_result pattern_match(struct run *run, uint32_t regex,
    struct slice value);
/* The first pattern of a set, from this one on, that may match the value of its
   field; their number: none, or they must be waited for. */
size_t pattern_next(struct run *run, uint32_t set, struct slice value,
    size_t nth);

/* Texts: eval_text.c */
enum text_use { TEXT_RAW, TEXT_REPLY, TEXT_LOG, TEXT_HEADER, TEXT_ADDRESS };

/* A value as text, in the arena or where it is. */
struct slice value_text(struct run *run, const struct rules_value *v);
/* The text of an expression as it is. */
struct slice eval_raw_text(struct run *run, uint32_t e);
/* … made harmless for its use; NUL-terminated. */
const char *eval_text(struct run *run, uint32_t e, enum text_use use);
/* The same for a text that is there. */
const char *clean_text(struct run *run, struct slice s, enum text_use use);

/* Tables and DNS: question.c */
enum lookup_result { LOOKUP_NO, LOOKUP_YES, LOOKUP_STOP };

/* Look v up as "in" does. *value, when it is not NULL, is what is found. */
enum lookup_result lookup_value(struct run *run, uint32_t table,
    const struct rules_value *v, const char **value);
/* … as access(5) does, for this subject. */
enum lookup_result lookup_access(struct run *run, const struct rule *rule,
    const char **value);
/* … as header_checks(5) does. */
enum lookup_result lookup_line(struct run *run, uint32_t table,
    struct slice line, const char **value);
enum lookup_result lookup_resolves(struct run *run, struct slice domain);
/* Ask all that these rules may need. */
void ask_ahead(struct run *run, const struct seq *q);
/* Hand it to a thread; *done: it is over, and not only begun. Takes x. */
void ask_scan(struct run *run, struct rules_scan *x, bool *done);
/* The one about that; NULL: none. */
const struct rules_scan *ask_find_scan(struct run *run, uint32_t set,
    uint32_t regex, struct slice text, bool *done);
/* The stage is over. */
void ask_forget_scans(struct rules_state *s);
/* A new stage: what could not be said before may be known now. */
void ask_forget_failures(struct rules_state *s);
void ask_forget_all(struct rules_state *s);

/* Actions: act.c, act_table.c */
void act(struct run *run, const struct rule *rule);
void act_access(struct run *run, const struct rule *rule);
void act_checks(struct run *run, const struct rule *rule);
void set_reply(struct run *run, enum rules_verdict verdict, int code,
    const char *enhanced, const char *text);
void add_edit(struct run *run, enum rules_edit_kind kind, const char *name,
    const char *value, int index);
void add_note(struct run *run, const char *text, bool warn);
/* Say what follows, for traces and "observe". True: it is all that happens. */
bool only_said(struct run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Traces: trace.c */
void trace_test(struct run *run, uint32_t e, const struct rules_value *v,
    bool held);
void trace_rule(struct run *run, bool held, const char *followed);

#endif
