#!/usr/bin/env python3
"""Lets meshreel work for a long time under bad treatment, and checks what comes of it.

Short clips are dropped at random (moved in, copied slowly, copied at once); the engine is killed with -9, stopped and
started again; jobs and the whole queue are paused, moved, reprioritised and cancelled. In the end every clip must be done
exactly once, with the results of a run that nobody disturbed, or cancelled as asked; and nothing may be left behind.

    python3 scripts/soak.py --minutes 30

Needs a release build, the sample clip (`make build`) and FFmpeg's tools. Exits with 1 when something is wrong.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "fixtures/media/demo.mp4"
CONFIG = """
state = "state"
model = "lite"
workers = 2
[models]
folder = "MODELS"
[encode]
preset = "ultrafast"
segment = 0.4
[jobs]
settle = 0.3
concurrent = 2
[[watch]]
path = "in"
output = "out"
recursive = true
"""


def tool(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


class Soak:
    config = CONFIG
    # What the engine's command begins with.
    wrap = ()

    def __init__(self, program, folder, seed):
        self.program = program
        self.folder = folder
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.engine = None
        self.dropped = {}  # name -> base clip
        self.cancelled = set()
        self.memory = []  # (time, MB)
        (folder / "in/day").mkdir(parents=True)
        (folder / "config.toml").write_text(self.config.replace("MODELS", str(ROOT / "models")))
        self.environment = dict(os.environ, HOME=str(folder))
        self.environment.pop("XDG_RUNTIME_DIR", None)
        self.log = open(folder / "engine.log", "ab")

    def meshreel(self, *arguments):
        command = [self.program, *arguments, "--config", "config.toml"]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)

    def rows(self):
        answer = self.meshreel("status", "--json", "--limit", "100000")
        return [json.loads(line) for line in answer.stdout.splitlines()]

    # Clips

    def make_bases(self, count):
        """Clips and their undisturbed results."""
        self.bases = []
        for index in range(count):
            clip = self.folder / f"base{index}.mp4"
            start, length = self.random.uniform(0, 6), self.random.uniform(0.4, 2.5)
            tool("ffmpeg", "-v", "error", "-ss", f"{start:.2f}", "-i", SAMPLE, "-t", f"{length:.2f}", "-vf", "scale=480:-2",
                 "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", clip)
            answer = self.process(clip)
            if answer.returncode != 0:
                sys.exit(f"the undisturbed run failed: {answer.stderr}")
            self.bases.append(clip)

    def process(self, clip):
        return self.meshreel("process", "-o", "undisturbed", str(clip))

    def drop(self):
        number = self.counts["dropped"]
        base = self.random.choice(self.bases)
        name = f"clip{number}.mp4"
        # Each is another file, with the same pictures.
        made = self.folder / f"made-{name}"
        tool("ffmpeg", "-v", "error", "-i", base, "-c", "copy", "-metadata", f"comment={number}", made)
        target = self.folder / self.random.choice(["in", "in/day"]) / name
        how = self.random.choice(["moved", "copied", "slowly"])
        if how == "moved":
            made.rename(target)
        elif how == "copied":
            shutil.copyfile(made, target)
        else:
            contents = made.read_bytes()
            with open(target, "wb") as file:
                file.write(contents[: len(contents) // 2])
                file.flush()
                self.act_or_wait(self.random.uniform(0.2, 2))
                file.write(contents[len(contents) // 2:])
        if made.exists():
            made.unlink()
        self.dropped[str(target)] = base
        self.counts["dropped"] += 1

    # Treatment

    def start(self):
        if self.engine is None or self.engine.poll() is not None:
            command = [*self.wrap, self.program, "run", "--headless", "-v", "--config", "config.toml"]
            self.engine = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=self.log)
            self.counts["started"] += 1

    def end(self, how):
        self.start()
        self.engine.send_signal(how)
        begun = time.monotonic()
        code = self.engine.wait(timeout=60)
        self.counts[f"ended by {how.name}"] += 1
        if how == signal.SIGTERM:
            self.counts["slowest SIGTERM, ms"] = max(self.counts["slowest SIGTERM, ms"], int(1000 * (time.monotonic() - begun)))
            if code not in (0, 130):
                self.counts["WRONG: exit code of SIGTERM"] += 1
        if self.random.random() < 0.8:
            self.start()

    def order(self):
        rows = [row for row in self.rows() if row["state"] in ("queued", "running", "paused")]
        if not rows:
            return
        row = self.random.choice(rows)
        job = str(row["id"])
        what = self.random.choice(["pause", "resume", "resume", "priority", "move", "cancel", "all", "for"])
        if what in ("pause", "resume"):
            self.meshreel(what, job)
        elif what == "for":
            self.meshreel("pause", job, "--for", "3s")
        elif what == "priority":
            self.meshreel("priority", job, str(self.random.randint(-3, 3)))
        elif what == "move":
            self.meshreel("move", job, self.random.choice(["first", "last", "up", "down"]))
        elif what == "all":
            self.meshreel("pause", "--all")
            time.sleep(self.random.uniform(0, 2))
            self.meshreel("resume", "--all")
        elif what == "cancel":
            if self.random.random() > 0.3:
                return
            if self.meshreel("cancel", job).returncode == 0:
                self.cancelled.add(row["id"])
        self.counts[what] += 1

    def act_or_wait(self, seconds):
        if self.random.random() < 0.3:
            self.end(signal.SIGKILL)
        time.sleep(seconds)

    def watch_memory(self):
        try:
            text = pathlib.Path(f"/proc/{self.engine.pid}/status").read_text()
        except (OSError, AttributeError):
            return
        for line in text.splitlines():
            if line.startswith("VmRSS:"):
                self.memory.append((time.monotonic(), int(line.split()[1]) / 1024))

    def treat(self, seconds):
        end = time.monotonic() + seconds
        told = 0.0
        while time.monotonic() < end:
            self.start()
            open_jobs = sum(row["state"] in ("queued", "running", "paused") for row in self.rows())
            chance = self.random.random()
            if chance < 0.30 and open_jobs < 12:
                self.drop()
            elif chance < 0.40:
                self.end(signal.SIGKILL)
            elif chance < 0.43:
                self.end(signal.SIGTERM)
            elif chance < 0.75:
                self.order()
            self.watch_memory()
            time.sleep(self.random.uniform(0.1, 2.5))
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{end - told:5.0f} s left: {dict(self.counts)}", flush=True)

    def finish(self, patience=900):
        """Lets everything go on, and waits until it is done."""
        self.start()
        end = time.monotonic() + patience
        while time.monotonic() < end:
            self.start()
            self.meshreel("resume", "--all")
            paused = [str(row["id"]) for row in self.rows() if row["state"] == "paused"]
            if paused:
                self.meshreel("resume", *paused)
            rows = self.rows()
            self.watch_memory()
            if len(rows) >= len(self.dropped) and all(row["state"] in ("done", "cancelled", "failed") for row in rows):
                break
            time.sleep(1)
        else:
            self.wrong("it is not done after %d s" % patience)
        # One that is just starting does not hear it yet.
        begun = time.monotonic()
        while self.engine.poll() is None and time.monotonic() - begun < 60:
            self.meshreel("stop")
            time.sleep(0.2)
        self.engine.wait(timeout=60)

    # Checks

    def wrong(self, what):
        print(f"WRONG: {what}")
        self.counts["WRONG"] += 1

    def check(self):
        rows = self.rows()
        by_source = collections.defaultdict(list)
        for row in rows:
            by_source[row["source"]].append(row)
        expected = set()
        undisturbed = {}
        for source, base in self.dropped.items():
            jobs = by_source.pop(source, [])
            if len(jobs) != 1:
                self.wrong(f"{source} has {len(jobs)} jobs")
                continue
            job = jobs[0]
            self.counts[f"in the end {job['state']}"] += 1
            if job["state"] == "cancelled" and job["id"] not in self.cancelled:
                self.wrong(f"{source} is cancelled, and nobody asked for it")
            if job["state"] == "failed":
                self.wrong(f"{source} failed: {job['error']}")
            if job["state"] != "done":
                continue
            video = pathlib.Path(job["output"])
            files = [video, video.with_suffix(".motion.jsonl"), video.with_suffix(".report.json")]
            expected.update(files)
            if not all(file.exists() for file in files):
                self.wrong(f"results of {source} are missing")
                continue
            if base not in undisturbed:
                undisturbed[base] = self.contents(self.folder / "undisturbed" / base.name)
            if self.contents(video) != undisturbed[base]:
                self.wrong(f"results of {source} are not those of an undisturbed run")
        for source in by_source:
            self.wrong(f"{source} was never dropped")
        there = {path for path in (self.folder / "out").rglob("*") if path.is_file()}
        for path in sorted(there - expected):
            self.wrong(f"{path} was left behind")
        for path in sorted((self.folder / "state/jobs").iterdir()):
            self.wrong(f"{path} was left behind")

    def report(self, keep):
        """Prints what was counted, and ends the program."""
        for name, count in sorted(self.counts.items()):
            print(f"{count:7} {name}")
        third = max(1, len(self.memory) // 3)
        for name, part in [("first", self.memory[:third]), ("last", self.memory[-third:])]:
            sizes = sorted(size for _, size in part)
            print(f"{sizes[len(sizes) // 2]:7.0f} MB at work in the {name} third (median; {sizes[-1]:.0f} at most)")
        is_wrong = any(name.startswith("WRONG") and count for name, count in self.counts.items())
        if keep or is_wrong:
            print(f"see {self.folder}")
        else:
            shutil.rmtree(self.folder)
        sys.exit(1 if is_wrong else 0)

    @staticmethod
    def contents(video):
        """What a result says and shows, without the names of files."""
        motion = video.with_suffix(".motion.jsonl").read_text().splitlines()
        report = json.loads(video.with_suffix(".report.json").read_text())
        pictures = tool("ffmpeg", "-v", "error", "-i", video, "-map", "0:v", "-f", "md5", "-")
        sound = tool("ffmpeg", "-v", "error", "-i", video, "-map", "0:a", "-c", "copy", "-f", "md5", "-")
        return motion[1:], report["frames"], report["people"], pictures, sound


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/meshreel")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meshreel-soak-"))
    soak = Soak(arguments.program.resolve(), folder, arguments.seed)
    try:
        soak.make_bases(6)
        soak.treat(60 * arguments.minutes)
        soak.finish()
        soak.check()
    finally:
        if soak.engine is not None and soak.engine.poll() is None:
            soak.engine.kill()
    soak.report(arguments.keep)


if __name__ == "__main__":
    main()
