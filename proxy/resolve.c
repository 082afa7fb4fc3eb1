/*
 * resolve - DNS, asked on our own loop, through libunbound.
 *
 * A struct resolve_query is what a session asked; it has the deadline and goes
 * through its DNS questions one after the other: PTR first, then for each name
 * the addresses. A struct lookup is one question that libunbound has. When a
 * query ends early, by its deadline or because it is cancelled, the lookup
 * stays as an orphan until libunbound is done with it: ub_cancel() needs a
 * number that is not known while ub_resolve_event() runs, and would save no
 * packet, since the question goes on inside the library for the cache.
 *
 * libunbound may answer before ub_resolve_event() returns (from its cache), and
 * the owner's callback may ask for the next name from inside. Therefore an
 * answer is only noted, and one loop, query_run(), does the next step.
 */

#include "proxy/resolve.h"

#include <sys/queue.h>
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <ldns/ldns.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/hosts.h"

#define NAMES_MAX	10	/* PTR records looked at */
#define ADDRESSES_MAX	100	/* A or AAAA records looked at, all names */

/* Lookups at one time, orphans included. Each one holds some kilobytes in
   libunbound until a dead server is given up. */
#define LOOKUPS_MAX	4096

#define QNAME_ROOM	80	/* 32 nibbles, 32 dots, "ip6.arpa" */

struct lookup {
	unsigned		 magic;
#define LOOKUP_MAGIC		 0x10c4b95d
	LIST_ENTRY(lookup)	 entry;
	struct resolver		*resolver;	/* owns us */
	struct resolve_query	*query;		/* NULL: orphan */
	ldns_rr_type		 type;
};

struct resolve_query {
	unsigned		 magic;
#define RESOLVE_QUERY_MAGIC	 0x9e5019e4
	LIST_ENTRY(resolve_query) entry;
	struct resolver		*resolver;	/* owns us */
	struct netaddr		 addr;
	resolve_name_fn		*cb;		/* NULL: was called */
	void			*arg;
	struct timer		 deadline;
	struct lookup		*lookup;	/* we wait for this */
	bool			 mail;		/* about a domain: names[0] */
	bool			 takes_none;	/* its MX says so */
	bool			 running;	/* query_run() is under way */
	bool			 asked;		/* for the PTR records */
	bool			 confirmed;	/* names[nth - 1] leads back */
	bool			 tempfail;	/* a lookup failed */
	size_t			 nnames, nth;	/* nth: the next to confirm */
	size_t			 naddresses;	/* looked at so far */
	char			 names[NAMES_MAX][HOST_NAME_MAX_OCTETS + 1];
};

struct resolver {
	unsigned		 magic;
#define RESOLVER_MAGIC		 0x4e501e4a
	struct ub_ctx		*ub;		/* ours */
	struct hosts		*hosts;		/* ours; NULL: not used */
	uint64_t		 timeout_ms;
	LIST_HEAD(, resolve_query) queries;
	LIST_HEAD(, lookup)	 lookups;
	size_t			 nlookups;
};

static bool query_run(struct resolve_query *);

/* The context */

