//! Measures touchfile and its peers, side by side, in one run.
//!
//! Every contender does the same work in turns with all others, so that a machine that slows down
//! slows down for all. Where it takes several processes, they are this program executed again.

#[cfg(not(target_os = "linux"))]
compile_error!("the benchmark reads /proc and uses open-file-description locks: it is for Linux");

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
mod summary;
mod worker;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use report::Report;
use run::{Effort, Run};

/// Measures touchfile and its peers, side by side, in some twenty minutes
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

    /// Write the tables as Markdown: between its lines `<!-- results -->` and `<!-- end of
    /// results -->`, if FILE is there and has them
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Draw plots into this directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    if let Some(role) = worker::role() {
        let done = worker::Side::new().and_then(|side| scenarios::play(&role, side));
        return match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                drop(writeln!(io::stderr(), "worker {role}: {error}"));
                ExitCode::FAILURE
            }
        };
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
    check_files(options)?;
    let directory = match &options.dir {
        Some(directory) => {
            tempfile::tempdir_in(directory).map_err(|error| at(directory, &error))?
        }
        None => tempfile::tempdir()?,
    };
    let mut text = format!(
        "{}\n{}",
        command(options),
        machine::describe(directory.path())
    );
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
                "\n### {}\n\n{}\n\n{}",
                table.title(),
                table.caption,
                table.markdown()
            );
            show(&part)?;
            text.push_str(&part);
        }
    }
    for part in [claims::judge(&run.report), summary::table(&run.report)] {
        show(&part)?;
        text.push_str(&part);
    }
    write_files(options, &run.report, &text)
}

/// What repeats this run: where its results go is of no interest.
fn command(options: &Options) -> String {
    let mut words = "`cargo run --release -p touchfile-bench".to_owned();
    if options.quick || !options.only.is_empty() || !options.contender.is_empty() {
        words.push_str(" --");
    }
    if options.quick {
        words.push_str(" --quick");
    }
    for scenario in &options.only {
        words.push_str(&format!(" --only {scenario}"));
    }
    for contender in &options.contender {
        words.push_str(&format!(" --contender '{contender}'"));
    }
    words + "`\n"
}

/// Whether results can be written where they are wanted: better known now than in twenty minutes.
fn check_files(options: &Options) -> io::Result<()> {
    for file in [&options.json, &options.markdown].into_iter().flatten() {
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.map_err(|error| at(file, &error))?;
    }
    if let Some(directory) = &options.svg {
        fs::create_dir_all(directory).map_err(|error| at(directory, &error))?;
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn write_files(options: &Options, report: &Report, text: &str) -> io::Result<()> {
    if let Some(file) = &options.json {
        let rows: Vec<_> = report.json().iter().map(ToString::to_string).collect();
        fs::write(file, format!("[\n{}\n]\n", rows.join(",\n")))?;
    }
    if let Some(file) = &options.markdown {
        fs::write(file, insert(&fs::read_to_string(file)?, text))?;
    }
    if let Some(directory) = &options.svg {
        plots::draw(report, directory)?;
    }
    Ok(())
}

/// Puts results where a document wants them, or in its place.
fn insert(document: &str, results: &str) -> String {
    let around = document.split_once(BEGIN);
    match around.and_then(|(before, old)| Some((before, old.split_once(END)?.1))) {
        Some((before, after)) => format!("{before}{BEGIN}\n\n{results}\n{END}{after}"),
        None => results.to_owned(),
    }
}

const BEGIN: &str = "<!-- results -->";
const END: &str = "<!-- end of results -->";

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

#[cfg(test)]
mod tests {
    use super::insert;

    #[test]
    fn results_replace_those_between_the_marks_and_nothing_else() {
        let old = "# Title\n<!-- results -->\nold\n<!-- end of results -->\n## Tried\n";
        let new = insert(old, "new\n");
        let marked = "<!-- results -->\n\nnew\n\n<!-- end of results -->";
        assert_eq!(new, format!("# Title\n{marked}\n## Tried\n"));
        assert_eq!(insert(&new, "new\n"), new);
        assert_eq!(insert("no marks", "new\n"), "new\n");
    }
}
