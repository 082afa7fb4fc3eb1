/*
 * parse_action - one action and its condition.
 *
 *	rule = ["observe"] action ["if" condition]
 *
 * The words of an action are read here; what fits a stage, and what a name
 * means, is found out in check_rule.c.
 */

#include <string.h>

#include "rules/load_impl.h"

/* Fills the rule from the tokens behind its words. false: told. */
typedef bool args_fn(struct parser *p, struct rule *rule);

static bool
text_arg(struct parser *p, uint32_t *text)
{
	struct token t = p->token;

	parser_next(p);
	*text = parse_text(p, &t);
	return *text != 0;
}

/* Replies */

static bool
is_code(const struct token *t)
{
	return t->kind == T_NUMBER && t->unit == 0 && t->number >= 200 &&
	    t->number <= 599 && t->text.len == 3;
}

static bool
code_arg(struct parser *p, struct rule *rule)
{
	int class = rule->action == A_REJECT ? 5 : 4;

	if (!is_code(&p->token) || (int)p->token.number / 100 != class) {
		parser_error(p, p->token.span, "\"%s\" needs a code %dNN%s",
		    action_name(rule->action), class, class == 5 ?
		    " (\"tempfail\" takes 4NN)" : " (\"reject\" takes 5NN)");
		return false;
	}
	rule->code = (int)p->token.number;
	parser_next(p);
	return true;
}

static bool
enhanced_arg(struct parser *p, struct rule *rule)
{
	char class = rule->action == A_REJECT ? '5' : '4';

	if (p->token.text.p[0] != class) {
		parser_error(p, p->token.span, "the class of an enhanced code "
		    "is that of the reply: %c.x.x", class);
		return false;
	}
	rule->enhanced = parser_strdup(p, p->token.text);
	parser_next(p);
	return true;
}

/* reply = [code] [enhanced] [text] */
static bool
reply_args(struct parser *p, struct rule *rule)
{
	if (p->token.kind == T_NUMBER && !code_arg(p, rule))
		return false;
	if (p->token.kind == T_ENHANCED && !enhanced_arg(p, rule))
		return false;
	if (p->token.kind == T_STRING)
		return text_arg(p, &rule->text);
	if (p->token.kind != T_NUMBER)
		return true;
	if (p->token.number < 200)
		parser_error(p, p->token.span, "an enhanced code has three "
		    "numbers (try 5.7.1)");
	else
		parser_error(p, p->token.span, "the code stands in front: "
		    "%d 5.7.1", (int)p->token.number);
	return false;
}

static bool
optional_text(struct parser *p, struct rule *rule)
{
	return p->token.kind != T_STRING || text_arg(p, &rule->text);
}

static bool
one_text(struct parser *p, struct rule *rule)
{
	if (p->token.kind != T_STRING) {
		parser_expected(p, "a \"text\"");
		return false;
	}
	return text_arg(p, &rule->text);
}

static bool
no_args(struct parser *p, struct rule *rule)
{
	(void)p;
	(void)rule;
	return true;
}

/* State */

static bool
score_args(struct parser *p, struct rule *rule)
{
	rule->value = parse_value(p);
	return rule->value != 0 && optional_text(p, rule);
}

static bool
set_args(struct parser *p, struct rule *rule)
{
	rule->name_span = p->token.span;
	if ((rule->name = parse_name(p, "the name of a variable")) == NULL)
		return false;
	if (!parser_take(p, T_EQUAL)) {
		parser_expected(p, "\"=\"");
		return false;
	}
	rule->value = parse_condition(p);
	return rule->value != 0;
}

/* Envelope and content */

static bool
address_arg(struct parser *p, struct rule *rule)
{
	rule->text = parse_value(p);
	return rule->text != 0;
}

static bool
redirect_args(struct parser *p, struct rule *rule)
{
	parser_take_word(p, "recipient");
	parser_take_word(p, "to");
	return address_arg(p, rule);
}

static bool
index_arg(struct parser *p, struct rule *rule)
{
	if (p->token.kind != T_NUMBER)
		return true;
	if (p->token.unit != 0 || p->token.number > 1000 ||
	    p->token.number != (int)p->token.number) {
		parser_expected(p, "a place from 0 to 1000");
		return false;
	}
	rule->index = (int)p->token.number;
	parser_next(p);
	return true;
}

