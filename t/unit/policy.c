/* The policy filter in a chain: facts as fields, verdicts and edits, waits
   that are resumed, aborted, closed or given up, lines of a body. */

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/chain.h"
#include "filters/filters.h"
#include "filters/policy.h"
#include "smtp/address.h"
#include "tap.h"

#define NASKED	10

/* A DNS that answers when the test says so. */
static struct {
	filter_dns_fn	*fn;
	void		*arg;
	char		*domain;	/* ours */
} asked[NASKED];
static int nasked, ncancelled;
static int at_once = -1;		/* an answer inside the question */

static struct event_base *base;
static struct filter_worker worker;
static struct filter_conf *conf;
static struct chain_conf chain_conf;
static struct facts facts;
static struct chain *chain;
static struct txn *txn;
static char dir[] = "/tmp/vratar-policy-XXXXXX";
static int ndone;

static void *
dns_resolves(void *dns, const char *domain, filter_dns_fn *fn, void *arg)
{
	(void)dns;
	if (at_once != -1) {
		fn(arg, (enum filter_dns_answer)at_once);
		return NULL;
	}
	asked[nasked].fn = fn;
	asked[nasked].arg = arg;
	asked[nasked].domain = xstrdup(domain);
	return &asked[nasked++];
}

static void
forget_asked(void)
{
	while (nasked > 0) {
		free(asked[--nasked].domain);
		asked[nasked].domain = NULL;
	}
}

static void
dns_cancel(void *dns, void *handle)
{
	(void)dns, (void)handle;
	ncancelled++;
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Answer all that was asked, the last one first; more may be asked then. */
static void
answer(enum filter_dns_answer a)
{
	filter_dns_fn *fn[NASKED];
	void *arg[NASKED];
	int n = nasked, i;

	for (i = 0; i < n; i++) {
		fn[i] = asked[i].fn;
		arg[i] = asked[i].arg;
	}
	forget_asked();
	for (i = n - 1; i >= 0; i--)
		fn[i](arg[i], a);
	turn();
}

static void
on_done(void *arg)
{
	(void)arg;
	ndone++;
}

static const char *
in_dir(const char *name, char out[200])
{
	snprintf(out, 200, "%s/%s", dir, name);
	return out;
}

static void
write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f = fopen(in_dir(name, path), "w");

	if (f == NULL)
		abort();
	fputs(text, f);
	fclose(f);
}

/* A session of a policy. */
static void
start(const char *policy, enum verdict on_failure)
{
	static const struct setting_list none;
	struct filter_host host = {
		.name = "p", .hostname = "mx.example", .err = stderr,
		.recipient_delimiter = "+", .backends = &none,
	};
	const struct filter *type = &filter_policy;
	char path[200], *why = NULL;

	write_file("p", policy);
	conf = xcalloc(1, sizeof(*conf));
	conf->name = xstrdup("p");
	conf->type = type;
	conf->timeout = 30000;
	conf->on_failure = on_failure;
	conf->settings = xcalloc(1, type->settings_size);
	setting_defaults(type->settings, conf->settings);
	setting_set(setting_find(type->settings, "file"), conf->settings,
	    in_dir("p", path), &why);
	if (filters_setup(conf, &host, &why) == -1)
		abort();
	type->start(conf->self.priv, &worker);
	chain_conf_add(&chain_conf, conf);
	chain = chain_new(&chain_conf, &facts, on_done, NULL);
	ndone = ncancelled = 0;
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
	chain_conf_fini(&chain_conf);
	filter_policy.stop(conf->self.priv);
	filter_conf_free(&conf);
	forget_asked();
	at_once = -1;
}

/* The chain has answered, or does when a thread is through. */
static void
wait_for(bool done)
{
	int before = ndone;

	while (!done && ndone == before)
		event_base_loop(base, EVLOOP_ONCE);
}

static bool
mail(const char *from)
{
	struct address a;
	struct params p = { .present = 1u << PARAM_SIZE, .size = 1000,
	    .text = SLICE_STR("SIZE=1000") };

	memset(&a, 0, sizeof(a));
	snprintf(a.text, sizeof(a.text), "%s", from);
	txn = txn_new(&a, &p);
	return chain_mail(chain, txn);
}

