//! Locks that are held for long, by handles with every kind of past.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use touchfile_core::LockMode::{self, Exclusive};
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle};

use crate::Law;
use crate::handles::{self, Handle, modes, open};
use crate::past::{Past, acquire, wait};
use crate::process::ScriptOutcome;
use crate::walk::make_directory;

/// How a handle comes to hold the lock.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It is the first of two handles of its file.
    AsFirst,
    /// It is the second handle of its file, with this past.
    With(Past),
    /// It waits for the lock.
    ByWaiting,
}

const WAYS: [Way; 8] = [
    Way::AsFirst,
    Way::With(Past::Nothing),
    Way::With(Past::FailedTry),
    Way::ByWaiting,
    Way::With(Past::Wait),
    Way::With(Past::GivenUpWait),
    Way::With(Past::AskedAgain),
    Way::With(Past::ManyLocks),
];

impl Way {
    fn in_words(self) -> String {
        match self {
            Self::AsFirst => "a new handle takes the lock".into(),
            Self::With(past) => {
                format!(
                    "the second handle of a file takes the lock{}",
                    past.in_words()
                )
            }
            Self::ByWaiting => "a handle waits for the lock and gets it".into(),
        }
    }
}

/// The lock of one file, which is held.
struct Held {
    way: Way,
    mode: LockMode,
    elsewhere: bool,
    holder: Handle,
    /// The other handle of the file, which stays open.
    _other: Handle,
}

/// Takes a lock on a file of its own in each way and mode, in this thread and in another thread and
/// runtime, and checks after `time` whether all are still held.
///
/// # Errors
///
/// Those of locking, and the suite's own.
pub(crate) fn lasting(
    backend: &BoxBackend,
    dir: &Path,
    time: Duration,
    patience: Duration,
) -> io::Result<ScriptOutcome> {
    make_directory(dir)?;
    let runtime = handles::runtime()?;
    let mut all = Vec::new();
    for (number, way) in WAYS.into_iter().enumerate() {
        for &mode in modes(backend.capabilities()) {
            for elsewhere in [false, true] {
                let path = dir.join(format!("{number}-{mode}-{elsewhere}.lock"));
                let [holder, other] = if elsewhere {
                    let take = || take(backend, &handles::runtime()?, &path, way, mode, patience);
                    let taken = thread::scope(|scope| scope.spawn(take).join());
                    taken.map_err(|_| io::Error::other("a thread panicked"))??
                } else {
                    take(backend, &runtime, &path, way, mode, patience)?
                };
                let held = Held {
                    way,
                    mode,
                    elsewhere,
                    holder,
                    _other: other,
                };
                all.push((path, held));
            }
        }
    }
    thread::sleep(time);
    let mut steps = 0;
    for (path, mut held) in all {
        let mut probe = open(backend, &runtime, &path)?;
        let attempt = runtime.block_on(probe.try_lock(Exclusive))?;
        if attempt == Attempt::Acquired {
            let place = if held.elsewhere {
                ", in another thread and runtime"
            } else {
                ""
            };
            let (way, mode) = (held.way.in_words(), held.mode);
            return Ok(ScriptOutcome::Broken {
                law: Law::Exclusion,
                what: format!("it got the lock, which another handle has held for {time:?}"),
                trace: vec![format!("{way}, in {mode} mode{place}")],
            });
        }
        runtime.block_on(held.holder.unlock())?;
        steps += 1;
    }
    Ok(ScriptOutcome::done(steps))
}

/// The handle that holds the lock, and the other handle of the file.
fn take(
    backend: &BoxBackend,
    runtime: &Runtime,
    path: &Path,
    way: Way,
    mode: LockMode,
    patience: Duration,
) -> io::Result<[Handle; 2]> {
    let mut other = open(backend, runtime, path)?;
    let mut handle = open(backend, runtime, path)?;
    if let Way::AsFirst = way {
        std::mem::swap(&mut handle, &mut other);
    }
    runtime.block_on(async {
        match way {
            Way::AsFirst => acquire(&mut handle, mode).await?,
            Way::With(past) => {
                past.make(&mut handle, &mut other, mode, patience).await?;
                acquire(&mut handle, mode).await?;
            }
            Way::ByWaiting => wait(&mut handle, &mut other, mode, patience).await?,
        }
        Ok([handle, other])
    })
}
