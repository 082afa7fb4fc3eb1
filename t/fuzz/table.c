/*
 * table - what an administrator may write, and what a stranger may ask.
 *
 * The first half of the input is a list for one kind of table, the second a
 * key. Whatever is in the list, a table is made or there is a reason why not;
 * whatever is asked, a value that was found is UTF-8 and one string.
 */

#include "fuzz.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "rules/table.h"

static const char *const kinds[] = {
	"pcre", "cidr", "inline", "static", "union", "pipemap"
};

static void
count(void *arg, const char *mistake)
{
	size_t *n = arg;

	assert(mistake[0] != '\0');
	++*n;
}

static void
check_value(const char *value)
{
	size_t len = strlen(value), i, n;

	for (i = 0; i < len; i += n) {
		n = utf8_length(value + i, len - i);
		assert(n != 0);
	}
}

/* Members could be files, and those are not ours to read. */
static bool
is_harmless(const char *spec)
{
	return (strncmp(spec, "union", 5) != 0 &&
	    strncmp(spec, "pipemap", 7) != 0) ||
	    (strstr(spec, "hash:") == NULL &&
	    strstr(spec, "btree:") == NULL && strstr(spec, "db:") == NULL &&
	    strstr(spec, "cidr:") == NULL && strstr(spec, "pcre:") == NULL &&
	    strstr(spec, "regexp:") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	const char *kind = kinds[take(&in) % 6], *value = NULL;
	size_t half = in.len / 2, mistakes = 0;
	struct table *t;
	char *spec;

	if (memchr(in.p, '\0', half) != NULL)
		return 0;
	log_open("file:/dev/null", false);
	spec = xasprintf("%s:{%.*s}", kind, (int)half, in.p);
	t = is_harmless(spec) ? table_open_lenient(spec, count, &mistakes) :
	    NULL;
	if (t != NULL) {
		if (table_find(t, in.p + half, in.len - half, &value) ==
		    TABLE_FOUND)
			check_value(value);
		table_find_text(t, in.p + half, in.len - half, &value);
	} else {
		assert(mistakes > 0 || !is_harmless(spec));
	}
	table_free(&t);
	free(spec);
	return 0;
}
