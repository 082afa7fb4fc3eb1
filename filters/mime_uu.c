/*
 * mime_uu - files in text, uuencoded.
 */

#include "filters/mime_uu.h"

#include <ctype.h>
#include <string.h>

#include "filters/codec.h"

/* begin MODE NAME */
static bool
begins(struct slice line, struct slice *name)
{
	size_t i = 6;

	if (line.len < 11 || memcmp(line.p, "begin ", 6) != 0)
		return false;
	while (i < line.len && isdigit((unsigned char)line.p[i]))
		i++;
	if (i < 9 || i > 10 || i + 1 >= line.len || line.p[i] != ' ')
		return false;
	*name = SLICE(line.p + i + 1, line.len - i - 1);
	return true;
}

static void
on_line(struct mime_uu *u, struct slice line, const struct mime_uu_handler *h,
    void *arg)
{
	struct slice name;
	char out[64];
	int n;

	if (!u->inside) {
		u->inside = begins(line, &name);
		if (u->inside)
			h->begin(arg, name);
		return;
	}
	n = line.len == 3 && memcmp(line.p, "end", 3) == 0 ? -1 :
	    codec_uu_line(line.p, line.len, out);
	if (n > 0)
		h->data(arg, out, (size_t)n);
	else if (n < 0) {
		u->inside = false;
		h->end(arg);
	}
}

static void
end_line(struct mime_uu *u, const struct mime_uu_handler *h, void *arg)
{
	size_t len = u->len;

	if (len > 0 && u->line[len - 1] == '\r')
		len--;
	if (!u->long_line)
		on_line(u, SLICE(u->line, len), h, arg);
	u->len = 0;
	u->long_line = false;
}

void
mime_uu_text(struct mime_uu *u, const char *in, size_t len,
    const struct mime_uu_handler *h, void *arg)
{
	const char *lf;
	size_t n;

	while (len > 0) {
		lf = memchr(in, '\n', len);
		n = lf != NULL ? (size_t)(lf - in) : len;
		if (u->len + n > sizeof(u->line))
			u->long_line = true;
		if (!u->long_line) {
			memcpy(u->line + u->len, in, n);
			u->len += n;
		}
		if (lf != NULL)
			end_line(u, h, arg);
		n += lf != NULL;
		in += n;
		len -= n;
	}
}

void
mime_uu_end(struct mime_uu *u, const struct mime_uu_handler *h, void *arg)
{
	end_line(u, h, arg);
	if (u->inside)
		h->end(arg);
	memset(u, 0, sizeof(*u));
}
