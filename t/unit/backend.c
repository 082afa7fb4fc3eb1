/* backend and pool: every way to get a session with the next MTA, and every
   way to lose it; who gets a warm one, and what it is told first. */

#include "base/spool.h"
#include "t/engine.h"

/* A client session in the place of the real one: what it was told. */
struct user {
	struct backend	*b;
	int		 ready;
	struct buf	 log;	/* "mail 250, failed LOST why" … */
	const char	*line;	/* to send as MAIL when ready */
	bool		 puts;	/* gives it back in on_reply() */
};

static const char *const failures[] = {
	[BACKEND_UNREACHABLE] = "UNREACHABLE",
	[BACKEND_NO_IDENTITY] = "NO_IDENTITY",
	[BACKEND_REFUSED] = "REFUSED",
	[BACKEND_SHUTDOWN] = "SHUTDOWN",
	[BACKEND_LOST] = "LOST",
};

static void
on_ready(void *arg)
{
	struct user *u = arg;

	u->ready++;
	buf_adds(&u->log, "ready ");
	if (u->line != NULL) {
		backend_command(u->b, BACKEND_MAIL, NULL, u->line);
		backend_flush(u->b);
	}
}

static void
on_reply(void *arg, enum backend_kind kind, void *tag, const struct reply *r)
{
	static const char *const names[] = { "mail", "rcpt", "auth",
	    "content" };
	struct user *u = arg;

	(void)tag;
	buf_addf(&u->log, "%s=%d ", names[kind], r->code);
	if (u->puts)
		backend_put(&u->b);
}

static void
on_failure(void *arg, enum backend_failure f, const struct reply *r,
    const char *why)
{
	struct user *u = arg;

	buf_addf(&u->log, "%s%s%d(%s) ", failures[f], r ? "=" : "",
	    r ? r->code : 0, why);
	backend_put(&u->b);
}

static void
on_room(void *arg)
{
	struct user *u = arg;

	buf_adds(&u->log, "room ");
}

static const struct backend_user user = { on_ready, on_reply, on_failure,
    on_room };

static const struct backend_identity who = {
	.x = { .addr = { AF_INET, 1234, { 192, 0, 2, 1 } },
	    .dest = { AF_INET, 25, { 192, 0, 2, 2 } },
	    .name = "c.example", .helo = "c.example", .proto = "ESMTP" },
	.esmtp = true,
};

static void
get(struct user *u)
{
	*u = (struct user){ .line = NULL };
	buf_init(&u->log, 10000);
	u->b = backend_get(w.pools[0], 1, &who, &user, u);
	if (backend_is_ready(u->b))
		on_ready(u);
	turn();
}

/* What the user was told since the last call. */
static const char *
told(struct user *u)
{
	static char *last;

	free(last);
	last = xstrdup(u->log.p);
	if (u->log.len > 0)
		last[u->log.len - 1] = '\0';
	buf_reset(&u->log);
	return last;
}

static void
put(struct user *u)
{
	backend_put(&u->b);
	buf_fini(&u->log);
	turn();
}

