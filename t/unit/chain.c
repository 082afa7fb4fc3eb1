/* The chain: order, verdicts and their scope, waiting, time-outs, and filters
   that do what they must not. */

#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/chain.h"
#include "smtp/address.h"
#include "smtp/param.h"
#include "tap.h"

#define NFAKES	3
#define HUGE_FIELD	((size_t)300 << 10)

/* A filter that answers what it is told, and notes what it hears. */
struct fake {
	enum verdict		 say[EV_NEVENTS];
	void			(*act)(struct chain_slot *slot,
				    enum filter_event ev);
	struct chain_slot	*slot;		/* of the last call */
	struct buf		*heard;		/* of all of them */
	char			 name;
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

static enum verdict
hear(struct chain_slot *slot, enum filter_event ev)
{
	struct fake *f = slot->priv;

	f->slot = slot;
	buf_addf(&heard, "%c.%s ", f->name, filter_event_name(ev));
	if (f->act != NULL)
		f->act(slot, ev);
	return f->say[ev];
}

static enum verdict
on_connect(struct chain_slot *s)
{
	return hear(s, EV_CONNECT);
}

static enum verdict
on_helo(struct chain_slot *s)
{
	return hear(s, EV_HELO);
}

static enum verdict
on_auth(struct chain_slot *s)
{
	return hear(s, EV_AUTH);
}

static enum verdict
on_unknown(struct chain_slot *s, const char *line)
{
	buf_addf(&heard, "%s:", line);
	return hear(s, EV_UNKNOWN);
}

static enum verdict
on_refused(struct chain_slot *s, struct txn *t, const struct txn_rcpt *r,
    const char *reply)
{
	(void)t;
	buf_addf(&heard, "%s:%s:", r->address, reply);
	return hear(s, EV_REFUSED);
}

static enum verdict
on_mail(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_MAIL);
}

static enum verdict
on_rcpt(struct chain_slot *s, struct txn *t, const struct txn_rcpt *r)
{
	(void)t, (void)r;
	return hear(s, EV_RCPT);
}

static enum verdict
on_data(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_DATA);
}

static enum verdict
on_content(struct chain_slot *s, struct txn *t, const char *p, size_t len)
{
	(void)t;
	buf_addf(&heard, "<%.*s>", (int)len, p);
	return hear(s, EV_CONTENT);
}

static enum verdict
on_header(struct chain_slot *s, struct txn *t, const struct header *h)
{
	(void)t;
	buf_addf(&heard, "%.*s:", (int)h->name.len, h->name.p);
	return hear(s, EV_HEADER);
}

static enum verdict
on_eoh(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_EOH);
}

static enum verdict
on_body(struct chain_slot *s, struct txn *t, const char *p, size_t len)
{
	(void)t;
	buf_addf(&heard, "%.*s:", (int)len, p);
	return hear(s, EV_BODY);
}

static enum verdict
on_eom(struct chain_slot *s, struct txn *t)
{
	(void)t;
	return hear(s, EV_EOM);
}

static void
on_abort(struct chain_slot *slot, struct txn *t)
{
	buf_addf(&heard, "%c.abort%s ", ((struct fake *)slot->priv)->name,
	    t == NULL ? "-" : "");
}

static void
on_close(struct chain_slot *slot)
{
	buf_addf(&heard, "%c.close ", ((struct fake *)slot->priv)->name);
}

static const struct filter type = {
	.abi		= FILTER_ABI,
	.name		= "fake",
	.session_size	= 8,
	.txn_size	= 8,
	.connect	= on_connect,
	.helo		= on_helo,
	.auth		= on_auth,
	.mail		= on_mail,
	.rcpt		= on_rcpt,
	.unknown	= on_unknown,
	.refused	= on_refused,
	.data		= on_data,
	.content	= on_content,
	.header		= on_header,
	.eoh		= on_eoh,
	.body		= on_body,
	.eom		= on_eom,
	.abort		= on_abort,
	.close		= on_close,
};

