//! What the tests of the whole program share: running it, running FFmpeg's tools, reading results.
#![allow(dead_code)] // each test binary uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The sample clip that set-up obtains: two people, one jumps off a box; a tree that looks like a third.
pub fn sample() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/media/demo.mp4");
    assert!(path.is_file(), "{} is missing; run `make setup`", path.display());
    path
}

/// The program, away from the user's own configuration.
pub fn meshreel(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshreel"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        // Mesa keeps shaders in the home folder, where some tests look for what is left.
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_RUNTIME_DIR");
    command
}

/// Runs to the end and gives what was printed.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs `ffmpeg` with space-separated arguments; `{}` stand for the paths in order.
pub fn ffmpeg(arguments: &str, paths: &[&Path]) -> String {
    tool("ffmpeg", &format!("-v error -y {arguments}"), paths)
}

/// Runs `ffprobe` the same way.
pub fn ffprobe(arguments: &str, path: &Path) -> String {
    tool("ffprobe", &format!("-v error {arguments} {{}}"), &[path])
}

fn tool(name: &str, arguments: &str, paths: &[&Path]) -> String {
    let mut paths = paths.iter();
    let mut command = Command::new(name);
    for argument in arguments.split_whitespace() {
        match argument {
            "{}" => command.arg(paths.next().expect("a path for each {}")),
            _ => command.arg(argument),
        };
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines of a motion file.
pub fn motion(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A folder in which the models that set-up built are, with a place for more: an empty `place` with `models` in it, and `config.toml`, which
/// names it.
pub fn with_models(place: &Path) {
    let _ = std::fs::remove_dir_all(place);
    let models = place.join("models");
    std::fs::create_dir_all(&models).unwrap();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for name in names(&built).iter().filter(|name| name.contains('.') && !name.starts_with('.') || *name == "optimized")
    {
        std::os::unix::fs::symlink(built.join(name), models.join(name)).unwrap();
    }
    std::fs::write(place.join("config.toml"), format!("[models]\nfolder = \"{}\"\n", models.display())).unwrap();
}

/// The program with the configuration of such a folder.
pub fn meshreel_with(place: &Path) -> Command {
    let mut command = meshreel(place);
    command.arg("--config").arg(place.join("config.toml"));
    command
}

/// A script of the tests, run by the Python that set-up made for the models.
pub fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("models/.venv/bin/python"));
    command.arg(root.join("tests").join(name)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs what must succeed, and gives what it printed.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checksum of one stream's decoded frames or copied packets.
pub fn stream_md5(path: &Path, stream: &str, copy: bool) -> String {
    let codec = if copy { "-c copy" } else { "" };
    ffmpeg(&format!("-i {{}} -map 0:{stream} {codec} -f md5 -"), &[path])
}

/// Sends a process a signal (`-INT`); whether it took it. By the shell: not every system has a program for it.
pub fn signal(name: &str, process: u32) -> bool {
    Command::new("sh").args(["-c", &format!("kill {name} {process}")]).status().unwrap().success()
}
