/* session_stream: which messages go on while they come, in what pieces, and
   that nothing but an approved message ever has an end. */

#include "t/engine.h"

#define HI_	"EHLO c.example|"
#define MAIL	"MAIL FROM:<a@example.org>|"
#define RCPT	"RCPT TO:<b@example.com>|"
#define LINE	100		/* octets of one line of a message */

/* A filter that is asked at each piece and at the end, and answers what the
   test says, or when it says so. */
static struct {
	enum verdict		 at_body, at_eom;
	struct chain_slot	*slot;
	size_t			 seen;		/* octets of bodies */
	int			 aborts;
} script;

static enum verdict
on_body(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	(void)t, (void)p;
	script.slot = slot;
	script.seen += len;
	return script.at_body;
}

static enum verdict
on_eom(struct chain_slot *slot, struct txn *t)
{
	(void)t;
	script.slot = slot;
	return script.at_eom;
}

static void
on_abort(struct chain_slot *slot, struct txn *t)
{
	(void)slot, (void)t;
	script.aborts++;
}

static const struct filter type = { .abi = FILTER_ABI, .name = "script",
    .body = on_body, .eom = on_eom, .abort = on_abort };
static struct filter_conf filter = { .type = &type, .timeout = 3600000,
    .on_failure = V_TEMPFAIL };

static void
add_filter(unsigned edits)
{
	static char name[] = "script";

	filter.name = name;
	filter.observe = false;
	filter.self = (struct filter_instance){ .events = 1u << EV_BODY |
	    1u << EV_EOM, .edits = edits };
	memset(&script, 0, sizeof(script));
	chain_conf_add(&conf_listener.filters, &filter);
}

/* Conversations */

static void
begin(struct client *c)
{
	client_connect(c);
	client_say(c, HI_ MAIL RCPT);
	replies(c);
	heard();
}

static void
stream_conf(const char *ehlo)
{
	chain_conf_fini(&conf_listener.filters);
	engine_conf();
	conf.hold_size = 10000;
	conf.message_size_limit = 20000000;
	mta.ehlo = ehlo;
}

#define BOTH	"PIPELINING CHUNKING"
#define NO_BDAT	"PIPELINING"

/* So many octets of content, in lines. */
static const char *
lines(size_t len)
{
	static char room[4000000];

	for (size_t i = 0; i < len; i++)
		room[i] = (char)('a' + i % 26);
	for (size_t i = LINE - 2; i + 1 < len; i += LINE)
		memcpy(room + i, "\r\n", 2);
	memcpy(room + len - 2, "\r\n", 2);
	return room;
}

/* What the backend heard: BDAT lines and commands, content left out. Its
   octets are in content. */
static struct buf content;

static const char *
outline(void)
{
	static struct buf out;
	const char *p = heard(), *end;
	size_t n;

	buf_fini(&out);
	buf_init(&out, 100000);
	buf_reset(&content);
	for (; *p != '\0'; p = end + 1) {
		end = strchr(p, '\n');
		buf_add(&out, p, (size_t)(end - p));
		buf_addc(&out, '|');
		if (strncmp(p, "BDAT ", 5) == 0) {
			n = (size_t)strtoul(p + 5, NULL, 10);
			if (n == 0 || strlen(end + 1) < n)
				continue;
		} else if (strncmp(p, "DATA", 4) == 0 && strstr(end, "\r\n"))
			n = (size_t)(strstr(end, "\r\n\n") + 2 - end - 1);
		else
			continue;
		buf_add(&content, end + 1, n);
		end += n + 1;
	}
	return out.p != NULL ? out.p : "";
}

/* The same with the sizes of chunks replaced by N. */
static const char *
shape(void)
{
	static char room[100000];
	const char *p = outline();
	size_t n = 0;

	while (*p != '\0' && n < sizeof(room) - 1) {
		room[n++] = *p++;
		if (p[-1] != ' ' || n < 5 || memcmp(room + n - 5, "BDAT", 4))
			continue;
		p += strspn(p, "0123456789");
		room[n++] = 'N';
	}
	room[n] = '\0';
	return room;
}

