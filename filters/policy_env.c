/*
 * policy_env - the facts that rules read, from the session and its transaction.
 *
 * A field is asked for when a rule reads it. What is not known stays empty.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/addrlist.h"
#include "filters/date.h"
#include "filters/policy_impl.h"
#include "filters/words.h"

#define ADDRESSES_MAX	1000	/* of one field's name */

static struct slice
text(const char *s)
{
	return s != NULL ? SLICE_STR(s) : SLICE("", 0);
}

static struct slice
copy(struct rules_state *s, const char *p, size_t len)
{
	char *to = rules_alloc(s, len + 1);

	memcpy(to, p, len);
	to[len] = '\0';
	return SLICE(to, len);
}

static struct slice
session_id(struct rules_state *s, uint64_t id)
{
	char out[24];
	int n = snprintf(out, sizeof(out), "%08llx", (unsigned long long)id);

	return copy(s, out, (size_t)n);
}

/* Line ends as \n, as header_checks(5) see them. */
static struct slice
with_lf(struct rules_state *s, struct slice raw)
{
	char *to = rules_alloc(s, raw.len + 1);
	size_t i, n = 0;

	for (i = 0; i < raw.len; i++)
		if (raw.p[i] != '\r' || i + 1 == raw.len ||
		    raw.p[i + 1] != '\n')
			to[n++] = raw.p[i];
	return SLICE(to, n);
}

static struct slice
without_blanks(struct slice v)
{
	while (v.len > 0 && (*v.p == ' ' || *v.p == '\t')) {
		v.p++;
		v.len--;
	}
	return v;
}

static struct slice
header_value(struct rules_state *s, const struct header *h)
{
	return without_blanks(with_lf(s, h->raw));
}

static struct slice
header_line(struct rules_state *s, const struct header *h)
{
	struct slice v = with_lf(s, h->raw);
	char *to = rules_alloc(s, h->name.len + v.len + 2);

	memcpy(to, h->name.p, h->name.len);
	to[h->name.len] = ':';
	memcpy(to + h->name.len + 1, v.p, v.len);
	return SLICE(to, h->name.len + 1 + v.len);
}

static const char *
body_word(enum param_body body)
{
	switch (body) {
	case BODY_7BIT:
		return "7bit";
	case BODY_8BITMIME:
		return "8bitmime";
	case BODY_BINARYMIME:
		return "binarymime";
	case BODY_NONE:
		break;
	}
	return "";
}

/* Encoded words decoded; a value without any is what came. */
static struct slice
decoded(struct rules_state *s, const char *value)
{
	struct slice v = text(value);
	struct buf out;

	if (memmem(v.p, v.len, "=?", 2) == NULL)
		return v;
	buf_init(&out, 4 * v.len);
	words_decode(v, &out);
	v = copy(s, out.p, out.len);
	buf_fini(&out);
	return v;
}

/* Lists */

static bool
is_recipient(const struct txn_rcpt *r)
{
	return r->state != RCPT_REFUSED;
}

static void
recipients(struct rules_state *s, const struct txn *t, struct rules_value *v)
{
	struct slice *list = rules_alloc(s, (t->nrcpts + 1) * sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < t->nrcpts; i++)
		if (is_recipient(t->rcpts[i]))
			list[n++] = text(t->rcpts[i]->address);
	v->list.v = list;
	v->list.n = n;
}

/* The values of the fields called name, or the names of all (name NULL). */
static void
headers(struct rules_state *s, const struct txn *t, const char *name,
    struct rules_value *v)
{
	struct slice *list = rules_alloc(s, (t->nheaders + 1) * sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < t->nheaders; i++)
		if (name == NULL)
			list[n++] = text(t->headers[i].name);
		else if (strcasecmp(t->headers[i].name, name) == 0)
			list[n++] = decoded(s, t->headers[i].value);
	v->list.v = list;
	v->list.n = n;
}

static const char *
first_header(const struct txn *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->nheaders; i++)
		if (strcasecmp(t->headers[i].name, name) == 0)
			return t->headers[i].value;
	return NULL;
}

struct found {
	struct slice	*v;		/* ours */
	size_t		 n, room;
	struct rules_state *state;
};

static void
add_address(void *arg, struct slice address)
{
	struct found *f = arg;

	if (f->n == ADDRESSES_MAX)
		return;
	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 8;
		f->v = xrealloc(f->v, f->room * sizeof(f->v[0]));
	}
	f->v[f->n++] = copy(f->state, address.p, address.len);
}

/* The addresses in the fields called name. */
static void
addresses(struct rules_state *s, const struct txn *t, const char *name,
    struct rules_value *v)
{
	struct found f = { .state = s };
	struct slice *list;
	size_t i;

