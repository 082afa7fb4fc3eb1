/*
 * table - look-up tables by their specification "TYPE:ARGUMENT".
 *
 * Here are the things that are the same for every kind of table: keys are
 * folded, mistakes are judged, and files are read again when they have changed.
 *
 * A changed file is seen by its inode, size and times. They are taken before it
 * is read, so that a change during the reading shows afterwards.
 */

#include "rules/table.h"

#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/job.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "rules/ask.h"
#include "rules/fold.h"
#include "rules/keys.h"
#include "rules/table_impl.h"

#define KEY_MAX		4096	/* an address has at most a tenth of this */
#define LINE_MAX	((size_t)128 << 10)	/* of a message */
#define LOOK_MS		1000	/* at the file, at most so often */
#define QUOTE_MAX	500	/* octets of a text in the log */
#define SAID_MAX	20	/* warnings about a file that is read again */
#define LONG_FILE	(1 << 20)	/* octets: a thread reads it again … */
#define LONG_PATTERNS	(8 << 10)	/* … if it has patterns: each of them
					   takes a millisecond */

struct identity {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 modified, changed;
};

struct table {
	unsigned			 magic;
#define TABLE_MAGIC			 0x7ab1e001
	const struct table_type		*type;
	char				*spec;	/* ours */
	const char			*argument; /* into spec */
	char				*path;	/* ours; NULL: no file */
	void				*priv;	/* the type's */
	bool				 lenient; /* mistakes are only told */
	struct table_use		 use;	/* of the values */
	uint64_t			 old_limit_hits; /* before a reload */
	struct identity			 seen;	/* what was read last */
	struct reading			*reading; /* ours; by a thread; NULL */
	uint64_t			 look_at; /* clock_ms() */
	struct buf			 key;	/* folded */
	struct buf			 room;	/* of values that are made */
	struct ask			*ask;	/* ours: a value lives there */
};

static const struct table_type *const types[] = {
	&table_texthash, &table_hash, &table_btree, &table_lmdb, &table_cdb,
	&table_pcre, &table_regexp, &table_cidr, &table_inline, &table_static,
	&table_union, &table_unionmap, &table_pipemap, &table_socketmap,
	&table_tcp,
};

#define NTYPES	(sizeof(types) / sizeof(types[0]))

/* Specifications */

static const struct table_type *
type_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NTYPES; i++)
		if (strlen(types[i]->name) == len &&
		    memcmp(types[i]->name, name, len) == 0)
			return types[i];
	return NULL;
}

static char *
why_no_type(const char *name, size_t len)
{
	struct buf b;
	char *why;
	size_t i;

	buf_init(&b, 1024);
	for (i = 0; i < NTYPES; i++)
		buf_addf(&b, "%s%s:", i > 0 ? " " : "", types[i]->name);
	why = xasprintf("no table type \"%.*s\" (there is %s)",
	    (int)(len > 64 ? 64 : len), name, b.p);
	buf_fini(&b);
	return why;
}

char *
why_errno(const char *path, int error)
{
	return xasprintf("%s: %s", path, strerror(error));
}

/* Files */