/* Chunks that are worth it and not too large, and one that is the last. */
static bool
is_one_message(const char *p)
{
	unsigned long n;
	char *end;

	while (strncmp(p, "BDAT ", 5) == 0) {
		n = strtoul(p + 5, &end, 10);
		if (strncmp(end, " LAST|", 6) == 0)
			return n > 0 && end[6] == '\0';
		if (n < 65536 || n > 200000)
			return false;
		p = end + 1;
	}
	return false;
}

/* Octets as far as anybody takes them; returns how many that were. */
static size_t
press(struct client *c, const char *p, size_t len)
{
	size_t done = 0;
	ssize_t n;
	int tries;

	for (tries = 0; tries < 3 && done < len; tries++)
		while (done < len &&
		    (n = write(c->fd, p + done, len - done)) > 0) {
			done += (size_t)n;
			turn();
			tries = 0;
		}
	return done;
}

static bool
content_is(const char *p, size_t len)
{
	return content.len == len && memcmp(content.p, p, len) == 0;
}

/* Pieces */

static void
test_pieces(void)
{
	const char *text = lines(300000);
	struct client c;

	stream_conf(BOTH);
	engine_start();
	begin(&c);
	client_say(&c, "DATA|");
	client_write(&c, text, 250000);
	ok(strncmp(shape(), "BDAT N|BDAT N|", 14) == 0,
	    "by BDAT, chunk after chunk");
	client_write(&c, text + 250000, 50000);
	ok(strstr(shape(), "LAST") == NULL, "without an end");
	client_close(&c);
	begin(&c);
	client_say(&c, "DATA|");
	client_write(&c, text, 300000);
	client_say(&c, ".|");
	is_str(codes(&c), "354 250", "  accepted");
	ok(is_one_message(outline()), "  with one end, behind all of it");
	ok(content_is(text, 300000), "  and whole");
	client_close(&c);
	engine_stop();

	stream_conf("CHUNKING");
	engine_start();
	begin(&c);
	rule("BDAT=");
	client_say(&c, "DATA|");
	press(&c, text, 300000);
	is_str(shape(), "BDAT N|", "without PIPELINING one chunk at a time");
	mta.nrules = 0;
	mta_say("250 ok|");
	press(&c, text, 1000);
	ok(strncmp(shape(), "BDAT N|BDAT N|", 14) == 0,
	    "and the next when it is answered");
	client_close(&c);
	engine_stop();

	stream_conf(NO_BDAT);
	engine_start();
	begin(&c);
	client_say(&c, "DATA|");
	client_write(&c, text, 300000);
	is_str(shape(), "DATA|", "by DATA");
	client_say(&c, "..x|.|");
	is_str(codes(&c), "354 250", "  accepted");
	outline();
	client_close(&c);
	begin(&c);
	client_say(&c, "DATA|");
	client_write(&c, text, 300000);
	client_say(&c, "..x|.|");
	is_str(codes(&c), "354 250", "  accepted");
	is_str(shape(), "DATA|", "  transcript");
	ok(content.len == 300005 && memcmp(content.p, text, 300000) == 0 &&
	    memcmp(content.p + 300000, "..x\r\n", 5) == 0,
	    "  whole, and stuffed by us");
	client_close(&c);
	engine_stop();
}

/* Which messages are streamed: 20000 octets are on their way; has the backend
   heard of them? */
