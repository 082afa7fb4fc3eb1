/*
 * resolve - DNS, asked on our own loop, through libunbound (cache, and no
 * thread: ub_ctx_create_event).
 *
 * One resolver per worker. Every question has a deadline; when it passes the
 * answer is RESOLVE_TEMPFAIL and the late answer goes nowhere. The servers and
 * what strangers put into DNS are not trusted: names are checked, and
 * everything is counted.
 */
#ifndef PROXY_RESOLVE_H
#define PROXY_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/net.h"

struct event_base;
struct resolver;
struct resolve_query;

enum resolve_result {
	RESOLVE_OK,
	RESOLVE_NONE,		/* there is no such name */
	RESOLVE_TEMPFAIL	/* no answer in time, or a broken one */
};

/*
 * servers: n strings "IP" or "IP@PORT" to ask; n 0: those of
 * /etc/resolv.conf, and an address that /etc/hosts names has that name. Both
 * files are read now and not again. NULL with *why (static).
 */
struct resolver *resolver_new(struct event_base *base,
    const char *const *servers, size_t n, uint64_t timeout_ms,
    const char **why);
/* Frees it and leaves NULL; NULL is fine. No callback is called any more, and
   no handle is good. Not from inside a callback of resolve_name(). */
void resolver_free(struct resolver **r);

/*
 * The name of a client: its PTR record, confirmed by an A or AAAA record that
 * leads back (Postfix: the client name). At most 10 PTR records and 100
 * addresses are looked at. cb is called once, perhaps before this returns:
 *	OK:   name is confirmed; reverse is the same
 *	NONE: name NULL; reverse is the unconfirmed PTR name, or NULL
 *	TEMPFAIL: name NULL; reverse or NULL
 * Names are lower-case host names without the final dot, at most 255 octets,
 * letters, digits, "-", "_" and "." only; another is as good as none. They are
 * valid during the call. Returns a handle for resolve_cancel(), or NULL when
 * cb was called already.
 */
typedef void resolve_name_fn(void *arg, enum resolve_result result,
    const char *name, const char *reverse);
struct resolve_query *resolve_name(struct resolver *r,
    const struct netaddr *addr, resolve_name_fn *cb, void *arg);
/*
 * Can mail be sent to this domain (RFC 5321 5.1): has it an MX, A or AAAA
 * record? domain is ASCII, without a final dot. cb as above, with name the
 * domain and reverse NULL:
 *	OK:   it can
 *	NONE: there is no such domain, it has none of these, or its MX is "."
 *	      (RFC 7505); also when it is no name at all
 */
struct resolve_query *resolve_domain(struct resolver *r, const char *domain,
    resolve_name_fn *cb, void *arg);
/* cb will not be called. Leaves NULL; NULL is fine, and inside cb it is a
   no-op. */
void resolve_cancel(struct resolve_query **q);

#endif
