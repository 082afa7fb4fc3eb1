/*
 * txn - one mail transaction: from MAIL to the end of data, RSET or the end of
 * the session, whatever comes first.
 *
 * It is the contract between the engine, which fills it, and the filters,
 * which read it: at each stage what is known so far and nothing later. It is
 * destroyed with every end of data, so no decision about one message can
 * leak into the next.
 */
#ifndef FILTERS_TXN_H
#define FILTERS_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp/param.h"

enum rcpt_state {
	RCPT_QUEUED,		/* approved by us; the backend has not heard */
	RCPT_SENT,		/* its reply is to come */
	RCPT_ACCEPTED,
	RCPT_REFUSED
};

struct address;
struct params;

struct txn_rcpt {
	char		*address;	/* canonical, without <>; ours */
	char		*params;	/* as the client wrote them; ours */
	enum rcpt_state	 state;
	void		*slot;		/* the engine's: where the reply goes */
};

/*
 * What filters may ask for, and what name, value and nth mean then. All but
 * REDIRECT are as milter has them: smfi_addheader() and so on. How fields are
 * counted, and what becomes of a value, is in filters/rewrite.h.
 */
enum txn_edit_kind {
	EDIT_ADD_HEADER,	/* name: value at the end of the header */
	EDIT_INSERT_HEADER,	/* the same in front of field nth; 0: on top */
	EDIT_CHANGE_HEADER,	/* the nth field called name, from 1; it is
				   added if it is not there, and deleted if
				   value is empty */
	EDIT_DELETE_HEADER,	/* the same; nth 0: all of that name */
	EDIT_REPLACE_BODY,	/* value, len: one piece; several asked for in
				   one message follow each other */
	EDIT_ADD_RCPT,		/* value: address; name: its parameters, NULL */
	EDIT_DELETE_RCPT,	/* value: address as in txn.rcpts */
	EDIT_REDIRECT,		/* value: address; the only recipient then */
	EDIT_CHANGE_FROM,	/* value: address; name: its parameters, NULL */
	EDIT_QUARANTINE,	/* value: the reason */
	EDIT_REPLACE_OCTETS,	/* value, len: takes the place of octets of the
				   content that it sees: so many at offset (0: it
				   is put in front of them). In the order of
				   the content; value has whole lines or none */
	EDIT_KINDS
};

#define EDIT_BIT(kind)	(1u << (kind))
#define EDITS_ENVELOPE	(EDIT_BIT(EDIT_ADD_RCPT) |			\
			 EDIT_BIT(EDIT_DELETE_RCPT) |			\
			 EDIT_BIT(EDIT_REDIRECT) |			\
			 EDIT_BIT(EDIT_CHANGE_FROM))
#define EDITS_CONTENT	(EDIT_BIT(EDIT_ADD_HEADER) |			\
			 EDIT_BIT(EDIT_INSERT_HEADER) |			\
			 EDIT_BIT(EDIT_CHANGE_HEADER) |			\
			 EDIT_BIT(EDIT_DELETE_HEADER) |			\
			 EDIT_BIT(EDIT_REPLACE_BODY) |			\
			 EDIT_BIT(EDIT_REPLACE_OCTETS))

struct txn_edit {
	enum txn_edit_kind	 kind;
	unsigned		 nth;
	unsigned		 field;	/* in place of nth and its name: the
					   field that it saw as this one, from
					   1, whatever was asked for since; to
					   insert: in front of it. 0: nth. */
	const char		*name;	/* as above, or NULL */
	const char		*value;	/* NULL: "". Of a field: may have lines
					   of its own, "\n" or "\r\n". */
	size_t			 len;	/* of the value of EDIT_REPLACE_BODY
					   and EDIT_REPLACE_OCTETS */
	uint64_t		 offset, octets;	/* … of the latter */
	bool			 tight;	/* of a field: no space is put behind
					   the colon where value has none */
	const char		*by;	/* the filter; set by the chain */
};

/* What a filter has found out about the message: chain_publish(). */
struct txn_finding {
	char		*name;		/* "rspamd.score"; ours */
	char		*text;		/* printable; ours */
	double		 number;	/* 0 for a text */
	const char	*by;		/* the filter */
};

