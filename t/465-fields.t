#!/usr/bin/perl
# Every field of the policy language has its value in real sessions, from the
# first stage at which it exists.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use MIME::Base64;
use POSIX ();
use Test::More;
use Backend;
use Cert;
use Dns;
use Proxy;
use Wait;

my $cert = Cert->shared;
my ($pem, $key) = $cert->issue('client', 'DNS:client.example');
my $mta = Backend->start(auth => 'PLAIN', 'RCPT TO:<nobody@' => '550 5.1.1 no');
my $dns = Dns->start('21.0.0.127.in-addr.arpa PTR' => 'real.example',
    'real.example A' => '127.0.0.21',
    '22.0.0.127.in-addr.arpa PTR' => 'liar.example',
    'liar.example A' => '192.0.2.1');

my $policy = File::Temp->new(SUFFIX => '.rules');

# Name => [from which stage, its value in the session below, how it is asked].
my ($c, $port, $id, $fingerprint, $today, $at, $local);
my $seconds = sub { my @t = localtime; $t[2] * 3600 + $t[1] * 60 + $t[0] };
my %field = (
	'client.ip' => [connect => sub { '127.0.0.21' }],
	'client.port' => [connect => sub { $port }],
	'client.name' => [connect => sub { 'real.example' }],
	'client.reverse_name' => [connect => sub { 'real.example' }],
	'local.ip' => [connect => sub { '127.0.0.1' }],
	'local.port' => [connect => sub { $local }],
	'listener' => [connect => sub { '127.0.0.1:0' }],
	'local.name' => [connect => sub { 'mx.test.example' }],
	'session.id' => [connect => sub { $id }],
	'session.age' => [connect => sub { qr/\d+(?:\.\d+)?/ }],
	'session.errors' => [connect => sub { '0' }],
	'session.bad_rcpts' => [connect => sub { '0' }],
	'session.messages' => [connect => sub { '0' }],
	'tls' => [connect => sub { 'yes' }],
	'tls.version' => [connect => sub { 'TLSv1.3' }],
	'tls.cipher' => [connect => sub { $c->{fh}->get_cipher }],
	'tls.bits' => [connect => sub { qr/128|256/ }],
	'tls.cert.subject' => [connect => sub { 'CN=client' }],
	'tls.cert.issuer' => [connect => sub { 'CN=Test CA' }],
	'tls.cert.fingerprint' => [connect => sub { $fingerprint }],
	'tls.cert.verified' => [connect => sub { 'yes' }],
	'time' => [connect => sub { qr/\d+/ }],
	'weekday' => [connect => sub { qr/$today/ }],
	'score' => [connect => sub { '0' }],
	'helo.name' => [helo => sub { 'helo.example' }],
	'helo.esmtp' => [helo => sub { 'yes' }],
	'auth.user' => [auth => sub { 'joe' }],
	'auth.mechanism' => [auth => sub { 'PLAIN' }],
	'mail' => [mail => sub { "J\303\266+news\@Sender.example" }],
	'mail.local' => [mail => sub { "J\303\266+news" }],
	'mail.domain' => [mail => sub { 'Sender.example' }],
	'mail.detail' => [mail => sub { 'news' }],
	'mail.params' => [mail => sub { 'SIZE=4711 BODY=8BITMIME SMTPUTF8' }],
	'mail.body' => [mail => sub { '8bitmime' }],
	'mail.smtputf8' => [mail => sub { 'yes' }],
	'size' => [mail => sub { '4711' }],
	'rcpt' => [rcpt => sub { '"b c+x"@Example.com' }],
	'rcpt.local' => [rcpt => sub { 'b c+x' }],
	'rcpt.domain' => [rcpt => sub { 'Example.com' }],
	'rcpt.detail' => [rcpt => sub { 'x' }],
	'rcpt.params' => [rcpt => sub { 'NOTIFY=NEVER' }],
	'rcpts' => [rcpt => sub { 'a@example.com, jim@example.com' }],
	'header.name' => [header => sub { 'X-Long' }],
	'header.value' => [header => sub { qr/one\?\ttwo|one.*two/ }],
	'header.line' => [header => sub { qr/X-Long: one.*two/ }],
	'body.line' => [body => sub { 'a line' }],
	'body.piece' => [body => sub { 'a line' }],
	'header' => [body => sub { 'first' }, 'header("X-Two")'],
	'headers' => [body => sub { 'first, second' }, 'headers("X-Two")'],
	'header.names' => [body => sub { 'X-Two, X-Long, X-Two' }],
	'addresses' => [body => sub { '' }, 'addresses("X-Two")'],
	'age' => [body => sub { '0' }, 'age("X-Two")'],
);

