/*
 * child - programs that run for us, and how they end.
 *
 * Each is a process group of its own, so that it can be killed together with
 * what it has started; it gets no descriptor but the three it knows, and no
 * signal is blocked or ignored in it. The loop hears of its end through a pidfd
 * (Linux), so nobody has a handler for SIGCHLD; but SIGCHLD must not be ignored
 * (SIG_IGN, SA_NOCLDWAIT), or nobody could say how it ended.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <sys/types.h>

struct child;
struct children;
struct event_base;

/* Those of one loop. */
struct children *children_new(struct event_base *base);
/* Kills those that were spawned, and waits for them; the others are left
   alone. Leaves NULL; NULL is fine. */
void children_free(struct children **c);

/* status is that of waitpid(2). The child is gone when this is called. */
typedef void child_fn(void *arg, int status);

/*
 * Run argv[0], a path, with the environment envp; in and out become its
 * standard input and output (both remain the caller's), and its standard error
 * is ours. fn is called from the loop when it has ended, and what it has left
 * running in its group is killed then. NULL with errno.
 */
struct child *child_spawn(struct children *c, char *const argv[],
    char *const envp[], int in, int out, child_fn *fn, void *arg);
/* Kill it with its group: fn will not be called. Leaves NULL; NULL is fine. */
void child_kill(struct child **c);

/* A process that somebody else has made, and whose end nobody wants to know:
   it becomes no zombie. */
void children_adopt(struct children *c, pid_t pid);

#endif
