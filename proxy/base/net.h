/*
 * net - addresses of peers: to text and back, and the networks they are in.
 *
 * A v4-mapped IPv6 address (::ffff:192.0.2.1) becomes the IPv4 address when a
 * netaddr is made, so that one client has one name and one set of rules.
 */
#ifndef BASE_NET_H
#define BASE_NET_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netaddr {
	uint8_t		family;		/* AF_INET, AF_INET6, AF_UNIX or 0 */
	uint16_t	port;		/* host order */
	uint8_t		ip[16];		/* network order; AF_INET: the first 4 */
};

#define NETADDR_TEXT	64	/* room for any text made here, NUL included */

/* From what accept(2) or getpeername(2) gave. Another family: family 0. */
void netaddr_from_sockaddr(struct netaddr *a, const struct sockaddr *sa);
/* Returns the length of the sockaddr. AF_INET or AF_INET6 only. */
socklen_t netaddr_to_sockaddr(const struct netaddr *a,
    struct sockaddr_storage *ss);
/* "192.0.2.1", "2001:db8::1": the address only. 0, or -1 if it is none. */
int netaddr_parse_ip(struct netaddr *a, const char *ip, size_t len);
bool netaddr_same_ip(const struct netaddr *a, const struct netaddr *b);
/* 127.0.0.0/8, ::1 or AF_UNIX: on this machine. */
bool netaddr_is_local(const struct netaddr *a);

/* "192.0.2.1" / "2001:db8::1" / "unix" / "unknown". Returns out. */
char *netaddr_ip(const struct netaddr *a, char out[NETADDR_TEXT]);
/* "192.0.2.1:25" / "[2001:db8::1]:25" / "unix" / "unknown". Returns out. */
char *netaddr_text(const struct netaddr *a, char out[NETADDR_TEXT]);

/*
 * A place to listen at or to connect to:
 *	HOST:PORT  [IPV6]:PORT  unix:PATH  exec:COMMAND  mx
 * each but the listener's with an optional lmtp+ in front.
 */
enum where_kind { WHERE_TCP, WHERE_UNIX, WHERE_EXEC, WHERE_MX };

struct where {
	enum where_kind	 kind;
	bool		 lmtp;
	char		*text;		/* as written; ours */
	char		*host;		/* WHERE_TCP; ours */
	char		*port;		/* WHERE_TCP: number or service; ours */
	char		*path;		/* WHERE_UNIX, WHERE_EXEC; ours */
};

/* 0; or -1 with *why as static text ("no port", …) and *w empty. */
int where_parse(struct where *w, const char *text, const char **why);
void where_fini(struct where *w);
/*
 * Look up the addresses of a WHERE_TCP, blocking. Stores at most max of them
 * in the order of getaddrinfo(3). Returns their number, or -1 with *why.
 */
int where_resolve(const struct where *w, struct netaddr *out, int max,
    const char **why);

/* A set of networks: "192.0.2.0/24", "2001:db8::/32", "192.0.2.1". */
struct netset {
	struct netset_row {
		uint8_t	family, bits;
		uint8_t	ip[16];
	}	*rows;		/* ours */
	size_t	 n;
};

/* Add one. 0, or -1 with *why ("host bits set", "not a network", …). */
int netset_add(struct netset *s, const char *text, const char **why);
bool netset_has(const struct netset *s, const struct netaddr *a);
void netset_fini(struct netset *s);

#endif
