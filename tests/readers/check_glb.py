"""glb: gltf-validator's word, and joints, mesh and camera as three.js sees them."""

import json
import pathlib
import struct
import subprocess

import numpy as np
from motion import require, to_world

HERE = pathlib.Path(__file__).resolve().parent
NEAR = 1e-4
# What the accessors' component types are called in numpy.
KINDS = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read(path):
    """A glb's JSON, and a function that reads an accessor of it."""
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + length]), data[28 + length :]

    def accessor(number):
        about = document["accessors"][number]
        view = document["bufferViews"][about["bufferView"]]
        kind, width = KINDS[about["componentType"]], WIDTHS[about["type"]]
        start = view.get("byteOffset", 0) + about.get("byteOffset", 0)
        stride = view.get("byteStride", np.dtype(kind).itemsize * width)
        return np.ndarray((about["count"], width), kind, binary, start, (stride, np.dtype(kind).itemsize))

    return document, accessor


def ask_three(path, times, vertices_at):
    asked = json.dumps({"times": times, "vertices_at": vertices_at})
    run = subprocess.run(["node", HERE / "glb_joints.mjs", path], input=asked, capture_output=True, text=True, timeout=300)
    require(run.returncode == 0, f"three.js cannot read {path.name}: {run.stderr[-600:]}")
    return json.loads(run.stdout)


