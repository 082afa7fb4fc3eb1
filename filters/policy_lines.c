/*
 * policy_lines - content, line by line, for header_checks(5) and body_checks(5).
 *
 * What checks_scan.h finds in the content becomes stages of the rules. A header
 * about MIME at the top of a message is of two: rules "at header" look at it,
 * and mime_header_checks.
 *
 * Content is copied when it comes, and the header is looked at. The body is
 * when the chain comes to it: by then rules can ask for the fields of the
 * header, and the filters behind have heard of them.
 */

#include <string.h>

#include "filters/policy_impl.h"

#define TEXT_MAX	(2 * SCAN_WHOLE_LINE + SCAN_HEADER_SIZE)
#define CONTENT_MAX	SIZE_MAX	/* what an event brings */

bool
policy_scans_header(const struct rules *r)
{
	return rules_has_stage(r, RULES_MIME_HEADER) ||
	    rules_has_stage(r, RULES_NESTED_HEADER);
}

bool
policy_scans(const struct rules *r)
{
	return rules_has_stage(r, RULES_BODY) || policy_scans_header(r);
}

void
policy_lines_init(struct policy_txn *pt, const struct rules *r)
{
	checks_scan_init(&pt->scan, rules_reads_lines(r), false);
	buf_init(&pt->content_octets, CONTENT_MAX);
	buf_init(&pt->kept, TEXT_MAX);
}

void
policy_lines_fini(struct policy_txn *pt)
{
	checks_scan_fini(&pt->scan);
	buf_fini(&pt->content_octets);
	buf_fini(&pt->kept);
}

static void
ask_for(const struct policy_session *ps, uint64_t offset, uint64_t octets,
    struct slice value)
{
	struct txn_edit e = {
		.kind = EDIT_REPLACE_OCTETS, .offset = offset,
		.octets = octets, .value = value.p, .len = value.len,
	};

	chain_edit(ps->slot, &e);
}

/*
 * What was looked at as body must not become part of the header behind us, by
 * an edit or because the next server reads it so. Only a policy that edits does
 * this, as cleanup(8) does it to every message: others may not ask for it.
 */
static void
separate_body(const struct policy_session *ps, struct policy_txn *pt)
{
	uint64_t at;

	if (pt->separated || !rules_writes_lines(ps->policy->rules) ||
	    !checks_scan_lacks_empty_line(&pt->scan, &at))
		return;
	ask_for(ps, at, 0, SLICE("\r\n", 2));
	pt->separated = true;
}

/* Stages */

/* RULES_NSTAGES: none. */
static enum rules_stage
first_stage(const struct rules *r, const struct scan_line *l)
{
	if (l->top && !policy_scans_header(r))
		return RULES_NSTAGES;
	if (l->top && rules_has_stage(r, RULES_HEADER))
		return RULES_HEADER;
	switch (l->class) {
	case SCAN_PRIMARY:
		break;
	case SCAN_MIME:
		return RULES_MIME_HEADER;
	case SCAN_NESTED:
		return RULES_NESTED_HEADER;
	case SCAN_BODY:
		if (l->line.p != NULL || rules_edits_body(r))
			return RULES_BODY;
		break;
	case SCAN_NONE:
		return RULES_BODY;
	}
	return RULES_NSTAGES;
}

/* What the line points to is to be moved. */
static void
keep_line(struct policy_txn *pt, struct scan_line *l)
{
	buf_reset(&pt->kept);
	if (l->text.len > 0)
		buf_add(&pt->kept, l->text.p, l->text.len);
	if (l->line.len > 0)
		buf_add(&pt->kept, l->line.p, l->line.len);
	l->text.p = pt->kept.p;
	if (l->line.p != NULL)
		l->line.p = pt->kept.p + l->text.len;
}

void
policy_add_content(struct policy_session *ps, const char *p, size_t len)
{
	struct policy_txn *pt = ps->slot->txn;
	struct buf *b = &pt->content_octets;

	if (pt->held)
		keep_line(pt, &ps->line);
	if (pt->at > 0) {
		b->len -= pt->at;
		memmove(b->p, b->p + pt->at, b->len);
		pt->at = 0;
	}
	buf_add(b, p, len);
}

static bool
scan(struct policy_session *ps, struct policy_txn *pt)
{
	enum scan_status status;
	size_t used = 0;

	if (pt->held) {
		pt->held = false;
		return true;
	}
	if (ps->finishing && pt->at == pt->content_octets.len)
		status = checks_scan_finish(&pt->scan, &ps->line);
	else
		status = checks_scan(&pt->scan, pt->content_octets.p + pt->at,
		    pt->content_octets.len - pt->at, &used, &ps->line);
	pt->at += used;
	return status == SCAN_FOUND;
}

bool
policy_next_line(struct policy_session *ps)
{
	const struct rules *r = ps->policy->rules;
	struct policy_txn *pt = ps->slot->txn;

	if (ps->stage == RULES_HEADER && ps->line.class == SCAN_MIME &&
	    rules_has_stage(r, RULES_MIME_HEADER)) {
		ps->stage = RULES_MIME_HEADER;
		return true;
	}
	while (scan(ps, pt) || (ps->finishing && scan(ps, pt))) {
		if (ps->only_header && !ps->line.top) {
			pt->held = true;
			return false;
		}
		separate_body(ps, pt);
		ps->stage = first_stage(r, &ps->line);
		if (ps->stage != RULES_NSTAGES &&
		    rules_has_stage(r, ps->stage))
			return true;
	}
	return false;
}

bool
policy_is_too_deep(const struct policy_session *ps)
{
	const struct policy_txn *pt = ps->slot->txn;
	const struct rules *r = ps->policy->rules;

	return checks_scan_is_too_deep(&pt->scan) &&
	    (rules_edits_body(r) || policy_scans_header(r));
}

/* Edits */

/* Lines of a header that are to follow the first begin with white space, and
   no CR is alone. */
static void
add_lines(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\n') {
			buf_adds(out, "\r\n");
			if (text[1] != ' ' && text[1] != '\t')
				buf_addc(out, '\t');
		} else
			buf_addc(out, *text == '\r' ? ' ' : *text);
}

void
policy_edit_line(const struct policy_session *ps, const struct rules_edit *e)
{
	const struct scan_line *l = &ps->line;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	if (e->kind != RULES_DELETE_LINE)
		add_lines(&text, e->value);
	if (e->kind == RULES_PREPEND_LINE ||
	    (e->kind == RULES_REPLACE_LINE && l->ended))
		buf_adds(&text, "\r\n");
	ask_for(ps, l->offset, e->kind == RULES_PREPEND_LINE ? 0 : l->len,
	    SLICE(text.p, text.len));
	buf_fini(&text);
}
