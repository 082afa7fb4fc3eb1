/*
 * spool - the content of one message: memory first, then an unlinked file.
 *
 * The memory limit is about octets of content, but what costs memory is chains:
 * a client that sends one octet at a time would have us keep a chain of some KB
 * for each. So short pieces are copied into the last chain, where they fill
 * what is free, and only chains that are worth it are moved.
 *
 * Once there is a file, everything goes through it. The kernel holds what was
 * written a moment ago in its cache, so reading it back costs no more than a
 * copy.
 */

#include "base/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define CHAIN_WORTH	1024	/* move chains with so much on average */
#define READ_MAX	65536	/* from the file at once */
#define CHAINS_MAX	64	/* from memory at once */

struct spool {
	unsigned	 magic;
#define SPOOL_MAGIC	 0x5b001cab
	const char	*dir;		/* borrowed */
	size_t		 memory_limit;
	struct evbuffer	*memory;	/* ours; once there is a file only what
					   was put in front of it */
	int		 fd;		/* ours; -1: all is in memory */
	off_t		 read_at;	/* where the file goes on */
	uint64_t	 size;		/* added, less what was replaced */
	uint64_t	 taken;
};

/* libevent has no memory either: see base/mem.h. */
static void
must(bool done)
{
	if (!done)
		fatal("out of memory");
}

struct spool *
spool_new(const char *dir, size_t memory_limit)
{
	struct spool *s = xmalloc(sizeof(*s));

	*s = (struct spool){
		.magic = SPOOL_MAGIC,
		.dir = dir,
		.memory_limit = memory_limit,
		.memory = evbuffer_new(),
		.fd = -1,
	};
	must(s->memory != NULL);
	return s;
}

void
spool_free(struct spool **sp)
{
	struct spool *s = *sp;

	if (s == NULL)
		return;
	OBJ_CHECK(s, SPOOL_MAGIC);
	*sp = NULL;
	if (s->fd != -1)
		close(s->fd);
	evbuffer_free(s->memory);
	s->magic = 0;
	free(s);
}

/* Adding */

/* Not every file system makes files without a name; then it has one for a
   moment. */
static int
open_nameless(const char *dir)
{
	char *name;
	int fd;

	fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd != -1)
		return fd;
	name = xasprintf("%s/vratar-XXXXXX", dir);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd != -1)
		unlink(name);
	free(name);
	return fd;
}

/* writev(2) to the end of the file until nothing is left of from. */
static int
write_out(int fd, struct evbuffer *from)
{
	int n;

	while (evbuffer_get_length(from) > 0) {
		n = evbuffer_write(from, fd);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0) {
			errno = EIO;	/* no progress, and no reason given */
			return -1;
		}
	}
	return 0;
}

static int
add_to_file(struct spool *s, struct evbuffer *from)
{
	if (s->fd == -1) {
		if ((s->fd = open_nameless(s->dir)) == -1)
			return -1;
		if (write_out(s->fd, s->memory) == -1)
			return -1;
	}
	return write_out(s->fd, from);
}

static void
copy_chains(struct evbuffer *to, struct evbuffer *from)
{
	size_t n;

	while ((n = evbuffer_get_contiguous_space(from)) > 0) {
		must(evbuffer_add(to, evbuffer_pullup(from, (ssize_t)n), n)
		    == 0);
		evbuffer_drain(from, n);
	}
}

static void
add_to_memory(struct spool *s, struct evbuffer *from)
{
	size_t len = evbuffer_get_length(from);
	size_t chains = (size_t)evbuffer_peek(from, -1, NULL, NULL, 0);

	if (len / CHAIN_WORTH < chains)
		copy_chains(s->memory, from);
	else
		must(evbuffer_add_buffer(s->memory, from) == 0);
}

int
spool_add(struct spool *s, struct evbuffer *from)
{
	size_t len = evbuffer_get_length(from);

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (s->fd != -1 ||
	    evbuffer_get_length(s->memory) + len > s->memory_limit) {
		if (add_to_file(s, from) == -1)
			return -1;
	} else if (len > 0) {
		add_to_memory(s, from);
	}
	s->size += len;
	return 0;
}

uint64_t
spool_size(const struct spool *s)
{
	OBJ_CHECK(s, SPOOL_MAGIC);
	return s->size;
}

uint64_t
spool_left(const struct spool *s)
{
	OBJ_CHECK(s, SPOOL_MAGIC);
	return s->size - s->taken;
}

/* The start */

