//! Bodies that networks give, in every format, against the joints that `tests/networks/smpl.py` has by the published formula.

use std::fs::File;
use std::path::Path;

use glam::{DQuat, DVec2, DVec3};
use meshreel::body::{Body, Camera, Estimator, Pose};
use meshreel::models::NetworkDescription;
use meshreel::pose::own::{BodyEstimate, BodyOutput};
use meshreel::pose::{Landmarks, Worker};
use serde_json::Value;

use crate::canvas::Person;
use crate::{CASES, PLACE, cases, described, read, worker};

pub fn body() -> Body {
    Body::load(&PLACE.join("models/bodies/made-up.safetensors")).unwrap()
}

pub fn camera() -> Camera {
    Camera::guess(read(&CASES, "display"))
}

/// The 24 joints of a pose, metres, camera axes.
fn joints(body: &Body, estimate: &BodyEstimate) -> Vec<DVec3> {
    let joints = body.rest_joints(&estimate.shape);
    let (mut turned, mut at) = (vec![estimate.rotations[0]], vec![estimate.position]);
    for joint in 1..joints.len() {
        let parent = body.parents[joint].unwrap();
        at.push(at[parent] + turned[parent] * (joints[joint] - joints[parent]));
        turned.push(turned[parent] * estimate.rotations[joint]);
    }
    at
}

/// What should come of a person: joints in metres, and in the picture.
fn expected(case: &Value, person: usize) -> (Vec<DVec3>, Vec<DVec2>) {
    let expected = &case["expected"][person];
    let (joints, pixels): (Vec<[f64; 3]>, Vec<[f64; 2]>) = (read(expected, "joints"), read(expected, "pixels"));
    (joints.into_iter().map(DVec3::from).collect(), pixels.into_iter().map(DVec2::from).collect())
}

/// How far joints are from where they should be, relative to the first: metres; and in the picture: pixels.
fn off(found: &[DVec3], (joints, pixels): &(Vec<DVec3>, Vec<DVec2>)) -> [f64; 2] {
    assert_eq!(found.len(), joints.len());
    let (mut metres, mut picture) = (0.0_f64, 0.0_f64);
    for ((at, joint), pixel) in found.iter().zip(joints).zip(pixels) {
        metres = metres.max((at - found[0]).distance(joint - joints[0]));
        picture = picture.max(DVec2::from(camera().project(*at)).distance(*pixel));
    }
    [metres, picture]
}

