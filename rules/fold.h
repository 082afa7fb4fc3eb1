/*
 * fold - keys without the difference between capital and small letters.
 *
 * Postfix folds the keys of tables whose keys are fixed strings, and with
 * SMTPUTF8, which is its default, it folds all of Unicode: full case folding,
 * so "ß" and "SS" are one key. A key that is not UTF-8 is in no such table.
 */
#ifndef RULES_FOLD_H
#define RULES_FOLD_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

bool is_utf8(const char *p, size_t len);

/*
 * Append p[0..len) folded. 0; or -1 when it is not UTF-8, and then nothing is
 * appended. b->failed says when it did not fit.
 */
int fold(struct buf *b, const char *p, size_t len);

#endif
