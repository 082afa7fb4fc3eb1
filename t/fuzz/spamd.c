/* The head of what a spamd answers. */

#include "filters/spamd_reply.h"

#include <math.h>
#include <stdio.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spamd_reply r, again;
	char *head = malloc(size + 1), copy[1000];

	memcpy(head, data, size);
	head[size] = '\0';
	if (spamd_reply(head, &r) == NULL) {
		assert(isfinite(r.score) && isfinite(r.required));
		assert(r.body <= SPAMD_REPLY_MAX);
		snprintf(copy, sizeof(copy), "SPAMD/1.1 0 EX_OK\r\n"
		    "Content-length: %zu\r\nSpam: %s ; %.17g / %.17g\r\n",
		    r.body, r.spam ? "True" : "False", r.score, r.required);
		assert(spamd_reply(copy, &again) == NULL);
		assert(again.spam == r.spam && again.score == r.score &&
		    again.required == r.required && again.body == r.body);
	}
	free(head);
	return 0;
}
