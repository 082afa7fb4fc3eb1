#!/usr/bin/perl
# Filters may change the content: the backend gets the header and the body that
# they want, whole and canonical, however it is sent and wherever it was kept.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use File::Temp;
use Test::More;
use Backend;
use Module;
use Postfix;
use Proxy;

my @says = (
	'eom add@ header=add,0,X-A,one header=add,0,X-A,two_words continue',
	'eom insert@ header=insert,2,X-Second,2 header=insert,0,X-Top,0 continue',
	'eom change@ header=change,1,Subject,new continue',
	'eom second@ header=change,2,X-Twice,new header=delete,1,X-Twice continue',
	'eom missing@ header=change,1,X-New,here continue',
	'eom delete@ header=delete,0,x-twice continue',
	'eom fold@ header=add,0,X-F,one|_two|three continue',
	'eom dotted@ header=add,0,.X,y continue',
	'eom utf8@ header=add,0,X-U,grüß_gott continue',
	'eom body@ body=line|.dot|end continue',
	'eom pieces@ body=one body=two|. header=add,0,X-A,b continue',
	'eom empty@ body= continue',
	'eom both@ header=add,0,X-A,b from=new@example.net continue',
	'eom bad@ header=add,0,X-A,b add-rcpt=no@example.com continue',
	'eom refuse@ header=add,0,X-A,b reject',
	'eom name@ header=add,0,X:A,b continue',
	'eom crlf@ header=add,0,X-A,a|Bcc:_evil@example.com continue',
	'eom boundary@ header=add,0,X-A,b continue',
	'mail early@ header=add,0,X-E,mail continue',
	'rcpt early@ header=add,0,X-E,rcpt continue',
	'data early@ header=add,0,X-E,data continue',
	'header X-Early header=add,0,X-E,header continue',
	'eoh early@ header=add,0,X-E,eoh continue',
	'eom early@ header=add,0,X-E,eom continue',
);

my $header = "From: a\@example.org\r\nSubject:  old \r\nX-Twice: 1\r\n" .
    "X-Twice:\t2\r\n folded \r\n";
my $body = "hello\r\n.\r\n..\r\nbye\r\n";

