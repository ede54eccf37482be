#!/usr/bin/env python3
"""What drawing again and exporting cost: `meshreel render` beside `meshreel process`, and each format of a long clip.

    make bench-results

The sample clip is processed and drawn again, in turns, so that what else the machine does meets both. An hour of ten people
(a motion file of 1.5 GB, made for the purpose) is exported to each format. Memory is the process' largest, without what the system
keeps of files.
"""

import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile

import bench

LONG = bench.ROOT / "tests/readers/long_motion.py"
PYTHON = bench.ROOT / "tests/readers/.venv/bin/python"
FORMATS = ["glb", "bvh", "trc", "mot", "c3d", "npz", "csv", "coco", "openpose"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshreel", type=pathlib.Path, default=bench.PROGRAM)
    parser.add_argument("--turns", type=int, default=3, help="times that the clip is processed and drawn again")
    parser.add_argument("--minutes", type=float, default=60, help="length of the long clip")
    parser.add_argument("--formats", nargs="*", default=FORMATS, choices=FORMATS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshreel-bench-") as folder:
        folder = pathlib.Path(folder)
        draw_again(arguments.meshreel, folder, arguments.turns)
        if arguments.formats:
            export(arguments.meshreel, folder, arguments.minutes, arguments.formats)


def draw_again(program, folder, turns):
    environment = {**os.environ, "HOME": str(folder)}
    ratios = []
    print(f"{'':>8} {'process':>16} {'render':>16}\n{'turn':>8} {'wall s':>8} {'CPU s':>7} {'wall s':>8} {'CPU s':>7}")
    for turn in range(turns):
        common = ["--progress", "none", bench.SAMPLE]
        wall, cpu, *_ = bench.run([program, "process", "-o", folder / f"process {turn}", *common], environment)
        motion = folder / f"process {turn}/{bench.SAMPLE.stem}.motion.jsonl"
        drawn, used, *_ = bench.run([program, "render", "-o", folder / f"render {turn}", "--motion", motion, *common], environment)
        print(f"{turn + 1:8} {wall:8.1f} {cpu:7.1f} {drawn:8.1f} {used:7.1f}")
        ratios.append((wall / drawn, cpu / used))
    wall, cpu = (statistics.median(ratio) for ratio in zip(*ratios))
    print(f"render takes 1/{wall:.1f} of the time and 1/{cpu:.1f} of the CPU time (medians)\n")


def export(program, folder, minutes, formats):
    motion = folder / "long.motion.jsonl"
    subprocess.run([PYTHON, LONG, motion, "--minutes", str(minutes)], check=True)
    print(f"{minutes:g} minutes of ten people, {motion.stat().st_size / 1e6:.0f} MB\n{'format':>8} {'seconds':>8} {'MB memory':>10} {'MB files':>9}")
    for name in formats:
        out = folder / name
        seconds, _, memory, _ = bench.run([program, "export", "--format", name, "-o", out, motion])
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        print(f"{name:>8} {seconds:8.0f} {memory:10.0f} {size / 1e6:9.0f}", flush=True)
        shutil.rmtree(out)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
