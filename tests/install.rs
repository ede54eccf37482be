//! `make install` puts everything that the program needs below one folder, and `make uninstall` takes just that away again.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::run;
use walkdir::WalkDir;

fn script(what: &str, destination: &str, prefix: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("bash");
    command.arg(root.join("scripts/install.sh")).arg(what);
    command.env("PROGRAM", env!("CARGO_BIN_EXE_meshreel")).env("WITHOUT_GPU", "yes");
    command.env("DESTDIR", destination).env("PREFIX", prefix);
    run(&mut command)
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Everything below a folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path()).collect();
    paths.sort();
    paths
}

#[test]
fn an_installation_works_by_itself_and_goes_without_a_trace() {
    let root = tempfile::tempdir().unwrap();
    let prefix = root.path().join("usr");
    // What others have there stays, and so do their folders.
    for foreign in ["bin/other", "share/man/man1/other.1"] {
        std::fs::create_dir_all(prefix.join(foreign).parent().unwrap()).unwrap();
        std::fs::write(prefix.join(foreign), "another program's").unwrap();
    }
    std::fs::create_dir(prefix.join("share/zsh")).unwrap();
    let before = all(root.path());

    done(&script("install", "", &prefix));
    let mut doctor = Command::new(prefix.join("bin/meshreel"));
    doctor.env_clear().env("HOME", root.path()).env("LANG", "C.UTF-8").current_dir(root.path());
    let output = run(doctor.arg("doctor"));
    let said = String::from_utf8_lossy(&output.stdout);
    let models = prefix.join("share/meshreel/models");
    assert!(said.contains(&format!("ok   models         {}\n", models.display())), "{said}");
    assert!(said.contains("ok   ONNX Runtime") && !said.contains("BAD  model"), "{said}");

    // Again, over a version that had another file: that goes with it.
    let list = prefix.join("share/meshreel/installed");
    let installed = std::fs::read_to_string(&list).unwrap();
    std::fs::write(prefix.join("bin/older"), "").unwrap();
    std::fs::write(&list, format!("{installed}bin/older\n")).unwrap();
    done(&script("install", "", &prefix));
    assert!(!prefix.join("bin/older").exists());
    assert_eq!(std::fs::read_to_string(&list).unwrap(), installed);

    done(&script("uninstall", "", &prefix));
    assert_eq!(all(root.path()), before);
    // There is nothing to remove now, and that is said.
    let again = script("uninstall", "", &prefix);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && told.contains("nothing was installed"), "{told}");
}

#[test]
fn a_package_is_filled_as_if_its_folder_were_the_root() {
    let root = tempfile::tempdir().unwrap();
    done(&script("install", root.path().to_str().unwrap(), Path::new("/opt/meshreel")));
    let at = |name: &str| root.path().join("opt/meshreel").join(name);
    let unit = std::fs::read_to_string(at("share/systemd/user/meshreel.service")).unwrap();
    assert!(unit.contains("ExecStart=/opt/meshreel/bin/meshreel run"), "{unit}");
    // The link of the library leads to it wherever the package is.
    assert!(at("share/meshreel/models/libonnxruntime.so").canonicalize().unwrap().starts_with(root.path()));
    // The documentation names these.
    assert!(at("share/doc/meshreel/models/networks/examples/hmr2.toml").is_file());
    done(&script("uninstall", root.path().to_str().unwrap(), Path::new("/opt/meshreel")));
    assert!(!at("").exists());
}