def check(export):
    motion, path = export.motion, export.file("glb")
    document, accessor = read(path)
    frames = len(motion.times)
    looked = sorted(set(np.linspace(0, frames - 1, min(frames, 25)).astype(int)) | edges(motion.present)) if frames else []
    skinned = looked[:: max(1, len(looked) // 4)] if motion.ids else []
    # As glTF holds times: in single precision.
    times = motion.times.astype(np.float32)
    answer = ask_three(path, [float(times[f]) for f in looked], [float(times[f]) for f in skinned])

    issues = answer["issues"]
    first = "; ".join(f"{m['message']} at {m.get('pointer')}" for m in issues["messages"][:3])
    require(
        issues["numErrors"] == 0 and issues["numWarnings"] == 0,
        f"the validator has {issues['numErrors']} errors, {issues['numWarnings']} warnings: {first}",
    )
    structure(export, document, accessor)
    order = people_of_skins(motion, document)
    require(sorted(order) == sorted(motion.ids), f"the glb has the people {sorted(order)}, not {motion.ids}")

    worst = 0.0
    for f, found in zip(looked, answer["frames"]):
        for skin, number in enumerate(order):
            p = motion.ids.index(number)
            hidden = 0.0 in [round(s, 9) for s in found[skin]["scale"]]
            require(
                hidden != motion.present[f, p],
                f"person {number} is {'hidden' if hidden else 'shown'} in frame {f} ({motion.times[f]:.3f} s)",
            )
            if hidden:
                continue
            joints = motion.pose(p, motion.rotations[[f], p], motion.root[[f], p])[0][0]
            wanted = to_world(export.matrix, joints, export.shift[f, p])
            off = np.abs(np.array(found[skin]["joints"]) - wanted).max()
            worst = max(worst, off)
            require(off <= NEAR, f"a joint of person {number} is {off * 1000:.2f} mm off in frame {f} ({motion.times[f]:.3f} s)")
    vertices = 0.0
    for f, found in zip(skinned, answer["skinned"]):
        for mesh in found:
            p = motion.ids.index(order[mesh["skin"]])
            if not motion.present[f, p]:
                continue
            wanted = to_world(export.matrix, motion.skinned(p, f), export.shift[f, p])
            require(len(mesh["vertices"]) == len(wanted), f"the mesh has {len(mesh['vertices'])} vertices, not {len(wanted)}")
            off = np.abs(np.array(mesh["vertices"]) - wanted).max()
            vertices = max(vertices, off)
            require(off <= 5e-4, f"the mesh of person {order[mesh['skin']]} is {off * 1000:.2f} mm off in frame {f}")
    pixels = camera(export, answer["camera"], document)
    return (
        f"0 errors, 0 warnings, {len(order)} people in {len(document.get('animations', []))} animation; joints {worst * 1000:.3f} mm, "
        f"mesh {vertices * 1000:.3f} mm, camera {pixels:.4f} px off at most"
    )


def edges(present):
    """Frames beside which somebody appears or vanishes."""
    changes = np.flatnonzero((present[1:] != present[:-1]).any(1))
    return set(changes.tolist()) | set((changes + 1).tolist())


def structure(export, document, accessor):
    motion = export.motion
    animations = document.get("animations", [])
    require(len(animations) == (1 if motion.ids else 0), f"there are {len(animations)} animations; all people have to be in one")
    for animation in animations:
        for channel in animation["channels"]:
            sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
            wanted = "STEP" if target["path"] == "scale" else "LINEAR"
            name = document["nodes"][target["node"]].get("name")
            require(sampler.get("interpolation", "LINEAR") == wanted, f"{target['path']} of {name} is not {wanted}")
            if target["path"] == "rotation":
                q = accessor(sampler["output"])
                flips = int((np.sum(q[1:] * q[:-1], -1) < 0).sum())
                require(flips == 0, f"the rotation of {name} changes its sign {flips} times")
    parents = {child: i for i, node in enumerate(document.get("nodes", [])) for child in node.get("children", [])}
    for i, node in enumerate(document.get("nodes", [])):
        if "skin" in node:
            require(i not in parents, f"the mesh node {node.get('name')} is not at the scene's root")
    for skin in document.get("skins", []):
        inverse = accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
        require(np.allclose(inverse[:, :3, :3], np.eye(3), atol=1e-6), "an inverse bind matrix is more than a translation")
        for joint in skin["joints"]:
            turn = document["nodes"][joint].get("rotation", [0, 0, 0, 1])
            if joint != skin["joints"][0]:
                require(abs(abs(turn[3]) - 1) < 1e-6, f"the joint {document['nodes'][joint].get('name')} is turned at rest")
    names = [node.get("name") for node in document.get("nodes", [])]
    require(len(names) == len(set(names)), "two nodes have the same name")
    for mesh in document.get("meshes", []):
        require("weights" not in mesh and "targets" not in mesh["primitives"][0], "the mesh has morph targets")
        attributes = mesh["primitives"][0]["attributes"]
        joints, weights = accessor(attributes["JOINTS_0"]), accessor(attributes["WEIGHTS_0"])
        require(not joints[weights == 0].any(), "JOINTS_0 is not 0 where WEIGHTS_0 is 0")
    extras = json.dumps([document.get("extras"), document["asset"].get("extras"), [s.get("extras") for s in document.get("scenes", [])]])
    wanted = motion.world["source"] if motion.is_told(export.frame) else export.frame
    require(wanted in extras, f"no `extras` of the file, its asset or scene say what the frame is ({wanted})")


def people_of_skins(motion, document):
    """The person of each skin: from the node `person_ID` above the first joint."""
    nodes = document.get("nodes", [])
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    people = []
    for skin in document.get("skins", []):
        require(len(skin["joints"]) == len(motion.joint_names), f"a skin has {len(skin['joints'])} joints, not {len(motion.joint_names)}")
        at = skin["joints"][0]
        require("Hips" in nodes[at].get("name", ""), f"the first joint is {nodes[at].get('name')}, not Hips")
        while at in parents and not nodes[at].get("name", "").startswith("person_"):
            at = parents[at]
        name = nodes[at].get("name", "")
        require(name.startswith("person_"), "there is no node person_ID above the joints")
        people.append(int(name.removeprefix("person_")))
    return people


def camera(export, found, document):
    """How many pixels the glb's camera is off."""
    motion = export.motion
    require(found, "there is no camera")
    width, height = motion.size
    view = document["cameras"][0]["perspective"]
    require(
        abs(view["aspectRatio"] - width / height) < 1e-4, f"the camera's aspectRatio is {view['aspectRatio']}, not {width / height:.4f}"
    )
    points = np.array([[x, y, z] for x in (-1.0, 0.0, 1.2) for y in (-0.7, 0.0, 0.8) for z in (2.0, 5.0)])
    placed = np.c_[to_world(export.matrix, points), np.ones(len(points))]
    world, projection = (np.array(found[k]).reshape(4, 4).T for k in ("world", "projection"))
    clip = placed @ np.linalg.inv(world).T @ projection.T
    pixels = clip[:, :2] / clip[:, 3:] * [width / 2, -height / 2]
    # Measured from the picture's middle, where glTF's cameras look.
    focal = motion.camera[[0, 1], [0, 1]]
    off = np.abs(pixels - points[:, :2] / points[:, 2:] * focal).max()
    require(off <= 0.1, f"the camera is {off:.3f} px off")
    return off
