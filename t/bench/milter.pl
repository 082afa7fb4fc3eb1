#!/usr/bin/perl
# What a milter costs per message, in one interleaved run: vratar with a milter
# that does nothing, in front of a sink, and Postfix with the same one in
# smtpd_milters and the same sink as its relayhost. One pair has a milter that
# hears and answers everything, the other one that adds a field.
#
# Each has its own process of the milter, whose CPU counts with it. Postfix
# answers when a message is in its queue; its rate is counted to the answer, and
# its CPU until the queue is empty. Ratios are to Postfix, within a round.
#
#	VRATAR=./vratar perl t/bench/milter.pl [ROUNDS]
use strict;
use warnings;
use lib qw(t/bench t/lib);
use Bench;
use Postfix;

my $milter = $ENV{MILTER} // 'obj/t/bench-milter';
$rounds = shift // 3;

sub start_milter {
	my ($name, $mode) = @_;
	start($name, $milter, "unix:$dir/$name", $mode);
	await($name, sub { -S "$dir/$name" });
	chmod 0666, "$dir/$name";
	return "unix:$dir/$name";
}

sub start_vratar {
	my ($mode, $sink) = @_;
	my $name = "vratar $mode";
	my $socket = start_milter("v-$mode", $mode);
	spill("$dir/$mode.conf", <<"EOT");
hostname      = "bench.example"
relay-domains = { "*" }
workers       = 1
log           = "stderr"
dns-servers   = { "127.0.0.1\@9" }
filter "it" { type = "milter" socket = "$socket" }
listen "127.0.0.1:0" { chain = { "it" } }
backend "sink" {
    address  = { "127.0.0.1:$sink" }
    identity = "none"
}
EOT
	start($name, $vratar, 'serve', '--foreground', '-c', "$dir/$mode.conf");
	$also{$name} = ["v-$mode"];
	return [$name, vratar_port($name)];
}

# One Postfix with a port for each.
sub start_postfix {
	my ($sink, @modes) = @_;
	my $postfix = Postfix->start(main => {
		mynetworks => '127.0.0.0/8', relayhost => "[127.0.0.1]:$sink",
		smtpd_relay_restrictions => 'permit_mynetworks, reject',
	}, more => [map {
		['-o smtpd_milters=' . start_milter("p-$_", $_)]
	} @modes]) or die "$Postfix::why\n";
	my @subjects;

	for my $i (0 .. $#modes) {
		my $name = "postfix $modes[$i]";
		$daemon{$name} = $postfix->master;
		$also{$name} = ["p-$modes[$i]"];
		$settle{$name} = sub { drained($postfix); };
		push @subjects, [$name, $postfix->port($i + 1)];
	}
	return ($postfix, @subjects);
}

sub drained {
	my ($postfix) = @_;

	Wait::poll(sub {
		return !glob("$postfix->{dir}/queue/{incoming,active,deferred}/*");
	}) or warn "the queue of Postfix is not empty\n";
}

sub table {
	my ($title, $subjects, $got) = @_;
	printf "\n%s\n%-14s%10s%12s%12s%12s\n", $title, '', 'msg/s',
	    'x postfix', 'CPU s/1000', 'x postfix';
	for my $name (map { $_->[0] } @$subjects) {
		my $g = $got->{$name} // {};
		my $peer = $name =~ s/^\w+/postfix/r;
		my ($cpu, $theirs) = map { median(@{$_->{cpu} // []}) } $g,
		    $got->{$peer} // {};
		printf "%-14s%s  %s  %s  %s\n", $name,
		    cell('%.0f', median(@{$g->{rate} // []})),
		    cell('%.2f', median(@{$g->{to}{$peer} // []})),
		    cell('%.3f', $cpu),
		    cell('%.2f', $cpu && $theirs ? $theirs / $cpu : undef);
	}
}

chmod 0711, $dir;	# Postfix is not root when it comes to the milter
my $sink = start_sink();
my ($postfix, @postfix) = start_postfix($sink, 'all', 'add');
my @vratar = map { start_vratar($_, $sink) } 'all', 'add';
my @subjects = (@postfix, @vratar);

# Postfix takes a second for so many; vratar would have done before one can
# measure it.
$$_[2] = 500 for @postfix;
table("one message per connection", \@subjects, scenario(\@subjects, 4000));
$$_[2] = 1000 for @postfix;
table("20 or 100 messages per connection", \@subjects,
    scenario(\@subjects, 5000, '-d'));

%also = ();
print "\nsystem calls of vratar alone per message:\n";
printf "%-14s%s one per connection,%s 100 per connection\n", $_->[0],
    cell('%.1f', system_calls(@$_, 1000)),
    cell('%.1f', system_calls(@$_, 5000, '-d')) for @vratar;

# It is no child of ours, which stop() would wait for.
delete $daemon{$_->[0]} for @postfix;
$postfix->finish;