# Those of the last recipient, header and line only.
my %only = (rcpt => 'rcpt.domain is "example.com" and rcpt.detail is "x"',
    header => 'header.name is "x-long"', body => 'body.line is "a line"');
for my $stage (qw(connect helo auth mail rcpt header body)) {
	print $policy "at $stage\n";
	for my $name (grep { $field{$_}[0] eq $stage } sort keys %field) {
		my $ask = $field{$name}[2] // $name;
		my $if = $only{$stage} ? " if $only{$stage}" : '';

		print $policy "    log \"$name=<%{$ask}>\"$if\n";
	}
}
print $policy <<'END';
at rcpt
    score 2.5 if rcpt.local is "a"
at eom
    log "later: score=%{score} size=%{size} rcpts=%{rcpts} errors=%{session.errors} bad=%{session.bad_rcpts} messages=%{session.messages}"
    log "still: %{client.port} %{tls.version} %{helo.name} %{auth.user} %{mail.detail}"
at disconnect
    log "end: messages=%{session.messages} bad=%{session.bad_rcpts} old=%{session.age}"
END
print $policy "recipient-delimiter = \"+\"\n";
close $policy;

# What is in the list, and nothing else. (What first exists at eom comes from
# who looks into the content: parts, scanners. They have tests of their own.)
my %from = grep { defined } map { /^(\S+) +\w+ +from (\S+)/ ? ($1, $2) : () }
    `$Proxy::PROGRAM rules --fields`;
delete $from{$_} for grep { $from{$_} eq 'eom' } keys %from;
is_deeply({ map { $_ => $field{$_}[0] } keys %field }, \%from,
    'all fields, and where they begin');

my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
    set => { 'dns-servers' => [$dns->server] },
    extra => "filter \"policy\" { type = \"policy\" file = \"$policy\" }\n",
    listen => [
	{ tls => 'implicit', 'tls-client-certificate' => 'ask',
	    'tls-client-ca' => $cert->ca, chain => ['policy'] },
	{ chain => ['policy'], 'accept-xclient-from' => ['127.0.0.0/8'],
	    'accept-proxy-from' => ['127.0.0.9'] },
    ]);
$local = $proxy->port;
($fingerprint) = `openssl x509 -in $pem -noout -sha256 -fingerprint` =~ /=(\S+)/;
$today = lc POSIX::strftime('%a', localtime);
$at = $seconds->();

$c = $proxy->client(from => '127.0.0.21', tls => { SSL_use_cert => 1,
    SSL_cert_file => $pem, SSL_key_file => $key });
$port = $c->port;
$c->hello('helo.example');
my $connected = $proxy->log_like(qr/ connect client=127\.0\.0\.21:$port /);
($id) = $connected =~ / (\w+) connect /;
$c->send('AUTH PLAIN ' . encode_base64("\0joe\0secret", ''));
$c->expect(qr/^235 /);
$c->send("MAIL FROM:<J\303\266+news\@Sender.example> SIZE=4711 " .
    'BODY=8BITMIME SMTPUTF8', 'RCPT TO:<a@example.com>',
    'RCPT TO:<nobody@example.com>', 'NOOP', 'RCPT TO:<jim@example.com>',
    'RCPT TO:<"b c+x"@Example.com> NOTIFY=NEVER');
$c->expect(qr/^250 /) for 1 .. 2;
$c->expect(qr/^550 /);
$c->expect(qr/^250 /) for 1 .. 3;
$c->message("X-Two: first\r\nX-Long: one\r\n\ttwo\r\nX-Two: second\r\n\r\n" .
    "a line\r\nthe last\r\n");
$c->expect(qr/^250 /);
$c->envelope('x+y@example.org', 'a@example.com');
$c->message("Subject: x\r\n\r\nx\r\n");
$c->expect(qr/^250 /);
$today .= '|' . lc POSIX::strftime('%a', localtime);
$proxy->clock(90_000);
$c->quit;
$proxy->log_like(qr/ close reason="client said QUIT"/);

