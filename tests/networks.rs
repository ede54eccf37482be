//! Networks of the user's own, from their description to what comes of them. `tests/networks/*.py` make them at the tensor shapes of real ones:
//! they find coloured marks in what they are shown, by plain operators, so that it is known what they must say of a picture.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

#[path = "networks/bodies.rs"]
mod bodies;
#[path = "networks/canvas.rs"]
mod canvas;
#[path = "networks/clips.rs"]
mod clips;
#[path = "networks/detectors.rs"]
mod detectors;
#[path = "networks/mistakes.rs"]
mod mistakes;
#[path = "networks/points.rs"]
mod points;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use common::{meshreel_with, sample, script, succeed, with_models};
use meshreel::models::{Models, NetworkDescription};
use meshreel::pose::{Device, Runtime, Worker};
use serde_json::Value;

/// A folder with a folder of models, in which are the made-up body of `tests/bodies/make_smpl.py` and all the networks; with
/// `cases.json`, which says what must come of them; with clips, and `clip.json`, which says the same of these. One for all tests.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("networks");
    with_models(&place);
    let (body, networks) = (place.join("made-up.npz"), place.join("models/networks"));
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/body.safetensors");
    succeed(script("bodies/make_smpl.py").arg(built).arg(&place));
    succeed(meshreel_with(&place).args(["models", "import-smpl", "made-up.npz", "-o", "made-up"]));
    succeed(script("networks/make_networks.py").arg(&body).arg(&networks));
    succeed(script("networks/make_clip.py").arg(sample()).arg(&body).arg(&place));
    place
});

static CASES: LazyLock<Value> = LazyLock::new(|| json(&PLACE.join("models/networks/cases.json")));

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What is under a key of a JSON object, as numbers or whatever else it is read as.
fn read<T: serde::de::DeserializeOwned>(from: &Value, key: &str) -> T {
    serde_json::from_value(from[key].clone()).unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// The cases of a kind, with their names.
fn cases(kind: &str) -> Vec<(&'static str, &'static Value)> {
    let all = CASES[kind].as_array().unwrap();
    assert!(!all.is_empty());
    all.iter().map(|case| (case["name"].as_str().unwrap(), case)).collect()
}

fn models() -> Models {
    Models::new(PLACE.join("models"))
}

fn described(name: &str) -> Arc<NetworkDescription> {
    Arc::new(NetworkDescription::load(&models(), name.parse().unwrap()).unwrap())
}

fn worker() -> Worker {
    let models = models();
    let runtime = Runtime::load(&models.runtime(), Device::Cpu).expect("run `make setup`");
    Worker::new(runtime, models)
}
