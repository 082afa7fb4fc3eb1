#!/usr/bin/perl
# header_checks and body_checks look at the same lines of a message as with
# Postfix, whose cleanup is asked here, too.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Client;
use Postfix;
use Proxy;
use Socketmap;

my @asked;
my $maps = Socketmap->start(sub {
	push @asked, [@_];
	return 'NOTFOUND ';
});
my $inet = 'socketmap:inet:' . $maps->address;
my $postfix = Postfix->start(main => {
	header_checks => "$inet:header",
	mime_header_checks => "$inet:mime",
	nested_header_checks => "$inet:nested",
	body_checks => "$inet:body",
	relay_domains => 'elsewhere.example',
}) or plan skip_all => $Postfix::why;

my $policy = File::Temp->new(SUFFIX => '.rules');
print $policy <<"END";
at header
    use header_checks "$inet:header"
    use mime_header_checks "$inet:mime"
    use nested_header_checks "$inet:nested"
at body
    use body_checks "$inet:body"
END
close $policy;
my $mta = Backend->start;
# Behind a mailbox line a message travels by DATA, long lines and all.
my $proxy = Proxy->start(backend => $mta->address,
    set => { 'text-line-limit' => '1M' }, listen => { chain => ['policy'] },
    extra => "filter \"policy\" { type = \"policy\" file = \"$policy\" }\n");

# What was looked up for this message, and the reply; the same question is
# asked once, because vratar remembers the answers of a session.
sub lookups
{
	my ($port, $message) = @_;
	my $c = Client->connect(port => $port);
	my %seen;

	$c->reply;
	$c->send('EHLO client.example');
	$c->reply;
	$c->envelope_quietly('a@example.org', 'b@elsewhere.example');
	@asked = ();
	$c->send('DATA');
	$c->reply;
	$c->octets(Client::stuff($message));
	my ($code, $text) = $c->reply;
	$c->close;
	# Postfix has put a field on top, of its own. We ask a socket for text,
	# and not for the longest headers; tables of patterns have no such limit.
	return ($code, grep { !/^\w+ Received: from client/ && !$seen{$_}++ &&
	    length $_ <= 4096 && utf8::decode(my $copy = $_) }
	    map { "$_->[0] $_->[1]" } @asked);
}

sub shown
{
	my ($text) = @_;

	$text =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
	return length $text > 70 ? substr($text, 0, 60) . '...' .
	    length $text : $text;
}

sub compare
{
	my ($name, $message) = @_;
	my ($theirs, @theirs) = lookups($postfix->port, $message);
	my ($ours, @ours) = lookups($proxy->port, $message);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# What a backend says to a NUL is another matter.
	is($ours, $theirs, "$name: the reply") unless $message =~ /\0/;
	is_deeply([map { shown($_) } @ours], [map { shown($_) } @theirs],
	    "$name: " . @theirs . ' lookups');
}

my $mixed = "Content-Type: multipart/mixed; boundary=x\r\n";
my $rfc822 = "Content-Type: message/rfc822\r\n";

sub nested
{
	my ($n) = @_;

	return join('', map { "Content-Type: multipart/mixed; boundary=b$_-" .
	    "\r\n\r\n--b$_-\r\n" } 1 .. $n) . "A: b\r\n\r\nend\r\n";
}

