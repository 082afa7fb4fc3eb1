/* Types, parameters and file names of MIME header fields, as the world writes
   them. */

#include "filters/mime_param.h"
#include "tap.h"

static const struct {
	const char	*value, *type, *charset, *boundary;
} fields[] = {
	{ "text/plain", "text/plain", NULL, NULL },
	{ "Text/HTML; charset=utf-8", "text/html", "utf-8", NULL },
	{ "text/plain;charset=\"UTF-8\"", "text/plain", "UTF-8", NULL },
	{ "text/plain; CHARSET = \"a b\" ; x=y", "text/plain", "a b", NULL },
	{ "text/plain charset=utf-8", "text/plain", "utf-8", NULL },
	{ "text/plain (a (nested) comment); charset=x (why)", "text/plain",
	    "x", NULL },
	{ "text/plain; x; charset=y", "text/plain", "y", NULL },
	{ "text/plain; charset=a; charset=b", "text/plain", "a", NULL },
	{ "text/plain; charset=", "text/plain", "", NULL },
	{ "text/plain; charset=\"utf-8", "text/plain", "utf-8", NULL },
	{ "multipart/mixed; boundary=\"a;b=c\"", "multipart/mixed", NULL,
	    "a;b=c" },
	{ "multipart/mixed; boundary=\"a\\\"b\\c\"", "multipart/mixed", NULL,
	    "a\"bc" },
	{ "multipart/mixed; boundary==_a/b:c?=", "multipart/mixed", NULL,
	    "=_a/b:c?=" },
	{ "multipart/mixed; boundary=a b", "multipart/mixed", NULL, "a" },
	{ "multipart/mixed; xboundary=a; boundary=b", "multipart/mixed", NULL,
	    "b" },
	{ "multipart/mixed; x=\"boundary=a\"; boundary=b", "multipart/mixed",
	    NULL, "b" },
	{ "multipart/mixed; boundary*0=a; boundary*1=b", "multipart/mixed",
	    NULL, "ab" },
	{ "multipart/mixed; boundary*=''a%20b", "multipart/mixed", NULL,
	    "a b" },
	{ "", "", NULL, NULL },
	{ ";;;", "", NULL, NULL },
	{ "text", "text", NULL, NULL },
	{ "(", "", NULL, NULL },
	{ "text/plain; \"", "text/plain", NULL, NULL },
	{ "text/plain; charset=\"a\\", "text/plain", "a\\", NULL },
};

