/* Whatever clients and backends do to each other, and whenever: nobody waits
   for ever, no reply comes behind a 421, nothing is accepted that the backend
   did not accept, and the pool knows how many sessions it has. */

#include "proxy/backend_impl.h"
#include "t/engine.h"

#define CLIENTS 3

/* Mostly what makes sense. */
#define HI	"EHLO c.example|"
#define RCPTS	"MAIL FROM:<>|RCPT TO:<b@example.com>|RCPT TO:<c@c.example>|"

static const char *const client_says[] = {
	HI RCPTS, HI RCPTS, HI RCPTS "DATA|", HI RCPTS "DATA|",
	RCPTS "BDAT 4 LAST|hi|", HI RCPTS "BDAT 4 LAST|hi|RSET|" RCPTS,
	"DATA|", "DATA|", "hi|.|", "hi|.|", "hi|.|" RCPTS "DATA|",
	"RSET|" RCPTS, HI "AUTH PLAIN AA|", HI "AUTH LOGIN|",
	"EHLO c.example|", "EHLO d.example|", "HELO c.example|",
	"MAIL FROM:<a@example.org>|", "RCPT TO:<b@example.com>|",
	"MAIL FROM:<>|RCPT TO:<b@example.com>|",
	"EHLO c|MAIL FROM:<>|RCPT TO:<b@example.com>|RCPT TO:<c@c.example>|",
	"DATA|", "hi|.|", "DATA|hi|.|", "BDAT 4 LAST|hi|", "BDAT 4|hi|",
	"BDAT 0 LAST|", "RSET|", "NOOP|", "QUIT|", "AUTH PLAIN AA|",
	"AUTH LOGIN|", "YQ==|", "*|", "XCLIENT ADDR=198.51.100.1|", "FOO",
	"|", "BDAT 100000|",
};

static const char *const mta_says[] = {
	"250 ok|", "250 ok|250 ok|", "421 bye|!", "421 bye|", "!", "what?|",
	"354 go|", "334 x|", "550 no|", "451 later|", "220 hi|",
	"250-a|250-XCLIENT ADDR|250 PIPELINING|", "250-half", "235 ok|",
	"250-x|550 y|",
};

static const char *const rules[] = {
	"MAIL=", "MAIL=!", "MAIL=550 no|", "MAIL=421 x|", "RCPT=", "RCPT=!",
	"RCPT=450 no|", "RCPT=250 a|250 b|", "DATA=", "DATA=!", "DATA=250 x|",
	"DATA=451 no|", ".=", ".=!", ".=554 no|", ".=421 x|", ".=354 x|",
	"RSET=", "RSET=!", "RSET=500 no|", "XCLIENT=", "XCLIENT=!",
	"XCLIENT=550 no|", "XCLIENT=554 no|", "EHLO=", "EHLO=!",
	"EHLO=500 no|", "HELO=!", "CONNECT=", "CONNECT=!", "CONNECT=554 no|",
	"AUTH=334 x|", "AUTH=235 ok|", "AUTH=", "QUIT=", "PROXY=", "X=",
};

static const char *const ehlos[] = {
	"", "PIPELINING", "PIPELINING CHUNKING XCLIENT_ADDR",
	"XCLIENT_NAME_ADDR_HELO AUTH_PLAIN_LOGIN", "CHUNKING AUTH_LOGIN",
};

#define PICK(a)	(a)[(size_t)rand() % (sizeof(a) / sizeof((a)[0]))]

static struct client clients[CLIENTS];
static bool connected[CLIENTS];

/* After a 421 there is nothing but the end. */
static int behind_421;

static void
look_at(struct client *c)
{
	const char *text = replies(c), *p;

	if ((p = strstr(text, "421 ")) == NULL || (p > text && p[-1] != '|'))
		return;
	p = strchr(p, '|');
	if (p != NULL && p[1] != '\0' && behind_421++ == 0)
		printf("# behind 421: %s\n", text);
}

