#!/usr/bin/perl
# Whatever a client writes around a dot, only CR LF "." CR LF ends its message;
# the backend receives that one message in canonical form, or nothing, and the
# next message of the session is intact.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use File::Temp qw(tempdir);
use Proxy;

my @with    = @Backend::EXTENSIONS;
my @without = grep { $_ ne 'CHUNKING' } @with;

# What stands between the first part of the message and what pretends to be
# the next commands: all pairs of line ends around a dot, but the true one, ...
my @ends    = ("\r", "\n", "\r\n", "\n\n", "\r\r", "\n\r", "\r\r\n", "\r\n\r");
my @endings = grep { $_ ne "\r\n.\r\n" } map {
	my $before = $_;
	map { "$before.$_" } @ends;
} @ends;
@endings = grep { !/\r\n\.\r\n/ } @endings;

# ... and what else was ever taken for it.
push @endings, "\r\n\0.\r\n", "\r\n.\0\r\n", "\r\n.\r\0\n", "\r\0\n.\r\n",
    "\0\r\n.\n", "\r\n..\r\n", "\r\n...\r\n", "\r\n. \r\n", "\r\n .\r\n",
    "\r\n.\t\r\n", "\r\n.\f\r\n", "\r\n.\x0b\r\n", "\x0b.\x0b", "\f.\f",
    "\x85.\x85", "\xc2\x85.\xc2\x85", "\xe2\x80\xa8.\xe2\x80\xa8",
    "\r\n=2E\r\n", "\r\n\xef\xbb\xbf.\r\n", "\r\n.\r\r\n", "\n..\n",
    "\n..\r\n", "\r..\r", "\r\n\b.\r\n", "\r\n.\x7f\r\n", "\x1a", "\4", ".";

my $evil = "MAIL FROM:<evil\@example.org>\r\nRCPT TO:<victim\@example.com>" .
    "\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n";

sub show
{
	return $_[0] =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;
}

# The oracle, written without looking at the program: what content arrives of
# these octets (without the end of data), or what reply refuses them.
sub unstuffed { return $_[0] =~ s/(\A|\r\n)\./$1/gr; }

sub canonical
{
	my ($octets) = @_;

	$octets =~ s/(\r\n)|(\n)|\r/$1 || $2 ? "\r\n" : ' '/ge;
	return $octets;
}

sub has_bare { return $_[0] =~ /(?<!\r)\n|\r(?!\n)/; }

sub verdict
{
	my ($mode, $octets) = @_;

	return qr/^550 5\.5\.2 / if $mode eq 'reject' && has_bare($octets);
	return qr/^554 5\.6\.0 / if $octets =~ /\0/;
	return qr/^250 2\.0\.0 queued/;
}

# What is wrong with this message as it came over the wire, or ''.
sub fault
{
	my ($m, $want) = @_;
	my $wire = $m->{wire};

	return 'other content' if $m->{content} ne $want;
	return 'bare CR or LF' if has_bare($wire);
	return '' if $m->{by} eq 'BDAT';
	return 'not stuffed as we do it' if $wire ne Client::stuff($want);
	return '';
}

# One message whose octets are sent as these pieces, then an honest one. What
# went wrong, or ''.
sub try_pieces
{
	my ($c, $mta, $mode, $body, $pieces) = @_;
	my $like = verdict($mode, $body);
	my (@m, $text);

	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'DATA');
	for (qr/^250 /, qr/^250 /, qr/^354 /) {
		(undef, $text) = $c->reply;
		return "envelope: $text" if $text !~ $_;
	}
	$c->apart(@$pieces) or return 'not taken';
	(undef, $text) = $c->reply;
	return "reply: $text" if $text !~ $like;
	@m = $mta->messages;
	if ($text =~ /^250 /) {
		return scalar(@m) . ' messages' if @m != 1;
		my $f = fault($m[0], $mode eq 'reject' ?
		    unstuffed($body) : canonical(unstuffed($body)));
		return "$f: " . show($m[0]{wire}) if $f;
	} elsif (@m) {
		return 'refused and delivered';
	}
	my @foreign = grep { /evil|victim/ } $mta->commands;
	return "commands: @foreign" if @foreign;
	return '';
}

