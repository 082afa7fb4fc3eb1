/*
 * A milter that has nothing against anybody, on libmilter, for t/bench/milter.pl.
 *
 *	bench-milter SOCKET all		hears everything, answers each
 *	bench-milter SOCKET add		hears fields and body, adds a field
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <libmilter/mfapi.h>

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)ctx, (void)host, (void)address;
	return SMFIS_CONTINUE;
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	(void)ctx, (void)name;
	return SMFIS_CONTINUE;
}

/* MAIL and RCPT. */
static sfsistat
on_address(SMFICTX *ctx, char **words)
{
	(void)ctx, (void)words;
	return SMFIS_CONTINUE;
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx, (void)name, (void)value;
	return SMFIS_CONTINUE;
}

/* DATA, the end of the header, the end of the message. */
static sfsistat
on_event(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *p, size_t len)
{
	(void)ctx, (void)p, (void)len;
	return SMFIS_CONTINUE;
}

/* libmilter has no const. */
static char name[] = "X-Bench", value[] = "seen";

static sfsistat
add_field(SMFICTX *ctx)
{
	return smfi_addheader(ctx, name, value) == MI_SUCCESS ?
	    SMFIS_CONTINUE : SMFIS_TEMPFAIL;
}

int
main(int argc, char **argv)
{
	struct smfiDesc all = {
		.xxfi_name = name, .xxfi_version = SMFI_VERSION,
		.xxfi_connect = on_connect, .xxfi_helo = on_helo,
		.xxfi_envfrom = on_address, .xxfi_envrcpt = on_address,
		.xxfi_data = on_event, .xxfi_header = on_header,
		.xxfi_eoh = on_event, .xxfi_body = on_body,
		.xxfi_eom = on_event,
	}, add = {
		.xxfi_name = name, .xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS, .xxfi_header = on_header,
		.xxfi_body = on_body, .xxfi_eom = add_field,
	};

	if (argc != 3) {
		fprintf(stderr, "usage: bench-milter SOCKET all|add\n");
		return 2;
	}
	if (smfi_setconn(argv[1]) == MI_FAILURE || smfi_register(
	    strcmp(argv[2], "add") == 0 ? add : all) == MI_FAILURE)
		return 1;
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}
