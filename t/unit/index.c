/* The index: what is put in is found, and nothing else. */

#include "rules/index.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

static void
test_few(void)
{
	struct index x;

	index_init(&x);
	ok(index_find(&x, "a", 1) == NULL, "nothing in an empty one");
	is_int(index_add(&x, "a", 1, "1", 1), INDEX_ADDED, "a key");
	is_int(index_add(&x, "ab", 2, "", 0), INDEX_ADDED, "an empty value");
	is_int(index_add(&x, "", 0, "none", 4), INDEX_ADDED, "an empty key");
	is_int(index_add(&x, "a", 1, "2", 1), INDEX_DUPLICATE, "the same key");
	index_done(&x);
	is_str(index_find(&x, "a", 1), "1", "the first value stays");
	is_str(index_find(&x, "abc", 2), "", "a key has a length");
	is_str(index_find(&x, "", 0), "none", "the empty key");
	ok(index_find(&x, "abc", 3) == NULL, "longer than a key");
	ok(index_find(&x, "b", 1) == NULL, "another");
	is_int((long long)x.n, 3, "three keys");
	is_int(index_add(&x, "c", 1, "3", 1), INDEX_ADDED, "one more later");
	is_str(index_find(&x, "c", 1), "3", "  is found");
	index_fini(&x);
}

/* Every length up to 40, so that each way through the hash is taken. */
static void
test_lengths(void)
{
	char key[64], value[64];
	int i, good = 0, strange = 0;
	struct index x;

	index_init(&x);
	memset(key, 'k', sizeof(key));
	for (i = 0; i <= 40; i++) {
		snprintf(value, sizeof(value), "%d", i);
		index_add(&x, key, (size_t)i, value, strlen(value));
	}
	for (i = 0; i <= 40; i++)
		good += atoi(index_find(&x, key, (size_t)i)) == i;
	for (i = 1; i <= 40; i++) {
		key[i - 1] = 'x';
		strange += index_find(&x, key, (size_t)i) != NULL;
		key[i - 1] = 'k';
	}
	is_int(good, 41, "keys that start alike");
	is_int(strange, 0, "and differ in the last octet");
	index_fini(&x);
}

static void
test_many(void)
{
	enum { N = 200000 };
	int i, found = 0, wrong = 0;
	const char *value;
	struct index x;
	char key[32];

	index_init(&x);
	for (i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "user%d", 2 * i);
		index_add(&x, key, strlen(key), key + 4, strlen(key + 4));
	}
	index_done(&x);
	for (i = 0; i < 2 * N; i++) {
		snprintf(key, sizeof(key), "user%d", i);
		if ((value = index_find(&x, key, strlen(key))) == NULL)
			continue;
		found++;
		wrong += atoi(value) != i;
	}
	is_int(found, N, "many are found");
	is_int(wrong, 0, "with their own values");
	ok(x.n <= ((size_t)3 << x.bits) / 4, "and there is room between them");
	ok(x.room == x.len, "and nothing is left over");
	index_fini(&x);
}

int
main(void)
{
	test_few();
	test_lengths();
	test_many();
	return tap_done();
}
