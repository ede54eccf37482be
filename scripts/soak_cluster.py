#!/usr/bin/env python3
"""Lets meshreel work with a Slurm cluster for a long time under bad treatment, and checks what comes of it.

A cluster of three nodes is started on this machine (tests/cluster/cluster.sh). Clips are dropped; workers, nodes' daemons, the
controller and the engine are killed with -9 at random and started again; tasks are preempted, and cancelled behind meshreel's back;
jobs are paused, resumed, reprioritised, cancelled and tried again. In the end every clip must be done exactly once, with the results of a
local run that nobody disturbed; and nothing may be left on the disk, with Slurm, or in the process table.

    python3 scripts/soak_cluster.py --minutes 20

Needs a release build, the sample clip (`make build`), FFmpeg's tools, and Slurm (scripts/setup-cluster.sh); runs as root. Exits with
1 when something is wrong.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

import soak

CONFIG = """
state = "state"
model = "lite"
workers = 1
executor = "slurm"
[models]
folder = "MODELS"
[encode]
preset = "ultrafast"
segment = 0.5
[jobs]
settle = 0.3
attempts = 1000
[slurm]
poll = 1
time = "2"
at_once = 6
[[watch]]
path = "in"
output = "out"
recursive = true
[[watch]]
path = "here"
output = "out-here"
executor = "local"
"""
NODES = ["n1", "n2", "n3"]
OPEN = ("queued", "running", "paused")


class Cluster(soak.Soak):
    config = CONFIG
    # What the engine works on itself gets as many cores as a task does, so that it does not take those of the nodes.
    wrap = ("taskset", "-c", "0")

    def __init__(self, program, folder, seed):
        super().__init__(program, folder, seed)
        (folder / "here").mkdir()
        self.slurm = folder / "slurm"
        self.environment["SLURM_CONF"] = str(self.slurm / "slurm.conf")
        self.back = []  # (when, what to call): what is away, and comes back
        self.given_up = set()  # jobs that are to be tried again
        self.script("start")

    def script(self, what, *arguments):
        command = ["bash", soak.ROOT / "tests/cluster/cluster.sh", what, self.slurm, *arguments]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def command(self, *words):
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout

    def process(self, clip):
        words = [*self.wrap, self.program, "process", "-o", "undisturbed", clip, "--config", "config.toml"]
        return subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True)

    # Clips

    def make_bases(self, count):
        self.bases = []
        for index in range(count):
            clip = self.folder / f"base{index}.mp4"
            start, length = self.random.uniform(0, 4), self.random.choice([1, 2, 3, 5])
            soak.tool("ffmpeg", "-v", "error", "-ss", f"{start:.2f}", "-i", soak.SAMPLE, "-t", str(length), "-vf", "scale=480:-2",
                      "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", clip)
            # The last is one that takes longer than a task may.
            if index == count - 1:
                again = clip.with_name("long.mp4")
                soak.tool("ffmpeg", "-v", "error", "-stream_loop", "9", "-i", clip, "-c", "copy", again)
                clip = again
            answer = self.process(clip)
            if answer.returncode != 0:
                raise SystemExit(f"the undisturbed run failed: {answer.stderr}")
            self.bases.append(clip)

    def drop(self):
        number = self.counts["dropped"]
        # A long one now and then.
        base = self.bases[-1] if number % 12 == 5 else self.random.choice(self.bases[:-1])
        made = self.folder / f"made{number}.mp4"
        # Each is another file, with the same pictures.
        soak.tool("ffmpeg", "-v", "error", "-i", base, "-c", "copy", "-metadata", f"comment={number}", made)
        target = self.folder / ("here" if number % 8 == 7 else "in") / f"clip{number}.mp4"
        made.rename(target)
        self.dropped[str(target)] = base
        self.counts["dropped"] += 1

    # Treatment

    def workers(self):
        """Processes of workers."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if words[1:2] == [b"work"] and str(self.folder).encode() in words[2]:
                    found.append(int(entry.name))
        return found

    def kill(self, process):
        try:
            os.kill(process, signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False

    def kill_worker(self):
        workers = self.workers()
        if workers and self.kill(self.random.choice(workers)):
            self.counts["kill -9 of a worker"] += 1

    def kill_daemon(self, name, file, start):
        """It comes back after some seconds."""
        try:
            process = int((self.slurm / file).read_text())
            # The number of one that is dead already may be another process's by now.
            if str(self.slurm) not in pathlib.Path(f"/proc/{process}/cmdline").read_text():
                return
        except (OSError, ValueError):
            return
        if self.kill(process):
            self.counts[f"kill -9 of {name}"] += 1
            self.back.append((time.monotonic() + self.random.uniform(1, 20), start))

    def revive(self, all_of_them=False):
        due = [start for when, start in self.back if all_of_them or when <= time.monotonic()]
        self.back = [(when, start) for when, start in self.back if not (all_of_them or when <= time.monotonic())]
        for start in due:
            self.script(*start)

    def preempt(self):
        node = self.random.choice(NODES)
        words = ["sbatch", "--parsable", "-p", "first", "-w", node, "--job-name", "first", "--output", "/dev/null", "--wrap", "sleep 1"]
        if self.command(*words).strip():
            self.counts["tasks of others that go first"] += 1

    def cancel_behind_its_back(self):
        tasks = [line for line in self.command("squeue", "-h", "-o", "%A %j").splitlines() if " meshreel-" in line]
        if tasks:
            self.command("scancel", self.random.choice(tasks).split()[0])
            self.counts["scancel by hand"] += 1

    def order(self):
        rows = self.rows()
        still_open = [row for row in rows if row["state"] in OPEN]
        over = [row for row in rows if row["state"] in ("failed", "cancelled")]
        for row in over:
            if self.random.random() < 0.3 and self.meshreel("retry", str(row["id"])).returncode == 0:
                self.counts["retry"] += 1
        if not still_open:
            return
        job = str(self.random.choice(still_open)["id"])
        what = self.random.choice(["pause", "pause", "resume", "resume", "priority", "cancel", "all"])
        if what == "priority":
            self.meshreel("priority", job, str(self.random.randint(-3, 3)))
        elif what == "all":
            self.meshreel("pause", "--all")
            time.sleep(self.random.uniform(0, 3))
            self.meshreel("resume", "--all")
        elif self.meshreel(what, job).returncode != 0:
            return
        self.counts[what] += 1

    def treat(self, seconds):
        end = time.monotonic() + seconds
        told = time.monotonic()
        actions = [
            (0.10, self.kill_worker),
            (0.14, lambda: self.kill_slurmd(self.random.choice(NODES))),
            (0.17, lambda: self.kill_daemon("slurmctld", "ctld.pid", ("controller",))),
            (0.22, lambda: self.end(signal.SIGKILL)),
            (0.24, lambda: self.end(signal.SIGTERM)),
            (0.28, self.preempt),
            (0.30, self.cancel_behind_its_back),
            (0.60, self.order),
        ]
        while time.monotonic() < end:
            self.start()
            self.revive()
            if sum(row["state"] in OPEN for row in self.rows()) < 7:
                self.drop()
            chance = self.random.random()
            action = next((action for most, action in actions if chance < most), None)
            if action is not None:
                action()
            self.watch_memory()
            time.sleep(self.random.uniform(0.5, 4))
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{end - told:5.0f} s left: {dict(self.counts)}", flush=True)

    def kill_slurmd(self, node):
        self.kill_daemon("slurmd", f"slurmd-{node}.pid", ("node", node))

    def finish(self, patience=1200):
        self.revive(all_of_them=True)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            self.start()
            # A node that was lost may have been left out of service by a controller that was killed.
            for node in NODES:
                self.command("scontrol", "update", f"NodeName={node}", "State=RESUME")
            self.meshreel("resume", "--all")
            rows = self.rows()
            for order, states in [("resume", ["paused"]), ("retry", ["failed", "cancelled"])]:
                jobs = [str(row["id"]) for row in rows if row["state"] in states]
                if jobs:
                    self.meshreel(order, *jobs)
            self.watch_memory()
            if len(rows) >= len(self.dropped) and all(row["state"] == "done" for row in rows):
                break
            time.sleep(1)
        else:
            self.wrong("it is not done after %d s" % patience)
        # Folders of jobs go when the queue knows of their end.
        time.sleep(5)
        self.meshreel("stop")
        self.engine.wait(timeout=60)

    # Checks

    def check(self):
        self.count_what_slurm_did()
        super().check()
        left = [line for line in self.command("squeue", "-h", "-o", "%A %j %T").splitlines() if "meshreel-" in line]
        for line in left:
            self.wrong(f"with Slurm there is still {line}")
        for worker in self.workers():
            self.wrong(f"process {worker} is still there")
        for path in (self.folder / "state/cluster").iterdir():
            if path.name != "state":
                self.wrong(f"{path} was left behind")
        for path in (self.folder / "out-here").iterdir():
            if path.name.startswith("."):
                self.wrong(f"{path} was left behind")

    def count_what_slurm_did(self):
        times_done = collections.Counter()
        kinds = ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "REVOKED", "signal 9", "was cancelled there", "is given back", "found again", "begun"]
        for line in self.meshreel("log", "--all", "--limit", "1000000").stdout.splitlines():
            said = line.split(": ", 1)
            if line.endswith(": done"):
                times_done[said[0].split()[-1]] += 1
            for kind in kinds:
                if kind in line:
                    self.counts[f"log says: {kind}"] += 1
        for job, times in times_done.items():
            if times != 1:
                self.wrong(f"job {job} was done {times} times")
        self.counts["done once"] = sum(times == 1 for times in times_done.values())

    def close(self):
        if self.engine is not None and self.engine.poll() is None:
            self.engine.kill()
        for worker in self.workers():
            self.kill(worker)
        self.script("stop")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--program", type=pathlib.Path, default=soak.ROOT / "target/release/meshreel")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meshreel-soak-"))
    treated = Cluster(arguments.program.resolve(), folder, arguments.seed)
    try:
        treated.make_bases(5)
        treated.treat(60 * arguments.minutes)
        treated.finish()
        treated.check()
    finally:
        treated.close()
    treated.report(arguments.keep)


if __name__ == "__main__":
    main()
