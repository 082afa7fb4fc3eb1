/*
 * milter_reply - what the answer of a milter means, and when.
 *
 * The one that accepts is asked no more: about the session after connect and
 * HELO, else about the message. The others of the chain go on. The one that
 * refuses a connection or a HELO is asked no more either; a connection is
 * refused at once with 5xx and with 421, and everything else is told to each
 * MAIL, as Sendmail and Postfix do it. After accept, reject, tempfail and discard
 * libmilter is where it was before MAIL and would not answer what belongs to
 * the message: but a refused recipient is only that, and so is a command that
 * nobody knows.
 *
 * Edits are collected by the chain. It is told all of them, and nothing is done
 * if the milter is lost before its last word.
 */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/milter_impl.h"

static bool
is_before_mail(char command)
{
	return command == SMFIC_CONNECT || command == SMFIC_HELO;
}

/* It has no more to say about the message. */
static void
pass(struct milter_session *m)
{
	m->passed = true;
	m->in_message = false;
}

/* Refusing */

enum verdict
milter_refuse(struct milter_session *m)
{
	chain_reply_lines(m->slot, m->code, m->text);
	return m->refusal;
}

static enum milter_next
refuse(struct milter_session *m, int code, const char *text, enum verdict *v)
{
	char due = m->due;

	free(m->text);
	m->text = xstrdup(text);
	m->code = code;
	m->refusal = code / 100 == 5 ? V_REJECT : V_TEMPFAIL;
	*v = V_CONTINUE;
	if (m->event >= EV_UNKNOWN || code == 421 ||
	    (due == SMFIC_CONNECT && code / 100 == 5))
		*v = milter_refuse(m);
	if (is_before_mail(due)) {
		m->done = true;
		m->passed = true;	/* said with the first MAIL, too */
	} else {
		m->refusal = V_CONTINUE;
		if (due != SMFIC_RCPT && due != SMFIC_UNKNOWN)
			pass(m);
	}
	return MILTER_ANSWER;
}

static enum milter_next
refuse_by_code(struct milter_session *m, const struct wire_reply *r,
    enum verdict *v, const char **why)
{
	enum milter_next next = MILTER_ERROR;
	struct buf lines;
	int code;

	buf_init(&lines, WIRE_PAYLOAD_MAX);
	if (wire_replycode(r->octets, &code, &lines, why) == 0)
		next = refuse(m, code, lines.p, v);
	buf_fini(&lines);
	return next;
}

/* Edits */

static void
edit(struct milter_session *m, const struct txn_edit *e)
{
	chain_edit(m->slot, e);
}

/* Without <>, if it has them. The result is ours. */
static char *
bare(const char *address)
{
	size_t len = strlen(address);

	if (len >= 2 && address[0] == '<' && address[len - 1] == '>')
		return xstrndup(address + 1, len - 2);
	return xstrdup(address);
}

static bool
is_one_of(struct slice word, const char *const *keys)
{
	size_t len;

	for (; *keys != NULL; keys++) {
		len = strlen(*keys);
		if (word.len > len && strncasecmp(word.p, *keys, len) == 0)
			return true;
	}
	return false;
}

/* The words of params that are, or are not, of these keys. */
static void
add_params(struct buf *out, const char *params, const char *const *keys,
    bool are)
{
	size_t len;

	for (; *params != '\0'; params += len) {
		params += strspn(params, " ");
		len = strcspn(params, " ");
		if (len > 0 && is_one_of(SLICE(params, len), keys) == are)
			buf_addf(out, "%s%.*s", out->len > 0 ? " " : "",
			    (int)len, params);
	}
}

/* As in Postfix, only NOTIFY and ORCPT mean something. */
static void
add_rcpt(struct milter_session *m, const struct wire_reply *r)
{
	static const char *const keys[] = { "NOTIFY=", "ORCPT=", NULL };
	char *address = bare(r->value);
	struct buf params;

	buf_init(&params, WIRE_PAYLOAD_MAX);
	if (r->args != NULL)
		add_params(&params, r->args, keys, true);
	edit(m, &(struct txn_edit){
		.kind = EDIT_ADD_RCPT, .value = address,
		.name = params.len > 0 ? params.p : NULL,
	});
	buf_fini(&params);
	free(address);
}

/* RET and ENVID can be changed with the sender; the rest of what the client
   said stays. */
static void
change_from(struct milter_session *m, const struct wire_reply *r)
{
	static const char *const keys[] = { "RET=", "ENVID=", NULL };
	char *address = bare(r->value);
	struct buf params;

	buf_init(&params, 2 * WIRE_PAYLOAD_MAX);
	if (r->args != NULL && *r->args != '\0') {
		add_params(&params, m->txn->params, keys, false);
		add_params(&params, r->args, keys, true);
	}
	edit(m, &(struct txn_edit){
		.kind = EDIT_CHANGE_FROM, .value = address,
		.name = r->args != NULL && *r->args != '\0' ? params.p : NULL,
	});
	buf_fini(&params);
	free(address);
}

static void
delete_rcpt(struct milter_session *m, const struct wire_reply *r)
{
	char *address = bare(r->value);

	edit(m, &(struct txn_edit){
		.kind = EDIT_DELETE_RCPT, .value = address,
	});
	free(address);
}

/* Unless it has negotiated that its values begin as they are to begin, a space
   comes in front of them, of one that has a space as well. */
