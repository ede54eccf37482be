//! Who works on a job, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who works on a job: what `executor` in the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The engine itself.
    Local,
    /// The nodes of a Slurm cluster.
    Slurm,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 2] = [Backend::Local, Backend::Slurm];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Local => "local",
            Backend::Slurm => "slurm",
        }
    }
}

/// The task of a cluster that works on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The cluster's number of the task.
    pub task: u64,
    /// The node that works on it; `None`: it waits for one.
    pub node: Option<String>,
    /// The node's GPUs that it has, as CUDA numbers them; empty: none.
    pub gpus: String,
    /// Why it waits, in the cluster's words; empty: it does not say.
    pub waits: String,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Slurm task {}", self.task)?;
        match &self.node {
            Some(node) => write!(f, " on node {node}")?,
            None if self.waits.is_empty() => f.write_str(" waits for a node")?,
            None => write!(f, " waits for a node: {}", self.waits)?,
        }
        match self.gpus.as_str() {
            "" => Ok(()),
            gpus => write!(f, ", GPU {gpus}"),
        }
    }
}
