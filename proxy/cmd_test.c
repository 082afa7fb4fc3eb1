/*
 * cmd_test - "vratar test": what would happen to this message, and why?
 *
 * The session is a rehearsal: the real engine and the real chain, with a
 * made-up client in front and a backend behind that agrees with everything. We
 * print what the client sees at each stage, then what the filters want changed,
 * then each rule that was looked at: what it asked, what that was worth, what
 * it was compared with, and what followed.
 */

#include "proxy/cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/chain.h"
#include "filters/policy.h"
#include "proxy/conf.h"
#include "proxy/rehearsal.h"
#include "proxy/tls.h"

#define MESSAGE_MAX	((size_t)256 << 20)

enum { ACCEPTED = 0, REFUSED = 1, USAGE = 2, TEMPORARY = 75 };

struct options {
	const char	*client, *client_name, *login, *helo, *from;
	const char	*listener, *message;
	const char	**rcpts;	/* ours */
	size_t		 nrcpts;
	bool		 json;
	bool		 has_file, has_policy;
	char		**rest;		/* for conf_getopt(); ours */
	int		 nrest;
};

/* What came of it; printed at the end, as text or as JSON. */
struct result {
	json_t		*stages, *findings, *edits, *trace;	/* ours */
	json_t		*header;	/* that is sent on; NULL: as it came */
	const struct buf *message;
	bool		 discarded;
	int		 status;	/* of the last step that was refused */
	size_t		 accepted;	/* recipients */
};

static const char usage[] =
    "    --client IP --helo NAME --from ADDRESS --rcpt ADDRESS ... MESSAGE\n"
    "    [--client-name NAME] [--login USER] [--listener NAME] [--json]\n"
    "MESSAGE is a file, or - for standard input.\n";

/* Options */

static const struct {
	const char	*option;
	size_t		 offset;
} texts[] = {
	{ "--client",	   offsetof(struct options, client) },
	{ "--client-name", offsetof(struct options, client_name) },
	{ "--login",	   offsetof(struct options, login) },
	{ "--helo",	   offsetof(struct options, helo) },
	{ "--from",	   offsetof(struct options, from) },
	{ "--listener",	   offsetof(struct options, listener) },
};

/* "--name VALUE" or "--name=VALUE" at argv[*i]; NULL if it is not that. */
static const char *
value_of(const char *name, int argc, char **argv, int *i)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	return argv[*i][len] == '\0' && *i + 1 < argc ? argv[++*i] : NULL;
}

static void
add_rcpt(struct options *o, const char *address)
{
	o->rcpts = xrealloc(o->rcpts, (o->nrcpts + 1) * sizeof(o->rcpts[0]));
	o->rcpts[o->nrcpts++] = address;
}