static void
on_done(void *arg)
{
	ok(arg == &facts, "done has its argument");
	ndone++;
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* A chain of n filters that all continue. */
static void
start(size_t n)
{
	static char names[NFAKES][2] = { "a", "b", "c" };
	size_t i;

	for (i = 0; i < n; i++) {
		fakes[i] = (struct fake){ .name = names[i][0] };
		confs[i] = (struct filter_conf){
			.name = names[i], .type = &type, .timeout = 1000,
			.on_failure = V_TEMPFAIL,
			.self = { .priv = &fakes[i],
			    .events = ((1u << EV_NEVENTS) - 1) &
				~(1u << EV_CONTENT),
			    .edits = EDIT_BIT(EDIT_ADD_HEADER) },
		};
		chain_conf_add(&conf, &confs[i]);
	}
	buf_init(&heard, 10000);
	ndone = 0;
	chain = chain_new(&conf, &facts, on_done, &facts);
}

static void
end_txn(void)
{
	chain_end(chain);
	txn_free(&txn);
}

static void
stop(void)
{
	chain_free(&chain);
	txn_free(&txn);
	chain_conf_fini(&conf);
	buf_fini(&heard);
}

static bool
mail(void)
{
	static struct address from = { .text = "a@example.org" };
	struct params p = { .present = 0 };

	txn = txn_new(&from, &p);
	return chain_mail(chain, txn);
}

static bool
rcpt(void)
{
	struct txn_rcpt r = { .address = (char []){ "b@example.org" },
	    .params = (char []){ "" } };

	return chain_rcpt(chain, &r);
}

static void
is_heard(const char *want, const char *name)
{
	is_str(heard.p, want, name);
	buf_reset(&heard);
}

static void
is_verdict(enum verdict v, const char *reply, const char *by,
    const char *name)
{
	const struct chain_result *r = chain_result(chain);

	is_str(verdict_name(r->verdict), verdict_name(v), name);
	is_str(r->reply, reply, "… its reply");
	is_str(r->by, by, "… who decided");
}

static bool
feed(const char *text)
{
	return chain_content(chain, text, strlen(text));
}

static const char content[] = "A: b\r\nC: d\r\n\r\nbody";

/* Order */

static void
check_order(void)
{
	start(2);
	ok(chain_connect(chain) && chain_helo(chain) && chain_auth(chain),
	    "answered at once");
	is_heard("a.connect b.connect a.helo b.helo a.auth b.auth ",
	    "all are asked in order");
	ok(mail() && rcpt() && chain_data(chain) && feed(content) &&
	    chain_eom(chain), "a transaction");
	is_heard("a.mail b.mail a.rcpt b.rcpt a.data b.data A:a.header "
	    "A:b.header C:a.header C:b.header a.eoh b.eoh body:a.body "
	    "body:b.body a.eom b.eom ", "each event, each filter");
	is_verdict(V_CONTINUE, NULL, NULL, "all continue");
	end_txn();
	is_heard("", "no abort after eom");
	mail();
	buf_reset(&heard);
	end_txn();
	is_heard("a.abort b.abort ", "abort without eom");
	stop();
}

/* A filter that is not interested is not asked, and still has its abort. */
static void
check_interest(void)
{
	start(2);
	confs[0].self.events = 1u << EV_RCPT;
	conf.events = (1u << EV_RCPT) | (1u << EV_CONNECT);
	confs[1].self.events = 1u << EV_CONNECT;
	chain_connect(chain);
	mail();
	rcpt();
	ok(!chain_wants_content(chain), "nobody wants content");
	is_heard("b.connect a.rcpt ", "only what was declared");
	end_txn();
	is_heard("a.abort b.abort ", "abort comes all the same");
	stop();
}

/* Whether it is asked at all */

/* Two filters; the second has a condition, c, that is due at these events. */
static void
start_with_when(unsigned events)
{
	static char name[] = "b";

	start(2);	/* they are what start() makes them … */
	stop();
	fakes[2] = (struct fake){ .name = 'c' };
	confs[2] = (struct filter_conf){
		.name = name, .type = &type, .timeout = 1000,
		.on_failure = V_TEMPFAIL,
		.self = { .priv = &fakes[2], .events = events },
	};
	confs[1].when = &confs[2];	/* … but for this */
	chain_conf_add(&conf, &confs[0]);
	chain_conf_add(&conf, &confs[1]);
	buf_init(&heard, 10000);
	chain = chain_new(&conf, &facts, on_done, &facts);
}

static void
check_when(void)
{
	start_with_when(1u << EV_MAIL);
	chain_connect(chain);
	chain_helo(chain);
	mail();
	rcpt();
	feed(content);
	chain_eom(chain);
	is_heard("a.connect a.helo a.mail c.mail a.rcpt A:a.header C:a.header "
	    "a.eoh body:a.body a.eom ", "it does not hold: b hears nothing");
	end_txn();
	is_heard("c.abort ", "… and of no end");
	fakes[2].say[EV_MAIL] = V_ACCEPT;
	mail();
	rcpt();
	is_heard("a.mail c.mail b.mail a.rcpt b.rcpt ", "it holds");
	end_txn();
	is_heard("a.abort c.abort b.abort ", "… and ends");
	fakes[2].say[EV_MAIL] = V_CONTINUE;
	chain_helo(chain);
	mail();
	is_heard("a.helo b.helo a.mail c.mail ", "who was asked once hears of "
	    "the session");
	stop();

	start_with_when(1u << EV_MAIL | 1u << EV_CONNECT);
	chain_connect(chain);
	chain_helo(chain);
	is_heard("a.connect c.connect a.helo ", "known at connect, and no");
	fakes[2].say[EV_CONNECT] = fakes[2].say[EV_MAIL] = V_ACCEPT;
	chain_connect(chain);
	chain_helo(chain);
	mail();
	is_heard("a.connect c.connect b.connect a.helo b.helo a.mail c.mail "
	    "b.mail ", "known at connect, and yes");
	stop();
}

static void
check_when_waits(void)
{
	start_with_when(1u << EV_MAIL);
	fakes[2].say[EV_MAIL] = V_WAIT;
	ok(!mail(), "it waits");
	chain_resume(fakes[2].slot, V_ACCEPT);
	fakes[1].say[EV_MAIL] = V_WAIT;
	turn();
	is_int(ndone, 0, "the filter waits, too");
	chain_resume(fakes[1].slot, V_REJECT);
	turn();
	is_int(ndone, 1, "answered");
	is_verdict(V_REJECT, "550 5.7.1 refused by policy", "b", "by b");
	is_heard("a.mail c.mail b.mail ", "each once");
	end_txn();
	buf_reset(&heard);

	fakes[1].say[EV_MAIL] = V_CONTINUE;
	ok(!mail(), "it waits again");
	end_txn();
	is_heard("a.mail c.mail a.abort c.abort ", "and the client leaves");

	ok(!mail(), "it waits for too long");
	clock_advance(1000);
	turn();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "b", "it has failed, and b with it");
	end_txn();
	fakes[2].say[EV_MAIL] = V_FAIL;
	confs[2].on_failure = V_ACCEPT;
	buf_reset(&heard);
	ok(mail() && rcpt(), "it cannot say");
	is_verdict(V_CONTINUE, NULL, NULL, "on-failure");
	is_heard("a.mail c.mail a.rcpt ", "b is not asked");
	stop();
}

