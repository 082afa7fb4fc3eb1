/*
 * conf_rows - the tables of settings made from conf.def, and the questions
 * they ask of a text: is this a host name, a path, a domain?
 *
 * What is asked here is answered by the text and this machine alone. What
 * needs two settings, or a file's content, is asked in conf.c.
 */

#include <sys/stat.h>
#include <sys/un.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <idn2.h>

#include "base/mem.h"
#include "base/net.h"
#include "proxy/conf_impl.h"
#include "smtp/address.h"

#define DOMAIN_MAX	255

/* Names of hosts and domains */

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9');
}

/* RFC 1123 2.1: labels of letters, digits and inner hyphens. */
bool
is_hostname(const char *text)
{
	size_t label = 0, len = strlen(text), i;

	for (i = 0; i <= len; i++) {
		if (text[i] == '.' || text[i] == '\0') {
			if (label == 0 || label > 63 || text[i - 1] == '-')
				return false;
			label = 0;
		} else if (is_letter_or_digit(text[i]) ||
		    (text[i] == '-' && label > 0)) {
			label++;
		} else {
			return false;
		}
	}
	return len <= DOMAIN_MAX;
}

static bool
is_literal(const char *text)
{
	size_t len = strlen(text);

	return len > 2 && text[0] == '[' && text[len - 1] == ']' &&
	    strpbrk(text, " <>\\") == NULL;
}

static void
lower(char *p)
{
	for (; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 'a' - 'A');
}

/* NULL, or A-labels; ours to free. */
static char *
to_ascii(const char *text)
{
	char *ascii, *copy;

	if (idn2_to_ascii_8z(text, &ascii, IDN2_NONTRANSITIONAL |
	    IDN2_NFC_INPUT) != IDN2_OK)
		return NULL;
	copy = xstrdup(ascii);
	idn2_free(ascii);
	return copy;
}

char *
domain_normal(const char *text)
{
	const char *name = text + (text[0] == '.');
	char *ascii, *normal;

	if (is_literal(text)) {
		normal = xstrdup(text);
		lower(normal);
		return normal;
	}
	if ((ascii = to_ascii(name)) == NULL)
		return NULL;
	lower(ascii);
	normal = is_hostname(ascii) ?
	    xasprintf("%s%s", name > text ? "." : "", ascii) : NULL;
	free(ascii);
	return normal;
}

static const char *
check_domain(const char *text)
{
	char *normal;

	if (strcmp(text, "*") == 0)
		return NULL;
	if ((normal = domain_normal(text)) == NULL)
		return "is not a domain (try example.org, .example.org, *)";
	free(normal);
	return NULL;
}

static const char *
check_hostname(const char *text)
{
	return is_hostname(text) ? NULL :
	    "is not a host name (try mx1.example.org)";
}

static const char *
check_dns_server(const char *text)
{
	size_t len = strcspn(text, "@");
	const char *port = text[len] == '@' ? text + len + 1 : "53";
	struct netaddr a;

	if (netaddr_parse_ip(&a, text, len) == -1 || *port == '\0' ||
	    strlen(port) > 5 || port[strspn(port, "0123456789")] != '\0' ||
	    strtol(port, NULL, 10) < 1 || strtol(port, NULL, 10) > 65535)
		return "is not a name server (try 192.0.2.53, 192.0.2.53@5353)";
	return NULL;
}

/* RFC 8601 would take anything in quotes; a field that has it then would be
   nobody's who writes it without. */
static const char *
check_authserv_id(const char *text)
{
	size_t len = strcspn(text, "()<>@,;:\\\"/[]?=");
	const char *p;

	for (p = text; *p > ' ' && *p < 127; p++)
		;
	return *p == '\0' && text[len] == '\0' && len > 0 ? NULL :
	    "is not a name of a service (try mx1.example.org)";
}

/* Files and users */

static const char *
check_path(const char *text)
{
	return *text != '\0' ? NULL : "is not a path";
}

static const char *
check_socket_path(const char *text)
{
	if (text[0] != '/')
		return "is not an absolute path";
	if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "is too long for the path of a socket";
	return NULL;
}

static const char *
check_directory(const char *text)
{
	struct stat st;

	return stat(text, &st) == 0 && S_ISDIR(st.st_mode) ? NULL :
	    "is not a directory";
}

