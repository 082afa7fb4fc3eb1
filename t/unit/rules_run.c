/* A policy in a session: what is asked for and when, what is kept, what waits,
   what goes wrong, and what peers put into texts. */

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "policy.h"

/* A policy with its state, for tests that go through stages. */
struct fixture {
	struct rules		*r;
	struct rules_state	*s;
	struct facts		 facts;
};

static struct fixture
fixture(const char *policy, const char *facts)
{
	struct fixture f = { .facts = { .text = facts } };
	char *said;

	f.r = policy_load(policy, &said);
	is_str(said, "", "the policy loads");
	free(said);
	if (f.r == NULL) {
		printf("Bail out! no policy\n");
		exit(1);
	}
	f.s = rules_state_new(f.r);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	rules_state_free(&f->s);
	rules_free(&f->r);
}

static void
stage(struct fixture *f, enum rules_stage at, const char *want,
    const char *name)
{
	char *got = run_text(f->s, at, &f->facts);

	is_str(got, want, name);
	free(got);
}

/* Fields are asked for when a rule reads them, and once. */
static void
test_lazy(void)
{
	struct fixture f = fixture("at rcpt\n accept if mail.local is "
	    "\"joe\"\n reject if rcpt.domain is \"x\" or rcpt.local is "
	    "\"root\" or mail.domain is \"y\"\n log \"%{helo.name}\" if no\n",
	    "mail=joe@example.org\nrcpt=a@b\n");

	stage(&f, RULES_RCPT, "accept @p:2", "the first rule decides");
	is_str(f.facts.names, "mail", "and nothing else was asked for");
	f.facts.text = "mail=jim@example.org\nrcpt=a@b\n";
	f.facts.names[0] = '\0';
	stage(&f, RULES_RCPT, "none", "no rule decides");
	is_str(f.facts.names, "mail rcpt", "each field was asked for once");
	f.facts.fields = 0;
	stage(&f, RULES_MAIL, "none", "no rules here");
	is_int(f.facts.fields, 0, "no questions either");
	fixture_free(&f);
}

/* The DNS could not say the name of the client: that is not "no name". */
static void
test_no_name_now(void)
{
	static const struct {
		const char *policy, *facts, *want;
	} rows[] = {
		{ "reject if client.name is unknown", "", NULL },
		{ "reject if not client.name", "", NULL },
		{ "reject if client.name is not fqdn", "", NULL },
		{ "reject if client.name = \"\"", "", NULL },
		{ "accept if client.name is \"a.example\"\n reject", "",
		    NULL },
		{ "accept if domain(\"x@%{client.name}\") in { \"a\" }", "",
		    NULL },
		{ "reject if client.reverse_name ~ /dial/", "", NULL },
		{ "reject if client.reverse_name ~ /dial/",
		    "client.reverse_name=dial.example\n",
		    "reject 554 5.7.1 Access denied @p:2" },
		/* What does not need it is none the worse. */
		{ "accept if client.ip in 192.0.2.0/24\n reject if client.name "
		    "is unknown", "", "accept @p:2" },
		{ "reject if client.ip in 10.0.0.0/8 and client.name is \"x\""
		    "\n log \"on\"", "", "none; note on" },
		{ "reject \"who is %{client.name}, %{lower(client.name)}?\"",
		    "", "reject 554 5.7.1 who is unknown, unknown? @p:2" },
		{ "use access \"inline:{{192.0.2.7 = REJECT}}\"", "", NULL },
		{ "use access \"pcre:{{/x/ OK}}\"", "", NULL },
		{ "use access \"union:{cidr:{{192.0.2.0/24 REJECT}}, "
		    "static:OK}\"", "", NULL },
		{ "use access \"cidr:{{192.0.2.0/24 REJECT}}\"", "",
		    "reject 554 5.7.1 Access denied @p:2" },
		{ "use access \"pipemap:{cidr:{{192.0.2.0/24 a}}, inline:"
		    "{a=REJECT}}\"", "",
		    "reject 554 5.7.1 Access denied @p:2" },
	};
	char *policy, *facts;
	struct fixture f;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy = xasprintf("at connect\n %s\n", rows[i].policy);
		facts = xasprintf("client.ip=192.0.2.7\nname_failed=yes\n%s",
		    rows[i].facts);
		f = fixture(policy, facts);
		stage(&f, RULES_CONNECT, rows[i].want != NULL ? rows[i].want :
		    "failed: DNS cannot say the name of the client now @p:2",
		    rows[i].policy);
		fixture_free(&f);
		free(policy);
		free(facts);
	}
}

