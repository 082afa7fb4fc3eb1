/* Rules: what follows from a policy and facts, at each stage. */

#include "policy.h"

#define FACTS								\
    "client.ip=192.0.2.7\nclient.port=4000\nclient.name=mx.Example.org\n" \
    "listener=0.0.0.0:25\nhelo.name=mx.example.org\nhelo.esmtp=yes\n"	\
    "mail=Joe+news@Example.org\nrcpt=\"a b\"@example.com\nsize=5000\n"	\
    "rcpts=x@example.com,y@sub.example.net\nheader Subject=Hello  World\n" \
    "headers Received=one,two,three\npart.filename=a.txt,b.EXE\n"	\
    "header.line=Subject: x\nheader.name=Subject\nheader.value=x\n"	\
    "session.errors=3\ntls.version=\n"

#define IF(c)	"at eom\n  reject \"y\" if " c "\n"
#define YES	"reject 554 5.7.1 y @p:2"
#define NO	"none"

/* A condition at eom; does it hold? */
static const struct {
	const char	*cond;
	bool		 holds;
} conditions[] = {
	/* strings: is and in fold, = does not */
	{ "helo.name is \"MX.example.org\"", true },
	{ "helo.name is \"mx.example\"", false },
	{ "helo.name is not \"x\"", true },
	{ "not helo.name is \"x\"", true },
	{ "helo.name = \"mx.example.org\"", true },
	{ "helo.name = \"MX.example.org\"", false },
	{ "helo.name == \"mx.example.org\"", true },
	{ "helo.name != \"MX.example.org\"", true },
	{ "helo.name is client.name", true },
	{ "helo.name = client.name", false },
	{ "helo.name = lower(client.name)", true },
	{ "helo.name in { \"a\", \"MX.EXAMPLE.ORG\" }", true },
	{ "helo.name in { \"a\", \"b\" }", false },
	{ "helo.name in {}", false },
	{ "helo.name not in { \"a\" }", true },
	{ "helo.name in { \"a\",\n   # b\n  \"mx.example.org\",\n }", true },
	{ "helo.name ~ /^mx\\./", true },
	{ "helo.name ~ /^MX\\./", false },
	{ "helo.name ~ /^MX\\./i", true },
	{ "helo.name !~ /^mx/", false },
	{ "mail is \"joe+news@example.org\"", true },
	{ "mail in { \"joe+news@example.org\" }", true },

	/* empty and there */
	{ "helo.name", true }, { "tls.version", false },
	{ "not tls.version", true }, { "tls.version is empty", true },
	{ "client.ip", true }, { "local.ip", false },
	{ "local.ip is unknown", true }, { "rcpts", true },
	{ "header.names", false }, { "header.names is empty", true },
	{ "tls", false }, { "helo.esmtp", true }, { "helo.esmtp = yes", true },
	{ "helo.esmtp is no", false }, { "tls = helo.esmtp", false },

	/* classes */
	{ "helo.name is hostname", true }, { "helo.name is fqdn", true },
	{ "helo.name is literal", false }, { "helo.name is not ip", true },
	{ "helo.name is ascii", true }, { "client.ip is ipv4", true },
	{ "client.ip is ipv6", false }, { "client.ip is private", false },
	{ "client.ip is loopback", false },

	/* networks */
	{ "client.ip in 192.0.2.0/24", true },
	{ "client.ip in 192.0.3.0/24", false },
	{ "client.ip in { 10.0.0.0/8, 192.0.2.7 }", true },
	{ "client.ip in { 2001:db8::/32, ::1 }", false },
	{ "client.ip = 192.0.2.7", true }, { "client.ip is 192.0.2.8", false },
	{ "client.ip != 192.0.2.8", true }, { "local.ip in 0.0.0.0/0", false },
	{ "client.ip = local.ip", false },

	/* numbers, units */
	{ "size = 5000", true }, { "size > 4K", true }, { "size < 5K", true },
	{ "size >= 5000", true }, { "size <= 4999", false },
	{ "size < 1M", true }, { "size > 4.8K", true },
	{ "size != 5000", false },
	{ "size in { 1, 5000 }", true }, { "size in { 1, 2 }", false },
	{ "size + 1 = 5001", true }, { "size - 1 - 1 = 4998", true },
	{ "size - 6000 < -1", true }, { "session.errors is 3", true },
	{ "1 < 2", true }, { "1m = 60", true }, { "2h = 7200", true },
	{ "1d > 1h", true }, { "1500ms = 1.5", true },
	{ "09:30 = 34200", true },
	{ "time >= 0:00 and time < 24:00", true },
	{ "weekday in { \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", "
	    "\"sat\", \"sun\" }", true },

	/* and, or, not, in this order */
	{ "yes or no and no", true }, { "(yes or no) and no", false },
	{ "not no and no", false }, { "not (no and no)", true },
	{ "no or\n no or\n yes", true }, { "no\n or yes", true },
	{ "yes\n # comment\n\n and no", false },
	{ "not not yes", true },

	/* functions */
	{ "local(mail) = \"Joe+news\"", true },
	{ "domain(mail) = \"Example.org\"", true },
	{ "detail(mail) = \"news\"", true },
	{ "mail.local = \"Joe+news\"", true },
	{ "mail.detail is \"NEWS\"", true },
	{ "lower(mail.domain) = \"example.org\"", true },
	{ "domain(\"no-sign\") is empty", true },
	{ "local(\"\\\"a b\\\"@c\") = \"a b\"", true },
	{ "detail(\"+x@y\") is empty", true },
	{ "length(helo.name) = 14", true },
	{ "length(\"h\xc3\xa4\") = 2", true },
	{ "count(rcpts) = 2", true }, { "count(header.names) = 0", true },
	{ "number(\"12.5\") = 12.5", true }, { "number(\"x\") = 0", true },
	{ "header(\"Subject\") is \"hello  world\"", true },
	{ "header(\"subject\")", true }, { "header(\"X-None\")", false },
	{ "count(headers(\"Received\")) = 3", true },
	{ "\"%{helo.name} %{size}\" = \"mx.example.org 5000\"", true },

	/* lists */
	{ "any part.filename ~ /\\.exe$/i", true },
	{ "all part.filename ~ /\\.exe$/i", false },
	{ "all part.filename ~ /\\./", true },
	{ "any header.names is \"x\"", false },
	{ "all header.names is \"x\"", true },
	{ "any rcpts is \"y@sub.example.net\"", true },
	{ "any domain(rcpts) is \"example.com\"", true },
	{ "all domain(rcpts) is \"example.com\"", false },
	{ "any lower(domain(rcpts)) in { \"example.com\" }", true },
	{ "all length(headers(\"Received\")) >= 3", true },
	{ "any length(headers(\"Received\")) > 5", false },
	{ "any part.filename not in { \"a.txt\" }", true },
	{ "\"B.exe\" in part.filename", true },
	{ "mail in rcpts", false },

	/* tables */
	{ "helo.name in small", true }, { "\"b\" in small", false },
	{ "mail in small", true }, { "client.ip in small", true },
	{ "lookup(small, helo.name) = \"one\"", true },
	{ "lookup(small, \"none\") is empty", true },
	{ "any rcpts in small", true }, { "all rcpts in small", false },
	{ "header(\"X-None\") in small", false },
	{ "\"www.x\" in names", true }, { "\"zzz\" in names", false },
};

