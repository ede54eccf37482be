"""Draws marks over the person in a clip, as its networks know them, and says where the body's joints are in every frame.

    make_clip.py CLIP.mp4 MADE-UP.npz FOLDER

FOLDER gets `standing.mp4` and `lying.mp4`, which is the same turned clockwise, without loss, and `clip.json`: for each of them its size, and the
24 joints in every frame, in metres and in the picture; and where the points of `standing.py` from the shoulders to the ankles are in the first.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from smpl import COCO_JOINTS, Body
from standing import places

FRAMES = 24
# The part of the picture that is kept: the person is far left of its middle.
LEFT, WIDTH, HEIGHT = 440, 800, 560
RADIUS, SOFT = 15, 7


def decoded(clip):
    """Y, U and V of each frame, [H,W,3], the chroma repeated."""
    command = ["ffmpeg", "-v", "error", "-i", clip, "-frames:v", str(FRAMES), "-vf", f"crop={WIDTH}:{HEIGHT}:{LEFT}:0"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], stdout=subprocess.PIPE, check=True).stdout
    for frame in np.frombuffer(raw, np.uint8).reshape(FRAMES, -1):
        y, u, v = np.split(frame, [WIDTH * HEIGHT, WIDTH * HEIGHT * 5 // 4])
        whole = lambda plane: plane.reshape(HEIGHT // 2, WIDTH // 2).repeat(2, 0).repeat(2, 1)
        yield np.stack([y.reshape(HEIGHT, WIDTH), whole(u), whole(v)], 2).astype(float)


def yuv(red, green, blue):
    """BT.709, limited range, 8 bits."""
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return np.array([16 + 219 * y, 128 + 224 * (blue - y) / 1.8556, 128 + 224 * (red - y) / 1.5748])


def marks(n):
    """Where they are in a frame. They never rest: feet that rest are held by meshreel."""
    a = np.array([214 + 16 * np.cos(0.25 * n), 262 + 16 * np.sin(0.25 * n)])
    length, roll = 112 + 6 * np.sin(0.21 * n), np.radians(4 + 5 * np.sin(0.15 * n))
    b = a + length * np.array([np.sin(roll), -np.cos(roll)])
    c = a + length * (0.52 + 0.12 * np.sin(0.25 * n)) * np.array([0.995, 0.0999])
    return {"a": a, "b": b, "c": c, "green": 0.05 + 0.3 * n / FRAMES}


def painted(frame, at):
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    for name, colour in (("a", (1, 0, 1)), ("b", (0, 1, 0)), ("c", (0, at["green"], 1))):
        away = np.hypot(across - at[name][0], down - at[name][1])
        share = np.clip((RADIUS - away) / SOFT + 0.5, 0, 1)[..., None]
        frame = frame * (1 - share) + yuv(*colour) * share
    return np.clip(np.round(frame), 0, 255).astype(np.uint8)


def encode(frames, path):
    height, width = frames[0].shape[:2]
    raw = b"".join(np.ascontiguousarray(frame.transpose(2, 0, 1)).tobytes() for frame in frames)
    command = f"ffmpeg -v error -y -f rawvideo -pix_fmt yuv444p -s {width}x{height} -r 30 -i - -c:v libx264 -qp 0 -preset ultrafast"
    tags = "-color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709"
    subprocess.run([*command.split(), *tags.split(), path], input=raw, check=True)


def turned(at):
    """The marks in the picture that is turned clockwise."""
    turn = lambda p: np.array([HEIGHT - 1 - p[1], p[0]])
    return {name: value if name == "green" else turn(value) for name, value in at.items()}


def main():
    clip, body, folder = sys.argv[1], Body(sys.argv[2]), Path(sys.argv[3])
    all_marks = [marks(n) for n in range(FRAMES)]
    frames = [painted(frame, at) for frame, at in zip(decoded(clip), all_marks)]
    encode(frames, folder / "standing.mp4")
    encode([np.rot90(frame, -1) for frame in frames], folder / "lying.mp4")
    about = {"coco_joints": COCO_JOINTS}
    for name, display, each in [("standing", (WIDTH, HEIGHT), all_marks), ("lying", (HEIGHT, WIDTH), map(turned, all_marks))]:
        joints, pixels = zip(*(body.expected(at, display) for at in each))
        about[name] = {"joints": np.array(joints).tolist(), "pixels": np.array(pixels).tolist()}
    about["points"] = [places(at["a"], at["b"])[11:29].tolist() for at in all_marks]
    (folder / "clip.json").write_text(json.dumps(about))


main()
