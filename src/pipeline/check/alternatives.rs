//! Other readings of a network's outputs: what a description may have got wrong, one thing at a time.

use crate::models::NetworkDescription;
use crate::models::description::{
    BoxFormat, CamFormat, Colors, Fit, KeyPointFormat, Lengths, PointSet, Points, RotationFormat, ScoreFormat, Units,
};

/// The same description with one thing changed, and what that is, as the user would write it. `are_probabilities`: all scores are from 0 to 1.
pub fn of(description: &NetworkDescription, are_probabilities: bool) -> Vec<(String, NetworkDescription)> {
    let mut all = Vec::new();
    let mut add = |said: &str, change: &dyn Fn(&mut NetworkDescription)| {
        let mut other = description.clone();
        change(&mut other);
        if other != *description {
            all.push((format!("`{said}`"), other));
        }
    };
    for (said, units) in
        [("pixels", Units::Pixels), ("unit", Units::Unit), ("centered", Units::Centered), ("half", Units::Half)]
    {
        let said = format!("units = \"{said}\"");
        add(&said, &|other| {
            let coordinates = other.outputs.keypoints2d.as_mut();
            let mut coordinates = coordinates.filter(|points| points.format == KeyPointFormat::Coordinates);
            coordinates.iter_mut().for_each(|points| points.units = units);
        });
        if matches!(units, Units::Pixels | Units::Unit) {
            add(&said, &|other| other.outputs.boxes.iter_mut().for_each(|boxes| boxes.units = units));
        }
    }
    for (said, set) in
        [("coco17", PointSet::Coco17), ("coco133", PointSet::Coco133), ("blazepose33", PointSet::BlazePose33)]
    {
        add(&format!("points = \"{said}\""), &|other| {
            other.outputs.keypoints2d.iter_mut().for_each(|points| points.points = Points::Set(set));
        });
    }
    for (said, format) in [
        ("matrices", RotationFormat::Matrices),
        ("axis-angle", RotationFormat::AxisAngle),
        ("6d", RotationFormat::Columns),
        ("6d-interleaved", RotationFormat::Interleaved),
        ("6d-rows", RotationFormat::Rows),
    ] {
        add(&format!("[outputs.pose] format = \"{said}\""), &|other| {
            other.outputs.pose.iter_mut().for_each(|pose| pose.format = format);
        });
    }
    for (said, format) in [("weak-perspective", CamFormat::WeakPerspective), ("translation", CamFormat::Translation)] {
        add(&format!("[outputs.cam] format = \"{said}\""), &|other| {
            other.outputs.cam.iter_mut().for_each(|cam| cam.format = format);
        });
    }
    for (said, units) in [("metres", Lengths::Metres), ("millimetres", Lengths::Millimetres)] {
        add(&format!("[outputs.vertices] units = \"{said}\""), &|other| {
            other.outputs.vertices.iter_mut().for_each(|vertices| vertices.units = units);
        });
    }
    for (said, format) in [("xyxy", BoxFormat::Xyxy), ("cxcywh", BoxFormat::Cxcywh)] {
        add(&format!("[outputs.boxes] format = \"{said}\""), &|other| {
            other.outputs.boxes.iter_mut().for_each(|boxes| boxes.format = format);
        });
    }
    let scores = match are_probabilities {
        true => ("probability", ScoreFormat::Probability),
        false => ("logits", ScoreFormat::Logits),
    };
    let (said, format) = scores;
    for key in ["scores", "confidence"] {
        add(&format!("[outputs.{key}] format = \"{said}\""), &|other| {
            let outputs = &mut other.outputs;
            let scores = if key == "scores" { &mut outputs.scores } else { &mut outputs.confidence };
            scores.iter_mut().for_each(|scores| scores.format = format);
        });
    }
    for (said, fit) in [("letterbox", Fit::Letterbox), ("stretch", Fit::Stretch)] {
        add(&format!("[detect] fit = \"{said}\""), &|other| {
            if other.outputs.boxes.is_some() {
                other.detect.fit = fit;
            }
        });
    }
    for (said, colors) in [("rgb", Colors::Rgb), ("bgr", Colors::Bgr)] {
        add(&format!("[input] colors = \"{said}\""), &|other| other.input.colors = colors);
    }
    for scale in [1.0, 255.0] {
        add(&format!("[input] scale = {scale:?}"), &|other| other.input.scale = scale);
        add(&format!("[input] scale = {scale:?} and without mean and std"), &|other| {
            (other.input.scale, other.input.mean, other.input.std) = (scale, [0.0; 3], [1.0; 3]);
        });
    }
    all
}
