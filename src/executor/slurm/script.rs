//! The batch script of a task.

use std::path::Path;

use super::folder::{Folder, OUTPUT, SPEC};
use crate::config::Slurm;

/// Seconds before the end of its time at which a task is told; Slurm may do so up to a minute earlier.
const NOTICE: u32 = 30;
/// What a step of priority costs. Users may lower their own alone, and priorities above 0 are kept by the queue.
const NICE: i64 = 100;
/// Slurm's own bound is far above.
const NICEST: i64 = 10_000;

/// What works on the job of a folder.
pub fn work(program: &Path, folder: &Folder) -> String {
    format!("{} work {}", quoted(program), quoted(&folder.file(SPEC)))
}

/// What helps with the job of a folder.
pub fn help(program: &Path, folder: &Folder) -> String {
    format!("{} --helper", work(program, folder))
}

/// What tasks are called that help with the job of this name.
pub fn of_helpers(name: &str) -> String {
    format!("{name}-helper")
}

/// The script of a task that Slurm calls `name`: it becomes `command`, and what that says goes into the folder.
pub fn script(settings: &Slurm, command: &str, folder: &Folder, name: &str, priority: i64) -> String {
    let all = [format!("--output={}", pattern(&folder.file(OUTPUT))), "--requeue".into()];
    of_task(settings, command, name, (-priority).max(0).saturating_mul(NICE), &all)
}

/// The script of so many helpers of a job. They come after the tasks of other jobs, and are not begun again: the job does without them.
pub fn helpers(settings: &Slurm, command: &str, folder: &Folder, name: &str, priority: i64, count: usize) -> String {
    // `%a` is the number of the helper.
    let output = pattern(&folder.file("helper-")).trim_end_matches('"').to_owned() + "%a.txt\"";
    let all = [format!("--output={output}"), "--no-requeue".into(), format!("--array=1-{count}")];
    of_task(settings, command, name, (-priority).max(0).saturating_add(1).saturating_mul(NICE), &all)
}

/// The script of a task, of which Slurm thinks so little (`nice`), with these options as well.
fn of_task(settings: &Slurm, command: &str, name: &str, nice: i64, more: &[String]) -> String {
    let mut lines = vec!["#!/bin/sh".to_owned()];
    let mut option = |text: String| lines.push(format!("#SBATCH {text}"));
    option(format!("--job-name={name}"));
    // What stood there before stays: the job may have been elsewhere already.
    option("--open-mode=append".into());
    more.iter().for_each(|more| option(more.clone()));
    option("--nodes=1".into());
    option("--ntasks=1".into());
    // To the script itself, which the worker takes the place of.
    option(format!("--signal=B:USR1@{NOTICE}"));
    let words = [
        ("partition", &settings.partition),
        ("account", &settings.account),
        ("qos", &settings.qos),
        ("time", &settings.time),
        ("mem", &settings.memory),
    ];
    words.into_iter().filter(|(_, word)| !word.is_empty()).for_each(|(name, word)| option(format!("--{name}={word}")));
    if settings.cpus > 0 {
        option(format!("--cpus-per-task={}", settings.cpus));
    }
    if settings.gpus > 0 {
        option(format!("--gres=gpu:{}", settings.gpus));
    }
    if nice > 0 {
        option(format!("--nice={}", nice.min(NICEST)));
    }
    settings.extra.iter().for_each(|extra| option(extra.clone()));
    lines.push(format!("exec {command}"));
    lines.join("\n") + "\n"
}

/// A path as the shell takes it, whatever it is called.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// A path as Slurm takes the names of files: in quotation marks, with nothing to be replaced in it.
fn pattern(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('\\', r"\\").replace('"', r#"\""#).replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_in_the_script_and_names_are_quoted() {
        let settings = Slurm {
            partition: "gpu".into(),
            time: "02:00:00".into(),
            cpus: 8,
            gpus: 1,
            extra: vec!["--constraint=avx2".into()],
            ..Slurm::default()
        };
        let folder = Folder::of(Path::new("/shared/it's 100%"), 3);
        let text = script(&settings, &work(Path::new("/opt/a b/meshreel"), &folder), &folder, "meshreel-3-x", -2);
        for line in [
            "#SBATCH --job-name=meshreel-3-x",
            "#SBATCH --output=\"/shared/it's 100%%/3/output.txt\"",
            "#SBATCH --partition=gpu",
            "#SBATCH --time=02:00:00",
            "#SBATCH --cpus-per-task=8",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --nice=200",
            "#SBATCH --constraint=avx2",
            r"exec '/opt/a b/meshreel' work '/shared/it'\''s 100%/3/spec.json'",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let plain = script(&Slurm::default(), "/meshreel", &folder, "meshreel-3-x", 5);
        let several = helpers(&settings, "/meshreel", &folder, "meshreel-3-x-helper", -2, 3);
        for line in
            ["#SBATCH --output=\"/shared/it's 100%%/3/helper-%a.txt\"", "#SBATCH --array=1-3", "#SBATCH --nice=300"]
        {
            assert!(several.lines().any(|other| other == line), "{line}\n{several}");
        }
        assert!(several.contains("--no-requeue") && !several.contains("--requeue"), "{several}");
        assert!(plain.starts_with("#!/bin/sh\n") && !plain.contains("--mem") && !plain.contains("--nice"), "{plain}");
    }
}
