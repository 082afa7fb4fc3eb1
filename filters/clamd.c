/*
 * clamd - the filter that has messages looked at by a clamd (INSTREAM,
 * clamd(8)).
 *
 * The message is sent on while it comes, as the client sent it, in frames of
 * four octets of length and so many of content; a frame of no octets ends it.
 * clamd answers
 *
 *	stream: OK
 *	stream: NAME FOUND
 *	INSTREAM size limit exceeded. ERROR
 *
 * with a NUL behind it, because the command begins with "z".
 */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/peers.h"
#include "filters/scan.h"
#include "filters/talk.h"

#define COMMAND		"zINSTREAM"	/* and a NUL */
#define REPLY_MAX	1024
#define NAME_MAX_OCTETS	100
#define TOO_LARGE	"INSTREAM size limit exceeded. ERROR"

struct clamd_settings {
	struct peers_settings	 peers;
	struct scan_settings	 scan;
};

static const struct setting clamd_settings[] = {
	PEERS_SETTINGS(clamd_settings, "unix:/run/clamav/clamd.ctl"),
	SCAN_SETTINGS(clamd_settings, "25M"),
	{ .name = NULL }
};

struct clamd {
	unsigned	 magic;
#define CLAMD_MAGIC	 0xc1a3d001
	const struct clamd_settings *settings;
	struct peers	*peers;		/* ours */
};

/* The slot's transaction memory. */
struct clamd_txn {
	struct talk		 talk;
	struct chain_slot	*slot;
	struct clamd		*clamd;
	uint64_t		 octets;
	bool			 complete;	/* all of it was sent */
	bool			 oversize;
	char			 virus[NAME_MAX_OCTETS + 1];
};

/* Setting up */

static int
clamd_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	struct clamd *c = xcalloc(1, sizeof(*c));

	c->magic = CLAMD_MAGIC;
	c->settings = settings;
	c->peers = peers_new(&c->settings->peers, host->name,
	    "unix:/run/clamav/clamd.ctl", why);
	if (c->peers == NULL) {
		free(c);
		return -1;
	}
	self->priv = c;
	return 0;
}

static void
clamd_teardown(void *priv)
{
	struct clamd *c;

	OBJ_CAST(c, priv, CLAMD_MAGIC);
	peers_free(&c->peers);
	c->magic = 0;
	free(c);
}

static void
clamd_start(void *priv, const struct filter_worker *w)
{
	struct clamd *c;

	OBJ_CAST(c, priv, CLAMD_MAGIC);
	peers_start(c->peers, w->base);
}

/* What clamd says */

static bool
ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), endlen = strlen(end);

	return len >= endlen && strcmp(s + len - endlen, end) == 0;
}

static void
understand(struct clamd_txn *ct, const char *reply)
{
	static const char stream[] = "stream: ", found[] = " FOUND";
	const char *name = reply + strlen(stream);
	char text[200], why[250];

	if (strcmp(reply, "stream: OK") == 0 && ct->complete)
		talk_done(&ct->talk);
	else if (strcmp(reply, "stream: OK") == 0)
		talk_fail(&ct->talk, "clamd says OK to a part of the message");
	else if (strncmp(reply, stream, strlen(stream)) == 0 &&
	    ends_with(name, found)) {
		scan_harmless(ct->virus, sizeof(ct->virus), name,
		    strlen(name) - strlen(found));
		talk_done(&ct->talk);
	} else if (strcmp(reply, TOO_LARGE) == 0) {
		ct->oversize = true;
		talk_done(&ct->talk);
	} else {
		scan_harmless(text, sizeof(text), reply, strlen(reply));
		snprintf(why, sizeof(why), "clamd says: %s", text);
		talk_fail(&ct->talk, why);
	}
}

static void
clamd_input(void *arg, struct evbuffer *in, bool end)
{
	struct clamd_txn *ct = arg;
	struct evbuffer_ptr nul = evbuffer_search(in, "", 1, NULL);
	char reply[REPLY_MAX];

	(void)end;
	if (nul.pos >= 0 && (size_t)nul.pos < sizeof(reply)) {
		evbuffer_remove(in, reply, (size_t)nul.pos + 1);
		understand(ct, reply);
	} else if (evbuffer_get_length(in) >= sizeof(reply))
		talk_fail(&ct->talk, "clamd answers without an end");
}

static enum verdict
clamd_verdict(void *arg)
{
	struct clamd_txn *ct = arg;
	const struct scan_settings *s = &ct->clamd->settings->scan;

	if (ct->oversize)
		return scan_oversize(ct->slot, s, "clamd");
	return scan_found(ct->slot, s, "clamd", "clamd.virus", ct->virus);
}

static const struct talk_protocol clamd_protocol = {
	.input = clamd_input, .verdict = clamd_verdict,
};

/* Events */

static void
begin(struct chain_slot *slot)
{
	struct clamd_txn *ct = slot->txn;

	ct->slot = slot;
	OBJ_CAST(ct->clamd, slot->priv, CLAMD_MAGIC);
	talk_open(&ct->talk, &clamd_protocol, ct, slot, ct->clamd->peers);
	evbuffer_add(talk_output(&ct->talk), COMMAND, sizeof(COMMAND));
}

static void
add_frame(struct clamd_txn *ct, const char *p, size_t len)
{
	uint32_t head = htonl((uint32_t)len);
	struct evbuffer *out = talk_output(&ct->talk);

	evbuffer_add(out, &head, sizeof(head));
	evbuffer_add(out, p, len);
}

static enum verdict
clamd_content(struct chain_slot *slot, struct txn *t, const char *p,
    size_t len)
{
	struct clamd_txn *ct = slot->txn;

	(void)t;
	if (!talk_is_open(&ct->talk))
		begin(slot);
	ct->octets += len;
	if (ct->octets > ct->clamd->settings->scan.max_size) {
		ct->oversize = true;
		talk_done(&ct->talk);
		return V_SKIP;
	}
	add_frame(ct, p, len);
	return talk_content(&ct->talk, 0);
}

static enum verdict
clamd_eom(struct chain_slot *slot, struct txn *t)
{
	struct clamd_txn *ct = slot->txn;

	(void)t;
	if (!talk_is_open(&ct->talk))
		begin(slot);
	add_frame(ct, "", 0);
	ct->complete = true;
	return talk_eom(&ct->talk);
}

static void
clamd_abort(struct chain_slot *slot, struct txn *t)
{
	struct clamd_txn *ct = slot->txn;

	(void)t;
	if (ct != NULL)
		talk_close(&ct->talk);
}

const struct filter filter_clamd = {
	.abi		= FILTER_ABI,
	.name		= "clamd",
	.settings	= clamd_settings,
	.settings_size	= sizeof(struct clamd_settings),
	.txn_size	= sizeof(struct clamd_txn),
	.setup		= clamd_setup,
	.teardown	= clamd_teardown,
	.start		= clamd_start,
	.content	= clamd_content,
	.eom		= clamd_eom,
	.abort		= clamd_abort,
};