static void
test_which(void)
{
	static const struct {
		const char	*name;
		uint64_t	 hold_size;
		const char	*mail;		/* its parameters */
		int		 edits;		/* of a filter; -1: none */
		bool		 observe, bdat, streams;
	} cases[] = {
		{ "large", 10000, "", -1, false, true, true },
		{ "by DATA", 10000, "", -1, false, false, true },
		{ "small", 200001, "", -1, false, true, false },
		{ "all of them", 0, "", -1, false, true, true },
		{ "SIZE= says so", 1000000, " SIZE=1000000", -1, false, true,
		    true },
		{ "SIZE= says less", 1000000, " SIZE=999999", -1, false, true,
		    false },
		{ "a filter that looks", 10000, "", 0, false, true, true },
		{ "one that edits headers", 10000, "",
		    EDIT_BIT(EDIT_ADD_HEADER), false, true, false },
		{ "recipients", 10000, "", EDIT_BIT(EDIT_ADD_RCPT), false, true,
		    false },
		{ "or puts into quarantine", 10000, "",
		    EDIT_BIT(EDIT_QUARANTINE), false, true, false },
		{ "or would, but observes", 10000, "",
		    EDIT_BIT(EDIT_ADD_HEADER), true, true, true },
	};
	struct client c;
	char line[100];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_conf(cases[i].bdat ? "CHUNKING SIZE" : "SIZE");
		conf.hold_size = cases[i].hold_size;
		if (cases[i].edits >= 0) {
			add_filter((unsigned)cases[i].edits);
			chain_conf_fini(&conf_listener.filters);
			filter.observe = cases[i].observe;
			chain_conf_add(&conf_listener.filters, &filter);
		}
		engine_start();
		client_connect(&c);
		snprintf(line, sizeof(line), HI_ "MAIL FROM:<a@b.example>%s|"
		    RCPT "DATA|", cases[i].mail);
		client_say(&c, line);
		codes(&c);
		client_write(&c, lines(200000), 200000);
		heard();
		client_say(&c, ".|");
		if (cases[i].bdat)
			is_int(strstr(outline(), "BDAT 200000 LAST") == NULL,
			    cases[i].streams, cases[i].name);
		else
			ok(strstr(outline(), "DATA") == NULL, "%s",
			    cases[i].name);
		is_str(codes(&c), "250", "  delivered");
		client_close(&c);
		engine_stop();
	}
}

/* We ourselves may change the header. */
static void
test_header_of_ours(void)
{
	static char name[] = "mx.example";
	struct client c;

	for (int i = 0; i < 2; i++) {
		stream_conf(BOTH);
		conf.received = i == 0;
		conf.authserv_id = i == 1 ? name : NULL;
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(200000), 200000);
		is_str(heard(), "", i == 0 ? "what gets a Received is held" :
		    "and what may lose Authentication-Results");
		client_say(&c, ".|");
		is_str(codes(&c), "354 250", "  delivered");
		client_close(&c);
		engine_stop();
	}
}

/* Who logged in by this backend must not lose it by a refusal. */
static void
test_authenticated(void)
{
	static const char *const ehlo[] = { "CHUNKING AUTH_PLAIN",
	    "AUTH_PLAIN" };
	struct client c;

	for (int i = 0; i < 2; i++) {
		stream_conf(ehlo[i]);
		conf.auth_without_tls = true;
		rule("AUTH=235 ok|");
		engine_start();
		client_connect(&c);
		client_say(&c, HI_ "AUTH PLAIN AA|" MAIL RCPT "DATA|");
		codes(&c);
		heard();
		client_write(&c, lines(200000), 200000);
		is_int(mta.heard.len == 0, i, "an AUTH session streams "
		    "by BDAT alone");
		client_say(&c, "bare\n||.|" MAIL RCPT "BDAT 0 LAST|");
		is_str(codes(&c), "550 250 250 250", "a refusal costs it "
		    "nothing");
		is_int(mta.connects, 1, "the same backend");
		client_close(&c);
		engine_stop();
	}
}

/* A defect in the middle */

