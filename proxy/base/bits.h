/*
 * bits - a set of small numbers: a bit for each, in words.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words for numbers below n; at least one. */
static inline size_t
bits_words(size_t n)
{
	return n / 64 + 1;
}

static inline void
bits_set(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void
bits_clear(uint64_t *bits, size_t i)
{
	bits[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static inline bool
bits_has(const uint64_t *bits, size_t i)
{
	return bits[i / 64] & UINT64_C(1) << i % 64;
}

/* The first number from i on that is there; n: none below n. */
static inline size_t
bits_next(const uint64_t *bits, size_t i, size_t n)
{
	uint64_t word;

	if (i >= n)
		return n;
	word = bits[i / 64] & UINT64_MAX << i % 64;
	for (i /= 64; word == 0; word = bits[i])
		if (++i >= bits_words(n))
			return n;
	i = i * 64 + (size_t)__builtin_ctzll(word);
	return i < n ? i : n;
}

#endif
