/*
 * filter - the contract between the chain and one filter.
 *
 * A filter has an opinion about a session or a message. It speaks milter: it
 * is asked at events (connect, helo, auth, unknown, mail, rcpt, data, content,
 * header, eoh, body, eom), answers with a verdict, and may set the reply and
 * ask for edits. It may be compiled in (filters.c) or come from a shared object
 * (load-module) that includes this file and exports
 *
 *	const struct filter vratar_filter = { .abi = FILTER_ABI, … };
 *
 * Three structs, never mixed: the type (struct filter, one, constant), the
 * configured instance (its priv: one for each "filter" block), and the place
 * in one session (struct chain_slot). filters/README.md shows how to write one.
 *
 * What a filter promises:
 *
 *  -	It never calls another filter and never touches a connection of the
 *	client or the backend. It never blocks.
 *  -	At each event it may read what facts and txn know so far. Pointers it is
 *	given are good until it has answered (the octets of content and body:
 *	until it returns); what is in slot->session and slot->txn is its own.
 *  -	After V_WAIT it calls chain_resume() exactly once, unless abort() or
 *	close() came first. Nobody else calls chain_resume().
 *  -	It asks only for edits that it has declared.
 *
 * What the chain promises:
 *
 *  -	All calls come from one thread, one at a time. While a filter has the
 *	question, no later event of this session comes, except abort and close.
 *  -	With a "when" in its block, a filter is asked about the messages for
 *	which that holds; of the others, and of a session before it holds for the
 *	first time, it hears nothing.
 *  -	abort() is called for each transaction that began (after mail) and ends
 *	without this filter's eom, for whatever reason.
 *  -	abort() is also called when the filter's time-out has passed, or the
 *	filter-budget of the message; txn is NULL if that happens outside of a
 *	transaction.
 *  -	A filter that reads content gets it with what those in front of it have
 *	changed, after they have agreed at eom; others while it comes.
 *  -	close() is called once for each session, last.
 *  -	A filter that breaks a promise, does not answer within its time-out or
 *	answers what makes no sense is logged and has failed: on-failure says
 *	what follows. In a transaction it is not asked again until the next one,
 *	and on-failure is its answer to the rest of it.
 */
#ifndef FILTERS_FILTER_H
#define FILTERS_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/setting.h"
#include "filters/facts.h"
#include "filters/txn.h"

/* Grows by one with each change here, in facts.h or in txn.h that a module
   must be compiled again for. */
#define FILTER_ABI	4

struct event_base;

enum filter_event {
	EV_CONNECT,		/* before the banner */
	EV_HELO,		/* each EHLO and HELO */
	EV_AUTH,		/* after the backend has accepted a login */
	EV_UNKNOWN,		/* a command that SMTP does not have, outside
				   of content */
	EV_MAIL,		/* a transaction begins */
	EV_RCPT,		/* for each recipient */
	EV_REFUSED,		/* a recipient that was refused before the
				   filter was asked about it; no verdict */
	EV_DATA,		/* DATA, or the first BDAT */
	EV_CONTENT,		/* a piece of the message, header and all:
				   before what is found in it */
	EV_HEADER,		/* each field of the header */
	EV_EOH,			/* the header is complete */
	EV_BODY,		/* a piece of the body, of any size */
	EV_EOM,			/* all has come; last chance */
	EV_NEVENTS
};

/* "connect"; static. */
const char *filter_event_name(enum filter_event ev);

/*
 * What follows from a verdict, and for what:
 *
 *			connect, helo	auth	mail, data to eom   rcpt
 *	V_CONTINUE	the next filter is asked, and then all is well
 *	V_ACCEPT	session		session	message		    recipient
 *			… is accepted; no filter is asked about it any more
 *	V_REJECT	554, closed; 	535	the message is	   the recipient
 *	V_TEMPFAIL	421, closed;	454	refused: 5xx or 4xx is refused
 *			helo: HELO is
 *			refused
 *	V_DISCARD	(failure)	(failure) the client is told 250 for the
 *			message, and it is thrown away
 *	V_SKIP		(failure)	(failure) content, body: like continue,
 *			and no more of it, please; otherwise a failure
 *	V_WAIT		chain_resume() will follow
 *	V_FAIL		it could not be found out: on-failure is the answer to
 *			this event, and the log has the text of chain_reply(),
 *			if there was one; the filter is asked about the next one
 *
 * At unknown, V_REJECT and V_TEMPFAIL take the place of our 500. What is
 * answered at refused counts for nothing.
 *
 * A reply of 421 or 521 closes the session after it. What is refused from data
 * on is
 * refused with the reply to the end of data (to DATA, at data), because SMTP
 * has no other moment for it.
 */
