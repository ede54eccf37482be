#!/usr/bin/env python3
"""What more cores give for one clip: from the recorded times of every piece of work of a real run.

    scripts/simulate_stretches.py record CLIP RUN.json        a clip of several stretches, on this machine
    scripts/simulate_stretches.py show RUN.json --cores 1 2 4 8 16 32

`record` processes the clip, one stretch at a time, with a log of every piece of work: of which stage, on which frame, how long. Threads
wait for each other's cores, so the times of a stage are scaled to the processor time that its threads used. `show` lets the threads of the
pipeline go through these pieces once more, as src/pipeline has them: a core does one piece after the other, whoever waits for a queue takes
none. What it does not know of: caches, memory and clocks that all cores share, and that a piece takes as long however many are at work.
"""

import argparse
import collections
import heapq
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINE = re.compile(r"work: (\w+) of frame (\d+): (\d+) us")
KEYFRAME = re.compile(r"frame (\d+): keyframe")
# What threads do, by the beginning of their names; those that decoders start bear the name of the program.
THREADS = {"decode": "decode", "detect": "networks", "render": "render", "llvmpipe": "rasterize", "encode": "encode", "fit": "fit",
           "meshreel": "decode", "av:": "decode"}
STAGES = {"Decode": "decode", "Detect": "networks", "Landmarks": "networks", "Fit": "fit", "Render": "render", "Blend": "encode",
          "Encode": "encode"}
# As in src/pipeline: frames decoded ahead in either pass, frames whose drawing was asked for, requests to the render thread.
DECODED, DECODED_TO_DRAW, ASKED, RENDER = 2, 1, 2, 4
# Threads at most that Mesa's software renderer shares a picture out to.
RASTERIZERS = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("clip", type=pathlib.Path)
    recording.add_argument("run", type=pathlib.Path)
    recording.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/meshreel")
    recording.set_defaults(do=lambda chosen: record(chosen.clip, chosen.run, chosen.program))
    showing = commands.add_parser("show")
    showing.add_argument("run", type=pathlib.Path)
    showing.add_argument("--cores", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    showing.add_argument("--at-once", type=int, help="stretches at a time, in place of one for two cores and 16 at most")
    showing.add_argument("--repeat", type=int, default=1, help="the clip so many times over")
    showing.set_defaults(do=lambda chosen: show(json.loads(chosen.run.read_text()), chosen))
    chosen = parser.parse_args()
    chosen.do(chosen)


class Threads:
    """The processor time of a program's threads, by what they do."""

    def __init__(self, process):
        self.process, self.seconds, self.is_over = process, {}, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.is_over.wait(0.02):
            for folder in pathlib.Path(f"/proc/{self.process}/task").glob("*"):
                try:
                    name, fields = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
                except OSError:
                    continue
                is_first = folder.name == str(self.process)
                what = "main" if is_first else next((THREADS[start] for start in THREADS if name.startswith(start)), "other")
                used, kernel = fields.split()[11:13]
                self.seconds[folder.name] = what, (int(used) + int(kernel)) / os.sysconf("SC_CLK_TCK")

    def sums(self):
        sums = collections.Counter()
        for what, seconds in list(self.seconds.values()):
            sums[what] += seconds
        return dict(sums)


def record(clip, run, program):
    # Per pass or stretch of it, in the order of the work: stage, frame, seconds and whether somebody waited for it.
    passes, keyframes, last, at_drawing, encoded = [], set(), None, {}, 0.0
    with tempfile.TemporaryDirectory(prefix="meshreel-simulate-") as folder:
        config = pathlib.Path(folder) / "config.toml"
        config.write_text("[jobs]\nstretches = 1\n")
        command = [program, "--config", config, "process", "--progress", "none", "-o", folder, clip]
        before = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "MESHREEL_LOG": "meshreel=trace"})
        threads = Threads(process.pid)
        for line in process.stderr:
            if found := KEYFRAME.search(line):
                keyframes.add((len(passes) - 1, int(found[1])))
            if not (found := LINE.search(line)):
                continue
            stage, frame, seconds = found[1], int(found[2]), int(found[3]) / 1e6
            if stage == "Decode":
                if last is None or frame <= last:
                    passes.append([])
                    if frame == 0 and last is not None:
                        at_drawing = threads.sums()
                last = frame
            if stage == "Encode" and frame % 25 == 0:
                encoded = threads.sums().get("main", 0.0)
            if stage in STAGES:
                passes[-1].append((stage, frame, seconds, (len(passes) - 1, frame) not in keyframes))
        process.wait()
        wall = time.monotonic() - before
        threads.is_over.set()
        threads.thread.join()
        if process.returncode != 0 or len(passes) < 2:
            sys.exit("the run failed, or its log says nothing of its work")
    used, recorded = threads.sums(), collections.Counter()
    rasterized = used.pop("rasterize", 0.0)
    used["render"] = used.get("render", 0.0) + rasterized
    for stage, _, seconds, _ in itertools.chain(*passes):
        recorded[STAGES[stage]] += seconds
    scale = {what: used.get(what, 0.0) / recorded[what] for what in recorded}
    scaled = [[(stage, frame, seconds * scale[STAGES[stage]], waits) for stage, frame, seconds, waits in one] for one in passes]
    follow = at_drawing.get("main", 0.0)
    about = {"wall": wall, "used": used, "scale": scale, "rasterized": rasterized / max(used["render"], 1e-9), "follow": follow, "pose": encoded - follow, "ending": used.get("main", 0.0) - encoded,
             "keyframes": [[frame for number, frame in sorted(keyframes) if number == at] for at in range(len(passes))],
             "passes": scaled}
    run.write_text(json.dumps(about))
    print(f"{wall:.1f} s, processor seconds {({what: round(seconds, 1) for what, seconds in used.items()})}, scales "
          f"{({what: round(by, 2) for what, by in scale.items()})}; {len(passes) - 1} stretches")


