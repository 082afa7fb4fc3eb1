/*
 * utf8 - is this UTF-8 (RFC 3629)?
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/*
 * The length, 1 to 4, of the character p[0..len) starts with; 0 if it starts
 * with none: a stray or missing continuation, an overlong form, a surrogate,
 * anything past U+10FFFF, or nothing at all. Controls are characters.
 */
size_t utf8_length(const char *p, size_t len);

#endif
