//! From where people are drawn: as they were filmed, and from the side, from above or from all around.

use std::f64::consts::TAU;

use glam::{DAffine3, DMat3, DQuat, DVec3, Vec2};

use crate::body::{Camera, World};
use crate::geometry::Geometry;
use crate::job::View;
use crate::render::{Paint, Sketch};

/// Seconds in which a turntable goes round once.
const ROUND: f64 = 8.0;
/// How far above the horizontal it looks from, radians.
const ELEVATION: f64 = 0.26;
/// Share of points at either end of each axis that are left out of what a view shows: a depth that was measured wrong once would make
/// everybody small.
const OUTLIERS: f64 = 0.005;
/// Metres that are shown round the body points: there is flesh on them.
const MARGIN: f64 = 0.2;
/// Least extent, metres, so that somebody who stands still does not fill the picture.
const LEAST: f64 = 1.0;
/// Distance of the view's camera in extents of what it shows: far enough that lengths can be compared.
const FAR: f64 = 10.0;
const NEAR: f64 = 3.0;
/// Points round a drum.
const RIM: u32 = 64;
/// Half the thickness of the floor's lines, as a share of the picture's height, and their R'G'B'.
const LINE: f32 = 1.0 / 1300.0;
const LINE_COLOR: [f32; 3] = [0.36, 0.38, 0.42];
/// Most lines of the floor in either direction.
const MOST_LINES: f64 = 60.0;

/// From where and into which picture a frame's people are drawn.
#[derive(Debug, Clone)]
pub struct Shot {
    /// What sees them.
    pub camera: Camera,
    /// From the axes of the camera that filmed them to those of this one.
    pub from_filmed: DAffine3,
    /// Up in the axes of the camera that filmed, where people are raised so that they stand on the floor; zero where they are not.
    pub up: DVec3,
    /// Of the picture.
    pub geometry: Geometry,
}

impl Shot {
    /// As they were filmed.
    pub fn original(camera: Camera, geometry: Geometry) -> Self {
        Self { camera, from_filmed: DAffine3::IDENTITY, up: DVec3::ZERO, geometry }
    }

    /// A joint's 3 x 4 matrix, row by row, in the axes of this camera, of somebody who is `raised` by so much before.
    pub fn place(&self, joint: &[f32; 12], raised: DVec3) -> [f32; 12] {
        if self.from_filmed == DAffine3::IDENTITY {
            return *joint;
        }
        let column = |c: usize| DVec3::new(joint[c].into(), joint[4 + c].into(), joint[8 + c].into());
        let turn = |c: usize| self.from_filmed.transform_vector3(column(c));
        let columns = [turn(0), turn(1), turn(2), self.from_filmed.transform_point3(column(3) + raised)];
        std::array::from_fn(|i| columns[i % 4][i / 4] as f32)
    }
}

/// Where the people of a clip are in the world, metres.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    to_world: DAffine3,
    /// Where the camera that filmed looks, horizontally.
    ahead: DVec3,
    low: DVec3,
    high: DVec3,
    has_floor: bool,
}

impl Extent {
    /// Of these points in camera axes.
    pub fn new(points: &[DVec3], world: &World) -> Self {
        let to_world = world.from_camera();
        let has_floor = world.floor.is_some();
        let (mut low, mut high) = (DVec3::ZERO, DVec3::ZERO);
        for axis in 0..3 {
            let mut along: Vec<f64> = points.iter().map(|p| to_world.transform_point3(*p)[axis]).collect();
            if along.is_empty() {
                continue;
            }
            along.sort_unstable_by(f64::total_cmp);
            let left_out = (along.len() as f64 * OUTLIERS) as usize;
            let [first, last] = [along[left_out], along[along.len() - 1 - left_out]];
            let more = MARGIN.max((LEAST - (last - first)) / 2.0);
            (low[axis], high[axis]) = (first - more, last + more);
        }
        if has_floor {
            low.y = low.y.min(-MARGIN);
        }
        let level = |direction: DVec3| DVec3::new(direction.x, 0.0, direction.z).try_normalize();
        // A camera that looks straight down sees ahead what is at the top of its picture.
        let ahead = level(to_world.matrix3 * DVec3::Z).or_else(|| level(to_world.matrix3 * DVec3::NEG_Y));
        Self { to_world, ahead: ahead.unwrap_or(DVec3::NEG_Z), low, high, has_floor }
    }

