//! Takes several locks without a deadlock.
//!
//! Two commands deadlock if each holds a lock for which the other waits. They cannot deadlock if both
//! take their locks in the same order. This is the order of the identities of the files, which does not
//! depend on their names or on the command line. A file that is given twice, through a link or by another
//! path, has one identity and is locked once.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use touchfile::{BlockingGuard, Error, Holder, LockBackend, LockMode, TouchFile, TouchFileBuilder};
use touchfile_core::OpenOptions;
use touchfile_file::{FileId, Symlinks};

use crate::exit::Failure;
use crate::paths::reachable;
use crate::progress::Progress;

/// A held lock.
pub(super) type Held<B> = BlockingGuard<Arc<TouchFile<B>>, B>;

/// A lock file with the identity that it had when the locks were ordered.
type Identified<B> = (FileId, Arc<TouchFile<B>>);

/// The variable with the held locks.
pub(super) const VARIABLE: &str = "TOUCHFILE_LOCKS";

/// How often to start again because files were replaced, as for a single lock.
const MAX_REPLACED: u32 = 1_000;

/// The options of each lock.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) mode: LockMode,
    pub(super) limit: WaitLimit,
    pub(super) symlinks: Symlinks,
    pub(super) verbosity: Verbosity,
    /// How many may have a permit at a time, if not one has the lock.
    pub(super) jobs: Option<usize>,
}

/// Which ways of giving up are reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verbosity {
    Quiet,
    /// Giving up after a wait.
    Normal,
    /// Giving up after a wait, and after a single attempt.
    Verbose,
}

/// How long to wait for all locks, and the exit status for giving up.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitLimit {
    Unlimited,
    None { conflict: u8 },
    Time { time: Duration, conflict: u8 },
}

/// Takes the locks on all of `paths`, or none.
pub(super) fn acquire<B: LockBackend + Clone>(
    backend: &B,
    paths: &[PathBuf],
    wanted: &Wanted,
    progress: &Progress,
) -> Result<Vec<Held<B>>, Failure> {
    if let ([path], Some(jobs)) = (paths, wanted.jobs) {
        return Ok(vec![acquire_permit(backend, path, jobs, wanted, progress)?]);
    }
    let mut touches = Vec::new();
    for path in paths {
        let builder = builder(backend, path, wanted, progress);
        touches.push(Arc::new(builder.build()?));
    }
    let started = Instant::now();
    if let [touch] = touches.as_slice() {
        return Ok(vec![acquire_one(touch, wanted, started)?]);
    }
    for _ in 0..MAX_REPLACED {
        let in_order = in_order(&touches, wanted)?;
        let mut held = Vec::new();
        for (id, touch) in &in_order {
            let guard = acquire_one(touch, wanted, started)?;
            // If the file was replaced, other commands may lock the files in another order.
            if identity(touch.path(), wanted) != Some(*id) {
                break;
            }
            held.push(guard);
        }
        if held.len() == in_order.len() {
            return Ok(held);
        }
    }
    Err(Failure::replaced(MAX_REPLACED))
}

fn builder<B: LockBackend + Clone>(
    backend: &B,
    path: &Path,
    wanted: &Wanted,
    progress: &Progress,
) -> TouchFileBuilder<B> {
    let builder = TouchFile::builder(backend.clone())
        .path(reachable(path))
        .follow_symlinks(wanted.symlinks == Symlinks::Follow)
        .no_symlinks(wanted.symlinks == Symlinks::Refuse);
    progress.show_waits_of(builder)
}

/// The files in the order in which all commands lock them, each once. Missing files are created.
fn in_order<B: LockBackend>(
    touches: &[Arc<TouchFile<B>>],
    wanted: &Wanted,
) -> Result<Vec<Identified<B>>, Failure> {
    let mut in_order = Vec::new();
    for touch in touches {
        let path = touch.path();
        let id = loop {
            if let Some(id) = identity(path, wanted) {
                break id;
            }
            let mut options = OpenOptions::new();
            options.follow_symlinks = wanted.symlinks == Symlinks::Follow;
            options.no_symlinks = wanted.symlinks == Symlinks::Refuse;
            if touchfile_file::open(path, &options).is_err() {
                // This reports the same error as for a single lock.
                drop(touch.blocking().try_lock(wanted.mode)?);
            }
        };
        in_order.push((id, touch.clone()));
    }
    in_order.sort_by_key(|(id, _)| *id);
    in_order.dedup_by_key(|(id, _)| *id);
    Ok(in_order)
}

fn identity(path: &Path, wanted: &Wanted) -> Option<FileId> {
    FileId::from_path(path, wanted.symlinks).ok().flatten()
}

fn acquire_one<B: LockBackend>(
    touch: &Arc<TouchFile<B>>,
    wanted: &Wanted,
    started: Instant,
) -> Result<Held<B>, Failure> {
    let (view, mode) = (touch.clone().blocking_owned(), wanted.mode);
    match wanted.limit {
        WaitLimit::Unlimited => Ok(view.lock(mode)?),
        WaitLimit::None { conflict } => view.try_lock(mode)?.ok_or_else(|| {
            let holders = || touchfile_file::holders(touch.path());
            let what = || what(mode, None, touch.path());
            not_free(conflict, wanted, what, || holders().unwrap_or_default())
        }),
        WaitLimit::Time { time, conflict } => {
            let left = time.saturating_sub(started.elapsed());
            let done = view.lock_timeout(mode, left);
            done.map_err(|error| late(error, time, conflict, wanted))
        }
    }
}