/* Verdicts */

static void
reply_4xx(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_reply(slot, 450, NULL, "x");
}

static void
check_connect(void)
{
	start(2);
	fakes[0].say[EV_CONNECT] = V_REJECT;
	chain_connect(chain);
	is_verdict(V_REJECT, "554 5.7.1 you are not welcome here", "a",
	    "reject at connect");
	is_heard("a.connect ", "the others are not asked");
	stop();
	start(1);
	fakes[0].act = reply_4xx;
	fakes[0].say[EV_CONNECT] = V_TEMPFAIL;
	chain_connect(chain);
	is_verdict(V_TEMPFAIL, "421 x", "a", "a greeting has its own codes");
	stop();
	start(2);
	fakes[0].say[EV_HELO] = V_ACCEPT;
	chain_helo(chain);
	is_verdict(V_CONTINUE, NULL, NULL, "accept at helo");
	mail();
	rcpt();
	is_heard("a.helo ", "nobody is asked in this session any more");
	end_txn();
	mail();
	is_heard("", "nor in its next message");
	stop();
	is_heard("", "");
}

static void
set_reply(struct chain_slot *slot, enum filter_event ev)
{
	if (ev != EV_RCPT)
		return;
	chain_reply(slot, 551, "5.1.6", "moved to %s\r\n250 ok", "Mars");
	chain_place(slot, "x.rules:3");
}

static void
check_rcpt(void)
{
	start(2);
	mail();
	fakes[0].say[EV_RCPT] = V_ACCEPT;
	rcpt();
	fakes[0].say[EV_RCPT] = V_REJECT;
	fakes[0].act = set_reply;
	buf_reset(&heard);
	rcpt();
	is_verdict(V_REJECT, "551 5.1.6 moved to Mars??250 ok", "x.rules:3",
	    "reject with a reply, its controls gone");
	is_heard("a.rcpt ", "asked for this recipient, and b not");
	fakes[0].say[EV_RCPT] = V_CONTINUE;
	fakes[1].say[EV_RCPT] = V_TEMPFAIL;
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 not now; try again later", "b",
	    "tempfail of the second");
	feed(content);
	chain_eom(chain);
	is_verdict(V_CONTINUE, NULL, NULL, "the message is another matter");
	stop();
}

static bool
refused(const char *reply)
{
	static char address[] = "x@example.org", params[] = "";
	static struct txn_rcpt r = { .address = address, .params = params };

	return chain_refused(chain, &r, reply);
}

static void
check_refused(void)
{
	struct txn_rcpt r = { .address = (char []){ "b@example.org" },
	    .params = (char []){ "" } };

	start(3);
	mail();
	fakes[0].say[EV_REFUSED] = V_REJECT;
	fakes[1].say[EV_REFUSED] = V_ACCEPT;
	fakes[2].say[EV_REFUSED] = V_FAIL;
	ok(refused("550 5.1.1 no"), "refused by the engine");
	is_heard("a.mail b.mail c.mail x@example.org:550 5.1.1 no:a.refused "
	    "x@example.org:550 5.1.1 no:b.refused "
	    "x@example.org:550 5.1.1 no:c.refused ", "all are told");
	is_verdict(V_CONTINUE, NULL, NULL, "and have nothing to say");
	rcpt();
	is_heard("a.rcpt b.rcpt c.rcpt ", "the transaction goes on");
	fakes[1].say[EV_RCPT] = V_REJECT;
	chain_rcpt(chain, &r);
	buf_reset(&heard);
	ok(chain_refused(chain, &r, "550 no"), "refused by b");
	is_heard("b@example.org:550 no:c.refused ",
	    "those behind it are told");
	fakes[0].say[EV_REFUSED] = V_WAIT;
	fakes[1].say[EV_REFUSED] = V_WAIT;
	ok(!refused("452 full"), "one thinks about it");
	chain_resume(fakes[0].slot, V_TEMPFAIL);
	turn();
	clock_advance(1000);
	turn();
	is_int(ndone, 1, "another for too long");
	is_verdict(V_CONTINUE, NULL, NULL, "nothing follows now");
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "b", "but it has failed");
	stop();
}

