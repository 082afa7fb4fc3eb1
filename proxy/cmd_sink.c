/*
 * cmd_sink - "vratar sink": serve a Maildir by SMTP or LMTP.
 *
 * One process and one loop. Accepting stops while there are as many sessions
 * as file descriptors allow (a socket and a file each).
 */

#include "proxy/cmd.h"

#include <sys/resource.h>

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/net.h"
#include "proxy/maildir.h"
#include "proxy/sink.h"

#define SIZE_LIMIT	(50 * 1024 * 1024)
#define RCPT_LIMIT	1000
#define DRAIN_MS	2000
#define OTHER_FDS	64	/* what is not a session's */

static const char usage[] =
    "usage: vratar sink --listen ADDR:PORT --maildir DIR"
    " [--protocol smtp|lmtp]\n";

struct options {
	const char	*listen, *maildir;
	bool		 lmtp;
};

struct server {
	struct event_base	*base;		/* ours */
	struct evconnlistener	*listener;	/* ours */
	struct event		*term, *interrupt; /* ours */
	struct timer		 deadline;	/* of the drain */
	struct sink		 sink;
	uint64_t		 sessions, session_limit;
	bool			 draining;
};

static int
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "listen",	required_argument, NULL, 'l' },
		{ "maildir",	required_argument, NULL, 'm' },
		{ "protocol",	required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'l')
			o->listen = optarg;
		else if (c == 'm')
			o->maildir = optarg;
		else if (c == 'p' && strcmp(optarg, "lmtp") == 0)
			o->lmtp = true;
		else if (c != 'p' || strcmp(optarg, "smtp") != 0)
			return -1;
	}
	return o->listen && o->maildir && optind == argc ? 0 : -1;
}

/* Sessions */

/* Called for each session that has ended. */
static void
on_session_end(struct sink *sink, void *arg)
{
	struct server *sv = arg;

	(void)sink;
	sv->sessions--;
	if (!sv->draining)
		evconnlistener_enable(sv->listener);
	else if (sv->sessions == 0)
		event_base_loopexit(sv->base, NULL);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *sa, int salen, void *arg)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr peer, local;
	struct server *sv = arg;
	int on = 1;

	(void)salen;
	netaddr_from_sockaddr(&peer, sa);
	memset(&ss, 0, sizeof(ss));
	getsockname(fd, (struct sockaddr *)&ss, &len);
	netaddr_from_sockaddr(&local, (struct sockaddr *)&ss);
	/* Replies are short, and each is waited for. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (++sv->sessions >= sv->session_limit)
		evconnlistener_disable(listener);
	sink_session_new(&sv->sink, bufferevent_socket_new(sv->base, fd,
	    BEV_OPT_CLOSE_ON_FREE), &peer, &local);
}

/* The client is still in the kernel's queue; a session that ends lets it in. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct server *sv = arg;

	log_warn(0, "accept error=\"%s\"", strerror(errno));
	if (sv->sessions > 0)
		evconnlistener_disable(listener);
}

/* As many as there are file descriptors for. */
static uint64_t
raise_session_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		return 256;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) == -1)
		getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur > 2 * OTHER_FDS ? (r.rlim_cur - OTHER_FDS) / 2 : 16;
}

/* Start and stop */

static void
on_drain_deadline(void *arg)
{
	struct server *sv = arg;

	event_base_loopexit(sv->base, NULL);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct server *sv = arg;

	(void)what;
	if (sv->draining)
		return;
	log_info(0, "stop signal=%d sessions=%llu", (int)number,
	    (unsigned long long)sv->sessions);
	sv->draining = true;
	evconnlistener_free(sv->listener);
	sv->listener = NULL;
	timer_set(&sv->deadline, DRAIN_MS);
	sink_drain(&sv->sink);
	if (sv->sessions == 0)
		event_base_loopexit(sv->base, NULL);
}

static void
ignore_sigpipe(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGPIPE, &ignore, NULL);
}

/* Listen, and log where. Does not return if it cannot. */
static void
server_listen(struct server *sv, const char *text, const char *maildir)
{
	struct sockaddr_storage ss;
	socklen_t len;
	struct netaddr a;
	struct where w;
	const char *why;
	char name[NETADDR_TEXT];

	if (where_parse(&w, text, &why) == -1)
		fatal("--listen %s: %s", text, why);
	if (w.kind != WHERE_TCP || w.lmtp)
		fatal("--listen %s: not ADDR:PORT", text);
	if (where_resolve(&w, &a, 1, &why) < 1)
		fatal("--listen %s: %s", text, why);
	where_fini(&w);
	len = netaddr_to_sockaddr(&a, &ss);
	sv->listener = evconnlistener_new_bind(sv->base, on_accept, sv,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
	    SOMAXCONN, (struct sockaddr *)&ss, (int)len);
	if (sv->listener == NULL)
		fatal("--listen %s: %s", text, strerror(errno));
	evconnlistener_set_error_cb(sv->listener, on_accept_error);

	len = sizeof(ss);
	getsockname(evconnlistener_get_fd(sv->listener),
	    (struct sockaddr *)&ss, &len);
	netaddr_from_sockaddr(&a, (struct sockaddr *)&ss);
	log_info(0, "ready listen=%s maildir=%s protocol=%s pid=%ld",
	    netaddr_text(&a, name), maildir, sv->sink.lmtp ? "lmtp" : "smtp",
	    (long)getpid());
}

static void
server_run(struct server *sv, const struct options *o)
{
	sv->base = event_base_new();
	if (sv->base == NULL)
		fatal("no event loop");
	clock_start(sv->base);
	timer_init(&sv->deadline, on_drain_deadline, sv);
	sv->term = evsignal_new(sv->base, SIGTERM, on_signal, sv);
	sv->interrupt = evsignal_new(sv->base, SIGINT, on_signal, sv);
	event_add(sv->term, NULL);
	event_add(sv->interrupt, NULL);
	server_listen(sv, o->listen, o->maildir);
	event_base_dispatch(sv->base);

	sink_abort(&sv->sink);
	timer_stop(&sv->deadline);
	clock_stop();
	event_free(sv->term);
	event_free(sv->interrupt);
	event_base_free(sv->base);
}

int
cmd_sink(int argc, char **argv)
{
	struct options o = { 0 };
	struct server sv = { 0 };
	char hostname[256] = "localhost";

	if (parse_options(&o, argc, argv) == -1) {
		fputs(usage, stderr);
		return 2;
	}
	log_set_name("sink");
	ignore_sigpipe();
	gethostname(hostname, sizeof(hostname) - 1);
	sv.session_limit = raise_session_limit();
	sv.sink = (struct sink){
		.hostname = hostname, .lmtp = o.lmtp,
		.size_limit = SIZE_LIMIT, .rcpt_limit = RCPT_LIMIT,
		.on_end = on_session_end, .arg = &sv,
	};
	LIST_INIT(&sv.sink.sessions);
	sv.sink.maildir = maildir_open(o.maildir, hostname);
	if (sv.sink.maildir == NULL)
		fatal("--maildir %s: %s", o.maildir, strerror(errno));
	server_run(&sv, &o);
	maildir_close(&sv.sink.maildir);
	return 0;
}
