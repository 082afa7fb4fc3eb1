/* Links in text and in HTML, with what spammers do to them. */

#include "filters/links.h"
#include "tap.h"

static const struct {
	const char	*in, *want;	/* URL{host}| */
} texts[] = {
	{ "see http://example.org/x.", "http://example.org/x{example.org}|" },
	{ "HTTPS://Example.ORG/X", "https://example.org/X{example.org}|" },
	{ "(http://example.org/a)", "http://example.org/a{example.org}|" },
	{ "<http://example.org/a>b", "http://example.org/a{example.org}|" },
	{ "www.example.org, www.example.com!",
	    "http://www.example.org{www.example.org}|"
	    "http://www.example.com{www.example.com}|" },
	{ "awww.example.org www. http://", "" },
	{ "http://a.example http://b.example",
	    "http://a.example{a.example}|http://b.example{b.example}|" },
	{ "ftp://example.org/x y", "ftp://example.org/x{example.org}|" },
	{ "http://user:pw@example.org:8080/x?y#z",
	    "http://user:pw@example.org:8080/x?y#z{example.org}|" },
	{ "http://good.example@evil.example/",
	    "http://good.example@evil.example/{evil.example}|" },
	{ "http://2130706433/", "http://127.0.0.1/{127.0.0.1}|" },
	{ "http://0x7f.1/", "http://127.0.0.1/{127.0.0.1}|" },
	{ "http://0300.0250.0.1/", "http://192.168.0.1/{192.168.0.1}|" },
	{ "http://[2001:db8::1]:80/", "http://[2001:db8::1]:80/"
	    "{[2001:db8::1]}|" },
	{ "http://b\xc3\xbc" "cher.example/", "http://xn--bcher-kva.example/"
	    "{xn--bcher-kva.example}|" },
	{ "http://ex\xef\xbd\x81mple\xe3\x80\x82org/", "http://example.org/"
	    "{example.org}|" },
	{ "http://example.org./", "http://example.org/{example.org}|" },
	{ "http://%65xample.org/%41", "http://example.org/%41{example.org}|" },
	{ "http://a_b.example/", "http://a_b.example/{a_b.example}|" },
	{ "http://", "" },
	{ "http:///", "" },
	{ "", "" },
};

static const struct {
	const char	*in, *want;
} htmls[] = {
	{ "<a href=\"http://example.org/\">x</a>",
	    "http://example.org/{example.org}|" },
	{ "<A HREF='http://example.org/'>", "http://example.org/"
	    "{example.org}|" },
	{ "<a class=x href=http://example.org/ >", "http://example.org/"
	    "{example.org}|" },
	{ "<a\nhref\n=\n\"http://example.org/\"\n>", "http://example.org/"
	    "{example.org}|" },
	{ "<a/href=http://example.org/x>", "http://example.org/x"
	    "{example.org}|" },
	{ "<a href=\"ht\ntp://exa\tmple.org/\">", "http://example.org/"
	    "{example.org}|" },
	{ "<a href=\" \001http:\\\\example.org\\x\">",
	    "http://example.org/x{example.org}|" },
	{ "<a href=\"http:example.org\">", "http://example.org{example.org}|" },
	{ "<a href=\"//example.org/x\">", "https://example.org/x"
	    "{example.org}|" },
	{ "<a href=\"&#104;ttp&colon;//ex&#x61;mple.org/?a&amp;b\">",
	    "http://example.org/?a&b{example.org}|" },
	{ "<a href=\"h&#116tp://example.org\">", "http://example.org"
	    "{example.org}|" },
	{ "<a href=\"/x\"><a href=\"#x\"><a href=x.html><a href>", "" },
	{ "<a href=\"javascript:x()\"><a href=mailto:a@b>",
	    "javascript:x(){}|mailto:a@b{}|" },
	{ "<img src=http://a.example/1><form action=http://b.example>",
	    "http://a.example/1{a.example}|http://b.example{b.example}|" },
	{ "<meta http-equiv=refresh content=\"0; url='http://example.org/'\">",
	    "http://example.org/'{example.org}|" },
	{ "<p>see http://example.org/ &amp; www.example.com</p>",
	    "http://example.org/{example.org}|"
	    "http://www.example.com{www.example.com}|" },
	{ "<!-- <a href=http://a.example> --><a href=http://b.example>",
	    "http://b.example{b.example}|" },
	{ "<!-- <a href=http://a.example>", "http://a.example{a.example}|" },
	{ "<a href=\"http://a.example><a href=http://b.example>",
	    "http://a.example{a.example}|http://b.example{b.example}|" },
	{ "a < b <a href=http://a.example", "http://a.example{a.example}|" },
	{ "<p title=\"<a href=http://a.example>\">", "" },
	{ "<", "" }, { "<a", "" }, { "<a href=", "" }, { "<!--", "" },
	{ "<a href=\"", "" },
};

static const struct {
	const char	*host, *want;
} domains[] = {
	{ "www.example.org", "example.org" },
	{ "example.org", "example.org" },
	{ "mail.a.example.co.uk", "example.co.uk" },
	{ "co.uk", "" },
	{ "192.0.2.1", "" },
	{ "[2001:db8::1]", "" },
	{ "", "" },
};

static bool
add(void *arg, const struct link *link)
{
	buf_addf(arg, "%.*s{%.*s}|", (int)link->url.len, link->url.p,
	    (int)link->host.len, link->host.p);
	return true;
}

static bool
only_one(void *arg, const struct link *link)
{
	add(arg, link);
	return false;
}

/* Inputs have line breaks, names of checks must not. */
static const char *
in_a_line(const char *s)
{
	static char line[200];
	size_t i;

	for (i = 0; i + 1 < sizeof(line) && s[i] != '\0'; i++)
		line[i] = (unsigned char)s[i] < ' ' || s[i] == '#' ? '?' :
		    s[i];
	line[i] = '\0';
	return line;
}

int
main(void)
{
	struct slice domain;
	struct buf out;
	char name[100];
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		buf_init(&out, 1000);
		links_in_text(SLICE_STR(texts[i].in), add, &out);
		is_str(out.p, texts[i].want, in_a_line(texts[i].in));
		buf_fini(&out);
	}
	for (i = 0; i < sizeof(htmls) / sizeof(htmls[0]); i++) {
		buf_init(&out, 1000);
		links_in_html(SLICE_STR(htmls[i].in), add, &out);
		is_str(out.p, htmls[i].want, in_a_line(htmls[i].in));
		buf_fini(&out);
	}
	buf_init(&out, 1000);
	links_in_text(SLICE_STR("www.a www.b"), only_one, &out);
	links_in_html(SLICE_STR("<a href=http:c> www.d"), only_one, &out);
	is_str(out.p, "http://www.a{www.a}|http://c{c}|", "enough is enough");
	buf_fini(&out);
	for (i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		domain = link_domain(SLICE_STR(domains[i].host));
		snprintf(name, sizeof(name), "%.*s", (int)domain.len,
		    domain.p);
		is_str(name, domains[i].want, domains[i].host);
	}
	return tap_done();
}
