/* What tables of a policy must hold: found at load, and at each reload. */

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "policy.h"
#include "rules/table.h"

static char path[] = "/tmp/vratar-values-XXXXXX";
static char log_path[] = "/tmp/vratar-values-log-XXXXXX";

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* FILE is the name of the file, HERE where the policy names it. */
static char *
with_names(const char *text)
{
	struct buf b;
	char *copy;

	buf_init(&b, 10000);
	for (; *text != '\0'; text++)
		if (strncmp(text, "FILE", 4) == 0) {
			buf_add(&b, path, strlen(path));
			text += 3;
		} else
			buf_addc(&b, *text);
	copy = xstrdup(b.p);
	buf_fini(&b);
	return copy;
}

#define NO_ACTION	"is no action of access(5) (there is OK, DUNNO, "   \
			"REJECT, DEFER, DEFER_IF_REJECT, DEFER_IF_PERMIT, "  \
			"4NN text, 5NN text, DISCARD, HOLD, REDIRECT, BCC, " \
			"PREPEND, INFO and WARN)"
#define EARLY(stage, on) "has no place at " stage ", where there is no "    \
			"message yet (write \"use access TABLE on " on      \
			"\" at mail)"
#define AT_RCPT		"table t \"texthash:FILE\"\nat rcpt\n use access t\n"

