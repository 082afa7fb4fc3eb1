#!/usr/bin/perl
# Many patterns on one field are decided as one by one; what was made of them is
# kept in cache-directory, and used at the next start.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Proxy;
use Run;

my $libhs = `ldd $ENV{VRATAR}` =~ /libhs/;
my $mta = Backend->start;
my $policy = File::Temp->new(SUFFIX => '.rules');
my $table = File::Temp->new(SUFFIX => '.pcre');
my $cache = File::Temp->newdir;
chmod 0700, $cache;

sub write_to
{
	my ($file, $text) = @_;
	open my $out, '>', "$file" or die "$file: $!";
	print $out $text;
	close $out;
}

# Short ones, that only libhs can tell of, and one that is nothing for it.
write_to($policy, join '', "at header\n",
    map({ sprintf qq(    reject "%02d" if header.value ~ /^[a-c]%02d+\$/\n),
    $_, $_ } 10 .. 40),
    qq(    reject "last" if header.value ~ /x\\Ky/\n),
    "    use header_checks \"pcre:$table\"\n");
my $entries = join '', map { "/w$_(z)/ REJECT table $_ \$1\n" } 10 .. 40;
write_to($table, $entries);

sub start
{
	return Proxy->start(backend => $mta->address,
	    listen => { chain => ['policy'] },
	    set => { 'cache-directory' => "$cache" },
	    extra => qq(filter "policy" { type = "policy" file = "$policy" }\n));
}

sub files
{
	return map { join ' ', $_, (stat)[1, 7, 9] } sort glob "$cache/*";
}

sub replies
{
	my ($proxy) = @_;
	my $c = $proxy->client;

	$c->hello;
	for (['a10', '10'], ['b400', '40'], ['d11'], ['xy', 'last'],
	    ['w33z', 'table 33 z'], ['w33'], ['a100 w9z']) {
		my ($value, $want) = @$_;
		if (!defined $want) {
			$c->deliver('a@example.org', 'b@example.com',
			    "X: $value\r\n\r\nx\r\n");
			next;
		}
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("X: $value\r\n\r\nx\r\n");
		$c->expect(qr/^55[04] 5\.7\.1 \Q$want\E$/, "$value: $want");
	}
	$c->close;
}

my $first = start();
replies($first);
my @made = files();
is(scalar @made, $libhs ? 2 : 0, 'two sets are kept');
$first->stop;

my $second = start();
replies($second);
is_deeply([files()], \@made, 'they are used again');

# A table that changes while we serve is good for new patterns at once.
write_to($table, join '', map { "/v$_/ REJECT new $_\n" } 10 .. 50);
$second->clock(5000);
my $c = $second->client;
$c->hello;
$c->envelope('a@example.org', 'b@example.com');
$c->message("X: v50\r\n\r\nx\r\n");
$c->expect(qr/^550 5\.7\.1 new 50$/, 'a table that has changed');
$c->close;
is_deeply([files()], \@made, '… without a worker that compiles');
$second->stop;

write_to($table, $entries);
# Others could put something there.
chmod 0777, $cache;
my $third = start();
replies($third);
if ($libhs) {
	$third->log_like(qr/cache directory=\S+ file=- problem="somebody else/,
	    'a directory of everybody is not used');
}
is_deeply([files()], \@made, 'nothing is written there');
$third->stop;
done_testing;