static struct txn_rcpt bob = {
	.address = (char []){ "bob+list@example.com" },
	.params = (char []){ "NOTIFY=NEVER" },
};

static bool
rcpt(void)
{
	return chain_rcpt(chain, &bob);
}

static bool
feed(const char *text)
{
	return chain_content(chain, text, strlen(text));
}

/* "reject 550 5.1.1 no", "continue". */
static void
is_result(const char *want, const char *name)
{
	const struct chain_result *r = chain_result(chain);
	char got[600];

	snprintf(got, sizeof(got), "%s%s%s", verdict_name(r->verdict),
	    r->reply ? " " : "", r->reply ? r->reply : "");
	is_str(got, want, name);
}

/* Facts */

static const struct {
	const char	*field, *want;
} fields[] = {
	{ "client.ip", "192.0.2.7" },
	{ "client.port", "4321" },
	{ "client.name", "host.example" },
	{ "client.reverse_name", "ptr.example" },
	{ "local.ip", "2001:db8::1" },
	{ "local.port", "25" },
	{ "local.name", "mx.example" },
	{ "listener", "0.0.0.0:25" },
	{ "session.id", "0000002a" },
	{ "session.age", "3.5" },
	{ "session.errors", "2" },
	{ "session.bad_rcpts", "3" },
	{ "session.messages", "4" },
	{ "tls", "yes" },
	{ "tls.version", "TLSv1.3" },
	{ "tls.cipher", "AES" },
	{ "tls.bits", "256" },
	{ "tls.cert.subject", "CN=c" },
	{ "tls.cert.issuer", "CN=i" },
	{ "tls.cert.fingerprint", "abcd" },
	{ "tls.cert.verified", "yes" },
	{ "helo.name", "helo.example" },
	{ "helo.esmtp", "yes" },
	{ "auth.user", "joe" },
	{ "auth.mechanism", "PLAIN" },
	{ "mail", "ann@example.org" },
	{ "mail.local", "ann" },
	{ "mail.domain", "example.org" },
	{ "mail.params", "SIZE=1000" },
	{ "mail.body", "" },
	{ "mail.smtputf8", "no" },
	{ "size", "1000" },
	{ "rcpt", "bob+list@example.com" },
	{ "rcpt.local", "bob+list" },
	{ "rcpt.detail", "list" },
	{ "rcpt.domain", "example.com" },
	{ "rcpt.params", "NOTIFY=NEVER" },
	{ "count(rcpts)", "0" },
	{ "score", "0" },
};

static void
know_everything(void)
{
	facts = (struct facts){
		.id = 42, .age_ms = 3500, .hostname = "mx.example",
		.listener = "0.0.0.0:25", .client_name = "host.example",
		.reverse_name = "ptr.example", .helo = "helo.example",
		.esmtp = true, .tls_version = "TLSv1.3",
		.tls_cipher = "AES", .tls_bits = 256, .tls_subject = "CN=c",
		.tls_issuer = "CN=i", .tls_fingerprint = "abcd",
		.tls_verified = true, .auth_user = "joe",
		.auth_mechanism = "PLAIN", .errors = 2, .bad_rcpts = 3,
		.messages = 4,
	};
	netaddr_parse_ip(&facts.client, "192.0.2.7", 9);
	facts.client.port = 4321;
	netaddr_parse_ip(&facts.local, "2001:db8::1", 11);
	facts.local.port = 25;
}

static void
check_fields(void)
{
	char policy[300], want[300];
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(policy, sizeof(policy), "at rcpt\n"
		    "    reject 550 5.1.1 \"<%%{%s}>\"\n", fields[i].field);
		snprintf(want, sizeof(want), "reject 550 5.1.1 <%s>",
		    fields[i].want);
		start(policy, V_TEMPFAIL);
		mail("ann@example.org");
		rcpt();
		is_result(want, fields[i].field);
		stop();
	}
}

