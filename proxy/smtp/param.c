/*
 * param - the ESMTP parameters behind the path of MAIL and RCPT.
 *
 * The table says of each parameter where it may stand, which extension it
 * belongs to, and which function knows its value. A value is looked at and
 * never changed: what the client wrote is what the backend gets.
 */

#include "smtp/param.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "smtp/address.h"
#include "smtp/command.h"
#include "smtp/xtext.h"

#define ENVID_MAX	100	/* RFC 3461 4.4, encoded */
#define ORCPT_MAX	500	/* 4.2, encoded */

/* Is value a good one? Notes in *out what others want to know of it. */
typedef bool param_check_fn(struct params *out, struct slice value,
    const struct ext_set *offered);

static param_check_fn check_size, check_body, check_auth, check_ret,
    check_envid, check_by, check_mt_priority, check_notify, check_orcpt;

static const struct row {
	const char	*keyword;
	unsigned	 where;		/* enum param_where */
	unsigned	 needs;		/* EXT_BIT() */
	param_check_fn	*check;		/* NULL: it has no value */
	const char	*bad;		/* the reply to a bad value */
} rows[PARAM_COUNT] = {
	[PARAM_SIZE] = { "SIZE", PARAM_MAIL, EXT_BIT(SIZE), check_size,
	    "501 5.5.4 SIZE is not a number" },
	[PARAM_BODY] = { "BODY", PARAM_MAIL, EXT_BIT(EIGHTBITMIME), check_body,
	    "501 5.5.4 BODY is none of those offered" },
	[PARAM_SMTPUTF8] = { "SMTPUTF8", PARAM_MAIL, EXT_BIT(SMTPUTF8), NULL,
	    "501 5.5.4 SMTPUTF8 has no value" },
	[PARAM_REQUIRETLS] = { "REQUIRETLS", PARAM_MAIL, EXT_BIT(REQUIRETLS),
	    NULL, "501 5.5.4 REQUIRETLS has no value" },
	[PARAM_AUTH] = { "AUTH", PARAM_MAIL, EXT_BIT(AUTH), check_auth,
	    "501 5.5.4 AUTH is neither a mailbox in xtext nor <>" },
	[PARAM_RET] = { "RET", PARAM_MAIL, EXT_BIT(DSN), check_ret,
	    "501 5.5.4 RET is neither FULL nor HDRS" },
	[PARAM_ENVID] = { "ENVID", PARAM_MAIL, EXT_BIT(DSN), check_envid,
	    "501 5.5.4 ENVID is not printable xtext" },
	[PARAM_BY] = { "BY", PARAM_MAIL, EXT_BIT(DELIVERBY), check_by,
	    "501 5.5.4 BY is no time with a mode" },
	[PARAM_MTPRIORITY] = { "MT-PRIORITY", PARAM_MAIL, EXT_BIT(MTPRIORITY),
	    check_mt_priority, "501 5.5.4 MT-PRIORITY is not from -9 to 9" },
	[PARAM_NOTIFY] = { "NOTIFY", PARAM_RCPT, EXT_BIT(DSN), check_notify,
	    "501 5.5.4 NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE, "
	    "DELAY" },
	[PARAM_ORCPT] = { "ORCPT", PARAM_RCPT, EXT_BIT(DSN), check_orcpt,
	    "501 5.5.4 ORCPT is no address type with an encoded address" },
};

/* Words of a value */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Split s at the first c: *head is before it, s becomes what is behind it.
   Without c all is head, and false. */
static bool
split(struct slice *s, char c, struct slice *head)
{
	const char *at = s->len > 0 ? memchr(s->p, c, s->len) : NULL;

	*head = *s;
	if (at == NULL) {
		*s = SLICE(s->p + s->len, 0);
		return false;
	}
	head->len = (size_t)(at - s->p);
	*s = SLICE(at + 1, s->len - head->len - 1);
	return true;
}

/* xtext whose decoded form is ASCII without controls: RFC 3461 4.2 and 4.4
   ask for that because the text ends in the header of a report. */
static bool
is_printable_xtext(struct slice s)
{
	struct buf plain;
	bool good;
	size_t i;

	if (!xtext_is_valid(s.p, s.len))
		return false;
	buf_init(&plain, s.len);
	good = xtext_decode(&plain, s.p, s.len) == 0;
	for (i = 0; i < plain.len; i++)
		if ((unsigned char)plain.p[i] > '~')
			good = false;
	buf_fini(&plain);
	return good;
}

static bool
is_mailbox(const char *p, size_t len)
{
	static const struct address_limits limits = {
		.local_part = 255, .domain = 255, .path = 256
	};
	struct address unused;
	const char *why;

	return address_parse_mailbox(&unused, p, len, &limits, &why) == 0;
}

/* Values of MAIL */

/* size-value = 1*20DIGIT; more digits are only a larger number. */
static bool
check_size(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	uint64_t size = 0;
	size_t i;

	(void)offered;
	for (i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(value.p[i] - '0');

		if (!is_digit(value.p[i]))
			return false;
		if (size > (UINT64_MAX - digit) / 10)
			size = UINT64_MAX;
		else
			size = size * 10 + digit;
	}
	out->size = size;
	return true;
}

