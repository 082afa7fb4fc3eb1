/* Who logs in, read from the first message of each mechanism. */

#include <stdlib.h>

#include <openssl/evp.h>

#include "proxy/auth_user.h"
#include "tap.h"

static const struct {
	const char	*name;
	enum auth_mech	 mech;
	const char	*text;		/* before it is base64 */
	size_t		 len;
	const char	*want;
} cases[] = {
#define T(s)	s, sizeof(s) - 1
	{ "PLAIN", AUTH_PLAIN, T("\0joe\0secret"), "joe" },
	{ "PLAIN for another", AUTH_PLAIN, T("boss\0joe\0secret"), "joe" },
	{ "PLAIN, UTF-8", AUTH_PLAIN, T("\0jo\xc3\xab\0s"), "jo\xc3\xab" },
	{ "PLAIN, an address", AUTH_PLAIN, T("\0joe@example.org\0s"),
	    "joe@example.org" },
	{ "PLAIN without a password", AUTH_PLAIN, T("\0joe"), "joe" },
	{ "PLAIN without a NUL", AUTH_PLAIN, T("joe"), NULL },
	{ "PLAIN, nobody", AUTH_PLAIN, T("\0\0secret"), NULL },
	{ "PLAIN, a control", AUTH_PLAIN, T("\0jo\ne\0secret"), NULL },
	{ "PLAIN, broken UTF-8", AUTH_PLAIN, T("\0jo\xff\0secret"), NULL },
	{ "LOGIN", AUTH_LOGIN, T("joe"), "joe" },
	{ "LOGIN, a control", AUTH_LOGIN, T("jo\001e"), NULL },
	{ "XOAUTH2", AUTH_XOAUTH2, T("user=joe@example.org\001auth=Bearer x"
	    "\001\001"), "joe@example.org" },
	{ "XOAUTH2 without a user", AUTH_XOAUTH2, T("auth=Bearer user=x\001"),
	    NULL },
	{ "OAUTHBEARER", AUTH_OAUTHBEARER, T("n,a=joe@example.org,\001host=h"
	    "\001auth=Bearer x\001\001"), "joe@example.org" },
	{ "OAUTHBEARER without a user", AUTH_OAUTHBEARER, T("n,,\001auth=x"),
	    NULL },
	{ "SCRAM", AUTH_SCRAM_SHA_256, T("n,,n=joe,r=fyko+d2l"), "joe" },
	{ "SCRAM for another", AUTH_SCRAM_SHA_1, T("n,a=boss,n=joe,r=x"),
	    "joe" },
	{ "SCRAM, escaped", AUTH_SCRAM_SHA_512, T("n,,n=a=2Cb=3Dc,r=x"),
	    "a,b=c" },
	{ "SCRAM without a name", AUTH_SCRAM_SHA_256, T("n,,r=x"), NULL },
	{ "empty", AUTH_PLAIN, T(""), NULL },
};

static void
check(enum auth_mech m, const char *base64, size_t len, const char *want,
    const char *name)
{
	char *user = auth_user(m, base64, len);

	is_str(user, want, name);
	free(user);
}

int
main(void)
{
	static const char *const broken[] = {
		"=", "*", "AGpvZQBz!", "AGpvZQBzZWNyZX", "A", "====", "AGp ZQBz"
	};
	char base64[9000];
	static unsigned char longest[4000];
	int n;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = EVP_EncodeBlock((unsigned char *)base64,
		    (const unsigned char *)cases[i].text, (int)cases[i].len);
		check(cases[i].mech, base64, (size_t)n, cases[i].want,
		    cases[i].name);
	}
	for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		check(AUTH_PLAIN, broken[i], strlen(broken[i]), NULL,
		    broken[i]);
	memset(longest, 'x', sizeof(longest));
	n = EVP_EncodeBlock((unsigned char *)base64, longest, AUTH_USER_MAX);
	ok(n > 0, "a long name");
	memset(longest + AUTH_USER_MAX, 0, 1);
	check(AUTH_LOGIN, base64, (size_t)n, (char *)longest, "the longest");
	longest[AUTH_USER_MAX] = 'x';
	n = EVP_EncodeBlock((unsigned char *)base64, longest,
	    AUTH_USER_MAX + 1);
	check(AUTH_LOGIN, base64, (size_t)n, NULL, "too long");
	return tap_done();
}
