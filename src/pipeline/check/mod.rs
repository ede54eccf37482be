//! `meshreel models check`: one picture through a network of the user's own, and what is found when its answer is compared with what
//! meshreel's own networks see.
//!
//! `look` finds the people and asks the network about them, `alternatives` reads the answer in other ways where it makes little sense, and
//! `picture` draws it.

mod alternatives;
mod look;
mod picture;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::look::{Scene, Seen};
use super::bodies::Bodies;
use super::engine::runtime_library;
use crate::body::BodyError;
use crate::config::Config;
use crate::media::{Decoder, Frame, MediaError, VideoInfo};
use crate::models::{DescriptionError, ModelName, Models, NetworkDescription, Purpose};
use crate::pose::own::{OwnNetwork, Tensor};
use crate::pose::{Device, PoseError, Runtime};
use crate::render::RenderError;

/// Distance of an answer from what meshreel's own networks see, over a person's size, from which on something is wrong.
const WRONG: f64 = 0.15;
/// Times that a batch is run, of which the shortest counts.
const RUNS: usize = 3;
/// Larger batches are not tried once one took so long.
const LONG: Duration = Duration::from_secs(8);

/// Why a network could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Its description cannot be used.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// It cannot be run, or does not fit its description.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// Its body cannot be used.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The picture cannot be read.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The picture.
        path: PathBuf,
        /// Why not.
        source: MediaError,
    },
    /// A picture cannot be made.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// There is nothing to draw with.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The result cannot be drawn.
    #[error("{0}")]
    Drawing(String),
    /// The result cannot be written.
    #[error("{}: {reason}", path.display())]
    Write {
        /// The result.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Runs the network of a name, on a picture where there is one, and draws the result into `output`. Gives `say` a line at a time.
/// Whether its answers make sense, as far as that can be told.
///
/// # Errors
/// When it cannot be run, does not fit its description, or the result cannot be written.
pub fn check(
    config: &Config,
    name: ModelName,
    picture: Option<&Path>,
    output: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<bool, CheckError> {
    let models = Models::find(&config.models.folder);
    let description = Arc::new(NetworkDescription::load(&models, name)?);
    say(&format!("{name}: {}", about(&description)));
    let opened = picture.map(|path| first_frame(path).map(|opened| (path, opened))).transpose()?;
    let bodies = Bodies::new(&models);
    let body = description.body.map(|body| bodies.get(body)).transpose()?;
    let runtime = Runtime::load(&runtime_library(config, &models), config.device)?;
    let (inputs, outputs) = OwnNetwork::ports(&runtime, &description)?;
    inputs.iter().for_each(|port| say(&format!("  input   {port}")));
    outputs.iter().for_each(|port| say(&format!("  output  {port}")));
    // What does not fit is told before anything else is loaded.
    let mut network = OwnNetwork::new(&runtime, &description)?;
    let mut is_right = true;
    match opened {
        None => {
            let outputs = network.run_blank(1)?;
            outputs.all().for_each(|(key, name, tensor)| say(&numbers(key, &name, tensor)));
            say("  on a grey picture; give it a picture with people to see whether what it says is right");
        }
        Some((path, (frame, info))) => {
            let scene = Scene::new(&runtime, &models, frame, info)?;
            say(&format!("  {}: {}", path.display(), scene.found()));
            let seen = scene.look(&mut network, &description, body.as_deref())?;
            seen.numbers.iter().for_each(|line| say(line));
            is_right = judge(&scene, &mut network, &description, body.as_deref(), &seen, say)?;
            if let Some(output) = output {
                picture::draw(scene, &seen, body.as_deref(), output)?;
                say(&format!("  drawn: {}", output.display()));
            }
        }
    }
    // Two copies of the weights may be more than there is memory for.
    drop(network);
    let provider = |runtime: &Runtime| format!("{:?}", runtime.device()).to_lowercase();
    times(&runtime, &description, &provider(&runtime), say)?;
    runtime.close_large();
    if runtime.device() != Device::Cpu {
        let cpu = Runtime::load(&runtime_library(config, &models), Device::Cpu)?;
        times(&cpu, &description, &provider(&cpu), say)?;
    }
    Ok(is_right)
}

/// The first frame of a picture or video, and what is known of it.
fn first_frame(path: &Path) -> Result<(Frame, VideoInfo), CheckError> {
    let read = || {
        let mut decoder = Decoder::open_also_pictures(path, 0, Some(1.0))?;
        let frame = decoder.next()?.ok_or_else(|| MediaError::NoFrames { path: path.to_owned() })?;
        Ok((frame, decoder.info().clone()))
    };
    read().map_err(|source| CheckError::Picture { path: path.to_owned(), source })
}

/// What a network is, in a line.
pub fn about(description: &NetworkDescription) -> String {
    let size = crate::pose::own::size(&description.file)
        .map_or_else(|_| "missing".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
    let [width, height] = description.input.size;
    let body = description.body.map_or(String::new(), |body| format!(", drives the body \"{body}\""));
    let licence = if description.licence.is_empty() { "licence not said" } else { &description.licence };
    format!("{}, {width}x{height}{body}; {size}; {licence}", description.purpose().noun())
}

/// An output's shape and range.
fn numbers(key: &str, name: &str, tensor: &Tensor) -> String {
    let usable: Vec<f32> = tensor.values.iter().copied().filter(|v| v.is_finite()).collect();
    let lost = tensor.values.len() - usable.len();
    let range = match usable.is_empty() {
        true => "no usable number".to_owned(),
        false => {
            let low = usable.iter().copied().fold(f32::INFINITY, f32::min);
            let high = usable.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            format!("{low:.4} to {high:.4}, mean {:.4}", usable.iter().sum::<f32>() / usable.len() as f32)
        }
    };
    let not = if lost > 0 { format!(", and {lost} that are no numbers") } else { String::new() };
    format!("  {key:12} {name} {:?}: {range}{not}", tensor.shape)
}

/// Says how near the network's answer is to what meshreel sees, and which other reading is nearer where it is far. Whether it is near.
fn judge(
    scene: &Scene,
    network: &mut OwnNetwork,
    description: &Arc<NetworkDescription>,
    body: Option<&super::bodies::LoadedBody>,
    seen: &Seen,
    say: &mut dyn FnMut(&str),
) -> Result<bool, CheckError> {
    if scene.is_empty() {
        say("  meshreel finds nobody in the picture, so that there is nothing to compare with");
        return Ok(true);
    }
    let purpose = description.purpose();
    say(&format!("  {}", seen.verdict(purpose)));
    if !seen.is_wrong(purpose) {
        return Ok(true);
    }
    say("  that is wrong; trying other readings ...");
    let mut best: Option<(String, Seen)> = None;
    for (change, other) in alternatives::of(description, seen.are_probabilities) {
        let other = Arc::new(other);
        // A reading that does not fit is no alternative.
        let Ok(other) = scene.look(network, &other, body) else { continue };
        if !other.is_wrong(purpose) && best.as_ref().is_none_or(|(_, best)| other.off < best.off) {
            best = Some((change, other));
        }
    }
    network.describe(description.clone());
    match best {
        Some((change, best)) => say(&format!("  with {change}: {}", best.verdict(purpose))),
        None => say(
            "  no other reading of its outputs is near either: look at their ranges above, at `input` (colors, scale, mean, std), and at the picture that is drawn",
        ),
    }
    Ok(false)
}

/// Says how long the network takes by batch size.
fn times(
    runtime: &Runtime,
    description: &Arc<NetworkDescription>,
    provider: &str,
    say: &mut dyn FnMut(&str),
) -> Result<(), CheckError> {
    let mut network = OwnNetwork::new(runtime, description)?;
    let most = if description.purpose() == Purpose::Detector { 1 } else { description.batch };
    let doubled = std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|&size| size < most);
    let sizes: Vec<usize> = match network.shown() {
        Some(only) => vec![only],
        None => doubled.chain([most]).collect(),
    };
    let mut parts = Vec::new();
    for size in sizes {
        let mut shortest = Duration::MAX;
        for _ in 0..RUNS {
            let start = Instant::now();
            network.run_blank(size)?;
            shortest = shortest.min(start.elapsed());
            if start.elapsed() > LONG {
                break;
            }
        }
        parts.push(format!("{:.1} ms in a batch of {size}", shortest.as_secs_f64() * 1000.0 / size as f64));
        if shortest > LONG {
            break;
        }
    }
    say(&format!("  time on {provider}, each: {}", parts.join(", ")));
    Ok(())
}