static void
test_about(void)
{
	struct fixture f = fixture("at rcpt\n accept if rcpt.domain is \"x\"\n"
	    "at eom\n add header \"X: %{header(\"Subject\")}\"\n", "");

	ok(rules_has_stage(f.r, RULES_RCPT), "has rcpt");
	ok(!rules_has_stage(f.r, RULES_MAIL), "has no mail");
	ok(rules_reads_field(f.r, FIELD_RCPT), "reads rcpt for its domain");
	ok(rules_reads_field(f.r, FIELD_HEADER), "reads header()");
	ok(!rules_reads_field(f.r, FIELD_CLIENT_IP), "does not read client.ip");
	ok(rules_writes_header(f.r), "writes the header");
	ok(!rules_edits_body(f.r), "not the body");
	ok(!rules_edits_envelope(f.r), "not the envelope");
	fixture_free(&f);
}

/* Questions of a stage are asked together, once, and kept. */
#define REMOTE	"table t \"socketmap:inet:127.0.0.1:1:t\"\n"

static void
test_questions(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n accept if mail in t\n"
	    " reject \"no such user\" if rcpt not in t\n reject if not "
	    "resolves(mail.domain)\n", "mail=Joe+x@Example.ORG\nrcpt=a@b.c\n"
	    "table a@b.c=x\ndns example.org=yes\n");

	f.facts.later = true;
	stage(&f, RULES_RCPT, "wait", "there are questions");
	is_int(f.facts.nasked, 3, "three, together");
	ok(rules_table(f.r, 0) == f.facts.asked[0]->table &&
	    rules_table(f.r, 1) == NULL, "about the policy's only table");
	is_str(f.facts.asked[0]->key.p, "joe+x@example.org",
	    "a key is folded and whole");
	is_str(f.facts.asked[2]->key.p, "example.org", "so is a domain");
	stage(&f, RULES_RCPT, "wait", "still waiting");
	is_int(f.facts.asks, 3, "but nothing is asked twice");
	ok(facts_answer_all(&f.facts), "the last answer says so");
	stage(&f, RULES_RCPT, "none", "now there is a result");
	rules_end_txn(f.s);
	stage(&f, RULES_RCPT, "none", "and again, in another transaction");
	is_int(f.facts.asks, 3, "without a question");
	f.facts.text = "mail=Joe+x@Example.ORG\nrcpt=d@b.c\n";
	stage(&f, RULES_RCPT, "wait", "another recipient");
	is_int(f.facts.nasked, 1, "is one question");
	facts_answer_all(&f.facts);
	stage(&f, RULES_RCPT, "reject 550 5.7.1 no such user @p:4", "refused");
	fixture_free(&f);
}

static void
test_answers_at_once(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n reject \"%{lookup(t, "
	    "rcpt)}\" if rcpt in t\n", "rcpt=a@b.c\ntable a@b.c=because\n");

	stage(&f, RULES_RCPT, "reject 550 5.7.1 because @p:3",
	    "an answer inside ask needs no waiting");
	is_int(f.facts.asks, 1, "one question for both uses");
	fixture_free(&f);
}

/* What depends on an earlier rule cannot be asked ahead. */
static void
test_late_question(void)
{
	struct fixture f = fixture(REMOTE "variable v = \"x\"\nat rcpt\n"
	    " set v = lower(rcpt)\n score 1\n reject \"%{score}\" if v in t\n",
	    "rcpt=A@b.c\ntable a@b.c=x\n");

	f.facts.later = true;
	stage(&f, RULES_RCPT, "wait", "the rules stop in the middle");
	facts_answer_all(&f.facts);
	stage(&f, RULES_RCPT, "reject 550 5.7.1 1 @p:6; note score 1",
	    "and begin again: the score is counted once");
	fixture_free(&f);
}

static void
test_any_asks_all(void)
{
	struct fixture f = fixture(REMOTE "at eom\n reject if any rcpts in t\n",
	    "rcpts=a@b.c,d@e.f,g@h.i\n");

	f.facts.later = true;
	stage(&f, RULES_EOM, "wait", "any over a list");
	is_int(f.facts.nasked, 3, "asks about all elements at once");
	facts_answer_all(&f.facts);
	stage(&f, RULES_EOM, "none", "then decides");
	fixture_free(&f);
}

/* A guarded question is asked when its group is entered. */
static void
test_group_question(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n if mail is empty {\n  "
	    "reject if rcpt in t\n }\n", "mail=a@b\nrcpt=a@b.c\n");

	stage(&f, RULES_RCPT, "none", "the group is not entered");
	is_int(f.facts.asks, 0, "and nothing is asked");
	fixture_free(&f);
}

