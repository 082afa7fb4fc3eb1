/*
 * icap_reply - what an ICAP server says, and what that means.
 *
 * 204 is clean. 200 is followed by what the server would deliver instead; if
 * that is the message, octet for octet, it is clean as well (not every server
 * has 204), and otherwise the server does not want it delivered as it is: then
 * we refuse it, because nobody who sent mail wants a web page delivered in its
 * place. What is found stands in X-Infection-Found, X-Virus-ID or
 * X-Violations-Found, whatever the status is.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/icap_impl.h"

#define HEAD_MAX	((size_t)64 << 10)
#define PREVIEW_MAX	((long)64 << 10)
#define TTL_DEFAULT	3600		/* s; also the longest */

static void
fail(struct icap_txn *it, const char *why)
{
	char line[100], text[200];
	const char *head = it->reply.head;

	it->icap->known_until = 0;	/* perhaps it is another server now */
	if (head != NULL) {
		scan_harmless(line, sizeof(line), head, strcspn(head, "\r\n"));
		snprintf(text, sizeof(text), "icap: %s: %s", why, line);
	} else
		snprintf(text, sizeof(text), "icap: %s", why);
	talk_fail(&it->talk, text);
}

/* Ready for the next reply. */
static void
reset(struct icap_txn *it)
{
	free(it->reply.head);
	it->reply = (struct icap_reply){ .part = ICAP_HEAD };
}

/* Heads */

/* Is word in the list? */
static bool
has_word(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	while (list != NULL && *list != '\r' && *list != '\0') {
		list += strspn(list, ", ");
		n = strcspn(list, ", \r");
		if (n == len && strncasecmp(list, word, n) == 0)
			return true;
		list += n;
	}
	return false;
}

/* A number from 0 to max at p; -1. */
static long
number_at(const char *p, long max)
{
	long n = 0;

	if (p == NULL || *p < '0' || *p > '9')
		return -1;
	for (; *p >= '0' && *p <= '9'; p++)
		if ((n = n * 10 + (*p - '0')) > max)
			return -1;
	return n;
}

/* Encapsulated: where the body begins; -1: there is none, -2: nonsense. */
static long
body_offset(const char *head)
{
	const char *value = scan_field(head, "Encapsulated");
	size_t len = value != NULL ? strcspn(value, "\r") : 0;
	const char *body = memmem(value != NULL ? value : "", len, "-body=",
	    6);
	long offset;

	if (body == NULL)
		return value == NULL ? -1 : -2;
	offset = number_at(body + 6, (long)HEAD_MAX);
	if (offset == -1)
		return -2;
	return body - value >= 4 && strncasecmp(body - 4, "null", 4) == 0 ?
	    -1 : offset;
}

/* "Type=0; Resolution=2; Threat=NAME;" */
static void
take_threat(struct icap_txn *it, const char *value)
{
	size_t len = strcspn(value, "\r");
	const char *threat = memmem(value, len, "Threat=", 7);

	if (threat != NULL) {
		len -= (size_t)(threat + 7 - value);
		value = threat + 7;
	}
	if (memchr(value, ';', len) != NULL)
		len = strcspn(value, ";");
	scan_harmless(it->infection, sizeof(it->infection), value, len);
}

static void
take_infection(struct icap_txn *it, const char *head)
{
	const char *value;

	if ((value = scan_field(head, "X-Infection-Found")) != NULL ||
	    (value = scan_field(head, "X-Virus-ID")) != NULL)
		take_threat(it, value);
	else if (scan_field(head, "X-Violations-Found") == NULL)
		return;
	if (it->infection[0] == '\0')
		snprintf(it->infection, sizeof(it->infection), "a violation");
}

/* OPTIONS */

static void
take_options(struct icap_txn *it)
{
	const char *head = it->reply.head, *field;
	struct icap *i = it->icap;
	long ttl = number_at(scan_field(head, "Options-TTL"), TTL_DEFAULT);

	field = scan_field(head, "Methods");
	if (field != NULL && !has_word(field, i->settings->reqmod ? "REQMOD" :
	    "RESPMOD")) {
		fail(it, "the service has not this method");
		return;
	}
	i->preview = number_at(scan_field(head, "Preview"), PREVIEW_MAX);
	i->allows_204 = has_word(scan_field(head, "Allow"), "204");
	i->known_until = clock_ms() + 1000 *
	    (uint64_t)(ttl > 0 ? ttl : TTL_DEFAULT);
	if (has_word(scan_field(head, "Connection"), "close"))
		icap_reconnect(it);
	reset(it);
	icap_ask(it);
}

/* The message */

