#!/usr/bin/perl
# header_checks and body_checks do to a message what they do in Postfix: one
# Postfix applies the tables itself, another stands behind us, and what they
# answer and deliver is the same.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Client;
use Postfix;
use Proxy;

Postfix::possible() or plan skip_all => $Postfix::why;
-e '/usr/lib/postfix/postfix-pcre.so' or
    plan skip_all => 'Postfix has no pcre tables';

my %tables = (
	header => <<'END',
/^Received: from client/ DUNNO
/^Subject: no (.*)/ REJECT not $1 here
/^Subject: later/ REJECT 4.7.1 come back
/^Subject: two/ REJECT 2.0.0 this is no refusal
/^Subject: plain/ REJECT
/^Subject: coded/ REJECT  5.6.1   two  spaces
/^Subject: away/ DISCARD gone
/^Subject: number/ 550 5.7.1 no such action
/^Subject: to (\S+)/ REDIRECT $1@example.com
/^Subject: nowhere/ REDIRECT nowhere
/^Subject: copy/ BCC bob@example.com
/^Subject: pass/ PASS
/^X-Drop:/ IGNORE
/^X-Strip:/ STRIP because
/^X-Name: (.*)/s REPLACE X-New-Name: $1
/^X-Same: (.*)/ REPLACE X-Same:$1
/^X-Fold: (\S+)\s+(\S+)/ REPLACE X-Unfold: $1$2
/^X-Break: ([^\n]*)(\n)\s*(.*)/s REPLACE X-Broken: $1$2$3
/^X-Bad:/ REPLACE no header
/^X-Empty:/ REPLACE
/^X-Front: (.*)/ PREPEND X-Before: $1
/^X-Eight:/ REPLACE X-Eight: é
/^X-Mailbox-Line: From (?:bad|old)/ IGNORE
/^X-Mailbox-Line: .?From (new.*)/ REPLACE X-Came-From: $1
/^Content-Type:/ REJECT mime_header_checks are for this
END
	mime => <<'END',
/name="?(.*\.exe)/ REJECT no $1 please
/^X-Part: (.*)/ PREPEND X-Part-Was: $1
/^Content-Description:/ IGNORE
/^Content-Type: (image.*)/s REPLACE Content-Type: application/x-$1
END
	nested => <<'END',
/^Subject: (.*)/ PREPEND X-Inner: $1
/^X-Drop:/ IGNORE
/^To:/ REJECT nested to
END
	body => <<'END',
/^bad/ REJECT bad line
/^secret (.*)/ REPLACE [$1 removed]
/^drop/ IGNORE
/^strip/ STRIP
/^front (.*)/ PREPEND before $1
/^header: (.*)/ REPLACE X-From-Body: $1
/^dot/ REPLACE .
/^blank/ REPLACE  x
/^-- ?$/ PREPEND X-body: sig
/^empty/ REPLACE
/^A{2048}$/ REPLACE piece
/^C{2048}$/ IGNORE
/^D{2048}$/ PREPEND d
/^tail/ IGNORE
/^8 / REPLACE é
/^--kill/ IGNORE
/^send/ REDIRECT bob@example.com
END
);

my $dir = File::Temp->newdir;
chmod 0755, $dir;
for my $name (keys %tables) {
	open my $out, '>', "$dir/$name" or die "$name: $!";
	print $out $tables{$name};
	close $out;
}
open my $policy, '>', "$dir/policy.rules" or die "policy: $!";
print $policy <<"END";
at header
    use header_checks "pcre:$dir/header"
    use mime_header_checks "pcre:$dir/mime"
    use nested_header_checks "pcre:$dir/nested"
at body
    use body_checks "pcre:$dir/body"
END
close $policy;

my $judge = Postfix->start(main => {
	header_checks => "pcre:$dir/header",
	mime_header_checks => "pcre:$dir/mime",
	nested_header_checks => "pcre:$dir/nested",
	body_checks => "pcre:$dir/body",
});
my $behind = Postfix->start;

sub proxy
{
	my ($backend) = @_;

	return Proxy->start(backend => $backend->address,
	    listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" " .
	    "file = \"$dir/policy.rules\" }\n");
}

my $proxy = proxy($behind);

# What is in a message but for what each Postfix adds by itself.
sub without_traces
{
	my ($mail) = @_;

	$mail =~ s/^(?:(?:Return-Path|X-Original-To|Delivered-To|Received): .*\n(?:[ \t].*\n)*)+//;
	$mail =~ s/^(Message-Id: <)\d{14}\.\w+\@/$1/m;
	$mail =~ s/^(Date: ).* \(UTC\)$/$1/m;
	return $mail;
}

