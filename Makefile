# make            build ./vratar
# make run        install what is missing, build, and serve on 127.0.0.1:2525
# make run BACKEND=host:port     … in front of a real MTA
# make demo       the same, and play a session through it
# make check      install what is missing, build, run every test below t/
# make check T=t/200-relay.t     run one test, verbosely
# make bench      compare with peers, in one interleaved run
# make fuzz       every parser under libFuzzer; SECONDS=10 for each (clang)
# make install    DESTDIR= PREFIX=/usr/local
# make SAN=1 …    with AddressSanitizer and UBSan, in its own objects
# make CI=1 …     a warning is an error
# make V=1 …      show the commands

# What a bare Debian lacks for building, and for the tests on top of it.
BUILD_DEPS = gcc libc6-dev pkg-config libevent-dev libssl-dev \
             libconfuse-dev libjansson-dev libidn2-dev libunbound-dev \
             libldns-dev libsystemd-dev libpcre2-dev \
             libarchive-dev libmagic-dev libpsl-dev uthash-dev \
             libunistring-dev libdb-dev liblmdb-dev libcdb-dev \
             libmilter-dev $(HS_DEP)
CHECK_DEPS = perl libio-socket-ssl-perl openssl mandoc procps python3 swaks \
             postfix postfix-pcre postfix-lmdb postfix-cdb sasl2-bin \
             libsasl2-modules clamav-daemon rspamd \
             spamd spamassassin c-icap libc-icap-mod-virus-scan \
             opendkim opendkim-tools miltertest python3-milter clamav-milter \
             spamass-milter mimedefang libsendmail-pmilter-perl \
             opendmarc

PKGS      = libevent openssl libconfuse jansson libidn2 libunbound ldns \
            libsystemd libpcre2-8 lmdb libcdb libpsl libarchive libmagic
