/*
 * notify - what we tell systemd, and what it (or an older vratar) gives us.
 *
 * Without a service manager all of it does nothing.
 */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

#include <sys/types.h>

/* Start or reload is complete; status is for "systemctl status". */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
/* Another process is the service from now on. */
void notify_main_pid(pid_t pid);

/*
 * The sockets that were handed to this process (LISTEN_PID, LISTEN_FDS,
 * LISTEN_FDNAMES; sd_listen_fds(3)), once: the variables are removed. Stores
 * the number of the first in *first and their names, NULL-terminated and ours
 * to free with notify_free_names(). Returns how many there are, 0 on nonsense.
 */
int notify_listen_fds(int *first, char ***names);
void notify_free_names(char **names);

#endif
