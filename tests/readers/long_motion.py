#!/usr/bin/env python3
"""Writes one motion file of an hour of ten people at 25 frames a second (1.5 GB), to measure memory with: long_motion.py FILE [--minutes 60]

Everybody repeats a few seconds of motion, each another number of frames, so that it is written as fast as the disk takes it.
"""

import argparse
import json

import numpy as np
from body import Body, Person, header_line, person_rows, rotation
from make_motion import FOCAL, OTHER, SIZE, TALL, camera, standing, walk, Y

FPS, PEOPLE = 25.0, 10


def somebody(body, number):
    """One loop of a person's motion, and the frames [begin, end) in which that person is there, as parts of the clip."""
    frames = 150 + 7 * number
    t = np.arange(frames) / FPS
    person = Person(body, number + 1, TALL if number % 2 else OTHER, {}, np.zeros((frames, 3)), np.ones(frames, bool))
    person.pose = {**walk(t, number), "root": rotation(Y, 360 * np.arange(frames) / frames)}
    person.root = standing(t, -2.0 + 0.45 * number, -6.0, person.sole)
    # The last comes late and leaves early; the one before leaves for a while.
    parts = [(0.1, 0.9)] if number == PEOPLE - 1 else [(0.0, 0.4), (0.5, 1.0)] if number == PEOPLE - 2 else [(0.0, 1.0)]
    return person, parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    count = max(1, round(arguments.minutes * 60 * FPS))
    body, (world, matrix) = Body(), camera(pitch=8, height=2.5)
    people = [somebody(body, number) for number in range(PEOPLE)]
    loops, present = [], np.zeros((PEOPLE, count), bool)
    for i, (person, parts) in enumerate(people):
        loops.append([json.dumps(row, separators=(",", ":")) for row in person_rows(person, matrix, SIZE, FOCAL)])
        for begin, end in parts:
            present[i, round(begin * count) : round(end * count)] = True
        person.present = present[i]
    with open(arguments.file, "w", encoding="utf-8") as out:
        out.write(header_line(body, [p for p, _ in people if p.present.any()], np.arange(count) / FPS, FPS, SIZE, FOCAL, world))
        for f in range(count):
            here = ",".join(loop[f % len(loop)] for loop, is_here in zip(loops, present[:, f]) if is_here)
            out.write(f'{{"frame":{f},"time":{round(f / FPS, 6)},"people":[{here}]}}\n')


if __name__ == "__main__":
    main()
