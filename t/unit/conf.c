/* The configuration: every mistake with its place and its exact words, the
   defaults, what the command line overrides, routes and relay domains. */

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/conf.h"
#include "proxy/tls.h"
#include "rules/table.h"
#include "tap.h"
#include "cert.h"

static char dir[] = "/tmp/vratar-conf-XXXXXX";

/* The blocks that a file must have, for the cases about something else. */
#define BLOCKS	"hostname = mx\nlisten \"unix:/l\" { }\n"		\
    "backend b { address = \"unix:/b\" }\n"

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0) {
		printf("Bail out! %s: %s\n", name, strerror(errno));
		exit(1);
	}
}

/* Load file "c" with this text. The messages, ours to free. */
static char *
load(const char *text, struct conf_options *o, struct conf **c)
{
	char *said = NULL;
	size_t len;
	FILE *err = open_memstream(&said, &len);

	if (text != NULL) {
		write_file("c", text);
		o->file = "c";
	}
	*c = conf_load(o, err);
	fclose(err);
	return said;
}

/* Files with one mistake or several; all that is said. */
static const struct {
	const char	*name, *text, *want;
} mistakes[] = {
	{ "nothing at all", "hostname = mx\n",
	    "c: nothing to listen at: add listen \"0.0.0.0:25\" { }, "
	    "or --listen 0.0.0.0:25\n"
	    "c: no backend: add backend \"NAME\" { address = \"HOST:PORT\" }, "
	    "or --backend HOST:PORT\n" },

	/* Places */
	{ "behind a comment", "# one\nhostname = mx # two\nworkers = x\n"
	    BLOCKS, "c:3: workers: \"x\" is not a number (try 20)\n" },
	{ "behind a long comment", "/* one\n two\n*/ workers = x\n" BLOCKS,
	    "c:3: workers: \"x\" is not a number (try 20)\n" },
	{ "behind a C++ comment", "// one\nworkers = x // two\n" BLOCKS,
	    "c:2: workers: \"x\" is not a number (try 20)\n" },
	{ "in a list with comments", "dns-servers = { \"192.0.2.1\", # one\n"
	    "  # two\n  \"192.0.2.2\", \"x\" }\n" BLOCKS,
	    "c:3: dns-servers: \"x\" is not a name server "
	    "(try 192.0.2.53, 192.0.2.53@5353)\n" },
	{ "a comment in a string is none", "log = \"file:#/*\"\n"
	    "workers = '// x'\n" BLOCKS,
	    "c:2: workers: \"// x\" is not a number (try 20)\n" },
	{ "CR LF", "workers = x\r\nnul = y\r\n" BLOCKS,
	    "c:1: workers: \"x\" is not a number (try 20)\n"
	    "c:2: nul: \"y\" is not one of \"reject\", \"accept\"\n" },
	{ "the last of two values counts", "workers = x\nworkers = 3\n" BLOCKS,
	    "" },

	/* Unknown names */
	{ "unknown settings", "client-timeot = 3m\nworker = { 1, 2 }\n"
	    "xyzzy = {}\n" BLOCKS "xyzzy = 3 nul = y\n",
	    "c:1: unknown setting \"client-timeot\" "
	    "(did you mean \"client-timeout\"?)\n"
	    "c:2: unknown setting \"worker\" (did you mean \"workers\"?)\n"
	    "c:3: unknown setting \"xyzzy\"\n"
	    "c:7: unknown setting \"xyzzy\"\n"
	    "c:7: nul: \"y\" is not one of \"reject\", \"accept\"\n" },
	{ "unknown blocks", "lisen \"a:1\" { x = 1 y = { 2, 3 }\n"
	    " z \"t\" { q { } } }\nlog { level = 1 }\nplugh { x { y { } } }\n"
	    "plugh { }\nworkers = x\n" BLOCKS,
	    "c:1: unknown setting \"lisen\" (did you mean \"listen\"?)\n"
	    "c:3: missing equal sign after option 'log'\n" },
	{ "unknown names in blocks",
	    "listen \"unix:/l\" { startls = off nul = reject }\n"
	    "hostname = mx\n"
	    "backend b { address = \"unix:/b\" adress = { } x { y = 1 } }\n",
	    "c:1: unknown setting \"startls\" in \"listen\" "
	    "(did you mean \"starttls\"?)\n"
	    "c:1: unknown setting \"nul\" in \"listen\"\n"
	    "c:3: unknown setting \"adress\" in \"backend\" "
	    "(did you mean \"address\"?)\n"
	    "c:3: unknown setting \"x\" in \"backend\"\n" },
	{ "blocks without end", "a { b { c { d { e { f = 1 } } } } }\n",
	    "c:1: unknown setting \"a\"\n"
	    "c:1: blocks in blocks, too deep\n" },
	{ "the same name again and again", "a { a { a { a { a { } } } } }\n",
	    "c:1: unknown setting \"a\"\n"
	    "c:1: blocks in blocks, too deep\n" },
	{ "controls in a name", "\"a\033[2J\" = 1\n" BLOCKS,
	    "c:1: unknown setting \"a?[2J\"\n" },

	/* Syntax */
	{ "open string", "workers = x\nuser = \"mail\nlog = \"stderr\"\n",
	    "c:2: the string that starts here does not end on this line\n" },
	{ "open comment", "workers = x\n/* user\n\n",
	    "c:2: the comment that starts here does not end\n" },
	{ "open block", BLOCKS "backend d {\n address = \"unix:/b\"\n# }\n",
	    "c:4: the \"{\" here has no \"}\"\n" },
	{ "too many ends", BLOCKS "}\n", "c:4: unexpected closing brace\n" },
	{ "no value", BLOCKS "hostname\n",
	    "c:4: premature end of file\n" },
	{ "no equal sign", "hostname mx\n" BLOCKS,
	    "c:1: missing equal sign after option 'hostname'\n" },
	{ "no title", "listen { }\n" BLOCKS,
	    "c:1: missing title for section 'listen'\n" },
	{ "list for a single value", "hostname = { a }\n" BLOCKS,
	    "c:1: unexpected token '{'\n" },
	{ "the same block twice", BLOCKS "\nbackend b { }\n",
	    "c:5: a second block \"b\"\n"
	    "c:5: backend \"b\" has no address\n" },
	{ "blocks twice hide nothing", BLOCKS "listen \"unix:/m\" { nul = 1 }\n"
	    "backend b { address = \"unix:/b\" } backend b { adress = x }\n"
	    "workers = x\n",
	    "c:4: unknown setting \"nul\" in \"listen\"\n"
	    "c:5: a second block \"b\"\n"
	    "c:5: unknown setting \"adress\" in \"backend\" "
	    "(did you mean \"address\"?)\n"
	    "c:5: backend \"b\" has no address\n"
	    "c:6: workers: \"x\" is not a number (try 20)\n" },
	{ "a byte order mark", "\xef\xbb\xbf" "workers = x\n" BLOCKS,
	    "c:1: workers: \"x\" is not a number (try 20)\n" },
	{ "error after unknown names", "xyzzy = 1\n}\n",
	    "c:1: unknown setting \"xyzzy\"\n"
	    "c:2: unexpected closing brace\n" },

	/* The top */
	{ "hostname", BLOCKS "hostname = mx_1\n",
	    "c:4: hostname: \"mx_1\" is not a host name "
	    "(try mx1.example.org)\n" },
	{ "hostname with a hyphen at the end", BLOCKS "hostname = a-.b\n",
	    "c:4: hostname: \"a-.b\" is not a host name "
	    "(try mx1.example.org)\n" },
	{ "authserv-id", BLOCKS "authserv-id = \"mx; a\"\n",
	    "c:4: authserv-id: \"mx; a\" is not a name of a service "
	    "(try mx1.example.org)\n" },
	{ "user", BLOCKS "user = \"no one\"\n",
	    "c:4: user: \"no one\" is not a user of this system\n" },
	{ "workers", BLOCKS "workers = 1025\n",
	    "c:4: workers: \"1025\" is more than 1024\n" },
	{ "duration", BLOCKS "client-timeout = \"5x\"\n",
	    "c:4: client-timeout: \"5x\" is not a duration "
	    "(try 300s, 5m)\n" },
	{ "duration too short", BLOCKS "client-timeout = 10ms\n",
	    "c:4: client-timeout: \"10ms\" is less than 1s\n" },
	{ "size", BLOCKS "message-size-limit = 10MB\n",
	    "c:4: message-size-limit: \"10MB\" is not a size "
	    "(try 64K, 50M)\n" },
	{ "bool", BLOCKS "lenient-paths = maybe\n",
	    "c:4: lenient-paths: \"maybe\" is neither \"yes\" nor \"no\"\n" },
	{ "line endings have no pass", BLOCKS "line-endings = pass\n",
	    "c:4: line-endings: \"pass\" is not one of \"reject\", "
	    "\"normalize\"\n" },
	{ "network", BLOCKS "normalize-from = { \"10.0.0.1/8\" }\n",
	    "c:4: normalize-from: \"10.0.0.1/8\" is no network: "
	    "host bits set\n" },
	{ "log", BLOCKS "log = \"/var/log/x\"\n",
	    "c:4: log: \"/var/log/x\" is not a place for a log "
	    "(try stderr, syslog, file:/var/log/vratar.log)\n" },
	{ "socket path", BLOCKS "control-socket = \"run/x\"\n",
	    "c:4: control-socket: \"run/x\" is not an absolute path\n" },
	{ "directory", BLOCKS "spool-directory = \"/nonexistent\"\n",
	    "c:4: spool-directory: \"/nonexistent\" is not a directory\n" },
	{ "cache", BLOCKS "cache-directory = \"/nonexistent\"\n",
	    "c:4: cache-directory: \"/nonexistent\" is not a directory\n" },
	{ "delimiter", BLOCKS "recipient-delimiter = \"+ \"\n",
	    "c:4: recipient-delimiter: \"+ \" is not a set of delimiters "
	    "(try +, +-)\n" },
	{ "domains", BLOCKS "relay-domains = { \"a..b\", \"*\", \".x.y\",\n"
	    "\"texthash:/x\", \"M\xc3\xbcnchen.example\", \".\", \"\",\n"
	    "\"[192.0.2.1]\" }\n",
	    "c:4: relay-domains: \"a..b\" is not a domain "
	    "(try example.org, .example.org, *)\n"
	    "c:5: relay-domains: \"texthash:/x\" is not a domain "
	    "(try example.org, .example.org, *)\n"
	    "c:5: relay-domains: \".\" is not a domain "
	    "(try example.org, .example.org, *)\n"
	    "c:5: relay-domains: \"\" is not a domain "
	    "(try example.org, .example.org, *)\n" },
	{ "recipients", BLOCKS "\nrecipients = \"texthash:/nonexistent\"\n",
	    "c:5: recipients: /nonexistent: No such file or directory\n" },
	{ "recipients with a mistake", BLOCKS "recipients = \"texthash:bad\"\n",
	    "c:4: recipients: bad:2: the key has no value "
	    "(try \"KEY OK\")\n" },
	{ "recipients of a kind we have not",
	    BLOCKS "recipients = \"mysql:x\"\n",
	    "c:4: recipients: no table type \"mysql\" (there is texthash: "
	    "hash: btree: lmdb: cdb: pcre: regexp: cidr: inline: static: "
	    "union: unionmap: pipemap: socketmap: tcp:)\n" },
	{ "recipients with several mistakes", BLOCKS
	    "recipients = \"pcre:{{/(/ x}, {/a/y z}}\"\n",
	    "c:4: recipients: {{/(/ x}, {/a/y z}}:1: pattern, character 2: "
	    "missing closing parenthesis\n"
	    "c:4: recipients: {{/(/ x}, {/a/y z}}:2: unknown flag \"y\" "
	    "behind the pattern (there is imsxAEUX)\n" },

	/* Listeners */
	{ "no place to listen", BLOCKS "listen \"25\" { }\n"
	    "listen \"exec:x\" { }\nlisten \"lmtp+unix:/x\" { }\n"
	    "listen mx { }\n",
	    "c:4: listen \"25\": no port\n"
	    "c:5: listen \"exec:x\": a listener is ADDRESS:PORT or "
	    "unix:PATH\n"
	    "c:6: listen \"lmtp+unix:/x\": a listener is ADDRESS:PORT or "
	    "unix:PATH\n"
	    "c:7: listen \"mx\": a listener is ADDRESS:PORT or "
	    "unix:PATH\n" },
	{ "a listener of nowhere", BLOCKS
	    "listen \"127.0.0.1:no-such-service\" { }\n",
	    "c:4: listen \"127.0.0.1:no-such-service\" is not known: "
	    "Servname not supported for ai_socktype\n" },
	{ "STARTTLS without a certificate", BLOCKS
	    "listen \"unix:/m\" {\n starttls = required\n}\n",
	    "c:5: starttls needs tls-certificate\n" },
	{ "TLS without a certificate", BLOCKS
	    "listen \"unix:/m\" {\n tls = implicit\n tls-key = key\n}\n",
	    "c:5: tls: \"implicit\" needs tls-certificate\n"
	    "c:6: tls-key needs tls-certificate\n" },
	{ "TLS twice", BLOCKS "listen \"unix:/m\" {\n tls = implicit\n"
	    " tls-certificate = both\n starttls = optional\n}\n",
	    "c:7: starttls: with tls = \"implicit\" all is encrypted "
	    "already\n" },
	{ "a certificate that is not there", BLOCKS
	    "listen \"unix:/m\" {\n tls-certificate = nothing\n}\n",
	    "c:5: cannot read certificate nothing: "
	    "No such file or directory\n" },
	{ "a certificate without its key", BLOCKS
	    "listen \"unix:/m\" {\n tls-certificate = cert\n}\n"
	    "listen \"unix:/n\" {\n tls-certificate = key\n}\n",
	    "c:5: no key in cert (PEM begins with -----BEGIN PRIVATE "
	    "KEY-----): set tls-key\n"
	    "c:8: no certificate in key (PEM begins with -----BEGIN "
	    "CERTIFICATE-----)\n" },
	{ "a key of another", BLOCKS "listen \"unix:/m\" {\n"
	    " tls-certificate = cert\n tls-key = other\n}\n",
	    "c:5: the key in other does not match the certificate in "
	    "cert\n" },
	{ "a chain of nothing", BLOCKS "filter x { type = y z = { 1, 2 } }\n"
	    "listen \"unix:/m\" {\n chain = { x,\n \"policy\" }\n}\n",
	    "c:4: type: there is no filter type \"y\"\n"
	    "c:7: chain: there is no filter \"policy\"\n" },
	{ "a filter without a type", BLOCKS "filter x {\n file = \"/x\"\n}\n",
	    "c:4: filter \"x\" has no type\n" },
	{ "networks of a listener", BLOCKS "listen \"unix:/m\" {\n"
	    " accept-proxy-from = { \"10.0.0.0/8\",\n \"x\" }\n"
	    " accept-xclient-from = y\n}\n",
	    "c:6: accept-proxy-from: \"x\" is no network: "
	    "not an address or network\n"
	    "c:7: accept-xclient-from: \"y\" is no network: "
	    "not an address or network\n" },

	/* Backends and routes */
	{ "no address", BLOCKS "backend d {\n}\n",
	    "c:4: backend \"d\" has no address\n" },
	{ "bad addresses", BLOCKS "backend d {\n address = { \"x\",\n \"mx\","
	    " \"lmtp+mx\", \"127.0.0.1:no-such-service\", \"[::1]:0\","
	    " \"[::1]:-1\" }\n}\n",
	    "c:5: address: \"x\": no port\n"
	    "c:6: address: \"mx\": mx is not available in this version\n"
	    "c:6: address: \"lmtp+mx\": mx is not available in this version\n"
	    "c:6: address: \"127.0.0.1:no-such-service\" is not known: "
	    "Servname not supported for ai_socktype\n"
	    "c:6: address: \"[::1]:0\": nobody has port 0\n"
	    "c:6: address: \"[::1]:-1\": not a port\n" },
	{ "open relay", BLOCKS "backend d {\n address = \"unix:/b\"\n"
	    " identity = \"none\"\n}\nbackend e { address = \"unix:/b\"\n"
	    " identity = \"xforward\" }\n",
	    "c:6: backend \"d\" would be an open relay: set relay-domains, "
	    "or identity = \"xclient\"\n"
	    "c:9: backend \"e\" would be an open relay: set relay-domains, "
	    "or identity = \"xclient\"\n" },
	{ "no open relay", "relay-domains = { }\n" BLOCKS
	    "backend d { address = \"unix:/b\" identity = \"none\" }\n", "" },
	{ "tproxy", BLOCKS "backend d { address = \"unix:/b\"\n"
	    " identity = \"tproxy\" }\n",
	    "c:5: identity: \"tproxy\" is not available in this version\n" },
	{ "identity", BLOCKS "backend d { address = \"unix:/b\"\n"
	    " identity = \"x\" }\n",
	    "c:5: identity: \"x\" is not one of \"auto\", \"xclient\", "
	    "\"xforward\", \"proxy-v1\", \"proxy-v2\", \"none\"\n" },
	{ "verify needs a name", BLOCKS "backend d { tls = verify\n"
	    " address = \"unix:/b\"\n tls-ca-file = nothing }\n",
	    "c:5: address: \"unix:/b\" has no host name that "
	    "tls = \"verify\" could look for\n"
	    "c:6: cannot read certificates nothing: "
	    "No such file or directory\n" },
	{ "routes", BLOCKS "route \"*\" { backend = bb }\n"
	    "route \"a b\" { backend = b }\nroute \"x.y\" { backend = b }\n"
	    "route \"X.Y\" { backend = b }\nroute z {\n}\n"
	    "route q { backend = postfix }\n",
	    "c:4: backend: there is no backend \"bb\"\n"
	    "c:5: route \"a b\": not a domain "
	    "(try example.org, .example.org, *)\n"
	    "c:7: a second route for \"X.Y\"\n"
	    "c:8: route \"z\" has no backend\n"
	    "c:10: backend: there is no backend \"postfix\"\n" },

	/* Includes */
	{ "include", "include(\"inc\")\nworkers = x\n" BLOCKS,
	    "inc:2: nul: \"x\" is not one of \"reject\", \"accept\"\n"
	    "c:2: workers: \"x\" is not a number (try 20)\n" },
	{ "include that is not there", "\n  include ( \"sub/none\" ) \n" BLOCKS,
	    "c:2: cannot read sub/none: No such file or directory\n" },
	{ "include in a comment", "# include(\"none\")\n" BLOCKS, "" },
	{ "include with an open string", "include(\"open\")\n" BLOCKS,
	    "open:1: the string that starts here does not end on this "
	    "line\n" },
	{ "include of itself", "workers = 1\ninclude(\"c\")\n",
	    "c:2: more than 10 files include each other\n" },
};

