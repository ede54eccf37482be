//! The expensive steps one by one, on a frame of the sample clip: networks (one picture and several at a time; on a GPU where
//! ONNX Runtime has one), preparing a body, drawing it, blending, following the camera.
//!
//! `cargo bench`, or `cargo bench -- landmarks` for some. What the whole makes of it: `make bench`.
#![allow(clippy::unwrap_used, missing_docs)] // a bench fails by panicking; criterion writes functions without comments

use meshreel::models::Network;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meshreel::body::{Body, Camera};
use meshreel::geometry::Geometry;
use meshreel::media::{Color, Decoder, Frame, VideoInfo};
use meshreel::models::Models;
use meshreel::pipeline::runtime_library;
use meshreel::pose::{
    Device, Landmarker, PersonDetector, Picture, RegionDetector, RotatedRegion, Runtime, Tile, Window,
};
use meshreel::render::{self, Mesh, MeshData, Person, RenderThread, Scene, Shape, Style};
use meshreel::track::Stabilizer;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A frame of the sample clip with two people in it.
struct Sample {
    frame: Frame,
    info: VideoInfo,
}

impl Sample {
    fn new() -> Self {
        meshreel::media::init();
        let mut decoder = Decoder::open(root().join("fixtures/media/demo.mp4"), 0).expect("run `make setup`");
        let frame = (0..61).map(|_| decoder.next().unwrap().unwrap()).last().unwrap();
        Self { frame, info: decoder.info().clone() }
    }

    fn geometry(&self) -> &Geometry {
        &self.info.geometry
    }

    fn color(&self) -> Color {
        self.info.color
    }

    fn picture(&self) -> Picture<'_> {
        Picture { frame: &self.frame, geometry: self.geometry(), color: self.color() }
    }
}

fn models() -> Models {
    Models::find(&PathBuf::new())
}

fn networks(c: &mut Criterion) {
    let sample = Sample::new();
    let picture = sample.picture();
    let models = models();
    let library = runtime_library(&meshreel::config::Config::default(), &models);
    let runtime = Runtime::load(&library, Device::Auto).unwrap();
    let device = format!("{:?}", runtime.device()).to_lowercase();

    let display = sample.geometry().display;
    let mut person_detector = PersonDetector::new(&runtime, &models.person_detector()).unwrap();
    for (name, is_coarse) in [("whole", false), ("coarse", true)] {
        let tile = Tile { is_coarse, ..Tile::whole(display) };
        c.bench_function(&format!("person detector {name} ({device})"), |b| {
            b.iter(|| person_detector.detect(&picture, tile).unwrap())
        });
    }
    let mut region_detector = RegionDetector::new(&runtime, &models.region_detector()).unwrap();
    let window = Window { x: 1100.0, y: 400.0, side: 590.0 };
    c.bench_function(&format!("region detector ({device})"), |b| {
        b.iter(|| region_detector.detect(&picture, window).unwrap())
    });

    let region = RotatedRegion { center: (1400.0, 740.0).into(), side: 560.0, rotation: 0.1 };
    for network in [Network::Lite, Network::Full, Network::Heavy] {
        let mut group = c.benchmark_group(format!("landmarks {network:?} ({device})").to_lowercase());
        for count in [1, 2, 4, 8, 16] {
            let mut landmarker = Landmarker::new(&runtime, &models.landmarker(network), count).unwrap();
            let spots = vec![(picture, region.into()); count];
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| landmarker.landmarks(&spots).unwrap());
            });
        }
    }
}

/// An average adult three metres away, as the body stands at rest.
struct Model {
    mesh: Mesh,
    shape: Shape,
    joints: Vec<[f32; 12]>,
    confidence: Vec<f32>,
}

impl Model {
    fn new() -> Self {
        let body = Body::load(&models().body()).unwrap();
        let mesh = Mesh::new(MeshData::from(&body)).unwrap();
        let shape = Shape::new(&mesh, &body.shaped_vertices(&[0.0; 10])).unwrap();
        let place = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0];
        Self { mesh, shape, joints: vec![place; body.joint_count()], confidence: vec![1.0; body.joint_count()] }
    }

    fn scene(&self, geometry: &Geometry) -> Scene {
        let person = Person {
            shape: &self.shape,
            bend: None,
            joints: &self.joints,
            confidence: &self.confidence,
            color: [0.9, 0.5, 0.3],
        };
        Scene::build(&self.mesh, &[person], &Camera::guess(geometry.display), geometry, Style::Overlay).unwrap()
    }
}

fn drawing(c: &mut Criterion) {
    let sample = Sample::new();
    let model = Model::new();
    let thread = RenderThread::start().unwrap();
    let renderer = thread.renderer();
    let name = &thread.description().renderer;

    c.bench_function("scene of one person", |b| b.iter(|| model.scene(sample.geometry())));
    c.bench_function(&format!("draw one person ({name})"), |b| {
        b.iter_batched(
            || model.scene(sample.geometry()),
            |scene| renderer.request(scene).unwrap().wait().unwrap(),
            BatchSize::PerIteration,
        );
    });
    c.bench_function(&format!("draw four frames of one person ({name})"), |b| {
        b.iter_batched(
            || [0; 4].map(|_| model.scene(sample.geometry())),
            |scenes| scenes.map(|scene| renderer.request(scene).unwrap()).map(|pending| pending.wait().unwrap()),
            BatchSize::PerIteration,
        );
    });
    let overlay = renderer.request(model.scene(sample.geometry())).unwrap().wait().unwrap().overlay;
    let Sample { mut frame, info } = sample;
    c.bench_function("blend one person", |b| b.iter(|| render::blend(&mut frame, &overlay, [0; 2], info.color)));
}

fn following(c: &mut Criterion) {
    let sample = Sample::new();
    let mut stabilizer = Stabilizer::default();
    c.bench_function("follow the camera", |b| b.iter(|| stabilizer.follow(&sample.picture())));
}

criterion_group!(kernels, networks, drawing, following);
criterion_main!(kernels);
