#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident: health checks with a session per check use up the source ports towards the local
# resolver; the DNS forwarder, which has done nothing wrong, gets EADDRNOTAVAIL.
#
# usage: health-check.sh [--fixed] [--seconds N] [--tcpchurn PATH]
#   --fixed   the same with the session kept on the object: nobody fails
incident=health-check
seconds=10
. "$(dirname "$0")/lib.sh"
parse_options "$@"
need python3-requests "$python" -c 'import requests'

ports="48000 48511"
# tcp_tw_reuse: its default, 2, reuses TIME_WAIT on loopback only. 0 is what an address that is not
# loopback meets.
stage net.ipv4.tcp_tw_reuse=0 net.ipv4.ip_local_port_range="$ports"
serve resolver "$python" "$here/resolver.py" --seconds $((seconds + 60))
start_tracer
say "10 pollers check the resolver 20 times a second each; source ports $ports;" \
	"a DNS forwarder asks it 10 times a second; $seconds s"
# Both end a little before the tracer does, so that it sees the last of their connections.
start health "$python" "$here/health.py" $fixed --seconds $((seconds - 1))
health=$!
start dns_forwarder "$python" "$here/dns_forwarder.py" --seconds $((seconds - 1))
forwarder=$!
finish_tracer
wait "$health" "$forwarder"

what_it_said health health.py
what_it_said dns_forwarder dns_forwarder.py
(($(number health checks) > 0 && $(number dns_forwarder queries) > 0)) ||
	fail "a program of the incident did not run"
if [ -n "$fixed" ]; then
	(($(number health failed) + $(number dns_forwarder failed) == 0)) ||
		fail "something failed in spite of the fix"
else
	grep -q EADDRNOTAVAIL "$tmp/dns_forwarder" || fail "the incident did not come about"
fi
