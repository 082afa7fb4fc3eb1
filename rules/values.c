/*
 * values - what the tables of a policy must hold.
 *
 * A table that "use access" or "use header_checks" looks into holds actions.
 * What is wrong with one is a mistake of the policy when it is loaded, and a
 * reason to keep the old content when the table's file changes; only what a
 * server says is not known before it says it.
 */

#include <string.h>
#include <strings.h>

#include "rules/entry.h"
#include "rules/load_impl.h"
#include "rules/table.h"

/* The action of a rule that does the same; A_LOG: it has a place anywhere. */
static enum action
same_action(enum entry_kind kind)
{
	switch (kind) {
	case ENTRY_DISCARD:
		return A_DISCARD;
	case ENTRY_HOLD:
		return A_QUARANTINE;
	case ENTRY_PREPEND:
		return A_INSERT_HEADER;
	case ENTRY_REDIRECT:
		return A_REDIRECT;
	case ENTRY_BCC:
		return A_ADD_RCPT;
	default:
		return A_LOG;
	}
}

const char *
entry_misplaced(const struct table_entry *e, enum rules_stage stage)
{
	if (action_at(same_action(e->kind), stage))
		return NULL;
	switch (stage) {
	case RULES_CONNECT:
		return "has no place at connect, where there is no message "
		    "yet (write \"use access TABLE on client\" at mail)";
	case RULES_HELO:
		return "has no place at helo, where there is no message yet "
		    "(write \"use access TABLE on helo\" at mail)";
	default:
		return "has no place where there is no message (write \"use "
		    "access TABLE on …\" at mail)";
	}
}

/* NULL when it is good. */
static const char *
check_access(const struct named_table *t, const char *value,
    struct table_entry *e)
{
	const char *wrong;
	int s;

	if (entry_parse_template(e, OF_ACCESS, value, &wrong) == -1)
		return wrong;
	for (s = 0; s < RULES_NSTAGES; s++)
		if ((t->access & 1u << s) != 0 &&
		    (wrong = entry_misplaced(e, (enum rules_stage)s)) != NULL)
			return wrong;
	return NULL;
}

static const char *
check_line(enum entry_of of, const char *value, struct table_entry *e,
    const char **warning)
{
	const char *why;

	value += strspn(value, " \t");
	if (entry_parse_template(e, of, value, &why) == -1) {
		/* Postfix leaves the line of the message alone, and warns. */
		if (strncasecmp(value, "FILTER", 6) == 0)
			return why;
		e->kind = ENTRY_DUNNO;
	}
	*warning = why;
	return NULL;
}

/* Does it want the content of the message changed? */
static bool
writes(enum entry_kind kind)
{
	return kind == ENTRY_PREPEND || kind == ENTRY_REPLACE ||
	    kind == ENTRY_IGNORE || kind == ENTRY_STRIP;
}

/* What was not declared when the policy was loaded cannot be done later:
   messages are not held for it. */
static const char *
declare(struct rules *r, enum entry_of of, enum entry_kind kind)
{
	bool *declared = of == OF_ACCESS ? &r->writes_header :
	    &r->writes_lines;

	if (writes(kind) && !*declared) {
		if (r->loaded)
			return "changes the message, and nothing in this "
			    "policy did so (reload vratar)";
		*declared = true;
	}
	if (kind == ENTRY_HOLD && !r->quarantines) {
		if (r->loaded)
			return "holds mail back, and nothing in this policy "
			    "did so (reload vratar)";
		r->quarantines = true;
	}
	return NULL;
}

/* NULL when it is good for all that the table is used for. */
static const char *
judge(void *arg, const char *value, const char **warning)
{
	struct named_table *t = arg;
	const char *wrong = NULL;
	struct table_entry e;
	int of;

	for (of = OF_ACCESS; wrong == NULL && of <= OF_BODY; of++) {
		if (of == OF_ACCESS ? t->access == 0 :
		    (t->checks & 1u << of) == 0)
			continue;
		wrong = of == OF_ACCESS ? check_access(t, value, &e) :
		    check_line((enum entry_of)of, value, &e, warning);
		if (wrong == NULL)
			wrong = declare(t->rules, (enum entry_of)of, e.kind);
	}
	return wrong;
}

static bool
may_write_header(const struct named_table *t)
{
	int s;

	for (s = 0; s < RULES_NSTAGES; s++)
		if ((t->access & 1u << s) != 0 &&
		    action_at(A_INSERT_HEADER, (enum rules_stage)s))
			return true;
	return false;
}

struct told {
	struct load		*load;
	const struct named_table *table;
};

static void
tell(void *arg, const char *mistake)
{
	struct told *told = arg;

	load_error(told->load, told->table->span, "%s", mistake);
}

void
table_open_named(struct load *l, struct named_table *t)
{
	struct table_use use = { judge, t };
	struct told told = { l, t };

	t->rules = l->r;
	t->table = table_open_for(t->spec, &use, tell, &told);
	if (t->table == NULL || !table_is_remote(t->table))
		return;
	/* A server may say anything that has a place. */
	if (may_write_header(t))
		l->r->writes_header = true;
	if (t->checks != 0)
		l->r->writes_lines = true;
}
