"""mot of the 3D angles: read by OpenSim's table and by its older storage, which the program's window uses."""

import numpy as np
import opensim
from motion import require

opensim.Logger.setLevelString("error")
ROUND = {"pelvis_tilt", "arm_flex_r", "arm_flex_l"}
NEEDED = {"pelvis_tilt"} | {f"{c}_{s}" for c in ("hip_flexion", "knee_angle", "ankle_angle", "arm_flex", "elbow_flex") for s in "rl"}


def table(path):
    """Times, {column: values}, header."""
    try:
        read = opensim.TimeSeriesTable(str(path))
    except RuntimeError as error:
        require(False, f"OpenSim cannot read {path.name}: {error}")
    labels = list(read.getColumnLabels())
    values = {label: np.array([read.getDependentColumn(label)[r] for r in range(read.getNumRows())]) for label in labels}
    return np.array(read.getIndependentColumn()), values, {k: read.getTableMetaDataString(k) for k in ("inDegrees", "nRows", "nColumns")}


def rows_of_person(motion, p, path, times, filled):
    """Checks that the rows are those in which somebody is present; for each (frame, next frame, how far between), None beside an absence."""
    rows = []
    for time, full in zip(times, filled):
        state, a, b, t = motion.at(p, time)
        require(state != "absent" or not full, f"{path.name} has values at {time:.4f} s, where the person is absent")
        require(state != "present" or full, f"{path.name} has none at {time:.4f} s, where the person is present")
        rows.append((a, b, t) if state == "present" else None)
    if motion.is_constant_rate():
        wanted = np.flatnonzero(motion.present[:, p])
        found = [row[0] for row in rows if row]
        require(found == wanted.tolist(), f"{path.name} has {len(found)} rows of the person's {len(wanted)}")
        off = np.abs(times[[bool(row) for row in rows]] - motion.times[found]).max(initial=0)
        require(off <= 0.5 / motion.fps + 1e-6, f"{path.name}: a time is {off:.4f} s off")
    return rows


def no_jumps(path, times, values, step):
    """Angles that go round are continued beyond a turn, from -180 to 180 (arms: -90 to 270) on where somebody comes; others stay within a whole turn."""
    begins = np.concatenate([[True], np.diff(times) > 1.5 * step])[: len(times)]
    for name, column in values.items():
        if name not in ROUND:
            require(np.nanmax(np.abs(column), initial=0) <= 270, f"{path.name}: {name} is beyond where a joint can be")
            continue
        least = -90 if name.startswith("arm_flex") else -180
        begin = column[begins][np.isfinite(column[begins])]
        require(np.all((begin >= least) & (begin <= least + 360)), f"{path.name}: {name} begins at {begin}, not from {least} to {least + 360}")
        jumps = np.abs(np.diff(column))[~begins[1:]]
        require(np.nanmax(jumps, initial=0) <= 180.001, f"{path.name}: {name} jumps by {np.nanmax(jumps, initial=0):.0f} degrees")


def row_of(rows, frame):
    return next(i for i, row in enumerate(rows) if row and row[0] == frame)


def check(export):
    motion, rows = export.motion, 0
    for p, path in export.person_files("mot"):
        lines = path.read_text().splitlines()
        require(lines[0] == "Coordinates" and "endheader" in lines, f"{path.name} does not begin as a mot does")
        times, values, about = table(path)
        require(about["inDegrees"] == "yes", f"{path.name} does not say inDegrees=yes")
        require(int(about["nRows"]) == len(times), f"{path.name}: nRows is {about['nRows']}, and there are {len(times)}")
        require(
            int(about["nColumns"]) == len(values) + 1, f"{path.name}: nColumns is {about['nColumns']}, not {len(values) + 1} (time counts)"
        )
        lacking = NEEDED - set(values)
        require(not lacking, f"{path.name} lacks {', '.join(sorted(lacking))}")
        everything = np.stack(list(values.values()), 1)
        filled = ~np.isnan(everything).all(1)
        places = rows_of_person(motion, p, path, times, filled)
        no_jumps(path, times, values, 1 / motion.fps)
        storage = opensim.Storage(str(path))
        require(
            storage.getSize() == len(times),
            f"OpenSim's storage reads {storage.getSize()} of the {len(times)} rows of {path.name}; it stops at nan",
        )
        require(storage.isInDegrees(), f"OpenSim's storage does not take {path.name} for degrees")
        for known in export.expected.get("angles", []):
            if known["person"] == motion.ids[p]:
                column = values[known["column"]]
                change = column[row_of(places, known["to_frame"])] - column[row_of(places, known["from_frame"])]
                require(
                    abs(change - known["change"]) <= known["within"],
                    f"{known['column']} changes by {change:.1f} degrees from frame {known['from_frame']} to {known['to_frame']}, where the joint bent by {known['change']}",
                )
        rows += len(times)
    return f"{len(motion.ids)} files, {rows} rows"