static void
test_failure(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n accept if rcpt.local is "
	    "\"postmaster\"\n reject if rcpt not in t\nat eom\n accept if any "
	    "rcpts in t\n", "rcpt=a@b.c\ntable a@b.c=?\nrcpts=a@b.c\n");

	stage(&f, RULES_RCPT, "failed: socketmap:inet:127.0.0.1:1:t cannot be "
	    "asked @p:4", "a table that cannot say");
	f.facts.text = "rcpt=postmaster@b.c\ntable postmaster@b.c=?\n";
	stage(&f, RULES_RCPT, "accept @p:3",
	    "is no trouble for those who do not need it");
	f.facts.text = "rcpt=a@b.c\ntable a@b.c=x\n";
	stage(&f, RULES_RCPT, "none", "and the next time it is asked again");
	fixture_free(&f);
}

static void
test_dns_failure(void)
{
	struct fixture f = fixture("at mail\n reject 550 5.1.8 if mail.domain "
	    "and not resolves(mail.domain)\n", "mail=a@x.y\ndns x.y=?\n");

	stage(&f, RULES_MAIL,
	    "failed: DNS cannot say whether x.y exists @p:2", "SERVFAIL");
	f.facts.text = "mail=\n";
	f.facts.asks = 0;
	stage(&f, RULES_MAIL, "none", "the null sender needs no DNS");
	f.facts.text = "mail=a@[192.0.2.1]\n";
	stage(&f, RULES_MAIL, "none", "nor does an address literal");
	is_int(f.facts.asks, 0, "nothing was asked");
	fixture_free(&f);
}

static void
test_no_network(void)
{
	struct fixture f = fixture("at mail\n reject if not "
	    "resolves(mail.domain)\n", "mail=a@x.y\n");
	struct rules_env env = facts_env(&f.facts);
	struct rules_outcome out;

	env.ask = NULL;
	is_int(rules_run(f.s, RULES_MAIL, &env, &out), RULES_FAILED,
	    "without anybody to ask it fails");
	is_str(out.why, "this needs the network, which is not there", "why");
	fixture_free(&f);
}

static void
count_waiting(struct rules_question *q, void *arg)
{
	(void)q;
	++*(int *)arg;
}

static void
test_give_up(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n reject if rcpt in t\n",
	    "rcpt=a@b.c\n");
	int n = 0;

	f.facts.later = true;
	stage(&f, RULES_RCPT, "wait", "a question");
	rules_each_waiting(f.s, count_waiting, &n);
	is_int(n, 1, "one waits");
	rules_give_up(f.s);
	n = 0;
	rules_each_waiting(f.s, count_waiting, &n);
	is_int(n, 0, "none waits after giving up");
	f.facts.later = false;
	stage(&f, RULES_RCPT, "none", "the next run asks again");
	is_int(f.facts.asks, 2, "twice in all");
	f.facts.later = true;
	f.facts.text = "rcpt=other@b.c\n";
	stage(&f, RULES_RCPT, "wait", "a session may end while one waits");
	fixture_free(&f);
}

/* A value with a NUL, or one that is too big, is nobody's. */
static void
test_bad_answers(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n reject if rcpt in t\n",
	    "rcpt=a@b.c\n");
	char *big = xmalloc(70000);

	memset(big, 'x', 70000);
	f.facts.later = true;
	stage(&f, RULES_RCPT, "wait", "a question");
	rules_answer(f.facts.asked[0], RULES_YES, "a\0b", 3);
	stage(&f, RULES_RCPT, "failed: socketmap:inet:127.0.0.1:1:t cannot be "
	    "asked @p:3", "a NUL in the answer");
	f.facts.nasked = 0;
	stage(&f, RULES_RCPT, "wait", "again");
	rules_answer(f.facts.asked[0], RULES_YES, big, 70000);
	stage(&f, RULES_RCPT, "failed: socketmap:inet:127.0.0.1:1:t cannot be "
	    "asked @p:3", "a big answer");
	free(big);
	fixture_free(&f);
}

/* Hundreds of recipients in one session do not make it grow for ever. */
static void
test_many_questions(void)
{
	struct fixture f = fixture(REMOTE "at rcpt\n reject if rcpt in t\n",
	    "");
	char text[100], *got;
	int i, good = 0;

	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "rcpt=u%d@x.y\ntable u%d@x.y=z\n",
		    i, i);
		f.facts.text = text;
		got = run_text(f.s, RULES_RCPT, &f.facts);
		good += strncmp(got, "reject", 6) == 0;
		free(got);
	}
	is_int(good, 1000, "each of many recipients is looked up");
	fixture_free(&f);
}

