/*
 * hosts - the names that /etc/hosts gives to addresses (hosts(5)).
 *
 * Rows are sorted by address and found by halving. Rows for 0.0.0.0 and :: are
 * not kept: no client has these addresses, and files that block names hold
 * them by the ten thousand.
 */

#include "proxy/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct host {
	struct netaddr	 addr;
	size_t		 line;		/* the first line for an address wins */
	char		*name;		/* ours */
};

struct hosts {
	struct host	*rows;		/* ours, sorted */
	size_t		 n, room;
};

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_';
}

/* RFC 1123 section 2.1, and "_", which people use. */
static bool
label_is_good(const char *p, size_t len)
{
	size_t i;

	if (len < 1 || len > 63 || p[0] == '-' || p[len - 1] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!is_name_char(p[i]))
			return false;
	return true;
}

int
host_name_canonical(char out[HOST_NAME_MAX_OCTETS + 1], const char *p,
    size_t len)
{
	size_t i, label = 0;

	if (len > 0 && p[len - 1] == '.')
		len--;
	if (len == 0 || len > HOST_NAME_MAX_OCTETS)
		return -1;
	for (i = 0; i < len; i++)
		out[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] - 'A' + 'a' : p[i];
	out[len] = '\0';
	for (i = 0; i <= len; i++) {
		if (i < len && out[i] != '.')
			continue;
		if (!label_is_good(out + label, i - label))
			return -1;
		if (i < len)
			label = i + 1;
	}
	return strspn(out + label, "0123456789") == len - label ? -1 : 0;
}

static size_t
ip_len(const struct netaddr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

static bool
is_unspecified(const struct netaddr *a)
{
	static const uint8_t zero[sizeof(a->ip)];

	return memcmp(a->ip, zero, ip_len(a)) == 0;
}

static void
add(struct hosts *h, const struct netaddr *addr, size_t line, const char *name)
{
	if (h->n == h->room) {
		h->room = h->room ? h->room * 2 : 16;
		h->rows = xrealloc(h->rows, h->room * sizeof(h->rows[0]));
	}
	h->rows[h->n++] = (struct host){
		.addr = *addr, .line = line, .name = xstrdup(name)
	};
}

/* "ADDRESS NAME [ALIAS…] [# …]" */
static void
read_line(struct hosts *h, char *text, size_t line)
{
	static const char space[] = " \t\r\n";
	char name[HOST_NAME_MAX_OCTETS + 1], *p;
	struct netaddr addr;
	size_t len;

	text[strcspn(text, "#")] = '\0';
	p = text + strspn(text, space);
	len = strcspn(p, space);
	if (netaddr_parse_ip(&addr, p, len) < 0 || is_unspecified(&addr))
		return;
	p += len;
	p += strspn(p, space);
	if (host_name_canonical(name, p, strcspn(p, space)) == 0)
		add(h, &addr, line, name);
}

static int
compare_addr(const struct netaddr *a, const struct netaddr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->ip, b->ip, ip_len(a));
}

static int
compare_rows(const void *ap, const void *bp)
{
	const struct host *a = ap, *b = bp;
	int order = compare_addr(&a->addr, &b->addr);

	if (order != 0)
		return order;
	return a->line < b->line ? -1 : a->line > b->line;
}

struct hosts *
hosts_load(const char *path)
{
	struct hosts *h = xcalloc(1, sizeof(*h));
	char *text = NULL;
	size_t room = 0, line = 0;
	FILE *f;

	f = fopen(path, "re");
	if (f == NULL)
		return h;
	while (getline(&text, &room, f) >= 0)
		read_line(h, text, line++);
	free(text);
	fclose(f);
	if (h->n > 0)
		qsort(h->rows, h->n, sizeof(h->rows[0]), compare_rows);
	return h;
}

void
hosts_free(struct hosts **hp)
{
	struct hosts *h = *hp;
	size_t i;

	*hp = NULL;
	if (h == NULL)
		return;
	for (i = 0; i < h->n; i++)
		free(h->rows[i].name);
	free(h->rows);
	free(h);
}

const char *
hosts_name(const struct hosts *h, const struct netaddr *addr)
{
	size_t low = 0, high = h->n, mid;

	/* The first row that is not below addr. */
	while (low < high) {
		mid = low + (high - low) / 2;
		if (compare_addr(&h->rows[mid].addr, addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == h->n || compare_addr(&h->rows[low].addr, addr) != 0)
		return NULL;
	return h->rows[low].name;
}
