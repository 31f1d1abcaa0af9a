# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# make            build/tcpchurn, out of tree
# make deps       installs what building needs, on Debian (root)
# make install    into $(DESTDIR)$(prefix)/sbin, by default /usr/local/sbin
# make static     build/tcpchurn-static: one file to copy to another machine
# make demo       installs what is missing, builds, shows an incident and its report (root)
# make incidents  makes each of the incidents in tools/incidents, prints their reports (root)
# make check      installs what is missing, builds, runs the unit and the live tests (root)
# make check-vm   the live tests on other kernels, in virtual machines; KERNEL=, TESTS=, and
#                 VMFLAGS=-v for how long each test took (root)
# make fuzz       hostile files, memory and text, FUZZ_SECONDS=120 for each reader (TARGETS=)
# make soak       what goes wrong in long traces, SOAK=10 times as much of it as in check (root)
# make bench      measures for about ten minutes, writes the table in README.md (root)
# make ARCH=arm64  cross-compiles into build/arm64
# Knobs: V=1 (show commands), WERROR=1, SAN=1 (ASan + UBSan), CC=, CLANG=, BUILD=, DESTDIR=, prefix=

HOST_ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
ARCH    ?= $(HOST_ARCH)
BUILD   ?= build$(if $(filter-out $(HOST_ARCH),$(ARCH)),/$(ARCH))
CLANG   ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
prefix  ?= /usr/local

VERSION := 0.1.0

# What `make` alone makes, whatever rule comes first.
.DEFAULT_GOAL := all

UAPI = /usr/include/$(shell $(CC) -print-multiarch)

# For another architecture: clang, and the distribution's headers and libraries of it.
ifneq ($(ARCH),$(HOST_ARCH))
SYSROOT := $(BUILD)/sysroot
TRIPLE  := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-linux-gnu
CC      := clang --target=$(TRIPLE) --sysroot=$(abspath $(SYSROOT)) -fuse-ld=lld \
	-Wno-unused-command-line-argument
UAPI    := $(SYSROOT)/usr/include/$(TRIPLE)
$(SYSROOT):
	$(Q)tests/vm/sysroot.py $(if $(filter arm64,$(ARCH)),arm64,amd64) $@
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

WARNINGS := -Wall -Wextra -Wformat=2 -Wshadow -Wmissing-prototypes -Wstrict-prototypes \
	-Wmissing-format-attribute -Wpointer-arith -Wundef -Wwrite-strings
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -pthread $(WARNINGS) -fno-omit-frame-pointer $(SANFLAGS) $(CFLAGS)
CPPFLAGS_ALL = -D_GNU_SOURCE -DCHURN_VERSION='"$(VERSION)"' -I. -I$(BUILD) $(CPPFLAGS)
LIBS     := -lbpf -ldw -lelf -lz -llzma -liberty
ifeq ($(SAN),1)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
# Within `make fuzz`.
ifeq ($(FUZZ),1)
SANFLAGS += -fsanitize=fuzzer-no-link
endif

# What each record of a connection passes through is inlined across files where gcc compiles it: user
# space takes a quarter less time. The objects are ordinary ones, too, as unit tests link them.
ifeq ($(SANFLAGS)$(findstring clang,$(shell $(CC) --version)),)
LTO := -flto=auto -ffat-lto-objects $(if $(filter -O2,$(CFLAGS)),-O3)
LTO_SRCS := $(addprefix user/model/,activation.c collisions.c conns.c flows.c groups.c histogram.c \
	input.c model.c pairs.c paths.c pools.c processes.c reuse.c sites.c stacks.c tenants.c) \
	$(addprefix user/source/,activations.c lanes.c live.c queue.c record_check.c) \
	user/cmd/feed.c user/cmd/run.c
$(LTO_SRCS:%.c=$(BUILD)/%.o): LTO_CFLAGS := $(LTO)
endif

SRCS := $(wildcard user/*.c user/*/*.c)
OBJS := $(SRCS:%.c=$(BUILD)/%.o)
LIB_OBJS := $(filter-out $(BUILD)/user/main.o,$(OBJS))
BPF_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bpf/*.bpf.c))
SKELETONS := $(BPF_OBJS:.bpf.o=.skel.h) $(BUILD)/bpf/socket_census.lskel.h
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNITS := $(UNIT_SRCS:%.c=$(BUILD)/%)
TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tools/*/*.c))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*.c))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))

.PHONY: all demo incidents check check-unit check-live check-vm static deps format check-format bench install clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/tcpchurn tools

tools: $(TOOLS)
.PHONY: tools

# --- BPF: object without DWARF (bpftool gen object drops it), then the skeleton ---------------
BPF_CFLAGS := -target bpf -D__TARGET_ARCH_$(ARCH) -g -O2 -std=gnu11 -Wall -Wextra -Wshadow \
	-Wno-unused-parameter -mcpu=v3 $(if $(filter 1,$(WERROR)),-Werror) -I. -Ivmlinux -Ivmlinux/$(ARCH) -idirafter $(UAPI)

$(BUILD)/bpf/%.bpf.raw.o: bpf/%.bpf.c Makefile | $(SYSROOT)
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/bpf/%.bpf.o: $(BUILD)/bpf/%.bpf.raw.o
	$(call say,LINK,$@)$(BPFTOOL) gen object $@ $<

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $* > $@

# Which the kernel relocates, without libbpf.
$(BUILD)/bpf/%.lskel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton -L $< name $*_light > $@

