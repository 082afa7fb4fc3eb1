/*
 * date - the time in a header field (RFC 5322 sections 3.3 and 4.3).
 */
#ifndef FILTERS_DATE_H
#define FILTERS_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Seconds since 1970, of an unfolded value: "Mon, 23 Nov 2026 18:13:14 +0100".
 * The day of the week, seconds and the zone may be missing; years of two
 * digits and zones with a name are those of section 4.3. False: it is no date.
 */
bool date_parse(struct slice value, int64_t *seconds);

#endif