enum verdict {
	V_CONTINUE,
	V_ACCEPT,
	V_REJECT,
	V_TEMPFAIL,
	V_DISCARD,
	V_SKIP,
	V_WAIT,
	V_FAIL
};

/* "continue"; static. */
const char *verdict_name(enum verdict v);

/* A field of the message header (RFC 5322 2.2). */
struct header {
	struct slice	 name;
	struct slice	 value;		/* unfolded, without spaces around it */
	struct slice	 raw;		/* behind the colon, as it came, up to
					   and without the last CR LF */
	unsigned	 nth;		/* field of that name, from 1 */
};

/* The place of one filter in one session. Made and kept by the chain. */
struct chain_slot {
	void			*priv;		/* of the instance */
	void			*session;	/* session_size octets */
	void			*txn;		/* txn_size octets; NULL outside
						   of a transaction */
	const struct facts	*facts;
	uint64_t		 id;		/* for log_info() */
};

typedef enum verdict filter_session_fn(struct chain_slot *slot);
typedef enum verdict filter_txn_fn(struct chain_slot *slot, struct txn *t);
typedef enum verdict filter_rcpt_fn(struct chain_slot *slot, struct txn *t,
    const struct txn_rcpt *r);
typedef enum verdict filter_command_fn(struct chain_slot *slot,
    const char *line);
/* reply: "550 5.1.1 text", whoever it is from. */
typedef enum verdict filter_refused_fn(struct chain_slot *slot, struct txn *t,
    const struct txn_rcpt *r, const char *reply);
typedef enum verdict filter_header_fn(struct chain_slot *slot, struct txn *t,
    const struct header *h);
typedef enum verdict filter_body_fn(struct chain_slot *slot, struct txn *t,
    const char *p, size_t len);

/* What a filter is told of its surroundings when it is set up. */
struct filter_host {
	const char	*name;			/* of the filter block */
	const char	*hostname;
	const char	*recipient_delimiter;	/* "" */
	const struct setting_list *backends;	/* names for chain_route() */
	const char	*spool_directory;	/* for files without a name; as
						   long as the instance */
	FILE		*err;			/* for mistakes with a place of
						   their own, one a line */
	uint64_t	 timeout;		/* of the filter block, ms */
};

enum {
	FILTER_WANTS_NAME	= 1,	/* facts.client_name: costs questions
					   to the DNS before the banner */
	FILTER_WANTS_HEADERS	= 2,	/* txn.headers is filled */
	FILTER_ADDS_AUTHRES	= 4,	/* it may add Authentication-Results of
					   facts.authserv_id: those that came
					   are taken out (RFC 8601 5) */
	FILTER_JOINS_LATE	= 8	/* it may have a when that is known at
					   mail only, although it has something
					   to do before: it does that then */
};

/* What an instance is. setup() gets it filled from the type and may take bits
   away, or set wants: what is not declared here is never asked. */
struct filter_instance {
	void		*priv;
	unsigned	 events;	/* 1 << enum filter_event */
	unsigned	 edits;		/* 1 << enum txn_edit_kind */
	unsigned	 wants;		/* FILTER_WANTS_… */
};

/* Services of the worker, to ask the DNS with. */
enum filter_dns_answer { DNS_YES, DNS_NO, DNS_FAILED };
typedef void filter_dns_fn(void *arg, enum filter_dns_answer a);

struct filter_worker {
	struct event_base	*base;
	void			*dns;	/* for the functions below */
	/*
	 * Can mail be sent to the domain (MX, A or AAAA)? fn is called once,
	 * perhaps before this returns NULL; else the result is a handle for
	 * dns_cancel(). The functions are NULL when there is no DNS.
	 */
	void			*(*dns_resolves)(void *dns, const char *domain,
				    filter_dns_fn *fn, void *arg);
	void			 (*dns_cancel)(void *dns, void *handle);
};

