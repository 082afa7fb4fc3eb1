/* What matches is never excluded: by libhs, by literals, and by both. */

#include <sys/stat.h>

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/cache.h"
#include "rules/hsdb.h"
#include "rules/regex.h"
#include "rules/sieve.h"
#include "tap.h"

/* Is it for libhs at all? */
static const struct {
	const char	*pattern;
	bool		 want;
} commons[] = {
	{ "", true },
	{ "viagra", true },
	{ "a|(b|c)+?d{2,3}", true },
	{ "^\\s*\\d\\.\\b$", true },
	{ "\\x41", true },
	{ "\\x4", false },
	{ "\\x{41}", false },
	{ "\\x", false },
	{ "(a)\\1", true },
	{ "(a)\\12", false },
	{ "\\8", false },
	{ "\\0", false },
	{ "\\141", false },
	{ "\\Qa\\E", false },
	{ "a\\Kb", false },
	{ "\\R", false },
	{ "\\h", false },
	{ "\\p{Lu}", false },
	{ "\\", false },
	{ "caf\xc3\xa9", true },
	{ "\\\xc3", false },
	{ "(?:a)(?=a)(?!a)(?<=a)(?<!a)(?>a)", true },
	{ "(?i)a(?s-m:b)", true },
	{ "(?x)a", false },
	{ "(?J)a", false },
	{ "(?<name>a)", false },
	{ "(?P<name>a)", false },
	{ "(?|a|b)", false },
	{ "(?#a)", false },
	{ "(?R)", false },
	{ "(?(1)a)", false },
	{ "(?", false },
	{ "(?i", false },
	{ "(", true },			/* libhs itself will see */
	{ "(*UTF)a", false },
	{ "a(*SKIP)b", false },
	{ "[a-z]", true },
	{ "[]a]", true },
	{ "[^]a]", true },
	{ "[a\\]b](", true },
	{ "[(*]", true },
	{ "[\\b]", false },
	{ "[\\1]", false },
	{ "[[:alpha:]]", false },
	{ "[[:<:]]", false },
	{ "[a", false },
	{ "[", false },
	{ "[a\\", false },
	{ "a{2}", true },
	{ "a{,2}", false },
	{ "a{", true },
};

static void
test_commons(void)
{
	struct literals_pattern p = { .extended = false };
	size_t i;

	for (i = 0; i < sizeof(commons) / sizeof(commons[0]); i++) {
		p.text = SLICE_STR(commons[i].pattern);
		ok(hsdb_is_common(&p) == commons[i].want, "%s%s",
		    commons[i].pattern, commons[i].want ? "" : ": not");
	}
	p = (struct literals_pattern){ .text = SLICE("a\0b", 3) };
	ok(!hsdb_is_common(&p), "a NUL: not");
	p = (struct literals_pattern){ .text = SLICE("a", 1), .utf = true };
	ok(!hsdb_is_common(&p), "UTF-8: not");
	p = (struct literals_pattern){ .text = SLICE("a", 1),
	    .extended = true };
	ok(!hsdb_is_common(&p), "extended: not");
}

/* Random patterns, with the alphabet of their subjects so small that they do
   match. */

static unsigned state = 1;

static unsigned
below(unsigned n)
{
	state = state * 1103515245u + 12345u;
	return (state >> 16) % n;
}

static void
add_pattern(struct buf *b, int depth)
{
	static const char *const atoms[] = {
		"abab", "aabba", "bbbaa", "ab", "a", "b", "AB", "abbaab", ".",
		"[ab]", "[^a]", "[a\\]b]", "[^\\w]", "[\\d-a]", "[a-]", "\\w",
		"\\W", "\\d", "\\D", "\\s", "\\S", "\\.", "\\b", "\\B", "^",
		"$", "\\A", "\\z", "\\Z", "\\x61", "\\x0a", "\\x85", "(?i)",
		"(?s)", "(?m)", "(?-i)", "\\n", "\\t", "\\r", "1", "\\-", "]",
		"(?:ab|ba)", "(a)\\1", "(b)|\\2", "[]ab]", "\\1", "{", "a{",
		"}", "\xe9", "\xc9", "[\xe0-\xff]", "[[:alpha:]b]", "\\Qab\\E",
		"\\h", "\\R", "(?x) a", "\\N", "\\v", " ", "#", "\\e", "\\f",
	};
	static const char *const groups[] = {
		"(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:",
		"(?-s:", "(?m:", "(?<x>", "(?|",
	};
	static const char *const repeats[] = {
		"*", "+", "?", "{2}", "{0}", "{1,3}", "{,2}", "*?", "++", "{0,}",
		"{2,}", "??", "?+", "{2,4}?", "{40}",
	};
	unsigned n = 1 + below(5);

	while (n-- > 0) {
		if (depth < 3 && below(5) == 0) {
			buf_adds(b, groups[below(below(2) ? 2 :
			    sizeof(groups) / sizeof(groups[0]))]);
			add_pattern(b, depth + 1);
			buf_addc(b, ')');
		} else
			buf_adds(b, atoms[below(below(2) ? 14 :
			    sizeof(atoms) / sizeof(atoms[0]))]);
		if (below(4) == 0)
			buf_adds(b, repeats[below(
			    sizeof(repeats) / sizeof(repeats[0]))]);
		if (below(10) == 0)
			buf_addc(b, '|');
	}
}

