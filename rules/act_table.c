/*
 * act_table - what follows from an entry of an access(5) or header_checks(5)
 * table.
 *
 * OK of access(5) ends the rules of its stage and decides nothing else, as in
 * Postfix, where it ends one list of restrictions: accept, which would end the
 * whole policy for this client, must be written by who wants it. An entry
 * that is no action of a proxy is a failure, never a silent DUNNO.
 */

#include <string.h>

#include "rules/access.h"
#include "rules/checks.h"
#include "rules/run_impl.h"

static void
bad_entry(struct run *run, const struct rule *rule, const char *value,
    const char *why)
{
	run_fail(run, run_printf(run, "table %s: \"%s\" %s", rule->name,
	    clean_text(run, SLICE(value, strnlen(value, 100)), TEXT_LOG),
	    why));
}

/* "NAME: value" of PREPEND. */
static void
insert_header(struct run *run, struct slice s)
{
	const char *colon = memchr(s.p, ':', s.len);
	size_t n = (size_t)(colon - s.p) + 1;
	const char *name, *value;

	name = clean_text(run, SLICE(s.p, n - 1), TEXT_HEADER);
	while (n < s.len && (s.p[n] == ' ' || s.p[n] == '\t'))
		n++;
	value = clean_text(run, SLICE(s.p + n, s.len - n), TEXT_HEADER);
	/* The first of several stands above the second (access(5)). */
	if (!only_said(run, "insert header %s: %s", name, value))
		add_edit(run, RULES_INSERT_HEADER, name, value,
		    run->prepended++);
}

static void
edit(struct run *run, enum rules_edit_kind kind, const char *what,
    struct slice s, enum text_use use)
{
	const char *text = clean_text(run, s, use);

	if (!only_said(run, "%s%s%s", what, text[0] != '\0' ? " " : "", text))
		add_edit(run, kind, NULL, text, 0);
}

static void
note(struct run *run, const char *what, struct slice s, bool warn)
{
	const char *text = clean_text(run, s, TEXT_LOG);

	if (!only_said(run, "%s %s", what, text))
		add_note(run, text[0] != '\0' ? text : what, warn);
}

static void
defer(struct run *run, struct deferral *d, const struct access_action *a,
    const char *what)
{
	const char *text = a->text.len > 0 ?
	    clean_text(run, a->text, TEXT_REPLY) : "Service unavailable";

	if (only_said(run, "%s %s", what, text) || d->text != NULL)
		return;
	d->text = arena_strdup(&run->s->arena, text);
	snprintf(d->enhanced, sizeof(d->enhanced), "%s", a->enhanced[0] != '\0'
	    ? a->enhanced : "4.7.1");
	d->place = run->rule->place;
}

static void
refuse(struct run *run, enum rules_verdict verdict, int code,
    const char *enhanced, struct slice text)
{
	set_reply(run, verdict, code, enhanced, text.len > 0 ?
	    clean_text(run, text, TEXT_REPLY) : "Access denied");
}

static void
discard(struct run *run, struct slice text)
{
	set_reply(run, RULES_DISCARD, 0, NULL, text.len > 0 ?
	    clean_text(run, text, TEXT_LOG) : NULL);
}

/* Postfix: access_map_reject_code, access_map_defer_code. */
static void
follow_access(struct run *run, const struct access_action *a)
{
	switch (a->kind) {
	case ACCESS_DUNNO:
		only_said(run, "DUNNO");
		break;
	case ACCESS_OK:
		if (!only_said(run, "OK: no more rules at %s",
		    rules_stage_name(run->stage)))
			run->stop = RUN_END;
		break;
	case ACCESS_REJECT:
		refuse(run, RULES_REJECT, a->code ? a->code : 554,
		    a->enhanced, a->text);
		break;
	case ACCESS_DEFER:
		refuse(run, RULES_TEMPFAIL, a->code ? a->code : 450,
		    a->enhanced, a->text);
		break;
	case ACCESS_DEFER_IF_REJECT:
		defer(run, &run->next.if_reject, a, "defer if reject");
		break;
	case ACCESS_DEFER_IF_PERMIT:
		defer(run, &run->next.if_permit, a, "defer if permit");
		break;
	case ACCESS_DISCARD:
		discard(run, a->text);
		break;
	case ACCESS_HOLD:
		edit(run, RULES_QUARANTINE, "quarantine", a->text, TEXT_LOG);
		break;
	case ACCESS_PREPEND:
		insert_header(run, a->text);
		break;
	case ACCESS_REDIRECT:
		edit(run, RULES_REDIRECT, "redirect recipient", a->text,
		    TEXT_ADDRESS);
		break;
	case ACCESS_BCC:
		edit(run, RULES_ADD_RCPT, "add recipient", a->text,
		    TEXT_ADDRESS);
		break;
	case ACCESS_FILTER:
		edit(run, RULES_FILTER, "filter", a->text, TEXT_LOG);
		break;
	case ACCESS_INFO:
		note(run, "info", a->text, false);
		break;
	case ACCESS_WARN:
		note(run, "warn", a->text, true);
		break;
	}
}