static void
test_mistakes(void)
{
	struct conf_options o = { 0 };
	struct conf *c;
	char *said;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		said = load(mistakes[i].text, &o, &c);
		is_str(said, mistakes[i].want, mistakes[i].name);
		is_int(c == NULL, mistakes[i].want[0] != '\0', "  result");
		conf_free(&c);
		free(said);
	}
}

static void
test_octets(void)
{
	struct conf_options o = { .file = "c" };
	struct conf *c;
	char *said;
	FILE *f = fopen("c", "w");

	fwrite("workers = 1\nuser = \"a\0b\"\n", 1, 25, f);
	fclose(f);
	said = load(NULL, &o, &c);
	is_str(said, "c:2: a NUL octet\n", "a NUL in a string");
	free(said);
	o.file = "/nonexistent.conf";
	said = load(NULL, &o, &c);
	is_str(said, "/nonexistent.conf: No such file or directory\n",
	    "no file");
	free(said);
	o.file = ".";
	said = load(NULL, &o, &c);
	is_str(said, ".: Is a directory\n", "no regular file");
	free(said);
}

static void
test_defaults(void)
{
	static const char *listen[] = { "127.0.0.1:0" };
	struct conf_options o = {
		.listen = listen, .nlisten = 1, .backend = "127.0.0.1:25",
	};
	struct conf *c;
	char *said = load(NULL, &o, &c), name[256];

	is_str(said, "", "no file is needed");
	free(said);
	gethostname(name, sizeof(name));
	is_str(c->hostname, name, "hostname");
	ok(c->workers >= 1, "workers");
	is_str(c->user, NULL, "user");
	is_str(c->control_socket, NULL, "control-socket");
	is_str(c->log, "stderr", "log");
	is_int(c->log_json, false, "log-format");
	is_int(c->relay_set, false, "relay-domains is not set");
	is_int(c->relay_any, false, "and not any");
	ok(c->recipients == NULL, "recipients");
	is_str(c->recipient_delimiter, "", "recipient-delimiter");
	is_int((long long)c->address.path, 256, "path-limit");
	is_int((long long)c->address.domain, 255, "domain-limit");
	is_int((long long)c->address.local_part, 64, "local-part-limit");
	is_int((long long)c->command_line_limit, 512, "command-line-limit");
	is_int((long long)c->text_line_limit, 1000, "text-line-limit");
	is_int((long long)c->message_size_limit, 50 << 20,
	    "message-size-limit");
	is_int((long long)c->recipient_limit, 100, "recipient-limit");
	is_int((long long)c->client_timeout, 300000, "client-timeout");
	is_int((long long)c->connect_timeout, 30000, "connect-timeout");
	is_int((long long)c->data_done_timeout, 600000, "data-done-timeout");
	is_int((long long)c->proxy_timeout, 5000, "proxy-timeout");
	is_int(c->error_limit, 20, "error-limit");
	is_int(c->junk_command_limit, 100, "junk-command-limit");
	is_int(c->line_endings, LINES_REJECT, "line-endings");
	is_int(c->nul, NUL_REJECT, "nul");
	is_str(c->spool_directory, "/var/tmp", "spool-directory");

	is_int((long long)c->nlisteners, 1, "one listener");
	is_str(c->listeners[0].name, "127.0.0.1:0", "its name");
	is_int(c->listeners[0].starttls, STARTTLS_OFF, "no STARTTLS");
	ok(c->listeners[0].tls == NULL, "no key");
	is_int((long long)c->nbackends, 1, "one backend");
	is_int(c->backends[0].identity, IDENTITY_AUTO, "its identity");
	is_int(c->backends[0].open, OPEN_RCPT, "open-backend");
	is_int(c->backends[0].max_sessions, 50, "max-sessions");
	is_int(c->backends[0].tls, TLS_OFF, "tls");
	is_int(c->backends[0].chunking, true, "chunking");
	is_int(c->backends[0].addresses[0].naddrs, 1, "it is resolved");
	is_int(c->backends[0].addresses[0].addrs[0].port, 25, "with its port");
	is_int(conf_route(c, "anything.example"), 0, "every route leads there");
	conf_free(&c);
	ok(c == NULL, "freed");
	conf_free(&c);
}

