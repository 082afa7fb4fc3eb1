#!/usr/bin/perl
# Many patterns on one field are decided as one by one; what was made of them is
# kept in cache-directory, and used at the next start. A long text is seen to its
# end, by a thread.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Proxy;
use Run;
use Wait;

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

# A large one is read by a thread; until that is through the old one is good.
write_to($table, join '', map { sprintf "/u%d(x|y{%d}z)/ REJECT large %d\n",
    $_, 10 + $_ % 50, $_ } 1 .. 250);
$second->clock(5000);
Wait::poll(sub {
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("X: u250x\r\n\r\nx\r\n");
	($c->reply)[1] =~ /^550 5\.7\.1 large 250$/;
}) or fail('a large table that has changed');
$second->log_like(qr/table file=\S+ reload=done keys=250/, 'a large one');
$c->close;
is_deeply([files()], \@made, '… and a worker writes no files');
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

# A text of up to 1 MiB is seen whole, and what is not is a fact. A pattern that
# takes long keeps nobody else waiting.
my $long = File::Temp->new(SUFFIX => '.rules');
write_to($long, join '', "at eom\n",
    map({ sprintf qq(    reject "%02d %%{1}" if body ~ /needle%02d(\\d)/\n),
    $_, $_ } 10 .. 40), <<'END');
    reject "slow" if raw_body ~ /a.{0,400}b\d/s
    reject "facts %{mime.errors}" if "long-text" in mime.errors
END
my $p = Proxy->start(backend => $mta->address,
    listen => { chain => ['policy'] },
    extra => qq(filter "policy" { type = "policy" file = "$long" }\n));
my $mib = 1 << 20;

sub text
{
	my ($octets, $end) = @_;
	my $line = 'x' x 62 . "\r\n";
	return "A: b\r\n\r\n" . $line x (($octets - length $end) / 64) . $end;
}

sub tested
{
	my ($message) = @_;
	my $file = File::Temp->new;
	write_to($file, $message);
	my ($status, $out) = Run::run($Proxy::PROGRAM, 'test', '--policy',
	    "$long", '--client', '127.0.0.1', '--helo', 'c.example', '--from',
	    'a@example.org', '--rcpt', 'b@example.com', "$file");
	return $out =~ /^DATA (.*)$/m ? $1 : $out;
}

for my $row (
	['a short one', 1000, "needle11\r\n", qr/^250 /],
	['a short one', 1000, "needle111\r\n", qr/^554 5\.7\.1 11 1$/],
	['above scan-in-thread', 20_000, "needle401\r\n", qr/^554 5\.7\.1 40 1$/],
	['above what it was cut at', 300_000, "needle202\r\n", qr/^554 5\.7\.1 20 2$/],
	['as long as can be', $mib - 300_000, "needle303\r\n", qr/^554 5\.7\.1 30 3$/],
	['nothing there', 700_000, "needle3\r\n", qr/^250 /],
	['longer', $mib + 200_000, "needle303\r\n", qr/^554 5\.7\.1 facts long-text$/],
) {
	my ($name, $octets, $end, $want) = @$row;
	my $message = text($octets, $end);
	my $client = $p->client;
	$client->hello;
	$client->envelope('a@example.org', 'b@example.com');
	$client->message($message);
	$client->expect($want, $name);
	like(tested($message), $want, "$name: test says so, too");
	$client->close;
}

my $slow = $p->client;
my $other = $p->client;
$_->hello for $slow, $other;
$slow->envelope('a@example.org', 'b@example.com');
$slow->message("A: b\r\n\r\n" . ('a' x 900 . "\r\n") x 1000 . "b\r\n");
$other->deliver('a@example.org', 'b@example.com', text(1000, "fine\r\n"));
$slow->expect_nothing('another session goes on meanwhile');
$slow->expect(qr/^250 /, 'it has its answer');
$slow->close;
$other->close;
$p->stop;
done_testing;
