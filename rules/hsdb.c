/*
 * hsdb - libhs asked which of many patterns can match.
 *
 * libhs finds wrong patterns one by one, and says which one it was: that one is
 * left out, and all is tried again. What it compiled is kept in the cache with
 * a bit for each pattern that is in it, under a hash of all that made it.
 */

#include "rules/hsdb.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What both read alike */

static size_t
count_digits(struct slice s, size_t from)
{
	size_t i = from;

	while (i < s.len && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i - from;
}

static bool
is_hex_pair(struct slice s, size_t from)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	return from + 2 <= s.len && memchr(digits, s.p[from], 22) != NULL &&
	    memchr(digits, s.p[from + 1], 22) != NULL;
}

/* Signs are themselves; of letters only those that always meant the same. */
static bool
is_common_escape(struct slice s, size_t i, bool in_class)
{
	unsigned char c;

	if (i + 1 >= s.len)
		return false;
	c = (unsigned char)s.p[i + 1];
	if (c == 'x')
		return is_hex_pair(s, i + 2);
	if (c >= '1' && c <= '7')
		return !in_class && count_digits(s, i + 1) == 1;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return strchr(in_class ? "dDwWsSntrfae" : "dDwWsSntrfaebBAzZ",
		    c) != NULL;
	return c < 0x80 && !(c >= '0' && c <= '9') && c != '\0';
}

/* (, (?:, (?=, (?!, (?<=, (?<!, (?>, (?i), (?s-m:, and nothing else. */
static bool
is_common_group(struct slice s, size_t i)
{
	size_t k = i + 2;

	if (i + 1 >= s.len || s.p[i + 1] != '?')
		return i + 1 >= s.len || s.p[i + 1] != '*';
	if (k == s.len)
		return false;
	if (strchr(":=!>", s.p[k]) != NULL && s.p[k] != '\0')
		return true;
	if (s.p[k] == '<')
		return k + 1 < s.len && (s.p[k + 1] == '=' ||
		    s.p[k + 1] == '!');
	while (k < s.len && memchr("ims-", s.p[k], 4) != NULL)
		k++;
	return k > i + 2 && k < s.len && (s.p[k] == ')' || s.p[k] == ':');
}

/* Behind a "[" at i: where its "]" is, or 0. */
static size_t
common_class_end(struct slice s, size_t i)
{
	i++;
	if (i < s.len && s.p[i] == '^')
		i++;
	if (i < s.len && s.p[i] == ']')
		i++;
	for (; i < s.len && s.p[i] != ']'; i++) {
		/* [:alpha:] is as good as any, [[:<:]] is not. */
		if (s.p[i] == '[' && i + 1 < s.len &&
		    memchr(":.=", s.p[i + 1], 3) != NULL)
			return 0;
		if (s.p[i] != '\\')
			continue;
		if (!is_common_escape(s, i, true))
			return 0;
		i++;
	}
	return i < s.len ? i : 0;
}

bool
hsdb_is_common(const struct literals_pattern *p)
{
	struct slice s = p->text;
	size_t i;

	/* What is no UTF-8 is no subject for libhs. */
	if (p->extended || p->utf || memchr(s.p, '\0', s.len) != NULL)
		return false;
	for (i = 0; i < s.len; i++)
		switch (s.p[i]) {
		case '\\':
			if (!is_common_escape(s, i, false))
				return false;
			i++;
			break;
		case '[':
			if ((i = common_class_end(s, i)) == 0)
				return false;
			break;
		case '(':
			if (!is_common_group(s, i))
				return false;
			break;
		case '{':
			/* {,3} began to repeat with PCRE2 10.43. */
			if (i + 1 < s.len && s.p[i + 1] == ',')
				return false;
			break;
		}
	return true;
}

#ifdef HAVE_LIBHS

#include <openssl/evp.h>

#include <hs.h>

#include "base/bits.h"
#include "base/log.h"
#include "rules/cache.h"

#define TRIES_MAX	32	/* patterns that libhs finds too large */
#define FORMAT		"vratar patterns 1"

struct hsdb {
	size_t		 n, ntaken;
	uint64_t	*taken;		/* a bit each; ours */
	hs_database_t	*db;		/* ours */
};

struct hsdb_room {
	hs_scratch_t	*scratch;	/* ours */
};

static size_t
octets_of_bits(const struct hsdb *db)
{
	return bits_words(db->n) * sizeof(db->taken[0]);
}

static unsigned
flags_of(const struct literals_pattern *p)
{
	return HS_FLAG_PREFILTER | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY |
	    (p->caseless ? HS_FLAG_CASELESS : 0) |
	    (p->dotall ? HS_FLAG_DOTALL : 0) |
	    (p->multiline ? HS_FLAG_MULTILINE : 0);
}

