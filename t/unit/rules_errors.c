/* Mistakes in a policy: each of them is told with its place, the line, a
   caret below its first character, and what was probably meant; all in one
   run. */

#include "policy.h"

/* want: the messages without the lines and carets. */
static const struct {
	const char	*text, *want;
} mistakes[] = {
	/* Characters and tokens */
	{ "at rcpt\n  reject \"no end\n accept\n",
	    "p:2:10: this text has no end: a \" is missing in its line\n"
	    "warning p:3:2: this rule never runs: reject above it has no "
	    "condition\n" },
	{ "at rcpt\n reject if mail ~ /abc\n",
	    "p:2:19: this regular expression has no end: a / is missing in "
	    "its line\n" },
	{ "at rcpt\n reject 'x'\n",
	    "p:2:9: texts stand in \"double quotes\"\n" },
	{ "at rcpt\n reject if mail = /x/\n",
	    "p:2:19: a regular expression stands behind ~ only, a file in "
	    "\"quotes\"\n" },
	{ "at rcpt\n use access hash:/etc/postfix/access\n",
	    "p:2:18: a regular expression stands behind ~ only, a file in "
	    "\"quotes\"\n" },
	{ "at rcpt\n accept;\n rejct\n",
	    "p:2:8: ';' means nothing here (a comment begins with #)\n"
	    "p:3:2: \"rejct\" is no action (did you mean reject?)\n" },
	{ "at rcpt\n reject if mail is a@b and siz > 5\n",
	    "p:2:21: '@' means nothing here (an address needs quotes)\n" },
	{ "at rcpt\n accept if mail && !rcpt || siz > 5\n",
	    "p:2:17: \"&&\" is written \"and\"\n"
	    "p:2:20: \"!\" is written \"not\"\n"
	    "p:2:26: \"||\" is written \"or\"\n"
	    "p:2:29: there is no field \"siz\" (did you mean size?)\n" },
	{ "at rcpt\n reject when mail\n",
	    "p:2:9: \"if\" expected, not \"when\"\n" },
	{ "at rcpt\n reject \"x\" unless mail\n",
	    "p:2:13: \"if not\" expected, not \"unless\"\n" },
	{ "at rcpt\n deny\n", "p:2:2: \"deny\" is no action (did you mean "
	    "reject?)\n" },
	{ "at rcpt\n reject 5.7.1 550 \"no\"\n",
	    "p:2:15: the code stands in front: 550 5.7.1\n" },
	{ "at rcpt\n reject 550 5.1 \"no\"\n",
	    "p:2:13: an enhanced code has three numbers (try 5.7.1)\n" },
	{ "at eom\n redirect to \"not an address\"\n add recipient \"x\"\n"
	    " delete recipient \"postmaster\"\n add recipient \"a%{mail}\"\n",
	    "p:2:14: \"not an address\" is no mail address (try "
	    "\"postmaster@example.com\")\n"
	    "p:3:16: \"x\" is no mail address (try "
	    "\"postmaster@example.com\")\n" },
	{ "at rcpt\n reject \"Gr\xc3\xb6\xc3\x9f" "e\"\n", "warning "
	    "p:2:9: what is not ASCII becomes a question mark in a reply\n" },
	{ "at rcpt\n observe observe reject\n",
	    "p:2:10: one \"observe\" is enough\n" },
	{ "at rcpt\n accept if time > 25:00\n", "p:2:19: \"25:00\" is no "
	    "number (units are ms, s, m, h, d, w, K, M and G), and no time of "
	    "day (09:30)\n" },
	{ "at rcpt\n reject \"${score} $5\"\n", "warning "
	    "p:2:10: ${ is text: a value is written %{NAME}\n" },
	{ "at rcpt\n accept if auth\n", "p:2:12: there is no field \"auth\" "
	    "(did you mean auth.user?)\n" },
	{ "at rcpt\n accept if size > 10MB\n", "p:2:19: \"10MB\" is no "
	    "number (units are ms, s, m, h, d, w, K, M and G), and no time of "
	    "day (09:30)\n" },
	{ "at rcpt\n accept \x01\n", "p:2:9: a control character\n" },
	{ "at rcpt\n accept if mail is \"\\n\"\n",
	    "p:2:21: in a text there are \\\", \\\\ and \\t only "
	    "(a backslash is \\\\)\n" },
	{ "at rcpt\n reject \"a\x02z\"\n",
	    "p:2:11: a control character in a text\n" },
	{ "at rcpt\n reject \"%{mail\"\n",
	    "p:2:9: this text has no end: a \" is missing in its line\n"
	    "p:2:10: %{ without } (for the characters themselves write "
	    "%%{)\n" },
	/* Nothing of the next line belongs to it. */
	{ "at rcpt\n reject \"%{mail\"\n log \"x%{rcpt}\"\n rejct\n",
	    "p:2:9: this text has no end: a \" is missing in its line\n"
	    "p:2:10: %{ without } (for the characters themselves write "
	    "%%{)\n"
	    "p:4:2: \"rejct\" is no action (did you mean reject?)\n" },
	{ "at rcpt\n reject \"x\" if client.ip in 10.0.0.1/8\n",
	    "p:2:29: \"10.0.0.1/8\" is no network: host bits set\n" },
	{ "at rcpt\n reject \"%{}\"\n",
	    "p:2:12: a field or a value expected, not the end of the file\n" },
	{ "at rcpt\n reject \"%{mail rcpt}\"\n", "p:2:17: \"}\" expected\n" },
	{ "table t \"%{mail}\"\n",
	    "p:1:10: this text is read when the policy is loaded: nothing can "
	    "be inserted\n" },

	/* Items */
	{ "reject if yes\n", "p:1:1: at which stage? Write \"at rcpt\", or "
	    "another stage, in a line above\n" },
	{ "tabel t \"static:x\"\n",
	    "p:1:1: \"tabel\" starts nothing here (did you mean table?)\n" },
	{ "}\n", "p:1:1: \"}\" starts nothing here\n" },
	{ "at mial\n reject\n",
	    "p:1:4: \"mial\" is no stage (did you mean mail?)\n" },
	{ "at sundown\n reject\n",
	    "p:1:4: \"sundown\" is no stage (there are connect, helo, auth, "
	    "mail, rcpt, data, header, body, eom, disconnect)\n" },
	{ "at\n", "p:1:3: the end of the line is no stage (there are connect, "
	    "helo, auth, mail, rcpt, data, header, body, eom, disconnect)\n" },
	{ "at rcpt reject\n",
	    "p:1:9: the end of the line expected, not \"reject\"\n" },
	{ "table \"x\"\n",
	    "p:1:7: a name for the table expected, not \"x\"\n" },
	{ "table t x\n", "p:1:9: \"TYPE:PATH\" expected, not \"x\"\n" },
	{ "table t \"nosuch:x\"\n", NULL },
	{ "table t \"texthash:/nonexistent/x\"\n", "p:1:9: /nonexistent/x: No "
	    "such file or directory\n" },
	{ "table t \"static:x\"\nlist t = { \"x\" }\n",
	    "p:2:6: there is a \"t\" already\n" },
	{ "list score = { 1 }\n",
	    "p:1:6: \"score\" is the name of a field\n" },
	{ "list l { 1 }\n", "p:1:8: \"=\" expected, not \"{\"\n" },
	{ "list l = 1\n", "p:1:10: \"{\" expected, not \"1\"\n" },
	{ "list l = { 1, \"a\" }\n",
	    "p:1:15: a string in a list that starts with a number\n" },
	{ "list l = { 10.0.0.0/8, 1 }\n",
	    "p:1:24: a number in a list that starts with an IP address\n" },
	{ "list l = { mail }\n", "p:1:12: a \"text\" in quotes, a number or a "
	    "network expected, not \"mail\"\n" },
	{ "list l = { 1 2 }\n",
	    "p:1:14: \",\" or \"}\" expected, not \"2\"\n" },
	{ "list l = { 10.0.0.1/8 }\n", NULL },
	{ "variable v = mail\n", "p:1:14: a number, a text, yes or no "
	    "expected, not \"mail\"\n" },
	{ "variable v\n",
	    "p:1:11: \"=\" expected, not the end of the line\n" },
	{ "on-regex-limit = maybe\n", "p:1:18: \"skip\" or \"tempfail\" "
	    "expected, not \"maybe\"\n" },
	{ "recipient-delimiter = +\n", "p:1:23: the characters in front of an "
	    "address extension (try \"+\") expected, not \"+\"\n" },
	{ "include \"/nonexistent/policy\"\n", "p:1:9: /nonexistent/policy: "
	    "No such file or directory\n" },
	{ "block b\n log \"x\"\nblock b\n log \"y\"\nat mail\n call b\n",
	    "p:3:7: there is a block \"b\" already\n" },
	{ "block b\n log \"x\"\n",
	    "warning p:1:7: nothing calls the block \"b\"\n" },

	/* for */
	{ "for network 10.0.0.0/8 {\n at rcpt\n accept\n}\n", "p:1:5: "
	    "\"domain\" or \"listener\" expected, not \"network\"\n" },
	{ "for domain example.org\n at rcpt\n accept\n",
	    "p:1:23: \"{\" expected, not the end of the line\n" },
	{ "for domain example.org {\n at mail\n accept\n}\n",
	    "p:2:2: \"for domain\" is about recipients, which there are none "
	    "of at mail\n" },
	{ "for domain example.org {\n accept\n}\n",
	    "p:2:2: \"at\", \"for\" or \"}\" expected, not \"accept\"\n" },
	{ "for domain example.org {\n at rcpt\n  accept\n",
	    "p:1:1: this block has no end: a } is missing\n" },
	{ "for domain ours {\n at rcpt\n  accept\n}\n",
	    "p:1:1: there is no list or table \"ours\"\n" },

	/* Actions */
	{ "at rcpt\n rejct 550\n",
	    "p:2:2: \"rejct\" is no action (did you mean reject?)\n" },
	{ "at rcpt\n 550\n", "p:2:2: \"550\" is no action\n" },
	{ "at rcpt\n reject 450\n", "p:2:9: \"reject\" needs a code 5NN "
	    "(\"tempfail\" takes 4NN)\n" },
	{ "at rcpt\n tempfail 550\n", "p:2:11: \"tempfail\" needs a code 4NN "
	    "(\"reject\" takes 5NN)\n" },
	{ "at rcpt\n reject 550 4.1.1\n", "p:2:13: the class of an enhanced "
	    "code is that of the reply: 5.x.x\n" },
	{ "at rcpt\n reject 5s\n", "p:2:9: \"reject\" needs a code 5NN "
	    "(\"tempfail\" takes 4NN)\n" },
	{ "at rcpt\n reject \"a\" \"b\"\n",
	    "p:2:13: the end of the line expected, not \"b\"\n" },
	{ "at rcpt\n log\n",
	    "p:2:5: a \"text\" expected, not the end of the line\n" },
	{ "at rcpt\n set v 1\n", "p:2:8: \"=\" expected, not \"1\"\n" },
	{ "variable verbose = no\nat rcpt\n set verbos = yes\n",
	    "p:3:6: there is no variable \"verbos\" (did you mean "
	    "verbose?)\n" },
	{ "at rcpt\n set v = 1\n", "p:2:6: there is no variable \"v\" "
	    "(declare it: variable NAME = VALUE)\n" },
	{ "variable v = 1\nat rcpt\n set v = mail\n",
	    "p:3:10: \"v\" is a number, this is a mail address\n" },
	{ "at rcpt\n score mail\n",
	    "p:2:8: a score is a number, not a mail address\n" },
	{ "at rcpt\n add recipients \"x\"\n", "p:2:6: behind \"add\" stands "
	    "\"recipient\", \"header\", not \"recipients\"\n" },
	{ "at rcpt\n redirect to size\n", "p:2:14: a string or a mail address "
	    "expected, not a number\n" },
	{ "at eom\n add header \"X-Y\"\n", "p:2:13: a header field is \"NAME: "
	    "value\", and its name is fixed\n" },
	{ "at eom\n add header \"%{mail}: x\"\n", "p:2:13: a header field is "
	    "\"NAME: value\", and its name is fixed\n" },
	{ "at eom\n delete header \"a b\"\n",
	    "p:2:16: the name of a header field expected\n" },
	{ "at eom\n insert header 2000 \"X: y\"\n",
	    "p:2:16: a place from 0 to 1000 expected, not \"2000\"\n" },
	{ "at rcpt\n delay 1K\n",
	    "p:2:8: a duration (try 10s) expected, not \"1K\"\n" },
	{ "at rcpt\n delay 1h\n",
	    "p:2:8: a client does not wait longer than 300s\n" },
	{ "at rcpt\n route backend\n", "p:2:8: behind \"route\" stands "
	    "\"to\", not \"backend\"\n" },
	{ "at rcpt\n call sanity\nblock sanitary\n log \"x\"\n",
	    "p:2:7: there is no block \"sanity\" (did you mean sanitary?)\n"
	    "warning p:3:7: nothing calls the block \"sanitary\"\n" },
	{ "block a\n call b\nblock b\n call a\nat rcpt\n call a\n",
	    "p:4:7: the block \"a\" calls itself\n" },
	{ "table bad \"static:x\"\nat rcpt\n use access bda\n",
	    "p:3:13: there is no table \"bda\" (did you mean bad?)\n" },
	{ "at rcpt\n use acces bad\n", "p:2:6: behind \"use\" stands "
	    "\"access\", \"header_checks\", \"mime_header_checks\", "
	    "\"nested_header_checks\", \"body_checks\", not \"acces\"\n" },
	{ "at rcpt\n use access \"static:OK\" on backend\n", "p:2:28: client, "
	    "helo, sender or recipient expected, not \"backend\"\n" },
	{ "at data\n use access \"static:OK\"\n", "p:2:2: at data it must be "
	    "said whom the table is about: use access static:OK on client\n" },
	{ "at connect\n use access \"static:OK\" on sender\n",
	    "p:2:2: at connect there is no sender\n" },

	/* Actions and stages */
	{ "at connect\n quarantine\n",
	    "p:2:2: \"quarantine\" has no place at connect (but at mail, rcpt, "
	    "data, header, body, eom)\n" },
	{ "at disconnect\n reject\n",
	    "p:2:2: \"reject\" has no place at disconnect (but at connect, "
	    "helo, auth, mail, rcpt, data, header, body, eom)\n" },
	{ "at disconnect\n log \"x\" if resolves(helo.name)\n",
	    "p:2:13: at disconnect nobody waits for an answer from the "
	    "network\n" },
	{ "at rcpt\n use body_checks \"static:OK\"\n",
	    "p:2:2: \"use body_checks\" has no place at rcpt (but at body)\n" },
	{ "block b\n route to x\nat eom\n call b\n", "p:2:2: \"route to\" has "
	    "no place at eom, where this block is called (but at connect, "
	    "helo, auth, mail, rcpt)\n" },
	{ "at rcpt\n reject\n accept\n", "warning p:3:2: this rule never "
	    "runs: reject above it has no condition\n" },

	/* Conditions */
	{ "at rcpt\n accept if\n", "p:2:11: a field or a value expected, not "
	    "the end of the line\n" },
	{ "at rcpt\n accept if (mail\n accept\n",
	    "p:3:2: \")\" expected, not \"accept\"\n" },
	{ "at rcpt\n accept if mail and\n and mail\n",
	    "p:3:2: a field or a value expected, not \"and\"\n" },
	{ "at rcpt\n accept if mail ~ \"x\"\n", "p:2:19: a regular "
	    "expression, /…/, expected, not \"x\"\n" },
	{ "at rcpt\n accept if mail not is \"x\"\n",
	    "p:2:21: \"in\" expected, not \"is\"\n" },
	{ "at rcpt\n accept if any rcpts\n",
	    "p:2:21: a comparison expected, not the end of the line\n" },
	{ "at rcpt\n accept if size > -x\n",
	    "p:2:20: a number expected, not \"x\"\n" },
	{ "at rcpt\n accept\n  if mail\n", "p:3:10: \"{\" expected: an "
	    "\"if\" that starts a line opens a group; the condition of one "
	    "action stands in the line of the action\n" },
	{ "at rcpt\n if mail {\n  accept\n",
	    "p:2:2: this group has no end: a } is missing\n" },
	{ "at rcpt\n if mail {\n  accept\nat eom\n accept\n}\n",
	    "p:4:1: \"at\" inside a group: is a } missing?\n"
	    "p:2:2: this group has no end: a } is missing\n"
	    "p:6:1: \"}\" starts nothing here\n" },
	{ "at rcpt\n if mial {\n  rejct\n }\n",
	    "p:3:3: \"rejct\" is no action (did you mean reject?)\n"
	    "p:2:5: there is no field \"mial\" (did you mean mail?)\n" },

	/* Names */
	{ "at rcpt\n accept if clent.name is \"x\"\n", "p:2:12: there is no "
	    "field \"clent.name\" (did you mean client.name?)\n" },
	{ "at rcpt\n accept if xyzzy\n",
	    "p:2:12: there is no field \"xyzzy\" (a text needs quotes)\n" },
	{ "list good = { \"x\" }\nat rcpt\n accept if good\n",
	    "p:3:12: \"good\" is a list: write \"X in good\"\n" },
	{ "table good \"static:x\"\nat rcpt\n accept if mail = good\n",
	    "p:3:19: \"good\" is a table: write \"X in good\"\n" },
	{ "list good = { \"x\" }\nat rcpt\n accept if mail in goood\n",
	    "p:3:20: there is no list or table \"goood\" (did you mean "
	    "good?)\n" },
	{ "at rcpt\n accept if helo.name is hostnam\n", "p:2:25: \"hostnam\" "
	    "is nothing that a string can be (did you mean hostname?)\n" },
	{ "at rcpt\n accept if rcpt.local is postmaster\n", "p:2:26: "
	    "\"postmaster\" is nothing that a string can be (a text needs "
	    "quotes)\n" },
	{ "at eom\n accept if header is \"x\"\n", "p:2:12: which field of the "
	    "header? Write header(\"Subject\")\n" },
	{ "at eom\n accept if header(mail)\n", "p:2:19: the name of a header "
	    "field in quotes expected: header(\"Subject\")\n" },
	{ "at eom\n accept if lenght(mail) > 1\n", "p:2:12: there is no "
	    "function \"lenght\" (did you mean length?)\n" },

	/* Types */
	{ "at rcpt\n accept if size\n", "p:2:12: a number is no condition: "
	    "compare it (\"> 0\")\n" },
	{ "at rcpt\n accept if size is \"x\"\n", "p:2:20: a number and "
	    "a string cannot be compared by is (a number has no quotes)\n" },
	{ "at rcpt\n accept if client.ip = \"10.0.0.1\"\n", "p:2:24: an IP "
	    "address and a string cannot be compared by = (an IP address has "
	    "no quotes)\n" },
	{ "at rcpt\n accept if mail < rcpt\n", "p:2:19: a mail address and a "
	    "mail address cannot be compared by <, <=, > or >=\n" },
	{ "at rcpt\n accept if mail in 10.0.0.0/8\n",
	    "p:2:20: a mail address is not in a list of networks\n" },
	{ "at rcpt\n accept if size in { \"a\" }\n",
	    "p:2:20: a number is not in a list of strings\n" },
	{ "at rcpt\n accept if mail in \"x\"\n", "p:2:20: behind \"in\" "
	    "stands a list, a table or a network, not a string (for one value "
	    "say \"is\")\n" },
	{ "at rcpt\n accept if rcpts is \"x\"\n", "p:2:21: a list of mail "
	    "addresses and a string cannot be compared by is (say \"any\" or "
	    "\"all\" in front)\n" },
	{ "at rcpt\n accept if rcpts ~ /x/\n", "p:2:12: a regular expression "
	    "is for a string, not for a list of mail addresses (say \"any\" "
	    "or \"all\" in front)\n" },
	{ "at rcpt\n accept if any mail is \"x\"\n",
	    "p:2:16: \"any\" is for lists, not for a mail address\n" },
	{ "at rcpt\n accept if count(mail) > 1\n",
	    "p:2:18: count takes a list, not a mail address\n" },
	{ "at rcpt\n accept if lower(rcpts)\n", "p:2:18: lower takes a "
	    "string, not a list of mail addresses (say \"any\" or \"all\" in "
	    "front)\n" },
	{ "at rcpt\n accept if lower(mail, rcpt)\n",
	    "p:2:24: lower takes one argument\n" },
	{ "at rcpt\n accept if lookup(mail, rcpt)\n",
	    "p:2:19: the name of a table expected\n" },
	{ "at rcpt\n accept if size + mail > 1\n", "p:2:19: numbers are "
	    "added, not a mail address (texts are put together as "
	    "\"%{a}%{b}\")\n" },
	{ "table t \"static:x\"\nat rcpt\n accept if size in t\n",
	    "p:3:12: a table is asked for a string, an address or an IP "
	    "address, not a number\n" },
	{ "at rcpt\n accept if { \"a\" } is \"a\"\n",
	    "p:2:12: a list stands behind \"in\" only\n" },
	{ "at rcpt\n log \"%{10.0.0.1}\"\n", "p:2:9: a network stands behind "
	    "\"in\" or \"is\" only\n" },

	/* Regular expressions and captures */
	{ "at rcpt\n accept if mail ~ /a(b/\n", "p:2:23: in this regular "
	    "expression: missing closing parenthesis\n" },
	{ "at rcpt\n accept if mail ~ /ab/g\n", "p:2:22: in this regular "
	    "expression: there is no flag \"g\" (there are i, m, s, x, u)\n" },
	{ "at rcpt\n reject \"%{1}\"\n", "p:2:12: %{1} needs a regular "
	    "expression in the condition of this rule\n" },
	{ "at rcpt\n reject \"%{2}\" if mail ~ /(a)/\n",
	    "p:2:12: the regular expression of this rule has 1 group\n" },

	/* Stages */
	{ "at connect\n accept if helo.name\n",
	    "p:2:12: there is helo.name from helo on\n" },
	{ "at eom\n accept if rcpt is \"x\"\n", "p:2:12: there is rcpt at "
	    "rcpt only (rcpts has all recipients)\n" },
	{ "at mail\n accept if rcpt.domain is \"x\"\n",
	    "p:2:12: there is rcpt.domain at rcpt only\n" },
	{ "at rcpt\n reject \"%{header(\"Subject\")}\"\n",
	    "p:2:12: there is header from body on\n" },
	{ "at disconnect\n log \"%{mail}\"\n", "p:2:9: there is mail from "
	    "mail on to the end of the message\n" },
	{ "block b\n accept if rcpts\nat mail\n call b\n", "p:2:12: there is "
	    "rcpts from rcpt on, and this block is called at mail\n" },

	/* Several, in order */
	{ "tabel x\nat rcpt\n reject 450\n\taccept if m\xc3\xa4il = \"x\" or "
	    "siz > 1\n log\n",
	    "p:1:1: \"tabel\" starts nothing here (did you mean table?)\n"
	    "p:3:9: \"reject\" needs a code 5NN (\"tempfail\" takes 4NN)\n"
	    "p:5:5: a \"text\" expected, not the end of the line\n"
	    "p:4:12: there is no field \"m\xc3\xa4il\" (did you mean mail?)\n"
	    "p:4:26: there is no field \"siz\" (did you mean size?)\n" },
};

