/* Rounds: a filter sees the content with what those in front of it want
   changed, once, and nobody sees less than before. */

#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/chain.h"
#include "smtp/address.h"
#include "smtp/param.h"
#include "tap.h"

#define NFAKES	4
#define HEADER	EDIT_BIT(EDIT_ADD_HEADER)
#define RCPT	EDIT_BIT(EDIT_ADD_RCPT)
#define READS	(1u << EV_HEADER | 1u << EV_BODY)
#define LARGE	((size_t)3 << 20)

/* A filter that notes what it hears, and adds a field of its name. */
struct fake {
	char			 name;
	enum verdict		 say[EV_NEVENTS];
	unsigned		 edits_at;	/* bits: events */
	bool			 counts;	/* the octets of bodies only */
	size_t			 octets;
	struct chain_slot	*slot;		/* of the last call */
};

static struct event_base *base;
static struct fake fakes[NFAKES];
static struct filter_conf confs[NFAKES];
static struct chain_conf conf;
static struct facts facts = { .id = 7 };
static struct chain *chain;
static struct txn *txn;
static struct buf heard;
static int ndone;

/* The engine's content, and what it was told. */
static struct buf content;
static const char *refusal;
static bool unreadable;

static const char *
do_edits(void *arg, const struct txn_edit *edits, size_t n)
{
	struct buf now;
	size_t i;

	ok(arg == &facts, "the source has its argument");
	buf_addf(&heard, "(%zu) ", n);
	if (refusal != NULL)
		return refusal;
	buf_init(&now, 2 * LARGE);
	for (i = 0; i < n; i++)
		if (edits[i].kind == EDIT_ADD_HEADER)
			buf_addf(&now, "%s: x\r\n", edits[i].name);
	buf_add(&now, content.p, content.len);
	buf_fini(&content);
	content = now;
	return NULL;
}

static int64_t
read_content(void *arg, uint64_t at, void *out, size_t len)
{
	(void)arg;
	if (unreadable)
		return -1;
	if (len > content.len - at)
		len = (size_t)(content.len - at);
	memcpy(out, content.p + at, len);
	return (int64_t)len;
}

static const struct chain_source source = { do_edits, read_content };

static enum verdict
hear(struct chain_slot *slot, enum filter_event ev, struct slice what)
{
	struct fake *f = slot->priv;
	char name[] = { 'X', '-', f->name, '\0' };

	f->slot = slot;
	if (f->counts && ev == EV_BODY)
		f->octets += what.len;
	else
		buf_addf(&heard, "%c.%s%s%.*s ", f->name,
		    filter_event_name(ev), what.len > 0 ? "=" : "",
		    (int)what.len, what.p);
	if (f->edits_at & 1u << ev)
		chain_edit(slot, &(struct txn_edit){
		    .kind = EDIT_ADD_HEADER, .name = name, .value = "x" });
	return f->say[ev];
}

static enum verdict
on_mail(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_MAIL, SLICE("", 0));
}

static enum verdict
on_content(struct chain_slot *s, struct txn *t, const char *p, size_t len)
{
	(void)t;
	return hear(s, EV_CONTENT, SLICE(p, len));
}

static enum verdict
on_header(struct chain_slot *s, struct txn *t, const struct header *h)
{
	(void)t;
	return hear(s, EV_HEADER, h->name);
}

static enum verdict
on_eoh(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_EOH, SLICE("", 0));
}

static enum verdict
on_body(struct chain_slot *s, struct txn *t, const char *p, size_t len)
{
	(void)t;
	return hear(s, EV_BODY, SLICE(p, len));
}

static enum verdict
on_eom(struct chain_slot *s, struct txn *t)
{
	size_t i;

	if (s->facts->hostname == NULL)		/* "show the kept header" */
		for (i = 0; i < t->nheaders; i++)
			buf_addf(&heard, "[%s]", t->headers[i].name);
	return hear(s, EV_EOM, SLICE("", 0));
}