static const char *const everything =
    "hostname       = \"mx1.example.org\"\n"
    "user           = \"root\"\n"
    "relay-domains  = { \"Example.ORG\", \".example.net\",\n"
    "    \"M\xc3\xbcnchen.example\", \"[192.0.2.1]\" }\n"
    "recipients     = \"texthash:good\"\n"
    "workers        = 3\n"
    "control-socket = \"/run/vratar/control\"\n"
    "log            = \"syslog\"\n"
    "log-format     = json\n"
    "line-endings   = normalize\n"
    "dns-servers    = { \"192.0.2.53\", \"2001:db8::53@5353\" }\n"
    "listen \"0.0.0.0:25\" {\n"
    "    tls-certificate   = \"cert\"\n"
    "    tls-key           = \"key\"\n"
    "    starttls          = \"required\"\n"
    "    accept-proxy-from = { \"10.0.0.0/8\" }\n"
    "    accept-xclient-from = { \"127.0.0.1\" }\n"
    "}\n"
    "listen \"[::1]:465\" { tls = \"implicit\" tls-certificate = both }\n"
    "listen \"unix:/run/x\" { tls-certificate = both }\n"
    "backend \"postfix\" {\n"
    "    address      = { \"127.0.0.1:10025\", \"unix:/run/y\" }\n"
    "    identity     = \"proxy-v2\"\n"
    "    open-backend = \"mail\"\n"
    "    max-sessions = 7\n"
    "    tls          = \"may\"\n"
    "    chunking     = no\n"
    "}\n"
    "backend \"store\" { address = \"lmtp+unix:/run/lmtp\" }\n"
    "backend \"pipe\" { address = \"exec:sendmail -bs\" identity = none }\n"
    "route \"Example.org\" { backend = \"store\" }\n"
    "route \".example.org\" { backend = \"pipe\" }\n"
    "route \"*\" { backend = \"postfix\" }\n";

