# A milter on libmilter (python3-milter) that does what the client says: the
# sender "eoh.reject@…" has it reject at the end of the header, the HELO
# "reject.helo.…" and a client 127.0.0.N the same earlier. With "quiet" it does not
# answer before the end of the message, with "few" it hears of nothing else.
import sys

import Milter

BY_CLIENT = {11: 'accept', 12: 'reject', 13: 'tempfail', 14: 'code',
             15: 'later', 16: 'lines', 17: 'bye'}

VERDICTS = {'accept': Milter.ACCEPT, 'reject': Milter.REJECT,
            'tempfail': Milter.TEMPFAIL, 'discard': Milter.DISCARD,
            'skip': Milter.SKIP}

# Replies: what is set, and what is returned.
REPLIES = {
    'code': (('554', '5.7.9', '100%% sure'), Milter.REJECT),
    'later': (('452', '4.2.2', 'full'), Milter.TEMPFAIL),
    'lines': (('550', '5.7.1', 'one', 'two', 'three'), Milter.REJECT),
    'bye': (('421', '4.7.0', 'enough'), Milter.TEMPFAIL),
    'unlike': (('554', '5.7.9', 'of another class'), Milter.TEMPFAIL),
}


def at_end(m, what):
    """What can only be done at the end of a message."""
    if what == 'add':
        m.addheader('X-N', 'one')
        m.addheader('X-N', 'two\n\tlines')
    elif what == 'insert':
        m.addheader('X-N', 'at 0', 0)
        m.addheader('X-N', 'at 2', 2)
        m.addheader('X-N', 'at 99', 99)
    elif what == 'change':
        m.chgheader('Subject', 2, 'another')
        m.chgheader('X-Folded', 1, 'a\n b')
        m.chgheader('X-N', 1, 'was not there')
    elif what == 'delete':
        m.chgheader('Subject', 1, None)
        m.chgheader('X-A', 1, '')
    elif what == 'from':
        m.chgfrom('<new@example.org>')
    elif what == 'fromargs':
        m.chgfrom('<new@example.org>', 'RET=HDRS')
    elif what == 'to':
        m.addrcpt('<d@example.com>')
        m.delrcpt('<b@example.com>')
    elif what == 'toargs':
        m.addrcpt('<d@example.com>', 'NOTIFY=NEVER')
    elif what == 'body':
        m.replacebody('new\r\n.\r\n')
        m.replacebody('body\r\n')
    elif what == 'progress':
        m.progress()
        m.addheader('X-N', 'one')
        m.progress()
    elif what == 'all':
        for w in 'add', 'change', 'insert', 'from', 'to', 'body':
            at_end(m, w)


class Actions(Milter.Base):
    def do(self, stage):
        at, _, what = self.what.partition('.')
        if at != stage:
            return Milter.CONTINUE
        if what in REPLIES:
            reply, verdict = REPLIES[what]
            self.setreply(*reply)
            return verdict
        return VERDICTS.get(what, Milter.CONTINUE)

    def connect(self, name, family, address):
        octet = int(address[0].rpartition('.')[2])
        self.what = 'connect.' + BY_CLIENT.get(octet, '')
        return self.do('connect')

    def hello(self, name):
        what, _, rest = name.partition('.')
        self.what = 'helo.' + what if rest.startswith('helo.') else ''
        return self.do('helo')

    def envfrom(self, sender, *params):
        self.what = sender.strip('<>').partition('@')[0]
        self.n = 0
        return self.do('mail')

    def envrcpt(self, rcpt, *params):
        self.n += 1
        return self.do('rcpt' if self.n == 1 else 'rcpt2')

    def data(self):
        return self.do('data')

    def header(self, name, value):
        return self.do('header' if name == 'Subject' else '')

    def eoh(self):
        return self.do('eoh')

    def body(self, octets):
        return self.do('body')

    def eom(self):
        at_end(self, self.what.partition('.')[2])
        return self.do('eom')


class Quiet(Milter.Base):
    @Milter.noreply
    def connect(self, name, family, address):
        return Milter.CONTINUE

    @Milter.noreply
    def hello(self, name):
        return Milter.CONTINUE

    @Milter.noreply
    def envfrom(self, sender, *params):
        self.what = sender.strip('<>').partition('@')[0]
        return Milter.CONTINUE

    @Milter.noreply
    def envrcpt(self, rcpt, *params):
        return Milter.CONTINUE

    @Milter.noreply
    def data(self):
        return Milter.CONTINUE

    @Milter.noreply
    def header(self, name, value):
        return Milter.CONTINUE

    @Milter.noreply
    def eoh(self):
        return Milter.CONTINUE

    @Milter.noreply
    def body(self, octets):
        return Milter.CONTINUE

    do = Actions.do
    eom = Actions.eom


class Few(Milter.Base):
    def envfrom(self, sender, *params):
        self.what = sender.strip('<>').partition('@')[0]
        return Milter.CONTINUE

    do = Actions.do
    eom = Actions.eom


Milter.factory = {'all': Actions, 'quiet': Quiet, 'few': Few}[sys.argv[2]]
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY |
                 Milter.CHGFROM | Milter.ADDRCPT | Milter.ADDRCPT_PAR |
                 Milter.DELRCPT)
Milter.runmilter('actions', sys.argv[1], 60)