static bool
is_unchanged(struct icap_txn *it)
{
	unsigned char ours[EVP_MAX_MD_SIZE], theirs[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (it->phase != ICAP_SENT)
		return false;
	EVP_DigestFinal_ex(it->ours, ours, &len);
	EVP_DigestFinal_ex(it->theirs, theirs, NULL);
	return memcmp(ours, theirs, len) == 0;
}

static void
take_answer(struct icap_txn *it)
{
	if (it->infection[0] == '\0' && it->reply.code == 200 &&
	    !is_unchanged(it))
		snprintf(it->infection, sizeof(it->infection),
		    "what the scanner would change");
	talk_done(&it->talk);
}

/* It is not clean before it was read to its end, but infected at once. */
static void
take_head(struct icap_txn *it)
{
	struct icap_reply *r = &it->reply;
	long offset = body_offset(r->head);

	if (it->phase != ICAP_OPTIONS)
		take_infection(it, r->head);
	if (offset == -2)
		fail(it, "a reply that makes no sense");
	else if (it->phase == ICAP_WAIT && r->code == 100) {
		reset(it);
		it->phase = ICAP_SEND;
		icap_advance(it);
	} else if (r->code != 200 &&
	    (r->code != 204 || it->phase == ICAP_OPTIONS))
		fail(it, "not what was asked for");
	else if (offset == -1 || r->code == 204 || it->infection[0] != '\0')
		r->part = ICAP_COMPLETE;
	else {
		r->part = ICAP_SKIP;
		r->skip = offset;
	}
}

/* Reading: each true when there may be more to read */

static bool
read_head(struct icap_txn *it, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	struct icap_reply *r = &it->reply;
	size_t len;

	if (end.pos < 0 || end.pos > (ssize_t)HEAD_MAX) {
		if (end.pos > 0 || evbuffer_get_length(in) > HEAD_MAX)
			fail(it, "a reply without an end");
		return false;
	}
	len = (size_t)end.pos + 2;
	r->head = xcalloc(1, len + 1);
	evbuffer_remove(in, r->head, len);
	evbuffer_drain(in, 2);
	if (strncmp(r->head, "ICAP/1.", 7) != 0 || r->head[8] != ' ' ||
	    (r->code = (int)number_at(r->head + 9, 999)) < 100) {
		fail(it, "it does not speak ICAP");
		return false;
	}
	take_head(it);
	return true;
}

static bool
read_body(struct icap_txn *it, struct evbuffer *in)
{
	struct icap_reply *r = &it->reply;
	struct evbuffer_iovec v;
	struct slice data;
	size_t used;

	if (evbuffer_peek(in, -1, NULL, &v, 1) < 1)
		return false;
	switch (chunked_decode(&r->chunked, v.iov_base, v.iov_len, &used,
	    &data)) {
	case CHUNKED_MORE:
		break;
	case CHUNKED_DATA:
		EVP_DigestUpdate(it->theirs, data.p, data.len);
		break;
	case CHUNKED_END:
		r->part = ICAP_COMPLETE;
		break;
	case CHUNKED_BAD:
		fail(it, "a body that makes no sense");
		return false;
	}
	evbuffer_drain(in, used);
	return true;
}

static bool
skip(struct icap_txn *it, struct evbuffer *in)
{
	struct icap_reply *r = &it->reply;
	size_t len = evbuffer_get_length(in);

	if (len > (size_t)r->skip)
		len = (size_t)r->skip;
	evbuffer_drain(in, len);
	r->skip -= (long)len;
	if (r->skip == 0)
		r->part = ICAP_BODY;
	return r->skip == 0;
}

/* in and the conversation may be gone when it is false. */
static bool
read_some(struct icap_txn *it, struct evbuffer *in)
{
	switch (it->reply.part) {
	case ICAP_HEAD:
		return read_head(it, in) && !it->talk.done &&
		    it->talk.problem == NULL;
	case ICAP_SKIP:
		return skip(it, in);
	case ICAP_BODY:
		return read_body(it, in);
	case ICAP_COMPLETE:
		break;
	}
	if (it->phase == ICAP_OPTIONS)
		take_options(it);
	else
		take_answer(it);
	return false;
}

void
icap_input(void *arg, struct evbuffer *in, bool end)
{
	struct icap_txn *it = arg;

	(void)end;
	while (read_some(it, in))
		;
}

enum verdict
icap_verdict(void *arg)
{
	struct icap_txn *it = arg;
	const struct scan_settings *s = &it->icap->settings->scan;

	if (it->oversize)
		return scan_oversize(it->slot, s, "icap");
	return scan_found(it->slot, s, "icap", "icap.infection",
	    it->infection);
}
