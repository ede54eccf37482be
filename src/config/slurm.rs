//! `[slurm]`: the cluster that jobs are sent to with `executor = "slurm"`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error};

use crate::job::range::ranged;

/// `[slurm]`. What is empty or 0 is left to the cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slurm {
    /// Folder that the nodes see, too; empty: `cluster` in the state folder.
    pub folder: PathBuf,
    /// The program as nodes see it; empty: where this one is.
    pub program: PathBuf,
    /// Partition.
    #[serde(deserialize_with = "word")]
    pub partition: String,
    /// Account.
    #[serde(deserialize_with = "word")]
    pub account: String,
    /// Quality of service.
    #[serde(deserialize_with = "word")]
    pub qos: String,
    /// Longest time of a task, as `sbatch --time` takes it.
    #[serde(deserialize_with = "word")]
    pub time: String,
    /// Cores of a task.
    #[serde(deserialize_with = "cpus")]
    pub cpus: usize,
    /// Memory of a task, as `sbatch --mem` takes it.
    #[serde(deserialize_with = "word")]
    pub memory: String,
    /// GPUs of a task.
    #[serde(deserialize_with = "gpus")]
    pub gpus: usize,
    /// Most tasks at a time, those that wait in Slurm included.
    #[serde(deserialize_with = "at_once")]
    pub at_once: usize,
    /// Most tasks that work on one long video at the same time.
    #[serde(deserialize_with = "per_job")]
    pub per_job: usize,
    /// Further options of `sbatch`, each with its value: `"--constraint=avx2"`.
    #[serde(deserialize_with = "options")]
    pub extra: Vec<String>,
    /// Seconds from one `squeue` to the next.
    #[serde(deserialize_with = "poll")]
    pub poll: f64,
}

impl Default for Slurm {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            program: PathBuf::new(),
            partition: String::new(),
            account: String::new(),
            qos: String::new(),
            time: String::new(),
            cpus: 0,
            memory: String::new(),
            gpus: 0,
            at_once: 16,
            per_job: 4,
            extra: Vec::new(),
            poll: 10.0,
        }
    }
}

ranged! {
    cpus: usize = 0..=4096;
    gpus: usize = 0..=64;
    at_once: usize = 1..=1000;
    per_job: usize = 1..=100;
    poll: f64 = 1.0..=3600.0;
}

/// One word: it becomes part of a line of the batch script.
fn word<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    match text.chars().all(|c| c.is_ascii_graphic() && c != '"') {
        true => Ok(text),
        false => Err(Error::custom(format!("{text:?} must be one word of ASCII without quotation marks"))),
    }
}

/// Options, a line of the batch script each.
fn options<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let all = Vec::<String>::deserialize(input)?;
    match all.iter().find(|option| !option.starts_with("--") || option.chars().any(char::is_control)) {
        None => Ok(all),
        Some(option) => Err(Error::custom(format!(
            "{option:?} is no option; it must be one line that begins with \"--\", such as \"--constraint=avx2\""
        ))),
    }
}