static void
add_subject(struct buf *b)
{
	static const char letters[] =
	    "aaaaabbbbbABa.{}1 ]-#\n\n\r\t\v\f_\xe9\xc9\x85\x1b";
	unsigned n = below(4) == 0 ? below(4) : below(60);

	/* A NUL is a letter like others. */
	while (n-- > 0)
		buf_addc(b, below(50) == 0 ? '\0' :
		    letters[below(sizeof(letters) - 1)]);
}

/* More of them were tried once; libhs takes its time for such patterns. */
#define PATTERNS	400
#define ROUNDS		2
#define SUBJECTS	150

struct many {
	struct regex_cache	*cache;
	struct regex		*x[PATTERNS];
	struct literals_pattern	 v[PATTERNS];
	size_t			 n;
	size_t			 wrong, matches, excluded;
};

static void
fill(struct many *m)
{
	static const char *const flags[] = { "", "i", "s", "m", "is", "ims",
	    "im", "x", "iu" };
	struct buf text;
	char why[200];
	size_t tried, at;

	buf_init(&text, 10000);
	for (tried = 0; tried < PATTERNS; tried++) {
		buf_reset(&text);
		add_pattern(&text, 0);
		m->x[m->n] = regex_get(m->cache, SLICE(text.p, text.len),
		    SLICE_STR(flags[below(9)]), why, &at);
		if (m->x[m->n] == NULL)
			continue;
		m->v[m->n] = regex_needs(m->x[m->n]);
		m->n++;
	}
	buf_fini(&text);
}

static void
judge(struct many *m, const struct sieve_look *s, size_t i, bool yes)
{
	m->matches += yes;
	m->excluded += !sieve_maybe(s, i);
	if (yes && !sieve_maybe(s, i) && m->wrong++ < 20)
		printf("# /%s/ matches\n", regex_pattern(m->x[i]));
}

/* Subjects without a NUL behind them: nothing else is read. */
static void
try(struct many *m, struct sieve_look *with, struct sieve_look *without)
{
	struct slice s;
	struct buf text;
	char *copy;
	size_t i;
	bool yes;

	buf_init(&text, 10000);
	add_subject(&text);
	copy = xmalloc(text.len + (text.len == 0));
	memcpy(copy, text.p, text.len);
	s = SLICE(text.len > 0 ? copy : NULL, text.len);
	sieve_scan(with, s);
	sieve_scan(without, s);
	for (i = 0; i < m->n; i++) {
		yes = regex_match(m->x[i], s, NULL) == REGEX_YES;
		judge(m, with, i, yes);
		judge(m, without, i, yes);
	}
	free(copy);
	buf_fini(&text);
}

static void
test_random(unsigned seed)
{
	struct many *m = xcalloc(1, sizeof(*m));
	struct sieve_look *look_with, *look_without;
	struct sieve *with, *without;
	struct sieve_counts n;
	size_t i;

	state = seed;
	m->cache = regex_cache_new();
	fill(m);
	with = sieve_new(m->v, m->n, SIEVE_SLOW);
	without = sieve_new(m->v, m->n, SIEVE_QUICK);
	n = sieve_count(with);
	look_with = sieve_look_new(with);
	look_without = sieve_look_new(without);
	for (i = 0; i < SUBJECTS; i++)
		try(m, look_with, look_without);
	sieve_look_free(&look_with);
	sieve_look_free(&look_without);
	is_int((int)m->wrong, 0, "what matches is never excluded");
	ok(m->matches > m->n && m->excluded > m->n, "%zu patterns: %zu "
	    "matches, %zu excluded", m->n, m->matches, m->excluded);
	ok(hsdb_version() == NULL ? n.libhs == 0 : n.libhs > m->n / 2,
	    "%zu for libhs, %zu for literals", n.libhs, n.literals);
	n = sieve_count(without);
	ok(n.libhs == 0, "… and without libhs %zu for literals", n.literals);
	sieve_free(&with);
	sieve_free(&without);
	regex_cache_free(&m->cache);
	free(m);
}

