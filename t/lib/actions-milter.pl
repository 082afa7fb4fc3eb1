# The same as actions-milter.py on Sendmail::PMilter, which is no libmilter and
# speaks version 2 of the protocol.
use strict;
use warnings;
use Sendmail::PMilter qw(:all);
use Socket qw(unpack_sockaddr_in);

my %by_client = (11 => 'accept', 12 => 'reject', 13 => 'tempfail', 14 => 'code',
    15 => 'later', 17 => 'bye');
my %verdicts = (accept => SMFIS_ACCEPT, reject => SMFIS_REJECT,
    tempfail => SMFIS_TEMPFAIL, discard => SMFIS_DISCARD);
my %replies = (
	code => ['554', '5.7.9', '100%% sure', SMFIS_REJECT],
	later => ['452', '4.2.2', 'full', SMFIS_TEMPFAIL],
	bye => ['421', '4.7.0', 'enough', SMFIS_TEMPFAIL],
);
my %at_end = (
	add => sub {
		$_[0]->addheader('X-N', 'one');
		$_[0]->addheader('X-N', "two\n\tlines");
	},
	change => sub {
		$_[0]->chgheader('Subject', 2, 'another');
		$_[0]->chgheader('X-Folded', 1, "a\n b");
		$_[0]->chgheader('X-N', 1, 'was not there');
	},
	delete => sub {
		$_[0]->chgheader('Subject', 1, '');
		$_[0]->chgheader('X-A', 1, '');
	},
	to => sub {
		$_[0]->addrcpt('<d@example.com>');
		$_[0]->delrcpt('<b@example.com>');
	},
	body => sub {
		$_[0]->replacebody("new\r\n.\r\n");
		$_[0]->replacebody("body\r\n");
	},
	progress => sub {
		$_[0]->progress;
		$_[0]->addheader('X-N', 'one');
		$_[0]->progress;
	},
);
$at_end{all} = sub {
	my ($c) = @_;

	$at_end{$_}->($c) for qw(add change to body);
};

# What is to be done, for the session: "stage.action".
my ($what, $rcpts) = ('', 0);

sub act
{
	my ($c, $stage) = @_;
	my ($at, $do) = split /\./, $what;

	return SMFIS_CONTINUE if ($at // '') ne $stage;
	if (my $reply = $replies{$do}) {
		$c->setreply(@$reply[0 .. 2]);
		return $reply->[3];
	}
	return $verdicts{$do} // SMFIS_CONTINUE;
}

sub on_connect
{
	my ($c, $name, $address) = @_;
	my (undef, $ip) = unpack_sockaddr_in($address);

	$what = 'connect.' . ($by_client{(unpack 'C4', $ip)[3]} // '');
	return act($c, 'connect');
}

sub on_helo
{
	my ($c, $name) = @_;

	$what = $name =~ /^(\w+)\.helo\./ ? "helo.$1" : '';
	return act($c, 'helo');
}

sub on_mail
{
	my ($c, $from) = @_;

	($what) = $from =~ /^<(.*)\@/;
	$rcpts = 0;
	return act($c, 'mail');
}

sub on_rcpt
{
	return act($_[0], $rcpts++ == 0 ? 'rcpt' : 'rcpt2');
}

sub on_eom
{
	my ($c) = @_;
	my ($at, $do) = split /\./, $what;
	my $edit = $at_end{$do // ''};

	$edit->($c) if $edit && $at eq 'eom';
	return act($c, 'eom');
}

my $milter = Sendmail::PMilter->new;
$milter->setconn($ARGV[0] =~ s/^unix:/local:/r);
$milter->register('actions', {
	connect => \&on_connect, helo => \&on_helo, envfrom => \&on_mail,
	envrcpt => \&on_rcpt,
	header => sub { act($_[0], $_[1] eq 'Subject' ? 'header' : 'none') },
	eoh => sub { act($_[0], 'eoh') }, body => sub { act($_[0], 'body') },
	eom => \&on_eom, abort => sub { SMFIS_CONTINUE },
	close => sub { SMFIS_CONTINUE },
}, SMFI_CURR_ACTS);
# A process for each session, so that what belongs to it is where it is.
$milter->set_dispatcher(Sendmail::PMilter::prefork_dispatcher(max_children => 8));
$milter->main;
