//! What a job is, in words that queue, service, pipeline and dashboard share: its specification, its settings, the names of its
//! results, what happens to it, and its report. Nothing here works on anything; all of it can be written down and read again.

mod backend;
mod context;
mod event;
mod looks;
mod outputs;
pub mod range;
mod report;
mod settings;
mod spec;
mod state;

pub use backend::{Backend, Placement};
pub use context::{JobContext, Share};
pub use event::{Event, Phase};
pub use looks::{Also, Labels, Layout, Looks, Several, Style, View, Views};
pub use outputs::{OutputNames, whole};
pub use report::{OwnNetwork, Report, stages};
pub(crate) use settings::with_overrides;
pub use settings::{Encode, Hands, JobSettings, LookOverrides, Model, Overrides, PAGE};
pub use spec::{Failure, FailureKind, JobSpec};
pub use state::{JobState, Stamp};
