/*
 * checks_impl - what checks_scan.c and checks_type.c share.
 */
#ifndef FILTERS_CHECKS_IMPL_H
#define FILTERS_CHECKS_IMPL_H

#include "filters/checks_scan.h"

/* The value of a Content-Type has come: what does it say about what follows? */
void checks_take_type(struct checks_scan *s, struct slice value);

/* Forget the boundaries from the nth on. */
void checks_drop_boundaries(struct checks_scan *s, unsigned n);

#endif