static void
check_blocks(const struct conf *c)
{
	const struct conf_listener *l = c->listeners;
	const struct conf_backend *b = c->backends;

	is_int((long long)c->nlisteners, 3, "listeners");
	is_int(l[0].starttls, STARTTLS_REQUIRED, "starttls");
	ok(l[0].tls != NULL, "certificate and key");
	is_int((long long)l[0].accept_proxy_from.n, 1, "accept-proxy-from");
	is_int((long long)l[0].accept_xclient_from.n, 1,
	    "accept-xclient-from");
	is_int(l[1].tls_implicit, true, "implicit TLS");
	is_int(l[1].starttls, STARTTLS_OFF, "has no STARTTLS");
	is_int(l[2].where.kind, WHERE_UNIX, "a unix socket");
	is_int(l[2].starttls, STARTTLS_OPTIONAL, "with STARTTLS as default");

	is_int((long long)c->nbackends, 3, "backends");
	is_int((long long)b[0].naddresses, 2, "two addresses");
	is_str(b[0].addresses[1].where.path, "/run/y", "in their order");
	is_int(b[0].identity, IDENTITY_PROXY_V2, "identity");
	is_int(b[0].open, OPEN_MAIL, "open-backend");
	is_int(b[0].max_sessions, 7, "max-sessions");
	is_int(b[0].tls, TLS_MAY, "tls");
	ok(b[0].tls_ctx != NULL, "a context for it");
	is_int(b[0].chunking, false, "chunking");
	is_int(b[1].addresses[0].where.lmtp, true, "LMTP");
	is_int(b[2].addresses[0].where.kind, WHERE_EXEC, "a command");
	is_int(b[2].identity, IDENTITY_NONE, "without identity");
}