static void
on_abort(struct chain_slot *slot, struct txn *t)
{
	(void)t;
	buf_addf(&heard, "%c.abort ", ((struct fake *)slot->priv)->name);
}

static const struct filter type = {
	.abi		= FILTER_ABI,
	.name		= "fake",
	.mail		= on_mail,
	.content	= on_content,
	.header		= on_header,
	.eoh		= on_eoh,
	.body		= on_body,
	.eom		= on_eom,
	.abort		= on_abort,
};

static void
on_done(void *arg)
{
	(void)arg;
	ndone++;
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
set_content(void)
{
	buf_fini(&content);
	buf_init(&content, 2 * LARGE);
	buf_adds(&content, "A: b\r\n\r\nbody");
}

/* One letter for each filter: "e" reads and edits, "r" reads, "w" edits and
   does not read, "n" does neither; a capital observes. */
static void
start(const char *kinds)
{
	static char names[NFAKES][2] = { "a", "b", "c", "d" };
	size_t i;

	facts.hostname = "host";
	for (i = 0; kinds[i] != '\0'; i++) {
		char kind = kinds[i] | 0x20;

		fakes[i] = (struct fake){ .name = names[i][0] };
		if (kind == 'e' || kind == 'w')
			fakes[i].edits_at = 1u << EV_EOM;
		confs[i] = (struct filter_conf){
			.name = names[i], .type = &type, .timeout = 1000,
			.on_failure = V_TEMPFAIL, .observe = kind != kinds[i],
			.self = { .priv = &fakes[i],
			    .events = 1u << EV_EOM | (kind == 'e' ||
				kind == 'r' ? READS : 0),
			    .edits = RCPT | (kind == 'e' || kind == 'w' ?
				HEADER : 0) },
		};
		chain_conf_add(&conf, &confs[i]);
	}
	buf_init(&heard, 10000);
	set_content();
	ndone = 0;
	chain = chain_new(&conf, &facts, on_done, &facts);
	chain_set_source(chain, &source);
}

static void
stop(void)
{
	chain_free(&chain);
	txn_free(&txn);
	chain_conf_fini(&conf);
	buf_fini(&heard);
	buf_fini(&content);
	refusal = NULL;
	unreadable = false;
}

static bool
mail(void)
{
	static struct address from = { .text = "a@example.org" };
	struct params p = { .present = 0 };

	txn_free(&txn);
	txn = txn_new(&from, &p);
	return chain_mail(chain, txn);
}

/* The whole message. */
static bool
message(void)
{
	return mail() && chain_content(chain, content.p, content.len) &&
	    chain_eom(chain);
}

static void
is_heard(const char *want, const char *name)
{
	is_str(heard.p, want, name);
	buf_reset(&heard);
}

static void
is_verdict(enum verdict v, const char *reply, const char *name)
{
	is_str(verdict_name(chain_result(chain)->verdict), verdict_name(v),
	    name);
	is_str(chain_result(chain)->reply, reply, "… its reply");
}

/* Who begins one */

static void
check_cut(void)
{
	static const struct {
		const char	*kinds, *heard;
	} cases[] = {
		{ "rr", "a.header=A b.header=A a.body=body b.body=body "
		    "a.eom b.eom " },
		{ "er", "a.header=A a.body=body a.eom (1) b.header=X-a "
		    "b.header=A b.body=body b.eom " },
		{ "re", "a.header=A b.header=A a.body=body b.body=body "
		    "a.eom b.eom " },
		{ "Er", "a.header=A b.header=A a.body=body b.body=body "
		    "a.eom b.eom " },
		{ "eR", "a.header=A a.body=body a.eom (1) b.header=X-a "
		    "b.header=A b.body=body b.eom " },
		{ "wr", "a.eom (1) b.header=X-a b.header=A b.body=body "
		    "b.eom " },
		{ "ww", "a.eom (1) b.eom " },
		{ "enr", "a.header=A a.body=body a.eom b.eom (1) "
		    "c.header=X-a c.header=A c.body=body c.eom " },
		{ "eer", "a.header=A a.body=body a.eom (1) b.header=X-a "
		    "b.header=A b.body=body b.eom (1) c.header=X-b "
		    "c.header=X-a c.header=A c.body=body c.eom " },
		{ "errr", "a.header=A a.body=body a.eom (1) b.header=X-a "
		    "c.header=X-a d.header=X-a b.header=A c.header=A "
		    "d.header=A b.body=body c.body=body d.body=body b.eom "
		    "c.eom d.eom " },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(cases[i].kinds);
		ok(message(), "at once");
		is_heard(cases[i].heard, cases[i].kinds);
		is_verdict(V_CONTINUE, NULL, "all agree");
		chain_end(chain);
		is_heard("", "no abort after eom");
		/* Another message starts with the first filter. */
		set_content();
		message();
		is_heard(cases[i].heard, "the same again");
		stop();
	}
	start("er");
	chain_set_source(chain, NULL);
	message();
	is_heard("a.header=A b.header=A a.body=body b.body=body a.eom b.eom ",
	    "nobody to read it from: one round");
	is_int(txn->napplied, 0, "and nothing is done");
	stop();
}

/* A filter without edits that came, because it asked for none. */
static void
check_nothing_asked(void)
{
	start("er");
	fakes[0].edits_at = 0;
	message();
	is_heard("a.header=A a.body=body a.eom (0) b.header=A b.body=body "
	    "b.eom ", "the second round comes all the same");
	stop();
}

static void
check_kept_header(void)
{
	start("er");
	confs[0].self.wants = confs[1].self.wants = FILTER_WANTS_HEADERS;
	facts.hostname = NULL;
	message();
	is_heard("a.header=A a.body=body [A]a.eom (1) b.header=X-a b.header=A "
	    "b.body=body [X-a][A]b.eom ", "txn.headers is of the round");
	stop();
}

static void
check_whole(void)
{
	start("er");
	confs[1].self.events = 1u << EV_CONTENT | 1u << EV_EOM;
	message();
	is_heard("a.header=A a.body=body a.eom (1) b.content=X-a: x\r\n"
	    "A: b\r\n\r\nbody b.eom ", "octets as they are now");
	stop();
}

/* Edits */

static void
check_order_of_edits(void)
{
	start("ere");
	fakes[0].edits_at = fakes[2].edits_at = 1u << EV_MAIL | 1u << EV_EOM;
	confs[0].self.events |= 1u << EV_MAIL;
	confs[2].self.events |= 1u << EV_MAIL;
	message();
	is_heard("a.mail c.mail a.header=A a.body=body a.eom (2) b.header=X-a "
	    "c.header=X-a b.header=X-a c.header=X-a b.header=A c.header=A "
	    "b.body=body c.body=body b.eom c.eom ",
	    "what was asked for early is done with the filter's round");
	is_int(txn->nedits, 4, "all edits are there");
	is_int(txn->napplied, 2, "two are done");
	is_str(txn->edits[0].by, "a", "those of a, first");
	is_str(txn->edits[1].by, "a", "…");
	is_str(txn->edits[2].by, "c", "those of c are to be done");
	stop();
}

static void
check_failure(void)
{
	start("ee");
	fakes[0].say[EV_EOM] = V_FAIL;
	confs[0].on_failure = V_ACCEPT;
	message();
	is_heard("a.header=A a.body=body a.eom (0) b.header=A b.body=body "
	    "b.eom ", "who has failed has no wishes");
	stop();
	start("ee");
	fakes[1].say[EV_EOM] = V_FAIL;
	confs[1].on_failure = V_ACCEPT;
	message();
	is_int(txn->nedits, 1, "what was done before stays");
	is_int(txn->napplied, 1, "…");
	stop();
}

static void
check_narrow(void)
{
	start("er");
	is_int(chain_edits(chain), HEADER | RCPT, "as configured");
	confs[0].self.events |= 1u << EV_MAIL;
	fakes[0].say[EV_MAIL] = V_WAIT;
	ok(!mail(), "it negotiates");
	chain_narrow(fakes[0].slot, EDIT_BIT(EDIT_REPLACE_BODY));
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_int(chain_edits(chain), RCPT, "only what was declared, and is less");
	buf_reset(&heard);
	fakes[0].edits_at = 0;
	chain_content(chain, content.p, content.len);
	chain_eom(chain);
	is_heard("a.header=A b.header=A a.body=body b.body=body a.eom b.eom ",
	    "nobody edits: one round");
	chain_end(chain);
	buf_reset(&heard);
	fakes[0].edits_at = 1u << EV_EOM;
	fakes[0].say[EV_MAIL] = V_CONTINUE;
	message();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "an edit all the same is a failure");
	stop();
}

