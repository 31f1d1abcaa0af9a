#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident, some 40 s before it happens: a Node.js gateway passes 600 requests a second on to
# one backend, each over a connection of its own. The default range has 28,232 source ports, and
# TIME_WAIT holds each for 60 s: that is 470 a second. All settings are the kernel's defaults.
#
# usage: gateway.sh [--fixed] [--quarter] [--seconds N] [--tcpchurn PATH]
#   --fixed    the same with an Agent that keeps connections
#   --quarter  the same arithmetic on a smaller scale: 150 requests a second, 7,058 source ports. A
#              machine that turns out too slow for 600 gets this.
incident=gateway
seconds=6
flags=--quarter
. "$(dirname "$0")/lib.sh"
parse_options "$@"
need nodejs node --version
# The load is small, but has to be there in time, whatever else the machine does.
renice -n -10 $$ >/dev/null 2>&1

backend=192.0.2.10
rate=600
# shellcheck disable=SC2154 # set by parse_options
if [ -n "$quarter" ]; then
	rate=150
	stage net.ipv4.ip_local_port_range="32768 39825"
else
	stage
fi
add_address $backend
serve backend "$python" "$here/backend.py" --address $backend --port 9000 --seconds $((seconds + 60))
serve gateway node "$here/gateway.js" 8080 $backend 9000 $((seconds + 60)) $fixed
start_tracer
say "$rate requests a second pass through the gateway to $backend:9000; $seconds s"
start clients "$python" "$here/clients.py" --port 8080 --rate $rate --keep --seconds $((seconds - 1))
clients=$!
# With its answers half a second late the gateway opens fewer connections a second.
wait "$clients"
if [ -z "$fixed" ] && (($(number clients waiting) >= rate * 2 / 3)); then
	[ -z "$quarter" ] || fail "this machine is too slow for $rate requests a second" 75
	say "this machine is too slow for $rate requests a second: again, with a quarter of everything"
	cleanup
	exec "$0" --quarter ${json:+--json} --seconds "$seconds" --tcpchurn "$tcpchurn"
fi
finish_tracer

what_it_said clients clients.py
(($(number clients requests) > 0)) || fail "a program of the incident did not run"
(($(number clients failed) == 0)) || fail "requests failed, long before the ports run out"
parked=$(ip netns exec "$netns" ss -Htan state time-wait dst $backend:9000 | wc -l)
say "$parked connections to the backend in TIME_WAIT"
if [ -n "$fixed" ]; then
	((parked < 50)) || fail "ports were used up in spite of the fix"
else
	((parked >= rate * 11 / 12 * (seconds - 1))) || fail "the incident did not come about"
fi
