#!/usr/bin/perl
# Each action of a policy at each stage, alone, in "for domain" and in
# "for listener": the reply to the client, what the backend heard, which later
# filters were asked, and what the log says of it; or a mistake with its place.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;
use Run;

my @stages = qw(connect helo auth mail rcpt data header body eom disconnect);
my %nth = map { $stages[$_] => $_ } 0 .. $#stages;
my @content = qw(header body eom);

# Rules of the filter behind: whoever is asked says so.
my $late = join '', map { "at $_\n    log \"late\"\n" } @stages;

my $mta = Backend->start(auth => 'PLAIN', 'RCPT TO:<no@' => '550 5.1.1 no');
my $two = Backend->start(auth => 'PLAIN');
my @env = (backend => $mta->address, set => { 'auth-without-tls' => 'true',
    quarantine => 'redirect:held@example.com' },
    extra => 'backend "two" { address = "' . $two->address .
    "\" identity = \"none\" }\n");

# Where an action is no mistake.
my @reply = grep { $_ ne 'disconnect' } @stages;
my @envelope = qw(connect helo auth mail rcpt);
my @message = qw(mail rcpt data header body eom);

sub refusal
{
	my ($code, $text) = @_;

	return { reply => "$code $text", verdict => $code =~ /^4/ ?
	    'tempfail' : 'reject' };
}

# What is usual at a stage.
sub usual
{
	my ($stage, $kind) = @_;
	my $n = $nth{$stage};

	return $kind eq 'reject' ? refusal(535, '5.7.8 Access denied') :
	    refusal(454, '4.7.0 Try again later') if $stage eq 'auth';
	return refusal($n == 0 ? 554 : $n <= $nth{rcpt} ? 550 : 554,
	    '5.7.1 Access denied') if $kind eq 'reject';
	return refusal($n == 0 ? 421 : $n <= $nth{rcpt} ? 450 : 451,
	    '4.7.1 Try again later');
}

# The rule; the stages that take it; what follows, by stage. Of that:
#	reply	the client's reply at that stage; nothing passes
#	verdict	in the log
#	skips	no filter behind is asked from here on ("one": at this stage)
#	unseen	there is nothing left of this for filters behind
#	nobody	the client has 250, the backend has no message
#	rcpts	what the backend hears; two: the other backend hears it
#	log	a line of the session
my @actions = (
	['accept', \@reply, sub { +{ verdict => 'accept',
	    skips => $_[0] eq 'rcpt' ? 'one' : 'all' } }],
	['reject', \@reply, sub { usual($_[0], 'reject') }],
	['reject "no"', \@reply, sub { refusal(
	    usual($_[0], 'reject')->{reply} =~ /^(\S+ \S+)/, 'no') }],
	['reject 554 5.6.77 "no \"%{client.ip}\", 100%%"', \@reply,
	    sub { refusal(554, '5.6.77 no "127.0.0.1", 100%') }],
	['reject 521 5.3.2 "we take no mail"', \@reply,
	    sub { refusal(521, '5.3.2 we take no mail') }],
	['tempfail', \@reply, sub { usual($_[0], 'tempfail') }],
	['tempfail 450 4.2.1 "later"', \@reply, sub {
	    refusal($_[0] eq 'connect' ? 421 : 450, '4.2.1 later') }],
	['tempfail 421 4.3.2 "bye"', \@reply,
	    sub { refusal(421, "4.3.2 bye") }],
	['discard "away with it"', \@message,
	    sub { +{ nobody => 1, verdict => 'discard', skips => 'all',
	    log => qr/ discard from=a\@example\.org / } }],
	['score 3 "spam"', \@stages, sub { +{ log =>
	    qr/note at=$_[0] text="score 3 spam" rule=/ } }],
	['log "%{client.ip} was here"', \@stages, sub { +{ log =>
	    qr/note at=$_[0] text="127\.0\.0\.1 was here" rule=/ } }],
	['set seen = yes', \@stages, sub { +{} }],
	['delay 0s', \@reply, sub { +{} }],
	# Who has logged in stays where that was.
	['route to two', \@envelope, sub { +{ two => $nth{$_[0]} < $nth{auth},
	    $nth{$_[0]} < $nth{auth} ? () :
	    (log => qr/ route backend=two not-taken=/) } }],
	['call no_good', \@reply, sub { refusal(
	    usual($_[0], 'reject')->{reply} =~ /^(\S+ \S+)/, 'called') }],
	['use access bad on client', [qw(connect helo auth mail rcpt data eom)],
	    sub { refusal(554, '5.7.9 listed') }],
	['use access good on client', [qw(connect helo auth mail rcpt data eom)],
	    sub { +{} }],
	['redirect recipient "else@example.com"', \@message,
	    sub { +{ rcpts => '<else@example.com>' } }],
	['add recipient "else@example.com"', \@message,
	    sub { +{ rcpts => '<b@example.com> <else@example.com>' } }],
	['delete recipient "b@example.com"', \@message,
	    sub { +{ nobody => 1, log => qr/ discard from=/ } }],
	['quarantine "odd"', \@message,
	    sub { +{ rcpts => '<held@example.com>', content =>
	    qr/\AX-Quarantine-ID: .*\r\nX-Quarantine-Reason: odd\r\n/ } }],
	['add header "X-A: b"', \@message, sub { +{ content =>
	    qr/\ASubject: x\r\nX-A: b\r\n\r\nhello\r\n\z/ } }],
	['insert header "X-A: b"', \@message, sub { +{ content =>
	    qr/\AX-A: b\r\nSubject: x\r\n\r\nhello\r\n\z/ } }],
	['change header "Subject: y"', \@message, sub { +{ content =>
	    qr/\ASubject: y\r\n\r\nhello\r\n\z/ } }],
	['delete header "Subject"', \@message, sub { +{ unseen => 'header',
	    content => qr/\A\r\nhello\r\n\z/ } }],
);