class Machine:
    """Cores, and threads that use them: generators that yield what they do next."""

    def __init__(self, cores):
        self.free, self.now, self.busy = cores, 0.0, 0.0
        self.ready, self.events, self.number = collections.deque(), [], itertools.count()

    def start(self, thread):
        self.resume(thread, None)

    def resume(self, thread, value):
        """Lets a thread go on to where it needs a core, or has to wait."""
        while True:
            try:
                what, *rest = thread.send(value)
            except StopIteration:
                return
            if what == "work":
                self.ready.append((thread, rest[0]))
                return
            queue = rest[0]
            if what == "put":
                if not queue.offer(self, thread, rest[1]):
                    return
                value = None
            else:
                is_there, value = queue.take(self, thread)
                if not is_there:
                    return

    def run(self):
        while True:
            while self.free and self.ready:
                thread, seconds = self.ready.popleft()
                self.free -= 1
                self.busy += seconds
                heapq.heappush(self.events, (self.now + seconds, next(self.number), thread))
            if not self.events:
                return self.now
            self.now, _, thread = heapq.heappop(self.events)
            self.free += 1
            self.resume(thread, None)


class Queue:
    """Bounded; its lanes are emptied in order."""

    def __init__(self, *capacities):
        self.capacities, self.lanes = capacities, [collections.deque() for _ in capacities]
        self.takers, self.givers = collections.deque(), [collections.deque() for _ in capacities]

    def offer(self, machine, thread, item, lane=0):
        lane, item = item if len(self.lanes) > 1 else (lane, item)
        if self.takers:
            machine.resume(self.takers.popleft(), item)
            return True
        if len(self.lanes[lane]) < self.capacities[lane]:
            self.lanes[lane].append(item)
            return True
        self.givers[lane].append((thread, item))
        return False

    def take(self, machine, thread):
        for lane, waiting in zip(self.lanes, self.givers):
            if lane:
                item = lane.popleft()
                if waiting:
                    giver, other = waiting.popleft()
                    lane.append(other)
                    machine.resume(giver, None)
                return True, item
        self.takers.append(thread)
        return False, None


def worker(pool):
    while True:
        seconds, replies = yield "get", pool
        yield "work", seconds
        if replies is not None:
            yield "put", replies, None


def decoder(pieces, frames):
    for frame, seconds in pieces:
        yield "work", seconds
        yield "put", frames, frame


def one_after_the_other(begun, chains, start):
    """A thread of the pipeline that takes one stretch after the other."""
    while begun:
        yield from chains(begun.popleft(), start)


def observer(part, start, pool):
    frames, replies, waiting = Queue(DECODED), Queue(10 ** 9), []
    start(decoder(part["decode"], frames))
    for _ in part["decode"]:
        frame = yield "get", frames
        yield "work", part["follow"]
        if frame not in part["keyframes"]:
            waiting.append(frame)
            continue
        for seconds in part["urgent"].get(frame, []):
            yield "put", pool, (0, (seconds, replies))
        for _ in part["urgent"].get(frame, []):
            yield "get", replies
        for earlier in waiting + [frame]:
            for seconds in part["ordinary"].get(earlier, []):
                yield "put", pool, (1, (seconds, None))
        waiting = []


def renderer(requests, tiles, cores, share):
    """The render thread; `share` of the work is what it leaves to as many threads as there are cores."""
    count, done = min(cores, RASTERIZERS), Queue(RASTERIZERS)
    while True:
        seconds, reply = yield "get", requests
        yield "work", (1 - share) * seconds
        for _ in range(count):
            yield "put", tiles, (share * seconds / count, done)
        for _ in range(count):
            yield "get", done
        yield "put", reply, None