sub try_next
{
	my ($c, $mta) = @_;
	my $content = "Subject: next\r\n\r\n.\r\nnext\r\n";
	my $text;

	$mta->forget;
	$c->send('MAIL FROM:<c@example.org>', 'RCPT TO:<d@example.com>',
	    'DATA');
	for (1 .. 3) {
		(undef, $text) = $c->reply;
		return "next: $text" if $text !~ /^(?:250|354) /;
	}
	$c->octets(Client::stuff($content));
	(undef, $text) = $c->reply;
	return "next: $text" if $text !~ /^250 2\.0\.0 queued/;
	my @m = $mta->messages;
	return 'next: not intact' if @m != 1 || $m[0]{content} ne $content ||
	    $m[0]{from} ne '<c@example.org>' ||
	    "@{$m[0]{rcpts}}" ne '<d@example.com>';
	return '';
}

# Whole, cut at every octet in and around the ending, and there octet by octet.
sub splits
{
	my ($head, $ending, $tail) = @_;
	my $all = "$head$ending$tail";
	my $from = length($head) > 1 ? length($head) - 1 : 0;
	my $to = length($head) + length($ending) + 1;
	my @octets = split //, substr $all, $from, $to - $from;

	return ([$all],
	    [grep { length } substr($all, 0, $from), @octets, substr $all, $to],
	    map { [substr($all, 0, $_), substr $all, $_] }
	    ($from || 1) .. $to);
}

sub start
{
	my ($mode, $ext, %o) = @_;
	my $mta = Backend->start(extensions => $ext);
	my $path = tempdir(CLEANUP => 1) . '/s';
	my $proxy = Proxy->start(backend => $mta->address,
	    listen => [{ address => "unix:$path" }],
	    set => { 'line-endings' => $mode, 'error-limit' => 1_000_000,
	    %o });

	return ($mta, $proxy, sub { Client->connect(unix => $path) });
}

for my $mode ('reject', 'normalize') {
	for (['BDAT', \@with], ['DATA', \@without]) {
		my ($by, $ext) = @$_;
		subtest "$mode, to the backend by $by" => sub {
			my ($mta, $proxy, $client) = start($mode, $ext);
			my $c = $client->();
			my $tried = 0;

			$c->hello;
			for my $ending (@endings) {
				my $head = "Subject: x\r\n\r\nfirst";
				my $body = "$head$ending${evil}last";
				my @bad;
				for my $s (splits($head, $ending,
				    "${evil}last\r\n.\r\n")) {
					$tried++;
					my $why = try_pieces($c, $mta, $mode,
					    "$body\r\n", $s) or next;
					push @bad, scalar(@$s) . ' pieces, ' .
					    length($s->[0]) . " first: $why";
					$c = $client->();
					$c->hello;
				}
				my $bad = $bad[0] // try_next($c, $mta);
				is($bad, '', show($ending));
			}
			cmp_ok($tried, '>', 500, "$tried messages");
		};
	}
}

# The client may also begin with what looks like an end.
subtest 'at the very start of the content' => sub {
	for my $mode ('reject', 'normalize') {
		my ($mta, $proxy, $client) = start($mode, \@without);
		my $c = $client->();

		$c->hello;
		for my $start ("\n.\r\n", "\r.\r\n", "\r\r\n.\n", ".\n", ".\r",
		    "..\r\n", ".\r\r\n", "\n", "\r", ".\n\r\n") {
			my $body = "$start$evil";
			for my $s (splits('', $start, "$evil.\r\n")) {
				my $why = try_pieces($c, $mta, $mode, $body,
				    $s) || try_next($c, $mta);
				is($why, '', "$mode: " . show($start));
			}
		}
	}
};

# BDAT has no end to be faked, but what comes out at the backend may be DATA.
subtest 'the same octets by BDAT' => sub {
	for my $mode ('reject', 'normalize') {
		for my $ext (\@with, \@without) {
			my ($mta, $proxy, $client) = start($mode, $ext);
			my $c = $client->();
			my @bad;

			$c->hello;
			for my $ending (@endings, "\r\n.\r\n") {
				push @bad, show($ending) . ": $_" for grep {
					$_ ne '' } map {
					try_bdat($c, $mta, $mode, $ending, $_)
				} 1, 2, 3, 1000;
			}
			is("@bad[0 .. ($#bad > 2 ? 2 : $#bad)]", '', $mode);
		}
	}
};

