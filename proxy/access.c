/*
 * access - who may send to whom: relay-domains and recipients.
 */

#include "proxy/access.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/conf.h"
#include "rules/keys.h"

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

__attribute__((format(printf, 3, 4))) static enum access
refuse(struct access_refusal *why, const char *by, const char *fmt, ...)
{
	va_list ap;

	why->by = by;
	va_start(ap, fmt);
	vsnprintf(why->reply, sizeof(why->reply), fmt, ap);
	va_end(ap);
	return ACCESS_NO;
}

enum access
access_found(const struct address *to, enum table_result r,
    struct access_refusal *why)
{
	switch (r) {
	case TABLE_FOUND:
		return ACCESS_YES;
	case TABLE_NOT_FOUND:
		return refuse(why, "recipients", "550 5.1.1 <%s>: no such "
		    "user here", to->text);
	case TABLE_FAILED:
	case TABLE_LIMIT:	/* perhaps he is here: not for us to say no */
		break;
	}
	return refuse(why, "recipients", "451 4.3.0 <%s>: recipients cannot be "
	    "looked up now", to->text);
}

static enum access
look_up(const struct conf *c, const struct address *to, const char *domain,
    struct keys *keys, struct access_refusal *why)
{
	char local[ADDRESS_ROOM];

	address_local(to, local);
	if (table_is_remote(c->recipients)) {
		keys_recipient(keys, local, domain, c->recipient_delimiter);
		return ACCESS_ASK;
	}
	return access_found(to, table_find_address(c->recipients, local,
	    domain, c->recipient_delimiter, NULL), why);
}

enum access
access_rcpt(const struct conf *c, const struct address *to, bool authenticated,
    struct keys *keys, struct access_refusal *why)
{
	char domain[ADDRESS_ROOM] = "";
	bool ours = c->relay_any || !c->relay_set;

	/* "Postmaster" without a domain is the one of this host. */
	if (*address_domain(to) == '\0')
		return ACCESS_YES;
	if (address_ascii_domain(to, domain) == NULL)
		return refuse(why, "syntax",
		    "501 5.1.3 the domain has no ASCII form");
	if (!ours && (!conf_relays(c, domain) || asks_for_a_route(to)))
		return authenticated ? ACCESS_YES : refuse(why,
		    "relay-domains", "550 5.7.1 <%s>: relay access denied",
		    to->text);
	/* With no list of our domains, those of an authenticated client's
	   recipients may be anybody's. */
	if (c->recipients == NULL || address_is_postmaster(to) ||
	    (authenticated && ours))
		return ACCESS_YES;
	return look_up(c, to, domain, keys, why);
}