	for (i = 0; i < t->nheaders; i++)
		if (strcasecmp(t->headers[i].name, name) == 0)
			addrlist_parse(text(t->headers[i].value), add_address,
			    &f);
	list = rules_alloc(s, (f.n + 1) * sizeof(*list));
	if (f.n > 0)
		memcpy(list, f.v, f.n * sizeof(*list));
	free(f.v);
	v->list.v = list;
	v->list.n = f.n;
}

/* Seconds since the date in a field; 0: there is none. */
static double
age(const struct txn *t, const char *name)
{
	int64_t then;

	if (!date_parse(text(first_header(t, name)), &then))
		return 0;
	return (double)((int64_t)clock_wall().tv_sec - then);
}

/* All that the filters in front have found under this name. */
static void
findings(struct rules_state *s, const struct txn *t, const char *name,
    struct rules_value *v)
{
	struct slice *list = rules_alloc(s, (t->nfindings + 1) *
	    sizeof(*list));
	size_t i, n = 0;

	for (i = 0; i < t->nfindings; i++)
		if (strcmp(t->findings[i].name, name) == 0)
			list[n++] = text(t->findings[i].text);
	v->list.v = list;
	v->list.n = n;
}

/* Such a field has the name of its finding; of several the first counts. */
static void
finding(struct rules_state *s, const struct txn *t, enum rules_field field,
    struct rules_value *v)
{
	const char *name = rules_field_name(field);
	size_t i;

	if (v->type == RULES_STRINGS) {
		findings(s, t, name, v);
		return;
	}
	for (i = 0; i < t->nfindings; i++)
		if (strcmp(t->findings[i].name, name) == 0)
			break;
	if (i == t->nfindings)
		return;
	if (v->type == RULES_NUMBER)
		v->number = t->findings[i].number;
	else if (v->type == RULES_BOOLEAN)
		v->yes = t->findings[i].number != 0;
	else if (v->type == RULES_STRING)
		v->text = text(t->findings[i].text);
}

/* Fields */

static bool
session_field(const struct policy_session *ps, struct rules_state *s,
    enum rules_field field, struct rules_value *v)
{
	const struct facts *f = ps->slot->facts;

	switch (field) {
	case FIELD_CLIENT_IP:
		v->ip = f->client;
		break;
	case FIELD_CLIENT_PORT:
		v->number = f->client.port;
		break;
	case FIELD_CLIENT_NAME:
		v->text = text(f->client_name);
		break;
	case FIELD_CLIENT_REVERSE:
		v->text = text(f->reverse_name);
		break;
	case FIELD_LOCAL_IP:
		v->ip = f->local;
		break;
	case FIELD_LOCAL_PORT:
		v->number = f->local.port;
		break;
	case FIELD_LISTENER:
		v->text = text(f->listener);
		break;
	case FIELD_HOSTNAME:
		v->text = text(f->hostname);
		break;
	case FIELD_SESSION_ID:
		v->text = session_id(s, f->id);
		break;
	case FIELD_SESSION_AGE:
		v->number = (double)f->age_ms / 1000;
		break;
	case FIELD_SESSION_ERRORS:
		v->number = f->errors;
		break;
	case FIELD_SESSION_BAD_RCPTS:
		v->number = f->bad_rcpts;
		break;
	case FIELD_SESSION_MESSAGES:
		v->number = f->messages;
		break;
	case FIELD_HELO_NAME:
		v->text = text(f->helo);
		break;
	case FIELD_HELO_ESMTP:
		v->yes = f->esmtp;
		break;
	case FIELD_AUTH_USER:
		v->text = text(f->auth_user);
		break;
	case FIELD_AUTH_MECHANISM:
		v->text = text(f->auth_mechanism);
		break;
	default:
		return false;
	}
	return true;
}

static bool
tls_field(const struct facts *f, enum rules_field field, struct rules_value *v)
{
	switch (field) {
	case FIELD_TLS:
		v->yes = f->tls_version != NULL;
		break;
	case FIELD_TLS_VERSION:
		v->text = text(f->tls_version);
		break;
	case FIELD_TLS_CIPHER:
		v->text = text(f->tls_cipher);
		break;
	case FIELD_TLS_BITS:
		v->number = f->tls_bits;
		break;
	case FIELD_TLS_CERT_SUBJECT:
		v->text = text(f->tls_subject);
		break;
	case FIELD_TLS_CERT_ISSUER:
		v->text = text(f->tls_issuer);
		break;
	case FIELD_TLS_CERT_FINGERPRINT:
		v->text = text(f->tls_fingerprint);
		break;
	case FIELD_TLS_CERT_VERIFIED:
		v->yes = f->tls_verified;
		break;
	default:
		return false;
	}
	return true;
}

