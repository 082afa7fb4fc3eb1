/*
 * filter_dns - the DNS for filters.
 */

#include "proxy/filter_dns.h"

#include <stdlib.h>

#include <idn2.h>

#include "base/mem.h"
#include "proxy/resolve.h"

struct question {
	struct resolve_query	*query;
	filter_dns_fn		*fn;
	void			*arg;
};

static void
on_domain(void *arg, enum resolve_result result, const char *name,
    const char *reverse)
{
	struct question *q = arg;

	(void)name, (void)reverse;
	q->fn(q->arg, result == RESOLVE_OK ? DNS_YES :
	    result == RESOLVE_NONE ? DNS_NO : DNS_FAILED);
	free(q);
}

/* Answered without the DNS? */
static bool
answer_locally(const char *domain, filter_dns_fn *fn, void *arg)
{
	if (*domain == '[')		/* an address literal is an address */
		fn(arg, DNS_YES);
	else if (*domain == '\0')
		fn(arg, DNS_NO);
	else
		return false;
	return true;
}

static void *
resolves(void *dns, const char *domain, filter_dns_fn *fn, void *arg)
{
	struct resolver *r = dns;
	struct resolve_query *query;
	struct question *q;
	char *ascii;

	if (answer_locally(domain, fn, arg))
		return NULL;
	if (idn2_to_ascii_8z(domain, &ascii, IDN2_NONTRANSITIONAL |
	    IDN2_NFC_INPUT) != IDN2_OK) {
		fn(arg, DNS_NO);
		return NULL;
	}
	q = xcalloc(1, sizeof(*q));
	q->fn = fn;
	q->arg = arg;
	query = resolve_domain(r, ascii, on_domain, q);
	idn2_free(ascii);
	if (query == NULL)
		return NULL;		/* answered, and q is gone */
	q->query = query;
	return q;
}

static void
cancel(void *dns, void *handle)
{
	struct question *q = handle;

	(void)dns;
	resolve_cancel(&q->query);
	free(q);
}

void
filter_dns_init(struct filter_worker *w, struct resolver *r)
{
	w->dns = r;
	w->dns_resolves = resolves;
	w->dns_cancel = cancel;
}
