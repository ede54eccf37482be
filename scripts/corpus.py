#!/usr/bin/env python3
"""Makes many odd video files, has meshreel process them, and checks what comes out with FFmpeg's tools.

The files are made from the sample clip: each half a second long, and odd in one way. What must come out is read with
ffprobe and ffmpeg and as plain JSON, never with meshreel's own reader, which could be wrong in the same way twice.

    python3 scripts/corpus.py --meshreel target/release/meshreel
    python3 scripts/corpus.py --only stamps --keep /tmp/corpus     # the cases with "stamps" in their name; files are kept
    python3 scripts/corpus.py --list

The table CASES has all cases. To add one, say how its file is made, with which options it is processed, and what must
come out. Needs the sample clip (`make setup`) and FFmpeg's tools. Exits with 1 when something is wrong.
"""

import argparse
import concurrent.futures
import functools
import json
import operator
import os
import pathlib
import random
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "fixtures/media/demo.mp4"

# What every run has in common: the fastest networks, one thread (two runs go side by side), and a result near its source.
COMMON = """
state = "state"
model = "lite"
workers = 1
[models]
folder = {models}
[encode]
preset = "ultrafast"
crf = 10
"""

# The runs: a name, and what it adds to the section [encode].
RUNS = {
    "mp4": "",
    "mkv": 'container = "mkv"',
    "mov": 'container = "mov"',
    "avi": 'container = "avi"',
    "flv": 'container = "flv"',
    "ts": 'container = "ts"',
    "webm": 'codec = "libvpx-vp9"\ncontainer = "webm"',
    "x265": 'codec = "libx265"',
    "x265-mkv": 'codec = "libx265"\ncontainer = "mkv"',
    "av1": 'codec = "libsvtav1"',
    "av1-mkv": 'codec = "libsvtav1"\ncontainer = "mkv"',
    "mpeg4": 'codec = "mpeg4"',
    "plain": 'pixel_format = "yuv420p"',
    "plain-x265": 'codec = "libx265"\npixel_format = "yuv420p"',
}

# Version of FFmpeg's tools: they and its libraries change what can be made and what comes out.
FFMPEG = int((re.search(r"version n?(\d+)", subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout)
              or ["", "0"])[1])

# Samples a second at which sound is compared: enough to measure half a millisecond.
RATE = 2000

# The longest that one call of meshreel may take, seconds.
PATIENCE = 120


class Wrong(Exception):
    """Something came out that is not right; the text says what was expected and what came."""


def expect(is_right, expected, came):
    if not is_right:
        raise Wrong(f"expected {expected}, came {came}")


# Running FFmpeg's tools


def tool(*arguments, folder=None):
    """Runs a program and gives what it printed, as bytes."""
    answer = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    if answer.returncode != 0:
        said = answer.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"{arguments[0]} failed: {' / '.join(said)}")
    return answer.stdout


def ffmpeg(folder, arguments, *more):
    """Runs ffmpeg with arguments as a shell would split them."""
    return tool("ffmpeg", "-v", "error", "-y", *shlex.split(arguments), *more, folder=folder)