static int
set_options(struct ub_ctx *ub)
{
	static const struct {
		const char *key, *value;
	} options[] = {
		/* A forwarder on this machine is the usual case. */
		{ "do-not-query-localhost:",	"no" },
		/* Private addresses have names in the forwarder's network:
		   libunbound would answer NXDOMAIN by itself (RFC 6303). */
		{ "unblock-lan-zones:",		"yes" },
		{ "local-zone:",		"test. transparent" },
		{ "local-zone:",		"home.arpa. transparent" },
		/* So may the loopback network, all but for the one name that
		   must be there without a server. */
		{ "local-zone:",
		    "127.in-addr.arpa. transparent" },
		{ "local-data:",
		    "1.0.0.127.in-addr.arpa. 10800 IN PTR localhost." },
		/* There is no trust anchor. */
		{ "module-config:",		"iterator" },
		/* The first name is the client's name each time. */
		{ "rrset-roundrobin:",		"no" },
		/* The default of 16 sockets would make every client wait for
		   the 16 whose servers are dead. */
		{ "outgoing-range:",		"256" },
		/* A forwarder that was away is asked again soon; the default
		   is to answer SERVFAIL without asking for 15 minutes. */
		{ "infra-host-ttl:",		"10" },
		{ "infra-keep-probing:",	"yes" },
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (ub_ctx_set_option(ub, options[i].key, options[i].value) !=
		    0)
			return -1;
	return 0;
}

static int
set_servers(struct ub_ctx *ub, const char *const *servers, size_t n,
    const char **why)
{
	size_t i;
	int error = 0;

	*why = "a DNS server is not IP or IP@PORT";
	for (i = 0; i < n && error == 0; i++)
		error = ub_ctx_set_fwd(ub, servers[i]);
	if (n > 0)
		return error == 0 ? 0 : -1;
	*why = "resolv.conf has a server that cannot be used";
	error = ub_ctx_resolvconf(ub, NULL);
	/* resolv.conf(5): without a file, the server is on this machine. */
	if (error == UB_READFILE)
		error = ub_ctx_set_fwd(ub, "127.0.0.1");
	return error == 0 ? 0 : -1;
}

struct resolver *
resolver_new(struct event_base *base, const char *const *servers, size_t n,
    uint64_t timeout_ms, const char **why)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->magic = RESOLVER_MAGIC;
	r->timeout_ms = timeout_ms;
	LIST_INIT(&r->queries);
	LIST_INIT(&r->lookups);
	*why = "libunbound does not start";
	r->ub = ub_ctx_create_event(base);
	/* Its complaints are about packets of strangers. */
	if (r->ub == NULL || ub_ctx_debugout(r->ub, NULL) != 0 ||
	    set_options(r->ub) < 0 || set_servers(r->ub, servers, n, why) < 0) {
		resolver_free(&r);
		return NULL;
	}
	if (n == 0)
		r->hosts = hosts_load("/etc/hosts");
	return r;
}

/* One DNS question */

static void
lookup_free(struct lookup *l)
{
	LIST_REMOVE(l, entry);
	l->resolver->nlookups--;
	l->magic = 0;
	free(l);
}

/* A PTR record: note the name if it is fit to be one. */
static void
take_name(struct resolve_query *q, const ldns_rdf *rd)
{
	char text[HOST_NAME_MAX_OCTETS + 1];
	const uint8_t *wire = ldns_rdf_data(rd);
	size_t room = ldns_rdf_size(rd), i = 0, len = 0;

	/* From the wire form, not from ldns' text: there a dot inside a label
	   is an octet like others and must not become a boundary. */
	while (i < room && wire[i] != 0) {
		size_t label = wire[i++];

		if (label > room - i || label > sizeof(text) - 1 - len ||
		    memchr(wire + i, '.', label) != NULL)
			return;
		memcpy(text + len, wire + i, label);
		i += label;
		len += label;
		if (len < sizeof(text) - 1)
			text[len++] = '.';
	}
	if (host_name_canonical(q->names[q->nnames], text, len) == 0)
		q->nnames++;
}

/* An A or AAAA record: is it the client's? */
static void
take_address(struct resolve_query *q, const ldns_rdf *rd)
{
	size_t want = q->addr.family == AF_INET ? 4 : 16;

	q->naddresses++;
	if (ldns_rdf_size(rd) == want &&
	    memcmp(ldns_rdf_data(rd), q->addr.ip, want) == 0)
		q->confirmed = true;
}

static void
take_records(struct resolve_query *q, const ldns_rr_list *answer,
    ldns_rr_type type)
{
	size_t i, ptrs = 0;

	for (i = 0; i < ldns_rr_list_rr_count(answer); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer, i);

		/* CNAMEs come along (RFC 2317) and have been followed. */
		if (ldns_rr_get_type(rr) != type || ldns_rr_rd_count(rr) != 1)
			continue;
		if (type == LDNS_RR_TYPE_PTR && ptrs++ < NAMES_MAX)
			take_name(q, ldns_rr_rdf(rr, 0));
		if (type != LDNS_RR_TYPE_PTR && q->naddresses < ADDRESSES_MAX)
			take_address(q, ldns_rr_rdf(rr, 0));
	}
}

/* Of a domain: is there an MX or an address? */
static void
take_mail_records(struct resolve_query *q, const ldns_rr_list *answer,
    ldns_rr_type type)
{
	size_t i, fields = type == LDNS_RR_TYPE_MX ? 2 : 1;
	const ldns_rdf *last;

	for (i = 0; i < ldns_rr_list_rr_count(answer); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer, i);

		if (ldns_rr_get_type(rr) != type ||
		    ldns_rr_rd_count(rr) != fields)
			continue;
		last = ldns_rr_rdf(rr, fields - 1);
		if (type == LDNS_RR_TYPE_MX && ldns_rdf_size(last) == 1)
			q->takes_none = true;
		else
			q->confirmed = true;
	}
}