/* What is set before MAIL stays; what is set in a message ends with it. */
static void
test_memory(void)
{
	struct fixture f = fixture("variable n = 1\nvariable t = \"x\"\n"
	    "at helo\n score 2\n set n = n + 1\n set t = \"%{t}h\"\n"
	    "at mail\n score 3\n set n = n + 10\n set t = \"%{t}m\"\n"
	    "at rcpt\n log \"%{score} %{n} %{t}\"\n", "");

	stage(&f, RULES_HELO, "none; note score 2", "helo");
	stage(&f, RULES_MAIL, "none; note score 3", "mail");
	stage(&f, RULES_RCPT, "none; note 5 12 xhm", "both count");
	rules_end_txn(f.s);
	stage(&f, RULES_RCPT, "none; note 2 2 xh", "helo's stays");
	stage(&f, RULES_MAIL, "none; note score 3", "mail again");
	stage(&f, RULES_RCPT, "none; note 5 12 xhm", "counts once");
	fixture_free(&f);
}

static void
test_swap(void)
{
	struct fixture f = fixture("variable a = \"1\"\nvariable b = \"2\"\n"
	    "variable c = \"\"\nat rcpt\n set c = a\n set a = b\n set b = c\n"
	    " log \"%{a}%{b}\"\n", "");

	stage(&f, RULES_RCPT, "none; note 21", "variables change places");
	stage(&f, RULES_RCPT, "none; note 12", "and back");
	stage(&f, RULES_RCPT, "none; note 21", "and again");
	fixture_free(&f);
}

static void
test_deferrals(void)
{
	struct fixture f = fixture("at helo\n use access \"static:{"
	    "DEFER_IF_PERMIT wait}\"\nat rcpt\n reject \"no\" if rcpt.local is "
	    "\"bad\"\n accept if rcpt.local is \"good\"\n", 
	    "helo.name=x\nrcpt=good@x\n");

	stage(&f, RULES_HELO, "none", "nothing happens at helo");
	stage(&f, RULES_RCPT, "tempfail 450 4.7.1 wait @p:2",
	    "a recipient that would be accepted is deferred");
	f.facts.text = "rcpt=bad@x\n";
	stage(&f, RULES_RCPT, "reject 550 5.7.1 no @p:4",
	    "one that is rejected stays rejected");
	rules_end_txn(f.s);
	f.facts.text = "rcpt=other@x\n";
	stage(&f, RULES_RCPT, "tempfail 450 4.7.1 wait @p:2",
	    "in the next message as well");
	fixture_free(&f);

	f = fixture("at rcpt\n use access \"inline:{{a@x = DEFER_IF_PERMIT "
	    "wait}}\"\n", "rcpt=a@x\n");
	stage(&f, RULES_RCPT, "tempfail 450 4.7.1 wait @p:2", "one recipient");
	f.facts.text = "rcpt=b@x\n";
	stage(&f, RULES_RCPT, "none", "is not the next one");
	fixture_free(&f);
}

static void
test_pass(void)
{
	struct fixture f = fixture("at header\n use header_checks \"inline:{"
	    "{x:pass = PASS}, {x:bad = REJECT}}\"\n", "header.line=X:bad\n");

	stage(&f, RULES_HEADER, "reject 550 5.7.1 message content rejected "
	    "@p:2", "rejected");
	f.facts.text = "header.line=X:pass\n";
	stage(&f, RULES_HEADER, "none; note pass ", "passed");
	f.facts.text = "header.line=X:bad\n";
	stage(&f, RULES_HEADER, "none", "and now everything passes");
	rules_end_txn(f.s);
	stage(&f, RULES_HEADER, "reject 550 5.7.1 message content rejected "
	    "@p:2", "until the next message");
	fixture_free(&f);
}

