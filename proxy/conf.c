/*
 * conf - from the tree of what is written to the configuration that is used.
 *
 * Every step reports what is wrong and goes on with what is there, so that one
 * run tells all mistakes; the result is thrown away if there was one. What
 * costs something (keys, tables, names in the DNS) is loaded by the step that
 * meets it: a configuration that checks is a configuration that starts.
 *
 * The command line is the last word: --listen puts aside all listen blocks,
 * --backend all backends and routes, and what was put aside is not judged.
 */

#include "proxy/conf.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "filters/filters.h"
#include "proxy/conf_impl.h"
#include "proxy/tls.h"
#include "rules/cache.h"
#include "rules/table.h"

#define ADDRESSES_MAX	16	/* of one host name */

/* Places */

static bool
is_option(const struct loader *l, const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < l->o->nset; i++)
		if (strncmp(l->o->set[i], name, len) == 0 &&
		    l->o->set[i][len] == '=')
			return true;
	return false;
}

static struct place
at_setting(const struct loader *l, const char *name)
{
	if (is_option(l, name))
		return (struct place){ .option = "--set" };
	return (struct place){ .line = conf_line(l->root, name, 0) };
}

static struct place
at_line(int line)
{
	return (struct place){ .line = line };
}

static struct place
at_option(const char *option)
{
	return (struct place){ .option = option };
}

/* The top of the file */

static void
set_option(struct loader *l, const char *key_value)
{
	const char *equals = strchr(key_value, '='), *meant;
	const struct setting *row;
	char *key, *why;

	if (equals == NULL) {
		mistake_add(&l->m, at_option("--set"),
		    "\"%s\" is not KEY=VALUE", key_value);
		return;
	}
	key = xstrndup(key_value, (size_t)(equals - key_value));
	if ((row = setting_find(conf_rows, key)) != NULL) {
		if (setting_set_option(row, l->c, equals + 1, &why) == -1) {
			mistake_add(&l->m, at_option("--set"), "%s: %s", key,
			    why);
			free(why);
		}
	} else if ((meant = setting_nearest(conf_rows, key)) != NULL) {
		mistake_add(&l->m, at_option("--set"), "unknown setting "
		    "\"%s\" (did you mean \"%s\"?)", key, meant);
	} else {
		mistake_add(&l->m, at_option("--set"),
		    "unknown setting \"%s\"", key);
	}
	free(key);
}

static void
complete_hostname(struct loader *l)
{
	char name[256];

	if (l->c->hostname != NULL)
		return;
	if (gethostname(name, sizeof(name)) == -1)
		name[0] = '\0';
	name[sizeof(name) - 1] = '\0';
	l->c->hostname = xstrdup(name);
	/* When a bad one was written, that is the mistake. */
	if (!is_hostname(name) && !conf_given(l->root, "hostname") &&
	    !is_option(l, "hostname"))
		mistake_add(&l->m, at_line(0), "hostname: the name of this "
		    "machine, \"%s\", is not a host name: set hostname", name);
}

static void
complete_workers(struct conf *c)
{
	cpu_set_t cpus;

	if (c->workers > 0)
		return;
	c->workers = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ?
	    CPU_COUNT(&cpus) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (c->workers < 1)
		c->workers = 1;
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "*" becomes relay_any; the others are sorted for conf_relays(). */
static void
complete_relay_domains(struct loader *l)
{
	struct setting_list *list = &l->c->relay_domains;
	size_t i, n = 0;
	char *normal;

	l->c->relay_set = conf_given(l->root, "relay-domains") ||
	    is_option(l, "relay-domains");
	for (i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], "*") == 0) {
			l->c->relay_any = true;
			free(list->v[i]);
			continue;
		}
		normal = domain_normal(list->v[i]);
		assert(normal != NULL);		/* its row has asked */
		free(list->v[i]);
		list->v[n++] = normal;
	}
	list->n = n;
	if (n > 0)
		qsort(list->v, n, sizeof(list->v[0]), compare_strings);
}

static void
on_table_mistake(void *arg, const char *mistake)
{
	struct loader *l = arg;

	mistake_add(&l->m, at_setting(l, "recipients"), "recipients: %s",
	    mistake);
}