/* NXDOMAIN and an empty answer are answers; all else is a failure. */
static void
take_packet(struct resolve_query *q, ldns_rr_type type, const void *packet,
    size_t len)
{
	ldns_pkt *pkt = NULL;

	if (packet == NULL ||
	    ldns_wire2pkt(&pkt, packet, len) != LDNS_STATUS_OK) {
		q->tempfail = true;
		return;
	}
	switch (ldns_pkt_get_rcode(pkt)) {
	case LDNS_RCODE_NOERROR:
		if (q->mail)
			take_mail_records(q, ldns_pkt_answer(pkt), type);
		else
			take_records(q, ldns_pkt_answer(pkt), type);
		break;
	case LDNS_RCODE_NXDOMAIN:
		break;
	default:
		q->tempfail = true;
	}
	ldns_pkt_free(pkt);
}

static void
on_answer(void *arg, int rcode, void *packet, int len, int sec,
    char *why_bogus, int was_ratelimited)
{
	struct lookup *l;
	struct resolve_query *q;

	(void)why_bogus, (void)was_ratelimited;
	OBJ_CAST(l, arg, LOOKUP_MAGIC);
	q = l->query;
	if (q == NULL) {
		lookup_free(l);
		return;
	}
	OBJ_CHECK(q, RESOLVE_QUERY_MAGIC);
	q->lookup = NULL;
	/* With SERVFAIL from inside there is no packet to look at; sec 1 is a
	   forged answer. */
	if ((rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN) ||
	    sec == 1)
		packet = NULL;
	take_packet(q, l->type, packet, len > 0 ? (size_t)len : 0);
	lookup_free(l);
	if (!q->running)
		query_run(q);
}

/* Ask; q->lookup is NULL afterwards if the answer, or none, is here already. */
static void
lookup_start(struct resolve_query *q, const char *name, ldns_rr_type type)
{
	struct resolver *r = q->resolver;
	struct lookup *l;

	if (r->nlookups >= LOOKUPS_MAX) {
		q->tempfail = true;
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->magic = LOOKUP_MAGIC;
	l->resolver = r;
	l->query = q;
	l->type = type;
	LIST_INSERT_HEAD(&r->lookups, l, entry);
	r->nlookups++;
	q->lookup = l;
	if (ub_resolve_event(r->ub, name, (int)type, LDNS_RR_CLASS_IN, l,
	    on_answer, NULL) == 0)
		return;		/* l may be gone */
	q->lookup = NULL;
	q->tempfail = true;
	lookup_free(l);
}

/* The steps of a query */

/* "4.3.2.192.in-addr.arpa." (RFC 1035 section 3.5, RFC 3596 section 2.5) */
static void
reverse_qname(char out[QNAME_ROOM], const struct netaddr *a)
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;
	int i;

	if (a->family == AF_INET) {
		snprintf(out, QNAME_ROOM, "%u.%u.%u.%u.in-addr.arpa.",
		    a->ip[3], a->ip[2], a->ip[1], a->ip[0]);
		return;
	}
	for (i = 15; i >= 0; i--) {
		*p++ = hex[a->ip[i] & 15];
		*p++ = '.';
		*p++ = hex[a->ip[i] >> 4];
		*p++ = '.';
	}
	snprintf(p, (size_t)(out + QNAME_ROOM - p), "ip6.arpa.");
}

/* Nothing will come any more, neither the deadline nor an answer. */
static void
query_stop(struct resolve_query *q)
{
	timer_stop(&q->deadline);
	if (q->lookup != NULL)
		q->lookup->query = NULL;
	q->lookup = NULL;
}

static void
query_free(struct resolve_query *q)
{
	query_stop(q);
	LIST_REMOVE(q, entry);
	q->magic = 0;
	free(q);
}

static void
query_finish(struct resolve_query *q, enum resolve_result result)
{
	resolve_name_fn *cb = q->cb;
	const char *name = NULL;

	query_stop(q);
	if (result == RESOLVE_OK)
		name = q->names[q->mail ? 0 : q->nth - 1];
	q->cb = NULL;
	if (name != NULL)
		cb(q->arg, result, name, q->mail ? NULL : name);
	else if (q->mail)
		cb(q->arg, result, NULL, NULL);
	else
		cb(q->arg, result, NULL, q->nnames > 0 ? q->names[0] : NULL);
}

/* The same for a domain: MX, and without one the addresses. */
static void
mail_step(struct resolve_query *q)
{
	static const ldns_rr_type types[] = {
		LDNS_RR_TYPE_MX, LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA
	};

	if (q->confirmed || q->takes_none || q->tempfail || q->nth == 3) {
		query_finish(q, q->confirmed ? RESOLVE_OK :
		    q->tempfail ? RESOLVE_TEMPFAIL : RESOLVE_NONE);
		return;
	}
	lookup_start(q, q->names[0], types[q->nth++]);
}

