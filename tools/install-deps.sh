#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs what is missing from the distribution: install-deps.sh [build|check|fuzz|demo|bench|vm|packages NAME...]
# With nothing missing it asks dpkg once and is done; it needs root only to install.
set -eu

build="gcc make clang bpftool libbpf-dev libelf-dev libdw-dev zlib1g-dev uthash-dev"
build="$build libjsmn-dev libiberty-dev libbz2-dev liblzma-dev pkg-config"
case "${1:-build}" in
build) wanted=$build ;;
bench) wanted="$build python3 iproute2 libbpf-tools bpftrace" ;;
fuzz) wanted="$build libclang-rt-dev python3" ;;
demo) wanted="$build python3 python3-requests iproute2" ;;
check)
	wanted="$build libcmocka-dev clang-format iproute2 curl python3 python3-requests"
	wanted="$wanted jq valgrind elfutils kmod util-linux haproxy nftables nodejs musl-tools"
	;;
vm) wanted="$build python3 iproute2 curl util-linux cpio lld xz-utils qemu-system-x86 qemu-system-arm" ;;
packages)
	shift
	wanted=$*
	;;
*)
	echo "usage: $0 [build|check|fuzz|demo|bench|vm|packages NAME...]" >&2
	exit 64
	;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	echo "install-deps: no apt-get here; install the like of these by hand:" "$wanted" >&2
	exit 69
fi

# "pkg-config" and others may be provided by another package (pkgconf): Provides counts too.
# shellcheck disable=SC2016
have=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
	sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/,/ /g' | tr -s ' ' '\n')
missing=$(
	{
		echo "$have"
		echo "--"
		for package in $wanted; do echo "$package"; done
	} | awk '$0 == "--" { asking = 1; next } !asking { have[$0] = 1; next } !have[$0]' | tr '\n' ' '
)
[ -n "$missing" ] || exit 0

echo "install-deps: installing $missing" >&2
if [ "$(id -u)" -ne 0 ]; then
	echo "install-deps: not root; run: sudo apt-get install $missing" >&2
	exit 77
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 install $missing >/dev/null
