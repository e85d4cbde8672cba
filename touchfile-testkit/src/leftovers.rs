//! What calls leave behind: descriptors, threads, new files, and changes of the lock file.
//!
//! Each call is repeated on a handle in each state, and what is there is counted before and after.
//! What a backend makes once and keeps for all later calls is no leak: something is left behind
//! only if there is more of it with each call.

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{Attempt, BoxBackend, Capabilities, LockBackend, LockHandle, OpenOptions};
use touchfile_file::{FileId, Symlinks};

use crate::Law;
use crate::system;
use crate::walk::{Arrival, make_directory};

/// How often a call is repeated between two counts. An even number would hide what is undone by the
/// next call.
const TIMES: usize = 7;

/// How long that may take in each of the two threads.
const LONGEST: Duration = Duration::from_secs(4);

/// So many more are a leak, fewer a coincidence.
const MANY: usize = 4;

/// What a call does, in stories; and the law that is broken if it leaves something behind.
type Call = (&'static str, Law, fn(&mut Scene) -> io::Result<()>);

const CALLS: &[Call] = &[
    (
        "opening a file that is missing",
        Law::AcquiredMeansAcquired,
        Scene::open_in_vain,
    ),
    ("opening", Law::AcquiredMeansAcquired, Scene::open_and_drop),
    (
        "an attempt that finds the lock held",
        Law::AcquiredMeansAcquired,
        Scene::try_in_vain,
    ),
    ("giving up a wait", Law::CancelSafety, Scene::give_up),
    (
        "a wait for a lock that is free",
        Law::CancelSafety,
        Scene::wait_at_once,
    ),
    ("a wait", Law::CancelSafety, Scene::wait),
    ("unlocking", Law::Release, Scene::try_and_unlock),
    ("dropping the handle", Law::Release, Scene::drop_held),
    (
        "dropping the handle where a runtime runs",
        Law::Release,
        Scene::drop_inside,
    ),
    (
        "dropping the handle while a panic unwinds",
        Law::Release,
        Scene::drop_unwinding,
    ),
    (
        "dropping the handle in another thread",
        Law::Release,
        Scene::drop_elsewhere,
    ),
    (
        "asking whether it is current",
        Law::AcquiredMeansAcquired,
        Scene::ask_current,
    ),
    (
        "asking whether the lock was lost",
        Law::AcquiredMeansAcquired,
        Scene::ask_lost,
    ),
    (
        "asking who holds the lock",
        Law::AcquiredMeansAcquired,
        Scene::ask_holders,
    ),
];

/// What has happened to a handle before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Past {
    Nothing,
    FailedTry,
    GivenUpWait,
    Wait,
}

impl Past {
    const ALL: [Self; 4] = [
        Self::Nothing,
        Self::FailedTry,
        Self::GivenUpWait,
        Self::Wait,
    ];

    fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::FailedTry => ", after an attempt that failed",
            Self::GivenUpWait => ", after a wait that was given up",
            Self::Wait => ", after a wait",
        }
    }
}

/// Makes every call, in this thread and in another.
///
/// # Errors
///
/// The suite's own.
pub(crate) fn leftovers(
    backend: &BoxBackend,
    dir: &Path,
    patience: Duration,
) -> io::Result<Arrival> {
    let here = all_calls(backend, &dir.join("here"), patience, "")?;
    let Ok(calls) = here else {
        return Ok(here.err().unwrap_or(Arrival::Done { steps: 0 }));
    };
    let there = thread::scope(|scope| {
        let calls = || all_calls(backend, &dir.join("there"), patience, ", in another thread");
        scope.spawn(calls).join()
    });
    match there.map_err(|_| io::Error::other("the count itself panicked"))?? {
        Ok(more) => Ok(Arrival::Done {
            steps: calls + more,
        }),
        Err(broken) => Ok(broken),
    }
}