static const struct {
	const char	*domain;
	int		 route;
	bool		 relays;
} domains[] = {
	{ "example.org", 1, true },
	{ "a.example.org", 2, false },
	{ "a.b.example.org", 2, false },
	{ "xexample.org", 0, false },
	{ "org", 0, false },
	{ "example.net", 0, false },
	{ "a.example.net", 0, true },
	{ "a.b.example.net", 0, true },
	{ "xn--mnchen-3ya.example", 0, true },
	{ "[192.0.2.1]", 0, true },
	{ "[192.0.2.2]", 0, false },
	{ "*", 0, false },
	{ "", 0, false },
	{ ".", 0, false },
};

static void
test_everything(void)
{
	struct conf_options o = { 0 };
	const char *value;
	struct conf *c;
	char *said = load(everything, &o, &c);
	size_t i;

	is_str(said, "", "a full configuration");
	free(said);
	is_str(c->hostname, "mx1.example.org", "hostname");
	is_str(c->user, "root", "user");
	is_int(c->workers, 3, "workers");
	is_int(c->log_json, true, "log-format");
	is_int(c->line_endings, LINES_NORMALIZE, "line-endings");
	is_int(c->relay_set, true, "relay-domains is set");
	is_int((long long)c->dns_servers.n, 2, "dns-servers");
	is_int(table_find_address(c->recipients, "a", "b.c", NULL, &value),
	    TABLE_FOUND, "recipients");
	check_blocks(c);
	for (i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		is_int(conf_route(c, domains[i].domain), domains[i].route,
		    domains[i].domain);
		is_int(conf_relays(c, domains[i].domain), domains[i].relays,
		    "  relay");
	}
	conf_free(&c);
}

