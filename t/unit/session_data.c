/* session_data: what content is refused for, whether it comes by DATA or BDAT
   and whichever way it would go on; what is left behind by a refusal. */

#include "t/engine.h"

#define HI_	"EHLO c.example|"
#define MAIL	"MAIL FROM:<a@example.org>|"
#define RCPT	"RCPT TO:<b@example.com>|"

/* Greeting taken, so that a dialogue starts with the client's first line. */
static void
begin(struct client *c)
{
	client_connect(c);
	replies(c);
}

/* What content is refused for. */
static void
test_content(void)
{
	static const struct {
		const char *name, *octets;
		size_t len;
		const char *data, *bdat, *bdat_to_data;
	} cases[] = {
		{ "plain", "hi\r\n", 4, "250", "250", "250" },
		{ "no end of line", "hi", 2, NULL, "250", "250" },
		{ "a bare LF", "a\nb\r\n", 5, "550", "550", "550" },
		{ "a bare CR", "a\rb\r\n", 5, "550", "550", "550" },
		{ "a CR at the end", "a\r", 2, NULL, "550", "550" },
		{ "LF dot LF", "a\n.\nb\r\n", 7, "550", "550", "550" },
		{ "NUL", "a\0b\r\n", 5, "554", "554", "554" },
	};
	struct client c;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char head[32];

		engine_conf();
		mta.ehlo = "CHUNKING";
		engine_start();
		for (int to_data = 0; to_data < 2; to_data++) {
			conf_backend.chunking = !to_data;
			begin(&c);
			client_say(&c, HI_ MAIL RCPT);
			codes(&c);
			snprintf(head, sizeof(head), "BDAT %zu LAST|",
			    cases[i].len);
			client_say(&c, head);
			client_write(&c, cases[i].octets, cases[i].len);
			is_str(codes(&c), to_data ? cases[i].bdat_to_data :
			    cases[i].bdat, cases[i].name);
			client_close(&c);
		}
		begin(&c);
		client_say(&c, HI_ MAIL RCPT "DATA|");
		codes(&c);
		client_write(&c, cases[i].octets, cases[i].len);
		client_say(&c, ".|");
		if (cases[i].data != NULL)
			is_str(codes(&c), cases[i].data, "  DATA");
		client_close(&c);
		engine_stop();
	}
}

static void
test_size(void)
{
	static char big[3000];
	struct client c;

	memset(big, 'x', sizeof(big));
	memcpy(big + 2900, "\r\n.\r\n", 6);
	for (size_t i = 900; i < 2900; i += 900)
		memcpy(big + i, "\r\n", 2);
	engine_conf();
	conf.message_size_limit = 1000;
	engine_start();
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	codes(&c);
	client_write(&c, big, 2905);
	client_say(&c, MAIL RCPT "BDAT 999|");
	client_write(&c, big, 999);
	is_str(codes(&c), "552 250 250 250", "too big is known at the end");
	client_say(&c, "BDAT 2|xxBDAT 2|xxDATA|RSET|");
	is_str(codes(&c), "552 503 503 250", "or at the end of a chunk");
	client_say(&c, MAIL RCPT "BDAT 10 LAST|12345678|");
	is_str(codes(&c), "250 250 250", "and forgotten afterwards");
	client_close(&c);
	conf.spool_directory = (char *)(uintptr_t)"/nonexistent";
	conf.spool_memory = 10;
	begin(&c);
	client_say(&c, HI_ MAIL RCPT "DATA|");
	client_write(&c, big + 2000, 905);
	is_str(codes(&c), "250 250 250 354 452", "no room for the spool");
	client_close(&c);
	engine_stop();
}

int
main(void)
{
	engine_init();
	test_content();
	test_size();
	engine_fini();
	return tap_done();
}