static void
client_acts(int i)
{
	if (!connected[i]) {
		client_connect(&clients[i]);
		connected[i] = true;
	} else if (rand() % 20 == 0) {
		client_close(&clients[i]);
		connected[i] = false;
	} else if (rand() % 40 == 0)
		shutdown(clients[i].fd, SHUT_WR);
	else
		client_say(&clients[i], PICK(client_says));
	if (connected[i])
		look_at(&clients[i]);
}

static void
mta_acts(void)
{
	switch (rand() % 6) {
	case 0:
		mta_drop();
		break;
	case 1:
		mta_pause(rand() % 2);
		break;
	case 2:
		mta.nrules = 0;
		for (int i = rand() % 4; i > 0; i--)
			rule(PICK(rules));
		break;
	case 3:
		mta.nrules = 0;
		break;
	default:
		mta_say(PICK(mta_says));
	}
}

/* The counts of the pool are those of its lists. */
static bool
pool_is_sound(const struct pool *p)
{
	const struct backend *b;
	size_t n = 0;

	TAILQ_FOREACH(b, &p->used, link)
		n += b->counted;
	TAILQ_FOREACH(b, &p->idle, link)
		n += b->counted && b->idle && b->user == NULL &&
		    b->state == B_READY;
	TAILQ_FOREACH(b, &p->queued, link)
		if (b->counted || b->state != B_QUEUED || b->user == NULL)
			return false;
	return n == p->open && (p->limit == 0 || n <= p->limit);
}

static void
chaos_conf(void)
{
	static const enum conf_identity identities[] = { IDENTITY_NONE,
	    IDENTITY_XCLIENT, IDENTITY_XFORWARD, IDENTITY_PROXY_V1 };
	const char *why;

	engine_conf();
	conf.auth_without_tls = true;
	conf.error_limit = 5 + (unsigned)rand() % 100;
	conf.junk_command_limit = 30;
	conf_backend.identity = PICK(identities);
	conf_backend.open = (enum conf_open)(rand() % 3);
	conf_backend.max_sessions = rand() % 3;
	conf_backend.naddresses = 1 + (size_t)rand() % 2;
	mta.first_only = rand() % 2;
	mta.ehlo = PICK(ehlos);
	if (rand() % 4 == 0)
		netset_add(&conf_listener.accept_xclient_from, "192.0.2.1",
		    &why);
	for (int i = rand() % 3; i > 0; i--)
		rule(PICK(rules));
}

static int unsound, waiting;

static void
run_once(unsigned seed)
{
	srand(seed);
	chaos_conf();
	engine_start();
	for (int i = 0; i < 60; i++) {
		if (rand() % 6 == 0)
			mta_acts();
		else if (rand() % 12 == 0)
			clock_advance((uint64_t)rand() % 400000);
		else
			client_acts(rand() % CLIENTS);
		if (rand() % 200 == 0) {
			w.draining = true;
			for (struct session *s = w.sessions; s != NULL;
			    s = session_next(s))
				session_drain(s);
		}
		turn();
		if (!pool_is_sound(w.pools[0]) && unsound++ == 0)
			printf("# the pool is wrong: seed %u step %d\n", seed,
			    i);
	}
	/* From here on nobody does anything but read. */
	for (int i = 0; i < 150; i++) {
		clock_advance(20000);
		turn();
		for (int k = 0; k < CLIENTS; k++)
			if (connected[k])
				look_at(&clients[k]);
	}
	if (w.nsessions > 0 && waiting++ == 0)
		printf("# somebody waits for ever: seed %u\n", seed);
	for (int k = 0; k < CLIENTS; k++) {
		if (connected[k])
			client_close(&clients[k]);
		connected[k] = false;
	}
	engine_stop();
	netset_fini(&conf_listener.accept_xclient_from);
}

int
main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

	engine_init();
	if (argc > 1)
		run_once(seed);
	else
		for (; seed < 500; seed++)
			run_once(seed);
	is_int(waiting, 0, "nobody waits for ever");
	is_int(unsound, 0, "the pool counts its sessions");
	is_int(behind_421, 0, "nothing comes behind a 421");
	engine_fini();
	return tap_done();
}
