"""trc: read by OpenSim, which takes no blanks at a row's end."""

import pathlib
import tempfile

import numpy as np
import opensim
from motion import MARKERS, require

opensim.Logger.setLevelString("error")
NEAR = 1.5e-4
WANTED = {*MARKERS, "Neck", "Hip", "Head"}


def table(path):
    """Times, labels and points [N, M, 3]."""
    lines = path.read_text().splitlines()
    # OpenSim never comes back from a trc without rows.
    require(len([line for line in lines[5:] if line.strip()]) > 0, f"{path.name} has no rows, which OpenSim cannot read")
    try:
        read = opensim.TimeSeriesTableVec3(str(path))
    except RuntimeError as error:
        require(False, f"OpenSim cannot read {path.name}: {error}")
    labels, rows = list(read.getColumnLabels()), read.getNumRows()
    points = np.zeros((rows, len(labels), 3))
    for column, label in enumerate(labels):
        values = read.getDependentColumn(label)
        points[:, column] = [[values[r][k] for k in range(3)] for r in range(rows)]
    about = {k: read.getTableMetaDataString(k) for k in ("DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units")}
    return np.array(read.getIndependentColumn()), labels, points, about


def check(export):
    motion, worst, rows_seen, missing = export.motion, 0.0, 0, 0
    for p, path in export.person_files("trc"):
        times, labels, points, about = table(path)
        require(set(labels) == WANTED, f"{path.name} has other markers: {sorted(set(labels) ^ WANTED)}")
        require(about["Units"] == "m" and float(about["NumFrames"]) == len(times), f"{path.name}: its header says {about}")
        require(abs(float(about["DataRate"]) - motion.fps) < 1e-3, f"{path.name}: DataRate is {about['DataRate']}, not {motion.fps}")
        markers = {name: export.to_world(p, at) for name, at in motion.markers(p).items()}
        worst = max(worst, compare(motion, p, path, times, points, [markers[label] for label in labels], NEAR))
        complete(motion, p, path, times, ~np.isnan(points).any((1, 2)))
        rows_seen, missing = rows_seen + len(times), missing + int(np.isnan(points).all((1, 2)).sum())
        last_marker(path, times)
    return f"{len(motion.ids)} files, {rows_seen} rows, {missing} of them empty, markers {worst * 1000:.3f} mm off at most"


def compare(motion, p, path, times, points, wanted, near):
    """The greatest distance of points [N, M, 3] from those of the motion file [M][T, 3]."""
    worst, wanted = 0.0, np.stack(wanted, 1)
    for row, time in enumerate(times):
        state, a, b, t = motion.at(p, time)
        empty = np.isnan(points[row])
        if state == "absent":
            require(empty.all(), f"{path.name} has a position at {time:.4f} s, where the person is absent")
        elif state == "present" or not empty.all():
            if state == "edge":
                a = b = a if motion.present[a, p] else b
            require(not empty.any(), f"{path.name} has none at {time:.4f} s, where the person is present")
            off = np.abs(points[row] - (wanted[a] * (1 - t) + wanted[b] * t if t and a != b else wanted[a])).max()
            worst = max(worst, off)
            require(off <= near, f"{path.name}: a point is {off * 1000:.2f} mm off at {time:.4f} s")
    return worst


def complete(motion, p, path, times, filled):
    """Whether there is a row for every time at which the person is present."""
    wanted = int(motion.present[:, p].sum())
    if motion.is_constant_rate():
        require(int(filled.sum()) == wanted, f"{path.name} has {int(filled.sum())} rows of the person's {wanted}")
        return
    steps = np.diff(times)
    whole = np.round(steps * motion.fps)
    require(np.allclose(steps * motion.fps, whole, atol=0.02) and (whole >= 1).all(), f"{path.name} has no constant rate of {motion.fps}")
    for f in np.flatnonzero(motion.present[:, p]):
        inside = (0 < f < len(motion.times) - 1) and motion.present[f - 1 : f + 2, p].all()
        near = np.abs(times[filled] - motion.times[f]).min(initial=9)
        require(not inside or near <= 0.75 / motion.fps, f"{path.name} has no row near {motion.times[f]:.3f} s")


def last_marker(path, times):
    """A file whose last marker is missing in its last row is still read."""
    lines = path.read_text().splitlines()
    cells = lines[-1].split("\t")
    require(
        len(cells) == len(lines[4].split("\t")),
        f"{path.name}: its last row has {len(cells)} cells; the line of labels has {len(lines[4].split(chr(9)))}",
    )
    lines[-1] = "\t".join(cells[:-3] + ["nan"] * 3)
    with tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder) / path.name
        other.write_text("\n".join(lines) + "\n")
        _, _, points, _ = table(other)
        require(len(points) == len(times) and np.isnan(points[-1, -1]).all(), "OpenSim loses a missing last marker")
