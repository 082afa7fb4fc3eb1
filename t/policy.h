/*
 * policy - for tests of rules: an environment made of text, outcomes as text.
 *
 * Facts are "client.ip=192.0.2.1\nrcpts=a@b,c@d\nheader Subject=hello\n".
 * Questions are answered from "table KEY=VALUE\n" and "dns NAME=yes\n" when the
 * test says so; without a row the answer is no, "?" is "cannot say".
 */
#ifndef T_POLICY_H
#define T_POLICY_H

#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "rules/rules.h"
#include "tap.h"

struct facts {
	const char		*text;
	bool			 later;		/* answers come later */
	size_t			 scan_above;	/* see rules_env */
	rules_trace_fn		*trace;
	struct rules_question	*asked[100];
	int			 nasked;	/* waiting */
	int			 asks;		/* in all */
	int			 fields;	/* fields asked for in all */
	char			 names[4000];	/* … and which */
};

/* The value of "NAME=value" in the facts, or NULL. */
static const char *
fact(const char *text, const char *name, size_t *len)
{
	const char *end;
	size_t n = strlen(name);

	for (; text != NULL && *text != '\0'; text = end + (*end == '\n')) {
		end = strchrnul(text, '\n');
		if (strncasecmp(text, name, n) == 0 && text[n] == '=') {
			*len = (size_t)(end - text) - n - 1;
			return text + n + 1;
		}
	}
	return NULL;
}

static void
set_list(struct rules_state *s, struct rules_value *v, const char *p,
    size_t len)
{
	struct slice *items = rules_alloc(s, 1000 * sizeof(items[0]));
	const char *end = p + len, *comma;

	v->list.v = items;
	for (v->list.n = 0; p < end; p = comma + 1) {
		comma = memchr(p, ',', (size_t)(end - p));
		if (comma == NULL)
			comma = end;
		items[v->list.n++] = SLICE(p, (size_t)(comma - p));
	}
}

static void
set_numbers(struct rules_state *s, struct rules_value *v, const char *p,
    size_t len)
{
	double *items = rules_alloc(s, 1000 * sizeof(items[0]));
	const char *end = p + len;
	char *next;

	v->list.numbers = items;
	for (v->list.n = 0; p < end; p = *next == ',' ? next + 1 : end)
		items[v->list.n++] = strtod(p, &next);
}

static void
set_value(struct rules_state *s, struct rules_value *v, const char *p,
    size_t len)
{
	switch (v->type) {
	case RULES_NUMBER:
		v->number = strtod(p, NULL);
		break;
	case RULES_BOOLEAN:
		v->yes = len == 3 && strncmp(p, "yes", 3) == 0;
		break;
	case RULES_IP:
		netaddr_parse_ip(&v->ip, p, len);
		break;
	case RULES_STRING:
	case RULES_ADDRESS:
		v->text = SLICE(p, len);
		break;
	case RULES_STRINGS:
	case RULES_ADDRESSES:
		set_list(s, v, p, len);
		break;
	case RULES_NUMBERS:
		set_numbers(s, v, p, len);
		break;
	}
}

static void
facts_field(void *arg, struct rules_state *s, enum rules_field f,
    const char *name, struct rules_value *v)
{
	struct facts *facts = arg;
	const char *p;
	char key[200];
	size_t len, used = strlen(facts->names);

	snprintf(key, sizeof(key), "%s%s%s", rules_field_name(f),
	    name ? " " : "", name ? name : "");
	facts->fields++;
	snprintf(facts->names + used, sizeof(facts->names) - used, "%s%s",
	    used > 0 ? " " : "", key);
	if ((p = fact(facts->text, key, &len)) != NULL)
		set_value(s, v, p, len);
}

static bool
facts_answer(struct facts *facts, struct rules_question *q)
{
	char key[600];
	const char *p;
	size_t len;

	if (q->kind == RULES_ASK_SCAN) {
		rules_scan_do(q->scan, 0);
		return rules_answer(q, RULES_YES, NULL, 0);
	}
	snprintf(key, sizeof(key), "%s %s", q->kind == RULES_ASK_TABLE ?
	    "table" : "dns", q->key.p);
	p = fact(facts->text, key, &len);
	if (p == NULL)
		return rules_answer(q, RULES_NO, NULL, 0);
	if (len == 1 && *p == '?')
		return rules_answer(q, RULES_CANNOT_SAY, NULL, 0);
	return rules_answer(q, RULES_YES, p, len);
}

