/* An address that was accepted is accepted again, and does not change. */

#include "smtp/address.h"

#include "fuzz.h"

static const struct address_limits limits = {
	.local_part = 64, .domain = 255, .path = 256
};

static void
check(const struct address *a)
{
	char out[ADDRESS_ROOM];

	assert(strlen(a->text) == a->len && a->local_len <= a->len);
	assert(is_printable(a->text, a->len));
	assert(a->local_len <= limits.local_part);
	assert(a->len + 2 <= limits.path);
	assert(strlen(address_domain(a)) <= limits.domain);
	assert(address_local(a, out) == out && strlen(out) <= a->local_len);
	if (address_ascii_domain(a, out) != NULL)
		for (size_t i = 0; out[i] != '\0'; i++)
			assert(out[i] > ' ' && out[i] < 0x7f);
}

static void
check_again(const struct address *a, enum path_kind kind, bool utf8_ok)
{
	char path[ADDRESS_ROOM + 2];
	struct address b;
	const char *why;
	size_t used;

	path[0] = '<';
	memcpy(path + 1, a->text, a->len);
	path[a->len + 1] = '>';
	assert(address_parse_path(&b, kind, path, a->len + 2, utf8_ok, &limits,
	    &used, &why) == 0);
	assert(used == a->len + 2 && strcmp(a->text, b.text) == 0);
	assert(a->local_len == b.local_len && a->literal == b.literal);
	/* A route that was dropped may have been the only UTF-8. */
	assert(a->utf8 || !b.utf8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned choice = take(&in);
	enum path_kind kind = choice & 1 ? PATH_FORWARD : PATH_REVERSE;
	bool utf8_ok = choice & 2;
	struct address a;
	const char *why = NULL;
	size_t used = 0;

	if (address_parse_path(&a, kind, in.p, in.len, utf8_ok, &limits, &used,
	    &why) == 0) {
		assert(used <= in.len && in.p[used - 1] == '>');
		assert(utf8_ok || !a.utf8);
		check(&a);
		check_again(&a, kind, utf8_ok);
	} else
		assert(why != NULL);
	if (address_parse_mailbox(&a, in.p, in.len, &limits, &why) == 0) {
		check(&a);
		check_again(&a, PATH_FORWARD, true);
	}
	if (helo_is_safe(in.p, in.len))
		assert(is_printable(in.p, in.len) && in.len <= 255);
	return 0;
}
