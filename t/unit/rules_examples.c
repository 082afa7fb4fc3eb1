/* The examples in rules/README.md do what is written there, and the grammar
   there names every word of the language. */

#include <errno.h>

#include "policy.h"

static char *
slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 1 << 20);

	if (f == NULL) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
	text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* What stands between "```KIND" and "```" from p on, ours to free; *end is
   behind it. NULL: there is none in this section. */
static char *
fenced(const char *p, const char *kind, const char **end)
{
	const char *section = strstr(p, "\n### "), *start, *stop;
	char mark[40];

	snprintf(mark, sizeof(mark), "\n```%s\n", kind);
	start = strstr(p, mark);
	if (start == NULL || (section != NULL && section < start))
		return NULL;
	start += strlen(mark);
	stop = strstr(start, "```\n");
	*end = stop;
	return xstrndup(start, (size_t)(stop - start));
}

static enum rules_stage
stage_of(const char *name, size_t len)
{
	enum rules_stage s = 0;

	while (s < RULES_NSTAGES && (strlen(rules_stage_name(s)) != len ||
	    strncmp(rules_stage_name(s), name, len) != 0))
		s++;
	return s;
}

/* "STAGE: what follows" a line, in one session. */
static void
run_outcomes(struct rules *r, const char *facts, const char *outcome,
    const char *title)
{
	struct facts f = { .text = facts };
	struct rules_state *s = rules_state_new(r);
	const char *colon, *end;
	char *want, *got;

	for (; *outcome != '\0'; outcome = end + 1) {
		end = strchr(outcome, '\n');
		colon = strchr(outcome, ':');
		want = xstrndup(colon + 2, (size_t)(end - colon - 2));
		got = run_text(s, stage_of(outcome, (size_t)(colon -
		    outcome)), &f);
		is_str(got, want, title);
		free(want);
		free(got);
	}
	rules_state_free(&s);
}

static void
example(const char *at)
{
	char *title = xstrndup(at, strcspn(at, "\n"));
	char *policy, *facts, *outcome, *said;
	struct rules *r;

	policy = fenced(at, "policy", &at);
	facts = fenced(at, "facts", &at);
	outcome = fenced(at, "outcome", &at);
	if (ok(policy && facts && outcome, "%s is complete", title)) {
		r = policy_load(policy, &said);
		is_str(said, "", title);
		if (r != NULL)
			run_outcomes(r, facts, outcome, title);
		rules_free(&r);
		free(said);
	}
	free(title);
	free(policy);
	free(facts);
	free(outcome);
}

static bool
has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	const char *p;

	for (p = text; (p = strstr(p, word)) != NULL; p++)
		if (strchr(" \"\n(`,", p[-1]) && strchr(" \"\n),`.", p[len]))
			return true;
	return false;
}

static void
test_manual(void)
{
	char *manual = slurp("contrib/man/vratar-policy.5");
	enum rules_field f;

	for (f = 0; f < RULES_NFIELDS; f++)
		ok(has_word(manual, rules_field_name(f)),
		    "vratar-policy(5) has the field %s", rules_field_name(f));
	free(manual);
}

int
main(void)
{
	char *readme = slurp("rules/README.md");
	const char *at = strstr(readme, "\n## Ten examples");
	int n = 0;

	while (at != NULL && (at = strstr(at + 1, "\n### ")) != NULL) {
		example(at + 5);
		n++;
	}
	is_int(n, 10, "ten examples");
	free(readme);
	test_manual();
	return tap_done();
}