/* Append the line and the caret that belong to a message. */
static void
add_place(struct buf *b, const char *text, unsigned line, unsigned column)
{
	const char *p;

	while (--line > 0)
		text = strchr(text, '\n') + 1;
	for (p = text; *p != '\n' && *p != '\0'; p++)
		buf_addc(b, *p >= 0 && *p < ' ' && *p != '\t' ? '?' : *p);
	buf_addc(b, '\n');
	for (p = text; --column > 0; p++) {
		while (((unsigned char)*p & 0xc0) == 0x80)
			p++;
		buf_addc(b, *p == '\t' ? '\t' : ' ');
	}
	buf_adds(b, "^\n");
}

/* What is said in full, when these are the messages. Ours to free. */
static char *
in_full(const char *text, const char *messages)
{
	const char *end, *warning = "warning ";
	unsigned line, column;
	struct buf b;
	char *full;

	buf_init(&b, 1 << 20);
	for (; *messages != '\0'; messages = end + 1) {
		bool warn = strncmp(messages, warning, 8) == 0;
		int n = 0;

		messages += warn ? 8 : 0;
		end = strchr(messages, '\n');
		sscanf(messages, "p:%u:%u: %n", &line, &column, &n);
		buf_addf(&b, "%.*s%s%.*s\n", n, messages, warn ? "warning: " :
		    "", (int)(end - messages) - n, messages + n);
		add_place(&b, text, line, column);
	}
	full = xstrdup(b.p);
	buf_fini(&b);
	return full;
}