static int
identify(const char *path, struct identity *id)
{
	struct stat st;

	memset(id, 0, sizeof(*id));
	if (path == NULL || stat(path, &st) == -1)
		return -1;
	id->dev = st.st_dev;
	id->ino = st.st_ino;
	id->size = st.st_size;
	id->modified = st.st_mtim;
	id->changed = st.st_ctim;
	return 0;
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
same_identity(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    same_time(a->modified, b->modified) &&
	    same_time(a->changed, b->changed);
}

/* The type's part of the table; NULL: say() has heard why. */
static void *
load(const struct table *t, const struct source *how)
{
	struct report report = { how->say, how->arg, 0, t->use, how->warn };
	struct source s = *how;
	bool busy = false;
	void *priv;
	char *why;

	s.argument = t->argument;
	s.path = t->path;
	s.report = &report;
	if (s.busy == NULL)
		s.busy = &busy;
	if ((priv = t->type->open(&s, &why)) == NULL) {
		if (why != NULL)
			s.say(s.arg, why);
		free(why);
		return NULL;
	}
	if (report.n == 0 || s.lenient)
		return priv;
	t->type->close(priv);
	return NULL;
}

/* A file that is read again. */
struct reading {
	struct table	*table;
	struct job	*job;		/* ours; NULL: no thread */
	struct identity	 id;		/* of what is read */
	void		*priv;		/* what came of it; NULL: nothing */
	bool		 busy;		/* somebody is writing it */
	bool		 threaded;
	char		*said[SAID_MAX]; /* ours: for the log */
	size_t		 nsaid, more;	/* more: that nobody needs to read */
};

static void
keep_words(void *arg, const char *text)
{
	struct reading *r = arg;

	if (r->nsaid < SAID_MAX)
		r->said[r->nsaid++] = xstrdup(text);
	else
		r->more++;
}

static void
keep_mistake(void *arg, const char *mistake)
{
	char quoted[4 * QUOTE_MAX + 6], text[4 * QUOTE_MAX + 20];

	snprintf(text, sizeof(text), "mistake=%s", log_quote(quoted,
	    sizeof(quoted), mistake, strlen(mistake), QUOTE_MAX));
	keep_words(arg, text);
}

/* In a thread, perhaps: what it reads of the table never changes. */
static void
read_again(void *arg)
{
	struct reading *r = arg;
	struct source s = { .say = keep_mistake, .warn = keep_words, .arg = r,
	    .lenient = r->table->lenient, .busy = &r->busy,
	    .threaded = r->threaded };

	r->priv = load(r->table, &s);
}

static void
reading_free(struct reading **r)
{
	if (*r == NULL)
		return;
	job_wait(&(*r)->job);
	if ((*r)->priv != NULL)
		(*r)->table->type->close((*r)->priv);
	while ((*r)->nsaid > 0)
		free((*r)->said[--(*r)->nsaid]);
	free(*r);
	*r = NULL;
}

/* The table is what was read; if that is nothing, it stays as it is. */
static void
take_over(struct table *t)
{
	struct reading *r = t->reading;
	size_t i;

	job_wait(&r->job);
	for (i = 0; i < r->nsaid; i++)
		log_warn(0, "table %s", r->said[i]);
	if (r->more > 0)
		log_warn(0, "table file=%s more=%zu", t->path, r->more);
	if (r->priv == NULL) {
		log_warn(0, "table file=%s reload=failed (the old content "
		    "stays in use)", t->path);
	} else {
		t->old_limit_hits = table_limit_hits(t);
		t->type->close(t->priv);
		t->priv = r->priv;
		r->priv = NULL;
		log_info(0, "table file=%s reload=done keys=%zu", t->path,
		    t->type->size(t->priv));
	}
	if (!r->busy)
		t->seen = r->id;
	reading_free(&t->reading);
}

/* Half a second for a million keys is too long for a loop. */
static bool
takes_long(const struct table *t, const struct identity *id)
{
	if ((t->type->flags & TABLE_FOLDS) != 0)
		return id->size >= LONG_FILE;
	return (t->type->flags & TABLE_PATTERNS) != 0 &&
	    id->size >= LONG_PATTERNS;
}

/* A table that is missing, or being written, stays as it is. */
static void
look(struct table *t)
{
	uint64_t now = clock_ms();
	struct identity id;

	if (t->reading != NULL) {
		if (job_is_done(t->reading->job))
			take_over(t);
		return;
	}
	if (t->path == NULL || now < t->look_at)
		return;
	t->look_at = now + LOOK_MS;
	if (identify(t->path, &id) == -1 || same_identity(&id, &t->seen))
		return;
	t->reading = xcalloc(1, sizeof(*t->reading));
	t->reading->table = t;
	t->reading->id = id;
	t->reading->threaded = takes_long(t, &id);
	if (t->reading->threaded)
		t->reading->job = job_start(read_again, t->reading);
	if (t->reading->job != NULL)
		return;
	t->reading->threaded = false;
	read_again(t->reading);
	take_over(t);
}

/* Life */

static struct table *
table_new(const struct table_type *type, const char *spec, size_t len,
    const struct source *s)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->magic = TABLE_MAGIC;
	t->type = type;
	t->spec = xstrndup(spec, len);
	t->argument = strchr(t->spec, ':') + 1;
	t->lenient = s->lenient;
	t->use = s->use;
	if ((type->flags & TABLE_FILE) != 0 &&
	    !((type->flags & TABLE_INLINE) != 0 && t->argument[0] == '{'))
		t->path = xasprintf("%s%s", t->argument, type->suffix);
	buf_init(&t->key, 2 * KEY_MAX);
	buf_init(&t->room, VALUE_MAX);
	return t;
}