static void
check_nothing_known(void)
{
	size_t i;
	char policy[300];

	facts = (struct facts){ .id = 1 };
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(policy, sizeof(policy), "at rcpt\n"
		    "    reject 550 5.1.1 \"<%%{%s}>\"\n", fields[i].field);
		start(policy, V_TEMPFAIL);
		mail("");
		rcpt();
		ok(chain_result(chain)->verdict == V_REJECT,
		    "%s, and nothing is known", fields[i].field);
		stop();
	}
	know_everything();
}

/* Waits */

static const char asks[] =
	"at connect\n reject \"c\" if not resolves(client.name)\n"
	"at helo\n reject \"h\" if not resolves(helo.name)\n"
	"at mail\n reject \"m\" if not resolves(mail.domain)\n"
	"at rcpt\n reject \"r\" if not resolves(rcpt.domain)\n"
	"at data\n reject \"d\" if not resolves(\"data.example\")\n"
	"at header\n reject \"f\" if not resolves(header.value)\n"
	"at body\n reject \"b\" if not resolves(body.line)\n"
	"at eom\n reject \"e\" if not resolves(header(\"X\"))\n";

/* Each question waits and is answered; what waits, how it is told. */
static void
check_resume(void)
{
	start(asks, V_TEMPFAIL);
	ok(!chain_connect(chain), "connect waits");
	is_int(nasked, 1, "one question");
	is_str(asked[0].domain, "host.example", "of the name");
	answer(DNS_YES);
	is_int(ndone, 1, "and is resumed");
	ok(!chain_helo(chain), "helo waits");
	answer(DNS_YES);
	ok(!mail("ann@example.org"), "mail waits");
	answer(DNS_YES);
	ok(!rcpt(), "rcpt waits");
	answer(DNS_YES);
	ok(!chain_data(chain), "data waits");
	answer(DNS_YES);
	is_int(ndone, 5, "each was resumed once");
	ok(!feed("X: one\r\nY: two\r\n\r\nfirst\r\nsecond\r\nlast"),
	    "the first field waits");
	answer(DNS_YES);
	is_int(ndone, 5, "and the content is not through");
	answer(DNS_YES);
	is_str(asked[0].domain, "first", "a line waits");
	answer(DNS_YES);
	is_str(asked[0].domain, "second", "then the next one");
	answer(DNS_YES);
	is_int(ndone, 6, "there is no more");
	ok(!chain_eom(chain), "the last line has no end");
	is_str(asked[0].domain, "last", "and is asked about");
	answer(DNS_YES);
	is_int(ndone, 7, "what eom asks is known from the header");
	is_result("continue", "all is well");
	stop();
}

static void
check_no(void)
{
	start(asks, V_TEMPFAIL);
	chain_connect(chain);
	answer(DNS_NO);
	is_result("reject 554 5.7.1 c", "no, at connect");
	mail("ann@example.org");
	answer(DNS_NO);
	is_result("reject 550 5.7.1 m", "no, at mail");
	stop();
}

static void
check_at_once(void)
{
	start(asks, V_TEMPFAIL);
	at_once = DNS_YES;
	ok(chain_connect(chain) && chain_helo(chain) &&
	    mail("ann@example.org") && rcpt() && chain_data(chain) &&
	    feed("X: one\r\n\r\nfirst\r\nsecond") && chain_eom(chain),
	    "answers inside the question need no wait");
	is_result("continue", "yes");
	stop();
}

static void
check_cannot_say(void)
{
	start(asks, V_TEMPFAIL);
	mail("ann@example.org");
	answer(DNS_FAILED);
	is_result("tempfail 451 4.7.1 a filter failed; try again later",
	    "on-failure = tempfail");
	stop();
	start(asks, V_ACCEPT);
	mail("ann@example.org");
	answer(DNS_FAILED);
	is_result("continue", "on-failure = accept");
	rcpt();
	answer(DNS_NO);
	is_result("reject 550 5.7.1 r", "the next question is asked all the "
	    "same");
	chain_data(chain);
	answer(DNS_YES);
	feed("X: one\r\n\r\nfirst\r\nsecond");
	answer(DNS_FAILED);		/* the field … */
	answer(DNS_FAILED);		/* … and a line */
	chain_eom(chain);
	answer(DNS_FAILED);		/* the last one */
	answer(DNS_NO);
	is_result("reject 554 5.7.1 e", "lines that cannot be judged do not "
	    "hide what is said at eom");
	stop();
}