/* A field of the message header, kept. */
struct txn_header {
	char		*name;		/* ours */
	char		*value;		/* unfolded; ours */
};

struct txn {
	/* MAIL */
	char		*from;		/* canonical, "" is the null sender */
	char		*params;	/* as the client wrote them; ours */
	unsigned	 present;	/* 1 << param_id */
	uint64_t	 size;		/* SIZE=; 0: not given */
	enum param_body	 body;

	/* RCPT */
	struct txn_rcpt	**rcpts;	/* ours, refused ones included */
	size_t		 nrcpts;
	size_t		 nwaiting;	/* queued or sent */
	size_t		 naccepted;
	size_t		 nrefused;	/* by anybody */

	/* Content: the header from eoh on, if a filter wants it; the size of
	   all, from eom on. Of what is seen by the filters that are asked. */
	const struct txn_header *headers; /* ours */
	size_t		 nheaders;
	uint64_t	 octets;

	/* What the filters have found out, in order; ours */
	const struct txn_finding *findings;
	size_t		 nfindings;

	/* What the filters want done, in order; ours */
	const struct txn_edit *edits;
	size_t		 nedits, noctets;	/* all, EDIT_REPLACE_OCTETS */

	/* The engine's own */
	bool		 mail_sent;	/* the backend has it in this session */
	bool		 lost;		/* the backend has gone since */
	size_t		 nforwarded;	/* rcpts before this are not queued */
	char		*mail_refusal;	/* "CODE text" for everybody; ours */
	bool		 mail_was_answered; /* the client knows of it */
	bool		 discarded;	/* to be taken and thrown away */
	char		*reply;		/* the last word to the client; ours */
	char		*queue_id;	/* the backend's, or NULL; ours */
	size_t		 edit_octets, header_octets, finding_octets;
	unsigned	 serial;	/* in its session, from 1 */
	size_t		 napplied;	/* of edits: what the first ones want of
					   the content is done (chain.h) */
};

struct txn *txn_new(const struct address *from, const struct params *p);
/* Frees it and leaves NULL; NULL is fine. */
void txn_free(struct txn **t);
/* A recipient that is not yet one of the transaction. */
struct txn_rcpt *txn_rcpt_new(const struct address *to,
    const struct params *p);
void txn_rcpt_free(struct txn_rcpt **r);
/* Add it (ours from now on), queued; it stays where it is until txn_free(). */
void txn_add_rcpt(struct txn *t, struct txn_rcpt *r);
/* Keeps the counts. */
void txn_rcpt_enter(struct txn *t, struct txn_rcpt *r, enum rcpt_state state);

/* Keep a field of the header, copied. False: there are too many. */
#define TXN_HEADERS_MAX		1000
#define TXN_HEADER_OCTETS	((size_t)1 << 20)	/* all together */
bool txn_add_header(struct txn *t, const char *name, size_t namelen,
    const char *value, size_t valuelen);
void txn_drop_headers(struct txn *t);
/* Keep an edit, copied; by is borrowed for the life of t. False: too many. */
#define TXN_EDITS_MAX		1000
#define TXN_OCTETS_MAX		20000	/* EDIT_REPLACE_OCTETS, beside those */
#define TXN_EDIT_OCTETS		((size_t)64 << 20)
bool txn_add_edit(struct txn *t, const struct txn_edit *e);
/* Put the edits that are late, of those that are not done, behind the others;
   each kind stays in order. Returns how many are in front of them. */
typedef bool txn_is_late_fn(const void *arg, const struct txn_edit *e);
size_t txn_defer_edits(struct txn *t, txn_is_late_fn *is_late,
    const void *arg);
/* Keep a finding, copied; by is borrowed for the life of t. False: too many. */
#define TXN_FINDINGS_MAX	500
#define TXN_FINDING_OCTETS	((size_t)32 << 10)
bool txn_add_finding(struct txn *t, const struct txn_finding *f);
/* Forget all that this filter found, and asked for if it is not done. */
void txn_drop_wishes(struct txn *t, const char *by);
/* "add header"; static. */
const char *txn_edit_name(enum txn_edit_kind kind);

#endif
