/* What a backend offers, what we offer of it, and that a client reads that. */

#include "smtp/ext.h"

#include "fuzz.h"

static void
check_offer(const struct ext_set *offer)
{
	struct ext_set again;
	struct reply r;

	reply_init(&r);
	ext_format(offer, "mx.example.org", &r);
	assert(!r.text.failed && r.code == 250);
	ext_parse(&again, &r);
	assert(again.bits == offer->bits && again.auth == offer->auth &&
	    again.xclient == offer->xclient && again.size == offer->size &&
	    strcmp(again.mt_priority, offer->mt_priority) == 0);
	reply_fini(&r);
}

static void
check_intersection(const struct ext_ours *ours, const struct ext_set *backend)
{
	struct ext_set offer, none;

	ext_intersect(&offer, ours, backend);
	ext_intersect(&none, ours, NULL);
	/* Without a backend there is nothing more than with one, but for what
	   it limits. */
	assert((none.bits & ~offer.bits & ~EXT_BIT(LIMITS)) == 0);
	assert(!ext_has(&offer, EXT_BIT(SMTPUTF8)) ||
	    ext_has(&offer, EXT_BIT(EIGHTBITMIME)));
	assert(ours->size == 0 || (offer.size > 0 && offer.size <= ours->size));
	assert((offer.auth & ~backend->auth) == 0);
	assert(ours->auth || !ext_has(&offer, EXT_BIT(AUTH)));
	check_offer(&offer);
	check_offer(&none);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned choice = take(&in);
	struct ext_ours ours = {
		.size = choice & 1 ? 1000000 : 0,
		.rcptmax = choice & 2 ? 100 : 0,
		.starttls = choice & 4, .tls = choice & 8, .auth = choice & 16,
		.binary = choice & 32,
		.xclient = choice & 64 ? (1u << XATTRS) - 1 : 0,
	};
	struct ext_set backend;
	struct reply r;
	const char *why;
	size_t used;

	reply_init(&r);
	if (reply_parse(&r, in.p, in.len, &used, &why) == REPLY_DONE) {
		ext_parse(&backend, &r);
		assert(backend.bits < 1u << EXT_COUNT);
		check_intersection(&ours, &backend);
	}
	reply_fini(&r);
	return 0;
}
