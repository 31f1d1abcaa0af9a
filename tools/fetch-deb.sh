#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Unpacks packages of another suite of Debian into a directory, without installing anything: tests
# run against interpreters and kernels that this suite does not have.
#
# usage: fetch-deb.sh [-d] SUITE PACKAGE DIR
#   -d  with all that the package depends on (its libc too: run programs through DIR's ld.so)
#
# PACKAGE is a name or, as apt has it, a pattern: '?name(^linux-image-6.1.*-cloud-amd64$)'.
# Where the archive is says the machine's own apt configuration; signatures and checksums are
# verified by apt, with an index of its own below ${XDG_CACHE_HOME:-~/.cache}/tcpchurn. A DIR that
# is there already is left as it is, so that this costs nothing the second time. Needs no root.
set -eu

fail() {
	echo "fetch-deb: $*" >&2
	exit 69
}

with_dependencies=
if [ "${1:-}" = -d ]; then
	with_dependencies=y
	shift
fi
if [ $# -ne 3 ]; then
	sed -n 's/^# usage: //p' "$0" >&2
	exit 64
fi
suite=$1 package=$2 dir=$3

[ ! -d "$dir" ] || exit 0
for program in apt-get dpkg-deb; do
	command -v "$program" >/dev/null || fail "no $program here"
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keys" ] || fail "$keys: not there"

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016 # apt expands these
archive=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
	sed -n "s/^$codename main //p" | head -n 1)
[ -n "$archive" ] || fail "apt has no archive of '$codename main'"

root=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcpchurn/apt/$suite
mkdir -p "$root/lists/partial" "$root/archives/partial" "$root/etc"
# One at a time: tests run side by side.
exec 9>"$root/lock"
flock 9
[ ! -d "$dir" ] || exit 0

: >"$root/status"
echo "deb [signed-by=$keys] $archive $suite main" >"$root/etc/sources.list"
private() {
	apt-get -qq -y -o Dir::State="$root" -o Dir::State::lists="$root/lists" \
		-o Dir::State::status="$root/status" -o Dir::Cache="$root" \
		-o Dir::Cache::archives="$root/archives" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::sourcelist="$root/etc/sources.list" -o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Sandbox::User= -o APT::Install-Recommends=0 -o Debug::NoLocking=1 \
		-o Acquire::Languages=none -o Acquire::Check-Valid-Until=0 -o DPkg::Use-Pty=0 "$@"
}

# The index of a day is good enough; when a file has gone from the archive it is not.
if [ ! -e "$root/updated" ] || [ -n "$(find "$root/updated" -mtime +0)" ]; then
	private update >&2 || fail "no index of '$suite'"
	touch "$root/updated"
fi
fetch() {
	rm -f "$root"/archives/*.deb
	if [ -n "$with_dependencies" ]; then
		private -d install "$package" >/dev/null
	else
		(cd "$root/archives" && private download "$package" >/dev/null)
	fi
}
if ! fetch; then
	private update >&2 || fail "no index of '$suite'"
	fetch || fail "no '$package' in '$suite'"
fi

# Renamed at the end: a directory is whole or not there.
mkdir -p "$(dirname "$dir")"
rm -rf "$dir.part"
for deb in "$root"/archives/*.deb; do
	dpkg-deb -x "$deb" "$dir.part"
	rm -f "$deb"
done
mv "$dir.part" "$dir"
