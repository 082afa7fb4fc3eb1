/*
 * milterd_callbacks - what libmilter calls.
 *
 * All of it goes on to the loop, but for the content: fields and pieces of the
 * body are put together here, and handed over when there is enough of it. And
 * what is to be changed of a message is said here, since only this thread may.
 */

#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "base/spool.h"
#include "filters/header.h"
#include "proxy/intake.h"
#include "proxy/milterd_impl.h"
#include "smtp/reply.h"

#define CONTENT_ENOUGH	((size_t)64 << 10)
#define CONTENT_ROOM	((size_t)256 << 10)	/* with one more piece */
#define REPLY_LINE	900	/* libmilter takes 980, "%" is two */
#define REPLY_LINES	32

#define ALL_ACTIONS	(SMFIF_ADDHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT |     \
			 SMFIF_DELRCPT | SMFIF_CHGHDRS | SMFIF_QUARANTINE |  \
			 SMFIF_CHGFROM | SMFIF_ADDRCPT_PAR | SMFIF_SETSYMLIST)

static struct milterd_session *
session_of(SMFICTX *ctx)
{
	struct milterd_session *s = smfi_getpriv(ctx);

	if (s != NULL)
		OBJ_CHECK(s, MILTERD_SESSION_MAGIC);
	return s;
}

static struct milterd_session *
session_make(SMFICTX *ctx)
{
	struct milterd_session *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;

	s->magic = MILTERD_SESSION_MAGIC;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->answered, &attr);
	pthread_condattr_destroy(&attr);
	buf_init(&s->in, CONTENT_ROOM);
	buf_init(&s->header, 2 * HEADER_OCTETS_MAX);
	smfi_setpriv(ctx, s);
	return s;
}

/* Those that may be there now; libmilter forgets them with the callback. */
static void
read_macros(struct milterd_session *s, SMFICTX *ctx)
{
	enum milterd_macro m;
	const char *value;
	int stage;

	for (m = 0; m < MACROS; m++) {
		value = smfi_getsymval(ctx, (char *)macro_name(m, &stage));
		free(s->call.macros[m]);
		s->call.macros[m] = value != NULL ? xstrdup(value) : NULL;
	}
}

static void
free_macros(struct milterd_session *s)
{
	enum milterd_macro m;

	for (m = 0; m < MACROS; m++)
		free(s->call.macros[m]);
}

/* Answers */

/* The next line of a reply, without a code of its own, as libmilter wants it:
   "%" is the start of something for Sendmail. Returns where the next one is,
   or NULL. */
static const char *
reply_line(const char *p, int code, char out[REPLY_LINE + 2])
{
	size_t len = strcspn(p, "\n"), i, n = reply_enhanced(code, p, len);
	const char *end = p + len;

	if (n > 0)
		p += n + (p[n] == ' ');
	for (i = 0; p < end && i < REPLY_LINE; p++) {
		out[i++] = *p;
		if (*p == '%')
			out[i++] = '%';
	}
	out[i] = '\0';
	return *end == '\n' ? end + 1 : NULL;
}

#define L4(n)	line[n], line[n + 1], line[n + 2], line[n + 3]
#define L16(n)	L4(n), L4(n + 4), L4(n + 8), L4(n + 12)

/* "550 5.7.1 one\n5.7.1 two": the enhanced code of the first line is that of
   all, or X.0.0, as for a client of the proxy. */
static void
set_reply(SMFICTX *ctx, const char *reply)
{
	char *line[REPLY_LINES] = { NULL }, code[4], enhanced[16];
	int number = (int)strtol(reply, NULL, 10);
	const char *p = reply + 4;
	size_t n, i;

	snprintf(code, sizeof(code), "%d", number);
	n = reply_enhanced(number, p, strcspn(p, "\n"));
	if (n > 0)
		snprintf(enhanced, sizeof(enhanced), "%.*s", (int)n, p);
	else
		snprintf(enhanced, sizeof(enhanced), "%c.0.0", *reply);
	for (i = 0; i < REPLY_LINES && p != NULL; i++) {
		line[i] = xmalloc(REPLY_LINE + 2);
		p = reply_line(p, number, line[i]);
	}
	smfi_setmlreply(ctx, code, enhanced, L16(0), L16(16), (char *)NULL);
	for (i = 0; i < REPLY_LINES; i++)
		free(line[i]);
}

static sfsistat
status_of(SMFICTX *ctx, const struct milterd_call *c)
{
	switch (c->verdict) {
	case V_REJECT:
	case V_TEMPFAIL:
		if (c->reply != NULL)
			set_reply(ctx, c->reply);
		return c->verdict == V_REJECT ? SMFIS_REJECT : SMFIS_TEMPFAIL;
	case V_DISCARD:
		return SMFIS_DISCARD;
	case V_SKIP:
		return SMFIS_SKIP;
	case V_CONTINUE:
	case V_ACCEPT:
	case V_WAIT:
	case V_FAIL:
		break;
	}
	return SMFIS_CONTINUE;
}

