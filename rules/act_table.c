/*
 * act_table - what follows from an entry of an access(5) or header_checks(5)
 * table.
 *
 * OK of access(5) ends the rules of its stage and decides nothing else, as in
 * Postfix, where it ends one list of restrictions: accept, which would end the
 * whole policy for this client, must be written by who wants it. An entry
 * that is no action of a proxy is a failure, never a silent DUNNO.
 *
 * In a header_checks(5) table such an entry is a warning and no more, as it is
 * for Postfix: it is the right side for one of many lines, and mail has been
 * accepted in spite of it for years.
 */

#include <string.h>

#include "rules/entry.h"
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
		    (int)run->next.prepended++);
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
defer(struct run *run, struct deferral *d, const struct table_entry *e,
    const char *what)
{
	const char *text = e->text.len > 0 ?
	    clean_text(run, e->text, TEXT_REPLY) : "Service unavailable";

	if (only_said(run, "%s %s", what, text) || d->text != NULL)
		return;
	d->text = arena_strdup(&run->s->arena, text);
	snprintf(d->enhanced, sizeof(d->enhanced), "%s", e->enhanced[0] != '\0'
	    ? e->enhanced : "4.7.1");
	d->place = run->rule->place;
}

static void
refuse(struct run *run, const struct table_entry *e, const char *text)
{
	set_reply(run, e->kind == ENTRY_REJECT ? RULES_REJECT : RULES_TEMPFAIL,
	    e->code, e->enhanced, e->text.len > 0 ?
	    clean_text(run, e->text, TEXT_REPLY) : text);
}

static void
end_stage(struct run *run)
{
	if (!only_said(run, "OK: no more rules at %s",
	    rules_stage_name(run->stage)))
		run->stop = RUN_END;
}

static void
discard(struct run *run, struct slice text)
{
	set_reply(run, RULES_DISCARD, 0, NULL, text.len > 0 ?
	    clean_text(run, text, TEXT_LOG) : NULL);
}

static void
warn_of_entry(struct run *run, const struct rule *rule, const char *value,
    const char *why)
{
	const char *text = run_printf(run, "table %s: \"%s\" %s", rule->name,
	    clean_text(run, SLICE(value, strnlen(value, 100)), TEXT_LOG),
	    why);

	if (!only_said(run, "%s", text))
		add_note(run, text, true);
}

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
ignore(struct run *run)
{
	if (!only_said(run, "delete line"))
		add_edit(run, RULES_DELETE_LINE, NULL, NULL, 0);
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

/* Of a check it is the last word about the message: that is not what the manual
   says, but what cleanup(8) does. */
static void
redirect(struct run *run, enum entry_of of, struct slice text)
{
	edit(run, RULES_REDIRECT, "redirect recipient", text, TEXT_ADDRESS);
	if (of != OF_ACCESS && !run->rule->observe)
		run->next.passed = true;
}

static void
follow(struct run *run, enum entry_of of, const struct table_entry *e)
{
	switch (e->kind) {
	case ENTRY_DUNNO:
		only_said(run, "DUNNO");
		break;
	case ENTRY_OK:
		end_stage(run);
		break;
	case ENTRY_REJECT:
	case ENTRY_DEFER:
		refuse(run, e, of == OF_ACCESS ? "Access denied" :
		    "message content rejected");
		break;
	case ENTRY_DEFER_IF_REJECT:
		defer(run, &run->next.if_reject, e, "defer if reject");
		break;
	case ENTRY_DEFER_IF_PERMIT:
		defer(run, &run->next.if_permit, e, "defer if permit");
		break;
	case ENTRY_DISCARD:
		discard(run, e->text);
		break;
	case ENTRY_HOLD:
		edit(run, RULES_QUARANTINE, "quarantine", e->text, TEXT_LOG);
		break;
	case ENTRY_PREPEND:
		if (of == OF_ACCESS)
			insert_header(run, e->text);
		else
			edit(run, RULES_PREPEND_LINE, "prepend line", e->text,
			    TEXT_RAW);
		break;
	case ENTRY_REDIRECT:
		redirect(run, of, e->text);
		break;
	case ENTRY_BCC:
		edit(run, RULES_ADD_RCPT, "add recipient", e->text,
		    TEXT_ADDRESS);
		break;
	case ENTRY_INFO:
		note(run, "info", e->text, false);
		break;
	case ENTRY_WARN:
		note(run, "warn", e->text, true);
		break;
	case ENTRY_IGNORE:
		ignore(run);
		break;
	case ENTRY_STRIP:
		strip(run, e->text);
		break;
	case ENTRY_PASS:
		pass(run, e->text);
		break;
	case ENTRY_REPLACE:
		edit(run, RULES_REPLACE_LINE, "replace line", e->text,
		    TEXT_RAW);
		break;
	}
}

static enum entry_subject
about(const struct run *run, const struct rule *rule)
{
	switch (access_subject(rule, run->stage)) {
	case ON_SENDER:
		return ABOUT_SENDER;
	case ON_RECIPIENT:
		return ABOUT_RECIPIENT;
	default:
		return ABOUT_CLIENT;
	}
}

/* Headers that are about MIME have a table of their own, wherever they are. */
static bool
is_for_others(const struct run *run, const struct rule *rule)
{
	return run->stage == RULES_HEADER && rule->action == A_HEADER_CHECKS &&
	    run->env->mime_header;
}

/* What a local table says was checked when it was read. */
void
act_access(struct run *run, const struct rule *rule)
{
	const char *value, *why;
	struct table_entry e;

	run->followed = "no entry";
	if (lookup_access(run, rule, &value) != LOOKUP_YES)
		return;
	if (entry_parse(&e, OF_ACCESS, value, &why) == -1 ||
	    (why = entry_misplaced(&e, run->stage)) != NULL) {
		bad_entry(run, rule, value, why);
		return;
	}
	if (e.enhanced[0] != '\0')
		entry_fix_enhanced(e.enhanced, about(run, rule));
	follow(run, OF_ACCESS, &e);
}

/* "Empty lines never match" (header_checks(5)). */
void
act_checks(struct run *run, const struct rule *rule)
{
	bool header = rule->action != A_BODY_CHECKS;
	enum entry_of of = header ? OF_HEADER : OF_BODY;
	struct slice line = eval_field(run, header ? FIELD_HEADER_LINE :
	    FIELD_BODY_PIECE)->text;
	const char *value, *why;
	struct table_entry e;

	run->followed = "no entry";
	if (line.len == 0 || run->next.passed || is_for_others(run, rule) ||
	    lookup_line(run, rule->n, line, &value) != LOOKUP_YES)
		return;
	if (entry_parse(&e, of, value, &why) == -1 || why != NULL)
		warn_of_entry(run, rule, value, why);
	else
		follow(run, of, &e);
}
