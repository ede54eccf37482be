//! Pictures that tests paint, and the people in them.

use meshreel::geometry::{Geometry, Orientation};
use meshreel::media::{Color, Frame, Layout, Matrix, Range};
use meshreel::pose::{LANDMARKS, Landmark, Landmarks, Picture};
use serde_json::Value;

use crate::{CASES, read};

pub const COLOR: Color = Color { matrix: Matrix::Bt709, range: Range::Full };
const LAYOUT: Layout = Layout { depth: 8, chroma_shift_x: 0, chroma_shift_y: 0 };

/// Colours of 0..=1, row by row.
pub struct Canvas {
    size: [u32; 2],
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    pub fn new(size: [u32; 2], colour: [f32; 3]) -> Self {
        Self { size, pixels: vec![colour; (size[0] * size[1]) as usize] }
    }

    /// A disc with a soft edge.
    pub fn disc(&mut self, [x, y]: [f32; 2], radius: f32, colour: [f32; 3]) {
        let columns = self.size[0] as usize;
        for (at, pixel) in self.pixels.iter_mut().enumerate() {
            let away = ((at % columns) as f32 - x).hypot((at / columns) as f32 - y);
            let share = ((radius - away) / (0.5 * radius) + 0.5).clamp(0.0, 1.0);
            *pixel = std::array::from_fn(|i| pixel[i] + share * (colour[i] - pixel[i]));
        }
    }

    /// Whole pixels from the first edge to the last.
    pub fn rectangle(&mut self, [left, top, right, bottom]: [usize; 4], colour: [f32; 3]) {
        for row in self.pixels.chunks_mut(self.size[0] as usize).take(bottom).skip(top) {
            row[left..right].fill(colour);
        }
    }

    pub fn frame(&self) -> Frame {
        let rows = COLOR.rgb_to_yuv(8);
        let sample =
            |row: &[f32; 4], [r, g, b]: [f32; 3]| (row[0] * r + row[1] * g + row[2] * b + row[3]).round() as u8;
        let planes: Vec<u8> =
            rows.iter().flat_map(|row| self.pixels.iter().map(|&colour| sample(row, colour))).collect();
        Frame::from_planes(self.size, LAYOUT, &planes, 0, 0.0).unwrap()
    }
}

/// Somebody in a picture of their own.
pub struct Person {
    pub a: [f64; 2],
    pub b: [f64; 2],
    pub landmarks: Landmarks,
    frame: Frame,
    geometry: Geometry,
}

impl Person {
    fn new(about: &Value, display: [u32; 2], is_marked: bool) -> Self {
        let [a, b, c]: [[f64; 2]; 3] = ["a", "b", "c"].map(|name| read(about, name));
        let mut canvas = Canvas::new(display, [0.35, 0.4, 0.3]);
        let radius: f32 = read(about, "radius");
        let colours = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, read(about, "green"), 1.0]];
        for (at, colour) in [a, b, c].into_iter().zip(colours).filter(|_| is_marked) {
            canvas.disc(at.map(|v| v as f32), radius, colour);
        }
        let (pixels, world): (Vec<[f32; 2]>, Vec<[f32; 3]>) = (read(about, "landmarks"), read(about, "world"));
        let points = std::array::from_fn(|i: usize| {
            let [x, y] = pixels[i];
            Landmark { x, y, z: 0.0, visibility: 1.0, presence: 1.0 }
        });
        let world: [[f32; 3]; LANDMARKS] = world.try_into().unwrap();
        let landmarks = Landmarks { score: 1.0, points, circle: [pixels[23], pixels[0]], world, hands: [None, None] };
        Self { a, b, landmarks, frame: canvas.frame(), geometry: geometry(display) }
    }

    /// Those of the cases.
    pub fn all() -> Vec<Self> {
        let display = read(&CASES, "display");
        CASES["people"].as_array().unwrap().iter().map(|about| Self::new(about, display, true)).collect()
    }

    /// The first of them, without the marks.
    pub fn unmarked() -> Self {
        Self::new(&CASES["people"][0], read(&CASES, "display"), false)
    }

    pub fn picture(&self) -> Picture<'_> {
        Picture { frame: &self.frame, geometry: &self.geometry, color: COLOR }
    }

    /// For [`meshreel::pose::Worker::look`].
    pub fn shown(&self) -> (Picture<'_>, &Landmarks) {
        (self.picture(), &self.landmarks)
    }
}

pub fn geometry(size: [u32; 2]) -> Geometry {
    Geometry::new(size, 1.0, Orientation::default())
}