static bool
check_body(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	if (slice_is_nocase(value, "7BIT"))
		out->body = BODY_7BIT;
	else if (slice_is_nocase(value, "8BITMIME"))
		out->body = BODY_8BITMIME;
	else if (slice_is_nocase(value, "BINARYMIME") &&
	    ext_has(offered, EXT_BIT(BINARYMIME) | EXT_BIT(CHUNKING)))
		out->body = BODY_BINARYMIME;
	else
		return false;
	return true;
}

static bool
check_auth(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	struct buf plain;
	bool good;

	(void)out, (void)offered;
	if (slice_is(value, "<>"))
		return true;
	if (!xtext_is_valid(value.p, value.len))
		return false;
	buf_init(&plain, value.len);
	good = xtext_decode(&plain, value.p, value.len) == 0 &&
	    is_mailbox(plain.p, plain.len);
	buf_fini(&plain);
	return good;
}

static bool
check_ret(struct params *out, struct slice value, const struct ext_set *offered)
{
	(void)out, (void)offered;
	return slice_is_nocase(value, "FULL") || slice_is_nocase(value, "HDRS");
}

static bool
check_envid(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	(void)out, (void)offered;
	return value.len <= ENVID_MAX && is_printable_xtext(value);
}

/*
 * by-value = by-time ";" by-mode [by-trace]
 * by-time  = ["-" / "+"] 1*9DIGIT	; more than 0 when by-mode is "R"
 * by-mode  = "N" / "R"
 * by-trace = "T"
 */
static bool
check_by(struct params *out, struct slice value, const struct ext_set *offered)
{
	bool negative, zero = true, returns;
	struct slice time, mode = value;
	size_t i;

	(void)out, (void)offered;
	if (!split(&mode, ';', &time) || time.len == 0)
		return false;
	negative = time.p[0] == '-';
	if (negative || time.p[0] == '+')
		time = SLICE(time.p + 1, time.len - 1);
	if (time.len < 1 || time.len > 9)
		return false;
	for (i = 0; i < time.len; i++) {
		if (!is_digit(time.p[i]))
			return false;
		if (time.p[i] != '0')
			zero = false;
	}
	returns = slice_is_nocase(mode, "R") || slice_is_nocase(mode, "RT");
	if (returns)
		return !negative && !zero;
	return slice_is_nocase(mode, "N") || slice_is_nocase(mode, "NT");
}

/* priority-value = (["-"] %x31-39) / "0" */
static bool
check_mt_priority(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	(void)out, (void)offered;
	if (value.len == 2 && value.p[0] == '-')
		return is_digit(value.p[1]) && value.p[1] != '0';
	return value.len == 1 && is_digit(value.p[0]);
}

/* Values of RCPT */

/* "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) */
static bool
check_notify(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	struct slice word;
	bool more;

	(void)offered;
	if (slice_is_nocase(value, "NEVER")) {
		out->never = true;
		return true;
	}
	do {
		more = split(&value, ',', &word);
		if (!slice_is_nocase(word, "SUCCESS") &&
		    !slice_is_nocase(word, "FAILURE") &&
		    !slice_is_nocase(word, "DELAY"))
			return false;
	} while (more);
	return true;
}