static void
check_several(void)
{
	start("at rcpt\n"
	    " reject \"one\" if not resolves(mail.domain)\n"
	    " reject \"two\" if not resolves(rcpt.domain)\n"
	    " reject \"none\" if not resolves(\"x.example\")\n", V_TEMPFAIL);
	mail("ann@example.org");
	ok(!rcpt(), "it waits");
	is_int(nasked, 3, "for three questions at once");
	asked[2].fn(asked[2].arg, DNS_NO);
	asked[0].fn(asked[0].arg, DNS_YES);
	turn();
	is_int(ndone, 0, "one is missing");
	asked[1].fn(asked[1].arg, DNS_NO);
	turn();
	is_int(ndone, 1, "all are there");
	is_result("reject 550 5.7.1 two", "rules decide in their order");
	forget_asked();
	ok(rcpt(), "what was answered is not asked again");
	stop();
}

/* The end of a wait that has no answer */

static void
check_abort(void)
{
	start(asks, V_TEMPFAIL);
	mail("ann@example.org");
	end_txn();
	is_int(ncancelled, 1, "the end of the transaction takes it back");
	forget_asked();
	turn();
	is_int(ndone, 0, "and nobody is told");
	ok(!mail("ann@example.org"), "the next one asks again");
	is_int(nasked, 1, "once");
	answer(DNS_YES);
	is_result("continue", "and is answered");
	chain_data(chain);
	answer(DNS_YES);
	feed("\r\nline\r\nnext\r\n");
	end_txn();
	is_int(ncancelled, 2, "the same in a body");
	forget_asked();
	stop();
}

static void
check_close(void)
{
	start(asks, V_TEMPFAIL);
	chain_connect(chain);
	chain_free(&chain);
	is_int(ncancelled, 1, "the end of the session takes it back");
	stop();
	start(asks, V_TEMPFAIL);
	mail("ann@example.org");
	chain_free(&chain);
	is_int(ncancelled, 1, "in a transaction, too");
	stop();
}

static void
check_give_up(void)
{
	start(asks, V_TEMPFAIL);
	ok(!chain_helo(chain), "nobody answers");
	clock_advance(29999);
	turn();
	is_int(ndone, 0, "for a while");
	clock_advance(1);
	turn();
	is_int(ndone, 1, "then the chain has waited long enough");
	is_int(ncancelled, 1, "nobody waits for the answer any more");
	is_result("tempfail 451 4.7.1 a filter failed; try again later",
	    "that is a failure");
	forget_asked();
	ok(!chain_helo(chain), "another question is another try");
	answer(DNS_YES);
	is_result("continue", "and has its answer");
	stop();
}

/* What follows */

static void
check_edits(void)
{
	size_t i;
	struct buf b;

	start("at rcpt\n"
	    " add recipient \"x@example.com\"\n"
	    " delete recipient \"%{rcpt}\"\n"
	    " redirect to \"y@example.com\"\n"
	    "at header\n"
	    " use header_checks \"pcre:{{/^A:/ REPLACE A: new}, "
	    "{/^B:/ REPLACE C: new}, {/^D:/ IGNORE}, {/^E:/ PREPEND F: g}}\"\n"
	    "at eom\n"
	    " add header \"X-A: %{mail}\"\n insert header 2 \"X-B: b\"\n"
	    " change header 3 \"X-C: c\"\n delete header \"X-D\"\n"
	    " quarantine \"odd\"\n", V_TEMPFAIL);
	mail("ann@example.org");
	rcpt();
	feed("A: 1\r\na: 2\r\nB: 1\r\nD: 1\r\nE: 1\r\n\r\n");
	chain_eom(chain);
	is_result("continue", "edits are no verdict");
	buf_init(&b, 2000);
	for (i = 0; i < txn->nedits; i++)
		buf_addf(&b, "%s%s|%u %u|%s|%s", i > 0 ? "\n" : "",
		    txn_edit_name(txn->edits[i].kind), txn->edits[i].nth,
		    txn->edits[i].field,
		    txn->edits[i].name ? txn->edits[i].name : "",
		    txn->edits[i].value ? txn->edits[i].value : "");
	is_str(b.p,
	    "add recipient|0 0||x@example.com\n"
	    "delete recipient|0 0||bob+list@example.com\n"
	    "redirect recipient|0 0||y@example.com\n"
	    "replace octets|0 0||A: new\r\n\n"
	    "replace octets|0 0||A: new\r\n\n"
	    "replace octets|0 0||C: new\r\n\n"
	    "replace octets|0 0||\n"
	    "replace octets|0 0||F: g\r\n\n"
	    "add header|0 0|X-A|ann@example.org\n"
	    "insert header|2 0|X-B|b\n"
	    "change header|3 0|X-C|c\n"
	    "delete header|0 0|X-D|\n"
	    "quarantine|0 0||odd", "in their order");
	buf_fini(&b);
	stop();
}

