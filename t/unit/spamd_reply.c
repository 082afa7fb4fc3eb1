/* The head of what a spamd answers: what is one, and what is not. */

#include "filters/spamd_reply.h"

#include "tap.h"

#define HEAD(code, length, spam)					\
	"SPAMD/1.1 " code "\r\nContent-length: " length "\r\nSpam: " spam "\r\n"
#define OK	"0 EX_OK"

static const char protocol[] = "it does not speak SPAMD";
static const char unable[] = "it could not do it";
static const char no_score[] = "a reply without a score";
static const char no_length[] = "a reply without a length";

static const struct {
	const char	*head, *why;
	bool		 spam;
	double		 score, required;
	size_t		 body;
} cases[] = {
	{ HEAD(OK, "17", "True ; 12.5 / 5.0"), NULL, true, 12.5, 5, 17 },
	{ HEAD(OK, "0", "False ; -1.1 / 5"), NULL, false, -1.1, 5, 0 },
	{ HEAD(OK, "1", "Yes;1e3/5  "), NULL, true, 1000, 5, 1 },
	{ HEAD(OK, "1", "no ; 0 / 0"), NULL, false, 0, 0, 1 },
	{ HEAD(OK, "262144", "x;1/2"), NULL, false, 1, 2, 262144 },
	{ "SPAMD/1.5 0 EX_OK\r\nSPAM: true ; 1 / 2\r\nX: y\r\n"
	    "content-LENGTH: 3\r\n", NULL, true, 1, 2, 3 },
	{ "", protocol, false, 0, 0, 0 },
	{ "HTTP/1.1 200 OK\r\n", protocol, false, 0, 0, 0 },
	{ "SPAMD/1.1\r\n", protocol, false, 0, 0, 0 },
	{ HEAD("76 Bad header line: x", "1", "x;1/2"), unable, false, 0, 0, 0 },
	{ HEAD("-1 x", "1", "x;1/2"), unable, false, 0, 0, 0 },
	{ "SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\n", no_score,
	    false, 0, 0, 0 },
	{ HEAD(OK, "1", "True"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; 1"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "1 / 2 ; True"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; / 2"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; 1 / "), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; nan / 5"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; 1 / inf"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; 1x / 5"), no_score, false, 0, 0, 0 },
	/* The numbers of another line are none. */
	{ HEAD(OK, "1", "True\r\nX: ;1/2"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ;\r\n1 / 2"), no_score, false, 0, 0, 0 },
	{ HEAD(OK, "1", "True ; 1 /\r\n2"), no_score, false, 0, 0, 0 },
	{ "SPAMD/1.1 0 EX_OK\r\nSpam: x;1/2\r\n", no_length, false, 0, 0, 0 },
	{ HEAD(OK, "", "x;1/2"), no_length, false, 0, 0, 0 },
	{ HEAD(OK, "-1", "x;1/2"), no_length, false, 0, 0, 0 },
	{ HEAD(OK, "1k", "x;1/2"), no_length, false, 0, 0, 0 },
	{ HEAD(OK, "262145", "x;1/2"), no_length, false, 0, 0, 0 },
	{ HEAD(OK, "99999999999999999999", "x;1/2"), no_length, false, 0, 0, 0 },
};

int
main(void)
{
	struct spamd_reply r;
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = spamd_reply(cases[i].head, &r);
		is_str(why, cases[i].why, cases[i].why ? cases[i].why :
		    "a reply");
		if (why == NULL)
			ok(r.spam == cases[i].spam &&
			    r.score == cases[i].score &&
			    r.required == cases[i].required &&
			    r.body == cases[i].body, "… and what it says");
	}
	return tap_done();
}