/* Patterns that give up */
static void
test_limits(void)
{
	static const char facts[] = "helo.name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaa!\n";
	struct fixture f = fixture("at helo\n reject \"a\" if helo.name ~ "
	    "/^(a+)+$/\n reject \"b\" if not helo.name ~ /^(a+)+$/\n reject "
	    "\"c\" if helo.name ~ /^(a+)+$/ or yes\n log \"after\"\n", facts);

	stage(&f, RULES_HELO, "none; note after",
	    "rules with a pattern that gives up are skipped, \"not\" as well");
	is_int((long long)rules_regex_limits_hit(f.r), 3, "and counted");
	fixture_free(&f);

	f = fixture("on-regex-limit = tempfail\nat helo\n accept if not "
	    "helo.name ~ /^(a+)+$/\n", facts);
	stage(&f, RULES_HELO, "tempfail 451 4.7.1 Message is too complex to "
	    "check, try again later @p:3", "or the message is put off");
	fixture_free(&f);

	f = fixture("on-regex-limit = tempfail\nat helo\n observe reject if "
	    "helo.name ~ /^(a+)+$/\n", facts);
	stage(&f, RULES_HELO, "none; would tempfail 451 4.7.1 Message is too "
	    "complex to check, try again later @p:3", "observed only");
	fixture_free(&f);
}

static void
test_check_regexes(void)
{
	struct rules *r;
	char *said, *warned;
	size_t len;
	FILE *err;

	r = policy_load("at helo\n reject if helo.name ~ /^(a+)+$/\n reject if "
	    "helo.name ~ /^[a-z.]+$/i\n reject if helo.name ~ "
	    "/^(z|z|zz)+q/\n", &said);
	err = open_memstream(&warned, &len);
	is_int(rules_check_regexes(r, err), 2, "two slow patterns are found");
	fclose(err);
	ok(strstr(warned, "p:2:24: warning: this regular expression gives up "
	    "on many letters") != NULL, "the first, with its place");
	ok(strstr(warned, "p:4:24: warning: this regular expression gives up "
	    "on many of its own letters") != NULL, "the other");
	is_int((long long)rules_regex_limits_hit(r), 0, "trying is no hit");
	free(warned);
	free(said);
	rules_free(&r);
}

/* What a peer can put into a text */
static const struct {
	const char	*name, *subject, *reply, *header;
} hostile[] = {
	{ "line ends", "a\r\n550 b", "a??550 b", "a??550 b" },
	{ "folding", "a\r\n b\n\tc", "a b?c", "a b\tc" },
	{ "a line end at the end", "a\r\n", "a??", "a??" },
	{ "controls", "a\x01\x1b[31m\x7f", "a??[31m?", "a??[31m?" },
	{ "UTF-8", "h\xc3\xa4", "h??", "h\xc3\xa4" },
	{ "percent signs", "%s%n%{mail}", "%s%n%{mail}", "%s%n%{mail}" },
};

static const char *subject;
static size_t subject_len;

static void
subject_field(void *arg, struct rules_state *s, enum rules_field f,
    const char *name, struct rules_value *v)
{
	(void)arg;
	(void)s;
	(void)name;
	if (f == FIELD_HEADER)
		v->text = SLICE(subject, subject_len);
}

static void
test_hostile_texts(void)
{
	struct fixture f = fixture("at eom\n add header \"X: "
	    "%{header(\"S\")}\"\n reject \"%{header(\"S\")}\"\n", "");
	struct rules_env env = { .field = subject_field };
	struct rules_outcome out;
	size_t i;

	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		subject = hostile[i].subject;
		subject_len = strlen(subject);
		rules_run(f.s, RULES_EOM, &env, &out);
		is_str(out.text, hostile[i].reply, hostile[i].name);
		is_str(out.edits[0].value, hostile[i].header, hostile[i].name);
	}
	subject = "a\0b";
	subject_len = 3;
	rules_run(f.s, RULES_EOM, &env, &out);
	is_str(out.text, "a?b", "a NUL is no end");
	fixture_free(&f);
	f = fixture("variable v = \"\"\nat eom\n set v = header(\"S\")\n"
	    "at disconnect\n log \"%{v} %{length(v)}\"\n", "");
	rules_run(f.s, RULES_EOM, &env, &out);
	rules_run(f.s, RULES_DISCONNECT, &env, &out);
	is_str(out.notes[0].text, "a?b 3", "nor in a variable");
	fixture_free(&f);
}

/* Nor is it in a policy. */
static void
test_nul_in_policy(void)
{
	static const char text[] = "at helo\n accept\n reject if h\0elo\n";
	struct rules *r;
	char *said;
	size_t len;
	FILE *err = open_memstream(&said, &len);

	r = rules_load_text("p", text, sizeof(text) - 1, NULL, err);
	fclose(err);
	ok(r == NULL, "a policy with a NUL");
	ok(strstr(said, "p:3:13: a NUL octet") != NULL, "is no text");
	free(said);
}

