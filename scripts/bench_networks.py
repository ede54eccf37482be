#!/usr/bin/env python3
"""What a large network of one's own costs: a stand-in for HMR2 (4D-Humans) at its real size, run by `meshreel process`.

    make bench-networks

The stand-in has HMR2's inputs, outputs, layers and shapes (a vision transformer, ViT-H/16, and a transformer decoder: 670 million
weights, 2.7 GB) and weights at random, so small that what it says is a standing body for any picture. It is made once, in
`target/bench-networks`, with a folder of models of its own and a made-up body of SMPL's size. A short clip is processed with it in
batches of 1, 2, 4 and 8, on keyframes alone, and with meshreel's own networks (`auto`), in turns; of each the turn that took least
is printed. Memory is the process' largest; what the system keeps of mapped files counts while it is mapped.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bench

FOLDER = bench.ROOT / "target/bench-networks"
MODELS = bench.ROOT / "models"
NETWORK, BODY = "stand-in", "made-up"

# HMR2's sizes: the backbone's ...
SIDE, CUT, PATCH, PADDING, ROWS, COLUMNS = 256, 32, 16, 2, 16, 12
WIDTH, DEPTH, HEADS, MLP = 1280, 32, 16, 5120
# ... and its head's.
HEAD_WIDTH, HEAD_DEPTH, HEAD_HEADS, HEAD_EACH, HEAD_MLP = 1024, 6, 8, 64, 1024
JOINTS, BETAS = 24, 10
LEFT_SHOULDER, RIGHT_SHOULDER = 16, 17
# Deviation of weights, as networks have it that begin to be trained.
GAIN = 0.02

DESCRIPTION = """licence = "made up by scripts/bench_networks.py"
file = "stand-in.onnx"
body = "made-up"
batch = {batch}
frames = "{frames}"

[input]
name = "img"
size = [256, 256]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]

[crop]
aspect = 0.75