static int64_t
peek_memory(const struct spool *s, uint64_t at, void *out, size_t len)
{
	struct evbuffer_ptr where;

	must(evbuffer_ptr_set(s->memory, &where, (size_t)at,
	    EVBUFFER_PTR_SET) == 0);
	return evbuffer_copyout_from(s->memory, &where, out, len);
}

static int64_t
read_file(int fd, void *out, size_t len, off_t at)
{
	ssize_t n;

	do
		n = pread(fd, out, len, at);
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		errno = EIO;	/* we have written more than this */
		return -1;
	}
	return n;
}

int64_t
spool_peek(const struct spool *s, uint64_t at, void *out, size_t len)
{
	size_t front = evbuffer_get_length(s->memory);

	OBJ_CHECK(s, SPOOL_MAGIC);
	assert(s->taken == 0);
	if (at >= s->size || len == 0)
		return 0;
	if (at < front)
		return peek_memory(s, at, out, len);
	if (len > s->size - at)
		len = (size_t)(s->size - at);
	return read_file(s->fd, out, len, s->read_at + (off_t)(at - front));
}

void
spool_replace(struct spool *s, uint64_t n, struct evbuffer *with)
{
	size_t front = evbuffer_get_length(s->memory);
	size_t len = evbuffer_get_length(with);

	OBJ_CHECK(s, SPOOL_MAGIC);
	assert(s->taken == 0 && n <= s->size);
	s->size = s->size - n + len;
	if (n > front) {
		s->read_at += (off_t)(n - front);
		n = front;
	}
	evbuffer_drain(s->memory, (size_t)n);
	must(evbuffer_prepend_buffer(s->memory, with) == 0);
}

/* Taking */

/* How much do the first chains hold, as many as it takes to have max octets? */
static size_t
whole_chains(struct evbuffer *b, size_t max)
{
	struct evbuffer_iovec v[CHAINS_MAX];
	int i, n;
	size_t len = 0;

	n = evbuffer_peek(b, max > READ_MAX * CHAINS_MAX ? -1 : (ssize_t)max,
	    NULL, v, CHAINS_MAX);
	for (i = 0; i < n && i < CHAINS_MAX; i++)
		len += v[i].iov_len;
	return len;
}

static int64_t
take_from_memory(struct spool *s, struct evbuffer *to, size_t max)
{
	size_t len = whole_chains(s->memory, max);

	must(evbuffer_remove_buffer(s->memory, to, len) == (int)len);
	return (int64_t)len;
}

static int64_t
take_from_file(struct spool *s, struct evbuffer *to, size_t max)
{
	struct evbuffer_iovec v;
	int64_t n;

	if (max > READ_MAX)
		max = READ_MAX;
	if (max > spool_left(s))
		max = (size_t)spool_left(s);
	must(evbuffer_reserve_space(to, (ssize_t)max, &v, 1) == 1);
	if ((n = read_file(s->fd, v.iov_base, max, s->read_at)) <= 0)
		return -1;
	v.iov_len = (size_t)n;
	evbuffer_commit_space(to, &v, 1);
	s->read_at += n;
	return n;
}

int64_t
spool_take(struct spool *s, struct evbuffer *to, size_t max)
{
	int64_t n;

	OBJ_CHECK(s, SPOOL_MAGIC);
	assert(max > 0);
	if (spool_left(s) == 0)
		return 0;
	n = evbuffer_get_length(s->memory) == 0 ? take_from_file(s, to, max)
	    : take_from_memory(s, to, max);
	if (n > 0)
		s->taken += (uint64_t)n;
	return n;
}

int
spool_refer(struct spool *s, struct evbuffer *to)
{
	struct evbuffer_file_segment *segment;
	int fd, rc;

	OBJ_CHECK(s, SPOOL_MAGIC);
	assert(s->taken == 0 && s->read_at == 0);
	assert(s->fd == -1 || evbuffer_get_length(s->memory) == 0);
	if (s->size == 0)
		return 0;
	if (s->fd == -1) {
		must(evbuffer_add_buffer_reference(to, s->memory) == 0);
		return 0;
	}
	if ((fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	segment = evbuffer_file_segment_new(fd, 0, (ev_off_t)s->size,
	    EVBUF_FS_CLOSE_ON_FREE);
	if (segment == NULL) {
		close(fd);
		return -1;
	}
	rc = evbuffer_add_file_segment(to, segment, 0, -1);
	evbuffer_file_segment_free(segment);	/* to has it as well */
	return rc;
}