# "observe" in front of it: nothing follows, and the log says what would have.
sub observed
{
	my ($rule, $at) = @_;

	return ["observe $rule", $at, sub { +{ log =>
	    qr/ observe at=$_[0] would=/ } }];
}
push @actions, map { observed($_->[0], $_->[1]) }
    grep { $_->[0] !~ /^(?:call|use access good)/ } @actions;

my $declarations = <<'END';
variable seen = no
table bad "cidr:{{127.0.0.0/8 554 5.7.9 listed}}"
table good "cidr:{{127.0.0.0/8 OK}}"
END
my $block = "block no_good\n    reject \"called\"\n";

# The same rule in a block that holds for this session; "" if there is none.
my %wrap = (
	alone	=> sub { "at $_[0]\n    $_[1]\n" },
	domain	=> sub { $nth{$_[0]} >= $nth{rcpt} && $_[0] ne 'disconnect' ?
	    "for domain example.com, .example.net {\nat $_[0]\n    $_[1]\n}\n"
	    : '' },
	listener => sub { "for listener \"127.0.0.77:0\", \"" .
	    Policy::address($_[2]) . "\" {\nat $_[0]\n    $_[1]\n}\n" },
);

sub check_replies
{
	my ($stage, $want, $heard) = @_;
	my $at = $want->{at} // $Policy::STEP{$stage} // '';

	for (@$heard) {
		my ($step, $text) = @$_;
		if ($step eq $at && $want->{reply}) {
			like($text, qr/^\Q$want->{reply}\E/, "$step: refused");
			is($step, $heard->[-1][0], 'and that is all');
		} else {
			like($text, qr/^[23]/, "$step passes");
		}
	}
	is($heard->[-1][0], $want->{reply} ? $at : 'QUIT', 'how far it went');
}

sub check_backend
{
	my ($stage, $want) = @_;
	my $there = $want->{two} ? $two : $mta;

	is(scalar $mta->messages + $two->messages, $want->{reply} ||
	    $want->{nobody} ? 0 : 1, 'messages');
	if (!$want->{reply} && !$want->{nobody}) {
		my $m = $there->last // {};
		is("@{$m->{rcpts} // []}", $want->{rcpts} // '<b@example.com>',
		    'recipients');
		like($m->{content}, $want->{content} //
		    qr/\ASubject: x\r\n\r\nhello\r\n\z/, 'content');
	}
	# What is refused before is not even tried there.
	is(scalar $mta->commands(qr/^MAIL|^RCPT/), 0, 'the backend knows nothing')
	    if $want->{reply} && !$want->{at} && $nth{$stage} <= $nth{rcpt};
	is(scalar $mta->commands(qr/^DATA|^BDAT/), 0, 'nor any content')
	    if $want->{reply};
}

