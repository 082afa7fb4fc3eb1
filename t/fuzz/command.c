/* A command line: every part lies inside it and is what it says. */

#include "smtp/command.h"

#include "fuzz.h"

static void
check_words(struct slice arg)
{
	struct slice word;
	size_t total = 0, len = arg.len;

	while (slice_word(&arg, &word)) {
		assert(word.len > 0 && memchr(word.p, ' ', word.len) == NULL);
		total += word.len;
	}
	assert(total <= len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct command c;
	struct slice rest;
	uint64_t n;
	bool last;

	command_parse(&c, p, size);
	assert(c.verb < CMD_VERBS && command_name(c.verb) != NULL);
	assert(is_inside(c.name, p, size) && is_inside(c.arg, p, size));
	assert(c.ctl == !is_printable(p, size));
	if (c.arg.len > 0)
		assert(c.arg.p[0] != ' ' && c.arg.p[c.arg.len - 1] != ' ');
	check_words(c.arg);
	for (int lenient = 0; lenient < 2; lenient++)
		if (command_path_arg(c.arg, "FROM:", lenient, &rest) == 0 ||
		    command_path_arg(c.arg, "TO:", lenient, &rest) == 0) {
			assert(is_inside(rest, c.arg.p, c.arg.len));
			assert(rest.len == 0 || rest.p[0] != ' ');
		}
	if (command_bdat_arg(c.arg, &n, &last) == 0)
		assert(n <= INT64_MAX);
	return 0;
}