static bool
is_8bit(struct slice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

static void
add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_addc(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		buf_addc(out, (char)(0xe0 | c >> 12));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		buf_addc(out, (char)(0xf0 | c >> 18));
		buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_addc(out, (char)(0x80 | (c & 0x3f)));
}

/*
 * EmbeddedUnicodeChar = "\x{" HEXPOINT "}": two to six upper-case digits for
 * what may not stand there itself. Appends the character to out. Returns the
 * length of the encoded form, or 0.
 */
static size_t
unquote_point(struct buf *out, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at;
	uint32_t c = 0;
	size_t i;

	if (s.len < 4 || memcmp(s.p, "\\x{", 3) != 0)
		return 0;
	for (i = 3; i < s.len && i < 9 && s.p[i] != '}'; i++) {
		at = s.p[i] != '\0' ? strchr(digits, s.p[i]) : NULL;
		if (at == NULL)
			return 0;
		c = c << 4 | (uint32_t)(at - digits);
	}
	if (i < 5 || i == s.len || s.p[i] != '}')
		return 0;
	if (c < ' ' || c == 0x7f || c > 0x10ffff)
		return 0;
	/* A surrogate becomes no valid UTF-8, and the mailbox is refused. */
	add_utf8(out, c);
	return i + 1;
}

/*
 * utf-8-addr-xtext and utf-8-addr-unitext of RFC 6533 section 3: printable
 * ASCII without "+", "=" and backslash, \x{HH}, and UTF-8 as it is where
 * SMTPUTF8 was offered. Behind the quoting is a Mailbox.
 */
static bool
is_utf8_mailbox(struct slice s)
{
	struct buf plain;
	bool good;
	size_t n;

	buf_init(&plain, s.len);
	for (; s.len > 0; s = SLICE(s.p + n, s.len - n)) {
		if (*s.p == '\\') {
			n = unquote_point(&plain, s);
		} else {
			n = *s.p == '+' || *s.p == '=' ? 0 :
			    utf8_length(s.p, s.len);
			buf_add(&plain, s.p, n);
		}
		if (n == 0)
			break;
	}
	good = s.len == 0 && is_mailbox(plain.p, plain.len);
	buf_fini(&plain);
	return good;
}

/* Atom = 1*atext */
static bool
is_atom(struct slice s)
{
	static const char others[] = "!#$%&'*+-/=?^_`{|}~";
	size_t i;

	for (i = 0; i < s.len; i++) {
		char c = s.p[i], lower = (char)(c | 0x20);

		if (!is_digit(c) && !(lower >= 'a' && lower <= 'z') &&
		    (c == '\0' || strchr(others, c) == NULL))
			return false;
	}
	return s.len > 0;
}

/* original-recipient-address = addr-type ";" xtext, or RFC 6533's "utf-8;" */
static bool
check_orcpt(struct params *out, struct slice value,
    const struct ext_set *offered)
{
	struct slice type, address = value;

	(void)out;
	if (value.len > ORCPT_MAX || !split(&address, ';', &type) ||
	    !is_atom(type) || address.len == 0)
		return false;
	if (!slice_is_nocase(type, "utf-8"))
		return is_printable_xtext(address);
	if (is_8bit(address) && !ext_has(offered, EXT_BIT(SMTPUTF8)))
		return false;
	return is_utf8_mailbox(address);
}

/* Parameters */

/* esmtp-param = esmtp-keyword ["=" esmtp-value] */
static const struct row *
find_row(struct slice word, struct slice *value, bool *has_value)
{
	struct slice keyword;
	size_t i;

	*has_value = split(&word, '=', &keyword);
	*value = word;
	for (i = 0; i < PARAM_COUNT; i++)
		if (slice_is_nocase(keyword, rows[i].keyword))
			return &rows[i];
	return NULL;
}

/* NULL, or the reply that refuses this parameter. */
static const char *
take_param(struct params *out, enum param_where where, struct slice word,
    const struct ext_set *offered)
{
	struct slice value;
	bool has_value;
	const struct row *row = find_row(word, &value, &has_value);
	unsigned bit;

	if (row == NULL || !(row->where & where))
		return "555 5.5.4 unknown parameter";
	if (!ext_has(offered, row->needs))
		return "555 5.5.4 parameter of an extension that was not "
		    "offered";
	bit = 1u << (row - rows);
	if (out->present & bit)
		return "501 5.5.4 parameter given twice";
	out->present |= bit;
	if (row->check == NULL)
		return has_value ? row->bad : NULL;
	/* esmtp-value has at least one octet. */
	if (value.len == 0 || !row->check(out, value, offered))
		return row->bad;
	return NULL;
}

int
params_parse(struct params *out, enum param_where where, struct slice s,
    const struct ext_set *offered, const char **reply)
{
	struct slice word;

	*out = (struct params){ .text = SLICE(s.p, 0) };
	while (slice_word(&s, &word)) {
		if (offered == NULL)
			*reply = "555 5.5.4 no parameters after HELO";
		else
			*reply = take_param(out, where, word, offered);
		if (*reply != NULL)
			return -1;
		if (out->text.len == 0)
			out->text.p = word.p;
		out->text.len = (size_t)(word.p + word.len - out->text.p);
	}
	return 0;
}

/*
 * Is this a parameter that a backend which does not know it need not see?
 * SIZE we have checked, BODY=7BIT says what is so without it, and AUTH is a
 * remark for servers that care (RFC 4954 section 5).
 */
static bool
may_be_dropped(const struct row *row, struct slice value)
{
	return row == &rows[PARAM_SIZE] || row == &rows[PARAM_AUTH] ||
	    (row == &rows[PARAM_BODY] && slice_is_nocase(value, "7BIT"));
}

/* The extensions a parameter with this value needs at the backend. */
static unsigned
needed(const struct row *row, struct slice value)
{
	if (row == &rows[PARAM_BODY] && slice_is_nocase(value, "BINARYMIME"))
		return EXT_BIT(BINARYMIME) | EXT_BIT(CHUNKING);
	if (row == &rows[PARAM_ORCPT] && is_8bit(value))
		return row->needs | EXT_BIT(SMTPUTF8);
	return row->needs;
}

unsigned
params_forward(struct buf *out, struct slice text,
    const struct ext_set *backend)
{
	struct slice word, value;
	const struct row *row;
	unsigned missing;
	bool unused;

	while (slice_word(&text, &word)) {
		row = find_row(word, &value, &unused);
		if (row == NULL)
			continue;
		missing = needed(row, value) & ~backend->bits;
		if (missing == 0) {
			buf_addc(out, ' ');
			buf_add(out, word.p, word.len);
		} else if (!may_be_dropped(row, value)) {
			/* One of them: the lowest bit. */
			return missing & -missing;
		}
	}
	return 0;
}