my @messages = (
	'a message' => "From: a\@b\r\nSubject: c\r\n\r\nd\r\n\r\ne\r\n",
	'MIME headers' => join("\r\n", map { "$_: x" } qw(Mime-Version
	    Content-Id Content-Type Content-Foo CONTENT-DISPOSITION
	    Content-Description Content-Transfer-Encoding Content-Length
	    Content-Location Subject Bcc)) . "\r\n\r\nx\r\n",
	'folding' => "Subject \t: a\r\n  b\r\n\tc\r\nB: \t b \r\nC:\r\n x\r\n" .
	    "D:e\r\n\r\nx\r\n",
	'blank continuation' => "A:\r\n \r\n \t\r\nB:\r\n\r\nx\r\n",
	'mailbox lines' => "From x\r\n>From y\r\nA: b\r\n>From z\r\nC: d\r\n",
	'a mailbox line, then a space' => "From x\r\n a\r\nB: c\r\n",
	'a mailbox line, then nothing' => "From x\r\n\r\nB: c\r\n",
	'a long mailbox line' => 'From ' . 'a' x 2043 . "From b: c\r\nD: e\r\n",
	'a space first' => " a\r\nB: c\r\n",
	'a tab first' => "\ta: b\r\nB: c\r\n",
	'no header' => "\r\nB: c\r\n",
	'only a header' => "B: c\r\n",
	'no empty line' => "A: b\r\nnone\r\nC: d\r\n\r\nE: f\r\n",
	'a colon first' => "A: b\r\n: c\r\nD: e\r\n",
	'a space in a name' => "A b: c\r\nD: e\r\n",
	'8 bit' => "A: \xe9\r\n \xff\r\nB\xc3\xa9: c\r\nD: e\r\n\r\n\xfe\r\n",
	'a control in a name' => "A: b\r\nC\x01: d\r\nE: f\r\n",
	'DEL in a name' => "A: b\r\nC\x7f: d\r\nE: f\r\n",
	'signs in a name' => "A!#\$%(),;<>@[]\"\\: b\r\n\r\nx\r\n",
	'dots' => "A: b\r\n\r\n.\r\n..\r\n.c\r\n...d\r\n",
	'a dot first' => ".a: b\r\n.\r\n",
	'a multipart' => "$mixed\r\npre\r\n--x\r\nA: b\r\n\r\nC: d\r\n--x\r\n" .
	    "none\r\nE: f\r\n--xyz\r\n\r\ng\r\n--x--\r\nH: i\r\n--x\r\nJ: k\r\n",
	'boundary, no empty line' => "$mixed--x\r\nA: b\r\n--x\r\n--x\r\n" .
	    "C: d\r\n--x--y\r\nE: f\r\n",
	'not quite boundaries' => "$mixed\r\n --x\r\nA: b\r\n--X\r\nC: d\r\n" .
	    "-- x\r\nE: f\r\n---x\r\nG: h\r\n-x\r\nI: j\r\n",
	'trailing space' => "$mixed\r\n--x \t\r\nA: b\r\n\r\n--x-\r\nC: d\r\n",
	'a boundary in a folded line' => "$mixed\r\n--x\r\nA: b\r\n --x\r\nc\r\n",
	'a part that starts with a space' => "$mixed\r\n--x\r\n\tA: b\r\nC: d\r\n",
	'a longer inner boundary' => "$mixed\r\n--x\r\nContent-Type: " .
	    "multipart/mixed; boundary=xy\r\n\r\n--xy\r\nA: b\r\n\r\n--xy--\r\n" .
	    "c: d\r\n--x\r\nE: f\r\n\r\n--xy\r\nG: h\r\n",
	'the same inner boundary' => "$mixed\r\n--x\r\n$mixed\r\n--x\r\n" .
	    "A: b\r\n\r\n--x--\r\nc: d\r\n--x\r\nE: f\r\n\r\n--x--\r\n--x\r\n" .
	    "G: h\r\n",
	'the outer boundary inside' => "$mixed\r\n--x\r\nContent-Type: " .
	    "multipart/mixed; boundary=y\r\n\r\n--y\r\nA: b\r\n\r\n--x\r\n" .
	    "C: d\r\n\r\n--y\r\nE: f\r\n",
	'two boundaries' => "Content-Type: multipart/mixed; boundary=x; " .
	    "boundary=y\r\n\r\n--x\r\nA: b\r\n\r\n--y\r\nC: d\r\n",
	'two types' => "$mixed" . "Content-Type: text/plain\r\n\r\n--x\r\nA: b\r\n",
	'an empty boundary' => "Content-Type: multipart/mixed; boundary=\"\"" .
	    "\r\n\r\n--\r\nA: b\r\n\r\n--foo\r\nC: d\r\n\r\n----\r\nE: f\r\n",
	'an attached message' => "$mixed\r\n--x\r\n$rfc822\r\nA: b\r\nContent-" .
	    "Type: text/plain\r\n\r\nC: d\r\n--x\r\nE: f\r\n",
	'a message in a message' => "$rfc822\r\nA: b\r\n$rfc822\r\nC: d\r\n\r\ne\r\n",
	'a message without an empty line' => "${rfc822}none\r\nA: b\r\n",
	'a message without a header' => "$rfc822\r\n\r\nA: b\r\n",
	'a message, a space first' => "$rfc822\r\n a\r\nB: c\r\n",
	'a message from a mailbox' => "$rfc822\r\nFrom x\r\nB: c\r\n",
	'an encoded message' => "${rfc822}Content-Transfer-Encoding: base64\r\n" .
	    "\r\nA: b\r\n",
	'a digest' => "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n" .
	    "A: b\r\n\r\nC: d\r\n\r\ne\r\n--x\r\n\r\nF: g\r\n--x\r\nContent-Type:" .
	    " text/plain\r\n\r\nH: i\r\n--x\r\nContent-Type: image/gif\r\n\r\n" .
	    "J: k\r\n--x\r\nContent-Type:\r\n\r\nL: m\r\n--x\r\n$mixed\r\nN: o\r\n",
	(map { ("type $_" => "Content-Type: $_\r\n\r\nA: b\r\n") }
	    'message/global', 'Message/RFC822', 'message / rfc822 ; x',
	    '(c) message(d)/(e)rfc822', '"message"/rfc822', 'message/"rfc822"',
	    'message', 'message/partial; id=x', 'message/external-body',
	    'message/delivery-status', 'text/rfc822-headers'),
	(map { ("boundary: $_" => "Content-Type: multipart/mixed$_\r\n\r\n" .
	    join '', map { "--$_\r\nA: $_\r\n\r\n" } 'x', 'y', 'a b', '"',
	    '/', '=', 'a.b', 'a') }
	    ';boundary="x', '; boundary=(c)x', ' boundary=x', '; a; boundary=x',
	    '; a=b c=d boundary=x', ';;BOUNDARY = x', '; boundary="\\x"',
	    '; boundary*=x', '; boundary*0=x', ";\r\n\tboundary=\r\n x",
	    "; boundary=\"a\r\n b\"", '; a="boundary=y; boundary=x',
	    '; boundary=a.b', '; boundary=[x]', '; boundary==', '; boundary:x',
	    '; boundary=/x', '; boundary="', '; (open boundary=x',
	    '; (a\\) boundary=x) boundary=y', '; "boundary"=x', '/mixed;boundary=x',
	    '; a b c d "; boundary=y"; boundary=x', ', boundary=x',
	    '; boundary=x@y', "; boundary=x\x01y", '; boundary = "x" "y"'),
	'long lines' => 'Subject: ' . 'a' x 3000 . "\r\nX" . 'b' x 2046 .
	    ": c\r\n\r\n" . join("\r\n", map { 'd' x $_ } 2047 .. 2049, 4096,
	    6000) . "\r\n" . join("\r\n", map { '.' . 'e' x $_ } 2045 .. 2049,
	    4094 .. 4096) . "\r\n",
	'a name without its colon' => "A: b\r\nX" . 'b' x 2047 . ": c\r\nD: e\r\n",
	'a long boundary line' => "$mixed\r\n--x" . 'q' x 2045 . "A: b\r\nC: d\r\n" .
	    "\r\n" . 'q' x 2048 . "--x\r\nE: f\r\n--x" . 'q' x 2045 . " G: h\r\n",
	'boundaries of 2046 octets and more' => join('', map {
	    'Content-Type: multipart/mixed; boundary=' . 'q' x $_ . "\r\n" }
	    2045 .. 2047) . "\r\n--" . 'q' x 2045 . "\r\nA: b\r\n\r\n--" .
	    'q' x 2046 . "\r\nC: d\r\n",
	'a header of 200000 octets' => "A: b\r\n " . 'c' x 200000 .
	    "\r\nD: e\r\n\r\nf\r\n",
	'a header of many lines' => "A: b\r\n" . (' ' . 'c' x 900 . "\r\n") x 200 .
	    "D: e\r\n\r\nf\r\n",
	'more body than is looked at' => "A: b\r\n\r\n" . join('', map {
	    "line $_ " . 'c' x 900 . "\r\n" } 1 .. 70),
	'more of a part' => "$mixed\r\n" . join('', map { "line $_ " .
	    'c' x 900 . "\r\n" } 1 .. 70) . "--x\r\nA: b\r\n\r\n" . join('', map {
	    "more $_ " . 'c' x 900 . "\r\n" } 1 .. 70) . "--x--\r\n" . join('',
	    map { "last $_ " . 'c' x 900 . "\r\n" } 1 .. 70),
	'nested as deep as it goes' => nested(102),
	'nested too deep' => nested(103),
	'messages nested deep' => $rfc822 . "\r\n$rfc822" x 150 . "\r\nA: b\r\n",
);

while (my ($name, $message) = splice @messages, 0, 2) {
	compare($name, $message);
}
done_testing;