fn all_calls(
    backend: &BoxBackend,
    dir: &Path,
    patience: Duration,
    place: &'static str,
) -> io::Result<Result<u64, Arrival>> {
    let claims = backend.capabilities();
    make_directory(dir)?;
    let modes = if claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    let end = Instant::now() + LONGEST;
    let mut calls = 0;
    for past in Past::ALL {
        for (number, &(name_of_call, law, call)) in CALLS.iter().enumerate() {
            for &mode in modes {
                // A backend that is slow is looked at less.
                if Instant::now() > end {
                    return Ok(Ok(calls));
                }
                let name = format!("{}-{number}-{mode}", past as u8);
                let sub = dir.join(&name);
                make_directory(&sub)?;
                let mut scene = Scene::new(
                    backend.clone(),
                    claims,
                    sub.join("a.lock"),
                    mode,
                    past,
                    patience,
                )?;
                let count = scene.count(call);
                calls += 2 * TIMES as u64;
                let (law, what) = match count {
                    Ok(None) => continue,
                    Ok(Some((own, left))) => (own.unwrap_or(law), left),
                    Err(error) => scene.law_of(&error),
                };
                return Ok(Err(Arrival::Broken {
                    law,
                    what: format!("{name_of_call} {what}"),
                    story: vec![format!(
                        "{name_of_call} is repeated{}{place}, with the {mode} lock",
                        past.in_words()
                    )],
                }));
            }
        }
    }
    Ok(Ok(calls))
}

/// A lock file of its own, and the handles of one call.
struct Scene {
    backend: BoxBackend,
    claims: Capabilities,
    runtime: Runtime,
    path: PathBuf,
    mode: LockMode,
    past: Past,
    patience: Duration,
    handle: Option<Box<dyn LockHandle>>,
    /// Another one, which holds the lock when that is to be busy.
    holder: Box<dyn LockHandle>,
    before: Option<Looks>,
}

/// What can be seen of the lock file.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Looks {
    contents: Vec<u8>,
    mode: Option<u32>,
    modified: Option<SystemTime>,
    id: Option<FileId>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Counts {
    descriptors: usize,
    threads: usize,
    names: BTreeSet<OsString>,
}

impl Scene {
    fn new(
        backend: BoxBackend,
        claims: Capabilities,
        path: PathBuf,
        mode: LockMode,
        past: Past,
        patience: Duration,
    ) -> io::Result<Self> {
        if claims.real_files {
            fs::write(&path, "precious")?;
            system::set_mode(&path, 0o640)?;
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            File::options().write(true).open(&path)?.set_modified(old)?;
        }
        let before = looks(&path).filter(|_| claims.real_files);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let holder = runtime.block_on(backend.open(&path, &OpenOptions::new()))?;
        Ok(Self {
            backend,
            claims,
            runtime,
            path,
            mode,
            past,
            patience,
            handle: None,
            holder,
            before,
        })
    }

    /// What a call leaves behind, if anything, and the law that this breaks, if that is another.
    fn count(
        &mut self,
        call: fn(&mut Self) -> io::Result<()>,
    ) -> io::Result<Option<(Option<Law>, String)>> {
        self.repeat(call)?;
        if let Some(change) = self.changed() {
            return Ok(Some(change));
        }
        let mut before = self.counts();
        let mut left = None;
        // What is there by chance is not there again.
        for _ in 0..2 {
            self.repeat(call)?;
            let mut after = self.counts();
            let deadline = Instant::now() + self.patience.min(Duration::from_secs(1));
            while grew(&before, &after).is_some() && Instant::now() < deadline {
                // Threads may take a moment to end.
                thread::sleep(Duration::from_millis(5));
                after = self.counts();
            }
            left = grew(&before, &after);
            if left.is_none() {
                return Ok(self.changed());
            }
            before = after;
        }
        Ok(left)
    }

    /// The law that is broken by what went wrong, and how.
    fn law_of(&self, error: &io::Error) -> (Law, String) {
        let seen = error.get_ref().and_then(|error| error.downcast_ref());
        let law = match seen {
            None => Law::Errors,
            Some(Seen::Granted) => Law::Exclusion,
            Some(Seen::Late) => Law::Liveness,
            // If a new handle gets it at once, nobody can have held it.
            Some(Seen::Busy) if self.can_be_had() => Law::NoFalseBusy,
            Some(Seen::Busy) if self.past == Past::GivenUpWait => Law::AcquiredMeansAcquired,
            Some(Seen::Busy) => Law::Release,
        };
        let how = if seen.is_some() { "" } else { "failed: " };
        (law, format!("{how}{error}"))
    }