class Media:
    """What ffprobe says of a file. Each question is asked once."""

    def __init__(self, path):
        self.path = path

    def probe(self, *arguments):
        return json.loads(tool("ffprobe", "-v", "error", "-of", "json", *arguments, self.path))

    @functools.cached_property
    def described(self):
        return self.probe("-show_streams", "-show_format", "-show_chapters", "-show_packets", "-show_frames")

    @property
    def streams(self):
        return self.described["streams"]

    def of_kind(self, kind):
        """Streams of a kind, cover pictures aside."""
        is_cover = lambda s: s.get("disposition", {}).get("attached_pic") == 1
        return [s for s in self.streams if s.get("codec_type") == kind and not (kind == "video" and is_cover(s))]

    @property
    def video(self):
        videos = self.of_kind("video")
        expect(videos, "a video stream", f"none in {self.path}")
        return videos[0]

    @property
    def tags(self):
        """Of the file, with small letters."""
        return {key.lower(): value for key, value in self.described["format"].get("tags", {}).items()}

    def packets(self, stream):
        both = self.described["packets_and_frames"]
        return [p for p in both if p["type"] == "packet" and p["stream_index"] == stream["index"]]

    @functools.cached_property
    def frames(self):
        """Decoded frames of the video."""
        both = self.described["packets_and_frames"]
        return [f for f in both if f["type"] == "frame" and f["stream_index"] == self.video["index"]]

    @functools.cached_property
    def times(self):
        """When each frame is shown, seconds."""
        return [float(f.get("pts_time", f.get("best_effort_timestamp_time", "nan"))) for f in self.frames]

    @property
    def start(self):
        """Where the clock of the whole file begins, seconds."""
        return float(self.described["format"].get("start_time", 0))

    @property
    def displayed(self):
        """Width and height as shown, with the rotation."""
        width, height = self.video["width"], self.video["height"]
        turns = [int(data["rotation"]) for data in self.video.get("side_data_list", []) if "rotation" in data]
        return (height, width) if turns and turns[0] % 180 else (width, height)

    @functools.cached_property
    def side_data(self):
        """Side data of the stream and of its first frame, by the name that ffprobe gives it."""
        found = {}
        for data in self.video.get("side_data_list", []) + self.frames[0].get("side_data_list", []):
            found.setdefault(data["side_data_type"], data)
        return found

    @functools.cache
    def sound(self, number, rate):
        """Samples of a sound stream from the start of the file's clock on, one channel."""
        raw = tool("ffmpeg", "-v", "error", "-i", self.path, "-map", f"0:a:{number}", "-af",
                   f"aresample={rate}:async=1:min_hard_comp=0.005:first_pts=0", "-ac", "1", "-f", "s16le", "-")
        return struct.unpack(f"<{len(raw) // 2}h", raw[:len(raw) // 2 * 2])


@functools.cache
def source_media(path):
    """Sources are looked at once, however many cases they are in."""
    return Media(path)


# What one file came to


class Outcome:
    """A source, what was said of it, and its results."""

    def __init__(self, source, folder, run, failure, stray):
        self.source = source_media(source)
        self.folder = folder
        self.run = run
        self.container = (re.search(r'container = "(\w+)"', RUNS[run]) or ["", "mp4"])[1]
        self.failure = failure
        self.stray = stray
        self.stem = os.path.splitext(os.path.basename(source))[0]

    def path(self, ending):
        return os.path.join(self.folder, self.stem + ending)

    @functools.cached_property
    def result(self):
        path = self.path(f".{self.container}")
        expect(self.failure is None, "success", f"the error: {self.failure}")
        expect(os.path.isfile(path), "a result", "none, and no error")
        return Media(path)

    @functools.cached_property
    def report(self):
        self.result
        with open(self.path(".report.json"), encoding="utf-8") as file:
            return json.load(file)

    @functools.cached_property
    def motion(self):
        """The header and the rows."""
        self.result
        with open(self.path(".motion.jsonl"), encoding="utf-8") as file:
            lines = []
            for number, line in enumerate(file, 1):
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    raise Wrong(f"expected JSON in line {number} of the motion, came {line[:40]!r}") from None
        return lines[0], lines[1:]

    @property
    def warnings(self):
        return self.report["warnings"]


# What must come out. Each of these is a check, or makes one: a function of the outcome that raises Wrong.


def done(outcome, frames="as many as the source has"):
    """The video was processed: every frame is there, with its time and with its line of motion."""
    result, source, (header, rows) = outcome.result, outcome.source, outcome.motion
    expect(result.times, "frames", "none")
    # AVI has no stamps, only a number of frames a second.
    near = 0.03 if outcome.container == "avi" else 0.0015
    if isinstance(frames, int):
        expect(len(result.times) == frames, f"{frames} frames", f"{len(result.times)} frames")
    elif frames:
        expect(len(result.times) == len(source.times), f"{len(source.times)} frames", f"{len(result.times)} frames")
        kept = [(t - source.times[0]) - (u - result.times[0]) for t, u in zip(source.times, result.times)]
        worst = max(kept, key=abs)
        expect(abs(worst) < near, "the source's times within 1 ms", f"one that is {1000 * worst:.1f} ms off")
    expect(len(rows) == header["video"]["frames"] == outcome.report["frames"] == len(result.times),
           f"{len(result.times)} lines of motion, and so many in its header and in the report",
           f"{len(rows)}, {header['video']['frames']} and {outcome.report['frames']}")
    off = [row["time"] - (t - result.times[0]) for row, t in zip(rows, result.times)]
    expect(max(map(abs, off)) < near, "times of motion as in the result", f"{1000 * max(off, key=abs):.1f} ms off")
    size = (header["video"]["width"], header["video"]["height"])
    if result.video.get("sample_aspect_ratio", "1:1") in ("1:1", "0:1"):
        expect(size in (result.displayed, source.displayed), f"{result.displayed} in the motion's header", size)
    stamps_rise(outcome)


def done_with(frames):
    """As `done`, with another number of frames, or any number for None."""
    return lambda outcome: done(outcome, frames)


def refused(pattern):
    """No results, and the reason is said in words."""

    def check(outcome):
        left = [e for e in (f".{outcome.container}", ".motion.jsonl", ".report.json") if os.path.exists(outcome.path(e))]
        expect(outcome.failure is not None, f"a refusal that says '{pattern}'", f"results: {left}")
        expect(not left, "no results beside the refusal", left)
        expect(re.search(pattern, outcome.failure, re.I), f"a refusal that says '{pattern}'", outcome.failure)

    return check


def a_picture(outcome):
    """A still that was named comes out as a picture: there is no video, and no refusal."""
    expect(outcome.failure is None, "a picture", outcome.failure)
    expect(os.path.exists(outcome.path(".motion.jsonl")), "a motion file", "none")


def stamps_rise(outcome):
    """In every stream packets are decoded in order, and none is shown before it is decoded."""
    for stream in outcome.result.streams:
        # Subtitles in MP4 have empty samples between them.
        may_repeat = outcome.container in ("mkv", "webm", "avi") or stream["codec_type"] == "subtitle"
        stamps = [int(p["dts"]) for p in outcome.result.packets(stream) if "dts" in p]
        for a, b in zip(stamps, stamps[1:]):
            expect(b > a or (b == a and may_repeat), "rising dts",
                   f"{b} after {a} in stream {stream['index']} ({stream.get('codec_name')})")
        early = [p["pts"] for p in outcome.result.packets(stream) if "pts" in p and int(p["pts"]) < int(p.get("dts", p["pts"]))]
        expect(not early, "pts not before dts", early[:1])


def warned(*patterns):
    """One warning of the report says all of this."""

    def check(outcome):
        found = [w for w in outcome.warnings if all(re.search(p, w, re.I) for p in patterns)]
        expect(found, f"a warning that says {' and '.join(patterns)}", outcome.warnings or "no warning")

    return check


def lost(pattern):
    """The report says this of what was lost, and nothing else."""

    def check(outcome):
        found = outcome.report["lost"]
        expect(len(found) == 1 and re.search(pattern, found[0], re.I), f"a word about '{pattern}'", found or "none")

    return check


def warned_once(*patterns):
    """Exactly one warning of the report says all of this."""

    def check(outcome):
        found = [w for w in outcome.warnings if all(re.search(p, w, re.I) for p in patterns)]
        expect(len(found) == 1, f"one warning that says {' and '.join(patterns)}", outcome.warnings or "no warning")

    return check


def not_warned(pattern):
    def check(outcome):
        found = [w for w in outcome.warnings if re.search(pattern, w, re.I)]
        expect(not found, f"no warning about '{pattern}'", found)

    return check


def no_warning(outcome):
    expect(outcome.warnings == [] and outcome.report["lost"] == [], "no warning",
           outcome.warnings + outcome.report["lost"])


def nothing_else_said(outcome):
    """Nothing is printed but what meshreel says: encoders keep quiet, names cannot steer the terminal."""
    expect(not outcome.stray, "no foreign output", outcome.stray[:3])


def sound_kept(outcome, missing=3):
    """Of every sound nearly all packets are there, or where it was converted nearly all its time."""
    sources, results = outcome.source.of_kind("audio"), outcome.result.of_kind("audio")
    expect(len(sources) == len(results), f"{len(sources)} sounds", len(results))
    for number, (source, result) in enumerate(zip(sources, results)):
        before, after = outcome.source.packets(source), outcome.result.packets(result)
        # Containers cut PCM as they like.
        if source["codec_name"] == result["codec_name"] and not source["codec_name"].startswith("pcm_"):
            expect(len(before) - missing <= len(after) <= len(before) + 1, f"{len(before)} packets of sound", len(after))
            continue
        ends = [len(media.sound(number, RATE)) / RATE - (media.times[0] - media.start)
                for media in (outcome.source, outcome.result)]
        expect(abs(ends[0] - ends[1]) < 0.1, f"{source['codec_name']} that ends {ends[0]:.2f} s after the first frame",
               f"{ends[1]:.2f} s")


def find_sound(piece, samples, around, reach):
    """Where a piece of sound is in others, near a place: how many samples further, and how alike (at most 1)."""
    norm = sum(map(operator.mul, piece, piece)) ** 0.5
    best = (0.0, 0)
    for lag in range(-reach, reach + 1):
        window = samples[max(0, around + lag):around + lag + len(piece)]
        if around + lag < 0 or len(window) < len(piece):
            continue
        power = sum(map(operator.mul, window, window)) ** 0.5
        best = max(best, (sum(map(operator.mul, piece, window)) / (norm * power + 1e-9), lag))
    return best[1], best[0]


def compare_sound(source, result, source_zero, result_zero, at, number=0):
    """Pieces of sound at these seconds after a frame of the source are as far after the same frame of the result."""
    rate, length, reach = RATE, 0.15, 0.2
    before, after = source.sound(number, rate), result.sound(number, rate)
    for second in at:
        begin = round((source_zero - source.start + second) * rate)
        piece = before[begin:begin + round(length * rate)]
        expect(begin >= 0 and len(piece) == round(length * rate) and any(piece), f"sound at {second} s of the source",
               "none")
        around = round((result_zero - result.start + second) * rate)
        lag, likeness = find_sound(piece, after, around, round(reach * rate))
        expect(likeness > 0.6, f"the source's sound at {second} s", f"none that is alike ({likeness:.2f})")
        expect(abs(lag / rate) <= 0.02, f"sound in sync within 20 ms at {second} s", f"{1000 * lag / rate:.0f} ms late")


def in_sync(outcome, at=(0.06, 0.4), number=0):
    """The sound is as far after the first frame as it is in the source."""
    source, result = outcome.source, outcome.result
    compare_sound(source, result, source.times[0], result.times[0], at, number)


def in_sync_at(*at, number=0):
    return lambda outcome: in_sync(outcome, at, number)


def joined_in_sync(part, first_frame):
    """The sound of a part of a joined file goes with the pictures of this part."""

    def check(outcome):
        alone, result = source_media(os.path.join(os.path.dirname(outcome.source.path), part)), outcome.result
        expect(len(result.times) > first_frame, f"more than {first_frame} frames", len(result.times))
        compare_sound(alone, result, alone.times[0], result.times[first_frame], (0.1, 0.25))

    return check


def streams(*wanted):
    """The result has exactly these streams beside the video: "kind codec" or "kind codec language"."""

    def check(outcome):
        found = []
        for stream in outcome.result.streams:
            if stream["codec_type"] != "video":
                language = stream.get("tags", {}).get("language", "und")
                found.append(f"{stream['codec_type']} {stream.get('codec_name', stream.get('codec_tag_string'))} {language}")
        fits = len(found) == len(wanted) and all(re.fullmatch(w if w.count(" ") > 1 else w + r" \S+", f)
                                                 for w, f in zip(wanted, found))
        expect(fits, list(wanted), found)

    return check


def has(wanted):
    """The result has this stream: "kind codec language"."""

    def check(outcome):
        found = [f"{s['codec_type']} {s.get('codec_name')} {s.get('tags', {}).get('language', 'und')}"
                 for s in outcome.result.streams]
        expect(wanted in found, wanted, found)

    return check


def channels(count):
    """The sound has so many channels."""
    return lambda outcome: expect(outcome.result.of_kind("audio")[0]["channels"] == count, f"{count} channels",
                                  outcome.result.of_kind("audio")[0]["channels"])


def channels_or_told(count):
    """The sound has so many channels, or a warning says how many it has."""

    def check(outcome):
        came = outcome.result.of_kind("audio")[0]["channels"]
        if came != count:
            warned(f"{came} channels instead of {count}")(outcome)

    return check


def same_packets(source, result):
    """A stream was copied byte for byte. Streams are called as ffmpeg calls them, such as a:1."""

    def check(outcome):
        sums = [tool("ffmpeg", "-v", "error", "-i", media.path, "-map", f"0:{stream}", "-c", "copy", "-f", "md5", "-")
                for media, stream in ((outcome.source, source), (outcome.result, result))]
        expect(sums[0] == sums[1], f"the same packets in {result} as in {source}", "others")

    return check


def accounted_for(outcome):
    """Every stream of the source is in the result, or a warning names its codec and language; so is every change of codec."""
    left = list(outcome.result.streams)
    video = outcome.source.video["index"]
    for stream in outcome.source.streams:
        if stream["index"] == video:
            continue
        kind, codec = stream["codec_type"], stream.get("codec_name", "unknown")
        tag = stream.get("codec_tag_string", "")
        language = stream.get("tags", {}).get("language", "und")
        keeps_languages = outcome.container not in ("avi", "flv")
        same = [s for s in left if s["codec_type"] == kind and s["index"] != outcome.result.video["index"]
                and (not keeps_languages or s.get("tags", {}).get("language", "und") == language)]
        if same:
            left.remove(same[0])
            if same[0].get("codec_name", "unknown") == codec:
                continue
        names = [n for n in (codec, tag if re.fullmatch(r"\w{4}", tag) else "", NAMES.get(codec)) if n]
        names = "|".join(map(re.escape, names))
        named = [w for w in outcome.warnings if re.search(names, w, re.I) and (language == "und" or language in w)]
        expect(named, f"a warning that names the {kind} '{codec}' ({language})", outcome.warnings or "no warning")


def nothing_unsaid(outcome):
    """Languages, purposes, tags, chapters, time codes and streams that the result does not have are named in warnings."""
    said = " ".join(outcome.warnings)
    # Time codes and chapters have streams of their own in QuickTime files.
    kinds = lambda media: [s["codec_type"] for s in media.streams if s.get("codec_tag_string") not in ("tmcd", "text")]
    facts = lambda media: (
        {("language", s["tags"]["language"]) for s in media.streams
         if s["codec_type"] in ("audio", "subtitle") and s.get("tags", {}).get("language", "und") != "und"}
        | {("forced", "forced|subtitles .* left out") for s in media.streams if s["disposition"]["forced"]}
        | {("cover", "mjpeg") for s in media.streams if s["disposition"]["attached_pic"]}
        | {("title", value) for key, value in media.tags.items() if key == "title"}
        | {("artist", value) for key, value in media.tags.items() if key == "artist"}
        | {("chapters", len(media.described["chapters"]))}
        | {("time code", value) for key, value in list(media.video.get("tags", {}).items()) + list(media.tags.items())
           if key.lower() == "timecode"})
    words = {"language": "{}", "forced": "{}", "cover": "cover|mjpeg", "title": "title", "artist": "artist", "chapters": "chapters",
             "time code": "{}"}
    for kind, value in facts(outcome.source) - facts(outcome.result):
        expect(re.search(words[kind].format(value), said), f"a warning about the {kind} '{value}'", outcome.warnings)
    expect(len(kinds(outcome.source)) == len(kinds(outcome.result)) or "left out" in said or "streams" in said,
           f"{kinds(outcome.source)} or a warning", kinds(outcome.result))


# What a codec may be called in a warning beside its name.
NAMES = {"dts": "dca", "bin_data": "data", "hdmv_pgs_subtitle": "pgs", "timed_id3": "id3"}


def codec_and_format(codec, pixels=None):
    """The video's codec, and its format of pixels."""

    def check(outcome):
        video = outcome.result.video
        expect(video["codec_name"] == codec, codec, video["codec_name"])
        expect(pixels in (None, video["pix_fmt"]), pixels, video["pix_fmt"])

    return check


def sized(width, height):
    """The size of the result as shown."""
    return lambda outcome: expect(outcome.result.displayed == (width, height), f"{width}x{height}", outcome.result.displayed)


def at_most_a_pixel_larger(outcome):
    (width, height), (w, h) = outcome.source.displayed, outcome.result.displayed
    expect(0 <= w - width <= 1 and 0 <= h - height <= 1, f"{width}x{height} or one pixel more", f"{w}x{h}")


def at_most_three_rows_larger(outcome):
    """X264 codes fields of an even number of rows each, so that the height is a multiple of four."""
    (width, height), (w, h) = outcome.source.displayed, outcome.result.displayed
    expect(w == width and 0 <= h - height <= 3, f"{width}x{height} or three rows more", f"{w}x{h}")


def not_shifted(outcome, least=30):
    """The top left of the result is the source's picture, as both are shown."""
    width, height = outcome.source.displayed
    w, h = outcome.result.displayed

    def likeness(x, y):
        # In the source's format, so that nothing is scaled where both have the same; but in no palette, which is rougher.
        pixels = outcome.source.video["pix_fmt"].replace("pal8", "rgb24")
        same = f"setfield=prog,format={pixels},settb=1/25,setpts=N,setsar=1"
        graph = f"[0:v]{same}[a];[1:v]{same},crop={width}:{height}:{x}:{y}:exact=1[b];[a][b]psnr=stats_file=-"
        lines = tool("ffmpeg", "-v", "error", "-i", outcome.source.path, "-i", outcome.result.path, "-lavfi", graph,
                     "-f", "null", "-").decode()
        return min(float(value) for value in re.findall(r"psnr_avg:(\S+)", lines))

    found = likeness(0, 0)
    if found < least:
        others = {(x, y): likeness(x, y) for x in range(w - width + 1) for y in range(h - height + 1)}
        best = max(others, key=others.get)
        raise Wrong(f"expected the picture in its place (over {least} dB), came {found:.1f} dB; "
                    f"shifted by {best[0]}, {best[1]} it is {others[best]:.1f} dB")


def like_the_source(least):
    return lambda outcome: not_shifted(outcome, least)


def turned_as_the_source(outcome):
    """Players turn the result as they turn the source, by other than nothing."""
    turns = [media.side_data.get("Display Matrix", {}).get("rotation", 0) for media in (outcome.source, outcome.result)]
    expect(turns[0] and (turns[0] - turns[1]) % 360 == 0, f"a rotation of {turns[0]}", turns[1])


def turned_or_told(outcome):
    """The result is shown as the source is, or a warning says that it is not."""
    if outcome.result.displayed != outcome.source.displayed:
        warned("rotat|turn")(outcome)


def colours(**wanted):
    """The tags of the picture's colours."""

    def check(outcome):
        found = {key: outcome.result.video.get(key) for key in wanted}
        expect(found == wanted, wanted, found)

    return check


def side_data(name, **wanted):
    """The result has this side data, with these values; those that are not given are the source's."""

    def check(outcome):
        if name not in outcome.source.side_data:
            raise RuntimeError(f"the source has no '{name}'")
        came = outcome.result.side_data.get(name)
        expect(came is not None, f"'{name}'", sorted(outcome.result.side_data) or "no side data")
        values = wanted or outcome.source.side_data[name]
        number = lambda v: eval_fraction(v) if isinstance(v, str) else v
        wrong = {k: came.get(k) for k, v in values.items() if not alike(number(v), number(came.get(k)))}
        expect(not wrong, f"'{name}' as {values}", wrong)

    return check


def eval_fraction(text):
    """A fraction as ffprobe writes it as a number; other text as it is."""
    match = re.fullmatch(r"(-?\d+)/(\d+)", text)
    return int(match[1]) / int(match[2]) if match and int(match[2]) else text


def alike(a, b):
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 0.001 * max(1, abs(a), abs(b))
    return a == b


def tag(key, value):
    """The file has this tag; the value may be a pattern."""

    def check(outcome):
        came = outcome.result.tags.get(key, "")
        expect(value == came or re.fullmatch(value, came), f"the tag {key}={value}", outcome.result.tags)

    return check


def timecode(outcome):
    """A stream or the file has the source's time code."""

    def codes(media):
        tables = [media.tags] + [s.get("tags", {}) for s in media.streams]
        # Matroska's names of tags are in capitals.
        return {value for table in tables for key, value in table.items() if key.lower() == "timecode"}

    expect(codes(outcome.source) and codes(outcome.result) == codes(outcome.source), codes(outcome.source),
           codes(outcome.result) or "none")


def chapters(*titles):
    def check(outcome):
        told = lambda media: [(c.get("tags", {}).get("title"), round(float(c["start_time"]), 2))
                              for c in media.described["chapters"]]
        expect([title for title, _ in told(outcome.result)] == list(titles), titles, told(outcome.result))
        expect(told(outcome.result) == told(outcome.source), told(outcome.source), told(outcome.result))

    return check


def attachment(name, kind, contents):
    """The file has this attachment, and it can be taken out again."""

    def check(outcome):
        found = outcome.result.of_kind("attachment")
        expect(len(found) == 1, "an attachment", len(found))
        tags = {key.lower(): value for key, value in found[0].get("tags", {}).items()}
        came = (tags.get("filename"), tags.get("mimetype"))
        expect(came == (name, kind), (name, kind), came)
        taken = outcome.result.path + ".attachment"
        # Ffmpeg takes it out and then complains that it has nothing else to do.
        subprocess.run(["ffmpeg", "-v", "quiet", "-y", "-dump_attachment:t:0", taken, "-i", outcome.result.path],
                       stdin=subprocess.DEVNULL)
        with open(taken, "rb") as file:
            expect(file.read() == contents, "its contents", "others")

    return check


def cover(outcome):
    """The cover picture is kept."""
    pictures = [s for s in outcome.result.streams if s["codec_type"] == "video"]
    is_cover = lambda s: s.get("disposition", {}).get("attached_pic") == 1
    expect(any(s["codec_name"] == "mjpeg" and is_cover(s) for s in pictures), "a cover picture",
           [s["codec_name"] for s in pictures])


def clock_told(outcome):
    """The motion's header says where its times are on the clocks of the result and of the source."""
    header, rows = outcome.motion
    clock = header.get("clock")
    expect(isinstance(clock, dict), "a clock in the motion's header", sorted(header))
    result, source = outcome.result, outcome.source
    expect(clock.get("zero") == "first frame", "zero at the first frame", clock)
    for key, start in (("video_start", result.times[0]), ("source_start", source.times[0])):
        expect(abs(clock.get(key, 1e9) - start) < 0.0015, f"{key} {start}", clock)
    off = max(abs(row["time"] + clock["video_start"] - t) for row, t in zip(rows, result.times))
    expect(off < 0.0015, "time + video_start as the frames' stamps", f"{off} s off")


def frame_rate(fps=None):
    """The motion's header tells the real average of frames a second, or what it is known to be."""

    def check(outcome):
        times = outcome.result.times
        real = fps or (len(times) - 1) / (times[-1] - times[0])
        came = outcome.motion[0]["video"]["fps"]
        # Matroska rounds stamps to milliseconds, so that the average over a few frames is rougher.
        near = 0.01 if not fps else 0.005 if outcome.source.path.endswith(".mkv") else 0.0005
        expect(abs(came - real) <= near * real, f"{real:.3f} frames a second", came)

    return check


def fields(order):
    """The order of fields: "top" or "bottom" first, or "progressive"."""

    def check(outcome):
        told = outcome.result.video.get("field_order", "unknown")
        marks = {(f["interlaced_frame"], f["top_field_first"]) for f in outcome.result.frames}
        wanted = {"top": ({(1, 1)}, ("tt", "tb")), "bottom": ({(1, 0)}, ("bb", "bt")),
                  "progressive": ({(0, 0)}, ("progressive", "unknown"))}[order]
        expect(marks == wanted[0] and told in wanted[1], f"fields {order}",
               f"field_order={told}, (interlaced_frame, top_field_first)={sorted(marks)}")

    return check


def people(outcome):
    """Somebody is found."""
    expect(any(row["people"] for row in outcome.motion[1]), "people", "none")


def no_corrupt_mark(outcome):
    """No frame of a healthy file is marked corrupt."""
    marked = [row["frame"] for row in outcome.motion[1] if "corrupt" in row]
    expect(not marked, "no frame that is marked corrupt", marked)


def garbage_marked(least):
    """Frames before the first whole picture are marked corrupt and have nobody in them (at least so many come out);
    those from it on are ordinary, with people."""

    def check(outcome):
        packets = outcome.source.packets(outcome.source.video)
        first = next(i for i, p in enumerate(packets) if p["flags"].startswith("K"))
        expect(first > 0, "a source that begins without a whole picture", "a key frame first")
        key = packets[first].get("pts")
        # What is decoded after the key frame but shown before it is garbage too.
        good = sum(key is None or int(p["pts"]) >= int(key) for p in packets[first:] if key is None or "pts" in p)
        rows = outcome.motion[1]
        bad, rest = rows[:-good], rows[-good:]
        unmarked = [r["frame"] for r in bad if r.get("corrupt") is not True]
        expect(not unmarked, f'"corrupt": true in the first {len(bad)} rows', f"none in rows {unmarked}")
        expect(not any(r["people"] for r in bad), "nobody in corrupt frames",
               f"people in rows {[r['frame'] for r in bad if r['people']]}")
        expect(len(bad) >= least, f"at least {least} corrupt frames", len(bad))
        expect(not any("corrupt" in r for r in rest), "no mark from the whole picture on",
               [r["frame"] for r in rest if "corrupt" in r])
        expect(sum(bool(r["people"]) for r in rest) > good // 2, "people in the good part",
               f"in {sum(bool(r['people']) for r in rest)} of {good} frames")

    return check


def damage_told(outcome):
    """A damaged frame is told of: as corrupt in the motion, or as lost or with a warning in the report."""
    marked = [row for row in outcome.motion[1] if row.get("corrupt")]
    expect(not any(row["people"] for row in marked), "nobody in corrupt frames", "people")
    told = marked or outcome.report["lost"] or outcome.warnings
    expect(told, "a word of the damage", "none in motion and report")


def begins_near_the_picture(outcome):
    """No sound that an edit list hides comes before the first picture."""
    packets = outcome.result.packets(outcome.result.of_kind("audio")[0])
    early = outcome.result.times[0] - float(packets[0]["pts_time"])
    expect(early < 0.05, "sound from the first picture on", f"{early:.3f} s before it")


def damage_reaches(first):
    """Marks go on after a damaged whole picture, to the next one."""

    def check(outcome):
        marked = [row["frame"] for row in outcome.motion[1] if row.get("corrupt")]
        expect(len(marked) >= 4 and set(range(first, first + 4)) & set(marked), f"marks from frame {first} on for a group", marked)
        expect(marked == list(range(marked[0], marked[-1] + 1)), "marks in a row", marked)

    return check


def hole_marked(first, end):
    """Frames between a hole and the next whole picture are marked corrupt; those before and after are not."""

    def check(outcome):
        marked = [row["frame"] for row in outcome.motion[1] if row.get("corrupt")]
        expect(marked and marked[-1] == len(outcome.motion[1]) - (12 - end) - 1 and first <= marked[0]
               and marked == list(range(marked[0], marked[-1] + 1)),
               f"marks from a frame after {first} to the one before {end}", marked)
        expect(not any(outcome.motion[1][at]["people"] for at in marked), "nobody in corrupt frames", "people")

    return check


def last_is_good(outcome):
    """The damage does not reach the end, which begins with a whole picture."""
    row = outcome.motion[1][-1]
    expect("corrupt" not in row and row["people"], "people in the last frame",
           {k: row.get(k) for k in ("corrupt", "people")})


# How the files are made. Each is made in the folder `in`, where the bases are, too.


def ff(arguments):
    """By ffmpeg with these arguments."""
    return lambda folder, path: ffmpeg(folder, arguments, path)


def contents(of):
    """By writing these bytes."""

    def make(folder, path):
        with open(path, "wb") as file:
            file.write(of)

    return make


def changed(make, change):
    """By a maker, and then changing the bytes."""

    def make_and_change(folder, path):
        make(folder, path)
        with open(path, "rb") as file:
            before = file.read()
        after = change(before)
        if after == before:
            raise RuntimeError("there was nothing to change")
        with open(path, "wb") as file:
            file.write(after)

    return make_and_change


def joined(*parts):
    """By joining parts as `cat` does. A part is a name and ffmpeg's arguments."""

    def make(folder, path):
        with open(path, "wb") as file:
            for name, arguments in parts:
                part = os.path.join(folder, name)
                # Parts are named after their file, so that nobody else makes them.
                ffmpeg(folder, arguments, part)
                with open(part, "rb") as piece:
                    shutil.copyfileobj(piece, file)

    return make


def elsewhere(arguments, ending):
    """By ffmpeg under a plain name, and then moved: for names that ffmpeg would misread."""

    def make(folder, path):
        plain = os.path.join(folder, os.fsencode(path)[-100:].hex() + ending)
        ffmpeg(folder, arguments, plain)
        os.rename(plain, path)

    return make


def ebml(data, at):
    """Identity, begin and end of the contents of a Matroska element."""
    length = 8 - data[at].bit_length() + 1
    identity = data[at:at + length]
    at += length
    length = 8 - data[at].bit_length() + 1
    size = int.from_bytes(data[at:at + length], "big") & ((1 << 7 * length) - 1)
    return identity, at + length, at + length + size


def restamp(track, number, milliseconds):
    """Moves the stamp of a track's block (None: of all) in Matroska; FFmpeg itself would not write such a file."""

    def change(data):
        data = bytearray(data)
        count = 0

        def walk(at, end):
            nonlocal count
            while at < end:
                identity, begin, after = ebml(data, at)
                if identity in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa0"):  # segment, cluster, group of blocks
                    walk(begin, min(after, end))
                elif identity in (b"\xa3", b"\xa1") and data[begin] == 0x80 | track:  # block
                    if number in (None, count):
                        stamp = struct.unpack_from(">h", data, begin + 1)[0]
                        struct.pack_into(">h", data, begin + 1, stamp + milliseconds)
                    count += 1
                at = after

        walk(0, len(data))
        return bytes(data)

    return change


def boxes(data, at, end):
    """Kind, begin and end of MP4's boxes."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, at + size
        at += size


def with_box_in_first_track(box):
    """Puts a box at the end of MP4's first track. The index must come after the pictures, as it does when FFmpeg writes."""

    def change(data):
        moov = next(b for b in boxes(data, 0, len(data)) if b[0] == b"moov")
        trak = next(b for b in boxes(data, moov[1] + 8, moov[2]) if b[0] == b"trak")
        data = bytearray(data)
        for _, begin, end in (moov, trak):
            struct.pack_into(">I", data, begin, end - begin + len(box))
        data[trak[2]:trak[2]] = box
        return bytes(data)

    return change


SPHERE = (b'<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
          b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>'
          b'<GSpherical:Stitched>true</GSpherical:Stitched>'
          b'<GSpherical:StitchingSoftware>none</GSpherical:StitchingSoftware><GSpherical:ProjectionType>equirectangular'
          b'</GSpherical:ProjectionType></rdf:SphericalVideo>')
SPHERE_BOX = struct.pack(">I4s", 24 + len(SPHERE), b"uuid") + bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + SPHERE


def without_start(cut):
    """Cuts a part (percent) of the file away at its start, where a transport stream's packet begins."""
    return lambda data: data[len(data) * cut // 100 // 188 * 188:]


def without_middle(first, last):
    """Cuts a part (percent) out of a transport stream, between its packets."""
    return lambda data: data[:len(data) * first // 100 // 188 * 188] + data[len(data) * last // 100 // 188 * 188:]


def cut_without_loss(options):
    """By ffmpeg's copying from the middle of a group: the key frame is there, and hidden by an edit list."""

    def make(folder, path):
        whole = path + ".whole.mp4"
        ffmpeg(folder, f"-i base.mp4 -an -t 1.6 -vf scale=320:180,fps=10 {options}", whole)
        ffmpeg(folder, "-ss 0.45", "-i", whole, "-c", "copy", path)
        os.remove(whole)

    return make


def without_part_of_key_frame(data):
    """A transport stream that lacks a packet in the middle of its second whole picture."""
    packets = [data[at:at + 188] for at in range(0, len(data), 188)]
    video = [at for at, p in enumerate(packets) if (p[1] & 0x1f) << 8 | p[2] == 256]
    begins = [at for at in video if packets[at][1] & 0x40]
    # The adaptation field says where one can begin to play.
    whole = [at for at in begins if packets[at][3] & 0x20 and packets[at][4] and packets[at][5] & 0x40]
    after = next(at for at in begins if at > whole[1])
    inside = [at for at in video if whole[1] < at < after]
    del packets[inside[len(inside) // 2]]
    return b"".join(packets)


def without_packet(number):
    """A transport stream that lacks a packet in the middle of its video, at about the fifth of twelve frames."""

    def change(data):
        packets = [data[at:at + 188] for at in range(0, len(data), 188)]
        pid = lambda p: (p[1] & 0x1f) << 8 | p[2]
        video = [at for at, p in enumerate(packets) if pid(p) == 256]
        begins = [at for at in video if packets[at][1] & 0x40]
        # The frame after the second whole picture, which is large.
        inside = [at for at in video if begins[4] < at < begins[5]][number]
        del packets[inside]
        return b"".join(packets)

    return change


def overwritten(first, last):
    """Fills a part of the file (percent) with noise that is always the same."""

    def change(data):
        begin, end = len(data) * first // 100, len(data) * last // 100
        return data[:begin] + random.Random(1).randbytes(end - begin) + data[end:]

    return change


def turned(degrees, size):
    """A picture coded as it is, with a matrix that has players turn it."""

    def make(folder, path):
        flat = path + ".flat.mov"
        ffmpeg(folder, f"-i pattern.mkv -vf scale={size},setsar=1 -c:v mpeg4 -q:v 2 -pix_fmt yuv420p", flat)
        before, after = ("", f"-metadata:s:v rotate={degrees}") if FFMPEG < 6 else (f"-display_rotation {-degrees}", "")
        ffmpeg(folder, f"{before} -i {shlex.quote(flat)} -c copy {after}", path)
        os.remove(flat)

    return make


def pgs():
    """A Blu-ray subtitle: one white square of 8x8 pixels, shown from 0.1 s to 0.4 s."""

    def segment(kind, milliseconds, body):
        return b"PG" + struct.pack(">IIBH", milliseconds * 90, 0, kind, len(body)) + body

    size = struct.pack(">HHB", 320, 180, 0x10)
    window = struct.pack(">BBHHHH", 1, 0, 10, 10, 8, 8)
    line = bytes([0, 0x88, 1, 0, 0])  # eight pixels of colour 1, end of line
    picture = struct.pack(">HH", 8, 8) + 8 * line
    shown = size + struct.pack(">HBBBBHBBHH", 0, 0x80, 0, 0, 1, 0, 0, 0, 10, 10)
    hidden = size + struct.pack(">HBBBB", 1, 0, 0, 0, 0)
    return b"".join([
        segment(0x16, 100, shown), segment(0x17, 100, window), segment(0x14, 100, bytes([0, 0, 1, 235, 128, 128, 255])),
        segment(0x15, 100, struct.pack(">HBB", 0, 0, 0xC0) + (len(picture)).to_bytes(3, "big") + picture),
        segment(0x80, 100, b""), segment(0x16, 400, hidden), segment(0x17, 400, window), segment(0x80, 400, b""),
    ])


WORDS = b"".join(b"%d\n00:00:00,%03d --> 00:00:00,%03d\n%s\n\n" % row
                 for row in ((1, 0, 200, b"one"), (2, 200, 400, b"two"), (3, 400, 550, b"three")))
CHAPTERS = b";FFMETADATA1\ntitle=a title\n" + b"".join(
    b"[CHAPTER]\nTIMEBASE=1/1000\nSTART=%d\nEND=%d\ntitle=%s\n" % row for row in ((0, 200, b"first"), (200, 500, b"second")))
FONT = bytes(range(256)) * 2

# What the files are made from. Noise whose loudness changes tells where in it one is: the sync of sound can be measured.
BASES = [
    ("base.mp4", "-ss 1 -t 2 -i {sample} -vf scale=640:360 -c:v libx264 -preset ultrafast -crf 12 -c:a aac"),
    ("noise.mov", "-f lavfi -i \"anoisesrc=d=2:c=pink:seed=3:r=44100,volume='0.5+0.5*sin(9*t*t)':eval=frame\" -i base.mp4 "
                  "-map 1:v -map 0:a -t 1.2 -c:v copy -c:a pcm_s16le"),
    # Half a second, small: the ordinary clip.
    ("clip.mov", "-i noise.mov -t 0.5 -vf scale=320:180 -c:v libx264 -preset ultrafast -crf 12 -c:a pcm_s16le"),
    # Few frames, for what is about sound and the like: done quickly.
    ("few.mov", "-i noise.mov -t 0.6 -vf scale=320:180,fps=10/3 -c:v libx264 -preset ultrafast -crf 12 -c:a pcm_s16le"),
    # A few more frames, for what is cut and joined.
    ("ten.mov", "-i noise.mov -t 0.6 -vf scale=320:180,fps=10 -c:v libx264 -preset ultrafast -crf 12 -c:a pcm_s16le"),
    # Its pictures can be cut at few places.
    ("noise-aac.mp4", "-i noise.mov -vf scale=320:180,fps=10 -g 250 -force_key_frames 0.5 -c:v libx264 -preset ultrafast -crf 12 -c:a aac"),
    ("cover.jpg", "-i base.mp4 -frames:v 1 -q:v 3"),
    # A test pattern with nobody in it: its result is the source's picture. Without loss.
    ("pattern.mkv", "-f lavfi -i testsrc2=s=640x360:r=10:d=0.2 -c:v ffv1 -pix_fmt yuv444p"),
]
TEXTS = [("words.srt", WORDS), ("chapters.txt", CHAPTERS), ("square.sup", pgs()), ("font.ttf", FONT),
         ("data.bin", bytes(range(200)))]

# As ffmpeg's options: H.264 made quickly; the sound's 13th stamp repeats the 12th.
X264 = "-c:v libx264 -preset ultrafast -crf 12"
REPEAT = "-bsf:a \"setts=pts='if(eq(N,12),PREV_OUTPTS,PTS)':dts='if(eq(N,12),PREV_OUTDTS,DTS)'\""
GROUPS = "-i base.mp4 -an -t 1.2 -vf scale=320:180,fps=10 -g 250 -force_key_frames 0.6"
HEVC = "-c:v libx265 -preset ultrafast -x265-params log-level=none:repeat-headers=1:keyint=6:min-keyint=6:scenecut=0"
MPEG2 = "-i base.mp4 -an -t 1.2 -vf scale=320:180,fps=25 -g 15 -sc_threshold 1000000000 -c:v mpeg2video -q:v 3"
HDR = ("-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc "
       "-vf setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")
HDR10 = (f"{HDR} -c:v libx265 -preset ultrafast -x265-params log-level=none:hdr10=1:"
         "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400")
MOVED = "stamp|moved|time"
UNUSUAL = r'encode\.pixel_format = "yuv420p"'


# What meshreel does with names that are taken. These run it by themselves.


class Place:
    """A folder of its own with a clip, and a way to process it."""

    def __init__(self, program, base, folder):
        self.program, self.folder, self.base = program, folder, base
        os.makedirs(os.path.join(folder, "out"))
        shutil.copyfile(os.path.join(base, "in", "few.mov"), os.path.join(folder, "clip.mov"))

    def at(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, text):
        with open(self.at(name), "wb") as file:
            file.write(text)

    def read(self, name):
        with open(self.at(name), "rb") as file:
            return file.read()

    def names(self, folder="out"):
        return sorted(os.listdir(self.at(folder)))

    def process(self, *arguments):
        config = os.path.join(self.base, "mp4.toml")
        return call(self.program, self.folder, ["process", "--config", config, *arguments])


RESULTS = ["clip.mp4", "clip.motion.jsonl", "clip.report.json"]


def foreign(name):
    """Somebody's own file has the name of a result: it stays, and the user hears of it."""

    def check(place):
        place.put(f"out/{name}", b"mine")
        answer = place.process("-o", "out", "clip.mov")
        expect(place.names() == [name] and place.read(f"out/{name}") == b"mine", "the foreign file alone, as it was",
               {n: len(place.read(f"out/{n}")) for n in place.names()})
        expect(answer.returncode == 1, "exit code 1", answer.returncode)
        said = answer.stdout.decode()
        expect(name in said and "--overwrite" in said, f"a message that names {name} and --overwrite", said)

    return check


def foreign_overwritten(name):
    """With --overwrite the file is replaced."""

    def check(place):
        place.put(f"out/{name}", b"mine")
        answer = place.process("--overwrite", "-o", "out", "clip.mov")
        expect(answer.returncode == 0, "exit code 0", f"{answer.returncode}: {answer.stdout.decode()}")
        expect(place.names() == sorted(RESULTS), RESULTS, place.names())
        expect(place.read(f"out/{name}") != b"mine", "a new file", "the old one")

    return check


def repeated(place):
    """A second run of the same source replaces the results of the first."""
    for _ in range(2):
        answer = place.process("-o", "out", "clip.mov")
        expect(answer.returncode == 0, "exit code 0", f"{answer.returncode}: {answer.stdout.decode()}")
        expect(place.names() == sorted(RESULTS), RESULTS, place.names())
        for name in RESULTS:
            expect(place.read(f"out/{name}") != b"old", f"a new {name}", "the old one")


def repeated_with_a_change(place):
    """The results of the first run are replaced, also when somebody took one of them away in between."""
    place.process("-o", "out", "clip.mov")
    os.remove(place.at("out/clip.mp4"))
    answer = place.process("-o", "out", "clip.mov")
    expect(answer.returncode == 0, "exit code 0", f"{answer.returncode}: {answer.stdout.decode()}")
    expect(place.names() == sorted(RESULTS), RESULTS, place.names())


def results_in_the_folder_of_the_source(*options):
    """A source whose result would have its own name is not touched, whatever was asked for."""

    def check(place):
        ffmpeg(place.folder, "-i clip.mov -c:v copy -c:a aac", place.at("clip.mp4"))
        before = place.read("clip.mp4")
        place.process(*options, "-o", ".", "clip.mp4")
        expect(place.read("clip.mp4") == before, "the source as it was", "another file")

    return check


def folder_in_the_way(place):
    """A folder with the name of a result: it stays, and the user hears of it."""
    os.makedirs(place.at("out/clip.mp4/inside"))
    answer = place.process("--overwrite", "-o", "out", "clip.mov")
    expect(os.path.isdir(place.at("out/clip.mp4/inside")), "the folder", "none")
    expect(answer.returncode == 1 and b"clip.mp4" in answer.stdout, "exit code 1 and a message that names clip.mp4",
           f"{answer.returncode}: {answer.stdout.decode()}")


def link_in_the_way(place):
    """A link to somebody's file has the name of a result: both stay."""
    place.put("mine.mp4", b"mine")
    os.symlink("../mine.mp4", place.at("out/clip.mp4"))
    answer = place.process("-o", "out", "clip.mov")
    expect(os.path.islink(place.at("out/clip.mp4")) and place.read("mine.mp4") == b"mine", "the link and its file", "others")
    expect(answer.returncode == 1 and b"--overwrite" in answer.stdout, "exit code 1 and --overwrite named",
           f"{answer.returncode}: {answer.stdout.decode()}")


def others_go_on(place):
    """Of two clips one has a foreign file in its way: the other is done."""
    shutil.copyfile(place.at("clip.mov"), place.at("other.mov"))
    place.put("out/clip.motion.jsonl", b"mine")
    answer = place.process("-o", "out", "clip.mov", "other.mov")
    expect(answer.returncode == 1, "exit code 1", answer.returncode)
    expect(place.read("out/clip.motion.jsonl") == b"mine" and "clip.mp4" not in place.names(), "nothing done to clip",
           place.names())
    expect("other.mp4" in place.names(), "other.mp4", place.names())


# The cases: name, file, how it is made, runs, and what must come out. A case with several runs is one case for each.
# A case without a file has a function of its own instead, which gets a folder.

CASES = []


def case(name, file, make, runs, *checks):
    """Results are called after the file's stem: no two files may share one."""
    stem = os.path.splitext(file)[0]
    assert all(os.path.splitext(other)[0] != stem or other == file for _, other, _, _, _ in CASES if other), f"{stem} twice"
    CASES.append((name, file, make, runs.split(), checks))


def names_case(name, check):
    CASES.append((f"names/{name}", None, None, [""], (check,)))


# An ordinary clip, to see that the checks are fair.
case("plain/clip", "plain.mp4", ff("-i clip.mov -c:v copy -c:a aac"), "mp4 mkv mov",
     done, no_warning, sound_kept, in_sync_at(0.06, 0.3), people, no_corrupt_mark, clock_told, frame_rate(30.0),
     fields("progressive"), nothing_else_said, same_packets("a:0", "a:0"))

# 1. Stamps of copied sound that repeat or go back.
SOUND = [done, sound_kept, in_sync]
for codec, encoder, runs in [("aac", "aac", "mp4 mkv"), ("mp3", "libmp3lame", "mp4"),
                             ("opus", "libopus", "mkv"),
                             ("pcm", "pcm_s16le", "mov")]:
    case(f"stamps/repeated-{codec}", f"repeated-{codec}.mkv", ff(f"-i few.mov -c:v copy -c:a {encoder} {REPEAT}"), runs,
         *SOUND)
case("stamps/repeated-as-reported", "eq2.mkv",
     ff(f"-i noise.mov -vf scale=320:180 -c:v libx264 -preset ultrafast -c:a aac {REPEAT} -t 0.6"), "mp4", *SOUND,
     warned(MOVED))
case("stamps/repeated-often", "repeated-often.mkv",
     ff("-i few.mov -c:v copy -c:a aac -bsf:a \"setts=pts='if(eq(mod(N,3),2),PREV_OUTPTS,PTS)':"
        "dts='if(eq(mod(N,3),2),PREV_OUTDTS,DTS)'\""), "mp4", *SOUND, warned(MOVED))
for codec, encoder, runs in [("aac", "aac", "mp4 mkv"), ("mp3", "libmp3lame", "mp4"), ("ac3", "ac3", "mkv"),
                             ("opus", "libopus", "mp4")]:
    case(f"stamps/one-back-{codec}", f"one-back-{codec}.mkv",
         changed(ff(f"-i few.mov -c:v copy -c:a {encoder}"), restamp(2, 12, -60)), runs, *SOUND, warned(MOVED))
case("stamps/one-ahead", "one-ahead.mkv", changed(ff("-i few.mov -c:v copy -c:a aac"), restamp(2, 12, 60)), "mp4",
     *SOUND, warned(MOVED))
case("stamps/one-back-converted", "one-back-flac.mkv", changed(ff("-i few.mov -c:v copy -c:a flac"), restamp(2, 3, -150)),
     "mp4",
     done, sound_kept, in_sync_at(0.06))
WITH_WORDS = ff("-i few.mov -i words.srt -map 0 -map 1 -c:v copy -c:a aac -c:s srt")
case("stamps/subtitles-back", "subtitles-back.mkv", changed(WITH_WORDS, restamp(3, 2, -350)), "mp4 mkv",
     *SOUND, streams("audio aac", "subtitle (mov_text|subrip)"))
case("stamps/subtitles-equal", "subtitles-equal.mkv", changed(WITH_WORDS, restamp(3, 2, -200)), "mov",
     *SOUND, streams("audio aac", "subtitle (mov_text|subrip)"))
case("stamps/pcm-avi", "pcm-avi.avi", ff("-i few.mov -c:v copy -c:a pcm_s16le"), "mov avi", *SOUND)
PART = "-i ten.mov -c:v copy -c:a {encoder}"
for codec, encoder, runs in [("ac3", "ac3", "mp4 mkv"), ("aac", "aac", "mp4"), ("mp2", "mp2", "mkv")]:
    case(f"stamps/joined-{codec}", f"joined-{codec}.ts",
         joined((f"joined-{codec}-a.ts", PART.format(encoder=encoder)),
                (f"joined-{codec}-b.ts", PART.format(encoder=encoder))),
         runs, done_with(12), sound_kept, joined_in_sync(f"joined-{codec}-a.ts", 0),
         joined_in_sync(f"joined-{codec}-b.ts", 6))
case("stamps/joined-three", "joined-three.ts",
     joined(("joined-three-a.ts", PART.format(encoder="ac3")),
            ("joined-three-b.ts", PART.format(encoder="ac3") + " -output_ts_offset 30"),
            ("joined-three-c.ts", PART.format(encoder="ac3") + " -output_ts_offset 5")), "mp4", done_with(18), sound_kept,
     *(joined_in_sync(f"joined-three-{part}.ts", first) for part, first in (("a", 0), ("b", 6), ("c", 12))))
PROGRAM = "-i few.mov -t 0.4 -r 25 -c:v mpeg2video -bf 0 -q:v 4 -c:a mp2 -f vob"
case("stamps/joined-program", "joined-program.mpg",
     joined(("joined-program-a.mpg", PROGRAM), ("joined-program-b.mpg", PROGRAM)), "mp4", done_with(20),
     joined_in_sync("joined-program-a.mpg", 0), joined_in_sync("joined-program-b.mpg", 10))

# 2. Each stream is judged alone. QuickTime knows some languages only; these are among them.
LANGUAGES = ("-i few.mov -i words.srt -map 0:v -map 0:a -map 0:a -map 1 -c:v copy -c:a:0 {codec} -c:a:1 aac -c:s {text} "
             "-strict -2 -metadata:s:a:0 language=ger -metadata:s:a:1 language=spa -metadata:s:s:0 language=dan")
for codec, encoder, run, sound in [
    # FLAC is a settled part of MP4 for FFmpeg from version 7 on.
    ("flac", "flac", "mp4", "aac" if FFMPEG < 7 else "flac"), ("flac", "flac", "mov", "aac"), ("truehd", "truehd", "mp4", "aac"),
    ("dts", "dca -ar:a:0 48000", "mp4", "dts|aac"), ("vorbis", "libvorbis", "mp4", "vorbis|aac"),
    ("wavpack", "wavpack", "mp4", "aac"), ("pcm_s24le", "pcm_s24le", "mov", "pcm_s24le"),
]:
    case(f"streams/{codec}", f"streams-{codec}.mkv", ff(LANGUAGES.format(codec=encoder, text="srt")), run, done,
         streams(f"audio ({sound}) ger", "audio aac spa", "subtitle mov_text dan"), accounted_for,
         same_packets("a:1", "a:1"),
         in_sync, in_sync_at(0.06, 0.4, number=1), *([warned(codec, "ger")] if codec not in sound else []))
FLAC, AAC = LANGUAGES.format(codec="flac", text="srt"), LANGUAGES.format(codec="aac", text="ass")
case("streams/flac", "streams-flac.mkv", ff(FLAC), "mkv", done, no_warning, same_packets("a:0", "a:0"), in_sync,
     streams("audio flac ger", "audio aac spa", "subtitle subrip dan"))
case("streams/flac", "streams-flac.mkv", ff(FLAC), "webm", done, accounted_for, in_sync, warned("flac", "ger"),
     warned("aac", "spa"),
     streams("audio (opus|vorbis) ger", "audio (opus|vorbis) spa", "subtitle webvtt dan"))
case("streams/flac", "streams-flac.mkv", ff(FLAC), "avi", done_with(2), accounted_for, warned("subrip|srt", "dan"))
case("streams/flac", "streams-flac.mkv", ff(FLAC), "flv", done, in_sync, accounted_for, streams("audio (aac|mp3)"),
     warned("flac", "ger"), warned("aac", "spa"), warned("subrip|srt", "dan"))
case("streams/aac", "streams-aac.mkv", ff(AAC), "mp4", done, accounted_for, warned("ass", "dan"), same_packets("a:0", "a:0"),
     streams("audio aac ger", "audio aac spa", "subtitle mov_text dan"))
SQUARE = ("-i few.mov -i square.sup -i words.srt -map 0 -map 1 -map 2 -c:v copy -c:a aac -c:s:0 {encoder} -c:s:1 srt "
          "-metadata:s:a language=ger -metadata:s:s:0 language=ita -metadata:s:s:1 language=dan")
for codec, encoder, name in [("dvdsub", "dvdsub", "dvd_subtitle"), ("dvbsub", "dvbsub", "dvb_subtitle"),
                             ("pgs", "copy", "hdmv_pgs_subtitle")]:
    made = ff(SQUARE.format(encoder=encoder))
    case(f"streams/{codec}", f"streams-{codec}.mkv", made, "mp4", done, accounted_for, has("audio aac ger"),
         has("subtitle mov_text dan"),
         same_packets("a:0", "a:0"), in_sync, *([warned(f"{name}|{codec}", "ita")] if codec != "dvdsub" else []))
case("streams/dvbsub", "streams-dvbsub.mkv", ff(SQUARE.format(encoder="dvbsub")), "mkv", done, no_warning,
     streams("audio aac ger", "subtitle dvb_subtitle ita", "subtitle subrip dan"))
case("streams/no-decoder", "no-decoder.mkv",
     changed(ff(LANGUAGES.format(codec="wavpack", text="srt")), lambda data: data.replace(b"A_WAVPACK4", b"A_WHATEVER")),
     "mp4", done, has("audio aac spa"), warned("sound|audio", "ger"))
for codec, encoder, run in [("dts", "dca -ar 48000", "avi"), ("eac3", "eac3", "avi"), ("vorbis", "libvorbis", "avi"),
                            ("adpcm", "adpcm_ima_wav", "avi"), ("ac3", "ac3", "avi"), ("mp3", "libmp3lame", "avi"),
                            ("aac", "aac", "avi"), ("pcm", "pcm_s16le", "avi"), ("wide", "flac -ar 16000", "flv"),
                            ("eight", "flac -ac 8", "flv"), ("surround", "flac -ac 6", "ts")]:
    case(f"streams/{run}-{codec}", f"{run}-{codec}.mkv", ff(f"-i few.mov -c:v copy -c:a {encoder} -strict -2"), run, done,
         accounted_for, streams("audio \\S+"), in_sync)
for codec, encoder in (("aac", "aac"), ("pcm", "pcm_s16le"), ("mp3", "libmp3lame"), ("ac3", "ac3")):
    case(f"clock/gap-avi-{codec}", f"gap-avi-{codec}.mkv",
         ff(f"-i noise.mov -t 1.2 -vf scale=320:180,fps=10/3 {X264} -af \"aselect='lt(t,0.3)+gt(t,0.6)'\" -c:a {encoder}"), "avi", done,
         in_sync_at(0.06, 0.7))
for rate, count in ((8000, 1), (16000, 2)):
    case(f"streams/flv-pcm-{rate}", f"flv-pcm-{rate}.mkv", ff(f"-i few.mov -c:v copy -c:a pcm_s16le -ar {rate} -ac {count}"), "flv",
         done, in_sync, accounted_for)
case("streams/surround-ts", "surround-ts.mkv", ff("-i few.mov -c:v copy -c:a flac -ac 6"), "ts flv", done, in_sync, channels(6))
case("streams/surround-8", "surround-8.mkv", ff("-i few.mov -c:v copy -c:a flac -ac 8"), "flv ts", done, in_sync, channels_or_told(8))
case("beside/video-language", "video-language.mkv",
     ff("-i few.mov -c:v copy -an -metadata:s:v language=jpn -metadata:s:v title='a view'"), "flv", done, warned("language", "video"),
     warned("a view"))
case("streams/flv-two", "flv-two.mkv", ff("-i few.mov -map 0:v -map 0:a -map 0:a -c:v copy -c:a aac "
                                          "-metadata:s:a:1 language=spa"), "flv", done, in_sync, streams("audio aac"),
     warned("sound 2", "no more", "spa"))
case("streams/only-other", "only-other.mkv", ff("-i few.mov -c:v copy -c:a wavpack -metadata:s:a language=ger"), "mp4 webm",
     *SOUND, warned("wavpack", "ger"))

# 3. Names in the output folder, and odd names of sources.
for result in RESULTS:
    names_case(f"foreign-{result}", foreign(result))
    names_case(f"foreign-{result}-overwritten", foreign_overwritten(result))
names_case("second-run", repeated)
names_case("second-run-without-the-video", repeated_with_a_change)
names_case("result-is-the-source", results_in_the_folder_of_the_source())
names_case("result-is-the-source-overwrite", results_in_the_folder_of_the_source("--overwrite"))
names_case("folder-in-the-way", folder_in_the_way)
names_case("link-in-the-way", link_in_the_way)
names_case("others-go-on", others_go_on)
for title, file in {"text": "a %03d b?c#d: e.mp4", "control": "two\nlines, \x1b[31mred\x1b]0;x\x07.mp4", "dash": "-dash.mp4",
                    "no-text": "not\udcfftext.mp4", "dots": "a.b.c.mp4"}.items():
    case(f"names/odd-{title}", file, elsewhere("-i few.mov -c:v copy -c:a aac", ".mp4"), "mp4",
         done, no_warning, sound_kept, in_sync, nothing_else_said)

# 4. Odd sizes. The pattern has nobody in it, so the result is the source's picture; of the same size where it can be.
ODD = [done, at_most_a_pixel_larger, not_shifted]
PADDED = [*ODD, warned("pixel"), nothing_else_said]
SIZE = "-i pattern.mkv -vf scale={},setsar=1"
VP9 = SIZE.format("641:361") + " -c:v libvpx-vp9 -cpu-used 8 -deadline realtime -crf 4 -b:v 0 -pix_fmt yuv420p"
case("sizes/vp9", "odd-vp9.mkv", ff(VP9), "mp4 x265 av1-mkv", *PADDED)
case("sizes/vp9", "odd-vp9.mkv", ff(VP9), "mpeg4 webm", *ODD, nothing_else_said)
for ending in ("avi", "mov"):
    case(f"sizes/422-{ending}", f"odd-422-{ending}.{ending}",
         ff(SIZE.format("321:181") + " -c:v mjpeg -q:v 1 -pix_fmt yuvj422p"),
         "mp4" if ending == "avi" else "mkv", *PADDED)
ODD_444 = ff(SIZE.format("321:181") + f" {X264} -pix_fmt yuv444p")
case("sizes/444", "odd-444.mkv", ODD_444, "mp4", *ODD, sized(321, 181), not_warned("pixel was|pixels were|pixel added"))
case("sizes/444", "odd-444.mkv", ODD_444, "plain", *PADDED, codec_and_format("h264", "yuv420p"))
case("sizes/rgb", "odd-rgb.mov", ff(SIZE.format("321:181") + " -c:v png -pix_fmt rgb24"), "mp4", done,
     at_most_a_pixel_larger, like_the_source(24))
for title, size, options, result in [
    ("422-height", "320:181", "ffv1 -pix_fmt yuv422p", None), ("width", "321:180", "ffv1 -pix_fmt yuv420p", (322, 180)),
    ("height", "320:181", "ffv1 -pix_fmt yuv420p", (320, 182)),
    ("ten-bit", "321:181", "ffv1 -pix_fmt yuv420p10le", (322, 182)),
    ("even", "320:180", "ffv1 -pix_fmt yuv420p", (320, 180)),
]:
    is_odd = result not in (None, (320, 180))
    case(f"sizes/{title}", f"odd-{title}.mkv", ff(SIZE.format(size) + f" -c:v {options}"), "mp4",
         *(PADDED if is_odd else ODD), *([sized(*result)] if result else []),
         *([] if is_odd else [not_warned("pixel was|pixels were")]))
case("sizes/anamorphic", "odd-sar.mkv", ff("-i pattern.mkv -vf scale=321:181,setsar=4/3 -c:v ffv1 -pix_fmt yuv420p"), "mp4",
     *PADDED)
for degrees in (90, 180, 270):
    case(f"sizes/turned-{degrees}", f"odd-turned-{degrees}.mov", turned(degrees, "321:181"), "mp4", *PADDED,
         turned_as_the_source)
case("sizes/even-turned", "even-turned.mov", turned(90, "320:180"), "mp4 mov", *ODD, turned_as_the_source,
     not_warned("pixel"))
# FFmpeg writes no rotation into Matroska: the picture is turned, or the user hears of it.
case("sizes/even-turned", "even-turned.mov", turned(90, "320:180"), "mkv", done, turned_or_told)
FIELDS = f"-r 25 {SIZE},setfield=tff -c:v mpeg2video -q:v 2 -flags +ildct+ilme -top 1"
for title, size in (("odd", "320:181"), ("even", "320:182")):
    case(f"sizes/interlaced-{title}", f"interlaced-{title}.ts", ff(FIELDS.format(size)), "mp4", done,
         at_most_three_rows_larger, not_shifted,
         fields("top"), warned("pixel|row"))
for title, pixels in (("444", "yuv444p"), ("420", "yuv420p")):
    case(f"sizes/one-pixel-{title}", f"one-pixel-{title}.mkv", ff(SIZE.format("1:1") + f" -c:v ffv1 -pix_fmt {pixels}"),
         "mp4",
         done, at_most_a_pixel_larger)
case("sizes/sixteen", "sixteen.mp4", ff(SIZE.format("16:16") + f" {X264} -pix_fmt yuv420p"), "mp4", *ODD, sized(16, 16))
case("sizes/changing", "changing.ts",
     joined(("changing-a.ts", "-i few.mov -an -c:v copy"),
            ("changing-b.ts", f"-i few.mov -an -vf scale=640:360 {X264} -output_ts_offset 0.6")), "mp4", done_with(4))

# 6. What a file has beside pictures and sound.
MASTER = side_data("Mastering display metadata", red_x=0.68, red_y=0.32, green_x=0.265, green_y=0.69, blue_x=0.15,
                   blue_y=0.06,
                   white_point_x=0.3127, white_point_y=0.329, min_luminance=0.005, max_luminance=1000)
LIGHT = side_data("Content light level metadata", max_content=1000, max_average=400)
PQ = colours(color_primaries="bt2020", color_transfer="smpte2084", color_space="bt2020nc")
for ending, runs in (("mkv", "mp4 mkv x265 x265-mkv av1 av1-mkv"), ("mp4", "mp4")):
    case(f"beside/hdr10-{ending}", f"hdr10-{ending}.{ending}", ff(f"-i few.mov -an -pix_fmt yuv420p10le {HDR10}"), runs,
         done, PQ, MASTER, LIGHT)
SIDE = side_data("Stereo 3D", type="side by side")
# FFmpeg 7.1 writes a second box for it into MP4, and then reads that it is of no kind.
STEREO_RUNS = "mp4 mkv" if FFMPEG < 7 else "mkv"
case("beside/stereo-h264", "stereo-h264.mp4", ff(f"-i few.mov -an {X264} -x264-params frame-packing=3"),
     STEREO_RUNS.replace("mkv", "x265-mkv"), done, SIDE)
case("beside/stereo-mkv", "stereo.mkv", ff("-i few.mov -an -c:v copy -metadata:s:v stereo_mode=left_right"), STEREO_RUNS, done,
     SIDE)
case("beside/sphere", "sphere.mp4", changed(ff("-i few.mov -an -c:v copy"), with_box_in_first_track(SPHERE_BOX)), "mp4 mkv",
     done, side_data("Spherical Mapping", projection="equirectangular"))
APPLE = ("-i few.mov -c:v copy -c:a aac -movflags use_metadata_tags -metadata com.apple.quicktime.make=Maker -metadata title='a title' "
         "-metadata com.apple.quicktime.location.ISO6709=+59.3+018.0/ -metadata creation_time=2020-02-03T04:05:06Z")
case("beside/apple", "apple.mov", ff(APPLE), "mp4 mov", done, tag("com.apple.quicktime.make", "Maker"),
     tag("title", "a title"),
     tag("com.apple.quicktime.location.iso6709", "+59.3+018.0/"), tag("creation_time", "2020-02-03T04:05:06(.000000)?Z"))
ATTACHED = ff("-i few.mov -c:v copy -c:a aac -attach font.ttf -metadata:s:t mimetype=font/ttf")
case("beside/attachment", "attachment.mkv", ATTACHED, "mkv", done, in_sync, attachment("font.ttf", "font/ttf", FONT),
     no_warning)
case("beside/attachment", "attachment.mkv", ATTACHED, "mp4", done, in_sync, warned("ttf"))
CHAPTERED = "-i few.mov -i chapters.txt -map 0 -map_metadata 1 -c:v copy -c:a aac -t 0.5"
case("beside/chapters", "chapters.mkv", ff(CHAPTERED), "mp4", done, chapters("first", "second"), tag("title", "a title"),
     no_warning)
case("beside/chapters-mp4", "chapters-mp4.mp4", ff(CHAPTERED), "mkv", done, chapters("first", "second"), no_warning)
case("beside/data", "data.ts", ff("-i few.mov -f data -i data.bin -map 0 -map 1 -c copy -c:a mp2"), "mp4", done, in_sync,
     warned("data"))
case("beside/timecode", "timecode.mov", ff("-i few.mov -c copy -timecode 01:02:03:04"), "mov mkv", done, in_sync, timecode)
GOPRO = changed(ff("-i few.mov -i words.srt -map 0 -map 1 -c:v copy -c:a aac -c:s mov_text"),
                lambda data: data.replace(b"tx3g", b"gpmd").replace(b"sbtl", b"meta"))
RICH = ("-i few.mov -i words.srt -i chapters.txt -i cover.jpg -map 0 -map 1 -map 3 -map_metadata 2 -c:v copy "
        "-c:a aac -c:s mov_text -disposition:v:1 attached_pic -timecode 01:02:03:04 -metadata artist=somebody "
        "-metadata:s:a language=ger -metadata:s:s language=fre -disposition:s forced")
case("beside/rich", "rich.mp4", ff(RICH), "mp4", done, in_sync, no_warning, cover, chapters("first", "second"))
case("beside/rich", "rich.mp4", ff(RICH), "avi flv ts mov mkv", done, in_sync, nothing_unsaid)
case("fields/webm", "fields-webm.mkv", ff("-r 25 -i pattern.mkv -vf scale=320:180,setfield=tff -c:v ffv1 -pix_fmt yuv420p"), "webm",
     done, warned("fields"))
case("beside/gpmd", "gpmd.mp4", GOPRO, "mp4", done, in_sync, accounted_for, same_packets("d:0", "d:0"))
case("beside/gpmd", "gpmd.mp4", GOPRO, "mkv", done, in_sync, warned("gpmd"))
case("beside/cover", "cover.mp4", ff("-i few.mov -i cover.jpg -map 0 -map 1 -c copy -c:a aac -disposition:v:1 attached_pic"), "mp4 mkv",
     done, cover, in_sync)

# 7. Clocks and frame rates.
LATE = "-itsoffset 0.5 -i few.mov -i few.mov -map 0:v -map 1:a -c:v copy -c:a {}"
EARLY_SOUND = [done, clock_told, in_sync_at(-0.4, -0.2)]
for ending, codec, runs in (("mov", "pcm_s16le", "mov"), ("mp4", "aac", "mp4 mkv"), ("mkv", "aac", "mkv"),
                            ("ts", "mp2", "mp4")):
    case(f"clock/late-{ending}", f"late-{ending}.{ending}", ff(LATE.format(codec)), runs, *EARLY_SOUND)
case("clock/late-converted", "late-flac.mkv", ff(LATE.format("flac")), "mp4", *EARLY_SOUND)
LATE_SOUND = "-i few.mov -itsoffset 0.3 -i few.mov -map 0:v -map 1:a -c:v copy -c:a {}"
case("clock/sound-late", "sound-late.mkv", ff(LATE_SOUND.format("aac")), "mp4", done, clock_told, in_sync_at(0.36, 0.5))
for codec in ("aac", "pcm_s16le", "flac", "ac3"):
    case(f"clock/sound-late-avi-{codec}", f"sound-late-avi-{codec}.mkv", ff(LATE_SOUND.format(codec)), "avi", done,
         in_sync_at(0.36, 0.5))
case("clock/hidden-silent", "hidden-silent.mp4", elsewhere("-ss 0.8 -i noise-aac.mp4 -c copy", ".mp4"), "mkv ts", done,
     begins_near_the_picture)
for title, options in (("hevc", f"{HEVC}:bframes=0 -tag:v hvc1".replace("keyint=6:min-keyint=6", "keyint=8:min-keyint=8")),
                       ("mpeg4", "-c:v mpeg4 -q:v 3 -g 8"), ("h264", f"{X264} -g 8")):
    case(f"corrupt/none-cut-{title}", f"cut-{title}.mp4", cut_without_loss(options), "mp4", done, no_corrupt_mark, people)
case("clock/hidden", "hidden.mp4", elsewhere("-ss 0.8 -i noise-aac.mp4 -c copy", ".mp4"), "mkv mp4", done, in_sync_at(0.06))
case("clock/later", "later.ts", joined(("later-a.ts", PART.format(encoder="ac3")),
                                       ("later-b.ts", PART.format(encoder="ac3") + " -output_ts_offset 3000")), "mp4 mkv",
     done_with(12), lost("jump"), not_warned("early|missing"), joined_in_sync("later-a.ts", 0), joined_in_sync("later-b.ts", 6))
case("clock/sound-late-converted", "sound-late-flac.mkv", ff(LATE_SOUND.format("flac")), "mp4", done, clock_told,
     in_sync_at(0.36, 0.5))
case("clock/five-hours", "five-hours.ts", ff("-i few.mov -c:v copy -c:a aac -output_ts_offset 18000"), "mp4 mkv", *SOUND,
     clock_told)
# The counter of a transport stream goes over while it plays: what was before has negative stamps.
case("clock/negative", "negative.ts", ff("-i few.mov -c:v copy -c:a aac -muxdelay 0 -muxpreload 0 -output_ts_offset 95443.4"), "mp4 mkv",
     *SOUND, clock_told)
case("clock/fine", "fine.nut", ff("-i few.mov -c:v copy -c:a pcm_s16le"), "mp4", done, clock_told, in_sync)
for scale, runs in ((90_000, "mkv"), (1_000_000_000, "mp4")):
    case(f"clock/scale-{scale}", f"scale-{scale}.mp4", ff(f"-i few.mov -c:v copy -c:a aac -video_track_timescale {scale}"),
         runs,
         done, clock_told, in_sync)
case("clock/edit-list", "edit-list.mp4", ff("-ss 0.3 -i noise.mov -t 0.5 -c:v copy -c:a aac"), "mp4 mkv", done, clock_told,
     in_sync_at(0.06, 0.3))
UNEVEN = f"-vf \"select='not(mod(n,4))+lt(mod(n,15),2)',scale=320:180\" -vsync vfr {X264}"
for ending, run in (("mp4", "mp4"), ("mkv", "mkv"), ("ts", "mp4")):
    case(f"rate/uneven-{ending}", f"uneven-{ending}.{ending}", ff(f"-i noise.mov -t 0.9 {UNEVEN} -c:a aac"), run,
         done, frame_rate(), clock_told, in_sync)
case("rate/thirteen", "thirteen.mp4",
     ff(f"-i base.mp4 -an -vf \"select='lt(mod(n*13,30),13)',scale=320:180\" -vsync vfr -frames:v 13 {X264}"), "mp4",
     done_with(13), done, frame_rate())
case("rate/pause", "pause.mkv", ff(f"-i base.mp4 -an -vf \"select='lt(n,3)+gt(n,50)',scale=320:180\" -vsync vfr -frames:v 6 {X264}"),
     "mp4", done, frame_rate())
for title, fps, real, endings in [("29.97", "30000/1001", 30000 / 1001, "mp4 mkv"),
                                  ("23.976", "24000/1001", 24000 / 1001, "mkv"),
                                  ("60", "60", 60.0, "ts"), ("25", "25", 25.0, "avi")]:
    for ending in endings.split():
        case(f"rate/{title}-{ending}", f"rate-{title.replace('.', '_')}-{ending}.{ending}",
             ff(f"-r {fps} -stream_loop 2 -i pattern.mkv -an -vf scale=160:90 {X264} -pix_fmt yuv420p -r {fps}"), "mp4",
             done, frame_rate(real))
case("rate/1", "rate-1.mp4", ff(f"-r 1 -stream_loop 1 -i pattern.mkv -vf scale=160:90 {X264} -pix_fmt yuv420p"), "mp4", done,
     frame_rate(1.0))
case("rate/one-frame", "one-frame.mp4", ff(f"-i clip.mov -an -frames:v 1 {X264}"), "mp4", done_with(1), done, no_warning)
case("rate/one-frame-with-sound", "one-frame-sound.mp4", ff(f"-i clip.mov -frames:v 1 {X264} -c:a aac"), "mkv", done_with(1),
     no_warning)
case("rate/one-frame-of-jpeg", "one-frame-jpeg.avi", ff("-i clip.mov -an -frames:v 1 -c:v mjpeg -q:v 2"), "mp4",
     done_with(1))
case("rate/two-frames", "two-frames.mp4", ff(f"-i clip.mov -an -frames:v 2 {X264}"), "mp4", done_with(2), done, frame_rate())

# 8. The order of fields.
for order, short in (("bottom", "bff"), ("top", "tff")):
    lines = "-r 25 " + SIZE.format("320:180") + f",setfield={short} -pix_fmt yuv420p -flags +ildct+ilme -top {int(short == 'tff')}"
    x264 = ff(f"{lines} {X264} -x264-params {short}=1")
    for ending, run in (("mp4", "mp4"), ("mkv", "mkv"), ("ts", "mov")):
        case(f"fields/x264-{order}-{ending}", f"x264-{order}-{ending}.{ending}", x264, run, done, fields(order))
    case(f"fields/mpeg2-{order}", f"mpeg2-{order}.ts", ff(f"{lines} -c:v mpeg2video -q:v 3"), "mp4", done, fields(order))
prores = ff(f"-r 25 {SIZE},setfield=bff -flags +ildct+ilme -top 0 -c:v prores_ks -pix_fmt yuv422p10le".format("320:180"))
case("fields/prores-bottom", "prores-bottom.mov", prores, "mp4", done, fields("bottom"))
case("fields/x264-top-mkv", "x264-top-mkv.mkv", x264, "x265", done, nothing_else_said)
for codec, ending, options in (("x264", "mkv", X264), ("prores", "mov", "-c:v prores_ks")):
    case(f"fields/progressive-{codec}", f"progressive-{codec}.{ending}",
         ff("-r 25 " + SIZE.format("320:180") + f" -pix_fmt yuv420p {options}"),
         "mp4", done, fields("progressive"))

# 11. Frames that are garbage. A whole picture comes at 0.6 s; the file begins after the one before it.
for title, file, options, cut, runs, least in [
    ("h264", "garbage.ts", f"{GROUPS} {X264}", 33, "mp4", 1),
    ("h264-b", "garbage-b.ts", f"{GROUPS} -c:v libx264 -preset veryfast -crf 20", 25, "mp4 mkv", 1),
    ("h264-raw", "garbage-raw.h264", f"{GROUPS} {X264}", 33, "mp4", 0),
    ("hevc", "garbage-hevc.ts", f"{GROUPS} {HEVC}:open-gop=0:bframes=0", 25, "mp4", 0),
    ("hevc-open", "garbage-hevc-open.ts", f"{GROUPS} {HEVC}:bframes=3", 25, "mp4", 0),
    ("mpeg2", "garbage-mpeg2.ts", MPEG2, 33, "mp4", 0),
    ("mpeg4", "garbage-mpeg4.ts", f"{GROUPS} -sc_threshold 1000000000 -c:v mpeg4 -q:v 3", 33, "mp4", 0),
]:
    case(f"corrupt/{title}", file, changed(ff(options), without_start(cut)), runs, done_with(None), garbage_marked(least))
for title, file, options in [
    ("h264", "sound-h264.ts", f"{GROUPS} {X264}"),
    ("h264-open", "sound-open.ts", f"{GROUPS} -c:v libx264 -x264-params open-gop=1:keyint=6:bframes=3"),
    ("hevc", "sound-hevc.ts", f"{GROUPS} {HEVC}:bframes=3"),
]:
    case(f"corrupt/none-{title}", file, ff(options), "mp4", done, no_corrupt_mark, people, no_warning)
FULL = f"{GROUPS.replace('-force_key_frames 0.6', '-force_key_frames 0.4,0.8')} {X264}"
case("corrupt/middle-mp4", "broken-middle.mp4", changed(ff(FULL), overwritten(40, 42)), "mp4", done_with(None), damage_told,
     last_is_good)
case("corrupt/middle-ts", "broken-middle-ts.ts", changed(ff(FULL), overwritten(40, 42)), "mp4", done_with(None), damage_told,
     last_is_good)
case("corrupt/hole-ts", "broken-hole.ts", changed(ff(FULL), without_middle(40, 50)), "mp4", done_with(None), damage_told,
     last_is_good)
for title, options in [("hevc", f"{HEVC}:bframes=0"), ("hevc-b", f"{HEVC}:bframes=3:open-gop=0"),
                       ("mpeg2", "-c:v mpeg2video -q:v 3 -sc_threshold 1000000000")]:
    case(f"corrupt/hole-{title}", f"hole-{title}.ts",
         changed(ff(f"{GROUPS.replace('-force_key_frames 0.6', '-force_key_frames 0.4,0.8')} {options}".replace(
             "keyint=6:min-keyint=6", "keyint=4:min-keyint=4")), without_packet(2)),
         "mp4", done_with(None), hole_marked(4, 8))
for title, options, first in [
    ("open-hevc", "-c:v libx265 -preset ultrafast -x265-params log-level=none:repeat-headers=1:keyint=4:min-keyint=4:scenecut=0:bframes=2:"
                  "b-adapt=0:open-gop=1", 4),
    ("open-h264", "-c:v libx264 -preset fast -x264-params keyint=4:min-keyint=4:bframes=2:b-adapt=0:open-gop=1:scenecut=0", 4),
]:
    case(f"corrupt/hole-{title}", f"hole-{title}.ts", changed(ff(f"{GROUPS.replace('-force_key_frames 0.6', '')} {options}"),
                                                             without_part_of_key_frame), "mp4", done_with(None), damage_reaches(first))
case("corrupt/end-cut", "broken-end.mkv",
     changed(ff("-i clip.mov -c:v copy -c:a aac"), lambda data: data[:len(data) * 70 // 100]), "mp4",
     done_with(None), in_sync_at(0.06), no_corrupt_mark)

# 12. Formats of pixels that few players show.
TEN, TEN_422, FOUR = [f"-i few.mov -an {o}" for o in ("-c:v ffv1 -pix_fmt yuv420p10le", "-c:v prores_ks",
                                                      f"{X264} -pix_fmt yuv444p")]
for title, file, options, runs in [("ten-bit", "ten-bit.mkv", TEN, "mp4"),
                                   ("ten-bit-422", "ten-bit-422.mov", TEN_422, "mp4"),
                                   ("444", "444.mkv", FOUR, "mp4")]:
    case(f"pixels/{title}", file, ff(options), runs, done, warned_once(UNUSUAL))
    case(f"pixels/{title}", file, ff(options), "plain", done, codec_and_format("h264", "yuv420p"), not_warned(UNUSUAL))
case("pixels/ten-bit", "ten-bit.mkv", ff(TEN), "plain-x265", done, codec_and_format("hevc", "yuv420p"), not_warned(UNUSUAL))
case("pixels/hdr", "hdr.mkv", ff(f"{TEN} {HDR}"), "plain", done, PQ, codec_and_format("h264", "yuv420p"),
     warned("pale|colou?r|hdr"))
case("pixels/hdr", "hdr.mkv", ff(f"{TEN} {HDR}"), "mp4", done, PQ, codec_and_format("h264", "yuv420p10le"),
     warned_once(UNUSUAL))
case("pixels/ordinary", "ordinary.mkv", ff("-i few.mov -an -c:v copy"), "plain", done, codec_and_format("h264", "yuv420p"),
     no_warning)
for title, file, options in [
    ("full-range", "full-range.mp4", f"{X264} -pix_fmt yuvj420p"),
    ("rgb-x264", "rgb-x264.mkv", "-c:v libx264rgb -preset ultrafast -crf 5"),
    ("rgb-qtrle", "rgb-qtrle.mov", "-c:v qtrle"), ("gray", "gray.mkv", "-c:v ffv1 -pix_fmt gray"),
    ("twelve-bit", "twelve-bit.mkv", "-c:v ffv1 -pix_fmt yuv420p12le"), ("palette", "palette.mov", "-c:v png -pix_fmt pal8"),
    ("alpha-qtrle", "alpha-qtrle.mov", "-c:v qtrle -pix_fmt argb"),
    ("alpha-vp9", "alpha-vp9.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -pix_fmt yuva420p -crf 4 -b:v 0"),
    ("alpha-prores", "alpha-prores.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le"), ("gif", "pattern-gif.gif", ""),
    ("apng", "pattern-apng.apng", "-plays 1"),
]:
    case(f"pixels/{title}", file, ff(SIZE.format("320:180") + f" {options}"), "mp4", done, sized(320, 180),
         like_the_source(24))

# 13. Stills are no videos: those that FFmpeg can draw into come out as pictures.
STILL = "-i base.mp4 -an -frames:v 1 -vf scale=320:180"
AVIF = f"{STILL} -c:v libaom-av1 -still-picture 1 -cpu-used 8"
case("stills/gif", "still-gif.gif", ff(STILL), "mp4", refused("picture"))
for ending, options in [("apng", "-f apng"), ("png", ""), ("jpg", "-q:v 2"), ("webp", "-c:v libwebp")]:
    case(f"stills/{ending}", f"still-{ending}.{ending}", ff(f"{STILL} {options}"), "mp4", a_picture)
case("stills/avif", "still-avif.avif", ff(AVIF), "mp4", refused("picture"))
case("stills/heic", "still-heic.heic",
     changed(elsewhere(AVIF, ".avif"), lambda data: data.replace(b"ftypavif", b"ftypheic").replace(b"avifmif1miaf", b"heicmif1miaf")),
     "mp4", refused("picture"))
case("stills/renamed", "renamed.mp4", elsewhere(STILL, ".png"), "mp4", a_picture)

# Others that were right before.
case("others/no-sound", "no-sound.mp4", ff("-i few.mov -an -c:v copy"), "mp4", done, streams(), no_warning)
case("others/only-sound", "only-sound.mp4", ff("-i few.mov -vn -c:a aac"), "mp4", refused("video|picture"))
case("others/only-a-cover", "only-a-cover.m4a",
     ff("-i few.mov -map 0:a -map 0:v -frames:v 1 -c:a aac -c:v mjpeg -disposition:v attached_pic -f mp4"),
     "mp4", refused("video|picture"))
for title, made in (("zero-bytes", b""), ("random-bytes", random.Random(2).randbytes(50_000)), ("text", b"Not a video.\n")):
    case(f"others/{title}", f"{title}.mp4", contents(made), "mp4", refused("."))
for title, options in (("mono", "-ac 1"), ("surround", "-ac 6")):
    case(f"others/{title}", f"sound-{title}.mkv", ff(f"-i few.mov -c:v copy -c:a aac {options}"), "mp4", *SOUND, no_warning,
         same_packets("a:0", "a:0"))
    case(f"others/{title}-converted", f"sound-{title}-flac.mkv", ff(f"-i few.mov -c:v copy -c:a flac {options}"), "mp4",
         *SOUND)
case("others/long-sound", "long-sound.mkv", ff("-i few.mov -i noise.mov -map 0:v -map 1:a -c:v copy -c:a aac"), "mp4", done,
     sound_kept,
     in_sync_at(0.1, 0.5, 0.9), no_warning)
case("others/short-sound", "short-sound.mkv", ff("-i few.mov -c:v copy -c:a aac -af atrim=end=0.3"), "mp4", done, sound_kept,
     in_sync_at(0.06),
     no_warning)
for ending, options in (("wmv", "-c:v wmv2 -c:a wmav2"), ("flv", "-c:v flv1 -c:a libmp3lame"),
                        ("mxf", "-r 25 -c:v mpeg2video -c:a pcm_s16le -ar 48000"), ("ogv", "-c:v libtheora -q:v 8 -c:a libvorbis"),
                        ("webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a libopus")):
    case(f"others/{ending}", f"container-{ending}.{ending}", ff(f"-i few.mov {options}"), "mp4", done, in_sync_at(0.06, 0.3))


# Running


def call(program, folder, arguments):
    """Runs meshreel away from the user's own configuration."""
    environment = {k: v for k, v in os.environ.items() if k not in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    environment["HOME"] = str(folder)
    # Mesa keeps shaders in the home folder.
    environment["MESA_SHADER_CACHE_DISABLE"] = "true"
    return subprocess.run([program, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def printable(name):
    """A file's name as meshreel prints it."""
    name = os.fsencode(name).decode(errors="replace")
    return "".join("\ufffd" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in name)


class Corpus:
    """Makes, processes and checks cases, as many at a time as there are processor cores, but at least two."""

    # Clips for one call of meshreel: starting it takes a moment, and calls should be about as long as each other.
    TOGETHER = 12

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.sources = os.path.join(folder, "in")
        self.pool = concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 2))
        self.passed = self.failed = 0
        self.odd_exits = []
        os.makedirs(self.sources)
        models = json.dumps(str(ROOT / "models"))
        for run, encode in RUNS.items():
            with open(os.path.join(folder, f"{run}.toml"), "w", encoding="utf-8") as file:
                file.write(COMMON.format(models=models) + encode + "\n")

    def make_bases(self):
        for name, text in TEXTS:
            with open(os.path.join(self.sources, name), "wb") as file:
                file.write(text)
        for name, arguments in BASES:
            ffmpeg(self.sources, arguments.replace("{sample}", shlex.quote(str(SAMPLE))), name)

    def check(self, cases):
        """Does all that is asked; gives whether all is right."""
        self.make_bases()
        own = [self.pool.submit(self.check_own, name, checks) for name, file, _, _, checks in cases if file is None]
        files = {file: make for _, file, make, _, _ in cases if file is not None}
        made = dict(zip(files, self.pool.map(self.make, files, files.values())))
        for answer in own:
            self.tell(*answer.result())
        before = self.look_at_sources()

        batches = []
        for run in RUNS:
            asked = [c for c in cases if c[1] is not None and run in c[3] and made[c[1]] is None]
            batches += [(run, asked[at:at + self.TOGETHER]) for at in range(0, len(asked), self.TOGETHER)]
        for results in self.pool.map(lambda batch: self.check_batch(*batch), batches):
            for result in results:
                self.tell(*result)
        for name, file, _, _, _ in cases:
            if file is not None and made[file] is not None:
                self.tell(name, f"expected a file to process, came {made[file]}")
        changed = [name for name, seen in self.look_at_sources().items() if seen != before.get(name)]
        self.tell("sources-untouched", f"expected all as they were, came other {changed}" if changed else None)
        self.tell("exit-codes", f"expected 1 where a file failed and else 0, came {self.odd_exits}" if self.odd_exits else None)
        left = self.leftovers()
        self.tell("nothing-half-written-left", f"expected no such files, came {left}" if left else None)
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed == 0

    def tell(self, name, wrong):
        if wrong is None:
            self.passed += 1
            print(f"ok {name}", flush=True)
        else:
            self.failed += 1
            print(f"WRONG {name}: {wrong}", flush=True)

    def look_at_sources(self):
        """What would change if a source was touched."""
        stat = lambda entry: (entry.stat().st_size, entry.stat().st_mtime_ns)
        return {os.fsencode(e.name): stat(e) for e in os.scandir(self.sources)}

    def make(self, file, make):
        """Makes a file; gives why not where it fails."""
        try:
            make(self.sources, self.source(file))
        except Exception as error:
            return f"none: {error}"
        return None

    def check_own(self, name, checks):
        place = Place(self.program, self.folder, os.path.join(self.folder, name.replace("/", "-")))
        return name, self.first_wrong(checks, place)

    def check_batch(self, run, cases):
        """Processes clips in one call and checks each."""
        out = os.path.join(self.folder, "out-" + run)
        files = list(dict.fromkeys(c[1] for c in cases))
        said = self.process(run, out, files)
        # What a crash took along is tried again alone, so that one clip does not spoil the others' checks.
        for file in files if len(files) > 1 else []:
            if file not in said:
                said.update(self.process(run, out, [file]))
        results = []
        for name, file, _, _, checks in cases:
            failure, stray = said.get(file, said[None])
            results.append((f"{name}/{run}", self.first_wrong(checks, Outcome(self.source(file), out, run, failure, stray))))
        return results

    def source(self, file):
        return os.path.join(self.sources, file)

    def process(self, run, out, files):
        """For each file why it failed (None where it did not) and what else was printed meanwhile; for None the end of the run."""
        config = os.path.join(self.folder, f"{run}.toml")
        try:
            answer = call(self.program, self.sources,
                          ["process", "--progress", "json", "--config", config, "-o", out, "--", *files])
        except subprocess.TimeoutExpired:
            return {None: (f"no end after {PATIENCE} s", [])}
        names = {printable(file): file for file in files}
        said, stray = {}, []
        for line in answer.stdout.decode(errors="replace").split("\n"):
            try:
                event = json.loads(line)
                file = names[event["file"]]
            except (ValueError, KeyError, TypeError):
                is_own = line.startswith(tuple(f"{name}: " for name in names)) or re.match(r"\d+ of \d+ files failed: |$", line)
                if not is_own:
                    stray.append(line)
                continue
            if event["event"] in ("done", "failed"):
                said[file] = event.get("message"), stray
                stray = []
        # The exit code goes with what was said.
        wanted = 1 if any(failure for failure, _ in said.values()) else 0
        if answer.returncode != wanted:
            self.odd_exits.append(f"{answer.returncode} instead of {wanted} ({run})")
        if stray and files[-1] in said:
            said[files[-1]][1].extend(stray)
        said[None] = f"exit code {answer.returncode}, after {stray[-2:]}", stray
        return said

    def first_wrong(self, checks, subject):
        """What the first check that fails says; None where all is right."""
        for check in checks:
            try:
                check(subject)
            except Wrong as wrong:
                return str(wrong).replace("\n", " ")
            except Exception as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                return f"expected a check that can be made, came {type(error).__name__}: {error} (line {at.lineno})"
        return None

    def leftovers(self):
        """Half-written results that were left in an output folder."""
        return [name for folder in os.listdir(self.folder) if folder.startswith("out-")
                for name in os.listdir(os.path.join(self.folder, folder)) if name.startswith(".")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshreel", default=str(ROOT / "target/release/meshreel"), help="the program to check")
    parser.add_argument("--keep", metavar="DIR", help="keep the files in this new folder")
    parser.add_argument("--only", metavar="PATTERN", default="",
                        help="only cases whose name/run matches this regular expression")
    parser.add_argument("--list", action="store_true", help="list the cases and do nothing")
    arguments = parser.parse_args()
    cases = []
    for name, file, make, runs, checks in CASES:
        runs = [run for run in runs if re.search(arguments.only, f"{name}/{run}")]
        if runs:
            cases.append((name, file, make, runs, checks))
    if arguments.list:
        for name, _, _, runs, _ in cases:
            for run in runs:
                print(f"{name}/{run}".rstrip("/"))
        return 0
    if not SAMPLE.is_file():
        sys.exit(f"{SAMPLE} is missing; run `make setup`")
    program = os.path.abspath(arguments.meshreel)
    with tempfile.TemporaryDirectory(prefix="corpus-") as temporary:
        folder = os.path.abspath(arguments.keep) if arguments.keep else temporary
        return 0 if Corpus(program, folder).check(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