    /// A view of them at some time (seconds) of the clip.
    pub fn shot(&self, view: View, time: f64, geometry: Geometry) -> Shot {
        let (ahead, up) = (self.ahead, DVec3::Y);
        let half = (self.high - self.low) / 2.0;
        // Right, down and away of the view's camera; how far away it is; and a frame round what it shows, from its middle.
        let (axes, far, frame) = match view {
            View::Side => ([ahead, -up, up.cross(ahead)], FAR, corners(half)),
            View::Top => ([ahead.cross(up), -ahead, -up], FAR, corners(half)),
            View::Turntable => {
                let level = DQuat::from_axis_angle(up, TAU * time / ROUND) * ahead;
                let away = level * ELEVATION.cos() - up * ELEVATION.sin();
                let right = level.cross(up);
                ([right, away.cross(right), away], NEAR, drum(half))
            }
        };
        let rotation = DMat3::from_cols(axes[0], axes[1], axes[2]).transpose();
        let distance = far * frame.iter().map(|point| point.length()).fold(0.0, f64::max);
        let [width, height] = geometry.display.map(f64::from);
        let fits = |point: &DVec3| {
            let seen = rotation * *point;
            let z = seen.z + distance;
            (width * z / (2.0 * seen.x.abs())).min(height * z / (2.0 * seen.y.abs()))
        };
        let focal = frame.iter().map(fits).fold(f64::INFINITY, f64::min);
        let translation = DVec3::Z * distance - rotation * self.low.midpoint(self.high);
        Shot {
            camera: Camera { focal: [focal; 2], center: [(width - 1.0) / 2.0, (height - 1.0) / 2.0] },
            from_filmed: DAffine3 { matrix3: rotation, translation } * self.to_world,
            up: self.to_world.matrix3.transpose() * DVec3::Y,
            geometry,
        }
    }

    /// The floor's grid as a shot of a view sees it, a line every metre, or every few where people walk far; nothing where the floor is
    /// not known.
    pub fn grid(&self, shot: &Shot) -> Sketch {
        let mut sketch = Sketch::default();
        if !self.has_floor {
            return sketch;
        }
        let from_world = shot.from_filmed * self.to_world.inverse();
        let half = (self.high - self.low) / 2.0;
        let middle = self.low.midpoint(self.high);
        // A square as large as whatever is shown.
        let side = half.max_element() * 2.0;
        let step = (side * 2.0 / MOST_LINES).ceil().max(1.0);
        let low = [middle.x - side, middle.z - side].map(|v| (v / step).floor() * step);
        let count = (side * 2.0 / step).ceil() as usize + 1;
        let long = step * count as f64;
        let radius = (shot.geometry.display[1] as f32 * LINE).max(0.5);
        for i in 0..=count {
            let at = step * i as f64;
            for ends in [
                [DVec3::new(low[0] + at, 0.0, low[1]), DVec3::new(low[0] + at, 0.0, low[1] + long)],
                [DVec3::new(low[0], 0.0, low[1] + at), DVec3::new(low[0] + long, 0.0, low[1] + at)],
            ] {
                let ends = ends.map(|end| from_world.transform_point3(end));
                if ends.iter().all(|end| end.z > 0.1) {
                    let pixels = ends.map(|end| Vec2::from_array(shot.camera.project(end).map(|v| v as f32)));
                    sketch.line(pixels, [radius; 2], Paint::solid(LINE_COLOR));
                }
            }
        }
        sketch
    }
}

