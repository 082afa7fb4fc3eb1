/* The fields that the daemon counts: the same as the header parser finds, for
   any content and any split. */

#include <stdlib.h>
#include <strings.h>

#include "filters/header.h"
#include "filters/hops.h"
#include "tap.h"

static const struct {
	const char	*name, *in;
	unsigned	 received, authres;
} cases[] = {
	{ "none", "A: b\r\n\r\nReceived: x\r\n", 0, 0 },
	{ "one", "Received: x\r\n\r\n", 1, 0 },
	{ "any case", "RECEIVED: x\r\nreceived:y\r\n\r\n", 2, 0 },
	{ "a space before the colon", "Received \t: x\r\n\r\n", 1, 0 },
	{ "folded", "Received: x\r\n Received: y\r\n\tReceived: z\r\n\r\n",
	    1, 0 },
	{ "longer and shorter names", "Receivedx: y\r\nReceive: d\r\n"
	    "X-Received: z\r\n\r\n", 0, 0 },
	{ "the other one", "Authentication-Results: x\r\nReceived: y\r\n"
	    "authentication-results: z\r\n\r\n", 1, 2 },
	{ "behind a line that is no field", "A: b\r\nhello\r\nReceived: x\r\n",
	    0, 0 },
	{ "behind a mailbox line", "From x Mon\r\nReceived: x\r\n\r\n", 1, 0 },
	{ "behind an escaped one", ">From x\r\nReceived: x\r\n\r\n", 1, 0 },
	{ "… and behind two", "From x\r\nFrom y\r\nReceived: x\r\n", 1, 0 },
	{ "… and so is a space", "From x\r\n y\r\nReceived: x\r\n", 0, 0 },
	{ "From is a field, too", "From: x\r\nReceived: x\r\n\r\n", 1, 0 },
	{ "no header", "\r\nReceived: x\r\n", 0, 0 },
	{ "no end", "Received: x", 1, 0 },
	{ "no colon", "Received", 0, 0 },
};

static void
look(struct hops *s, const char *in, size_t len, size_t piece)
{
	size_t i;

	hops_init(s);
	for (i = 0; i < len; i += piece)
		hops_feed(s, in + i, piece < len - i ? piece : len - i);
}

/* It is known with the octet that decides, and stays. */
static void
check_mailbox(const char *in, size_t known, bool mailbox)
{
	struct hops s;
	size_t i;

	hops_init(&s);
	for (i = 0; !hops_knows_mailbox(&s) && in[i] != '\0'; i++)
		hops_feed(&s, in + i, 1);
	is_int(i, known, "octets until it is known");
	is_int(s.mailbox, mailbox, "mailbox or not");
	hops_feed(&s, in + i, strlen(in + i));
	ok(hops_knows_mailbox(&s) && s.mailbox == mailbox, "and so it stays");
}

static void
parse(const char *in, size_t len, unsigned *received, unsigned *authres)
{
	struct header_parser p;
	struct slice rest;
	struct header h;
	enum header_status status;
	size_t used, n = 0;

	header_init(&p);
	*received = *authres = 0;
	do {
		status = header_parse(&p, in + n, len - n, &used, &h, &rest);
		n += used;
		if (status == HEADER_MORE)
			status = header_finish(&p, &h, &rest);
		if (status != HEADER_FIELD)
			break;
		*received += slice_is_nocase(h.name, "Received");
		*authres += slice_is_nocase(h.name, "Authentication-Results");
	} while (status == HEADER_FIELD);
	header_fini(&p);
}

static unsigned seed = 1;

static unsigned
rnd(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static void
check_against_parser(void)
{
	static const char *const words[] = {
		"Received", ":", "Authentication-Results", " ", "\r\n", "\n",
		"From ", ">", "x", "\t", "\r", "received", "\xc3", "\001"
	};
	unsigned i, n, received, authres, bad = 0;
	char in[500], name[100];
	struct hops s;

	for (i = 0; i < 50000; i++) {
		*in = '\0';
		for (n = rnd(16); n > 0; n--)
			strcat(in, words[rnd(3) ? rnd(sizeof(words) /
			    sizeof(words[0])) : rnd(5)]);
		look(&s, in, strlen(in), 1 + rnd(20));
		parse(in, strlen(in), &received, &authres);
		if (s.received != received || s.authres != authres)
			if (bad++ == 0)
				printf("# %u/%u, not %u/%u:\n%s\n# end\n",
				    s.received, s.authres, received, authres,
				    in);
	}
	snprintf(name, sizeof(name), "%u random messages", i);
	is_int(bad, 0, name);
}

int
main(void)
{
	size_t i, piece;
	struct hops s;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (piece = 1; piece < 1000; piece *= 30) {
			look(&s, cases[i].in, strlen(cases[i].in), piece);
			ok(s.received == cases[i].received && s.authres ==
			    cases[i].authres, "%s (%zu): %u, %u",
			    cases[i].name, piece, s.received, s.authres);
		}
	check_mailbox("Subject: x\r\nFrom y\r\n", 1, false);
	check_mailbox(" From y\r\n", 1, false);
	check_mailbox("\r\nFrom y\r\n", 1, false);
	check_mailbox("From: x\r\n", 5, false);
	check_mailbox("From : x\r\n", 6, false);
	check_mailbox("From\r\nx\r\n", 5, false);
	check_mailbox("From x\r\n", 6, true);
	check_mailbox(">>From \r\n", 8, true);
	check_mailbox(">>Frox \r\n", 6, false);
	check_against_parser();
	return tap_done();
}
