#!/usr/bin/env python3
"""How many of the people of a street scene have a body.

    python3 scripts/crowd.py MOTION [--mirrored] [--first N]

MOTION is what meshreel says of a clip of a street in Paris (1280x720, 50 frames a second, 205 frames), in which boxes were drawn by
hand round 18 people of 15 % of the picture's height and more: every fifth frame of crowd.json has left, top, right and bottom of
each, and whether about two fifths of them can be seen. A body is somebody's when its box overlaps theirs by a quarter, each body being
one person's at most. The clip is not part of the project; --mirrored is for one flipped left to right, --first for one that begins later.

Printed of each person: in how many of the frames in which they can be seen they have a body, and under which ids.
"""

import argparse
import collections
import json
import pathlib

LEAST = 0.25


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def bodies(row, size, mirrored):
    """Ids and boxes of a frame, as far as they lie in the picture."""
    for person in row["people"]:
        x, y, width, height = person["box"]
        if mirrored:
            x = size[0] - x - width
        yield person["id"], [max(x, 0), max(y, 0), min(x + width, size[0]), min(y + height, size[1])]


def pair(boxes, found):
    """The id that each person has, best overlaps first; those who can be seen before those who cannot, where it is close."""
    pairs = [
        (overlap(box[:4], body) * (1.1 if box[4] else 1.0), name, one)
        for name, box in boxes.items()
        for one, body in found
        if overlap(box[:4], body) >= LEAST
    ]
    ids = {}
    for _, name, one in sorted(pairs, reverse=True):
        if name not in ids and one not in ids.values():
            ids[name] = one
    return ids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=pathlib.Path)
    parser.add_argument("--mirrored", action="store_true")
    parser.add_argument("--first", type=int, default=0, help="the frame with which the clip begins")
    options = parser.parse_args()
    truth = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
    rows = [json.loads(line) for line in options.motion.read_text().splitlines()][1:]
    seen, ids = collections.Counter(), {name: collections.Counter() for name in truth["people"]}
    for frame, boxes in truth["frames"].items():
        index = int(frame) - options.first
        if not 0 <= index < len(rows):
            continue
        boxes = {name: box for name, box in zip(truth["people"], boxes) if box}
        found = pair(boxes, list(bodies(rows[index], truth["size"], options.mirrored)))
        for name in (name for name, box in boxes.items() if box[4]):
            seen[name] += 1
            if name in found:
                ids[name][found[name]] += 1
    for name in truth["people"]:
        share = ids[name].total() / max(seen[name], 1)
        under = ", ".join(f"{one} ({count})" for one, count in ids[name].most_common())
        print(f"{name:20} {100 * share:5.1f} % of {seen[name]:2}   id {under}")
    covered = sum(count.total() for count in ids.values())
    most = sum(max(count.values(), default=0) for count in ids.values())
    few = sum(ids[name].total() < 0.9 * seen[name] for name in seen)
    print(f"all {100 * covered / seen.total():.1f} %, under one id {100 * most / covered:.1f} %, {few} people in less than 90 %")


if __name__ == "__main__":
    main()
