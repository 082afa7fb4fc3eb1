#!/usr/bin/perl
# What a policy costs per message, in one interleaved run: vratar without one,
# with ten rules, with the example policy, and with 5,000 rules and a table of
# 1,000,000 recipients. Ratios are to ten rules with the same fields, taken
# within a round; what smtp-source sends passes all of them.
#
#	VRATAR=./vratar perl t/bench/policy.pl [ROUNDS]
use strict;
use warnings;
use Time::HiRes qw(time);
use lib qw(t/bench t/lib);
use Bench;
use Dns;

$rounds = shift if @ARGV;
my $recipients = 1_000_000;
my $dns = Dns->start('bench.example MX' => '10 mx.bench.example');

# n rules: one fifth for each stage, and what every policy has.
sub rules {
	my ($n, $table) = @_;
	my $each = $n / 5;
	my $text = "table recipients \"$table\"\n";
	my %rule = (
		connect => sub { sprintf 'reject if client.ip in 10.%d.%d.0/24',
		    $_[0] / 256, $_[0] % 256 },
		helo => sub { "reject if helo.name is \"spam$_[0].example\"" },
		mail => sub { "reject if mail.domain is \"bad$_[0].example\"" },
		rcpt => sub { "reject if rcpt.domain is \"no$_[0].example\"" },
		eom => sub { "reject if header(\"Subject\") is \"buy $_[0]\"" },
	);
	for my $stage (qw(connect helo mail rcpt eom)) {
		$text .= "at $stage\n" . join '', map {
		    '    ' . $rule{$stage}->($_) . "\n" } 1 .. $each;
		$text .= "    reject if rcpt not in recipients\n"
		    if $stage eq 'rcpt';
	}
	return $text;
}

sub example {
	my $text = slurp('contrib/examples/postfix-front.rules');
	spill("$dir/few", "b\@bench.example x\n");
	spill("$dir/none", "192.0.2.0/24 x\n");
	$text =~ s{texthash:[^"]*}{texthash:$dir/few};
	$text =~ s{cidr:[^"]*}{cidr:$dir/none};
	return $text;
}

sub start_with {
	my ($name, $sink, $policy) = @_;
	my @policy;
	if (defined $policy) {
		spill("$dir/$name.rules", $policy);
		@policy = ('--policy', "$dir/$name.rules");
	}
	my $begin = time;
	start($name, $vratar, 'serve', '--foreground', '--listen',
	    '127.0.0.1:0', '--backend', "127.0.0.1:$sink", '--identity',
	    'none', '--relay-domains', '*', '--workers', 1, '--set',
	    'dns-servers=' . $dns->server, @policy);
	my $port = vratar_port($name);
	printf "%-14s ready after %.2f s (CPU %.2f s), %.0f MB (PSS, all "
	    . "processes)\n", $name, time - $begin, cpu($name),
	    pss($name) / 1024;
	return [$name, $port];
}

sub table {
	my ($title, $subjects, $got) = @_;
	printf "\n%s\n%-14s%10s%12s%12s%10s\n", $title, '', 'msg/s',
	    'x 10 rules', 'CPU s/1000', 'fastest';
	for my $name (map { $_->[0] } @$subjects) {
		my $g = $got->{$name} // {};
		my @rate = sort { $a <=> $b } @{$g->{rate} // []};
		printf "%-14s%s  %s  %s%s\n", $name,
		    cell('%.0f', median(@rate)),
		    cell('%.3f', median(@{$g->{to}{'10 rules'} // []})),
		    cell('%.3f', median(@{$g->{cpu} // []})),
		    cell('%.0f', $rate[-1]);
	}
}

open my $out, '>', "$dir/many" or die "$dir/many: $!\n";
printf $out "user%07d.name\@example%d.org OK\n", $_, $_ % 1000
    for 1 .. $recipients;
print $out "b\@bench.example OK\n";
close $out or die "$dir/many: $!\n";

my $sink = start_sink();
my @subjects = (
	start_with('no policy', $sink),
	start_with('10 rules', $sink, rules(10, 'inline:{b@bench.example=x}')),
	start_with('example', $sink, example()),
	start_with('5,000 + 1M', $sink, rules(5000, "texthash:$dir/many")),
);
my $n = count_for($sink);
table("one message per connection, $n in a run", \@subjects,
    scenario(\@subjects, $n));
my $m = $sessions * 100;
table("100 messages per connection, $m in a run", \@subjects,
    scenario(\@subjects, $m, '-d'));
