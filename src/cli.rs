//! The command line: what can be typed, and what it means.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::clock;
use crate::clock::{Millis, now};
use crate::config::Config;
use crate::export::{Facing, Format, Frame, Heading, JointNames, MarkerSet, Rest, Scale};
use crate::job::{LookOverrides, Overrides, range};
use crate::models::ModelName;
use crate::pose::Device;
use crate::progress::ProgressStyle;
use crate::queue::{Order, Place, QueueMode};
use crate::service::{Request, RunOptions};

/// Pictures a second that a folder of them may be shown at.
const FPS: RangeInclusive<f64> = 0.1..=1000.0;

/// Exit codes, under the help and in the manual page.
const EXIT_CODES: &str = "\
Exit codes: 0 when everything succeeded, 1 when something failed (standard error names it), 2 for wrong usage or a wrong \
configuration, 130 when it was stopped by Ctrl-C or a signal.";

/// Draws a 3D body mesh over every person in a video, and writes their motion as data.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Configuration file [default: ~/.config/meshreel/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Log more, for example how long each frame took to draw
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// The command [default: run]
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Process video files and exit
    Process(Process),
    /// Draw a motion file over its video again, in other looks, without looking for people again
    Render(Render),
    /// Process what is dropped into the watched folders; on a terminal, show the dashboard
    Run(Run),
    /// Show the dashboard of the engine that is running
    Attach {
        /// Only watch: no key changes anything
        #[arg(long)]
        read_only: bool,
    },
    /// Write the motion of a video in the formats of other programs
    Export(Export),
    /// Write one page with a table of all results in a folder and below it
    Report(ReportOf),
    /// Show bodies and networks, or import a body of your own
    #[command(subcommand)]
    Models(ModelsCommand),
    /// List the jobs in the queue
    Status(Status),
    /// Pause jobs, or the whole queue
    Pause(Pause),
    /// Resume paused jobs, or the whole queue
    Resume(JobsOrAll),
    /// Cancel jobs and remove their unfinished results
    Cancel(Jobs),
    /// Retry failed or cancelled jobs, and start waiting retries now
    Retry(Jobs),
    /// Change the priority of a job: higher numbers come first, also before jobs that are running
    Priority {
        /// Number of the job, as `meshreel status` lists it
        job: i64,
        /// The new priority; new jobs have 0
        #[arg(allow_hyphen_values = true)]
        value: i64,
    },
    /// Move a job among the jobs of the same priority
    Move {
        /// Number of the job, as `meshreel status` lists it
        job: i64,
        /// Where to move it
        place: Place,
    },
    /// Show the log of a job, or with --all of all jobs
    Log(Log),
    /// Stop the engine; unfinished jobs continue at its next start
    Stop {
        /// Finish the running jobs first
        #[arg(long)]
        drain: bool,
    },
    /// Check the installation: what is there, what is missing, and how to fix it
    Doctor {
        /// Have a node of the Slurm cluster look as well, with a short task: folders, models, OpenGL, GPU
        #[arg(long)]
        cluster: bool,
        /// Look around on a node: what that task calls
        #[arg(long, hide = true, value_name = "FILE", conflicts_with = "cluster")]
        node: Option<PathBuf>,
    },
    /// Work on a job that was sent to a cluster; its batch script calls this
    Work {
        /// The job: a file that `meshreel run` has written
        #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
        spec: PathBuf,
        /// Only help the worker that makes the results of the job
        #[arg(long)]
        helper: bool,
    },
    /// Look at what is sent to a Slurm cluster
    #[command(subcommand)]
    Slurm(SlurmCommand),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a folder
    Man {
        /// Folder for the pages; created if missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

/// What `meshreel slurm` does.
#[derive(Debug, Subcommand)]
pub enum SlurmCommand {
    /// Print the batch script that is submitted for a job
    Script {
        /// Number of the job, as `meshreel status` lists it
        #[arg(value_name = "JOB")]
        job: i64,
    },
}

/// Arguments of `meshreel process`; what is not given comes from the configuration.
#[derive(Debug, clap::Args)]
pub struct Process {
    /// Video files; also pictures, and folders of numbered pictures
    #[arg(required = true, value_name = "CLIP", value_hint = ValueHint::FilePath)]
    pub clips: Vec<PathBuf>,
    /// Folder for the results; created if missing
    #[arg(short, long, value_name = "DIR", default_value = "meshreel-out", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Overwrite any files that have the names of the results; otherwise only earlier results of the same video are replaced
    #[arg(long)]
    pub overwrite: bool,
    /// Number of detection threads; 0: one per processor core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// What is said of how videos are processed
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the networks run
    #[arg(long)]
    pub device: Option<Device>,
    /// Pictures a second of a folder of numbered pictures
    #[arg(long, value_name = "FPS", default_value_t = 25.0, value_parser = |text: &str| range::typed(text, &FPS))]
    pub fps: f64,
    /// How to show progress
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressStyle,
}

/// Arguments of `meshreel render`; what is not given comes from the configuration.
#[derive(Debug, clap::Args)]
pub struct Render {
    /// The video that the motion was found in
    #[arg(value_name = "CLIP", value_hint = ValueHint::FilePath)]
    pub clip: PathBuf,
    /// The motion, as `meshreel process` has written it (NAME.motion.jsonl)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub motion: PathBuf,
    /// Folder for the results; created if missing
    #[arg(short, long, value_name = "DIR", default_value = "meshreel-out", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Overwrite any files that have the names of the results; otherwise only earlier results of the same video are replaced
    #[arg(long)]
    pub overwrite: bool,
    /// What is said of the pictures
    #[command(flatten)]
    pub look: LookOverrides,
    /// The encoder's speed preset: the default is three times as fast as process, and makes larger files; veryfast is what process takes
    #[arg(long, value_name = "PRESET", default_value = "ultrafast")]
    pub preset: String,
    /// Pictures a second of a folder of numbered pictures
    #[arg(long, value_name = "FPS", default_value_t = 25.0, value_parser = |text: &str| range::typed(text, &FPS))]
    pub fps: f64,
    /// How to show progress
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressStyle,
}

impl Render {
    /// Puts what was typed over what the configuration says.
    pub fn apply(&self, config: &mut Config) {
        config.encode.preset.clone_from(&self.preset);
        let said = config.overrides();
        config.set_overrides(Overrides { look: self.look.or(said.look), ..said });
    }
}

/// Arguments of `meshreel export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Motion file: NAME.motion.jsonl
    #[arg(value_name = "MOTION", value_hint = ValueHint::FilePath)]
    pub motion: PathBuf,
    /// Formats, separated by commas
    #[arg(short, long, required = true, value_delimiter = ',', value_name = "FORMAT")]
    pub format: Vec<Format>,
    /// Only these people, by their ids in the motion file, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub person: Vec<u32>,
    /// Which axes points are in
    #[arg(long, value_enum, default_value_t)]
    pub frame: Frame,
    /// File (for one format) or folder for the results [default: the motion file's folder]
    #[arg(short, long, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Overwrite files that have the names of the results
    #[arg(long)]
    pub overwrite: bool,
    /// Degrees by which the camera looks down; without it, up is what the motion file says
    #[arg(long, value_name = "DEGREES", allow_hyphen_values = true, value_parser = |text: &str| angle(text))]
    pub camera_pitch: Option<f64>,
    /// Degrees by which the camera is turned clockwise
    #[arg(long, value_name = "DEGREES", allow_hyphen_values = true, value_parser = |text: &str| angle(text))]
    pub camera_roll: Option<f64>,
    /// Height of the camera above the floor in metres; without it, the floor is where feet rest
    #[arg(long, value_name = "METRES", allow_hyphen_values = true, value_parser = |text: &str| metres(text))]
    pub floor: Option<f64>,
    /// Which way somebody faces who looks at the camera
    #[arg(long, value_enum, default_value_t)]
    pub heading: Heading,
    /// trc, c3d, openpose: which points
    #[arg(long, value_enum, default_value_t)]
    pub markers: MarkerSet,
    /// glb, bvh: how joints are called
    #[arg(long, value_enum, default_value_t)]
    pub names: JointNames,
    /// bvh: unit of lengths
    #[arg(long, value_enum, default_value_t)]
    pub scale: Scale,
    /// bvh: the pose in which the skeleton is at rest
    #[arg(long, value_enum, default_value_t)]
    pub rest: Rest,
    /// bvh: as many frames as the video has, also where the person comes later
    #[arg(long)]
    pub full_length: bool,
    /// mot: how often it is decided which way a person faces in the picture
    #[arg(long, value_enum, default_value_t)]
    pub facing: Facing,
}

