#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident, some 40 s before it happens: a Node.js gateway passes 600 requests a second on to
# one backend, each over a connection of its own. The default range has 28,232 source ports, and
# TIME_WAIT holds each for 60 s: that is 470 a second. All settings are the kernel's defaults.
#
# usage: gateway.sh [--fixed] [--seconds N] [--tcpchurn PATH]
#   --fixed   the same with an Agent that keeps connections
incident=gateway
seconds=6
. "$(dirname "$0")/lib.sh"
parse_options "$@"
need nodejs node --version
# The load is small, but has to be there in time, whatever else the machine does.
renice -n -10 $$ >/dev/null 2>&1

backend=192.0.2.10
stage
add_address $backend
serve backend "$python" "$here/backend.py" --address $backend --port 9000 --seconds $((seconds + 60))
serve gateway node "$here/gateway.js" 8080 $backend 9000 $((seconds + 60)) $fixed
start_tracer
say "600 requests a second pass through the gateway to $backend:9000; $seconds s"
start clients "$python" "$here/clients.py" --port 8080 --rate 600 --keep --seconds $((seconds - 1))
clients=$!
finish_tracer
wait "$clients"

what_it_said clients clients.py
(($(number clients requests) > 0)) || fail "a program of the incident did not run"
# With its answers half a second late the gateway opens fewer than 600 connections a second.
[ -n "$fixed" ] || (($(number clients waiting) < 400)) ||
	fail "this machine is too slow for 600 requests a second" 75
(($(number clients failed) == 0)) || fail "requests failed, long before the ports run out"
parked=$(ip netns exec "$netns" ss -Htan state time-wait dst $backend:9000 | wc -l)
say "$parked connections to the backend in TIME_WAIT"
if [ -n "$fixed" ]; then
	((parked < 50)) || fail "ports were used up in spite of the fix"
else
	((parked >= 550 * (seconds - 1))) || fail "the incident did not come about"
fi
