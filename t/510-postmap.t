#!/usr/bin/perl
# "vratar table" answers as "postmap -q" does: the same output and the same exit
# status, for generated tables of each format and thousands of keys, among them
# keys that nobody would write.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;

my $vratar  = $ENV{VRATAR} || './vratar';
my $postmap = '/usr/sbin/postmap';
my $seed    = $ENV{TEST_SEED} || 510;
my $dir     = tempdir('postmap-XXXXXX', TMPDIR => 1, CLEANUP => 1);

-x $postmap or plan skip_all => 'Postfix is not installed';
srand $seed;
note "TEST_SEED=$seed";

sub spew
{
	my ($file, $octets) = @_;
	open my $out, '>:raw', "$dir/$file" or die "$file: $!";
	print $out $octets;
	close $out or die "$file: $!";
}

# A configuration of its own: what this machine's Postfix is told is no matter.
mkdir "$dir/etc" or die "mkdir: $!";
spew('etc/main.cf', "compatibility_level = 3.7\ninet_protocols = all\n"
    . "smtputf8_enable = yes\nlmdb_map_size = 100000000\n");
if (open my $maps, '<', '/etc/postfix/dynamicmaps.cf') {
	local $/;
	spew('etc/dynamicmaps.cf', scalar <$maps>);
}
my %has = map { chomp; $_ => 1 } `/usr/sbin/postconf -c $dir/etc -m`;

sub slurp
{
	my ($file) = @_;
	open my $in, '<:raw', "$dir/$file" or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# Exit status and standard output of a program that gets this on its standard
# input. Through files, because both sides may be large.
sub answers
{
	my ($in, @command) = @_;

	spew('in', $in);
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDIN, '<', "$dir/in" or die;
		open STDOUT, '>', "$dir/out" or die;
		open STDERR, '>', "$dir/err" or die;
		exec @command or die "exec: $!";
	}
	waitpid $pid, 0;
	return ($?, slurp('out'));
}

