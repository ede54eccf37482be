//! The manual pages and the completions of shells: made from the same table of commands that reads the command line.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// The name that is typed.
const PROGRAM: &str = "meshreel";

/// The script that completes words of the command line in a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    script
}

/// The manual page of the whole program.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).manual("meshreel").render(&mut page)?;
    Ok(page)
}

/// Writes the manual pages of the program and of each of its commands into a folder, which is made if missing.
///
/// # Errors
/// When a file cannot be written.
pub fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The generated `help` command has pages of its own, which say nothing.
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
}