static bool
placed_header_args(struct parser *p, struct rule *rule)
{
	return index_arg(p, rule) && one_text(p, rule);
}

/* Where to, and how fast */

/* Seconds. RFC 5321 4.5.3.2: clients wait five minutes. */
#define DELAY_MAX	300

static bool
delay_args(struct parser *p, struct rule *rule)
{
	struct token t = p->token;

	if (t.kind != T_NUMBER || (t.unit != 0 && t.unit != 's')) {
		parser_expected(p, "a duration (try 10s)");
		return false;
	}
	if (t.number > DELAY_MAX) {
		parser_error(p, t.span, "a client does not wait longer than "
		    "%ds", DELAY_MAX);
		return false;
	}
	rule->delay_ms = (uint64_t)(t.number * 1000 + 0.5);
	parser_next(p);
	return true;
}

/* route = "route" "to" (NAME / string) */
static bool
route_args(struct parser *p, struct rule *rule)
{
	struct token t = p->token;

	rule->name_span = t.span;
	if (t.kind == T_STRING) {
		parser_next(p);
		rule->name = parse_plain_text(p, &t);
	} else {
		rule->name = parse_name(p, "the name of a backend");
	}
	return rule->name != NULL;
}

static bool
call_args(struct parser *p, struct rule *rule)
{
	rule->name_span = p->token.span;
	rule->name = parse_name(p, "the name of a block");
	return rule->name != NULL;
}

/* Tables of Postfix */

/* A table without a name is named by its specification. */
static bool
table_arg(struct parser *p, struct rule *rule)
{
	struct token t = p->token;

	rule->name_span = t.span;
	if (t.kind != T_STRING) {
		rule->name = parse_name(p, "a table or \"TYPE:PATH\"");
		return rule->name != NULL;
	}
	parser_next(p);
	rule->name = parse_plain_text(p, &t);
	return rule->name != NULL && table_declare(p->r, rule->name,
	    rule->name, t.span);
}

static bool
access_args(struct parser *p, struct rule *rule)
{
	static const char *const subjects[] = { [ON_CLIENT] = "client",
		[ON_HELO] = "helo", [ON_SENDER] = "sender",
		[ON_RECIPIENT] = "recipient" };
	int i;

	if (!table_arg(p, rule))
		return false;
	if (!parser_take_word(p, "on"))
		return true;
	for (i = ON_CLIENT; i <= ON_RECIPIENT; i++)
		if (parser_take_word(p, subjects[i])) {
			rule->on = (enum subject)i;
			return true;
		}
	parser_expected(p, "client, helo, sender or recipient");
	return false;
}

/* Of actions that start with the same word, the one with the second word
   stands in front of the one without. */
static const struct {
	const char	*word, *second;
	enum action	 action;
	args_fn		*args;
} words[] = {
	{ "accept",	NULL,		A_ACCEPT,	 no_args },
	{ "reject",	NULL,		A_REJECT,	 reply_args },
	{ "tempfail",	NULL,		A_TEMPFAIL,	 reply_args },
	{ "discard",	NULL,		A_DISCARD,	 optional_text },
	{ "score",	NULL,		A_SCORE,	 score_args },
	{ "log",	NULL,		A_LOG,		 one_text },
	{ "set",	NULL,		A_SET,		 set_args },
	{ "quarantine",	NULL,		A_QUARANTINE,	 optional_text },
	{ "redirect",	NULL,		A_REDIRECT,	 redirect_args },
	{ "add",	"recipient",	A_ADD_RCPT,	 address_arg },
	{ "delete",	"recipient",	A_DELETE_RCPT,	 address_arg },
	{ "add",	"header",	A_ADD_HEADER,	 one_text },
	{ "insert",	"header",	A_INSERT_HEADER, placed_header_args },
	{ "change",	"header",	A_CHANGE_HEADER, placed_header_args },
	{ "delete",	"header",	A_DELETE_HEADER, placed_header_args },
	{ "delay",	NULL,		A_DELAY,	 delay_args },
	{ "route",	"to",		A_ROUTE,	 route_args },
	{ "call",	NULL,		A_CALL,		 call_args },
	{ "use",	"access",	A_ACCESS,	 access_args },
	{ "use",	"header_checks", A_HEADER_CHECKS, table_arg },
	{ "use",	"mime_header_checks", A_MIME_HEADER_CHECKS,
	    table_arg },
	{ "use",	"nested_header_checks", A_NESTED_HEADER_CHECKS,
	    table_arg },
	{ "use",	"body_checks",	A_BODY_CHECKS,	 table_arg },
};