static void
test_defects(void)
{
	static const struct {
		const char *name, *octets;
		size_t len;
		const char *code, *by_bdat;	/* to a backend with BDAT */
	} cases[] = {
		{ "a bare LF", "a\nb\r\n", 5, "550", "550" },
		{ "a bare CR", "a\rb\r\n", 5, "550", "550" },
		{ "a NUL", "a\0b\r\n", 5, "554", "554" },
		{ "a long line", NULL, 2000, "554", "250" },
		{ "too much", NULL, 0, "552", "552" },
	};
	static char longer[2002];
	const char *text = lines(400000);
	struct client c;
	char head[64];

	memset(longer, 'x', 2000);
	memcpy(longer + 2000, "\r\n", 2);
	for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = i / 4;
		bool to_bdat = i % 2 == 1, by_bdat = i % 4 > 1;
		const char *bad = cases[n].octets ? cases[n].octets : longer;
		const char *want = to_bdat ? cases[n].by_bdat : cases[n].code;
		size_t len = cases[n].len;

		stream_conf(to_bdat ? BOTH : NO_BDAT);
		if (len == 0)
			conf.message_size_limit = 200000;
		engine_start();
		begin(&c);
		snprintf(head, sizeof(head), "BDAT %zu LAST|", 400000 + len +
		    (len == 2000 ? 2 : 0));
		client_say(&c, by_bdat ? head : "DATA|");
		codes(&c);
		client_write(&c, text, 200000);
		ok(strstr(heard(), to_bdat ? "BDAT" : "DATA") != NULL,
		    "%s", cases[n].name);
		client_write(&c, bad, len == 2000 ? 2002 : len);
		client_write(&c, text, 200000);
		if (strcmp(want, "250") != 0) {
			is_str(codes(&c), by_bdat ? want : "",
			    by_bdat ? "  refused" : "  not yet refused");
			is_str(shape(), to_bdat ? "RSET|" : "gone|",
			    "  the backend's transaction ends at once");
		} else if (by_bdat)
			is_str(codes(&c), want, "  accepted");
		if (!by_bdat) {
			client_say(&c, ".|");
			is_str(codes(&c), want, "  at the end of the data");
		}
		heard();
		client_say(&c, MAIL RCPT "BDAT 4 LAST|hi|");
		is_str(codes(&c), "250 250 250", "  and the session goes on");
		is_int(mta.connects, to_bdat || strcmp(want, "250") == 0 ?
		    1 : 2, "  with the backend session, if it survived");
		client_close(&c);
		engine_stop();
	}
}

/* Verdicts */

static void
test_verdicts(void)
{
	static const enum verdict verdicts[] = { V_CONTINUE, V_REJECT,
	    V_TEMPFAIL, V_DISCARD };
	static const char *const want[] = { "250", "554", "451", "250" };
	struct client c;

	for (size_t i = 0; i < 8; i++) {
		bool bdat = i % 2 == 1;

		stream_conf(bdat ? BOTH : NO_BDAT);
		add_filter(0);
		engine_start();
		begin(&c);
		script.at_eom = V_WAIT;
		client_say(&c, "DATA|");
		client_write(&c, lines(200000), 200000);
		client_say(&c, ".|");
		is_str(codes(&c), "354", "the filter thinks");
		is_int((long long)script.seen, 200000, "it has seen all");
		shape();
		chain_resume(script.slot, verdicts[i / 2]);
		turn();
		is_str(codes(&c), want[i / 2], verdict_name(verdicts[i / 2]));
		if (i / 2 == 0)
			ok(bdat ? strcmp(shape(), "BDAT N LAST|") == 0 :
			    strstr(heard(), "gone") == NULL, "  the end goes");
		else
			is_str(shape(), bdat ? "RSET|" : "gone|", "  it "
			    "does not");
		script.at_eom = V_CONTINUE;
		client_say(&c, MAIL RCPT "BDAT 4 LAST|hi|");
		is_str(codes(&c), "250 250 250", "  the session goes on");
		is_int(mta.connects, bdat || i == 0 ? 1 : 2, "  and the "
		    "backend, if it may");
		client_close(&c);
		engine_stop();
	}
}

/* A verdict before the end: nobody needs the rest. */
static void
test_early_verdict(void)
{
	static const enum verdict verdicts[] = { V_REJECT, V_TEMPFAIL,
	    V_DISCARD };
	static const char *const want[] = { "354 554", "354 451", "354 250" };
	struct client c;

	for (size_t i = 0; i < 12; i++) {
		bool bdat = i % 2 == 1, later = i / 2 % 2 == 1;
		size_t seen;

		stream_conf(bdat ? BOTH : NO_BDAT);
		add_filter(0);
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(200000), 200000);
		heard();
		script.at_body = later ? V_WAIT : verdicts[i / 4];
		client_say(&c, "the piece|");
		if (later)
			chain_resume(script.slot, verdicts[i / 4]);
		turn();
		seen = script.seen;
		client_write(&c, lines(200000), 200000);
		is_str(shape(), bdat ? "RSET|" : "gone|", "what is decided "
		    "against goes no further");
		is_int((long long)script.seen, (long long)seen, "  nor to "
		    "the filter");
		client_say(&c, ".|");
		is_str(codes(&c), want[i / 4], "  told at the end");
		client_close(&c);
		engine_stop();
	}
}