static bool
envelope_field(const struct txn *t, const struct txn_rcpt *r,
    struct rules_state *s, enum rules_field field, struct rules_value *v)
{
	switch (field) {
	case FIELD_MAIL:
		v->text = text(t->from);
		break;
	case FIELD_MAIL_PARAMS:
		v->text = text(t->params);
		break;
	case FIELD_MAIL_BODY:
		v->text = text(body_word(t->body));
		break;
	case FIELD_MAIL_SMTPUTF8:
		v->yes = (t->present & 1u << PARAM_SMTPUTF8) != 0;
		break;
	case FIELD_SIZE:
		v->number = (double)(t->octets > 0 ? t->octets : t->size);
		break;
	case FIELD_RCPT:
		v->text = text(r != NULL ? r->address : NULL);
		break;
	case FIELD_RCPT_PARAMS:
		v->text = text(r != NULL ? r->params : NULL);
		break;
	case FIELD_RCPTS:
		recipients(s, t, v);
		break;
	default:
		return false;
	}
	return true;
}

static void
header_field(const struct header *h, struct rules_state *s,
    enum rules_field field, struct rules_value *v)
{
	if (field == FIELD_HEADER_NAME)
		v->text = h->name;
	else if (field == FIELD_HEADER_VALUE)
		v->text = header_value(s, h);
	else
		v->text = header_line(s, h);
}

/* The same of a line that was scanned: it has a colon. */
static void
scanned_field(struct slice line, enum rules_field field,
    struct rules_value *v)
{
	const char *colon = memchr(line.p, ':', line.len);
	size_t name = (size_t)(colon - line.p);

	if (field == FIELD_HEADER_LINE)
		v->text = line;
	else if (field == FIELD_HEADER_NAME)
		v->text = SLICE(line.p, name);
	else
		v->text = without_blanks(SLICE(colon + 1,
		    line.len - name - 1));
}

/* Of the line that is looked at. */
static bool
line_field(const struct policy_session *ps, struct rules_state *s,
    enum rules_field field, struct rules_value *v)
{
	const struct scan_line *l = &ps->line;

	switch (field) {
	case FIELD_HEADER_NAME:
	case FIELD_HEADER_VALUE:
	case FIELD_HEADER_LINE:
		if (ps->header != NULL)
			header_field(ps->header, s, field, v);
		else if (ps->scanning && l->class < SCAN_BODY)
			scanned_field(l->text, field, v);
		return true;
	case FIELD_BODY_LINE:
		v->text = l->line;
		return true;
	case FIELD_BODY_PIECE:
		if (l->class == SCAN_BODY)
			v->text = l->text;
		return true;
	default:
		return false;
	}
}

static void
message_field(const struct policy_session *ps, struct rules_state *s,
    enum rules_field field, const char *name, struct rules_value *v)
{
	const struct policy_txn *pt = ps->slot->txn;

	if (line_field(ps, s, field, v))
		return;
	if (field == FIELD_HEADER)
		v->text = decoded(s, first_header(ps->txn, name));
	else if (field == FIELD_HEADERS)
		headers(s, ps->txn, name, v);
	else if (field == FIELD_HEADER_NAMES)
		headers(s, ps->txn, NULL, v);
	else if (field == FIELD_ADDRESSES)
		addresses(s, ps->txn, name, v);
	else if (field == FIELD_AGE)
		v->number = age(ps->txn, name);
	else if (pt == NULL || pt->content == NULL ||
	    !content_field(pt->content, s, field, v))
		finding(s, ps->txn, field, v);
}

static void
give_field(void *arg, struct rules_state *s, enum rules_field field,
    const char *name, struct rules_value *v)
{
	const struct policy_session *ps = arg;

	if (session_field(ps, s, field, v) ||
	    tls_field(ps->slot->facts, field, v) || ps->txn == NULL)
		return;
	if (!envelope_field(ps->txn, ps->rcpt, s, field, v))
		message_field(ps, s, field, name, v);
}

void
policy_env(const struct policy_session *ps, struct rules_env *env)
{
	*env = (struct rules_env){
		.field = give_field, .ask = policy_ask, .arg = (void *)ps,
		.session = ps->slot->id,
		.scan_above = ps->policy->threads != NULL ?
		    ps->policy->scan_above : 0,
		.name_failed = ps->slot->facts->name_failed,
		.mime_header = ps->scanning && ps->line.class == SCAN_MIME,
		.only_checks = ps->scanning && ps->stage == RULES_BODY &&
		    ps->line.line.p == NULL,
		.trace = ps->policy->trace,
		.trace_arg = ps->policy->trace_arg,
	};
}