static void
load_recipients(struct loader *l)
{
	struct table **t = &l->c->recipients;

	if (l->c->recipients_spec == NULL || l->o->milter != NULL)
		return;
	*t = table_open_strict(l->c->recipients_spec, on_table_mistake, l);
}

static void
load_top(struct loader *l)
{
	size_t i;

	conf_apply(l->root, conf_rows, l->c, &l->m);
	for (i = 0; i < l->o->nset; i++)
		set_option(l, l->o->set[i]);
	/* systemd.exec(5): CacheDirectory= of our unit. */
	cache_at(l->c->cache_directory != NULL ? l->c->cache_directory :
	    getenv("CACHE_DIRECTORY"));
	complete_hostname(l);
	complete_workers(l->c);
	l->c->address.odd_dots = l->c->lenient_paths;
	complete_relay_domains(l);
	load_recipients(l);
}

/* Listeners */

static const char *
where_of_listener(struct where *w, const char *text)
{
	const char *why;

	if (where_parse(w, text, &why) == -1)
		return why;
	if (!w->lmtp && (w->kind == WHERE_TCP || w->kind == WHERE_UNIX))
		return NULL;
	where_fini(w);
	*w = (struct where){ 0 };
	return "a listener is ADDRESS:PORT or unix:PATH";
}

static struct conf_listener *
add_listener(struct loader *l, const char *name, struct place at)
{
	struct conf_listener *new;
	struct netaddr first;
	const char *why;

	l->c->listeners = xrealloc(l->c->listeners,
	    (l->c->nlisteners + 1) * sizeof(*new));
	new = &l->c->listeners[l->c->nlisteners++];
	*new = (struct conf_listener){ .name = xstrdup(name) };
	setting_defaults(listen_rows, new);
	if (l->o->milter != NULL)
		return new;		/* it is not bound */
	if ((why = where_of_listener(&new->where, name)) != NULL)
		mistake_add(&l->m, at, "listen \"%s\": %s", name, why);
	else if (new->where.kind == WHERE_TCP &&
	    where_resolve(&new->where, &first, 1, &why) < 1)
		mistake_add(&l->m, at, "listen \"%s\" is not known: %s", name,
		    why);
	return new;
}

/* What is asked of clients. */
static void
load_client_tls(struct loader *l, struct conf_listener *new, cfg_t *s)
{
	const char *name = "tls-client-certificate";
	int line = conf_line(s, name, 0);
	char *why;

	if (new->ask_certificate == TLS_ASK_OFF) {
		if (new->tls_client_ca != NULL)
			mistake_add(&l->m,
			    at_line(conf_line(s, "tls-client-ca", 0)),
			    "tls-client-ca needs %s = \"ask\" or \"require\"",
			    name);
	} else if (new->tls_certificate == NULL) {
		mistake_add(&l->m, at_line(line), "%s needs tls-certificate",
		    name);
	} else if (new->ask_certificate == TLS_ASK_REQUIRE &&
	    new->tls_client_ca == NULL) {
		mistake_add(&l->m, at_line(line),
		    "%s: \"require\" needs tls-client-ca", name);
	} else if (new->ask_certificate == TLS_ASK_REQUIRE &&
	    !new->tls_implicit && new->starttls == STARTTLS_OFF) {
		mistake_add(&l->m, at_line(line),
		    "%s: nobody can show one with starttls = \"off\"", name);
	} else if (new->tls != NULL && tls_ask_clients(new->tls, new->name,
	    new->ask_certificate, new->tls_client_ca, &why) == -1) {
		mistake_add(&l->m, at_line(conf_line(s, "tls-client-ca", 0)),
		    "%s", why);
		free(why);
	}
}

