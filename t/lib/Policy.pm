# Policy - the daemon with a policy, or with many of them.
#
#	my $p = Policy::start($text, backend => $mta->address);
#	$p->log_like(qr/\Q$p->{name}\E:3/);
#	my $p = Policy::each([@texts], backend => $mta->address);
#	my $c = $p->client(listener => 2);	# has the third of them
#
# Options are those of Proxy->start, and rows: text for the filter block.
package Policy;

use strict;
use warnings;
use Proxy;

# A file of this name in the proxy's directory, and its filter block.
sub block
{
	my ($p, $name, $text, $rows) = @_;
	my $file = $p->write("$name.rules", $text);

	return "filter \"$name\" { type = \"policy\" file = \"$file\" " .
	    ($rows // '') . " }\n";
}

# One daemon in which the n-th listener has the n-th policy, the file p0.rules
# and so on. late: another policy behind each of them.
sub each
{
	my ($texts, %o) = @_;
	my $p = prepare($texts, %o);

	$p->run('serve', @{$p->{args}});
	die "the proxy does not start:\n" . $p->log unless $p->wait_ready;
	return $p;
}

# The same without the daemon.
sub prepare
{
	my ($texts, %o) = @_;
	my ($rows, $late) = delete @o{qw(rows late)};
	my $more = delete $o{extra} // '';
	my $listen = delete $o{listen} // {};
	my @late = defined $late ? ('late') : ();
	my @listen = map { { chain => ["p$_", @late], address => address($_),
	    %$listen } } 0 .. $#$texts;

	my $p = Proxy->prepare(%o, listen => \@listen);
	my $text = $p->configuration(%o, listen => \@listen) . $more;
	$text .= block($p, "p$_", $texts->[$_], $rows) for 0 .. $#$texts;
	$text .= block($p, 'late', $late) if @late;
	$p->write('vratar.conf', $text);
	$p->{name} = 'p0.rules';
	return $p;
}

# The title of the n-th listen block.
sub address { return '127.0.0.' . ($_[0] + 1) . ':0'; }

sub start
{
	my ($text, %o) = @_;

	return Policy::each([$text], %o);
}

1;
