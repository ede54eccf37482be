//! The example configuration is the documentation of the defaults; wrong configurations say where and what.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::path::Path;

use meshreel::config::Config;
use meshreel::job::{JobSettings, Overrides};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_lists_every_setting_with_its_default() {
    let path = root().join("config.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let defaults = Config::load(Some(&path)).unwrap();
    // State is written with "~/", the default may follow XDG_STATE_HOME: compare what remains.
    let expected = Config { state: defaults.state.clone(), ..Config::default() };
    let mut given = defaults;
    given.models = expected.models.clone();
    // How jobs are done is said there; nothing said is the same.
    assert_eq!(given.job_settings(), JobSettings::default());
    given.set_overrides(Overrides::default());
    assert_eq!(given, expected);
    assert!(given.state.ends_with(".local/state/meshreel"), "{}", given.state.display());

    // Every key a wrong setting's message offers must be described in the example.
    for section in [
        "",
        "[encode]\n",
        "[models]\n",
        "[onnxruntime]\n",
        "[jobs]\n",
        "[slurm]\n",
        "[limits]\n",
        "[hooks]\n",
        "[log]\n",
        "[dashboard]\n",
        "[[watch]]\n",
    ] {
        let error = Config::parse(&format!("{section}no_such_setting = 1"), &path).unwrap_err().to_string();
        let (_, names) = error.split_once("(valid: ").unwrap_or_else(|| panic!("{error}"));
        for name in names.trim_end_matches(')').split(", ") {
            assert!(text.contains(name), "config.example.toml does not mention {name}");
        }
    }
}

#[test]
fn wrong_configurations_say_where_and_what() {
    let folder = root().join("fixtures/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap();
        let error = Config::load(Some(&path)).unwrap_err().to_string();
        let message = error.strip_prefix(&path.display().to_string()).unwrap_or_else(|| panic!("no file in: {error}"));
        assert!(message.contains(expected.trim_end()), "{}: {message}", path.display());
        seen += 1;
    }
    assert!(seen >= 8);
}

#[test]
fn paths_are_relative_to_the_file_they_stand_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "state = \"s\"\n[[watch]]\npath = \"../x/./in\"\noutput = \"/abs\"\n").unwrap();
    let config = Config::load(Some(&path)).unwrap();
    assert_eq!(config.state, folder.path().join("s"));
    assert_eq!(config.watch[0].path, folder.path().parent().unwrap().join("x/in"));
    assert_eq!(config.watch[0].output, Path::new("/abs"));
}