/* Verdicts */

static void
check_verdicts(void)
{
	start("er");
	fakes[0].say[EV_EOM] = V_REJECT;
	message();
	is_verdict(V_REJECT, "554 5.7.1 message refused by policy", "reject");
	is_heard("a.header=A a.body=body a.eom ", "nobody else is asked");
	chain_end(chain);
	is_heard("b.abort ", "but told");
	fakes[0].say[EV_EOM] = V_CONTINUE;
	fakes[0].say[EV_BODY] = V_TEMPFAIL;
	message();
	is_verdict(V_TEMPFAIL, "451 4.7.1 not now; try again later",
	    "tempfail in the content");
	is_heard("a.header=A a.body=body ", "no other round");
	chain_end(chain);
	is_heard("a.abort b.abort ", "aborts");
	fakes[0].say[EV_BODY] = V_CONTINUE;
	fakes[0].say[EV_EOM] = V_ACCEPT;
	message();
	is_verdict(V_CONTINUE, NULL, "accept");
	is_heard("a.header=A a.body=body a.eom ", "the others are skipped");
	is_int(txn->nedits - txn->napplied, 1, "its edit is to be done");
	chain_end(chain);
	is_heard("b.abort ", "and told");
	fakes[0].say[EV_EOM] = V_DISCARD;
	message();
	is_verdict(V_DISCARD, NULL, "discard");
	chain_end(chain);
	is_heard("a.header=A a.body=body a.eom b.abort ", "the same");
	fakes[0].say[EV_EOM] = V_CONTINUE;
	fakes[1].say[EV_HEADER] = V_REJECT;
	message();
	is_verdict(V_REJECT, "554 5.7.1 message refused by policy",
	    "in the second round");
	is_heard("a.header=A a.body=body a.eom (1) b.header=X-a ",
	    "nothing more of it");
	chain_end(chain);
	is_heard("b.abort ", "abort");
	fakes[1].say[EV_HEADER] = V_CONTINUE;
	fakes[1].say[EV_BODY] = V_SKIP;
	set_content();
	message();
	is_verdict(V_CONTINUE, NULL, "skip in the second round");
	is_heard("a.header=A a.body=body a.eom (1) b.header=X-a b.header=A "
	    "b.body=body b.eom ", "eom comes");
	stop();
}