static void
check_unknown(void)
{
	start(2);
	ok(chain_unknown(chain, "HELO? x"), "a command");
	is_heard("HELO? x:a.unknown HELO? x:b.unknown ", "is shown");
	is_verdict(V_CONTINUE, NULL, NULL, "nothing to say");
	fakes[0].say[EV_UNKNOWN] = V_ACCEPT;
	fakes[1].say[EV_UNKNOWN] = V_REJECT;
	chain_unknown(chain, "X");
	is_verdict(V_REJECT, "500 5.5.2 command not recognized", "b",
	    "accept means nothing, reject is our 500");
	fakes[0].act = reply_4xx;
	fakes[0].say[EV_UNKNOWN] = V_TEMPFAIL;
	chain_unknown(chain, "X");
	is_verdict(V_TEMPFAIL, "450 x", "a", "its own reply");
	fakes[0].act = NULL;
	mail();
	chain_unknown(chain, "X");
	buf_reset(&heard);
	rcpt();
	is_heard("a.rcpt b.rcpt ", "a transaction goes on behind it");
	is_verdict(V_CONTINUE, NULL, NULL, "as if nothing had been");
	fakes[0].say[EV_UNKNOWN] = V_DISCARD;
	chain_unknown(chain, "X");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "discard is nonsense");
	stop();
}

static void
check_content(void)
{
	static const enum filter_event at[] = { EV_HEADER, EV_EOH, EV_BODY };
	size_t i;

	for (i = 0; i < 3; i++) {
		start(2);
		fakes[0].say[at[i]] = V_REJECT;
		mail();
		ok(feed(content), "content");
		ok(feed("more"), "more");
		ok(strstr(heard.p, "b.eom") == NULL &&
		    strstr(heard.p, "more") == NULL, "nobody sees the rest");
		ok(chain_eom(chain), "eom");
		is_verdict(V_REJECT, "554 5.7.1 message refused by policy",
		    "a", filter_event_name(at[i]));
		buf_reset(&heard);
		end_txn();
		is_heard("a.abort b.abort ", "abort instead of eom");
		stop();
	}
	start(2);
	fakes[0].say[EV_HEADER] = V_ACCEPT;
	mail();
	feed(content);
	chain_eom(chain);
	is_heard("a.mail b.mail A:a.header ", "accept at a header");
	is_verdict(V_CONTINUE, NULL, NULL, "… of the message");
	end_txn();
	buf_reset(&heard);
	mail();
	is_heard("a.mail b.mail ", "the next message is asked about again");
	stop();
}

static void
check_skip_and_discard(void)
{
	start(2);
	fakes[0].say[EV_BODY] = V_SKIP;
	mail();
	feed("\r\none");
	feed("two");
	chain_eom(chain);
	is_heard("a.mail b.mail a.eoh b.eoh one:a.body one:b.body two:b.body "
	    "a.eom b.eom ", "skip: no more body for that one");
	end_txn();
	fakes[0].say[EV_EOM] = V_DISCARD;
	mail();
	feed(content);
	chain_eom(chain);
	is_verdict(V_DISCARD, NULL, "a", "discard at eom");
	end_txn();
	fakes[0].say[EV_RCPT] = V_DISCARD;
	mail();
	rcpt();
	is_verdict(V_DISCARD, NULL, "a", "discard at rcpt");
	buf_reset(&heard);
	rcpt();
	is_heard("", "nobody is asked about a discarded message");
	stop();
}

/* The content as it came goes before what is found in it, octet for octet,
   however it is cut. */
static void
check_whole(void)
{
	start(1);
	confs[0].self.events = 1u << EV_CONTENT | 1u << EV_BODY |
	    1u << EV_HEADER;
	conf.events = confs[0].self.events;
	mail();
	feed("A: b\r\nC:");
	feed(" d\r\n\r\nbo");
	feed("dy");
	chain_eom(chain);
	is_heard("<A: b\r\nC:>a.content A:a.header < d\r\n\r\nbo>a.content "
	    "C:a.header bo:a.body <dy>a.content dy:a.body ",
	    "content, and what is in it");
	end_txn();
	fakes[0].say[EV_CONTENT] = V_SKIP;
	mail();
	buf_reset(&heard);
	feed(content);
	feed("more");
	is_heard("<A: b\r\nC: d\r\n\r\nbody>a.content A:a.header C:a.header "
	    "body:a.body more:a.body ", "skip: no more content, but body");
	stop();
}

static void
check_whole_waits(void)
{
	char copy[100];

	start(2);
	confs[0].self.events = 1u << EV_CONTENT;
	confs[1].self.events = 1u << EV_CONTENT | 1u << EV_BODY;
	conf.events |= 1u << EV_CONTENT;
	fakes[0].say[EV_CONTENT] = V_WAIT;
	mail();
	memcpy(copy, content, sizeof(content));
	ok(!chain_content(chain, copy, strlen(copy)), "it waits");
	memset(copy, 'x', sizeof(copy));
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_int(ndone, 1, "and goes on");
	is_heard("<A: b\r\nC: d\r\n\r\nbody>a.content "
	    "<A: b\r\nC: d\r\n\r\nbody>b.content body:b.body ",
	    "with the octets there were");
	stop();
}

/* Findings */

static void
publish(struct chain_slot *slot, enum filter_event ev)
{
	char text[300];

	if (ev != EV_BODY)
		return;
	memset(text, 'x', sizeof(text));
	text[0] = '\n';
	text[sizeof(text) - 1] = '\0';
	chain_publish(slot, "a.text", text);
	chain_publish_number(slot, "a.number", 12.5);
}