/* Compiling */

/* What hs_compile_multi() wants: a column for each of them. */
struct columns {
	const char	**text;		/* ours, and each of its texts */
	unsigned	*flags, *ids;	/* ours */
	unsigned	 n;
};

static void
columns_free(struct columns *c)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		free((char *)(uintptr_t)c->text[i]);
	free(c->text);
	free(c->flags);
	free(c->ids);
}

/* Most that it does not take it can tell at once. */
static bool
is_taken(const char *text, unsigned flags)
{
	hs_compile_error_t *error = NULL;
	hs_expr_info_t *info = NULL;
	bool ok;

	ok = hs_expression_info(text, flags, &info, &error) == HS_SUCCESS;
	free(info);
	hs_free_compile_error(error);
	return ok;
}

static struct columns
columns_of(struct hsdb *db, const struct literals_pattern *v)
{
	struct columns c = {
		.text = xcalloc(db->n + 1, sizeof(c.text[0])),
		.flags = xcalloc(db->n + 1, sizeof(c.flags[0])),
		.ids = xcalloc(db->n + 1, sizeof(c.ids[0])),
	};
	char *text;
	size_t i;

	for (i = 0; i < db->n; i++) {
		if (!hsdb_is_common(&v[i]))
			continue;
		text = xstrndup(v[i].text.p, v[i].text.len);
		if (!is_taken(text, flags_of(&v[i]))) {
			free(text);
			continue;
		}
		bits_set(db->taken, i);
		c.text[c.n] = text;
		c.flags[c.n] = flags_of(&v[i]);
		c.ids[c.n++] = (unsigned)i;
	}
	return c;
}

static void
leave_out(struct hsdb *db, struct columns *c, unsigned i)
{
	bits_clear(db->taken, c->ids[i]);
	free((char *)(uintptr_t)c->text[i]);
	c->n--;
	c->text[i] = c->text[c->n];
	c->flags[i] = c->flags[c->n];
	c->ids[i] = c->ids[c->n];
}

static void
complain(unsigned n, const hs_compile_error_t *error)
{
	char text[500];

	log_quote(text, sizeof(text), error->message, strlen(error->message),
	    100);
	log_warn(0, "libhs patterns=%u problem=%s (they are looked at without "
	    "it)", n, text);
}

static void
compile(struct hsdb *db, const struct literals_pattern *v, bool silent)
{
	struct columns c = columns_of(db, v);
	hs_compile_error_t *error;
	int at, tries;

	for (tries = 0; c.n > 0 && tries < TRIES_MAX; tries++) {
		error = NULL;
		if (hs_compile_multi(c.text, c.flags, c.ids, c.n,
		    HS_MODE_BLOCK, NULL, &db->db, &error) == HS_SUCCESS)
			break;
		db->db = NULL;
		at = error != NULL ? error->expression : -1;
		if (at < 0 || (unsigned)at >= c.n) {
			if (!silent && error != NULL)
				complain(c.n, error);
			hs_free_compile_error(error);
			break;
		}
		hs_free_compile_error(error);
		leave_out(db, &c, (unsigned)at);
	}
	columns_free(&c);
}

/* The cache */

static void
hash(EVP_MD_CTX *ctx, const void *p, size_t len)
{
	if (!EVP_DigestUpdate(ctx, p, len))
		fatal("no SHA-256");
}

static void
hash_number(EVP_MD_CTX *ctx, uint64_t number)
{
	hash(ctx, &number, sizeof(number));
}

static void
hash_pattern(EVP_MD_CTX *ctx, const struct literals_pattern *p)
{
	hash_number(ctx, flags_of(p));
	hash_number(ctx, hsdb_is_common(p));
	hash_number(ctx, p->text.len);
	hash(ctx, p->text.p, p->text.len);
}