static void
check_source_fails(void)
{
	start("er");
	refusal = "552 5.3.4 message header is too large";
	message();
	is_verdict(V_REJECT, refusal, "it cannot be edited");
	is_heard("a.header=A a.body=body a.eom (1) ", "nobody is asked");
	chain_end(chain);
	is_heard("b.abort ", "abort");
	refusal = "452 4.3.1 no room";
	message();
	is_verdict(V_TEMPFAIL, refusal, "not now");
	chain_end(chain);
	refusal = NULL;
	unreadable = true;
	message();
	is_verdict(V_TEMPFAIL, "451 4.3.0 the message cannot be read again; "
	    "try again", "it cannot be read");
	chain_end(chain);
	unreadable = false;
	buf_reset(&heard);
	message();
	is_verdict(V_CONTINUE, NULL, "the next message");
	stop();
}

/* Waiting */

static void
check_wait(void)
{
	start("er");
	fakes[0].say[EV_EOM] = fakes[1].say[EV_HEADER] = V_WAIT;
	fakes[1].say[EV_EOM] = V_WAIT;
	mail();
	chain_content(chain, content.p, content.len);
	ok(!chain_eom(chain), "eom waits");
	is_heard("a.header=A a.body=body a.eom ", "for the first");
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_heard("(1) b.header=X-a ", "then for the second");
	chain_resume(fakes[1].slot, V_CONTINUE);
	turn();
	is_heard("b.header=A ", "at each field");
	fakes[1].say[EV_HEADER] = V_CONTINUE;
	chain_resume(fakes[1].slot, V_CONTINUE);
	turn();
	is_heard("b.body=body b.eom ", "and at its eom");
	is_int(ndone, 0, "it is not done yet");
	chain_resume(fakes[1].slot, V_REJECT);
	turn();
	is_int(ndone, 1, "done, once");
	is_verdict(V_REJECT, "554 5.7.1 message refused by policy", "refused");
	stop();
}