static void
publish_too_much(struct chain_slot *slot, enum filter_event ev)
{
	int i;

	if (ev == EV_MAIL)
		for (i = 0; i < 2 * TXN_FINDINGS_MAX; i++)
			chain_publish(slot, "a.x", "y");
	if (ev == EV_CONNECT)
		chain_publish(slot, "a.x", "y");
}

static void
check_findings(void)
{
	start(2);
	fakes[0].act = publish;
	mail();
	feed(content);
	is_int(txn->nfindings, 2, "two findings");
	is_int(strlen(txn->findings[0].text), 200, "cut");
	ok(txn->findings[0].text[0] == '?', "without controls");
	is_str(txn->findings[1].text, "12.5", "a number as text");
	ok(txn->findings[1].number == 12.5, "… and as a number");
	is_str(txn->findings[1].by, "a", "… and whose it is");
	fakes[0].say[EV_EOM] = V_FAIL;
	chain_eom(chain);
	is_int(txn->nfindings, 0, "what has failed has found nothing");
	stop();
	start(1);
	fakes[0].act = publish_too_much;
	mail();
	is_int(txn->nfindings, TXN_FINDINGS_MAX, "there is a limit");
	end_txn();
	chain_connect(chain);
	is_verdict(V_TEMPFAIL, "421 4.7.1 a filter failed; try again later",
	    "a", "outside of a message it is a failure");
	stop();
}

/* The budget of all waits for one message */

static void
check_budget(void)
{
	start(2);
	conf.budget_ms = 1500;
	fakes[0].say[EV_BODY] = V_WAIT;
	fakes[0].say[EV_EOM] = fakes[1].say[EV_EOM] = V_WAIT;
	fakes[1].say[EV_MAIL] = V_WAIT;
	ok(!mail(), "mail waits");
	clock_advance(900);
	chain_resume(fakes[1].slot, V_CONTINUE);
	turn();
	ok(!feed(content), "a body waits");
	clock_advance(600);
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	ok(!chain_eom(chain), "so does eom");
	clock_advance(600);
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_int(ndone, 2, "and the second filter, too");
	buf_reset(&heard);
	clock_advance(299);
	is_heard("", "some time is left");
	clock_advance(1);
	is_int(ndone, 3, "now it is used up");
	is_heard("b.abort ", "it is told");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "b", "the verdict");
	end_txn();
	fakes[1].say[EV_MAIL] = fakes[0].say[EV_BODY] = V_CONTINUE;
	fakes[0].say[EV_EOM] = V_CONTINUE;
	mail();
	feed(content);
	chain_eom(chain);
	clock_advance(999);
	is_int(ndone, 3, "the next message has a budget of its own");
	clock_advance(1);
	is_int(ndone, 4, "within which each filter has its time-out");
	stop();
}

static void
check_no_blank_line(void)
{
	start(1);
	mail();
	feed("A: b\r\nhel");
	feed("lo\r\nx");
	chain_eom(chain);
	is_heard("a.mail A:a.header a.eoh hello\r\n:a.body x:a.body a.eom ",
	    "what is no field is body");
	end_txn();
	mail();
	feed("A: b");
	chain_eom(chain);
	is_heard("a.mail A:a.header a.eoh a.eom ",
	    "a header without an end");
	stop();
}

/* Waiting */

static void
check_wait(void)
{
	start(2);
	fakes[0].say[EV_CONNECT] = V_WAIT;
	ok(!chain_connect(chain), "the first one waits");
	turn();
	is_heard("a.connect ", "the second has to wait for it");
	is_int(ndone, 0, "not done");
	chain_resume(fakes[0].slot, V_CONTINUE);
	is_heard("", "resume calls nobody");
	turn();
	is_heard("b.connect ", "then the second is asked");
	is_int(ndone, 1, "and that is the answer");
	is_verdict(V_CONTINUE, NULL, NULL, "continue");
	fakes[1].say[EV_HELO] = V_WAIT;
	ok(!chain_helo(chain), "the second one waits");
	chain_reply(fakes[1].slot, 450, NULL, "later");
	chain_resume(fakes[1].slot, V_TEMPFAIL);
	turn();
	is_int(ndone, 2, "answered");
	is_verdict(V_TEMPFAIL, "450 later", "b", "with its reply");
	stop();
}

static void
resume_inside(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_resume(slot, V_REJECT);
}

static void
check_resume_inside(void)
{
	start(1);
	fakes[0].act = resume_inside;
	fakes[0].say[EV_CONNECT] = V_WAIT;
	ok(chain_connect(chain), "an answer before V_WAIT comes at once");
	is_verdict(V_REJECT, "554 5.7.1 you are not welcome here", "a",
	    "and is the answer");
	fakes[0].say[EV_HELO] = V_CONTINUE;
	ok(chain_helo(chain), "an answer and another");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "is a failure");
	stop();
}

