/* Any octets are listed as an archive, within the limits. */

#include "filters/packed.h"

#include "fuzz.h"

static void
on_name(void *arg, struct slice name)
{
	assert(name.len > 0);
	assert(++*(unsigned *)arg <= PACKED_FILES_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packed_cost cost = { 0, 0 };
	unsigned n = 0, facts;

	packed_is((const char *)data, size);
	facts = packed_names((const char *)data, size, &cost, on_name, &n);
	assert(cost.noctets <= PACKED_OCTETS_MAX || facts & PACKED_TOO_BIG);
	return 0;
}
