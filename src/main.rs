//! The `meshreel` program: reads the command line and hands over.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use meshreel::cli::{Cli, Command, Export, ModelsCommand, Process, Render, ReportOf, Run, SlurmCommand};
use meshreel::config::Config;
use meshreel::dashboard::{self, DashboardError, StartEngineError};
use meshreel::executor::slurm;
use meshreel::models::Models;
use meshreel::pipeline::StartError;
use meshreel::process::{self, Outcome};
use meshreel::service::{Origin, Request, ServiceError, SnapshotRequest};
use meshreel::terminal::{self, tell};
use meshreel::text::printable;
use meshreel::{doctor, export_command, log, manual, media, models_command, report_command, service, status};

/// Some file failed.
const FAILED: u8 = 1;
/// Wrong usage or configuration.
const USAGE: u8 = 2;
/// Stopped with Ctrl-C or a signal.
const INTERRUPTED: u8 = 130;

/// SVT-AV1 writes to the terminal by itself, unless this says how little.
const SVT_LOG: &str = "SVT_LOG";

fn main() -> ExitCode {
    meshreel::memory::tune();
    if std::env::var_os(SVT_LOG).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(SVT_LOG, "0") };
    }
    // The service starts this for itself; it is no command for people.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == service::inspect::ARGUMENT) {
        media::init();
        let answered = service::inspect::serve(std::io::stdin(), std::io::stdout());
        return ExitCode::from(if answered.is_ok() { 0 } else { FAILED });
    }
    let mut cli = Cli::parse();
    let command = cli.command.take().unwrap_or_else(|| Command::Run(Run::default()));
    // These need no configuration, so that a wrong one is no hindrance.
    match &command {
        Command::Completions { shell } => return print(&manual::completions(*shell)),
        Command::Man { folder } => return man(folder.as_deref()),
        // On a node there is none: the job says all.
        Command::Work { spec, helper } => return work(spec, *helper, cli.verbose),
        Command::Doctor { node: Some(file), .. } => return examine_node(file),
        _ => {}
    }
    let mut config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    let service = if let Command::Run(run) = &command { Some(run) } else { None };
    // The dashboard is one process, the engine another.
    let would_show = service.is_some_and(|run| !run.once && !run.headless) && is_on_terminal();
    let why_plain = terminal::why_plain().filter(|_| would_show);
    let shows = would_show && why_plain.is_none();
    if let Some(why) = why_plain {
        tell(format_args!("meshreel: {why}, so there is no dashboard but lines of progress; Ctrl-C ends the engine"));
    }
    let service = service.filter(|_| !shows);
    let writer = match service {
        None => log::Writer::Command,
        Some(run) if run.headless => log::Writer::HeadlessService,
        Some(_) => log::Writer::Service,
    };
    if let Err(error) = log::start(&config, writer, cli.verbose) {
        return fail(FAILED, &error);
    }
    media::init();
    match &command {
        Command::Process(arguments) => {
            arguments.apply(&mut config);
            process(arguments, &config, cli.verbose)
        }
        Command::Render(arguments) => {
            arguments.apply(&mut config);
            render(arguments, &config, cli.verbose)
        }
        Command::Export(arguments) => export(arguments),
        Command::Report(arguments) => report(arguments),
        Command::Models(command) => models(command, &config),
        Command::Run(_) if shows => run_dashboard(&cli, &config),
        Command::Run(arguments) => run(arguments, &config),
        Command::Attach { read_only } => attach(&cli, &config, *read_only),
        Command::Status(arguments) => match status::show(&config, arguments.limit, arguments.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &error),
        },
        Command::Log(arguments) => match status::log(&config, arguments.which.job, arguments.limit, arguments.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &error),
        },
        Command::Slurm(SlurmCommand::Script { job }) => match status::batch_script(&config, *job) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => fail(FAILED, &error),
        },
        Command::Doctor { cluster, .. } => {
            let models = Models::find(&config.models.folder);
            let mut healthy = doctor::examine(&config, &models, |finding| say(finding));
            healthy &= !cluster || doctor::examine_cluster(&config, |finding| say(finding));
            ExitCode::from(if healthy { 0 } else { FAILED })
        }
        other => other.request().map_or(ExitCode::SUCCESS, |(name, request)| order(&config, &request, name)),
    }
}

fn work(spec: &Path, is_helper: bool, verbose: bool) -> ExitCode {
    if let Err(error) = log::start(&Config::default(), log::Writer::Command, verbose) {
        return fail(FAILED, &error);
    }
    media::init();
    match slurm::work(spec, is_helper) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn examine_node(file: &Path) -> ExitCode {
    media::init();
    match doctor::examine_node(file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("meshreel: {}", printable(&error)));
            ExitCode::from(FAILED)
        }
    }
}

fn process(arguments: &Process, config: &Config, verbose: bool) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(FAILED, &error),
    };
    code(process::process(arguments, config, verbose, &stop))
}

fn render(arguments: &Render, config: &Config, verbose: bool) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(FAILED, &error),
    };
    code(process::render(arguments, config, verbose, &stop))
}

fn code(outcome: Result<Outcome, StartError>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(FAILED),
        Ok(Outcome::Stopped) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(FAILED, &error),
    }
}

