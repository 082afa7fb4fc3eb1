#!/usr/bin/perl
# The id behind a refusal finds one line of the log, the decision record of
# that message: who sent it, what each filter said, where and in what time.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;

my $mta = Backend->start('RCPT TO:<no@' => '550 5.1.1 not here');
my $p = Policy::start(<<'END', backend => $mta->address,
at helo
    reject 550 5.7.1 "no helo" if helo.name is "bad.example"
at mail
    reject 550 5.7.1 "no sender" if mail.local is "bad"
at rcpt
    accept if rcpt.local is "postmaster"
    reject 550 5.1.1 "no rcpt" if rcpt.local is "bad"
at data
    tempfail 451 4.7.1 "no data" if mail.local is "nodata"
at eom
    log "looked at %{count(rcpts)}"
    reject 554 5.7.1 "no message" if header("X-Bad")
END
    late => "at eom\n    reject 554 5.7.2 \"late\" if header(\"X-Late\")\n",
    set => { 'reply-id' => 'true', 'relay-domains' => ['example.com'] });

# The one line that the id of a reply finds.
sub record
{
	my ($text, $name) = @_;
	my ($id) = $text =~ /\(([0-9a-f]{8,16}(?:\.\d+)?)\)$/;

	ok(defined $id, "$name: an id in '$text'") or return '';
	# That of a session stands in all its lines.
	my $kind = $id =~ /\./ ? qr/./ : qr/ verdict /;
	my $found = Wait::wait_until(sub {
		my @all = grep { /[ =]\Q$id\E( |$)/ && $_ =~ $kind }
		    @{$p->{log}};
		@all ? \@all : undef });
	is(scalar @{$found // []}, 1, "$name: one line");
	return $found ? $found->[0] : '';
}

my $c = $p->client;
my %seen;

$c->greeting;
$c->send('EHLO bad.example');
like(record($c->expect(qr/^550/), 'HELO'),
    qr/ verdict filter=p0 at=helo verdict=reject rule=p0\.rules:2 reply="550 5\.7\.1 no helo"/);
$c->send('EHLO c.example', 'MAIL FROM:<bad@example.org>');
$c->expect(qr/^250/);
my $first = $c->expect(qr/^550/);
like(record($first, 'MAIL'),
    qr/ decision from=bad\@example\.org accepted=0 refused=0 verdict=reject at=mail by=p0\.rules:4 reply="550 5\.7\.1 no sender" .* filter\.p0=reject\@mail,\d+us,p0\.rules:4 filter\.late=continue,0us$/);

# Two recipients, one of them refused, and the message is taken.
$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<bad@example.com>',
    'RCPT TO:<bad@example.net>', 'RCPT TO:<no@example.com>',
    'RCPT TO:<b@example.com>');
$c->expect(qr/^250/);
my @ids = map { $c->expect(qr/^550/) } 1 .. 2;
like($c->expect(qr/^550/), qr/not here$/, 'no id of ours in words of the backend');
$c->expect(qr/^250/);
$c->message("Subject: x\r\n\r\nx\r\n");
$c->expect(qr/^250 2\.0\.0 queued as \w+$/, 'nor where all is well');
my @records = map { record($_, 'RCPT') } @ids;
is($records[0], $records[1], 'two refusals of one message, one record');
like($records[0], qr/ decision from=a\@example\.org accepted=1 refused=3 verdict=continue .*reply="250 2\.0\.0 queued as (\w+)" queue-id=\1 id=\S+ filter\.p0=\S+,\d+us/,
    'what became of it');

for my $row (['a', 'X-Bad: y', qr/ accepted=1 refused=0 verdict=reject at=eom by=p0\.rules:12 reply="554 5\.7\.1 no message" id=\S+ filter\.p0=reject\@eom,\d+us,p0\.rules:12 filter\.late=continue,\d+us$/],
    ['a', 'X-Late: y', qr/ verdict=reject at=eom by=late\.rules:2 reply="554 5\.7\.2 late" id=\S+ filter\.p0=continue,\d+us filter\.late=reject\@eom,\d+us,late\.rules:2$/],
    ['nodata', undef, qr/ verdict=tempfail at=data by=p0\.rules:9 reply="451 4\.7\.1 no data" id=\S+ filter\.p0=tempfail\@data,/]) {
	my ($from, $field, $like) = @$row;

	$c->envelope("$from\@example.org", 'b@example.com');
	$c->message("$field\r\n\r\nx\r\n") if defined $field;
	$c->send('DATA') unless defined $field;
	my $text = $c->expect(qr/^[45]\d\d/);
	ok(!$seen{$text}++, 'an id of its own');
	like(record($text, 'the end'), $like);
}
like(record($first, 'MAIL'), qr/from=bad\@example\.org/, 'the first id still finds its own');
$c->quit;

done_testing;