static void
check_timeout_and_budget(void)
{
	start("er");
	fakes[1].say[EV_BODY] = V_WAIT;
	ok(!message(), "the second waits");
	buf_reset(&heard);
	clock_advance(1001);
	turn();
	is_heard("b.abort ", "too long");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "it has failed");
	stop();
	start("er");
	conf.budget_ms = 1500;
	fakes[0].say[EV_EOM] = fakes[1].say[EV_EOM] = V_WAIT;
	ok(!message(), "the first waits");
	clock_advance(900);
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_int(ndone, 0, "the second waits");
	clock_advance(601);
	turn();
	is_int(ndone, 1, "the budget is for all rounds");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "it has failed");
	stop();
}

/* Content of LARGE octets behind its header. */
static void
make_large(void)
{
	static char line[] = "0123456789012345678901234567890123456789\r\n";

	while (content.len < LARGE)
		buf_adds(&content, line);
}

static void
check_large(void)
{
	size_t whole;
	int turns = 0;

	start("er");
	make_large();
	whole = content.len - 8;
	fakes[0].counts = fakes[1].counts = true;
	conf.budget_ms = 1;
	ok(!message(), "a large message takes its time");
	is_int(fakes[0].octets, (long long)whole, "the first has seen it");
	while (ndone == 0) {
		clock_advance(1);
		turn();
		turns++;
	}
	is_int(fakes[1].octets, (long long)whole, "so has the second");
	ok(turns >= 5, "others had their turn in between (%d)", turns);
	is_verdict(V_CONTINUE, NULL, "which is no filter's time");
	stop();
}

static void
check_end_in_the_middle(void)
{
	start("er");
	make_large();
	fakes[0].counts = fakes[1].counts = true;
	ok(!message(), "a large message");
	buf_reset(&heard);
	turn();
	chain_end(chain);
	is_heard("b.abort ", "the transaction ends");
	turn();
	is_int(ndone, 0, "and is never done");
	stop();
	start("er");
	fakes[1].say[EV_HEADER] = V_WAIT;
	ok(!message(), "the second waits");
	buf_reset(&heard);
	chain_free(&chain);
	is_heard("b.abort ", "the session ends");
	turn();
	is_int(ndone, 0, "and is never done");
	stop();
}

/* What came in our name was taken out in between; what is there now, a filter
   says. */
static void
check_authres(void)
{
	start("rer");
	facts.authserv_id = "mx";
	buf_reset(&content);
	buf_adds(&content, "Authentication-Results: mx; none\r\n\r\n");
	message();
	is_heard("a.eom b.eom (1) c.header=X-b "
	    "c.header=Authentication-Results c.eom ",
	    "hidden in the first round");
	facts.authserv_id = NULL;
	stop();
}

int
main(void)
{
	log_open("file:/dev/null", false);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	check_cut();
	check_nothing_asked();
	check_kept_header();
	check_whole();
	check_order_of_edits();
	check_failure();
	check_narrow();
	check_verdicts();
	check_source_fails();
	check_wait();
	check_timeout_and_budget();
	check_large();
	check_end_in_the_middle();
	check_authres();
	clock_stop();
	event_base_free(base);
	return tap_done();
}
