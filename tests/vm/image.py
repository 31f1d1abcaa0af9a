# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a virtual machine boots: a kernel, and an initramfs in two parts.

The root is the distribution's packages, the same for all kernels of an architecture; it is of the
release that this machine runs, whose libraries the binary was linked with. The second part is what
is tested. The kernel unpacks them one after the other.
"""
import glob
import hashlib
import json
import lzma
import os
import shutil
import subprocess

import archive

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PACKAGES = [
    "bash", "busybox-static", "coreutils", "curl", "dash", "grep", "iproute2", "libbpf1", "libdw1",
    "libelf1", "mount", "python3", "python3-requests", "sed", "util-linux", "zlib1g",
]
NEEDLESS = [
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/bash*",
    "usr/share/perl*", "usr/lib/*/perl*", "usr/lib/*/gconv", "usr/share/i18n", "usr/share/zoneinfo",
    "usr/lib/python3*/test", "usr/lib/python3*/lib2to3", "usr/lib/python3*/pydoc_data",
    "usr/lib/python3/dist-packages/pygments", "usr/lib/python3/dist-packages/setuptools",
]
MODULES = ["inet_diag", "tcp_diag", "veth"]  # in the order of their needs
KERNEL_IMAGES = ["./boot/vmlinuz-*", "./usr/lib/modules/*/vmlinuz"]  # Debian: up to 13, since 14
VERSION = "2"  # of this recipe: part of the cached root's name


def pack(directory, path):
    """An initramfs of the directory, owned by root."""
    files = subprocess.run(["find", ".", "-print0"], cwd=directory, capture_output=True,
                           check=True).stdout
    with open(path + ".new", "wb") as out:
        subprocess.run(["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet"],
                       cwd=directory, input=files, stdout=out, check=True)
    os.rename(path + ".new", path)


def compile_python(directory, *below):
    """What is imported need not be compiled by an emulated processor, in each process anew. Not
    looked at the sources again: an initramfs does not keep their times. Another release's Python
    goes by the sources."""
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode",
                    "unchecked-hash", "-s", directory, "-p", "/",
                    *(os.path.join(directory, name) for name in below)], check=True)


def root(arch):
    """Path of the root's initramfs, made anew when a package has changed."""
    with archive.Suite(archive.release(), arch) as suite:
        packages = suite.fetch(PACKAGES)
        recipe = "\n".join([VERSION, *map(os.path.basename, packages), *NEEDLESS])
        name = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        path = os.path.join(suite.root, f"root-{name}.cpio")
        if not os.path.exists(path):
            for old in glob.glob(os.path.join(suite.root, "root-*")):
                shutil.rmtree(old) if os.path.isdir(old) else os.unlink(old)
            make_root(packages, path)
        return path


def make_root(packages, path):
    directory = path + ".d"
    archive.make_tree(directory)
    for package in packages:
        archive.unpack(package, directory)
    for pattern in NEEDLESS:
        for found in glob.glob(os.path.join(directory, pattern)):
            shutil.rmtree(found)
    for name in "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp":
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    with open(os.path.join(directory, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    with open(os.path.join(directory, "etc/hosts"), "w") as f:
        f.write("127.0.0.1 localhost\n::1 localhost\n")
    compile_python(directory, "usr/lib")
    pack(directory, path)
    shutil.rmtree(directory)


def kernel(suite_name, arch, directory):
    """Path of the kernel; its modules are laid out below the directory."""
    with archive.Suite(suite_name, arch) as suite:
        packages = suite.fetch([f"linux-image-{arch}"], r"linux-(image|binary|modules)-\d.*")
        boot = os.path.join(directory, "kernel")
        os.makedirs(boot)
        for package in packages:
            archive.unpack(package, boot, *KERNEL_IMAGES,
                           *(f"*/kernel/*/{name}.ko*" for name in MODULES))
    images = [path for pattern in KERNEL_IMAGES for path in glob.glob(os.path.join(boot, pattern))]
    if len(images) != 1:
        raise archive.Unreachable(f"{suite_name} ({arch}): no kernel in {', '.join(packages)}")
    return images[0]


def copy_modules(directory, into):
    """Unpacked as they are: the kernel's own signature on them stays."""
    os.makedirs(into)
    for name in MODULES:
        found = glob.glob(os.path.join(directory, f"kernel/**/{name}.ko*"), recursive=True)
        if len(found) != 1:
            raise RuntimeError(f"{name}: not among the kernel's modules")
        opened = lzma.open(found[0]) if found[0].endswith(".xz") else open(found[0], "rb")
        with opened as source, open(os.path.join(into, f"{name}.ko"), "wb") as out:
            shutil.copyfileobj(source, out)


def tested(directory, build, job):
    """The second initramfs: the binaries, the tests, and what to do with them."""
    top = os.path.join(directory, "overlay")
    own = os.path.join(top, "tcpchurn")
    for name in "tests/live", "tests/unit", "tests/vm", "tools/incidents", "tools/churn":
        shutil.copytree(os.path.join(TOP, name), os.path.join(own, name),
                        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(archive.__file__, os.path.join(own, "tests"))
    compile_python(top, "tcpchurn/tests")
    os.makedirs(os.path.join(own, "build/tools/churn"))
    for name in "tcpchurn", "tcpchurn-static", "tools/churn/churn":
        if os.path.exists(os.path.join(build, name)):
            shutil.copy(os.path.join(build, name), os.path.join(own, "build", name))
    with open(os.path.join(own, "job.json"), "w") as f:
        json.dump(job, f)
    copy_modules(directory, os.path.join(top, "modules"))
    shutil.copy(os.path.join(HERE, "init"), os.path.join(top, "init"))
    path = os.path.join(directory, "overlay.cpio")
    pack(top, path)
    return path


def join(parts, path):
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)
            out.write(b"\0" * (-out.tell() % 4))
    return path
