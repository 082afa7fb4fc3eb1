# A milter on libmilter (python3-milter) that asks for every kind of edit, and
# answers what the sender says: REJECT, CODE, LINES or nothing.
import sys

import Milter


class All(Milter.Base):
    def envfrom(self, sender, *params):
        self.what = sender.strip('<>').split('@')[0]
        return Milter.CONTINUE

    @Milter.noreply
    def header(self, name, value):
        return Milter.CONTINUE

    def eom(self):
        if self.what == 'reject':
            return Milter.REJECT
        if self.what == 'code':
            self.setreply('554', '5.7.9', '100%% sure')
            return Milter.REJECT
        if self.what == 'lines':
            self.setreply('450', '4.7.1', 'one', 'two', 'three')
            return Milter.TEMPFAIL
        self.progress()
        self.addheader('X-Added', 'one\n\ttwo')
        self.addheader('X-Inserted', 'at 1', 1)
        self.chgheader('Subject', 1, 'changed')
        self.chgheader('X-Gone', 1, '')
        self.chgfrom('<new@example.org>')
        self.addrcpt('<added@example.com>')
        self.delrcpt('<b@example.com>')
        self.replacebody('new\r\n')
        self.replacebody('body\r\n')
        return Milter.ACCEPT


Milter.factory = All
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY |
                 Milter.CHGFROM | Milter.ADDRCPT | Milter.DELRCPT)
Milter.runmilter('all', sys.argv[1], 60)
