"""npz, with numpy and without pickles."""

import numpy as np
from motion import BASE, matrices, require, to_world

NEAR = 2e-4


def same(name, found, wanted, within):
    """Also where either is NaN."""
    wanted = np.asarray(wanted)
    require(found.shape == wanted.shape, f"{name} has the shape {found.shape}, not {wanted.shape}")
    require(np.array_equal(np.isnan(found), np.isnan(wanted)), f"{name} is NaN at other places than where somebody is absent")
    if wanted.size and not np.isnan(wanted).all():
        off = np.nanmax(np.abs(found - wanted))
        require(off <= within, f"{name} is off by {off:.6g}; at most {within} is right")


def check(export):
    motion = export.motion
    with np.load(export.file("npz"), allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    wanted = """joints3d keypoints3d keypoints2d rotations root shape box score hands visible uncertain ids time fps parents joint_names camera_K
        world_from_camera frame keypoint_names floor_shift rest up_source"""
    missing = [key for key in wanted.split() if key not in data]
    require(not missing, f"the npz lacks {', '.join(missing)}")
    frames, people, joints = *motion.present.shape, len(motion.joint_names)

    require(data["ids"].tolist() == motion.ids, f"ids are {data['ids'].tolist()}, not {motion.ids}")
    require(data["visible"].dtype == bool and data["uncertain"].dtype == bool, "`visible` and `uncertain` have to be booleans")
    require(np.array_equal(data["visible"], motion.present), "`visible` is not when somebody is in the rows")
    require(np.array_equal(data["uncertain"], motion.uncertain), "`uncertain` is not as in the rows")
    same("time", data["time"], motion.times, 1e-6)
    require(abs(float(data["fps"]) - motion.fps) < 1e-3, f"fps is {data['fps']}, not {motion.fps}")
    require([int(p) for p in data["parents"]] == motion.parents, "`parents` is not as in the header")
    require(list(data["joint_names"]) == motion.joint_names, "`joint_names` is not as in the header")
    require(list(data["keypoint_names"]) == motion.keypoint_names, "`keypoint_names` is not coco17 and the extra key points")
    same("camera_K", data["camera_K"], motion.camera, 1e-3)

    frame = str(data["frame"])
    require(frame in ("world", "camera"), f"`frame` is {frame}, not world or camera")
    source = str(data["up_source"])
    require(frame == "camera" or source == motion.world["source"], f"`up_source` is {source}, not {motion.world['source']}")
    require(motion.is_told(frame) or frame == "camera" or source == "none", "`frame` says world, and there is none")
    export.frame = frame
    matrix = motion.world_from_camera(frame)
    same("world_from_camera", data["world_from_camera"], matrix, 1e-5)

    shift = np.asarray(data["floor_shift"], float)
    require(shift.shape == (frames, people), f"floor_shift has the shape {shift.shape}, not {(frames, people)}")
    require(np.isfinite(shift[motion.present]).all(), "floor_shift has holes where somebody is present")
    export.shift = shift = np.where(np.isfinite(shift), shift, 0.0)
    require(motion.is_told(frame) or not shift.any(), "people are moved onto a floor that nobody knows")

    in_world = to_world(matrix, motion.keypoints3d, shift[..., None])
    same("keypoints3d", data["keypoints3d"], in_world, NEAR)
    same("joints3d", data["joints3d"], in_world[:, :, :17], NEAR)
    same("keypoints2d", data["keypoints2d"], motion.keypoints2d, 0.006)
    same("root", data["root"], to_world(matrix, motion.root, shift), NEAR)
    same("box", data["box"], motion.box, 0.006)
    same("score", data["score"], motion.score, 0.001)
    same("hands", data["hands"], motion.hands, 0.001)

    # Rotations in the axes of the files; the root joint's carries the turn of the world.
    rotations = data["rotations"]
    require(rotations.shape == (frames, people, joints, 4), f"rotations has the shape {rotations.shape}")
    require(
        np.array_equal(np.isnan(rotations[..., 0, 0]), ~motion.present), "rotations are NaN at other places than where somebody is absent"
    )
    # The rest body stands in glTF's axes, which need not be the world's: only the way from one to the other is in the root.
    found, here = matrices(rotations[motion.present]), matrices(motion.rotations[motion.present])
    turned = BASE @ here @ BASE
    turned[:, 0] = matrix[:3, :3] @ here[:, 0] @ BASE
    off = np.degrees(np.max(np.linalg.norm(found - turned, axis=(-2, -1)) / np.sqrt(2), initial=0))
    require(off < 0.01, f"rotations are up to {off:.3f} degrees off")
    if len(rotations) > 1 and people:
        both = motion.present[1:] & motion.present[:-1]
        flips = np.sum(rotations[1:] * rotations[:-1], -1)[both] < 0
        require(not flips.any(), f"rotations change their sign from one frame to the next {flips.sum()} times")
    same("rest", data["rest"], motion.rest @ BASE, 1e-4)
    require(data["shape"].shape[0] == people, f"shape has the shape {data['shape'].shape}")
    return f"{frames} frames, {people} people, {len(data)} arrays, in {frame} axes"