    fn can_be_had(&self) -> bool {
        let attempt = || -> io::Result<Attempt> {
            let mut handle = self.open()?;
            self.runtime.block_on(handle.try_lock(self.mode))
        };
        matches!(attempt(), Ok(Attempt::Acquired))
    }

    fn repeat(&mut self, call: fn(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.handle = Some(self.open()?);
        for _ in 0..TIMES {
            self.have_past()?;
            call(self)?;
        }
        self.handle = None;
        Ok(())
    }

    fn have_past(&mut self) -> io::Result<()> {
        match self.past {
            Past::Nothing => Ok(()),
            Past::FailedTry => self.try_in_vain(),
            Past::GivenUpWait => self.give_up(),
            Past::Wait => self.wait(),
        }
    }

    fn counts(&self) -> Counts {
        let count = |directory: &str| fs::read_dir(directory).map_or(0, Iterator::count);
        let names = self.path.parent().and_then(|dir| fs::read_dir(dir).ok());
        Counts {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            names: names
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.file_name()))
                .filter(|_| self.claims.real_files)
                .collect(),
        }
    }

    /// How the lock file has changed.
    fn changed(&self) -> Option<(Option<Law>, String)> {
        let (before, after) = (self.before.as_ref()?, looks(&self.path));
        let Some(after) = after else {
            return Some((Some(Law::Identity), "removes the file".into()));
        };
        let (law, what) = if after.id != before.id {
            (Law::Identity, "replaces the file by another")
        } else if after.contents != before.contents {
            (Law::Errors, "changes what is in the file")
        } else if after.mode != before.mode {
            (Law::Errors, "changes the mode of the file")
        } else if after.modified != before.modified {
            (
                Law::Errors,
                "changes the time at which the file was last modified",
            )
        } else {
            return None;
        };
        Some((Some(law), what.into()))
    }

    fn open(&self) -> io::Result<Box<dyn LockHandle>> {
        self.runtime
            .block_on(self.backend.open(&self.path, &OpenOptions::new()))
    }

    fn handle(&mut self) -> &mut Box<dyn LockHandle> {
        self.handle.as_mut().expect("it is opened before each call")
    }

    fn open_in_vain(&mut self) -> io::Result<()> {
        let path = self.path.with_file_name("missing").join("a.lock");
        let mut options = OpenOptions::new();
        options.create = false;
        // How it fails is the matter of other cases.
        drop(self.runtime.block_on(self.backend.open(&path, &options)));
        Ok(())
    }

    fn open_and_drop(&mut self) -> io::Result<()> {
        drop(self.open()?);
        Ok(())
    }

    fn try_in_vain(&mut self) -> io::Result<()> {
        let mode = self.mode;
        self.runtime.block_on(async {
            must(self.holder.try_lock(Exclusive).await?)?;
            let handle = self.handle.as_mut().expect("it is open");
            let attempt = handle.try_lock(mode).await?;
            self.holder.unlock().await?;
            match attempt {
                Attempt::WouldBlock => Ok(()),
                Attempt::Acquired => Err(Seen::Granted.into()),
            }
        })
    }

    fn give_up(&mut self) -> io::Result<()> {
        let mode = self.mode;
        self.runtime.block_on(async {
            must(self.holder.try_lock(Exclusive).await?)?;
            {
                let handle = self.handle.as_mut().expect("it is open");
                let mut lock = pin!(handle.lock(mode));
                for _ in 0..2 {
                    let polled = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
                    if polled.is_ready() {
                        return Err(Seen::Granted.into());
                    }
                    tokio::task::yield_now().await;
                }
            }
            self.holder.unlock().await
        })
    }

    fn wait_at_once(&mut self) -> io::Result<()> {
        let (mode, patience) = (self.mode, self.patience);
        self.runtime.block_on(async {
            let handle = self.handle.as_mut().expect("it is open");
            tokio::time::timeout(patience, handle.lock(mode))
                .await
                .map_err(|_| Seen::Late)??;
            handle.unlock().await
        })
    }

    fn wait(&mut self) -> io::Result<()> {
        let (mode, patience) = (self.mode, self.patience);
        self.runtime.block_on(async {
            must(self.holder.try_lock(Exclusive).await?)?;
            let handle = self.handle.as_mut().expect("it is open");
            {
                let mut lock = pin!(handle.lock(mode));
                let polled = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    return Err(Seen::Granted.into());
                }
                self.holder.unlock().await?;
                tokio::time::timeout(patience, lock)
                    .await
                    .map_err(|_| Seen::Late)??;
            }
            handle.unlock().await
        })
    }

    fn try_and_unlock(&mut self) -> io::Result<()> {
        let mode = self.mode;
        self.runtime.block_on(async {
            let handle = self.handle.as_mut().expect("it is open");
            must(handle.try_lock(mode).await?)?;
            handle.unlock().await
        })
    }

    /// The handle with its lock, to be dropped; there is a new one then.
    fn held(&mut self) -> io::Result<Box<dyn LockHandle>> {
        let mode = self.mode;
        must(
            self.runtime
                .block_on(self.handle.as_mut().expect("it is open").try_lock(mode))?,
        )?;
        let new = self.open()?;
        Ok(std::mem::replace(self.handle(), new))
    }

    fn drop_held(&mut self) -> io::Result<()> {
        drop(self.held()?);
        Ok(())
    }

    fn drop_inside(&mut self) -> io::Result<()> {
        let held = self.held()?;
        let _runs = self.runtime.enter();
        drop(held);
        Ok(())
    }

    fn drop_unwinding(&mut self) -> io::Result<()> {
        let held = self.held()?;
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _held = held;
            std::panic::panic_any(());
        }));
        drop(unwound);
        Ok(())
    }

    fn drop_elsewhere(&mut self) -> io::Result<()> {
        let held = self.held()?;
        let dropped = thread::scope(|scope| scope.spawn(move || drop(held)).join());
        dropped.map_err(|_| io::Error::other("dropping panicked"))
    }

    fn ask_current(&mut self) -> io::Result<()> {
        let path = self.path.clone();
        let handle = self.handle.as_ref().expect("it is open");
        // Whatever the answer is.
        drop(self.runtime.block_on(handle.is_current(&path)));
        Ok(())
    }

    fn ask_lost(&mut self) -> io::Result<()> {
        let handle = self.handle.as_ref().expect("it is open");
        drop(self.runtime.block_on(handle.is_lost()));
        Ok(())
    }

    fn ask_holders(&mut self) -> io::Result<()> {
        drop(self.runtime.block_on(self.backend.holders(&self.path)));
        Ok(())
    }
}

