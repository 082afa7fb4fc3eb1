/*
 * chain - asks the filters of a session in order, waits for those that need
 * time, and merges what they say into one verdict.
 *
 * The engine asks one question at a time. Either it is answered when the
 * function returns true, or done() is called later, from the loop, when it
 * is; in both cases chain_result() is the answer. Meanwhile the engine may end
 * the transaction or the session: then done() is not called.
 *
 * A filter that fails (filter.h) never ends more than what its on-failure
 * says: a warning is logged, and the chain goes on.
 */
#ifndef FILTERS_CHAIN_H
#define FILTERS_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filters/filter.h"

/* A configured instance: one "filter" block. */
struct filter_conf {
	char			*name;		/* the title of the block */
	const struct filter	*type;
	struct filter_instance	 self;
	void			*settings;	/* type->settings_size; ours */
	uint64_t		 timeout;	/* ms, for one answer */
	enum verdict		 on_failure;	/* TEMPFAIL, REJECT, ACCEPT */
	bool			 observe;	/* verdicts are only logged */
	struct filter_conf	*when;		/* policy_when(); ours, or NULL:
						   it is always asked */
};

/* The filters of a listener, in order. n 0: there is no chain. */
struct chain_conf {
	struct filter_conf	**filters;	/* theirs; the array is ours */
	size_t			 n;
	unsigned		 events, edits, wants;	/* of all */
	uint64_t		 budget_ms;	/* for the waits of all filters
						   for one message's content;
						   0: any */
};

/* Add one, and its bits; nobody does the edits of one that observes. */
void chain_conf_add(struct chain_conf *c, struct filter_conf *f);
void chain_conf_fini(struct chain_conf *c);

struct chain;

typedef void chain_done_fn(void *arg);

/*
 * For one session. conf and facts are borrowed; the engine keeps facts up to
 * date. Nothing is asked yet.
 */
struct chain *chain_new(const struct chain_conf *conf,
    const struct facts *facts, chain_done_fn *done, void *arg);
/* Ends the transaction, if there is one, tells the filters, and leaves NULL;
   NULL is fine. */
void chain_free(struct chain **c);

struct chain_result {
	enum verdict	 verdict;	/* CONTINUE, REJECT, TEMPFAIL or
					   DISCARD */
	const char	*reply;		/* "550 5.7.1 …" of REJECT, TEMPFAIL */
	const char	*by;		/* the rule or filter that decided */
};

/*
 * Rounds. Each filter sees the content as those in front of it want to have
 * it. So the filters are asked about content in rounds: one that reads or
 * changes content, and has one that may change it in front of it, begins a new
 * round. The first round hears the content while it comes. When all of it have
 * agreed at eom, the engine does the edits that there are by then, and the next
 * round hears what it has now, read from it in pieces: all that is a part of
 * chain_eom(). So each filter hears each event of the content once.
 */
struct chain_source {
	/*
	 * Do these edits of the content; other kinds are passed over. They are
	 * done, whatever comes: txn.napplied counts them from now on. It is
	 * called between two rounds even when there are none (n 0), since it
	 * is here that Authentication-Results go which nobody is to believe:
	 * the next round believes those that are there. NULL, or the reply that
	 * refuses the message ("452 4.3.1 …"); static.
	 */
	const char	*(*rewrite)(void *arg, const struct txn_edit *edits,
			    size_t n);
	/* Copy the octets at this offset, at most len. Returns how many, 0 at
	   the end, -1: it cannot be read. */
	int64_t		 (*read)(void *arg, uint64_t at, void *out, size_t len);
};
/* s is borrowed, and arg is the chain's. Neither function may call the chain.
   Without a source there is one round, and all see what came. */
void chain_set_source(struct chain *c, const struct chain_source *s);

/* What the filters of this session, and in a transaction those that are asked
   about it, may ask for: 1 << enum txn_edit_kind. With no EDITS_CONTENT in it
   there will be one round. From chain_data() to the end of the transaction it
   only becomes less. */
unsigned chain_edits(const struct chain *c);

/* The answer to the last question; valid until the next one, or the end of
   the transaction. */
const struct chain_result *chain_result(const struct chain *c);

bool chain_connect(struct chain *c);
bool chain_helo(struct chain *c);
bool chain_auth(struct chain *c);
/* A command that SMTP does not have, as it came: one line, without controls.
   Not while content is under way. V_CONTINUE: it is refused as always. */
bool chain_unknown(struct chain *c, const char *line);

/* A transaction begins, even when it is refused. t is borrowed until
   chain_end(). */
bool chain_mail(struct chain *c, struct txn *t);
bool chain_rcpt(struct chain *c, const struct txn_rcpt *r);
/* The recipient was refused, by the engine or by that answer: those who have not
   been asked about it are told. There is no result. Both are borrowed until it is
   answered. */
bool chain_refused(struct chain *c, const struct txn_rcpt *r,
    const char *reply);
bool chain_data(struct chain *c);

/* Does anybody want to see content? */
bool chain_wants_content(const struct chain *c);
/*
 * A piece of content. A verdict about the message is not told here but at
 * chain_eom(), since the client cannot be told before. p is borrowed until the
 * call returns.
 */
bool chain_content(struct chain *c, const char *p, size_t len);
/* All of it has come. What is left to do of txn.edits, when the answer is
   there, are those from txn.napplied on. */
bool chain_eom(struct chain *c);
/* Content has decided against the message, whatever comes: chain_eom() will
   say how. */
bool chain_is_decided(const struct chain *c);

/*
 * The transaction is over, whatever the result; with none it does nothing. The
 * decision record is logged: t->reply and t->queue_id are in it. Call it
 * before t is freed.
 */
void chain_end(struct chain *c);

/* The backend that filters chose for this recipient or message, or NULL. */
const char *chain_routed(const struct chain *c);

/*
 * Somebody who watches all chains of this process, to explain them (vratar
 * test); borrowed. A delay is told of instead of being waited for. NULL: nobody.
 */
struct chain_watcher {
	void	(*answer)(void *arg, const struct filter_conf *f,
		    enum filter_event ev, enum verdict v, const char *reply,
		    const char *place);
	void	(*delay)(void *arg, const struct filter_conf *f,
		    enum filter_event ev, uint64_t ms);
	/* The condition of its block says that it is not asked. */
	void	(*passed)(void *arg, const struct filter_conf *f,
		    enum filter_event ev);
	/* The transaction is over: its edits and its result. */
	void	(*end)(void *arg, const struct txn *t);
	void	*arg;
};
void chain_set_watcher(const struct chain_watcher *w);

#endif
