/*
 * access - who may send to whom: relay-domains and recipients.
 */

#include "proxy/access.h"

#include <stdio.h>
#include <string.h>

#include "proxy/conf.h"
#include "rules/table.h"

static enum table_result
find(const struct conf *c, const struct address *to, const char *domain)
{
	char local[ADDRESS_ROOM];

	return table_find_address(c->recipients, address_local(to, local),
	    domain, c->recipient_delimiter, NULL);
}

/*
 * Postfix and sendmail take user%far@ours, far!user@ours and "user@far"@ours
 * for user@far once they have seen that @ours is here. A backend that trusts
 * our address would then relay to far, which is in no list of ours.
 */
static bool
asks_for_a_route(const struct address *to)
{
	char local[ADDRESS_ROOM];

	return strpbrk(address_local(to, local), "@%!") != NULL;
}

const char *
access_rcpt(const struct conf *c, const struct address *to, bool authenticated,
    char *out, size_t outlen, const char **by)
{
	char domain[ADDRESS_ROOM] = "";
	bool ours = c->relay_any || !c->relay_set;

	/* "Postmaster" without a domain is the one of this host. */
	if (*address_domain(to) == '\0')
		return NULL;
	if (address_ascii_domain(to, domain) == NULL) {
		*by = "syntax";
		return "501 5.1.3 the domain has no ASCII form";
	}
	if (!ours && (!conf_relays(c, domain) || asks_for_a_route(to))) {
		if (authenticated)
			return NULL;
		*by = "relay-domains";
		snprintf(out, outlen, "550 5.7.1 <%s>: relay access denied",
		    to->text);
		return out;
	}
	/* With no list of our domains, those of an authenticated client's
	   recipients may be anybody's. */
	if (c->recipients == NULL || address_is_postmaster(to) ||
	    (authenticated && ours))
		return NULL;
	*by = "recipients";
	switch (find(c, to, domain)) {
	case TABLE_FOUND:
		return NULL;
	case TABLE_NOT_FOUND:
		snprintf(out, outlen, "550 5.1.1 <%s>: no such user here",
		    to->text);
		return out;
	case TABLE_FAILED:
	case TABLE_LIMIT:	/* perhaps he is here: not for us to say no */
		break;
	}
	snprintf(out, outlen, "451 4.3.0 <%s>: recipients cannot be looked up "
	    "now", to->text);
	return out;
}