fn export(arguments: &Export) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(FAILED, &error),
    };
    match export_command::export(arguments, &stop) {
        Ok(lines) => {
            lines.iter().for_each(|line| say(printable(line)));
            ExitCode::SUCCESS
        }
        Err(_) if stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(if error.is_usage() { USAGE } else { FAILED }, &error),
    }
}

fn report(arguments: &ReportOf) -> ExitCode {
    match report_command::report(arguments) {
        Ok(lines) => {
            let mut lines = lines.iter().map(|line| printable(line));
            lines.next().into_iter().for_each(say);
            // What was left out is no result.
            lines.for_each(|line| tell(format_args!("meshreel: {line}")));
            ExitCode::SUCCESS
        }
        Err(error) => fail(FAILED, &error),
    }
}

fn models(command: &ModelsCommand, config: &Config) -> ExitCode {
    let models = Models::find(&config.models.folder);
    match command {
        ModelsCommand::List => {
            models_command::list(&models).iter().for_each(|line| say(printable(line)));
            ExitCode::SUCCESS
        }
        ModelsCommand::Check(arguments) => {
            match models_command::check(arguments, config, &mut |line| say(printable(line))) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(FAILED),
                Err(error) => fail(FAILED, &error),
            }
        }
        ModelsCommand::ImportSmpl(arguments) => match models_command::import(arguments, &models) {
            Ok(text) => {
                text.lines().for_each(|line| say(printable(line)));
                ExitCode::SUCCESS
            }
            Err(error) => fail(FAILED, &error),
        },
    }
}

fn order(config: &Config, request: &Request, name: &str) -> ExitCode {
    match service::ask(config, request, &Origin::command(name)) {
        Ok(answer) => {
            answer.done.iter().for_each(|line| say(printable(line)));
            answer.refused.iter().for_each(|line| tell(format_args!("meshreel: {}", printable(line))));
            ExitCode::from(if answer.refused.is_empty() { 0 } else { FAILED })
        }
        Err(error) => fail(FAILED, &error),
    }
}

fn is_on_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Starts the engine, unless it runs, and shows it.
fn run_dashboard(cli: &Cli, config: &Config) -> ExitCode {
    match dashboard::start_engine(config, cli.config.as_deref(), cli.verbose) {
        Ok(_) => attach(cli, config, false),
        Err(error @ StartEngineError::Ended { is_usage: true, .. }) => fail(USAGE, &error),
        Err(error) => fail(FAILED, &error),
    }
}

fn attach(cli: &Cli, config: &Config, read_only: bool) -> ExitCode {
    // Without an engine there is nothing to show.
    if let Err(error) = service::snapshot(config, &SnapshotRequest::default()) {
        return fail(FAILED, &error);
    }
    match dashboard::run(config, read_only) {
        Ok(()) => {
            if service::snapshot(config, &SnapshotRequest::default()).is_ok() {
                // With what it takes to reach the same engine.
                let file = cli.config.as_ref().map_or(String::new(), |file| format!(" --config {}", file.display()));
                say(format!(
                    "The engine keeps running. `meshreel attach{file}` shows it again, `meshreel stop{file}` stops it."
                ));
            }
            ExitCode::SUCCESS
        }
        Err(error @ (DashboardError::NoTerminal | DashboardError::Plain(_) | DashboardError::Keys(_))) => {
            fail(USAGE, &error)
        }
        Err(error) => fail(FAILED, &error),
    }
}

fn run(arguments: &Run, config: &Config) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(FAILED, &error),
    };
    let result = service::run(config, arguments.options(), &stop);
    if let (true, Ok(summary)) = (arguments.once, &result) {
        tracing::info!("{} done, {} failed; `meshreel status` lists all", summary.done, summary.failed);
    }
    match result {
        Ok(_) if arguments.once && stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        // A service that ends when it is told to did not fail, whatever its jobs did.
        Ok(summary) if arguments.once && summary.failed > 0 => ExitCode::from(FAILED),
        Ok(_) => ExitCode::SUCCESS,
        Err(
            error @ (ServiceError::NoFolders
            | ServiceError::OutputIsWatched { .. }
            | ServiceError::NoOriginalsFolder { .. }),
        ) => fail(USAGE, &error),
        Err(error) => fail(FAILED, &error),
    }
}

fn man(folder: Option<&Path>) -> ExitCode {
    let Some(folder) = folder else {
        return match manual::page() {
            Ok(page) => print(&page),
            Err(error) => fail(FAILED, &error),
        };
    };
    match manual::write_pages(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!(
                "meshreel: the manual pages cannot be written into {}: {error}",
                printable(&folder.to_string_lossy())
            ));
            ExitCode::from(FAILED)
        }
    }
}

/// Writes a text to standard output.
fn print(text: &[u8]) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            tell(format_args!("meshreel: standard output cannot be written: {error}"));
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// The first signal asks for a clean end; a second one ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Writes a line to standard output. Where nobody reads it, there is nothing to be done.
fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(terminal::stdout(), "{line}");
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    // Files, descriptions and networks may have names that would drive the terminal.
    error.to_string().lines().enumerate().for_each(|(at, line)| {
        let name = if at == 0 { "meshreel: " } else { "" };
        tell(format_args!("{name}{}", printable(line)));
    });
    ExitCode::from(code)
}
