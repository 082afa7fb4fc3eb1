/*
 * rspamd_reply - what rspamd's answer means.
 *
 *	{ "action": "add header", "score": 7.2, "required_score": 15,
 *	  "symbols": { "NAME": { … } }, "messages": { "smtp_message": "…" },
 *	  "subject": "…", "milter": { "add_headers": { "NAME": "VALUE" },
 *	  "remove_headers": { "NAME": 0 } } }
 *
 * What is missing or of another type is as if it were not there, but for the
 * action and the score: without them it is no answer.
 */

#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <jansson.h>

#include "filters/rspamd_impl.h"

#define TEXT_MAX	200

enum action {
	ACTION_REJECT, ACTION_SOFT_REJECT, ACTION_GREYLIST, ACTION_ADD_HEADER,
	ACTION_REWRITE_SUBJECT, ACTION_NO_ACTION, ACTION_UNKNOWN
};

static const char *const actions[ACTION_UNKNOWN] = {
	[ACTION_REJECT]		 = "reject",
	[ACTION_SOFT_REJECT]	 = "soft reject",
	[ACTION_GREYLIST]	 = "greylist",
	[ACTION_ADD_HEADER]	 = "add header",
	[ACTION_REWRITE_SUBJECT] = "rewrite subject",
	[ACTION_NO_ACTION]	 = "no action",
};

static enum action
action_of(const char *name)
{
	enum action a = 0;

	while (a < ACTION_UNKNOWN && strcmp(name, actions[a]) != 0)
		a++;
	return a;
}

static enum verdict
fail(struct rspamd_txn *rt, const char *what, const char *text)
{
	char harmless[TEXT_MAX];

	scan_harmless(harmless, sizeof(harmless), text, strlen(text));
	chain_reply(rt->slot, 451, "4.7.1", "rspamd: %s%s", what, harmless);
	return V_FAIL;
}

/* Findings */

static void
publish(struct rspamd_txn *rt, const json_t *o)
{
	struct chain_slot *slot = rt->slot;
	json_t *symbols = json_object_get(o, "symbols"), *symbol;
	const char *name;

	scan_done(slot, "rspamd");
	chain_publish(slot, "rspamd.action",
	    json_string_value(json_object_get(o, "action")));
	chain_publish_number(slot, "rspamd.score",
	    json_number_value(json_object_get(o, "score")));
	chain_publish_number(slot, "rspamd.required",
	    json_number_value(json_object_get(o, "required_score")));
	json_object_foreach(symbols, name, symbol)
		chain_publish(slot, "rspamd.symbols", name);
}

/* Edits */

/* A header has no line ends of its own: what is folded gets one line. */
static void
edit(struct rspamd_txn *rt, enum txn_edit_kind kind, unsigned nth,
    const char *name, const char *value)
{
	char line[1000];
	size_t i, n = 0;

	for (i = 0; value[i] != '\0' && n < sizeof(line) - 1; i++)
		if ((unsigned char)value[i] >= ' ' && value[i] != 127)
			line[n++] = value[i];
		else if (n > 0 && line[n - 1] != ' ')
			line[n++] = ' ';
	line[n] = '\0';
	chain_edit(rt->slot, &(struct txn_edit){
		.kind = kind, .nth = nth, .name = name, .value = line,
	});
}

/* "VALUE", { "value": "VALUE", "order": 1 }, or several of them. */
static void
add_header(struct rspamd_txn *rt, const char *name, const json_t *value)
{
	const char *text = json_string_value(json_is_object(value) ?
	    json_object_get(value, "value") : value);
	const json_t *order = json_object_get(value, "order");
	json_int_t nth = json_integer_value(order);
	size_t i;

	for (i = 0; i < json_array_size(value); i++)
		if (!json_is_array(json_array_get(value, i)))
			add_header(rt, name, json_array_get(value, i));
	if (text == NULL)
		return;
	if (json_is_integer(order) && nth >= 0)
		edit(rt, EDIT_INSERT_HEADER, (unsigned)nth, name, text);
	else
		edit(rt, EDIT_ADD_HEADER, 0, name, text);
}

static json_int_t
count_fields(const struct txn *t, const char *name)
{
	json_int_t n = 0;
	size_t i;

	for (i = 0; i < t->nheaders; i++)
		n += strcasecmp(t->headers[i].name, name) == 0;
	return n;
}

