#!/usr/bin/env python3
"""How fast meshreel is beside FFmpeg alone, and where the time goes.

    make bench

For each clip FFmpeg transcodes it with the same encoder, preset and quality, and meshreel processes it, in turns; ratios are
of one run on one machine. Clips: the sample clip; one person large in 1080p; a dozen small people at 720p (the sample clip
beside itself, scaled down); a man and somebody in the background in 1080x1920 at 60 frames a second (a camera of `make accuracy`, forwards and
backwards), and the same at 240, with pictures blended between those there are. Writes a table to standard output and all figures
to a file.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/meshreel"
SAMPLE = ROOT / "fixtures/media/demo.mp4"
CAMERA = ROOT / "fixtures/media/four-cameras/cam01.mp4"
# Name, the clip that it is made of, filters, from which second, for how long.
CLIPS = {
    "sample": (SAMPLE, "null", 0, 9.2),
    # The one who walks on the left, four times over: in 5 seconds it is the start that is measured.
    "one large": (SAMPLE, "crop=884:497:0:497,scale=1920:1080:flags=lanczos,loop=3:150", 2.5, 20),
    "dozen small": (SAMPLE, "scale=426:240,split=6[a][b][c][d][e][f];[a][b][c]hstack=3[x];[d][e][f]hstack=3[y];"
                    "[x][y]vstack,pad=1280:720:1:120", 0, 9.2),
    "two at 60": (CAMERA, "split[a][b];[b]reverse[c];[a][c]concat,loop=2:200", 0, 10),
    "two at 240": (CAMERA, "split[a][b];[b]reverse[c];[a][c]concat,framerate=240", 0, 3.3),
}
ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]


# What threads do, by the beginning of their names. Those that FFmpeg starts for decoding bear the name of the program.
WORK = {"decode": "decode", "detect": "networks and crops", "render": "render", "llvmpipe": "render", "encode": "blend, encode",
        "meshreel": "decode"}


def run(command, environment=None):
    """Wall seconds, CPU seconds, megabytes of a command at its largest, and CPU seconds by what its threads do."""
    before = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    threads = {}
    done = threading.Event()
    watch = threading.Thread(target=watch_threads, args=(process.pid, threads, done))
    watch.start()
    errors = process.stderr.read()
    done.set()
    watch.join()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command}: {errors.decode(errors='replace')}")
    work = {}
    for what, seconds in threads.values():
        work[what] = work.get(what, 0) + seconds
    return time.monotonic() - before, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, work


def watch_threads(process, threads, done):
    """Notes what each thread has used: some come and go, so that their last 20 ms are missed."""
    while not done.wait(0.02):
        for folder in pathlib.Path(f"/proc/{process}/task").glob("*"):
            try:
                name, fields = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            is_first = folder.name == str(process)
            what = "follow, fit, pose" if is_first else next((WORK[start] for start in WORK if name.startswith(start)), "other")
            used, kernel = fields.split()[11:13]
            threads[folder.name] = what, (int(used) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--clips", nargs="*", default=list(CLIPS), choices=list(CLIPS))
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench.json")
    arguments = parser.parse_args()
    if not CAMERA.exists():
        import accuracy
        accuracy.fetch()
    results = {"machine": {"cores": os.cpu_count(), "processor": processor()}, "clips": []}
    with tempfile.TemporaryDirectory(prefix="meshreel-bench-") as folder:
        folder = pathlib.Path(folder)
        for name in arguments.clips:
            source, filters, start, length = CLIPS[name]
            clip = folder / f"{name}.mp4"
            run(["ffmpeg", "-v", "error", "-ss", start, "-i", source, "-t", length, "-filter_complex", filters, "-an",
                 "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", clip])
            results["clips"].append(measure(folder, name, clip, arguments.workers))
    print(f"{results['machine']['processor']}, {results['machine']['cores']} cores\n")
    for clip in results["clips"]:
        print(table(clip))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"all figures: {arguments.json}")


def measure(folder, name, clip, workers):
    runs = []
    for count in workers:
        # Beside each run, so that what else the machine does meets both.
        wall, cpu, *_ = run(["ffmpeg", "-v", "error", "-y", "-i", clip, *ENCODER, folder / "alone.mp4"])
        out = folder / f"out {count}"
        seconds, used, memory, work = run([PROGRAM, "process", "--progress", "none", "--workers", count, "-o", out, clip],
                                    {**os.environ, "HOME": str(folder)})
        report = json.loads((out / f"{clip.stem}.report.json").read_text())
        frames = report["frames"]
        runs.append({
            "workers": count,
            "fps": frames / seconds,
            "ffmpeg_fps": frames / wall,
            "ratio": wall / seconds,
            "cpu_ms": 1000 * used / frames,
            "ffmpeg_cpu_ms": 1000 * cpu / frames,
            "memory_mb": memory,
            "thread_cpu_ms": {what: 1000 * seconds / frames for what, seconds in sorted(work.items())},
            "people": report["people"],
            "stages": report["stages"],
            "frames": frames,
        })
    return {"clip": name, "runs": runs}


def table(clip):
    lines = [f"{clip['clip']}: {clip['runs'][0]['frames']} frames, {clip['runs'][0]['people']} people",
             f"{'workers':>9} {'fps':>7} {'ffmpeg':>7} {'ratio':>6} {'cpu ms':>7} {'ffmpeg':>7} {'MB':>5}"]
    for run in clip["runs"]:
        lines.append(f"{run['workers']:9} {run['fps']:7.1f} {run['ffmpeg_fps']:7.1f} {run['ratio']:6.2f} {run['cpu_ms']:7.1f} "
                     f"{run['ffmpeg_cpu_ms']:7.1f} {run['memory_mb']:5.0f}")
    chosen = next((run for run in clip["runs"] if run["workers"] == 2), clip["runs"][0])
    lines.append(f"CPU ms a frame by threads, {chosen['workers']} workers: "
                 + ", ".join(f"{what} {each:.1f}" for what, each in chosen["thread_cpu_ms"].items()))
    lines.append(f"{'':9} {'a frame':>9} {'each':>7} {'p50':>7} {'p95':>7} {'max':>7}  wall ms by stage, {chosen['workers']} workers")
    for stage, times in chosen["stages"].items():
        each = times["mean_ms"]
        lines.append(f"{stage:>9.9} {each * times['count'] / chosen['frames']:9.1f} {each:7.1f} {times['p50_ms']:7.1f} "
                     f"{times['p95_ms']:7.1f} {times['max_ms']:7.1f}")
    return "\n".join(lines) + "\n"


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
