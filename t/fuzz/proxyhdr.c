/* The PROXY header: no prefix is a header, and what we write is read back. */

#include "base/proxyhdr.h"

#include "fuzz.h"

static void
check_round(const struct proxyhdr *h, int version)
{
	struct proxyhdr_tls tls = { "TLSv1.3", "TLS_AES_256_GCM_SHA384" };
	struct proxyhdr again;
	struct buf out;
	const char *why;
	size_t used;

	buf_init(&out, PROXYHDR_MAX);
	proxyhdr_format(&out, version, &h->src, &h->dst, &tls);
	assert(!out.failed);
	assert(proxyhdr_parse(&again, out.p, out.len, &used, &why) ==
	    PROXYHDR_DONE);
	assert(used == out.len);
	if (h->src.family == h->dst.family && h->src.family != AF_UNIX)
		assert(!again.local && netaddr_same_ip(&again.src, &h->src) &&
		    netaddr_same_ip(&again.dst, &h->dst) &&
		    again.src.port == h->src.port &&
		    again.dst.port == h->dst.port);
	buf_fini(&out);
}

static void
check(const char *p, size_t size)
{
	const char *why = NULL;
	struct proxyhdr h, prefix;
	size_t used, other;
	char *copy;

	switch (proxyhdr_parse(&h, p, size, &used, &why)) {
	case PROXYHDR_MORE:
		assert(size < PROXYHDR_MAX);
		return;
	case PROXYHDR_BAD:
		assert(why != NULL);
		return;
	case PROXYHDR_DONE:
		break;
	}
	assert(used > 0 && used <= size);
	for (size_t n = 0; n < used; n += 1 + used / 64) {
		copy = malloc(n + 1);
		memcpy(copy, p, n);
		assert(proxyhdr_parse(&prefix, copy, n, &other, &why) ==
		    PROXYHDR_MORE);
		free(copy);
	}
	if (!h.local) {
		check_round(&h, 1);
		check_round(&h, 2);
	}
}

/* Version 2 with a signature and a length that are right, which no fuzzer
   finds: the first two octets are command and family. */
static void
check_v2(struct input in)
{
	char *p = malloc(in.len + 16);
	unsigned command = take(&in), family = take(&in);

	memcpy(p, "\r\n\r\n\0\r\nQUIT\n", 12);
	p[12] = (char)(0x20 | (command & 1));
	p[13] = (char)(family & 0x33);
	p[14] = (char)(in.len >> 8);
	p[15] = (char)in.len;
	memcpy(p + 16, in.p, in.len);
	check(p, in.len + 16);
	free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check((const char *)data, size);
	check_v2((struct input){ (const char *)data, size });
	return 0;
}
