/*
 * subject - an example of a filter of your own: refuses messages with one of
 * some words in their subject.
 *
 *	cc -shared -fPIC -I/usr/local/include/vratar -o subject.so subject.c
 *
 *	load-module = { "/usr/local/lib/vratar/subject.so" }
 *	filter "no-prizes" {
 *		type  = "subject"
 *		words = { "prize", "lottery" }
 *	}
 *
 * and "no-prizes" in the chain of a listener. The contract is filters/filter.h.
 */

#include <stdlib.h>
#include <string.h>

#include "filters/filter.h"

/* What stands in the filter block: rows for a struct of ours. */
struct subject_settings {
	struct setting_list	 words;
	char			*reply;
};

static const struct setting rows[] = {
	SETTING(subject_settings, words, "words", LIST,
	    .help = "Words that a subject must not have, in any case."),
	SETTING(subject_settings, reply, "reply", STRING,
	    .def = "we do not want this",
	    .help = "What the client is told."),
	{ .name = NULL }
};

/* The configured instance: here its settings are all there is. */
static int
subject_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	const struct subject_settings *s = settings;

	(void)host;
	if (s->words.n == 0) {
		*why = strdup("it has no words");
		return -1;
	}
	self->priv = (void *)settings;
	return 0;
}

/* Values are slices: counted, with a NUL at the end only by chance. */
static int
has_word(struct slice value, const char *word)
{
	size_t len = strlen(word), i;

	for (i = 0; i + len <= value.len; i++)
		if (strncasecmp(value.p + i, word, len) == 0)
			return 1;
	return 0;
}

static enum verdict
subject_header(struct chain_slot *slot, struct txn *t, const struct header *h)
{
	const struct subject_settings *s = slot->priv;
	size_t i;

	(void)t;
	if (!slice_is_nocase(h->name, "Subject"))
		return V_CONTINUE;
	for (i = 0; i < s->words.n; i++) {
		if (!has_word(h->value, s->words.v[i]))
			continue;
		chain_place(slot, s->words.v[i]);	/* for the log */
		chain_reply(slot, 554, "5.7.1", "%s", s->reply);
		return V_REJECT;
	}
	return V_CONTINUE;
}

const struct filter vratar_filter = {
	.abi		= FILTER_ABI,
	.name		= "subject",
	.settings	= rows,
	.settings_size	= sizeof(struct subject_settings),
	.setup		= subject_setup,
	.header		= subject_header,
};