my %want = (
	add	=> [$header . "X-A: one\r\nX-A: two words\r\n", $body],
	insert	=> ["X-Top: 0\r\nFrom: a\@example.org\r\nX-Second: 2\r\n" .
	    substr($header, 21), $body],
	change	=> [$header =~ s/Subject: .*? \r/Subject: new\r/sr, $body],
	second	=> [$header =~ s/X-Twice: 1.*/X-Twice: new\r\n/sr, $body],
	crlf	=> [$header . "X-A: a\r\n\tBcc: evil\@example.com\r\n", $body],
	missing	=> [$header . "X-New: here\r\n", $body],
	delete	=> [$header =~ s/X-Twice.*//sr, $body],
	fold	=> [$header . "X-F: one\r\n two\r\n\tthree\r\n", $body],
	dotted	=> [$header . ".X: y\r\n", $body],
	utf8	=> [$header . "X-U: =?UTF-8?B?Z3LDvMOf?= gott\r\n", $body],
	body	=> [$header, "line\r\n.dot\r\nend\r\n"],
	pieces	=> [$header . "X-A: b\r\n", "onetwo\r\n.\r\n"],
	empty	=> [$header, ''],
	both	=> [$header . "X-A: b\r\n", $body],
);

my %backends = (
	BDAT		=> [{}],
	DATA		=> [{ extensions => ['PIPELINING', '8BITMIME', 'SIZE 10240000'] }],
	'BDAT, a file'	=> [{}, 'spool-memory' => 0],
	'DATA, a file'	=> [{ extensions => [] }, 'spool-memory' => 0],
	LMTP		=> [{ lmtp => 1 }],
);

for my $way (sort keys %backends) {
	my ($options, %set) = @{$backends{$way}};
	my $mta = Backend->start(%$options, 'RCPT TO:<no@' => '550 5.1.1 no');
	my $proxy = Proxy->start(backend => $mta->address,
	    Module::script(\@says), set => { 'error-limit' => 1000, %set });
	my $c = $proxy->client;

	subtest "by $way" => sub {
		$c->hello;
		for my $name (sort keys %want) {
			$mta->forget;
			$c->deliver("$name\@example.org", 'b@example.com', "$header\r\n$body");
			is($mta->last->{content}, join("\r\n", @{$want{$name}}), $name);
			is($mta->last->{from}, $name eq 'both' ? '<new@example.net>' :
			    "<$name\@example.org>", 'sender');
			is(scalar $mta->messages, 1, 'once');
		}
		for my $name ('bad', 'refuse') {
			$mta->forget;
			$c->envelope("$name\@example.org", 'b@example.com');
			$c->message("$header\r\n$body");
			$c->expect($name eq 'bad' ? qr/^451 4\.3\.0/ : qr/^554 5\.7\.1/, $name);
			is(scalar $mta->messages, 0, 'nobody has it');
		}
		$mta->forget;
		$c->envelope('name@example.org', 'b@example.com');
		$c->message("$header\r\n$body");
		$c->expect(qr/^451 4\.7\.1/, 'a filter that forges a field has failed');
		is(scalar $mta->messages, 0, 'nobody has it');
		$mta->forget;
		$c->deliver('fine@example.org', 'b@example.com', "$header\r\n$body");
		is($mta->last->{content}, "$header\r\n$body", 'the next one is not touched');
	};

	subtest "boundaries by $way" => sub {
		my %messages = (
			"\r\nbody\r\n"		=> "X-A: b\r\n\r\nbody\r\n",
			"hello\r\n"		=> "X-A: b\r\n\r\nhello\r\n",
			" A: b\r\nC: d\r\n"	=> "X-A: b\r\n\r\n A: b\r\nC: d\r\n",
			"A: b\r\n"		=> "A: b\r\nX-A: b\r\n",
			"A: b\r\n\r\n"		=> "A: b\r\nX-A: b\r\n\r\n",
			"A: b\r\nx\r\nC: d\r\n"	=> "A: b\r\nX-A: b\r\n\r\nx\r\nC: d\r\n",
			"From x\r\nA: b\r\n\r\n.\r\n" =>
			    "From x\r\nA: b\r\nX-A: b\r\n\r\n.\r\n",
			''			=> "X-A: b\r\n",
		);
		for my $in (sort keys %messages) {
			(my $show = $in) =~ s/\r\n/|/g;
			$mta->forget;
			$c->deliver('boundary@example.org', 'b@example.com', $in);
			is($mta->last->{content}, $messages{$in}, "'$show' with a field more");
		}
	};
}

subtest 'edits at every stage' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says));
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('early@example.org', 'early@example.com', "X-Early: 1\r\n\r\nx\r\n");
	is($mta->last->{content}, "X-Early: 1\r\n" . join('', map { "X-E: $_\r\n" }
	    qw(mail rcpt data header eoh eom)) . "\r\nx\r\n", 'in order');
	$c->deliver('fine@example.org', 'b@example.com', "A: 1\r\n\r\nx\r\n");
	is($mta->last->{content}, "A: 1\r\n\r\nx\r\n", 'and none for the next');
};

subtest 'a chunk without a last line end' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says));
	my $c = $proxy->client;

	$c->hello;
	for my $in ("A: b\r\n\r\nno end", "A: b", "A: b\r\n\r\n.\n") {
		$c->envelope('boundary@example.org', 'b@example.com');
		$c->bdat($in, 1);
		$c->expect($in =~ /\n\z/ && $in !~ /\r\n\z/ ? qr/^550/ : qr/^250/, 'taken or not');
	}
	is_deeply([map { $_->{content} } $mta->messages], ["A: b\r\nX-A: b\r\n\r\nno end",
	    "A: b\r\nX-A: b\r\n"], 'octets are octets');
};

subtest 'what the backend cannot take' => sub {
	my $mta = Backend->start(extensions => ['PIPELINING', 'SIZE 2000']);
	my $proxy = Proxy->start(backend => $mta->address, Module::script([@says,
	    'eom long@ header=add,0,X-A,' . 'x' x 300 . ' continue',
	    'eom short@ header=change,1,X-Long,x continue']));
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('long@example.org', 'b@example.com');
	$c->message("A: b\r\n\r\n" . "x" x 900 . "\r\n" . 'x' x 900 . "\r\n");
	$c->expect(qr/^552 5\.3\.4/, 'too big with the field');
	is(scalar $mta->messages, 0, 'nobody has it');
	$c->deliver('short@example.org', 'b@example.com', "X-Long: " . 'x' x 900 .
	    "\r\n\r\n" . 'x' x 900 . "\r\n");
	is(length $mta->last->{content}, 915, 'or smaller');
};

subtest 'there is room for what is added' => sub {
	my $mta = Backend->start;
	for my $case ([10_240_000 - 16_384, Module::script(\@says)], [10_240_000],
	    [10_240_000 - 16_384, set => { received => 'yes' }],
	    [50_000, Module::script(\@says), set => { 'message-size-limit' => 50_000 }]) {
		my ($size, @options) = @$case;
		my $proxy = Proxy->start(backend => $mta->address, @options);
		is($proxy->client->hello->{SIZE}, $size, "SIZE $size");
	}
};

