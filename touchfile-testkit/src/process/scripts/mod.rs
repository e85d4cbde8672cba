//! Scripts: sequences of calls that a worker makes by itself, where a command for each call would be
//! too slow or too coarse.

#[cfg(unix)]
mod family;
mod locking;
mod meetings;
mod race;
pub(super) mod refusals;
mod threads;
mod waiting;
mod walks;

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Answer;
use crate::handles::Handle;

/// What a script is run with.
struct ScriptContext<'a> {
    backend: &'a BoxBackend,
    runtime: &'a Runtime,
    path: &'a Path,
    words: &'a [String],
    /// When the script has to end, even if it has not done everything. So a slow backend is not taken
    /// for one that hangs.
    end: Instant,
}

/// How long a script runs at most.
const LONGEST: Duration = Duration::from_secs(6);

/// Runs a script.
pub(super) fn run(
    script: &str,
    backend: &BoxBackend,
    runtime: &Runtime,
    path: &Path,
    words: &[String],
) -> io::Result<Answer> {
    let context = ScriptContext {
        backend,
        runtime,
        path,
        words,
        end: Instant::now() + LONGEST,
    };
    Ok(match script {
        "claim-again-and-again" => claim_again(&context).into(),
        "claims" => format!("{:?}", backend.capabilities()).into(),
        "convert-in-a-storm" => meetings::convert(&context)?.into(),
        "drop-in-another-thread" => threads::drop_in_another(&context)?.into(),
        "drop-without-a-runtime" => locking::drop_without_a_runtime(&context)?.into(),
        "give-up-waits" => waiting::give_up(&context)?.into(),
        "give-up-waits-in-a-race" => waiting::give_up_in_a_race(&context)?.into(),
        "hammer" => race::run(&context)?.into(),
        "hold-for-long" => meetings::hold_for_long(&context)?.into(),
        "leave-things-behind" => meetings::leave_behind(&context)?.into(),
        "lock-and-unlock" => locking::lock_and_unlock(&context)?.into(),
        "lock-and-unlock-for-ever" => locking::for_ever(&context)?.into(),
        "lock-and-unlock-while-spawning" => threads::lock_while_spawning(&context)?.into(),
        "lock-read-only-as-a-user" => refusals::lock_read_only_as_a_user(&context)?,
        "open-and-close" => locking::open_and_close(&context)?.into(),
        "open-in-vain" => refusals::open_in_vain(&context)?.into(),
        "open-in-vain-as-a-user" => refusals::open_in_vain_as_a_user(&context)?,
        "read-in-turns" => waiting::read_in_turns(&context)?.into(),
        "release-early" => meetings::release_early(&context)?.into(),
        #[cfg(unix)]
        "siblings" => family::siblings(&context)?,
        #[cfg(windows)]
        "siblings" => Answer::Unable("Windows cannot fork".into()),
        "time-calls" => waiting::time_calls(&context)?.into(),
        "try-at-the-same-moment" => meetings::try_at_once(&context)?.into(),
        "try-in-other-threads" => threads::try_in_others(&context)?.into(),
        "try-many" => locking::try_many(&context)?.into(),
        "wait-in-queue" => waiting::in_queue(&context)?.into(),
        "wait-with-a-timeout" => waiting::with_a_timeout(&context)?.into(),
        "walk" => walks::walk(&context)?.into(),
        "walk-in-children" => walks::walk_in_children(&context)?,
        "write-in-turns" => waiting::write_in_turns(&context)?.into(),
        unknown => return Err(io::Error::other(format!("there is no script {unknown}"))),
    })
}

fn claim_again(context: &ScriptContext<'_>) -> String {
    let first = context.backend.capabilities();
    let same = (0..100).all(|_| context.backend.capabilities() == first);
    if same { "the same" } else { "not the same" }.to_owned()
}

impl ScriptContext<'_> {
    /// Whether the script has to end.
    fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

    async fn open(&self) -> io::Result<Handle> {
        self.backend.open(self.path, &OpenOptions::new()).await
    }

    /// A handle that holds the exclusive lock, which must be free.
    async fn hold(&self) -> io::Result<Handle> {
        let mut handle = self.open().await?;
        match handle.try_lock(LockMode::Exclusive).await? {
            Attempt::Acquired => Ok(handle),
            Attempt::WouldBlock => {
                Err(io::Error::other("the lock was busy, though nobody held it"))
            }
        }
    }

    /// The argument at this position, parsed.
    fn word<T: FromStr>(&self, at: usize) -> io::Result<T> {
        let word = self.words.get(at).and_then(|word| word.parse().ok());
        word.ok_or_else(|| io::Error::other(format!("word {at} does not fit: {:?}", self.words)))
    }

    /// The argument at this position, in milliseconds.
    fn milliseconds(&self, at: usize) -> io::Result<Duration> {
        Ok(Duration::from_millis(self.word(at)?))
    }
}
