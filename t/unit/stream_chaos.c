/* However a message is cut, whatever the filters and the backend say and when,
   and whoever goes in the middle: the messages that are there are those that
   were acknowledged, whole and once, and nothing that was refused. */

#include "t/engine.h"

#define CLIENTS		3
#define MESSAGES	100		/* of one run */
#define PICK(a)		(a)[(size_t)rand() % (sizeof(a) / sizeof((a)[0]))]

static const char *const ehlos[] = { "PIPELINING CHUNKING", "PIPELINING",
    "CHUNKING", "", "PIPELINING CHUNKING XCLIENT_ADDR" };

/* What the backend may say. Each is used once. */
static const char *const rules[] = {
	"BDAT=552 5.3.4 full|", "BDAT=452 4.3.1 full|", "BDAT=!",
	"BDAT=421 4.3.2 bye|!", "BDAT=", "BDAT=354 what?|", "DATA=",
	"DATA=451 4.3.0 no|", "DATA=554 5.7.1 no|", "DATA=!",
	"DATA=421 4.3.2 bye|!", "DATA=250 what?|", ".=554 5.7.1 no|",
	".=451 4.3.0 no|", ".=!", ".=421 4.3.2 bye|!", ".=", "RSET=!",
	"RSET=500 no|", "MAIL=451 4.3.0 no|", "RCPT=550 5.1.1 no|", "NOOP=",
};

/* A message, as it is and as it went. */
struct message {
	char		*text;
	size_t		 len;
	bool		 bad;		/* must be refused for what it is */
	enum verdict	 verdict;	/* of the filter */
	int		 taken;		/* by the backend, whole */
	int		 torn;		/* … or not so */
	bool		 complete;	/* the client has sent all of it */
	bool		 heard;		/* and has its answer, */
	bool		 promised;	/* a good one */
};

static struct message messages[MESSAGES];
static int nmessages;

/* A client, and the message that it is sending. */
static struct {
	struct client	 c;
	bool		 connected;
	struct message	*m;		/* NULL: none */
	struct buf	 out;		/* to be sent */
	size_t		 sent;
	bool		 data;		/* 354 is to come before the rest, */
	size_t		 content;	/* which begins here */
	int		 replies;	/* to come, the last one tells */
} clients[CLIENTS];

/* The filter: what it says at the end is written in the message. */
static struct chain_slot *asked;
static enum verdict answer;

static enum verdict
think(struct chain_slot *slot, enum verdict v)
{
	if (asked != NULL || rand() % 4 > 0)
		return v;
	asked = slot;
	answer = v;
	return V_WAIT;
}

static enum verdict
on_body(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	(void)t, (void)p, (void)len;
	return think(slot, V_CONTINUE);
}

static enum verdict
on_eom(struct chain_slot *slot, struct txn *t)
{
	return think(slot, messages[atoi(t->from)].verdict);
}

static void
on_abort(struct chain_slot *slot, struct txn *t)
{
	(void)t;
	if (asked == slot)
		asked = NULL;
}

static const struct filter type = { .abi = FILTER_ABI, .name = "script",
    .body = on_body, .eom = on_eom, .abort = on_abort };
static struct filter_conf filter = { .type = &type, .timeout = 30000,
    .on_failure = V_TEMPFAIL };

static void
resume(void)
{
	struct chain_slot *slot = asked;

	asked = NULL;
	if (slot != NULL)
		chain_resume(slot, answer);
}

/* What the backend took. */
static void
took(const char *wire, size_t len, bool dots)
{
	struct message *m;
	struct buf plain;
	int n;

	buf_init(&plain, 1000000);
	for (size_t i = 0; i < len; i++)
		if (!dots || wire[i] != '.' || (i > 0 && wire[i - 1] != '\n'))
			buf_addc(&plain, wire[i]);
		else if (i + 1 < len && wire[i + 1] == '.')
			buf_addc(&plain, wire[i++]);
	if (plain.len < 5 || strncmp(plain.p, "id: ", 4) != 0 ||
	    (n = atoi(plain.p + 4)) >= nmessages) {
		messages[0].torn++;
	} else {
		m = &messages[n];
		if (plain.len == m->len && memcmp(plain.p, m->text, m->len)
		    == 0)
			m->taken++;
		else
			m->torn++;
	}
	buf_fini(&plain);
}

/* Messages */