/// What goes wrong that is not the matter of this case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    Busy,
    Granted,
    Late,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "found the lock busy that nobody holds",
            Self::Granted => "got a lock that somebody holds",
            Self::Late => "did not get a lock that is free",
        })
    }
}

impl Error for Seen {}

impl From<Seen> for io::Error {
    fn from(seen: Seen) -> Self {
        Self::other(seen)
    }
}

fn looks(path: &Path) -> Option<Looks> {
    let metadata = fs::metadata(path).ok()?;
    Some(Looks {
        contents: fs::read(path).ok()?,
        mode: system::mode(&metadata),
        modified: metadata.modified().ok(),
        id: FileId::from_path(path, Symlinks::Follow).ok()?,
    })
}

/// What there is more of; with a law of its own, if it is not that of the call.
fn grew(before: &Counts, after: &Counts) -> Option<(Option<Law>, String)> {
    let new: Vec<_> = after.names.difference(&before.names).collect();
    if new.len() >= MANY {
        return Some((
            Some(Law::Errors),
            format!("leaves new files in the directory, such as {:?}", new[0]),
        ));
    }
    if after.descriptors >= before.descriptors + MANY {
        return Some((
            None,
            format!(
                "leaves descriptors open: {} became {} in {TIMES} times",
                before.descriptors, after.descriptors
            ),
        ));
    }
    if after.threads >= before.threads + MANY {
        return Some((
            None,
            format!(
                "leaves threads behind: {} became {} in {TIMES} times",
                before.threads, after.threads
            ),
        ));
    }
    None
}

fn must(attempt: Attempt) -> io::Result<()> {
    match attempt {
        Attempt::Acquired => Ok(()),
        Attempt::WouldBlock => Err(Seen::Busy.into()),
    }
}
