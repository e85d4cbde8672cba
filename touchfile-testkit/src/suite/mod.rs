//! The public interface of the suite: what to test, how much of it, and how to run it.

mod cases;
mod json;
mod macros;
mod options;
mod progress;
mod report;
mod run;
mod summary;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use touchfile_core::{BoxBackend, LockBackend};
use touchfile_mock::World;

pub use self::progress::Observer;
pub use self::report::{CaseReport, Report, Verdict};
use crate::fixture::MakeInWorld;
use crate::lockstep::Step;
use crate::process;
use crate::process::Place;

/// How soon a waiter must be granted a free lock, by default.
const PATIENCE: Duration = Duration::from_secs(5);

/// The environment in which a backend is made.
#[derive(Clone, Debug)]
pub struct Env {
    dir: PathBuf,
}

impl Env {
    /// A directory for lock files. The suite makes and removes it. Each case has a subdirectory of its
    /// own.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The conformance suite for one backend.
///
/// # Examples
///
/// ```no_run
/// use touchfile_testkit::Suite;
/// # struct MyBackend;
/// # impl MyBackend { fn new(_: &std::path::Path) -> touchfile_mock::MockBackend { touchfile_mock::MockBackend::new() } }
///
/// fn main() -> std::process::ExitCode {
///     Suite::new("my-backend", |env| MyBackend::new(env.dir()))
///         .processes(3)
///         .cases(256)
///         .skip("liveness::a_writer_among_readers", "readers are short here")
///         .run()
/// }
/// ```
///
/// # Workers
///
/// The worker processes are this program, executed again with the same arguments and with
/// environment variables that name the suite. When such a process calls [`run`](Self::run),
/// [`check`](Self::check) or [`work`](Self::work) of the named suite, it executes the commands of
/// the suite until the suite ends, and then exits. So a program must call one of these before it
/// reads standard input or starts threads. A test target with a suite needs `harness = false`.
///
/// # Environment
///
/// `TOUCHFILE_TESTKIT_CASES` and `TOUCHFILE_TESTKIT_SEED` override [`cases`](Self::cases) and
/// [`seed`](Self::seed) in [`run`](Self::run). In [`check`](Self::check) they are used only if the
/// program has set nothing.
#[derive(Clone)]
#[must_use = "a suite does nothing until it is run"]
pub struct Suite {
    name: String,
    make: Make,
    processes: u8,
    cases: Option<u32>,
    seed: Option<u64>,
    patience: Duration,
    death_grace: Option<Duration>,
    dir: Option<PathBuf>,
    places: Vec<Place>,
    source_dir: Option<PathBuf>,
    skips: Vec<(String, String)>,
    replays: Vec<Vec<Step>>,
    only: Vec<String>,
    until_first_finding: bool,
    shrink: bool,
}

#[derive(Clone)]
enum Make {
    InWorld(MakeInWorld),
    WithFiles(Arc<dyn Fn(&Env) -> BoxBackend + Send + Sync>),
}

impl Suite {
    /// A suite for the backend that `make` makes. Each process makes its own.
    ///
    /// The name must differ from the names of the other suites of the program.
    pub fn new<B: LockBackend>(
        name: impl Into<String>,
        make: impl Fn(&Env) -> B + Send + Sync + 'static,
    ) -> Self {
        let make = move |env: &Env| BoxBackend::new(make(env));
        Self::with(name.into(), Make::WithFiles(Arc::new(make)))
    }

    /// A suite for a backend in memory, without worker processes.
    ///
    /// `make` makes the backend of the process with the given name, in the given world. Each case
    /// has a world of its own, in which it kills processes and replaces files. A backend that does
    /// not belong to a [`World`] ignores both arguments, and must claim neither `cross_process` nor
    /// `identity`.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_testkit::Suite;
    ///
    /// let suite = Suite::in_process("mock", |world, process| world.process(process));
    /// let report = suite.only("exclusion::").cases(8).check(&())?;
    /// assert!(report.passed(), "{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn in_process<B: LockBackend>(
        name: impl Into<String>,
        make: impl Fn(&World, &str) -> B + Send + Sync + 'static,
    ) -> Self {
        let make = move |world: &World, process: &str| BoxBackend::new(make(world, process));
        Self::with(name.into(), Make::InWorld(Arc::new(make)))
    }

    /// How many processes compete in random schedules and races. Default: 3.
    pub fn processes(mut self, processes: u8) -> Self {
        self.processes = processes.max(1);
        self
    }

