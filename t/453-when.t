#!/usr/bin/perl
# A filter with "when" is asked about the messages for which that holds and hears
# nothing of the others; the log and "vratar test" tell; what cannot be told is
# a failure of the filter.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp;
use Backend;
use Cert;
use Dns;
use Milter;
use Run;
use Scanned;
use Socketmap;

my $dns = Dns->start('good.example A' => '192.0.2.1', 'dead.example MX' => 'SERVFAIL',
    'dead.example A' => 'SERVFAIL', 'dead.example AAAA' => 'SERVFAIL');
my $mta = Backend->start(auth => 'PLAIN', 'AUTH' => '235 2.7.0 welcome',
    'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $mail = "Subject: x\r\n\r\nhello\r\n";
my $ok = qr/^250 /;
my $failed = qr/^451 4\.7\.1 a filter failed/;

sub filter
{
	my ($name, $milter, $when, @rows) = @_;

	return "filter \"$name\" { type = \"milter\" socket = \"" . $milter->socket .
	    "\"\n\twhen = '$when'\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

# A daemon with one chain for each condition: name => [milter, when, rows].
sub with
{
	my ($chains, %o) = @_;

	return Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } keys %$chains },
	    filters => join('', map { filter($_, @{$chains->{$_}}) } sort keys %$chains),
	    tls => Cert->shared, set => { 'dns-servers' => [$dns->server] }, %o);
}

