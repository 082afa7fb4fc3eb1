/*
 * exec - the filter that gives messages to a program, which answers by its exit
 * status and the first line it writes.
 *
 *	0			the message goes on
 *	65 EX_DATAERR		it is refused: 554 5.6.0
 *	69 EX_UNAVAILABLE	it is refused: 554 5.7.1
 *	77 EX_NOPERM		the same
 *	75 EX_TEMPFAIL		451 4.7.1
 *	anything else		the filter has failed; so it has when the
 *				program is killed by a signal
 *
 * A program that does not work (126, 127, 1, EX_USAGE, EX_SOFTWARE, …) must not
 * refuse mail for good.
 *
 * There are so many programs at a time and no more; other messages wait for
 * one to end. One that does not end in time is killed with all that it has
 * started. A slow client must not keep a program waiting, so it runs when the
 * message is complete.
 */

#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/child.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/filters.h"
#include "filters/scan.h"

#define LINE_MAX_OCTETS	200	/* of the text */
#define ENV_MAX		30

struct exec_settings {
	struct setting_list	 command;
	uint64_t		 max_processes;
	struct scan_settings	 scan;
};

static const struct setting exec_settings[] = {
	SETTING(exec_settings, command, "command", LIST,
	    .help = "The program, with its path, and its arguments. "
	    "There is no shell."),
	SETTING(exec_settings, max_processes, "max-processes", COUNT,
	    .def = "10", .min = "1", .max = "10000",
	    .help = "Programs at the same time in one worker; other messages "
	    "wait, which counts for timeout."),
	SCAN_SETTINGS(exec_settings, "50M"),
	{ .name = NULL }
};

struct exec_txn;

struct exec {
	unsigned	 magic;
#define EXEC_MAGIC	 0xe4ec0001
	const struct exec_settings *settings;
	char		**argv;			/* ours; the strings are not */
	const char	*spool_directory;
	struct event_base *base;		/* borrowed */
	struct children	*children;		/* ours */
	uint64_t	 nrunning;
	TAILQ_HEAD(, exec_txn) queue;		/* messages that wait */
};

/* The slot's transaction memory. */
struct exec_txn {
	unsigned		 magic;		/* from eom on */
#define EXEC_TXN_MAGIC		 0xe4ec0002
	struct exec		*exec;
	struct chain_slot	*slot;
	const struct txn	*txn;
	struct scan_held	 held;
	TAILQ_ENTRY(exec_txn)	 queue;
	bool			 queued;
	struct child		*child;		/* ours, while it runs */
	int			 in, out;	/* our ends; while it runs */
	struct event		*feed, *hear;	/* ours */
	struct evbuffer		*input;		/* ours: still to be fed */
	char			 line[LINE_MAX_OCTETS + 1];
	size_t			 len;		/* of it, so far */
	bool			 line_ends;
};

/* Setting up */

/* False: errno. To root everything is executable, directories as well. */
static bool
is_program(const char *path)
{
	struct stat st;

	if (access(path, X_OK) == -1 || stat(path, &st) == -1)
		return false;
	errno = EACCES;
	return S_ISREG(st.st_mode);
}

static int
exec_setup(struct filter_instance *self, const void *settings,
    const struct filter_host *host, char **why)
{
	const struct exec_settings *s = settings;
	struct exec *e;

	if (s->command.n == 0 || s->command.v[0][0] != '/') {
		*why = xstrdup("command: the path of a program is missing");
		return -1;
	}
	if (!is_program(s->command.v[0])) {
		*why = xasprintf("command: cannot run %s: %s",
		    s->command.v[0], strerror(errno));
		return -1;
	}
	e = xcalloc(1, sizeof(*e));
	e->magic = EXEC_MAGIC;
	e->settings = s;
	e->argv = xcalloc(s->command.n + 1, sizeof(e->argv[0]));
	memcpy(e->argv, s->command.v, s->command.n * sizeof(e->argv[0]));
	e->spool_directory = host->spool_directory;
	TAILQ_INIT(&e->queue);
	self->priv = e;
	return 0;
}

