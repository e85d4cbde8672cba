//! A case: one sentence about a backend that is true or not.

use std::time::Duration;

use touchfile_core::Capabilities;

use crate::fixture::Host;
use crate::{Law, Step};

/// How many random schedules are played by default; the other costs follow.
pub(crate) const DEFAULT_CASES: u32 = 256;

/// One case of the suite.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) law: Option<Law>,
    pub(crate) needs: &'static [Need],
    pub(crate) run: Run,
}

pub(crate) type Run = Box<dyn Fn(&Context<'_>) -> Outcome + Send + Sync>;

pub(crate) type Outcome = Result<Done, Undone>;

/// A case that passed.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) tried: u64,
    pub(crate) measured: Vec<String>,
}

/// A case that did not pass.
#[derive(Debug)]
pub(crate) enum Undone {
    /// A finding, and how often something had been tried that could have failed.
    Broken(Box<Finding>, u64),
    /// The suite's own failure.
    Failed(String),
    Skipped(String),
}

/// A law that is broken, and how that was found out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The law.
    pub law: Law,
    /// The case that found it.
    pub case: String,
    /// What happened, in words, over several lines.
    pub trace: String,
    /// The schedule that shows it again, if a lock-step case found it and it could be repeated.
    pub steps: Vec<Step>,
}

/// What a case has at its disposal.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a Host,
    pub(crate) claims: Capabilities,
    pub(crate) processes: u8,
    pub(crate) cases: u32,
    pub(crate) seed: u64,
    pub(crate) patience: Duration,
    /// Whether a schedule that fails is shrunk.
    pub(crate) shrink: bool,
    /// How long the locks of the dead may stay.
    pub(crate) death_grace: Duration,
    /// A function that is called with how much is done, and of how much; it returns whether to go on.
    pub(crate) progress: &'a (dyn Fn(u64, u64) -> bool + Sync),
}

/// What a backend must claim, or the suite must have, for a case to make sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    AtomicConversion,
    CrashRelease,
    CrossProcess,
    ExcludesFcntl,
    ExcludesFlock,
    Fair,
    ForkSafe,
    Identity,
    /// What the system counts in /proc.
    Proc,
    RealFiles,
    RealProcesses,
    RemoveOnRelease,
    Shared,
    /// Processes that can be stopped and continued.
    Signals,
}

impl Context<'_> {
    /// How often to try something that is tried so often by default.
    pub(crate) fn times(&self, by_default: u64) -> u64 {
        (by_default * u64::from(self.cases) / u64::from(DEFAULT_CASES)).max(1)
    }
}

impl Need {
    /// Why a case that has this need is left out, if it must be.
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
            Self::AtomicConversion => (claims.atomic_conversion, "atomic_conversion"),
            Self::CrashRelease => (claims.crash_release, "crash_release"),
            Self::CrossProcess => (claims.cross_process, "cross_process"),
            Self::ExcludesFcntl => (claims.excludes_fcntl, "excludes_fcntl"),
            Self::ExcludesFlock => (claims.excludes_flock, "excludes_flock"),
            Self::Fair => (claims.fair, "fair"),
            Self::ForkSafe => (claims.fork_safe, "fork_safe"),
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
