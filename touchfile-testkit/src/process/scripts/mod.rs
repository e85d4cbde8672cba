//! What a worker does by itself, where a line for each step would be too slow or too coarse.

mod locking;
mod race;
mod threads;
mod waiting;

use std::io;
use std::path::Path;
use std::str::FromStr;

use tokio::runtime::Runtime;
use touchfile_core::{Attempt, BoxBackend, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Handle;
use super::command::parse_mode;

/// Where a script is played.
struct ScriptContext<'a> {
    backend: &'a BoxBackend,
    runtime: &'a Runtime,
    path: &'a Path,
    words: &'a [String],
}

/// Plays a script, and says in words how it went.
pub(super) fn run(
    script: &str,
    backend: &BoxBackend,
    runtime: &Runtime,
    path: &Path,
    words: &[String],
) -> io::Result<String> {
    let context = ScriptContext {
        backend,
        runtime,
        path,
        words,
    };
    match script {
        "claim-again-and-again" => Ok(claim_again(&context)),
        "claims" => Ok(format!("{:?}", backend.capabilities())),
        "drop-in-another-thread" => threads::drop_in_another(&context),
        "drop-without-a-runtime" => locking::drop_without_a_runtime(&context),
        "give-up-waits" => waiting::give_up(&context),
        "give-up-waits-in-a-race" => waiting::give_up_in_a_race(&context),
        "hammer" => race::run(&context),
        "lock-and-unlock" => locking::lock_and_unlock(&context),
        "lock-and-unlock-for-ever" => locking::for_ever(&context),
        "lock-and-unlock-while-spawning" => threads::lock_while_spawning(&context),
        "open-and-close" => locking::open_and_close(&context),
        "read-in-turns" => waiting::read_in_turns(&context),
        "try-in-other-threads" => threads::try_in_others(&context),
        "try-many" => locking::try_many(&context),
        "wait-with-a-timeout" => waiting::with_a_timeout(&context),
        "write-in-turns" => waiting::write_in_turns(&context),
        unknown => Err(io::Error::other(format!("there is no script {unknown}"))),
    }
}

fn claim_again(context: &ScriptContext<'_>) -> String {
    let first = context.backend.capabilities();
    let same = (0..100).all(|_| context.backend.capabilities() == first);
    if same { "the same" } else { "not the same" }.to_owned()
}

impl ScriptContext<'_> {
    async fn open(&self) -> io::Result<Handle> {
        self.backend.open(self.path, &OpenOptions::new()).await
    }

    /// A handle that holds the exclusive lock, which nobody else does.
    async fn hold(&self) -> io::Result<Handle> {
        let mut handle = self.open().await?;
        match handle.try_lock(LockMode::Exclusive).await? {
            Attempt::Acquired => Ok(handle),
            Attempt::WouldBlock => {
                Err(io::Error::other("the lock was busy, though nobody held it"))
            }
        }
    }

    fn number<T: FromStr>(&self, at: usize) -> io::Result<T> {
        let word = self.words.get(at).and_then(|word| word.parse().ok());
        word.ok_or_else(|| io::Error::other(format!("word {at} is no number: {:?}", self.words)))
    }

    fn mode(&self, at: usize) -> io::Result<LockMode> {
        let mode = self.words.get(at).and_then(|word| parse_mode(word));
        mode.ok_or_else(|| io::Error::other(format!("word {at} is no mode: {:?}", self.words)))
    }
}
