#!/usr/bin/perl
# Clients that were not written by us get their mail through, in plain text
# and over TLS.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;
use Run;

my $mta   = Backend->start(auth => 'PLAIN LOGIN');
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
    listen => [{}, { tls => 'implicit' }]);
my $plain = $proxy->address;
my $tls   = $proxy->address(1);

# Run a client and look what arrived.
sub client
{
	my ($messages, @command) = @_;

	$mta->forget;
	my ($status, $output) = Run::run(@command);
	is($status, 0, "@command[0 .. 1] …") or diag($output);
	is(scalar $mta->messages, $messages, "$messages messages");
	return $output;
}

SKIP: {
	skip 'swaks is not installed' unless Run::which('swaks');
	my @swaks = ('swaks', '--from', 'a@example.org', '--to',
	    'b@example.com,c@example.com', '--helo', 'swaks.example',
	    '--body', "one\n.two\n..three\n");

	for (['plain text' => '--server', $plain],
	    ['STARTTLS' => '--server', $plain, '--tls'],
	    ['implicit TLS' => '--server', $tls, '--tls-on-connect'],
	    ['pipelining' => '--server', $plain, '--pipeline'],
	    ['AUTH' => '--server', $plain, '--tls', '--auth', 'PLAIN',
	    '--auth-user', 'u', '--auth-password', 'p'],
	    ['AUTH LOGIN' => '--server', $plain, '--tls', '--auth', 'LOGIN',
	    '--auth-user', 'u', '--auth-password', 'p']) {
		my ($name, @args) = @$_;
		subtest "swaks, $name" => sub {
			client(1, @swaks, @args);
			my $m = $mta->last or return;
			is(scalar @{$m->{rcpts}}, 2, 'two recipients');
			like($m->{content},
			    qr/\r\n\r\none\r\n\.two\r\n\.\.three\r\n/,
			    'content');
		};
	}
}

SKIP: {
	skip 'smtp-source is not installed' unless Run::which('smtp-source');

	for (['one after the other'], ['ten at a time' => '-s', 10],
	    ['one connection' => '-d'], ['many recipients' => '-r', 20]) {
		my ($name, @args) = @$_;
		subtest "smtp-source, $name" => sub {
			client(50, Run::which('smtp-source'), '-m', 50, @args,
			    '-N', '-l', 4096, '-f', 'a@example.org', '-t',
			    'b@example.com', "inet:$plain");
			my %seen;
			$seen{$_}++ for map { @{$_->{rcpts}} } $mta->messages;
			is(scalar(grep { $_ != 1 } values %seen), 0,
			    'each recipient once');
		};
	}
}

SKIP: {
	skip 'python3 is not installed' unless Run::which('python3');
	my $script = $proxy->write('client.py', <<'END');
import smtplib, ssl, sys
how, host, port = sys.argv[1:4]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if how == 'implicit':
    s = smtplib.SMTP_SSL(host, int(port), context=context, timeout=20)
else:
    s = smtplib.SMTP(host, int(port), timeout=20)
s.ehlo('python.example')
if how == 'starttls':
    s.starttls(context=context)
    s.ehlo('python.example')
for i in range(3):
    refused = s.sendmail('a@example.org', ['b@example.com'],
        'Subject: %d\r\n\r\n.dot\r\n' % i)
    assert refused == {}
s.send_message
s.quit()
END
	for my $how ('plain', 'starttls', 'implicit') {
		subtest "smtplib, $how" => sub {
			my ($host, $port) = split /:/,
			    $how eq 'implicit' ? $tls : $plain;
			client(3, 'python3', $script, $how, $host, $port);
			is(scalar(grep { $_->{content} =~ /\r\n\.dot\r\n\z/ }
			    $mta->messages), 3, 'content');
		};
	}
}

SKIP: {
	skip 'curl is not installed' unless Run::which('curl');
	my $file = $proxy->write('mail', "Subject: curl\r\n\r\n.x\r\n");

	subtest 'curl' => sub {
		for my $url ("smtp://$plain", "smtps://$tls") {
			client(1, 'curl', '-sS', '-k', '--url', $url,
			    '--mail-from', 'a@example.org', '--mail-rcpt',
			    'b@example.com', '-T', $file);
			like($mta->last->{content}, qr/\r\n\.x\r\n\z/,
			    $url);
		}
	};
}

done_testing;