/* Without a wanted text, that something is said and nothing is loaded. */
static void
test_mistakes(void)
{
	char *said, *want;
	struct rules *r;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		r = policy_load(mistakes[i].text, &said);
		if (mistakes[i].want == NULL) {
			ok(r == NULL && strstr(said, "^\n") != NULL,
			    "told: %s", mistakes[i].text);
		} else {
			want = in_full(mistakes[i].text, mistakes[i].want);
			is_str(said, want, mistakes[i].want);
			is_int(r == NULL, strncmp(mistakes[i].want, "warning",
			    7) != 0 || strstr(mistakes[i].want, "\np:") !=
			    NULL, "and loaded or not");
			free(want);
		}
		rules_free(&r);
		free(said);
	}
}

/* Fifty mistakes are told, the others are counted. */
static void
test_many(void)
{
	struct rules *r;
	struct buf b;
	char *said;
	int i, lines = 0;

	buf_init(&b, 1 << 20);
	buf_adds(&b, "at rcpt\n");
	for (i = 0; i < 70; i++)
		buf_adds(&b, " rejct\n");
	r = policy_load(b.p, &said);
	for (i = 0; said[i] != '\0'; i++)
		lines += said[i] == '^';
	is_int(lines, 50, "fifty mistakes are told");
	ok(r == NULL && strstr(said, "… and 20 more mistakes\n") != NULL,
	    "and the rest is counted");
	free(said);
	buf_fini(&b);
}