void
act_access(struct run *run, const struct rule *rule)
{
	struct access_action a;
	const char *value, *why;

	run->followed = "no entry";
	if (lookup_access(run, rule, &value) != LOOKUP_YES)
		return;
	if (access_parse(&a, value, &why) == -1)
		bad_entry(run, rule, value, why);
	else
		follow_access(run, &a);
}

/* header_checks(5), body_checks(5) */

static void
strip(struct run *run, struct slice text)
{
	const char *why = clean_text(run, text, TEXT_LOG);

	if (only_said(run, "delete line %s", why))
		return;
	add_edit(run, RULES_DELETE_LINE, NULL, NULL, 0);
	add_note(run, why[0] != '\0' ? why : "strip", false);
}

static void
pass(struct run *run, struct slice text)
{
	if (only_said(run, "no more checks of this message"))
		return;
	run->next.passed = true;
	add_note(run, run_printf(run, "pass %s", clean_text(run, text,
	    TEXT_LOG)), false);
}

static void
follow_checks(struct run *run, const struct checks_action *a)
{
	switch (a->kind) {
	case CHECKS_DUNNO:
		only_said(run, "DUNNO");
		break;
	case CHECKS_REJECT:
		set_reply(run, a->code < 500 ? RULES_TEMPFAIL : RULES_REJECT,
		    a->code, a->enhanced, a->text.len > 0 ?
		    clean_text(run, a->text, TEXT_REPLY) :
		    "message content rejected");
		break;
	case CHECKS_DISCARD:
		discard(run, a->text);
		break;
	case CHECKS_FILTER:
		edit(run, RULES_FILTER, "filter", a->text, TEXT_LOG);
		break;
	case CHECKS_HOLD:
		edit(run, RULES_QUARANTINE, "quarantine", a->text, TEXT_LOG);
		break;
	case CHECKS_IGNORE:
		if (!only_said(run, "delete line"))
			add_edit(run, RULES_DELETE_LINE, NULL, NULL, 0);
		break;
	case CHECKS_STRIP:
		strip(run, a->text);
		break;
	case CHECKS_INFO:
		note(run, "info", a->text, false);
		break;
	case CHECKS_WARN:
		note(run, "warn", a->text, true);
		break;
	case CHECKS_PASS:
		pass(run, a->text);
		break;
	case CHECKS_PREPEND:
		edit(run, RULES_PREPEND_LINE, "prepend line", a->text,
		    TEXT_HEADER);
		break;
	case CHECKS_REDIRECT:
		edit(run, RULES_REDIRECT, "redirect recipient", a->text,
		    TEXT_ADDRESS);
		break;
	case CHECKS_BCC:
		edit(run, RULES_ADD_RCPT, "add recipient", a->text,
		    TEXT_ADDRESS);
		break;
	case CHECKS_REPLACE:
		edit(run, RULES_REPLACE_LINE, "replace line", a->text,
		    TEXT_HEADER);
		break;
	}
}

/* "Empty lines never match" (header_checks(5)). */
void
act_checks(struct run *run, const struct rule *rule)
{
	bool header = rule->action != A_BODY_CHECKS;
	struct slice line = eval_field(run, header ? FIELD_HEADER_LINE :
	    FIELD_BODY_LINE)->text;
	struct checks_action a;
	const char *value, *why;

	run->followed = "no entry";
	if (line.len == 0 || run->next.passed ||
	    lookup_line(run, rule->n, line, &value) != LOOKUP_YES)
		return;
	if (checks_parse(&a, value, header, &why) == -1)
		bad_entry(run, rule, value, why);
	else
		follow_checks(run, &a);
}