/* want: the mistakes without the lines that show where; "": none. */
static const struct {
	const char	*name, *policy, *file, *want;
} loads[] = {
	{ "texthash, all of them", AT_RCPT, "a OK\nb nonsense\n\nc REJECT\n"
	    "d x\n", "p:1:9: FILE:2: \"nonsense\" " NO_ACTION "\n"
	    "p:1:9: FILE:5: \"x\" " NO_ACTION "\n" },
	{ "other mistakes as well", AT_RCPT, "a x\nb\n",
	    "p:1:9: FILE:1: \"x\" " NO_ACTION "\n"
	    "p:1:9: FILE:2: the key has no value (try \"KEY OK\")\n" },
	{ "a table that is no access table", "table t \"texthash:FILE\"\n"
	    "at rcpt\n accept if rcpt in t\n", "a nonsense\n", "" },
	{ "one that is both", AT_RCPT " accept if rcpt in t\n", "a nonsense\n",
	    "p:1:9: FILE:1: \"nonsense\" " NO_ACTION "\n" },
	{ "a block", "block b\n use access \"texthash:FILE\"\nat rcpt\n if "
	    "mail { call b }\n", "a nonsense\n",
	    "p:2:13: FILE:1: \"nonsense\" " NO_ACTION "\n" },
	{ "pcre", "at rcpt\n use access \"pcre:FILE\"\n",
	    "/(a)/ $1\n/(b)/ REDIRECT $1@example.com\nif /(c)/\n"
	    "/(c)/ REDIRECT c\n/(d)/ BAD $1\nendif\n",
	    "p:2:13: FILE:4: \"REDIRECT c\" needs user@domain (try "
	    "postmaster@example.com)\n"
	    "p:2:13: FILE:5: \"BAD $\" " NO_ACTION "\n" },
	{ "a pattern without a result, said once", "at rcpt\n use access "
	    "\"pcre:FILE\"\n", "/a/\n", "p:2:13: FILE:1: the pattern has no "
	    "result: it is empty now\n" },
	{ "regexp", "at rcpt\n use access \"regexp:FILE\"\n",
	    "/a/ OK\n/b/ PREPEND b\n", "p:2:13: FILE:2: \"PREPEND b\" needs "
	    "\"NAME: value\" (try X-Checked: yes)\n" },
	{ "cidr", "at connect\n use access \"cidr:FILE\"\n",
	    "192.0.2.0/24 OK\n10.0.0.0/8 $1\n",
	    "p:2:13: FILE:2: \"$1\" " NO_ACTION "\n" },
	{ "inline", "at rcpt\n use access \"inline:{a=OK, b=c}\"\n", "",
	    "p:2:13: inline: key \"b\": \"c\" " NO_ACTION "\n" },
	{ "static", "at rcpt\n use access \"static:OKAY\"\n", "",
	    "p:2:13: static: \"OKAY\" " NO_ACTION "\n" },
	{ "static within braces", "at rcpt\n use access \"static:{REJECT a}\""
	    "\n", "", "" },
	{ "members of a union", "at rcpt\n use access \"union:{static:OK, "
	    "texthash:FILE}\"\n", "a b\n",
	    "p:2:13: FILE:1: \"b\" " NO_ACTION "\n" },
	{ "the last of a pipemap", "at rcpt\n use access \"pipemap:{inline:"
	    "{a=key}, texthash:FILE}\"\n", "key b\n",
	    "p:2:13: FILE:1: \"b\" " NO_ACTION "\n" },
	{ "a server", "at rcpt\n use access \"tcp:127.0.0.1:1\"\n", "", "" },

	{ "DISCARD at connect", "table t \"texthash:FILE\"\nat connect\n use "
	    "access t\n", "a DISCARD\n", "p:1:9: FILE:1: \"DISCARD\" "
	    EARLY("connect", "client") "\n" },
	{ "PREPEND at helo", "at helo\n use access \"static:{PREPEND A: b}\"\n",
	    "", "p:2:13: static: \"PREPEND A: b\" " EARLY("helo", "helo")
	    "\n" },
	{ "HOLD at auth", "at auth\n use access \"static:HOLD\" on client\n",
	    "", "p:2:13: static: \"HOLD\" has no place where there is no "
	    "message (write \"use access TABLE on …\" at mail)\n" },
	{ "the same table at a good stage", "table t \"texthash:FILE\"\nat "
	    "mail\n use access t on client\n", "a BCC a@b\nb REDIRECT a@b\n"
	    "c HOLD\nd DISCARD\ne PREPEND A: b\n", "" },
	{ "and at both", "table t \"texthash:FILE\"\nat connect\n use access t"
	    "\nat mail\n use access t on client\n", "a BCC a@b\n",
	    "p:1:9: FILE:1: \"BCC a@b\" " EARLY("connect", "client") "\n" },
	{ "REJECT at connect", "at connect\n use access \"texthash:FILE\"\n",
	    "a REJECT\nb 421 x\nc DEFER_IF_PERMIT\nd INFO x\n", "" },

	/* Postfix only warns when it comes to it, and so do we now. */
	{ "header_checks", "at header\n use header_checks \"pcre:FILE\"\n",
	    "/^a: (.*)/ REPLACE b: $1\n/^b: (.*)/ REPLACE $1: b\n"
	    "/^c: (.*)/ REPLACE c $1\n/d/ OK\n/e/ 550\n/f/ 550 5.7.1 x\n",
	    "" },
	{ "body_checks", "at body\n use body_checks \"pcre:FILE\"\n",
	    "/(.*)/ REPLACE x\n/a/ REPLACE\n", "" },
	{ "FILTER", "at body\n use body_checks \"pcre:FILE\"\n",
	    "/a/ FILTER smtp:\n", "p:2:18: FILE:1: \"FILTER smtp:\" is for the "
	    "queue of Postfix, and a proxy has none (leave FILTER to a table "
	    "of the backend, or write \"route to BACKEND\" in the policy)\n" },
};

/* The lines that start with "p:". */
static char *
mistakes_only(char *said)
{
	char *from, *to = said, *next;

	for (from = said; *from != '\0'; from = next) {
		next = strchrnul(from, '\n');
		next += *next == '\n';
		if (strncmp(from, "p:", 2) == 0 && strstr(from, "warning") ==
		    NULL) {
			memmove(to, from, (size_t)(next - from));
			to += next - from;
		}
	}
	*to = '\0';
	return said;
}

static void
test_load(void)
{
	char *policy, *want, *said;
	struct rules *r;
	size_t i;

	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		write_file(loads[i].file);
		policy = with_names(loads[i].policy);
		want = with_names(loads[i].want);
		r = policy_load(policy, &said);
		is_str(mistakes_only(said), want, loads[i].name);
		ok((r == NULL) == (*want != '\0'), "loaded if there are none");
		rules_free(&r);
		free(policy);
		free(want);
		free(said);
	}
}

