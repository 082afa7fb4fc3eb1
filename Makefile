# make            build ./vratar
# make run        install what is missing, build, and serve on 127.0.0.1:2525
# make run BACKEND=host:port     … in front of a real MTA
# make demo       play a session through it and show what happened
# make check      install what is missing, build, run every test below t/
# make check T=t/200-relay.t     run one test, verbosely
# make bench      compare with peers, in one interleaved run
# make fuzz       every parser under libFuzzer; SECONDS=10 for each (clang)
# make install    DESTDIR= PREFIX=/usr/local
# make SAN=1 …    with AddressSanitizer and UBSan, in its own objects
# make V=1 …      show the commands

PKGS      = libevent openssl libconfuse libidn2 libunbound ldns libsystemd
CC       ?= cc
CFLAGS   ?= -O2 -g
WARN      = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wwrite-strings -Wvla -Werror=implicit-function-declaration
CPPFLAGS += -I. -Iproxy -It -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null)
O         = obj
PROG      = vratar
ifeq ($(SAN),1)
CFLAGS   += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
            -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=address,undefined
O         = obj-san
PROG      = vratar-san
endif
ifeq ($(FUZZ),1)
CC        = clang
CFLAGS   += -fsanitize=address,undefined,fuzzer-no-link \
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
	proxy/base/spool.c \
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
	rules/texthash.c \
	filters/txn.c \
	proxy/tls.c \
	proxy/conf_text.c \
	proxy/conf_parse.c \
	proxy/conf_rows.c \
	proxy/conf_options.c \
	proxy/conf.c \
	proxy/conn.c \
	proxy/backend.c \
	proxy/pool.c \
	proxy/access.c \
	proxy/session.c \
	proxy/session_command.c \
	proxy/session_backend.c \
	proxy/session_data.c \
	proxy/hosts.c \
	proxy/resolve.c \
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
	proxy/cmd_check.c \
	proxy/cmd_serve.c

UNITS = $(wildcard t/unit/*.c)
OBJS  = $(SRCS:%.c=$O/%.o)
TESTS = $(UNITS:t/unit/%.c=$O/t/unit-%)
FUZZ_SRCS = $(wildcard t/fuzz/*.c)
FUZZERS   = $(FUZZ_SRCS:t/fuzz/%.c=$O/t/fuzz-%)
SECONDS   = 10

all: $(PROG)

$(PROG): $O/proxy/main.o $O/lib.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

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

check: all $(TESTS)
	VRATAR=./$(PROG) prove -j4 --merge $(if $T,-v $T,$(TESTS) t)

$O/t/bench-idle: t/bench/idle.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -std=c11 $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(LDLIBS)

bench: all $O/t/bench-idle
	VRATAR=./$(PROG) IDLE=$O/t/bench-idle perl t/bench/compare.pl

$O/t/fuzz-%: $O/t/fuzz/%.o $O/lib.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=address,undefined,fuzzer -o $@ $^ $(LDLIBS)

fuzz:
	$(Q)$(MAKE) FUZZ=1 fuzz-run

fuzz-run: $(FUZZERS)
	$(Q)t/fuzz/run.sh $(SECONDS) $(FUZZERS)

clean:
	rm -rf obj obj-san obj-fuzz vratar vratar-san run

-include $(OBJS:.o=.d) $O/proxy/main.d $(UNITS:t/unit/%.c=$O/t/unit/%.d) \
         $(FUZZ_SRCS:%.c=$O/%.d)

.PHONY: all check bench fuzz fuzz-run clean
.SECONDARY:
