/*
 * intake - the content of one message on its way in, and what becomes of it
 * when it is held and is not to go on as it came: header fields that filters
 * want changed, a body in place of another, other lines in it, a Received of
 * ours, and Authentication-Results that somebody else wrote in our name.
 *
 * Nobody behind us has heard of the message by then: what goes wrong here
 * refuses it.
 */
#ifndef PROXY_INTAKE_H
#define PROXY_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filters/hops.h"
#include "filters/txn.h"
#include "smtp/dot.h"

struct buf;
struct conf;
struct spool;

struct intake {
	struct dot	 dot;
	struct hops	 hops;		/* of the header, as it came */
	struct spool	*spool;		/* ours; NULL: none of it is held */
	bool		 binary;	/* BODY=BINARYMIME: octets are octets */
	bool		 too_big;	/* what follows is not kept */
	bool		 asked;		/* the filters have not answered */
	bool		 ended;		/* the end of data was read */
	bool		 streams;	/* it goes on while it comes; its end
					   is not yet sent */
	bool		 bdat;		/* that is how it goes, or went */
	bool		 dropped;	/* by us, for what is wrong with it */
	bool		 doomed;	/* what comes is only counted */
	char		*refusal;	/* the backend's; "CODE text"; ours */
	uint64_t	 due;		/* clock_ms() by when it is answered */
	int		 error;		/* errno of the spool; 0: none */
	uint64_t	 limit;		/* octets; 0: none */
	uint64_t	 size;		/* octets so far, kept or not */

	/* Private, of intake_edit() */
	struct spool	*came;		/* what spool was at first; ours; NULL:
					   it is still, or is not kept */
	struct dot	 came_dot;	/* the same */
	bool		 stripped;	/* those Authentication-Results */
	size_t		 place;		/* of our Received: fields above it */
};

void intake_free(struct intake **in);

struct intake_job {
	const struct conf	*conf;
	const struct txn_edit	*edits;		/* other kinds are passed over */
	size_t			 n;
	const char		*authserv_id;	/* whose results go, the first
						   time; NULL: nobody's */
	const char		*received;	/* value of ours; NULL: none */
	bool			 smtputf8;
	bool			 keep;		/* for intake_restore() */
};

/* Is there anything to do? */
bool intake_has_job(const struct intake *in, const struct intake_job *job);
/*
 * Do it: what is held is the new content. It may be done again, with edits that
 * are about the content as it is then. A body that nobody changes is not
 * copied, unless the content before is to be kept. NULL, or a reply that
 * refuses the message; static.
 */
const char *intake_edit(struct intake *in, const struct intake_job *job);
/* What came is what is held. */
void intake_restore(struct intake *in);

/* The rest is for intake_*.c. */

/* Content on its way into another spool, and the end of it: line ends become CR
   LF, and the intake knows what the octets are like. 0, or -1 with errno. */
int intake_add_piece(struct intake *in, struct spool *to, const char *p,
    size_t len);
int intake_end_pieces(struct intake *in, struct spool *to);
/* The other spool is the one. */
void intake_take_spool(struct intake *in, const struct intake_job *job,
    struct spool *to);

/* Does anybody want octets replaced from this one of the content on? */
bool intake_has_body_octets(const struct intake_job *job, uint64_t body);
/* The content behind its first body octets, which become the header given, or
   stay if it is NULL, gets what was asked for. 0, or -1 with errno. */
int intake_replace_octets(struct intake *in, const struct intake_job *job,
    const struct buf *header, uint64_t body);

#endif
