#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The incident: a service answers and never closes what it accepted. Its clients have closed long
# ago, and one day draw a source port again whose connection still sits in CLOSE_WAIT over there:
# connect() on localhost takes 10 ms, until an RST has killed the leaked socket, or, where a packet
# filter eats that RST, hangs.
#
# usage: close-wait.sh [--fixed] [--filtered] [--seconds N] [--tcpchurn PATH]
#   --filtered  RSTs are dropped, as by a filter that takes them for INVALID
#   --fixed     the service closes
incident=close-wait
seconds=6
flags=--filtered
. "$(dirname "$0")/lib.sh"
parse_options "$@"
# shellcheck disable=SC2154 # set by parse_options
[ -z "$filtered" ] || need nftables nft --version

# A closed client's port waits 1 s for the FIN that never comes, instead of 60.
stage net.ipv4.tcp_fin_timeout=1 net.ipv4.ip_local_port_range="48000 48127"
[ -z "$filtered" ] || ip netns exec "$netns" nft -f - <<-END || fail "cannot filter packets"
	table ip incident {
		chain output {
			type filter hook output priority 0
			tcp flags & rst == rst drop
		}
	}
END
serve inventory "$python" "$here/inventory.py" $fixed --seconds $((seconds + 60))
inventory=$!
# Who leaks what it has accepted is to be told with its line.
start_tracer --accepts
say "a shop asks the inventory 40 times a second; source ports 48000 48127; $seconds s"
start shop "$python" "$here/shop.py" --seconds $((seconds - 1))
shop=$!
finish_tracer
wait "$shop"

what_it_said shop shop.py
"$tcpchurn" leaks $json -N "$netns" || fail "tcpchurn leaks failed"
leaked=$(ip netns exec "$netns" ss -Htan state close-wait | wc -l)
say "$leaked sockets of inventory.py (pid $inventory) in CLOSE_WAIT"
(($(number shop questions) > 0)) || fail "a program of the incident did not run"
if [ -n "$fixed" ]; then
	((leaked == 0 && $(number shop failed) == 0)) || fail "it failed in spite of the fix"
elif [ -n "$filtered" ]; then
	(($(number shop failed) > 0)) || fail "the incident did not come about"
else
	(($(number shop slow) > 0 && leaked > 0)) || fail "the incident did not come about"
fi