static void
test_no_route(void)
{
	struct conf_options o = { 0 };
	struct conf *c;
	char *said = load(BLOCKS "route x { backend = b }\n"
	    "relay-domains = \"*\"\n", &o, &c);

	is_str(said, "", "a route for one domain");
	free(said);
	is_int(conf_route(c, "x"), 0, "it has one");
	is_int(conf_route(c, "y"), -1, "others have none");
	is_int(c->relay_any, true, "any domain is relayed");
	is_int(conf_relays(c, "y.z"), true, "whatever it is");
	conf_free(&c);
}

/* What the command line replaces is not judged. */
static void
test_overrides(void)
{
	static const char *listen[] = { "127.0.0.1:0", "unix:/x" };
	static const char *set[] = { "hostname=other", "workers=2",
	    "relay-domains=a.b,c.d", "client-timeout=7s" };
	struct conf_options o = {
		.listen = listen, .nlisten = 2, .backend = "lmtp+unix:/y",
		.identity = "none", .set = set, .nset = 4,
	};
	struct conf *c;
	char *said;

	said = load("hostname = mx\nrelay-domains = q\n"
	    "listen \"x\" { starttls = required tls-certificate = none }\n"
	    "backend b { identity = none address = mx }\n"
	    "route r { backend = s }\n", &o, &c);
	is_str(said, "", "blocks that are replaced");
	free(said);
	is_str(c->hostname, "other", "--set");
	is_int((long long)c->client_timeout, 7000, "a duration");
	is_int((long long)c->relay_domains.n, 2, "a list is replaced");
	is_int((long long)c->nlisteners, 2, "--listen");
	is_int((long long)c->nbackends, 1, "--backend");
	is_int(c->backends[0].addresses[0].where.lmtp, true, "with LMTP");
	is_int(c->backends[0].identity, IDENTITY_NONE, "--identity");
	is_int((long long)c->nroutes, 0, "no routes");
	conf_free(&c);
}

