/*
 * policy - the filter that runs rules.
 *
 * Each event is a stage of the rules; content is one stage for each of its
 * lines (policy_lines.c), and the last one comes with eom. What a stage says is
 * handed on: the verdict with its reply and its place, edits, a delay, a
 * route; what rules only wanted to tell goes to the log.
 */

#include "filters/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/magic_type.h"
#include "filters/policy_impl.h"

struct policy_settings {
	char		*file;
	uint64_t	 ask_timeout;
	uint64_t	 scan_in_thread;
};

static const struct setting policy_settings[] = {
	SETTING(policy_settings, file, "file", STRING,
	    .help = "The file with the rules; see vratar-policy(5)."),
	SETTING(policy_settings, ask_timeout, "ask-timeout", DURATION,
	    .def = "10s", .min = "10ms", .max = "5m",
	    .help = "How long one question to the DNS or to a remote table "
	    "may take."),
	SETTING(policy_settings, scan_in_thread, "scan-in-thread", SIZE,
	    .def = "16K", .min = "1", .max = "1G",
	    .help = "Patterns on a text longer than this are looked for by a "
	    "thread, and other sessions go on meanwhile."),
	{ .name = NULL }
};

/* Setting up */

static bool
has_backend(void *arg, const char *name)
{
	const struct setting_list *names = arg;
	size_t i;

	for (i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return true;
	return false;
}

static unsigned
events_of(const struct rules *r)
{
	static const struct {
		enum rules_stage	 stage;
		unsigned		 events;
	} rows[] = {
		{ RULES_CONNECT, 1u << EV_CONNECT },
		{ RULES_HELO, 1u << EV_HELO },
		{ RULES_AUTH, 1u << EV_AUTH },
		{ RULES_MAIL, 1u << EV_MAIL },
		{ RULES_RCPT, 1u << EV_RCPT },
		{ RULES_DATA, 1u << EV_DATA },
		{ RULES_HEADER, 1u << EV_HEADER },
		{ RULES_EOM, 1u << EV_EOM },
	};
	unsigned events = 0;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rules_has_stage(r, rows[i].stage))
			events |= rows[i].events;
	/* The last line may have no end. */
	if (policy_scans_header(r))
		events &= ~(1u << EV_HEADER);
	if (policy_scans(r))
		events |= 1u << EV_CONTENT | 1u << EV_BODY | 1u << EV_EOM;
	if (content_wants(r) != 0)
		events |= 1u << EV_HEADER | 1u << EV_BODY | 1u << EV_EOM;
	if (content_wants_octets(content_wants(r)))
		events |= 1u << EV_CONTENT;
	return events;
}

static unsigned
edits_of(const struct rules *r)
{
	unsigned edits = 0;

	/* Local tables that say PREPEND or HOLD are known. A server that says
	   it has asked for what was not declared, and the message is not
	   accepted: most never do. */
	if (rules_quarantines(r))
		edits |= EDIT_BIT(EDIT_QUARANTINE);
	if (rules_writes_header(r))
		edits |= EDITS_CONTENT & ~EDIT_BIT(EDIT_REPLACE_BODY);
	if (rules_writes_lines(r))
		edits |= EDIT_BIT(EDIT_REPLACE_OCTETS);
	if (rules_edits_envelope(r))
		edits |= EDITS_ENVELOPE;
	return edits;
}

static unsigned
wants_of(const struct rules *r)
{
	unsigned wants = 0;

	if (rules_reads_field(r, FIELD_CLIENT_NAME) ||
	    rules_reads_field(r, FIELD_CLIENT_REVERSE))
		wants |= FILTER_WANTS_NAME;
	if (rules_reads_field(r, FIELD_HEADER) ||
	    rules_reads_field(r, FIELD_HEADERS) ||
	    rules_reads_field(r, FIELD_HEADER_NAMES) ||
	    rules_reads_field(r, FIELD_ADDRESSES) ||
	    rules_reads_field(r, FIELD_AGE))
		wants |= FILTER_WANTS_HEADERS;
	if (rules_adds_authres(r))
		wants |= FILTER_ADDS_AUTHRES;
	return wants;
}