my %had;

sub new_mail
{
	my ($postfix) = @_;
	my %mail;

	for my $file (glob "$postfix->{dir}/mail/*/new/*") {
		next if $had{$file}++;
		open my $in, '<:raw', $file or die "$file: $!";
		local $/;
		$file =~ m{([^/]+)/new/};
		push @{$mail{$1}}, without_traces(scalar <$in>);
	}
	return \%mail;
}

sub outcome
{
	my ($postfix, $port, $message, $bdat) = @_;
	my $c = Client->connect(port => $port);

	$c->reply;
	$c->send('EHLO client.example');
	$c->reply;
	$c->envelope_quietly('a@example.org', 'alice@example.com') or die;
	if ($bdat) {
		$c->bdat($message, 1);
	} else {
		$c->send('DATA');
		$c->reply;
		$c->octets(Client::stuff($message));
	}
	my ($code, $text) = $c->reply;
	$c->close;
	$postfix->log_like(qr/$1: (?:removed|discard)/, 'it is done')
	    if $code == 250 && $text =~ /queued as (\w+)/;
	return { code => $code, text => $code == 250 ? '' : $text,
	    mail => new_mail($postfix) };
}

sub compare
{
	my ($name, $message, $bdat) = @_;
	my $theirs = outcome($judge, $judge->port, $message, $bdat);
	my $ours = outcome($behind, $proxy->port, $message, $bdat);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply($ours, $theirs, $name . ($bdat ? ', BDAT' : '')) or
	    diag(explain($ours), explain($theirs));
}

my $mixed = "Content-Type: multipart/mixed; boundary=x\r\n";
my $from = "From: a\@example.org\r\n";

sub header { return $from . join('', map { "$_\r\n" } @_) . "\r\nbody\r\n"; }
sub body   { return $from . "\r\n" . join('', map { "$_\r\n" } @_); }

