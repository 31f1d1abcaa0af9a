# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Packages of the distribution, for suites and architectures that this machine does not run.

apt does the work, in a directory of its own: it checks the archive's signature, and by it every
file. Where the archive is, is taken from this machine's own apt configuration.
"""
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import time

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_MAX_AGE_SECONDS = 24 * 3600
PACKAGES_MAX_AGE_SECONDS = 14 * 24 * 3600  # since they were last wanted
MERGED = ["bin", "lib", "lib64", "sbin"]


class Unreachable(Exception):
    """The archive, or a suite of it, is not to be had; the text says what was tried."""


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "tcpchurn")


def architecture():
    """This machine's, as Debian names it."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True,
                          check=True).stdout.strip()


def release():
    """The code name of the release that this machine runs."""
    with open("/etc/os-release") as f:
        found = re.search(r"^VERSION_CODENAME=(\S+)", f.read(), re.M)
    if not found:
        raise Unreachable("/etc/os-release names no release")
    return found.group(1)


def mirrors():
    """(archive, security archive or None) of this machine."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")
    found = dict(line.split(" ", 1) for line in targets if line)
    name = release()
    if name not in found:
        raise Unreachable(f"apt knows no archive of {name}: only {', '.join(found) or 'none'}")
    return found[name], found.get(f"{name}-security")


class Suite:
    """One release for one architecture, in a `with`: for one process at a time."""

    def __init__(self, name, arch):
        self.name, self.arch = name, arch
        self.root = os.path.join(cache_directory(), "suites", f"{name}-{arch}")
        self.packages = os.path.join(self.root, "packages")
        for path in "lists/partial", "archives/partial", "packages":
            os.makedirs(os.path.join(self.root, path), exist_ok=True)

    def __enter__(self):
        self.lock = open(os.path.join(self.root, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            self.update()
        except BaseException:
            self.lock.close()
            raise
        return self

    def __exit__(self, *_):
        for path in glob.glob(os.path.join(self.packages, "*.deb")):
            if time.time() - os.stat(path).st_mtime > PACKAGES_MAX_AGE_SECONDS:
                os.unlink(path)
        self.lock.close()

    def apt(self, *command):
        root = self.root
        options = {
            "Dir::State": root, "Dir::State::status": f"{root}/status", "Dir::Cache": root,
            "Dir::Etc::SourceList": f"{root}/sources.list", "Dir::Etc::SourceParts": "-",
            "Dir::Etc::Preferences": "-", "Dir::Etc::PreferencesParts": "-",
            "APT::Architecture": self.arch, "APT::Architectures": self.arch,
            "APT::Sandbox::User": "root", "APT::Install-Recommends": "false",
            "APT::Update::Post-Invoke": "", "Acquire::Languages": "none",
            "Acquire::Retries": "3", "Debug::NoLocking": "true",
        }
        flags = [f"-o{key}={value}" for key, value in options.items()]
        return subprocess.run([command[0], *flags, *command[1:]], capture_output=True, text=True,
                              cwd=self.packages)

    def update(self):
        """Fetches the lists, unless they are of today."""
        stamp = os.path.join(self.root, "updated")
        if os.path.exists(stamp) and time.time() - os.stat(stamp).st_mtime < LISTS_MAX_AGE_SECONDS:
            return
        archive, security = mirrors()
        lines = [f"deb [signed-by={KEYRING}] {archive} {self.name} main"]
        if security and self.name != "sid":
            lines.append(f"deb [signed-by={KEYRING}] {security} {self.name}-security main")
        with open(os.path.join(self.root, "sources.list"), "w") as f:
            f.write("\n".join(lines) + "\n")
        with open(os.path.join(self.root, "status"), "w"):
            pass
        done = self.apt("apt-get", "update", "-qq", "--error-on=any")
        if done.returncode and not os.path.exists(stamp):
            raise Unreachable(f"{self.name} ({self.arch}): {done.stderr.strip()}")
        if done.returncode:
            print(f"archive: {self.name} ({self.arch}) cannot be reached; going on with the lists "
                  f"of {time.ctime(os.stat(stamp).st_mtime)}: {done.stderr.strip()}",
                  file=sys.stderr)
            return
        with open(stamp, "w"):
            pass

    def closure(self, names):
        """These packages and all that they depend on: {package: file name}."""
        done = self.apt("apt-get", "install", "-qq", "--print-uris", *names)
        if done.returncode:
            raise Unreachable(f"{self.name} ({self.arch}): {done.stderr.strip()}")
        files = re.findall(r"^'\S+' (\S+) ", done.stdout, re.M)
        return {file.split("_")[0]: file for file in files}

    def fetch(self, names, wanted=None):
        """Paths of the packages, those matching `wanted` of all that they depend on."""
        found = {package: file for package, file in self.closure(names).items()
                 if not wanted or re.fullmatch(wanted, package)}
        paths = {package: os.path.join(self.packages, file) for package, file in found.items()}
        missing = [package for package, path in paths.items() if not os.path.exists(path)]
        if missing:
            done = self.apt("apt-get", "download", "-qq", *missing)
            if done.returncode:
                raise Unreachable(f"{self.name} ({self.arch}): {done.stderr.strip()}")
        for path in paths.values():
            os.utime(path)
        return sorted(paths.values())


def unpack(package, directory, *patterns):
    """The files of a package that match, all without patterns."""
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    tar = ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", directory]
    if patterns:
        tar += ["--wildcards", *patterns]
    done = subprocess.run(tar, stdin=archive.stdout, capture_output=True, text=True)
    archive.stdout.close()
    # tar may stop reading before the end; and a pattern without a match is for the caller to see.
    archive.wait()
    if done.returncode and not patterns:
        raise RuntimeError(f"{package}: {done.stderr.strip()}")


def make_tree(directory):
    """An empty root, in which /bin is /usr/bin."""
    for name in MERGED:
        os.makedirs(os.path.join(directory, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(directory, name))


def unpacked(suite_name, arch, packages, directory):
    """A root of these packages and all that they depend on; one that is there already stays."""
    if os.path.isdir(directory):
        return
    with Suite(suite_name, arch) as suite:
        if os.path.isdir(directory):  # another process was faster
            return
        part = directory + ".part"
        shutil.rmtree(part, ignore_errors=True)
        make_tree(part)
        for package in suite.fetch(packages):
            unpack(package, part)
        os.rename(part, directory)