/* Set-up: what the MTA says, what the user is told, what the MTA heard. */
static const struct {
	const char		*name;
	const char		*ehlo;
	const char		*rules[4];
	enum conf_identity	 identity;
	enum conf_tls		 tls;
	bool			 lmtp;
	const char		*want, *heard;
} setups[] = {
	{ "EHLO", "PIPELINING", { 0 }, IDENTITY_NONE, TLS_OFF, false,
	  "ready", "connect 0|EHLO proxy.example|" },
	{ "HELO when EHLO is refused", "", { "EHLO=502 no|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "ready", "connect 0|EHLO proxy.example|HELO proxy.example|" },
	{ "EHLO is refused for now", "", { "EHLO=421 no|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|gone|" },
	{ "HELO is refused, too", "", { "EHLO=502 no|", "HELO=502 no|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|HELO proxy.example|gone|" },
	{ "LHLO", "PIPELINING", { 0 }, IDENTITY_NONE, TLS_OFF, true,
	  "ready", "connect 0|LHLO proxy.example|" },
	{ "LHLO has no HELO behind it", "", { "LHLO=502 no|" },
	  IDENTITY_NONE, TLS_OFF, true,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|LHLO proxy.example|gone|" },
	{ "a greeting that says no", "", { "CONNECT=554 no|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)", "connect 0|gone|" },
	{ "a greeting that is none", "", { "CONNECT=hello|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)", "connect 0|gone|" },
	{ "an end instead of a greeting", "", { "CONNECT=!" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)", "connect 0|gone|" },
	{ "a greeting and more", "", { "CONNECT=220 hi|250 ok|" },
	  IDENTITY_NONE, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)", "connect 0|gone|" },
	{ "XCLIENT", "XCLIENT_NAME_ADDR_PROTO_HELO", { 0 },
	  IDENTITY_AUTO, TLS_OFF, false, "ready",
	  "connect 0|EHLO proxy.example|XCLIENT NAME=c.example PROTO=ESMTP "
	  "HELO=c.example ADDR=192.0.2.1|EHLO c.example|" },
	{ "XCLIENT is not offered", "PIPELINING", { 0 },
	  IDENTITY_AUTO, TLS_OFF, false,
	  "NO_IDENTITY0(the backend does not offer XCLIENT with ADDR)",
	  "connect 0|EHLO proxy.example|gone|" },
	{ "XCLIENT without ADDR", "XCLIENT_NAME", { 0 },
	  IDENTITY_XCLIENT, TLS_OFF, false,
	  "NO_IDENTITY0(the backend does not offer XCLIENT with ADDR)",
	  "connect 0|EHLO proxy.example|gone|" },
	{ "XCLIENT is offered and refused", "XCLIENT_ADDR",
	  { "XCLIENT=550 5.7.0 no|" }, IDENTITY_AUTO, TLS_OFF, false,
	  "NO_IDENTITY=550(the backend refuses our XCLIENT)",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|" },
	{ "the client is refused", "XCLIENT_ADDR",
	  { "XCLIENT=554 5.7.1 not you|" }, IDENTITY_AUTO, TLS_OFF, false,
	  "REFUSED=554(XCLIENT: 554 5.7.1 not you)",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|" },
	{ "with 421", "XCLIENT_ADDR", { "XCLIENT=421 4.7.1 not you|" },
	  IDENTITY_AUTO, TLS_OFF, false,
	  "REFUSED=421(XCLIENT: 421 4.7.1 not you)",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|" },
	{ "two greetings for one XCLIENT", "XCLIENT_ADDR",
	  { "XCLIENT=220 hi|220 ho|" }, IDENTITY_AUTO, TLS_OFF, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|" },
	{ "PROXY version 1", "PIPELINING",
	  { "PROXY=" }, IDENTITY_PROXY_V1, TLS_OFF, false, "ready",
	  "connect 0|PROXY TCP4 192.0.2.1 192.0.2.2 1234 25|"
	  "EHLO c.example|" },
	{ "PROXY, and the client is refused", "",
	  { "CONNECT=", "PROXY=554 not you|" }, IDENTITY_PROXY_V1, TLS_OFF,
	  false, "REFUSED=554(greeting: 554 not you)",
	  "connect 0|PROXY TCP4 192.0.2.1 192.0.2.2 1234 25|gone|" },
	{ "TLS", "STARTTLS", { 0 }, IDENTITY_NONE, TLS_MAY, false,
	  "ready", "connect 0|EHLO proxy.example|STARTTLS|"
	  "EHLO proxy.example|" },
	{ "TLS is not offered and may be off", "", { 0 },
	  IDENTITY_NONE, TLS_MAY, false,
	  "ready", "connect 0|EHLO proxy.example|" },
	{ "TLS is not offered and must be on", "", { 0 },
	  IDENTITY_NONE, TLS_ENCRYPT, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|gone|" },
	{ "TLS is not possible with HELO", "", { "EHLO=502 no|" },
	  IDENTITY_NONE, TLS_ENCRYPT, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|HELO proxy.example|gone|" },
	{ "STARTTLS is refused and may be", "STARTTLS DSN",
	  { "STARTTLS=454 later|" }, IDENTITY_NONE, TLS_MAY, false,
	  "ready", "connect 0|EHLO proxy.example|STARTTLS|" },
	{ "STARTTLS is refused and must not be", "STARTTLS",
	  { "STARTTLS=454 later|" }, IDENTITY_NONE, TLS_ENCRYPT, false,
	  "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|STARTTLS|gone|" },
	{ "plain text behind the reply to STARTTLS", "STARTTLS",
	  { "STARTTLS=220 go|250 XCLIENT|" }, IDENTITY_NONE, TLS_ENCRYPT,
	  false, "UNREACHABLE0(no address answers)",
	  "connect 0|EHLO proxy.example|STARTTLS|gone|" },
	{ "no handshake behind it", "STARTTLS", { "STARTTLS=220 go|!" },
	  IDENTITY_NONE, TLS_ENCRYPT, false,
	  "UNREACHABLE0(no address answers)", NULL },
	{ "TLS, then XCLIENT", "STARTTLS XCLIENT_ADDR", { 0 },
	  IDENTITY_AUTO, TLS_ENCRYPT, false, "ready",
	  "connect 0|EHLO proxy.example|STARTTLS|EHLO proxy.example|"
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
};

static SSL_CTX *server_ctx, *client_ctx;

static const char *
bars(const char *s)
{
	static char room[10000];
	char *p;

	snprintf(room, sizeof(room), "%s", s);
	for (p = room; *p != '\0'; p++)
		if (*p == '\n')
			*p = '|';
	return room;
}

static void
test_setups(void)
{
	struct user u;

	for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
		engine_conf();
		mta.ehlo = setups[i].ehlo;
		mta.tls = server_ctx;
		conf_backend.identity = setups[i].identity;
		conf_backend.tls = setups[i].tls;
		conf_backend.tls_ctx = client_ctx;
		addresses[0].where.lmtp = setups[i].lmtp;
		for (size_t r = 0; setups[i].rules[r] != NULL; r++)
			rule(setups[i].rules[r]);
		engine_start();
		get(&u);
		is_str(told(&u), setups[i].want, setups[i].name);
		if (setups[i].heard != NULL)
			is_str(bars(heard()), setups[i].heard, "  transcript");
		put(&u);
		engine_stop();
	}
}

/* Two addresses: the second is tried when the first is at fault. */
static const struct {
	const char	*name, *rule;
	uint64_t	 after_ms;	/* let so much time pass */
	const char	*want, *heard;
} failovers[] = {
	{ "a greeting that says no", "CONNECT=421 busy|!", 0, "ready",
	  "connect 0|gone|connect 1|EHLO proxy.example|"
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
	{ "no greeting", "CONNECT=", 150000, "ready",
	  "connect 0|gone|connect 1|EHLO proxy.example|"
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
	{ "no reply to EHLO", "EHLO proxy=", 150000, "ready",
	  "connect 0|EHLO proxy.example|gone|connect 1|EHLO proxy.example|"
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
	{ "lost behind XCLIENT: the next one is told, too", "EHLO c.example=!",
	  0, "ready",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|"
	  "EHLO c.example|gone|connect 1|EHLO proxy.example|"
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
	{ "no reply to XCLIENT", "XCLIENT=", 150000, "ready",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|"
	  "connect 1|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|"
	  "EHLO c.example|" },
	{ "a verdict on the client is final", "XCLIENT=554 no|", 0,
	  "REFUSED=554(XCLIENT: 554 no)",
	  "connect 0|EHLO proxy.example|XCLIENT ADDR=192.0.2.1|gone|" },
};

static void
test_failover(void)
{
	struct user u = { .line = NULL };

	for (size_t i = 0; i < sizeof(failovers) / sizeof(failovers[0]); i++) {
		engine_conf();
		mta.ehlo = "XCLIENT_ADDR";
		conf_backend.identity = IDENTITY_AUTO;
		conf_backend.naddresses = 2;
		engine_start();
		rule(failovers[i].rule);
		buf_init(&u.log, 10000);
		mta.first_only = true;
		u.b = backend_get(w.pools[0], 1, &who, &user, &u);
		turn();
		if (failovers[i].after_ms > 0) {
			clock_advance(failovers[i].after_ms - 5000);
			turn();
			is_str(told(&u), "", "its share of the time");
			clock_advance(6000);
			turn();
		}
		is_str(told(&u), failovers[i].want, failovers[i].name);
		is_str(bars(heard()), failovers[i].heard, "  transcript");
		mta.first_only = false;
		put(&u);
		engine_stop();
	}
}

/* Content of so many octets. */
static void
send_content(struct user *u, size_t len, bool bdat)
{
	struct backend_content content = { .spool = spool_new("/tmp", 1 << 20),
	    .bdat = bdat, .ends_in_crlf = true };
	struct evbuffer *b = evbuffer_new();

	for (; len > 0; len--)
		evbuffer_add(b, "x", 1);
	spool_add(content.spool, b);
	evbuffer_free(b);
	backend_send(u->b, &content, NULL);
	turn();
}

static void
command(struct user *u, enum backend_kind kind, const char *line)
{
	backend_command(u->b, kind, NULL, line);
	backend_flush(u->b);
	turn();
}

/* Each wait for a reply has its own time. */
static const struct {
	const char	*rule;
	const char	*say;		/* NULL: content */
	uint64_t	 ms;
} waits[] = {
	{ "MAIL=", "MAIL FROM:<>", 300000 },
	{ "RCPT=", "RCPT TO:<b>", 200000 },
	{ "DATA=", NULL, 120000 },
	{ ".=", NULL, 600000 },
};

static void
test_deadlines(void)
{
	struct user u;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		engine_conf();
		conf.rcpt_timeout = 200000;
		engine_start();
		rule(waits[i].rule);
		rule("RCPT=");
		get(&u);
		told(&u);
		if (waits[i].say == NULL)
			send_content(&u, 10, false);
		else
			command(&u, *waits[i].say == 'M' ? BACKEND_MAIL :
			    BACKEND_RCPT, waits[i].say);
		clock_advance(waits[i].ms - 5000);
		if (waits[i].say != NULL)
			command(&u, BACKEND_RCPT, "RCPT TO:<later>");
		is_str(told(&u), "", waits[i].rule);
		clock_advance(6000);
		is_str(told(&u), "LOST0(timed out)", "  in time");
		put(&u);
		engine_stop();
	}
}

/* A backend that takes nothing of the content. */
static void
test_blocked_content(void)
{
	struct user u;

	engine_conf();
	conf.spool_memory = 1 << 20;
	engine_start();
	rule("DATA=354 go|");
	get(&u);
	told(&u);
	mta_pause(true);
	send_content(&u, 900000, true);
	clock_advance(179000);
	turn();
	is_str(told(&u), "", "content waits for room");
	clock_advance(2000);
	is_str(told(&u), "LOST0(timed out)", "and not for ever");
	mta_pause(false);
	put(&u);
	engine_stop();
}

/* A verdict before the end of the content. */
static void
test_early_reply(void)
{
	static const struct {
		const char *name, *reply, *want;
	} cases[] = {
		{ "refused", "552 too big|",
		  "content=552 LOST0(refused before the end)" },
		{ "421", "421 bye|", "SHUTDOWN=421(421)" },
		{ "accepted: of what?", "250 ok|",
		  "LOST0(a reply to content that was not sent)" },
		{ "354 once more", "354 go|",
		  "LOST0(a reply to content that was not sent)" },
		{ "closed", "!", "LOST0(closed by peer)" },
	};
	struct user u;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		engine_conf();
		engine_start();
		get(&u);
		told(&u);
		heard();
		mta_pause(true);
		send_content(&u, 900000, true);
		mta_say(cases[i].reply);
		is_str(told(&u), cases[i].want, cases[i].name);
		mta_pause(false);
		put(&u);
		turn();
		is_str(heard(), "BDAT 900000 LAST\ngone\n",
		    "  and it gets no command as content");
		engine_stop();
	}

	engine_conf();
	engine_start();
	get(&u);
	u.puts = true;
	mta_pause(true);
	send_content(&u, 900000, true);
	mta_say("552 too big|");
	is_str(told(&u), "ready content=552", "given back in on_reply()");
	mta_pause(false);
	put(&u);
	engine_stop();
}

/* Reuse */

static const struct {
	const char		*name, *ehlo;
	enum conf_identity	 identity;
	const char		*heard;	/* for the second user */
} reuses[] = {
	{ "no identity: as it is", "", IDENTITY_NONE, "" },
	{ "XFORWARD: as it is", "XFORWARD_ADDR", IDENTITY_XFORWARD, "" },
	{ "XCLIENT: told anew", "XCLIENT_ADDR", IDENTITY_XCLIENT,
	  "XCLIENT ADDR=192.0.2.1|EHLO c.example|" },
	{ "PROXY: never", "", IDENTITY_PROXY_V1,
	  "connect 0|PROXY TCP4 192.0.2.1 192.0.2.2 1234 25|"
	  "EHLO c.example|" },
};

static void
test_reuse(void)
{
	struct user u;

	for (size_t i = 0; i < sizeof(reuses) / sizeof(reuses[0]); i++) {
		engine_conf();
		mta.ehlo = reuses[i].ehlo;
		conf_backend.identity = reuses[i].identity;
		if (conf_backend.identity == IDENTITY_PROXY_V1)
			rule("PROXY=");
		engine_start();
		get(&u);
		put(&u);
		heard();
		get(&u);
		is_str(told(&u), "ready", reuses[i].name);
		is_str(bars(heard()), reuses[i].heard, "  transcript");
		put(&u);
		engine_stop();
	}
}

/* What makes one unfit for the next client. */
static const struct {
	const char		*name, *rule;
	enum backend_kind	 kind;
	const char		*say;
	bool			 again;	/* the next user gets it */
} leftovers[] = {
	{ "a transaction, that is reset", "X=", BACKEND_MAIL, "MAIL FROM:<>",
	  true },
	{ "one that is not", "RSET=550 no|", BACKEND_MAIL, "MAIL FROM:<>",
	  false },
	{ "a reply to come", "MAIL=", BACKEND_MAIL, "MAIL FROM:<>", false },
	{ "a failed AUTH", "AUTH=535 no|", BACKEND_AUTH, "AUTH PLAIN A", true },
	{ "half an AUTH", "AUTH=334 more|", BACKEND_AUTH, "AUTH PLAIN",
	  false },
};

static void
test_leftovers(void)
{
	struct user u;

	for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++) {
		engine_conf();
		rule(leftovers[i].rule);
		engine_start();
		get(&u);
		command(&u, leftovers[i].kind, leftovers[i].say);
		put(&u);
		get(&u);
		is_int(mta.connects, leftovers[i].again ? 1 : 2,
		    leftovers[i].name);
		is_str(told(&u), "ready", "  the next user is served");
		put(&u);
		engine_stop();
	}

	engine_conf();
	engine_start();
	get(&u);
	backend_set_authenticated(u.b);
	put(&u);
	get(&u);
	is_int(mta.connects, 2, "a login");
	put(&u);
	engine_stop();
}

/* The backend closes a warm session while the next command is under way. */
static void
test_stale(void)
{
	static const struct {
		const char *name, *rule;
		enum conf_identity identity;
		const char *want;
	} cases[] = {
		{ "closed", "MAIL=!", IDENTITY_NONE, "ready mail=250" },
		{ "421", "MAIL=421 timeout|!", IDENTITY_NONE,
		  "ready mail=250" },
		{ "closed at XCLIENT", "XCLIENT=!", IDENTITY_XCLIENT,
		  "ready mail=250" },
		{ "421 at XCLIENT", "XCLIENT=421 timeout|!",
		  IDENTITY_XCLIENT, "ready mail=250" },
		{ "closed behind XCLIENT", "MAIL=!", IDENTITY_XCLIENT,
		  "ready mail=250" },
		{ "a refusal is an answer", "MAIL=451 no|", IDENTITY_NONE,
		  "ready mail=451" },
	};
	struct user u;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		engine_conf();
		mta.ehlo = "XCLIENT_ADDR";
		conf_backend.identity = cases[i].identity;
		engine_start();
		get(&u);
		put(&u);
		rule(cases[i].rule);
		mta.once = true;
		u = (struct user){ .line = "MAIL FROM:<>" };
		buf_init(&u.log, 10000);
		u.b = backend_get(w.pools[0], 1, &who, &user, &u);
		if (backend_is_ready(u.b))
			on_ready(&u);
		turn();
		is_str(told(&u), cases[i].want, cases[i].name);
		put(&u);
		engine_stop();
	}

	engine_conf();
	engine_start();
	get(&u);
	rule("MAIL=!");
	command(&u, BACKEND_MAIL, "MAIL FROM:<>");
	is_str(told(&u), "ready LOST0(closed by peer)",
	    "a fresh one is not replaced");
	put(&u);
	engine_stop();
}

static void
test_idle(void)
{
	struct user u;

	engine_conf();
	engine_start();
	get(&u);
	put(&u);
	heard();
	mta_say("421 bye|");
	is_str(heard(), "QUIT\ngone\n", "an idle one that speaks is closed");
	get(&u);
	is_str(told(&u), "ready", "and another one is made");
	put(&u);
	heard();
	clock_advance(11000);
	turn();
	is_str(heard(), "QUIT\ngone\n", "an idle one is closed after a while");
	get(&u);
	put(&u);
	mta_drop();
	get(&u);
	is_str(told(&u), "ready", "an idle one that was lost is not used");
	w.draining = w.retired = true;
	heard();
	put(&u);
	is_str(heard(), "QUIT\ngone\n",
	    "none stays when we drain");
	w.draining = false;
	engine_stop();
}

/* max-sessions */
static void
test_limit(void)
{
	struct user a, b, c, d;

	engine_conf();
	conf_backend.max_sessions = 2;
	engine_start();
	get(&a);
	command(&a, BACKEND_MAIL, "MAIL FROM:<>");
	get(&b);
	command(&b, BACKEND_MAIL, "MAIL FROM:<>");
	get(&c);
	get(&d);
	is_str(told(&c), "", "the third waits");
	ok(backend_is_wanted(a.b), "which those who have one can see");
	put(&a);
	is_str(told(&c), "ready", "until one is given back");
	clock_advance(29000);
	is_str(told(&d), "", "the fourth still waits");
	clock_advance(2000);
	is_str(told(&d), "UNREACHABLE0(max-sessions are in use)",
	    "but not for ever");
	put(&d);
	is_int(mta.connects, 3, "never more than two at once");
	told(&b);
	get(&d);
	is_str(told(&c), "LOST0(another session needs it)",
	    "an unused one is taken back");
	is_str(told(&d), "ready", "for who needs it");
	is_str(told(&b), "", "one in a transaction is not");
	get(&a);
	put(&a);
	get(&a);
	put(&d);
	is_str(told(&a), "ready", "one that was waiting may go");
	put(&a), put(&b), put(&c);
	engine_stop();
}

static void
on_waited(void *arg)
{
	++*(int *)arg;
}

static void
test_probe(void)
{
	struct pool_wait wait = { .fn = on_waited };
	int called = 0;

	wait.arg = &called;
	engine_conf();
	mta.ehlo = "PIPELINING DSN SIZE_1000";
	engine_start();
	ok(pool_extensions(w.pools[0]) != NULL &&
	    pool_extensions(w.pools[0])->size == 1000, "a probe has learned");
	ok(!pool_wait(w.pools[0], &wait), "nothing to wait for");
	engine_stop();

	engine_conf();
	rule("CONNECT=554 no|!");
	engine_start();
	ok(pool_extensions(w.pools[0]) == NULL, "a probe has failed");
	ok(!pool_wait(w.pools[0], &wait), "and is not tried at once again");
	clock_advance(1000);
	mta.nrules = 0;
	ok(pool_extensions(w.pools[0]) == NULL, "it is a second later");
	ok(pool_wait(w.pools[0], &wait), "and can be waited for");
	turn();
	is_int(called, 1, "to its end");
	ok(pool_extensions(w.pools[0]) != NULL, "with success");
	engine_stop();

	engine_conf();
	rule("CONNECT=");
	engine_start();
	ok(pool_wait(w.pools[0], &wait), "a probe that hangs");
	clock_advance(10000);
	clock_advance(10);
	turn();
	is_int(called, 2, "ends");
	clock_advance(1000);
	pool_extensions(w.pools[0]);
	ok(pool_wait(w.pools[0], &wait), "once more");
	pool_wait_cancel(w.pools[0], &wait);
	clock_advance(10000);
	clock_advance(10);
	turn();
	is_int(called, 2, "and nobody who went away is called");
	engine_stop();
}

int
main(void)
{
	engine_init();
	server_ctx = engine_tls(&client_ctx);
	test_setups();
	test_failover();
	test_deadlines();
	test_blocked_content();
	test_early_reply();
	test_reuse();
	test_leftovers();
	test_stale();
	test_idle();
	test_limit();
	test_probe();
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	engine_fini();
	return tap_done();
}