static void
exec_teardown(void *priv)
{
	struct exec *e;

	OBJ_CAST(e, priv, EXEC_MAGIC);
	e->magic = 0;
	free(e->argv);
	free(e);
}

static void
exec_start(void *priv, const struct filter_worker *w)
{
	struct exec *e;

	OBJ_CAST(e, priv, EXEC_MAGIC);
	e->base = w->base;
	e->children = children_new(w->base);
}

static void
exec_stop(void *priv)
{
	struct exec *e;

	OBJ_CAST(e, priv, EXEC_MAGIC);
	children_free(&e->children);
}

/* The environment, with the names that Postfix gives in local(8) */

struct environment {
	char	*v[ENV_MAX + 1];	/* ours */
	size_t	 n;
};

static void
add(struct environment *env, const char *name, const char *value)
{
	if (value != NULL && env->n < ENV_MAX)
		env->v[env->n++] = xasprintf("%s=%s", name, value);
}

static bool
is_recipient(const struct txn_rcpt *r)
{
	return r->state != RCPT_REFUSED;
}

/* The first of them, and all of them, one a line. */
static void
add_recipients(struct environment *env, const struct txn *t)
{
	struct buf all;
	size_t i;

	/* One string of the environment has 128 KiB. */
	buf_init(&all, (size_t)100 << 10);
	for (i = 0; i < t->nrcpts; i++) {
		if (!is_recipient(t->rcpts[i]))
			continue;
		if (all.len == 0)
			add(env, "RECIPIENT", t->rcpts[i]->address);
		buf_addf(&all, "%s%s", all.len > 0 ? "\n" : "",
		    t->rcpts[i]->address);
	}
	add(env, "RECIPIENTS", all.p);
	buf_fini(&all);
}