static void
facts_ask(void *arg, struct rules_question *q)
{
	struct facts *facts = arg;

	facts->asks++;
	if (facts->later)
		facts->asked[facts->nasked++] = q;
	else
		ok(!facts_answer(facts, q),
		    "an answer inside ask resumes nothing");
}

/* Answer what waits. True: the last answer said "run again". */
__attribute__((unused)) static bool
facts_answer_all(struct facts *facts)
{
	bool again = false;
	int i;

	for (i = 0; i < facts->nasked; i++)
		again = facts_answer(facts, facts->asked[i]);
	facts->nasked = 0;
	return again;
}

static struct rules_env
facts_env(struct facts *facts)
{
	size_t len;

	return (struct rules_env){ .field = facts_field, .ask = facts_ask,
	    .arg = facts, .scan_above = facts->scan_above,
	    .trace = facts->trace,
	    .name_failed = fact(facts->text, "name_failed", &len) != NULL };
}

/* Load a text as "p". said: what was told of it, ours to free. */
static struct rules *
policy_load(const char *text, char **said)
{
	struct rules_options o = { .recipient_delimiter = "+" };
	struct rules *r;
	size_t len;
	FILE *err = open_memstream(said, &len);

	r = rules_load_text("p", text, strlen(text), &o, err);
	fclose(err);
	return r;
}

static const char *const edit_words[] = {
	[RULES_ADD_HEADER] = "add-header", [RULES_INSERT_HEADER] =
	    "insert-header", [RULES_CHANGE_HEADER] = "change-header",
	[RULES_DELETE_HEADER] = "delete-header", [RULES_ADD_RCPT] =
	    "add-rcpt", [RULES_DELETE_RCPT] = "delete-rcpt",
	[RULES_REDIRECT] = "redirect", [RULES_QUARANTINE] = "quarantine",
	[RULES_REPLACE_LINE] = "replace-line",
	[RULES_DELETE_LINE] = "delete-line", [RULES_PREPEND_LINE] =
	    "prepend-line",
};

static void
outcome_effects(struct buf *b, const struct rules_outcome *out)
{
	size_t i;

	for (i = 0; i < out->nedits; i++) {
		const struct rules_edit *e = &out->edits[i];

		buf_addf(b, "; %s", edit_words[e->kind]);
		if (e->name != NULL)
			buf_addf(b, " %s:%d", e->name, e->index);
		if (e->value != NULL)
			buf_addf(b, " [%s]", e->value);
	}
	for (i = 0; i < out->nnotes; i++)
		buf_addf(b, "; %s %s", out->notes[i].warn ? "warn" : "note",
		    out->notes[i].text);
	for (i = 0; i < out->nobserved; i++)
		buf_addf(b, "; would %s @%s", out->observed[i].would,
		    out->observed[i].place);
	if (out->delay_ms != 0)
		buf_addf(b, "; delay %llu",
		    (unsigned long long)out->delay_ms);
	if (out->route != NULL)
		buf_addf(b, "; route %s", out->route);
}

/* "reject 550 5.1.1 no @p:3; add-header X:0 [y]". out: ours to free. */
static char *
outcome_text(enum rules_status status, const struct rules_outcome *out)
{
	static const char *const verdicts[] = { "none", "accept", "reject",
		"tempfail", "discard" };
	struct buf b;
	char *text;

	buf_init(&b, 1 << 20);
	if (status == RULES_WAIT) {
		buf_adds(&b, "wait");
	} else if (status == RULES_FAILED) {
		buf_addf(&b, "failed: %s", out->why);
	} else {
		buf_adds(&b, verdicts[out->verdict]);
		if (out->code != 0)
			buf_addf(&b, " %d %s", out->code, out->enhanced);
		if (out->text != NULL)
			buf_addf(&b, " %s", out->text);
	}
	if (out->place != NULL)
		buf_addf(&b, " @%s", out->place);
	outcome_effects(&b, out);
	text = xstrdup(b.p);
	buf_fini(&b);
	return text;
}

/* Run a stage; ours to free. */
__attribute__((unused)) static char *
run_text(struct rules_state *s, enum rules_stage stage, struct facts *facts)
{
	struct rules_env env = facts_env(facts);
	struct rules_outcome out;
	enum rules_status status = rules_run(s, stage, &env, &out);

	return outcome_text(status, &out);
}

#endif