static void
test_long_texts(void)
{
	struct fixture f = fixture("at eom\n add header \"X: "
	    "%{header(\"S\")}\"\n reject \"%{header(\"S\")}\"\n", "");
	struct rules_env env = { .field = subject_field };
	struct rules_outcome out;
	char *big = xmalloc(200000);
	size_t i;

	for (i = 0; i < 200000; i++)
		big[i] = i == 0 ? 'x' : i % 2 ? '\xc3' : '\xa4';
	subject = big;
	subject_len = 200000;
	is_int(rules_run(f.s, RULES_EOM, &env, &out), RULES_DONE, "runs");
	is_int((long long)strlen(out.text), 400, "a reply is cut");
	is_int((long long)strlen(out.edits[0].value), 899,
	    "a header is cut in front of a character");
	free(big);
	fixture_free(&f);
}

/* Texts of one run have an end, however many rules there are. */
static void
test_memory_limit(void)
{
	struct fixture f;
	struct rules_env env = { .field = subject_field };
	struct rules_outcome out;
	char *big = xmalloc(200000);
	struct buf b;
	int i;

	memset(big, 'x', 200000);
	subject = big;
	subject_len = 200000;
	buf_init(&b, 1 << 20);
	buf_adds(&b, "at eom\n");
	for (i = 0; i < 100; i++)
		buf_adds(&b, " log \"x\" if lower(header(\"S\")) is \"y\"\n");
	f = fixture(b.p, "");
	is_int(rules_run(f.s, RULES_EOM, &env, &out), RULES_FAILED,
	    "a run that needs too much memory fails");
	is_str(out.why, "the rules need too much memory", "and says so");
	free(big);
	buf_fini(&b);
	fixture_free(&f);
}

static void
test_many_effects(void)
{
	struct fixture f;
	struct buf b;
	int i;

	buf_init(&b, 1 << 20);
	buf_adds(&b, "at eom\n");
	for (i = 0; i < 1100; i++)
		buf_addf(&b, " add header \"X-%d: y\"\n", i);
	f = fixture(b.p, "");
	stage(&f, RULES_EOM, "failed: the rules of one stage do too much "
	    "@p:1002", "edits have an end");
	buf_fini(&b);
	fixture_free(&f);
}

/* Traces */
static void
on_step(void *arg, const struct rules_step *step)
{
	struct buf *b = arg;
	size_t i;

	buf_addf(b, "%s %s [%s]", rules_stage_name(step->stage), step->place,
	    step->source);
	for (i = 0; i < step->ntests; i++)
		buf_addf(b, " <%s|%s|%s|%s>", step->tests[i].asked,
		    step->tests[i].value, step->tests[i].against,
		    step->tests[i].held ? "yes" : "no");
	buf_addf(b, " -> %s\n", step->followed);
}

static void
test_trace(void)
{
	struct fixture f = fixture("list bad = { 10.0.0.0/8 }\nblock b\n  "
	    "log   \"x\"\nat rcpt\n accept if client.ip in bad\n if size > 1K "
	    "and\n   not tls {\n  score 2 if any rcpts in { \"b@c\" }\n }\n "
	    "call b\n reject 550 \"no %{rcpt}\" if helo.name ~ /^m(x)/ and "
	    "client.name and helo.name is not \"y\" and client.ip not in "
	    "bad\n",
	    "client.ip=192.0.2.1\nsize=2000\nrcpt=a@b\n"
	    "rcpts=a@b,b@c\nhelo.name=mx\nclient.name=x\n");
	struct rules_env env = facts_env(&f.facts);
	struct rules_outcome out;
	struct buf b;

	buf_init(&b, 1 << 16);
	env.trace = on_step;
	env.trace_arg = &b;
	rules_run(f.s, RULES_RCPT, &env, &out);
	is_str(b.p,
	    "rcpt p:5 [accept if client.ip in bad] <client.ip|192.0.2.1|in "
	    "bad|no> -> next rule\n"
	    "rcpt p:6 [if size > 1K and not tls] <size|2000|> 1K|yes> "
	    "<tls|no||no> -> its group\n"
	    "rcpt p:8 [score 2 if any rcpts in { \"b@c\" }] <rcpts|\"a@b\"|in "
	    "{ \"b@c\" }|no> <rcpts|\"b@c\"|in { \"b@c\" }|yes> -> score 2\n"
	    "rcpt p:10 [call b] -> its block\n"
	    "rcpt p:3 [log \"x\"] -> log x\n"
	    "rcpt p:11 [reject 550 \"no %{rcpt}\" if helo.name ~ /^m(x)/ and "
	    "client.name and helo.name is not \"y\" and client.ip not in "
	    "bad] <helo.name|\"mx\"|~ /^m(x)/|yes> <client.name|\"x\""
	    "||yes> <helo.name|\"mx\"|is not \"y\"|yes> <client.ip|192.0.2.1"
	    "|not in bad|yes> -> reject 550 5.7.1 no a@b\n", "each rule, in words");
	is_str(out.text, "no a@b", "and the outcome is the same");
	buf_fini(&b);
	fixture_free(&f);
}

