/*
 * main - find the verb and run it; nothing else.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/cmd.h"

#define VERSION	"0.1"

static const struct {
	const char	*verb;
	int		(*run)(int argc, char **argv);
	const char	*does;
} verbs[] = {
	{ "serve", cmd_serve, "relay SMTP sessions to a backend, and filter" },
	{ "milter", cmd_milter, "filter for Postfix or Sendmail, as a milter" },
	{ "test",  cmd_test,  "show what would happen to a message, and why" },
	{ "check", cmd_check, "find all mistakes in the configuration" },
	{ "sink",  cmd_sink,  "receive mail by SMTP or LMTP into a Maildir" },
	{ "rules", cmd_rules, "show what became of a policy" },
	{ "table", cmd_table, "look keys up in tables, as postmap -q does" },
};

#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

/* Started without standard error, the first socket would be descriptor 2, and
   what we mean for the log would go to a mail server. */
static int
keep_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -1 : close(fd);
}

static void
usage(FILE *to)
{
	size_t i;

	fprintf(to, "usage: vratar VERB [OPTION...]\n\n");
	for (i = 0; i < NVERBS; i++)
		fprintf(to, "  %-8s %s\n", verbs[i].verb, verbs[i].does);
	fprintf(to, "\n\"vratar VERB --help\" shows the options, "
	    "vratar(8) explains them.\n");
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	size_t i;

	if (keep_standard_fds() != 0)
		return 1;
	if (strcmp(verb, "--version") == 0) {
		printf("vratar " VERSION "\n");
		return 0;
	}
	if (strcmp(verb, "--help") == 0) {
		usage(stdout);
		return 0;
	}
	for (i = 0; i < NVERBS; i++)
		if (strcmp(verbs[i].verb, verb) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	if (*verb != '\0')
		fprintf(stderr, "vratar: unknown verb \"%s\"\n", verb);
	usage(stderr);
	return 2;
}
