//! The manual pages and the completions of shells: each is what the tool that reads it takes, and knows every command.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use common::{meshreel, names, run};
use meshreel::cli::Cli;

/// Names of all commands.
fn commands() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(meshreel(folder).args(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a tool writes when it gets `text` on standard input; nothing when there is no such tool here.
fn told(tool: &str, arguments: &[&str], text: &str) -> Option<String> {
    let mut command = Command::new(tool);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    // A tool that ends before it has read everything says why.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{tool} {arguments:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn shells_read_their_completions_and_bash_completes_every_command() {
    let folder = tempfile::tempdir().unwrap();
    // A configuration that is wrong is no hindrance.
    std::fs::create_dir_all(folder.path().join(".config/meshreel")).unwrap();
    std::fs::write(folder.path().join(".config/meshreel/config.toml"), "nonsense").unwrap();
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = printed(folder.path(), &["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{command} is not in the script for {shell}");
        }
        told(shell, &[check], &script);
    }
    let script = printed(folder.path(), &["completions", "bash"]);
    let completed = |typed: &str| {
        let words: Vec<&str> = typed.split(' ').collect();
        let (last, before) = (words.len() - 1, words[words.len() - 2]);
        let ask = format!(
            "{script}\nCOMP_WORDS=({typed})\nCOMP_CWORD={last}\n\
             _meshreel meshreel '{}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            words[last]
        );
        let answer = told("bash", &["--norc"], &ask).expect("bash is needed");
        answer.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let offered = completed("meshreel ''");
    for command in commands() {
        assert!(offered.contains(&command), "{command} is not among {offered:?}");
    }
    assert!(completed("meshreel process --dev").contains("--device"));
    assert!(completed("meshreel completions z").contains("zsh"));
}

#[test]
fn manual_pages_are_clean_and_there_is_one_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["man", "pages"]);
    let mut expected: Vec<String> = commands().iter().map(|command| format!("meshreel-{command}.1")).collect();
    // Some commands have commands of their own.
    expected.extend(["check", "import-smpl", "list"].map(|command| format!("meshreel-models-{command}.1")));
    expected.push("meshreel-slurm-script.1".into());
    expected.push("meshreel.1".into());
    expected.sort();
    let pages = folder.path().join("pages");
    assert_eq!(names(&pages), expected);
    for name in expected {
        let page = std::fs::read_to_string(pages.join(&name)).unwrap();
        told("groff", &["-man", "-Tutf8", "-ww", "-z"], &page);
        // Where the manual was left out of the system, `man` only says so.
        let is_there = |shown: &String| !shown.contains("has been minimized");
        if let Some(shown) = told("man", &["--warnings", "-l", "-"], &page).filter(is_there) {
            assert!(shown.contains("SYNOPSIS") && shown.contains("--config"), "{name}:\n{shown}");
        }
    }
    let page = printed(folder.path(), &["man"]);
    for command in commands() {
        assert!(page.contains(&command.replace('-', "\\-")), "{command} is not in the page");
    }
    // What cannot be written is told of, with its name.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = run(meshreel(folder.path()).args(["man", "file"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written into file"));
}

#[test]
fn commands_that_need_a_job_or_all_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["log", "pause", "resume"] {
        let output = run(meshreel(folder.path()).arg(command));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(errors.contains("--all") && errors.contains("JOB"), "{command}: {errors}");
        let output = run(meshreel(folder.path()).args([command, "1", "--all"]));
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
}