/* Each content event may wait, wherever content is cut. */
static void
check_wait_in_content(void)
{
	static const char whole[] = "A: b\r\nC: d\r\nhello\r\nworld";
	static const char want[] = "a.mail b.mail A:a.header A:b.header "
	    "C:a.header C:b.header a.eoh b.eoh ";
	size_t piece, i, n;
	char copy[64];
	int waits;

	for (piece = 1; piece < sizeof(whole) + 1; piece += 5) {
		start(2);
		fakes[0].say[EV_HEADER] = fakes[1].say[EV_HEADER] = V_WAIT;
		fakes[0].say[EV_EOH] = fakes[1].say[EV_BODY] = V_WAIT;
		mail();
		waits = 0;
		for (i = 0; i < strlen(whole); i += n) {
			n = strlen(whole) - i < piece ? strlen(whole) - i :
			    piece;
			memcpy(copy, whole + i, n);
			if (!chain_content(chain, copy, n)) {
				/* What was borrowed is not ours any more. */
				memset(copy, '!', sizeof(copy));
				for (ndone = 0; ndone == 0; waits++) {
					chain_resume((strrchr(heard.p, '.')
					    [-1] == 'a' ? fakes[0] :
					    fakes[1]).slot, V_CONTINUE);
					turn();
				}
			}
		}
		chain_eom(chain);
		ok(strncmp(heard.p, want, strlen(want)) == 0,
		    "header by %zu", piece);
		ok(strchr(heard.p, '!') == NULL && waits >= 6,
		    "%d waits, and what was borrowed is kept", waits);
		stop();
	}
}

static void
check_timeout(void)
{
	start(2);
	fakes[0].say[EV_MAIL] = V_WAIT;
	ok(!mail(), "waits");
	clock_advance(999);
	turn();
	is_int(ndone, 0, "not yet");
	buf_reset(&heard);
	clock_advance(2);
	is_int(ndone, 1, "the time is over");
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "and the answer is tempfail");
	is_heard("a.abort ", "the filter is told");
	chain_resume(fakes[0].slot, V_CONTINUE);
	turn();
	is_int(ndone, 1, "a late answer does nothing");
	end_txn();
	is_heard("", "b never heard of the message");
	confs[0].on_failure = V_ACCEPT;
	mail();
	clock_advance(1001);
	is_verdict(V_CONTINUE, NULL, NULL, "on-failure = accept");
	is_heard("a.mail a.abort b.mail ", "the next filter is asked");
	rcpt();
	is_heard("b.rcpt ", "the failed one not, in this transaction");
	end_txn();
	buf_reset(&heard);
	confs[0].on_failure = V_REJECT;
	mail();
	clock_advance(1001);
	is_verdict(V_REJECT, "554 5.7.1 a filter failed", "a",
	    "on-failure = reject");
	stop();
}

/* A failed filter does not let the rest of the transaction pass. */
static void
check_fails_closed(void)
{
	start(1);
	mail();
	fakes[0].say[EV_RCPT] = (enum verdict)99;
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "nonsense is a failure");
	fakes[0].say[EV_RCPT] = V_CONTINUE;
	buf_reset(&heard);
	rcpt();
	is_str(verdict_name(chain_result(chain)->verdict), "tempfail",
	    "the next recipient, too");
	feed(content);
	chain_eom(chain);
	is_str(verdict_name(chain_result(chain)->verdict), "tempfail",
	    "and the message");
	is_heard("", "it is not asked");
	end_txn();
	mail();
	is_verdict(V_CONTINUE, NULL, NULL, "the next message starts anew");
	stop();
}

static void
delay(struct chain_slot *slot, enum filter_event ev)
{
	if (ev == EV_RCPT)
		chain_delay(slot, 5000);
}

static void
check_delay(void)
{
	start(2);
	fakes[0].act = delay;
	mail();
	buf_reset(&heard);
	ok(!rcpt(), "a delay is a wait");
	clock_advance(4999);
	is_heard("a.rcpt ", "for the next filter, too");
	clock_advance(2);
	is_heard("b.rcpt ", "then it goes on");
	is_int(ndone, 1, "to the end");
	fakes[0].say[EV_RCPT] = V_REJECT;
	ok(!rcpt(), "a verdict may be late as well");
	clock_advance(5001);
	is_heard("a.rcpt ", "and still stops");
	is_str(verdict_name(chain_result(chain)->verdict), "reject",
	    "with its verdict");
	stop();
}

/* Misbehaviour */

static void
resume_twice(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_resume(slot, V_CONTINUE);
	chain_resume(slot, V_CONTINUE);
}

static void
ask_for_rcpt(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_edit(slot, &(struct txn_edit){ .kind = EDIT_ADD_RCPT,
	    .value = "x@example.org" });
}

static void
ask_for_header(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_edit(slot, &(struct txn_edit){ .kind = EDIT_ADD_HEADER,
	    .name = "X", .value = "y" });
}

static void
smuggle_header(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_edit(slot, &(struct txn_edit){ .kind = EDIT_ADD_HEADER,
	    .name = "X: y\r\nBcc", .value = "z" });
}

static void
bad_kind(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_edit(slot, &(struct txn_edit){ .kind = (enum txn_edit_kind)77 });
}

static void
bad_code(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_reply(slot, 250, NULL, "ok");
}

static void
bad_class(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_reply(slot, 550, "4.7.1", "no");
}

static void
late_route(struct chain_slot *slot, enum filter_event ev)
{
	(void)ev;
	chain_route(slot, "x");
}