# Hyperscan, or Vectorscan, which calls itself so, too. "make LIBHS=": without.
LIBHS    := $(shell pkg-config --exists libhs 2>/dev/null && echo libhs)
HS_x86_64  = libhyperscan-dev
HS_aarch64 = libvectorscan-dev
HS_DEP     = $(if $(LIBHS),,$(HS_$(shell uname -m)))
PKGS     += $(LIBHS)
CC       ?= cc
CFLAGS   ?= -O2 -g
PREFIX    = /usr/local
WARN      = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wwrite-strings -Wvla -Werror=implicit-function-declaration
# Asked once; not there yet in the first make of "make check", see below.
# One by one: what libunbound.pc requires for static linking may be missing.
PKG_CFLAGS := $(shell for p in $(PKGS); do pkg-config --cflags $$p; done \
              2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
override CPPFLAGS += -I. -Iproxy -It -D_GNU_SOURCE $(PKG_CFLAGS)
override CPPFLAGS += $(if $(LIBHS),-DHAVE_LIBHS)
override LDLIBS   += $(PKG_LIBS) -lmilter -ldb -lunistring -pthread
O         = obj
PROG      = vratar
ifeq ($(SAN),1)
override CFLAGS  += -fsanitize=address,undefined \
            -fno-sanitize-recover=undefined -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=address,undefined
O         = obj-san
PROG      = vratar-san
endif
ifeq ($(FUZZ),1)
CC        = clang
override CFLAGS  += -fsanitize=address,undefined,fuzzer-no-link \
            -fno-sanitize-recover=undefined -fno-omit-frame-pointer
O         = obj-fuzz
endif
ifneq ($(CI),)
WARN     += -Werror
endif
ifneq ($(V),1)
Q = @
endif

# In reading order: tools, the syntax of SMTP, rules, filters, the daemon.
SRCS = \
	proxy/base/utf8.c \
	proxy/base/log.c \
	proxy/base/mem.c \
	proxy/base/buf.c \
	proxy/base/clock.c \
	proxy/base/net.c \
	proxy/base/setting.c \
	proxy/base/job.c \
	proxy/base/threads.c \
	proxy/base/spool.c \
	proxy/base/child.c \
	proxy/base/proxyhdr.c \
	proxy/smtp/command.c \
	proxy/smtp/line.c \
	proxy/smtp/reply.c \
	proxy/smtp/ext.c \
	proxy/smtp/dot.c \
	proxy/smtp/xtext.c \
	proxy/smtp/address.c \
	proxy/smtp/param.c \
	proxy/smtp/xclient.c \
	rules/table.c \
	rules/fold.c \
	rules/keys.c \
	rules/ask.c \
	rules/report.c \
	rules/braces.c \
	rules/lines.c \
	rules/index.c \
	rules/texthash.c \
	rules/inline.c \
	rules/stored.c \
	rules/bdb.c \
	rules/lmdb.c \
	rules/cdb.c \
	rules/compose.c \
	rules/subst.c \
	rules/literals.c \
	rules/cache.c \
	rules/hsdb.c \
	rules/sieve.c \
	rules/patterns.c \
	rules/regex_rule.c \
	rules/pcre.c \
	rules/regexp.c \
	rules/cidr.c \
	rules/remote.c \
	rules/arena.c \
	rules/regex.c \
	rules/field.c \
	rules/class.c \
	rules/action.c \
	rules/message.c \
	rules/lex.c \
	rules/list.c \
	rules/parse.c \
	rules/parse_for.c \
	rules/parse_decl.c \
	rules/parse_action.c \
	rules/parse_expr.c \
	rules/text.c \
	rules/check.c \
	rules/check_rule.c \
	rules/dispatch.c \
	rules/plan.c \
	rules/rules.c \
	rules/entry.c \
	rules/values.c \
	rules/question.c \
	rules/set.c \
	rules/scan.c \
	rules/eval.c \
	rules/eval_text.c \
	rules/act.c \
	rules/act_table.c \
	rules/trace.c \
	rules/run.c \
	rules/explain.c \
	filters/txn.c \
	filters/header.c \
	filters/hops.c \
	filters/authres.c \
	filters/rewrite_field.c \
	filters/rewrite.c \
	filters/codec.c \
	filters/charset.c \
	filters/words.c \
	filters/mime_param.c \
	filters/mime_entity.c \
	filters/mime_level.c \
	filters/mime_uu.c \
	filters/mime.c \
	filters/addrlist.c \
	filters/date.c \
	filters/link_url.c \
	filters/links.c \
	filters/packed.c \
	filters/magic_type.c \
	filters/checks_type.c \
	filters/checks_scan.c \
	filters/chain.c \
	filters/chain_slot.c \
	filters/chain_when.c \
	filters/chain_content.c \
	filters/chain_record.c \
	filters/chain_round.c \
	filters/policy_content.c \
	filters/policy_work.c \
	filters/policy_when.c \
	filters/policy_lines.c \
	filters/policy_env.c \
	filters/policy_ask.c \
	filters/policy.c \
	filters/peers.c \
	filters/talk.c \
	filters/scan.c \
	filters/clamd.c \
	filters/rspamd.c \
	filters/rspamd_reply.c \
	filters/spamd.c \
	filters/spamd_reply.c \
	filters/exec.c \
	filters/chunked.c \
	filters/icap.c \
	filters/icap_reply.c \
	filters/milter_wire.c \
	filters/milter_macro.c \
	filters/milter_reply.c \
	filters/milter_conn.c \
	filters/milter_link.c \
	filters/milter.c \
	filters/filters.c \
	filters/lookup.c \
	proxy/tls.c \
	proxy/conf_mistakes.c \
	proxy/conf_text.c \
	proxy/conf_parse.c \
	proxy/conf_rows.c \
	proxy/conf_options.c \
	proxy/conf.c \
	proxy/conf_filters.c \
	proxy/conn.c \
	proxy/backend.c \
	proxy/backend_setup.c \
	proxy/backend_content.c \
	proxy/backend_stream.c \
	proxy/pool.c \
	proxy/access.c \
	proxy/auth_user.c \
	proxy/session.c \
	proxy/session_pump.c \
	proxy/session_command.c \
	proxy/session_backend.c \
	proxy/session_data.c \
	proxy/session_stream.c \
	proxy/session_filters.c \
	proxy/session_edit.c \
	proxy/session_rewrite.c \
	proxy/intake_edit.c \
	proxy/intake_octets.c \
	proxy/envelope.c \
	proxy/session_received.c \
	proxy/session_quarantine.c \
	proxy/hosts.c \
	proxy/resolve.c \
	proxy/filter_dns.c \
	proxy/maildir.c \
	proxy/quarantine.c \
	proxy/sink.c \
	proxy/sink_command.c \
	proxy/sink_data.c \
	proxy/cmd_sink.c \
	proxy/privs.c \
	proxy/notify.c \
	proxy/channel.c \
	proxy/control.c \
	proxy/sockets.c \
	proxy/listener.c \
	proxy/worker.c \
	proxy/master_crew.c \
	proxy/master_control.c \
	proxy/master_upgrade.c \
	proxy/master.c \
	proxy/agree.c \
	proxy/rehearsal.c \
	proxy/milterd_fields.c \
	proxy/milterd_plan.c \
	proxy/milterd_content.c \
	proxy/milterd_facts.c \
	proxy/milterd_envelope.c \
	proxy/milterd_session.c \
	proxy/milterd_callbacks.c \
	proxy/milterd_gate.c \
	proxy/milterd_socket.c \
	proxy/milterd_keeper.c \
	proxy/milterd.c \
	proxy/cmd_milter.c \
	proxy/cmd_check.c \
	proxy/cmd_test.c \
	proxy/cmd_serve.c \
	proxy/cmd_table.c \
	proxy/cmd_rules.c

# What a module of an administrator includes; filters/filter.h first of all.
HEADERS_filters = filter facts txn rewrite
HEADERS_base    = buf clock log mem net obj setting
HEADERS_smtp    = param ext reply

UNITS = $(wildcard t/unit/*.c)
OBJS  = $(SRCS:%.c=$O/%.o)
TESTS = $(UNITS:t/unit/%.c=$O/t/unit-%) $O/t/unit-sieve-alone
FUZZ_SRCS = $(wildcard t/fuzz/*.c)
FUZZERS   = $(FUZZ_SRCS:t/fuzz/%.c=$O/t/fuzz-%)
SECONDS   = 10

all: $(PROG)

# A module that is loaded finds our functions (filters/filter.h) in us, those
# that we do not call ourselves as well.
$(PROG): $O/proxy/main.o $O/lib.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -rdynamic -o $@ $< \
	    -Wl,--whole-archive $O/lib.a -Wl,--no-whole-archive $(LDLIBS)

$O/lib.a: $(OBJS)
	@echo "  AR    $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$O/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$O/t/unit-%: $O/t/unit/%.o $O/lib.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The same test without libhs, which not everybody has.
$O/rules/hsdb-none.o: rules/hsdb.c
	@mkdir -p $(@D)
	@echo "  CC    $< (without libhs)"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) -UHAVE_LIBHS $(CFLAGS) \
	    -MMD -MP -c -o $@ $<

$O/t/unit-sieve-alone: $O/t/unit/sieve.o $O/rules/hsdb-none.o $O/lib.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The compiler and pkg-config may come only now: the next make looks again.
built:
	@contrib/setup.sh $(BUILD_DEPS)
	@$(MAKE) --no-print-directory all

run: built
	@VRATAR=./$(PROG) exec contrib/run.sh $(BACKEND)

demo: built
	@VRATAR=./$(PROG) exec contrib/demo.pl

check:
	@contrib/setup.sh $(BUILD_DEPS) $(CHECK_DEPS)
	@$(MAKE) --no-print-directory prove

prove: all $(TESTS)
	VRATAR=./$(PROG) prove -f -j4 --merge $(if $T,-v $(T:t/unit/%.c=$O/t/unit-%),$(TESTS) t)

$O/t/bench-idle: t/bench/idle.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(LDLIBS)

$O/t/bench-rules $O/t/bench-mime $O/t/bench-patterns: $O/t/bench-%: t/bench/%.c $O/lib.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ $^ $(LDLIBS)

$O/t/bench-milter: t/bench/milter.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ $< -lmilter -pthread

bench:
	@contrib/setup.sh $(BUILD_DEPS) $(CHECK_DEPS) haproxy strace
	@$(MAKE) --no-print-directory bench-run

bench-run: all $O/t/bench-idle $O/t/bench-rules $O/t/bench-mime \
    $O/t/bench-patterns $O/t/bench-milter
	$O/t/bench-rules
	$O/t/bench-patterns
	VRATAR=./$(PROG) perl t/bench/patterns.pl
	VRATAR=./$(PROG) perl t/bench/policy.pl
	VRATAR=./$(PROG) MILTER=$O/t/bench-milter perl t/bench/milter.pl
	$O/t/bench-mime
	VRATAR=./$(PROG) IDLE=$O/t/bench-idle perl t/bench/compare.pl

$O/t/fuzz-%: $O/t/fuzz/%.o $O/lib.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=address,undefined,fuzzer -o $@ $^ $(LDLIBS)

fuzz:
	@contrib/setup.sh $(BUILD_DEPS) clang libclang-rt-14-dev
	$(Q)$(MAKE) FUZZ=1 fuzz-run

fuzz-run: $(FUZZERS)
	$(Q)t/fuzz/run.sh $(SECONDS) $(FUZZERS)

install-headers:
	@for d in filters base smtp; do \
	    install -d $(DESTDIR)$(PREFIX)/include/vratar/$$d; done
	install -m 644 $(HEADERS_filters:%=filters/%.h) \
	    $(DESTDIR)$(PREFIX)/include/vratar/filters
	install -m 644 $(HEADERS_base:%=proxy/base/%.h) \
	    $(DESTDIR)$(PREFIX)/include/vratar/base
	install -m 644 $(HEADERS_smtp:%=proxy/smtp/%.h) proxy/smtp/ext.def \
	    $(DESTDIR)$(PREFIX)/include/vratar/smtp

install: all install-headers
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(DESTDIR)$(PREFIX)/share/man/man8 \
	    $(DESTDIR)$(PREFIX)/share/doc/vratar/examples \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system
	install $(PROG) $(DESTDIR)$(PREFIX)/sbin/vratar
	install -m 644 contrib/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 contrib/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/vratar
	install -m 644 contrib/examples/* \
	    $(DESTDIR)$(PREFIX)/share/doc/vratar/examples
	install -m 644 contrib/systemd/* $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -i 's,/usr/sbin/,$(PREFIX)/sbin/,' \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/vratar*.service

clean:
	rm -rf obj obj-san obj-fuzz vratar vratar-san run

-include $(OBJS:.o=.d) $O/proxy/main.d $O/rules/hsdb-none.d \
         $(UNITS:t/unit/%.c=$O/t/unit/%.d) $(FUZZ_SRCS:%.c=$O/%.d)

.PHONY: install-headers all built run demo check prove install bench bench-run fuzz \
        fuzz-run clean
.SECONDARY:
