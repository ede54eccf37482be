//! The report page and the list of many jobs, opened in headless Chromium (`tests/readers/page.mjs`).
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::Path;
use std::process::Command;

use common::{ffmpeg, meshreel, names, run, sample};

/// Has the browser look at a page.
fn look(kind: &str, page: &Path, folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/page.mjs");
    let output = run(Command::new("node").arg(script).arg(kind).arg(page).arg(folder));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {words}; is everything there? (make setup-tests)", page.display());
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_page_and_a_list_are_opened_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // A name that is dangerous in HTML, in scripts and in addresses.
    let name = "a <b onload='x'>&\"#%?{{data}}";
    let clip = at(&format!("{name}.mp4"));
    ffmpeg("-ss 1 -t 2.5 -i {} -vf scale=720:-2 -an {}", &[&sample(), &clip]);
    let nobody = at("nobody.mp4");
    ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25 -t 1 {}", &[&nobody]);
    succeeds(meshreel(folder.path()).arg("process").args([&clip, &nobody]).args(["--report", "-o", "out"]));

    let out = at("out");
    let page = out.join(format!("{name}.report.html"));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join(format!("{name}.report.json"))).unwrap()).unwrap();
    assert_eq!(report["exports"], serde_json::json!([format!("{name}.report.html")]));
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains(&folder.path().to_string_lossy()[..]), "the page tells where files lie");
    assert!(text.len() < 3_000_000, "{} bytes for 2.5 seconds of two people", text.len());
    look("page", &page, folder.path());
    look("nobody", &out.join("nobody.report.html"), folder.path());

    let said = succeeds(meshreel(folder.path()).args(["report", "out"]));
    assert!(said.contains("2 jobs"), "{said}");
    look("index", &out.join("index.html"), folder.path());
    // Its own list is replaced, another file is not.
    succeeds(meshreel(folder.path()).args(["report", "out"]));
    std::fs::write(out.join("index.html"), "<!doctype html>mine").unwrap();
    let refused = run(meshreel(folder.path()).args(["report", "out"]));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && words.contains("--overwrite"), "{words}");
    succeeds(meshreel(folder.path()).args(["report", "out", "-o", "list.html"]));
    look("index", &at("list.html"), folder.path());

    // Drawn again without a page: that of the earlier look goes.
    let motion = out.join(format!("{name}.motion.jsonl"));
    let render = |more: &[&str]| {
        let mut command = meshreel(folder.path());
        command.arg("render").arg(&clip).arg("--motion").arg(&motion).args(["-o", "out"]).args(more);
        succeeds(&mut command);
    };
    render(&[]);
    assert!(!names(&out).contains(&format!("{name}.report.html")));
    render(&["--report", "--style", "skeleton"]);
    assert_ne!(std::fs::read_to_string(&page).unwrap(), text);
    assert!(names(&out).iter().all(|name| !name.starts_with(".meshreel-")), "{:?}", names(&out));
}