static const struct {
	const char		*name;
	void			(*act)(struct chain_slot *, enum filter_event);
	enum filter_event	 at;
	enum verdict		 say;
} bad[] = {
	{ "two answers", resume_twice, EV_MAIL, V_WAIT },
	{ "an edit not declared", ask_for_rcpt, EV_EOM, V_CONTINUE },
	{ "an edit at connect", ask_for_header, EV_CONNECT, V_CONTINUE },
	{ "an edit with a line end", smuggle_header, EV_EOM, V_CONTINUE },
	{ "an edit that is none", bad_kind, EV_EOM, V_CONTINUE },
	{ "a 250 as refusal", bad_code, EV_MAIL, V_REJECT },
	{ "a wrong class", bad_class, EV_MAIL, V_REJECT },
	{ "reject with 4xx", reply_4xx, EV_MAIL, V_REJECT },
	{ "a route at eom", late_route, EV_EOM, V_CONTINUE },
	{ "discard at connect", NULL, EV_CONNECT, V_DISCARD },
	{ "discard at auth", NULL, EV_AUTH, V_DISCARD },
	{ "skip at mail", NULL, EV_MAIL, V_SKIP },
	{ "skip at eom", NULL, EV_EOM, V_SKIP },
	{ "an unknown verdict", NULL, EV_EOM, (enum verdict)-1 },
	{ "it says so itself", NULL, EV_RCPT, V_FAIL },
};

static bool
ask_at(enum filter_event ev)
{
	if (ev == EV_CONNECT)
		return chain_connect(chain);
	if (ev == EV_AUTH)
		return chain_auth(chain);
	if (ev == EV_MAIL)
		return mail();
	if (ev == EV_RCPT)
		return mail() && rcpt();
	return mail() && feed(content) && chain_eom(chain);
}

static void
check_misbehaviour(void)
{
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(1);
		conf.events = confs[0].self.events = 1u << bad[i].at;
		fakes[0].act = bad[i].act;
		fakes[0].say[bad[i].at] = bad[i].say;
		ok(ask_at(bad[i].at), "%s: answered", bad[i].name);
		is_verdict(V_TEMPFAIL, bad[i].at == EV_CONNECT ?
		    "421 4.7.1 a filter failed; try again later" :
		    bad[i].at == EV_AUTH ?
		    "454 4.7.0 a filter failed; try again later" :
		    "451 4.7.1 a filter failed; try again later", "a",
		    bad[i].name);
		is_int(txn != NULL ? (int)txn->nedits : 0, 0,
		    "nothing of its is left");
		stop();
	}
}

/* Who cannot say is asked again. */
static void
check_cannot_say(void)
{
	start(1);
	fakes[0].say[EV_RCPT] = V_FAIL;
	mail();
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "it cannot say about one recipient");
	fakes[0].say[EV_RCPT] = V_REJECT;
	rcpt();
	is_verdict(V_REJECT, "550 5.7.1 refused by policy", "a",
	    "and knows the next one");
	stop();
}

static void
lose_it(struct chain_slot *slot, enum filter_event ev)
{
	if (ev == EV_RCPT)
		chain_lost(slot);
}

/* It has missed something: no use in asking it about the rest. */
static void
check_lost(void)
{
	start(1);
	fakes[0].say[EV_RCPT] = V_FAIL;
	fakes[0].act = lose_it;
	mail();
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "it is lost");
	buf_reset(&heard);
	rcpt();
	is_verdict(V_TEMPFAIL, "451 4.7.1 a filter failed; try again later",
	    "a", "for the next one as well");
	is_str(heard.p, "", "which it does not hear of");
	end_txn();
	fakes[0].say[EV_RCPT] = V_CONTINUE;
	mail();
	rcpt();
	is_verdict(V_CONTINUE, NULL, NULL, "the next message is another one");
	stop();
}

static void
be_patient(struct chain_slot *slot, enum filter_event ev)
{
	if (ev == EV_MAIL)
		chain_patience(slot, 5000);
}

static void
check_patience(void)
{
	start(1);
	fakes[0].say[EV_MAIL] = fakes[0].say[EV_RCPT] = V_WAIT;
	fakes[0].act = be_patient;
	ok(!mail(), "it waits");
	clock_advance(4999);
	turn();
	is_int(ndone, 0, "longer than its time-out");
	clock_advance(1);
	turn();
	is_int(ndone, 1, "as long as it wanted");
	end_txn();
	fakes[0].say[EV_MAIL] = V_CONTINUE;
	mail();
	ok(!rcpt(), "the next event");
	clock_advance(1000);
	turn();
	is_int(ndone, 2, "has the usual time-out");
	stop();
}

static void
say_lines(struct chain_slot *slot, enum filter_event ev)
{
	if (ev == EV_MAIL)
		chain_reply_lines(slot, 550, "5.7.1 one\n\n5.7.1 t\rwo\033");
}

static void
check_lines(void)
{
	start(1);
	fakes[0].say[EV_MAIL] = V_REJECT;
	fakes[0].act = say_lines;
	mail();
	is_verdict(V_REJECT, "550 5.7.1 one\n\n5.7.1 t?wo?", "a",
	    "a reply of several lines");
	stop();
}

/* Edits of a filter that fails later are gone, those of others stay. */
static void
check_edits(void)
{
	start(2);
	fakes[0].act = fakes[1].act = ask_for_header;
	conf.events = confs[0].self.events = 1u << EV_DATA | 1u << EV_EOM;
	confs[1].self.events = 1u << EV_DATA;
	confs[0].on_failure = V_ACCEPT;
	mail();
	chain_data(chain);
	is_int((int)txn->nedits, 2, "both have asked");
	fakes[0].say[EV_EOM] = V_SKIP;
	chain_eom(chain);
	is_int((int)txn->nedits, 1, "one has failed");
	is_str(txn->edits[0].by, "b", "and lost its edits");
	is_verdict(V_CONTINUE, NULL, NULL, "on-failure = accept");
	stop();
}