static void
make_text(struct message *m, int n)
{
	static const char *const bad[] = { "a\nb\r\n", "a\rb\r\n",
	    "\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r" };
	static const char *const line[] = { "x\r\n", ".\r\n", "..\r\n",
	    "some more text in a line\r\n", "\r\n", ".x\r\n" };
	static const int most[] = { 10, 300, 3000, 20000 };
	int left = rand() % PICK(most), at = -1;
	struct buf b;

	buf_init(&b, 1000000);
	buf_addf(&b, "id: %d\r\n\r\n", n);
	m->bad = rand() % 6 == 0;
	if (m->bad)
		at = left > 0 ? rand() % (left + 1) : 0;
	for (; left >= 0; left--) {
		if (left == at)
			buf_adds(&b, PICK(bad));
		buf_adds(&b, PICK(line));
	}
	m->text = xmalloc(b.len);
	memcpy(m->text, b.p, b.len);
	m->len = b.len;
	buf_fini(&b);
}

static void
add_data(int i, const struct message *m)
{
	clients[i].content = clients[i].out.len;
	for (size_t k = 0; k < m->len; k++) {
		if (m->text[k] == '.' && k > 1 && m->text[k - 1] == '\n' &&
		    m->text[k - 2] == '\r')
			buf_addc(&clients[i].out, '.');
		buf_addc(&clients[i].out, m->text[k]);
	}
	buf_adds(&clients[i].out, ".\r\n");
	clients[i].replies = 4;
	clients[i].data = true;
}

static void
add_chunks(int i, const struct message *m)
{
	size_t done = 0, n;

	for (clients[i].replies = 2; done < m->len; clients[i].replies++) {
		n = (size_t)rand() % (m->len / (1 + (size_t)rand() % 4) + 1);
		if (n > m->len - done || rand() % 4 == 0)
			n = m->len - done;
		buf_addf(&clients[i].out, "BDAT %zu%s\r\n", n,
		    done + n == m->len ? " LAST" : "");
		buf_add(&clients[i].out, m->text + done, n);
		done += n;
	}
}

static void
start(int i)
{
	static const enum verdict verdicts[] = { V_CONTINUE, V_CONTINUE,
	    V_CONTINUE, V_ACCEPT, V_REJECT, V_TEMPFAIL, V_DISCARD };
	struct message *m = &messages[nmessages];

	clients[i].m = m;
	*m = (struct message){ .verdict = conf_listener.filters.n > 0 ?
	    PICK(verdicts) : V_CONTINUE };
	make_text(m, nmessages);
	buf_reset(&clients[i].out);
	clients[i].sent = 0;
	clients[i].data = false;
	buf_addf(&clients[i].out, "MAIL FROM:<%d@a.example>\r\n"
	    "RCPT TO:<b@c.example>\r\n", nmessages++);
	if (rand() % 2) {
		buf_adds(&clients[i].out, "DATA\r\n");
		add_data(i, m);
	} else
		add_chunks(i, m);
}

/* Clients */

static void
leave(int i)
{
	client_close(&clients[i].c);
	clients[i].connected = false;
	clients[i].m = NULL;
}

/* It has the last reply (0: it never will), and goes on. */
static void
finish(int i, int code)
{
	struct message *m = clients[i].m;

	m->heard = code != 0;
	m->promised = code == 250;
	clients[i].m = NULL;
	if (clients[i].c.closed || code == 421)
		leave(i);
	else if (code != 250) {
		client_say(&clients[i].c, "RSET|");
		replies(&clients[i].c);
	}
}

static void
listen_to(int i)
{
	char *text = xstrdup(replies(&clients[i].c)), *p;

	for (p = text; clients[i].m != NULL && *p != '\0';
	    p = strchr(p, '|') + 1) {
		int code = atoi(p);

		if (p[3] == '-')
			continue;
		clients[i].replies--;
		if (clients[i].replies == 1 && clients[i].data) {
			clients[i].data = false;	/* to DATA */
			if (code != 354)
				finish(i, code);
		} else if (clients[i].replies == 0 || code == 421)
			finish(i, code);
	}
	if (clients[i].m != NULL && clients[i].c.closed)
		finish(i, 0);
	free(text);
}

static void
speak(int i, size_t most)
{
	size_t end = clients[i].data ? clients[i].content :
	    clients[i].out.len, n = end - clients[i].sent;
	ssize_t done;

	if (n > most)
		n = most;
	done = write(clients[i].c.fd, clients[i].out.p + clients[i].sent, n);
	if (done > 0)
		clients[i].sent += (size_t)done;
	clients[i].m->complete = clients[i].sent == clients[i].out.len;
	turn();
}

static void
client_acts(int i, bool gently)
{
	static const size_t most[] = { 1, 30, 1000, 20000, 300000 };

	if (!clients[i].connected) {
		client_connect(&clients[i].c);
		client_say(&clients[i].c, "EHLO c.example|");
		replies(&clients[i].c);
		clients[i].connected = !clients[i].c.closed;
		if (!clients[i].connected)
			leave(i);
		return;
	}
	if (clients[i].m == NULL && !gently && nmessages < MESSAGES)
		start(i);
	if (clients[i].m == NULL)
		return;
	if (!gently && rand() % 60 == 0) {
		leave(i);
		return;
	}
	speak(i, gently ? 1000000 : PICK(most));
	listen_to(i);
}