/// How much distances between joints differ from what they should be, which does not depend on how the whole body is turned.
fn bent_off(found: &[DVec3], joints: &[DVec3]) -> f64 {
    let pairs = (0..joints.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    pairs.map(|(a, b)| (found[a].distance(found[b]) - joints[a].distance(joints[b])).abs()).fold(0.0, f64::max)
}

/// What the network says of each person, as a pose in the picture's camera.
fn estimates(worker: &mut Worker, name: &str, people: &[Person], landmarks: &[Landmarks]) -> Vec<BodyEstimate> {
    let description = described(name);
    let shown: Vec<_> = people.iter().map(Person::picture).zip(landmarks).collect();
    let answers = worker.look(&description, &shown).unwrap();
    let body = body();
    let estimator = Estimator::new(&body, camera(), description.outputs.vertices.is_some());
    let estimate = |(answer, landmarks): (Option<meshreel::pose::own::OwnAnswer>, &Landmarks)| {
        let output: BodyOutput = answer.unwrap().body.unwrap_or_else(|| panic!("{name}: nobody"));
        estimator.estimate(&body, &output, landmarks).unwrap().unwrap()
    };
    answers.into_iter().zip(landmarks).map(estimate).collect()
}

fn landmarks_of(people: &[Person]) -> Vec<Landmarks> {
    people.iter().map(|person| person.landmarks.clone()).collect()
}

#[test]
fn bodies_of_every_format_have_their_joints_where_the_published_formula_has_them() {
    let (people, body) = (Person::all(), body());
    let (mut worker, mut wrong) = (worker(), Vec::new());
    for (name, case) in cases("bodies") {
        let is = |key: &str| case[key].as_bool().unwrap_or(false);
        if is("rootless") || is("placeless") {
            continue;
        }
        let mut worst = [0.0_f64; 2];
        for (index, estimate) in estimates(&mut worker, name, &people, &landmarks_of(&people)).iter().enumerate() {
            let off = off(&joints(&body, estimate), &expected(case, index));
            worst = [worst[0].max(off[0]), worst[1].max(off[1])];
        }
        println!("{name}: {:.2} mm, {:.3} px", worst[0] * 1e3, worst[1]);
        if !(worst[0] < 2e-3 && worst[1] < 1.0) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Landmarks as a network would find them that saw exactly this body.
fn seen(body: &Body, estimate: &BodyEstimate, like: &Landmarks) -> Landmarks {
    let pose = Pose { position: estimate.position, rotations: estimate.rotations.clone(), confidence: Vec::new() };
    let all = body.landmarks(&pose, &estimate.shape);
    // BlazePose sees a person as if the camera were turned towards the trunk, sideways.
    let trunk = [11, 12, 23, 24].map(|index: usize| all[index].unwrap());
    let aside = trunk.map(|at| at.x / at.z).into_iter().sum::<f64>() / 4.0;
    let back = DQuat::from_rotation_y(-aside.atan());
    let mut seen = like.clone();
    for (index, at) in all.into_iter().enumerate() {
        let Some(at) = at else { continue };
        [seen.points[index].x, seen.points[index].y] = camera().project(at).map(|v| v as f32);
        seen.world[index] = (back * (at - estimate.position)).as_vec3().to_array();
    }
    seen
}

#[test]
fn what_a_network_leaves_out_is_taken_from_the_landmarks() {
    let (people, body) = (Person::all(), body());
    let mut worker = worker();
    let whole = estimates(&mut worker, "hmr2", &people, &landmarks_of(&people));
    let landmarks: Vec<Landmarks> =
        whole.iter().zip(&people).map(|(estimate, person)| seen(&body, estimate, &person.landmarks)).collect();
    let case = |key: &str| cases("bodies").into_iter().find(|(_, case)| case[key] == true).unwrap();
    let (name, case_of) = case("rootless");
    for (index, estimate) in estimates(&mut worker, name, &people, &landmarks).iter().enumerate() {
        let (found, expected) = (joints(&body, estimate), expected(case_of, index));
        let (bent, off) = (bent_off(&found, &expected.0), off(&found, &expected));
        let turned = estimate.rotations[0].angle_between(whole[index].rotations[0]).to_degrees();
        println!("{name}: {:.2} mm, turned {turned:.2} degrees, {off:?}", 1e3 * bent);
        assert!(bent < 2e-3 && turned < 1.0, "{name}, person {index}");
        assert!(estimate.position.distance(whole[index].position) < 0.01 * whole[index].position.z);
    }
    let (name, case_of) = case("placeless");
    for (index, estimate) in estimates(&mut worker, name, &people, &landmarks).iter().enumerate() {
        let (found, expected) = (joints(&body, estimate), expected(case_of, index));
        let (bent, [metres, pixels]) = (bent_off(&found, &expected.0), off(&found, &expected));
        let away = estimate.position.distance(whole[index].position) / whole[index].position.z;
        println!("{name}: {:.2} mm, {away:.4} of the distance off, {metres:.4} m, {pixels:.2} px", 1e3 * bent);
        assert!(bent < 2e-3 && away < 0.02 && metres < 0.06 && pixels < 10.0, "{name}, person {index}");
    }
}

#[test]
fn vertices_alone_give_the_pose_and_the_shape() {
    let (people, body) = (Person::all(), body());
    let estimates = estimates(&mut worker(), "vertices", &people, &landmarks_of(&people));
    let shapes: Vec<f64> = vec![0.6, -0.8, 0.5, -0.3, 0.4, 0.2, -0.6, 0.3, -0.2, 0.1];
    for estimate in &estimates {
        let off = estimate.shape.iter().zip(&shapes).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 0.1, "{:?}", estimate.shape);
    }
    // Another body's are refused.
    let output = BodyOutput { vertices: vec![[0.0; 3]; 100], ..first_output("vertices") };
    let error = Estimator::new(&body, camera(), true).estimate(&body, &output, &people[0].landmarks).unwrap_err();
    assert!(error.contains("100 vertices") && error.contains("made-up") && error.contains("6890"), "{error}");
}

fn first_output(name: &str) -> BodyOutput {
    let people = Person::all();
    worker().look(&described(name), &[people[0].shown()]).unwrap().remove(0).unwrap().body.unwrap()
}

#[test]
fn who_is_not_seen_has_no_body() {
    let (people, nobody) = (Person::all(), Person::unmarked());
    let mut worker = worker();
    // By its confidence, or since its numbers are none.
    for name in ["sure", "hmr2", "pose-6d", "pose-axis-angle", "vertices"] {
        let found = worker.look(&described(name), &[people[0].shown(), nobody.shown(), people[1].shown()]).unwrap();
        let is_seen: Vec<bool> = found.iter().map(|answer| answer.as_ref().is_some_and(|a| a.body.is_some())).collect();
        assert_eq!(is_seen, [true, false, true], "{name}");
    }
}

#[test]
fn a_large_network_says_what_it_said_as_a_small_one() {
    let folder = PLACE.join("models/networks");
    let text = std::fs::read_to_string(folder.join("hmr2.toml")).unwrap();
    std::fs::copy(folder.join("hmr2.onnx"), folder.join("large.onnx")).unwrap();
    std::fs::write(folder.join("large.toml"), format!("batch = 2\n{text}")).unwrap();
    // It is taken for large by the file of its weights, of which nothing is read.
    File::create(folder.join("large.onnx.data")).unwrap().set_len(300_000_000).unwrap();
    let description: std::sync::Arc<NetworkDescription> = described("large");
    assert_eq!(description.file, Path::new(&folder).join("large.onnx"));
    let people = Person::all();
    let mut worker = worker();
    let [one, many] = ["hmr2", "large"].map(|name| estimates(&mut worker, name, &people, &landmarks_of(&people)));
    for (a, b) in one.iter().zip(&many) {
        assert!(a.position.distance(b.position) < 1e-4, "{a:?} {b:?}");
        let turned = a.rotations.iter().zip(&b.rotations).map(|(p, &q)| p.angle_between(q)).fold(0.0, f64::max);
        assert!(turned < 1e-3);
    }
}
