/*
 * text - what stands in double quotes: "<%{rcpt}>: no such user".
 *
 *	%{field}  %{lower(helo.name)}  %{header("Subject")}	a value
 *	%{1}		the first group of the regular expression that matched
 *			last in the condition of the same rule; %{0} all of it
 *	%%		a percent sign; % in front of anything else is one, too
 *	\" \\ \t	a quote, a backslash, a tab
 *
 * The same form for fields and captures: $1 would make every amount of money
 * in a text a question. A text has no line ends; what is inserted into it is
 * made harmless when it runs (eval_text.c).
 */

#include <ctype.h>
#include <string.h>

#include "rules/load_impl.h"

/* The text while it is read. */
struct reader {
	struct parser	*p;
	const char	*at, *end;	/* into the file */
	bool		 plain;		/* nothing may be inserted */
	char		*literal;	/* room for all of it */
	size_t		 len;		/* of literal */
	uint32_t	 first, last;	/* E_TEXT */
};

static struct span
span_of(const struct reader *r, const char *at, size_t len)
{
	const struct policy_file *f = r->p->lex.file;

	return (struct span){ f, (uint32_t)(at - f->text), (uint32_t)len };
}

/* A part behind the parts that there are. */
static void
add_part(struct reader *r, uint32_t part)
{
	struct rules *rules = r->p->r;
	uint32_t e = expr_new(rules, E_TEXT, expr_at(rules, part)->span);

	expr_at(rules, e)->a = part;
	if (r->first == 0)
		r->first = e;
	else
		expr_at(rules, r->last)->b = e;
	r->last = e;
}

static uint32_t
literal_expr(struct reader *r)
{
	uint32_t e = expr_new(r->p->r, E_CONST, span_of(r, r->at, 0));
	struct expr *x = expr_at(r->p->r, e);

	x->type = x->value.type = RULES_STRING;
	x->value.text = SLICE(arena_strndup(&r->p->r->arena, r->literal,
	    r->len), r->len);
	return e;
}

static void
end_literal(struct reader *r)
{
	if (r->len > 0)
		add_part(r, literal_expr(r));
	r->len = 0;
}

static bool
read_escape(struct reader *r)
{
	char c = r->at + 1 < r->end ? r->at[1] : '\0';

	if (c != '"' && c != '\\' && c != '\t' && c != 't') {
		parser_error(r->p, span_of(r, r->at, 1), "in a text there are "
		    "\\\", \\\\ and \\t only (a backslash is \\\\)");
		return false;
	}
	r->literal[r->len++] = c == 't' ? '\t' : c;
	r->at += 2;
	return true;
}

/* The "}" that belongs to this "%{". */
static const char *
closing(const char *p, const char *end)
{
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '}')
			return p;
	}
	return NULL;
}

static bool
is_capture(const char *p, const char *close)
{
	return close - p == 1 && isdigit((unsigned char)*p);
}

static uint32_t
capture_expr(struct reader *r, const char *p)
{
	uint32_t e = expr_new(r->p->r, E_CAPTURE, span_of(r, p, 1));

	expr_at(r->p->r, e)->n = (uint32_t)(*p - '0');
	return e;
}

/* An expression between the braces, by a parser of its own. */
static uint32_t
inserted_expr(struct reader *r, const char *p, const char *close)
{
	const struct policy_file *f = r->p->lex.file;
	struct parser inner;
	uint32_t e;

	parser_init(&inner, r->p->load, f, (uint32_t)(p - f->text),
	    (uint32_t)(close - f->text));
	inner.depth = r->p->depth + 1;
	e = parse_value(&inner);
	if (e != 0 && inner.token.kind != T_EOF) {
		parser_error(&inner, inner.token.span, "\"}\" expected");
		e = 0;
	}
	r->p->lost |= inner.lost;
	return e;
}

static bool
read_inserted(struct reader *r)
{
	const char *p = r->at + 2, *close = closing(p, r->end);
	uint32_t e;

	if (close == NULL) {
		parser_error(r->p, span_of(r, r->at, 2), "%%{ without } "
		    "(for the characters themselves write %%%%{)");
		return false;
	}
	if (r->plain) {
		parser_error(r->p, span_of(r, r->at, 2), "this text is read "
		    "when the policy is loaded: nothing can be inserted");
		return false;
	}
	end_literal(r);
	e = is_capture(p, close) ? capture_expr(r, p) :
	    inserted_expr(r, p, close);
	if (e == 0)
		return false;
	add_part(r, e);
	r->at = close + 1;
	return true;
}

static bool
read_text(struct reader *r)
{
	while (r->at < r->end) {
		if (*r->at == '\\') {
			if (!read_escape(r))
				return false;
		} else if (*r->at == '%' && r->at + 1 < r->end &&
		    r->at[1] == '{') {
			if (!read_inserted(r))
				return false;
		} else if ((unsigned char)*r->at < 0x20 && *r->at != '\t') {
			parser_error(r->p, span_of(r, r->at, 1),
			    "a control character in a text");
			return false;
		} else {
			if (*r->at == '%' && r->at + 1 < r->end &&
			    r->at[1] == '%')
				r->at++;
			else if (*r->at == '$' && r->at + 1 < r->end &&
			    r->at[1] == '{')
				load_warn(r->p->load, span_of(r, r->at, 2),
				    "${ is text: a value is written %%{NAME}");
			r->literal[r->len++] = *r->at++;
		}
	}
	return true;
}

static struct reader
reader_for(struct parser *p, const struct token *t, bool plain)
{
	return (struct reader){ .p = p, .at = t->text.p,
	    .end = t->text.p + t->text.len, .plain = plain,
	    .literal = arena_alloc(&p->r->arena, t->text.len + 1) };
}

uint32_t
parse_text(struct parser *p, const struct token *t)
{
	struct reader r = reader_for(p, t, false);
	uint32_t e;

	if (!read_text(&r))
		return 0;
	if (r.first == 0) {
		e = literal_expr(&r);
	} else {
		end_literal(&r);
		e = r.first;
		expr_at(p->r, e)->type = RULES_STRING;
	}
	expr_at(p->r, e)->span = t->span;
	return e;
}

const char *
parse_plain_text(struct parser *p, const struct token *t)
{
	struct reader r = reader_for(p, t, true);

	return read_text(&r) ? r.literal : NULL;
}
