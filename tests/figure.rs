//! The figure itself: a mannequin without anything private in any shape or pose, whose parts are told apart by tone.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::path::Path;
use std::sync::OnceLock;

use glam::{DQuat, DVec3, Vec3};
use meshreel::body::{Body, Camera, Pose, Posed, Role, Side, Skeleton};
use meshreel::geometry::{Geometry, Orientation};
use meshreel::render::{Mesh, MeshData, Overlay, Person, RenderThread, Renderer, Scene, Shape, Style};

/// Distances on the figure are for somebody as tall as this, metres.
const STATURE: f32 = 1.84;

fn body() -> &'static Body {
    static BODY: OnceLock<Body> = OnceLock::new();
    BODY.get_or_init(|| {
        Body::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/body.safetensors"))
            .expect("`make setup` builds it")
    })
}

/// The plain shape, each coefficient at its ends, and builds of small and tall people.
fn shapes() -> Vec<Vec<f64>> {
    let ends = (0..10).flat_map(|k| [-2.5, 2.5].map(|end| (0..10).map(|i| if i == k { end } else { 0.0 }).collect()));
    let builds = (0..8).map(|signs| (0..3).map(|i| if signs >> i & 1 == 1 { 1.5 } else { -1.5 }).collect());
    std::iter::once(vec![0.0; 10]).chain(ends).chain(builds).collect()
}

/// What makes somebody standing with these vertices as tall as [`STATURE`].
fn scale(vertices: &[[f32; 3]]) -> f32 {
    let heights = || vertices.iter().map(|v| v[1]);
    STATURE / (heights().fold(f32::MIN, f32::max) - heights().fold(f32::MAX, f32::min))
}

/// The skin of a shape, as tall as [`STATURE`].
struct Skin(Vec<[[f32; 3]; 3]>);

impl Skin {
    fn new(shape: &[f64]) -> Self {
        let vertices = body().shaped_vertices(shape);
        let scale = scale(&vertices);
        // Of the trunk: the rest is not needed.
        let near = |t: &[[f32; 3]; 3]| t.iter().all(|v| v[0].abs() < 0.2 && v[1].abs() < 0.6);
        let triangles = body().faces.iter().map(|f| f.map(|v| vertices[v as usize].map(|c| c * scale)));
        Self(triangles.filter(near).collect())
    }

    /// How far back (1) or in front (-1) of the root joint the skin is at a place, metres.
    fn depth(&self, x: f32, y: f32, side: f32) -> f32 {
        let hit = |[a, b, c]: &[[f32; 3]; 3]| {
            let area =
                |p: [f32; 2], q: &[f32; 3], r: &[f32; 3]| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
            let parts = [area([x, y], b, c), area([x, y], c, a), area([x, y], a, b)];
            let whole: f32 = parts.iter().sum();
            let is_inside = parts.iter().all(|&p| p >= 0.0) || parts.iter().all(|&p| p <= 0.0);
            (is_inside && whole != 0.0).then(|| side * (parts[0] * a[2] + parts[1] * b[2] + parts[2] * c[2]) / whole)
        };
        self.0.iter().filter_map(hit).fold(f32::MIN, f32::max)
    }
}

fn steps(from: f32, to: f32, step: f32) -> impl Iterator<Item = f32> + Clone {
    (0..=((to - from) / step).round() as usize).map(move |i| from + i as f32 * step)
}

/// How much deeper the skin is in the middle of the body than beside it, metres, at worst between two heights.
fn furrow(skin: &Skin, heights: [f32; 2], width: f32, side: f32) -> f32 {
    let at = |y: f32| {
        let beside = steps(0.0, width, 0.01).map(|x| skin.depth(x, y, side)).fold(f32::MIN, f32::max);
        beside - skin.depth(0.0, y, side)
    };
    steps(heights[0], heights[1], 0.02).map(at).fold(f32::MIN, f32::max)
}

