//! The calls that may leave something behind.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use touchfile_core::{
    Attempt, BoxBackend, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions,
};

use super::counts::{Counts, FileState, Leftover, TIMES};
use crate::Law;
use crate::handles::{Handle, open, runtime};
use crate::past::{Misstep, Past, acquire, fail_to_lock, give_up, wait};
use crate::system;

/// A call that is repeated.
pub(super) struct Call {
    /// What it does, as the subject of a sentence.
    pub(super) name: &'static str,
    /// The law that is broken if it leaves something behind.
    pub(super) law: Law,
    make: fn(&mut Subject) -> io::Result<()>,
}

pub(super) const CALLS: &[Call] = &[
    Call {
        name: "opening a file that is missing",
        law: Law::AcquiredMeansAcquired,
        make: Subject::open_missing,
    },
    Call {
        name: "opening",
        law: Law::AcquiredMeansAcquired,
        make: Subject::open_and_drop,
    },
    Call {
        name: "an attempt that finds the lock held",
        law: Law::AcquiredMeansAcquired,
        make: Subject::fail_to_lock,
    },
    Call {
        name: "giving up a wait",
        law: Law::CancelSafety,
        make: Subject::give_up,
    },
    Call {
        name: "a wait for a lock that is free",
        law: Law::CancelSafety,
        make: Subject::wait_for_a_free_lock,
    },
    Call {
        name: "a wait",
        law: Law::CancelSafety,
        make: Subject::wait,
    },
    Call {
        name: "unlocking",
        law: Law::Release,
        make: Subject::try_and_unlock,
    },
    Call {
        name: "dropping the handle",
        law: Law::Release,
        make: Subject::drop_held,
    },
    Call {
        name: "dropping the handle where a runtime runs",
        law: Law::Release,
        make: Subject::drop_inside,
    },
    Call {
        name: "dropping the handle while a panic unwinds",
        law: Law::Release,
        make: Subject::drop_unwinding,
    },
    Call {
        name: "dropping the handle in another thread",
        law: Law::Release,
        make: Subject::drop_elsewhere,
    },
    Call {
        name: "asking whether it is current",
        law: Law::AcquiredMeansAcquired,
        make: Subject::ask_current,
    },
    Call {
        name: "asking whether the lock was lost",
        law: Law::AcquiredMeansAcquired,
        make: Subject::ask_lost,
    },
    Call {
        name: "asking who holds the lock",
        law: Law::AcquiredMeansAcquired,
        make: Subject::ask_holders,
    },
];

/// A lock file, and the handles on it with which one call is made.
pub(super) struct Subject {
    backend: BoxBackend,
    claims: Capabilities,
    runtime: Runtime,
    path: PathBuf,
    mode: LockMode,
    past: Past,
    patience: Duration,
    handle: Handle,
    /// Another handle, which holds the lock where that has to be busy.
    holder: Handle,
    /// The state of the lock file before the first call, if it is a real file.
    before: Option<FileState>,
}

impl Subject {
    pub(super) fn new(
        backend: &BoxBackend,
        dir: &Path,
        mode: LockMode,
        past: Past,
        patience: Duration,
    ) -> io::Result<Self> {
        let claims = backend.capabilities();
        let path = dir.join("a.lock");
        if claims.real_files {
            fs::write(&path, "precious")?;
            system::set_mode(&path, 0o640)?;
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            File::options().write(true).open(&path)?.set_modified(old)?;
        }
        let before = FileState::of(&path).filter(|_| claims.real_files);
        let runtime = runtime()?;
        let holder = open(backend, &runtime, &path)?;
        let handle = open(backend, &runtime, &path)?;
        Ok(Self {
            backend: backend.clone(),
            claims,
            runtime,
            path,
            mode,
            past,
            patience,
            handle,
            holder,
            before,
        })
    }

    /// What a call leaves behind, or does wrong.
    pub(super) fn leftover(&mut self, call: &Call) -> Option<Leftover> {
        self.growth(call)
            .unwrap_or_else(|error| Some(self.failure(&error)))
    }

    fn growth(&mut self, call: &Call) -> io::Result<Option<Leftover>> {
        self.repeat(call)?;
        if let Some(change) = self.change() {
            return Ok(Some(change));
        }
        let mut before = self.counts();
        let mut left = None;
        // What grows by chance does not grow a second time.
        for _ in 0..2 {
            self.repeat(call)?;
            let mut after = self.counts();
            let deadline = Instant::now() + self.patience.min(Duration::from_secs(1));
            while after.growth_since(&before).is_some() && Instant::now() < deadline {
                // Threads may take a moment to end.
                thread::sleep(Duration::from_millis(5));
                after = self.counts();
            }
            left = after.growth_since(&before);
            if left.is_none() {
                return Ok(self.change());
            }
            before = after;
        }
        Ok(left)
    }

