//! The command line: what can be typed, and what it means.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::clock;
use crate::clock::{Millis, now};
use crate::config::Config;
use crate::job::Overrides;
use crate::pose::Device;
use crate::progress::ProgressStyle;
use crate::queue::{Flow, Order, Place};
use crate::service::{Request, RunOptions};

/// Videos of people in, the same videos with a 3D body mesh on every person out, plus the motion as data.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// Configuration file [default: ~/.config/meshreel/config.toml where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more: each frame's render and its times
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// What to do [default: run]
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Process video files and exit
    Process(Process),
    /// Take what is dropped into the watched folders, and work through the queue; shows the dashboard on a terminal
    Run(Run),
    /// Show the dashboard of the engine that runs
    Attach {
        /// Look, and change nothing
        #[arg(long)]
        read_only: bool,
    },
    /// List the jobs in the queue
    Status(Status),
    /// Let jobs wait where they are
    Pause(Pause),
    /// Let paused jobs go on
    Resume(JobsOrAll),
    /// Give jobs up; what there is of their results goes
    Cancel(Jobs),
    /// Try failed or cancelled jobs again, or now those that wait for their next try
    Retry(Jobs),
    /// Change a job's priority: higher comes first, and overtakes what is at work
    Priority {
        /// Number of the job
        job: i64,
        /// The new priority
        #[arg(allow_hyphen_values = true)]
        value: i64,
    },
    /// Move jobs among those of the same priority
    Move {
        /// Number of the job
        job: i64,
        /// Where to
        place: Place,
    },
    /// Say what happened to a job, or to all
    Log(Log),
    /// End the running engine; what is at work goes on at the next start
    Stop {
        /// After what is at work
        #[arg(long)]
        drain: bool,
    },
    /// Say what is there and what is missing, with the mend for each
    Doctor,
    /// Look at a file for the service, which starts this itself
    #[command(hide = true)]
    Inspect,
}

/// Arguments of `meshreel process`; what is not given comes from the configuration.
#[derive(Debug, clap::Args)]
pub struct Process {
    /// Video files
    #[arg(required = true, value_name = "CLIP")]
    pub clips: Vec<PathBuf>,
    /// Folder for the results; made if missing
    #[arg(short, long, value_name = "DIR", default_value = "meshreel-out")]
    pub output: PathBuf,
    /// Replace files that have the names of the results, whatever they are
    #[arg(long)]
    pub overwrite: bool,
    /// Detection worker threads (0: one per processor core)
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// What is said of how videos are processed
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the networks run
    #[arg(long)]
    pub device: Option<Device>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressStyle,
}

/// Arguments of `meshreel run`.
#[derive(Debug, Default, Clone, Copy, clap::Args)]
pub struct Run {
    /// Process what is there and exit: 0 when everything succeeded, 1 when something failed
    #[arg(long)]
    pub once: bool,
    /// No dashboard and no lines of progress: a log with times, as the configuration says under "log"
    #[arg(long)]
    pub headless: bool,
}

impl Run {
    /// What that means for the service.
    pub fn options(self) -> RunOptions {
        RunOptions { once: self.once, headless: self.headless }
    }
}

/// Jobs by number.
#[derive(Debug, clap::Args)]
pub struct Jobs {
    /// Numbers of the jobs, as `meshreel status` lists them
    #[arg(required = true, value_name = "JOB")]
    pub jobs: Vec<i64>,
}

/// Arguments of `meshreel pause`.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// Which
    #[command(flatten)]
    pub which: JobsOrAll,
    /// For so long: 30m, 2h, 1h30m
    #[arg(long = "for", value_name = "TIME", value_parser = clock::parse_length)]
    pub length: Option<Millis>,
    /// With --all: finish what is at work, and begin nothing
    #[arg(long, requires = "all", conflicts_with = "length")]
    pub drain: bool,
}

/// Arguments of `meshreel log`.
#[derive(Debug, clap::Args)]
pub struct Log {
    /// Number of the job, as `meshreel status` lists it
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub job: Option<i64>,
    /// Of all jobs
    #[arg(long)]
    pub all: bool,
    /// One JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
    /// Lines to show at most, the last ones
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub limit: usize,
}

/// Some jobs or everything.
#[derive(Debug, clap::Args)]
pub struct JobsOrAll {
    /// Numbers of the jobs, as `meshreel status` lists them
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub jobs: Vec<i64>,
    /// Everything, also what comes later
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `meshreel status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// One JSON object a job, for programs
    #[arg(long)]
    pub json: bool,
    /// Jobs to list at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

impl Command {
    /// What it asks of the engine, if it does, and by which name of a command.
    pub fn request(&self) -> Option<(&'static str, Request)> {
        let order = |order: Order, jobs: &[i64]| Request::Order { order, jobs: jobs.to_vec() };
        Some(match self {
            Self::Pause(pause) => {
                let until = pause.length.map(|length| now().saturating_add(length));
                let request = match pause.which.all {
                    true if pause.drain => Request::Flow(Flow::Drain),
                    true => Request::Flow(Flow::Pause { until }),
                    false => order(Order::Pause { until }, &pause.which.jobs),
                };
                ("pause", request)
            }
            Self::Resume(which) if which.all => ("resume", Request::Flow(Flow::Go)),
            Self::Resume(which) => ("resume", order(Order::Resume, &which.jobs)),
            Self::Cancel(which) => ("cancel", order(Order::Cancel, &which.jobs)),
            Self::Retry(which) => ("retry", order(Order::Retry, &which.jobs)),
            Self::Priority { job, value } => ("priority", order(Order::Priority(*value), &[*job])),
            Self::Move { job, place } => ("move", order(Order::Move(*place), &[*job])),
            Self::Stop { drain } => ("stop", Request::Stop { drain: *drain }),
            Self::Process(_)
            | Self::Run(_)
            | Self::Attach { .. }
            | Self::Status(_)
            | Self::Log(_)
            | Self::Doctor
            | Self::Inspect => {
                return None;
            }
        })
    }
}

impl Process {
    /// Puts what was typed over what the configuration says.
    pub fn apply(&self, config: &mut Config) {
        if let Some(workers) = self.workers {
            config.workers = workers.into();
        }
        if let Some(device) = self.device {
            config.device = device;
        }
        config.set_overrides(self.overrides.or(config.overrides()));
    }
}
