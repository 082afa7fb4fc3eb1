/*
 * milter_chaos - a milter that does what its choices say, sense or nonsense, in
 * front of the whole filter; for the unit of that name and for a fuzzer.
 *
 * It knows the order of libmilter, which does not answer a command that comes
 * out of it: as long as the milter itself has kept to the protocol, each
 * command must be one that it would answer. Whatever it does, each question
 * of the chain is answered, and what the client is told is a reply.
 */
#ifndef T_MILTER_CHAOS_H
#define T_MILTER_CHAOS_H

#include <sys/socket.h>
#include <sys/un.h>
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/chain.h"
#include "filters/filters.h"
#include "filters/milter_wire.h"
#include "smtp/address.h"

#define ALL_NO	(SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL |	\
		 SMFIP_NORCPT | SMFIP_NOBODY | SMFIP_NOHDRS | SMFIP_NOEOH | \
		 SMFIP_NOUNKNOWN | SMFIP_NODATA)

/* The choices; behind the last one all of them are 0, which makes sense. */
static struct {
	const unsigned char	*p;
	size_t			 len;
} choices;

static struct event_base *base;
static char dir[] = "/tmp/vratar-chaos-XXXXXX";
static struct filter_conf filter = { .name = (char []){ "m" },
    .type = &filter_milter, .timeout = 30000, .on_failure = V_TEMPFAIL };
static struct chain_conf chain_conf;
static struct facts facts = { .id = 7, .hostname = "mx.example",
    .helo = "c.example", .esmtp = true };

/* The connection, and what libmilter would think of it. */
static struct {
	struct bufferevent	*bev;		/* NULL: there is none */
	uint32_t		 protocol;
	bool			 greeted;
	char			 due;		/* we owe an answer to this */
	bool			 wild;		/* it was nonsense, or none */
	bool			 over;		/* only QUIT may follow */
	enum { M_NONE, M_MAIL, M_RCPT, M_CONTENT } message;
} peer;

static struct {
	unsigned long	 commands, answers, wild, connections, verdicts[8];
} counts;

static bool done;

static unsigned
choose(void)
{
	if (choices.len == 0)
		return 0;
	choices.len--;
	return *choices.p++;
}

/* Saying */

static void
say(const char *packet, size_t len)
{
	unsigned char head[4] = { (unsigned char)(len >> 24),
	    (unsigned char)(len >> 16), (unsigned char)(len >> 8),
	    (unsigned char)len };

	bufferevent_write(peer.bev, head, sizeof(head));
	bufferevent_write(peer.bev, packet, len);
}

static void
hang_up(void)
{
	if (peer.bev != NULL)
		bufferevent_free(peer.bev);
	peer.bev = NULL;
}

/* Octets of the choices, at most 60. */
static size_t
some(char out[64])
{
	size_t n = choose() % 61, i;

	for (i = 0; i < n; i++)
		out[i] = (char)choose();
	return n;
}

static void
go_wild(void)
{
	counts.wild++;
	peer.wild = true;
}

static void
say_nonsense(char letter)
{
	char packet[65] = { letter };

	go_wild();
	say(packet, some(packet + 1) + 1);
}

static void
say_edits(void)
{
	static const struct { const char *p; size_t len; } edits[] = {
#define EDIT(s)	{ s, sizeof(s) - 1 }
		EDIT("hX-A\0b\0"), EDIT("hX-A\0\0"), EDIT("hX-A\0a\n b\0"),
		EDIT("i\0\0\0\0X-A\0b\0"), EDIT("i\0\0\0\7X-A\0b\0"),
		EDIT("i\377\377\377\377X-A\0b\0"),
		EDIT("m\0\0\0\1Subject\0new\0"), EDIT("m\0\0\0\2To\0\0"),
		EDIT("+<x@example.com>\0"), EDIT("-<b@example.com>\0"),
		EDIT("2<x@example.com>\0NOTIFY=NEVER\0"),
		EDIT("2<x@example.com>\0"), EDIT("e<>\0"),
		EDIT("e<n@example.com>\0RET=HDRS\0"), EDIT("bnew\r\n"),
		EDIT("b"), EDIT("p"), EDIT("qbecause\0"),
		/* As bytes they are in order, but no edits. */
		EDIT("+nobody\0"), EDIT("hX A\0b\0"), EDIT("ea b@c\0"),
#undef EDIT
	};
	size_t n = choose() % 8, i;

	for (; n > 0; n--) {
		i = choose() % (sizeof(edits) / sizeof(edits[0]));
		say(edits[i].p, edits[i].len);
	}
}

