# PeerSpamd - a real spamd (spamassassin) with few rules of its own and no
# network: GTUBE, and a point for each x in the X-Points field; rules => more.
package PeerSpamd;

use strict;
use warnings;
use Peer;

our @ISA = ('Peer');

sub start
{
	my ($class, %o) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};
	my $port = Peer::free_port();

	$self->{address} = "127.0.0.1:$port";
	mkdir "$dir/rules";
	mkdir "$dir/site";
	$self->write('rules/10.cf', <<'END');
required_score 5
util_rb_tld com example org
report_safe 0
use_bayes 0
score GTUBE 1000
body GTUBE /XJS\*C4JDBQADN1\.NSBN3\*2IDNEN\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\*C\.34X/
describe GTUBE a test
header HAS_POINTS X-Points =~ /x/
score HAS_POINTS 1
header MANY_POINTS X-Points =~ /xxxxx/
score MANY_POINTS 4.5
END
	$self->write('rules/20.cf', $o{rules} // '');
	$self->write('site/init.pre',
	    "loadplugin Mail::SpamAssassin::Plugin::Check\n");
	return $self->run('/usr/sbin/spamd', '-L', '-x', '-m', 1, '-i',
	    '127.0.0.1', '-p', $port, '-C', "$dir/rules",
	    "--siteconfigpath=$dir/site", '-H', $dir, '-s', 'stderr', $> == 0 ? ('-u', 'nobody') : ());
}

1;