/// How much the chest departs from straight over 3 cm, down or across, metres, at worst.
fn bump(skin: &Skin) -> f32 {
    let grid: Vec<[f32; 2]> =
        steps(-0.44, -0.22, 0.015).flat_map(|y| steps(0.03, 0.075, 0.015).map(move |x| [x, y])).collect();
    let depth = |x: f32, y: f32| skin.depth(x, y, -1.0);
    let bend = |[x, y]: [f32; 2], [dx, dy]: [f32; 2]| {
        (depth(x + dx, y + dy) + depth(x - dx, y - dy) - 2.0 * depth(x, y)).abs()
    };
    grid.into_iter().flat_map(|at| [bend(at, [0.015, 0.0]), bend(at, [0.0, 0.015])]).fold(0.0, f32::max)
}

#[test]
fn no_shape_shows_buttocks_or_breasts() {
    for shape in shapes() {
        let skin = Skin::new(&shape);
        let [cleft, chest] = [furrow(&skin, [-0.16, 0.0], 0.11, 1.0), furrow(&skin, [-0.44, -0.22], 0.09, -1.0)];
        let bump = bump(&skin);
        println!("{shape:?}: cleft {:.1} mm, chest {:.1} mm, bump {:.1} mm", cleft * 1e3, chest * 1e3, bump * 1e3);
        assert!(cleft < 0.006, "{shape:?}: the cleft of the buttocks is {cleft} m deep");
        assert!(chest < 0.006, "{shape:?}: between the breasts the chest is {chest} m deep");
        assert!(bump < 0.0035, "{shape:?}: the chest bends by {bump} m over 3 cm");
    }
}

/// Degrees about x, y and z by joint.
type Turns = &'static [(&'static str, [f64; 3])];

/// Poses that open the skin under the pelvis, each with the most by which a tip may stand out in it, metres: the sharper
/// the hips bend, the more the skin folds.
const POSES: [(&str, Turns, f32); 3] = [
    (
        "deep squat",
        &[
            ("root", [25.0, 0.0, 0.0]),
            ("upperleg01.L", [-120.0, 0.0, -25.0]),
            ("upperleg01.R", [-120.0, 0.0, 25.0]),
            ("lowerleg01.L", [115.0, 0.0, 0.0]),
            ("lowerleg01.R", [115.0, 0.0, 0.0]),
        ],
        0.0065,
    ),
    (
        "hard forward bend",
        &[
            ("root", [50.0, 0.0, 0.0]),
            ("spine05", [40.0, 0.0, 0.0]),
            ("spine03", [25.0, 0.0, 0.0]),
            ("upperleg01.L", [-50.0, 0.0, -12.0]),
            ("upperleg01.R", [-50.0, 0.0, 12.0]),
        ],
        0.0037,
    ),
    (
        "tuck",
        &[
            ("root", [60.0, 0.0, 0.0]),
            ("spine05", [25.0, 0.0, 0.0]),
            ("spine03", [25.0, 0.0, 0.0]),
            ("upperleg01.L", [-125.0, 0.0, -5.0]),
            ("upperleg01.R", [-125.0, 0.0, 5.0]),
            ("lowerleg01.L", [120.0, 0.0, 0.0]),
            ("lowerleg01.R", [120.0, 0.0, 0.0]),
        ],
        0.0088,
    ),
];

/// The skin of a shape in a pose, and the outward direction of each vertex.
fn posed_skin(shape: &[f64], turns: Turns) -> (Vec<Vec3>, Vec<Vec3>) {
    let body = body();
    let mut rotations = vec![DQuat::IDENTITY; body.joint_count()];
    for (joint, degrees) in turns {
        let at = body.joint_names.iter().position(|name| name == joint).unwrap();
        rotations[at] = DQuat::from_scaled_axis(DVec3::from(*degrees).map(f64::to_radians));
    }
    let pose = Pose { position: DVec3::ZERO, rotations, confidence: vec![1.0; body.joint_count()] };
    let transforms = body.joint_transforms(&pose, shape);
    let skinned = |(v, (joints, weights)): (&[f32; 3], (&[u32; 4], &[f32; 4]))| {
        let moved = |j: u32| Vec3::from(transforms[j as usize].map(|[a, b, c, d]| a * v[0] + b * v[1] + c * v[2] + d));
        joints.iter().zip(weights).map(|(&j, &w)| moved(j) * w).sum()
    };
    let skin = body.skin_indices.iter().zip(&body.skin_weights);
    let points: Vec<Vec3> = body.shaped_vertices(shape).iter().zip(skin).map(skinned).collect();
    let mut outward = vec![Vec3::ZERO; points.len()];
    for face in &body.faces {
        let [a, b, c] = face.map(|v| points[v as usize]);
        face.iter().for_each(|&v| outward[v as usize] += (b - a).cross(c - a));
    }
    (points, outward.into_iter().map(Vec3::normalize_or_zero).collect())
}

