/* ESMTP keywords: what a backend may say, and what a client gets to see. */

#include "smtp/ext.h"

#include "t/tap.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define MECH(m)		(1u << AUTH_##m)
#define XATTR(a)	(1u << XATTR_##a)

/* An EHLO reply with these lines behind the name. */
static struct ext_set
parse(const char *lines)
{
	struct ext_set e;
	struct reply r;

	reply_init(&r);
	reply_set(&r, 250, "mx.example greets you\n%s", lines);
	memset(&e, 0xff, sizeof(e));
	ext_parse(&e, &r);
	reply_fini(&r);
	return e;
}

static const struct {
	const char	*lines;
	unsigned	 bits;
} keywords[] = {
	{ "PIPELINING", EXT_BIT(PIPELINING) },
	{ "pipelining\n8bitmime", EXT_BIT(PIPELINING) | EXT_BIT(EIGHTBITMIME) },
	{ "SIZE", EXT_BIT(SIZE) },
	{ "SIZE 0", EXT_BIT(SIZE) },
	{ "ENHANCEDSTATUSCODES\nCHUNKING\nBINARYMIME",
	    EXT_BIT(ENHANCED) | EXT_BIT(CHUNKING) | EXT_BIT(BINARYMIME) },
	{ "STARTTLS\nSMTPUTF8\nDSN\nREQUIRETLS", EXT_BIT(STARTTLS) |
	    EXT_BIT(SMTPUTF8) | EXT_BIT(DSN) | EXT_BIT(REQUIRETLS) },
	{ "DSN  \n", EXT_BIT(DSN) },
	{ "  DSN", EXT_BIT(DSN) },
	{ "SMTPUTF8 x=y", EXT_BIT(SMTPUTF8) },
	{ "AUTH PLAIN", EXT_BIT(AUTH) },
	{ "AUTH=PLAIN", EXT_BIT(AUTH) },
	{ "XCLIENT NAME", EXT_BIT(XCLIENT) },
	{ "XFORWARD ADDR", EXT_BIT(XFORWARD) },
	{ "LIMITS RCPTMAX=5", EXT_BIT(LIMITS) },
	{ "DELIVERBY", EXT_BIT(DELIVERBY) },
	{ "MT-PRIORITY", EXT_BIT(MTPRIORITY) },

	/* not offered, or not to us */
	{ "", 0 },
	{ "\n\n", 0 },
	{ "VRFY\nETRN\nX-EXPS GSSAPI\nXXXXXXXA", 0 },
	{ "SIZES\nSIZ\nDSNX\nDSN=1", 0 },
	{ "SIZE x", 0 },
	{ "SIZE -1", 0 },
	{ "SIZE 1k", 0 },
	{ "SIZE 123456789012345678901", 0 },
	{ "SIZE 5\nSIZE x", 0 },
	{ "AUTH", 0 },
	{ "AUTH=", 0 },
	{ "AUTH GSSAPI NTLM EXTERNAL SCRAM-SHA-256-PLUS PLAINX", 0 },
	{ "XCLIENT", 0 },
	{ "XCLIENT FOO", 0 },
	{ "XFORWARD", 0 },
	{ "XFORWARD LOGIN", 0 },
	{ "LIMITS RCPTMAX", 0 },
	{ "LIMITS RCPTMAX=", 0 },
	{ "LIMITS RCPTMAX=0", 0 },
	{ "LIMITS RCPTMAX=1000000", 0 },
	{ "LIMITS RCPTMAX=5 MAILMAX=x", 0 },
	{ "DELIVERBY x", 0 },
	{ "DELIVERBY 1234567890", 0 },
	{ "MT-PRIORITY 1234567890123456", 0 },
	{ "MT-PRIORITY \xc3\xa4", 0 },
};

static void
test_keywords(void)
{
	for (size_t i = 0; i < COUNT(keywords); i++)
		is_int(parse(keywords[i].lines).bits, keywords[i].bits,
		    keywords[i].lines);
}

static void
test_first_line(void)
{
	struct ext_set e;
	struct reply r;

	reply_init(&r);
	ext_parse(&e, &r);
	is_int(e.bits, 0, "an empty reply offers nothing");
	reply_set(&r, 250, "DSN");
	ext_parse(&e, &r);
	is_int(e.bits, 0, "the first line is a name");
	reply_fini(&r);
}

