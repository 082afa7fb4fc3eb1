/* Whatever a milter says, and whenever: each question is answered, a milter that
   keeps to the protocol hears nothing that libmilter would not answer, and the
   next session is a session again. */

#include "t/milter_chaos.h"
#include "t/tap.h"

#define SESSIONS	3000
#define CHOICES		400

/* One that makes sense, from the beginning to the end. */
static void
test_peace(void)
{
	unsigned long commands = counts.commands, wild = counts.wild;

	chaos_session(NULL, 0);
	is_int((long long)(counts.wild - wild), 0, "no nonsense");
	/* Macros are commands: O, then D and C, H, M, R; T, L … and Q */
	is_int((long long)(counts.commands - commands), 20,
	    "one message, each command of it");
}

int
main(int argc, char **argv)
{
	/* The same each time, or as the caller wants it. */
	unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	unsigned char some[CHOICES];
	int i;
	size_t j;

	chaos_begin();
	test_peace();
	srand(seed);
	for (i = 0; i < SESSIONS; i++) {
		for (j = 0; j < CHOICES; j++)
			some[j] = (unsigned char)(rand() >> 7);
		chaos_session(some, 1 + (size_t)rand() % CHOICES);
	}
	printf("# %lu connections, %lu commands, %lu answers, %lu times "
	    "nonsense; continue %lu reject %lu tempfail %lu discard %lu\n",
	    counts.connections, counts.commands, counts.answers, counts.wild,
	    counts.verdicts[V_CONTINUE], counts.verdicts[V_REJECT],
	    counts.verdicts[V_TEMPFAIL], counts.verdicts[V_DISCARD]);
	ok(counts.answers > SESSIONS, "it has answered");
	ok(counts.wild > SESSIONS / 10, "and often made no sense");
	for (i = 0; i < 4; i++)
		ok(counts.verdicts[(enum verdict []){ V_CONTINUE, V_REJECT,
		    V_TEMPFAIL, V_DISCARD }[i]] > 0, "each verdict was there");
	test_peace();
	chaos_remove_files();
	return tap_done();
}