/// How far the skin under the pelvis, at the middle, stands out from the skin two centimetres round it, metres, at worst.
fn tip(shape: &[f64], turns: Turns) -> f32 {
    const AROUND: f32 = 0.02;
    static NEIGHBOURS: OnceLock<Vec<Vec<usize>>> = OnceLock::new();
    let neighbours = NEIGHBOURS.get_or_init(|| {
        let mut neighbours = vec![Vec::new(); body().vertices.len()];
        for &[a, b, c] in &body().faces {
            for [from, to] in [[a, b], [b, c], [c, a]] {
                neighbours[from as usize].push(to as usize);
                neighbours[to as usize].push(from as usize);
            }
        }
        neighbours
    });
    let rest = body().shaped_vertices(shape);
    let scale = scale(&rest);
    let (points, outward) = posed_skin(shape, turns);
    let stands_out = |v: usize| {
        // The skin is followed from vertex to vertex: other parts of the body may touch it.
        let (mut seen, mut ring) = (vec![v], Vec::new());
        let mut next = 0;
        while let Some(&from) = seen.get(next) {
            next += 1;
            let away = (points[from] - points[v]) * scale;
            if away.length() < AROUND {
                for &to in &neighbours[from] {
                    if !seen.contains(&to) {
                        seen.push(to);
                    }
                }
            } else {
                ring.push(away.normalize() * AROUND);
            }
        }
        -outward[v].dot(ring.iter().sum::<Vec3>() / ring.len() as f32)
    };
    let is_under = |v: &usize| {
        let [x, y, _] = rest[*v].map(|c| c * scale);
        x.abs() < 0.02 && (0.03..0.16).contains(&y)
    };
    (0..rest.len()).filter(is_under).map(stands_out).fold(f32::MIN, f32::max)
}

#[test]
fn no_pose_shows_a_tip_under_the_pelvis() {
    for (name, turns, most) in POSES {
        let tips: Vec<f32> = shapes().iter().map(|shape| tip(shape, turns)).collect();
        println!("{name}: {:.1} mm", tips.iter().copied().fold(f32::MIN, f32::max) * 1e3);
        for (shape, tip) in shapes().iter().zip(tips) {
            assert!(tip < most, "{shape:?}, {name}: the skin under the pelvis stands out by {tip} m");
        }
    }
}

/// A person drawn at rest, turned about the vertical axis.
struct Picture {
    overlay: Overlay,
    camera: Camera,
    joints: Vec<DVec3>,
}

fn renderer() -> Renderer {
    static THREAD: OnceLock<RenderThread> = OnceLock::new();
    THREAD.get_or_init(|| RenderThread::start().expect("OpenGL")).renderer()
}

impl Picture {
    /// A square picture of so many pixels, two metres wide and high where the body is.
    fn new(pixels: u32, turn: f64, style: Style) -> Self {
        static MESH: OnceLock<Mesh> = OnceLock::new();
        let mesh = MESH.get_or_init(|| Mesh::new(MeshData::from(body())).unwrap());
        let shape = Shape::new(mesh, &body().vertices).unwrap();
        let mut rotations = vec![DQuat::IDENTITY; body().joint_count()];
        rotations[0] = DQuat::from_rotation_y(turn);
        let pose =
            Pose { position: DVec3::new(0.0, 0.0, 10.0), rotations, confidence: vec![1.0; body().joint_count()] };
        let transforms = body().joint_transforms(&pose, &[]);
        let flat: Vec<[f32; 12]> = transforms.iter().map(|m| std::array::from_fn(|i| m[i / 4][i % 4])).collect();
        let middle = f64::from(pixels - 1) / 2.0;
        let camera = Camera { focal: [f64::from(pixels) * 5.0; 2], center: [middle; 2] };
        let person = Person { shape: &shape, bend: None, joints: &flat, confidence: &pose.confidence, color: [0.8; 3] };
        let geometry = Geometry::new([pixels; 2], 1.0, Orientation::default());
        let scene = Scene::build(mesh, &[person], &camera, &geometry, style).unwrap();
        let overlay = renderer().request(scene).unwrap().wait().unwrap().overlay;
        let mut posed = Posed::default();
        Skeleton::new(body(), &[]).pose(&pose.rotations, &mut posed);
        let joints = posed.positions.iter().map(|&p| p + pose.position).collect();
        Self { overlay, camera, joints }
    }

