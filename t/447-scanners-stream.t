#!/usr/bin/perl
# A large message goes on to the backend while a scanner sees it: what the
# scanner refuses at the end is delivered to nobody, over BDAT the session with
# the backend lives on, and what is clean arrives whole.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Peer;
use PeerClamd;
use PeerIcap;
use PeerRspamd;
use PeerSpamd;
use Scanned;
use Wait;

my $text  = "a line of text that is in front of what is bad\r\n" x 8000;
my $clean = Peer::mail($text);
# Each scanner finds one of them; clamd, icap and exec what comes last.
my $bad   = "X-Score: 20\r\n" .
    Peer::mail("$Peer::GTUBE\r\n$text$Peer::EICAR");
my $dir   = File::Temp->newdir;
chmod 0755, $dir;
open my $out, '>', "$dir/find" or die;
print $out "#!/bin/sh\ngrep -q EICAR-STANDARD && exit 69\nexit 0\n";
close $out;
chmod 0755, "$dir/find";

my %peer = (clamd => PeerClamd->start, icap => PeerIcap->start,
    rspamd => PeerRspamd->start, spamd => PeerSpamd->start);
my @types = qw(clamd icap rspamd spamd exec);
my $filters = join '', map { "filter \"$_\" {\n\ttype = \"$_\"\n\t" .
    ($_ eq 'exec' ? "command = { \"$dir/find\" }" :
    "address = { \"" . $peer{$_}->address . '" }') . "\n}\n" } @types;

sub start
{
	my ($mta, $chains, $filters) = @_;

	return Scanned->start(backend => $mta->address,
	    set => { 'hold-size' => '100K' }, chains => $chains,
	    filters => $filters);
}

for my $way ('BDAT', 'DATA') {
	my @ext = ('PIPELINING', 'SIZE 10240000',
	    $way eq 'BDAT' ? 'CHUNKING' : ());
	my $mta = Backend->start(extensions => \@ext);
	my $p = start($mta, { map { $_ => [$_] } @types }, $filters);

	for my $type (@types) {
		subtest "$type, by $way" => sub {
			my $c = $p->to($type);
			my $wire = Client::stuff($bad);

			$mta->forget;
			$c->envelope('a@example.org', 'b@example.com');
			$c->send('DATA');
			$c->expect(qr/^354/);
			$c->octets(substr $wire, 0, 300_000);
			ok($mta->wait_command(qr/^$way/),
			    'it goes on before its end');
			$c->octets(substr $wire, 300_000);
			$c->expect(qr/^554 5\.7\.1 /, 'and is refused there');
			is(scalar $mta->messages, 0, 'nothing is delivered');
			$p->log_like(qr/decision .*verdict=reject at=eom .*filter\.$type=reject\@eom/,
			    'by the scanner');
			$c->deliver('a@example.org', 'b@example.com', $clean);
			ok($mta->last->{content} eq $clean, 'what is clean is whole');
			is($mta->last->{by}, $way, "by $way");
			is(scalar $mta->commands(qr/^RSET/), $way eq 'BDAT' ?
			    1 : 0, 'a refusal is RSET');
			is(scalar(grep { $_->{state} eq 'data' }
			    $mta->events('close')), $way eq 'BDAT' ? 0 : 1,
			    'or the end of the connection');
			$c->close;
		};
	}
}

# Two of them see it while it comes, and may say so before its end.
for (['clamd', sub { }, "stream: Evil FOUND\0"],
    ['icap', sub {
	Peer::upto($_[0], "\r\n\r\n");
	syswrite $_[0], "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n\r\n";
    }, "ICAP/1.0 200 OK\r\nX-Virus-ID: Evil\r\nEncapsulated: null-body=0\r\n\r\n"]) {
	my ($type, $hello, $found) = @$_;

	subtest "$type sees it while it comes" => sub {
		my $peer = Peer->script(sub {
			my ($fh, $report) = @_;
			$hello->($fh);
			Peer::octets($fh, 200_000);
			$report->('has the first half');
			syswrite $fh, $found;
			Peer::linger($fh);
		});
		my $mta = Backend->start;
		my $p = start($mta, { it => ['it'] }, "filter \"it\" { type = \"$type\" address = { \"" .
		    $peer->address . "\" } }\n");
		my $c = $p->to('it');
		my $wire = Client::stuff($clean);

		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets(substr $wire, 0, 250_000);
		ok($peer->wait_report(qr/first half/), 'half of it');
		ok($mta->wait_command(qr/^BDAT/), 'as the backend does');
		$c->octets(substr $wire, 250_000);
		$c->expect(qr/^554 5\.7\.1 the message contains Evil/,
		    'what it said in the middle counts');
		is(scalar $mta->messages, 0, 'nothing is delivered');
		is(scalar $mta->commands(qr/LAST/), 0, 'it never ended');
	};
}

done_testing;
