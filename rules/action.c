/*
 * action - what a rule can do, and at which stages.
 */

#include "rules/rules_impl.h"

#define AT(s)		(1u << RULES_##s)
#define HEADERS		(AT(HEADER) | AT(MIME_HEADER) | AT(NESTED_HEADER))
#define CONTENT		(AT(HEADER) | AT(BODY) | AT(EOM))
#define ENVELOPE	(AT(CONNECT) | AT(HELO) | AT(AUTH) | AT(MAIL) |	\
			 AT(RCPT))
#define REPLY		(ENVELOPE | AT(DATA) | CONTENT)
#define MESSAGE		(AT(MAIL) | AT(RCPT) | AT(DATA) | CONTENT)
#define ANY		(~0u)

static const struct {
	const char	*name;
	unsigned	 stages;
	bool		 final;
} actions[A_NACTIONS] = {
	[A_ACCEPT]	  = { "accept",			REPLY,	 true },
	[A_REJECT]	  = { "reject",			REPLY,	 true },
	[A_TEMPFAIL]	  = { "tempfail",		REPLY,	 true },
	[A_DISCARD]	  = { "discard",		MESSAGE, true },
	[A_SCORE]	  = { "score",			ANY,	 false },
	[A_LOG]		  = { "log",			ANY,	 false },
	[A_SET]		  = { "set",			ANY,	 false },
	[A_QUARANTINE]	  = { "quarantine",		MESSAGE, false },
	[A_REDIRECT]	  = { "redirect recipient",	MESSAGE, false },
	[A_ADD_RCPT]	  = { "add recipient",		MESSAGE, false },
	[A_DELETE_RCPT]	  = { "delete recipient",	MESSAGE, false },
	[A_ADD_HEADER]	  = { "add header",		MESSAGE, false },
	[A_INSERT_HEADER] = { "insert header",		MESSAGE, false },
	[A_CHANGE_HEADER] = { "change header",		MESSAGE, false },
	[A_DELETE_HEADER] = { "delete header",		MESSAGE, false },
	[A_DELAY]	  = { "delay",			REPLY,	 false },
	[A_ROUTE]	  = { "route to",		ENVELOPE, false },
	[A_CALL]	  = { "call",			ANY,	 false },
	[A_ACCESS]	  = { "use access",		ENVELOPE | AT(DATA) |
							AT(EOM), false },
	[A_HEADER_CHECKS] = { "use header_checks",	HEADERS, false },
	[A_MIME_HEADER_CHECKS] = { "use mime_header_checks", HEADERS, false },
	[A_NESTED_HEADER_CHECKS] = { "use nested_header_checks", HEADERS,
	    false },
	[A_BODY_CHECKS]	  = { "use body_checks",	AT(BODY), false },
	[A_GROUP]	  = { "if",			ANY,	 false },
};

const char *
action_name(enum action a)
{
	return actions[a].name;
}

bool
action_is_final(enum action a)
{
	return actions[a].final;
}

bool
action_at(enum action a, enum rules_stage stage)
{
	return actions[a].stages & 1u << stage;
}