static void
policy_teardown(void *priv)
{
	struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	rules_free(&p->rules);
	magic_type_free(&p->types);
	p->magic = 0;
	free(p);
}

struct policy *
policy_instance(struct filter_instance *self, struct rules *r,
    uint64_t ask_timeout)
{
	struct policy *p = xcalloc(1, sizeof(*p));

	p->magic = POLICY_MAGIC;
	p->rules = r;
	p->ask_timeout = ask_timeout;
	p->content = content_wants(r);
	*self = (struct filter_instance){
		.priv = p, .events = events_of(r), .edits = edits_of(r),
		.wants = wants_of(r),
	};
	return p;
}

static int
policy_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	const struct policy_settings *s = settings;
	struct rules_options o = {
		.recipient_delimiter = host->recipient_delimiter,
		.has_backend = has_backend, .arg = (void *)host->backends,
	};
	struct policy *p;
	struct rules *r;

	if (s->file == NULL) {
		*why = xstrdup("file is not set");
		return -1;
	}
	/* What is wrong with the file's name is a mistake of this block. */
	if (access(s->file, R_OK) == -1) {
		*why = xasprintf("file: cannot read %s: %s", s->file,
		    strerror(errno));
		return -1;
	}
	if ((r = rules_load(s->file, &o, host->err)) == NULL)
		return -1;
	p = policy_instance(self, r, s->ask_timeout);
	p->scan_above = (size_t)s->scan_in_thread;
	if (!content_wants_magic(p->content) ||
	    (p->types = magic_type_new(why)) != NULL)
		return 0;
	policy_teardown(p);
	return -1;
}

static void
policy_start(void *priv, const struct filter_worker *w)
{
	struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	p->worker = w;
	p->threads = threads_new(w->base);
	policy_make_clients(p);
}

static void
policy_stop(void *priv)
{
	struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	threads_free(&p->threads);
	policy_free_clients(p);
	p->worker = NULL;
}

void
policy_check(void *priv, FILE *err)
{
	struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	rules_check_regexes(p->rules, err);
}

bool
policy_reads(const void *priv, enum rules_field f)
{
	const struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	return rules_reads_field(p->rules, f);
}

void
policy_trace(void *priv, rules_trace_fn *trace, void *arg)
{
	struct policy *p;

	OBJ_CAST(p, priv, POLICY_MAGIC);
	p->trace = trace;
	p->trace_arg = arg;
}

/* What follows */

static const char *
quoted(char out[1200], const char *text)
{
	return log_quote(out, 1200, text, strlen(text), 280);
}

static void
tell(const struct policy_session *ps, const struct rules_outcome *o)
{
	const char *stage = rules_stage_name(ps->stage);
	uint64_t id = ps->slot->id;
	char text[1200], place[1200];
	size_t i;

	for (i = 0; i < o->nnotes; i++)
		(o->notes[i].warn ? log_warn : log_info)(id,
		    "note at=%s text=%s rule=%s", stage,
		    quoted(text, o->notes[i].text),
		    quoted(place, o->notes[i].place));
	for (i = 0; i < o->nobserved; i++)
		log_info(id, "observe at=%s would=%s rule=%s", stage,
		    quoted(text, o->observed[i].would),
		    quoted(place, o->observed[i].place));
}

static void
edit(const struct policy_session *ps, enum txn_edit_kind kind, unsigned nth,
    const char *name, const char *value)
{
	struct txn_edit e = {
		.kind = kind, .nth = nth, .name = name, .value = value,
	};

	chain_edit(ps->slot, &e);
}

