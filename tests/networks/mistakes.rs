//! Descriptions that are wrong, or do not fit their network: each is told in terms of what is there.

use meshreel::body::Estimator;
use meshreel::models::NetworkDescription;
use meshreel::pose::own::OwnAnswer;
use meshreel::pose::{Query, Tile, Worker};

use crate::bodies::{body, camera};
use crate::canvas::Person;
use crate::{models, worker};

/// A description that is right, with its file.
const KEY_POINTS: &str = r#"
file = "pixels.onnx"
[input]
size = [192, 256]
scale = 255
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
[outputs.keypoints2d]
name = "points"
format = "coordinates"
points = "blazepose33"
"#;
const BODY: &str = r#"
file = "hmr2.onnx"
body = "made-up"
[input]
size = [256, 256]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[outputs.pose]
names = ["pose0", "pose1"]
format = "matrices"
[outputs.betas]
name = "pred_betas"
[outputs.cam]
name = "pred_cam"
focal = 5000
"#;
const DETECTOR: &str = r#"
file = "dets.onnx"
[input]
size = [640, 640]
[outputs.boxes]
name = "dets"
format = "xyxy"
[outputs.labels]
name = "labels"
"#;

const SCORES: &str = r#"
file = "detr.onnx"
[input]
size = [480, 352]
[detect]
person = 5
[outputs.boxes]
name = "boxes"
format = "cxcywh"
[outputs.scores]
name = "scores"
"#;

/// What is said of a description, when it is read or when its network is shown somebody.
fn said(text: &str, worker: &mut Worker, person: &Person) -> Result<(), String> {
    let name = "mistaken";
    std::fs::write(models().own_networks().join(format!("{name}.toml")), text).unwrap();
    let description = NetworkDescription::load(&models(), name.parse().unwrap()).map_err(|error| error.to_string())?;
    let description = description.into();
    worker.open_own(&description).map_err(|error| error.to_string())?;
    if description.outputs.boxes.is_some() {
        let tile = Query::DetectPersons(Tile::whole(person.picture().geometry.display));
        return worker
            .answer(Some(&description), &[(person.picture(), tile)])
            .map(|_| ())
            .map_err(|error| error.to_string());
    }
    let mut answers = worker.look(&description, &[person.shown()]).map_err(|error| error.to_string())?;
    let Some(OwnAnswer { body: Some(output), .. }) = answers.remove(0) else { return Ok(()) };
    let body = body();
    Estimator::new(&body, camera(), false).estimate(&body, &output, &person.landmarks).map(|_| ())
}

