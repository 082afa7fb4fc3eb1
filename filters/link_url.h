/*
 * link_url - one address of the web, as browsers read it (WHATWG URL).
 */
#ifndef FILTERS_LINK_URL_H
#define FILTERS_LINK_URL_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Read one URL: the normal form goes to url, its host to host; both are added.
 * "//host/x" is https. False: it is none that leads anywhere by itself, such
 * as a path or "#x". Schemes other than http, https and ftp have no host.
 */
bool link_url(struct slice in, struct buf *url, struct buf *host);

#endif