/* Of all that a database is made of, and where it can be used. */
static void
key_of(unsigned char key[CACHE_KEY], const struct literals_pattern *v,
    size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	hs_platform_info_t here = { .tune = 0 };
	size_t i;

	hs_populate_platform(&here);
	if (ctx == NULL || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		fatal("no SHA-256");
	hash(ctx, FORMAT, sizeof(FORMAT));
	hash(ctx, hs_version(), strlen(hs_version()) + 1);
	hash_number(ctx, here.tune);
	hash_number(ctx, here.cpu_features);
	hash_number(ctx, n);
	for (i = 0; i < n; i++)
		hash_pattern(ctx, &v[i]);
	if (!EVP_DigestFinal_ex(ctx, key, NULL))
		fatal("no SHA-256");
	EVP_MD_CTX_free(ctx);
}

/* It is made anew when it cannot be read; libhs looks at its version. */
static void
from_cache(struct hsdb *db, const unsigned char key[CACHE_KEY])
{
	size_t bits = octets_of_bits(db);
	struct buf b;

	buf_init(&b, CACHE_FILE_MAX);
	if (cache_get(key, &b) && b.len > bits &&
	    hs_deserialize_database(b.p + bits, b.len - bits, &db->db) ==
	    HS_SUCCESS)
		memcpy(db->taken, b.p, bits);
	buf_fini(&b);
}

static void
to_cache(const struct hsdb *db, const unsigned char key[CACHE_KEY])
{
	struct buf b;
	char *octets;
	size_t len;

	if (hs_serialize_database(db->db, &octets, &len) != HS_SUCCESS)
		return;
	buf_init(&b, CACHE_FILE_MAX);
	buf_add(&b, db->taken, octets_of_bits(db));
	buf_add(&b, octets, len);
	if (!b.failed)
		cache_put(key, SLICE(b.p, b.len));
	free(octets);
	buf_fini(&b);
}

/* Life */

static void
get_database(struct hsdb *db, const struct literals_pattern *v, bool silent)
{
	unsigned char key[CACHE_KEY];

	if (silent) {
		compile(db, v, true);
		return;
	}
	key_of(key, v, db->n);
	from_cache(db, key);
	if (db->db != NULL)
		return;
	compile(db, v, false);
	if (db->db != NULL)
		to_cache(db, key);
}

struct hsdb *
hsdb_new(const struct literals_pattern *v, size_t n, bool silent)
{
	struct hsdb *db;
	size_t i;

	if (n >= UINT32_MAX || hs_valid_platform() != HS_SUCCESS)
		return NULL;
	db = xcalloc(1, sizeof(*db));
	db->n = n;
	db->taken = xcalloc(1, octets_of_bits(db));
	get_database(db, v, silent);
	if (db->db == NULL) {
		hsdb_free(&db);
		return NULL;
	}
	for (i = 0; i < n; i++)
		db->ntaken += bits_has(db->taken, i);
	return db;
}

void
hsdb_free(struct hsdb **dbp)
{
	struct hsdb *db = *dbp;

	if (db == NULL)
		return;
	*dbp = NULL;
	hs_free_database(db->db);
	free(db->taken);
	free(db);
}

const uint64_t *
hsdb_has(const struct hsdb *db)
{
	return db->taken;
}

size_t
hsdb_count(const struct hsdb *db)
{
	return db->ntaken;
}

/* Looking */

struct hsdb_room *
hsdb_room_new(const struct hsdb *db)
{
	struct hsdb_room *r = xcalloc(1, sizeof(*r));

	if (hs_alloc_scratch(db->db, &r->scratch) != HS_SUCCESS)
		hsdb_room_free(&r);
	return r;
}

void
hsdb_room_free(struct hsdb_room **r)
{
	if (*r == NULL)
		return;
	hs_free_scratch((*r)->scratch);
	free(*r);
	*r = NULL;
}

static int
on_match(unsigned id, unsigned long long from, unsigned long long to,
    unsigned flags, void *arg)
{
	(void)from, (void)to, (void)flags;
	bits_set(arg, id);
	return 0;
}

void
hsdb_scan(const struct hsdb *db, struct hsdb_room *r, struct slice s,
    uint64_t *maybe)
{
	size_t i;

	if (r != NULL && s.len <= UINT32_MAX &&
	    hs_scan(db->db, s.p != NULL ? s.p : "", (unsigned)s.len, 0,
	    r->scratch, on_match, maybe) == HS_SUCCESS)
		return;
	/* When it does not say anything, anything may be. */
	for (i = 0; i < bits_words(db->n); i++)
		maybe[i] |= db->taken[i];
}

const char *
hsdb_version(void)
{
	return hs_version();
}

#else /* without libhs */

struct hsdb *
hsdb_new(const struct literals_pattern *v, size_t n, bool silent)
{
	(void)v, (void)n, (void)silent;
	return NULL;
}

void
hsdb_free(struct hsdb **db)
{
	*db = NULL;
}

const uint64_t *
hsdb_has(const struct hsdb *db)
{
	(void)db;
	return NULL;
}

size_t
hsdb_count(const struct hsdb *db)
{
	(void)db;
	return 0;
}

struct hsdb_room *
hsdb_room_new(const struct hsdb *db)
{
	(void)db;
	return NULL;
}

void
hsdb_room_free(struct hsdb_room **r)
{
	*r = NULL;
}

void
hsdb_scan(const struct hsdb *db, struct hsdb_room *r, struct slice subject,
    uint64_t *maybe)
{
	(void)db, (void)r, (void)subject, (void)maybe;
}

const char *
hsdb_version(void)
{
	return NULL;
}

#endif