static void
make_environment(struct environment *env, const struct exec_txn *et)
{
	const struct facts *f = et->slot->facts;
	char text[NETADDR_TEXT];

	*env = (struct environment){ .n = 0 };
	add(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	add(env, "SENDER", et->txn->from);
	add_recipients(env, et->txn);
	add(env, "CLIENT_ADDRESS", netaddr_ip(&f->client, text));
	snprintf(text, sizeof(text), "%u", f->client.port);
	add(env, "CLIENT_PORT", text);
	add(env, "CLIENT_HOSTNAME",
	    f->client_name != NULL ? f->client_name : "unknown");
	add(env, "CLIENT_HELO", f->helo);
	add(env, "CLIENT_PROTOCOL", f->esmtp ? "ESMTP" : "SMTP");
	add(env, "SASL_METHOD", f->auth_mechanism);
	add(env, "SASL_USERNAME", f->auth_user);
	add(env, "TLS_VERSION", f->tls_version);
	snprintf(text, sizeof(text), "%llu",
	    (unsigned long long)scan_held_size(&et->held));
	add(env, "SIZE", text);
	snprintf(text, sizeof(text), "%08llx", (unsigned long long)f->id);
	add(env, "SESSION_ID", text);
}

static void
free_environment(struct environment *env)
{
	while (env->n > 0)
		free(env->v[--env->n]);
}

/* What follows */

static enum verdict
refuse(struct exec_txn *et, int code, const char *enhanced, const char *text)
{
	if (!et->exec->settings->scan.refuse)
		return V_CONTINUE;
	chain_reply(et->slot, code, enhanced, "%s",
	    et->line[0] != '\0' ? et->line : text);
	return code >= 500 ? V_REJECT : V_TEMPFAIL;
}

static enum verdict
fail(struct exec_txn *et, const char *what, int number)
{
	chain_reply(et->slot, 451, "4.3.0", "%s %d%s%s", what, number,
	    et->line[0] != '\0' ? ": " : "", et->line);
	return V_FAIL;
}

static enum verdict
judge(struct exec_txn *et, int status)
{
	switch (status) {
	case 0:
		return V_CONTINUE;
	case EX_DATAERR:
		return refuse(et, 554, "5.6.0", "this is no proper message");
	case EX_UNAVAILABLE:
	case EX_NOPERM:
		return refuse(et, 554, "5.7.1", "message refused by policy");
	case EX_TEMPFAIL:
		return refuse(et, 451, "4.7.1", "not now; try again later");
	default:
		return fail(et, "exit status", status);
	}
}

static enum verdict
verdict_of(struct exec_txn *et, int status)
{
	char place[20];
	enum verdict v;

	if (WIFSIGNALED(status))
		return fail(et, "signal", WTERMSIG(status));
	v = judge(et, WEXITSTATUS(status));
	if (v == V_FAIL)
		return v;
	snprintf(place, sizeof(place), "exit-%d", WEXITSTATUS(status));
	chain_place(et->slot, place);
	scan_done(et->slot, "exec");
	chain_publish_number(et->slot, "exec.status", WEXITSTATUS(status));
	if (et->line[0] != '\0')
		chain_publish(et->slot, "exec.text", et->line);
	return v;
}

/* The program */

static void
close_input(struct exec_txn *et)
{
	if (et->feed != NULL)
		event_free(et->feed);
	if (et->in != -1)
		close(et->in);
	if (et->input != NULL)
		evbuffer_free(et->input);
	et->feed = NULL;
	et->input = NULL;
	et->in = -1;
}

static void
close_output(struct exec_txn *et)
{
	if (et->hear != NULL)
		event_free(et->hear);
	if (et->out != -1)
		close(et->out);
	et->hear = NULL;
	et->out = -1;
}

static void
on_feed(evutil_socket_t fd, short what, void *arg)
{
	struct exec_txn *et;
	int n;

	(void)what;
	OBJ_CAST(et, arg, EXEC_TXN_MAGIC);
	if (evbuffer_get_length(et->input) > 0) {
		n = evbuffer_write(et->input, fd);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		/* 0: a file could not go into the pipe now. */
		if (n >= 0 && evbuffer_get_length(et->input) > 0)
			return;
	}
	/* All is there, or it does not want to read any more. */
	close_input(et);
}

/* The first line is kept; what is behind it goes nowhere. */
static void
take_output(struct exec_txn *et, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && !et->line_ends; i++)
		if (p[i] == '\n')
			et->line_ends = true;
		else if (et->len < LINE_MAX_OCTETS && p[i] != '\r')
			et->line[et->len++] = p[i] < ' ' || p[i] > '~' ? '?' :
			    p[i];
}

/* False: there is no more now. */
static bool
hear(struct exec_txn *et)
{
	char piece[4096];
	ssize_t n = read(et->out, piece, sizeof(piece));

	if (n > 0)
		take_output(et, piece, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_output(et);
	return n > 0;
}

static void
on_hear(evutil_socket_t fd, short what, void *arg)
{
	struct exec_txn *et;

	(void)fd, (void)what;
	OBJ_CAST(et, arg, EXEC_TXN_MAGIC);
	hear(et);
}

static void run_next(struct exec *e);

static void
on_end(void *arg, int status)
{
	struct exec_txn *et;
	struct exec *e;
	int i;

	OBJ_CAST(et, arg, EXEC_TXN_MAGIC);
	e = et->exec;
	et->child = NULL;
	e->nrunning--;
	/* What it wrote last; a line is not far away. */
	for (i = 0; i < 16 && et->out != -1 && hear(et); i++)
		;
	close_input(et);
	close_output(et);
	chain_resume(et->slot, verdict_of(et, status));
	run_next(e);
}

/* -1 with errno. theirs[0] and theirs[1]: what the program gets. */
static int
make_pipes(struct exec_txn *et, int theirs[2])
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) == -1)
		return -1;
	if (pipe2(out, O_CLOEXEC) == -1) {
		close(in[0]);
		close(in[1]);
		return -1;
	}
	theirs[0] = in[0];
	theirs[1] = out[1];
	et->in = in[1];
	et->out = out[0];
	evutil_make_socket_nonblocking(et->in);
	evutil_make_socket_nonblocking(et->out);
	return 0;
}

