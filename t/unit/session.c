/* session: what a client sends and what it gets, in every state; a scripted
   backend behind it, and the time in our hands. */

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

int
main(void)
{
	engine_init();
	test_dialogues();
	test_transcript();
	test_any_cut();
	engine_fini();
	return tap_done();
}
