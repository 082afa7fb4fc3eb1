#!/usr/bin/perl
# An MTA on its standard input and output, as "sendmail -bs" is: takes every
# message and writes its lines to the file that is its argument.
use strict;
use warnings;

open my $to, '>>', $ARGV[0] or die "$ARGV[0]: $!";
$| = 1;
print "220 stdio ESMTP\r\n";
while (my $line = <STDIN>) {
	if ($line =~ /\AEHLO/) {
		print "250-stdio\r\n250-XCLIENT ADDR NAME\r\n250 PIPELINING\r\n";
	} elsif ($line =~ /\AXCLIENT/) {
		print "220 stdio ESMTP\r\n";
	} elsif ($line =~ /\ADATA/) {
		print "354 go\r\n";
		while (defined($line = <STDIN>) && $line ne ".\r\n") {
			$to->print($line);
		}
		$to->flush;
		print "250 2.0.0 queued as STDIO\r\n";
	} elsif ($line =~ /\AQUIT/) {
		print "221 2.0.0 bye\r\n";
		last;
	} else {
		print "250 2.0.0 ok\r\n";
	}
}
