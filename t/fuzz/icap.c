/* What an ICAP server says, whatever it was asked: the same for every split. */

#include <event2/buffer.h>

#include "filters/icap_impl.h"

#include "fuzz.h"

static const struct talk_protocol protocol = {
	.input = icap_input, .verdict = icap_verdict,
};

static const struct peers_settings nowhere = { .retry_after = 1 };
static const struct icap_settings settings = { .service = (char *)"x" };

/* A conversation that nobody waits for, without a connection. */
struct asked {
	struct icap		 icap;
	struct icap_txn		 txn;
	struct chain_slot	 slot;
	struct facts		 facts;
};

static EVP_MD_CTX *
new_digest(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	return ctx;
}

static void
begin(struct asked *a, unsigned choice)
{
	char *why;

	memset(a, 0, sizeof(*a));
	a->slot.facts = &a->facts;
	a->icap = (struct icap){
		.magic = ICAP_MAGIC, .settings = &settings,
		.hostname = "here", .authority = "there", .preview = -1,
		.peers = peers_new(&nowhere, "icap", "127.0.0.1:1", &why),
	};
	a->txn = (struct icap_txn){
		.magic = ICAP_TXN_MAGIC, .icap = &a->icap, .slot = &a->slot,
		.phase = choice % (ICAP_SENT + 1), .pending = evbuffer_new(),
		.complete = choice & 8, .ours = new_digest(),
		.theirs = new_digest(),
	};
	EVP_DigestUpdate(a->txn.ours, "hello", 5);
	evbuffer_add(a->txn.pending, "hello", 5);
	talk_open(&a->txn.talk, &protocol, &a->txn, &a->slot, a->icap.peers);
}

static bool
is_over(const struct asked *a)
{
	return a->txn.talk.done || a->txn.talk.problem != NULL;
}

static void
hear(struct asked *a, struct input in, size_t step)
{
	struct evbuffer *buffer = evbuffer_new();
	size_t n, left;

	for (; in.len > 0 && !is_over(a); in.p += n, in.len -= n) {
		n = in.len < step ? in.len : step;
		evbuffer_add(buffer, in.p, n);
		icap_input(&a->txn, buffer, n == in.len);
	}
	/* What is behind a reply is read with what comes next. */
	do {
		left = evbuffer_get_length(buffer);
		if (!is_over(a))
			icap_input(&a->txn, buffer, true);
	} while (evbuffer_get_length(buffer) < left);
	evbuffer_free(buffer);
}

static void
end(struct asked *a)
{
	talk_close(&a->txn.talk);
	evbuffer_free(a->txn.pending);
	EVP_MD_CTX_free(a->txn.ours);
	EVP_MD_CTX_free(a->txn.theirs);
	free(a->txn.reply.head);
	peers_free(&a->icap.peers);
}

static void
check_same(const struct asked *a, const struct asked *b)
{
	const char *why = a->txn.talk.problem, *other = b->txn.talk.problem;

	assert((why == NULL) == (other == NULL));
	assert(why == NULL || strcmp(why, other) == 0);
	assert(a->txn.talk.done == b->txn.talk.done);
	assert(a->txn.phase == b->txn.phase);
	assert(strcmp(a->txn.infection, b->txn.infection) == 0);
	assert(a->icap.preview == b->icap.preview);
	assert(a->icap.allows_204 == b->icap.allows_204);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned choice = take(&in);
	size_t step = 1 + take(&in) % 16;
	struct asked whole, cut;

	begin(&whole, choice);
	begin(&cut, choice);
	hear(&whole, in, in.len + 1);
	hear(&cut, in, step);
	check_same(&whole, &cut);
	assert(is_printable(whole.txn.infection,
	    strlen(whole.txn.infection)));
	assert(whole.txn.talk.problem == NULL || is_printable(
	    whole.txn.talk.problem, strlen(whole.txn.talk.problem)));
	end(&whole);
	end(&cut);
	return 0;
}
