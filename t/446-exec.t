#!/usr/bin/perl
# A program gets each message and says by its exit status what becomes of it;
# it is never waited for too long, and nothing of it is left behind.
use strict;
use warnings;
use lib 't/lib';
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Peer;
use Run;
use Scanned;
use Wait;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
my $mta = Backend->start('RCPT TO:<no@' => '550 5.1.1 no',
    'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');

sub script
{
	my ($name, $text) = @_;

	open my $out, '>', "$dir/$name" or die;
	print $out "#!/bin/sh\n$text\n";
	close $out;
	chmod 0755, "$dir/$name";
	return "$dir/$name";
}

sub filter
{
	my ($name, $command, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"exec\"\n\tcommand = { " .
	    join(', ', map { "\"$_\"" } ref $command ? @$command : $command) .
	    " }\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

sub slurp
{
	open my $in, '<', $_[0] or return '';
	local $/;
	return scalar <$in>;
}

# The processes below the worker, with their states.
sub children
{
	my ($p) = @_;
	my ($worker) = $p->workers;
	my @found;

	for my $file (glob '/proc/[0-9]*/stat') {
		open my $in, '<', $file or next;
		my ($state, $parent) = (<$in> // '') =~ /\) (\S) (\d+)/
		    or next;
		push @found, $state if $parent == $worker;
	}
	return @found;
}

subtest 'exit status and text' => sub {
	my @cases = (
		[0, '', qr/^250 /], [0, 'fine', qr/^250 /],
		[65, '', qr/^554 5\.6\.0 this is no proper message$/],
		[69, '', qr/^554 5\.7\.1 message refused by policy$/],
		[69, 'go\taway\r\nline two', qr/^554 5\.7\.1 go\?away$/],
		[77, 'no', qr/^554 5\.7\.1 no$/],
		[75, '', qr/^451 4\.7\.1 not now; try again later$/],
		[75, 'come back', qr/^451 4\.7\.1 come back$/],
		(map { [$_, 'x', qr/^451 4\.7\.1 a filter failed/] } 1, 64, 70, 126, 127, 255),
	);
	# The message says what to do.
	my $it = script('it', 's=$(sed -n "s/^X-Exit: \\([0-9]*\\).*/\\1/p"); ' .
	    "printf \"\$(cat $dir/text)\"; exit \$s");
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at eom\n    reject 550 5.7.1 " .
	    "\"%{exec.status} %{exec.text}\" if exec.scanned\n";
	close $rules;
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'], rules => ['quiet', 'policy'] },
	    filters => filter('it', $it) . filter('quiet', $it, 'refuse = no') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

	for (@cases) {
		my ($exit, $text, $want) = @$_;
		open my $out, '>', "$dir/text" or die;
		print $out $text;
		close $out;
		$p->says('it', "X-Exit: $exit\r\n$clean", $want, "exit $exit");
	}
	$p->log_like(qr/decision .*by=exit-69 .*exec\.scanned=1 exec\.status=69/, 'the record has it');
	$p->log_like(qr/filter-failed filter=it at=eom why="451 4\.3\.0 exit status 70: x"/,
	    'a failure says which');
	$p->says('rules', "X-Exit: 69\r\n$clean", qr/^550 5\.7\.1 69 x$/, 'rules decide');
	$p->says('rules', "X-Exit: 70\r\n$clean", qr/^451 /, 'a failure is one');
	ok(Wait::poll(sub { !children($p) }), 'no process is left');
};

subtest 'the example' => sub {
	my $p = Scanned->example('exec.conf', $mta->address,
	    '/usr/share/doc/vratar/examples' => abs_path('contrib/examples'));
	my $bad = $clean =~ s/us-ascii/us-ascii;\r\n name="x.exe"/r;

	for ([$clean, qr/^250 /],
	    [$bad, qr/^554 5\.7\.1 we take no programs by mail, <a\@example\.org>$/]) {
		my $c = $p->sent('example', $_->[0], 'b@example.org');
		$c->expect($_->[1]);
		$c->close;
	}
};

subtest 'what it gets' => sub {
	my $it = script('gets', "cat >$dir/message; env >$dir/env; " .
	    "ls -l /proc/\$\$/fd >$dir/fds; echo \"\$#:\$*\" >$dir/args; " .
	    # Without a fork, for which the shell would block signals itself.
	    'while IFS= read -r l; do case $l in Sig[BI]*) echo "$l"; esac; ' .
	    "done </proc/\$\$/status >$dir/signals");
	my $p = Scanned->start(backend => $mta->address, chains => {},
	    listen => [{ chain => ['it'], 'accept-xclient-from' => ['127.0.0.0/8'] }],
	    filters => filter('it', [$it, 'a b', '$SENDER; x']));
	$p->{chain} = { it => 0 };
	my $c = $p->client;
	$c->hello;
	$c->send('XCLIENT ADDR=192.0.2.7 NAME=c.example LOGIN=joe HELO=h.example');
	$c->expect(qr/^220 /);
	$c->hello('h.example');
	$c->send('MAIL FROM:<"$(touch x)"@example.org>',
	    'RCPT TO:<b@example.com>', 'RCPT TO:<no@example.com>',
	    'RCPT TO:<c@example.com>');
	$c->expect($_) for qr/^250/, qr/^250/, qr/^550/, qr/^250/;
	my $message = "..\r\n.dot\r\nA: b\r\n\r\n" . "a line\r\n" x 100_000;
	$c->message($message);
	$c->expect(qr/^250 /);
	is(slurp("$dir/message"), $message, 'the message, octet for octet');
	my $env = slurp("$dir/env");
	like($env, qr/^\Q$_\E$/m, $_) for 'SENDER="$(touch x)"@example.org',
	    'RECIPIENT=b@example.com', "RECIPIENTS=b\@example.com\nc\@example.com",
	    'CLIENT_ADDRESS=192.0.2.7', 'CLIENT_HOSTNAME=c.example',
	    'CLIENT_HELO=h.example', 'CLIENT_PROTOCOL=ESMTP',
	    'SASL_USERNAME=joe', 'SIZE=' . length $message;
	unlike($env, qr/^(?:HOME|VRATAR|TEST)/m, 'nothing of ours');
	is(slurp("$dir/args"), "2:a b \$SENDER; x\n", 'arguments are no shell');
	unlike(slurp("$dir/fds"), qr/socket:|anon_inode|deleted|vratar/,
	    'no descriptor of ours');
	# The two that glibc keeps for itself it leaves ignored.
	like(slurp("$dir/signals"), qr/\ASigBlk:\t0+\nSigIgn:\t0*(?:180000000)?\n\z/,
	    'no signal is blocked or ignored');
};

subtest 'programs that misbehave' => sub {
	my $big = $clean . "a line of a text\r\n" x 100_000;
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } qw(deaf loud killed orphan) },
	    filters => filter('deaf', '/bin/true') .
	    filter('loud', script('loud', 'cat >/dev/null; yes "much to say" | head -c 5000000; exit 69')) .
	    filter('killed', script('killed', 'kill -9 $$')) .
	    filter('orphan', script('orphan', "sleep 1000 & echo \$! >$dir/orphan; exit 0")));

	$p->says('deaf', $big, qr/^250 /, 'it does not read');
	$p->says('loud', $big, qr/^554 5\.7\.1 much to say$/, 'it does not stop writing');
	$p->says('killed', $clean, qr/^451 /, 'it is killed');
	$p->log_like(qr/filter-failed filter=killed .*signal 9/, '… logged');
	$p->says('orphan', $clean, qr/^250 /, 'it leaves another behind');
	my ($pid) = slurp("$dir/orphan") =~ /(\d+)/;
	ok(Wait::poll(sub { !-e "/proc/$pid" || slurp("/proc/$pid/stat") =~ /\) Z/ }),
	    'which is killed');
	ok(Wait::poll(sub { !children($p) }), 'no zombie');
};

