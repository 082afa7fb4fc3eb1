/* Many patterns on one field, and in one table: what they say is what they say
   one by one. */

#include "policy.h"
#include "rules/table.h"

#define RULES	40

static void
add_rules(struct buf *b)
{
	int i;

	buf_adds(b, "at header\n");
	for (i = 0; i < RULES; i++)
		buf_addf(b, "    log \"%d %%{1}\" if header.value ~ "
		    "/word%02d([a-z]*)/\n", i, i);
	buf_adds(b, "    log \"not\" if header.value !~ /absent/\n"
	    "    log \"any\" if header.value ~ /./\n"
	    "    log \"case\" if header.value ~ /WORD07/i\n"
	    "    log \"own\" if header.value ~ /word07/ and header.name ~ "
	    "/subject/i\n"
	    "    if header.value ~ /word0[0-9]/ {\n"
	    "        log \"in %{0}\" if header.name is \"Subject\" and "
	    "header.value ~ /word../\n"
	    "        call again\n    }\n"
	    "block again\n"
	    "    log \"again %{1}\" if header.value ~ /word39(.)/ or "
	    "header.value ~ /07(.)/\n");
}

static const struct {
	const char	*value, *want;
} rows[] = {
	{ "", "none; note not" },
	{ "nothing", "none; note not; note any" },
	{ "word03 x", "none; note 3 ; note not; note any; "
	    "note in word03" },
	{ "word07ab", "none; note 7 ab; note not; note any; note case; "
	    "note own; note in word07; note again a" },
	{ "Word07ab", "none; note not; note any; note case" },
	{ "word39x word00y", "none; note 0 y; note 39 x; note not; note any; "
	    "note in word39; note again x" },
	{ "absent", "none; note any" },
};

/* A run that is traced looks at each rule. */
static void
trace(void *arg, const struct rules_step *step)
{
	(void)arg, (void)step;
}

static void
test_rules(void)
{
	static const struct facts ways[] = { { .scan_above = 0 },
	    { .scan_above = 5 }, { .scan_above = 5, .later = true },
	    { .trace = trace } };
	struct facts facts;
	struct rules_state *s;
	struct rules *r;
	struct buf b;
	char *said, *got, *text;
	size_t i, way;

	buf_init(&b, 100000);
	add_rules(&b);
	r = policy_load(b.p, &said);
	is_str(said, "", "loads");
	s = rules_state_new(r);
	for (i = 0; i < 4 * sizeof(rows) / sizeof(rows[0]); i++) {
		way = i % 4;
		facts = ways[way];
		facts.text = text = xasprintf("header.name=Subject\n"
		    "header.value=%s\n", rows[i / 4].value);
		got = run_text(s, RULES_HEADER, &facts);
		if (way == 2 && strcmp(got, "wait") == 0) {
			while (facts_answer_all(&facts)) {
				free(got);
				got = run_text(s, RULES_HEADER, &facts);
			}
		}
		ok(strcmp(got, rows[i / 4].want) == 0, "%s, %s",
		    rows[i / 4].value, way == 1 ? "by a thread" : way == 2 ?
		    "by a thread, later" : way == 3 ? "traced" : "here");
		ok((facts.asks > 0) == (facts.scan_above > 0 && strlen(rows[i / 4].value)
		    > 5), "%d scans", facts.asks);
		free(got);
		free(text);
	}
	rules_state_free(&s);
	rules_free(&r);
	free(said);
	buf_fini(&b);
}

/* if, endif and "!" among them; the first that matches gives the result. */
static void
test_table(void)
{
	static const struct {
		const char	*key, *want;
	} keys[] = {
		{ "nothing", "last" }, { "entry11", "11" },
		{ "entry11 entry05", "5" }, { "ENTRY19", "19" },
		{ "inside entry30", "30" }, { "entry30", "last" },
		{ "inside entry31", "last" }, { "needed", NULL },
	};
	struct table *t;
	struct buf b;
	const char *value;
	char *why;
	size_t i;
	int n;

	buf_init(&b, 100000);
	buf_adds(&b, "pcre:{");
	for (n = 0; n < 25; n++)
		buf_addf(&b, "{/entry%02d/ %d},", n, n);
	buf_adds(&b, "{if /inside/},{/entry30/ 30},{endif},{!/needed/ last}}");
	t = table_open(b.p, &why);
	ok(t != NULL, "opens");
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		value = NULL;
		if (table_find_text(t, keys[i].key, strlen(keys[i].key),
		    &value) != TABLE_FOUND)
			value = NULL;
		is_str(value, keys[i].want, keys[i].key);
	}
	table_free(&t);
	buf_fini(&b);
}

int
main(void)
{
	test_rules();
	test_table();
	return tap_done();
}