static void
check_delay(void)
{
	start("at rcpt\n delay 2s\n delay 5s\n delay 1s\n"
	    " reject \"late\"\n", V_TEMPFAIL);
	mail("ann@example.org");
	ok(!rcpt(), "a delay waits");
	clock_advance(4999);
	turn();
	is_int(ndone, 0, "as long as the longest");
	clock_advance(1);
	turn();
	is_int(ndone, 1, "and no longer");
	is_result("reject 550 5.7.1 late", "then the verdict is told");
	stop();
	start("at body\n delay 3s if body.line is \"a\"\n"
	    " delay 1s if body.line is \"b\"\n", V_TEMPFAIL);
	mail("ann@example.org");
	ok(!feed("\r\na\r\nb\r\n"), "lines of one piece wait together");
	clock_advance(2999);
	turn();
	is_int(ndone, 0, "for the longest");
	clock_advance(1);
	turn();
	is_int(ndone, 1, "of them");
	stop();
}

/* A score and variables live as long as their message. */
static void
check_txn_state(void)
{
	start("variable n = 0\nat helo\n set n = 1\nat mail\n score 2\n"
	    " set n = n + 1\nat rcpt\n reject \"%{score} %{n}\"\n",
	    V_TEMPFAIL);
	chain_helo(chain);
	mail("ann@example.org");
	rcpt();
	is_result("reject 550 5.7.1 2 2", "the first message");
	rcpt();
	is_result("reject 550 5.7.1 2 2", "its next recipient");
	end_txn();
	mail("ann@example.org");
	rcpt();
	is_result("reject 550 5.7.1 2 2", "the next message begins anew");
	stop();
}

/* Lines of a body */

static void
check_lines(const char *body, size_t len, size_t step, const char *want)
{
	size_t at;

	start("at body\n reject \"%{length(body.line)} %{body.line}\" "
	    "if body.line ~ /^bad/\n"
	    " reject \"long\" if length(body.line) > 60000\n", V_TEMPFAIL);
	mail("ann@example.org");
	chain_content(chain, "A: b\r\n\r\n", 8);
	for (at = 0; at < len; at += step)
		wait_for(chain_content(chain, body + at,
		    len - at < step ? len - at : step));
	wait_for(chain_eom(chain));
	is_result(want, "lines of a body");
	stop();
}

static void
check_body(void)
{
	static const size_t steps[] = { 1, 2, 3, 7, 100000 };
	size_t n = (size_t)200 << 10, i;
	char *big = xmalloc(n);

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		check_lines("fine\r\nbad\r\n", 11, steps[i],
		    "reject 554 5.7.1 3 bad");
		check_lines("fine\r\nbad", 9, steps[i],
		    "reject 554 5.7.1 3 bad");
		check_lines("fine\r\n\r\n bad\r\n", 14, steps[i], "continue");
		check_lines("", 0, steps[i], "continue");
	}
	memset(big, 'x', n);
	check_lines(big, n, 1000, "reject 554 5.7.1 long");
	check_lines(big, n, n, "reject 554 5.7.1 long");
	free(big);
}

/* Long texts */

static const char long_policy[] = "at eom\n"
    " reject \"%{1}\" if raw_body ~ /needle([0-9]+)/\n"
    " reject \"slow\" if raw_body ~ /a[^b]{0,900}c/\n"
    " reject \"both\" if lower(raw_body) ~ /end\\r\\n$/\n";

