/*
 * script - a filter for tests that does what its settings say.
 *
 *	says = { "EVENT MATCH ACTION... [VERDICT [REPLY]]", … }
 *
 * The first row of the event whose MATCH is in the subject of the event (the
 * address, the HELO name, "NAME: VALUE" of a field, a piece of the body) is
 * played; "*" is in everything.
 *
 *	delay=MS route=NAME		as chain_delay(), chain_route()
 *	add-rcpt=A delete-rcpt=A from=A	edits; rcpts are added with NOTIFY=NEVER
 *	header=EDIT,NTH,NAME,VALUE	add, insert, change, delete; in VALUE "_"
 *					is a space, "|" a line end
 *	body=TEXT			a piece of the new body, likewise
 *	quarantine=REASON		not declared, unless held = "yes"
 *	later=MS			the verdict comes so much later
 *	never				it never comes
 *	twice				it comes twice
 *	note				the subject goes to the log
 *	found=NAME:TEXT			as chain_publish()
 *	continue accept reject tempfail discard skip nonsense
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "filters/filter.h"

struct script {
	struct setting_list	 says;
	bool			 name, held;
};

struct state {
	struct timer		 timer;
	struct chain_slot	*slot;
	enum verdict		 verdict;
};

static const struct setting rows[] = {
	SETTING(script, says, "says", LIST, .help = "see above"),
	SETTING(script, name, "name", BOOL, .def = "no", .help =
	    "whether the client's name is wanted"),
	SETTING(script, held, "held", BOOL, .def = "no", .help =
	    "whether a quarantine may be asked for"),
	{ .name = NULL }
};

static bool
has_edit(const char *row)
{
	static const char *const edits[] = { "-rcpt=", " from=", " header=",
	    " body=" };
	size_t i;

	for (i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
		if (strstr(row, edits[i]) != NULL)
			return true;
	return false;
}

static int
setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	const struct script *s = settings;
	bool edits = false;
	size_t i;

	(void)host;
	self->priv = (void *)settings;
	if (s->name)
		self->wants |= FILTER_WANTS_NAME;
	if (!s->held)
		self->edits &= ~EDIT_BIT(EDIT_QUARANTINE);
	for (i = 0; i < s->says.n; i++) {
		if (strchr(s->says.v[i], ' ') == NULL) {
			*why = strdup("a row without a MATCH");
			return -1;
		}
		edits = edits || has_edit(s->says.v[i]);
	}
	if (!edits && !s->held)
		self->edits = 0;
	return 0;
}

static void
on_later(void *arg)
{
	struct state *st = arg;

	chain_resume(st->slot, st->verdict);
}

static void
edit(struct chain_slot *slot, enum txn_edit_kind kind, const char *name,
    const char *value)
{
	struct txn_edit e = { .kind = kind, .name = name, .value = value };

	chain_edit(slot, &e);
}

static void
unescape(char *p)
{
	for (; *p != '\0'; p++)
		*p = *p == '_' ? ' ' : *p == '|' ? '\n' : *p;
}

static void
edit_header(struct chain_slot *slot, const char *value)
{
	static const struct {
		const char		*word;
		enum txn_edit_kind	 kind;
	} kinds[] = {
		{ "add", EDIT_ADD_HEADER }, { "insert", EDIT_INSERT_HEADER },
		{ "change", EDIT_CHANGE_HEADER },
		{ "delete", EDIT_DELETE_HEADER },
	};
	char copy[500], *rest = copy, *word;
	struct txn_edit e = { .kind = EDIT_KINDS };
	size_t i;

	snprintf(copy, sizeof(copy), "%s", value);
	word = strsep(&rest, ",");
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(word, kinds[i].word) == 0)
			e.kind = kinds[i].kind;
	word = strsep(&rest, ",");
	e.nth = word != NULL ? (unsigned)atoi(word) : 0;
	e.name = strsep(&rest, ",");
	if (rest != NULL)
		unescape(rest);
	e.value = rest;
	chain_edit(slot, &e);
}

static void
edit_body(struct chain_slot *slot, const char *value)
{
	char copy[500];
	struct txn_edit e = { .kind = EDIT_REPLACE_BODY, .value = copy };

	snprintf(copy, sizeof(copy), "%s", value);
	unescape(copy);
	e.len = strlen(copy);
	chain_edit(slot, &e);
}

static enum verdict
verdict_of(const char *word)
{
	enum verdict v;

	for (v = V_CONTINUE; v < V_WAIT; v++)
		if (strcmp(verdict_name(v), word) == 0)
			return v;
	return (enum verdict)99;
}

/* "WORD=VALUE"? */
static const char *
value_of(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) == 0 && word[len] == '=' ?
	    word + len + 1 : NULL;
}

/* One word. True: it was the verdict. */
static bool
play_word(struct chain_slot *slot, const char *word, const char *subject,
    enum verdict *v, long *later)
{
	struct state *st = slot->session;
	const char *value;