# A program that says who it is and waits to be released, with a child.
my $slow = script('slow', "echo \$\$ >>$dir/started; sleep 1000 & wait");

sub started
{
	return split ' ', slurp("$dir/started");
}

subtest 'deadline' => sub {
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } qw(tempfail reject accept) },
	    filters => filter('tempfail', $slow) .
	    filter('reject', $slow, 'on-failure = "reject"') .
	    filter('accept', $slow, 'on-failure = "accept"'));
	my %want = (tempfail => qr/^451 4\.7\.1 a filter failed/,
	    reject => qr/^554 5\.7\.1 a filter failed/, accept => qr/^250 /);

	for my $chain (sort keys %want) {
		unlink "$dir/started";
		my $c = $p->sent($chain, $clean);
		my ($pid) = Wait::poll(sub { (started())[0] });
		ok($pid, 'it runs');
		$p->clock(29_000);
		ok(-e "/proc/$pid", '… for so long');
		$p->clock(1_000);
		$c->expect($want{$chain}, $chain);
		ok(Wait::poll(sub { !-e "/proc/$pid" }), 'it is killed');
		$c->close;
	}
	ok(Wait::poll(sub { !children($p) }), 'no zombie');
	# And with the daemon.
	unlink "$dir/started";
	my $c = $p->sent('tempfail', $clean);
	my ($pid) = Wait::poll(sub { (started())[0] });
	$p->signal('TERM');
	Wait::poll(sub { $p->log(qr/stopping/) });
	$p->clock(30_000);
	$p->wait_end;
	ok(Wait::poll(sub { !-e "/proc/$pid" }), 'it ends with the daemon');
};

subtest 'only so many' => sub {
	unlink "$dir/started";
	my $two = script('two', "cat >/dev/null; echo \$\$ >>$dir/started; " .
	    "while [ ! -e $dir/release.\$\$ ]; do sleep 0.02; done");
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] },
	    filters => filter('it', $two, 'max-processes = 2'));
	my @clients = map { $p->sent('it', $clean) } 1 .. 5;
	Wait::poll(sub { started() == 2 });
	# All five have said their last word, and two programs run.
	my $other = $p->to('it');
	my @now = started();
	is(scalar @now, 2, 'two run');
	my $release = sub { open my $out, '>', "$dir/release.$_[0]"; };
	$release->($now[0]);
	ok(Wait::poll(sub { started() == 3 }), 'then the third');
	# The two that are left in the queue run out of time with the others.
	$p->clock(30_000);
	my @said = map { ($_->reply)[0] } @clients;
	is(scalar(grep { $_ == 250 } @said), 1, 'one was released');
	is(scalar(grep { $_ == 451 } @said), 4, 'the others waited too long');
	is(scalar(started()), 3, 'and no program runs for them');
	ok(Wait::poll(sub { !children($p) }), 'no process is left');
	my $c = $p->sent('it', $clean);
	Wait::poll(sub { started() == 4 });
	$release->((started())[3]);
	$c->expect(qr/^250 /, 'it goes on');
};

my @bad = (
	['x', qr/filter "f": command: the path of a program is missing/],
	['/nonexistent', qr/filter "f": command: cannot run \/nonexistent: No such file/],
	['/', qr{filter "f": command: cannot run /: Permission denied}],
);
for (@bad) {
	my $p = Proxy->prepare(backend => $mta->address,
	    extra => filter('f', $_->[0]));
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$p->{dir}/vratar.conf");
	is($status >> 8, 2, 'a command that cannot be is a mistake');
	like($said, $_->[1]);
}

done_testing;
