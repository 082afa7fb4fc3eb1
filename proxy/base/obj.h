/*
 * obj - recognise an object behind a void pointer.
 *
 * Every struct that travels through a callback starts with a magic number,
 * and the first line of each callback recovers a typed, living object. The
 * checks are cheap and stay on in production.
 */
#ifndef BASE_OBJ_H
#define BASE_OBJ_H

#include <assert.h>
#include <stddef.h>

#define OBJ_CHECK(p, m)		assert((p) != NULL && (p)->magic == (m))
#define OBJ_CAST(to, from, m)	do { (to) = (from); OBJ_CHECK((to), (m)); } while (0)

#endif
