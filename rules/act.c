/*
 * act - what a rule does when its condition holds.
 *
 * Every effect goes through one of a few functions here, and each of them asks
 * only_said() first: that is where "observe" and traces are made, for rules
 * and for the actions of Postfix's tables alike.
 */

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rules/run_impl.h"

#define SAID_MAX	1000	/* octets of what would have been done */
#define EFFECTS_MAX	1000	/* edits, notes, … of one stage */

/* Telling */

const char *
run_printf(struct run *run, const char *fmt, ...)
{
	char text[SAID_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_strdup(&run->s->arena, text);
}

/* Room for one more of size in an array of n; NULL: there are too many. */
static void *
more(struct run *run, const void *v, size_t n, size_t *room, size_t size)
{
	void *grown;

	if (n >= EFFECTS_MAX) {
		run_fail(run, "the rules of one stage do too much");
		return NULL;
	}
	if (n < *room)
		return (void *)(uintptr_t)v;
	*room = *room > 0 ? *room * 2 : 4;
	grown = arena_alloc(&run->s->arena, *room * size);
	if (n > 0)
		memcpy(grown, v, n * size);
	return grown;
}

bool
only_said(struct run *run, const char *fmt, ...)
{
	struct rules_observed *v;
	char text[SAID_MAX];
	va_list ap;

	if (!run->rule->observe && run->tests == NULL)
		return false;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	run->followed = clean_text(run, SLICE_STR(text), TEXT_LOG);
	if (!run->rule->observe)
		return false;
	v = more(run, run->out->observed, run->out->nobserved,
	    &run->observed_room, sizeof(*v));
	if (v == NULL)
		return true;
	v[run->out->nobserved++] = (struct rules_observed){
	    .would = run->followed, .place = run->rule->place };
	run->out->observed = v;
	return true;
}

void
run_fail(struct run *run, const char *why)
{
	if (run->stop == RUN_GO || run->stop == RUN_SKIP) {
		run->stop = RUN_FAILED;
		run->why = why;
	}
}

/*
 * A pattern that gives up says neither yes nor no, so the rule is not followed
 * whatever stands around the pattern, or the message is put off.
 */
void
run_limit(struct run *run, const char *pattern)
{
	char quoted[200];

	log_info(run->env->session, "regex-limit place=%s pattern=%s then=%s",
	    run->rule->place, log_quote(quoted, sizeof(quoted), pattern,
	    strlen(pattern), 48), run->r->tempfail_on_limit ? "tempfail" :
	    "skip");
	if (run->stop != RUN_GO)
		return;
	if (run->r->tempfail_on_limit)
		set_reply(run, RULES_TEMPFAIL, 451, "4.7.1",
		    "Message is too complex to check, try again later");
	if (run->stop == RUN_GO)
		run->stop = RUN_SKIP;
}

/* Verdicts */

static const char *const verdicts[] = {
	[RULES_NONE]	 = "continue",
	[RULES_ACCEPT]	 = "accept",
	[RULES_REJECT]	 = "reject",
	[RULES_TEMPFAIL] = "tempfail",
	[RULES_DISCARD]	 = "discard",
};

/* What RFC 5321 has for a refusal at this stage; at auth, RFC 4954 6. */
static int
default_code(enum rules_stage stage, bool temporary)
{
	switch (stage) {
	case RULES_CONNECT:
		return temporary ? 421 : 554;
	case RULES_AUTH:
		return temporary ? 454 : 535;
	case RULES_HELO:
	case RULES_MAIL:
	case RULES_RCPT:
		return temporary ? 450 : 550;
	default:
		return temporary ? 451 : 554;
	}
}

static const char *
default_enhanced(enum rules_stage stage, bool temporary)
{
	if (stage == RULES_AUTH)
		return temporary ? "4.7.0" : "5.7.8";
	return temporary ? "4.7.1" : "5.7.1";
}

static void
fill_reply(struct run *run, struct rules_outcome *out)
{
	bool temporary = out->verdict == RULES_TEMPFAIL;

	if (out->verdict != RULES_REJECT && !temporary)
		return;
	if (out->code == 0)
		out->code = default_code(run->stage, temporary);
	if (out->enhanced == NULL || out->enhanced[0] == '\0')
		out->enhanced = default_enhanced(run->stage, temporary);
	if (out->text == NULL || out->text[0] == '\0')
		out->text = temporary ? "Try again later" : "Access denied";
}

/* code 0, enhanced NULL or "", text NULL: what is usual. */
void
set_reply(struct run *run, enum rules_verdict verdict, int code,
    const char *enhanced, const char *text)
{
	struct rules_outcome reply = { .verdict = verdict, .code = code,
	    .enhanced = enhanced, .text = text };

	fill_reply(run, &reply);
	if (reply.code != 0 ? only_said(run, "%s %d %s %s", verdicts[verdict],
	    reply.code, reply.enhanced, reply.text) :
	    only_said(run, "%s%s%s", verdicts[verdict], text != NULL ? " " :
	    "", text != NULL ? text : ""))
		return;
	run->out->verdict = verdict;
	run->out->code = reply.code;
	run->out->enhanced = reply.enhanced == NULL ? NULL :
	    arena_strdup(&run->s->arena, reply.enhanced);
	run->out->text = reply.text;
	run->out->place = run->rule->place;
	if (run->stop == RUN_GO)
		run->stop = RUN_END;
}

static const char *
rule_text(struct run *run, const struct rule *rule, enum text_use use)
{
	return rule->text != 0 ? eval_text(run, rule->text, use) : NULL;
}

static void
act_verdict(struct run *run, const struct rule *rule)
{
	static const enum rules_verdict verdict[] = {
		[A_ACCEPT] = RULES_ACCEPT, [A_REJECT] = RULES_REJECT,
		[A_TEMPFAIL] = RULES_TEMPFAIL, [A_DISCARD] = RULES_DISCARD };
	const char *text = rule_text(run, rule, rule->action == A_DISCARD ?
	    TEXT_LOG : TEXT_REPLY);
	const char *enhanced = rule->enhanced;
	int code = rule->code;

	/* 450 without more is 4.7.1 whatever stage it is. */
	if (code == 0 && enhanced != NULL)
		code = default_code(run->stage, rule->action == A_TEMPFAIL);
	set_reply(run, verdict[rule->action], code, enhanced, text);
}

/* Notes, score, variables */

void
add_note(struct run *run, const char *text, bool warn)
{
	struct rules_note *v;

	v = more(run, run->out->notes, run->out->nnotes, &run->notes_room,
	    sizeof(*v));
	if (v == NULL)
		return;
	v[run->out->nnotes++] = (struct rules_note){ .text = text,
	    .place = run->rule->place, .warn = warn };
	run->out->notes = v;
}

static void
act_log(struct run *run, const struct rule *rule)
{
	const char *text = rule_text(run, rule, TEXT_LOG);

	if (!only_said(run, "log %s", text))
		add_note(run, text, false);
}

#define SCORE_MAX	1e9

static double
bounded(double d)
{
	return d > SCORE_MAX ? SCORE_MAX : d < -SCORE_MAX ? -SCORE_MAX : d;
}

static void
act_score(struct run *run, const struct rule *rule)
{
	const char *why = rule_text(run, rule, TEXT_LOG);
	struct rules_value v;
	struct slice number;

	eval(run, rule->value, &v);
	if (run->stop != RUN_GO)
		return;
	number = value_text(run, &v);
	if (only_said(run, "score %.*s%s%s", (int)number.len, number.p,
	    why != NULL ? " " : "", why != NULL ? why : ""))
		return;
	run->next.score = bounded(run->next.score + v.number);
	add_note(run, run_printf(run, "score %.*s%s%s", (int)number.len,
	    number.p, why != NULL ? " " : "", why != NULL ? why : ""), false);
}

#define VARIABLE_MAX	1000	/* octets of a text */

static void
act_set(struct run *run, const struct rule *rule)
{
	struct rules_value *var = &run->next.vars[rule->n], v;
	enum rules_type type = var->type;
	struct slice text;

	if (type == RULES_BOOLEAN) {
		v.type = RULES_BOOLEAN;
		v.yes = eval_condition(run, rule->value);
	} else {
		eval(run, rule->value, &v);
	}
	if (run->stop != RUN_GO)
		return;
	text = value_text(run, &v);
	if (only_said(run, "set %s = %.*s", rule->name, (int)(text.len > 200 ?
	    200 : text.len), text.len > 0 ? text.p : ""))
		return;
	if (type == RULES_NUMBER)
		v.number = bounded(v.number);
	/* A copy: it may be the text of another variable, which changes. */
	if (type == RULES_STRING)
		v.text = SLICE(arena_strndup(&run->s->arena, text.p,
		    text.len < VARIABLE_MAX ? text.len : VARIABLE_MAX),
		    text.len < VARIABLE_MAX ? text.len : VARIABLE_MAX);
	v.type = type;
	*var = v;
}

/* Edits */

void
add_edit(struct run *run, enum rules_edit_kind kind, const char *name,
    const char *value, int index)
{
	struct rules_edit *v;

	v = more(run, run->out->edits, run->out->nedits, &run->edits_room,
	    sizeof(*v));
	if (v == NULL)
		return;
	v[run->out->nedits++] = (struct rules_edit){ .kind = kind,
	    .name = name, .value = value, .index = index,
	    .place = run->rule->place };
	run->out->edits = v;
}

static const struct {
	enum rules_edit_kind	kind;
	enum text_use		use;
	int			index;		/* unless the rule has one */
} edits[] = {
	[A_QUARANTINE]	  = { RULES_QUARANTINE,	   TEXT_LOG,	 0 },
	[A_REDIRECT]	  = { RULES_REDIRECT,	   TEXT_ADDRESS, 0 },
	[A_ADD_RCPT]	  = { RULES_ADD_RCPT,	   TEXT_ADDRESS, 0 },
	[A_DELETE_RCPT]	  = { RULES_DELETE_RCPT,   TEXT_ADDRESS, 0 },
	[A_ADD_HEADER]	  = { RULES_ADD_HEADER,	   TEXT_HEADER,	 0 },
	[A_INSERT_HEADER] = { RULES_INSERT_HEADER, TEXT_HEADER,	 0 },
	[A_CHANGE_HEADER] = { RULES_CHANGE_HEADER, TEXT_HEADER,	 1 },
	[A_DELETE_HEADER] = { RULES_DELETE_HEADER, TEXT_HEADER,	 0 },
};

static void
act_edit(struct run *run, const struct rule *rule)
{
	const char *value = rule_text(run, rule, edits[rule->action].use);
	int index = rule->index >= 0 ? rule->index :
	    edits[rule->action].index;

	if (run->stop != RUN_GO)
		return;
	if (only_said(run, "%s%s%s%s%s", action_name(rule->action),
	    rule->name != NULL ? " " : "", rule->name != NULL ? rule->name :
	    "", value != NULL && rule->name != NULL ? ": " :
	    value != NULL ? " " : "", value != NULL ? value : ""))
		return;
	add_edit(run, edits[rule->action].kind, rule->name, value, index);
}

static void
act_delay(struct run *run, const struct rule *rule)
{
	if (!only_said(run, "delay %gs", (double)rule->delay_ms / 1000) &&
	    run->out->delay_ms < rule->delay_ms)
		run->out->delay_ms = rule->delay_ms;
}

/* Of several, the first. */
static void
act_route(struct run *run, const struct rule *rule)
{
	if (only_said(run, "route to %s", rule->name) ||
	    run->out->route != NULL)
		return;
	run->out->route = rule->name;
	run->out->route_place = rule->place;
}

void
act(struct run *run, const struct rule *rule)
{
	switch (rule->action) {
	case A_ACCEPT:
	case A_REJECT:
	case A_TEMPFAIL:
	case A_DISCARD:
		act_verdict(run, rule);
		break;
	case A_SCORE:
		act_score(run, rule);
		break;
	case A_LOG:
		act_log(run, rule);
		break;
	case A_SET:
		act_set(run, rule);
		break;
	case A_QUARANTINE:
	case A_REDIRECT:
	case A_ADD_RCPT:
	case A_DELETE_RCPT:
	case A_ADD_HEADER:
	case A_INSERT_HEADER:
	case A_CHANGE_HEADER:
	case A_DELETE_HEADER:
		act_edit(run, rule);
		break;
	case A_DELAY:
		act_delay(run, rule);
		break;
	case A_ROUTE:
		act_route(run, rule);
		break;
	case A_ACCESS:
		act_access(run, rule);
		break;
	case A_HEADER_CHECKS:
	case A_MIME_HEADER_CHECKS:
	case A_NESTED_HEADER_CHECKS:
	case A_BODY_CHECKS:
		act_checks(run, rule);
		break;
	case A_CALL:
	case A_GROUP:
	case A_NACTIONS:
		assert(!"a rule without a body");
	}
}
