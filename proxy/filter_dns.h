/*
 * filter_dns - the DNS for filters: our resolver behind the functions that
 * filters/filter.h gives them.
 */
#ifndef PROXY_FILTER_DNS_H
#define PROXY_FILTER_DNS_H

#include "filters/filter.h"

struct resolver;

/* r is borrowed. */
void filter_dns_init(struct filter_worker *w, struct resolver *r);

#endif
