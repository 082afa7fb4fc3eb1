/*
 * control - the master's ear for the administrator: a unix socket that only
 * we may open (mode 0600), one command a line, one line of answer.
 *
 * Commands of all clients are taken one at a time, in turn, however long the
 * answer takes; so whoever answers them has one question in hand at most.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include <stdbool.h>

struct control;
struct event_base;

/* A command. control_answer() must follow, in here or later; the control must
   not be freed in here. */
typedef void control_fn(void *arg, const char *command);

/*
 * Listen at path. replace: even if another process listens there (we are its
 * successor). NULL with *why (ours to free).
 */
struct control *control_open(struct event_base *base, const char *path,
    bool replace, control_fn *run, void *arg, char **why);
/* Answer the command in hand; without one, or with c NULL, it
   does nothing. */
void control_answer(struct control *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Remove the file, unless a successor has put its own there. */
void control_unlink(struct control *c);
/* Closes everything but leaves the file; NULL is fine. */
void control_free(struct control **c);

#endif