def encoder(asked, count, compressing):
    """The encode thread of a stretch, which leaves frames to the encoder's own."""
    for _ in range(count):
        blending, seconds, drawn = yield "get", asked
        if drawn is not None:
            yield "get", drawn
        yield "work", blending
        yield "put", compressing, (seconds, None)


def drawer(part, start, requests, cores):
    frames, asked, compressing = Queue(DECODED_TO_DRAW), Queue(ASKED), Queue(1)
    start(decoder(part["decode"], frames))
    start(encoder(asked, len(part["decode"]), compressing))
    for _ in range(cores + (cores + 1) // 2):
        start(worker(compressing))
    for _ in part["decode"]:
        frame = yield "get", frames
        yield "work", part["pose"]
        drawn = None
        if frame in part["render"]:
            drawn = Queue(1)
            yield "put", requests, (part["render"][frame], drawn)
        yield "put", asked, (part["blend"].get(frame, 0.0), part["encode"].get(frame, 0.0), drawn)


def parts(run, repeat):
    """The stretches to observe, and those to draw."""
    observed, draws = run["passes"][:-1], run["passes"][-1]
    frames = sum(1 for stage, *_ in draws if stage == "Decode")
    seen = sum(1 for part in observed for stage, *_ in part if stage == "Decode")
    to_observe, begins = [], []
    for pieces, keyframes in zip(observed, run["keyframes"]):
        part = {"decode": [], "urgent": {}, "ordinary": {}, "keyframes": set(keyframes), "follow": run["follow"] / seen}
        for stage, frame, seconds, waits in pieces:
            if stage == "Decode":
                part["decode"].append((frame, seconds))
            elif stage in ("Detect", "Landmarks"):
                part["urgent" if waits and frame in part["keyframes"] else "ordinary"].setdefault(frame, []).append(seconds)
        part["keyframes"].add(part["decode"][-1][0])
        begins.append(part["decode"][0][0])
        to_observe.append(part)
    to_draw = []
    for begin, end in zip(begins, begins[1:] + [10 ** 12]):
        part = {"decode": [], "render": {}, "blend": {}, "encode": collections.Counter(), "pose": run["pose"] / frames}
        for stage, frame, seconds, _ in draws:
            if not begin <= frame < end:
                continue
            if stage == "Decode":
                part["decode"].append((frame, seconds))
            elif stage == "Encode":
                part["encode"][frame] += seconds
            elif stage in ("Render", "Blend"):
                part[stage.lower()][frame] = seconds
        to_draw.append(part)
    return to_observe * repeat, to_draw * repeat


def simulate(run, cores, at_once, repeat):
    """Seconds of either pass, of what is between and of what comes after, and how busy the cores were."""
    to_observe, to_draw = parts(run, repeat)
    first = Machine(cores)
    pool = Queue(64, 2 * cores)
    for _ in range(cores):
        first.start(worker(pool))
    begun = collections.deque(to_observe)
    for _ in range(min(at_once, len(to_observe))):
        first.start(one_after_the_other(begun, lambda part, start: observer(part, start, pool), first.start))
    observing = first.run()
    fitted = sum(seconds for stage, _, seconds, _ in itertools.chain(*run["passes"]) if stage == "Fit") * repeat
    fitting = fitted / cores
    second = Machine(cores)
    requests, tiles = Queue(RENDER), Queue(RASTERIZERS)
    second.start(renderer(requests, tiles, cores, run["rasterized"]))
    for _ in range(min(cores, RASTERIZERS)):
        second.start(worker(tiles))
    begun = collections.deque(to_draw)
    for _ in range(min(at_once, len(to_draw))):
        second.start(one_after_the_other(begun, lambda part, start: drawer(part, start, requests, cores), second.start))
    drawing = second.run()
    ending = run["ending"] * repeat
    used, seconds = first.busy + fitted + second.busy + ending, [observing, fitting, drawing, ending]
    return *seconds, used / cores / sum(seconds)


def show(run, chosen):
    frames = chosen.repeat * sum(1 for stage, *_ in run["passes"][-1] if stage == "Decode")
    print(f"{len(run['passes']) - 1} stretches, {chosen.repeat} times, {frames} frames; measured with one stretch at a time: {run['wall']:.1f} s")
    print("| cores | stretches at once | observing s | fitting s | drawing s | ending s | all s | frames a second | times one core | cores busy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    alone = None
    for cores in chosen.cores:
        at_once = chosen.at_once or min(max(cores // 2, 1), 16)
        *seconds, busy = simulate(run, cores, at_once, chosen.repeat)
        alone = alone or sum(seconds)
        each = " | ".join(f"{part:.1f}" for part in seconds)
        print(f"| {cores} | {at_once} | {each} | {sum(seconds):.1f} | {frames / sum(seconds):.1f} | {alone / sum(seconds):.2f} | {busy:.0%} |")


if __name__ == "__main__":
    main()