/* names: what filename= makes, each with a "|" behind it */
static const struct {
	const char	*name, *value, *names;
} files[] = {
	{ "a token", "attachment; filename=a.exe", "a.exe|" },
	{ "quoted", "attachment; filename=\"a b.exe\"", "a b.exe|" },
	{ "spaces without quotes", "attachment; filename=a b.exe; x=y",
	    "a b.exe|" },
	{ "no end of quotes", "attachment; filename=\"a.exe", "a.exe|" },
	{ "RFC 2231", "attachment; filename*=utf-8''a%c3%a4.exe",
	    "a\xc3\xa4.exe|" },
	{ "RFC 2231, Latin 1", "attachment; filename*=iso-8859-1'de'a%E4.exe",
	    "a\xc3\xa4.exe|" },
	{ "RFC 2231 without quotes", "attachment; filename*=a%2Eexe",
	    "a.exe|" },
	{ "continued", "attachment; filename*0=a.; filename*1=\"ex\"; "
	    "filename*2=e", "a.exe|" },
	{ "continued, out of order", "attachment; filename*2=e; "
	    "filename*0=a.; filename*1=ex", "a.exe|" },
	{ "continued, encoded", "attachment; filename*0*=utf-8''a%2E; "
	    "filename*1*=%65x; filename*2=e", "a.exe|" },
	{ "continued, a character in two", "attachment; "
	    "filename*0*=utf-8''a%c3; filename*1*=%a4", "a\xc3\xa4|" },
	{ "continued, the first is missing", "attachment; filename*1=a.exe",
	    "a.exe|" },
	{ "continued, one twice", "attachment; filename*0=a; filename*0=b",
	    "a|" },
	{ "continued, a number too high", "attachment; "
	    "filename*99999999999999=a; filename*0=b", "b|" },
	{ "RFC 2047 in quotes", "attachment; "
	    "filename=\"=?utf-8?B?YS5leGU=?=\"", "a.exe|" },
	{ "RFC 2047 without", "attachment; filename==?utf-8?Q?a=2Eexe?=",
	    "a.exe|" },
	{ "RFC 2047 in two words", "attachment; filename=\"=?utf-8?Q?a=2E?= "
	    "=?utf-8?Q?exe?=\"", "a.exe|" },
	{ "raw UTF-8", "attachment; filename=\"\xc3\xa4.exe\"",
	    "\xc3\xa4.exe|" },
	{ "raw Latin 1", "attachment; filename=\"\xe4.exe\"",
	    "\xef\xbf\xbd.exe|" },
	{ "two of them", "attachment; filename=a.txt; filename=b.exe",
	    "a.txt|b.exe|" },
	{ "two kinds", "attachment; filename=a.txt; filename*=b.exe; "
	    "filename*0=c.exe", "a.txt|b.exe|c.exe|" },
	{ "a path of Windows", "attachment; filename=\"C:\\tmp\\a.exe\"",
	    "C:\\tmp\\a.exe|" },
	{ "an escaped quote", "attachment; filename=\"a\\\"b.exe\"",
	    "a\"b.exe|" },
	{ "a path", "attachment; filename=\"../../a.exe\"",
	    "../../a.exe|" },
	{ "controls", "attachment; filename*=''a%0a%1b.exe", "a??.exe|" },
	{ "NUL", "attachment; filename*=''a.exe%00.txt",
	    "a.exe?.txt|a.exe|" },
	{ "NUL at the end", "attachment; filename*=''a.exe%00", "a.exe|" },
	{ "dots and spaces at the end", "attachment; filename=\"a.exe. . \"",
	    "a.exe|" },
	{ "nothing left", "attachment; filename=\" ...\"", "" },
	{ "bad digits", "attachment; filename*=''a%zz%4", "a%zz%4|" },
	{ "none", "attachment; name=a", "" },
	{ "no disposition", "filename=a.exe; x=y", "a.exe|" },
	{ "only parameters", "; filename=a.exe", "a.exe|" },
};

static void
add_name(void *arg, struct slice file)
{
	buf_add(arg, file.p, file.len);
	buf_addc(arg, '|');
}

static void
check_param(const char *value, const char *name, const char *want)
{
	struct buf out;
	bool found;

	buf_init(&out, 1000);
	found = mime_param(SLICE_STR(value), name, &out);
	is_str(found ? out.p : NULL, want, value);
	buf_fini(&out);
}

static void
check_fields(void)
{
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		buf_init(&out, 1000);
		mime_word(SLICE_STR(fields[i].value), &out);
		is_str(out.p, fields[i].type, fields[i].value);
		buf_fini(&out);
		check_param(fields[i].value, "charset", fields[i].charset);
		check_param(fields[i].value, "boundary", fields[i].boundary);
	}
}

static void
check_files(void)
{
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		buf_init(&out, 1000);
		mime_names(SLICE_STR(files[i].value), "filename", add_name,
		    &out);
		is_str(out.p, files[i].names, files[i].name);
		buf_fini(&out);
	}
}

static void
check_long(void)
{
	char value[3000] = "attachment; filename=";
	struct buf out;

	memset(value + 21, 'x', 2900);
	memcpy(value + 2921, ".exe", 5);
	buf_init(&out, 4000);
	mime_names(SLICE_STR(value), "filename", add_name, &out);
	is_int((long long)out.len, MIME_NAME_MAX + 1, "a long name is cut");
	is_str(out.p + out.len - 6, "x.exe|", "… at its beginning");
	buf_fini(&out);
}

int
main(void)
{
	check_fields();
	check_files();
	check_long();
	return tap_done();
}