static void
watch(struct exec_txn *et)
{
	struct event_base *base = et->exec->base;

	et->feed = event_new(base, et->in, EV_WRITE | EV_PERSIST, on_feed, et);
	et->hear = event_new(base, et->out, EV_READ | EV_PERSIST, on_hear, et);
	event_add(et->feed, NULL);
	event_add(et->hear, NULL);
}

/* -1 with errno. */
static int
run(struct exec_txn *et)
{
	struct exec *e = et->exec;
	struct environment env;
	int theirs[2], error;

	et->input = evbuffer_new();
	evbuffer_set_flags(et->input, EVBUFFER_FLAG_DRAINS_TO_FD);
	if (scan_refer(&et->held, et->input) == -1 ||
	    make_pipes(et, theirs) == -1)
		return -1;
	make_environment(&env, et);
	scan_drop(&et->held);
	et->child = child_spawn(e->children, e->argv, env.v,
	    theirs[0], theirs[1], on_end, et);
	error = errno;
	free_environment(&env);
	close(theirs[0]);
	close(theirs[1]);
	errno = error;
	if (et->child == NULL)
		return -1;
	e->nrunning++;
	watch(et);
	return 0;
}

/* From the loop, with the question. */
static void
run_or_fail(struct exec_txn *et)
{
	if (run(et) == 0)
		return;
	chain_reply(et->slot, 451, "4.3.0", "cannot run it: %s",
	    strerror(errno));
	close_input(et);
	close_output(et);
	scan_drop(&et->held);
	chain_resume(et->slot, V_FAIL);
}

static void
run_next(struct exec *e)
{
	struct exec_txn *et;

	while (e->nrunning < e->settings->max_processes &&
	    (et = TAILQ_FIRST(&e->queue)) != NULL) {
		TAILQ_REMOVE(&e->queue, et, queue);
		et->queued = false;
		run_or_fail(et);
	}
}

/* Events */

static enum verdict
exec_content(struct chain_slot *slot, struct txn *t, const char *p, size_t len)
{
	struct exec_txn *et = slot->txn;
	struct exec *e;

	(void)t;
	OBJ_CAST(e, slot->priv, EXEC_MAGIC);
	return scan_hold(slot, &et->held, &e->settings->scan,
	    e->spool_directory, p, len);
}

static enum verdict
exec_eom(struct chain_slot *slot, struct txn *t)
{
	struct exec_txn *et = slot->txn;

	OBJ_CAST(et->exec, slot->priv, EXEC_MAGIC);
	if (et->held.oversize)
		return scan_oversize(slot, &et->exec->settings->scan, "exec");
	et->magic = EXEC_TXN_MAGIC;
	et->slot = slot;
	et->txn = t;
	et->in = et->out = -1;
	et->queued = true;
	TAILQ_INSERT_TAIL(&et->exec->queue, et, queue);
	run_next(et->exec);
	return V_WAIT;
}

static void
exec_abort(struct chain_slot *slot, struct txn *t)
{
	struct exec_txn *et = slot->txn;

	(void)t;
	if (et == NULL)
		return;
	scan_drop(&et->held);
	if (et->magic != EXEC_TXN_MAGIC)
		return;
	if (et->queued)
		TAILQ_REMOVE(&et->exec->queue, et, queue);
	et->queued = false;
	close_input(et);
	close_output(et);
	if (et->child == NULL)
		return;
	child_kill(&et->child);
	et->exec->nrunning--;
	run_next(et->exec);
}

const struct filter filter_exec = {
	.abi		= FILTER_ABI,
	.name		= "exec",
	.settings	= exec_settings,
	.settings_size	= sizeof(struct exec_settings),
	.txn_size	= sizeof(struct exec_txn),
	.setup		= exec_setup,
	.teardown	= exec_teardown,
	.start		= exec_start,
	.stop		= exec_stop,
	.content	= exec_content,
	.eom		= exec_eom,
	.abort		= exec_abort,
};
