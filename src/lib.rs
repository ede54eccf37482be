//! Videos of people in, the same videos with a 3D body mesh on every person out, plus the motion as data.
//!
//! Data flows one way through a job, in two passes over the file (see `docs/design.md`):
//!
//! ```text
//! observe:  media::decode -> track: detect, associate (keyframes), refine (frames between) <-> pose (N workers) -> observations
//! link:     track: link, left/right repair, outliers -> one track a person
//! solve:    body::fit (shape per person, pose per frame, smoothing) -> one fitted body a person
//! draw:     media::decode -> render thread -> render::blend (in the frame's own YUV) -> media::encode + mux
//! ```
//!
//! Around the jobs (see `docs/service.md`): `watch` finds files that are complete, `queue` remembers them, `service` runs both.

pub mod body;
pub mod checksum;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod curve;
pub mod dashboard;
pub mod doctor;
pub mod executor;
pub mod export;
pub mod export_command;
pub mod geometry;
pub mod job;
pub mod log;
pub mod manual;
pub mod media;
pub mod memory;
pub mod models;
pub mod models_command;
pub mod page;
pub mod pipeline;
pub mod pose;
pub mod process;
pub mod progress;
pub mod queue;
pub mod render;
pub mod report_command;
pub mod service;
pub mod smpl;
pub mod status;
pub mod telemetry;
pub mod terminal;
pub mod text;
pub mod thread;
pub mod toml_text;
pub mod track;
pub mod watch;
