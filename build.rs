//! Tells the code which FFmpeg it is built with.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(ffmpeg_8)");
    // By the crate with FFmpeg's bindings, for each version that the library has reached.
    if std::env::var_os("DEP_FFMPEG_FFMPEG_8_0").is_some_and(|reached| reached == "true") {
        println!("cargo:rustc-cfg=ffmpeg_8");
    }
}
