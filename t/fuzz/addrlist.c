/* What is called an address has a local part and a domain, and both were in
   the field; dates do not overflow. */

#include "filters/addrlist.h"

#include "filters/date.h"
#include "fuzz.h"

static void
on_address(void *arg, struct slice a)
{
	const struct input *in = arg;
	const char *at = memrchr(a.p, '@', a.len);

	assert(a.len <= ADDRLIST_ADDRESS_MAX && a.len <= in->len);
	assert(at != NULL && at > a.p && at + 1 < a.p + a.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	int64_t seconds;

	addrlist_parse(SLICE(in.p, in.len), on_address, &in);
	if (date_parse(SLICE(in.p, in.len), &seconds))
		assert(seconds > -3000000000 && seconds < 300000000000);
	return 0;
}