    /// The law that is broken by a call that failed.
    fn failure(&mut self, error: &io::Error) -> Leftover {
        let Some(misstep) = Misstep::of(error) else {
            return Leftover {
                law: Some(Law::Errors),
                what: format!("failed: {error}"),
            };
        };
        let law = match misstep {
            // If a new handle gets the lock at once, nothing can have held it.
            Misstep::Busy if self.is_free(&self.path) => Law::NoFalseBusy,
            Misstep::Busy | Misstep::Late if !self.is_free(&self.new_path()) => Law::NoFalseBusy,
            Misstep::Busy if self.is_held_by_refused() => Law::AcquiredMeansAcquired,
            Misstep::Busy if self.past == Past::GivenUpWait => Law::AcquiredMeansAcquired,
            Misstep::Busy => Law::Release,
            // The holder has unlocked: a lock that a new handle cannot have either is not free.
            Misstep::Late if !self.is_free(&self.path) => Law::Release,
            misstep => misstep.law(),
        };
        Leftover {
            law: Some(law),
            what: misstep.to_string(),
        }
    }

    /// Whether a new handle on this path gets the lock at once.
    fn is_free(&self, path: &Path) -> bool {
        let attempt = || -> io::Result<Attempt> {
            let mut handle = open(&self.backend, &self.runtime, path)?;
            self.runtime.block_on(handle.try_lock(self.mode))
        };
        matches!(attempt(), Ok(Attempt::Acquired))
    }

    /// The path of a file that was never locked.
    fn new_path(&self) -> PathBuf {
        self.path.with_file_name("new.lock")
    }

    /// Whether the lock is free once the handle is dropped that was told that it is busy. The other
    /// handle is kept, which has unlocked.
    fn is_held_by_refused(&mut self) -> bool {
        let Ok(new) = self.open() else { return false };
        drop(std::mem::replace(&mut self.handle, new));
        self.is_free(&self.path)
    }

    fn repeat(&mut self, call: &Call) -> io::Result<()> {
        self.handle = self.open()?;
        for _ in 0..TIMES {
            self.runtime.block_on(self.past.make(
                &mut self.handle,
                &mut self.holder,
                self.mode,
                self.patience,
            ))?;
            (call.make)(self)?;
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        let directory = self.path.parent().filter(|_| self.claims.real_files);
        Counts::now(directory)
    }

    fn change(&self) -> Option<Leftover> {
        self.before.as_ref()?.change(&self.path)
    }

    fn open(&self) -> io::Result<Handle> {
        open(&self.backend, &self.runtime, &self.path)
    }

    fn open_missing(&mut self) -> io::Result<()> {
        let path = self.path.with_file_name("missing").join("a.lock");
        let mut options = OpenOptions::new();
        options.create = false;
        // Other cases judge how this fails.
        drop(self.runtime.block_on(self.backend.open(&path, &options)));
        Ok(())
    }

    fn open_and_drop(&mut self) -> io::Result<()> {
        drop(self.open()?);
        Ok(())
    }

    fn fail_to_lock(&mut self) -> io::Result<()> {
        let (handle, holder) = (&mut self.handle, &mut self.holder);
        self.runtime
            .block_on(fail_to_lock(handle, holder, self.mode))
    }

    fn give_up(&mut self) -> io::Result<()> {
        let (handle, holder) = (&mut self.handle, &mut self.holder);
        self.runtime.block_on(give_up(handle, holder, self.mode))
    }

    fn wait_for_a_free_lock(&mut self) -> io::Result<()> {
        self.runtime.block_on(async {
            tokio::time::timeout(self.patience, self.handle.lock(self.mode))
                .await
                .map_err(|_| Misstep::Late)??;
            self.handle.unlock().await
        })
    }

    fn wait(&mut self) -> io::Result<()> {
        let (handle, holder) = (&mut self.handle, &mut self.holder);
        self.runtime.block_on(async {
            wait(handle, holder, self.mode, self.patience).await?;
            handle.unlock().await
        })
    }

    fn try_and_unlock(&mut self) -> io::Result<()> {
        self.runtime.block_on(async {
            acquire(&mut self.handle, self.mode).await?;
            self.handle.unlock().await
        })
    }

    /// The handle, which holds the lock and is to be dropped. A new handle takes its place.
    fn held(&mut self) -> io::Result<Handle> {
        self.runtime
            .block_on(acquire(&mut self.handle, self.mode))?;
        let new = self.open()?;
        Ok(std::mem::replace(&mut self.handle, new))
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
            // Unlike a panic, this prints nothing.
            resume_unwind(Box::new(()));
        }));
        drop(unwound);
        Ok(())
    }

    fn drop_elsewhere(&mut self) -> io::Result<()> {
        let held = self.held()?;
        let dropped = thread::scope(|scope| scope.spawn(move || drop(held)).join());
        dropped.map_err(|_| Misstep::Panicked.into())
    }

    // Other cases judge the answers to these questions.

    fn ask_current(&mut self) -> io::Result<()> {
        drop(self.runtime.block_on(self.handle.is_current(&self.path)));
        Ok(())
    }

    fn ask_lost(&mut self) -> io::Result<()> {
        drop(self.runtime.block_on(self.handle.is_lost()));
        Ok(())
    }

    fn ask_holders(&mut self) -> io::Result<()> {
        drop(self.runtime.block_on(self.backend.holders(&self.path)));
        Ok(())
    }
}