	if ((value = value_of(word, "delay")) != NULL)
		chain_delay(slot, (uint64_t)atol(value));
	else if ((value = value_of(word, "route")) != NULL)
		chain_route(slot, value);
	else if ((value = value_of(word, "later")) != NULL)
		*later = atol(value);
	else if ((value = value_of(word, "add-rcpt")) != NULL)
		edit(slot, EDIT_ADD_RCPT, "NOTIFY=NEVER", value);
	else if ((value = value_of(word, "delete-rcpt")) != NULL)
		edit(slot, EDIT_DELETE_RCPT, NULL, value);
	else if ((value = value_of(word, "from")) != NULL)
		edit(slot, EDIT_CHANGE_FROM, NULL, value);
	else if ((value = value_of(word, "header")) != NULL)
		edit_header(slot, value);
	else if ((value = value_of(word, "body")) != NULL)
		edit_body(slot, value);
	else if ((value = value_of(word, "quarantine")) != NULL)
		edit(slot, EDIT_QUARANTINE, NULL, value);
	else if ((value = value_of(word, "found")) != NULL) {
		char name[100];

		snprintf(name, sizeof(name), "%.*s",
		    (int)strcspn(value, ":"), value);
		value += strcspn(value, ":") + 1;
		if (strspn(value, "0123456789.") == strlen(value))
			chain_publish_number(slot, name, atof(value));
		else
			chain_publish(slot, name, value);
	} else if (strcmp(word, "never") == 0)
		*later = -1;
	else if (strcmp(word, "twice") == 0) {
		chain_resume(slot, V_CONTINUE);
		chain_resume(slot, V_CONTINUE);
	} else if (strcmp(word, "note") == 0) {
		char q[500];

		log_info(slot->id, "note subject=%s name=%s tls=%s errors=%u",
		    log_quote(q, sizeof(q), subject, strlen(subject), 100),
		    slot->facts->client_name ? slot->facts->client_name : "-",
		    slot->facts->tls_version ? slot->facts->tls_version : "-",
		    slot->facts->errors);
	} else {
		*v = st->verdict = verdict_of(word);
		return true;
	}
	return false;
}

static enum verdict
play(struct chain_slot *slot, char *words, const char *subject)
{
	struct state *st = slot->session;
	enum verdict v = V_CONTINUE;
	long later = 0;
	char *word, *rest = words;

	st->verdict = V_CONTINUE;
	while ((word = strsep(&rest, " ")) != NULL)
		if (play_word(slot, word, subject, &v, &later))
			break;
	if (rest != NULL && *rest != '\0')
		chain_reply(slot, atoi(rest), NULL, "%s", rest + 4);
	if (later == 0)
		return v;
	st->slot = slot;
	if (st->timer.fire == NULL)
		timer_init(&st->timer, on_later, st);
	if (later > 0)
		timer_set(&st->timer, (uint64_t)later);
	return V_WAIT;
}

static enum verdict
event(struct chain_slot *slot, const char *name, const char *subject)
{
	const struct script *s = slot->priv;
	char row[500], *event_name, *match, *rest;
	size_t i;

	for (i = 0; i < s->says.n; i++) {
		snprintf(row, sizeof(row), "%s", s->says.v[i]);
		rest = row;
		event_name = strsep(&rest, " ");
		match = strsep(&rest, " ");
		if (strcmp(event_name, name) != 0 ||
		    (strcmp(match, "*") != 0 && strstr(subject, match) == NULL))
			continue;
		chain_place(slot, match);
		return play(slot, rest != NULL ? rest : row, subject);
	}
	return V_CONTINUE;
}

static enum verdict
on_connect(struct chain_slot *slot)
{
	char ip[NETADDR_TEXT];

	return event(slot, "connect", netaddr_ip(&slot->facts->client, ip));
}

static enum verdict
on_helo(struct chain_slot *slot)
{
	return event(slot, "helo", slot->facts->helo);
}

static enum verdict
on_auth(struct chain_slot *slot)
{
	return event(slot, "auth", slot->facts->auth_user ?
	    slot->facts->auth_user : "-");
}

static enum verdict
on_mail(struct chain_slot *slot, struct txn *t)
{
	return event(slot, "mail", t->from);
}

static enum verdict
on_rcpt(struct chain_slot *slot, struct txn *t, const struct txn_rcpt *r)
{
	(void)t;
	return event(slot, "rcpt", r->address);
}

static enum verdict
on_data(struct chain_slot *slot, struct txn *t)
{
	return event(slot, "data", t->from);
}

static enum verdict
on_header(struct chain_slot *slot, struct txn *t, const struct header *h)
{
	char text[500];

	(void)t;
	snprintf(text, sizeof(text), "%.*s: %.*s", (int)h->name.len, h->name.p,
	    (int)h->value.len, h->value.p);
	return event(slot, "header", text);
}

static enum verdict
on_content(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	char text[500];

	(void)t;
	snprintf(text, sizeof(text), "%.*s", (int)(len < 400 ? len : 400), p);
	return event(slot, "content", text);
}

static enum verdict
on_eoh(struct chain_slot *slot, struct txn *t)
{
	return event(slot, "eoh", t->from);
}

static enum verdict
on_body(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	char text[500];

	(void)t;
	snprintf(text, sizeof(text), "%.*s", (int)(len < 400 ? len : 400), p);
	return event(slot, "body", text);
}

static enum verdict
on_eom(struct chain_slot *slot, struct txn *t)
{
	return event(slot, "eom", t->from);
}

static void
on_abort(struct chain_slot *slot, struct txn *t)
{
	struct state *st = slot->session;

	(void)t;
	timer_stop(&st->timer);
	log_info(slot->id, "aborted");
}

static void
on_close(struct chain_slot *slot)
{
	struct state *st = slot->session;

	timer_stop(&st->timer);
}

const struct filter vratar_filter = {
	.abi		= FILTER_ABI,
	.name		= "script",
	.settings	= rows,
	.settings_size	= sizeof(struct script),
	.session_size	= sizeof(struct state),
	.edits		= EDITS_ENVELOPE | EDITS_CONTENT |
			    EDIT_BIT(EDIT_QUARANTINE),
	.setup		= setup,
	.connect	= on_connect,
	.helo		= on_helo,
	.auth		= on_auth,
	.mail		= on_mail,
	.rcpt		= on_rcpt,
	.data		= on_data,
	.content	= on_content,
	.header		= on_header,
	.eoh		= on_eoh,
	.body		= on_body,
	.eom		= on_eom,
	.abort		= on_abort,
	.close		= on_close,
};