/* A long line is shown around its caret. */
static void
test_long_line(void)
{
	struct rules *r;
	struct buf b;
	char *said, *line;
	int i;

	buf_init(&b, 1 << 20);
	buf_adds(&b, "at rcpt\n reject if ");
	for (i = 0; i < 200; i++)
		buf_adds(&b, "mail or ");
	buf_adds(&b, "nonsense\n");
	r = policy_load(b.p, &said);
	line = strchr(said, '\n') + 1;
	ok(r == NULL && strlen(line) < 400, "the line is cut");
	ok(strstr(line, "nonsense\n") != NULL, "around the mistake");
	is_int(strstr(line, "nonsense") - line,
	    strchr(line, '^') - strchr(line, '\n') - 1,
	    "and the caret is below it");
	free(said);
	buf_fini(&b);
}

/* Any text at all: it loads, or something is said; nothing crashes. */
static void
test_any_text(void)
{
	static const char *const words[] = { "at", " rcpt", "\n", " reject",
		" if", " mail", " in", " {", "}", " \"a%{", "\"", " ~ /a(",
		"/", " and", " not", " (", ")", " any", " rcpts", " 10.0.0.0/8",
		" 5.7.1", " 550", ",", " =", " <", " for", " domain", " x.y",
		" block", " b", " call", " use", " access", " table", " list",
		" set", " variable", " 1", " +", " -", " header(\"X\")", " is",
		" empty", " at", "\nat eom\n", " score", "\\", "%{1}", "#",
		" observe", " add header", "\"X: y\"", " lookup(", " include",
	};
	uint32_t seed = 1;
	struct rules *r;
	struct buf b;
	int i, j, silent = 0;
	char *said;

	buf_init(&b, 1 << 20);
	for (i = 0; i < 20000; i++) {
		buf_reset(&b);
		buf_adds(&b, i % 2 ? "at rcpt\n reject if " : "");
		for (j = 0; j < 12; j++) {
			seed = seed * 1664525 + 1013904223;
			buf_adds(&b, words[(seed >> 16) % (sizeof(words) /
			    sizeof(words[0]))]);
		}
		r = policy_load(b.p, &said);
		silent += r == NULL && said[0] == '\0';
		rules_free(&r);
		free(said);
	}
	is_int(silent, 0, "no policy is refused without a word");
	buf_fini(&b);
}

