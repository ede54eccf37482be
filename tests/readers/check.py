#!/usr/bin/env python3
"""Checks the files that a motion file was exported to, each with an independent reader: check.py FOLDER MOTION.jsonl [--format glb,bvh] [--person ID]

Without --format every format has to be there. Prints a line for each format; exits 1 when any is not as it should be.
"""

import argparse
import importlib
import json
import pathlib
import sys

import numpy as np
from motion import Motion, Wrong, require, to_world

FORMATS = ["npz", "world", "glb", "bvh", "trc", "mot", "angles2d", "c3d", "csv", "coco", "openpose"]


class Export:
    """The exported files of one motion file."""

    def __init__(self, folder, motion):
        self.folder, self.motion = pathlib.Path(folder), motion
        # `world` or `camera`, as npz says; and metres by which each person was moved up [T, P].
        self.frame, self.shift = "world", np.zeros(motion.present.shape)
        beside = motion.path.with_name(f"{motion.name}.expect.json")
        expected = json.loads(beside.read_text()) if beside.exists() else {}
        self.expected = {name: [e for e in entries if e["person"] in motion.ids] for name, entries in expected.items()}

    def file(self, ending):
        path = self.folder / f"{self.motion.name}.{ending}"
        require(path.exists(), f"{path} is missing")
        return path

    def person_files(self, ending):
        """[(person's place, path)] of the files that there are one of for each person, and no others."""
        paths = [self.file(f"p{person}.{ending}") for person in self.motion.ids]
        found = {p.name for p in self.folder.glob(f"{self.motion.name}.p*.{ending}")}
        # NAME.p1.angles2d.mot is not a NAME.p1.mot.
        found = {name for name in found if name.count(".") == paths[0].name.count(".")} if paths else found
        require(found == {p.name for p in paths}, f"{sorted(found)} are there, but the people are {self.motion.ids}")
        return list(enumerate(paths))

    @property
    def matrix(self):
        return self.motion.world_from_camera(self.frame)

    def to_world(self, person, points):
        """Points [T, ..., 3] of somebody in the axes of the exported files."""
        shift = self.shift[:, person].reshape(-1, *[1] * (points.ndim - 2))
        return to_world(self.matrix, points, shift)

    def shift_at(self, person, a, b, t):
        return self.shift[a, person] * (1 - t) + self.shift[b, person] * t if t else self.shift[a, person]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("motion", type=pathlib.Path)
    parser.add_argument("--format", default=",".join(FORMATS), help=f"only these of {','.join(FORMATS)}")
    parser.add_argument("--person", type=int, help="the one person that was exported")
    arguments = parser.parse_args()
    formats = arguments.format.split(",")
    if unknown := [f for f in formats if f not in FORMATS]:
        parser.error(f"no format {unknown[0]}; there are {', '.join(FORMATS)}")

    motion = Motion(arguments.motion, arguments.person)
    export = Export(arguments.folder, motion)
    failures = 0
    # The npz goes first: the frame and the shifts onto the floor are taken from it.
    for name in ["npz", *[f for f in formats if f != "npz"]]:
        try:
            line = importlib.import_module(f"check_{name}").check(export)
            if name in formats:
                print(f"{motion.name}: {name}: right: {line}")
        except Wrong as wrong:
            print(f"{motion.name}: {name}: WRONG: {wrong}")
            failures += 1
            if name == "npz":
                print(f"{motion.name}: the rest needs a right npz, and was not looked at")
                break
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