/* Ask, and say it; silent: a bit by which the MTA was told that this event is
   not replied to. */
static sfsistat
reply(struct milterd_session *s, SMFICTX *ctx, enum milterd_event event,
    unsigned long silent)
{
	bool answered = s != NULL && gate_ask(s, ctx, event);

	if (s != NULL && (s->protocol & silent) != 0)
		return SMFIS_NOREPLY;
	if (answered)
		return status_of(ctx, &s->call);
	set_reply(ctx, "421 4.3.2 the filter is shutting down");
	return SMFIS_TEMPFAIL;
}

/* Session */

static void
want_macros(SMFICTX *ctx)
{
	char lists[SMFIM_LAST + 1][256] = { "" };
	enum milterd_macro m;
	const char *name;
	size_t len;
	int stage;

	for (m = 0; m < MACROS; m++) {
		name = macro_name(m, &stage);
		len = strlen(lists[stage]);
		snprintf(lists[stage] + len, sizeof(lists[0]) - len, "%s%s",
		    len > 0 ? " " : "", name);
	}
	/* The id of the queue comes late, and at a different stage for each
	   MTA. Sendmail looks at the list for EOM only with one for EOH. */
	name = macro_name(MACRO_QUEUE_ID, &stage);
	for (stage = SMFIM_ENVRCPT; stage <= SMFIM_LAST; stage++)
		snprintf(lists[stage], sizeof(lists[0]), "%s", name);
	for (stage = 0; stage <= SMFIM_LAST; stage++)
		smfi_setsymlist(ctx, stage, lists[stage]);
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long protocol,
    unsigned long f2, unsigned long f3, unsigned long *want_actions,
    unsigned long *want_protocol, unsigned long *w2, unsigned long *w3)
{
	struct milterd_session *s = session_make(ctx);

	(void)f2, (void)f3;
	s->call.actions = actions;
	s->call.protocol = protocol;
	/* Refused, the MTA does what it does without a milter. */
	if (!gate_ask(s, ctx, ON_NEGOTIATE) || s->call.verdict != V_CONTINUE)
		return SMFIS_REJECT;
	if (actions & SMFIF_SETSYMLIST)
		want_macros(ctx);
	*want_actions = s->call.actions | (actions & SMFIF_SETSYMLIST);
	*want_protocol = s->call.protocol;
	*w2 = *w3 = 0;
	return SMFIS_CONTINUE;
}

static sfsistat
on_connect(SMFICTX *ctx, char *host, struct sockaddr *sa)
{
	struct milterd_session *s = session_of(ctx);

	if (s != NULL) {
		s->call.text = host;
		s->call.sa = sa;
		read_macros(s, ctx);
	}
	return reply(s, ctx, ON_CONNECT, SMFIP_NR_CONN);
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	struct milterd_session *s = session_of(ctx);

	if (s != NULL) {
		s->call.text = name;
		read_macros(s, ctx);
	}
	return reply(s, ctx, ON_HELO, SMFIP_NR_HELO);
}

static sfsistat
on_close(SMFICTX *ctx)
{
	struct milterd_session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	smfi_setpriv(ctx, NULL);
	/* Refused: the loop ends, and may be looking at it still. */
	if (!gate_ask(s, ctx, ON_CLOSE))
		return SMFIS_CONTINUE;
	pthread_cond_destroy(&s->answered);
	free_macros(s);
	free(s->call.reply);
	buf_fini(&s->in);
	buf_fini(&s->header);
	plan_clear(&s->plan);
	s->magic = 0;
	free(s);
	return SMFIS_CONTINUE;
}

/* Envelope */

static sfsistat
on_envelope(SMFICTX *ctx, enum milterd_event event, char **argv,
    unsigned long silent)
{
	struct milterd_session *s = session_of(ctx);

	if (s != NULL) {
		s->call.argv = argv;
		read_macros(s, ctx);
	}
	return reply(s, ctx, event, silent);
}

static sfsistat
on_mail(SMFICTX *ctx, char **argv)
{
	return on_envelope(ctx, ON_MAIL, argv, 0);
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **argv)
{
	return on_envelope(ctx, ON_RCPT, argv, SMFIP_NR_RCPT);
}

static sfsistat
on_data(SMFICTX *ctx)
{
	return on_envelope(ctx, ON_DATA, NULL, SMFIP_NR_DATA);
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	struct milterd_session *s = session_of(ctx);

	if (s != NULL)
		gate_ask(s, ctx, ON_ABORT);
	return SMFIS_CONTINUE;
}

/* Content */

/* The value as it was sent, but for CR, and lines end in CR LF again. */
static void
add_value(struct buf *b, const char *p)
{
	for (; *p != '\0'; p++) {
		if (*p == '\n' && (b->len == 0 || b->p[b->len - 1] != '\r'))
			buf_addc(b, '\r');
		buf_addc(b, *p);
	}
}