# --- user space ---------------------------------------------------------------------------------
$(BUILD)/user/%.o: user/%.c Makefile | $(SKELETONS) $(SYSROOT)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(LTO_CFLAGS) $(CPPFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/libtcpchurn.a: $(LIB_OBJS)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/tcpchurn: $(BUILD)/user/main.o $(BUILD)/libtcpchurn.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(LTO) $(LDFLAGS) $^ $(LIBS) -o $@

# What the libraries' archives need in their turn, pkg-config knows. (The linker warns of getpwnam():
# it is told to look no further than /etc/passwd.)
$(BUILD)/tcpchurn-static: $(BUILD)/user/main.o $(BUILD)/libtcpchurn.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(LTO) $(LDFLAGS) -static $^ \
		$(shell pkg-config --static --libs libbpf libdw libelf) -liberty -o $@

static: $(BUILD)/tcpchurn-static

$(BUILD)/tools/%: tools/%.c Makefile | $(SYSROOT)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(CPPFLAGS_ALL) -MMD -MP -MF $@.d $< -o $@

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libtcpchurn.a Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(if $(LTO),-fno-lto) $(CPPFLAGS_ALL) -MMD -MP -MF $@.d $< \
		$(BUILD)/libtcpchurn.a $(LIBS) -lcmocka -o $@

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(BUILD)/libtcpchurn.a Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(CPPFLAGS_ALL) -fsanitize=fuzzer -MMD -MP -MF $@.d $< \
		$(BUILD)/libtcpchurn.a $(LIBS) -o $@

# As a distribution builds its programs: optimised, and without frame pointers.
$(BUILD)/tests/bench/%: tests/bench/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 -O2 -g -fomit-frame-pointer $(WARNINGS) $(CPPFLAGS_ALL) \
		-MMD -MP -MF $@.d $< -lbpf -o $@

check-unit: $(UNITS) $(BPF_OBJS)
	$(Q)failed=0; for t in $(UNITS); do $$t || failed=1; done; \
		CLANG='$(CLANG)' tests/unit/test_bpf_stack.py $(BPF_OBJS) || failed=1; exit $$failed

check-live: all
	$(Q)TCPCHURN=$(abspath $(BUILD))/tcpchurn CHURN=$(abspath $(BUILD))/tools/churn/churn tests/live/run.py $(TESTS)

# Readers of hostile input under libFuzzer: seconds for each, from what was once found on.
fuzzers:
	$(Q)tools/install-deps.sh fuzz
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(CLANG) SAN=1 FUZZ=1 CFLAGS="-O1 -g" fuzzers-here

fuzzers-here: $(FUZZERS)
	@:

check-fuzz: fuzzers
	$(Q)tests/fuzz/run.py --build $(BUILD)/fuzz --short

FUZZ_SECONDS ?= 120
fuzz: fuzzers
	$(Q)tests/fuzz/run.py --build $(BUILD)/fuzz --seconds $(FUZZ_SECONDS) $(TARGETS)

.PHONY: fuzz fuzzers fuzzers-here check-fuzz

# The live tests of a tcpchurn that watches its own memory: several times as slow.
check-san:
	$(Q)tools/install-deps.sh check
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/san SAN=1 CFLAGS="-O1 -g" all
	$(Q)$(MAKE) --no-print-directory tools
	$(Q)CHURN_LIVE_SLOW=4 TCPCHURN=$(abspath $(BUILD))/san/tcpchurn \
		CHURN=$(abspath $(BUILD))/tools/churn/churn tests/live/run.py $(TESTS)

SOAK ?= 10
soak: all
	$(Q)CHURN_SOAK=$(SOAK) CHURN_LIVE_SLOW=$(SOAK) TCPCHURN=$(abspath $(BUILD))/tcpchurn \
		CHURN=$(abspath $(BUILD))/tools/churn/churn tests/live/run.py -v -j 1 --no-prepare test_soak

.PHONY: soak check-san

check-vm:
	$(Q)tools/install-deps.sh vm
	$(Q)$(MAKE) --no-print-directory all static
	$(Q)$(MAKE) --no-print-directory ARCH=arm64 all
	$(Q)tests/vm/run.py --build $(abspath $(BUILD)) $(if $(TESTS),-k '$(TESTS)') $(VMFLAGS) $(KERNEL)

check:
	$(Q)tools/install-deps.sh check
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(MAKE) --no-print-directory check-unit
	$(Q)$(MAKE) --no-print-directory check-fuzz
	$(Q)$(MAKE) --no-print-directory check-live

demo:
	$(Q)tools/install-deps.sh demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tools/incidents/health-check.sh --tcpchurn $(abspath $(BUILD))/tcpchurn

incidents:
	$(Q)tools/install-deps.sh build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)for i in health-check gateway proxy close-wait "close-wait --filtered"; do \
		set -- $$i; shift; printf '\n=== %s\n' "$$i"; \
		tools/incidents/$${i%% *}.sh "$$@" --tcpchurn $(abspath $(BUILD))/tcpchurn || exit 1; \
	done

deps:
	$(Q)tools/install-deps.sh build

# ONLY=section,... measures these anew and takes the rest from the last time.
bench:
	$(Q)tools/install-deps.sh bench
	$(Q)$(MAKE) --no-print-directory all $(BENCHES)
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/bench.py $(if $(ONLY),--only $(ONLY))

# --- formatting ---------------------------------------------------------------------------------
FORMATTED = $(shell git ls-files '*.c' '*.h' | grep -v ^vmlinux/)

format:
	$(Q)clang-format -i $(FORMATTED)

check-format:
	$(Q)clang-format --dry-run -Werror $(FORMATTED)

install: $(BUILD)/tcpchurn
	install -D -m 0755 $(BUILD)/tcpchurn $(DESTDIR)$(prefix)/sbin/tcpchurn

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' -type f -not -path '*/sysroot/*' 2>/dev/null)
