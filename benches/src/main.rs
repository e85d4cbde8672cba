//! Measures touchfile and its peers, side by side, in one run.
//!
//! Every contender does the same work in turns with all others, so that a machine that slows down
//! slows down for all. Where it takes several processes, they are this program executed again.

mod claims;
mod clock;
mod contenders;
mod machine;
mod plots;
mod proc;
mod report;
mod run;
mod scenarios;
mod stats;
mod worker;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Report;
use run::{Effort, Run};

/// Measures touchfile and its peers, side by side
#[derive(Debug, Parser)]
#[command(name = "touchfile-bench", version)]
struct Options {
    /// Measure for less than a minute in all
    #[arg(long)]
    quick: bool,

    /// Measure as little as shows that it works; the numbers mean nothing
    #[arg(long, hide = true, conflicts_with = "quick")]
    smoke: bool,

    /// Measure this scenario, and others named so, and no more
    #[arg(long, value_name = "SCENARIO", value_parser = scenario_names())]
    only: Vec<String>,

    /// Compare contenders whose names contain this, and others named so, with the floor
    #[arg(long, value_name = "NAME")]
    contender: Vec<String>,

    /// Put the lock files into a new directory in this one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Write each number as a row of JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Draw plots into this directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    if let Some(code) = worker::run_as_worker() {
        return code;
    }
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "touchfile-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    let effort = match options {
        Options { quick: true, .. } => Effort::Quick,
        Options { smoke: true, .. } => Effort::Smoke,
        _ => Effort::Full,
    };
    let directory = match &options.dir {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let mut text = machine::describe(directory.path());
    show(&text)?;
    let mut run = Run::new(effort, &options.contender, directory);
    for scenario in scenarios::ALL {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == scenario.name) {
            continue;
        }
        let shown = run.report.tables.len();
        let ran = (scenario.run)(&mut run);
        ran.map_err(|error| io::Error::other(format!("{}: {error}", scenario.name)))?;
        for table in &run.report.tables[shown..] {
            let part = format!(
                "\n## {}\n\n{}\n\n{}",
                table.title(),
                table.caption,
                table.markdown()
            );
            show(&part)?;
            text.push_str(&part);
        }
    }
    let claims = claims::judge(&run.report);
    show(&claims)?;
    text.push_str(&claims);
    write_files(options, &run.report, &text)
}

fn write_files(options: &Options, report: &Report, text: &str) -> io::Result<()> {
    if let Some(file) = &options.json {
        let rows: Vec<_> = report.json().iter().map(ToString::to_string).collect();
        fs::write(file, format!("[\n{}\n]\n", rows.join(",\n")))?;
    }
    if let Some(file) = &options.markdown {
        fs::write(file, text)?;
    }
    if let Some(directory) = &options.svg {
        fs::create_dir_all(directory)?;
        plots::draw(report, directory)?;
    }
    Ok(())
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn scenario_names() -> Vec<&'static str> {
    scenarios::ALL
        .iter()
        .map(|scenario| scenario.name)
        .collect()
}