/*
 * A property: whatever the rules, what follows with the tables of keys is what
 * follows one by one, which is how a traced run goes.
 */
static uint32_t seed = 7;

static unsigned
dice(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % n;
}

static void
random_rule(struct buf *b, int i)
{
	static const char *const ops[] = { "is", "=" };

	buf_addf(b, dice(6) == 0 ? " reject \"%d\" if " : " log \"%d\" if ",
	    i);
	if (dice(4) == 0)
		buf_adds(b, dice(2) ? "tls and " : "size > 5 and ");
	switch (dice(8)) {
	case 0:
		buf_addf(b, "client.ip in 10.%u.0.0/%u\n", dice(4), dice(2) ?
		    16 : 15 - dice(2));
		if (b->p[b->len - 3] != '1' || b->p[b->len - 2] != '6') {
			/* No host bits. */
			char *dot = strrchr(b->p, '/') - 5;

			*dot = '0';
		}
		break;
	case 1:
		buf_addf(b, "client.ip in { 10.%u.%u.1, 2001:db8:%u::/48 }\n",
		    dice(4), dice(4), dice(4));
		break;
	case 2:
		buf_addf(b, "size = %u\n", dice(10));
		break;
	case 3:
		buf_addf(b, "size in { %u, %u }\n", dice(10), dice(10));
		break;
	case 4:
		buf_addf(b, "not helo.name is \"h%u\"\n", dice(5));
		break;
	case 5:
		buf_addf(b, "rcpt.domain in { \"D%u\", \"d%u\", \"d%u\" }\n",
		    dice(9), dice(9), dice(9));
		break;
	case 6:
		buf_addf(b, "helo.name %s \"%c%u\" or size = %u\n",
		    ops[dice(2)], dice(2) ? 'h' : 'H', dice(9), dice(9));
		break;
	default:
		buf_addf(b, "helo.name %s \"%c%u\"\n", ops[dice(2)],
		    dice(2) ? 'h' : 'H', dice(9));
	}
}

static void
random_policy(struct buf *b)
{
	int i, n = 1 + (int)dice(60);

	buf_reset(b);
	buf_adds(b, "at rcpt\n");
	for (i = 0; i < n; i++) {
		if (dice(10) == 0)
			buf_addf(b, "for domain d%u, .d%u {\n at rcpt\n",
			    dice(9), dice(9));
		else if (dice(10) != 0) {
			random_rule(b, i);
			continue;
		} else {
			buf_addf(b, "for domain d%u, d%u {\n at rcpt\n",
			    dice(9), dice(9));
		}
		random_rule(b, i);
		random_rule(b, i);
		buf_adds(b, "}\nat rcpt\n");
	}
}

static void
random_facts(char text[300])
{
	char ip[60];

	snprintf(ip, sizeof(ip), dice(2) ? "10.%u.%u.1" : "2001:db8:%u::%u",
	    dice(4), dice(4));
	snprintf(text, 300, "client.ip=%s\nhelo.name=h%u\nsize=%u\nrcpt="
	    "a@%sd%u\ntls=%s\n", dice(9) ? ip : "", dice(9), dice(10),
	    dice(5) ? "" : "sub.", dice(9), dice(2) ? "yes" : "no");
}

static void
no_step(void *arg, const struct rules_step *step)
{
	(void)step;
	++*(int *)arg;
}

static bool
same_both_ways(struct rules *r, struct facts *facts)
{
	struct rules_state *s = rules_state_new(r);
	struct rules_env env = facts_env(facts);
	struct rules_outcome out;
	char *fast, *slow;
	int steps = 0;
	bool same;

	fast = run_text(s, RULES_RCPT, facts);
	env.trace = no_step;
	env.trace_arg = &steps;
	slow = outcome_text(rules_run(s, RULES_RCPT, &env, &out), &out);
	same = strcmp(fast, slow) == 0;
	if (!same)
		printf("# facts %s# fast %s\n# slow %s\n", facts->text, fast,
		    slow);
	free(fast);
	free(slow);
	rules_state_free(&s);
	return same;
}