/* What the filters take of the client's patience is not the backend's. */
static void
test_patience(void)
{
	struct client c;

	stream_conf(BOTH);
	add_filter(0);
	engine_start();
	rule(".=");
	for (int large = 0; large < 2; large++) {
		begin(&c);
		script.at_eom = V_WAIT;
		client_say(&c, "DATA|");
		client_write(&c, lines(100000), large ? 100000 : 100);
		client_say(&c, ".|");
		clock_advance(290000);
		chain_resume(script.slot, V_CONTINUE);
		turn();
		clock_advance(300000);
		turn();
		is_str(codes(&c), "354", "the backend has the rest");
		clock_advance(11000);
		turn();
		is_str(codes(&c), "451", "  and not more");
		client_close(&c);

		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(100000), large ? 100000 : 100);
		client_say(&c, ".|");
		clock_advance(600000);
		chain_resume(script.slot, V_CONTINUE);
		turn();
		is_str(codes(&c), "354 451", "when there is no rest, it is "
		    "over");
		ok(strstr(outline(), "LAST") == NULL, "  without an end");
		client_close(&c);
	}
	engine_stop();
}

/* A filter that needs time for a piece: nothing is read meanwhile. */
static void
test_slow_filter(void)
{
	const char *text = lines(3000000);
	struct client c;
	size_t n, done = 0;

	stream_conf(BOTH);
	add_filter(0);
	engine_start();
	begin(&c);
	client_say(&c, "DATA|");
	script.at_body = V_WAIT;
	n = press(&c, text, 3000000);
	ok(n < 1000000, "what a filter thinks about stays with the client");
	while (n < 3000000 && done++ < 1000) {
		chain_resume(script.slot, V_CONTINUE);
		turn();
		n += press(&c, text + n, 3000000 - n);
	}
	script.at_body = V_CONTINUE;
	chain_resume(script.slot, V_CONTINUE);
	turn();
	client_say(&c, ".|");
	is_str(codes(&c), "354 250", "in the end all of it was seen");
	is_int((long long)script.seen, 3000000, "  by the filter");
	outline();
	ok(content_is(text, 3000000), "  and by the backend");
	client_close(&c);
	engine_stop();
}

/* What the backend says in the middle */

static void
test_early(void)
{
	static const struct {
		const char *name, *rule, *code;
		bool bdat, same;	/* the backend session survives */
	} cases[] = {
		{ "a chunk is refused", "BDAT=552 5.3.4 full|", "552", true,
		    true },
		{ "for now", "BDAT=452 4.3.1 full|", "452", true, true },
		{ "nonsense", "BDAT=354 go|", "451", true, false },
		{ "421", "BDAT=421 4.3.2 bye|!", "421", true, false },
		{ "lost", "BDAT=!", "451", true, false },
		{ "DATA is refused", "DATA=451 4.3.0 no|", "451", false, true },
		{ "for good", "DATA=554 5.7.1 no|", "554", false, true },
		{ "no 354", "DATA=250 ok|", "451", false, false },
		{ "421 to DATA", "DATA=421 4.3.2 bye|!", "421", false, false },
		{ "lost at DATA", "DATA=!", "451", false, false },
	};
	const char *text = lines(500000);
	char want[40];
	struct client c;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_conf(cases[i].bdat ? BOTH : NO_BDAT);
		engine_start();
		begin(&c);
		rule(cases[i].rule);
		client_say(&c, "DATA|");
		client_write(&c, text, 500000);
		is_str(codes(&c), "354", cases[i].name);
		mta.nrules = 0;
		client_write(&c, text, 500000);
		client_say(&c, ".|");
		snprintf(want, sizeof(want), "%s%s", cases[i].code,
		    strcmp(cases[i].code, "421") == 0 ? " closed" : "");
		is_str(codes(&c), want, "  told at the end");
		ok(strstr(outline(), "LAST") == NULL, "  nothing delivered");
		if (strcmp(cases[i].code, "421") != 0) {
			client_say(&c, MAIL RCPT "BDAT 4 LAST|hi|");
			is_str(codes(&c), "250 250 250", "  it goes on");
			is_int(mta.connects, cases[i].same ? 1 : 2,
			    "  with the same backend, or not");
		}
		client_close(&c);

		begin(&c);
		rule(cases[i].rule);
		client_say(&c, "BDAT 500000|");
		client_write(&c, text, 500000);
		is_str(codes(&c), want, "  told at the end of the chunk");
		mta.nrules = 0;
		if (strcmp(cases[i].code, "421") != 0) {
			client_say(&c, "BDAT 2|xxBDAT 2 LAST|xxRSET|" MAIL RCPT
			    "BDAT 4 LAST|hi|");
			is_str(codes(&c), "503 503 250 250 250 250",
			    "  until RSET");
		}
		client_close(&c);
		engine_stop();
	}
}