# What a milter heard after so many reports, as letters.
sub heard
{
	my ($milter, $from) = @_;
	my @r = $milter->reports;

	# ABORT comes with the end of a session, some time.
	return join '', map { /^([BCE-PR-Z]) / ? $1 : () } @r[$from .. $#r];
}

sub delivered
{
	my ($c, $from, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->deliver($from, 'b@example.com', $mail);
	ok(scalar(grep { $_->{from} =~ /\Q$from\E/ } $mta->last), $name);
}

subtest 'which messages' => sub {
	my $it = Milter->start;
	my $p = with({ client => [$it, 'client.ip in 127.0.0.2/32'],
	    mail => [$it, 'mail.domain is "yes.example"'],
	    login => [$it, 'not auth.user'], size => [$it, 'size < 1K'],
	    table => [$it, 'mail in "inline:{a@yes.example=x}"'] });

	my $seen = $it->reports;
	$p->says('client', $mail, $ok, 'another client');
	is($it->reports, $seen, 'not even connected to');
	my $c = $p->client(listener => $p->{chain}{client}, from => '127.0.0.2');
	$c->expect(qr/^220 /);
	is(heard($it, $seen), 'OC', 'this client, from the beginning');
	$c->{greeted} = 1;
	$c->hello('client.example');
	delivered($c, 'a@no.example', 'delivered');
	$c->quit;
	ok(Wait::wait_until(sub { ($it->reports)[-1] =~ /^(?:Q|gone)/; }), 'QUIT');
	is(heard($it, $seen), 'OCHMRTLNBE', 'and its message');

	$seen = $it->reports;
	$c = $p->to('mail');
	is($it->reports, $seen, 'nothing is said before MAIL');
	for my $from ('a@no.example', 'a@yes.example', 'b@no.example', 'b@yes.example') {
		delivered($c, $from, "$from delivered");
	}
	$c->send('EHLO again.example');
	$c->expect(qr/^250-/);
	$c->quit;
	is(heard($it, $seen), 'OCHMRTLNBE' . 'MRTLNBE' . 'H', 'the session, two messages of four, a HELO');
	is(scalar(grep { /no\.example/ } ($it->reports)[$seen .. $it->reports - 1]), 0, 'and nothing of the others');

	$seen = $it->reports;
	$c = $p->to('login');
	$c->starttls;
	$c->hello('again.example');
	delivered($c, 'a@one.example', 'before the login');
	$c->send('AUTH PLAIN AGFsaWNlAHNlY3JldA==');
	$c->expect(qr/^235/);
	delivered($c, 'a@two.example', 'and after it');
	$c->close;
	is(heard($it, $seen), 'OCHMRTLNBE', 'asked before only');

	$seen = $it->reports;
	$c = $p->to('size');
	$c->send('MAIL FROM:<a@example.org> SIZE=5000', 'RSET', 'MAIL FROM:<a@example.org> SIZE=500');
	$c->expect($ok) for 1 .. 3;
	$c->close;
	is(heard($it, $seen), 'OCHM', 'what SIZE says');

	$seen = $it->reports;
	$c = $p->to('table');
	$c->send('MAIL FROM:<b@yes.example>', 'RSET', 'MAIL FROM:<a@yes.example>');
	$c->expect($ok) for 1 .. 3;
	$c->close;
	is(heard($it, $seen), 'OCHM', 'what a table says');
	$p->log_like(qr/decision from=<?"?a\@no\.example.* filter\.mail=not-asked,/, 'the log tells');
	$p->log_like(qr/decision from=<?"?a\@yes\.example.* filter\.mail=continue,/, 'of both');
};

subtest 'what cannot be told' => sub {
	my $it = Milter->start;
	my $map = Socketmap->start(sub {
		my ($self, $key) = @_;
		return $key =~ /late/ ? undef : $key =~ /yes/ ? 'OK x' :
		    $key =~ /dead/ ? 'TEMP no' : 'NOTFOUND ';
	});
	my $table = '"socketmap:inet:' . $map->address . ':m"';
	my $p = with({ tempfail => [$it, "mail in $table"],
	    reject => [$it, "mail in $table", 'on-failure = "reject"'],
	    accept => [$it, "mail in $table", 'on-failure = "accept"'],
	    observe => [$it, "mail in $table", 'mode = "observe"'],
	    dns => [$it, 'resolves(mail.domain)'] });
	my %says = (tempfail => $failed, reject => qr/^554 5\.7\.1 a filter failed/,
	    accept => $ok, observe => $ok);

	for my $chain (sort keys %says) {
		my $seen = $it->reports;
		my $c = $p->to($chain);
		$c->send('MAIL FROM:<a@dead.example>');
		$c->expect($says{$chain}, "$chain: MAIL");
		$c->send('RSET', 'MAIL FROM:<a@no.example>');
		$c->expect($ok) for 1, 2;
		is(heard($it, $seen), '', "$chain: it is not asked");
		$c->send('RSET', 'MAIL FROM:<a@yes.example>');
		$c->expect($ok) for 1, 2;
		is(heard($it, $seen), 'OCHM', "$chain: and then it is");
		$c->close;
	}
	$p->log_like(qr/policy-failed at=mail .*rule="vratar\.conf:\d+: when"/, 'where');
	$p->log_like(qr/filter-failed filter=tempfail at=mail .*on-failure=tempfail/, 'why');

	my $c = $p->to('tempfail');
	$c->send('MAIL FROM:<late@example.org>');
	ok(Wait::wait_until(sub { grep { /late/ } $map->waiting; }), 'an answer that is late');
	$c->expect_nothing;
	$map->answer((grep { /late/ } $map->waiting)[0], 'OK x');
	$c->expect($ok, 'is waited for');
	$c->close;
	$c = $p->to('tempfail');
	$c->send('MAIL FROM:<later@example.org>');
	ok(Wait::wait_until(sub { grep { /later/ } $map->waiting; }), 'one that does not come');
	$p->clock(30_000);
	$c->expect($failed, 'is a failure');
	$c->close;
	$c = $p->to('tempfail');
	$c->send('MAIL FROM:<late-and-gone@example.org>');
	ok(Wait::wait_until(sub { grep { /gone/ } $map->waiting; }), 'a client that leaves meanwhile');
	$c->close;

	my $seen = $it->reports;
	$c = $p->to('dns');
	$c->send('MAIL FROM:<a@dead.example>');
	$c->expect($failed, 'a DNS that fails');
	$c->send('MAIL FROM:<a@none.example>');
	$c->expect($ok, 'one that says no');
	is(heard($it, $seen), '', 'it is not asked');
	$c->send('RSET', 'MAIL FROM:<a@good.example>');
	$c->expect($ok) for 1, 2;
	is(heard($it, $seen), 'OCHM', 'one that says yes');
	$c->close;
};

# Rules for any stage, in a file of their own.
my $dir = File::Temp->newdir;
open my $out, '>', "$dir/p.rules" or die $!;
print $out "at connect\n  log \"seen\"\nat mail\n  reject 550 5.7.1 \"not you\"\n";
close $out;

sub policy
{
	my ($name, $when) = @_;
	return "filter \"$name\" { type = \"policy\" file = \"$dir/p.rules\" when = '$when' }\n";
}

subtest 'some-mail.conf' => sub {
	my ($sign, $scan) = map { my $name = $_; Milter->start(E => [add("X-$name", 'yes'), 'c']) } qw(Sign Scan);
	my $p = Scanned->example('some-mail.conf', $mta->address,
	    'unix:/run/opendkim/opendkim.sock' => $sign->socket,
	    'inet:11332@127.0.0.1' => $scan->socket,
	    # Here the own people have one address, and nobody is not private.
	    '10.0.0.0/8, 192.168.0.0/16' => '127.0.0.2', 'client.ip is not private' => 'client.ip not in 127.0.0.2',
	    'relay-domains = { "example.org" }' => 'relay-domains = { "example.com" } ' .
	    'dns-servers = { "' . $dns->server . '" }');
	for (['127.0.0.2', 'Sign'], ['127.0.0.1', 'Scan']) {
		my $c = $p->client(listener => 0, from => $_->[0]);
		$c->hello('client.example');
		$c->deliver('a@example.org', 'b@example.com', $mail);
		is(join(' ', $mta->last->{content} =~ /^X-(\w+): yes\r$/mg), $_->[1], $_->[1]);
		$c->quit;
	}
};

subtest 'other filters' => sub {
	my $p = Scanned->start(backend => $mta->address, chains => { far => ['far'], near => ['near'] },
	    filters => policy('far', 'client.ip is not loopback') . policy('near', 'client.ip is loopback'));
	$p->says('far', $mail, $ok, 'a policy that is not asked');
	my $c = $p->to('near');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^550 5\.7\.1 not you/, 'one that is');
	$c->close;
	is(scalar(() = $p->log =~ /note at=connect/g), 1, 'from the beginning');
};

# What check and test say of a configuration.
sub run
{
	my ($verb, $block, @args) = @_;
	my $p = Proxy->prepare(backend => $mta->address, extra => $block,
	    listen => [{ chain => ['x'] }], set => { 'dns-servers' => [$dns->server] });

	$p->write('message', $mail);
	my ($status, $said) = Run::run($Proxy::PROGRAM, $verb, '-c', "$p->{dir}/vratar.conf",
	    map { s/^\@/$p->{dir}\//r } @args);
	return ($status >> 8, $said);
}

subtest 'vratar check' => sub {
	my $it = Milter->start;
	for (['client.ipp in 10.0.0.0/8', qr/^\S+vratar\.conf:\d+: when: there is no field "client\.ipp" \(did you mean client\.ip\?\)\nclient\.ipp in 10\.0\.0\.0\/8\n\^$/m],
	    ['rcpt.domain is "a.b"', qr/when: there is rcpt\.domain at rcpt only$/m],
	    ['client.ip in local_nets', qr/when: there is no list or table "local_nets"$/m],
	    ['clamd.scanned', qr/when: there is clamd\.scanned from \w+ on/],
	    ['mail in "cidr:/nonexistent/x"', qr/when: .*\/nonexistent\/x: No such file/]) {
		my ($status, $said) = run('check', filter('x', $it, $_->[0]));
		is($status, 2, "$_->[0]: a mistake");
		like($said, $_->[1], '… told');
	}
	my ($status, $said) = run('check', policy('x', 'auth.user'));
	is($status, 2, 'too late for its filter');
	like($said, qr/filter "x": when reads what is not known before MAIL, and this filter is asked at connect already/, '… told');
	($status, $said) = run('check', policy('x', 'tls'));
	is("$status $said", '0 ', 'known early enough');
};

subtest 'vratar test' => sub {
	my $it = Milter->start;
	my @args = (qw(--client 192.0.2.1 --helo a.example --from a@no.example --rcpt b@example.com @message));
	my ($status, $said) = run('test', filter('x', $it, 'mail.domain is "yes.example"'), @args);
	like($said, qr/vratar\.conf:\d+: when: mail\.domain is "yes\.example"\n\s+mail\.domain = "no\.example", is "yes\.example": no\n\s+-> the filter is not asked\n  filter x at mail: not asked\n/, 'why it was not asked');
	($status, $said) = run('test', filter('x', $it, 'mail.domain is "no.example"'), @args);
	like($said, qr/-> the filter is asked\n/, 'or was');
};

done_testing;
