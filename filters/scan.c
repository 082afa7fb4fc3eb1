/*
 * scan - what all scanners have in common.
 */

#include "filters/scan.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "base/spool.h"

#define HELD_MEMORY	((size_t)256 << 10)

const char *const scan_oversize_words[] = { "skip", "fail", NULL };

static void
publish(struct chain_slot *slot, const char *type, bool scanned)
{
	char name[100];

	snprintf(name, sizeof(name), "%s.scanned", type);
	chain_publish_number(slot, name, scanned);
}

enum verdict
scan_oversize(struct chain_slot *slot, const struct scan_settings *s,
    const char *type)
{
	if (s->oversize_fails) {
		chain_reply(slot, 451, "4.3.4", "the message is too large to "
		    "be scanned");
		return V_FAIL;
	}
	log_info(slot->id, "scan-skipped type=%s reason=size", type);
	publish(slot, type, false);
	return V_CONTINUE;
}

void
scan_done(struct chain_slot *slot, const char *type)
{
	publish(slot, type, true);
}

enum verdict
scan_found(struct chain_slot *slot, const struct scan_settings *s,
    const char *type, const char *name, const char *what)
{
	scan_done(slot, type);
	if (*what == '\0')
		return V_CONTINUE;
	chain_publish(slot, name, what);
	if (!s->refuse)
		return V_CONTINUE;
	chain_place(slot, what);
	chain_reply(slot, 554, "5.7.1", "the message contains %s", what);
	return V_REJECT;
}

enum verdict
scan_hold(struct chain_slot *slot, struct scan_held *h,
    const struct scan_settings *s, const char *dir, const char *p, size_t len)
{
	struct evbuffer *piece;
	int rc;

	if (len > s->max_size - scan_held_size(h)) {
		scan_drop(h);
		h->oversize = true;
		return V_SKIP;
	}
	if (h->spool == NULL)
		h->spool = spool_new(dir, HELD_MEMORY);
	piece = evbuffer_new();
	evbuffer_add(piece, p, len);
	rc = spool_add(h->spool, piece);
	evbuffer_free(piece);
	if (rc == 0)
		return V_CONTINUE;
	chain_lost(slot);
	chain_reply(slot, 451, "4.3.0", "%s: %s", dir, strerror(errno));
	return V_FAIL;
}

uint64_t
scan_held_size(const struct scan_held *h)
{
	return h->spool != NULL ? spool_size(h->spool) : 0;
}

int
scan_refer(const struct scan_held *h, struct evbuffer *to)
{
	return h->spool != NULL ? spool_refer(h->spool, to) : 0;
}

void
scan_drop(struct scan_held *h)
{
	spool_free(&h->spool);
	h->oversize = false;
}

const char *
scan_field(const char *head, const char *name)
{
	size_t len = strlen(name);
	const char *line;

	for (line = strchr(head, '\n'); line != NULL;
	    line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " ");
	}
	return NULL;
}

char *
scan_harmless(char *out, size_t outlen, const char *p, size_t len)
{
	size_t i, n = len < outlen ? len : outlen - 1;

	for (i = 0; i < n; i++)
		out[i] = p[i] < ' ' || p[i] > '~' ? '?' : p[i];
	out[n] = '\0';
	return out;
}
