# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the incidents share: options, a network namespace of their own, programs in the background,
# the tracer that stands outside and looks in. Sourced; the script sets these first:
#   incident   its name, as in the messages
#   seconds    how long the trouble lasts by default; from 5 to 120
#   flags      options beyond --fixed, --json, --seconds and --tcpchurn: each sets the variable of
#              its name
# --json is for programs: tcpchurn's documents instead of its tables, one a line.
#
# Everything is gone at the end, however that comes. A script exits 0 when its incident came about
# (with --fixed: when it did not), 69 when a program is not there and cannot be installed.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-/usr/bin/python3}
tcpchurn=$here/../../build/tcpchurn
fixed=
json=
netns=churn-$incident-$$
jobs_started=()
netns_made=()
tmp=

usage() {
	local flag options=

	for flag in --fixed --json ${flags:-}; do options+="[$flag] "; done
	echo "usage: $0 ${options}[--seconds N] [--tcpchurn PATH]" >&2
	exit 64
}

fail() {
	echo "$incident: $1" >&2
	exit "${2:-1}"
}

parse_options() {
	local flag

	for flag in ${flags:-}; do printf -v "${flag#--}" ''; done
	while [ $# -gt 0 ]; do
		case $1 in
		--fixed) fixed=--fixed ;;
		--json) json=-j ;;
		--seconds) seconds=${2-} && shift ;;
		--tcpchurn) tcpchurn=${2-} && shift ;;
		*)
			[[ " ${flags:-} " == *" $1 "* ]] || usage
			printf -v "${1#--}" %s "$1"
			;;
		esac
		shift || usage
	done
	[[ $seconds =~ ^([5-9]|[1-9][0-9]|1[01][0-9]|120)$ ]] ||
		fail "--seconds '$seconds': not a number from 5 to 120" 64
	[ "$(id -u)" -eq 0 ] ||
		fail "needs root: it makes a network namespace and loads eBPF programs" 77
	[ -x "$tcpchurn" ] || fail "$tcpchurn: not there; run make first" 69
}

# need PACKAGE COMMAND...: the command works, if need be after installing the package
need() {
	local package=$1

	shift
	"$@" >/dev/null 2>&1 && return
	"$here/../install-deps.sh" packages "$package" >&2 && "$@" >/dev/null 2>&1 ||
		fail "SKIPPED: '$*' does not work, and installing $package did not help" 69
}

cleanup() {
	local name

	trap - EXIT INT TERM HUP
	for name in "${jobs_started[@]}"; do
		kill "$name" 2>/dev/null
	done
	wait 2>/dev/null
	for name in "${netns_made[@]}"; do
		ip netns del "$name" 2>/dev/null
	done
	rm -rf "$tmp"
}

# stage SYSCTL=VALUE...: the namespace, with lo up and these settings
stage() {
	tmp=$(mktemp -d) || exit 70
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	add_netns "$netns"
	# A machine with little memory would keep fewer TIME_WAITs than there are ports.
	ip netns exec "$netns" sysctl -qw net.ipv4.tcp_max_tw_buckets=131072 "$@" ||
		fail "cannot set the namespace up"
}

add_netns() {
	ip netns add "$1" || fail "cannot make a network namespace"
	netns_made+=("$1")
	ip -n "$1" link set lo up || fail "cannot set the namespace up"
}

# An address of this host that is not loopback, as its services have: here too TIME_WAIT lasts.
add_address() {
	ip -n "$netns" addr add "$1/32" dev lo || fail "cannot add the address $1"
}

# start NAME COMMAND...: in $netns, in the background, output to $tmp/NAME; its PID is $!
start() {
	local name=$1

	shift
	ip netns exec "${in:-$netns}" "$@" >"$tmp/$name" 2>"$tmp/$name.err" &
	jobs_started+=($!)
}

# wait_for FILE PATTERN PID: until a line of the file matches, or the process is gone, or 10 s
wait_for() {
	local i

	for ((i = 0; i < 200; i++)); do
		grep -q "$2" "$1" 2>/dev/null && return 0
		kill -0 "$3" 2>/dev/null || break
		sleep 0.05
	done
	grep -q "$2" "$1" 2>/dev/null
}

# serve NAME COMMAND...: start, and wait for its "ready"
serve() {
	start "$@"
	wait_for "$tmp/$1" '^ready' $! || fail "$1 did not start: $(tail -n1 "$tmp/$1.err")"
}

# start_tracer OPTION...: the tracer stands outside and looks at the one namespace. What it may need
# of tracefs is mounted for it alone, where it is not.
start_tracer() {
	local tracefs=/sys/kernel/tracing

	timeout -k 5 $((seconds + 40)) unshare -m sh -c \
		"mountpoint -q $tracefs || mount -t tracefs tracefs $tracefs; exec \"\$@\"" sh \
		"$tcpchurn" report $json -N "$netns" -d "$seconds" "$@" \
		>"$tmp/report" 2>"$tmp/report.err" &
	tracer=$!
	jobs_started+=("$tracer")
	wait_for "$tmp/report.err" '^tracing' "$tracer" || {
		cat "$tmp/report.err" >&2
		fail "tcpchurn did not start tracing"
	}
}

say() {
	echo "$incident: $*" >&2
}

# Waits for the tracer and prints its report: the verdict.
finish_tracer() {
	local status

	wait "$tracer"
	status=$?
	cat "$tmp/report"
	cat "$tmp/report.err" >&2
	((status == 0)) || fail "tcpchurn failed with status $status"
}

# what_it_said NAME PROGRAM: the last words of a program of the incident
what_it_said() {
	echo "$2: $(cat "$tmp/$1" "$tmp/$1.err")" >&2
}

# number NAME WORD: the number before that word in what the program said, 0: none
number() {
	local found

	found=$(sed -n "s/.*\b\([0-9][0-9]*\) $2.*/\1/p" "$tmp/$1" | tail -n1)
	echo "${found:-0}"
}