static struct table *
open_type(const struct table_type *type, const char *spec, size_t len,
    const struct source *s)
{
	struct table *t = table_new(type, spec, len, s);

	identify(t->path, &t->seen);
	t->look_at = clock_ms() + LOOK_MS;
	if ((t->priv = load(t, s)) == NULL)
		table_free(&t);
	return t;
}

static struct table *
open_table(const char *spec, size_t len, const struct source *s)
{
	const char *colon = memchr(spec, ':', len);
	const struct table_type *type;
	char *why;

	if (colon == NULL || colon + 1 == spec + len) {
		why = xasprintf("\"%.*s\" is not a table "
		    "(try texthash:/etc/postfix/relay_recipients)",
		    (int)(len > 200 ? 200 : len), spec);
	} else {
		type = type_find(spec, (size_t)(colon - spec));
		if (type != NULL)
			return open_type(type, spec, len, s);
		why = why_no_type(spec, (size_t)(colon - spec));
	}
	s->say(s->arg, why);
	free(why);
	return NULL;
}

struct table *
table_open_for(const char *spec, const struct table_use *use,
    table_mistake_fn *say, void *arg)
{
	struct source s = { .say = say, .arg = arg, .patient = true,
	    .use = *use };

	return open_table(spec, strlen(spec), &s);
}

struct table *
table_open_strict(const char *spec, table_mistake_fn *say, void *arg)
{
	static const struct table_use any;

	return table_open_for(spec, &any, say, arg);
}

struct table *
table_open_lenient(const char *spec, table_mistake_fn *say, void *arg)
{
	struct source s = { .say = say, .arg = arg, .patient = true,
	    .lenient = true };

	return open_table(spec, strlen(spec), &s);
}

/* The first mistake, and how many there are. */
struct first {
	char	*mistake;	/* ours */
	size_t	 n;
};

static void
keep_first(void *arg, const char *mistake)
{
	struct first *f = arg;

	if (f->n++ == 0)
		f->mistake = xstrdup(mistake);
}

struct table *
table_open(const char *spec, char **why)
{
	struct first f = { 0 };
	struct table *t;

	t = table_open_strict(spec, keep_first, &f);
	if (t == NULL && f.n > 1)
		*why = xasprintf("%s (and %zu more mistake%s)", f.mistake,
		    f.n - 1, f.n == 2 ? "" : "s");
	else if (t == NULL)
		*why = xstrdup(f.mistake);
	free(f.mistake);
	return t;
}

struct table *
table_open_member(const char *spec, size_t len, const struct source *around)
{
	struct source s = *around;

	if (++s.depth < TABLE_DEPTH)
		return open_table(spec, len, &s);
	report_mistake(around->report, around->argument, 0,
	    "tables within tables, more than %d deep", TABLE_DEPTH);
	return NULL;
}

void
table_free(struct table **t)
{
	if (*t == NULL)
		return;
	OBJ_CHECK(*t, TABLE_MAGIC);
	reading_free(&(*t)->reading);
	if ((*t)->priv != NULL)
		(*t)->type->close((*t)->priv);
	if ((*t)->ask != NULL)
		ask_fini((*t)->ask);
	free((*t)->ask);
	free((*t)->spec);
	free((*t)->path);
	buf_fini(&(*t)->key);
	buf_fini(&(*t)->room);
	(*t)->magic = 0;
	free(*t);
	*t = NULL;
}

/* What it is */

const char *
table_spec(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->spec;
}

size_t
table_size(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->type->size(t->priv);
}

const struct table_type *
table_type_of(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->type;
}

struct table *
table_member(const struct table *t, size_t i)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->type->member != NULL ? t->type->member(t->priv, i) : NULL;
}

const struct remote *
table_remote(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->type->remote != NULL ? t->type->remote(t->priv) : NULL;
}

bool
table_is_remote(const struct table *t)
{
	struct table *member;
	size_t i;

	if (table_remote(t) != NULL)
		return true;
	for (i = 0; (member = table_member(t, i)) != NULL; i++)
		if (table_is_remote(member))
			return true;
	return false;
}

/* The first member of a union or pipemap decides, as in Postfix. */
bool
table_wants_whole(const struct table *t)
{
	struct table *first = table_member(t, 0);

	if (first != NULL)
		return table_wants_whole(first);
	return (t->type->flags & TABLE_PATTERNS) != 0;
}

