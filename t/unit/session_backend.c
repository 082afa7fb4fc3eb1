/* session_backend: AUTH, routes, when a backend is opened, what it is told. */

#include "t/engine.h"

#define HI_	"EHLO c.example|"
#define MAIL	"MAIL FROM:<a@example.org>|"
#define RCPT	"RCPT TO:<b@example.com>|"

/* Greeting taken, so that a dialogue starts with the client's first line. */
static void
begin(struct client *c)
{
	client_connect(c);
	replies(c);
}

/* AUTH: an opaque exchange */

static const struct {
	const char	*name, *rules[2];
	const char	*say, *want;
	const char	*heard;
} auths[] = {
	{ "a response in one line", { "AUTH=235 2.7.0 ok|" },
	  "AUTH PLAIN AGEAYg==|AUTH PLAIN AGEAYg==|", "235 503",
	  "AUTH PLAIN AGEAYg==|" },
	{ "a refusal", { "AUTH=535 5.7.8 no|" },
	  "AUTH PLAIN AGEAYg==|AUTH PLAIN AGEAYg==|", "535 535",
	  "AUTH PLAIN AGEAYg==|AUTH PLAIN AGEAYg==|" },
	{ "a challenge", { "AUTH=334 VXNlcg==|", "YQ=235 2.7.0 ok|" },
	  "AUTH LOGIN|YQ==|", "334 235", "AUTH LOGIN|YQ==|" },
	{ "an empty response", { "AUTH=334 |" },
	  "AUTH PLAIN||", "334 250", "AUTH PLAIN||" },
	{ "the client gives up", { "AUTH=334 VXNlcg==|", "*=501 5.7.0 ok|" },
	  "AUTH LOGIN|*|NOOP|", "334 501 250", "AUTH LOGIN|*|" },
	{ "what is no base64 ends it", { "AUTH=334 x|", "*=501 5.7.0 ok|" },
	  "AUTH LOGIN|RCPT TO:<b>|NOOP|", "334 501 250", "AUTH LOGIN|*|" },
	{ "mechanisms", { "AUTH=235 ok|" },
	  "AUTH|AUTH GSSAPI|AUTH EXTERNAL =|AUTH PLAIN A B|AUTH PLAIN \xff|"
	  "auth plain =|", "501 504 504 501 501 235", "AUTH PLAIN =|" },
	{ "421", { "AUTH=421 4.3.2 bye|!" },
	  "AUTH PLAIN AA|NOOP|", "421 closed", NULL },
	{ "lost", { "AUTH=!" }, "AUTH PLAIN AA|NOOP|", "454 250", NULL },
	{ "350 is no challenge", { "AUTH=350 hm|" },
	  "AUTH LOGIN|NOOP|", "454 250", NULL },
};

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
auth_conf(void)
{
	engine_conf();
	conf.auth_without_tls = true;
	mta.ehlo = "AUTH_PLAIN_LOGIN_GSSAPI";
}

static void
test_auth(void)
{
	struct client c;

	for (size_t i = 0; i < sizeof(auths) / sizeof(auths[0]); i++) {
		auth_conf();
		for (size_t r = 0; r < 2 && auths[i].rules[r] != NULL; r++)
			rule(auths[i].rules[r]);
		engine_start();
		begin(&c);
		client_say(&c, HI_ "NOOP|");
		codes(&c);
		client_say(&c, auths[i].say);
		is_str(codes(&c), auths[i].want, auths[i].name);
		if (auths[i].heard != NULL)
			is_str(bars(strstr(heard(), "AUTH")), auths[i].heard,
			    "  transcript");
		client_close(&c);
		engine_stop();
	}
}

/* Who has logged in stays with his backend, and it with him. */
static void
test_authenticated(void)
{
	struct client c, d;
	char *ours = (char *)(uintptr_t)"example.com", line[13000];

	auth_conf();
	conf.relay_any = false;
	conf.relay_domains.v = &ours;
	conf.relay_domains.n = 1;
	rule("AUTH=235 2.7.0 ok|");
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL "RCPT TO:<x@elsewhere.example>|RSET|"
	    "AUTH PLAIN AA|" MAIL "RCPT TO:<x@elsewhere.example>|"
	    "BDAT 0 LAST|EHLO d.example|" MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 550 250 235 250 250 250 250 250 250 250",
	    "may send anywhere");
	is_int(mta.connects, 1, "through one backend");
	begin(&d);
	client_say(&d, HI_ MAIL RCPT "RSET|");
	codes(&d);
	is_int(mta.connects, 2, "that is nobody else's");
	client_close(&d);
	mta_drop();
	client_read(&c);
	is_str(replies(&c), "421 4.4.2 the next server was lost|",
	    "and is the end of the session when it is lost");
	client_close(&c);

	begin(&c);
	client_say(&c, HI_);
	memset(line, 'A', sizeof(line));
	memcpy(line, "AUTH PLAIN ", 11);
	memcpy(line + 12288, "|", 2);
	client_say(&c, line);
	is_str(codes(&c), "250 235", "a line of 12288 octets");
	client_close(&c);
	mta.nrules = 0;
	rule("AUTH=334 x|");
	rule("*=501 5.7.0 ok|");
	begin(&c);
	client_say(&c, HI_ "AUTH PLAIN|");
	memset(line, 'A', sizeof(line));
	memcpy(line + 12900, "|", 2);
	client_say(&c, line);
	client_say(&c, "NOOP|");
	is_str(codes(&c), "250 334 501 250", "one that is longer ends it");
	client_close(&c);
	begin(&c);
	client_say(&c, HI_ "AUTH PLAIN|");
	mta_drop();
	heard();
	client_say(&c, "c2VjcmV0|NOOP|");
	is_str(codes(&c), "250 334 454 250", "lost in the middle");
	ok(strstr(heard(), "c2VjcmV0") == NULL, "no secret for another one");
	client_close(&c);
	conf.auth_without_tls = false;
	begin(&c);
	client_say(&c, HI_ "AUTH PLAIN AA|");
	ok(strstr(replies(&c), "0 AUTH") == NULL, "no AUTH without TLS");
	client_close(&c);
	engine_stop();
}

