# RealMilter - what each real milter has to show behind the proxy, which stands
# in front of a real Postfix (recipients of example.com; only root can start it)
# and of a sink (all others).
#
#	my $real = RealMilter->new;
#	$real->shows($peer, clean => [\&mail, qr/^X-Virus/m],
#	    refused => [\&infected, qr/^550 /]);
#
# A message is made by a function that gets a Message-ID.
package RealMilter;

use strict;
use warnings;
use Test::More ();
use Dns;
use Postfix;
use Scanned;
use Sink;

my $messages = 0;

sub new
{
	my ($class) = @_;
	# No client has a name, which it takes no time to find out.
	my $self = bless { sink => Sink->start, dns => Dns->start }, $class;

	$self->{postfix} = Postfix->start or
	    Test::More::diag("without Postfix: $Postfix::why");
	return $self;
}

sub filter
{
	my ($name, $peer, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"milter\"\n\tsocket = \"" .
	    $peer->address . "\"\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

# A daemon with these chains in front of both.
sub proxy
{
	my ($self, %o) = @_;

	$o{filters} .= "backend \"postfix\" { address = \"" .
	    $self->{postfix}->address . "\" identity = \"none\" }\n" .
	    "route \"example.com\" { backend = \"postfix\" }\n"
	    if $self->{postfix};
	$o{set}{'dns-servers'} = [$self->{dns}->server];
	return Scanned->start(backend => $self->{sink}->address, %o);
}

# A recipient behind each of them.
sub recipients
{
	my ($self) = @_;

	return ($self->{postfix} ? 'alice@example.com' : (), 'b@example.net');
}

sub next_id
{
	return ++$messages . '.test@example.org';
}

# What has arrived of a message, without what was put in front of it there, its
# lines separated by LF.
sub arrived
{
	my ($self, $rcpt, $id) = @_;
	my $like = qr/^Message-ID: <\Q$id\E>/m;
	my ($user) = $rcpt =~ /\A(.*)\@example\.com\z/;
	my $content = $user && $self->{postfix} ?
	    $self->{postfix}->wait_mail($user, $like) :
	    (grep { $_ =~ $like } $self->sunk($rcpt))[0];

	$content //= '';
	$content =~ s/\r\n/\n/g;
	1 while $content =~ s/\A(?:Return-Path|X-Original-To|Delivered-To|
	    Received|X-Envelope-From|X-Envelope-To|X-Client):.*?\n(?!\s)//sx;
	return $content;
}

# One message in a session that has said hello, and what follows.
sub delivers
{
	my ($self, $c, $rcpt, $make, $like, $name) = @_;
	my $id = next_id();
	my $mail = $make->($id);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->envelope_quietly('a@example.org', $rcpt) or
	    return Test::More::fail("$name: envelope");
	$c->send('DATA');
	$c->reply;
	$c->octets(Client::stuff($mail));
	$c->expect(qr/^250 /, "$name: accepted");
	return $self->came($rcpt, $id, $mail, $like, $name);
}

# It has arrived like this; if that is not said, as it was sent.
sub came
{
	my ($self, $rcpt, $id, $mail, $like, $name) = @_;
	my $content = $self->arrived($rcpt, $id);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::like($content, $like, "$name: arrived") if $like;
	return Test::More::is($content, $mail =~ s/\r\n/\n/gr,
	    "$name: arrived as it was sent");
}

# The end of data is refused like this, and nothing arrives.
sub refuses
{
	my ($self, $c, $rcpt, $make, $like, $name) = @_;
	my $before = () = $self->sunk($rcpt);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->envelope_quietly('a@example.org', $rcpt) or
	    return Test::More::fail("$name: envelope");
	$c->send('DATA');
	$c->reply;
	$c->octets(Client::stuff($make->(next_id())));
	$c->expect($like, $name);
	Test::More::is(scalar(() = $self->sunk($rcpt)), $before,
	    "$name: nothing arrives") if $rcpt !~ /\@example\.com\z/;
	return 1;
}

# What the sink has for this recipient.
sub sunk
{
	my ($self, $rcpt) = @_;

	return grep { /^X-Envelope-To: <\Q$rcpt\E>/m } $self->{sink}->mail;
}

# Options: clean => [message, what arrives of it], refused => [message, reply]
# if it refuses any, rows => more settings.
sub shows
{
	my ($self, $peer, %o) = @_;
	my %failed = (tempfail => qr/^451 4\.7\.1 a filter failed/,
	    reject => qr/^554 5\.7\.1 a filter failed/);
	my @chains = qw(tempfail accept reject);
	my $p = $self->proxy(chains => { map { $_ => [$_] } @chains },
	    filters => join '', map { filter($_, $peer,
	    "on-failure = \"$_\"", @{$o{rows} // []}) } @chains);

	my $c = $p->to('tempfail');
	for my $rcpt ($self->recipients) {
		$self->delivers($c, $rcpt, @{$o{clean}}, "clean, for $rcpt");
		$self->refuses($c, $rcpt, @{$o{refused}}, "bad, for $rcpt")
		    if $o{refused};
		$self->delivers($c, $rcpt, @{$o{clean}}, "clean again, for $rcpt");
	}
	$self->dies($p, $peer, \%failed, $o{clean}[0]);
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect($failed{tempfail}, 'gone in the middle of a session');
	my $rcpt = ($self->recipients)[-1];
	$self->delivers($p->to('accept'), $rcpt, $o{clean}[0], undef,
	    'without a milter');
	my $r = $p->to('reject');
	$r->send('MAIL FROM:<a@example.org>');
	$r->expect($failed{reject}, 'or it is refused');
	$peer->again;
	# It is not asked for some seconds after it was away.
	$p->clock(20_000);
	$self->delivers($c, $rcpt, @{$o{clean}}, 'back, in the same session');
	$c->close;
	$r->close;
	$p->log_unlike(qr/misbehaved/);
}

# The milter is killed when the content is to come.
sub dies
{
	my ($self, $p, $peer, $failed, $make) = @_;
	my $rcpt = ($self->recipients)[-1];
	my %c;

	for my $chain (qw(tempfail accept reject)) {
		$c{$chain} = $p->to($chain);
		$c{$chain}->envelope_quietly('a@example.org', $rcpt);
		$c{$chain}->send('DATA');
		$c{$chain}->reply;
	}
	$peer->stop;
	for my $chain (qw(tempfail accept reject)) {
		my $id = next_id();
		my $mail = $make->($id);
		$c{$chain}->octets(Client::stuff($mail));
		$c{$chain}->expect($failed->{$chain} // qr/^250 /,
		    "killed in a message: $chain");
		$self->came($rcpt, $id, $mail, undef, 'killed')
		    if $chain eq 'accept';
		$c{$chain}->close;
	}
}

1;
