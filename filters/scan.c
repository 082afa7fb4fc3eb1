/*
 * scan - what all scanners have in common.
 */

#include "filters/scan.h"

#include "base/log.h"

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

char *
scan_harmless(char *out, size_t outlen, const char *p, size_t len)
{
	size_t i, n = len < outlen ? len : outlen - 1;

	for (i = 0; i < n; i++)
		out[i] = p[i] < ' ' || p[i] > '~' ? '?' : p[i];
	out[n] = '\0';
	return out;
}
