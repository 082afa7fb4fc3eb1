#!/usr/bin/perl
# Rules see the parts of a message as mail clients show them, and "vratar test"
# sees what "vratar serve" sees.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use File::Temp;
use IO::Compress::Gzip ();
use IO::Compress::Zip ();
use MIME::Base64;
use Test::More;
use Backend;
use Proxy;
use Run;

my $tmp = File::Temp->newdir;
$ENV{TMPDIR} = "$tmp";

my $mta = Backend->start;

# A proxy with this policy file.
sub serve
{
	my ($file) = @_;
	my $p = Proxy->start(backend => $mta->address,
	    listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n");

	return { proxy => $p, file => $file };
}

sub write_file
{
	my ($text, $suffix) = @_;
	my $file = File::Temp->new(SUFFIX => $suffix, DIR => "$tmp");

	binmode $file;
	print $file $text;
	close $file;
	return $file;
}

# The reply to a message: of the daemon, which must be that of "test".
sub reply
{
	my ($s, $message, $name) = @_;
	my $c = $s->{proxy}->client;

	$c->hello;
	$message =~ s/\r?\n/\r\n/g;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'DATA');
	$c->expect(qr/^250/) for 1 .. 2;
	$c->expect(qr/^354/);
	$c->octets(Client::stuff($message));
	my $served = ($c->reply)[1];
	$c->close;
	my $file = write_file($message, '.eml');
	my ($status, $out) = Run::run($Proxy::PROGRAM, 'test', '--policy', "$s->{file}",
	    '--client', '127.0.0.1', '--helo', 'c.example', '--from',
	    'a@example.org', '--rcpt', 'b@example.com', "$file");
	my ($tested) = $out =~ /^DATA (.*)$/m;
	is($tested =~ s/^250 .*/250/r, $served =~ s/^250 .*/250/r,
	    "$name: test says so, too");
	return $served;
}

sub zip
{
	my (@files) = @_;
	my ($out, $z) = ('');

	while (my ($name, $content) = splice @files, 0, 2) {
		$z ? $z->newStream(Name => $name) :
		    ($z = IO::Compress::Zip->new(\$out, Name => $name));
		$z->print($content);
	}
	$z->close;
	return $out;
}

# The same with the bit that says "encrypted" set in each header.
sub encrypted
{
	my ($zip) = @_;

	$zip =~ s/(PK\003\004..)(.)/$1 . chr(ord($2) | 1)/sge;
	$zip =~ s/(PK\001\002....)(.)/$1 . chr(ord($2) | 1)/sge;
	return $zip;
}

sub gzip
{
	my ($in) = @_;
	my $out;

	IO::Compress::Gzip::gzip(\$in => \$out);
	return $out;
}

sub part
{
	my ($header, $content) = @_;
	return "--=_b\n$header\n\n$content\n";
}

sub mixed
{
	return "Subject: x\nMIME-Version: 1.0\n" .
	    "Content-Type: multipart/mixed;\n boundary=\"=_b\"\n\n" .
	    part('Content-Type: text/plain', 'hello') . join('', @_) .
	    "--=_b--\n";
}

# What does not get smaller; archives of it are listed by a thread.
srand 1;
my $noise = join '', map { chr int rand 256 } 1 .. 200_000;

sub tar
{
	my (@files) = @_;
	my $out = '';

	while (my ($name, $content) = splice @files, 0, 2) {
		my $head = pack 'a100a8a8a8a12a12A8a1a100a6a2', $name,
		    '0000644', '0000000', '0000000',
		    sprintf('%011o', length $content), '00000000000', '', '0',
		    '', "ustar\0", '00';
		$head .= "\0" x (512 - length $head);
		substr $head, 148, 8, sprintf "%06o\0 ", unpack '%32C*', $head;
		$out .= $head . $content . "\0" x (-length($content) % 512);
	}
	return $out . "\0" x 1024;
}

my $octets = "Content-Type: application/octet-stream";
my $base64 = "Content-Transfer-Encoding: base64";
my $program = "MZ" . "\220\0\3\0\0\0\4\0" . "\0" x 50 .
    "\x40\0\0\0PE\0\0\x4c\1" . "\0" x 100;

sub attached
{
	my ($disposition, $content) = @_;
	return mixed(part("$octets\n$base64\nContent-Disposition: $disposition",
	    encode_base64($content, "\n")));
}

