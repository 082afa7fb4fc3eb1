/*
 * regex_rule - the form of a rule of pcre and regexp: [!]/pattern/flags result.
 *
 * Wherever Postfix warns, a mistake is reported here, also where it goes on
 * with the rule: text behind "endif" and a missing result are oversights.
 */

#include "rules/regex_rule.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/braces.h"
#include "rules/patterns.h"
#include "rules/report.h"
#include "rules/subst.h"

#define QUOTE_MAX	60	/* octets of the file in a message */

/* Cut "/pattern/flags" out of *p; flags end at white space or at stop. -1 with
   *why (static). */
static int
cut_pattern(char **p, char stop, char **text, struct slice *flags,
    bool *negated, const char **why)
{
	char *q = negations(*p, negated), delimiter = *q;

	if (delimiter == '\0') {
		*why = "no pattern (try /pattern/ result)";
		return -1;
	}
	*text = ++q;
	for (; *q != '\0' && (*q == '\\' || *q != delimiter); q++)
		if (*q == '\\' && *++q == '\0')
			break;
	if (*q == '\0') {
		*why = "the pattern has no end: its first character does not "
		    "come again";
		return -1;
	}
	*q++ = '\0';
	for (*flags = SLICE(q, 0); *q != '\0' && !is_white(*q) && *q != stop;)
		q++, flags->len++;
	*p = q;
	return 0;
}

/* The flags get their NUL last: what follows them was needed until now. */
static void
terminate(struct slice flags, char **out)
{
	*out = (char *)flags.p;
	(*out)[flags.len] = '\0';
}

/* Leaves *p at the result. stop is '!' where it may start a second pattern,
   which it does when there may be a pair. */
static int
cut_rule(struct regex_rule *r, char **p, char stop, bool pairs,
    const char **why)
{
	struct slice flags, flags2;
	bool two = false;

	if (cut_pattern(p, stop, &r->text, &flags, &r->negated, why) == -1)
		return -1;
	if (pairs && **p == '!') {
		do {
			++*p;
		} while (is_white(**p));
		two = true;
		if (cut_pattern(p, '\0', &r->text2, &flags2, &r->negated2,
		    why) == -1)
			return -1;
	}
	while (is_white(**p))
		++*p;
	terminate(flags, &r->flags);
	if (two)
		terminate(flags2, &r->flags2);
	return 0;
}

static void
report_compile(struct patterns *p, unsigned long number, char *why)
{
	report_mistake(p->report, p->name, number, "%s", why);
	free(why);
}

static void
parse_if(struct patterns *p, char *rest, unsigned long number, bool pairs,
    regex_compile_fn *compile)
{
	struct regex_rule r = { 0 };
	const char *why;
	char *failed;
	size_t groups;
	void *what;

	if (cut_rule(&r, &rest, pairs ? '!' : '\0', false, &why) == -1) {
		report_mistake(p->report, p->name, number, "if: %s", why);
		return;
	}
	if ((what = compile(p, &r, &groups, &failed)) == NULL) {
		report_compile(p, number, failed);
		return;
	}
	if (*rest != '\0')
		report_mistake(p->report, p->name, number, "text behind the "
		    "pattern of \"if\" (rules within must not be indented)");
	patterns_add(p, what, r.negated, NULL, number);
}

static void
parse_endif(struct patterns *p, const char *rest, unsigned long number)
{
	if (*rest != '\0')
		report_mistake(p->report, p->name, number,
		    "text behind \"endif\"");
	if (patterns_endif(p) == -1)
		report_mistake(p->report, p->name, number,
		    "\"endif\" without \"if\"");
}

static void
parse_rule(struct patterns *p, char *line, unsigned long number, bool pairs,
    regex_compile_fn *compile)
{
	struct regex_rule r = { 0 };
	struct subst *result;
	const char *why;
	char *failed;
	size_t groups;
	void *what;

	if (cut_rule(&r, &line, pairs ? '!' : '\0', pairs, &why) == -1) {
		report_mistake(p->report, p->name, number, "%s", why);
		return;
	}
	if (*line == '\0')
		report_mistake(p->report, p->name, number,
		    "the pattern has no result: it is empty now");
	r.subst = strchr(line, '$') != NULL;
	if ((what = compile(p, &r, &groups, &failed)) == NULL) {
		report_compile(p, number, failed);
		return;
	}
	result = subst_parse(line, r.negated ? 0 : groups, &why);
	if (result == NULL) {
		report_mistake(p->report, p->name, number, "%s", why);
		p->kind->free(what);
		return;
	}
	patterns_add(p, what, r.negated && r.text2 == NULL, result, number);
}

void
regex_rule_parse(struct patterns *p, char *line, unsigned long number,
    bool pairs, regex_compile_fn *compile)
{
	char quoted[4 * QUOTE_MAX + 6], *rest;

	if (!is_alnum(*line))
		parse_rule(p, line, number, pairs, compile);
	else if ((rest = statement(line, "if")) != NULL)
		parse_if(p, rest, number, pairs, compile);
	else if ((rest = statement(line, "endif")) != NULL)
		parse_endif(p, rest, number);
	else
		report_mistake(p->report, p->name, number, "%s is no rule (try "
		    "/pattern/ result)", log_quote(quoted, sizeof(quoted),
		    line, strlen(line), QUOTE_MAX));
}

static char *
why_no_flag(char letter, const struct regex_flag *flags)
{
	char all[32];
	size_t n = 0;

	for (; flags->letter != '\0' && n + 1 < sizeof(all); flags++)
		all[n++] = flags->letter;
	all[n] = '\0';
	return xasprintf("unknown flag \"%c\" behind the pattern (there is %s)",
	    letter, all);
}

int
regex_flags(const char *letters, const struct regex_flag *flags,
    uint32_t *options, char **why)
{
	const struct regex_flag *f;

	for (; *letters != '\0'; letters++) {
		for (f = flags; f->letter != *letters && f->letter != '\0'; f++)
			;
		if (f->letter == '\0') {
			*why = why_no_flag(*letters, flags);
			return -1;
		}
		*options ^= f->bits;
	}
	return 0;
}
