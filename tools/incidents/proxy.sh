#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident: HAProxy in front of four backends; a narrow port range. Requests to one backend, the
# api, use its source ports up; the other three have pools of their own and go on. HAProxy says "no
# free ports" in its log.
#
# usage: proxy.sh [--fixed] [--seconds N] [--tcpchurn PATH]
#   --fixed   the same with connections to the backends that are kept
incident=proxy
seconds=6
. "$(dirname "$0")/lib.sh"
parse_options "$@"
need haproxy haproxy -v

range="48000 48255"
backends="api search images billing"
stage net.ipv4.ip_local_port_range="$range"
# The clients are another machine, with ports of its own.
add_netns "$netns-clients"
ip -n "$netns" link add up0 type veth peer name up1 netns "$netns-clients" &&
	ip -n "$netns" addr add 198.51.100.1/24 dev up0 && ip -n "$netns" link set up0 up &&
	ip -n "$netns-clients" addr add 198.51.100.2/24 dev up1 &&
	ip -n "$netns-clients" link set up1 up || fail "cannot connect the namespaces"

number=11
for name in $backends; do
	add_address 192.0.2.$number
	serve "$name" "$python" "$here/backend.py" --address 192.0.2.$number --port 9000 \
		--seconds $((seconds + 60))
	number=$((number + 1))
done
mode=tcp
[ -z "$fixed" ] || mode=http
sed "s/MODE/$mode/" "$here/haproxy.cfg" >"$tmp/haproxy.cfg"
start haproxy haproxy -db -f "$tmp/haproxy.cfg"
haproxy=$!
sleep 0.5
kill -0 "$haproxy" 2>/dev/null || fail "HAProxy did not start: $(tail -n1 "$tmp/haproxy.err")"

start_tracer
say "150 requests a second to the api, 10 to each other backend; source ports $range; $seconds s"
clients=()
port=8081
for name in $backends; do
	rate=10
	[ "$name" != api ] || rate=150
	in=$netns-clients start "clients_$name" "$python" "$here/clients.py" --address 198.51.100.1 \
		--port $port --rate $rate --seconds $((seconds - 1))
	clients+=($!)
	port=$((port + 1))
done
finish_tracer
wait "${clients[@]}"

for name in $backends; do
	what_it_said "clients_$name" "clients of $name"
	(($(number "clients_$name" requests) > 0)) || fail "a program of the incident did not run"
	[ "$name" = api ] || (($(number "clients_$name" failed) == 0)) ||
		fail "requests to $name failed, which has ports enough"
done
grep -m1 'no free ports' "$tmp/haproxy" | sed 's/^/HAProxy: /' >&2
# Each stands in both its log, which is standard output, and on standard error.
said=$(grep -c 'no free ports' "$tmp/haproxy")
say "HAProxy said $said times that there are no free ports"
if [ -n "$fixed" ]; then
	((said == 0 && $(number clients_api failed) == 0)) || fail "it failed in spite of the fix"
else
	((said > 0)) || fail "the incident did not come about"
fi