# The first lines that differ.
sub difference
{
	my ($ours, $theirs) = map { [split /\n/, $_] } @_;
	my $i = 0;
	$i++ while $i < @$ours && $i < @$theirs && $ours->[$i] eq $theirs->[$i];
	return "vratar:  " . ($ours->[$i] // '(end)') . "\npostmap: "
	    . ($theirs->[$i] // '(end)');
}

# All keys in one run each; then some of them alone. Returns how many keys
# postmap found, so that a test can see that it is about something.
sub compare
{
	my ($spec, $name, @keys) = @_;
	my $in = join '', map { "$_\n" } @keys;
	my ($status, $said) = answers($in, $postmap, '-c', "$dir/etc", '-q',
	    '-', $spec);
	# It throws away what it has not written yet when it gives up.
	my $gave_up = slurp('err') =~ /: query error/;
	my ($our_status, $we_said) = answers($in, $vratar, 'table', '-q', '-',
	    $spec);

	ok($gave_up ? slurp('err') =~ /look-up failed$/m : $we_said eq $said,
	    "$name: " . @keys . ' keys') or diag difference($we_said, $said);
	is($our_status, $status, "$name: exit status");
	my $found = () = $said =~ /\n/g;
	for my $key (@keys[0 .. ($#keys < 3 ? $#keys : 3)]) {
		next if $key eq '-';
		my @theirs = answers('', $postmap, '-c', "$dir/etc", '-q', $key,
		    $spec);
		my @ours = answers('', $vratar, 'table', '-q', $key, $spec);
		is_deeply(\@ours, \@theirs, "$name: one key alone");
	}
	return $found;
}

sub pick { return $_[int rand @_]; }

sub word
{
	return join '', map { pick('a' .. 'f', 'A' .. 'F', 0 .. 3) }
	    1 .. 1 + rand 3;
}

# As one would write it, most of the time.
my @odd = ("\xc3\xb6", "\xc3\x96", "\xc3\x9f", "\xe1\xba\x9e", "\xc4\xb0",
    "\xcf\x82", "\xf0\x90\x90\x80", "\xff", "\xc3", '+x', '$', '%', '"a b"',
    "\\", '=', ',', '#', '{', '}', "\t", ' ', ':', '!', "\r", "\x01");

sub key
{
	my $key = pick(word(), word() . '@' . word() . '.org', '@' . word(),
	    '.' . word(), word() . pick('+', '-') . word() . '@x');
	substr $key, int rand(1 + length $key), 0, pick(@odd) if rand() < 0.2;
	return $key;
}

sub value { return pick(word(), 'OK', word() . "  " . word(), '# x', ''); }

# Files of keys and values

sub key_file
{
	my ($lines) = @_;
	my $text = '';

	for (1 .. $lines) {
		my $key = key();
		$key = qq("$key") if rand() < 0.1;
		$text .= pick('', '', '', '', '', '', '', "# comment\n", "\n",
		    " \t\n", " continued\n", "\tand more \n", "  # no more\n",
		    "alone\n", "\"open x\n");
		$text .= $key . pick(' ', "\t", "  \t", "\n ") . value()
		    . pick('', '', ' ', "\r") . "\n";
	}
	return $text;
}

for my $round (1 .. 2) {
	my $text = ($round == 2 ? " first\n" : '') . key_file(1500);
	my @keys = ((map { key() } 1 .. 3000),
	    map { /^(\S+)/ ? (pick($1, uc $1, lc $1), "$1 ",
	    substr $1, 1) : () } split /\n/, $text);
	# Some of Postfix's libraries fail when they are asked for nothing.
	@keys = grep { length } @keys;

	spew('table', $text);
	cmp_ok(compare("texthash:$dir/table", 'texthash', @keys), '>', 500,
	    'many of them are found');
	for my $type (qw(hash btree lmdb cdb)) {
		SKIP: {
			skip "this Postfix has no $type", 1 unless $has{$type};
			for my $nul ([], ['-n'], ['-N']) {
				spew("$type", $text);
				system("$postmap @$nul -c $dir/etc "
				    . "$type:$dir/$type 2>/dev/null") == 0 or
				    die "postmap $type";
				cmp_ok(compare("$type:$dir/$type",
				    "$type @$nul", @keys), '>', 500,
				    'many of them are found');
				unlink "$dir/$type.db", "$dir/$type.lmdb",
				    "$dir/$type.cdb";
			}
		}
	}
}

# Files of patterns

sub regex
{
	my ($type) = @_;
	my @atoms = ('a', 'b', 'c', 'B', '.', '[a-c]', '[^ab]', '(a)', '(b|c)',
	    '(a|bc)?', '(.*)', '\\.', '@', '\\/', '^', '$', '([0-9])',
	    '(', '[', 'a{2}', 'x', ' ', "\xc3\xb6");

	push @atoms, '(?:a|b)', '(?i)', '(?=a)', '\\d', '\\w', '(a*?)',
	    '(?<n>b)', '\\Q.\\E', '(?#x)', '\\K' if $type eq 'pcre';
	push @atoms, '\\(a\\)', '[[:digit:]]', '\\1' if $type eq 'regexp';
	return join '', map { pick(@atoms) } 1 .. 1 + rand 4;
}

sub flags
{
	my @flags = $_[0] eq 'pcre' ? (qw(i m s x A E U ii xi), 'Z') :
	    (qw(i m x ix ii), 'Z');
	return rand() < 0.3 ? pick(@flags) : '';
}

sub pattern
{
	my ($type) = @_;
	my ($not, $d) = (pick('', '', '', '', '!', '! ', '!!'),
	    pick('/', '/', '/', '/', '|', ',', '~', 'a'));

	return "$not$d" . regex($type) . (rand() < 0.02 ? '' : $d)
	    . flags($type)
	    . ($type eq 'regexp' && rand() < 0.1 ? '!'
	    . pick('', '', '', '!', ' ', '! ') . '/' . regex($type) . '/'
	    . flags($type) : '');
}

sub result
{
	return pick('', ' ', "\t") . join '', map { pick(word(), word(), 'x y',
	    '$1', '${1}', '$(2)', '$$', ' ', '$3', '$0', '$01', '${2', '$x',
	    '$', '%1', '$1a', '$2.') } 1 .. 1 + rand 2.3;
}

sub pattern_file
{
	my ($type, $lines) = @_;
	my $text = '';

	for (1 .. $lines) {
		$text .= pick((map { pattern($type) . ' ' . result() } 1 .. 14),
		    map { (pick('if ', 'if', 'IF ', 'if  ') . pattern($type)
		    . pick('', '', '', '', ' text')) } 1 .. 2) . "\n";
		$text .= pick((map { '' } 1 .. 12), "endif\n", "endif\n",
		    "EndIf \n", "endif text\n", "junk line\n", "# x\n",
		    " continued\n", "if\n", "!\n", "endifx\n");
	}
	return $text;
}

sub subject
{
	my $s = join '', map { pick('a', 'b', 'c', 'ab', 'abc', 'x', '@', '.',
	    'B', '1', '23', ' ', '/') } 1 .. rand 7;
	$s .= pick(@odd) if rand() < 0.1;
	return $s;
}

for my $type (qw(pcre regexp)) {
	SKIP: {
		skip "this Postfix has no $type", 1 unless $has{$type};
		my @keys = map { subject() } 1 .. 300;
		my $found = 0;
		for my $round (1 .. 20) {
			spew('patterns', pattern_file($type, 1 + 2 * $round));
			$found += compare("$type:$dir/patterns",
			    "$type file $round", @keys);
		}
		cmp_ok($found, '>', 1000, "$type: many of them are found");
	}
}

# Networks

sub ip4 { return join '.', map { pick(0, 1, 10, 127, 192, 255) } 1 .. 4; }

sub ip6
{
	return pick(sub { '2001:db8::' . pick(1, 2, 'F') },
	    sub { join ':', map { sprintf '%x', pick(0, 1, 0xdb8) } 1 .. 8 },
	    sub { '::ffff:' . ip4() }, sub { '::' })->();
}

sub network
{
	my $not = pick('', '', '', '', '!', '! ');
	my $ip  = rand() < 0.6 ? ip4() : ip6();
	my $net = pick($ip, "[$ip]", "$ip/32", "$ip/8", '10.0.0.0/8',
	    '192.0.0.0/4', '2001:db8::/32', '::/0', '0.0.0.0/0', '128.0.0.0/1',
	    "[$ip]/32", '1.0.0.0/7', '0.0.0.0/5', '2001::/15', "$ip/129",
	    "$ip/",
	    "[$ip", "$ip]", "0$ip", '2001:db8::/33', '1.2.3', "$ip/0x8",
	    '10.1.0.0/16', '127.0.0.0/9', '255.255.255.254/31', "$ip/128");
	return "$not$net";
}

sub network_file
{
	my ($lines) = @_;

	return join '', map { pick((map { network() . pick(' ', "\t", '  ')
	    . pick(word(), 'two words', '$1 $$ ${', '') . "\n" } 1 .. 10),
	    (map { pick('if ', 'IF  ', 'if') . network()
	    . pick('', '', '', ' x') . "\n" } 1 .. 2), "endif\n", "ENDIF \n",
	    "endif x\n", "if\n", "!\n", "# 1.2.3.4 x\n", " more\n") }
	    1 .. $lines;
}

SKIP: {
	skip 'this Postfix has no cidr', 1 unless $has{cidr};
	my @keys = ((map { ip4() } 1 .. 200), (map { ip6() } 1 .. 150), '',
	    '1.2.3', '1.2.3.4.5', ' 1.2.3.4', '01.2.3.4', 'x', '[1.1.1.1]',
	    '1.2.3.4/32', '::g', ':::', '2001:DB8::1', 'fe80::1%eth0',
	    '1.2.3.4 ', "\xff");
	my $found = 0;
	for my $round (1 .. 20) {
		spew('networks', network_file(2 + 2 * $round));
		$found += compare("cidr:$dir/networks", "cidr file $round",
		    @keys);
	}
	cmp_ok($found, '>', 1000, 'cidr: many of them are found');
}

# Tables that are written where they are named

my @inline = ('inline:{a=b}', 'inline:{ {a = b c}, d=e }', 'inline:{a=}',
    'inline:{a}', 'inline:{}', 'inline:{ }', 'inline:{A=x}',
    'inline:{a=x a=y}', 'inline:{{a=x} junk}', 'inline:{{a=x}junk}',
    'inline:a=x', 'inline:{a=x', 'inline:{a=x}}', 'inline:{a=x=y}',
    'inline:{{a b=x}}', 'inline:{ ,, a=1,,b=2 }', 'inline: {a=1}',
    'inline:{a=1} ', 'inline:{{a={x}}}', 'inline:{a={x y}}',
    'inline:{{a=b},{c=d}}', 'inline:{{ a = } , b=c}', "inline:{a=\xc3\xb6}",
    "inline:{\xc3\x96=x a=y}", "inline:{a=\xff}", 'inline:{a=x,{}}',
    'inline:', 'static:x', 'static:{ x y }', 'static:{}', 'static:',
    'static:{x', 'static:{x}y', 'static:x y', 'static: x', 'static:{{x}}',
    "static:\xff", 'static:}{', 'unionmap:{static:x,static:{y z}}',
    'unionmap:{static:x, {static:{y z}}}', 'unionmap:{static:x}',
    'unionmap:{}', 'unionmap:{ }', 'unionmap:{inline:{b=c} static:x}',
    'unionmap:{inline:{b=c}}', 'pipemap:{inline:{a=b} inline:{b=c}}',
    'pipemap:{inline:{a=B} inline:{b=c}}',
    'pipemap:{inline:{a=b} inline:{d=c}}', 'pipemap:{inline:{a=b}}',
    'unionmap:static:x', 'unionmap:{nope:x}', 'unionmap:{static}',
    'unionmap:{pipemap:{inline:{a=1},inline:{1=2}},static:q}',
    'pipemap:{unionmap:{static:a,static:b},inline:{a,b=x {a,b=y}}}',
    'pipemap:{unionmap:{static:a,static:b},inline:{{a,b=y}}}',
    'pcre:{{/a/ x$$1}, {/b/ y}}', 'pcre:{ {/a/ x} {/b/ {y} } }',
    'pcre:{/a/ x}', 'pcre:{{/(a)/ <$1>}}', 'pcre:{}', 'pcre:{{if /a/} '
    . '{/a/ in} {endif} {/./ out}}', 'pcre:{{/a/ x}', 'pcre:{ {# x} {/a/ y} }',
    'regexp:{{/(a)/ <$1>}, {!/x/ n}}', 'cidr:{{1.2.3.4 x}, {::/0 y}}',
    'texthash:{{a b}}', 'nope:x', 'hash:/nonexistent', 'pcre:/nonexistent',
    'cidr:/nonexistent', 'texthash:/nonexistent', 'lmdb:/nonexistent');

# postmap sleeps a second over each one that it does not like, so all of them
# are asked at once.
sub start_all
{
	my ($name, $keys, @command) = @_;
	my %pid;

	spew('keys', join '', map { "$_\n" } @$keys);
	for my $i (0 .. $#inline) {
		$pid{$i} = fork // die "fork: $!";
		next if $pid{$i};
		open STDIN, '<', "$dir/keys" or die;
		open STDOUT, '>', "$dir/$name.$i" or die;
		open STDERR, '>', '/dev/null' or die;
		exec @command, '-q', '-', $inline[$i] or die "exec: $!";
	}
	return map {
		waitpid $pid{$_}, 0;
		[$?, slurp("$name.$_")];
	} 0 .. $#inline;
}

@inline = grep { /^(\w+):/ && ($1 eq 'nope' || $has{$1}) } @inline;
my @keys = ('a', 'A', 'b', 'ab', '1.2.3.4', '::1', '', "\xc3\xb6", 'a b', 'd',
    'x');
my @theirs = start_all('postmap', \@keys, $postmap, '-c', "$dir/etc");
my @ours   = start_all('vratar', \@keys, $vratar, 'table');
is_deeply($ours[$_], $theirs[$_], $inline[$_]) for 0 .. $#inline;

# The first of several tables that has the key.
my @two = ('inline:{a=1}', 'inline:{a=2 b=3}');
for my $key (qw(a b c)) {
	is_deeply([answers('', $vratar, 'table', '-q', $key, @two)],
	    [answers('', $postmap, '-c', "$dir/etc", '-q', $key, @two)],
	    "$key in the first of two tables");
}
done_testing;
