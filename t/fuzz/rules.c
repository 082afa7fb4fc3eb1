/* Any text is a policy or is refused with words; a policy does the same with
   its tables of keys and one rule after the other. */

#include "rules/rules.h"

#include <stdlib.h>

#include "base/log.h"

#include "fuzz.h"

/* A fuzzer must not read just any file. */
static bool
is_harmless(const char *p, size_t len)
{
	return memmem(p, len, "include", 7) == NULL &&
	    memmem(p, len, ":/", 2) == NULL;
}

static void
field(void *arg, struct rules_state *s, enum rules_field f, const char *name,
    struct rules_value *v)
{
	static const char texts[] = "a\r\n b\0\xc3\xa4@example.org";
	static const double numbers[] = { 0, 1e9 };
	struct slice *items;

	(void)arg;
	(void)name;
	switch (v->type) {
	case RULES_STRING:
		v->text = SLICE(texts, f % sizeof(texts));
		break;
	case RULES_ADDRESS:
		v->text = SLICE_STR("\"a b\"@example.org");
		break;
	case RULES_NUMBER:
		v->number = f;
		break;
	case RULES_BOOLEAN:
		v->yes = f % 2;
		break;
	case RULES_IP:
		netaddr_parse_ip(&v->ip, "10.1.2.3", 8);
		break;
	case RULES_STRINGS:
	case RULES_ADDRESSES:
		items = rules_alloc(s, 2 * sizeof(items[0]));
		items[0] = SLICE_STR("a@b");
		items[1] = SLICE_STR("c.exe");
		v->list.v = items;
		v->list.n = 2;
		break;
	case RULES_NUMBERS:
		v->list.numbers = numbers;
		v->list.n = 2;
		break;
	}
}

static void
on_step(void *arg, const struct rules_step *step)
{
	(void)arg;
	assert(step->followed != NULL && step->source != NULL);
}

static void
run_all(struct rules *r)
{
	struct rules_env env = { .field = field };
	struct rules_outcome fast, slow;
	struct rules_state *s = rules_state_new(r);
	enum rules_stage stage;
	enum rules_status status;

	for (stage = 0; stage < RULES_NSTAGES; stage++) {
		env.trace = NULL;
		status = rules_run(s, stage, &env, &fast);
		assert(fast.verdict != RULES_REJECT || (fast.code >= 400 &&
		    fast.text != NULL && is_printable(fast.text,
		    strlen(fast.text))));
		rules_state_free(&s);
		s = rules_state_new(r);
		env.trace = on_step;
		assert(rules_run(s, stage, &env, &slow) == status);
		assert(slow.verdict == fast.verdict);
		rules_end_txn(s);
	}
	rules_state_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char *said;
	size_t len;
	struct rules *r;
	FILE *err;

	if (!is_harmless(text, size))
		return 0;
	log_open("file:/dev/null", false);
	err = open_memstream(&said, &len);
	r = rules_load_text("p", text, size, NULL, err);
	fclose(err);
	assert(r != NULL || len > 0);
	if (r != NULL)
		run_all(r);
	rules_free(&r);
	free(said);
	return 0;
}
