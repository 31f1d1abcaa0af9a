# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How it answers: bad input, missing privileges, signals, a reader that goes away."""
import json
import os
import shutil
import signal
import subprocess

from lib import (
    CHURN, TCPCHURN, Process, Server, Tracer, check, check_summary, churn, equal, netns_inode,
    report, run, run_churn, scratch, temporary, until,
)

BAD = [
    (["report", "--no-such-flag"], "no-such-flag"),
    (["no-such-command"], "no-such-command"),
    (["report", "-d", "10x"], "10x"),
    (["report", "-d", "-5"], "-5"),
    (["report", "-d", ""], "''"),
    (["trace", "-P", "65536"], "65536"),
    (["trace", "-P", "0x50"], "0x50"),
    (["trace", "-P", "90-80"], "90-80"),
    (["trace", "-L", "80,,90"], "80,,90"),
    (["trace", "--dst", "10.0.0.0/33"], "10.0.0.0/33"),
    (["trace", "--dst", "10.0.0"], "10.0.0"),
    (["trace", "--src", "::1/129"], "::1/129"),
    (["trace", "-p", "12a"], "12a"),
    (["trace", "-p", "-1"], "-1"),
    (["trace", "-p", "4294967296"], "4294967296"),
    (["trace", "-p", "1,4194304"], "4194304"),  # PID_MAX_LIMIT: above every PID
    (["help", "no-such-command"], "no-such-command"),
    (["trace", "--errno", "ENOSUCH"], "ENOSUCH"),
    (["trace", "--buffer-size", "8Q"], "8Q"),
    (["trace", "-N", "no-such-netns"], "no-such-netns"),
    (["report", "-o", "yaml"], "yaml"),
    (["report", "-s", "weight"], "weight"),
    (["report", "--by", "moon"], "moon"),
    (["report", "--attach", "magic"], "magic"),
    (["report", "-r", "ten"], "ten"),
    (["report", "-d", "0X1"], "0X1"),
    (["report", "-Qj"], "-Q"),
    (["report", "--"], "--"),
    (["report", "--fail-if", "port-exhaustion,doom"], "doom"),
    (["report", "--fail-if", ""], "''"),
    (["ports", "-o", "csv"], "csv"),
    (["leaks", "-o", "folded"], "folded"),
    (["doctor", "-o", "csv"], "csv"),
    (["record", "-d", "1s"], "-O"),
    (["-d", "soon"], "soon"),
]
COMMANDS = ["report", "trace", "record", "ports", "leaks", "check", "doctor"]


def test_bad_input():
    """Exit 64, one line on stderr that names the value, nothing on stdout."""
    wrong = []
    for args, value in BAD:
        done = run([TCPCHURN, *args], expect=None, timeout=10)
        lines = done.stderr.strip().splitlines()
        named = value == "''" or value in done.stderr
        if done.returncode != 64 or len(lines) != 1 or not named or done.stdout:
            wrong.append(f"{' '.join(args)}: exit {done.returncode}, {done.stderr.strip()!r}")
    check(not wrong, "\n" + "\n".join(wrong))


def test_good_input():
    """The control: values at the edges of what is allowed."""
    for args in (["-P", "1,65535"], ["-P", "80-80"], ["--dst", "0.0.0.0/0"], ["--src", "::/0"],
                 ["-p", "1"], ["--errno", "99"], ["--buffer-size", "8M"]):
        done = run([TCPCHURN, "report", "-j", "-d", "100ms", *args])
        equal(json.loads(done.stdout)["schema"], "tcpchurn/1", f"schema with {args}")


def test_help_and_version():
    for args in (["--help"], ["-h"], ["help"], ["--version"], ["-V"],
                 *([c, "--help"] for c in COMMANDS), *(["help", c] for c in COMMANDS)):
        done = run([TCPCHURN, *args])
        check("tcpchurn" in done.stdout and not done.stderr, f"{args}: {done.stdout!r}")
        wide = [line for line in done.stdout.splitlines() if len(line) > 100]
        check(not wide, f"{args}: {wide}")


def test_without_a_command():
    """Options alone are those of report."""
    done = run([TCPCHURN, "-j", "-d", "100ms", "-O", "-"])
    equal(json.loads(done.stdout)["event"]["name"], "report", "event")
    check(not os.path.exists("-"), "a file of that name")


def test_unprivileged():
    path = os.path.join(scratch(), "tcpchurn")
    shutil.copy(TCPCHURN, path)
    os.chmod(path, 0o755)
    done = run(["setpriv", "--reuid=65534", "--clear-groups", path, "report", "-d", "1s"],
               expect=77)
    check("CAP_" in done.stderr, f"the capability in {done.stderr!r}")
    equal(done.stdout, "", "stdout")


def test_refused_run_keeps_the_file():
    """What could not be done does not cost what an earlier run has written."""
    old = "what was there"
    directory = scratch()
    path = os.path.join(directory, "out")
    unprivileged = ["setpriv", "--reuid=65534", "--clear-groups"]
    for command, code in (["record"], 77), (["report"], 77), (["trace", "-j"], 77), \
            (["leaks", "-N", "4294967290"], 64), (["ports", "-i", "/no/such/file"], 66):
        with open(path, "w") as f:
            f.write(old)
        os.chmod(path, 0o666)
        os.chmod(directory, 0o777)
        program = os.path.join(directory, "tcpchurn")
        shutil.copy(TCPCHURN, program)
        os.chmod(program, 0o755)
        run([*unprivileged, program, *command, "-O", path], expect=code)
        with open(path) as f:
            equal(f.read(), old, f"the file after {command}")
    for command in ["report", "-j"], ["record"]:  # the control, and something shorter
        with open(path, "w") as f:
            f.write(old * 1000)
        run([TCPCHURN, *command, "-d", "100ms", "-O", path])
        with open(path, "rb") as f:
            check(b"there" not in f.read(), f"the file after {command}")
    equal(sorted(os.listdir(directory)), ["out", "tcpchurn"], "files that are left")