struct filter {
	unsigned		 abi;		/* FILTER_ABI */
	const char		*name;		/* type = "name" */
	const struct setting	*settings;	/* rows; NULL: none */
	size_t			 settings_size;	/* of the struct they fill */
	size_t			 session_size;	/* state in a session … */
	size_t			 txn_size;	/* … and in a transaction:
						   zeroed, freed by the chain */
	unsigned		 edits;		/* the most it may ask for */
	unsigned		 wants;

	/*
	 * Make an instance, while the configuration is read, perhaps as root,
	 * in a process that has no loop: files are read here and no sockets
	 * opened. settings live as long as the instance. 0; or -1 with a
	 * mistake in *why (ours to free), or with *why NULL and mistakes
	 * written to host->err. NULL: there is nothing to be done.
	 */
	int	(*setup)(struct filter_instance *self, const void *settings,
		    const struct filter_host *host, char **why);
	void	(*teardown)(void *priv);

	/* In each worker, before the first session and after the last. */
	void	(*start)(void *priv, const struct filter_worker *w);
	void	(*stop)(void *priv);

	/* Events; a NULL member: not interested. */
	filter_session_fn	*connect, *helo, *auth;
	filter_command_fn	*unknown;
	filter_txn_fn		*mail;
	filter_rcpt_fn		*rcpt;
	filter_refused_fn	*refused;
	filter_txn_fn		*data;
	filter_body_fn		*content;
	filter_header_fn	*header;
	filter_txn_fn		*eoh;
	filter_body_fn		*body;
	filter_txn_fn		*eom;
	void			(*abort)(struct chain_slot *slot,
				    struct txn *t);
	void			(*close)(struct chain_slot *slot);
};

/* What a filter may call, with its own slot. */

/*
 * The answer to a V_WAIT. Calls nothing back before it returns; called within
 * the event, before V_WAIT is returned, it is the answer at once.
 */
void chain_resume(struct chain_slot *slot, enum verdict v);

/*
 * The reply that goes with a V_REJECT (5xx) or V_TEMPFAIL (4xx): before it is
 * answered. enhanced ("5.7.1") may be NULL; its class is that of the code. The
 * text is one line.
 */
void chain_reply(struct chain_slot *slot, int code, const char *enhanced,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same with a text of several lines, separated by LF; each may begin with an
   enhanced code of its own. */
void chain_reply_lines(struct chain_slot *slot, int code, const char *lines);

/* With a V_FAIL in a transaction: something of it was missed, so it counts for
   the rest of the transaction, like the failures of a broken promise. */
void chain_lost(struct chain_slot *slot);

/* With a V_WAIT: the answer may take so long, whatever the time-out of the
   filter is. The filter-budget of the message counts all the same. */
void chain_patience(struct chain_slot *slot, uint64_t ms);

/* Where it was decided ("policy.rules:17"), for the decision record. */
void chain_place(struct chain_slot *slot, const char *place);

/*
 * Ask for an edit, at any event of a transaction. It is copied. All edits of
 * all filters are applied when all have agreed to the message at eom, or none
 * is. What a filter wants of the content is done before those behind it are
 * shown that.
 */
void chain_edit(struct chain_slot *slot, const struct txn_edit *edit);

/*
 * In this session there will be no other edits than these (1 << enum
 * txn_edit_kind) of those that were declared, until this is called again: at an
 * event before data. A message that nobody edits can go on while it comes.
 */
void chain_narrow(struct chain_slot *slot, unsigned edits);

/*
 * Tell what was found out about the message, at any event of a transaction.
 * name is the type of the filter, a dot and a word: "clamd.virus". Filters
 * behind can read it (txn.findings), rules by that name if it is one of
 * rules/field.def, and it is in the decision record. A name that comes again is
 * a list. The text is cut after 200 octets and its controls are replaced; after
 * TXN_FINDINGS_MAX findings more are forgotten.
 */
void chain_publish(struct chain_slot *slot, const char *name,
    const char *text);
/* The same for a number; yes is 1 and no is 0. */
void chain_publish_number(struct chain_slot *slot, const char *name,
    double number);

/* Hold the answer to this event back for so long (a tarpit), at most five
   minutes; of several, the longest. Other sessions go on. */
void chain_delay(struct chain_slot *slot, uint64_t ms);

/* Send the recipient (at rcpt), the message (at mail) or all messages (before)
   to this backend, whatever the routes say. */
void chain_route(struct chain_slot *slot, const char *backend);

#endif
