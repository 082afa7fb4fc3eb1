/*
 * cmd_check - "vratar check": would this configuration start?
 *
 * It reads, loads and resolves everything as serve does, and binds and forks
 * nothing. Silence is good news; mistakes are on standard error.
 */

#include "proxy/cmd.h"

#include <stdio.h>

#include "proxy/conf.h"
#include "proxy/tls.h"

int
cmd_check(int argc, char **argv)
{
	struct conf_options o;
	struct conf *c;
	int r;

	r = conf_getopt(&o, argc, argv, NULL, stderr);
	if (r != 0)
		return r == 1 ? 0 : 2;
	tls_init();
	c = conf_load(&o, stderr);
	r = c != NULL ? 0 : 2;
	conf_free(&c);
	conf_options_fini(&o);
	return r;
}
