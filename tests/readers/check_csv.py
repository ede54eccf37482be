"""csv, tidy and wide, with Python's reader."""

import csv

import numpy as np
from motion import require

NEAR = 1.5e-4
TIDY = "frame time id joint x y z px py confidence".split()


def rows_of(path):
    """The lines that are no comment, as dictionaries; and the comments."""
    text = path.read_bytes().decode("utf-8")
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("#")]
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    rows = list(reader)
    require(all(None not in row and None not in row.values() for row in rows), f"{path.name} has rows of different lengths")
    return reader.fieldnames, rows, comments


def number(cell):
    require(cell.strip().lower() != "nan", "a cell holds nan; absent is empty")
    return float(cell) if cell else np.nan


def check(export):
    return f"{tidy(export)}; {wide(export)}"


def tidy(export):
    motion, path = export.motion, export.file("csv")
    names, rows, comments = rows_of(path)
    require(names == TIDY, f"{path.name} has the columns {names}, not {TIDY}")
    said = "\n".join(comments)
    wanted = [export.frame, motion.world["source"]] if motion.is_told(export.frame) else [export.frame]
    require(
        all(word in said for word in wanted), f"{path.name} has no comment that says the frame and where up came from ({', '.join(wanted)})"
    )
    points = [export.to_world(p, motion.keypoints3d[:, p]) for p in range(len(motion.ids))]
    pixels = motion.project(motion.keypoints3d) if motion.ids else None
    seen = set()
    for row in rows:
        f = int(row["frame"])
        if not row["id"]:
            continue
        p, k = motion.ids.index(int(row["id"])), motion.keypoint_names.index(row["joint"])
        require(abs(number(row["time"]) - motion.times[f]) < 1e-5, f"{path.name}: the time of frame {f} is {row['time']}")
        values = [number(row[c]) for c in ("x", "y", "z")]
        if not motion.present[f, p]:
            require(np.isnan(values).all(), f"{path.name}: person {row['id']} has a place in frame {f}, where there is none")
            continue
        off = np.abs(values - points[p][f, k]).max()
        require(off <= NEAR, f"{path.name}: {row['joint']} of person {row['id']} is {off * 1000:.2f} mm off in frame {f}")
        if k < 17 or row["px"]:
            wanted = motion.keypoints2d[f, p, k, :2] if k < 17 else pixels[f, p, k]
            off = np.abs(np.array([number(row["px"]), number(row["py"])]) - wanted).max()
            require(off <= 0.05, f"{path.name}: {row['joint']} of person {row['id']} is {off:.2f} px off in frame {f}")
        if k < 17:
            require(
                abs(number(row["confidence"]) - motion.keypoints2d[f, p, k, 2]) <= 0.001,
                f"{path.name}: the confidence of {row['joint']} is wrong in frame {f}",
            )
        require((f, p, k) not in seen, f"{path.name} has {row['joint']} of person {row['id']} twice in frame {f}")
        seen.add((f, p, k))
    wanted = int(motion.present.sum()) * len(motion.keypoint_names)
    require(len(seen) == wanted, f"{path.name} has {len(seen)} places, not {wanted}")
    return f"tidy {len(rows)} rows"


def wide(export):
    motion, path = export.motion, export.file("wide.csv")
    names, rows, _ = rows_of(path)
    wanted = [f"{k}_{axis}" for k in motion.keypoint_names for axis in "xyz"]
    lacking = [c for c in ["frame", "time", "id", *wanted, "knee_angle_r", "hip_flexion_l"] if c not in (names or [])]
    require(not lacking, f"{path.name} lacks the columns {', '.join(lacking[:4])}")
    points = [export.to_world(p, motion.keypoints3d[:, p]) for p in range(len(motion.ids))]
    seen, before = 0, {}
    for row in rows:
        f = int(row["frame"])
        if not row["id"]:
            continue
        p = motion.ids.index(int(row["id"]))
        arm = number(row["arm_flex_l"])
        last, angle = before.get(p, (-2, 0.0))
        require(f > last + 1 or not abs(arm - angle) > 180.001, f"{path.name}: arm_flex_l of person {row['id']} jumps in frame {f}")
        before[p] = f, arm
        values = np.array([number(row[c]) for c in wanted])
        if not motion.present[f, p]:
            require(np.isnan(values).all(), f"{path.name}: person {row['id']} has a place in frame {f}, where there is none")
            continue
        off = np.abs(values - points[p][f].ravel()).max()
        require(off <= NEAR, f"{path.name}: person {row['id']} is {off * 1000:.2f} mm off in frame {f}")
        require(not np.isnan(number(row["knee_angle_r"])), f"{path.name}: person {row['id']} has no angles in frame {f}")
        seen += 1
    require(seen == int(motion.present.sum()), f"{path.name} has {seen} rows of people, not {int(motion.present.sum())}")
    return f"wide {len(rows)} rows, {len(names)} columns"