my @messages = (
	'nothing to do' => header('Subject: hello'),
	(map { ("Subject: $_" => header('X-A: b', "Subject: $_", 'X-Drop: c')) }
	    'no money', 'later', 'two', 'plain', 'coded', 'away', 'number',
	    'to bob', 'nowhere', 'copy', 'pass'),
	'two redirects' => header('Subject: to bob', 'Subject: to postmaster'),
	'a redirect, then a refusal' => header('Subject: to bob',
	    'Subject: no money'),
	'a copy, then a redirect' => header('Subject: copy', 'Subject: to postmaster'),
	'a copy, then a refusal' => header('Subject: copy', 'Subject: no money'),
	'a discard, then a refusal' => header('Subject: away', 'Subject: no x'),
	'a refusal, then a discard' => header('Subject: no x', 'Subject: away'),
	'pass, then others' => header('X-Drop: a', 'Subject: pass', 'X-Drop: b',
	    'Subject: no x') . "bad\r\nsecret x\r\n",
	'IGNORE' => header('X-Drop: a', 'X-A: b', "X-Drop: c\r\n d", 'X-C: d'),
	'IGNORE of all' => "X-Drop: a\r\nX-Drop: b\r\n\r\nc\r\n",
	'STRIP' => header('X-Strip: a', 'X-A: b'),
	'REPLACE' => header('X-A: b', 'X-Name: c', 'X-A: d'),
	'REPLACE, folded' => header("X-Name: a\r\n  b\r\n\tc", 'X-A: d'),
	'REPLACE, no space' => header('X-Same: a', 'X-Same:b', 'X-Same:  c'),
	'REPLACE, unfolded' => header("X-Fold: a\r\n   b", 'X-A: d'),
	'REPLACE, a line that lost its space' => header("X-Break: a\r\n  b", 'X-A: d'),
	'REPLACE without a name' => header('X-Bad: a', 'X-Empty: b'),
	'REPLACE, 8 bit' => header('X-Eight: a'),
	'PREPEND' => header('X-A: b', 'X-Front: c', "X-Front: d\r\n e"),
	'spaces in front of a colon' => header('X-Name : a', "X-Drop \t: b"),
	'the first field' => "X-Drop: a\r\n" . header('X-A: b'),
	'the last field' => header('X-A: b', 'X-Front: c') . '',
	'the last field, no empty line' => "${from}X-Front: a\r\nnone\r\n",
	'the last field is gone, no empty line' => "${from}X-Drop: a\r\nnone\r\n",
	'no body' => "${from}X-Drop: a\r\nX-Name: b\r\n",
	'no body, no line end' => "${from}X-Name: b",
	(map { ("mailbox line $_" => "From $_ x\r\n" . header('X-A: b')) }
	    qw(x old new)),
	'two mailbox lines' => "From bad x\r\n>From new y\r\n" . header('X-A: b'),
	'a refusal in the body' => body('fine', 'bad', 'fine'),
	'lines of the body' => body('a', 'secret word', '', 'drop', 'strip',
	    'front door', 'dot', 'blank', '.', '..', 'empty', '8 bit', '-- ', 'z'),
	'the first and the last line' => body('drop', 'a', 'drop'),
	'all lines' => body('drop', 'drop'),
	'no empty line, header from body' => "${from}header: a\r\nb\r\n",
	'no empty line, REPLACE' => "${from}not a header\r\nsecret x\r\nheader: a\r\n",
	'no empty line, IGNORE' => "${from}drop\r\nX-A: b\r\n",
	'no empty line, PREPEND' => "${from}front X-A: b\r\nX-A: b\r\n",
	'no empty line, header and body' => "${from}X-Name: a\r\ndrop\r\nX-A: b\r\n",
	'a space first' => " a\r\nX-Drop: b\r\nsecret x\r\n",
	'no header' => "\r\ndrop\r\nX-A: b\r\n",
	'pieces' => body('A' x 2048, 'A' x 2048 . 'b', 'x', 'C' x 2048 . 'c',
	    'y', 'D' x 2048 . 'd', 'z', 'C' x 4096, 'A' x 4096, 'e'),
	'the rest of a long line' => body('x' x 2048 . 'tail', 'next', 'x' x
	    2048 . 'secret x', 'x' x 2048 . 'front x', 'end'),
	'beyond what is looked at' => body(('x' x 1022) x 49, 'secret a',
	    'drop', 'secret b', 'x' x 1022, 'secret c', 'bad', 'secret d'),
	'REDIRECT in the body' => body('a', 'send', 'bad', 'secret x'),
	'a part' => "${from}$mixed\r\nsecret pre\r\n--x\r\nX-Part: a\r\n" .
	    "Content-Description: b\r\nX-Drop: c\r\n\r\nsecret d\r\n--x\r\n" .
	    "Content-Type: image/gif;\r\n\tname=a.gif\r\n\r\ndrop\r\n--x--\r\n" .
	    "secret post\r\n",
	'a part with a bad name' => "${from}$mixed\r\n--x\r\nContent-Type: a/b;\r\n" .
	    "\tname=\"evil.exe\"\r\n\r\nx\r\n--x--\r\n",
	'MIME headers on top' => "${from}Content-Description: a\r\n" .
	    "Content-Type: image/gif\r\nX-Drop: b\r\n\r\nx\r\n",
	'a bad name on top' => "${from}Content-Disposition: attachment; " .
	    "filename=a.exe\r\n\r\nx\r\n",
	'a part without an empty line' => "${from}$mixed\r\n--x\r\n" .
	    "Content-Description: a\r\nheader: b\r\n--x\r\ndrop\r\nX-A: b\r\n--x--\r\n",
	'an attached message' => "${from}$mixed\r\n--x\r\nContent-Type: " .
	    "message/rfc822\r\n\r\nSubject: inner\r\nX-Drop: a\r\n" .
	    "Content-Description: b\r\n\r\nsecret x\r\n--x--\r\n",
	'an attached message that is refused' => "${from}Content-Type: " .
	    "message/rfc822\r\n\r\nSubject: a\r\nTo: b\r\n\r\nc\r\n",
	'a boundary that goes' => "${from}Content-Type: multipart/mixed; " .
	    "boundary=kill\r\n\r\n--kill\r\nX-Part: a\r\n\r\nb\r\n--kill--\r\nc\r\n",
	'edits everywhere' => join('', map { "X-Drop: $_\r\nX-Name: $_\r\n" .
	    "X-Front: $_\r\nX-A: $_\r\n" } 1 .. 40) . "\r\n" . join('', map {
	    "drop\r\nsecret $_\r\nfront $_\r\nx\r\n" } 1 .. 400),
);

while (my ($name, $message) = splice @messages, 0, 2) {
	compare($name, $message);
	compare($name, $message, 1) if $name =~ /line|IGNORE|piece|^a part/ && $name !~ /mailbox/;
}
done_testing;
