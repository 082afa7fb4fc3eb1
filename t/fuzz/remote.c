/*
 * remote - what a socketmap or tcp server may say. In one piece and in single
 * octets it is the same, the limits hold, and a value is one string.
 */

#include "fuzz.h"

#include "rules/remote.h"

#define LIMIT	100001

static enum remote_status
feed(struct remote_reply *r, struct input in, size_t piece, size_t *taken)
{
	enum remote_status status = REMOTE_MORE;
	size_t n, used;

	*taken = 0;
	while (in.len > 0 && status == REMOTE_MORE) {
		n = in.len < piece ? in.len : piece;
		status = remote_reply_feed(r, in.p, n, &used);
		assert(used <= n && (status != REMOTE_MORE || used == n));
		in.p += used;
		in.len -= used;
		*taken += used;
	}
	return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	enum remote_kind kind = take(&in) % 2 ? REMOTE_TCP : REMOTE_SOCKETMAP;
	struct remote_reply whole, octets;
	enum remote_status status;
	size_t taken, taken2;

	remote_reply_init(&whole, kind);
	remote_reply_init(&octets, kind);
	status = feed(&whole, in, in.len + 1, &taken);
	assert(feed(&octets, in, 1, &taken2) == status);
	assert(whole.octets.len <= LIMIT);
	if (status == REMOTE_DONE) {
		assert(taken == taken2 && whole.result == octets.result);
		assert(whole.text.len == octets.text.len &&
		    memcmp(whole.text.p, octets.text.p, whole.text.len) == 0);
		assert(memchr(whole.text.p, '\0', whole.text.len) == NULL);
	}
	remote_reply_fini(&whole);
	remote_reply_fini(&octets);
	return 0;
}
