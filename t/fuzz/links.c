/* Links of any text and any HTML have no controls, and a host that is in the
   link. */

#include "filters/links.h"

#include "fuzz.h"

static bool
on_link(void *arg, const struct link *l)
{
	struct slice domain = link_domain(l->host);

	(void)arg;
	assert(l->url.len > 0 && is_printable(l->url.p, l->url.len));
	assert(is_printable(l->host.p, l->host.len));
	assert(l->host.len == 0 ||
	    memmem(l->url.p, l->url.len, l->host.p, l->host.len) != NULL);
	assert(is_inside(domain, l->host.p, l->host.len));
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = SLICE((const char *)data, size);

	links_in_text(s, on_link, NULL);
	links_in_html(s, on_link, NULL);
	return 0;
}