static const char *
check_quarantine(const char *text)
{
	static const struct address_limits limits = {
		.local_part = 1000, .domain = 1000, .path = 1000
	};
	const char *why, *arg = strchr(text, ':');
	struct address a;

	if (strcmp(text, "off") == 0)
		return NULL;
	if (arg != NULL && strncmp(text, "maildir:/", 9) == 0)
		return check_directory(arg + 1) == NULL ? NULL :
		    "does not lead to a directory";
	if (arg != NULL && strncmp(text, "redirect:", 9) == 0)
		return address_parse_mailbox(&a, arg + 1, strlen(arg + 1),
		    &limits, &why) == 0 ? NULL : "does not have an address";
	return "is not a quarantine (try off, maildir:/var/spool/quarantine, "
	    "redirect:quarantine@example.org)";
}

static const char *
check_user(const char *text)
{
	return getpwnam(text) != NULL ? NULL : "is not a user of this system";
}

static const char *
check_log(const char *text)
{
	if (strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0 ||
	    (strncmp(text, "file:", 5) == 0 && text[5] != '\0'))
		return NULL;
	return "is not a place for a log (try stderr, syslog, "
	    "file:/var/log/vratar.log)";
}

/* RFC 5321 4.1.2: what may stand in a local part without quotes. */
static const char *
check_delimiter(const char *text)
{
	return text[strspn(text, "!#$%&'*+-/=?^_`{|}~")] == '\0' ? NULL :
	    "is not a set of delimiters (try +, +-)";
}

static const char *
check_identity(const char *text)
{
	return strcmp(text, "tproxy") == 0 ?
	    "is not available in this version" : NULL;
}

/* Words, in the order of their enum */

static const char *const word_log_format[] = { "logfmt", "json", NULL };
static const char *const word_log_level[] = { "info", "debug", NULL };
static const char *const word_line_endings[] = {
	[LINES_REJECT] = "reject", [LINES_NORMALIZE] = "normalize", NULL
};
static const char *const word_nul[] = {
	[NUL_REJECT] = "reject", [NUL_ACCEPT] = "accept", NULL
};
static const char *const word_listen_tls[] = { "starttls", "implicit", NULL };
static const char *const word_starttls[] = {
	[STARTTLS_OFF] = "off", [STARTTLS_OPTIONAL] = "optional",
	[STARTTLS_REQUIRED] = "required", NULL
};
static const char *const word_ask_certificate[] = {
	[TLS_ASK_OFF] = "off", [TLS_ASK] = "ask",
	[TLS_ASK_REQUIRE] = "require", NULL
};
static const char *const word_identity[] = {
	[IDENTITY_AUTO] = "auto", [IDENTITY_XCLIENT] = "xclient",
	[IDENTITY_XFORWARD] = "xforward", [IDENTITY_PROXY_V1] = "proxy-v1",
	[IDENTITY_PROXY_V2] = "proxy-v2", [IDENTITY_NONE] = "none", NULL
};
static const char *const word_open[] = {
	[OPEN_RCPT] = "rcpt", [OPEN_MAIL] = "mail", [OPEN_CONNECT] = "connect",
	NULL
};
static const char *const word_tls[] = {
	[TLS_OFF] = "off", [TLS_MAY] = "may", [TLS_ENCRYPT] = "encrypt",
	[TLS_VERIFY] = "verify", NULL
};

/* In the order of enum verdict, from accept on. */
static const char *const word_on_failure[] = {
	"accept", "reject", "tempfail", NULL
};
static const char *const word_mode[] = { "enforce", "observe", NULL };

/* Rows */

#define ANY		.check = NULL
#define CHECK(f)	.check = f
#define WORDS(w)	.words = w
#define RANGE(lo, hi)	.min = lo, .max = hi
#define IDENTITY_WORDS	.words = word_identity, .check = check_identity

/* Not one macro for all: RANGE() has to expand in the last of them. */
#define END	{ .name = NULL }

const struct setting conf_rows[] = {
#define CONF(member, name, type, d, allowed, text) \
	SETTING(conf, member, name, type, .def = d, .help = text, \
	    allowed),
#include "proxy/conf.def"
	END
};

const struct setting listen_rows[] = {
#define LISTEN(member, name, type, d, allowed, text) \
	SETTING(conf_listener, member, name, type, .def = d, .help = text, \
	    allowed),
#include "proxy/conf.def"
	END
};

const struct setting backend_rows[] = {
#define BACKEND(member, name, type, d, allowed, text) \
	SETTING(backend_draft, member, name, type, .def = d, .help = text, \
	    allowed),
#include "proxy/conf.def"
	END
};

const struct setting route_rows[] = {
#define ROUTE(member, name, type, d, allowed, text) \
	SETTING(route_draft, member, name, type, .def = d, .help = text, \
	    allowed),
#include "proxy/conf.def"
	END
};

const struct setting filter_rows[] = {
#define FILTER(member, name, type, d, allowed, text) \
	SETTING(filter_draft, member, name, type, .def = d, .help = text, \
	    allowed),
#include "proxy/conf.def"
	END
};
