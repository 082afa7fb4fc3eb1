/*
 * privs - what a process may do: taken away from workers, for good.
 */
#ifndef PROXY_PRIVS_H
#define PROXY_PRIVS_H

#include <stdbool.h>

/* As many open files as the hard limit allows. A session needs two or three. */
void privs_raise_limits(void);

/*
 * Become user (a name or a number): its uid, its primary group, its groups.
 * NULL, or the user we are already, changes nothing. The process leaves no
 * core dump behind and cannot be traced by that user, because it holds TLS
 * keys and other people's passwords. Returns 0, or -1 with *why (ours to free)
 * and whatever was dropped until then is gone: give up.
 */
int privs_drop(const char *user, char **why);

/* Let user write to our file at path, which may be a log made by root: without
   it a worker could not open it again. Quietly does nothing if it cannot. */
void privs_give_file(const char *user, const char *path);

/* Workers will run as root, because no user is set. */
bool privs_keeps_root(const char *user);

#endif