static void
test_option_mistakes(void)
{
	static const char *listen[] = { "lmtp+127.0.0.1:25", "x" };
	static const char *set[] = { "hostname=a_b", "nothing", "worker=1",
	    "=", "relay-domain", "dns-servers=192.0.2.1,y",
	    "recipients=texthash:bad" };
	struct conf_options o = {
		.listen = listen, .nlisten = 2, .backend = "mx",
		.identity = "tproxy", .set = set, .nset = 7,
	};
	struct conf *c;
	char *said = load(NULL, &o, &c);

	is_str(said,
	    "--set: hostname: \"a_b\" is not a host name "
	    "(try mx1.example.org)\n"
	    "--set: \"nothing\" is not KEY=VALUE\n"
	    "--set: unknown setting \"worker\" (did you mean \"workers\"?)\n"
	    "--set: unknown setting \"\"\n"
	    "--set: \"relay-domain\" is not KEY=VALUE\n"
	    "--set: dns-servers: \"y\" is not a name server "
	    "(try 192.0.2.53, 192.0.2.53@5353)\n"
	    "--set: recipients: bad:2: the key has no value "
	    "(try \"KEY OK\")\n"
	    "--listen: listen \"lmtp+127.0.0.1:25\": a listener is "
	    "ADDRESS:PORT or unix:PATH\n"
	    "--listen: listen \"x\": no port\n"
	    "--identity: \"tproxy\" is not available in this version\n"
	    "--backend: address: \"mx\": mx is not available in this "
	    "version\n", "every option with a mistake");
	ok(c == NULL, "  result");
	free(said);

	o = (struct conf_options){ .listen = listen + 1, .nlisten = 0,
	    .backend = "unix:/x", .identity = "xforward" };
	said = load(NULL, &o, &c);
	is_str(said, "vratar: nothing to listen at: add "
	    "listen \"0.0.0.0:25\" { }, or --listen 0.0.0.0:25\n"
	    "--identity: backend \"backend\" would be an open relay: set "
	    "relay-domains, or identity = \"xclient\"\n",
	    "an open relay by options");
	free(said);
	o = (struct conf_options){ .identity = "none" };
	said = load(BLOCKS, &o, &c);
	is_str(said, "--identity: backend \"b\" would be an open relay: set "
	    "relay-domains, or identity = \"xclient\"\n",
	    "an open relay by an option over the file");
	free(said);
}