/* A message with so many octets of a; what is behind them. */
static bool
long_message(size_t len, const char *end)
{
	char *big = xmalloc(len);
	bool done;

	memset(big, 'a', len);
	mail("ann@example.org");
	feed("A: b\r\n\r\n");
	chain_content(chain, big, len);
	feed(end);
	done = chain_eom(chain);
	free(big);
	return done;
}

static void
check_long(void)
{
	static const struct {
		size_t		 len;
		const char	*end, *want;
		bool		 done;
	} rows[] = {
		{ 100, "needle7\r\n", "reject 554 5.7.1 7", true },
		{ 100, "\r\n", "continue", true },
		{ 20000, "needle7\r\n", "reject 554 5.7.1 7", false },
		{ 20000, "\r\n", "continue", false },
		{ 20000, "END\r\n", "reject 554 5.7.1 both", false },
		{ 500000, "needle123\r\n", "reject 554 5.7.1 123", false },
	};
	struct buf policy;
	size_t i;
	bool done;

	/* So many that they are looked at together. */
	buf_init(&policy, 10000);
	buf_adds(&policy, long_policy);
	for (i = 0; i < 40; i++)
		buf_addf(&policy, " reject \"no\" if raw_body ~ "
		    "/word%zu|[^a]\\x01%zu/\n", i, i);
	start(policy.p, V_TEMPFAIL);
	buf_fini(&policy);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		done = long_message(rows[i].len, rows[i].end);
		ok(done == rows[i].done, "%zu octets: %s", rows[i].len,
		    rows[i].done ? "at once" : "a thread is asked");
		wait_for(done);
		is_result(rows[i].want, "and the pattern decides");
		end_txn();
	}
	stop();
}

/* Whoever goes away while a thread is at it. */
static void
check_long_given_up(void)
{
	start(long_policy, V_TEMPFAIL);
	ok(!long_message(500000, "c"), "it waits");
	end_txn();
	turn();
	is_int(ndone, 0, "the end of the transaction takes it back");
	ok(!long_message(30000, "c"), "the next one asks again");
	wait_for(false);
	is_result("reject 554 5.7.1 slow", "and is answered");
	end_txn();
	ok(!long_message(500000, "c"), "it waits");
	clock_advance(30000);
	turn();
	is_result("tempfail 451 4.7.1 a filter failed; try again later",
	    "the time-out of the filter holds");
	end_txn();
	ok(!long_message(500000, "c"), "the session ends while it waits");
	stop();
	start(long_policy, V_TEMPFAIL);
	ok(!long_message(500000, "c"), "and another one");
	stop();
}

/* A table is read again between the question and its answer. */
static void
check_reload(void)
{
	char policy[600];

	write_file("t", "bob@example.com old\n");
	snprintf(policy, sizeof(policy), "table t \"texthash:%s/t\"\n"
	    "at rcpt\n reject \"%%{lookup(t, rcpt)}\" "
	    "if resolves(rcpt.domain) and rcpt in t\n", dir);
	start(policy, V_TEMPFAIL);
	mail("ann@example.org");
	ok(!rcpt(), "it waits");
	write_file("t", "bob@example.com new and longer\n");
	clock_advance(10000);
	answer(DNS_YES);
	is_result("reject 550 5.7.1 new and longer", "what is there now");
	stop();
}

int
main(void)
{
	char path[200];

	log_set_level(LOG_LEVEL_ERROR);
	if (mkdtemp(dir) == NULL)
		return 1;
	base = event_base_new();
	clock_start(base);
	clock_freeze();
	worker = (struct filter_worker){ .base = base,
	    .dns_resolves = dns_resolves, .dns_cancel = dns_cancel };
	know_everything();
	check_fields();
	check_nothing_known();
	check_resume();
	check_no();
	check_at_once();
	check_cannot_say();
	check_several();
	check_abort();
	check_close();
	check_give_up();
	check_edits();
	check_delay();
	check_txn_state();
	check_body();
	check_long();
	check_long_given_up();
	check_reload();
	clock_stop();
	event_base_free(base);
	unlink(in_dir("p", path));
	unlink(in_dir("t", path));
	rmdir(dir);
	return tap_done();
}