/* The words of the backend are its own, all of them. */
static void
test_words(void)
{
	struct client c;

	stream_conf(BOTH);
	conf.reply_id = true;
	engine_start();
	begin(&c);
	rule("BDAT=552-5.3.4 one|552 5.3.4 two|");
	client_say(&c, "DATA|");
	client_write(&c, lines(200000), 200000);
	client_say(&c, ".|");
	is_str(replies(&c), "354 End data with <CR><LF>.<CR><LF>|"
	    "552-5.3.4 one|552 5.3.4 two|", "passed on as they are");
	client_close(&c);
	engine_stop();
}

/* A backend that refuses in the middle of DATA. */
static void
test_early_data(void)
{
	struct client c;

	stream_conf(NO_BDAT);
	engine_start();
	begin(&c);
	client_say(&c, "DATA|");
	client_write(&c, lines(200000), 200000);
	heard();
	mta_say("552 5.3.4 enough|");
	is_str(heard(), "gone\n", "who refuses in the middle of DATA has no "
	    "more of it");
	client_write(&c, lines(200000), 200000);
	client_say(&c, ".|" MAIL RCPT "BDAT 4 LAST|hi|");
	is_str(codes(&c), "354 552 250 250 250", "  told at the end");
	client_close(&c);
	engine_stop();
}

/* What nobody has asked for. */
static void
test_unasked(void)
{
	static const char *const says[] = { "250 ok|", "250 a|250 b|",
	    "452 4.3.1 enough|", "354 go|", "what?|" };
	static const char *const want[] = { "451", "451", "452", "451",
	    "451" };
	struct client c;
	char all[40];

	for (size_t i = 0; i < 10; i++) {
		stream_conf(i % 2 ? BOTH : NO_BDAT);
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(200000), 200000);
		codes(&c);
		heard();
		mta_say(says[i / 2]);
		is_str(heard(), "gone\n", says[i / 2]);
		client_write(&c, lines(200000), 200000);
		client_say(&c, ".|" MAIL RCPT "BDAT 4 LAST|hi|");
		snprintf(all, sizeof(all), "%s 250 250 250", want[i / 2]);
		is_str(codes(&c), all, "  told at the end");
		client_close(&c);
		engine_stop();
	}
}

/* Room */

static void
test_room(void)
{
	const char *text = lines(3000000);
	struct client c;
	size_t n;

	for (int bdat = 0; bdat < 2; bdat++) {
		stream_conf(bdat ? BOTH : NO_BDAT);
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, text, 20000);
		mta_pause(true);
		n = 20000 + press(&c, text + 20000, 2980000);
		ok(n < 1500000, "a backend that stops, stops the client");
		mta_pause(false);
		n += press(&c, text + n, 3000000 - n);
		is_int((long long)n, 3000000, "  and lets it go on");
		client_say(&c, ".|");
		is_str(codes(&c), "354 250", "  to the end");
		outline();
		ok(content_is(text, 3000000), "  whole");
		client_close(&c);

		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, text, 20000);
		mta_pause(true);
		n = 20000 + press(&c, text + 20000, 2980000);
		clock_advance(179000);
		turn();
		is_str(codes(&c), "354", "  the client is not to blame");
		clock_advance(2000);
		turn();
		n += press(&c, text + n, 3000000 - n);
		is_int((long long)n, 3000000, "a backend that stops for too "
		    "long is given up");
		client_say(&c, ".|NOOP|");
		is_str(codes(&c), "451 250", "  told at the end");
		mta_pause(false);
		ok(strstr(outline(), "LAST") == NULL, "  nothing delivered");
		client_close(&c);
		engine_stop();
	}
}