/* The settings of TLS must fit together; then the keys are loaded. */
static void
load_listener_tls(struct loader *l, struct conf_listener *new, cfg_t *s)
{
	bool given = conf_given(s, "starttls") && new->starttls != STARTTLS_OFF;
	int line = conf_line(s, "tls-certificate", 0);
	char *why;

	if (new->tls_implicit && given)
		mistake_add(&l->m, at_line(conf_line(s, "starttls", 0)),
		    "starttls: with tls = \"implicit\" all is encrypted "
		    "already");
	if (new->tls_certificate == NULL) {
		if (new->tls_implicit)
			mistake_add(&l->m, at_line(conf_line(s, "tls", 0)),
			    "tls: \"implicit\" needs tls-certificate");
		else if (given)
			mistake_add(&l->m,
			    at_line(conf_line(s, "starttls", 0)),
			    "starttls needs tls-certificate");
		if (new->tls_key != NULL)
			mistake_add(&l->m, at_line(conf_line(s, "tls-key", 0)),
			    "tls-key needs tls-certificate");
	} else {
		new->tls = tls_server(new->name, new->tls_certificate,
		    new->tls_key, &why);
		if (new->tls == NULL) {
			mistake_add(&l->m, at_line(line), "%s", why);
			free(why);
		}
	}
	load_client_tls(l, new, s);
	if (new->tls_certificate == NULL || new->tls_implicit)
		new->starttls = STARTTLS_OFF;
}

static bool
has_section(cfg_t *root, const char *block, const char *title)
{
	unsigned i;
	cfg_t *s;

	for (i = 0; (s = conf_section(root, block, i)) != NULL; i++)
		if (strcmp(cfg_title(s), title) == 0)
			return true;
	return false;
}

static void
check_chain(struct loader *l, const struct conf_listener *new, cfg_t *s)
{
	size_t i;

	if (l->o->policy != NULL)
		return;		/* instead of all that */
	for (i = 0; i < new->chain.n; i++)
		if (!has_section(l->root, "filter", new->chain.v[i]))
			mistake_add(&l->m,
			    at_line(conf_line(s, "chain", (unsigned)i)),
			    "chain: there is no filter \"%s\"",
			    new->chain.v[i]);
}

static void
load_listeners(struct loader *l)
{
	struct conf_listener *new;
	unsigned i;
	cfg_t *s;

	for (i = 0; i < l->o->nlisten; i++) {
		new = add_listener(l, l->o->listen[i], at_option("--listen"));
		new->starttls = STARTTLS_OFF;
	}
	if (l->o->nlisten > 0)
		return;
	for (i = 0; (s = conf_section(l->root, "listen", i)) != NULL; i++) {
		new = add_listener(l, cfg_title(s), at_line(conf_start(s)));
		conf_apply(s, listen_rows, new, &l->m);
		if (l->o->milter == NULL)
			load_listener_tls(l, new, s);
		check_chain(l, new, s);
	}
	if (i == 0 && l->o->milter != NULL)
		add_listener(l, l->o->milter, at_line(0));
	else if (i == 0)
		mistake_add(&l->m, at_line(0), "nothing to listen at: add "
		    "listen \"0.0.0.0:25\" { }, or --listen 0.0.0.0:25");
}

/* Backends */

static const char *
where_of_backend(struct where *w, const char *text)
{
	const char *why;

	if (where_parse(w, text, &why) == -1)
		return why;
	if (w->kind != WHERE_MX)
		return NULL;
	where_fini(w);
	*w = (struct where){ 0 };
	return "mx is not available in this version";
}

static void
resolve(struct loader *l, struct conf_backend_address *a, struct place at)
{
	struct netaddr found[ADDRESSES_MAX];
	const char *why;
	int n;

	n = where_resolve(&a->where, found, ADDRESSES_MAX, &why);
	if (n <= 0) {
		mistake_add(&l->m, at, "address: \"%s\" is not known: %s",
		    a->where.text, n < 0 ? why : "no address");
		return;
	}
	if (found[0].port == 0)
		mistake_add(&l->m, at, "address: \"%s\": nobody has port 0",
		    a->where.text);
	a->addrs = xmalloc((size_t)n * sizeof(found[0]));
	memcpy(a->addrs, found, (size_t)n * sizeof(found[0]));
	a->naddrs = n;
}

/* Does who listens at on get what is sent to the address to? */
static bool
is_heard_at(const struct netaddr *on, const struct netaddr *to)
{
	static const uint8_t any[sizeof(on->ip)];
	size_t len = on->family == AF_INET ? 4 : sizeof(any);

	return on->port != 0 && on->port == to->port &&
	    on->family == to->family && (netaddr_same_ip(on, to) ||
	    (memcmp(on->ip, any, len) == 0 && netaddr_is_local(to)));
}

