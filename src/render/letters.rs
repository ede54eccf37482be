//! Numbers in pictures: a few letters made of lines with round ends.

use glam::Vec2;

use super::{Paint, Sketch};

/// Half the thickness of lines, as a share of a letter's height.
const PEN: f32 = 0.075;
/// How much thicker the dark line behind is, as a share of a letter's height.
const RIM: f32 = 0.075;
/// From one letter to the next, as a share of a letter's height, beyond the letter's own width.
const SPACE: f32 = 0.3;

/// The lines of a letter, from corner to corner, in a box one unit high, y down; and how wide it is.
fn strokes(letter: char) -> (Vec<Vec<[f32; 2]>>, f32) {
    let wide = 0.56;
    let strokes = match letter {
        '0' => vec![ring([0.28, 0.5], [0.28, 0.5])],
        '1' => return (vec![vec![[0.0, 0.2], [0.22, 0.0], [0.22, 1.0]]], 0.3),
        '2' => vec![[arc([0.28, 0.28], [0.27, 0.28], -0.25, 0.35), vec![[0.0, 1.0], [0.56, 1.0]]].concat()],
        '3' => vec![[arc([0.27, 0.25], [0.26, 0.25], -0.2, 0.5), arc([0.27, 0.74], [0.29, 0.26], 0.0, 0.7)].concat()],
        '4' => vec![vec![[0.42, 1.0], [0.42, 0.0], [0.0, 0.68], [0.56, 0.68]]],
        '5' => {
            vec![[vec![[0.52, 0.0], [0.09, 0.0], [0.05, 0.46]], arc([0.26, 0.67], [0.3, 0.33], -0.08, 0.68)].concat()]
        }
        '6' => vec![ring([0.28, 0.69], [0.28, 0.31]), vec![[0.46, 0.0], [0.19, 0.3], [0.03, 0.6]]],
        '7' => vec![vec![[0.0, 0.0], [0.56, 0.0], [0.2, 1.0]]],
        '8' => vec![ring([0.28, 0.25], [0.24, 0.25]), ring([0.28, 0.74], [0.28, 0.26])],
        '9' => vec![ring([0.28, 0.31], [0.28, 0.31]), vec![[0.53, 0.4], [0.37, 0.7], [0.1, 1.0]]],
        '°' => return (vec![ring([0.15, 0.15], [0.15, 0.15])], 0.3),
        _ => Vec::new(),
    };
    (strokes, wide)
}

/// Part of an ellipse, clockwise, in rounds from its top.
fn arc(center: [f32; 2], radii: [f32; 2], from: f32, to: f32) -> Vec<[f32; 2]> {
    let steps = ((to - from) * 20.0).ceil().max(1.0) as usize;
    let point = |i: usize| {
        let (sin, cos) = (std::f32::consts::TAU * (from + (to - from) * i as f32 / steps as f32)).sin_cos();
        [center[0] + radii[0] * sin, center[1] - radii[1] * cos]
    };
    (0..=steps).map(point).collect()
}

/// The whole of it.
fn ring(center: [f32; 2], radii: [f32; 2]) -> Vec<[f32; 2]> {
    arc(center, radii, 0.0, 1.0)
}

/// How wide a text of this height is, pixels.
pub fn text_width(text: &str, height: f32) -> f32 {
    let widths: f32 = text.chars().map(|letter| strokes(letter).1 + SPACE).sum();
    (widths - SPACE).max(0.0) * height
}

/// Writes digits and degrees, centred at a place, in letters of this height (pixels), with a dark line round them.
pub fn write_text(sketch: &mut Sketch, text: &str, center: Vec2, height: f32, paint: Paint, rim: Paint) {
    let begin = center - Vec2::new(text_width(text, height), height) / 2.0;
    for (pen, paint) in [(PEN + RIM, rim), (PEN, paint)] {
        let mut at = begin;
        for letter in text.chars() {
            let (lines, width) = strokes(letter);
            for line in lines {
                for ends in line.windows(2) {
                    let ends = [ends[0], ends[1]].map(|corner| at + Vec2::from(corner) * height);
                    sketch.line(ends, [pen * height; 2], paint);
                }
            }
            at.x += (width + SPACE) * height;
        }
    }
}