#[test]
fn mistakes_are_named() {
    let (mut worker, person) = (worker(), Person::all().swap_remove(0));
    for right in [KEY_POINTS, BODY, DETECTOR, SCORES] {
        said(right, &mut worker, &person).unwrap();
    }
    // What is replaced, by what, and what must be said of it.
    let wrong: &[(&str, &str, &str, &[&str])] = &[
        (
            KEY_POINTS,
            "size = [192, 256]",
            "size = [192, 256]\nlayuot = \"nchw\"",
            &["mistaken.toml:5", "layuot", "did you mean `layout`"],
        ),
        (KEY_POINTS, "\"coordinates\"", "\"coordinate\"", &["coordinate", "did you mean `coordinates`"]),
        (
            KEY_POINTS,
            "size = [192, 256]",
            "size = [256, 192]",
            &["img [?, 3, 256, 192]", "[3, 192, 256]", "`input.size` is width, height"],
        ),
        (
            KEY_POINTS,
            "scale = 255",
            "scale = 255\nlayout = \"nhwc\"",
            &["[?, 3, 256, 192]", "[256, 192, 3]", "`input.layout`"],
        ),
        (KEY_POINTS, "scale = 255", "scale = 255\nname = \"image\"", &["no input `image`", "img"]),
        (KEY_POINTS, "58.395", "0", &["std", "above 0"]),
        (KEY_POINTS, "192, 256", "0, 256", &["`input.size` is 0 x 256"]),
        (
            KEY_POINTS,
            "name = \"points\"",
            "name = \"point\"",
            &["no output `point`", "[outputs.keypoints2d]", "points [?, 33, 3]"],
        ),
        (KEY_POINTS, "\"blazepose33\"", "\"coco17\"", &["`points` [1, 33, 3]", "[B, 17, 2 or more]"]),
        (KEY_POINTS, "\"coordinates\"", "\"heatmaps\"", &["`points` [1, 33, 3]", "33, rows, columns"]),
        (KEY_POINTS, "\"coordinates\"", "\"simcc\"", &["simcc", "`names`"]),
        (KEY_POINTS, "file = \"pixels.onnx\"", "file = \"nowhere.onnx\"", &["nowhere.onnx", "cannot be opened"]),
        (KEY_POINTS, "file = \"pixels.onnx\"", "file = \"mistaken.toml\"", &["mistaken.toml", "cannot be opened"]),
        (KEY_POINTS, "file = \"pixels.onnx\"", "file = \"pixels.onnx\"\nbatch = 0", &["`batch` is 1 to"]),
        (
            KEY_POINTS,
            "file = \"pixels.onnx\"",
            "file = \"pixels.onnx\"\nbody = \"made-up\"",
            &["`body` is of networks with"],
        ),
        (KEY_POINTS, "[input]", "[crop]\nbeyond = 2\n[input]", &["`beyond` is a colour from 0 to 1, or \"edge\""]),
        (KEY_POINTS, "[input]", "[crop]\nscale = 0\n[input]", &["`crop.scale`"]),
        (BODY, "body = \"made-up\"", "", &["needs `body`"]),
        (BODY, "\"matrices\"", "\"6d\"", &["joints", "made-up"]),
        (BODY, "names = [\"pose0\", \"pose1\"]", "name = \"pred_betas\"", &["`pred_betas` [1, 10]", "9 numbers"]),
        (BODY, "names = [\"pose0\", \"pose1\"]", "", &["[outputs.pose] needs `name`"]),
        (BODY, "name = \"pred_cam\"", "name = \"pred_betas\"", &["[outputs.cam]", "`pred_betas` [1, 10]", "[B, 3]"]),
        (BODY, "focal = 5000", "focal = 0", &["`focal`"]),
        (BODY, "focal = 5000", "", &["focal"]),
        (BODY, "[input]", "refine = \"yes\"\n[input]", &["mistaken.toml:4"]),
        (
            DETECTOR,
            "[outputs.labels]",
            "[outputs.pose]\nname = \"x\"\nformat = \"matrices\"\n[outputs.labels]",
            &["person detector"],
        ),
        (DETECTOR, "\"xyxy\"", "\"xywh\"", &["xywh", "xyxy", "cxcywh", "yolox"]),
        (DETECTOR, "\"dets\"", "\"det\"", &["no output `det`", "[outputs.boxes]", "dets [?, 100, 5]"]),
        (DETECTOR, "\"dets\"", "\"labels\"", &["`labels` [1, 100]", "boxes, numbers of each"]),
        (DETECTOR, "\"labels\"", "\"dets\"", &["[outputs.labels]", "`dets` [1, 100, 5]", "[B, 100]"]),
        (DETECTOR, "\"xyxy\"", "\"yolox\"", &["`dets` [1, 100, 5]", "[B, 8400, 5 and the classes]"]),
        (SCORES, "person = 5", "person = 80", &["[outputs.scores]", "`scores` [1, 300, 80]"]),
        (SCORES, "[outputs.scores]\nname = \"scores\"\n", "", &["boxes, 4 (and the score"]),
        (DETECTOR, "[input]", "[detect]\nthreshold = 3\n[input]", &["`detect.threshold`"]),
        (DETECTOR, "size = [640, 640]", "size = [640, 640]\nsizes = \"size\"", &["no input `size`", "img"]),
    ];
    let mut unsaid = Vec::new();
    for (right, from, to, words) in wrong {
        assert!(right.contains(from), "{from}");
        let said = said(&right.replacen(from, to, 1), &mut worker, &person).err().unwrap_or_default();
        if !words.iter().all(|word| said.contains(word)) {
            unsaid.push(format!("{from} -> {to}: {said:?}"));
        }
    }
    assert!(unsaid.is_empty(), "{unsaid:#?}");
}
