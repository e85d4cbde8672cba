//! Faults that a test arms in advance: failures, refusals and delays.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A call of the backend traits that a [`Fault`] can affect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// [`ConvertLock::downgrade`](touchfile_core::ConvertLock::downgrade).
    Downgrade,
    /// [`LockHandle::is_current`](touchfile_core::LockHandle::is_current).
    IsCurrent,
    /// [`LockHandle::is_lost`](touchfile_core::LockHandle::is_lost), which `Guard::verify` calls.
    IsLost,
    /// The beginning of [`LockHandle::lock`](touchfile_core::LockHandle::lock). A `TouchFile` makes this
    /// call only after a `try_lock` that found the lock busy.
    Lock,
    /// The beginning of [`LockHandle::lost`](touchfile_core::LockHandle::lost), which `Guard::lost` calls, of a
    /// backend that claims `loss`.
    Lost,
    /// [`LockBackend::open`](touchfile_core::LockBackend::open).
    Open,
    /// [`LockHandle::try_lock`](touchfile_core::LockHandle::try_lock).
    TryLock,
    /// [`ConvertLock::try_upgrade`](touchfile_core::ConvertLock::try_upgrade).
    TryUpgrade,
    /// [`LockHandle::unlock`](touchfile_core::LockHandle::unlock). Dropping a handle is not a
    /// call and cannot fail.
    Unlock,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Downgrade => "downgrade",
            Self::IsCurrent => "is_current",
            Self::IsLost => "is_lost",
            Self::Lock => "lock",
            Self::Lost => "lost",
            Self::Open => "open",
            Self::TryLock => "try_lock",
            Self::TryUpgrade => "try_upgrade",
            Self::Unlock => "unlock",
        })
    }
}

/// The error with which a call fails: an errno or a kind of [`io::Error`].
///
/// # Examples
///
/// ```
/// use std::io;
/// use touchfile_mock::Failure;
///
/// assert_eq!(Failure::from(5), Failure::Errno(5)); // EIO
/// let error = io::Error::from(Failure::from(io::ErrorKind::StorageFull));
/// assert_eq!(error.kind(), io::ErrorKind::StorageFull);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The error of [`io::Error::from_raw_os_error`] with this code.
    Errno(i32),
    /// An error of this kind without an OS code.
    Kind(io::ErrorKind),
}

impl From<i32> for Failure {
    fn from(errno: i32) -> Self {
        Self::Errno(errno)
    }
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Errno(errno) => Self::from_raw_os_error(errno),
            Failure::Kind(kind) => kind.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

/// A fault, which affects one or several calls that match its conditions.
///
/// [`World::inject`](crate::World::inject) arms it. A call first waits for the oldest delay that matches
/// it, and then meets the oldest failure or refusal that matches it. A fault is gone after it has
/// affected as many calls as [`times`](Self::times) says.
///
/// # Examples
///
/// ```
/// use touchfile_mock::{Call, Fault, World};
///
/// const ENOLCK: i32 = 37;
/// let world = World::new();
/// world.inject(Fault::fail(Call::TryLock, ENOLCK).times(3).in_process("a"));
/// world.inject(Fault::refuse().on_path("/run/a.lock"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until `World::inject` arms it"]
pub struct Fault {
    call: Call,
    effect: Effect,
    times: u32,
    process: Option<String>,
    path: Option<PathBuf>,
}

impl Fault {
    /// Delays a call by this time on tokio's clock, before it does anything.
    ///
    /// If the future is dropped during the delay, the call has not taken place.
    pub fn delay(call: Call, by: Duration) -> Self {
        Self::new(call, Effect::Delay(by))
    }

    /// Lets a call fail. The call does nothing else: it creates no file and takes no lock, and after a
    /// failed unlock the lock is held until its handle is dropped.
    pub fn fail(call: Call, error: impl Into<Failure>) -> Self {
        Self::new(call, Effect::Fail(error.into()))
    }

    /// Lets `try_lock` answer [`WouldBlock`](touchfile_core::Attempt::WouldBlock) though the lock is
    /// free, which law 2 forbids.
    pub fn refuse() -> Self {
        Self::new(Call::TryLock, Effect::Refuse)
    }

    /// Affects only calls of the process with this name.
    pub fn in_process(mut self, name: impl Into<String>) -> Self {
        self.process = Some(name.into());
        self
    }

    /// Affects only calls on this path or on handles that were opened with it.
    pub fn on_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(crate::paths::absolute(&path.into()));
        self
    }

    /// Affects this many calls. Default: one.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    fn new(call: Call, effect: Effect) -> Self {
        Self {
            call,
            effect,
            times: 1,
            process: None,
            path: None,
        }
    }

    fn strikes(&self, call: Call, process: &str, path: &Path) -> bool {
        self.call == call
            && self.process.as_deref().is_none_or(|name| name == process)
            && self.path.as_deref().is_none_or(|only| only == path)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    Delay(Duration),
    Fail(Failure),
    Refuse,
}

/// The armed faults, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many calls the armed faults can still affect.
    pub(crate) fn armed(&self) -> u64 {
        self.0.iter().map(|fault| u64::from(fault.times)).sum()
    }

    pub(crate) fn take_delay(
        &mut self,
        call: Call,
        process: &str,
        path: &Path,
    ) -> Option<Duration> {
        match self.take(call, process, path, |e| matches!(e, Effect::Delay(_)))? {
            Effect::Delay(by) => Some(by),
            Effect::Fail(_) | Effect::Refuse => None,
        }
    }

    /// The oldest failure or refusal that matches a call.
    pub(crate) fn take_blow(&mut self, call: Call, process: &str, path: &Path) -> Option<Effect> {
        self.take(call, process, path, |e| !matches!(e, Effect::Delay(_)))
    }

    fn take(
        &mut self,
        call: Call,
        process: &str,
        path: &Path,
        wanted: impl Fn(&Effect) -> bool,
    ) -> Option<Effect> {
        let index = self
            .0
            .iter()
            .position(|fault| fault.strikes(call, process, path) && wanted(&fault.effect))?;
        let fault = &mut self.0[index];
        let effect = fault.effect;
        fault.times -= 1;
        self.0.retain(|fault| fault.times > 0);
        Some(effect)
    }
}
