/*
 * utf8 - is this UTF-8 (RFC 3629)?
 *
 * The rows are the grammar of section 4: what may stand in the first octet,
 * and what that leaves for the second. All others are 80-BF. Overlong forms
 * and surrogates fall out of the ranges of the second octet.
 */

#include "base/utf8.h"

static const struct {
	unsigned char	first_low, first_high;
	unsigned char	second_low, second_high;
	unsigned char	length;
} rows[] = {
	{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
	{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 },
	{ 0xed, 0xed, 0x80, 0x9f, 3 },
	{ 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
	{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
	{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

size_t
utf8_length(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i, k;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (p[0] >= rows[i].first_low && p[0] <= rows[i].first_high)
			break;
	if (i == sizeof(rows) / sizeof(rows[0]) || rows[i].length > len)
		return 0;
	if (p[1] < rows[i].second_low || p[1] > rows[i].second_high)
		return 0;
	for (k = 2; k < rows[i].length; k++)
		if ((p[k] & 0xc0) != 0x80)
			return 0;
	return rows[i].length;
}