# Which stages the filter behind was asked at.
sub check_late
{
	my ($stage, $want, $log) = @_;
	my %late;
	my @want = grep { $_ ne 'disconnect' } @stages;

	/ note at=(\w+) text=late rule=late\.rules/ and $late{$1}++ for @$log;
	delete $late{disconnect};
	if ($want->{reply} && !$want->{at}) {
		@want = grep { $nth{$_} < $nth{$stage} } @want;
	} elsif (($want->{skips} // '') eq 'one') {
		@want = grep { $_ ne $stage } @want;
	} elsif ($want->{skips}) {
		@want = grep { $nth{$_} < $nth{$stage} } @want;
	}
	@want = grep { $_ ne ($want->{unseen} // '') } @want;
	# Content is judged as it comes, and the verdict told at the end.
	is(join(' ', sort { $nth{$a} <=> $nth{$b} } keys %late), "@want",
	    'filters behind');
}

sub check_log
{
	my ($stage, $want, $log, $place) = @_;
	my $v = $want->{verdict};

	is(scalar(grep { $_ =~ $want->{log} } @$log), 1, "logged $want->{log}")
	    if $want->{log};
	is(scalar(grep { $_ =~ $want->{log} && /rule=\Q$place\E/ } @$log), 1,
	    'with the place') if $want->{log} && $want->{log} =~ /(?:note|observe) /;
	my @record = grep { / decision / } @$log;
	is(scalar @record, $want->{reply} && $nth{$stage} < $nth{mail} ? 0 : 1,
	    'decision records');
	return if !$v;
	# A recipient that is accepted is no verdict about the message.
	$v = 'continue' if $stage eq 'rcpt' && $v eq 'accept';
	my ($line) = $nth{$stage} < $nth{mail} ?
	    grep { / verdict filter=p\d+ at=$stage / } @$log :
	    $stage eq 'rcpt' && $want->{reply} ? grep { / rcpt to=/ } @$log :
	    @record;
	like($line, qr/ verdict=$v\b.* (?:by|rule)=\Q$place\E( |$)/, 'the verdict');
	like($line, qr/ reply="\Q$want->{reply}\E/, 'and the reply')
	    if $want->{reply} && $want->{reply} !~ /"/;
}

sub check
{
	my ($p, $n, $stage, $want, $line) = @_;

	$_->forget for $mta, $two;
	my ($heard, $log) = Policy::play($p, $n);
	check_replies($stage, $want, $heard);
	check_backend($stage, $want);
	check_late($stage, $want, $log);
	check_log($stage, $want, $log, "p$n.rules:$line");
}

# The line of the rule in the text of a policy.
sub line_of
{
	my ($text, $rule) = @_;
	my @lines = split /\n/, $text;

	return (grep { $lines[$_ - 1] =~ /^    \Q$rule\E$/ } 1 .. @lines)[-1];
}

my %groups;
for my $how (sort keys %wrap) {
	for my $action (@actions) {
		my ($rule, $at, $then) = @$action;
		for my $stage (@$at) {
			next if !$wrap{$how}->($stage, $rule, 0);
			push @{$groups{"$how, $stage"}}, [$how, $rule, $stage,
			    $then->($stage)];
		}
	}
}

for my $group (sort keys %groups) {
	my @rows = @{$groups{$group}};

	subtest $group => sub {
		my @texts = map {
			$declarations . ($rows[$_][1] =~ /^call/ ? $block :
			    '') . $wrap{$rows[$_][0]}->($rows[$_][2],
			    $rows[$_][1], $_)
		} 0 .. $#rows;
		my $p = Policy::each(\@texts, @env, late => $late);
		for my $n (0 .. $#rows) {
			my (undef, $rule, $stage, $want) = @{$rows[$n]};
			subtest $rule => sub {
				my $l = line_of($texts[$n], $rule);
				$l = line_of($texts[$n], 'reject "called"')
				    if $rule =~ /^call/;
				check($p, $n, $stage, $want, $l);
			};
		}
	};
}

for my $stage (@stages) {
    subtest "mistakes at $stage" => sub {
	my (@rules, $text);

	$text = $declarations . $block . "at $stage\n";
	for my $action (@actions) {
		my ($rule, $at) = @$action;
		next if $rule =~ /^call/;	# the block's rule is the mistake
		next if grep { $_ eq $stage } @$at;
		$text .= "    $rule\n";
		push @rules, [$stage, $rule, ($text =~ tr/\n//)];
	}
	@rules or plan skip_all => 'none';
	my $p = Policy::prepare([$text], @env);
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$p->{dir}/vratar.conf");
	is($status >> 8, 2, 'a policy with many mistakes');
	for (@rules) {
		my ($stage, $rule, $line) = @$_;
		my ($name) = $rule =~ /^(?:observe )?(\w+)/;
		like($said, qr/^\S*p0\.rules:$line:\d+: "$name.*" has no place at $stage\b.*\n    \Q$rule\E\n +\^$/m,
		    "$rule at $stage");
	}
    };
}

subtest 'for domain before there are recipients' => sub {
	for my $stage (qw(connect helo auth mail disconnect)) {
		my $p = Policy::prepare(["for domain example.com {\nat $stage\n" .
		    "    log \"x\"\n}\n"], @env);
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
		    "$p->{dir}/vratar.conf");
		is($status >> 8, 2, $stage);
		like($said, qr/^\S*p0\.rules:2:1: "for domain" is about recipients, which there are none of at $stage\nat $stage\n\^$/m,
		    'with its place');
	}
};

done_testing;