    /// How many random schedules are played. Default: 256. Other repetitions are in proportion.
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = Some(cases);
        self
    }

    /// The seed of all random choices. Default: a new number for each run. The report has the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How soon a waiter must be granted a free lock. Default: 5 s, so that a correct backend passes
    /// on a busy machine. Any call may take twice this time.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a process may still hold its locks after its end was reported. Default: the
    /// [`death_lag`](touchfile_core::Capabilities::death_lag) that the backend claims, which is zero where
    /// the kernel closes files before it reports the end of a process. A client of a network file system
    /// asks its server to release them and does not wait for the answer.
    ///
    /// The cases in which processes race always allow 250 ms.
    pub fn death_grace(mut self, grace: Duration) -> Self {
        self.death_grace = Some(grace);
        self
    }

    /// The directory in which the suite makes its directory for lock files. Default:
    /// [`std::env::temp_dir`].
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds a place for worker processes. The processes are distributed over the places in turn.
    /// Default: all run like the suite itself.
    ///
    /// The suite itself, which replaces lock files and runs other programs, stays where it is.
    pub fn place(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// The directory of the crate under test, where `proptest-regressions` are kept.
    /// [`conformance_main!`](crate::conformance_main) sets it.
    pub fn source_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.source_dir = Some(dir.into());
        self
    }

    /// Skips a case, and gives the reason in the summary. `case` is its whole name.
    pub fn skip(mut self, case: impl Into<String>, reason: impl Into<String>) -> Self {
        self.skips.push((case.into(), reason.into()));
        self
    }

    /// Plays a schedule as an additional case. A finding prints the schedule that shows it.
    pub fn replay(mut self, steps: &[Step]) -> Self {
        self.replays.push(steps.to_vec());
        self
    }

    /// Runs only the cases whose name contains `part`. After several calls one of them is enough.
    pub fn only(mut self, part: impl Into<String>) -> Self {
        self.only.push(part.into());
        self
    }

    /// Whether a random schedule that fails is shrunk to the steps that matter, which can take many
    /// seconds. Default: yes.
    pub fn shrink(mut self, shrink: bool) -> Self {
        self.shrink = shrink;
        self
    }

    /// Ends a [`check`](Self::check) at the first broken law.
    pub fn until_first_finding(mut self) -> Self {
        self.until_first_finding = true;
        self
    }

    /// Runs the suite as a test program. It takes the arguments of libtest, and `--json FILE` to write
    /// the report to a file.
    ///
    /// In a worker of this suite it executes the commands of the suite, and in a worker of another
    /// suite it returns at once.
    pub fn run(self) -> ExitCode {
        match self.own_work() {
            Work::Mine => self.serve_and_exit(),
            Work::None => run::as_test_program(self),
            Work::Others => ExitCode::SUCCESS,
        }
    }

    /// Runs the suite and returns its report.
    ///
    /// In a worker of this suite it executes the commands of the suite and exits, and in a worker of
    /// another suite it returns an empty report at once.
    ///
    /// # Errors
    ///
    /// - The directory for the lock files cannot be made.
    /// - An environment variable of the suite is no number.
    /// - A case to [skip](Self::skip) does not exist.
    pub fn check(self, observer: &dyn Observer) -> std::io::Result<Report> {
        self.work();
        run::for_program(self, observer)
    }

    /// If this process is a worker of this suite, executes the commands of the suite and exits.
    /// Otherwise does nothing.
    ///
    /// A program that does other things before it runs the suite calls this first.
    pub fn work(&self) {
        if self.own_work() == Work::Mine {
            self.serve_and_exit();
        }
    }

    fn with(name: String, make: Make) -> Self {
        Self {
            name,
            make,
            processes: 3,
            cases: None,
            seed: None,
            patience: PATIENCE,
            death_grace: None,
            dir: None,
            places: Vec::new(),
            source_dir: None,
            skips: Vec::new(),
            replays: Vec::new(),
            only: Vec::new(),
            until_first_finding: false,
            shrink: true,
        }
    }

    fn own_work(&self) -> Work {
        match process::suite_of_this_worker() {
            Some((suite, _)) if suite == self.name => Work::Mine,
            Some(_) => Work::Others,
            None => Work::None,
        }
    }

    fn serve_and_exit(&self) -> ! {
        let (Some((_, dir)), Make::WithFiles(make)) = (process::suite_of_this_worker(), &self.make)
        else {
            std::process::exit(1);
        };
        let backend = make(&Env { dir });
        if let Err(error) = process::serve(backend) {
            eprintln!("the worker of the suite {} failed: {error}", self.name);
            std::process::exit(1);
        }
        std::process::exit(0);
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Work {
    Mine,
    /// This process is no worker.
    None,
    Others,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("name", &self.name)
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}
