"""c3d: read by ezc3d and by c3d."""

import warnings

import c3d
import ezc3d
import numpy as np
from check_trc import WANTED, compare, complete
from motion import require

NEAR = 1.5e-4


def check(export):
    motion, worst, rows = export.motion, 0.0, 0
    for p, path in export.person_files("c3d"):
        try:
            read = ezc3d.c3d(str(path))
        except Exception as error:
            require(False, f"ezc3d cannot read {path.name}: {error}")
        about = {k: v.get("value") for k, v in read["parameters"]["POINT"].items() if k != "__METADATA__"}
        labels, points = about["LABELS"], np.moveaxis(read["data"]["points"][:3], 0, -1).swapaxes(0, 1)
        require(set(labels) == WANTED, f"{path.name} has other markers: {sorted(set(labels) ^ WANTED)}")
        require(about["UNITS"][0] == "mm", f"{path.name} is in {about['UNITS'][0]}, not mm")
        require(about["SCALE"][0] < 0, f"{path.name} does not hold floating-point numbers")
        rate = float(about["RATE"][0])
        require(abs(rate - motion.fps) < 1e-3, f"the rate of {path.name} is {rate}, not {motion.fps}")
        first, cross = second_reader(path)
        require(cross.shape == points.shape[:2] + (5,), f"c3d reads {cross.shape} from {path.name}, ezc3d {points.shape}")
        require(
            np.array_equal(cross[..., 3] == -1, np.isnan(points).any(-1)),
            f"{path.name}: what is missing (by ezc3d) has not the residual -1 (by c3d)",
        )
        seen = cross[..., 3] != -1
        require(np.abs(cross[..., :3][seen] - points[seen]).max(initial=0) < 1e-2, f"c3d and ezc3d do not agree on {path.name}")
        require(not cross[..., :3][~seen].any(), f"{path.name}: what is missing is not at 0, 0, 0")

        # Frames count from 1 at the clip's beginning.
        times = motion.times[0] + (np.arange(len(points)) + first - 1) / motion.fps
        markers = {name: export.to_world(p, at) for name, at in motion.markers(p).items()}
        worst = max(worst, compare(motion, p, path, times, points / 1000, [markers[label] for label in labels], NEAR))
        complete(motion, p, path, times, seen.all(1))
        rows += len(points)
    return f"{len(motion.ids)} files, {rows} frames, markers {worst * 1000:.3f} mm off at most"


def second_reader(path):
    """Number of the first frame, and points [N, M, 5] as the c3d package reads them."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = c3d.Reader(file)
        return reader.first_frame, np.array([points for _, points, _ in reader.read_frames()])