static void
check_out_of_turn(void)
{
	struct chain_slot *old;

	start(1);
	mail();
	chain_resume(fakes[0].slot, V_REJECT);
	chain_reply(fakes[0].slot, 550, NULL, "x");
	chain_delay(fakes[0].slot, 1);
	ask_for_header(fakes[0].slot, EV_EOM);
	turn();
	is_int(ndone, 0, "nobody was asked, nobody is done");
	is_int((int)txn->nedits, 0, "no edit");
	rcpt();
	is_str(verdict_name(chain_result(chain)->verdict), "tempfail",
	    "and the filter has failed");
	end_txn();
	fakes[0].say[EV_MAIL] = V_WAIT;
	mail();
	end_txn();
	chain_resume(fakes[0].slot, V_ACCEPT);
	turn();
	is_int(ndone, 0, "an answer after abort does nothing");
	mail();
	old = fakes[0].slot;
	chain_free(&chain);
	chain_resume(old, V_CONTINUE);
	chain_reply(old, 550, NULL, "x");
	chain_place(old, "x");
	turn();
	is_int(ndone, 0, "nor after the session");
	txn_free(&txn);
	chain_conf_fini(&conf);
	buf_fini(&heard);
}

static void
check_observe(void)
{
	static const enum filter_event at[] = { EV_CONNECT, EV_MAIL, EV_EOM };
	size_t i;

	for (i = 0; i < 3; i++) {
		start(2);
		confs[0].observe = true;
		fakes[0].say[at[i]] = V_REJECT;
		fakes[0].act = ask_for_header;
		conf.events = confs[0].self.events =
		    confs[1].self.events = 1u << at[i];
		ask_at(at[i]);
		is_verdict(V_CONTINUE, NULL, NULL, "an observer's verdict "
		    "is not acted on");
		ok(strstr(heard.p, "b.") != NULL, "the next one is asked");
		ok(txn == NULL || txn->nedits == 0, "nor are its edits");
		stop();
	}
	start(1);
	confs[0].observe = true;
	fakes[0].say[EV_MAIL] = V_WAIT;
	ok(!mail(), "an observer may wait");
	clock_advance(1001);
	is_verdict(V_CONTINUE, NULL, NULL, "and fail without harm");
	stop();
}

static void
route(struct chain_slot *slot, enum filter_event ev)
{
	if (ev == EV_HELO || ev == EV_MAIL || ev == EV_RCPT)
		chain_route(slot, filter_event_name(ev));
}

static void
check_route(void)
{
	start(1);
	is_str(chain_routed(chain), NULL, "no route");
	fakes[0].act = route;
	chain_helo(chain);
	is_str(chain_routed(chain), "helo", "of the session");
	mail();
	is_str(chain_routed(chain), "mail", "of the message");
	rcpt();
	is_str(chain_routed(chain), "rcpt", "of the recipient");
	fakes[0].act = NULL;
	rcpt();
	is_str(chain_routed(chain), "mail", "the next one has none");
	end_txn();
	is_str(chain_routed(chain), "helo", "of the session again");
	stop();
}

/* The session may end while anybody is asked anything. */
static void
check_end_while_waiting(void)
{
	start(2);
	fakes[0].say[EV_CONNECT] = V_WAIT;
	chain_connect(chain);
	chain_free(&chain);
	is_heard("a.connect a.close b.close ", "close tells the filter");
	stop();
	start(2);
	fakes[1].say[EV_EOM] = V_WAIT;
	mail();
	feed(content);
	chain_eom(chain);
	buf_reset(&heard);
	end_txn();
	is_heard("b.abort ", "a wait at eom is broken off by abort");
	turn();
	is_int(ndone, 0, "and never done");
	stop();
}

static void
check_header_limit(void)
{
	char *big = xmalloc(HUGE_FIELD);

	memset(big, 'x', HUGE_FIELD);
	memcpy(big, "A: ", 3);
	start(1);
	mail();
	ok(chain_content(chain, big, HUGE_FIELD), "a huge field");
	chain_eom(chain);
	is_verdict(V_REJECT, "552 5.3.4 message header is too large",
	    "header-limit", "is refused");
	stop();
	free(big);
}

int
main(void)
{
	log_open("file:/dev/null", false);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	check_order();
	check_interest();
	check_when();
	check_when_waits();
	check_connect();
	check_rcpt();
	check_refused();
	check_unknown();
	check_content();
	check_skip_and_discard();
	check_whole();
	check_whole_waits();
	check_findings();
	check_budget();
	check_no_blank_line();
	check_wait();
	check_resume_inside();
	check_wait_in_content();
	check_timeout();
	check_fails_closed();
	check_delay();
	check_misbehaviour();
	check_cannot_say();
	check_lost();
	check_patience();
	check_lines();
	check_edits();
	check_out_of_turn();
	check_observe();
	check_route();
	check_end_while_waiting();
	check_header_limit();
	clock_stop();
	event_base_free(base);
	return tap_done();
}