/* A condition alone: where it comes from is all the place it has. */
static void
test_conditions(void)
{
	static const struct {
		const char	*text, *want;
		bool		 early;		/* known at connect */
	} rows[] = {
		{ "client.ip in 10.0.0.0/8", "", true },
		{ "tls and time > 8:00", "", true },
		{ "client.ip in \"inline:{10.0.0.1=x}\"", "", true },
		{ "not (\nauth.user)", "", false },
		{ "mail.domain is \"x.example\" or size < 1M", "", false },
		{ "", "f:3: when: a field or a value expected, not the end\n"
		    "\n^\n", false },
		{ "auth.usr", "f:3: when: there is no field \"auth.usr\" "
		    "(did you mean auth.user?)\nauth.usr\n^\n", false },
		{ "tls\nor rcpt", "f:3: when: there is rcpt at rcpt only\n"
		    "or rcpt\n   ^\n", false },
		{ "tls and", "f:3: when: a field or a value expected, not the "
		    "end\ntls and\n       ^\n", false },
		{ "tls reject", "f:3: when: the end of the condition expected, "
		    "not \"reject\"\ntls reject\n    ^\n", false },
		{ "mail in local", "f:3: when: there is no list or table "
		    "\"local\"\nmail in local\n        ^\n", false },
		{ "mail in \"cidr:/nonexistent/x\"", "f:3: when: "
		    "/nonexistent/x: No such file or directory\n"
		    "mail in \"cidr:/nonexistent/x\"\n        ^\n", false },
	};
	struct rules *r;
	char *said;
	size_t i, len;
	FILE *err;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err = open_memstream(&said, &len);
		r = rules_load_condition("f:3: when", rows[i].text, NULL, err);
		fclose(err);
		is_str(said, rows[i].want, rows[i].text);
		ok((r != NULL) == (*rows[i].want == '\0'), "… loaded");
		if (r != NULL)
			ok(rules_has_stage(r, RULES_MAIL) &&
			    rules_has_stage(r, RULES_CONNECT) == rows[i].early,
			    "… its stages");
		rules_free(&r);
		free(said);
	}
}

int
main(void)
{
	test_conditions();
	test_mistakes();
	test_many();
	test_long_line();
	test_any_text();
	return tap_done();
}