static void
test_conditions(void)
{
	struct facts facts = { .text = FACTS };
	char *text, *said, *got;
	struct rules_state *s;
	struct rules *r;
	size_t i;

	for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		text = xasprintf("table small \"inline:{mx.example.org=one, "
		    "joe@example.org=two, 192.0.2=net, x@example.com=r}\"\n"
		    "list names = { \"www.x\", \"www.y\" }\n"
		    "at eom\n reject \"y\" if %s\n", conditions[i].cond);
		r = policy_load(text, &said);
		is_str(said, "", conditions[i].cond);
		if (r != NULL) {
			s = rules_state_new(r);
			got = run_text(s, RULES_EOM, &facts);
			is_str(got, conditions[i].holds ?
			    "reject 554 5.7.1 y @p:4" : "none",
			    conditions[i].cond);
			free(got);
			rules_state_free(&s);
			rules_free(&r);
		}
		free(said);
		free(text);
	}
}

/* A policy, a stage, and all that follows. */
static const struct {
	const char		*name, *text;
	enum rules_stage	 stage;
	const char		*want;
} actions[] = {
	{ "no rules for the stage", "at helo\n accept\n", RULES_MAIL, "none" },
	{ "accept", "at rcpt\n accept\n", RULES_RCPT, "accept @p:2" },
	{ "the first of two", "at rcpt\n reject if no\n accept if yes\n"
	    " reject if yes\n", RULES_RCPT, "accept @p:3" },
	{ "blocks of a stage add up", "at rcpt\n reject \"a\" if no\nat mail\n"
	    " reject \"b\"\nat rcpt\n reject \"c\"\n", RULES_RCPT,
	    "reject 550 5.7.1 c @p:6" },
	{ "ehlo is helo", "at ehlo\n reject\n", RULES_HELO,
	    "reject 550 5.7.1 Access denied @p:2" },
	{ "reject at connect", "at connect\n reject\n", RULES_CONNECT,
	    "reject 554 5.7.1 Access denied @p:2" },
	{ "tempfail at connect", "at connect\n tempfail\n", RULES_CONNECT,
	    "tempfail 421 4.7.1 Try again later @p:2" },
	{ "tempfail", "at mail\n tempfail\n", RULES_MAIL,
	    "tempfail 450 4.7.1 Try again later @p:2" },
	{ "tempfail at eom", "at eom\n tempfail\n", RULES_EOM,
	    "tempfail 451 4.7.1 Try again later @p:2" },
	{ "code", "at rcpt\n reject 553\n", RULES_RCPT,
	    "reject 553 5.7.1 Access denied @p:2" },
	{ "code and enhanced", "at rcpt\n reject 550 5.1.1\n", RULES_RCPT,
	    "reject 550 5.1.1 Access denied @p:2" },
	{ "enhanced alone", "at rcpt\n tempfail 4.2.2 \"full\"\n", RULES_RCPT,
	    "tempfail 450 4.2.2 full @p:2" },
	{ "421", "at rcpt\n tempfail 421 4.7.0 \"bye\" if session.errors > 2\n",
	    RULES_RCPT, "tempfail 421 4.7.0 bye @p:2" },
	{ "text with fields", "at rcpt\n reject 550 5.1.1 "
	    "\"<%{rcpt}> from %{client.ip}: %{size}, 100%, 5%%\"\n", RULES_RCPT,
	    "reject 550 5.1.1 <\"a b\"@example.com> from 192.0.2.7: 5000, "
	    "100%, 5% @p:2" },
	{ "text with a function", "at eom\n reject "
	    "\"%{header(\"Subject\")} %{count(rcpts)} %{rcpts}\"\n", RULES_EOM,
	    "reject 554 5.7.1 Hello  World 2 x@example.com, "
	    "y@sub.example.net @p:2" },
	{ "captures", "at mail\n reject \"%{2}-%{1}-%{0}\" if mail ~ "
	    "/^(.*)\\+(.*)@/\n", RULES_MAIL,
	    "reject 550 5.7.1 news-Joe-Joe+news@ @p:2" },
	{ "a group that took no part", "at mail\n reject \"<%{1}>\" if mail "
	    "~ /J(x)?/\n", RULES_MAIL, "reject 550 5.7.1 <> @p:2" },
	{ "escapes", "at mail\n reject \"\\\"a\\\\b\\\"\"\n", RULES_MAIL,
	    "reject 550 5.7.1 \"a\\b\" @p:2" },
	{ "a reply is ASCII", "at mail\n reject \"h\xc3\xa4\"\n", RULES_MAIL,
	    "reject 550 5.7.1 h?? @p:2" },
	{ "discard", "at data\n discard \"known junk\"\n", RULES_DATA,
	    "discard known junk @p:2" },
	{ "log", "at disconnect\n log \"%{session.errors} errors\"\n",
	    RULES_DISCONNECT, "none; note 3 errors" },
	{ "score adds up", "at eom\n score 2.5 \"one\"\n score 3\n score -1\n"
	    " reject \"%{score}\" if score >= 4.5\n", RULES_EOM,
	    "reject 554 5.7.1 4.5 @p:5; note score 2.5 one; note score 3; "
	    "note score -1" },
	{ "observe", "at rcpt\n observe reject 550 5.1.1 \"no\"\n observe "
	    "score 3\n accept\n", RULES_RCPT, "accept @p:4; would reject 550 "
	    "5.1.1 no @p:2; would score 3 @p:3" },
	{ "delay", "at rcpt\n delay 2s\n delay 500ms\n", RULES_RCPT,
	    "none; delay 2000" },
	{ "route: the first", "at rcpt\n route to a if no\n route to b\n"
	    " route to \"c\"\n", RULES_RCPT, "none; route b" },
	{ "quarantine", "at eom\n quarantine \"odd\"\n quarantine\n", RULES_EOM,
	    "none; quarantine [odd]; quarantine" },
	{ "recipients", "at rcpt\n add recipient \"log@x.org\"\n delete "
	    "recipient rcpt\n redirect to \"%{mail.domain}@y.org\"\n",
	    RULES_RCPT, "none; add-rcpt [log@x.org]; delete-rcpt "
	    "[\"a b\"@example.com]; redirect [Example.org@y.org]" },
	{ "headers", "at eom\n add header \"X-Score: %{score}\"\n insert "
	    "header \"X-A:b\"\n insert header 2 \"X-C: d\"\n change header "
	    "\"Subject: [x] %{header(\"Subject\")}\"\n delete header "
	    "\"X-D\"\n delete header 1 \"X-E:\"\n", RULES_EOM,
	    "none; add-header X-Score:0 [0]; insert-header X-A:0 [b]; "
	    "insert-header X-C:2 [d]; change-header Subject:1 [[x] Hello  "
	    "World]; delete-header X-D:0; delete-header X-E:1" },
	{ "a group", "at rcpt\n if client.ip in 192.0.2.0/24 {\n  reject \"a\" "
	    "if no\n  reject \"b\"\n }\n reject \"c\"\n", RULES_RCPT,
	    "reject 550 5.7.1 b @p:4" },
	{ "a group that is not entered", "at rcpt\n if no {\n  reject \"a\"\n"
	    " }\n reject \"c\"\n", RULES_RCPT, "reject 550 5.7.1 c @p:5" },
	{ "a block", "block sanity\n reject \"bad\" if helo.name is not "
	    "hostname\n log \"sane\"\nat helo\n call sanity\n reject \"c\"\n",
	    RULES_HELO, "reject 550 5.7.1 c @p:6; note sane" },
	{ "a block that decides", "at helo\n call b\n reject \"no\"\nblock b\n"
	    " call c\nblock c\n accept\n", RULES_HELO, "accept @p:7" },
	{ "for domain at rcpt", "for domain example.com {\n at rcpt\n  reject "
	    "\"a\"\n}\nat rcpt\n reject \"b\"\n", RULES_RCPT,
	    "reject 550 5.7.1 a @p:3" },
	{ "for another domain", "for domain example.net, example.org {\n at "
	    "rcpt\n  reject \"a\"\n}\nat rcpt\n reject \"b\"\n", RULES_RCPT,
	    "reject 550 5.7.1 b @p:6" },
	{ "for a domain below", "for domain .example.net {\n at eom\n  reject "
	    "\"a\"\n}\n", RULES_EOM, "reject 554 5.7.1 a @p:3" },
	{ "for a list", "list ours = { \"example.com\" }\nfor domain ours {\n"
	    " at rcpt\n  reject \"a\"\n}\n", RULES_RCPT,
	    "reject 550 5.7.1 a @p:4" },
	{ "for a table", "table ours \"inline:{example.com=x}\"\nfor domain "
	    "ours {\n at rcpt\n  reject \"a\"\n}\n", RULES_RCPT,
	    "reject 550 5.7.1 a @p:4" },
	{ "for listener", "for listener 0.0.0.0:25 {\n for domain example.com "
	    "{\n at rcpt\n  reject \"a\"\n }\n}\n", RULES_RCPT,
	    "reject 550 5.7.1 a @p:4" },
	{ "for another listener", "for listener \"0.0.0.0:587\", mx {\n at "
	    "connect\n  reject \"a\"\n}\n", RULES_CONNECT, "none" },
	{ "variables", "variable n = 1\nvariable t = \"x\"\nvariable b = no\n"
	    "at eom\n set n = n + 2\n set t = \"%{t}%{n}\"\n set b = size > 1\n"
	    " reject \"%{n} %{t} %{b}\" if b\n", RULES_EOM,
	    "reject 554 5.7.1 3 x3 yes @p:8" },
	{ "a line goes on in parentheses", "at rcpt\n reject \"a\" if (yes\n"
	    "  and\n yes)\n", RULES_RCPT, "reject 550 5.7.1 a @p:2" },
	{ "CR LF", "at rcpt\r\n reject \"a\" if yes\r\n", RULES_RCPT,
	    "reject 550 5.7.1 a @p:2" },
	{ "no end of line", "at rcpt\n accept", RULES_RCPT, "accept @p:2" },

	/* use access */
	{ "access: the client's network", "at connect\n use access "
	    "\"inline:{{192.0=550 5.7.9 go}}\"\n", RULES_CONNECT,
	    "reject 550 5.7.9 go @p:2" },
	{ "access: the client's name first", "at connect\n use access "
	    "\"inline:{192.0.2.7=REJECT,example.org=OK}\"\n reject\n",
	    RULES_CONNECT, "none" },
	{ "access: helo", "table t \"inline:{example.org=REJECT}\"\nat helo\n"
	    " use access t\n", RULES_HELO,
	    "reject 554 5.7.1 Access denied @p:3" },
	{ "access: sender", "at mail\n use access \"inline:{{joe@=DEFER 4.1.8 "
	    "later}}\"\n", RULES_MAIL, "tempfail 450 4.1.8 later @p:2" },
	{ "access: recipient", "at rcpt\n use access "
	    "\"inline:{example.com=DISCARD}\"\n", RULES_RCPT,
	    "discard @p:2" },
	{ "access on another subject", "at rcpt\n use access "
	    "\"inline:{{mx.example.org=REJECT x}}\" on helo\n", RULES_RCPT,
	    "reject 554 5.7.1 x @p:2" },
	{ "access: DUNNO", "at rcpt\n use access \"inline:{example.com="
	    "DUNNO}\"\n accept\n", RULES_RCPT, "accept @p:3" },
	{ "access: digits are OK", "at rcpt\n use access \"inline:{example.com="
	    "550}\"\n reject\n", RULES_RCPT, "none" },
	{ "access: 4NN", "at rcpt\n use access \"inline:{{example.com="
	    "421 bye}}\"\n", RULES_RCPT, "tempfail 421 4.7.1 bye @p:2" },
	{ "access: HOLD", "at rcpt\n use access \"inline:{{example.com=HOLD x}}"
	    "\"\n", RULES_RCPT, "none; quarantine [x]" },
	{ "access: two PREPENDs", "at rcpt\n use access \"static:{PREPEND "
	    "X-A: b}\"\n use access \"static:{PREPEND X-C:d}\"\n", RULES_RCPT,
	    "none; insert-header X-A:0 [b]; insert-header X-C:1 [d]" },
	{ "access: REDIRECT, BCC", "at rcpt\n use access "
	    "\"static:{REDIRECT a@b.c}\"\n use access \"static:{BCC d@e.f}\""
	    "\n", RULES_RCPT, "none; redirect [a@b.c]; add-rcpt [d@e.f]" },
	{ "access: INFO, WARN", "at rcpt\n use access \"static:{INFO a b}\"\n"
	    " use access \"static:WARN\"\n", RULES_RCPT,
	    "none; note a b; warn warn" },
	{ "access: a status of the other address", "at rcpt\n use access "
	    "\"static:{550 5.1.1 x}\" on sender\n", RULES_RCPT,
	    "reject 550 5.1.7 x @p:2" },
	{ "access: a status of an address and not of a client", "at rcpt\n "
	    "use access \"static:{DEFER_IF_PERMIT 4.1.8 x}\" on client\n",
	    RULES_RCPT, "tempfail 450 4.0.0 x @p:2" },
	{ "access: DEFER_IF_PERMIT", "at rcpt\n use access "
	    "\"static:{DEFER_IF_PERMIT not yet}\"\n accept\n", RULES_RCPT,
	    "tempfail 450 4.7.1 not yet @p:2" },
	{ "access: DEFER_IF_PERMIT and a rejection", "at rcpt\n use access "
	    "\"static:DEFER_IF_PERMIT\"\n reject\n", RULES_RCPT,
	    "reject 550 5.7.1 Access denied @p:3" },
	{ "access: DEFER_IF_REJECT", "at rcpt\n use access "
	    "\"static:{DEFER_IF_REJECT 4.2.0 hm}\"\n reject\n", RULES_RCPT,
	    "tempfail 450 4.2.0 hm @p:2" },
	{ "access: DEFER_IF_REJECT and none", "at rcpt\n use access "
	    "\"static:DEFER_IF_REJECT\"\n accept\n", RULES_RCPT,
	    "accept @p:3" },
	{ "access: observed", "at rcpt\n observe use access "
	    "\"static:REJECT\"\n", RULES_RCPT, "none; would reject 554 5.7.1 "
	    "Access denied @p:2" },

	/* use header_checks */
	{ "header_checks: REJECT", "at header\n use header_checks "
	    "\"static:{REJECT 5.7.9 no}\"\n", RULES_HEADER,
	    "reject 550 5.7.9 no @p:2" },
	{ "header_checks: REJECT 4.x", "at header\n use header_checks "
	    "\"static:{REJECT 4.7.9 no}\"\n", RULES_HEADER,
	    "tempfail 451 4.7.9 no @p:2" },
	{ "header_checks: lines", "at header\n use header_checks "
	    "\"static:IGNORE\"\n use header_checks \"static:{REPLACE A: b}\"\n"
	    " use header_checks \"static:{PREPEND C: d}\"\n use header_checks "
	    "\"static:{STRIP e}\"\n", RULES_HEADER, "none; delete-line; "
	    "replace-line [A: b]; prepend-line [C: d]; delete-line; note e" },
	{ "header_checks: PASS ends checks", "at header\n use header_checks "
	    "\"static:{PASS ok}\"\n use header_checks \"static:REJECT\"\n"
	    " log \"on\"\n", RULES_HEADER, "none; note pass ok; note on" },
	{ "MIME headers: header_checks by default", "at header\n use "
	    "header_checks \"static:{REJECT x}\"\n accept\n",
	    RULES_MIME_HEADER, "reject 550 5.7.1 x @p:2" },
	{ "MIME headers: their own", "at header\n use header_checks "
	    "\"static:{REJECT x}\"\n use mime_header_checks "
	    "\"static:{REJECT y}\"\n", RULES_MIME_HEADER,
	    "reject 550 5.7.1 y @p:3" },
	{ "nested headers: still header_checks", "at header\n use "
	    "header_checks \"static:{REJECT x}\"\n use mime_header_checks "
	    "\"static:{REJECT y}\"\n", RULES_NESTED_HEADER,
	    "reject 550 5.7.1 x @p:2" },
	{ "rules are not for MIME headers", "at header\n reject \"x\"\n",
	    RULES_MIME_HEADER, "none" },
	{ "the header's own", "at header\n use mime_header_checks "
	    "\"static:REJECT\"\n reject \"x\" if header.name is \"SUBJECT\" "
	    "and header.value is \"x\"\n", RULES_HEADER,
	    "reject 554 5.7.1 x @p:3" },
	{ "body_checks: an empty line", "at body\n use body_checks "
	    "\"static:REJECT\"\n", RULES_BODY, "none" },
};

static void
test_actions(void)
{
	struct facts facts = { .text = FACTS };
	struct rules_state *s;
	struct rules *r;
	char *said, *got;
	size_t i;

	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		r = policy_load(actions[i].text, &said);
		if (!ok(r != NULL, "%s: loads", actions[i].name))
			printf("# %s\n", said);
		free(said);
		if (r == NULL)
			continue;
		s = rules_state_new(r);
		got = run_text(s, actions[i].stage, &facts);
		is_str(got, actions[i].want, actions[i].name);
		free(got);
		rules_state_free(&s);
		rules_free(&r);
	}
}

int
main(void)
{
	test_conditions();
	test_actions();
	return tap_done();
}