/// What `meshreel models` does.
#[derive(Debug, clap::Subcommand)]
pub enum ModelsCommand {
    /// List bodies and networks with their sizes and licences
    List,
    /// Import a body of the SMPL family (SMPL, SMPL-H, SMPL-X) for --body, from the npz or pkl file that its licence gave you
    ImportSmpl(ImportSmpl),
    /// Run a network of your own on a picture: what its outputs are, whether they make sense, how long it takes
    Check(CheckNetwork),
}

/// Arguments of `meshreel models check`.
#[derive(Debug, clap::Args)]
pub struct CheckNetwork {
    /// Name of the network: that of its description in the folder of networks
    #[arg(value_name = "NAME")]
    pub name: ModelName,
    /// A picture or video with people; without it only shapes and times are told
    #[arg(value_name = "PICTURE", value_hint = ValueHint::FilePath)]
    pub picture: Option<PathBuf>,
    /// The picture that the answer is drawn into [default: NAME.check.png]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Overwrite a file of this name
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `meshreel models import-smpl`.
#[derive(Debug, clap::Args)]
pub struct ImportSmpl {
    /// The body's file; a pickle is read without executing anything
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Name of the body [default: the file's name]
    #[arg(short, long, value_name = "NAME")]
    pub output: Option<ModelName>,
    /// Replace a body of this name
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `meshreel report`.
#[derive(Debug, clap::Args)]
pub struct ReportOf {
    /// Folder with results: every NAME.report.json in it and below it is listed; links are not followed
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// The page [default: index.html in the folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Overwrite a file of this name that meshreel did not write
    #[arg(long)]
    pub overwrite: bool,
}

fn angle(text: &str) -> Result<f64, String> {
    number(text).filter(|degrees| degrees.abs() <= 180.0).ok_or_else(|| "it must be from -180 to 180".into())
}

fn metres(text: &str) -> Result<f64, String> {
    number(text).filter(|metres| metres.abs() <= 10_000.0).ok_or_else(|| "it must be a number of metres".into())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Arguments of `meshreel run`.
#[derive(Debug, Default, Clone, Copy, clap::Args)]
pub struct Run {
    /// Process the files that are there now, then exit
    #[arg(long)]
    pub once: bool,
    /// Run without a dashboard and write a log to standard error, for systemd and the like
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
    /// Which jobs.
    #[command(flatten)]
    pub which: JobsOrAll,
    /// Resume by itself after this time, such as 30m, 2h or 1h30m
    #[arg(long = "for", value_name = "TIME", value_parser = clock::parse_length)]
    pub length: Option<Millis>,
    /// With --all: finish the running jobs, but start no new ones
    #[arg(long, requires = "all", conflicts_with = "length")]
    pub drain: bool,
}

/// Arguments of `meshreel log`.
#[derive(Debug, clap::Args)]
pub struct Log {
    /// Which jobs.
    #[command(flatten)]
    pub which: JobOrAll,
    /// Print one JSON object per line, for programs
    #[arg(long)]
    pub json: bool,
    /// Show only the last N lines
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub limit: usize,
}

/// One job or all of them; as a group, so that an error names both.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct JobOrAll {
    /// Number of the job, as `meshreel status` lists it
    #[arg(value_name = "JOB")]
    pub job: Option<i64>,
    /// Show the log of all jobs
    #[arg(long)]
    pub all: bool,
}

/// Some jobs or everything; as a group, so that an error names both.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct JobsOrAll {
    /// Numbers of the jobs, as `meshreel status` lists them
    #[arg(value_name = "JOB")]
    pub jobs: Vec<i64>,
    /// The whole queue, including jobs that are added later
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `meshreel status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Print one JSON object per job, for programs
    #[arg(long)]
    pub json: bool,
    /// List at most N jobs
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
                    true if pause.drain => Request::Mode(QueueMode::Drain),
                    true => Request::Mode(QueueMode::Pause { until }),
                    false => order(Order::Pause { until }, &pause.which.jobs),
                };
                ("pause", request)
            }
            Self::Resume(which) if which.all => ("resume", Request::Mode(QueueMode::Go)),
            Self::Resume(which) => ("resume", order(Order::Resume, &which.jobs)),
            Self::Cancel(which) => ("cancel", order(Order::Cancel, &which.jobs)),
            Self::Retry(which) => ("retry", order(Order::Retry, &which.jobs)),
            Self::Priority { job, value } => ("priority", order(Order::Priority(*value), &[*job])),
            Self::Move { job, place } => ("move", order(Order::Move(*place), &[*job])),
            Self::Stop { drain } => ("stop", Request::Stop { drain: *drain }),
            Self::Process(_)
            | Self::Render(_)
            | Self::Export(_)
            | Self::Report(_)
            | Self::Models(_)
            | Self::Run(_)
            | Self::Attach { .. }
            | Self::Status(_)
            | Self::Log(_)
            | Self::Doctor { .. }
            | Self::Work { .. }
            | Self::Slurm(_)
            | Self::Completions { .. }
            | Self::Man { .. } => return None,
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