[outputs.pose]
name = "pred_pose"
format = "matrices"
[outputs.betas]
name = "pred_betas"
[outputs.cam]
name = "pred_cam"
focal = 5000
"""


class Graph:
    """An ONNX graph as it is put together. Weights go straight to the file beside it: all at once they are too many for memory."""

    def __init__(self, data):
        self.data = data
        self.random = np.random.default_rng(0)
        self.nodes, self.initializers = [], []

    def weight(self, *shape, gain=GAIN):
        """Numbers at random."""
        return self.kept(self.random.standard_normal(shape, np.float32) * np.float32(gain))

    def kept(self, array):
        """An array in the file beside."""
        array = np.ascontiguousarray(array, np.float32)
        self.data.seek(-self.data.tell() % 4096, os.SEEK_CUR)
        tensor = TensorProto(name=f"w{len(self.initializers)}", dims=array.shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": pathlib.Path(self.data.name).name, "offset": self.data.tell(), "length": array.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self.data.write(array.data)
        self.initializers.append(tensor)
        return tensor.name

    def constant(self, values, kind=np.float32):
        """A few numbers in the graph itself."""
        self.initializers.append(numpy_helper.from_array(np.array(values, kind), f"c{len(self.initializers)}"))
        return self.initializers[-1].name

    def add(self, operator, *inputs, **attributes):
        """A node: the name of what it gives."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def linear(self, x, inputs, outputs, gain=GAIN, bias=True, mean=None):
        """x W + b. What comes of it has about the mean `mean`."""
        x = self.add("MatMul", x, self.weight(inputs, outputs, gain=gain))
        return self.add("Add", x, self.kept(np.zeros(outputs) if mean is None else mean)) if bias else x

    def normalized(self, x, width):
        return self.add("LayerNormalization", x, self.kept(np.ones(width)), self.kept(np.zeros(width)), axis=-1, epsilon=1e-6)

    def mlp(self, x, width, between):
        x = self.linear(x, width, between)
        # GELU as PyTorch writes it.
        erf = self.add("Erf", self.add("Div", x, self.constant(2**0.5)))
        x = self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.constant(1))), self.constant(0.5))
        return self.linear(x, between, width)

    def split(self, x, parts, heads, each):
        """[B,N,parts*heads*each] as so many tensors [B,heads,N,each]."""
        x = self.add("Reshape", x, self.constant([0, 0, parts, heads, each], np.int64))
        x = self.add("Transpose", x, perm=[2, 0, 3, 1, 4])
        return [self.add("Gather", x, self.constant(part, np.int64), axis=0) for part in range(parts)]

    def attention(self, q, k, v, heads, each, width):
        """What queries find among keys, [B,N,width]."""
        q = self.add("Mul", q, self.constant(each**-0.5))
        found = self.add("Softmax", self.add("MatMul", q, self.add("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
        x = self.add("Transpose", self.add("MatMul", found, v), perm=[0, 2, 1, 3])
        return self.linear(self.add("Reshape", x, self.constant([0, 0, heads * each], np.int64)), heads * each, width)


def backbone(graph):
    """From `img` to [B,192,1280]."""
    columns = [graph.constant([k], np.int64) for k in (CUT, SIDE - CUT, 3)]
    x = graph.add("Slice", "img", *columns)
    x = graph.add("Conv", x, graph.weight(WIDTH, 3, PATCH, PATCH), graph.kept(np.zeros(WIDTH)), kernel_shape=[PATCH] * 2,
                  strides=[PATCH] * 2, pads=[PADDING] * 4)
    x = graph.add("Transpose", graph.add("Reshape", x, graph.constant([0, WIDTH, ROWS * COLUMNS], np.int64)), perm=[0, 2, 1])
    x = graph.add("Add", x, graph.weight(1, ROWS * COLUMNS, WIDTH))
    for _ in range(DEPTH):
        qkv = graph.split(graph.linear(graph.normalized(x, WIDTH), WIDTH, 3 * WIDTH), 3, HEADS, WIDTH // HEADS)
        x = graph.add("Add", x, graph.attention(*qkv, HEADS, WIDTH // HEADS, WIDTH))
        x = graph.add("Add", x, graph.mlp(graph.normalized(x, WIDTH), WIDTH, MLP))
    return graph.normalized(x, WIDTH)


def head(graph, context):
    """The decoder's one token, [B,1,1024]."""
    inner = HEAD_HEADS * HEAD_EACH
    count = graph.add("Shape", "img", start=0, end=1)
    shape = graph.add("Concat", count, graph.constant([1, 1], np.int64), axis=0)
    x = graph.linear(graph.add("ConstantOfShape", shape), 1, HEAD_WIDTH)
    x = graph.add("Add", x, graph.weight(1, 1, HEAD_WIDTH, gain=1))
    for _ in range(HEAD_DEPTH):
        qkv = graph.linear(graph.normalized(x, HEAD_WIDTH), HEAD_WIDTH, 3 * inner, bias=False)
        x = graph.add("Add", x, graph.attention(*graph.split(qkv, 3, HEAD_HEADS, HEAD_EACH), HEAD_HEADS, HEAD_EACH, HEAD_WIDTH))
        q = graph.split(graph.linear(graph.normalized(x, HEAD_WIDTH), HEAD_WIDTH, inner, bias=False), 1, HEAD_HEADS, HEAD_EACH)
        kv = graph.split(graph.linear(context, WIDTH, 2 * inner, bias=False), 2, HEAD_HEADS, HEAD_EACH)
        x = graph.add("Add", x, graph.attention(*q, *kv, HEAD_HEADS, HEAD_EACH, HEAD_WIDTH))
        x = graph.add("Add", x, graph.mlp(graph.normalized(x, HEAD_WIDTH), HEAD_WIDTH, HEAD_MLP))
    return x


def rotations(graph, numbers):
    """Matrices of rotations from two columns of each, made perpendicular and of length 1 by Gram and Schmidt; `pred_pose`."""
    columns = graph.add("Reshape", numbers, graph.constant([-1, JOINTS, 2, 3], np.int64))
    first, second = (graph.add("Gather", columns, graph.constant(k, np.int64), axis=2) for k in (0, 1))
    unit = lambda v: graph.add("Div", v, graph.add("ReduceL2", v, axes=[-1], keepdims=1))
    x = unit(first)
    along = graph.add("ReduceSum", graph.add("Mul", x, second), graph.constant([-1], np.int64), keepdims=1)
    y = unit(graph.add("Sub", second, graph.add("Mul", along, x)))
    turned = lambda v, by: graph.add("Gather", v, graph.constant([by, (by + 1) % 3, (by + 2) % 3], np.int64), axis=-1)
    z = graph.add("Sub", graph.add("Mul", turned(x, 1), turned(y, 2)), graph.add("Mul", turned(x, 2), turned(y, 1)))
    last = graph.constant([-1], np.int64)
    return graph.add("Concat", *(graph.add("Unsqueeze", v, last) for v in (x, y, z)), axis=-1)


def standing():
    """Two columns of each joint's rotation: upright in the camera, whose y points down, and the arms lowered."""
    pose = np.tile([1.0, 0, 0, 0, 1, 0], (JOINTS, 1))
    pose[0] = [1, 0, 0, 0, -1, 0]
    for joint, angle in ((LEFT_SHOULDER, -0.6), (RIGHT_SHOULDER, 0.6)):
        pose[joint] = [np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0]
    return pose.ravel()


def make_network(path):
    """Writes the stand-in, and its weights in a file beside it."""
    data = path.with_name(f"{path.name}.data")
    with data.open("wb") as file:
        graph = Graph(file)
        token = graph.add("Squeeze", head(graph, backbone(graph)), graph.constant([1], np.int64))
        of_token = lambda count, mean: graph.linear(token, HEAD_WIDTH, count, gain=0.0003, mean=np.array(mean))
        results = {
            "pred_pose": (rotations(graph, of_token(6 * JOINTS, standing())), [JOINTS, 3, 3]),
            "pred_betas": (of_token(BETAS, np.zeros(BETAS)), [BETAS]),
            "pred_cam": (of_token(3, [0.9, 0, 0.2]), [3]),
        }
        for name, (made, _) in results.items():
            graph.nodes.append(helper.make_node("Identity", [made], [name]))
    port = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *shape])
    made = helper.make_graph(graph.nodes, "stand-in", [port("img", [3, SIDE, SIDE])],
                             [port(name, shape) for name, (_, shape) in results.items()], graph.initializers)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def prepare(program):
    """Makes what is missing of the folder: models, the stand-in, the body. Its configuration."""
    models = FOLDER / "models"
    for folder in (models / "networks", models / "bodies"):
        folder.mkdir(parents=True, exist_ok=True)
    built = [path for path in MODELS.iterdir() if path.is_file() or path.name == "optimized"]
    for path in built:
        link = models / path.name
        if not link.is_symlink():
            link.symlink_to(path)
    config = FOLDER / "config.toml"
    config.write_text(f"[models]\nfolder = {json.dumps(str(models))}\n")
    network = models / f"networks/{NETWORK}.onnx"
    if not network.is_file():
        print(f"making {network} (2.7 GB)", flush=True)
        make_network(network)
    if not (models / f"bodies/{BODY}.safetensors").is_file():
        with tempfile.TemporaryDirectory(prefix="meshreel-bench-") as folder:
            make = [sys.executable, bench.ROOT / "tests/bodies/make_smpl.py", models / "body.safetensors", folder]
            subprocess.run(make, check=True)
            given = [program, "--config", config, "models", "import-smpl", f"{folder}/made-up.npz", "-o", BODY]
            subprocess.run(given, check=True, stdout=subprocess.DEVNULL)
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshreel", type=pathlib.Path, default=bench.PROGRAM)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--start", type=float, default=0, help="second of the sample clip that the clip begins at")
    parser.add_argument("--seconds", type=float, default=1, help="its length")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the results of the last turn")
    arguments = parser.parse_args()
    config = prepare(arguments.meshreel)
    ways = [("auto", None)] + [(f"batch {batch}", {"batch": batch, "frames": "all"}) for batch in arguments.batches]
    ways.append(("keyframes", {"batch": max(arguments.batches, default=1), "frames": "keyframes"}))
    best = {}
    with tempfile.TemporaryDirectory(prefix="meshreel-bench-") as folder:
        folder = pathlib.Path(folder)
        clip = folder / "clip.mp4"
        bench.run(["ffmpeg", "-v", "error", "-ss", arguments.start, "-i", bench.SAMPLE, "-t", arguments.seconds, "-an",
                   "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", clip])
        for turn in range(arguments.turns):
            for name, keys in ways:
                found = measure(arguments.meshreel, config, folder / name, clip, keys)
                print(f"turn {turn + 1}, {name}: {found['seconds']:.1f} s", flush=True)
                best[name] = min(found, best.get(name, found), key=lambda each: each["seconds"])
        if arguments.keep:
            shutil.copytree(folder, arguments.keep, dirs_exist_ok=True)
    frames = best["auto"]["frames"]
    print(f"\n{bench.processor()}, {os.cpu_count()} cores; {frames} frames, {best['auto']['bodies']} people and frames")
    print(f"{'':>10} {'seconds':>8} {'CPU s':>7} {'s each':>7} {'MB':>6}")
    for name, found in best.items():
        each = found["seconds"] / found["bodies"]
        print(f"{name:>10} {found['seconds']:8.1f} {found['cpu']:7.1f} {each:7.2f} {found['memory']:6.0f}")


def measure(program, config, out, clip, keys):
    """One run; `keys` are those of the description, none for meshreel's own networks."""
    which = ["--body", BODY]
    if keys:
        (FOLDER / f"models/networks/{NETWORK}.toml").write_text(DESCRIPTION.format(**keys))
        which = ["--model", NETWORK]
    command = [program, "process", "--config", config, "--progress", "none", "-o", out, *which, clip]
    shutil.rmtree(out, ignore_errors=True)
    seconds, cpu, memory, _ = bench.run(command, {**os.environ, "HOME": str(out.parent)})
    report = json.loads((out / f"{clip.stem}.report.json").read_text())
    return {"seconds": seconds, "cpu": cpu, "memory": memory, "frames": report["frames"], "bodies": report["bodies"]}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
