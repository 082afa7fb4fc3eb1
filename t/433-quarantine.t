#!/usr/bin/perl
# A message that is held back goes to where the configuration says, whole, with
# the reason on top; the client is never told that it was delivered.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Module;
use Proxy;
use Run;
use Wait;

my @says = ('eom held@ quarantine=odd header=add,0,X-A,b continue',
    'eom twice@ quarantine=first quarantine=second continue',
    'eom mute@ quarantine= continue',
    'eom refused@ quarantine=odd reject', 'rcpt early@ quarantine=early continue');
my $mta = Backend->start('RCPT TO:<no@' => '550 5.1.1 no');

sub slurp
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# What is kept in the Maildir, in order; forgets it.
sub kept
{
	my ($dir) = @_;
	my @files = sort glob "$dir/new/*";
	my @mail = map { slurp($_) } @files;

	unlink @files;
	return @mail;
}

sub check
{
	my (@options) = @_;
	my $p = Proxy->prepare(backend => $mta->address, @options);

	return Run::run($Proxy::PROGRAM, 'check', '-c', "$p->{dir}/vratar.conf");
}

sub policy
{
	my ($rules) = @_;
	my $file = File::Temp->new(SUFFIX => '.rules');

	print $file $rules;
	close $file;
	return ($file, listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n");
}

my $received = qr/Received: from client\.example \(\S+ \[127\.0\.0\.1\]\)\r
\tby \S+ \(vratar\) with ESMTP id [0-9a-f]+(?:\r\n\tfor <\S+>)?; [^\r]+\r\n/;

sub block
{
	my ($from, $reason, @to) = @_;
	my $to = join ",\r\n\t", map { "<$_>" } @to;

	return qr/\AX-Quarantine-ID: [0-9a-f]+\r
X-Quarantine-Reason: \Q$reason\E\r
X-Quarantine-By: script\r
X-Envelope-From: <\Q$from\E>\r
X-Envelope-To: \Q$to\E\r\n/;
}

subtest 'nobody says where' => sub {
	my ($status, $said) = check(Module::script(\@says, held => 'yes'));
	is($status >> 8, 2, 'a module that may ask for it');
	like($said, qr/filter "script" may want messages held back: set quarantine/, 'is a mistake');
	($status) = check(Module::script(\@says, held => 'yes', mode => 'observe'));
	is($status, 0, 'unless it only observes');
	for my $rules ("at eom\n    quarantine \"x\" if mail.local is \"x\"\n",
	    "at mail\n    use access \"inline:{x\@example.org=HOLD}\" on sender\n") {
		my ($file, @options) = policy($rules);
		($status, $said) = check(@options);
		is($status >> 8, 2, 'a policy');
		like($said, qr/filter "policy" may want messages held back/, 'is one, too');
		($status) = check(@options, set => { quarantine => 'redirect:q@example.com' });
		is($status, 0, 'where it is set');
	}
	for my $wrong ('maildir:/nonexistent/dir', 'maildir:x', 'redirect:nobody here', 'hold') {
		($status, $said) = check(set => { quarantine => $wrong });
		is($status >> 8, 2, $wrong);
		like($said, qr/quarantine: "\Q$wrong\E" (?:is not|does not)/, 'is no place');
	}
};

for my $spool ('1M', '0') {
	subtest "in a Maildir, spool-memory $spool" => sub {
		my $dir = tempdir(CLEANUP => 1);
		my $proxy = Proxy->start(backend => $mta->address,
		    Module::script(\@says, held => 'yes'),
		    set => { quarantine => "maildir:$dir", 'spool-memory' => $spool });
		my $c = $proxy->client;
		my $content = "Subject: x\r\n\r\n.hello\r\n";

		$c->hello('client.example');
		$mta->forget;
		$c->envelope('held@example.org', 'b@example.com', 'c@example.com');
		$c->message($content);
		$c->expect(qr/^554 5\.7\.1 odd/, 'refused with its reason');
		my ($mail, @more) = kept($dir);
		like($mail, block('held@example.org', 'odd', 'b@example.com', 'c@example.com'), 'what and why');
		like($mail, qr/c\@example\.com>\r\n$received\Q$content\E\z/, 'as it came');
		is(scalar @more, 0, 'once');
		is_deeply([glob "$dir/tmp/*"], [], 'nothing is left over');
		$proxy->log_like(qr/ quarantine from=held\@example\.org nrcpt=2 by=script reason=odd where=\d+\.M/, 'loudly');

		$c->envelope('mute@example.org', 'b@example.com');
		$c->message("hello\r\n");
		$c->expect(qr/^554 5\.7\.1 message is held back/, 'without a reason');
		like((kept($dir))[0], qr/\r\n\r\nhello\r\n\z/, 'a message without a header gets one');
		$c->envelope('twice@example.org', 'b@example.com');
		$c->message($content);
		$c->expect(qr/^554 5\.7\.1 first/, 'twice');
		is(scalar kept($dir), 1, 'is once');
		$c->envelope('refused@example.org', 'b@example.com');
		$c->message($content);
		$c->expect(qr/^554 5\.7\.1/, 'who refuses it');
		is(scalar kept($dir), 0, 'does not keep it');
		$c->envelope('a@example.org', 'early@example.com');
		$c->message($content);
		$c->expect(qr/^554 5\.7\.1 early/, 'asked for at rcpt');
		is(scalar kept($dir), 1, 'done at the end');
		is(scalar $mta->messages, 0, 'the backend has none of them');
		$c->deliver('fine@example.org', 'b@example.com', $content);
		is($mta->last->{content}, $content, 'the next one is delivered');
	};
}

subtest 'the disk is in trouble' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says, held => 'yes'),
	    set => { quarantine => "maildir:$dir" });
	my $c = $proxy->client;

	open my $out, '>', "$dir/tmp" or die;
	close $out;
	$c->hello('client.example');
	$mta->forget;
	for my $want (qr/^451 4\.3\.0/, qr/^554 5\.7\.1/) {
		$c->envelope('held@example.org', 'b@example.com');
		$c->message("x\r\n");
		$c->expect($want, 'told as it is');
		unlink "$dir/tmp";
	}
	$proxy->log_like(qr/ quarantine failed="Not a directory"/, 'and logged');
	is(scalar kept($dir), 1, 'kept when it works again');
	is(scalar $mta->messages, 0, 'nobody else has it');
};