/* Chunks are read, and not answered. */
static void
test_no_replies(void)
{
	const char *text = lines(3900000);
	struct client c;
	size_t n;

	stream_conf(BOTH);
	engine_start();
	begin(&c);
	rule("BDAT=");
	client_say(&c, "DATA|");
	n = press(&c, text, 3900000);
	ok(n < 3000000, "chunks without replies have a limit");
	clock_advance(181000);
	turn();
	press(&c, text + n, 3900000 - n);
	client_say(&c, ".|");
	is_str(codes(&c), "354 451", "and a deadline");
	client_close(&c);
	engine_stop();
}

/* Times of a slow client */

static void
test_trickle(void)
{
	struct client c;
	char line[32];
	int i;

	for (int bdat = 0; bdat < 2; bdat++) {
		stream_conf(bdat ? BOTH : NO_BDAT);
		conf.min_data_rate = 1;
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(20000), 20000);
		heard();
		for (i = 0; i < 60; i++) {
			snprintf(line, sizeof(line), "line %d|", i);
			client_say(&c, line);
			clock_advance(6000);
			turn();
		}
		if (bdat)
			ok(strlen(outline()) > 50 * 6, "a slow client does "
			    "not make the backend think that we are gone");
		client_say(&c, ".|");
		is_str(codes(&c), "354 250", "a slow client gets there");
		clock_advance(300000);
		client_close(&c);

		begin(&c);
		client_say(&c, "DATA|");
		client_write(&c, lines(200000), 200000);
		codes(&c);
		clock_advance(400000);
		turn();
		is_str(codes(&c), "421 closed", "one that stops is late");
		ok(strstr(outline(), "LAST") == NULL, "  nothing delivered");
		client_close(&c);
		engine_stop();
	}
}

/* What is held waits as well, and a NOOP may be under way at its end. */
static void
test_keep_alive(void)
{
	struct client c;

	for (int i = 0; i < 6; i++) {
		bool bdat = i % 2 == 1, large = i / 2 == 1, lost = i / 2 == 2;

		stream_conf(bdat ? BOTH : NO_BDAT);
		engine_start();
		begin(&c);
		client_say(&c, "DATA|");
		client_say(&c, "one|");
		clock_advance(59000);
		client_say(&c, "two|");
		is_str(heard(), "", "less than a minute");
		rule("NOOP=");
		clock_advance(2000);
		client_say(&c, "three|");
		is_str(heard(), "NOOP\n", "what trickles in keeps the "
		    "transaction open");
		clock_advance(61000);
		client_say(&c, "four|");
		is_str(heard(), "", "  one at a time");
		if (large)
			client_write(&c, lines(100000), 100000);
		client_say(&c, ".|");
		is_str(heard(), "", "content goes behind its reply");
		if (lost)
			mta_drop();
		else
			mta_say("502 5.5.2 what?|");
		is_str(codes(&c), lost ? "354 451" : "354 250",
		    "  and whatever it is");
		client_close(&c);
		engine_stop();
	}
}

/* The client goes */

static void
test_gone(void)
{
	struct client c;

	for (int i = 0; i < 6; i++) {
		bool bdat = i % 2 == 1;

		stream_conf(bdat ? BOTH : NO_BDAT);
		engine_start();
		begin(&c);
		client_say(&c, i < 4 ? "DATA|" : "BDAT 300000 LAST|");
		client_write(&c, lines(200000), 200000);
		shape();
		if (i / 2 == 1)
			shutdown(c.fd, SHUT_WR);
		else
			client_close(&c);
		turn();
		is_str(shape(), bdat ? "RSET|" : "gone|",
		    "a client that vanishes leaves no message");
		if (i / 2 == 1) {
			is_str(codes(&c), "354 closed", "  nor hears of one");
			client_close(&c);
		}
		engine_stop();
	}
}

int
main(void)
{
	engine_init();
	buf_init(&content, 10000000);
	test_pieces();
	test_which();
	test_header_of_ours();
	test_authenticated();
	test_defects();
	test_verdicts();
	test_early_verdict();
	test_patience();
	test_slow_filter();
	test_early();
	test_words();
	test_early_data();
	test_unasked();
	test_room();
	test_no_replies();
	test_trickle();
	test_keep_alive();
	test_gone();
	chain_conf_fini(&conf_listener.filters);
	buf_fini(&content);
	engine_fini();
	return tap_done();
}
