/*
 * auth_user - who logs in, from what the client sends in a SASL exchange.
 *
 * The exchange is the backend's; we only read along, for filters and rules.
 * What is read is who the client says it is, and the backend's reply says
 * whether it is true. Passwords are wiped from memory where they were decoded.
 */
#ifndef PROXY_AUTH_USER_H
#define PROXY_AUTH_USER_H

#include <stddef.h>

#include "smtp/ext.h"

/*
 * The user in the client's first message of the mechanism, in base64 (RFC
 * 4954): PLAIN (RFC 4616), LOGIN, XOAUTH2, OAUTHBEARER (RFC 7628), SCRAM (RFC
 * 5802). NULL when there is none, or none that is printable; else ours to
 * free, at most AUTH_USER_MAX octets.
 */
#define AUTH_USER_MAX	1000
char *auth_user(enum auth_mech m, const char *base64, size_t len);

#endif
