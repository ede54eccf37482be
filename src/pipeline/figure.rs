//! What is drawn over people: skeletons, of bones as thick as their distance asks for, left and right told apart; and labels.

use glam::{DVec3, Vec2};

use crate::body::Camera;
use crate::job::Labels;
use crate::pose::skeleton::*;
use crate::render::{Paint, Sketch, text_width, write_text};

/// Nearest distance that is drawn, metres.
const NEAR: f64 = 0.05;
/// Half the thickness of a bone and the radius of a joint, metres, for somebody of [`LEG`].
const BONE: f64 = 0.017;
const JOINT: f64 = 0.026;
/// From hip to ankle, metres.
const LEG: f64 = 0.8;
/// The dark line round each shape, as a share of the bone, and in pixels at least.
const RIM: f64 = 0.5;
const LEAST_RIM: f64 = 0.9;
/// R'G'B' of the dark line.
const DARK: [f32; 3] = [0.07, 0.07, 0.09];
/// Half the thickness of the bones of somebody far away, as a share of the picture's shorter side.
const THINNEST: f64 = 1.0 / 900.0;

/// Height of letters as a share of the picture's shorter side at most, how many of them are as tall as somebody who stands, and how many pixels
/// they have at least.
const LETTER: f64 = 1.0 / 38.0;
const LETTERS: f64 = 11.0;
const LEAST_LETTER: f64 = 9.0;
/// Angles are written beside people of at least so many pixels.
const LEAST_WITH_ANGLES: f64 = 130.0;
/// Height in metres of somebody of [`LEG`].
const TALL: f64 = 1.7;
/// From the ears to above the head, metres.
const HEAD: f64 = 0.17;
/// Joints that were seen less have no angle written beside them.
const LEAST_SEEN: f32 = 0.3;

/// Where somebody's body points are in one frame.
#[derive(Clone)]
pub struct Figure {
    /// Number of the person.
    pub id: u32,
    /// BlazePose's landmarks that the body has, in the axes of whoever looks, metres; and how well each was seen, 0..=1.
    pub points: [Option<(DVec3, f32)>; LANDMARKS],
    /// R'G'B' in which they are drawn.
    pub color: [f32; 3],
}

/// Which side of the body something is on.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    Left,
    Middle,
    Right,
}

/// A point of the figure in the picture.
#[derive(Clone, Copy)]
struct Spot {
    at: Vec2,
    /// Pixels a metre there.
    scale: f64,
    confidence: f32,
}

impl Figure {
    /// How far it is, metres.
    pub fn distance(&self) -> f64 {
        self.middle(HIPS).map_or(f64::INFINITY, |(point, _)| point.z)
    }

    /// The point between two.
    fn middle(&self, [a, b]: Pair) -> Option<(DVec3, f32)> {
        let ((a, sure_a), (b, sure_b)) = (self.points[a]?, self.points[b]?);
        Some(((a + b) / 2.0, sure_a.min(sure_b)))
    }

    /// How large the person is, against somebody of usual height.
    fn size(&self) -> f64 {
        let leg = |[hip, knee, ankle]: [usize; 3]| {
            let (hip, knee, ankle) = (self.points[hip]?.0, self.points[knee]?.0, self.points[ankle]?.0);
            Some((hip.distance(knee) + knee.distance(ankle)) / LEG)
        };
        leg(LEFT.leg).or_else(|| leg(RIGHT.leg)).unwrap_or(1.0).clamp(0.2, 2.0)
    }

