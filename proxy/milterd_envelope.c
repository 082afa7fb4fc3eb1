/*
 * milterd_envelope - sender and recipients as the MTA gives them.
 *
 * It has accepted them, so nothing is refused here: what our own parsers do not
 * understand is taken as it is.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/milterd_impl.h"
#include "smtp/address.h"
#include "smtp/param.h"

/* Ours to free. */
static char *
join(char **words)
{
	struct buf b;
	char *text;

	buf_init(&b, 65536);
	for (; words != NULL && *words != NULL; words++)
		buf_addf(&b, "%s%s", b.len > 0 ? " " : "", *words);
	text = xstrdup(b.p);
	buf_fini(&b);
	return text;
}

/* The MTA has its own idea of what an address is, and it has accepted this
   one. */
static void
take_as_it_is(struct address *a, const char *p)
{
	const char *at;
	size_t i;

	*a = (struct address){ .len = 0 };
	p += *p == '<';
	snprintf(a->text, sizeof(a->text), "%s", p);
	a->len = strlen(a->text);
	if (a->len > 0 && a->text[a->len - 1] == '>')
		a->text[--a->len] = '\0';
	for (i = 0; i < a->len; i++)
		if ((unsigned char)a->text[i] < ' ')
			a->text[i] = '?';
	at = strrchr(a->text, '@');
	a->local_len = at != NULL ? (size_t)(at - a->text) : a->len;
}

static void
parse_path(const struct milterd_session *s, struct address *a,
    enum path_kind kind, const char *p)
{
	const struct address_limits *limits = &s->era->conf->address;
	size_t len = strlen(p), used = 0;
	const char *why;
	int r;

	if (*p == '<')
		r = address_parse_path(a, kind, p, len, true, limits, &used,
		    &why);
	else
		r = address_parse_mailbox(a, p, len, limits, &why);
	if (r == -1 || (*p == '<' && used != len))
		take_as_it_is(a, p);
}

/* The parameters as the MTA gives them; those that are none for us are kept
   all the same. */
static void
parse_params(struct params *p, enum param_where where, const char *text)
{
	static const struct ext_set all = { .bits = ~0u, .auth = ~0u };
	const char *why;

	if (params_parse(p, where, SLICE_STR(text), &all, &why) == -1)
		*p = (struct params){ .text = SLICE_STR(text) };
}

struct txn *
envelope_txn(const struct milterd_session *s)
{
	char **argv = s->call.argv, *text;
	struct address from;
	struct params p;
	struct txn *t;

	text = join(argv[0] != NULL ? argv + 1 : NULL);
	parse_path(s, &from, PATH_REVERSE, argv[0] != NULL ? argv[0] : "<>");
	parse_params(&p, PARAM_MAIL, text);
	t = txn_new(&from, &p);
	free(text);
	return t;
}

struct txn_rcpt *
envelope_rcpt(const struct milterd_session *s)
{
	char *text = join(s->call.argv + 1);
	struct txn_rcpt *r;
	struct address to;
	struct params p;

	parse_path(s, &to, PATH_FORWARD, s->call.argv[0]);
	parse_params(&p, PARAM_RCPT, text);
	r = txn_rcpt_new(&to, &p);
	free(text);
	return r;
}
