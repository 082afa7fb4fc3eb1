#!/usr/bin/perl
# What "make demo" does: good mail gets through to the Maildir of the sink and
# bad mail is refused, on free ports and without a network.
use strict;
use warnings;
use File::Temp qw(tempdir);
use lib 't/lib';
use Test::More;
use Client;
use Wait;

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

sub spew
{
	my ($file, $text) = @_;
	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out;
}

my $dir = tempdir(CLEANUP => 1);
$ENV{DIR} = "$dir/demo";
my $said = `contrib/demo.pl 2>&1`;
is($?, 0, 'the demo ends well') or diag $said;
like($said, qr/^S: 550 5\.1\.1 .*\n.*User unknown/m,
    'it shows our refusal and the one of the backend');
like($said, qr/^S: 250 2\.0\.0 Ok: queued as /m, 'and the queue id');
like($said, qr/^S:\ 550\ 5\.7\.1\ no\ mail\ from\ bargains\.example,\ please\n
    .*^log:\ .*\ rcpt\ to=good\@example\.org\ verdict=reject
    \ by=policy\.rules:(\d+)\ .*^policy\.rules:\1:\ +reject\ 550/xms,
    'a refusal by the policy, with its rule');
like($said, qr/^The good message is there, unchanged/m, 'and what came of it');

# "make run", with what it says to do, pasted.
SKIP: {
	skip 'there is a configuration of this machine', 11
	    if -e '/etc/vratar/vratar.conf';
	local $ENV{DIR} = "$dir/run";
	local $ENV{LISTEN} = '127.0.0.1:0';
	my $runner = open my $words, '-|', 'contrib/run.sh' or die "run.sh: $!";
	my ($text, $address) = ('');
	while (my $line = <$words>) {
		$text .= $line;
		$address = $1 if $line =~ /^vratar serves on (\S+)/;
		last if $line =~ /^Its log/;
	}
	ok(defined $address, 'make run') or diag $text;
	my @pasted = $text =~ /^  ((?:.*\\\n)*.*)$/mg;
	my ($check) = grep { /vratar\S* check/ } @pasted;
	my ($test) = grep { /vratar\S* test/ } @pasted;
	my ($explain) = grep { /vratar\S* rules/ } @pasted;

	my $traced = `$test`;
	is($? >> 8, 1, 'vratar test: refused');
	like($traced, qr/^RCPT <good\@example\.org> 550 5\.7\.1 no mail from bargains/m,
	    'with the words of the rule');
	my ($place) = $text =~ /by=(policy\.rules:\d+)/;
	like($traced, qr/^  \Q$place\E: reject 550 .*\n.*: yes\n      -> reject 550/m,
	    "and its place, $place");
	like(`$explain`, qr/^at rcpt: \d+ rules$/m, 'vratar rules --explain');
	is($?, 0, '  works');

	my $refused = sub {
		my ($from) = @_;
		my ($host, $port) = split /:/, $address;
		my $c = Client->connect(host => $host, port => $port);
		$c->hello;
		$c->send("MAIL FROM:<$from>", 'RCPT TO:<good@example.org>');
		$c->expect(qr/^250 /);
		return ($c->reply)[1];
	};
	is($refused->('me@bargains.example'),
	    '550 5.7.1 no mail from bargains.example, please', 'a refusal');
	my $policy = "$dir/run/policy.rules";
	my $rules = slurp($policy);
	spew($policy, $rules =~ s/no mail from/nothing from/r . "\nnonsense\n");
	isnt(system("{ $check; } 2>/dev/null"), 0, 'check finds a mistake');
	spew($policy, $rules =~ s/no mail from/nothing from/r);
	is(system($check), 0, 'and none when it is gone');
	ok(Wait::poll(sub {
		return slurp("$dir/run/serve.log") =~ / reloaded /;
	}), 'SIGHUP has it read');
	is($refused->('me@bargains.example'),
	    '550 5.7.1 nothing from bargains.example, please', 'reloaded');
	kill TERM => $runner;
	close $words;
	$runner = open $words, '-|', 'contrib/run.sh' or die "run.sh: $!";
	while (my $line = <$words>) {
		last if $line =~ /^Its log/;
	}
	like(slurp($policy), qr/nothing from/, 'what was changed is kept');
	kill TERM => $runner;
	close $words;
}

# Nothing stays behind: both programs close their logs when they end.
my @left = grep { /\Q$dir\E/ } `ps -eo args`;
is("@left", '', 'no process is left');

# It has to notice when something is wrong.
$ENV{VRATAR} = '/bin/false';
$said = `contrib/demo.pl 2>&1`;
isnt($?, 0, 'without a program it fails');
done_testing;