/* Which of that name: from 1; 0 is all; -1 is the last. Or several of them. */
static void
remove_header(struct rspamd_txn *rt, const char *name, const json_t *which)
{
	json_int_t nth = json_integer_value(which);
	json_int_t n = count_fields(rt->txn, name);
	size_t i;

	for (i = 0; i < json_array_size(which); i++)
		if (!json_is_array(json_array_get(which, i)))
			remove_header(rt, name, json_array_get(which, i));
	if (!json_is_integer(which) || nth > n || nth < -n)
		return;
	if (nth < 0)
		nth = n + nth + 1;
	edit(rt, EDIT_DELETE_HEADER, (unsigned)nth, name, "");
}

static void
apply_edits(struct rspamd_txn *rt, const json_t *o, enum action action)
{
	json_t *milter = json_object_get(o, "milter"), *value;
	const char *name, *subject;

	json_object_foreach(json_object_get(milter, "remove_headers"), name,
	    value)
		remove_header(rt, name, value);
	json_object_foreach(json_object_get(milter, "add_headers"), name,
	    value)
		add_header(rt, name, value);
	if (action == ACTION_ADD_HEADER)
		edit(rt, EDIT_ADD_HEADER, 0, "X-Spam", "Yes");
	subject = json_string_value(json_object_get(o, "subject"));
	if (action == ACTION_REWRITE_SUBJECT && subject != NULL)
		edit(rt, count_fields(rt->txn, "Subject") > 0 ?
		    EDIT_CHANGE_HEADER : EDIT_ADD_HEADER,
		    count_fields(rt->txn, "Subject") > 0, "Subject", subject);
}

/* The verdict */

static enum verdict
refuse(struct rspamd_txn *rt, const json_t *o, enum verdict v)
{
	const char *text = json_string_value(json_object_get(
	    json_object_get(o, "messages"), "smtp_message"));
	char harmless[TEXT_MAX];

	if (text == NULL)
		text = v == V_REJECT ? "the message looks like spam" :
		    "not now; try again later";
	scan_harmless(harmless, sizeof(harmless), text, strlen(text));
	chain_place(rt->slot,
	    json_string_value(json_object_get(o, "action")));
	chain_reply(rt->slot, v == V_REJECT ? 554 : 451,
	    v == V_REJECT ? "5.7.1" : "4.7.1", "%s", harmless);
	return v;
}

static enum verdict
follow(struct rspamd_txn *rt, const json_t *o, enum action action)
{
	switch (action) {
	case ACTION_REJECT:
		return refuse(rt, o, V_REJECT);
	case ACTION_SOFT_REJECT:
		return refuse(rt, o, V_TEMPFAIL);
	case ACTION_GREYLIST:
		if (rt->settings->greylist == GREYLIST_TEMPFAIL)
			return refuse(rt, o, V_TEMPFAIL);
		break;
	case ACTION_ADD_HEADER:
	case ACTION_REWRITE_SUBJECT:
	case ACTION_NO_ACTION:
	case ACTION_UNKNOWN:
		break;
	}
	return V_CONTINUE;
}

static enum verdict
understand(struct rspamd_txn *rt, const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "action"));
	const char *error = json_string_value(json_object_get(o, "error"));
	enum action action;

	if (error != NULL)
		return fail(rt, "", error);
	if (name == NULL || !json_is_number(json_object_get(o, "score")))
		return fail(rt, "an answer without action and score", "");
	action = action_of(name);
	/* A custom action is for rules; nobody else knows what it means. */
	if (action == ACTION_UNKNOWN && rt->settings->scan.refuse)
		return fail(rt, "an action that means nothing here: ", name);
	publish(rt, o);
	if (rt->settings->edits)
		apply_edits(rt, o, action);
	return rt->settings->scan.refuse ? follow(rt, o, action) : V_CONTINUE;
}

enum verdict
rspamd_reply(struct rspamd_txn *rt, struct evhttp_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(in);
	int code = evhttp_request_get_response_code(req);
	char status[20];
	enum verdict v;
	json_t *o;

	snprintf(status, sizeof(status), "%d", code);
	if (code != 200)
		return fail(rt, "HTTP status ", status);
	o = json_loadb(len > 0 ? (char *)evbuffer_pullup(in, -1) : "", len, 0,
	    NULL);
	if (!json_is_object(o))
		v = fail(rt, "an answer that is not JSON", "");
	else
		v = understand(rt, o);
	json_decref(o);
	return v;
}
