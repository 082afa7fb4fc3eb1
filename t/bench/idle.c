/*
 * idle - hold many SMTP sessions open and do nothing with them.
 *
 *	idle ADDRESS PORT COUNT [starttls]
 *
 * Each session has read the banner and said EHLO, after STARTTLS if asked.
 * Prints "ready" when all are there and ends when its standard input does.
 * One after the other and blocking: only the other side is measured.
 */

#include <sys/resource.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

struct peer {
	int	 fd;
	SSL	*ssl;		/* NULL: plain */
};

static size_t
peer_read(const struct peer *p, char *out, size_t room)
{
	ssize_t n = p->ssl != NULL ? SSL_read(p->ssl, out, (int)room) :
	    read(p->fd, out, room);

	if (n <= 0)
		errx(1, "the server closed the connection");
	return (size_t)n;
}

/* Wait for the last line of a reply, "250 …". */
static void
expect(const struct peer *p, const char *code)
{
	char text[8192];
	const char *last;
	size_t len = 0, i;

	for (;;) {
		if (len == sizeof(text) - 1)
			errx(1, "the reply is too long");
		len += peer_read(p, text + len, sizeof(text) - 1 - len);
		text[len] = '\0';
		if (text[len - 1] != '\n')
			continue;
		for (i = len - 1; i > 0 && text[i - 1] != '\n'; i--)
			;
		last = text + i;
		if (strlen(last) > 3 && last[3] == '-')
			continue;
		if (strncmp(last, code, 3) != 0)
			errx(1, "wanted %s, got %s", code, last);
		return;
	}
}

static void
say(const struct peer *p, const char *line, const char *code)
{
	int len = (int)strlen(line);

	if ((p->ssl != NULL ? SSL_write(p->ssl, line, len) :
	    (int)write(p->fd, line, (size_t)len)) != len)
		errx(1, "cannot write to the server");
	expect(p, code);
}

static void
start_tls(struct peer *p, SSL_CTX *ctx)
{
	say(p, "STARTTLS\r\n", "220");
	p->ssl = SSL_new(ctx);
	if (p->ssl == NULL || SSL_set_fd(p->ssl, p->fd) != 1 ||
	    SSL_connect(p->ssl) != 1)
		errx(1, "no TLS");
	say(p, "EHLO idle.example\r\n", "250");
}

static void
open_session(struct peer *p, const struct sockaddr_in *sin, SSL_CTX *ctx)
{
	p->ssl = NULL;
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (p->fd < 0 ||
	    connect(p->fd, (const struct sockaddr *)sin, sizeof(*sin)) < 0)
		err(1, "connect");
	expect(p, "220");
	say(p, "EHLO idle.example\r\n", "250");
	if (ctx != NULL)
		start_tls(p, ctx);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct rlimit limit;
	SSL_CTX *ctx = NULL;
	struct peer *peers;
	char c;
	long i, n;

	if (argc < 4 || argc > 5)
		errx(2, "usage: idle ADDRESS PORT COUNT [starttls]");
	n = strtol(argv[3], NULL, 10);
	sin.sin_port = htons((uint16_t)strtol(argv[2], NULL, 10));
	if (n < 1 || n > 100000 ||
	    inet_pton(AF_INET, argv[1], &sin.sin_addr) != 1)
		errx(2, "bad address or count");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (argc == 5 && (ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "no TLS");
	peers = calloc((size_t)n, sizeof(*peers));
	if (peers == NULL)
		err(1, NULL);
	for (i = 0; i < n; i++)
		open_session(&peers[i], &sin, ctx);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