bool
table_has_names(const struct table *t)
{
	struct table *member;
	size_t i;

	for (i = 0; (member = table_member(t, i)) != NULL; i++) {
		/* The first of a pipemap is given our keys, and no other. */
		if (table_has_names(member))
			return true;
		if (t->type == &table_pipemap)
			return false;
	}
	return i == 0 && (t->type->flags & TABLE_IPS) == 0;
}

uint64_t
table_limit_hits(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->old_limit_hits + (t->type->limit_hits != NULL ?
	    t->type->limit_hits(t->priv) : 0);
}

/* Look-ups */

static enum table_result
find(struct table *t, const char *key, size_t len, const char **value)
{
	struct query q = { .key = key, .len = len, .room = &t->room };
	enum table_result r;

	buf_reset(&t->room);
	r = t->type->find(t->priv, &q);
	if (r == TABLE_FOUND)
		*value = q.value;
	return r;
}

/* No key holds a NUL, so "a\0b" is not the key "a". */
static bool
is_key(struct table *t, const char *key, size_t len)
{
	buf_reset(&t->key);
	if (len > KEY_MAX || (len > 0 && memchr(key, '\0', len) != NULL))
		return false;
	if ((t->type->flags & TABLE_FOLDS) != 0)
		return len > 0 && fold(&t->key, key, len) == 0 &&
		    !t->key.failed;
	buf_add(&t->key, key, len);
	return is_utf8(key, len);
}

/* The value is the table's, but a log line need not hold it. */
static void
warn_value(const struct table *t)
{
	char quoted[4 * QUOTE_MAX + 6];

	log_warn(0, "table spec=%s value=\"not UTF-8\"", log_quote(quoted,
	    sizeof(quoted), t->spec, strlen(t->spec), QUOTE_MAX));
}

enum table_result
table_find_local(struct table *t, const char *key, size_t len,
    const char **value)
{
	enum table_result r;

	look(t);
	if (!is_key(t, key, len))
		return TABLE_NOT_FOUND;
	r = find(t, t->key.p, t->key.len, value);
	if (r == TABLE_FOUND && !is_utf8(*value, strlen(*value))) {
		warn_value(t);
		return TABLE_FAILED;
	}
	return r;
}

/* For tables made of tables; nobody asks remote ones for us here. */
static enum table_result
find_by_asking(struct table *t, const struct keys *k, const char **value)
{
	if (t->ask != NULL)
		ask_fini(t->ask);
	else
		t->ask = xcalloc(1, sizeof(*t->ask));
	ask_start(t->ask, t, k);
	while (!ask_run(t->ask))
		ask_answer(t->ask, TABLE_FAILED, NULL, 0);
	return ask_result(t->ask, value);
}

enum table_result
table_find_keys(struct table *t, const struct keys *k, const char **value)
{
	enum table_result r = TABLE_NOT_FOUND;
	const char *key, *unused;
	size_t at = 0;

	OBJ_CHECK(t, TABLE_MAGIC);
	if (value == NULL)
		value = &unused;
	if (t->type->find == NULL)
		return find_by_asking(t, k, value);
	while (r == TABLE_NOT_FOUND && (key = keys_next(k, &at)) != NULL) {
		r = table_find_local(t, key, strlen(key), value);
		if (table_wants_whole(t))
			break;
	}
	return r;
}

enum table_result
table_find(struct table *t, const char *key, size_t len, const char **value)
{
	enum table_result r;
	const char *unused;
	struct keys k;

	OBJ_CHECK(t, TABLE_MAGIC);
	if (t->type->find != NULL)
		return table_find_local(t, key, len, value ? value : &unused);
	keys_init(&k);
	keys_one(&k, key, len);
	r = table_find_keys(t, &k, value);
	keys_fini(&k);
	return r;
}

enum table_result
table_find_text(struct table *t, const char *text, size_t len,
    const char **value)
{
	const char *unused;

	OBJ_CHECK(t, TABLE_MAGIC);
	if ((t->type->flags & TABLE_TEXT) == 0)
		return table_find(t, text, len, value);
	look(t);
	if (len > LINE_MAX)
		return TABLE_LIMIT;
	return find(t, text, len, value ? value : &unused);
}

enum table_result
table_find_address(struct table *t, const char *local, const char *domain,
    const char *delimiter, const char **value)
{
	enum table_result r;
	struct keys k;

	keys_init(&k);
	keys_recipient(&k, local, domain, delimiter);
	r = table_find_keys(t, &k, value);
	keys_fini(&k);
	return r;
}