static bool
is_ours(const struct conf *c, const struct netaddr *to)
{
	struct netaddr on[ADDRESSES_MAX];
	const char *why;
	size_t i;
	int n;

	for (i = 0; i < c->nlisteners; i++) {
		if (c->listeners[i].where.kind != WHERE_TCP)
			continue;
		n = where_resolve(&c->listeners[i].where, on, ADDRESSES_MAX,
		    &why);
		while (n > 0)
			if (is_heard_at(&on[--n], to))
				return true;
	}
	return false;
}

/* A session that comes back to us would open the next one, without end. */
static void
check_loop(struct loader *l, const struct conf_backend_address *a,
    struct place at)
{
	int i;

	for (i = 0; i < a->naddrs; i++)
		if (is_ours(l->c, &a->addrs[i])) {
			mistake_add(&l->m, at, "address: \"%s\" is where we "
			    "listen ourselves", a->where.text);
			return;
		}
}

static void
add_address(struct loader *l, struct conf_backend *b, const char *text,
    struct place at)
{
	struct conf_backend_address *a;
	struct where w;
	const char *why;

	if ((why = where_of_backend(&w, text)) != NULL) {
		mistake_add(&l->m, at, "address: \"%s\": %s", text, why);
		return;
	}
	b->addresses = xrealloc(b->addresses,
	    (b->naddresses + 1) * sizeof(*a));
	a = &b->addresses[b->naddresses++];
	*a = (struct conf_backend_address){ .where = w };
	if (w.kind == WHERE_TCP) {
		resolve(l, a, at);
		check_loop(l, a, at);
	} else if (b->tls == TLS_VERIFY)
		mistake_add(&l->m, at, "address: \"%s\" has no host name that "
		    "tls = \"verify\" could look for", text);
}

static struct conf_backend *
add_backend(struct loader *l, const char *name, struct backend_draft *d)
{
	struct conf_backend *new;

	l->c->backends = xrealloc(l->c->backends,
	    (l->c->nbackends + 1) * sizeof(*new));
	new = &l->c->backends[l->c->nbackends++];
	*new = d->b;			/* with what d->b owns */
	new->name = xstrdup(name);
	d->b = (struct conf_backend){ 0 };
	return new;
}

static void
override_identity(struct loader *l, struct backend_draft *d)
{
	char *why;

	if (l->o->identity == NULL || setting_set(setting_find(backend_rows,
	    "identity"), d, l->o->identity, &why) == 0)
		return;
	mistake_add(&l->m, at_option("--identity"), "%s", why);
	free(why);
}

/*
 * A backend that sees our address instead of the client's relays for anybody
 * if it trusts our network, which it must if we are to be its front. Then we
 * have to know what it is responsible for.
 */
static void
check_open_relay(struct loader *l, const struct conf_backend *b,
    struct place at)
{
	if (l->o->milter != NULL || l->c->relay_set || (b->identity != IDENTITY_NONE &&
	    b->identity != IDENTITY_XFORWARD))
		return;
	if (l->o->identity != NULL)
		at = at_option("--identity");
	mistake_add(&l->m, at, "backend \"%s\" would be an open relay: set "
	    "relay-domains, or identity = \"xclient\"", b->name);
}

static void
load_backend_tls(struct loader *l, struct conf_backend *b, cfg_t *s)
{
	char *why;

	if (b->tls == TLS_OFF || l->o->milter != NULL)
		return;
	b->tls_ctx = tls_client(b->tls == TLS_VERIFY, b->tls_ca_file, &why);
	if (b->tls_ctx != NULL)
		return;
	mistake_add(&l->m, at_line(conf_line(s, "tls-ca-file", 0)), "%s", why);
	free(why);
}

static void
load_backend(struct loader *l, cfg_t *s)
{
	struct backend_draft d = { 0 };
	struct conf_backend *b;
	size_t i;

	setting_defaults(backend_rows, &d);
	conf_apply(s, backend_rows, &d, &l->m);
	override_identity(l, &d);
	b = add_backend(l, cfg_title(s), &d);
	for (i = 0; i < d.addresses.n && l->o->milter == NULL; i++)
		add_address(l, b, d.addresses.v[i],
		    at_line(conf_line(s, "address", (unsigned)i)));
	if (d.addresses.n == 0)
		mistake_add(&l->m, at_line(conf_start(s)),
		    "backend \"%s\" has no address", b->name);
	check_open_relay(l, b, at_line(conf_line(s, "identity", 0)));
	load_backend_tls(l, b, s);
	setting_fini(backend_rows, &d);
}

