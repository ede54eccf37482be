"""coco: results and images, read by pycocotools."""

import contextlib
import io
import json

import numpy as np
from motion import require
from pycocotools.coco import COCO


def check(export):
    motion, results, images = export.motion, export.file("coco.json"), export.file("coco.images.json")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(images))
        # pycocotools cannot load a list without anything in it.
        found = truth.loadRes(str(results)) if motion.present.any() else None
    require(len(truth.imgs) == len(motion.times), f"{images.name} has {len(truth.imgs)} images, not {len(motion.times)}")
    require(all((i["width"], i["height"]) == motion.size for i in truth.imgs.values()), f"{images.name}: images are not {motion.size}")
    frame_of = {number: f for f, number in enumerate(sorted(truth.imgs))}
    if found is None:
        require(json.loads(results.read_text()) == [], f"{results.name} is not empty, and nobody is there")
        return "an empty list, as nobody is there"
    require(len(found.anns) == int(motion.present.sum()), f"{results.name} has {len(found.anns)} people, not {int(motion.present.sum())}")
    left = {f: set(np.flatnonzero(motion.present[f])) for f in range(len(motion.times))}
    for annotation in found.anns.values():
        f = frame_of[annotation["image_id"]]
        require(annotation["category_id"] == 1, "a category is not 1")
        points = np.array(annotation["keypoints"], float).reshape(17, 3)
        fits = [p for p in left[f] if np.abs(points - motion.keypoints2d[f, p]).max() <= 0.006]
        require(fits, f"{results.name} has somebody in frame {f} who is not in the motion file")
        left[f].remove(fits[0])
        require(abs(annotation["score"] - motion.score[f, fits[0]]) < 0.001, f"{results.name}: a score is wrong in frame {f}")
    return f"{len(found.anns)} people in {len(truth.imgs)} images"
