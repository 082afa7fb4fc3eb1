/* session: what a client sends and what it gets, in every state; a scripted
   backend behind it, and the time in our hands. */

#include "proxy/session_impl.h"
#include "t/engine.h"

/* One dialogue: rules for the backend, what is sent (steps are separated by
   newlines, "|" ends a line), and the codes that must come for each step. */
struct dialogue {
	const char	*name;
	const char	*rules[3];
	const char	*say;
	const char	*want;
};

#define HI	"EHLO c.example|\n"
#define HI_	"EHLO c.example|"
#define MAIL	"MAIL FROM:<a@example.org>|"
#define RCPT	"RCPT TO:<b@example.com>|"
#define BAD	"RCPT TO:<bad@example.com>|"

static const struct dialogue dialogues[] = {
	{ "a message", { 0 },
	  HI MAIL "\n" RCPT "\nDATA|\nhi|.|\nQUIT|",
	  "250\n250\n250\n354\n250\n221 closed" },
	{ "pipelined up to DATA", { 0 },
	  HI MAIL RCPT RCPT "DATA|\nhi|.|\n" MAIL RCPT "DATA|\n.|\nQUIT|",
	  "250\n250 250 250 354\n250\n250 250 354\n250\n221 closed" },
	{ "the backend refuses a recipient", { "RCPT TO:<bad=550 5.1.1 no|" },
	  HI MAIL BAD RCPT BAD "DATA|\nhi|.|",
	  "250\n250 550 250 550 354\n250" },
	{ "and all of them", { "RCPT=550 5.1.1 no|" },
	  HI MAIL BAD "DATA|\n" RCPT "RSET|" MAIL "DATA|",
	  "250\n250 550 554\n550 250 250 554" },
	{ "the backend refuses MAIL", { "MAIL=451 4.7.1 later|" },
	  HI MAIL RCPT RCPT "DATA|\n" RCPT "RSET|\n" MAIL,
	  "250\n250 451 451 554\n451 250\n250" },
	{ "the backend refuses DATA", { "DATA=451 4.3.0 no|" },
	  HI MAIL RCPT "DATA|\nhi|.|\n" MAIL RCPT "QUIT|",
	  "250\n250 250 354\n451\n250 250 221 closed" },
	{ "the backend refuses content", { ".=554 5.7.1 spam|" },
	  HI MAIL RCPT "DATA|\nhi|.|\n" MAIL RCPT "DATA|\nhi|.|",
	  "250\n250 250 354\n554\n250 250 354\n554" },
	{ "RSET in the middle", { 0 },
	  HI MAIL RCPT "RSET|" RCPT "DATA|" MAIL RCPT "RSET|RSET|",
	  "250\n250 250 250 503 503 250 250 250 250" },
	{ "EHLO in the middle", { 0 },
	  HI MAIL RCPT "EHLO c.example|" RCPT MAIL "HELO d.example|" MAIL,
	  "250\n250 250 250 503 250 250 250" },
	{ "nothing before EHLO", { 0 },
	  MAIL RCPT "DATA|NOOP|RSET|VRFY x|HELP|EXPN x|AUTH PLAIN|STARTTLS|"
	  "QUIT|",
	  "503 503 503 250 250 252 214 502 503 503 221 closed" },
	{ "between transactions", { 0 },
	  HI RCPT "DATA|NOOP|VRFY x|VRFY|HELP|EXPN x|XFORWARD A=B|XCLIENT A=B|"
	  "STARTTLS|AUTH PLAIN|LHLO x|RSET x|FOO|BDAT 0|",
	  "250\n503 503 250 252 501 214 502 550 550 502 538 500 501 500 503" },
	{ "behind MAIL", { 0 },
	  HI MAIL "\n" MAIL "DATA|NOOP|VRFY x|EXPN x|AUTH PLAIN|STARTTLS|"
	  "XCLIENT A=B|FOO|RSET|" MAIL,
	  "250\n250\n503 554 250 252 502 503 503 503 500 250 250" },
	{ "behind RCPT", { 0 },
	  HI MAIL RCPT "\n" MAIL "NOOP|VRFY x|AUTH PLAIN|STARTTLS|FOO|" RCPT,
	  "250\n250 250\n503 250 252 503 503 500 250" },
	{ "between two chunks", { 0 },
	  HI MAIL RCPT "BDAT 3|abc\n" MAIL RCPT "DATA|NOOP|FOO|AUTH x|"
	  "BDAT 2 LAST||\nRSET|",
	  "250\n250 250 250\n503 503 503 250 500 503 250\n250" },
	{ "BDAT without MAIL", { 0 },
	  "BDAT 6 LAST|QUIT|" HI "BDAT 6|QUIT|NOOP|",
	  "503 250\n503 250" },
	{ "BDAT without a recipient", { 0 },
	  HI MAIL "BDAT 6|QUIT|" RCPT "BDAT 6 LAST|QUIT|RSET|NOOP|",
	  "250\n250 554 503 503 250 250" },
	{ "BDAT in chunks, pipelined", { 0 },
	  HI MAIL RCPT "BDAT 3|abcBDAT 0|BDAT 2||BDAT 0 LAST|NOOP|",
	  "250\n250 250 250 250 250 250 250" },
	{ "BDAT of nothing", { 0 },
	  HI MAIL RCPT "BDAT 0 LAST|", "250\n250 250 250" },
	{ "BDAT too big, pipelined", { 0 },
	  HI MAIL RCPT "BDAT 2|aaBDAT 2 LAST|aaNOOP|",
	  "250\n250 250 250 250 250" },
	{ "BDAT without a size", { 0 },
	  HI MAIL RCPT "BDAT x|NOOP|", "250\n250 250 501 closed" },
	{ "BDAT with a control character", { 0 },
	  HI MAIL RCPT "BDAT 4\tLAST|NOOP|", "250\n250 250 501 closed" },
	{ "input before the reply to DATA", { 0 },
	  HI MAIL RCPT "DATA|hi|.|", "250\n250 250 554 closed" },
	{ "DATA with an argument", { 0 },
	  HI MAIL RCPT "DATA x|DATA|", "250\n250 250 501 354" },
	{ "HELO", { 0 },
	  "HELO c.example|" MAIL RCPT "\nMAIL FROM:<a@b.example> SIZE=1|RSET|"
	  "MAIL FROM:<a@b.example> SIZE=1|",
	  "250 250 250\n503 250 555" },
	{ "bad names", { 0 },
	  "EHLO|EHLO a b|HELO|HELO (x)|EHLO [192.0.2.1]|",
	  "501 501 501 501 250" },
	{ "bad syntax", { 0 },
	  HI "MAIL|MAIL FROM|MAIL FROM: <a@b.example>|MAIL FROM:a@b.example|"
	  "MAIL FROM:<a@b.example> FOO|MAIL FROM:<a@b.example> SIZE=x|"
	  "MAIL FROM:<a@b.example> SIZE=999999999999|MAIL FROM:<>|"
	  "RCPT TO:<>|RCPT TO:|RCPT TO:<b@b.example> FOO=1|"
	  "RCPT TO:<Postmaster>|",
	  "250\n501 501 501 501 555 501 552 250 501 501 555 250" },
	{ "not SMTP", { 0 },
	  "GET / HTTP/1.1|Host: x||", "500 closed" },
	{ "TLS without a line end", { 0 },
	  "\x16\x03\x01", "500 closed" },
	{ "a label", { 0 }, HI "Subject: x|", "250\n500 closed" },
	{ "a control character", { 0 },
	  HI "NOOP\001|NOOP\t|MAIL\tFROM:<a@b.example>|",
	  "250\n501 501 501" },
	{ "an empty line", { 0 }, "||", "500 500" },
	{ "421 to MAIL", { "MAIL=421 4.3.2 bye|!" },
	  HI MAIL RCPT RCPT "NOOP|", "250\n250 421 closed" },
	{ "421 to RCPT", { "RCPT=421 4.3.2 bye|!" },
	  HI MAIL RCPT RCPT "NOOP|", "250\n250 421 closed" },
	{ "421 to the second RCPT", { "RCPT TO:<bad=421 4.3.2 bye|!" },
	  HI MAIL RCPT BAD RCPT, "250\n250 250 421 closed" },
	{ "421 to DATA", { "DATA=421 4.3.2 bye|!" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n421 closed" },
	{ "421 to content", { ".=421 4.3.2 bye|!" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n421 closed" },
	{ "421 at the greeting is a fault of the backend",
	  { "CONNECT=421 4.3.2 busy|!" },
	  HI MAIL RCPT "\nRSET|", "250\n250 451\n250" },
	{ "closed without a word at RCPT", { "RCPT=!" },
	  HI MAIL RCPT RCPT "NOOP|\nRSET|" MAIL RCPT,
	  "250\n250 451 451 250\n250 250 451" },
	{ "closed without a word at DATA", { "DATA=!" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n451 250" },
	{ "closed without a word at the dot", { ".=!" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n451 250" },
	{ "nonsense at RCPT", { "RCPT=what?|" },
	  HI MAIL RCPT "\nNOOP|", "250\n250 451\n250" },
	{ "354 to RCPT", { "RCPT=354 go|" },
	  HI MAIL RCPT "\nNOOP|", "250\n250 451\n250" },
	{ "250 to DATA", { "DATA=250 ok|" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n451 250" },
	{ "a reply too many", { "RCPT=250 ok|250 ok|" },
	  HI MAIL RCPT "\nDATA|\nhi|.|NOOP|", "250\n250 250\n354\n451 250" },
	{ "a reply before the content", { "DATA=354 go|250 done|" },
	  HI MAIL RCPT "DATA|\nhi|.|NOOP|", "250\n250 250 354\n451 250" },
};

/* Greeting taken, so that a dialogue starts with the client's first line. */
static void
begin(struct client *c)
{
	client_connect(c);
	replies(c);
}

static char *
next_step(const char **p)
{
	size_t n = strcspn(*p, "\n");
	char *step = xstrndup(*p, n);

	*p += n + (p[0][n] == '\n');
	return step;
}

static void
run_dialogue(const struct dialogue *d)
{
	const char *say = d->say, *want = d->want;
	struct buf did, should;
	struct client c;

	engine_conf();
	for (size_t i = 0; i < 3 && d->rules[i] != NULL; i++)
		rule(d->rules[i]);
	engine_start();
	begin(&c);
	buf_init(&did, 10000);
	buf_init(&should, 10000);
	while (*say != '\0') {
		char *step = next_step(&say), *must = next_step(&want);

		client_say(&c, step);
		buf_addf(&did, "%s / ", codes(&c));
		buf_addf(&should, "%s / ", must);
		free(step);
		free(must);
	}
	is_str(did.p, should.p, d->name);
	buf_fini(&did);
	buf_fini(&should);
	client_close(&c);
	engine_stop();
}

static void
test_dialogues(void)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		run_dialogue(&dialogues[i]);
}

/* What the backend is told, word for word. */
static void
test_transcript(void)
{
	struct client c;

	engine_conf();
	mta.ehlo = "PIPELINING 8BITMIME SMTPUTF8 DSN SIZE_500";
	engine_start();
	begin(&c);
	client_say(&c, "EHLO c.example|");
	is_str(replies(&c), "250-proxy.example|250-PIPELINING|250-SIZE 500|"
	    "250-ENHANCEDSTATUSCODES|250-CHUNKING|250-8BITMIME|250-SMTPUTF8|"
	    "250 DSN|", "EHLO: what both can do, and the smaller SIZE");
	client_say(&c, "mail from:<@x.example:a@Example.ORG> body=8bitmime "
	    "SIZE=20|rcpt to:<\"b\"@example.com> NOTIFY=NEVER|DATA|");
	client_say(&c, "..dot|.|QUIT|");
	is_str(codes(&c), "250 250 354 250 221 closed", "a message");
	is_str(heard(), "connect 0\nEHLO proxy.example\n"
	    "MAIL FROM:<a@Example.ORG> body=8bitmime SIZE=20\n"
	    "RCPT TO:<b@example.com> NOTIFY=NEVER\nDATA\n"
	    "..dot\r\n\n", "canonical addresses, parameters as they were");
	client_close(&c);

	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 7 LAST|.bdat|QUIT|");
	is_str(codes(&c), "250 250 250 250 221 closed", "BDAT");
	is_str(heard(), "MAIL FROM:<a@example.org>\nRCPT TO:<b@example.com>\n"
	    "DATA\n..bdat\r\n\n",
	    "on the same session; DATA, as it has no CHUNKING");
	client_close(&c);
	engine_stop();

	engine_conf();
	mta.ehlo = "PIPELINING CHUNKING";
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 3|.bdBDAT 5 LAST|at|.QUIT|");
	is_str(codes(&c), "250 250 250 250 250 221 closed", "BDAT");
	is_str(heard(), "connect 0\nEHLO proxy.example\n"
	    "MAIL FROM:<a@example.org>\nRCPT TO:<b@example.com>\n"
	    "BDAT 8 LAST\n.bdat\r\n.\n", "one chunk, no dots added");
	client_close(&c);
	begin(&c);
	client_say(&c, HI_ MAIL RCPT);
	client_close(&c);
	is_str(heard(), "MAIL FROM:<a@example.org>\nRCPT TO:<b@example.com>\n"
	    "RSET\n", "a client that goes leaves RSET behind");
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	client_say(&c, "half|");
	client_close(&c);
	is_str(heard(), "MAIL FROM:<a@example.org>\nRCPT TO:<b@example.com>\n"
	    "RSET\n", "also in the middle of content");
	engine_stop();
}

/* Property: the pieces in which commands arrive change nothing. */

static const char *const atoms[] = {
	MAIL, MAIL, MAIL RCPT, MAIL RCPT, RCPT, RCPT, BAD, HI_,
	"HELO c.example|", "NOOP|", "RSET|", "FOO|", "|", "VRFY x|",
	"NOOP\t|", "STARTTLS|", "AUTH PLAIN AAAA|", "BDAT 6|QUIT|",
	"BDAT 3 LAST|a||", "BDAT 0|", "BDAT 0 LAST|", "DATA x|",
	MAIL BAD RCPT "BDAT 5 LAST|x||", MAIL RCPT "DATA|\n\001..x|.|\n",
	"DATA|\n\001x|RSET|.|\n", "\002",
};

/* A sequence of commands, in steps that wait for their replies. */
static char *
make_sequence(void)
{
	size_t natoms = sizeof(atoms) / sizeof(atoms[0]);
	struct buf b;
	char *text;

	buf_init(&b, 1000000);
	for (int i = 0, n = rand() % 20; i <= n; i++) {
		const char *a = i == 0 && rand() % 8 != 0 ? HI_ :
		    atoms[(size_t)rand() % natoms];

		if (*a == '\002') {		/* a line over the limit */
			for (int x = 0; x < 2000 + rand() % 20000; x++)
				buf_addc(&b, x % 7 ? '7' : 'a');
			buf_adds(&b, "|");
		} else
			buf_adds(&b, a);
	}
	buf_adds(&b, "QUIT|");
	text = xstrdup(b.p);
	buf_fini(&b);
	return text;
}

/* Octets of the text, in pieces of at most max. */
static void
say_in_pieces(struct client *c, const char *text, int max)
{
	char *lines = xmalloc(2 * strlen(text) + 1);
	size_t n = 0, at, piece;

	for (; *text != '\0'; text++) {
		if (*text == '|')
			lines[n++] = '\r';
		lines[n++] = *text == '|' ? '\n' : *text;
	}
	for (at = 0; at < n; at += piece) {
		piece = max == 0 ? n : (size_t)(1 + rand() % max);
		if (piece > n - at)
			piece = n - at;
		client_write(c, lines + at, piece);
	}
	free(lines);
}

/* Which connection it was, and what was said to set it up, is a matter of time:
   whether the last one was clean again. */
static void
add_mail_heard(struct buf *b)
{
	static const char *const setup[] = { "connect", "EHLO", "HELO",
	    "XCLIENT", "QUIT", "gone" };
	const char *p = heard();
	size_t i, n;

	for (; *p != '\0'; p += n) {
		n = strcspn(p, "\n") + 1;
		for (i = 0; i < 6 && !begins(p, setup[i]); i++)
			;
		if (i == 6)
			buf_add(b, p, n);
	}
}

/* Lines that are commands: those in a chunk are not. */
static int
count_commands(const char *step)
{
	int n = 0;

	while (*step != '\0') {
		unsigned long chunk = begins(step, "BDAT ") ?
		    strtoul(step + 5, NULL, 10) : 0;

		step = strchr(step, '|') + 1;
		n++;
		for (; chunk > 0; chunk -= *step++ == '|' ? 2 : 1)
			;
	}
	return n;
}

static int
count_replies(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text = strchr(text, '|') + 1)
		n += text[3] == ' ';
	return n;
}

/* All replies to the sequence, and all the backend heard; ours to free. */
static char *
run_sequence(const char *seq, int max)
{
	struct client c;
	struct buf all;
	const char *step_replies, *last;
	char *result;
	bool go = true;
	int owed = 0;

	engine_start();
	begin(&c);
	buf_init(&all, 1000000);
	while (*seq != '\0') {
		char *step = next_step(&seq);

		/* Content is for those who were told to go on. */
		if (*step != '\001' || go)
			say_in_pieces(&c, step + (*step == '\001'), max);
		if (*step != '\001')
			owed += count_commands(step);
		else if (go)
			owed++;
		step_replies = replies(&c);
		last = strstr(step_replies, "354 ");
		go = last != NULL && strchr(last, '|')[1] == '\0';
		buf_adds(&all, step_replies);
		owed -= count_replies(step_replies);
		free(step);
	}
	if (owed != 0 && strstr(all.p, "|221 ") != NULL)
		buf_addf(&all, "%d replies missing|", owed);
	buf_adds(&all, c.closed ? "closed\n" : "open\n");
	client_close(&c);
	add_mail_heard(&all);
	engine_stop();
	result = xstrdup(all.p);
	buf_fini(&all);
	return result;
}

static void
test_any_cut(void)
{
	static const int cuts[] = { 1, 3, 40, 500 };
	int different = 0, open = 0, missing = 0;

	for (int i = 0; i < 150; i++) {
		char *seq = make_sequence(), *whole, *cut;

		engine_conf();
		rule("RCPT TO:<bad=550 5.1.1 no|");
		if (i % 3 == 0) {
			conf_backend.identity = IDENTITY_XCLIENT;
			mta.ehlo = "PIPELINING XCLIENT_ADDR_NAME CHUNKING";
		} else if (i % 3 == 1)
			mta.ehlo = "8BITMIME";
		conf_backend.open = i % 4 == 0 ? OPEN_MAIL : OPEN_RCPT;
		whole = run_sequence(seq, 0);
		open += strstr(whole, "closed") == NULL;
		missing += strstr(whole, "missing") != NULL;
		for (int k = 0; k < 4; k++) {
			/* One octet at a time is slow with long lines. */
			if (cuts[k] < 40 && strlen(seq) > 5000)
				continue;
			cut = run_sequence(seq, cuts[k]);
			if (strcmp(cut, whole) != 0 && different++ < 2)
				printf("# %s\n# whole: %s\n# cut %d: %s\n",
				    seq, whole, cuts[k], cut);
			free(cut);
		}
		free(whole);
		free(seq);
	}
	is_int(different, 0, "the same replies and the same transcript for "
	    "any cut");
	is_int(missing, 0, "one reply for each command");
	is_int(open, 0, "each sequence ends with a close");
}

/* Lines that are too long, or end where they must not. */
static void
test_lines(void)
{
	static const struct {
		const char *name;
		int length;		/* of a line, with CR LF */
		const char *end;
		const char *want;
	} cases[] = {
		{ "as long as can be", 1700, "\r\n", "500 250" },
		{ "longer", 3000, "\r\n", "500 250" },
		{ "much longer", 65000, "\r\n", "500 250" },
		{ "64 K", 65537, "\r\n", "421 closed" },
		{ "bare LF", 20, "\n", "550 closed" },
		{ "bare LF behind a long line", 3000, "\n", "550 closed" },
		{ "CR CR LF", 20, "\r\r\n", "501 250" },
		{ "no end", 70000, "", "421 closed" },
	};
	static char line[70100];
	struct client c;

	engine_conf();
	engine_start();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int cut = 1; cut < 100000; cut *= 37) {
			size_t n = (size_t)cases[i].length, at, piece;

			if (cut == 1 && n > 4000)
				continue;
			memset(line, '7', n);
			line[0] = 'A';
			n -= strlen(cases[i].end);
			strcpy(line + n, cases[i].end);
			strcat(line + n, "NOOP\r\n");
			n = strlen(line);
			begin(&c);
			for (at = 0; at < n; at += piece) {
				piece = (size_t)(1 + rand() % cut);
				if (piece > n - at)
					piece = n - at;
				client_write(&c, line + at, piece);
			}
			is_str(codes(&c), cases[i].want, cases[i].name);
			client_close(&c);
		}
	conf.command_line_limit = 65536;
	begin(&c);
	memset(line, 'x', 65536);
	memcpy(line, "NOOP ", 5);
	strcpy(line + 65534, "\r\nNOOP\r\n");
	client_write(&c, line, 65542);
	is_str(codes(&c), "250 250", "command-line-limit = 64K");
	client_close(&c);
	conf.line_endings = LINES_NORMALIZE;
	begin(&c);
	client_write(&c, "NOOP\nNOOP\r\n", 11);
	is_str(codes(&c), "250 250", "bare LF where it is normalized");
	client_close(&c);
	engine_stop();
}

/* Replies that wait are replies in order: a bare LF or a long line behind a
   group is answered behind it. */
static void
test_lines_in_order(void)
{
	struct client c;

	engine_conf();
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL);
	client_say(&c, RCPT "NOOP\nNOOP|");
	is_str(codes(&c), "250 250 250 550 closed", "bare LF behind RCPT");
	client_close(&c);
	engine_stop();
}

static void
test_limits(void)
{
	struct client c;
	int i;

	engine_conf();
	conf.error_limit = 5;
	conf.junk_command_limit = 10;
	engine_start();
	begin(&c);
	client_say(&c, HI_ "FOO|FOO|FOO|FOO|NOOP|FOO|NOOP|NOOP|");
	is_str(codes(&c), "250 500 500 500 500 250 500 421 closed",
	    "error-limit");
	client_close(&c);
	begin(&c);
	client_say(&c, HI_ "FOO|FOO|FOO|FOO|" MAIL RCPT "BDAT 0 LAST|FOO|FOO|");
	is_str(codes(&c), "250 500 500 500 500 250 250 250 500 500",
	    "a message that is accepted makes up for errors");
	client_close(&c);
	begin(&c);
	client_say(&c, HI_);
	for (i = 0; i < 9; i++)
		client_say(&c, "NOOP|");
	codes(&c);
	client_say(&c, "NOOP|NOOP|NOOP|NOOP|NOOP|NOOP|");
	is_str(codes(&c), "250 421 closed",
	    "junk-command-limit: too much of what is harmless");
	client_close(&c);
	rule("RCPT=550 no|");
	begin(&c);
	client_say(&c, HI_ MAIL RCPT RCPT RCPT RCPT RCPT RCPT "NOOP|");
	is_str(codes(&c), "250 250 550 550 550 550 550 550 421 closed",
	    "at the end of a group");
	client_close(&c);
	engine_stop();
}

static void
test_drain(void)
{
	struct client c, d;

	engine_conf();
	engine_start();
	begin(&c);
	begin(&d);
	client_say(&c, HI_ MAIL RCPT);
	codes(&c);
	client_say(&d, HI_ MAIL RCPT "DATA|");
	codes(&d);
	w.draining = w.retired = true;
	for (struct session *s = w.sessions; s != NULL; s = session_next(s))
		session_drain(s);
	turn();
	is_str(replies(&c), "421 4.3.2 proxy.example is shutting down|",
	    "drain: 421 in the middle of an envelope");
	is_str(codes(&c), "closed", "and closed");
	is_str(codes(&d), "", "not in the middle of content");
	client_say(&d, "hi|.|NOOP|");
	is_str(codes(&d), "250 421 closed", "but at its end");
	client_close(&c);
	client_close(&d);
	client_connect(&c);
	is_str(codes(&c), "220 421 closed", "a client that comes now");
	client_close(&c);
	w.draining = false;
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	codes(&c);
	for (struct session *s = w.sessions; s != NULL; s = session_next(s))
		session_abort(s);
	turn();
	is_str(replies(&c), "421 4.3.2 proxy.example is shutting down|",
	    "abort: at once, and told so");
	is_str(codes(&c), "closed", "and closed");
	is_str(strstr(heard(), "QUIT") ? "QUIT" : "", "QUIT",
	    "and the backend hears it");
	client_close(&c);
	engine_stop();
}

/* Time */

static void
test_timeouts(void)
{
	struct client c;
	int i;

	engine_conf();
	engine_start();
	begin(&c);
	clock_advance(299000);
	client_say(&c, HI_);
	is_str(codes(&c), "250", "a client that takes its time");
	client_write(&c, "NO", 2);
	clock_advance(200000);
	client_write(&c, "O", 1);
	clock_advance(101000);
	turn();
	is_str(replies(&c), "421 4.4.2 proxy.example timeout exceeded|",
	    "octets of a command buy no time");
	is_int((long long)w.nsessions, 1, "it lingers");
	clock_advance(2001);
	turn();
	is_int((long long)w.nsessions, 0, "not for long");
	client_close(&c);

	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	codes(&c);
	for (i = 0; i < 10; i++) {
		clock_advance(40000);
		client_write(&c, "x\r\n", 3);
	}
	is_str(codes(&c), "421 closed", "nor do a few octets of content");
	client_close(&c);

	conf.min_data_rate = 0;
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 1000000 LAST|");
	codes(&c);
	for (i = 0; i < 10; i++) {
		clock_advance(40000);
		client_write(&c, "x", 1);
	}
	is_str(codes(&c), "", "unless min-data-rate is 0");
	clock_advance(301000);
	turn();
	is_str(codes(&c), "421 closed", "and there is some");
	client_close(&c);
	engine_stop();

	/* While the backend is slow the client has all the time. */
	engine_conf();
	conf.client_timeout = 100000;
	rule("RCPT=");
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT);
	clock_advance(200000);
	turn();
	is_str(codes(&c), "250 250", "it is the backend's turn");
	mta_say("250 ok|");
	is_str(codes(&c), "250", "which answers in the end");
	clock_advance(101000);
	turn();
	is_str(codes(&c), "421 closed", "then it is the client's");
	client_close(&c);
	engine_stop();
}

/* A backend that takes its time for each recipient. */
static void
test_slow_group(void)
{
	struct client c;

	engine_conf();
	rule("RCPT=");
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT RCPT RCPT "NOOP|");
	is_str(codes(&c), "", "replies of a group leave together");
	clock_advance(50);
	is_str(codes(&c), "250 250", "if they come soon");
	mta_say("250 2.1.5 one|");
	clock_advance(50);
	is_str(codes(&c), "250", "a reply need not wait for those behind it");
	mta_say("550 5.1.1 two|250 2.1.5 three|");
	is_str(codes(&c), "550 250 250", "and all come in order");
	client_close(&c);
	engine_stop();
}

/* Thousands of recipients while the backend says nothing. */
static void
test_many_waiting(void)
{
	struct client c;
	struct buf many;
	const char *p;
	int i, n;

	engine_conf();
	conf.error_limit = 10000;
	rule("RCPT=");
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL);
	codes(&c);
	buf_init(&many, 1000000);
	for (i = 0; i < 3000; i++)
		buf_adds(&many, "RCPT TO:<b@example.com>\r\n");
	client_write(&c, many.p, many.len);
	buf_fini(&many);
	is_str(codes(&c), "", "no reply yet");
	ok(w.sessions->nslots <= 256, "but %zu commands at most wait for it",
	    w.sessions->nslots);
	for (i = 0; i < 100; i++)
		mta_say("250 2.1.5 ok|");
	client_read(&c);
	for (n = 0, p = replies(&c); *p != '\0'; p = strchr(p, '|') + 1)
		n += strncmp(p, "452 4.5.3", 9) == 0;
	is_int(n, 2900, "each gets its reply");
	client_close(&c);
	engine_stop();
}

/* A client that reads nothing. */
static void
test_full_output(void)
{
	static char reply[20000];
	struct client c;
	size_t n = 0;
	int i;

	engine_conf();
	n = (size_t)snprintf(reply, sizeof(reply), "RCPT=");
	for (i = 0; i < 30; i++)
		n += (size_t)snprintf(reply + n, sizeof(reply) - n,
		    "250%c%0400d|", i < 29 ? '-' : ' ', 0);
	rule(reply);
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL);
	codes(&c);
	for (i = 0; i < 99; i++)
		if (write(c.fd, "RCPT TO:<b@example.com>\r\n", 25) != 25)
			abort();
	if (write(c.fd, "NOOP\r\nQUIT\r\n", 12) != 12)
		abort();
	turn();
	for (i = 0; i < 200; i++) {
		client_read(&c);
		turn();
	}
	n = c.got.len;
	ok(n > 99 * 30 * 400, "all replies come when it does: %zu octets", n);
	is_str(n > 29 ? c.got.p + n - 29 : "", "250 2.0.0 Ok\r\n221 2.0.0 "
	    "Bye\r\n", "to the last");
	client_close(&c);
	engine_stop();
}

/* Ends */

static void
test_client_ends(void)
{
	struct client c;

	engine_conf();
	engine_start();
	begin(&c);
	if (write(c.fd, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@c.example>\r\n"
	    "BDAT 2 LAST\r\n\r\nNOOP\r\n", 66) != 66)
		abort();
	shutdown(c.fd, SHUT_WR);
	turn();
	is_str(codes(&c), "250 250 250 250 250 closed",
	    "a client that says it all and listens");
	client_close(&c);
	is_int((long long)w.nsessions, 0, "no session stays");

	rule(".=");
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 2 LAST||");
	client_close(&c);
	is_int((long long)w.nsessions, 1, "a client that does not wait for "
	    "the verdict");
	mta_say("250 ok|");
	is_int((long long)w.nsessions, 0, "is gone with it");

	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 2 LAST||NOOP|");
	client_close(&c);
	clock_advance(601000);
	turn();
	is_int((long long)w.nsessions, 0, "or with the backend");
	rule("RCPT=");
	begin(&c);
	client_say(&c, HI_ MAIL RCPT);
	client_close(&c);
	clock_advance(1);
	mta_say("250 ok|");
	is_int((long long)w.nsessions, 0, "a client that leaves its RCPT");
	engine_stop();
}

/* The backend goes away, or says 421, at a moment when nobody waits for it. */
static void
test_backend_leaves(void)
{
	struct client c;

	engine_conf();
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	codes(&c);
	mta_say("421 4.4.2 timeout|!");
	is_str(codes(&c), "", "421 while the client sends content");
	client_say(&c, "hi|.|" MAIL RCPT "DATA|");
	is_str(codes(&c), "451 250 250 354", "is 451 at its end, no more");
	mta_drop();
	client_say(&c, "hi|.|");
	is_str(codes(&c), "451", "and so is an end");
	client_say(&c, MAIL RCPT);
	codes(&c);
	mta_drop();
	client_say(&c, RCPT "DATA|");
	is_str(codes(&c), "451 354", "a recipient that comes then");
	client_say(&c, "hi|.|RSET|" MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "451 250 250 250 250", "a new transaction is fine");
	client_say(&c, MAIL RCPT);
	codes(&c);
	mta_say("421 4.4.2 timeout|!");
	is_str(codes(&c), "421 closed", "421 between commands is passed on");
	client_close(&c);
	engine_stop();

	/* A backend that is kept between messages. */
	engine_conf();
	mta.ehlo = "XCLIENT_ADDR";
	conf_backend.identity = IDENTITY_AUTO;
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250 250", "a message");
	heard();
	client_say(&c, MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250", "another one");
	is_str(heard(), "MAIL FROM:<a@example.org>\nRCPT TO:<b@example.com>\n"
	    "DATA\n\n", "nobody has to be told who it is");
	mta_say("421 4.4.2 timeout|!");
	is_str(codes(&c), "", "421 between messages is none of its business");
	client_say(&c, MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250", "there is another backend");
	client_close(&c);
	engine_stop();
}

static void
test_unreachable(void)
{
	struct client c;

	engine_conf();
	rule("CONNECT=");
	engine_start();
	begin(&c);
	client_say(&c, "EHLO c.example|" MAIL RCPT);
	is_str(codes(&c), "", "EHLO waits for the probe");
	clock_advance(10000);
	clock_advance(10);
	turn();
	clock_advance(50);
	is_str(codes(&c), "250 250", "not for ever");
	clock_advance(300000);
	clock_advance(10);
	turn();
	is_str(replies(&c), "451 4.4.1 the next server cannot be reached now; "
	    "try again|", "RCPT neither");
	client_close(&c);
	engine_stop();
}

int
main(void)
{
	engine_init();
	test_dialogues();
	test_transcript();
	test_any_cut();
	test_lines();
	test_lines_in_order();
	test_limits();
	test_drain();
	test_timeouts();
	test_slow_group();
	test_many_waiting();
	test_full_output();
	test_client_ends();
	test_backend_leaves();
	test_unreachable();
	engine_fini();
	return tap_done();
}