static bool
take_text(struct options *o, int argc, char **argv, int *i)
{
	const char *value;
	size_t j;

	for (j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
		if ((value = value_of(texts[j].option, argc, argv, i)) !=
		    NULL) {
			*(const char **)((char *)o + texts[j].offset) = value;
			return true;
		}
	if ((value = value_of("--rcpt", argc, argv, i)) == NULL)
		return false;
	add_rcpt(o, value);
	return true;
}

static void
keep(struct options *o, const char *arg)
{
	o->rest = xrealloc(o->rest, (size_t)(o->nrest + 2) *
	    sizeof(o->rest[0]));
	o->rest[o->nrest++] = (char *)arg;
	o->rest[o->nrest] = NULL;
}

/* The message, or one of several addresses behind --rcpt. */
static void
take_operand(struct options *o, const char *arg)
{
	if (o->message == NULL)
		o->message = arg;
	else if (strchr(o->message, '@') != NULL) {
		add_rcpt(o, o->message);
		o->message = arg;
	} else if (strchr(arg, '@') != NULL)
		add_rcpt(o, arg);
	else
		keep(o, arg);		/* which will complain */
}

/* An option of the configuration, and its argument; or an operand. */
static void
take_other(struct options *o, int argc, char **argv, int *i)
{
	const char *arg = argv[*i];

	if (strcmp(arg, "-") == 0 || *arg != '-') {
		take_operand(o, arg);
		return;
	}
	o->has_file |= strcmp(arg, "-c") == 0;
	o->has_policy |= strcmp(arg, "--policy") == 0 ||
	    strncmp(arg, "--policy=", 9) == 0;
	keep(o, arg);
	if (strchr(arg, '=') == NULL && strcmp(arg, "--help") != 0 &&
	    *i + 1 < argc)
		keep(o, argv[++*i]);
}

static void
read_options(struct options *o, int argc, char **argv)
{
	int i;

	keep(o, argv[0]);
	for (i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			o->json = true;
		else if (!take_text(o, argc, argv, &i))
			take_other(o, argc, argv, &i);
}

static bool
is_complete(const struct options *o)
{
	const char *missing = o->client == NULL ? "--client" :
	    o->helo == NULL ? "--helo" : o->from == NULL ? "--from" :
	    o->nrcpts == 0 ? "--rcpt" : o->message == NULL ? "MESSAGE" : NULL;

	if (missing != NULL)
		fprintf(stderr, "vratar test: %s is missing\n", missing);
	return missing == NULL;
}

/* The message */

/* A file has the line ends of files; what has CR LF anywhere is taken as it
   is, bare LF and all. */
static void
add_line_ends(struct buf *to, const struct buf *from)
{
	size_t i;

	if (memmem(from->p, from->len, "\r\n", 2) != NULL) {
		buf_add(to, from->p, from->len);
		return;
	}
	for (i = 0; i < from->len; i++) {
		if (from->p[i] == '\n')
			buf_addc(to, '\r');
		buf_addc(to, from->p[i]);
	}
}

static int
read_message(const char *name, struct buf *out)
{
	FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	char piece[65536];
	struct buf raw;
	size_t n;

	buf_init(&raw, MESSAGE_MAX);
	while (f != NULL && (n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(&raw, piece, n);
	if (f == NULL || ferror(f) || raw.failed)
		fprintf(stderr, "vratar test: %s: %s\n", name,
		    raw.failed ? "too large" : strerror(errno));
	else
		add_line_ends(out, &raw);
	n = f == NULL || ferror(f) || raw.failed;
	if (f != NULL && f != stdin)
		fclose(f);
	buf_fini(&raw);
	return n ? -1 : 0;
}

/* JSON */

/* Text from a message need not be UTF-8. */
static json_t *
any_text(const char *p)
{
	json_t *s = json_string(p);
	char *copy;
	size_t i;

	if (s != NULL)
		return s;
	copy = xstrdup(p);
	for (i = 0; copy[i] != '\0'; i++)
		if ((unsigned char)copy[i] > 127)
			copy[i] = '?';
	s = json_string(copy);
	free(copy);
	return s;
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* What happens */

/* What was asked at rcpt since the last reply was about this one. */
static void
name_recipient(const struct result *r, const char *rcpt)
{
	json_t *t;
	size_t i;

	for (i = json_array_size(r->trace); i > 0; i--) {
		t = json_array_get(r->trace, i - 1);
		if (strcmp(text_of(t, "stage"), "rcpt") != 0 ||
		    json_object_get(t, "recipient") != NULL)
			break;
		json_object_set_new(t, "recipient", any_text(rcpt));
	}
}

static void
on_reply(void *arg, const char *step, const char *rcpt, int code,
    const char *text)
{
	struct result *r = arg;
	json_t *stage = json_pack("{s:s, s:i, s:s}", "stage", step, "code",
	    code, "reply", text);

	if (rcpt != NULL) {
		json_object_set_new(stage, "recipient", any_text(rcpt));
		name_recipient(r, rcpt);
	}
	json_array_append_new(r->stages, stage);
	if (rcpt != NULL && code / 100 == 2)
		r->accepted++;
	if (code / 100 == 4)
		r->status = TEMPORARY;
	else if (code / 100 == 5 && (rcpt == NULL || r->status == ACCEPTED))
		r->status = REFUSED;
	if (strcmp(step, "DATA") == 0 && code / 100 == 2)
		r->status = ACCEPTED;
}

static void
on_answer(void *arg, const struct filter_conf *f, enum filter_event ev,
    enum verdict v, const char *reply, const char *place)
{
	struct result *r = arg;

	if (v == V_CONTINUE || v == V_SKIP)
		return;
	json_array_append_new(r->trace, json_pack(
	    "{s:s, s:s, s:s, s:s*, s:s*, s:b}", "filter", f->name, "stage",
	    filter_event_name(ev), "verdict", verdict_name(v),
	    v == V_FAIL ? "why" : "reply", reply, "rule", place, "observe",
	    f->observe));
}

static void
on_delay(void *arg, const struct filter_conf *f, enum filter_event ev,
    uint64_t ms)
{
	struct result *r = arg;

	json_array_append_new(r->trace, json_pack("{s:s, s:s, s:I}",
	    "filter", f->name, "stage", filter_event_name(ev), "delay-ms",
	    (json_int_t)ms));
}

static void
add_finding(struct result *r, const struct txn_finding *f)
{
	json_array_append_new(r->findings, json_pack("{s:s, s:s, s:o}",
	    "finding", f->name, "by", f->by, "value", any_text(f->text)));
}

static void
on_txn_end(void *arg, const struct txn *t)
{
	struct result *r = arg;
	const struct txn_edit *e;
	json_t *edit;
	size_t i;

	r->discarded |= t->discarded;
	for (i = 0; i < t->nfindings; i++)
		add_finding(r, &t->findings[i]);
	for (i = 0; i < t->nedits; i++) {
		e = &t->edits[i];
		edit = json_pack("{s:s, s:s}", "edit", txn_edit_name(e->kind),
		    "by", e->by);
		if (e->name != NULL)
			json_object_set_new(edit, "name", any_text(e->name));
		json_object_set_new(edit, "value", any_text(e->value));
		if (e->nth > 0)
			json_object_set_new(edit, "index",
			    json_integer(e->nth));
		json_array_append_new(r->edits, edit);
	}
}

static void
on_step(void *arg, const struct rules_step *step)
{
	struct result *r = arg;
	json_t *tests = json_array();
	size_t i;

	for (i = 0; i < step->ntests; i++) {
		json_t *test = json_object();

		json_object_set_new(test, "asked",
		    any_text(step->tests[i].asked));
		json_object_set_new(test, "value",
		    any_text(step->tests[i].value));
		json_object_set_new(test, "against",
		    any_text(step->tests[i].against));
		json_object_set_new(test, "held",
		    json_boolean(step->tests[i].held));
		json_array_append_new(tests, test);
	}
	json_array_append_new(r->trace, json_pack(
	    "{s:s, s:s, s:o, s:o, s:b, s:o}", "stage",
	    rules_stage_name(step->stage), "rule", step->place, "source",
	    any_text(step->source), "tests", tests, "held", step->held,
	    "followed", any_text(step->followed)));
}

/* That of a "when" does not accept: it lets the filter be asked. */
static void
on_when_step(void *arg, const struct rules_step *step)
{
	struct rules_step s = *step;

	s.followed = step->held ? "the filter is asked" :
	    "the filter is not asked";
	on_step(arg, &s);
}

static void
on_passed(void *arg, const struct filter_conf *f, enum filter_event ev)
{
	struct result *r = arg;

	json_array_append_new(r->trace, json_pack("{s:s, s:s, s:s}", "filter",
	    f->name, "stage", filter_event_name(ev), "verdict", "not asked"));
}

/* The header with its empty line, or all there is. */
static size_t
header_length(const char *p, size_t len)
{
	const char *end;

	if (len >= 2 && memcmp(p, "\r\n", 2) == 0)
		return 2;
	end = memmem(p, len, "\r\n\r\n", 4);
	return end != NULL ? (size_t)(end - p) + 4 : len;
}

static void
on_content(void *arg, const char *p, size_t len)
{
	struct result *r = arg;
	size_t n = header_length(p, len);
	char *header;

	if (n == header_length(r->message->p, r->message->len) &&
	    memcmp(p, r->message->p, n) == 0)
		return;
	header = xstrndup(p, n);
	r->header = any_text(header);
	free(header);
}

/* Telling */

/* What EHLO offers depends on the backend, and that was not asked. */
static bool
is_offer(const json_t *stage)
{
	return strcmp(text_of(stage, "stage"), "EHLO") == 0 &&
	    json_integer_value(json_object_get(stage, "code")) == 250;
}

static void
print_stage(const json_t *stage)
{
	const char *line = text_of(stage, "reply"), *rcpt;
	size_t len;

	if (is_offer(stage)) {
		printf("EHLO 250 %.*s\n", (int)strcspn(line + 4, "\n"),
		    line + 4);
		return;
	}
	rcpt = json_string_value(json_object_get(stage, "recipient"));
	for (;; line += len + 1) {
		len = strcspn(line, "\n");
		if (rcpt != NULL)
			printf("%s <%s> %.*s\n", text_of(stage, "stage"),
			    rcpt, (int)len, line);
		else
			printf("%s %.*s\n", text_of(stage, "stage"),
			    (int)len, line);
		if (line[len] == '\0')
			break;
	}
}

static void
print_edit(const json_t *e)
{
	const char *name = json_string_value(json_object_get(e, "name"));
	json_int_t nth = json_integer_value(json_object_get(e, "index"));

	printf("  %s", text_of(e, "edit"));
	if (nth > 0)
		printf(" %lld", (long long)nth);
	printf(" \"%s%s%s\" (%s)\n", name != NULL ? name : "",
	    name != NULL ? ": " : "", text_of(e, "value"), text_of(e, "by"));
}

static void
print_finding(const json_t *f)
{
	printf("  %s = %s (%s)\n", text_of(f, "finding"),
	    text_of(f, "value"), text_of(f, "by"));
}

static void
print_rule(const json_t *t)
{
	const json_t *tests = json_object_get(t, "tests"), *test;
	const char *against;
	size_t i;

	printf("  %s: %s\n", text_of(t, "rule"), text_of(t, "source"));
	for (i = 0; i < json_array_size(tests); i++) {
		test = json_array_get(tests, i);
		against = text_of(test, "against");
		printf("      %s = %s%s%s: %s\n", text_of(test, "asked"),
		    text_of(test, "value"), *against ? ", " : "", against,
		    json_is_true(json_object_get(test, "held")) ? "yes" :
		    "no");
	}
	printf("      -> %s\n", text_of(t, "followed"));
}

static void
print_trace(const json_t *t)
{
	const json_t *ms = json_object_get(t, "delay-ms");
	const char *reply = text_of(t, "reply"), *why = text_of(t, "why");

	if (json_object_get(t, "tests") != NULL)
		print_rule(t);
	else if (ms != NULL)
		printf("  filter %s at %s: delay %.1f s\n",
		    text_of(t, "filter"), text_of(t, "stage"),
		    (double)json_integer_value(ms) / 1000);
	else
		printf("  filter %s at %s: %s%s%s%s%s\n",
		    text_of(t, "filter"), text_of(t, "stage"),
		    text_of(t, "verdict"), *reply ? " " : "", reply,
		    *why ? ": " : "", why);
}

static void
print_list(const char *title, const json_t *list,
    void (*print)(const json_t *))
{
	const char *stage = "", *rcpt = "";
	size_t i;

	if (json_array_size(list) == 0)
		return;
	printf("\n%s:\n", title);
	for (i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		const char *at = text_of(o, "stage");
		const char *to = text_of(o, "recipient");

		if (strcmp(at, stage) != 0 || strcmp(to, rcpt) != 0)
			printf(" at %s%s%s\n", at, *to ? " " : "", to);
		stage = at;
		rcpt = to;
		print(o);
	}
}

static void
print_header(const json_t *header)
{
	const char *p = json_string_value(header);
	size_t len;

	if (p == NULL)
		return;
	printf("\nheader:\n");
	for (; *p != '\0' && *p != '\r'; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		printf("  %.*s\n", (int)strcspn(p, "\r\n"), p);
	}
}

static const char *
word(const struct result *r)
{
	if (r->discarded && r->status == ACCEPTED)
		return "discarded";
	return r->status == ACCEPTED ? "accepted" :
	    r->status == TEMPORARY ? "temporary" : "refused";
}

static void
print(const struct result *r, bool json)
{
	json_t *all;
	size_t i;

	if (json) {
		all = json_pack("{s:s, s:O, s:O, s:O, s:O}", "verdict",
		    word(r), "stages", r->stages, "findings", r->findings,
		    "edits", r->edits, "trace", r->trace);
		if (r->header != NULL)
			json_object_set(all, "header", r->header);
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
		return;
	}
	for (i = 0; i < json_array_size(r->stages); i++)
		print_stage(json_array_get(r->stages, i));
	if (strcmp(word(r), "discarded") == 0)
		printf("\nthe message is discarded: nobody gets it\n");
	print_list("findings", r->findings, print_finding);
	print_list("edits", r->edits, print_edit);
	print_header(r->header);
	print_list("trace", r->trace, print_trace);
}

/* All of it */

/* The listener that was named, or the first that has filters. -1: none. */
static int
find_listener(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nlisteners; i++)
		if (name != NULL ? strcmp(c->listeners[i].name, name) == 0 :
		    c->listeners[i].filters.n > 0)
			return (int)i;
	return name != NULL ? -1 : 0;
}

static void
trace_policies(const struct conf *c, struct result *r)
{
	size_t i;

	for (i = 0; i < c->nfilters; i++) {
		if (c->filters[i]->type == &filter_policy)
			policy_trace(c->filters[i]->self.priv, on_step, r);
		if (c->filters[i]->when != NULL)
			policy_trace(c->filters[i]->when->self.priv,
			    on_when_step, r);
	}
}

static int
rehearse(struct conf *c, const struct options *o, const struct buf *message)
{
	struct result r = {
		.stages = json_array(), .findings = json_array(),
		.edits = json_array(), .trace = json_array(),
		.message = message,
	};
	const struct chain_watcher watcher = {
		.answer = on_answer, .delay = on_delay, .passed = on_passed,
		.end = on_txn_end,
		.arg = &r,
	};
	struct rehearsal play = {
		.name = o->client_name, .login = o->login, .helo = o->helo,
		.from = o->from, .rcpts = o->rcpts, .nrcpts = o->nrcpts,
		.content = message->len > 0 ? message->p : "",
		.len = message->len, .on_reply = on_reply,
		.on_content = on_content, .arg = &r,
	};
	int listener = find_listener(c, o->listener);
	const char *why = NULL;

	if (listener == -1)
		why = "there is no such listener";
	else if (netaddr_parse_ip(&play.client, o->client,
	    strlen(o->client)) == -1)
		why = "--client is not an IP address";
	if (why == NULL) {
		play.client.port = 12345;
		trace_policies(c, &r);
		chain_set_watcher(&watcher);
		if (rehearsal_run(c, (size_t)listener, &play, &why) == 0) {
			why = NULL;
			print(&r, o->json);
		}
		chain_set_watcher(NULL);
	}
	if (why != NULL) {
		fprintf(stderr, "vratar test: %s\n", why);
		r.status = USAGE;
	}
	json_decref(r.stages);
	json_decref(r.findings);
	json_decref(r.edits);
	json_decref(r.trace);
	json_decref(r.header);
	return r.status;
}

static int
run(const struct options *o)
{
	struct conf_options co;
	struct buf message;
	struct conf *c;
	int status = USAGE, r;

	r = conf_getopt(&co, o->nrest, o->rest, NULL, stderr);
	if (r != 0) {
		fputs(usage, r == 1 ? stdout : stderr);
		return r == 1 ? 0 : USAGE;
	}
	buf_init(&message, 2 * MESSAGE_MAX);
	if (o->has_policy && !o->has_file)
		conf_make_up(&co);
	tls_init();
	/* What went wrong; the rest is what we print. */
	log_set_level(LOG_LEVEL_ERROR);
	if (!is_complete(o))
		fputs(usage, stderr);
	else if (read_message(o->message, &message) == 0 &&
	    (c = conf_load(&co, stderr)) != NULL) {
		status = rehearse(c, o, &message);
		conf_free(&c);
	}
	buf_fini(&message);
	conf_options_fini(&co);
	return status;
}

int
cmd_test(int argc, char **argv)
{
	struct options o = { .client = NULL };
	int status;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* see spool_add() */
	read_options(&o, argc, argv);
	status = run(&o);
	free(o.rcpts);
	free(o.rest);
	return status;
}