/// Takes one of `jobs` permits.
fn acquire_permit<B: LockBackend + Clone>(
    backend: &B,
    path: &Path,
    jobs: usize,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<Held<B>, Failure> {
    let semaphore = builder(backend, path, wanted, progress).build_semaphore(jobs)?;
    let view = semaphore.blocking();
    match wanted.limit {
        WaitLimit::Unlimited => Ok(view.acquire()?),
        WaitLimit::None { conflict } => view.try_acquire()?.ok_or_else(|| {
            let what = || what(wanted.mode, Some(jobs), semaphore.path());
            not_free(conflict, wanted, what, || {
                view.holders().unwrap_or_default()
            })
        }),
        WaitLimit::Time { time, conflict } => {
            let done = view.acquire_timeout(time);
            done.map_err(|error| late(error, time, conflict, wanted))
        }
    }
}

/// What is wanted, in the words of a message.
pub(crate) fn what(mode: LockMode, permits: Option<usize>, path: &Path) -> String {
    let path = path.display();
    match permits {
        Some(1) => format!("the permit of {path}"),
        Some(permits) => format!("one of the {permits} permits of {path}"),
        None => format!("the {mode} lock on {path}"),
    }
}

/// The report that what was wanted was not free, with the holders.
fn not_free(
    conflict: u8,
    wanted: &Wanted,
    what: impl Fn() -> String,
    holders: impl Fn() -> Vec<Holder>,
) -> Failure {
    let line = || with_holders(format!("{} is not free", what()), &holders());
    let line = (wanted.verbosity == Verbosity::Verbose).then(line);
    Failure::conflict(conflict, line)
}

/// The report that it was not free in `time`, or of another error.
fn late(error: Error, time: Duration, conflict: u8, wanted: &Wanted) -> Failure {
    match error {
        Error::Timeout { .. } if wanted.verbosity == Verbosity::Quiet => {
            Failure::conflict(conflict, None)
        }
        Error::Timeout {
            path,
            mode,
            permits,
            holders,
            ..
        } => {
            let time = humantime::format_duration(time);
            let what = what(mode, permits, &path);
            let line = format!("gave up after {time} waiting for {what}");
            Failure::conflict(conflict, Some(with_holders(line, &holders)))
        }
        error => error.into(),
    }
}

fn with_holders(what: String, holders: &[Holder]) -> String {
    match Holder::in_words(holders) {
        Some(words) => format!("{what}, {words}"),
        // Not every system knows the holders.
        None => what,
    }
}

/// Releases all locks, and returns the first error.
pub(super) fn release<B: LockBackend>(held: Vec<Held<B>>) -> touchfile::Result<()> {
    let mut done = Ok(());
    for guard in held.into_iter().rev() {
        done = done.and(guard.unlock());
    }
    done
}

/// The value of [`VARIABLE`]: a line for each held lock, after the inherited lines. `way` is the kind of
/// each lock.
pub(super) fn described<B: LockBackend>(
    held: &[Held<B>],
    way: impl Fn(&Held<B>) -> &'static str,
) -> OsString {
    let outer = env::var_os(VARIABLE).unwrap_or_default();
    let mut lines: Vec<Vec<u8>> = outer
        .as_encoded_bytes()
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    for guard in held {
        let mut line = format!("{} {} ", guard.mode(), way(guard)).into_bytes();
        for &byte in guard.path().as_os_str().as_encoded_bytes() {
            match byte {
                b'\n' => line.extend_from_slice(br"\n"),
                b'\\' => line.extend_from_slice(br"\\"),
                byte => line.push(byte),
            }
        }
        lines.push(line);
    }
    from_bytes(lines.join(&b'\n'))
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// What is not Unicode is replaced.
#[cfg(windows)]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use touchfile::AutoBackend;

    use super::*;

    #[test]
    fn what_one_lock_took_of_the_time_the_next_does_not_have() {
        let dir = tempfile::tempdir().unwrap();
        let touch = || {
            let path = dir.path().join("a.lock");
            Arc::new(TouchFile::new(AutoBackend::new(), path).unwrap())
        };
        let _held = touch().blocking_owned().lock_exclusive().unwrap();
        let time = Duration::from_secs(60);
        let Some(started) = Instant::now().checked_sub(time) else {
            println!("skipped: the machine has not been up for long enough");
            return;
        };
        let wanted = Wanted {
            mode: LockMode::Exclusive,
            limit: WaitLimit::Time { time, conflict: 7 },
            symlinks: Symlinks::NoFollow,
            verbosity: Verbosity::Normal,
            jobs: None,
        };
        let now = Instant::now();
        assert!(acquire_one(&touch(), &wanted, started).is_err());
        assert!(now.elapsed() < time);
    }
}