static char *
read_log(void)
{
	char *text = xcalloc(1, 20001);
	FILE *f = fopen(log_path, "r");

	if (f == NULL || fread(text, 1, 20000, f) == 0)
		text[0] = '\0';
	fclose(f);
	return text;
}

/* What the rcpt stage says once the file has this content. */
static void
reload(struct rules_state *s, struct facts *facts, const char *content,
    const char *want, const char *log)
{
	char *got, *where = xasprintf("file:%s", log_path), *logged;

	if (truncate(log_path, 0) == -1)
		printf("Bail out! no log\n");
	write_file(content);
	clock_advance(1001);
	log_open(where, false);
	got = run_text(s, RULES_RCPT, facts);
	log_open("stderr", false);
	logged = read_log();
	is_str(got, want, content);
	ok(strstr(logged, log) != NULL, "the log says: %s", log);
	free(got);
	free(where);
	free(logged);
}

static void
test_reload(void)
{
	struct facts facts = { .text = "rcpt=a@example.com\n" };
	char *policy = with_names(AT_RCPT), *said;
	struct rules_state *s;
	struct rules *r;

	write_file("a@example.com REJECT one\n");
	r = policy_load(policy, &said);
	s = rules_state_new(r);
	reload(s, &facts, "a@example.com REJECT  two\n",
	    "reject 554 5.7.1 two @p:3", "reload=done");
	reload(s, &facts, "a@example.com REJECT three\nb nonsense\n",
	    "reject 554 5.7.1 two @p:3", ":2: \\\"nonsense\\\" is no action");
	reload(s, &facts, "a@example.com REJECT four!\n",
	    "reject 554 5.7.1 four! @p:3", "reload=done");
	/* Messages are held for those who edit them; nobody knew that. */
	ok(!rules_writes_header(r), "the policy edits nothing");
	reload(s, &facts, "a@example.com PREPEND A: b\n",
	    "reject 554 5.7.1 four! @p:3", "changes the message, and nothing in "
	    "this policy did so (reload vratar)");
	rules_state_free(&s);
	rules_free(&r);
	free(said);
	r = policy_load(policy, &said);
	ok(rules_writes_header(r), "it does when it is loaded again");
	rules_free(&r);
	free(said);
	free(policy);
}

/* What a server says is judged when it says it. */
static void
test_remote(void)
{
	static const struct {
		enum rules_stage	 stage;
		const char		*value, *want;
	} rows[] = {
		{ RULES_RCPT, "REJECT no", "reject 554 5.7.1 no @p:4" },
		{ RULES_RCPT, "nonsense", "failed: table tcp:127.0.0.1:1: "
		    "\"nonsense\" " NO_ACTION " @p:4" },
		{ RULES_CONNECT, "HOLD", "failed: table tcp:127.0.0.1:1: "
		    "\"HOLD\" " EARLY("connect", "client") " @p:2" },
	};
	struct facts facts = { 0 };
	struct rules_state *s;
	char *said, *got, *text;
	struct rules *r;
	size_t i;

	r = policy_load("at connect\n use access \"tcp:127.0.0.1:1\"\n",
	    &said);
	ok(!rules_writes_header(r), "there is no header at connect");
	rules_free(&r);
	free(said);
	r = policy_load("at connect\n use access \"tcp:127.0.0.1:1\"\nat "
	    "rcpt\n use access \"tcp:127.0.0.1:1\"\n", &said);
	is_str(said, "", "loads");
	ok(rules_writes_header(r), "it might say PREPEND");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s = rules_state_new(r);
		text = xasprintf("client.name=a.example\nrcpt=a@example.com\n"
		    "table a@example.com=%s\ntable a.example=%s\n",
		    rows[i].value, rows[i].value);
		facts.text = text;
		got = run_text(s, rows[i].stage, &facts);
		is_str(got, rows[i].want, rows[i].value);
		rules_state_free(&s);
		free(got);
		free(text);
	}
	rules_free(&r);
	free(said);
}

int
main(void)
{
	close(mkstemp(path));
	close(mkstemp(log_path));
	clock_freeze();
	test_load();
	test_reload();
	test_remote();
	unlink(path);
	unlink(log_path);
	return tap_done();
}