static void
test_parameters(void)
{
	struct ext_set e = parse("SIZE 10240000\nauth plain Login GSSAPI\n"
	    "AUTH=SCRAM-SHA-256 LOGIN\nXCLIENT NAME ADDR X LOGIN\n"
	    "XFORWARD NAME SOURCE LOGIN\n"
	    "LIMITS RCPTMAX=999999 FOO RCPTDOMAINMAX=3 MAILMAX=7 BAR=\n"
	    "DELIVERBY 240,foo\nMT-PRIORITY MIXER");

	is_int((long long)e.size, 10240000, "SIZE");
	is_int(e.auth, MECH(PLAIN) | MECH(LOGIN) | MECH(SCRAM_SHA_256),
	    "mechanisms of both forms of AUTH");
	is_int(e.xclient, XATTR(NAME) | XATTR(ADDR) | XATTR(LOGIN), "XCLIENT");
	is_int(e.xforward, XATTR(NAME) | XATTR(SOURCE), "XFORWARD");
	is_int(e.rcptmax, 999999, "RCPTMAX");
	is_int(e.mailmax, 7, "MAILMAX");
	is_int(e.rcptdomainmax, 3, "RCPTDOMAINMAX");
	is_int(e.deliverby_min, 240, "DELIVERBY");
	is_str(e.mt_priority, "MIXER", "MT-PRIORITY");
	ok(ext_has(&e, EXT_BIT(SIZE) | EXT_BIT(AUTH)), "both are there");
	ok(!ext_has(&e, EXT_BIT(SIZE) | EXT_BIT(DSN)), "one is not there");

	ok(parse("SIZE 18446744073709551615").size == UINT64_MAX, "2^64-1");
	ok(parse("SIZE 18446744073709551616").size == UINT64_MAX, "2^64");
	ok(parse("SIZE 99999999999999999999").size == UINT64_MAX, "20 digits");
	is_int(parse("LIMITS RCPTMAX=5 MAILMAX=0").rcptmax, 0,
	    "broken LIMITS leave no limit");
}

static void
test_names(void)
{
	for (int i = 0; i < AUTH_MECHS; i++) {
		const char *name = auth_mech_name((enum auth_mech)i);

		is_int(auth_mech_find(SLICE_STR(name)), i, name);
	}
	for (int i = 0; i < XATTRS; i++) {
		const char *name = xattr_name((enum xattr)i);

		is_int(xattr_find(SLICE_STR(name)), i, name);
	}
	is_int(auth_mech_find(SLICE_STR("plain")), AUTH_PLAIN, "any case");
	is_int(auth_mech_find(SLICE_STR("PLAI")), -1, "not a part");
	is_int(auth_mech_find(SLICE_STR("SCRAM-SHA-1-PLUS")), -1, "not -PLUS");
	is_int(auth_mech_find(SLICE_STR("")), -1, "not nothing");
	is_int(xattr_find(SLICE_STR("REVERSE-NAME")), -1, "not nearly");
}

#define ALWAYS	(EXT_BIT(PIPELINING) | EXT_BIT(SIZE) | EXT_BIT(ENHANCED) | \
		    EXT_BIT(CHUNKING))

static const char everything[] = "PIPELINING\nSIZE 5000\nENHANCEDSTATUSCODES\n"
    "CHUNKING\nSTARTTLS\nXCLIENT NAME\nXFORWARD NAME\n8BITMIME\nBINARYMIME\n"
    "SMTPUTF8\nDSN\nAUTH PLAIN\nREQUIRETLS\nLIMITS RCPTMAX=50 MAILMAX=2\n"
    "DELIVERBY 9\nMT-PRIORITY MIXER";

