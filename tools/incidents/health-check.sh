#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident: health checks with a session per check use up the source ports towards the local
# resolver; the DNS forwarder, which has done nothing wrong, gets EADDRNOTAVAIL.
#
# usage: health-check.sh [--fixed] [--seconds N] [--tcpchurn PATH]
#   --fixed   the same with the session kept on the object: nobody fails
#
# Everything happens in a network namespace of its own, which is removed at the end. Exits 0 when
# the incident came about (with --fixed: when it did not).
set -u

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-/usr/bin/python3}
tcpchurn=$here/../../build/tcpchurn
seconds=10
fixed=
ports="48000 48511"

usage() {
	echo "usage: $0 [--fixed] [--seconds N] [--tcpchurn PATH]" >&2
	exit 64
}

fail() {
	echo "health-check: $1" >&2
	exit "${2:-1}"
}

while [ $# -gt 0 ]; do
	case $1 in
	--fixed) fixed=--fixed ;;
	--seconds) seconds=${2-} && shift ;;
	--tcpchurn) tcpchurn=${2-} && shift ;;
	*) usage ;;
	esac
	shift || usage
done
[[ $seconds =~ ^([5-9]|[1-9][0-9]|1[01][0-9]|120)$ ]] ||
	fail "--seconds '$seconds': not a number from 5 to 120" 64
[ "$(id -u)" -eq 0 ] || fail "needs root: it makes a network namespace and loads eBPF programs" 77
[ -x "$tcpchurn" ] || fail "$tcpchurn: not there; run make first" 69
"$python" -c 'import requests' 2>/dev/null || fail "$python has no requests: tools/install-deps.sh demo" 69

netns=churn-health-$$
tmp=$(mktemp -d) || exit 70
jobs_started=()

cleanup() {
	local pid

	trap - EXIT INT TERM HUP
	for pid in "${jobs_started[@]}"; do
		kill "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	ip netns del "$netns" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME COMMAND...: in the namespace, in the background, output to $tmp/NAME
start() {
	local name=$1

	shift
	ip netns exec "$netns" "$@" >"$tmp/$name" 2>"$tmp/$name.err" &
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

ip netns add "$netns" || fail "cannot make a network namespace"
# tcp_tw_reuse: its default, 2, reuses TIME_WAIT on loopback only. 0 is what an address that is not
# loopback meets.
ip netns exec "$netns" sh -c "ip link set lo up && sysctl -qw net.ipv4.tcp_tw_reuse=0 \
	net.ipv4.ip_local_port_range='$ports'" || fail "cannot set the namespace up"

start resolver "$python" "$here/resolver.py" --seconds $((seconds + 60))
wait_for "$tmp/resolver" ready $! || fail "the resolver did not start: $(tail -n1 "$tmp/resolver.err")"

# The tracer stands outside and looks at the one namespace.
timeout -k 5 $((seconds + 40)) "$tcpchurn" report -N "$netns" -d "$seconds" \
	>"$tmp/report" 2>"$tmp/report.err" &
tracer=$!
jobs_started+=("$tracer")
wait_for "$tmp/report.err" '^tracing' "$tracer" || {
	cat "$tmp/report.err" >&2
	fail "tcpchurn did not start tracing"
}

echo "health-check: 10 pollers check the resolver 20 times a second each; source ports $ports;" \
	"a DNS forwarder asks it 10 times a second; $seconds s" >&2
# Both end a little before the tracer does, so that it sees the last of their connections.
start health "$python" "$here/health.py" $fixed --seconds $((seconds - 1))
health=$!
start dns_forwarder "$python" "$here/dns_forwarder.py" --seconds $((seconds - 1))
forwarder=$!
wait "$tracer"
status=$?
wait "$health" "$forwarder"

cat "$tmp/report"
cat "$tmp/report.err" >&2
((status == 0)) || fail "tcpchurn failed with status $status"
echo "health.py: $(cat "$tmp/health" "$tmp/health.err")" >&2
echo "dns_forwarder.py: $(cat "$tmp/dns_forwarder" "$tmp/dns_forwarder.err")" >&2
checks=$(sed -n 's/^\([0-9]*\) checks.*/\1/p' "$tmp/health")
queries=$(sed -n 's/^\([0-9]*\) queries.*/\1/p' "$tmp/dns_forwarder")
((${checks:-0} > 0 && ${queries:-0} > 0)) || fail "a program of the incident did not run"
if [ -n "$fixed" ]; then
	[ "$(cat "$tmp/health" "$tmp/dns_forwarder" | grep -c ', 0 failed')" -eq 2 ] ||
		fail "something failed in spite of the fix"
else
	grep -q EADDRNOTAVAIL "$tmp/dns_forwarder" || fail "the incident did not come about"
fi
