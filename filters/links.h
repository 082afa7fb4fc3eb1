/*
 * links - addresses of the web in text and in HTML.
 *
 * In text, what begins with http://, https://, ftp:// or www. In HTML, what
 * attributes lead to (href, src, action, …), the address of a refresh, and the
 * text. Written as browsers read them, not as they stand there: entities and
 * percent signs decoded in the host, tabs and line breaks gone, backslashes as
 * slashes, whoever is in front of "@" left out of the host, an IPv4 address in
 * its usual form however it was written, international names as A-labels.
 */
#ifndef FILTERS_LINKS_H
#define FILTERS_LINKS_H

#include <stdbool.h>

#include "base/buf.h"

#define LINK_MAX	2000	/* octets; a longer one is cut */

struct link {
	struct slice	 url;		/* https://www.example.org/x, in UTF-8
					   and without controls */
	struct slice	 host;		/* lower case; empty: it has none */
};

/* False: no more of them, please. */
typedef bool link_fn(void *arg, const struct link *link);

/* Call fn for each link in UTF-8 text; the link dies when fn returns. */
void links_in_text(struct slice text, link_fn *fn, void *arg);
/* … in HTML. */
void links_in_html(struct slice html, link_fn *fn, void *arg);

/* The domain that was registered for a host, as a part of it: "example.co.uk"
   of "www.example.co.uk". Empty: an IP address, a public suffix. */
struct slice link_domain(struct slice host);

#endif