/// Corners of a box of these half sides.
fn corners(half: DVec3) -> Vec<DVec3> {
    (0..8)
        .map(|i| half * DVec3::from_array([0, 1, 2].map(|axis| if i >> axis & 1 == 0 { -1.0 } else { 1.0 })))
        .collect()
}

/// Points on the rims of an upright drum round such a box: it looks the same from all around.
fn drum(half: DVec3) -> Vec<DVec3> {
    let radius = half.x.hypot(half.z);
    let rim = (0..RIM).map(|i| DQuat::from_rotation_y(TAU * f64::from(i) / f64::from(RIM)) * DVec3::X * radius);
    rim.flat_map(|point| [point - DVec3::Y * half.y, point + DVec3::Y * half.y]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::UpSource;
    use crate::geometry::Orientation;

    /// A camera 1.5 m above the floor that looks 20 degrees down, and somebody 1.8 m tall 5 m ahead of it who walks from left to right.
    fn walker() -> (World, Vec<DVec3>) {
        let up = World::up_of_camera(20.0, 0.0);
        let world = World { up, floor: Some(1.5), source: UpSource::User, sigma_deg: None };
        let to_camera = world.from_camera().inverse();
        let points = (0..100).flat_map(|i| [0.0, 1.8].map(|y| DVec3::new(f64::from(i) * 0.04 - 2.0, y, -5.0)));
        (world, points.map(|p| to_camera.transform_point3(p)).collect())
    }

    fn seen(view: View, time: f64) -> (Vec<[f64; 2]>, Shot) {
        let (world, points) = walker();
        let geometry = Geometry::new([400, 300], 1.0, Orientation::default());
        let shot = Extent::new(&points, &world).shot(view, time, geometry);
        let project = |p: &DVec3| shot.camera.project(shot.from_filmed.transform_point3(*p));
        (points.iter().map(project).collect(), shot)
    }

    #[test]
    fn all_of_it_is_in_every_view_at_any_time() {
        for view in [View::Side, View::Top, View::Turntable] {
            for time in [0.0, 1.0, 3.3, 6.0] {
                let (pixels, _) = seen(view, time);
                assert!(pixels.iter().all(|[x, y]| (0.0..400.0).contains(x) && (0.0..300.0).contains(y)), "{view:?}");
            }
        }
    }

    #[test]
    fn views_are_along_the_axes_of_the_world() {
        // From the side they do not move, the head is above the feet.
        let (side, _) = seen(View::Side, 0.0);
        let (first, last) = (side[0], side[198]);
        assert!((first[0] - last[0]).abs() < 8.0, "{first:?} {last:?}");
        assert!(side[1][1] < side[0][1] - 100.0 && (side[1][0] - side[0][0]).abs() < 1.0);
        // From above they walk to the right, and the head is over the feet.
        let (top, _) = seen(View::Top, 0.0);
        assert!(top[198][0] > top[0][0] + 200.0 && (top[198][1] - top[0][1]).abs() < 1.0);
        // A turntable begins where the camera is, and is behind it after half a round.
        let (begin, _) = seen(View::Turntable, 0.0);
        let (behind, _) = seen(View::Turntable, ROUND / 2.0);
        assert!(begin[198][0] > begin[0][0] + 100.0 && behind[198][0] < behind[0][0] - 100.0);
    }

    #[test]
    fn the_floor_is_drawn_where_it_is_known() {
        let (world, points) = walker();
        let geometry = Geometry::new([400, 300], 1.0, Orientation::default());
        for (world, is_empty) in [(world, false), (World::UNKNOWN, true)] {
            let extent = Extent::new(&points, &world);
            assert_eq!(extent.grid(&extent.shot(View::Top, 0.0, geometry)).is_empty(), is_empty);
        }
        // Nobody in the clip.
        Extent::new(&[], &World::UNKNOWN).shot(View::Side, 0.0, geometry);
    }
}