/* What libmilter does after this answer. */
static void
note_answer(char letter)
{
	bool session = peer.due == SMFIC_CONNECT || peer.due == SMFIC_HELO;
	bool refusal = strchr("rtyd4", letter) != NULL;

	counts.answers++;
	if (session && letter != 'd' && (letter == 'a' || refusal))
		peer.over = true;
	if (letter == '4')
		peer.over = true;
	if (peer.due == SMFIC_BODYEOB || letter == 'a' ||
	    (refusal && peer.due != SMFIC_RCPT && peer.due != SMFIC_UNKNOWN))
		peer.message = M_NONE;
	/* Nobody but the body may be skipped, says libmilter; Postfix takes
	   it for all, and none is no end. */
	if (letter == 's' && peer.due == SMFIC_BODYEOB)
		peer.wild = true;
	peer.due = 0;
}

static void
answer(const char *packet, size_t len)
{
	say(packet, len);
	note_answer(*packet);
}

static void
say_code(void)
{
	static const char *const codes[] = {
		"y550 5.7.1 no", "y451 4.7.1 later", "y421 4.7.0 bye",
		"y554-5.7.1 a\r\n554 5.7.1 b", "y599 odd", "y450 100%%",
	};
	const char *code = codes[choose() % (sizeof(codes) /
	    sizeof(codes[0]))];

	answer(code, strlen(code) + 1);
}

static void
respond(void)
{
	char letter = (char)choose();

	switch (choose() % 24) {
	case 1:
	case 2:
		answer(&"artds4"[choose() % 6], 1);
		return;
	case 3:
		say_code();
		return;
	case 4:
	case 5:
	case 6:
		if (peer.due == SMFIC_BODYEOB)
			say_edits();
		say("p", 1);
		break;
	case 7:
		say_nonsense(letter);
		return;
	case 8:
		say_nonsense('y');
		return;
	case 9:
		go_wild();
		bufferevent_write(peer.bev, "\377\377\377\377", 4);
		return;
	case 10:
		go_wild();	/* it does not answer at all */
		return;
	case 11:
		hang_up();
		return;
	case 12:
		go_wild();
		say("c", 1);
		break;
	case 13:
		go_wild();
		bufferevent_write(peer.bev, "\0\0\0\2c", 5);
		return;
	case 14:
		if (peer.due != SMFIC_BODYEOB)
			go_wild();
		say_edits();
		break;
	case 15:
		/* It accepts, and that was it. */
		answer("a", 1);
		bufferevent_flush(peer.bev, EV_WRITE, BEV_FLUSH);
		return;
	default:
		break;
	}
	answer("c", 1);
}

static void
negotiate(void)
{
	static const uint32_t noreply[] = { 0, 0, SMFIP_NR_HDR |
	    SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT |
	    SMFIP_NR_DATA | SMFIP_NR_UNKN | SMFIP_NR_EOH | SMFIP_NR_BODY };
	uint32_t version = choose() % 8 == 1 ? choose() % 8 : 6, no = 0;
	unsigned char packet[13] = { SMFIC_OPTNEG };

	if (choose() % 4 == 1)
		no = (choose() | (uint32_t)choose() << 8) & ALL_NO;
	peer.protocol = noreply[choose() % 3] | no | SMFIP_RCPT_REJ |
	    (choose() % 2 ? SMFIP_HDR_LEADSPC : 0);
	packet[4] = (unsigned char)version;
	packet[7] = 1;
	packet[8] = 0xff;
	packet[10] = (unsigned char)(peer.protocol >> 16);
	packet[11] = (unsigned char)(peer.protocol >> 8);
	packet[12] = (unsigned char)peer.protocol;
	if (version < 6)
		peer.wild = true;	/* it may mean other things by it */
	peer.greeted = true;
	switch (choose() % 16) {
	case 1:
		say_nonsense((char)choose());
		return;
	case 2:
		hang_up();
		return;
	case 3:
		go_wild();
		return;
	default:
		say((char *)packet, sizeof(packet));
	}
}

/* Hearing */

static bool
is_answered(char command)
{
	static const struct { char command; uint32_t nr; } rows[] = {
		{ SMFIC_CONNECT, SMFIP_NR_CONN }, { SMFIC_HELO, SMFIP_NR_HELO },
		{ SMFIC_MAIL, SMFIP_NR_MAIL }, { SMFIC_RCPT, SMFIP_NR_RCPT },
		{ SMFIC_DATA, SMFIP_NR_DATA }, { SMFIC_HEADER, SMFIP_NR_HDR },
		{ SMFIC_EOH, SMFIP_NR_EOH }, { SMFIC_BODY, SMFIP_NR_BODY },
		{ SMFIC_UNKNOWN, SMFIP_NR_UNKN }, { SMFIC_BODYEOB, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].command == command)
			return (peer.protocol & rows[i].nr) == 0;
	return false;
}

