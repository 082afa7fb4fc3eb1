#!/usr/bin/perl
# kill -9 of a worker, of the master and of the MTA behind us, with messages
# under way in all phases: what a client was promised with 250 is in a real
# Maildir, whole and once, and the next session works.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Postfix;
use Proxy;
use Sink;
use Wait;

my $to = 'alice@example.com';	# known to Postfix as well
my $next_id = 0;

sub content
{
	my ($id, $lines) = @_;

	return "id: $id\r\n\r\n" . "a line of $id\r\n" x $lines;
}

# Some messages in one write, by BDAT, so that everything is under way at once.
sub burst
{
	my ($n) = @_;
	my ($octets, @ids) = ("EHLO client.example\r\n");

	for (1 .. $n) {
		my $id = 'b' . ++$next_id;
		my $content = content($id, 1 + $next_id % 500);
		$octets .= "MAIL FROM:<a\@example.org>\r\nRCPT TO:<$to>\r\n" .
		    'BDAT ' . length($content) . " LAST\r\n$content";
		push @ids, $id;
	}
	return ($octets, @ids);
}

# Begin many sessions in all phases.
sub begin
{
	my ($proxy, $sessions) = @_;
	my @sessions;

	for my $i (1 .. $sessions) {
		my $c = eval { $proxy->client } or next;
		my ($octets, @ids) = burst(6);
		# Every third stops somewhere in the middle of its octets.
		my $cut = $i % 3 ? length $octets :
		    int rand length $octets;
		$c->octets(substr $octets, 0, $cut);
		$c->{ids} = [@ids];
		$c->{rest} = substr $octets, $cut;
		push @sessions, $c;
	}
	return @sessions;
}

# Read what comes, up to $most replies, and note what is promised: the n-th
# "queued" is about the n-th message.
sub hear
{
	my ($c, $most, $promised) = @_;

	while ($most-- > 0 && @{$c->{ids}}) {
		my ($code, $text) = $c->reply;
		last if $code == 0;
		$promised->{shift @{$c->{ids}}} = 1
		    if $code == 250 && $text =~ /queued as/;
		# From here on the counting would be ours to do.
		$c->{failed} = 1 if $code >= 400;
		last if $c->{failed};
	}
}

# $kill->() while sessions run; then what is there is what was promised.
sub rounds
{
	my ($proxy, $rounds, $kill) = @_;
	my %promised;

	for (1 .. $rounds) {
		my @sessions = begin($$proxy, 12);
		hear($_, int rand 8, \%promised)
		    for grep { !length $_->{rest} } @sessions;
		$kill->();
		$_->octets($_->{rest}) for @sessions;
		hear($_, 1000, \%promised)
		    for grep { !$_->{failed} } @sessions;
		$_->close for @sessions;
		next_works($$proxy, \%promised);
	}
	return %promised;
}

sub next_works
{
	my ($proxy, $promised) = @_;
	my $id = 'n' . ++$next_id;
	my $c = Wait::poll(sub {
		my $new = eval { $proxy->client } or return undef;
		return $new->fill ? $new : undef;
	});

	ok($c, 'somebody listens') or return;
	$c->hello;
	$c->deliver('a@example.org', $to, content($id, 1));
	$promised->{$id} = 1;
}

sub compare
{
	my ($promised, @mail) = @_;
	my (%copies, @torn);

	for (@mail) {
		my ($id) = /^id: (\w+)$/m or next;
		my $body = (split /\n\n/, $_, 2)[1];
		$copies{$id}++;
		push @torn, $id if ($body =~ s/^a line of $id\n//mgr) ne '';
		push @torn, $id if $id =~ /\Ab(\d+)/ &&
		    ($body =~ tr/\n//) != 1 + $1 % 500;
	}
	cmp_ok(scalar keys %$promised, '>', 10, keys(%$promised) . ' promised');
	is(join(' ', grep { !$copies{$_} } sort keys %$promised), '',
	    'nothing that was promised is missing');
	is(join(' ', grep { $copies{$_} > 1 } sort keys %copies), '',
	    'nothing is there twice');
	is("@torn", '', 'nothing is there in part');
}

my $seed = $ENV{SEED} // time;
note "SEED=$seed";
srand $seed;

sub start
{
	my ($mta) = @_;

	return Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 2, 'error-limit' => 1000 });
}

subtest 'a worker' => sub {
	my $sink = Sink->start;
	my $proxy = start($sink);
	my %promised = rounds(\$proxy, 8, sub {
		my @workers = $proxy->workers;
		kill 'KILL', $workers[rand @workers];
	});

	compare(\%promised, $sink->mail);
};

subtest 'the MTA' => sub {
	my $sink = Sink->start;
	my $proxy = start($sink);
	my %promised = rounds(\$proxy, 8, sub { $sink->restart; });

	compare(\%promised, $sink->mail);
};

subtest 'both at once' => sub {
	my $sink = Sink->start;
	my $proxy = start($sink);
	my %promised = rounds(\$proxy, 4, sub {
		kill 'KILL', $proxy->workers;
		$sink->restart;
	});

	compare(\%promised, $sink->mail);
};

# The workers see it and end in good order, what is under way included.
subtest 'the master' => sub {
	my $sink = Sink->start;
	my $proxy = start($sink);
	my @dead;
	my %promised = rounds(\$proxy, 4, sub {
		my $dead = $proxy;
		kill 'KILL', $dead->{pid};
		# Another one cannot wait for the old workers to end.
		$proxy = start($sink);
		push @dead, $dead;
	});

	ok($_->wait_end, 'its workers end as well') for @dead;
	compare(\%promised, $sink->mail);
};

subtest 'in front of Postfix' => sub {
	my $postfix = Postfix->start or plan skip_all => $Postfix::why;
	my $proxy = start($postfix);
	my %promised = rounds(\$proxy, 3, sub {
		my @workers = $proxy->workers;
		kill 'KILL', $workers[rand @workers];
	});

	# In its queue first.
	Wait::poll(sub {
		my %there = map { /^id: (\w+)\r?$/m ? ($1 => 1) : () }
		    $postfix->mail('alice');
		return !grep { !$there{$_} } keys %promised;
	});
	compare(\%promised, map { s/\r//gr } $postfix->mail('alice'));
};

done_testing;