static void
apply_edit(const struct policy_session *ps, const struct rules_edit *e)
{
	unsigned nth = e->index > 0 ? (unsigned)e->index : 0;

	switch (e->kind) {
	case RULES_ADD_HEADER:
		edit(ps, EDIT_ADD_HEADER, 0, e->name, e->value);
		break;
	case RULES_INSERT_HEADER:
		edit(ps, EDIT_INSERT_HEADER, nth, e->name, e->value);
		break;
	case RULES_CHANGE_HEADER:
		edit(ps, EDIT_CHANGE_HEADER, nth, e->name, e->value);
		break;
	case RULES_DELETE_HEADER:
		edit(ps, EDIT_DELETE_HEADER, nth, e->name, NULL);
		break;
	case RULES_ADD_RCPT:
		edit(ps, EDIT_ADD_RCPT, 0, NULL, e->value);
		break;
	case RULES_DELETE_RCPT:
		edit(ps, EDIT_DELETE_RCPT, 0, NULL, e->value);
		break;
	case RULES_REDIRECT:
		edit(ps, EDIT_REDIRECT, 0, NULL, e->value);
		break;
	case RULES_QUARANTINE:
		edit(ps, EDIT_QUARANTINE, 0, NULL, e->value);
		break;
	case RULES_REPLACE_LINE:
	case RULES_DELETE_LINE:
	case RULES_PREPEND_LINE:
		policy_edit_line(ps, e);
		break;
	}
}

static enum verdict
verdict_of(const struct policy_session *ps, const struct rules_outcome *o)
{
	if (o->code != 0)
		chain_reply(ps->slot, o->code, o->enhanced, "%s",
		    o->text != NULL ? o->text : "");
	switch (o->verdict) {
	case RULES_NONE:
		break;
	case RULES_ACCEPT:
		return V_ACCEPT;
	case RULES_REJECT:
		return V_REJECT;
	case RULES_TEMPFAIL:
		return V_TEMPFAIL;
	case RULES_DISCARD:
		return V_DISCARD;
	}
	return V_CONTINUE;
}

static enum verdict
follow(const struct policy_session *ps, const struct rules_outcome *o)
{
	size_t i;

	tell(ps, o);
	for (i = 0; i < o->nedits; i++)
		apply_edit(ps, &o->edits[i]);
	if (o->delay_ms > 0)
		chain_delay(ps->slot, o->delay_ms);
	if (o->route != NULL)
		chain_route(ps->slot, o->route);
	if (o->place != NULL)
		chain_place(ps->slot, o->place);
	return verdict_of(ps, o);
}

static void
fail(const struct policy_session *ps, const struct rules_outcome *o)
{
	char why[1200], place[1200];

	tell(ps, o);
	log_warn(ps->slot->id, "policy-failed at=%s why=%s rule=%s",
	    rules_stage_name(ps->stage),
	    quoted(why, o->why != NULL ? o->why : ""),
	    quoted(place, o->place != NULL ? o->place : ""));
	if (o->place != NULL)
		chain_place(ps->slot, o->place);
	if (o->why != NULL)
		chain_reply(ps->slot, 451, "4.7.1", "%s", o->why);
}

/* Running */

/* Is there another stage of the same event? */
static bool
next_stage(struct policy_session *ps)
{
	if (!ps->scanning || ps->stage == RULES_EOM)
		return false;
	if (policy_next_line(ps))
		return true;
	ps->stage = RULES_EOM;
	return ps->finishing;
}

/* As Postfix does, whoever may have asked for something there. */
static enum verdict
refuse_depth(const struct policy_session *ps)
{
	chain_reply(ps->slot, 550, "5.6.0",
	    "MIME nesting exceeds safety limit");
	return V_REJECT;
}

/*
 * One line that cannot be judged does not keep the others, or what is said at
 * eom, from being looked at.
 */
static enum verdict
run(struct policy_session *ps)
{
	enum verdict v = V_CONTINUE;
	struct rules_outcome out;
	struct rules_env env;

	do {
		if (ps->stage == RULES_EOM && policy_is_too_deep(ps))
			return refuse_depth(ps);
		policy_env(ps, &env);
		switch (rules_run(ps->state, ps->stage, &env, &out)) {
		case RULES_WAIT:
			return V_WAIT;
		case RULES_FAILED:
			fail(ps, &out);
			ps->failed = true;
			break;
		case RULES_DONE:
			v = follow(ps, &out);
			break;
		}
	} while (v == V_CONTINUE && next_stage(ps));
	return v == V_CONTINUE && ps->failed ? V_FAIL : v;
}

