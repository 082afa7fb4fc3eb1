/*
 * notify - what we tell systemd, and what it (or an older vratar) gives us.
 */

#include "proxy/notify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"

void
notify_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* sd_notify(3): the time tells a reload apart from the one before. */
void
notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64
	    "\nSTATUS=reading the configuration again", clock_us());
}

void
notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=letting sessions end");
}

void
notify_main_pid(pid_t pid)
{
	sd_notifyf(0, "MAINPID=%ld", (long)pid);
}

int
notify_listen_fds(int *first, char ***names)
{
	int n;

	*names = NULL;
	*first = SD_LISTEN_FDS_START;
	n = sd_listen_fds_with_names(1, names);
	if (n < 0) {
		log_warn(0, "sockets problem=\"LISTEN_FDS: %s\"", strerror(-n));
		return 0;
	}
	return n;
}

void
notify_free_names(char **names)
{
	size_t i;

	for (i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}