# In chunks of so many octets; the splits of a chunk are nobody's business.
sub try_bdat
{
	my ($c, $mta, $mode, $ending, $size) = @_;
	my $body = "a${ending}b\r\n";
	my $like = verdict($mode, $body);
	my $text;

	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->reply for 1 .. 2;
	my @chunks = unpack "(a$size)*", $body;
	for my $i (0 .. $#chunks) {
		$c->bdat($chunks[$i], $i == $#chunks);
		(undef, $text) = $c->reply;
		return "chunk $i: $text" if $i < $#chunks &&
		    $text !~ /^250 2\.0\.0/;
	}
	return "reply: $text" if $text !~ $like;
	my @m = $mta->messages;
	return scalar(@m) . ' messages' if @m != ($text =~ /^250/ ? 1 : 0);
	return '' unless @m;
	return fault($m[0], $mode eq 'reject' ? $body : canonical($body));
}

# Random octets of the dangerous kind, in random pieces.
subtest 'any octets, any pieces' => sub {
	my $seed = $ENV{SEED} // time;
	my @alphabet = ("\r", "\n", "\r\n", '.', '..', 'a', "\r\n.", ' ');

	note "SEED=$seed";
	srand $seed;
	for my $mode ('reject', 'normalize') {
		my ($mta, $proxy, $client) = start($mode, \@without);
		my $c = $client->();
		my $bad = '';

		$c->hello;
		for (1 .. 300) {
			my $body = join '', map { $alphabet[rand @alphabet] }
			    0 .. rand 24;
			$body .= "x\r\n";
			redo if "\r\n$body" =~ /\r\n\.\r\n/;
			my @pieces = grep { length } map {
				my $p = $_;
				my $at = int rand length $p;
				(substr($p, 0, $at), substr $p, $at);
			} unpack '(a9)*', "$body.\r\n";
			my $why = try_pieces($c, $mta, $mode, $body, \@pieces)
			    || try_next($c, $mta) or next;
			$bad = show($body) . " in " . @pieces . ": $why";
			last;
		}
		is($bad, '', "$mode, seed $seed");
	}
};

subtest 'NUL, where it is accepted' => sub {
	for (['BDAT', \@with, qr/^250 /], ['DATA', \@without, undef]) {
		my ($by, $ext, $like) = @$_;
		my ($mta, $proxy, $client) = start('reject', $ext,
		    nul => 'accept');
		my $c = $client->();

		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("a\r\n\0.\r\nb\0\r\n");
		$c->expect($like // qr/^(?:250|554 5\.6\.\d) /, "by $by");
		for my $m ($mta->messages) {
			is($m->{content}, "a\r\n\0.\r\nb\0\r\n", 'unchanged');
		}
		is(try_next($c, $mta), '', 'the next message');
	}
};

# Normalised for one network and refused for all others.
subtest 'normalize-from' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'normalize-from' => ['127.0.0.2'] });

	for (['127.0.0.2', qr/^250 /], ['127.0.0.1', qr/^550 5\.5\.2/]) {
		my ($ip, $like) = @$_;
		my $c = $proxy->client(from => $ip);
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354 /);
		$c->octets("a\n.\nb\r\n.\r\n");
		$c->expect($like, $ip);
	}
	is($mta->last->{content}, "a\r\n.\r\nb\r\n", 'canonical');
	is(scalar $mta->messages, 1, 'once');
};

# Commands have line ends as well: a bare LF must not make two of one line, nor
# a bare CR.
subtest 'line ends of commands' => sub {
	my ($mta, $proxy, $client) = start('reject', \@with);

	for my $line ("NOOP x\nMAIL FROM:<evil\@example.org>",
	    "NOOP x\rMAIL FROM:<evil\@example.org>",
	    "MAIL FROM:<a\@example.org>\nRCPT TO:<victim\@example.com>",
	    "MAIL FROM:<a\@example.org>\0\nRCPT TO:<victim\@example.com>") {
		my $c = $client->();
		$c->hello;
		$c->octets("$line\r\n");
		my ($code, $text) = $c->reply;
		like($text, qr/^5[05][01] 5\./, show($line));
		is(scalar $mta->commands(qr/evil|victim/), 0, 'not relayed');
	}
};

done_testing;
