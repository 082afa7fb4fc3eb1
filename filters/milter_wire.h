/*
 * milter_wire - the packets of the milter protocol, versions 2 to 6, from the
 * side of the MTA: what is said becomes octets, and octets become what was
 * answered. Nothing is sent or received here.
 *
 * The letters of commands (SMFIC_), replies (SMFIR_), and the bits of actions
 * (SMFIF_) and events (SMFIP_) are those of Sendmail's <libmilter/mfdef.h>.
 * A packet is a length of four octets, a letter and a payload; the length counts
 * the letter. Integers are big endian, strings end in NUL.
 *
 * A milter is not trusted: each length is checked, and what has octets left
 * over, or lacks some, is no packet. What strangers send is cut so that it fits
 * into a packet, and NULs are left out of it, because a string ends there.
 */
#ifndef FILTERS_MILTER_WIRE_H
#define FILTERS_MILTER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmilter/mfdef.h>

#include "base/buf.h"
#include "base/net.h"

/* What we offer. The bits of larger packets are not among them: no libmilter
   of a distribution knows them. */
#define WIRE_VERSION	6u
#define WIRE_ACTIONS	((uint32_t)SMFI_CURR_ACTS)
#define WIRE_PROTOCOL	((uint32_t)SMFI_CURR_PROT)

#define WIRE_PAYLOAD_MAX ((size_t)MILTER_MAX_DATA_SIZE)
#define WIRE_HEAD	5	/* octets in front of a payload */

/* Where macros belong to, with the numbers that they have in the negotiation;
   EOM is in front of EOH there. */
enum wire_stage {
	WIRE_CONNECT, WIRE_HELO, WIRE_MAIL, WIRE_RCPT, WIRE_DATA, WIRE_EOM,
	WIRE_EOH, WIRE_STAGES
};

/* Commands: each appends one packet to b, whose limit has to be large enough. */

/* One without a payload: SMFIC_BODYEOB, SMFIC_QUIT, … */
void wire_put(struct buf *b, char command);
/* The offer above. */
void wire_put_options(struct buf *b);
/* A client that is neither IPv4 nor IPv6 is of unknown family. */
void wire_put_connect(struct buf *b, const char *hostname,
    const struct netaddr *client);
/* One string: SMFIC_HELO, SMFIC_UNKNOWN. */
void wire_put_text(struct buf *b, char command, const char *text);
/* SMFIC_MAIL, SMFIC_RCPT: the address without <>, and its parameters as they
   came, each of which becomes a string. */
void wire_put_address(struct buf *b, char command, const char *address,
    const char *params);
/*
 * A field. raw is what is behind the colon, folded as it came and without the
 * last line end; its lines are to be separated by LF alone. Without leadspc
 * (SMFIP_HDR_LEADSPC) one space in front is left out.
 */
void wire_put_header(struct buf *b, struct slice name, struct slice raw,
    bool leadspc);
/* The head of a piece of the body, of at most WIRE_PAYLOAD_MAX octets. */
void wire_body_head(char out[WIRE_HEAD], size_t len);

/* Macros: begin, add each, end. A packet without any is not there. Returns
   what the others want to know. A macro that does not fit is left out. */
size_t wire_macros_begin(struct buf *b, char command);
void wire_macro(struct buf *b, size_t start, const char *name,
    const char *value);
void wire_macros_end(struct buf *b, size_t start);

/* Replies */

struct wire_packet {
	char		 kind;
	struct slice	 payload;	/* in the input */
};

enum wire_status {
	WIRE_MORE,		/* it is not complete */
	WIRE_PACKET,		/* *used octets are the packet */
	WIRE_BAD		/* *why: static text */
};

enum wire_status wire_take(const char *in, size_t len, struct wire_packet *p,
    size_t *used, const char **why);

/* The answer to the offer. The lists are in the packet, names separated by
   spaces or commas; an empty one means what an absent one means. */
struct wire_options {
	uint32_t	 version, actions, protocol;
	struct slice	 macros[WIRE_STAGES];
};

/* 0; or -1 with *why, static, also when it wants actions that were not
   offered. Events that were not are forgotten, as Postfix does it. */
int wire_options(const struct wire_packet *p, struct wire_options *o,
    const char **why);
/* Take the first name off the list; false: there is none. */
bool wire_next_name(struct slice *list, struct slice *name);

/* All other replies. What a kind does not have is NULL, 0 or empty. */
struct wire_reply {
	char		 kind;		/* SMFIR_… */
	unsigned	 nth;		/* INSHEADER, CHGHEADER */
	const char	*name;		/* of a field */
	const char	*value;		/* of a field, an address, the reason
					   of QUARANTINE */
	const char	*args;		/* ADDRCPT_PAR, CHGFROM: "NOTIFY=…",
					   or NULL */
	struct slice	 octets;	/* REPLBODY, REPLYCODE */
};

/* Pointers are into the packet. 0; or -1 with *why, static. */
int wire_reply(const struct wire_packet *p, struct wire_reply *r,
    const char **why);

/*
 * The text of a REPLYCODE: one line "550 5.7.1 text" or several, separated by CR
 * LF, with the same code and "-" on all but the last; an enhanced code is of the
 * class of the code; "%%" means "%". *code is set, and lines (emptied; of any
 * limit) gets the texts without the code, separated by LF. 0; or -1 with *why.
 */
int wire_replycode(struct slice octets, int *code, struct buf *lines,
    const char **why);

#endif