static void
test_few(void)
{
	static const char *const texts[] = { "a", "[0-9]{3}-[0-9]{4}", "\\R",
	    "viagra" };
	struct literals_pattern v[4] = { { .extended = false } };
	struct sieve_look *l;
	struct sieve *s;
	bool libhs = hsdb_version() != NULL;
	size_t i;

	for (i = 0; i < 4; i++)
		v[i].text = SLICE_STR(texts[i]);
	s = sieve_new(v, 4, SIEVE_SLOW);
	is_int((int)sieve_count(s).libhs, libhs ? 3 : 0, "all but \\R");
	l = sieve_look_new(s);
	sieve_scan(l, SLICE_STR("nothing 123-456"));
	ok(sieve_maybe(l, 1) == !libhs, "short ones are told by libhs");
	ok(sieve_maybe(l, 2), "what nobody knows is always maybe");
	ok(!sieve_maybe(l, 3), "literals are told by both");
	sieve_scan(l, SLICE_STR("123-4567"));
	ok(sieve_maybe(l, 1), "and one that is there");
	is_int((int)sieve_next(l, 0), libhs ? 1 : 0, "the first of them");
	is_int((int)sieve_next(l, 3), 4, "none any more");
	sieve_look_free(&l);
	sieve_free(&s);
	ok(sieve_new(v + 2, 1, SIEVE_SLOW) == NULL, "nothing to exclude");
	sieve_free(&s);
}

/* The cache */

static char dir[] = "/tmp/sieve.XXXXXX";

/* The files there, and the name of the last. */
static size_t
files(char name[300])
{
	char *pattern = xasprintf("%s/*", dir);
	glob_t g;
	size_t n;

	glob(pattern, 0, NULL, &g);
	n = g.gl_pathc;
	if (n > 0)
		snprintf(name, 300, "%s", g.gl_pathv[n - 1]);
	globfree(&g);
	free(pattern);
	return n;
}

static bool
get_is(unsigned char first, const char *want)
{
	unsigned char key[CACHE_KEY] = { first };
	struct buf b;
	bool same;

	buf_init(&b, 100);
	same = cache_get(key, &b) ? want != NULL &&
	    slice_is(SLICE(b.p, b.len), want) : want == NULL;
	buf_fini(&b);
	return same;
}

static void
put(unsigned char first, const char *content)
{
	unsigned char key[CACHE_KEY] = { first };

	cache_put(key, SLICE_STR(content));
}

static void
spoil(const char *name, off_t at)
{
	int fd = open(name, O_RDWR);
	char c = 0;

	if (pread(fd, &c, 1, at) != 1)
		c = 'x';
	c = (char)(c + 1);
	ok(pwrite(fd, &c, 1, at) == 1, "an octet is spoiled");
	close(fd);
}

static void
test_files(void)
{
	char name[300], other[300];
	struct stat st;

	ok(get_is(1, NULL), "nothing without a directory");
	put(1, "one");
	cache_at(dir);
	ok(get_is(1, NULL), "nothing at first");
	put(1, "one");
	ok(get_is(1, "one"), "what was put");
	ok(get_is(2, NULL), "another key");
	is_int((long long)files(name), 1, "one file");
	ok(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600, "ours only");
	put(1, "uno");
	ok(get_is(1, "uno"), "put again");
	is_int((long long)files(name), 1, "still one file");
	snprintf(other, sizeof(other), "%s", name);
	other[strlen(dir) + 2] = '2';
	ok(rename(name, other) == 0 && get_is(2, NULL), "a renamed one");
	put(1, "");
	ok(get_is(1, ""), "nothing, kept");
	put(1, "one");
	spoil(name, 33);
	ok(get_is(1, NULL), "a damaged one");
	put(1, "one");
	ok(truncate(name, 34) == 0 && get_is(1, NULL), "a short one");
	ok(truncate(name, 3) == 0 && get_is(1, NULL), "a shorter one");
	put(1, "one");
	chmod(name, 0622);
	ok(get_is(1, NULL), "one that others can write");
	unlink(name);
	ok(symlink(other, name) == 0 && get_is(1, NULL), "a link");
	unlink(name);
	ok(mkfifo(name, 0600) == 0 && get_is(1, NULL), "a pipe");
	unlink(name);
	put(1, "one");
	chmod(dir, 0770);
	ok(get_is(1, NULL), "a directory that others can write");
	cache_at(dir);
	put(3, "three");
	chmod(dir, 0700);
	cache_at(dir);
	ok(get_is(1, "one") && get_is(3, NULL), "… is not written, either");
	cache_at("/nonexistent");
	put(1, "one");
	cache_at("/nonexistent");
	ok(get_is(1, NULL), "no directory");
	cache_at(dir);
	unlink(name);
	unlink(other);
}

