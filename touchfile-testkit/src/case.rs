//! A case of the suite: one sentence about a backend, which is true or not.

use std::path::Path;
use std::time::Duration;

use touchfile_core::Capabilities;

use crate::fixture::Host;
use crate::{Law, Step};

/// Cases that are about all laws, each named by its group and its function, with what it needs.
macro_rules! cases_of_all_laws {
    ($($group:ident::$function:ident $([$($need:ident),+])?),+ $(,)?) => {
        vec![$($crate::case::Case {
            name: concat!(stringify!($group), "::", stringify!($function)).to_owned(),
            law: None,
            needs: &[$($($crate::case::Need::$need),+)?],
            run: Box::new($function),
        }),+]
    };
}

/// How many random schedules are played by default. Other repetitions are in proportion.
pub(crate) const DEFAULT_CASES: u32 = 256;

/// One case of the suite.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) law: Option<Law>,
    pub(crate) needs: &'static [Need],
    pub(crate) run: Run,
}

pub(crate) type Run = Box<dyn Fn(&Context<'_>) -> Outcome + Send + Sync>;

/// The result of a case.
pub(crate) type Outcome = Result<Done, Undone>;

/// A case that passed.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How often something was tried that could have failed.
    pub(crate) tried: u64,
    /// What was measured, in sentences for the report.
    pub(crate) measured: Vec<String>,
}

/// A case that did not pass.
#[derive(Debug)]
pub(crate) enum Undone {
    /// A law is broken. The number says how often something had been tried that could have failed.
    Broken(Box<Finding>, u64),
    /// The suite itself failed, for this reason.
    Failed(String),
    /// The case cannot be tried here, for this reason.
    Skipped(String),
    /// The time of the case ran out when this many of the planned repetitions were done, which are too
    /// few to say anything.
    TooSlow { done: u64, planned: u64 },
}

/// How many times as much as was done may have been planned. A busy machine does half of it, and a
/// backend that asks a server does so little that nothing can be said.
const ENOUGH: u64 = 10;

/// The number that was done of something for which the time is limited, unless it is too small to judge.
pub(crate) fn enough(done: u64, planned: u64) -> Result<u64, Undone> {
    if done.saturating_mul(ENOUGH) < planned {
        return Err(Undone::TooSlow { done, planned });
    }
    Ok(done)
}

/// A broken law, and how it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The law that is broken.
    pub law: Law,
    /// The case that found it.
    pub case: String,
    /// What happened, in several lines of text.
    pub trace: String,
    /// The schedule that shows it again. Empty unless a lock-step case found it and could repeat it.
    pub steps: Vec<Step>,
}

/// What a case is run with.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a Host,
    pub(crate) claims: Capabilities,
    pub(crate) processes: u8,
    pub(crate) cases: u32,
    pub(crate) seed: u64,
    /// The directory for the seeds of schedules that fail, if they are kept.
    pub(crate) seeds: Option<&'a Path>,
    pub(crate) patience: Duration,
    /// Whether a schedule that fails is shrunk.
    pub(crate) shrink: bool,
    /// How long the locks of a killed process may stay.
    pub(crate) death_grace: Duration,
    /// Called with how much is done, and of how much. It returns whether to go on.
    pub(crate) progress: &'a (dyn Fn(u64, u64) -> bool + Sync),
}

/// What a backend must claim, or the suite must have, for a case to be tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    AtomicConversion,
    CrashRelease,
    CrossProcess,
    ExcludesFcntl,
    ExcludesFlock,
    Fair,
    Fencing,
    ForkSafe,
    Identity,
    /// Locks that the suite can take away from their holders.
    Losable,
    Loss,
    /// Worker processes, and /proc to count what they have open.
    Proc,
    RealFiles,
    RealProcesses,
    RemoveOnRelease,
    Shared,
    /// Processes that can be stopped and continued.
    Signals,
}

impl Context<'_> {
    /// How often to try something that is tried `by_default` times with the default settings.
    pub(crate) fn times(&self, by_default: u64) -> u64 {
        (by_default * u64::from(self.cases) / u64::from(DEFAULT_CASES)).max(1)
    }
}

impl Need {
    /// Why a case with this need has to be skipped, if it has to.
    pub(crate) fn is_missing(self, claims: Capabilities, host: &Host) -> Option<String> {
        let real = matches!(host, Host::Processes { .. });
        let (met, name) = match self {
            Self::Proc => {
                let why = "it needs worker processes and /proc";
                return (!(real && cfg!(target_os = "linux"))).then(|| why.to_owned());
            }
            Self::RealProcesses => {
                return (!real).then(|| "it needs worker processes".to_owned());
            }
            Self::Signals => {
                let why = "Windows has no signal that stops a process";
                return (real && cfg!(windows)).then(|| why.to_owned());
            }
            Self::Losable => {
                return real.then(|| "it needs a world in which locks can be lost".to_owned());
            }
            Self::AtomicConversion => (claims.atomic_conversion, "atomic_conversion"),
            Self::CrashRelease => (claims.crash_release, "crash_release"),
            Self::CrossProcess => (claims.cross_process, "cross_process"),
            Self::ExcludesFcntl => (claims.excludes_fcntl, "excludes_fcntl"),
            Self::ExcludesFlock => (claims.excludes_flock, "excludes_flock"),
            Self::Fair => (claims.fair, "fair"),
            Self::Fencing => (claims.fencing, "fencing"),
            Self::ForkSafe => (claims.fork_safe, "fork_safe"),
            Self::Loss => (claims.loss, "loss"),
            Self::Identity => (claims.identity, "identity"),
            Self::RealFiles => (claims.real_files, "real_files"),
            Self::RemoveOnRelease => (claims.remove_on_release, "remove_on_release"),
            Self::Shared => (claims.shared, "shared"),
        };
        (!met).then(|| format!("the backend does not claim `{name}`"))
    }
}

impl From<String> for Undone {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Undone {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