static void
load_backend_option(struct loader *l)
{
	struct backend_draft d = { 0 };
	struct conf_backend *b;

	setting_defaults(backend_rows, &d);
	override_identity(l, &d);
	b = add_backend(l, "backend", &d);
	add_address(l, b, l->o->backend, at_option("--backend"));
	check_open_relay(l, b, at_option("--backend"));
	setting_fini(backend_rows, &d);
}

static void
load_backends(struct loader *l)
{
	unsigned i;
	cfg_t *s;

	if (l->o->backend != NULL) {
		load_backend_option(l);
		return;
	}
	for (i = 0; (s = conf_section(l->root, "backend", i)) != NULL; i++)
		load_backend(l, s);
	if (i == 0 && l->o->milter == NULL)
		mistake_add(&l->m, at_line(0), "no backend: add "
		    "backend \"NAME\" { address = \"HOST:PORT\" }, "
		    "or --backend HOST:PORT");
}

/* Routes */

/* The first route whose domain is not less than this one: they are sorted. */
static size_t
route_place(const struct conf *c, const char *domain)
{
	size_t from = 0, to = c->nroutes, middle;

	while (from < to) {
		middle = from + (to - from) / 2;
		if (strcmp(c->routes[middle].domain, domain) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static const struct conf_route *
route_find(const struct conf *c, const char *domain)
{
	size_t i = route_place(c, domain);

	return i < c->nroutes && strcmp(c->routes[i].domain, domain) == 0 ?
	    &c->routes[i] : NULL;
}

int
conf_find_backend(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nbackends; i++)
		if (strcmp(c->backends[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void
no_backend(struct loader *l, cfg_t *s, const char *name)
{
	struct place at = at_line(conf_line(s, "backend", 0));
	size_t i;

	for (i = 0; i < l->c->nbackends; i++)
		if (setting_distance(name, l->c->backends[i].name) != -1)
			break;
	if (i < l->c->nbackends)
		mistake_add(&l->m, at, "backend: there is no backend \"%s\" "
		    "(did you mean \"%s\"?)", name, l->c->backends[i].name);
	else
		mistake_add(&l->m, at, "backend: there is no backend \"%s\"",
		    name);
}

static void
add_route(struct conf *c, char *domain, size_t backend)
{
	size_t i = route_place(c, domain);

	c->routes = xrealloc(c->routes,
	    (c->nroutes + 1) * sizeof(c->routes[0]));
	memmove(&c->routes[i + 1], &c->routes[i],
	    (c->nroutes - i) * sizeof(c->routes[0]));
	c->routes[i] = (struct conf_route){
		.domain = domain, .backend = backend
	};
	c->nroutes++;
}

static void
load_route(struct loader *l, cfg_t *s)
{
	const char *title = cfg_title(s);
	struct place at = at_line(conf_start(s));
	struct route_draft d = { 0 };
	char *domain;
	int i = -1;

	conf_apply(s, route_rows, &d, &l->m);
	domain = strcmp(title, "*") == 0 ? xstrdup(title) :
	    domain_normal(title);
	if (domain == NULL)
		mistake_add(&l->m, at, "route \"%s\": not a domain (try "
		    "example.org, .example.org, *)", title);
	else if (route_find(l->c, domain) != NULL)
		mistake_add(&l->m, at, "a second route for \"%s\"", title);
	if (d.backend == NULL)
		mistake_add(&l->m, at, "route \"%s\" has no backend", title);
	else if ((i = conf_find_backend(l->c, d.backend)) == -1)
		no_backend(l, s, d.backend);
	if (domain != NULL && i != -1)
		add_route(l->c, domain, (size_t)i);
	else
		free(domain);
	setting_fini(route_rows, &d);
}

static void
load_routes(struct loader *l)
{
	unsigned i;
	cfg_t *s;

	if (l->o->backend != NULL)
		return;
	for (i = 0; (s = conf_section(l->root, "route", i)) != NULL; i++)
		load_route(l, s);
}

/* All of it */

static const struct conf_block blocks[] = {
	{ .name = "listen",  .rows = listen_rows },
	{ .name = "backend", .rows = backend_rows },
	{ .name = "route",   .rows = route_rows },
	{ .name = "filter",  .rows = filter_rows, .open = true },
	{ .name = NULL }
};

/* 0, or -1 when there is nothing to go on with. */
static int
read_file(struct loader *l)
{
	if (l->o->file == NULL)
		return 0;
	if (conf_text_read(&l->text, l->o->file, &l->m) == -1)
		return -1;
	l->root = conf_parse(&l->text, conf_rows, blocks, &l->m);
	return l->root != NULL ? 0 : -1;
}

struct conf *
conf_load(const struct conf_options *o, FILE *err)
{
	struct loader l = { .o = o, .err = err };

	l.m.where = &l.text;
	l.c = xcalloc(1, sizeof(*l.c));
	setting_defaults(conf_rows, l.c);
	if (read_file(&l) == 0) {
		load_top(&l);
		load_listeners(&l);
		load_backends(&l);
		load_routes(&l);
		conf_load_modules(&l);
		conf_load_filters(&l);
		conf_load_chains(&l);
		cache_at(NULL);
	}
	if (l.m.n > 0)
		conf_free(&l.c);
	mistakes_write(&l.m, err);
	if (l.root != NULL)
		cfg_free(l.root);
	conf_text_fini(&l.text);
	return l.c;
}

static void
listener_fini(struct conf_listener *l)
{
	setting_fini(listen_rows, l);
	chain_conf_fini(&l->filters);
	where_fini(&l->where);
	SSL_CTX_free(l->tls);
	free(l->name);
}

static void
backend_fini(struct conf_backend *b)
{
	size_t i;

	for (i = 0; i < b->naddresses; i++) {
		where_fini(&b->addresses[i].where);
		free(b->addresses[i].addrs);
	}
	free(b->addresses);
	SSL_CTX_free(b->tls_ctx);
	free(b->tls_ca_file);
	free(b->name);
}

void
conf_free(struct conf **c)
{
	size_t i;

	if (*c == NULL)
		return;
	for (i = 0; i < (*c)->nlisteners; i++)
		listener_fini(&(*c)->listeners[i]);
	for (i = 0; i < (*c)->nbackends; i++)
		backend_fini(&(*c)->backends[i]);
	for (i = 0; i < (*c)->nroutes; i++)
		free((*c)->routes[i].domain);
	for (i = 0; i < (*c)->nfilters; i++)
		filter_conf_free(&(*c)->filters[i]);
	free((*c)->filters);
	free((*c)->listeners);
	free((*c)->backends);
	free((*c)->routes);
	table_free(&(*c)->recipients);
	setting_fini(conf_rows, *c);
	free(*c);
	*c = NULL;
}

/* Questions */

int
conf_route(const struct conf *c, const char *domain)
{
	const struct conf_route *r = route_find(c, domain);
	const char *dot;

	if (c->nroutes == 0)
		return c->nbackends > 0 ? 0 : -1;
	for (dot = strchr(domain, '.'); r == NULL && dot != NULL;
	    dot = strchr(dot + 1, '.'))
		r = route_find(c, dot);
	if (r == NULL)
		r = route_find(c, "*");
	return r != NULL ? (int)r->backend : -1;
}

static bool
has_domain(const struct setting_list *l, const char *domain)
{
	return l->n > 0 && bsearch(&domain, l->v, l->n, sizeof(l->v[0]),
	    compare_strings) != NULL;
}

/* What is behind "kind:" of the quarantine, or NULL. */
static const char *
quarantine_as(const struct conf *c, const char *kind)
{
	size_t len = strlen(kind);

	return c->quarantine != NULL && strncmp(c->quarantine, kind, len) == 0
	    ? c->quarantine + len : NULL;
}

const char *
conf_quarantine_dir(const struct conf *c)
{
	return quarantine_as(c, "maildir:");
}

const char *
conf_quarantine_address(const struct conf *c)
{
	return quarantine_as(c, "redirect:");
}

bool
conf_relays(const struct conf *c, const char *domain)
{
	const char *dot;

	if (c->relay_any || has_domain(&c->relay_domains, domain))
		return true;
	for (dot = strchr(domain, '.'); dot != NULL; dot = strchr(dot + 1, '.'))
		if (has_domain(&c->relay_domains, dot))
			return true;
	return false;
}