static void
test_dispatch(void)
{
	struct facts facts = { .text = NULL };
	char text[300], *said;
	int i, j, different = 0, unloaded = 0;
	struct rules *r;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (i = 0; i < 400; i++) {
		random_policy(&b);
		r = policy_load(b.p, &said);
		unloaded += r == NULL;
		if (r == NULL && unloaded == 1)
			printf("# %s\n", said);
		free(said);
		for (j = 0; j < 40 && r != NULL; j++) {
			random_facts(text);
			facts.text = text;
			facts.names[0] = '\0';
			if (!same_both_ways(r, &facts) && ++different == 1)
				printf("# %s\n", b.p);
		}
		rules_free(&r);
	}
	is_int(unloaded, 0, "random policies load");
	is_int(different, 0, "keys find the same rules as going one by one");
	buf_fini(&b);
}

/* Files */
static char dir[] = "/tmp/vratar-rules-XXXXXX";

static void
spew(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0) {
		printf("Bail out! %s\n", path);
		exit(1);
	}
}

static struct rules *
load_policy_file(const char *name, char **said)
{
	char path[200];
	struct rules *r;
	size_t len;
	FILE *err = open_memstream(said, &len);

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = rules_load(path, NULL, err);
	fclose(err);
	return r;
}

static void
test_files(void)
{
	struct facts facts = { .text = "" };
	struct rules_state *s;
	char *said, *got, *want;
	struct rules *r;

	if (mkdtemp(dir) == NULL)
		exit(1);
	spew("main.rules", "include \"more.rules\"\nat helo\n accept\n");
	spew("more.rules", "at helo\n reject \"from more\" if yes\n");
	r = load_policy_file("main.rules", &said);
	is_str(said, "", "a policy with an include loads");
	s = rules_state_new(r);
	got = run_text(s, RULES_HELO, &facts);
	is_str(got, "reject 550 5.7.1 from more @more.rules:2",
	    "included rules come first, with their own place");
	free(got);
	free(said);
	rules_state_free(&s);
	rules_free(&r);

	spew("more.rules", "\n\tat helo\n \trejct\n");
	r = load_policy_file("main.rules", &said);
	want = xasprintf("%s/more.rules:3:3: \"rejct\" is no action (did you "
	    "mean reject?)\n \trejct\n \t^\n", dir);
	is_str(said, want, "a mistake in an included file");
	ok(r == NULL, "is one");
	free(want);
	free(said);

	spew("more.rules", "include \"main.rules\"\n");
	r = load_policy_file("main.rules", &said);
	ok(r == NULL && strstr(said, "files include each other deeper than 16")
	    != NULL, "a circle is noticed");
	free(said);
	r = load_policy_file(".", &said);
	ok(r == NULL && strstr(said, "directory") != NULL, "a directory");
	free(said);
	r = load_policy_file("none", &said);
	ok(r == NULL && strstr(said, "No such file") != NULL, "no file");
	free(said);
}

static void
remove_files(void)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/main.rules", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/more.rules", dir);
	unlink(path);
	rmdir(dir);
}

static bool
has_backend(void *arg, const char *name)
{
	return strcmp(name, arg) == 0;
}

static void
test_options(void)
{
	struct rules_options o = { .has_backend = has_backend,
	    .arg = (char[]){ "mx" } };
	const char *good = "at rcpt\n route to mx\n";
	const char *bad = "at rcpt\n route to nx\n";
	struct rules *r;
	char *said;
	size_t len;
	FILE *err;

	err = open_memstream(&said, &len);
	r = rules_load_text("p", good, strlen(good), &o, err);
	ok(r != NULL, "a backend that there is");
	rules_free(&r);
	r = rules_load_text("p", bad, strlen(bad), &o, err);
	fclose(err);
	ok(r == NULL, "and one that there is not");
	is_str(said, "p:2:11: there is no backend \"nx\" in the "
	    "configuration\n route to nx\n          ^\n", "is told");
	free(said);
}

/* What is written about patterns that give up is not for this output. */
int
main(void)
{
	log_open("file:/dev/null", false);
	test_lazy();
	test_no_name_now();
	test_about();
	test_questions();
	test_answers_at_once();
	test_late_question();
	test_any_asks_all();
	test_group_question();
	test_failure();
	test_dns_failure();
	test_no_network();
	test_give_up();
	test_bad_answers();
	test_many_questions();
	test_memory();
	test_swap();
	test_deferrals();
	test_pass();
	test_limits();
	test_check_regexes();
	test_hostile_texts();
	test_nul_in_policy();
	test_long_texts();
	test_memory_limit();
	test_many_effects();
	test_trace();
	test_dispatch();
	test_files();
	remove_files();
	test_options();
	return tap_done();
}