def test_capabilities():
    """Privileges without the one that counts."""
    done = run(["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon", "--inh-caps=-all",
                TCPCHURN, "report", "-d", "1s"], expect=77)
    check("CAP_" in done.stderr, f"the capability in {done.stderr!r}")


def test_duration():
    done = run([TCPCHURN, "report", "-j", "-d", "300ms", "-N", str(netns_inode())])
    check_summary(done.stderr)
    window = json.loads(done.stdout)["window"]["duration_ns"]
    check(0.25e9 <= window <= 1e9, f"a window of {window} ns")


def test_signals():
    """SIGINT and SIGTERM end it with the report, the summary and exit 0."""
    for sig in signal.SIGINT, signal.SIGTERM:
        tracer = Tracer("report")
        run_churn("-n", 5)
        tracer.stop(sig)
        check_summary(tracer.err)
        with open(tracer.file) as f:
            equal(json.load(f)["totals"]["opens"], 5, f"opens after {sig.name}")


def test_reader_gone():
    """`tcpchurn trace | head -1`: no error, and not for ever."""
    server = Server()
    with open(temporary(), "w+") as err:
        tracer = subprocess.Popen(
            [TCPCHURN, "trace", "-j", "-d", "20", "-N", str(netns_inode())],
            stdout=subprocess.PIPE, stderr=err, text=True,
        )

        def errors():
            err.seek(0)
            return err.read()

        until(lambda: "tracing" in errors(), 10, "tracing")
        run_churn("-n", 3, "--connect", server.target())
        json.loads(tracer.stdout.readline())
        tracer.stdout.close()
        noise = Process(churn("-n", 0, "-r", 100, "-d", 10, "--connect", server.target()))
        equal(tracer.wait(5), 0, f"exit ({errors()})")
        noise.stop()
        check_summary(errors())


def test_full_disk():
    """An output that cannot be written is an error, not a success."""
    done = run([TCPCHURN, "report", "-j", "-d", "100ms", "-O", "/dev/full"], expect=None)
    check(done.returncode not in (0, 64), f"exit {done.returncode}")


def program_ids(pid):
    """Of the eBPF programs that a process holds."""
    ids = set()
    for entry in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{entry}") as f:
                ids |= {int(line.split()[1]) for line in f if line.startswith("prog_id:")}
        except FileNotFoundError:
            pass
    return ids


def loaded_ids():
    bpftool = shutil.which("bpftool") or "/usr/sbin/bpftool"
    return {p["id"] for p in json.loads(run([bpftool, "-j", "prog", "list"]).stdout)}


def test_killed():
    """SIGKILL leaves no program in the kernel."""
    tracer = Tracer("trace")
    ids = program_ids(tracer.pid)
    check(ids and ids <= loaded_ids(), f"programs {ids} are loaded while it runs")
    tracer.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    until(lambda: not ids & loaded_ids(), 5, f"programs {ids} unloaded")


def catches(pid, *signals):
    with open(f"/proc/{pid}/status") as f:
        caught, = (int(line.split()[1], 16) for line in f if line.startswith("SigCgt"))
    return all(caught >> number - 1 & 1 for number in signals)


def test_signal_before_command():
    """A signal while the programs load: the command never runs, and that is no error."""
    path = os.path.join(scratch(), "ran")
    for send in (lambda p: os.killpg(p.pid, signal.SIGINT), lambda p: p.terminate()):
        with subprocess.Popen(
            [TCPCHURN, "report", "--", "touch", path], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as tracer:
            until(lambda: catches(tracer.pid, signal.SIGINT, signal.SIGTERM), 5, "catches signals")
            send(tracer)
            errors = tracer.communicate(timeout=10)[1]
        equal(tracer.returncode, 0, f"exit ({errors})")
        check(not os.path.exists(path), "the command ran")


def test_command_exit():
    """The command's failure is not the tracer's; one that cannot be started is an error."""
    result = report(["/bin/false"], expect=None)
    equal(result.totals["opens"], 0, "opens")
    check("the command ended with exit status 1" in result.stderr, result.stderr)
    done = run([TCPCHURN, "report", "-j", "--", "/no/such/command"], expect=None)
    check(done.returncode != 0 and "/no/such/command" in done.stderr, f"{done.stderr!r}")


def test_table():
    """The default output is for people: names the program, and no escape sequences in a pipe."""
    done = run([TCPCHURN, "report", "--", *churn("-n", 23)])
    check("churn" in done.stdout and "23" in done.stdout, done.stdout)
    check("\x1b" not in done.stdout, "escape sequences in a pipe")


def test_hostile_name():
    """A program's name cannot write to the terminal."""
    path = os.path.join(scratch(), "evil\x1b[2Jname")
    shutil.copy(CHURN, path)
    for view in "report", "trace":
        tracer = Process([TCPCHURN, view, "-d", "30", "-N", str(netns_inode())])
        tracer.wait_text(tracer.err_path, "^tracing")
        run([path, "-n", "3"])
        tracer.stop(signal.SIGINT)
        check("evil" in tracer.out and "\x1b" not in tracer.out + tracer.err, f"{tracer.out!r}")


def test_folded_and_csv():
    for output in "csv", "folded":
        done = run([TCPCHURN, "report", "-o", output, "--", CHURN, "-n", "23"])
        check("churn" in done.stdout, f"{output}: {done.stdout!r}")


def test_doctor():
    done = run([TCPCHURN, "doctor"])
    check("inet_sock_set_state" in done.stdout, done.stdout)
