/* What rules cost per message: a policy of ten rules, and one of N with the
   same fields, in one interleaved run. Usage: bench-rules [N] */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/buf.h"
#include "rules/rules.h"

#define ROUNDS	7
#define MESSAGES 2000

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
field(void *arg, struct rules_state *s, enum rules_field f, const char *name,
    struct rules_value *v)
{
	(void)arg;
	(void)s;
	(void)name;
	switch (f) {
	case FIELD_CLIENT_IP:
		netaddr_parse_ip(&v->ip, "192.0.2.7", 9);
		break;
	case FIELD_HELO_NAME:
		v->text = SLICE_STR("mx.example.org");
		break;
	case FIELD_MAIL:
		v->text = SLICE_STR("joe@example.org");
		break;
	case FIELD_RCPT:
		v->text = SLICE_STR("ann@example.com");
		break;
	case FIELD_HEADER:
		v->text = SLICE_STR("Hello, this is a subject");
		break;
	case FIELD_SIZE:
		v->number = 4096;
		break;
	default:
		break;
	}
}

/* n rules for each of five stages, of the kinds that lists of the bad are
   made of; the last ones are patterns, whose number is the same in both. */
static void
policy(struct buf *b, int n)
{
	int i;

	buf_adds(b, "at connect\n");
	for (i = 0; i < n; i++)
		buf_addf(b, " reject \"%d\" if client.ip in 10.%d.%d.0/24\n", i,
		    i / 256, i % 256);
	buf_adds(b, "at helo\n");
	for (i = 0; i < n; i++)
		buf_addf(b, " reject if helo.name is \"bad%d.example\"\n", i);
	buf_adds(b, "at mail\n");
	for (i = 0; i < n; i++)
		buf_addf(b, " score 1 if mail.domain in { \"a%d.example\", "
		    "\"b%d.example\" } and size > 1M\n", i, i);
	for (i = 0; i < n; i++)
		buf_addf(b, "for domain customer%d.example {\n at rcpt\n  "
		    "reject if size > 10M\n}\n", i);
	buf_adds(b, "at eom\n");
	for (i = 0; i < n; i++)
		buf_addf(b, " score 2 if header(\"Subject\") = \"spam %d\"\n",
		    i);
	buf_adds(b, " reject if header(\"Subject\") ~ /viagra/i\n"
	    " reject if score > 10\n");
}

static struct rules *
load(int n)
{
	double start = seconds();
	struct rusage before, after;
	struct rules *r;
	struct buf b;

	buf_init(&b, 64 << 20);
	policy(&b, n);
	getrusage(RUSAGE_SELF, &before);
	r = rules_load_text("p", b.p, b.len, NULL, stderr);
	getrusage(RUSAGE_SELF, &after);
	printf("%d rules: loaded in %.3f s, %ld KB\n", 5 * n + 2,
	    seconds() - start, after.ru_maxrss - before.ru_maxrss);
	buf_fini(&b);
	if (r == NULL)
		exit(1);
	return r;
}

/* Microseconds for a message. */
static double
measure(struct rules *r)
{
	static const enum rules_stage stages[] = { RULES_CONNECT, RULES_HELO,
		RULES_MAIL, RULES_RCPT, RULES_EOM };
	struct rules_env env = { .field = field };
	struct rules_outcome out;
	struct rules_state *s;
	double start = seconds();
	size_t i, j;

	for (i = 0; i < MESSAGES; i++) {
		s = rules_state_new(r);
		for (j = 0; j < sizeof(stages) / sizeof(stages[0]); j++)
			rules_run(s, stages[j], &env, &out);
		rules_state_free(&s);
	}
	return (seconds() - start) * 1e6 / MESSAGES;
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 5000, i;
	struct rules *few = load(2), *many = load(n / 5);
	double best_few = 1e9, best_many = 1e9, t;

	for (i = 0; i < ROUNDS; i++) {
		t = measure(few);
		best_few = t < best_few ? t : best_few;
		t = measure(many);
		best_many = t < best_many ? t : best_many;
	}
	printf("12 rules: %.2f us per message\n%d rules: %.2f us per message "
	    "(%+.2f)\n", best_few, n, best_many, best_many - best_few);
	rules_free(&few);
	rules_free(&many);
	return 0;
}