/* Arguments, after the verb; said is what stands on err before the usage. */
static const struct {
	const char	*argv[8];
	int		 want;
	const char	*said;
} arguments[] = {
	{ { "serve", "-c", "f" }, 0, "" },
	{ { "serve", "--listen=a:1", "--backend", "b:2", "--flag" }, 0, "" },
	{ { "serve", "-c" }, -1, "vratar serve: -c needs FILE\n" },
	{ { "serve", "--lisen", "a:1" }, -1,
	    "vratar serve: unknown option \"--lisen\" "
	    "(did you mean \"--listen\"?)\n"
	    "vratar serve: unknown option \"a:1\"\n" },
	{ { "serve", "--flags" }, -1, "vratar serve: unknown option "
	    "\"--flags\" (did you mean \"--flag\"?)\n" },
	{ { "serve", "--policy", "p" }, 0, "" },
	{ { "serve", "--policy" }, -1, "vratar serve: --policy needs FILE\n" },
	{ { "serve", "-cf" }, -1,
	    "vratar serve: unknown option \"-cf\" (did you mean \"-c\"?)\n" },
	{ { "serve", "" }, -1, "vratar serve: unknown option \"\"\n" },
	{ { "serve", "--workers=" }, 0, "" },
	{ { "serve", "x" }, -1, "vratar serve: unknown option \"x\"\n" },
};

static int
getopt_of(struct conf_options *o, const char *const *args, bool *flag,
    char **said)
{
	const struct conf_flag flags[] = { { "--flag", flag }, { 0 } };
	size_t len;
	FILE *err = open_memstream(said, &len);
	char *usage;
	int argc = 0, r;

	while (argc < 8 && args[argc] != NULL)
		argc++;
	r = conf_getopt(o, argc, (char **)args, flags, err);
	fclose(err);
	if ((usage = strstr(*said, "usage: ")) != NULL)
		*usage = '\0';
	return r;
}

static void
test_getopt(void)
{
	static const char *const many[] = { "serve", "--listen", "a:1",
	    "--listen=b:2", "--hostname=h", "--set", "nul=accept",
	    "--relay-domains=*" };
	struct conf_options o;
	bool flag;
	char *said;
	size_t i;
	int r;

	for (i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
		flag = false;
		r = getopt_of(&o, arguments[i].argv, &flag, &said);
		is_int(r, arguments[i].want, arguments[i].argv[1]);
		is_str(said, arguments[i].said, "  said");
		is_int(flag, i == 1, "  flag");
		is_str(o.file, i == 0 ? "f" : r == 0 && i != 1 ?
		    "/etc/vratar/vratar.conf" : NULL, "  file");
		conf_options_fini(&o);
		free(said);
	}
	getopt_of(&o, many, &flag, &said);
	is_int((long long)o.nlisten, 2, "--listen may repeat");
	is_str(o.listen[1], "b:2", "in order");
	is_int((long long)o.nset, 3, "short forms of --set");
	is_str(o.set[0], "hostname=h", "--hostname");
	is_str(o.set[1], "nul=accept", "--set");
	is_str(o.set[2], "relay-domains=*", "--relay-domains");
	is_str(o.file, "/etc/vratar/vratar.conf", "the default file");
	conf_options_fini(&o);
	free(said);
}

static void
make_files(void)
{
	EVP_PKEY *key = cert_key(), *other = cert_key();
	X509 *x = cert_make(key, "mx", NULL, false, NULL, NULL);

	cert_write("both", x, key, NULL);
	cert_write("cert", x, NULL, NULL);
	cert_write("key", NULL, key, NULL);
	cert_write("other", NULL, other, NULL);
	X509_free(x), EVP_PKEY_free(key), EVP_PKEY_free(other);
	write_file("good", "a@b.c OK\n");
	write_file("bad", "a@b.c OK\nd@e.f\n");
	write_file("inc", "hostname = mx\nnul = x\n");
	write_file("open", "hostname = \"mx\n");
}

int
main(void)
{
	static const char *const files[] = { "both", "cert", "key", "other",
	    "good", "bad", "inc", "open", "c" };
	size_t i;

	if (mkdtemp(dir) == NULL || chdir(dir) == -1)
		return 1;
	tls_init();
	make_files();
	test_mistakes();
	test_octets();
	test_defaults();
	test_everything();
	test_no_route();
	test_overrides();
	test_option_mistakes();
	test_getopt();
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir(dir);
	return tap_done();
}
