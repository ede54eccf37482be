//! Flat drawings over the bodies or under them: lines, discs, polygons. Places and lengths are in displayed pixels.
//!
//! Edges are smoothed like those of bodies: a shape is drawn half a pixel smaller, with a fringe one pixel wide round it, whose coverage
//! falls from one to zero.

use glam::{DAffine2, Vec2};

use super::scene::Vertex;
use super::tone::PLAIN;
use crate::geometry::Geometry;

/// Thinner lines are drawn this thick (half the thickness, pixels), and fainter instead.
const THINNEST: f32 = 0.5;

/// How a shape is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paint {
    /// R'G'B' in 0..=1.
    pub color: [f32; 3],
    /// 0 (invisible) to 1.
    pub opacity: f32,
}

impl Paint {
    /// Opaque.
    pub fn solid(color: [f32; 3]) -> Self {
        Self { color, opacity: 1.0 }
    }

    fn vertex(self, at: Vec2, coverage: f32) -> Corner {
        Corner { at, paint: self, coverage }
    }
}

#[derive(Clone, Copy)]
struct Corner {
    at: Vec2,
    paint: Paint,
    coverage: f32,
}

/// Shapes in the order in which they are drawn, the last on top.
#[derive(Default)]
pub struct Sketch {
    corners: Vec<Corner>,
    triangles: Vec<[u32; 3]>,
}

impl Sketch {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.triangles.is_empty()
    }

    /// A line with round ends; `radii`: half its thickness at either end.
    pub fn line(&mut self, ends: [Vec2; 2], radii: [f32; 2], paint: Paint) {
        let [a, b] = ends;
        if !(a.is_finite() && b.is_finite() && radii.iter().all(|r| r.is_finite() && *r > 0.0)) {
            return;
        }
        let along = (b - a).normalize_or(Vec2::X);
        let steps = (radii[0].max(radii[1]).sqrt() * 3.0).ceil().clamp(3.0, 24.0) as usize;
        let half_turn = |center: Vec2, radius: f32, from: Vec2| {
            (0..=steps).map(move |i| {
                let turn = Vec2::from_angle(std::f32::consts::PI * i as f32 / steps as f32);
                (center, turn.rotate(from), radius)
            })
        };
        // Round the far end, then round the near one.
        let outline: Vec<_> =
            half_turn(b, radii[1], -along.perp()).chain(half_turn(a, radii[0], along.perp())).collect();
        self.rounded(&outline, paint);
    }

    /// A filled circle.
    pub fn disc(&mut self, center: Vec2, radius: f32, paint: Paint) {
        self.line([center; 2], [radius; 2], paint);
    }

    /// A polygon whose every corner lies `radius` from some centre in some direction, as circles and lines with round ends do.
    fn rounded(&mut self, outline: &[(Vec2, Vec2, f32)], paint: Paint) {
        let first = self.corners.len() as u32;
        for &(center, out, radius) in outline {
            let drawn = radius.max(THINNEST);
            let paint = Paint { opacity: paint.opacity * (radius / drawn), ..paint };
            self.corners.push(paint.vertex(center + out * (drawn - 0.5), 1.0));
            self.corners.push(paint.vertex(center + out * (drawn + 0.5), 0.0));
        }
        let count = outline.len() as u32;
        let inner = |i: u32| first + 2 * (i % count);
        for i in 1..count - 1 {
            self.triangles.push([inner(0), inner(i), inner(i + 1)]);
        }
        for i in 0..count {
            let (a, b) = (inner(i), inner(i + 1));
            self.triangles.extend([[a, b, b + 1], [a, b + 1, a + 1]]);
        }
    }

    /// As OpenGL takes it: vertices in coded pixels, triangles of them; numbers of vertices begin at `first`.
    pub(super) fn coded(&self, geometry: &Geometry, first: u32) -> (Vec<Vertex>, Vec<[u32; 3]>) {
        let map: DAffine2 = geometry.to_coded;
        let vertex = |corner: &Corner| {
            let at = map.transform_point2(corner.at.as_dvec2());
            let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
            let [r, g, b] = corner.paint.color.map(byte);
            let opacity = (corner.paint.opacity.clamp(0.0, 1.0) * 32767.0) as i16;
            Vertex {
                place: [at.x as f32, at.y as f32, 1.0],
                normal: [0, 0, 0, opacity],
                color: [r, g, b, byte(corner.coverage)],
                tone: PLAIN,
            }
        };
        let triangles = self.triangles.iter().map(|triangle| triangle.map(|v| first + v));
        (self.corners.iter().map(vertex).collect(), triangles.collect())
    }
}