static void
forget_txn(struct chain_slot *slot)
{
	struct policy_txn *pt = slot->txn;

	if (pt == NULL)
		return;
	if (pt->begun)
		policy_lines_fini(pt);
	content_free(&pt->content);
}

void
policy_go_on(struct policy_session *ps)
{
	enum verdict v = run(ps);

	if (v == V_WAIT)
		return;
	if (ps->finishing)
		forget_txn(ps->slot);
	chain_resume(ps->slot, v);
}

/* Events */

static struct policy_session *
session_of(struct chain_slot *slot)
{
	struct policy_session *ps = slot->session;

	if (ps->state == NULL) {
		OBJ_CAST(ps->policy, slot->priv, POLICY_MAGIC);
		ps->slot = slot;
		ps->state = rules_state_new(ps->policy->rules);
	}
	ps->txn = NULL;
	ps->rcpt = NULL;
	ps->header = NULL;
	ps->scanning = ps->only_header = false;
	ps->finishing = ps->failed = false;
	return ps;
}

static enum verdict
run_session(struct chain_slot *slot, enum rules_stage stage)
{
	struct policy_session *ps = session_of(slot);

	ps->stage = stage;
	return run(ps);
}

static struct policy_session *
in_txn(struct chain_slot *slot, const struct txn *t, enum rules_stage stage)
{
	struct policy_session *ps = session_of(slot);
	struct policy_txn *pt = slot->txn;

	if (!pt->begun) {
		pt->begun = true;
		policy_lines_init(pt, ps->policy->rules);
		rules_end_txn(ps->state);
	}
	ps->txn = t;
	ps->stage = stage;
	return ps;
}

/* What rules read of the content; NULL: nothing. */
static struct content *
content_of(const struct policy_session *ps)
{
	struct policy_txn *pt = ps->slot->txn;

	if (pt->content == NULL && ps->policy->content != 0)
		pt->content = content_new(ps->policy->content,
		    ps->policy->types);
	return pt->content;
}

static enum verdict
policy_connect(struct chain_slot *slot)
{
	return run_session(slot, RULES_CONNECT);
}

static enum verdict
policy_helo(struct chain_slot *slot)
{
	return run_session(slot, RULES_HELO);
}

static enum verdict
policy_auth(struct chain_slot *slot)
{
	return run_session(slot, RULES_AUTH);
}

static enum verdict
policy_mail(struct chain_slot *slot, struct txn *t)
{
	return run(in_txn(slot, t, RULES_MAIL));
}

static enum verdict
policy_rcpt(struct chain_slot *slot, struct txn *t, const struct txn_rcpt *r)
{
	struct policy_session *ps = in_txn(slot, t, RULES_RCPT);

	ps->rcpt = r;
	return run(ps);
}

static enum verdict
policy_data(struct chain_slot *slot, struct txn *t)
{
	return run(in_txn(slot, t, RULES_DATA));
}

static enum verdict
policy_header(struct chain_slot *slot, struct txn *t, const struct header *h)
{
	struct policy_session *ps = in_txn(slot, t, RULES_HEADER);
	struct content *content = content_of(ps);

	if (content != NULL)
		content_header(content, h);
	if (!rules_has_stage(ps->policy->rules, RULES_HEADER) ||
	    policy_scans_header(ps->policy->rules))
		return V_CONTINUE;
	ps->header = h;
	return run(ps);
}

/* Lines that have come, and were not looked at. */
static enum verdict
run_lines(struct policy_session *ps, bool only_header)
{
	ps->scanning = true;
	ps->only_header = only_header;
	ps->stage = RULES_DATA;
	return policy_next_line(ps) ? run(ps) : V_CONTINUE;
}

