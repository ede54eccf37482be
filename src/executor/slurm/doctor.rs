//! Whether jobs can be sent to the cluster, as far as can be told without sending one.

use super::commands::{self, Trouble};
use super::{is_program, program, root};
use crate::config::Config;

/// How one thing stands.
pub enum Health {
    /// As it should be.
    Good(String),
    /// Jobs will wait or fail, and what to do about it.
    Bad(String, String),
}

/// Looks at commands, controller, partition, program and folder.
pub fn examine(config: &Config) -> Vec<Health> {
    let mut all = Vec::new();
    let folders: Vec<_> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    let needed = ["sbatch", "squeue", "scancel", "scontrol", "sinfo"];
    let missing: Vec<&str> =
        needed.into_iter().filter(|name| !folders.iter().any(|folder| is_program(&folder.join(name)))).collect();
    if !missing.is_empty() {
        let fix = "run meshreel where Slurm's commands are: on the login node".to_owned();
        return vec![Health::Bad(format!("not found: {}", missing.join(", ")), fix)];
    }
    if let Ok(version) = commands::version("sbatch") {
        all.push(Health::Good(version));
    }
    let wanted = &config.slurm.partition;
    all.push(match commands::partitions() {
        Ok(there) if wanted.is_empty() => Health::Good(format!("the default partition; there are {}", names(&there))),
        Ok(there) => match there.get(wanted) {
            Some(nodes) => Health::Good(format!("partition {wanted}, {nodes} nodes")),
            None => Health::Bad(
                format!("there is no partition {wanted}"),
                format!("set slurm.partition to one of {}", names(&there)),
            ),
        },
        Err(error @ Trouble::Away(_)) => Health::Bad(error.to_string(), "jobs wait until it does".into()),
        Err(error) => Health::Bad(error.to_string(), "see what `sinfo` says here; SLURM_CONF names the cluster's configuration where it is not in the usual place".into()),
    });
    let (program, folder) = (program(config), root(config));
    all.push(match is_program(&program) {
        true => Health::Good(format!("nodes run {}, in {}; they must see both", program.display(), folder.display())),
        false => Health::Bad(
            format!("{} cannot be run here", program.display()),
            "set slurm.program, or ignore this if only the nodes see it".into(),
        ),
    });
    all
}

fn names(partitions: &std::collections::BTreeMap<String, String>) -> String {
    partitions.keys().cloned().collect::<Vec<_>>().join(", ")
}
