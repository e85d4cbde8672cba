//! A run of the benchmark: how much work it is, and what it has found so far.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use crate::contenders::{self, Contender, Mode};
use crate::report::Report;

/// How long to measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effort {
    Full,
    /// Within a minute in all.
    Quick,
    /// As little as shows that it works.
    Smoke,
}

impl Effort {
    pub(crate) fn pick<T>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Smoke => smoke,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) effort: Effort,
    pub(crate) report: Report,
    /// Who takes part.
    contenders: Vec<&'static Contender>,
    directory: TempDir,
    files: u64,
    progress: ProgressBar,
}

impl Run {
    /// `only`: parts of names of contenders; the floor is always there.
    pub(crate) fn new(effort: Effort, only: &[String], directory: TempDir) -> Self {
        let wanted = |contender: &&Contender| {
            only.is_empty()
                || contender.name == contenders::FLOOR
                || only.iter().any(|part| contender.name.contains(&**part))
        };
        Self {
            effort,
            report: Report::default(),
            contenders: contenders::all().filter(wanted).collect(),
            directory,
            files: 0,
            progress: ProgressBar::no_length(),
        }
    }

    /// All, also those that differ in the uncontended cycle only.
    pub(crate) fn all(&self) -> Vec<&'static Contender> {
        self.contenders.clone()
    }

    /// Those that wait in different ways.
    pub(crate) fn waiters(&self) -> Vec<&'static Contender> {
        let all = self.contenders.iter().copied();
        all.filter(|contender| !contender.cycle_only).collect()
    }

    /// Those that wait in different ways, for scenarios of many threads; and who was left out.
    ///
    /// Threads that are blocked in the kernel are all alike: in a quick run the floor stands for
    /// its peers.
    pub(crate) fn unlike(&self) -> (Vec<&'static Contender>, Vec<(&'static str, String)>) {
        let alike = |contender: &&Contender| {
            let raw = contender.raw_of_its_family().name == contender.name;
            let blocked = !contender.is_async() && !contender.is_ours();
            self.effort == Effort::Quick && blocked && !raw
        };
        let (out, able): (Vec<_>, Vec<_>) = self.waiters().into_iter().partition(alike);
        let reason =
            "left out of a quick run: its threads are blocked in the kernel like the floor's";
        let out = out
            .into_iter()
            .map(|contender| (contender.name, reason.to_owned()));
        (able, out.collect())
    }

    /// Those that can be held by several at once; and who cannot.
    pub(crate) fn sharers(&self) -> (Vec<&'static Contender>, Vec<(&'static str, String)>) {
        let (able, unable): (Vec<_>, Vec<_>) = self
            .waiters()
            .into_iter()
            .partition(|contender| contender.shared);
        let reason = |contender: &Contender| (contender.name, "it has no shared mode".to_owned());
        (able, unable.into_iter().map(reason).collect())
    }

    /// A path where nothing is yet.
    pub(crate) fn new_path(&mut self) -> PathBuf {
        self.files += 1;
        self.directory.path().join(format!("{}.lock", self.files))
    }

    /// Shows that a scenario of so many steps begins.
    pub(crate) fn begin(&mut self, name: &str, steps: usize) {
        let style = ProgressStyle::with_template("{msg:>27} {wide_bar} {elapsed} of {duration}")
            .expect("the template is a constant");
        self.progress = ProgressBar::new(steps as u64)
            .with_style(style)
            .with_message(name.to_owned());
        self.progress.enable_steady_tick(Duration::from_millis(250));
    }

    /// A step is done.
    pub(crate) fn step(&self) {
        self.progress.inc(1);
    }

    pub(crate) fn end(&self) {
        self.progress.finish_and_clear();
    }
}

/// What was found about each, and who could not, and why.
pub(crate) type Found = (Vec<(&'static str, Vec<f64>)>, Vec<(&'static str, String)>);

/// Measures each of these once in every round, and keeps of its rounds the one that is in the
/// middle by its `decisive` number.
pub(crate) fn in_rounds(
    run: &mut Run,
    contenders: Vec<&'static Contender>,
    rounds: usize,
    decisive: usize,
    mut measure: impl FnMut(&mut Run, &'static Contender) -> io::Result<Result<Vec<f64>, String>>,
) -> io::Result<Found> {
    let new = |contender| (contender, Vec::new(), None);
    let mut entrants: Vec<_> = contenders.into_iter().map(new).collect();
    for round in 0..rounds {
        for (contender, found, unable) in turns(&mut entrants, round) {
            if unable.is_none() {
                match measure(run, contender)? {
                    Ok(values) => found.push(values),
                    Err(reason) => *unable = Some(reason),
                }
            }
            run.step();
        }
    }
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    for (contender, mut found, unable) in entrants {
        found.sort_by(|one: &Vec<f64>, other| one[decisive].total_cmp(&other[decisive]));
        match unable {
            Some(reason) => out.push((contender.name, reason)),
            None => lines.push((contender.name, found.swap_remove(found.len() / 2))),
        }
    }
    Ok((lines, out))
}

/// In a round of measurements each has its turn, and in each round somebody else is the first.
pub(crate) fn turns<T>(all: &mut [T], round: usize) -> impl Iterator<Item = &mut T> {
    let middle = if all.is_empty() { 0 } else { round % all.len() };
    let (later, first) = all.split_at_mut(middle);
    first.iter_mut().chain(later)
}

/// As workers are told it.
pub(crate) fn word(mode: Mode) -> u64 {
    match mode {
        Mode::Exclusive => 0,
        Mode::Shared => 1,
    }
}

/// The reverse of [`word`].
pub(crate) fn mode(word: u64) -> Mode {
    if word == 0 {
        Mode::Exclusive
    } else {
        Mode::Shared
    }
}

/// What a worker says that was told nonsense: a fault of this program.
pub(crate) fn misheard() -> io::Error {
    io::Error::other("an order that nobody understands")
}