/* Would libmilter answer this, when nothing is left out? */
static bool
is_in_order(char command)
{
	if (peer.over)
		return command == SMFIC_QUIT;
	switch (command) {
	case SMFIC_CONNECT:
	case SMFIC_HELO:
	case SMFIC_MAIL:
		return peer.message == M_NONE;
	case SMFIC_RCPT:
		return peer.message == M_MAIL || peer.message == M_RCPT;
	case SMFIC_DATA:
		return peer.message == M_RCPT;
	case SMFIC_HEADER:
	case SMFIC_EOH:
	case SMFIC_BODY:
	case SMFIC_BODYEOB:
		return peer.message == M_CONTENT;
	case SMFIC_UNKNOWN:
		return peer.message != M_CONTENT;
	case SMFIC_ABORT:
	case SMFIC_QUIT:
		return true;
	default:
		return false;		/* QUIT_NC among them */
	}
}

static void
note_command(char command)
{
	if (command == SMFIC_MAIL)
		peer.message = M_MAIL;
	else if (command == SMFIC_RCPT)
		peer.message = M_RCPT;
	else if (command == SMFIC_DATA)
		peer.message = M_CONTENT;
	else if (command == SMFIC_ABORT)
		peer.message = M_NONE;
}

static void
hear(const struct wire_packet *p)
{
	counts.commands++;
	assert(p->payload.len <= WIRE_PAYLOAD_MAX);
	assert(p->kind != SMFIC_BODYEOB || p->payload.len == 0);
	assert(p->kind != SMFIC_QUIT_NC);
	if (p->kind == SMFIC_MACRO || peer.wild)
		return;
	if (p->kind == SMFIC_OPTNEG) {
		assert(!peer.greeted);
		negotiate();
		return;
	}
	assert(peer.greeted && peer.due == 0);	/* one at a time */
	assert((peer.protocol & ALL_NO) != 0 || is_in_order(p->kind));
	note_command(p->kind);
	if (!is_answered(p->kind))
		return;
	peer.due = p->kind;
	respond();
}

static void
on_peer_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct wire_packet p;
	const char *why;
	size_t used, len;

	(void)arg;
	while (peer.bev == bev && (len = evbuffer_get_length(in)) > 0) {
		switch (wire_take((char *)evbuffer_pullup(in, -1), len, &p,
		    &used, &why)) {
		case WIRE_MORE:
			return;
		case WIRE_BAD:
			assert(!"a packet that is none");
			return;
		case WIRE_PACKET:
			hear(&p);
			if (peer.bev == bev)
				evbuffer_drain(in, used);
		}
	}
}

static void
on_peer_event(struct bufferevent *bev, short what, void *arg)
{
	(void)what, (void)arg;
	if (peer.bev == bev)
		hang_up();
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	(void)l, (void)sa, (void)len, (void)arg;
	hang_up();
	memset(&peer, 0, sizeof(peer));
	counts.connections++;
	peer.bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(peer.bev, on_peer_read, NULL, on_peer_event, NULL);
	bufferevent_enable(peer.bev, EV_READ | EV_WRITE);
}

/* The chain */

static void
on_done(void *arg)
{
	(void)arg;
	done = true;
}

