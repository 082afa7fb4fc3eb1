# PeerRspamd - a real rspamd without network, modules and databases. What it
# thinks of a message stands in the message: X-Score: 12 is a score, X-Say: text
# what a client is to be told, X-Symbol: NAME=VALUE a symbol. With milter => 1 it
# is a milter: its proxy worker, which scans by itself.
package PeerRspamd;

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
	my $worker = !$o{milter} ? 'type = "normal";' : <<'END';
type = "rspamd_proxy"; milter = yes;
	upstream "local" { default = yes; self_scan = yes; }
END
	my $dns = Peer::free_port();

	$self->{address} = "127.0.0.1:$port";
	$self->write('test.lua', <<'END');
rspamd_config:register_symbol({
	name = 'X_SCORE', score = 1.0,
	callback = function(task)
		local score = task:get_header('X-Score')
		if score then return true, tonumber(score) end
	end
})
rspamd_config:register_symbol({
	name = 'X_FACTS', score = 0.0,
	callback = function(task)
		local ip, user = task:get_ip(), task:get_user()
		local from, to = task:get_from('smtp'), task:get_recipients('smtp')
		local facts = { tostring(ip), task:get_helo() or '-',
		    user or '-', task:get_hostname() or '-' }
		table.insert(facts, from and from[1] and from[1].addr or '-')
		for _, r in ipairs(to or {}) do table.insert(facts, r.addr) end
		return true, 1.0, table.concat(facts, ' ')
	end
})
rspamd_config:register_symbol({
	name = 'X_SAY', type = 'postfilter', priority = 10,
	callback = function(task)
		local action = task:get_header('X-Action')
		if action then
			task:set_pre_result(action, task:get_header('X-Say') or 'because')
		end
		if task:get_header('X-Edit') then
			task:set_milter_reply({
				add_headers = {
					['X-One'] = 'one',
					['X-Two'] = { value = 'two', order = 1 },
				},
				remove_headers = { ['X-Edit'] = 0, ['X-Last'] = -1 },
			})
		end
	end
})
END
	$self->write('rspamd.conf', <<"END");
lua = "$dir/test.lua"
options {
	filters = []
	gtube_patterns = "all"
	# Its own list takes it 20 seconds to compile.
	url_tld = "$dir/tld"
	disable_hyperscan = true
	pidfile = "$dir/pid"
	control_socket = "$dir/control mode=0600"
	dns { nameserver = ["127.0.0.1:$dns"]; timeout = 100ms; retransmits = 0; }
}
logging { type = "file"; filename = "$dir/log"; level = "notice"; }
metric {
	name = "default"
	actions { reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; }
	subject = "[spam] %s"
}
worker { $worker bind_socket = "127.0.0.1:$port"; count = 1; }
END
	$self->write('tld', "com\nexample\norg\n");
	mkdir "$dir/$_" for 'db', 'run';
	my @user = $> == 0 ? ('-i', '-u', 'root', '-g', 'root') : ();
	return $self->run('/usr/bin/rspamd', '-f', @user, '-c',
	    "$dir/rspamd.conf", "--var=DBDIR=$dir/db", "--var=RUNDIR=$dir/run",
	    "--var=LOGDIR=$dir");
}

1;