static void
add_field(struct milterd_session *s, const char *name, const char *value)
{
	size_t before = s->in.len;

	buf_addf(&s->in, "%s:%s", name, s->leadspc ? "" : " ");
	add_value(&s->in, value);
	buf_add(&s->in, "\r\n", 2);
	s->header_octets += s->in.len - before;
	s->nfields++;
}

/* Hand over what has come, if that is worth it. */
static void
pass_on(struct milterd_session *s, SMFICTX *ctx)
{
	s->call.verdict = V_CONTINUE;
	if (s->in.len >= CONTENT_ENOUGH)
		gate_ask(s, ctx, ON_CONTENT);
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct milterd_session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	add_field(s, name, value);
	pass_on(s, ctx);
	return SMFIS_NOREPLY;
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	struct milterd_session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	buf_add(&s->in, "\r\n", 2);
	s->header_octets += 2;
	return SMFIS_NOREPLY;
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *p, size_t len)
{
	struct milterd_session *s = session_of(ctx);

	if (s == NULL)
		return SMFIS_CONTINUE;
	buf_add(&s->in, (const char *)p, len);
	pass_on(s, ctx);
	return (s->protocol & SMFIP_NR_BODY) != 0 ? SMFIS_NOREPLY :
	    status_of(ctx, &s->call);
}

/* The end, and what is changed */

#define BODY_PIECE	65535

static int
replace_body(SMFICTX *ctx, const struct spool *spool, uint64_t at)
{
	char *piece = xmalloc(BODY_PIECE);
	int64_t n, r = MI_SUCCESS;
	bool any = false;

	while (r == MI_SUCCESS &&
	    (n = spool_peek(spool, at, piece, BODY_PIECE)) != 0) {
		r = n == -1 ? MI_FAILURE : smfi_replacebody(ctx,
		    (unsigned char *)piece, (int)n);
		at += (uint64_t)n;
		any = true;
	}
	if (!any)
		r = smfi_replacebody(ctx, (unsigned char *)piece, 0);
	free(piece);
	return (int)r;
}

static int
do_op(SMFICTX *ctx, const struct milterd_session *s,
    const struct milterd_op *o)
{
	switch (o->kind) {
	case OP_ADD:
		return smfi_addheader(ctx, o->name, o->value);
	case OP_INSERT:
		return smfi_insheader(ctx, o->index, o->name, o->value);
	case OP_CHANGE:
		return smfi_chgheader(ctx, o->name, o->index, o->value);
	case OP_ADD_RCPT:
		return o->value == NULL ? smfi_addrcpt(ctx, o->name) :
		    smfi_addrcpt_par(ctx, o->name, o->value);
	case OP_DELETE_RCPT:
		return smfi_delrcpt(ctx, o->name);
	case OP_FROM:
		return smfi_chgfrom(ctx, o->name, o->value);
	case OP_QUARANTINE:
		return smfi_quarantine(ctx, o->value);
	case OP_BODY:
		return replace_body(ctx, s->intake->spool, o->offset);
	}
	return MI_FAILURE;
}

/* What can be wrong was looked at before; now it is the MTA that is gone. It
   forgets what it has heard, unless we agree to the message. */
static bool
do_plan(SMFICTX *ctx, struct milterd_session *s)
{
	size_t i;

	for (i = 0; i < s->plan.n; i++)
		if (do_op(ctx, s, &s->plan.ops[i]) != MI_SUCCESS)
			return false;
	return true;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	struct milterd_session *s = session_of(ctx);
	sfsistat status;

	if (s != NULL)
		read_macros(s, ctx);
	status = reply(s, ctx, ON_EOM, 0);
	if (s == NULL || status != SMFIS_CONTINUE || s->plan.n == 0)
		return status;
	if (do_plan(ctx, s))
		return SMFIS_CONTINUE;
	s->plan_failed = true;
	set_reply(ctx, "451 4.3.0 the message cannot be changed as it has to "
	    "be; try again");
	return SMFIS_TEMPFAIL;
}

void
callbacks_register(void)
{
	struct smfiDesc d = {
		.xxfi_name	= (char *)"vratar",
		.xxfi_version	= SMFI_VERSION,
		.xxfi_flags	= ALL_ACTIONS,
		.xxfi_connect	= on_connect,
		.xxfi_helo	= on_helo,
		.xxfi_envfrom	= on_mail,
		.xxfi_envrcpt	= on_rcpt,
		.xxfi_header	= on_header,
		.xxfi_eoh	= on_eoh,
		.xxfi_body	= on_body,
		.xxfi_eom	= on_eom,
		.xxfi_abort	= on_abort,
		.xxfi_close	= on_close,
		.xxfi_data	= on_data,
		.xxfi_negotiate	= on_negotiate,
	};

	if (smfi_register(d) != MI_SUCCESS)
		fatal("libmilter: it cannot be used");
}