static void
turn(void)
{
	int i;

	for (i = 0; i < 6 && !done; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
check_result(const struct chain_result *r)
{
	const char *p;

	counts.verdicts[r->verdict]++;
	assert(r->verdict == V_CONTINUE || r->verdict == V_REJECT ||
	    r->verdict == V_TEMPFAIL || r->verdict == V_DISCARD);
	if (r->verdict != V_REJECT && r->verdict != V_TEMPFAIL)
		return;
	assert(r->reply != NULL && strlen(r->reply) > 4);
	assert(r->reply[0] == (r->verdict == V_REJECT ? '5' : '4'));
	for (p = r->reply; *p != '\0'; p++)
		assert((unsigned char)*p >= ' ' || *p == '\n' || *p == '\t');
}

/* Wait for an answer, which comes; false: nobody waits for it any more. */
static bool
settle(struct chain *c, bool answered)
{
	int i;

	done = answered;
	if (!answered && choose() % 40 == 1)
		return false;
	for (i = 0; i < 40 && !done; i++) {
		turn();
		if (!done && i >= 2)
			clock_advance(31 * 1000);
	}
	assert(done);
	check_result(chain_result(c));
	return true;
}

static bool
is_good(const struct chain *c)
{
	return chain_result(c)->verdict == V_CONTINUE;
}

static struct txn *
new_txn(void)
{
	struct address a;
	struct params p = { .text = SLICE_STR("SIZE=100") };

	memset(&a, 0, sizeof(a));
	snprintf(a.text, sizeof(a.text), "a@example.org");
	return txn_new(&a, &p);
}

/* Recipients and what may be between them. False: the client has gone. */
static bool
recipients(struct chain *c, bool *good)
{
	struct txn_rcpt r = { .address = (char []){ "b@example.com" },
	    .params = (char []){ "" } };
	unsigned n = 1 + choose() % 3;

	*good = false;
	for (; n > 0; n--) {
		if (choose() % 8 == 1 && !settle(c, chain_unknown(c, "FOO x")))
			return false;
		if (choose() % 8 == 1 &&
		    !settle(c, chain_refused(c, &r, "550 5.1.1 no")))
			return false;
		if (!settle(c, chain_rcpt(c, &r)))
			return false;
		*good = *good || chain_result(c)->verdict == V_CONTINUE;
	}
	return true;
}

static void
message(struct chain *c, struct txn *t)
{
	static const char content[] = "Subject: x\r\nTo: a\r\n\tb\r\n"
	    "Subject: y\r\n\r\nhello\r\n";
	size_t at = 0, n;
	bool good;

	if (!settle(c, chain_mail(c, t)) || !is_good(c) ||
	    !recipients(c, &good) || !good ||
	    !settle(c, chain_data(c)) || !is_good(c))
		return;
	while (at < sizeof(content) - 1) {
		n = 1 + choose() % 64;
		if (n == 1)
			n = sizeof(content);
		if (n > sizeof(content) - 1 - at)
			n = sizeof(content) - 1 - at;
		if (!settle(c, chain_content(c, content + at, n)))
			return;
		at += n;
	}
	settle(c, chain_eom(c));
}

/* One session, with up to three messages. */
static void
chaos_session(const unsigned char *p, size_t len)
{
	struct chain *c;
	struct txn *t;
	unsigned n;

	choices.p = p;
	choices.len = len;
	clock_advance(60 * 1000);	/* what was down may be asked again */
	filter.observe = choose() % 4 == 1;
	c = chain_new(&chain_conf, &facts, on_done, NULL);
	if (settle(c, chain_connect(c)) && is_good(c) &&
	    settle(c, chain_helo(c)) && is_good(c))
		for (n = 1 + choose() % 3; n > 0; n--) {
			t = new_txn();
			message(c, t);
			chain_end(c);
			txn_free(&t);
			if (choose() % 4 == 1 && !settle(c, chain_helo(c)))
				break;
		}
	chain_free(&c);
	done = false;
	turn();
	hang_up();
}

static void
chaos_set(const char *name, const char *value)
{
	char *why;

	if (setting_set(setting_find(filter_milter.settings, name),
	    filter.settings, value, &why) == -1)
		abort();
}

/* Once in a process. */
static void
chaos_begin(void)
{
	static const struct setting_list none;
	static struct filter_worker worker;
	struct filter_host host = {
		.name = "m", .hostname = "mx.example", .err = stderr,
		.recipient_delimiter = "", .backends = &none,
		.timeout = filter.timeout,
	};
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char *why, where[120];

	signal(SIGPIPE, SIG_IGN);	/* as the daemon has it */
	log_open("file:/dev/null", false);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/m", dir);
	snprintf(where, sizeof(where), "unix:%s", un.sun_path);
	if (evconnlistener_new_bind(base, on_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE, 10, (struct sockaddr *)&un,
	    sizeof(un)) == NULL)
		abort();
	netaddr_parse_ip(&facts.client, "192.0.2.7", 9);
	filter.settings = xcalloc(1, filter_milter.settings_size);
	setting_defaults(filter_milter.settings, filter.settings);
	chaos_set("socket", where);
	chaos_set("quarantine", "yes");
	if (filters_setup(&filter, &host, &why) == -1)
		abort();
	worker.base = base;
	filter_milter.start(filter.self.priv, &worker);
	chain_conf_add(&chain_conf, &filter);
}

static void
chaos_remove_files(void)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/m", dir);
	unlink(path);
	rmdir(dir);
}

#endif
