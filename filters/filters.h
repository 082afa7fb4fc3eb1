/*
 * filters - what types of filters there are: those that are compiled in, and
 * those of loaded modules; and how an instance is made of a type.
 */
#ifndef FILTERS_FILTERS_H
#define FILTERS_FILTERS_H

#include <stddef.h>

#include "filters/chain.h"

/* Asks a milter, as an MTA does. */
extern const struct filter filter_milter;

/* The scanners: each in its file, and nothing else of it is visible. */
extern const struct filter filter_clamd, filter_rspamd, filter_spamd;
extern const struct filter filter_exec, filter_icap;

/* The type of this name, or NULL. */
const struct filter *filters_find(const char *name);
/* The i-th, compiled-in ones first; NULL behind the last. */
const struct filter *filters_nth(size_t i);

/*
 * Load the shared object at path, which exports one vratar_filter. It stays
 * loaded until the process ends, whatever becomes of the configuration; the
 * same path again is the same module. NULL with *why (ours to free).
 */
const struct filter *filters_load(const char *path, char **why);

/*
 * An instance: f->name, type and settings are set; fill in f->self. 0; or -1
 * as of filter.setup.
 */
int filters_setup(struct filter_conf *f, const struct filter_host *host,
    char **why);
/* Frees it with its settings, and leaves NULL; NULL is fine. */
void filter_conf_free(struct filter_conf **f);

#endif