my $example = serve('contrib/examples/attachments.rules');
my $eicar = 'X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*';
my $no_programs = qr/^554 5\.7\.1 no programs, please$/;
my $whatever = qr/^554 5\.7\.1 no programs, whatever they are called$/;
my @cases = (
	['a text', "Subject: x\n\nhello\n", qr/^250/],
	['a picture', attached('attachment; filename=a.png', "\x89PNG\r\n\x1a\n"), qr/^250/],
	['a zip of texts', attached('attachment; filename=a.zip', zip('a.txt', 'x')), qr/^250/],
	['a program', attached('attachment; filename=setup.exe', 'x'), $no_programs],
	['… in capitals', attached('attachment; filename=SETUP.EXE', 'x'), $no_programs],
	['… renamed', attached('attachment; filename=report.txt', $program), $whatever],
	['… without a name', attached('attachment', $program), $whatever],
	['… in a zip', attached('attachment; filename=a.zip', zip('a.txt', 'x', 'b/c.scr', 'x')), $no_programs],
	['… in a zip in a zip', attached('attachment; filename=a.dat', zip('b.zip', zip('c.exe', 'x'))), $no_programs],
	['… in a zip that gzip packed', attached('attachment; filename=a.gz', gzip(zip('c.exe', 'x'))), $no_programs],
	['… in base64 without padding', mixed(part("$octets; name=a.zip\n$base64",
	    encode_base64(zip('c.exe', 'xx'), '') =~ s/=+$//r)), $no_programs],
	['… in base64 with garbage', mixed(part("$octets; name=a.zip\n$base64",
	    encode_base64(zip('c.exe', 'x'), '') =~ s/(.{7})/$1!\n /gr)), $no_programs],
	['… with a name of RFC 2231', attached("attachment;\n filename*0*=utf-8''se%74;\n filename*1=\"up.\";\n filename*2=exe", 'x'), $no_programs],
	['… with a name of RFC 2047', attached('attachment; filename="=?utf-8?B?c2V0dXAuZXhl?="', 'x'), $no_programs],
	['… with two names', attached('attachment; filename=a.txt; filename=setup.exe', 'x'), $no_programs],
	['… with a dot behind it', attached('attachment; filename="setup.exe. "', 'x'), $no_programs],
	['… with name= only', mixed(part("$octets; name=\"setup.exe\"", 'x')), $no_programs],
	['… in a message', mixed(part('Content-Type: message/rfc822', attached('attachment; filename=setup.exe', 'x'))), $no_programs],
	['… in a message in base64', mixed(part("Content-Type: message/rfc822\n$base64",
	    encode_base64(attached('attachment; filename=setup.exe', 'x'), "\n"))), $no_programs],
	['… uuencoded', "Subject: x\n\nbegin 644 setup.exe\n" . pack('u', 'hello') . "`\nend\n", $no_programs],
	['… in a multipart without an end', attached('attachment; filename=setup.exe', 'x') =~ s/--=_b--\n//r, $no_programs],
	['… behind the end', attached('x', 'x') . part("$octets; name=setup.exe", 'x'), $no_programs],
	['… as the message', "$octets; name=setup.exe\n$base64\n\naGVsbG8=\n", $no_programs],
	['… in a large zip', attached('attachment; filename=a.zip', zip('a.dat', $noise, 'c.exe', 'x')), $no_programs],
	['… behind much that gzip packed', attached('attachment; filename=a.tgz', gzip(tar('a.dat', $noise, 'c.exe', 'x'))), $no_programs],
	['a large one without', attached('attachment; filename=a.zip', zip('a.dat', $noise)), qr/^250/],
	['encrypted', attached('attachment; filename=a.zip', encrypted(zip('a.txt', 'x'))), qr/no encrypted archives/],
	['a broken one', attached('attachment; filename=a.zip', substr(zip('a.txt', 'x' x 1000), 0, 60)), qr/cannot be read/],
	['too deep', attached('attachment; filename=a.zip', zip('a.zip', zip('a.zip', zip('a.zip', zip('a.txt', 'x'))))), qr/an archive too deep/],
	['known by its digest', attached('attachment; filename=a.txt', $eicar), qr/this file is known/],
	['many parts', mixed(map { part('A: b', 'x') } 1 .. 1100), qr/^554 5\.6\.0 too many parts/],
	['many small oddities', "From: a\@b, c\@d\nDate: Mon, 1 Jan 2096 00:00:00 +0000\n" .
	    "Content-Type: text/html\n\n<a href=http://3221226219/>x</a>\n", qr/looks dangerous \(6\)/],
);
my ($digest) = slurp('contrib/examples/attachments.rules') =~ /"([0-9a-f]{64})"/;
is($digest, sha256_hex($eicar), 'the example names the test file of EICAR');
for my $case (@cases) {
	my ($name, $message, $like) = @$case;
	like(reply($example, $message, $name), $like, $name);
}

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# What a value is worth: the policy answers with it.
sub value
{
	my ($expression, $message) = @_;
	my $file = write_file("at eom\n    reject 554 5.7.1 \"<%{$expression}>\"\n",
	    '.rules');
	my $got = reply(serve($file), $message, $expression);

	return $got =~ s/^554 5\.7\.1 //r;
}

my $letter = <<"END";
From: "Joe" <joe\@example.org>, team: ann\@example.net;
To: b\@example.com
Date: Thu, 1 Jan 1970 00:00:00 +0000
Subject: =?utf-8?Q?Hello=2C?= =?utf-8?Q?_world?=
Content-Type: multipart/mixed; boundary="=_b"

--=_b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

see http://www.example.co.uk/x=
y
--=_b
Content-Type: text/html

<a href="https:\\\\Evil.Example\@192.0.2.9/">y</a>
--=_b
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="b.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--=_b--
END

for my $row (
	['header("Subject")', 'Hello, world'],
	['addresses("From")', 'joe@example.org, ann@example.net'],
	['count(addresses("To"))', '1'],
	['part.type', 'multipart/mixed, text/plain, text/html, application/pdf'],
	['part.disposition', ', , , attachment'],
	['part.filename', 'a.pdf, b.pdf'],
	['part.size', '31, 47, 9'],
	['part.magic', 'text/plain, text/html, application/pdf'],
	['part.is_encrypted', 'no'],
	['count(part.sha256)', '3'],
	['mime.errors', ''],
	['body', 'see http://www.example.co.uk/xy?'],
	['html', '<a href="https:\\\\Evil.Example@192.0.2.9/">y</a>?'],
	['length(raw_body)', length($letter =~ s/\n/\r\n/gr =~ s/\A.*?\r\n\r\n//sr)],
	['length(full)', length($letter =~ s/\n/\r\n/gr)],
	['links', 'http://www.example.co.uk/xy, https://Evil.Example@192.0.2.9/'],
	['link.host', 'www.example.co.uk, 192.0.2.9'],
	['link.domain', 'example.co.uk'],
) {
	my ($expression, $want) = @$row;
	is(value($expression, $letter), "<$want>", $expression);
}

# Conditions on the new kinds of values.
my $conditions = serve(write_file(<<'END', '.rules'));
at eom
    reject 554 5.7.1 "large" if any part.size > 1K
    reject 554 5.7.1 "none" if all part.size = 0
    reject 554 5.7.1 "old" if age("Date") > 1d
    reject 554 5.7.1 "from a domain" if any domain(addresses("From")) is "bad.example"
    reject 554 5.7.1 "odd" if "no-end" in mime.errors
    reject 554 5.7.1 "words" if body ~ /free\s+money/i
END
for my $row (
	['a large part', "A: b\n\n" . 'x' x 2000, qr/large/],
	['no content', "A: b\n\n", qr/none/],
	['an old date', "Date: 1 Jan 2001 00:00:00 +0000\n\nx\n", qr/old/],
	['a bad date', "Date: yesterday\n\nx\n", qr/^250/],
	['an address', "From: x <a\@BAD.example>\n\nx\n", qr/from a domain/],
	['an error', mixed() =~ s/--=_b--\n//r, qr/odd/],
	['words in base64', "$base64\n\n" . encode_base64("FREE\nmoney"), qr/words/],
	['nothing of that', "A: b\n\nx\n", qr/^250/],
) {
	my ($name, $message, $like) = @$row;
	like(reply($conditions, $message, $name), $like, $name);
}

# The octets as they came, whatever is found in them.
for my $row (
	['a space before a colon', "To   : x\n\ny\n", 'full ~ /^To   : x\r\n\r\ny\r\n$/'],
	['a mailbox line', "From a\@b Mon\nTo: x\n\ny\n", 'full ~ /^From a@b Mon\r\nTo: x\r\n\r\ny\r\n$/'],
	['no message', '', 'full is "" and raw_body is ""'],
	['only a header', "To: x\n", 'full ~ /^To: x\r\n$/ and raw_body is ""'],
	['no empty line', "To: x\nno field\n", 'full ~ /^To: x\r\nno field\r\n$/ and raw_body ~ /^no field\r\n$/'],
	['only a body', "\n.\n\n y\n", 'full ~ /^\r\n\.\r\n\r\n y\r\n$/ and raw_body ~ /^\.\r\n\r\n y\r\n$/'],
	['an empty body', "To: x\n\n", 'full ~ /^To: x\r\n\r\n$/ and raw_body is ""'],
) {
	my ($name, $message, $condition) = @$row;
	my $s = serve(write_file("at eom\n    reject 554 5.7.1 \"yes\" if "
	    . "$condition\n", '.rules'));
	like(reply($s, $message, $name), qr/yes/, $name);
}

# A message that breaks off leaves nothing behind.
my $c = $conditions->{proxy}->client;
$c->hello;
$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'DATA');
$c->expect(qr/^250/) for 1 .. 2;
$c->expect(qr/^354/);
$c->octets(mixed() =~ s/\n/\r\n/gr);
$c->close;
like(reply($conditions, "A: b\n\nx\n", 'after one that broke off'), qr/^250/,
    'after one that broke off');

# A client that goes while a thread looks through its archive.
for my $n (1 .. 6) {
	my $gone = $example->{proxy}->client;
	$gone->hello;
	$gone->envelope('a@example.org', 'b@example.com');
	$gone->message(attached('attachment; filename=a.tgz',
	    gzip(tar('a.dat', $noise x 20))) =~ s/\r?\n/\r\n/gr);
	$n % 2 ? $gone->close : $gone->reset;
}
like(reply($example, "A: b\n\nx\n", 'after clients that went'), qr/^250/,
    'after clients that went');
done_testing;