static void
edit_field(struct milter_session *m, enum txn_edit_kind kind,
    const struct wire_reply *r)
{
	bool leads = (m->protocol & SMFIP_HDR_LEADSPC) != 0;
	char *value = xasprintf("%s%s", !leads && *r->value == ' ' ? " " : "",
	    r->value);

	edit(m, &(struct txn_edit){
		.kind = kind, .nth = r->nth, .name = r->name, .value = value,
		.tight = leads,
	});
	free(value);
}

/* Many small pieces are one edit. */
static void
replace_body(struct milter_session *m, const struct wire_reply *r)
{
	if (!m->replaces)
		buf_init(&m->new_body, TXN_EDIT_OCTETS);
	m->replaces = true;
	buf_add(&m->new_body, r->octets.p, r->octets.len);
}

static bool
is_edit(struct milter_session *m, const struct wire_reply *r)
{
	switch (r->kind) {
	case SMFIR_ADDHEADER:
		edit_field(m, EDIT_ADD_HEADER, r);
		return true;
	case SMFIR_INSHEADER:
		edit_field(m, EDIT_INSERT_HEADER, r);
		return true;
	case SMFIR_CHGHEADER:
		edit_field(m, EDIT_CHANGE_HEADER, r);
		return true;
	case SMFIR_ADDRCPT:
	case SMFIR_ADDRCPT_PAR:
		add_rcpt(m, r);
		return true;
	case SMFIR_DELRCPT:
		delete_rcpt(m, r);
		return true;
	case SMFIR_CHGFROM:
		change_from(m, r);
		return true;
	case SMFIR_REPLBODY:
		replace_body(m, r);
		return true;
	default:
		return false;
	}
}

/* Quarantine */

static enum milter_next
quarantine(struct milter_session *m, const struct wire_reply *r,
    const char **why)
{
	char reason[300];
	size_t i;

	if (m->txn == NULL) {
		*why = "quarantine where there is no message";
		return MILTER_ERROR;
	}
	m->hold = true;
	if (!m->milter->settings->quarantine)
		return MILTER_MORE;
	snprintf(reason, sizeof(reason), "%s", r->value);
	for (i = 0; reason[i] != '\0'; i++)
		if ((unsigned char)reason[i] < ' ' || reason[i] == 127)
			reason[i] = '?';
	edit(m, &(struct txn_edit){
		.kind = EDIT_QUARANTINE, .value = reason,
	});
	return MILTER_MORE;
}

/* Words that end something */

/* The message is accepted, with its edits. */
static enum milter_next
finish(struct milter_session *m, enum verdict *v)
{
	pass(m);
	*v = V_CONTINUE;
	if (m->hold && !m->milter->settings->quarantine) {
		chain_reply(m->slot, 451, "4.7.1", "the message is to be held "
		    "back, and there is no place for it");
		*v = V_TEMPFAIL;
		return MILTER_ANSWER;
	}
	if (m->replaces && m->new_body.failed)
		*v = V_FAIL;
	else if (m->replaces)
		edit(m, &(struct txn_edit){
			.kind = EDIT_REPLACE_BODY, .value = m->new_body.p,
			.len = m->new_body.len,
		});
	return MILTER_ANSWER;
}

static enum milter_next
accept_it(struct milter_session *m, enum verdict *v)
{
	if (m->due == SMFIC_BODYEOB)
		return finish(m, v);
	/* It means nothing for a command, but ends a message for libmilter. */
	if (m->due == SMFIC_UNKNOWN && !m->in_message)
		return MILTER_NEXT;
	m->done = is_before_mail(m->due);
	pass(m);
	*v = V_CONTINUE;
	return MILTER_ANSWER;
}

static enum milter_next
discard(struct milter_session *m, enum verdict *v)
{
	if (is_before_mail(m->due) || m->due == SMFIC_UNKNOWN) {
		log_warn(m->slot->id, "milter-misbehaved filter=%s "
		    "what=\"discard where there is no message\"",
		    m->milter->name);
		return MILTER_NEXT;
	}
	m->passed = true;
	/* libmilter takes it at RCPT for a word about the recipient: there it
	   is in the message still, and gets its ABORT. */
	if (m->due != SMFIC_RCPT)
		m->in_message = false;
	*v = V_DISCARD;
	return MILTER_ANSWER;
}

static unsigned
command_bit(char command)
{
	return 1u << (command - 'A');
}

enum milter_next
milter_understand(struct milter_session *m, const struct wire_reply *r,
    enum verdict *v, const char **why)
{
	if (m->due == SMFIC_BODYEOB && is_edit(m, r))
		return MILTER_MORE;
	switch (r->kind) {
	case SMFIR_PROGRESS:
		return MILTER_MORE;
	case SMFIR_QUARANTINE:
		return quarantine(m, r, why);
	case SMFIR_CONTINUE:
		return m->due == SMFIC_BODYEOB ? finish(m, v) : MILTER_NEXT;
	case SMFIR_SKIP:
		if (m->due == SMFIC_BODYEOB)
			break;
		m->skipped |= command_bit(m->due);
		return MILTER_NEXT;
	case SMFIR_ACCEPT:
		return accept_it(m, v);
	case SMFIR_DISCARD:
		return discard(m, v);
	case SMFIR_REJECT:
		return refuse(m, 550, "5.7.1 Command rejected", v);
	case SMFIR_TEMPFAIL:
		return refuse(m, 451, "4.7.1 Service unavailable - try again "
		    "later", v);
	case SMFIR_SHUTDOWN:
		return refuse(m, 421, "4.7.0 Server closing connection", v);
	case SMFIR_REPLYCODE:
		return refuse_by_code(m, r, v, why);
	}
	*why = "an answer that makes no sense here";
	return MILTER_ERROR;
}