# The log's text, without its quotes and escapes.
sub said
{
	my ($line) = @_;
	my ($text) = $line =~ / text=("(?:[^"\\]|\\.)*"|\S+) rule=/ or return '';

	$text =~ s/\A"(.*)"\z/$1/s;
	$text =~ s/\\x([0-9a-f]{2})/chr hex $1/gei;
	return $text =~ s/\\(.)/$1/gsr;
}

for my $name (sort keys %field) {
	my ($stage, $value) = @{$field{$name}};
	my @lines = $proxy->log(qr/\Q$id\E note at=$stage text="?\Q$name\E=</);
	my $want = $value->();

	if (!@lines) {
		fail("$name at $stage is not in the log");
		next;
	}
	my ($text) = said($lines[0]) =~ /=<(.*)>\z/s;
	ref $want ? like($text, qr/\A$want\z/s, "$name at $stage") :
	    is($text, $want, "$name at $stage");
}
my ($time) = map { said($_) =~ /=<(\d+)/ } $proxy->log(qr/ text="?time=/);
my $now = $seconds->();
ok($at <= $now ? $time >= $at && $time <= $now + 90 : 1, "time: $at $time $now");

my @later = map { said($_) } $proxy->log(qr/$id note at=eom text="later/);
is($later[0], 'later: score=2.5 size=68 rcpts=a@example.com, jim@example.com, "b c+x"@Example.com'
    . ' errors=1 bad=1 messages=0', 'at eom');
is($later[1], 'later: score=2.5 size=17 rcpts=a@example.com errors=1 bad=1 ' .
    'messages=1', 'at eom of the next message');
my @still = map { said($_) } $proxy->log(qr/$id note at=eom text="still/);
is($still[0], "still: $port TLSv1.3 helo.example joe news", 'facts stay');
is($still[1], "still: $port TLSv1.3 helo.example joe y",
    'those of the session longer than those of a message');
my ($end) = map { said($_) } $proxy->log(qr/$id note at=disconnect/);
like($end, qr/^end: messages=2 bad=1 old=9\d/, 'at disconnect');

# Who says it for somebody else.
sub says
{
	my ($name, $want) = @_;

	my $got;
	Wait::wait_until(sub {
		($got) = map { said($_) =~ /\A\Q$name\E=<(.*)>\z/ }
		    reverse $proxy->log(qr/note at=\w+ text="?\Q$name\E=</);
		return defined $got && $got eq $want;
	});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($got, $want, $name);
}

subtest 'PROXY' => sub {
	my $c = $proxy->client(listener => 1, from => '127.0.0.9',
	    first => "PROXY TCP4 10.6.7.8 10.9.9.9 4711 26\r\n");
	$c->hello;
	for my $row (['client.ip', '10.6.7.8'], ['client.port', '4711'],
	    ['local.ip', '10.9.9.9'], ['local.port', '26'],
	    ['client.name', ''], ['tls', 'no'], ['tls.version', ''],
	    ['tls.bits', '0'], ['tls.cert.verified', 'no'],
	    ['listener', '127.0.0.2:0']) {
		says(@$row);
	}
};

subtest 'XCLIENT' => sub {
	my $c = $proxy->client(listener => 1);
	$c->hello('first.example', 'HELO');
	says('helo.esmtp', 'no');
	$c->send('EHLO x', 'XCLIENT ADDR=192.0.2.7 PORT=17 NAME=given.example ' .
	    'DESTADDR=192.0.2.25 DESTPORT=25 LOGIN=ann HELO=second.example');
	$c->expect(qr/^250-/);
	$c->expect(qr/^220 /);
	for my $row (['client.ip', '192.0.2.7'], ['client.port', '17'],
	    ['client.name', 'given.example'], ['local.ip', '192.0.2.25'],
	    ['local.port', '25']) {
		says(@$row);
	}
	$c->{greeted} = 1;
	$c->hello('third.example');
	says('helo.name', 'third.example');
	$c->deliver('a@example.org', 'a@example.com');
	$proxy->log_like(qr/note at=eom text="still: 17  third\.example ann "/,
	    'auth.user');
};

subtest 'a name that does not lead back' => sub {
	my $c = $proxy->client(listener => 1, from => '127.0.0.22');
	$c->hello;
	says('client.name', '');
	says('client.reverse_name', 'liar.example');
};

done_testing;
