#!/usr/bin/perl
# Clients may be asked for a certificate, or have to show one; policies see
# what they have shown, and whether anybody vouches for it.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use IO::Socket::SSL;
use Test::More;
use Backend;
use Cert;
use Proxy;
use Run;

my $cert  = Cert->shared;
my $other = Cert->make;
my ($pem, $key) = $cert->issue('client', 'DNS:client.example');
my ($bad_pem, $bad_key) = $other->issue('client', 'DNS:client.example');
my %good = (SSL_use_cert => 1, SSL_cert_file => $pem, SSL_key_file => $key);
my %bad = (SSL_use_cert => 1, SSL_cert_file => $bad_pem,
    SSL_key_file => $bad_key);

# As Postfix and openssl(1) write it.
sub fingerprint
{
	my ($out) = `openssl x509 -in $_[0] -noout -sha256 -fingerprint`
	    =~ /=(\S+)/;

	return $out;
}

my $policy = File::Temp->new(SUFFIX => '.rules');
print $policy <<'END';
at mail
    log "shown: %{tls.cert.verified} <%{tls.cert.subject}> <%{tls.cert.issuer}> %{tls.cert.fingerprint}"
END
close $policy;
my $mta  = Backend->start;
my @tls  = ('tls-client-ca' => $cert->ca, chain => ['policy']);
my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
    set => { 'error-limit' => 1000 },
    extra => "filter \"policy\" { type = \"policy\" file = \"$policy\" }\n",
    listen => [
	{ 'tls-client-certificate' => 'ask', @tls },
	{ 'tls-client-certificate' => 'require', @tls },
	{ 'tls-client-certificate' => 'ask', tls => 'implicit', @tls },
	{ 'tls-client-certificate' => 'require', tls => 'implicit', @tls },
	{ chain => ['policy'] },
	{ 'tls-client-certificate' => 'ask', chain => ['policy'] },
    ]);
my ($ASK, $REQUIRE, $ASK_465, $REQUIRE_465, $OFF, $ASK_NO_CA) = 0 .. 5;

sub client
{
	my ($listener, %show) = @_;
	my $implicit = $listener == $ASK_465 || $listener == $REQUIRE_465;
	my $c = $proxy->client(listener => $listener,
	    $implicit ? (tls => \%show) : ());

	$c->hello;
	return $c if $implicit;
	$c->starttls(%show);
	$c->hello;
	return $c;
}

# What the policy saw.
sub shown
{
	my ($c, $like, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->deliver('a@example.org', 'b@example.com');
	$proxy->log_like(qr/note at=mail text="shown: $like"/, $name);
}

my $nothing = qr/no <> <> /;
my $print = fingerprint($pem);
my $bad_print = fingerprint($bad_pem);
like($print, qr/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/, 'a fingerprint');

for my $listener ($ASK, $ASK_465) {
	subtest $listener == $ASK ? 'ask' : 'ask, implicit' => sub {
		my $c = client($listener, %good);
		$proxy->log_like(qr/ tls version=\S+ cipher=\S+ certificate=verified fingerprint=\Q$print\E$/,
		    'the log of TLS');
		shown($c, qr/yes <CN=client> <CN=Test CA> \Q$print\E/,
		    'one of our authority');
		shown(client($listener), $nothing, 'none');
		$c = client($listener, %bad);
		$proxy->log_like(qr/ certificate=untrusted fingerprint=\Q$bad_print\E$/);
		shown($c, qr/no <CN=client> <CN=Test CA> \Q$bad_print\E/,
		    'one of another that has the same name');
	};
}

subtest 'not asked' => sub {
	shown(client($OFF, %good), $nothing, 'nothing is known');
	my $c = $proxy->client(listener => $ASK);
	$c->hello;
	shown($c, $nothing, 'nor without TLS');
	shown(client($ASK_NO_CA, %good), qr/no <CN=client> .* \Q$print\E/,
	    'without an authority nobody is trusted');
};

subtest 'names with tricks' => sub {
	my ($p, $k) = map { $cert->path("trick.$_") } qw(pem key);
	$cert->openssl(qw(req -x509 -newkey ec -pkeyopt
	    ec_paramgen_curve:prime256v1 -nodes -days 9 -utf8 -subj),
	    "/O=M\303\274ller\n/CN=x, CN=partner.example", '-keyout', $k,
	    '-out', $p);
	shown(client($ASK, SSL_use_cert => 1, SSL_cert_file => $p,
	    SSL_key_file => $k),
	    qr/no <O=M\S+ller\S+, CN=\\"x, CN=partner\.example\\"> .*/,
	    'one value does not look like two');
};

for my $listener ($REQUIRE, $REQUIRE_465) {
	subtest $listener == $REQUIRE ? 'require' : 'require, implicit' => sub {
		shown(client($listener, %good), qr/yes <CN=client> .*/,
		    'with one of ours');
		for my $row (['no client certificate presented'],
		    ['client certificate is not trusted', %bad]) {
			my ($why, %show) = @$row;
			my $c = client($listener, %show);

			for my $line ('MAIL FROM:<a@example.org>', 'RSET',
			    'VRFY x', 'HELO x', 'AUTH PLAIN AGEAYg==',
			    'XCLIENT ADDR=192.0.2.1') {
				$c->send($line);
				$c->expect(qr/\A530 5\.7\.0 \Q$why\E\z/, $line);
			}
			$c->bdat("QUIT\r\n", 1);
			$c->expect(qr/\A530 5\.7\.0 \Q$why\E\z/, 'BDAT');
			$c->send('NOOP');
			$c->expect(qr/^250 /, 'NOOP');
			$c->quit;
		}
	};
}

subtest 'require, and no TLS' => sub {
	my $c = $proxy->client(listener => $REQUIRE);

	ok(exists $c->hello->{STARTTLS}, 'it is offered');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^530 5\.7\.0 must issue a STARTTLS command first$/);
};