static enum verdict
policy_content(struct chain_slot *slot, struct txn *t, const char *p,
    size_t len)
{
	struct policy_session *ps = in_txn(slot, t, RULES_DATA);
	struct content *content = content_of(ps);

	if (content != NULL)
		content_octets(content, p, len);
	if (!policy_scans(ps->policy->rules))
		return V_CONTINUE;
	policy_add_content(ps, p, len);
	return run_lines(ps, true);
}

static enum verdict
policy_body(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	struct policy_session *ps = in_txn(slot, t, RULES_BODY);
	struct content *content = content_of(ps);

	if (content != NULL)
		content_body(content, p, len);
	return policy_scans(ps->policy->rules) ? run_lines(ps, false) :
	    V_CONTINUE;
}

/* What is left of the lines, and eom. */
static enum verdict
judge(struct policy_session *ps)
{
	enum verdict v;

	ps->scanning = policy_scans(ps->policy->rules);
	if (!ps->scanning || !policy_next_line(ps))
		ps->stage = RULES_EOM;
	v = run(ps);
	if (v != V_WAIT)
		forget_txn(ps->slot);
	return v;
}

void
policy_judge(struct policy_session *ps)
{
	enum verdict v = judge(ps);

	if (v != V_WAIT)
		chain_resume(ps->slot, v);
}

static enum verdict
policy_eom(struct chain_slot *slot, struct txn *t)
{
	struct policy_session *ps = in_txn(slot, t, RULES_DATA);
	struct content *content = content_of(ps);

	ps->finishing = true;
	if (content != NULL) {
		content_end(content);
		if (policy_work_start(ps))
			return V_WAIT;
	}
	return judge(ps);
}

static void
policy_abort(struct chain_slot *slot, struct txn *t)
{
	struct policy_session *ps = slot->session;

	(void)t;
	if (ps->state == NULL)
		return;
	policy_stop_asking(ps);
	policy_work_abandon(ps);
	forget_txn(slot);
}

/* At disconnect there is only the log left, and nobody to wait for. */
static void
run_disconnect(struct policy_session *ps)
{
	struct rules_outcome out;
	struct rules_env env;

	ps->stage = RULES_DISCONNECT;
	ps->txn = NULL;
	policy_env(ps, &env);
	env.ask = NULL;
	if (rules_run(ps->state, RULES_DISCONNECT, &env, &out) == RULES_DONE)
		tell(ps, &out);
}

static void
policy_close(struct chain_slot *slot)
{
	struct policy_session *ps = slot->session;
	struct policy *p;

	OBJ_CAST(p, slot->priv, POLICY_MAGIC);
	if (rules_has_stage(p->rules, RULES_DISCONNECT))
		session_of(slot);
	if (ps->state == NULL)
		return;
	policy_stop_asking(ps);
	policy_work_abandon(ps);
	if (rules_has_stage(p->rules, RULES_DISCONNECT))
		run_disconnect(ps);
	rules_state_free(&ps->state);
}

const struct filter filter_policy = {
	.abi		= FILTER_ABI,
	.name		= "policy",
	.settings	= policy_settings,
	.settings_size	= sizeof(struct policy_settings),
	.session_size	= sizeof(struct policy_session),
	.txn_size	= sizeof(struct policy_txn),
	.edits		= EDITS_CONTENT | EDITS_ENVELOPE |
			    EDIT_BIT(EDIT_QUARANTINE),
	.wants		= FILTER_WANTS_NAME | FILTER_WANTS_HEADERS |
			    FILTER_ADDS_AUTHRES,
	.setup		= policy_setup,
	.teardown	= policy_teardown,
	.start		= policy_start,
	.stop		= policy_stop,
	.connect	= policy_connect,
	.helo		= policy_helo,
	.auth		= policy_auth,
	.mail		= policy_mail,
	.rcpt		= policy_rcpt,
	.data		= policy_data,
	.content	= policy_content,
	.header		= policy_header,
	.body		= policy_body,
	.eom		= policy_eom,
	.abort		= policy_abort,
	.close		= policy_close,
};