/* A file in the directory, last used so many days ago. */
static void
age(const char *path, time_t days)
{
	struct timespec t[2];

	clock_gettime(CLOCK_REALTIME, &t[0]);
	t[0].tv_sec -= days * 24 * 60 * 60 + 60;
	t[1] = t[0];
	utimensat(AT_FDCWD, path, t, 0);
}

static void
make(char path[300], const char *name, time_t days)
{
	snprintf(path, 300, "%s/%s", dir, name);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	age(path, days);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
test_old(void)
{
	char one[300], two[300], draft[300], mine[300], new[300], key[100];
	struct stat st;

	memset(key, 'a', 64);
	key[64] = '\0';
	cache_at(dir);
	put(1, "one");
	files(one);
	make(new, key, CACHE_DAYS - 1);
	key[0] = 'b';
	make(two, key, CACHE_DAYS);
	strcpy(key + 64, ".123");
	make(draft, key, CACHE_DAYS);
	make(mine, "notes.txt", 1000);
	age(one, CACHE_DAYS + 1);
	ok(get_is(1, "one"), "an old one is good");
	ok(stat(one, &st) == 0 && st.st_mtime > time(NULL) - 1000,
	    "… and is not old any more");
	cache_at(NULL);
	ok(!is_there(two) && !is_there(draft), "old ones go when one is put");
	ok(is_there(one) && is_there(new), "those in use, and not so old ones, "
	    "stay");
	ok(is_there(mine), "so does what is not ours");
	age(new, CACHE_DAYS);
	cache_at(dir);
	ok(get_is(1, "one"), "it is read only");
	cache_at(NULL);
	ok(is_there(new), "then nothing is looked for");
	unlink(one);
	unlink(new);
	unlink(mine);
	cache_at(dir);
}

static bool
tells(struct literals_pattern *v)
{
	struct sieve *s = sieve_new(v, 3, SIEVE_SLOW);
	struct sieve_look *l = sieve_look_new(s);
	bool right;

	sieve_scan(l, SLICE_STR("aaa cialis"));
	right = sieve_maybe(l, 0) && sieve_maybe(l, 1) && !sieve_maybe(l, 2);
	sieve_look_free(&l);
	sieve_free(&s);
	return right;
}

static void
test_databases(void)
{
	struct literals_pattern v[3] = { { .text = SLICE("a\\R", 3) },
	    { .text = SLICE_STR("cialis") }, { .text = SLICE_STR("viagra") } };
	char name[300];
	struct stat st[2];

	ok(tells(v), "a database is made");
	is_int((long long)files(name), 1, "… and kept");
	ok(stat(name, &st[0]) == 0 && tells(v) && stat(name, &st[1]) == 0 &&
	    st[0].st_ino == st[1].st_ino, "… and used");
	v[2].caseless = true;
	ok(tells(v) && files(name) == 2, "other flags are another one");
	v[2].text = SLICE_STR("viagro");
	ok(tells(v) && files(name) == 3, "so is another text");
	for (; files(name) > 0; unlink(name))
		spoil(name, 200);
	ok(tells(v) && files(name) == 1, "made again");
	stat(name, &st[0]);
	spoil(name, 200);
	ok(tells(v) && stat(name, &st[1]) == 0 &&
	    st[0].st_ino != st[1].st_ino, "a damaged one is made again");
	unlink(name);
}

static void
test_cache(void)
{
	ok(mkdtemp(dir) != NULL, "a directory");
	test_files();
	test_old();
	if (hsdb_version() != NULL)
		test_databases();
	cache_at(NULL);
	ok(rmdir(dir) == 0, "nothing is left behind");
}

int
main(void)
{
	unsigned i;

	log_open("file:/dev/null", false);
	test_commons();
	test_few();
	test_cache();
	for (i = 1; i <= ROUNDS; i++)
		test_random(i);
	return tap_done();
}