#define NWORDS	(sizeof(words) / sizeof(words[0]))

bool
is_action(struct slice word)
{
	size_t i;

	for (i = 0; i < NWORDS; i++)
		if (slice_is(word, words[i].word))
			return true;
	return slice_is(word, "observe");
}

/* What it is called elsewhere. */
static const char *
ours_for(struct slice word)
{
	static const struct {
		const char	*theirs, *ours;
	} words_of_others[] = {
		{ "deny", "reject" }, { "refuse", "reject" },
		{ "block", "reject" }, { "bounce", "reject" },
		{ "drop", "reject or discard" }, { "allow", "accept" },
		{ "permit", "accept" }, { "ok", "accept" },
		{ "pass", "accept" }, { "defer", "tempfail" },
		{ "warn", "log" }, { "hold", "quarantine" },
		{ "sleep", "delay" }, { "tarpit", "delay" },
		{ "relay", "route to" }, { "forward", "redirect to" },
	};
	size_t i;

	for (i = 0; i < sizeof(words_of_others) / sizeof(words_of_others[0]);
	    i++)
		if (slice_is(word, words_of_others[i].theirs))
			return words_of_others[i].ours;
	return NULL;
}

static void
tell_no_action(struct parser *p)
{
	struct nearest near = { .wanted = p->token.text };
	char text[80], hint[100];
	const char *meant;
	size_t i;

	if (slice_is(p->token.text, "observe")) {
		parser_error(p, p->token.span, "one \"observe\" is enough");
		return;
	}
	if (p->token.kind == T_WORD) {
		for (i = 0; i < NWORDS; i++)
			nearest_try(&near, words[i].word);
		nearest_try(&near, "observe");
		nearest_try(&near, "table");
		nearest_try(&near, "variable");
		nearest_try(&near, "include");
	}
	if ((meant = ours_for(p->token.text)) != NULL)
		near.best = meant;
	parser_error(p, p->token.span, "%s is no action%s",
	    token_text(&p->token, text), nearest_text(&near, hint));
}

/* The first word was good: which seconds are there? */
static void
tell_no_second(struct parser *p, const char *word)
{
	char seconds[200] = "", text[80];
	size_t i, len = 0;

	for (i = 0; i < NWORDS && len < sizeof(seconds) - 40; i++)
		if (strcmp(words[i].word, word) == 0)
			len += (size_t)snprintf(seconds + len,
			    sizeof(seconds) - len, "%s\"%s\"",
			    len > 0 ? ", " : "", words[i].second);
	parser_error(p, p->token.span, "behind \"%s\" stands %s, not %s", word,
	    seconds, token_text(&p->token, text));
}

static bool
parse_action(struct parser *p, struct rule *rule)
{
	const char *word = NULL;
	size_t i;

	for (i = 0; i < NWORDS; i++) {
		if (word == NULL && parser_is_word(p, words[i].word)) {
			word = words[i].word;
			parser_next(p);
		}
		if (word == NULL || strcmp(words[i].word, word) != 0)
			continue;
		if (words[i].second == NULL ||
		    parser_take_word(p, words[i].second)) {
			rule->action = words[i].action;
			return words[i].args(p, rule);
		}
	}
	if (word != NULL)
		tell_no_second(p, word);
	else
		tell_no_action(p);
	return false;
}

bool
parse_rule(struct parser *p, struct rule *rule)
{
	rule->observe = parser_take_word(p, "observe");
	if (!parse_action(p, rule))
		return false;
	if (!parser_take_word(p, "if"))
		return true;
	rule->cond = parse_condition(p);
	return rule->cond != 0;
}