    /// Draws the skeleton as `camera` sees it, into a picture whose shorter side is so many pixels.
    pub fn draw(&self, camera: &Camera, shorter: u32, sketch: &mut Sketch) {
        let size = self.size();
        let spot = |(point, confidence): (DVec3, f32)| {
            let [x, y] = camera.project(point);
            let scale = size * f64::midpoint(camera.focal[0], camera.focal[1]) / point.z;
            (point.z > NEAR).then_some(Spot { at: Vec2::new(x as f32, y as f32), scale, confidence })
        };
        let point = |index: usize| self.points[index].and_then(spot);
        let middle = |pair: Pair| self.middle(pair).and_then(spot);
        let (neck, pelvis, head) = (middle(SHOULDERS), middle(HIPS), middle(EARS));
        let mut bones =
            vec![([pelvis, neck], Where::Middle), ([neck, head], Where::Middle), ([head, point(NOSE)], Where::Middle)];
        let mut joints = vec![(neck, Where::Middle), (pelvis, Where::Middle)];
        for (side, place) in [(RIGHT, Where::Right), (LEFT, Where::Left)] {
            let [[shoulder, elbow, wrist], [hip, knee, ankle]] = [side.arm, side.leg].map(|limb| limb.map(point));
            let [heel, toes] = side.foot.map(point);
            let knuckles = middle(side.knuckles);
            for ends in [[hip, knee], [knee, ankle], [ankle, heel], [heel, toes], [ankle, toes]] {
                bones.push((ends, place));
            }
            for ends in [[neck, shoulder], [shoulder, elbow], [elbow, wrist], [wrist, knuckles], [pelvis, hip]] {
                bones.push((ends, place));
            }
            joints.extend([shoulder, elbow, wrist, hip, knee, ankle].map(|joint| (joint, place)));
        }
        let thinnest = f64::from(shorter) * THINNEST;
        let radius = |spot: &Spot, metres: f64| (metres * spot.scale).max(thinnest * metres / BONE);
        let lines: Vec<_> = bones.into_iter().filter_map(|([a, b], place)| Some(([a?, b?], place))).collect();
        let joints: Vec<_> = joints.into_iter().filter_map(|(joint, place)| Some((joint?, place))).collect();
        // All dark lines first, so that none crosses a bone.
        for is_rim in [true, false] {
            let grown = |spot: &Spot, metres: f64| {
                let plain = radius(spot, metres);
                let rim = (RIM * radius(spot, BONE)).max(LEAST_RIM);
                (if is_rim { plain + rim } else { plain }) as f32
            };
            let paint = |place: Where, confidence: f32, is_joint: bool| match is_rim {
                true => Paint { color: DARK, opacity: 0.3 + 0.5 * confidence },
                false => self.paint(place, confidence, is_joint),
            };
            for ([a, b], place) in &lines {
                let paint = paint(*place, a.confidence.min(b.confidence), false);
                sketch.line([a.at, b.at], [grown(a, BONE), grown(b, BONE)], paint);
            }
            for (joint, place) in &joints {
                sketch.disc(joint.at, grown(joint, JOINT), paint(*place, joint.confidence, true));
            }
        }
    }

    /// Writes the person's id above the head, and angles beside elbows and knees, as `camera` sees them.
    pub fn label(&self, camera: &Camera, shorter: u32, labels: Labels, sketch: &mut Sketch) {
        if labels == Labels::None {
            return;
        }
        let pixel = |point: DVec3| {
            let [x, y] = camera.project(point);
            (point.z > NEAR).then_some(Vec2::new(x as f32, y as f32))
        };
        // Small people have small letters, and none where they could not be read.
        let Some((hips, _)) = self.middle(HIPS) else { return };
        let tall = self.size() * TALL * camera.focal[1] / hips.z.max(NEAR);
        let height = (tall / LETTERS).min(f64::from(shorter) * LETTER).max(LEAST_LETTER) as f32;
        let light = Paint::solid(self.color.map(|v| v + (1.0 - v) * 0.75));
        let dark = Paint { color: DARK, opacity: 0.85 };
        // Above the ears by as much as a head and half a letter.
        if let Some((ears, _)) = self.middle(EARS)
            && let Some(at) = pixel(ears)
        {
            let head = HEAD * self.size() * camera.focal[1] / ears.z;
            let at = Vec2::new(at.x, at.y - head as f32 - height);
            write_text(sketch, &self.id.to_string(), at, height, light, dark);
        }
        if labels != Labels::Angles || tall < LEAST_WITH_ANGLES {
            return;
        }
        for [joints, others] in
            [[RIGHT.arm, LEFT.arm], [LEFT.arm, RIGHT.arm], [RIGHT.leg, LEFT.leg], [LEFT.leg, RIGHT.leg]]
        {
            let [Some(a), Some(b), Some(c)] = joints.map(|joint| self.points[joint]) else { continue };
            let angle = (a.0 - b.0).angle_between(c.0 - b.0).to_degrees();
            let (true, Some(at)) = (angle.is_finite() && b.1 >= LEAST_SEEN, pixel(b.0)) else { continue };
            let text = format!("{angle:.0}°");
            let small = height * 0.7;
            // Away from the other side's, so that the two do not cover each other.
            let other = self.points[others[1]].and_then(|(other, _)| pixel(other));
            let outwards = other.map_or(1.0, |other| if at.x < other.x { -1.0 } else { 1.0 });
            let aside = text_width(&text, small) / 2.0 + small * 0.6;
            write_text(sketch, &text, at + Vec2::new(outwards * aside, 0.0), small, light, dark);
        }
    }

    /// Left is light, right dark, the middle nearly white; what was hardly seen is paler.
    fn paint(&self, place: Where, confidence: f32, is_joint: bool) -> Paint {
        let mix = |color: [f32; 3], other: f32, share: f32| color.map(|v| v + (other - v) * share);
        let color = match place {
            Where::Left => mix(self.color, 1.0, 0.6),
            Where::Middle => mix(self.color, 1.0, 0.85),
            Where::Right => mix(self.color, 0.0, 0.32),
        };
        let color = if is_joint { mix(color, 1.0, 0.35) } else { color };
        let unsure = 1.0 - confidence.clamp(0.0, 1.0);
        Paint { color: mix(color, 0.85, 0.7 * unsure), opacity: 1.0 - 0.5 * unsure }
    }
}