    fn joint(&self, role: Role) -> DVec3 {
        self.joints[body().joint(role).unwrap()]
    }

    /// How light the picture is where it shows a point, 0 to 255.
    fn light(&self, point: DVec3) -> f64 {
        let [x, y] = self.camera.project(point).map(|v| v.round() as u32);
        let rect = self.overlay.rect;
        let at = (((y - rect.y) * rect.width + (x - rect.x)) * 4) as usize;
        let [green, opacity] = [1, 3].map(|c| f64::from(self.overlay.rgba[at + c]));
        assert!(opacity > 128.0, "the body is at {x}, {y}");
        green / opacity * 255.0
    }
}

/// Pixels of the pictures: somebody fills the picture, or is a hundred pixels tall.
const SIZES: [u32; 2] = [900, 110];

#[test]
fn front_and_back_of_trunk_and_head_differ() {
    for size in SIZES {
        let [front, back] = [0.0, std::f64::consts::PI].map(|turn| Picture::new(size, turn, Style::Overlay));
        for (what, role, up) in [("trunk", Role::Neck, -0.15), ("head", Role::Head, 0.1)] {
            let light = |picture: &Picture| picture.light(picture.joint(role) - DVec3::Y * up);
            let (front, back) = (light(&front), light(&back));
            println!("{size} pixels: {what} {front} in front, {back} behind");
            assert!(back < 0.85 * front, "{size} pixels: {what} {front} in front, {back} behind");
        }
    }
}

#[test]
fn seams_divide_the_parts_of_the_body() {
    let left = Side::Left;
    // From a part of the body over the seam to the next.
    let ways = [
        ("neck", Role::Neck, DVec3::Y * 0.09, Role::Head, DVec3::ZERO),
        (
            "shoulder",
            Role::UpperArm(left),
            DVec3::new(-0.05, 0.01, 0.0),
            Role::LowerArm(left),
            DVec3::new(-0.09, -0.1, 0.0),
        ),
        (
            "elbow",
            Role::LowerArm(left),
            DVec3::new(-0.07, -0.07, 0.0),
            Role::LowerArm(left),
            DVec3::new(0.06, 0.06, 0.0),
        ),
        ("wrist", Role::Hand(left), DVec3::new(-0.06, -0.06, 0.0), Role::Hand(left), DVec3::new(0.04, 0.04, 0.0)),
        ("hip", Role::UpperLeg(left), DVec3::new(-0.03, -0.15, 0.0), Role::UpperLeg(left), DVec3::new(0.03, 0.15, 0.0)),
        ("knee", Role::LowerLeg(left), DVec3::Y * -0.1, Role::LowerLeg(left), DVec3::Y * 0.1),
        ("ankle", Role::Foot(left), DVec3::Y * -0.1, Role::Foot(left), DVec3::Y * 0.04),
    ];
    for size in SIZES {
        let picture = Picture::new(size, 0.0, Style::Overlay);
        let mask = Picture::new(size, 0.0, Style::Mask);
        for (what, from, from_offset, to, to_offset) in ways {
            let (from, to) = (picture.joint(from) + from_offset, picture.joint(to) + to_offset);
            let along: Vec<f64> = (0..=40).map(|i| picture.light(from.lerp(to, f64::from(i) / 40.0))).collect();
            let seam = along.iter().copied().fold(f64::INFINITY, f64::min);
            let [one, other] = [along[0], along[40]];
            println!("{size} pixels: {what} {one}, {seam}, {other}");
            assert!(seam < 0.88 * one.min(other), "{size} pixels: no seam at the {what}: {along:?}");
            assert!(
                what == "neck" || (one / other - 1.0).abs() > 0.03,
                "{size} pixels: the same on both sides of the {what}"
            );
            assert_eq!(mask.light(from.lerp(to, 0.5)), 255.0, "a mask is white all over");
        }
    }
}
