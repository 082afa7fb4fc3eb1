/*
 * cmd_serve - "vratar serve": the proxy daemon.
 *
 * It stays in the foreground in any case; --foreground also keeps the log
 * there.
 */

#include "proxy/cmd.h"

#include <stdio.h>

#include "proxy/conf.h"
#include "proxy/master.h"

int
cmd_serve(int argc, char **argv)
{
	struct conf_options o;
	struct master_options m = { .conf = &o, .argv = argv };
	const struct conf_flag flags[] = {
		{ "--foreground", &m.foreground },
		{ NULL, NULL }
	};
	int r;

	r = conf_getopt(&o, argc, argv, flags, stderr);
	if (r != 0)
		return r == 1 ? 0 : 2;
	r = master_run(&m);
	conf_options_fini(&o);
	return r;
}
