/*
 * mime_entity - the header of a part: what its fields say about its content.
 */

#include "filters/mime_entity.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/mime_param.h"

void
mime_entity_fini(struct mime_entity *e)
{
	buf_fini(&e->type);
	buf_fini(&e->charset);
	buf_fini(&e->disposition);
	buf_fini(&e->boundary);
	buf_fini(&e->other_boundary);
	while (e->nnames > 0)
		free(e->names[--e->nnames]);
}

void
mime_entity_init(struct mime_entity *e)
{
	memset(e, 0, sizeof(*e));
	buf_init(&e->type, 128);
	buf_init(&e->charset, 64);
	buf_init(&e->disposition, 64);
	buf_init(&e->boundary, (size_t)256 << 10);
	buf_init(&e->other_boundary, (size_t)256 << 10);
}

void
mime_entity_add_name(void *arg, struct slice name)
{
	struct mime_entity *e = arg;
	size_t i;

	for (i = 0; i < e->nnames; i++)
		if (e->slices[i].len == name.len &&
		    memcmp(e->names[i], name.p, name.len) == 0)
			return;
	if (e->nnames == MIME_NAMES_MAX)
		return;
	e->names[i] = xstrndup(name.p, name.len);
	e->slices[i] = SLICE(e->names[i], name.len);
	e->nnames++;
}

static void
take_names(struct mime_entity *e, struct slice value)
{
	mime_names(value, "filename", mime_entity_add_name, e);
	mime_names(value, "name", mime_entity_add_name, e);
}

static bool
is_multipart(const struct buf *type)
{
	return type->len > 10 && memcmp(type->p, "multipart/", 10) == 0;
}

/*
 * Some clients take the last of two types. Of a text and a multipart it is the
 * multipart, or what is in it would go unseen; of two multiparts each may have
 * the boundary that comes.
 */
static unsigned
take_second_type(struct mime_entity *e, struct slice value)
{
	struct buf type;

	buf_init(&type, 128);
	mime_word(value, &type);
	if (is_multipart(&type) && is_multipart(&e->type)) {
		buf_reset(&e->other_boundary);
		mime_param(value, "boundary", &e->other_boundary);
	} else if (is_multipart(&type)) {
		buf_reset(&e->type);
		buf_add(&e->type, type.p, type.len);
		buf_reset(&e->boundary);
		mime_param(value, "boundary", &e->boundary);
	}
	buf_fini(&type);
	return MIME_DUPLICATE_FIELD;
}

static unsigned
take_type(struct mime_entity *e, struct slice value)
{
	take_names(e, value);
	if (e->has_type)
		return take_second_type(e, value);
	e->has_type = true;
	mime_word(value, &e->type);
	mime_param(value, "charset", &e->charset);
	mime_param(value, "boundary", &e->boundary);
	if (strchr(e->type.len > 0 ? e->type.p : "", '/') != NULL)
		return 0;
	buf_reset(&e->type);
	return value.len > 0 ? MIME_BAD_TYPE : 0;
}

static unsigned
take_encoding(struct mime_entity *e, struct slice value)
{
	unsigned wrong = 0;
	struct buf word;

	if (e->has_encoding)
		return MIME_DUPLICATE_FIELD;
	e->has_encoding = true;
	if (value.len > 0 && *value.p == '"')
		value = SLICE(value.p + 1, value.len - 1);
	buf_init(&word, 64);
	mime_word(value, &word);
	if (strcmp(word.p, "base64") == 0)
		e->encoding = CODEC_BASE64;
	else if (strcmp(word.p, "quoted-printable") == 0)
		e->encoding = CODEC_QP;
	else if (strcmp(word.p, "x-uuencode") == 0 ||
	    strcmp(word.p, "x-uue") == 0 || strcmp(word.p, "uuencode") == 0)
		e->uuencoded = true;
	else if (strcmp(word.p, "7bit") != 0 && strcmp(word.p, "8bit") != 0 &&
	    strcmp(word.p, "binary") != 0 && word.len > 0)
		wrong = MIME_BAD_ENCODING;
	buf_fini(&word);
	return wrong;
}

static unsigned
take_disposition(struct mime_entity *e, struct slice value)
{
	take_names(e, value);
	if (e->has_disposition)
		return MIME_DUPLICATE_FIELD;
	e->has_disposition = true;
	mime_word(value, &e->disposition);
	return 0;
}

unsigned
mime_entity_field(struct mime_entity *e, struct slice name, struct slice value)
{
	while (value.len > 0 && (*value.p == ' ' || *value.p == '\t'))
		value = SLICE(value.p + 1, value.len - 1);
	if (slice_is_nocase(name, "content-type"))
		return take_type(e, value);
	if (slice_is_nocase(name, "content-transfer-encoding"))
		return take_encoding(e, value);
	if (slice_is_nocase(name, "content-disposition"))
		return take_disposition(e, value);
	return 0;
}
