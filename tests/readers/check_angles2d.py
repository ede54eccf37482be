"""angles2d.mot: within 0.01 degree of Sports2D's own functions, which are taken out of the pose2sim wheel by name."""

import ast
import pathlib
import sys

import numpy as np
from check_mot import rows_of_person, table
from motion import COCO, MARKERS, SIDES, require

SOURCE = pathlib.Path(sys.prefix) / "pose2sim_common.py"
NEAR = 0.01
# In Sports2D's default list; the wrists need fingers, which its default model has not.
OPTIONAL = {"right wrist", "left wrist", "right hand", "left hand"}


def sports2d():
    """`angle_dict` and `fixed_angles`."""
    names = {"np": np}
    for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        is_function = isinstance(node, ast.FunctionDef) and node.name in ("points_to_angles", "fixed_angles")
        is_table = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "angle_dict"
        if is_function or is_table:
            exec(compile(ast.Module([node], []), str(SOURCE), "exec"), names)
    return names["angle_dict"], names["fixed_angles"]


def check(export):
    motion, worst, sides = export.motion, 0.0, []
    definitions, angle = sports2d()
    for p, path in export.person_files("angles2d.mot"):
        times, values, _ = table(path)
        lacking = set(definitions) - OPTIONAL - set(values)
        require(not lacking, f"{path.name} lacks {', '.join(sorted(lacking))}")
        unknown = set(values) - set(definitions)
        require(not unknown, f"{path.name} has angles that Sports2D does not know: {', '.join(sorted(unknown))}")
        filled = ~np.isnan(np.stack(list(values.values()), 1)).all(1)
        places = rows_of_person(motion, p, path, times, filled)
        points = {marker: motion.project(at) for marker, at in motion.markers(p).items()}
        # The picture's own points where the motion file has them: they are rounded otherwise than those in space.
        for marker, name in MARKERS.items():
            if name in COCO:
                points[marker] = motion.keypoints2d[:, p, COCO.index(name), :2]
        for s, side in SIDES.items():
            points[f"{s}Index"] = motion.project(motion.keypoints3d[:, p, motion.keypoint_names.index(f"{side}_index")])
        points["Neck"] = (points["LShoulder"] + points["RShoulder"]) / 2
        points["Hip"] = (points["LHip"] + points["RHip"]) / 2
        # Sports2D mirrors somebody who faces left; which way that is has to be the same for the whole file.
        tried = {side: compare(places, values, points, definitions, angle, mirror) for side, mirror in (("right", 1), ("left", -1))}
        facing = min(tried, key=lambda side: tried[side][0])
        off, where = tried[facing]
        require(off <= NEAR, f"{path.name}: {where} is {off:.4f} degrees off what Sports2D says, facing {facing}")
        toes = sum(points[f"{s}BigToe"][:, 0] - points[f"{s}Heel"][:, 0] for s in "RL")
        votes = toes[motion.present[:, p]]
        clear = abs(np.median(votes)) > 5 and abs(np.mean(np.sign(votes))) > 0.4
        require(
            not clear or (np.median(votes) >= 0) == (facing == "right"),
            f"{path.name} takes the person to face {facing}; the toes point the other way",
        )
        worst = max(worst, off)
        sides.append(f"{motion.ids[p]} faces {facing}")
    return f"{worst:.5f} degrees off at most; {', '.join(sides) or 'nobody is there'}"


def compare(places, values, points, definitions, angle, mirror):
    """The greatest difference in degrees, and where."""
    worst, where = 0.0, ""
    for name, column in values.items():
        turn = 180 if name in ("pelvis", "shoulders") else 360

        def at(a, b, t):
            """Between two frames: of the points between."""
            return angle([(points[k][a] * (1 - t) + points[k][b] * t) * [mirror, 1] for k in definitions[name][0]], name)

        def short(degrees):
            return (degrees + turn / 2) % turn - turn / 2

        for row, place in enumerate(places):
            if place is None:
                continue
            off = abs(short(column[row] - at(*place)))
            if not off <= worst:
                worst, where = off, f"`{name}` in row {row}"
    return worst, where