subtest 'a large message in little memory' => sub {
	my $mta = Backend->start(extensions => ['PIPELINING', 'SIZE 60000000', 'CHUNKING']);
	my $proxy = Proxy->start(backend => $mta->address, Module::script(\@says),
	    set => { 'message-size-limit' => '60M' });
	my ($worker) = $proxy->workers;
	my $c = $proxy->client;
	my $big = "A: b\r\n\r\n" . ("0123456789" x 7 . "\r\n") x 700_000;
	my $peak = sub {
		open my $in, '<', "/proc/$worker/status" or die "status: $!";
		my ($kb) = join('', <$in>) =~ /^VmHWM:\s+(\d+) kB/m;
		return $kb;
	};

	$c->hello;
	$c->deliver('boundary@example.org', 'b@example.com', "A: b\r\n\r\nx\r\n");
	my $before = $peak->();
	$c->envelope('boundary@example.org', 'b@example.com');
	$c->bdat($big, 1);
	$c->expect(qr/^250/, length($big) . ' octets');
	# A sanitizer keeps what is freed.
	cmp_ok($peak->() - $before, '<', 12_000, 'kB more')
	    unless ($ENV{VRATAR} // '') =~ /-san/;
	substr($big, 6, 0) = "X-A: b\r\n";
	is(sha256_hex($mta->last->{content}), sha256_hex($big), 'with a field more');
};

my $file = File::Temp->new(SUFFIX => '.rules');
print $file <<'END';
at mail
    add header "X-Sender: %{mail}"
at header
    change header 1 "Subject: [list] %{header.value}" if header.name is "subject"
    delete header "X-Bad" if header.name is "x-bad"
at eom
    insert header 2 "X-Second: 2"
    insert header "X-Top: %{client.ip}"
    delete header 1 "X-Twice"
    change header 2 "X-Twice: last"
END
close $file;

my %policy = (
	listen => { chain => ['policy'] },
	extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n",
);

subtest 'a policy edits' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, %policy);
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "Subject: x\r\nX-Bad: 1\r\n" .
	    "X-Twice: 1\r\nx-bad: 2\r\nX-Twice: 2\r\nA: b\r\n\r\nx\r\n");
	is($mta->last->{content}, "X-Top: 127.0.0.1\r\nSubject: [list] x\r\n" .
	    "X-Second: 2\r\n" .
	    "X-Twice: 2\r\nA: b\r\nX-Sender: a\@example.org\r\nX-Twice: last\r\n\r\nx\r\n",
	    'all that was asked for');
};

subtest 'header_checks' => sub {
	my $checks = File::Temp->new;
	print $checks <<'END';
/^(Subject:) (.*)/		REPLACE $1 [list] $2
/^X-Other: (.*)/		REPLACE X-New: $1
/^X-Bad:/			IGNORE
/^X-Mark:/			PREPEND X-Before: mark
END
	close $checks;
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at header\n    use header_checks \"regexp:$checks\"\n";
	close $rules;
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "X-Bad: 1\r\nX-Mark: 1\r\nX-Bad: 2\r\n" .
	    "X-Other: y\r\nX-Mark: 2\r\nSubject: x\r\nX-Bad: 3\r\nA: b\r\n\r\nx\r\n");
	is($mta->last->{content}, "X-Before: mark\r\nX-Mark: 1\r\nX-New: y\r\n" .
	    "X-Before: mark\r\nX-Mark: 2\r\nSubject: [list] x\r\nA: b\r\n\r\nx\r\n",
	    'each in its place');
};

subtest 'in front of Postfix' => sub {
	plan skip_all => $Postfix::why unless Postfix->possible;
	my $postfix = Postfix->start;
	my $proxy = Proxy->start(backend => $postfix->address, Module::script(\@says));
	my $c = $proxy->client;

	$c->hello;
	for my $name ('add', 'second', 'body') {
		$c->deliver("$name\@example.org", 'alice@example.com', "$header\r\n$body");
	}
	ok($postfix->wait_mail('alice', qr/\nX-A: one\nX-A: two words\n/), 'added');
	ok($postfix->wait_mail('alice', qr/\nX-Twice: new\n/), 'changed and deleted');
	ok($postfix->wait_mail('alice', qr/\n\nline\n\.dot\nend\n/), 'another body');
};
done_testing;