/* Two backends: the recipients decide. */
static void
test_routes(void)
{
	struct conf_backend both[2];
	struct conf_route routes[2] = {
		{ .domain = (char *)(uintptr_t)"*", .backend = 0 },
		{ .domain = (char *)(uintptr_t)"other.example", .backend = 1 },
	};
	struct client c;

	engine_conf();
	both[0] = both[1] = conf_backend;
	both[1].addresses = &addresses[1];
	conf.backends = both;
	conf.nbackends = 2;
	conf.routes = routes;
	conf.nroutes = 2;
	rule("RCPT TO:<bad@=550 5.1.1 no|");
	rule("MAIL FROM:<bad@=550 5.1.8 no|");
	mta.first_only = true;
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "RCPT TO:<x@other.example>|RSET|");
	is_str(codes(&c), "250 250 250 451 250", "the first decides");
	client_say(&c, MAIL "RCPT TO:<bad@example.com>|NOOP|"
	    "RCPT TO:<x@OTHER.example>|BDAT 0 LAST|");
	is_str(codes(&c), "250 550 250 250 250",
	    "but one that was refused does not");
	client_say(&c, "MAIL FROM:<bad@example.org>|" RCPT "NOOP|"
	    "RCPT TO:<x@other.example>|BDAT 0 LAST|");
	is_str(codes(&c), "250 550 250 250 250",
	    "what one says about MAIL is not for the other");
	client_close(&c);
	engine_stop();
}

static void
test_lmtp(void)
{
	struct client c;

	engine_conf();
	addresses[0].where.lmtp = true;
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT RCPT "BDAT 0 LAST|" MAIL RCPT
	    "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250 452 250 250 250 250",
	    "LMTP: one recipient at a time");
	ok(strstr(heard(), "LHLO proxy.example") != NULL, "and LHLO");
	client_close(&c);
	engine_stop();
}

/* When is the backend opened? */
static void
test_open(void)
{
	struct client c;

	engine_conf();
	conf_backend.open = OPEN_MAIL;
	rule("MAIL FROM:<bad=550 5.1.8 no|");
	engine_start();
	begin(&c);
	client_say(&c, HI_ "MAIL FROM:<bad@example.org>|" MAIL "NOOP|");
	is_str(codes(&c), "250 550 250 250", "with MAIL: its own reply");
	client_say(&c, "RSET|MAIL FROM:<bad@example.org>|" RCPT RCPT "NOOP|"
	    MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 550 503 503 250 250 250 250",
	    "and those behind it have theirs");
	rule("MAIL=!");
	client_say(&c, MAIL RCPT "NOOP|RSET|" MAIL MAIL "NOOP|");
	is_str(codes(&c), "451 451 250 250 451 451 250",
	    "a backend that is lost: no transaction stays");
	client_close(&c);
	engine_stop();

	engine_conf();
	conf_backend.open = OPEN_CONNECT;
	engine_start();
	begin(&c);
	is_str(heard(), "", "with EHLO: not before");
	client_say(&c, HI_);
	is_str(heard(), "connect 0\nEHLO proxy.example\n", "then");
	is_str(codes(&c), "250", "and EHLO is answered");
	client_say(&c, MAIL RCPT "BDAT 0 LAST|" MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250 250 250 250", "messages");
	is_int(mta.connects, 1, "all through it");
	mta_drop();
	client_say(&c, MAIL RCPT "BDAT 0 LAST|");
	is_str(codes(&c), "250 250 250", "or the next one");
	client_close(&c);
	rule("CONNECT=!");
	mta_drop();
	begin(&c);
	client_say(&c, HI_ MAIL);
	is_str(codes(&c), "250 451", "and without one if there is none");
	client_close(&c);
	engine_stop();
}

/* The backend offers less than when EHLO was answered. */
static void
test_offers_less(void)
{
	struct client c;

	engine_conf();
	mta.ehlo = "SMTPUTF8 8BITMIME DSN";
	engine_start();
	begin(&c);
	client_say(&c, HI_);
	codes(&c);
	mta.ehlo = "8BITMIME";
	client_say(&c, "MAIL FROM:<a@b.example> SMTPUTF8|" RCPT RCPT
	    "DATA|RSET|");
	is_str(codes(&c), "250 451 451 554 250", "a parameter of MAIL");
	client_say(&c, "MAIL FROM:<a@b.example> BODY=7BIT SIZE=3|"
	    RCPT "RCPT TO:<c@b.example> NOTIFY=NEVER|BDAT 0 LAST|");
	is_str(codes(&c), "250 250 451 250", "one of RCPT");
	client_close(&c);
	conf_backend.open = OPEN_MAIL;
	mta.ehlo = "SMTPUTF8 8BITMIME";
	mta_drop();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "BDAT 0 LAST|" HI_);
	codes(&c);
	mta.ehlo = "";
	mta_drop();
	client_say(&c, "MAIL FROM:<a@b.example> SMTPUTF8|" RCPT "NOOP|" MAIL);
	is_str(codes(&c), "451 503 250 250",
	    "of MAIL, with open-backend = \"mail\"");
	client_close(&c);
	engine_stop();
}

int
main(void)
{
	engine_init();
	test_auth();
	test_authenticated();
	test_routes();
	test_lmtp();
	test_open();
	test_offers_less();
	engine_fini();
	return tap_done();
}
