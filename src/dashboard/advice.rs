//! What holds the work back, in one sentence drawn from the figures.

use crate::service::Snapshot;
use crate::telemetry::{Buffer, Stage};

/// A thread, or all of a kind, that is busy for more of the time than this holds the others back.
const SATURATED: f32 = 0.85;

/// Threads of a stage in the last seconds, where that is known: how many nodes have is not.
pub fn threads(snapshot: &Snapshot, stage: Stage) -> Option<usize> {
    if snapshot.nodes > 0 {
        return None;
    }
    // Each of these threads has a queue of its own; while there is none, no number is shown.
    let of = |buffer| Some(snapshot.depth(buffer).queues as usize).filter(|threads| *threads > 0);
    match stage {
        Stage::Detect | Stage::Landmarks => Some(snapshot.workers.len()),
        Stage::RenderWait => None,
        Stage::Render => Some(1),
        Stage::Fit => Some(snapshot.machine.cores.max(1)),
        Stage::Decode => of(Buffer::Decoded),
        Stage::Blend | Stage::Encode => of(Buffer::Encode),
    }
}

/// Which stage the others wait for, if there is one.
pub fn bottleneck(snapshot: &Snapshot) -> Option<Stage> {
    if snapshot.nodes > 0 {
        return None;
    }
    let detection = busy(snapshot, Stage::Detect) + busy(snapshot, Stage::Landmarks);
    let load = |stage: Stage| match stage {
        // Workers do both.
        Stage::Detect | Stage::Landmarks => detection / snapshot.workers.len().max(1) as f32,
        // The same threads do both.
        Stage::Blend | Stage::Encode => threads(snapshot, Stage::Encode)
            .map_or(0.0, |threads| (busy(snapshot, Stage::Blend) + busy(snapshot, Stage::Encode)) / threads as f32),
        other => threads(snapshot, other).map_or(0.0, |threads| busy(snapshot, other) / threads as f32),
    };
    let stages = [Stage::Decode, Stage::Landmarks, Stage::Fit, Stage::Render, Stage::Encode];
    let most = stages.into_iter().max_by(|&a, &b| load(a).total_cmp(&load(b)))?;
    (load(most) > 0.3).then_some(most)
}

fn busy(snapshot: &Snapshot, stage: Stage) -> f32 {
    snapshot.stage(stage).busy
}

/// The sentence.
pub fn advice(snapshot: &Snapshot) -> String {
    if snapshot.at_work.is_empty() {
        return "No job is running.".into();
    }
    if snapshot.nodes > 0 {
        let threads = |stages: &[Stage]| stages.iter().map(|stage| busy(snapshot, *stage)).sum::<f32>();
        return format!(
            "Nodes of the cluster are at work on {} jobs. In all, {:.1} threads are busy with detection and landmarks, {:.1} with rendering, \
             {:.1} with blending and encoding.",
            snapshot.nodes,
            threads(&[Stage::Detect, Stage::Landmarks]),
            threads(&[Stage::Render]),
            threads(&[Stage::Blend, Stage::Encode])
        );
    }
    let percent = |share: f32| format!("{:.0}%", 100.0 * share);
    let render = busy(snapshot, Stage::Render);
    let cores = snapshot.machine.cores;
    let is_full = snapshot.machine.cpu > SATURATED;
    let more = match is_full {
        true => {
            format!("the {cores} cores are full ({}), so more threads would not help", percent(snapshot.machine.cpu))
        }
        false => format!("the {cores} cores are at {}, so there is room for more", percent(snapshot.machine.cpu)),
    };
    let beside = format!("the render thread is busy {} of the time", percent(render));
    match bottleneck(snapshot) {
        Some(Stage::Detect | Stage::Landmarks) => {
            let workers = snapshot.workers.len();
            let busy = snapshot.workers.iter().map(|worker| worker.figures.busy).sum::<f32>() / workers.max(1) as f32;
            format!(
                "Detection is the bottleneck: its {workers} workers are busy {} of the time; {beside}; {more}.",
                percent(busy)
            )
        }
        Some(Stage::Render) => {
            let wait = snapshot.stage(Stage::RenderWait).p50;
            format!(
                "Rendering is the bottleneck: the one render thread is busy {} of the time, and frames wait {wait:.1} ms for it.",
                percent(render)
            )
        }
        Some(Stage::Encode | Stage::Blend) => {
            let help = match is_full {
                true => "a faster encode.preset would help",
                false => "a faster encode.preset, or more jobs.concurrent, would help",
            };
            format!("Encoding is the bottleneck; {beside}; {help}: {more}.")
        }
        Some(Stage::Decode) => format!("Decoding is the bottleneck; {beside}; {more}."),
        Some(Stage::Fit) => format!("Bodies are being fitted; {more}."),
        Some(Stage::RenderWait) | None => format!("There is no bottleneck; {beside}; {more}."),
    }
}