/* The rest */

static void
world_acts(void)
{
	switch (rand() % 8) {
	case 0:
		mta_pause(true);
		break;
	case 1:
	case 2:
		mta_pause(false);
		break;
	case 3:
		if (mta.nrules == RULES)
			mta.nrules = 0;
		rule(PICK(rules));
		break;
	case 4:
		if (rand() % 6 == 0)
			mta_drop();
		break;
	case 5:
		clock_advance((uint64_t)(rand() % 10 ? rand() % 6000 : 61000));
		break;
	default:
		resume();
	}
	turn();
}

static int wrong;

static void
check(bool good, unsigned seed, int n, const char *what)
{
	if (!good && wrong++ < 10)
		printf("# seed %u message %d: %s\n", seed, n, what);
}

static void
check_all(unsigned seed)
{
	for (int i = 0; i < nmessages; i++) {
		const struct message *m = &messages[i];
		bool good = !m->bad && (m->verdict == V_CONTINUE ||
		    m->verdict == V_ACCEPT);

		check(m->torn == 0, seed, i, "not as it was sent");
		check(m->taken <= 1, seed, i, "taken twice");
		check(m->taken == 0 || good, seed, i, "refused and taken");
		check(m->taken == 0 || m->complete, seed, i, "taken too soon");
		check(!m->promised || !m->bad, seed, i, "promised and bad");
		check(!m->promised || m->verdict == V_DISCARD || m->taken == 1,
		    seed, i, "promised and lost");
		check(!m->heard || m->promised || m->taken == 0, seed, i,
		    "not promised and taken");
		free(m->text);
	}
}

static void
chaos_conf(void)
{
	static const uint64_t holds[] = { 0, 100, 5000, 70000, 1000000 };

	chain_conf_fini(&conf_listener.filters);
	engine_conf();
	conf.hold_size = PICK(holds);
	conf.spool_memory = rand() % 2 ? 1000 : 1000000;
	mta.ehlo = PICK(ehlos);
	mta.once = true;
	mta.took = took;
	if (strstr(mta.ehlo, "XCLIENT") != NULL)
		conf_backend.identity = IDENTITY_XCLIENT;
	conf_backend.max_sessions = rand() % 3;
	if (rand() % 4 > 0)
		chain_conf_add(&conf_listener.filters, &filter);
	filter.self.events = 1u << EV_BODY | 1u << EV_EOM;
	filter.self.edits = rand() % 4 ? 0 : EDIT_BIT(EDIT_ADD_HEADER);
}

static int waiting, delivered;

static void
run_once(unsigned seed)
{
	bool busy = true;

	srand(seed);
	chaos_conf();
	nmessages = 0;
	engine_start();
	for (int i = 0; i < 300; i++)
		if (rand() % 4 == 0)
			world_acts();
		else
			client_acts(rand() % CLIENTS, false);
	/* From here on all is well. */
	mta_pause(false);
	mta.nrules = 0;
	for (int i = 0; i < 100 && busy; i++) {
		busy = false;
		resume();
		clock_advance(20000);
		turn();
		for (int k = 0; k < CLIENTS; k++) {
			client_acts(k, true);
			busy = busy || clients[k].m != NULL;
		}
	}
	waiting += busy;
	if (busy)
		printf("# seed %u: somebody waits for ever\n", seed);
	for (int k = 0; k < CLIENTS; k++)
		if (clients[k].connected)
			leave(k);
	engine_stop();
	for (int i = 0; i < nmessages; i++)
		delivered += messages[i].taken;
	check_all(seed);
}

int
main(int argc, char **argv)
{
	static char name[] = "script";
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned end = argc > 2 ? seed + (unsigned)strtoul(argv[2], NULL, 10) :
	    argc > 1 ? seed + 1 : 150;

	engine_init();
	filter.name = name;
	for (int i = 0; i < CLIENTS; i++)
		buf_init(&clients[i].out, 10000000);
	for (; seed < end; seed++)
		run_once(seed);
	is_int(wrong, 0, "what is promised is there, and nothing else");
	is_int(waiting, 0, "nobody waits for ever");
	printf("# %d were delivered\n", delivered);
	ok(argc > 1 || delivered > 500, "many were delivered");
	for (int i = 0; i < CLIENTS; i++)
		buf_fini(&clients[i].out);
	chain_conf_fini(&conf_listener.filters);
	engine_fini();
	return tap_done();
}