subtest 'the client does not wait' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says, held => 'yes'),
	    set => { quarantine => "maildir:$dir" });

	for my $how ('close', 'reset') {
		my $c = $proxy->client;
		$c->hello('client.example');
		$c->envelope('held@example.org', 'b@example.com');
		$c->message("x\r\n");
		$c->$how;
		$proxy->log_like(qr/ close reason=/, "it has gone: $how");
	}
	my $c = $proxy->client;
	$c->hello('client.example');
	$c->deliver('fine@example.org', 'b@example.com');
};

subtest 'kill -9' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says, held => 'yes'),
	    set => { quarantine => "maildir:$dir" });
	my $content = "Subject: x\r\n\r\n" . "x" x 70 . "\r\n" x 2000;
	my $told = 0;

	for my $round (1 .. 5) {
		my ($worker) = $proxy->workers;
		my @clients = map { $proxy->client } 1 .. 10;
		for my $c (@clients) {
			$c->hello('client.example');
			$c->envelope('held@example.org', 'b@example.com');
			$c->message($content);
		}
		$clients[0]->expect(qr/^554/, 'one is told');
		kill 'KILL', $worker;
		$told++;
		for my $c (@clients[1 .. 9]) {
			my ($code) = $c->reply;
			$told++ if $code == 554;
			isnt($code, 250, 'no lie');
		}
		Wait::wait_until(sub { my @w = $proxy->workers; @w == 1 && $w[0] != $worker });
	}
	my @mail = kept($dir);
	cmp_ok(scalar @mail, '>=', $told, 'all that were told are kept');
	is(scalar(grep { !/\Q$content\E\z/ } @mail), 0, 'and all are whole');
};