# As in 600-tls.t: the same client, with the tickets it has.
my @open;

sub resumed
{
	my ($listener, $context) = @_;
	my $c = $proxy->client(listener => $listener,
	    tls => { SSL_reuse_ctx => $context,
	    SSL_session_key => 'the same for all' });

	$c->greeting;
	$c->hello;
	push @open, $c;
	return ($c->{fh}->get_session_reused ? 1 : 0, $c);
}

sub context
{
	return IO::Socket::SSL::SSL_Context->new(
	    SSL_verify_mode => SSL_VERIFY_NONE,
	    SSL_session_cache_size => 10, @_) || die $SSL_ERROR;
}

subtest 'tickets' => sub {
	for my $v ('TLSv1_2', 'TLSv1_3') {
		my $context = context(SSL_version => $v, %good);
		my ($again, $c) = resumed($ASK_465, $context);
		is($again, 0, "$v: the first");
		shown($c, qr/yes <CN=client> .*/);
		($again, $c) = resumed($ASK_465, $context);
		is($again, 1, "$v: resumed");
		shown($c, qr/yes <CN=client> <CN=Test CA> \Q$print\E/,
		    'and the certificate with it');
		($again, $c) = resumed($REQUIRE_465, $context);
		is($again, 0, "$v: not where another one is asked for");

		my $none = context(SSL_version => $v);
		resumed($ASK_465, $none);
		($again, $c) = resumed($ASK_465, $none);
		is($again, 1, "$v: resumed without one");
		shown($c, $nothing);
		($again, $c) = resumed($REQUIRE_465, $none);
		is($again, 0, "$v: a ticket of nobody");
		$c->send('MAIL FROM:<a@example.org>');
		$c->expect(qr/^530 5\.7\.0 /, 'opens no door');
	}
	# Who was trusted before a reload may not be now.
	my $context = context(%good);
	resumed($ASK_465, $context);
	my $conf = "$proxy->{dir}/vratar.conf";
	open my $in, '<', $conf or die $conf;
	my $text = do { local $/; <$in> };
	my ($ca, $other_ca) = ($cert->ca, $other->ca);
	$text =~ s/tls-client-ca = "\Q$ca\E"/tls-client-ca = "$other_ca"/g or die;
	$proxy->write('vratar.conf', $text);
	$proxy->signal('HUP');
	$proxy->log_like(qr/ reloaded /, 'another authority');
	my ($again, $c) = resumed($ASK_465, $context);
	is($again, 0, 'old tickets are void');
	shown($c, qr/no <CN=client> .*/, 'and this client is not known');
	@open = ();
};

subtest 'mistakes' => sub {
	my @bad = (
		[{ 'tls-client-certificate' => 'ask' },
		    'tls-client-certificate needs tls-certificate'],
		[{ 'tls-client-certificate' => 'require',
		    'tls-certificate' => $cert->cert, 'tls-key' => $cert->key },
		    'tls-client-certificate: "require" needs tls-client-ca'],
		[{ 'tls-client-ca' => $cert->ca,
		    'tls-certificate' => $cert->cert, 'tls-key' => $cert->key },
		    'tls-client-ca needs tls-client-certificate = "ask" or "require"'],
		[{ 'tls-client-certificate' => 'require', starttls => 'off',
		    'tls-client-ca' => $cert->ca,
		    'tls-certificate' => $cert->cert, 'tls-key' => $cert->key },
		    'tls-client-certificate: nobody can show one with starttls = "off"'],
		[{ 'tls-client-certificate' => 'ask',
		    'tls-client-ca' => '/nonexistent',
		    'tls-certificate' => $cert->cert, 'tls-key' => $cert->key },
		    'cannot read certificates /nonexistent: No such file or directory'],
		[{ 'tls-client-certificate' => 'yes' },
		    'tls-client-certificate: "yes" is not one of "off", "ask", "require"'],
	);
	for my $row (@bad) {
		my $p = Proxy->prepare(backend => $mta->address,
		    listen => $row->[0]);
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
		    "$p->{dir}/vratar.conf");
		is($status >> 8, 2, 'exit status');
		like($said, qr/\A\S+vratar\.conf:\d+: \Q$row->[1]\E\n\z/,
		    $row->[1]);
	}
};

done_testing;
