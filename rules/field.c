/*
 * field - what rules can ask about: the rows of field.def.
 *
 * A few fields are parts of others (rcpt.domain of rcpt) or are known to the
 * rules themselves (score, time): the environment is never asked for those.
 */

#include <string.h>

#include "rules/rules_impl.h"

#define AT(s)		(1u << (s))
#define FROM(s)		(~0u << (s) & (AT(RULES_NSTAGES) - 1))
/* Facts about a message end with the message. */
#define MESSAGE(s)	(FROM(s) & ~AT(RULES_DISCONNECT))

#define FROM_CONNECT	FROM(RULES_CONNECT)
#define FROM_HELO	FROM(RULES_HELO)
#define FROM_AUTH	FROM(RULES_AUTH)
#define FROM_MAIL	MESSAGE(RULES_MAIL)
#define FROM_RCPT	MESSAGE(RULES_RCPT)
#define FROM_BODY	MESSAGE(RULES_BODY)
#define AT_RCPT		AT(RULES_RCPT)
#define AT_HEADER	(AT(RULES_HEADER) | AT(RULES_MIME_HEADER) |	\
			 AT(RULES_NESTED_HEADER))
#define AT_BODY		AT(RULES_BODY)
#define AT_EOM		AT(RULES_EOM)

static const struct {
	const char	*name;
	enum rules_type	 type;
	unsigned	 stages;
	const char	*help;
} fields[] = {
#define FIELD(id, name_, type_, stages_, help_)				\
	[FIELD_##id] = { (name_), RULES_##type_, (stages_), (help_) },
#include "rules/field.def"
#undef FIELD
};

static const char *const stages[RULES_NSTAGES] = {
	[RULES_CONNECT]		= "connect",
	[RULES_HELO]		= "helo",
	[RULES_AUTH]		= "auth",
	[RULES_MAIL]		= "mail",
	[RULES_RCPT]		= "rcpt",
	[RULES_DATA]		= "data",
	[RULES_HEADER]		= "header",
	[RULES_MIME_HEADER]	= "mime-header",
	[RULES_NESTED_HEADER]	= "nested-header",
	[RULES_BODY]		= "body",
	[RULES_EOM]		= "eom",
	[RULES_DISCONNECT]	= "disconnect",
};

const char *
rules_stage_name(enum rules_stage stage)
{
	return stages[stage];
}

const char *
rules_field_name(enum rules_field f)
{
	return fields[f].name;
}

enum rules_type
rules_field_type(enum rules_field f)
{
	return fields[f].type;
}

const char *
rules_field_help(enum rules_field f)
{
	return fields[f].help;
}

bool
field_at(enum rules_field f, enum rules_stage stage)
{
	return fields[f].stages & AT(stage);
}

enum rules_stage
rules_field_from(enum rules_field f)
{
	enum rules_stage s = RULES_CONNECT;

	while (!field_at(f, s))
		s++;
	return s;
}

bool
field_has_name(enum rules_field f)
{
	return f == FIELD_HEADER || f == FIELD_HEADERS ||
	    f == FIELD_ADDRESSES || f == FIELD_AGE;
}

enum rules_field
field_find(struct slice name)
{
	enum rules_field f = 0;

	while (f < RULES_NFIELDS && !slice_is(name, fields[f].name))
		f++;
	return f;
}

enum rules_field
field_source(enum rules_field f)
{
	switch (f) {
	case FIELD_MAIL_LOCAL:
	case FIELD_MAIL_DOMAIN:
	case FIELD_MAIL_DETAIL:
		return FIELD_MAIL;
	case FIELD_RCPT_LOCAL:
	case FIELD_RCPT_DOMAIN:
	case FIELD_RCPT_DETAIL:
		return FIELD_RCPT;
	default:
		return f;
	}
}

enum rules_type
element_type(enum rules_type list)
{
	return list == RULES_STRINGS ? RULES_STRING :
	    list == RULES_NUMBERS ? RULES_NUMBER : RULES_ADDRESS;
}

static const struct {
	const char	*name, *phrase;
} types[] = {
	[RULES_STRING]	  = { "string",	   "a string" },
	[RULES_NUMBER]	  = { "number",	   "a number" },
	[RULES_BOOLEAN]	  = { "boolean",   "yes or no" },
	[RULES_IP]	  = { "ip",	   "an IP address" },
	[RULES_ADDRESS]	  = { "address",   "a mail address" },
	[RULES_STRINGS]	  = { "strings",   "a list of strings" },
	[RULES_ADDRESSES] = { "addresses", "a list of mail addresses" },
	[RULES_NUMBERS]	  = { "numbers",   "a list of numbers" },
};

const char *
rules_type_name(enum rules_type type)
{
	return types[type].name;
}

const char *
type_name(enum rules_type type)
{
	return types[type].phrase;
}