subtest 'to a mailbox' => sub {
	for my $address ('q@example.com', 'no@example.com') {
		my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says, held => 'yes'),
		    set => { quarantine => "redirect:$address" });
		my $c = $proxy->client;

		$c->hello('client.example');
		$mta->forget;
		$c->envelope('held@example.org', 'b@example.com', 'c@example.com');
		$c->message("Subject: x\r\n\r\nhello\r\n");
		$c->expect($address =~ /^q/ ? qr/^250 .*queued/ : qr/^451 4\.3\.0/, $address);
		is(scalar $mta->messages, $address =~ /^q/ ? 1 : 0, 'messages');
		next if $address !~ /^q/;
		is_deeply($mta->last->{rcpts}, ['<q@example.com>'], 'to nobody else');
		is($mta->last->{from}, '<held@example.org>', 'from whom it came');
		like($mta->last->{content}, qr/@{[block('held@example.org', 'odd', 'b@example.com',
		    'c@example.com')]}Subject: x\r\n\r\nhello\r\n\z/, 'as it came');
		$proxy->log_like(qr/ quarantine from=held\@example\.org .* where=q\@example\.com/, 'loudly');
		$c->deliver('fine@example.org', 'b@example.com');
		is_deeply($mta->last->{rcpts}, ['<b@example.com>'], 'the next one is not touched');
	}
};

subtest 'the example' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address, listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" " .
	    "file = \"contrib/examples/marking.rules\" }\n",
	    set => { quarantine => "maildir:$dir" });
	my $c = $proxy->client;
	my $subject = 'Subject: GRÜSSE AN ALLE, DIE DAS HIER LESEN';

	$c->hello('client.example');
	$c->deliver('a@example.org', 'b@example.com', "Date: x\r\nX-Spam-Flag: NO\r\n\r\nx\r\n");
	is($mta->last->{content}, "Date: x\r\n\r\nx\r\n", 'nobody marks in our name');
	$c->deliver('a@example.org', 'b@example.com', "$subject\r\nX-Spam-Score: -9\r\n\r\nx\r\n");
	is($mta->last->{content}, "Subject: [doubtful] =?UTF-8?B?R1LDnFNTRQ==?= AN ALLE, DIE DAS HIER LESEN\r\n" .
	    "X-Spam-Score: 5.5\r\nX-Spam-Flag: YES\r\n\r\nx\r\n", 'marked');
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("Subject: Re: x\r\n\r\nx\r\n");
	$c->expect(qr/^554 5\.7\.1 held back: score 7/, 'held back');
	is(scalar kept($dir), 1, 'and kept');
};

subtest 'a policy, and a rehearsal' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my ($file, @options) = policy("at eom\n    quarantine \"score %{score}\" if header(\"X-Odd\")\n");
	my $proxy = Proxy->start(backend => $mta->address, @options,
	    set => { quarantine => "maildir:$dir" });
	my $c = $proxy->client;

	$c->hello('client.example');
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("X-Odd: y\r\n\r\nx\r\n");
	$c->expect(qr/^554 5\.7\.1 score 0/, 'a policy');
	is(scalar kept($dir), 1, 'holds it back');

	my $message = File::Temp->new;
	print $message "X-Odd: y\n\nx\n";
	close $message;
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '-c', "$proxy->{dir}/vratar.conf",
	    qw(--client 127.0.0.1 --helo c.example --from a@example.org --rcpt b@example.com), "$message");
	is($status >> 8, 1, 'test says that it is refused');
	like($said, qr/^DATA 554 5\.7\.1 score 0$/m, 'in the same words');
	like($said, qr/^  quarantine "score 0"/m, 'and why');
	is(scalar kept($dir), 0, 'and keeps nothing');
};
done_testing;