static const struct {
	const char	*name;
	struct ext_ours	 ours;
	const char	*backend;	/* NULL: unknown */
	unsigned	 want;
} intersections[] = {
	{ "unknown backend", { .tls = true, .auth = true, .binary = true,
	    .rcptmax = 100 }, NULL, ALWAYS },
	{ "unknown backend, our own", { .starttls = true,
	    .xclient = XATTR(NAME) }, NULL,
	    ALWAYS | EXT_BIT(STARTTLS) | EXT_BIT(XCLIENT) },
	{ "a poor backend", { .auth = true, .tls = true }, "HELP", ALWAYS },
	{ "a rich one, nothing of ours", { .size = 0 }, everything,
	    ALWAYS | EXT_BIT(EIGHTBITMIME) | EXT_BIT(SMTPUTF8) | EXT_BIT(DSN) |
	    EXT_BIT(LIMITS) | EXT_BIT(DELIVERBY) | EXT_BIT(MTPRIORITY) },
	{ "a rich one, all of ours", { .starttls = true, .tls = true,
	    .auth = true, .xclient = XATTR(ADDR), .binary = true }, everything,
	    ((1u << EXT_COUNT) - 1) & ~EXT_BIT(XFORWARD) },
	{ "SMTPUTF8 without 8BITMIME", { .size = 0 }, "SMTPUTF8", ALWAYS },
	{ "BINARYMIME without CHUNKING", { .binary = true }, "BINARYMIME",
	    ALWAYS },
	{ "LIMITS without one that we pass on", { .size = 0 },
	    "LIMITS MAILMAX=3", ALWAYS },
	{ "LIMITS of ours", { .rcptmax = 9 }, "LIMITS MAILMAX=3",
	    ALWAYS | EXT_BIT(LIMITS) },
};

static struct ext_set
intersect(const struct ext_ours *ours, const char *backend)
{
	struct ext_set out, b;

	if (backend != NULL)
		b = parse(backend);
	memset(&out, 0xff, sizeof(out));
	ext_intersect(&out, ours, backend ? &b : NULL);
	return out;
}

static void
test_intersect(void)
{
	for (size_t i = 0; i < COUNT(intersections); i++)
		is_int(intersect(&intersections[i].ours,
			   intersections[i].backend).bits,
		    intersections[i].want, intersections[i].name);
}

static void
test_smaller(void)
{
	struct ext_ours ours = { .size = 4000, .rcptmax = 100 };
	struct ext_set e = intersect(&ours, everything);

	is_int((long long)e.size, 4000, "our SIZE is the smaller one");
	is_int(e.rcptmax, 50, "the backend's RCPTMAX is the smaller one");
	is_int(e.mailmax, 0, "no MAILMAX");
	is_int(e.auth, 0, "no AUTH, no mechanisms");
	is_int(e.xclient, 0, "the backend's XCLIENT is none of the client's");
	is_int(e.xforward, 0, "nor its XFORWARD");
	ours.size = 6000;
	is_int((long long)intersect(&ours, everything).size, 5000,
	    "the backend's SIZE");
	is_int((long long)intersect(&ours, "SIZE 0").size, 6000,
	    "no limit of the backend's");
	is_int((long long)intersect(&ours, NULL).size, 6000, "no backend");
	ours.size = 0;
	is_int((long long)intersect(&ours, everything).size, 5000,
	    "no limit of ours");
	is_int((long long)intersect(&ours, "DSN").size, 0, "no limit at all");
}

static void
test_format(void)
{
	struct ext_ours ours = { .auth = true, .xclient = XATTR(NAME) |
	    XATTR(REVERSE_NAME), .starttls = true, .rcptmax = 100 };
	struct ext_set e = intersect(&ours, everything);
	struct reply r;

	reply_init(&r);
	ext_format(&e, "mx1.example", &r);
	is_int(r.code, 250, "code");
	is_str(r.text.p, "mx1.example\nPIPELINING\nSIZE 5000\n"
	    "ENHANCEDSTATUSCODES\nCHUNKING\nSTARTTLS\n"
	    "XCLIENT NAME REVERSE_NAME\n8BITMIME\nSMTPUTF8\nDSN\nAUTH PLAIN\n"
	    "LIMITS RCPTMAX=50\nDELIVERBY 9\nMT-PRIORITY MIXER", "text");
	is_int(r.lines, 14, "lines");

	e = (struct ext_set){ .bits = 0 };
	ext_format(&e, "mx1.example", &r);
	is_str(r.text.p, "mx1.example", "nothing to offer");
	is_int(r.lines, 1, "is still one line");

	e.bits = EXT_BIT(SIZE) | EXT_BIT(DELIVERBY) | EXT_BIT(MTPRIORITY);
	ext_format(&e, "mx1.example", &r);
	is_str(r.text.p, "mx1.example\nSIZE\nDELIVERBY\nMT-PRIORITY",
	    "keywords without parameters");
	reply_fini(&r);
}

int
main(void)
{
	test_keywords();
	test_first_line();
	test_parameters();
	test_names();
	test_intersect();
	test_smaller();
	test_format();
	return tap_done();
}