/* Ask the next question, or finish. */
static void
query_step(struct resolve_query *q)
{
	char qname[QNAME_ROOM];

	if (q->mail)
		mail_step(q);
	else if (!q->asked) {
		q->asked = true;
		reverse_qname(qname, &q->addr);
		lookup_start(q, qname, LDNS_RR_TYPE_PTR);
	} else if (q->confirmed)
		query_finish(q, RESOLVE_OK);
	else if (q->nth < q->nnames && q->naddresses < ADDRESSES_MAX)
		lookup_start(q, q->names[q->nth++],
		    q->addr.family == AF_INET ? LDNS_RR_TYPE_A :
		    LDNS_RR_TYPE_AAAA);
	else
		query_finish(q, q->tempfail ? RESOLVE_TEMPFAIL : RESOLVE_NONE);
}

/* Go on until there is something to wait for: true, or q is gone: false. */
static bool
query_run(struct resolve_query *q)
{
	q->running = true;
	while (q->cb != NULL && q->lookup == NULL)
		query_step(q);
	q->running = false;
	if (q->cb != NULL)
		return true;
	query_free(q);
	return false;
}

static void
on_deadline(void *arg)
{
	struct resolve_query *q;

	OBJ_CAST(q, arg, RESOLVE_QUERY_MAGIC);
	query_finish(q, RESOLVE_TEMPFAIL);
	query_free(q);
}

/* Answer at once if that needs no DNS. */
static bool
answer_locally(struct resolver *r, const struct netaddr *addr,
    resolve_name_fn *cb, void *arg)
{
	const char *name;

	if (addr->family != AF_INET && addr->family != AF_INET6) {
		cb(arg, RESOLVE_NONE, NULL, NULL);
		return true;
	}
	name = r->hosts != NULL ? hosts_name(r->hosts, addr) : NULL;
	if (name != NULL)
		cb(arg, RESOLVE_OK, name, name);
	return name != NULL;
}

static struct resolve_query *
query_new(struct resolver *r, resolve_name_fn *cb, void *arg)
{
	struct resolve_query *q = xcalloc(1, sizeof(*q));

	q->magic = RESOLVE_QUERY_MAGIC;
	q->resolver = r;
	q->cb = cb;
	q->arg = arg;
	LIST_INSERT_HEAD(&r->queries, q, entry);
	timer_init(&q->deadline, on_deadline, q);
	timer_set(&q->deadline, r->timeout_ms);
	return q;
}

struct resolve_query *
resolve_name(struct resolver *r, const struct netaddr *addr,
    resolve_name_fn *cb, void *arg)
{
	struct resolve_query *q;

	OBJ_CHECK(r, RESOLVER_MAGIC);
	if (answer_locally(r, addr, cb, arg))
		return NULL;
	q = query_new(r, cb, arg);
	q->addr = *addr;
	return query_run(q) ? q : NULL;
}

struct resolve_query *
resolve_domain(struct resolver *r, const char *domain, resolve_name_fn *cb,
    void *arg)
{
	struct resolve_query *q;

	OBJ_CHECK(r, RESOLVER_MAGIC);
	q = query_new(r, cb, arg);
	q->mail = true;
	if (host_name_canonical(q->names[0], domain, strlen(domain)) == -1) {
		query_free(q);
		cb(arg, RESOLVE_NONE, NULL, NULL);
		return NULL;
	}
	return query_run(q) ? q : NULL;
}

void
resolve_cancel(struct resolve_query **qp)
{
	struct resolve_query *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	OBJ_CHECK(q, RESOLVE_QUERY_MAGIC);
	if (q->cb != NULL)	/* else we are inside it; it is freed later */
		query_free(q);
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct resolve_query *q;
	struct lookup *l;

	*rp = NULL;
	if (r == NULL)
		return;
	OBJ_CHECK(r, RESOLVER_MAGIC);
	while ((q = LIST_FIRST(&r->queries)) != NULL)
		query_free(q);
	/* Whether libunbound calls back for what it drops here depends on its
	   version; both are fine with orphans. */
	if (r->ub != NULL)
		ub_ctx_delete(r->ub);
	while ((l = LIST_FIRST(&r->lookups)) != NULL)
		lookup_free(l);
	hosts_free(&r->hosts);
	r->magic = 0;
	free(r);
}
