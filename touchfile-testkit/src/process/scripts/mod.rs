//! What a worker does by itself, where a line for each step would be too slow or too coarse.

#[cfg(unix)]
mod family;
mod locking;
mod meetings;
mod race;
mod refusals;
mod threads;
mod waiting;
mod walks;

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

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
    /// When it is to come to an end, having done less, so that slow backends are not taken for such
    /// as hang.
    end: Instant,
}

/// How long a script goes on.
const LONGEST: Duration = Duration::from_secs(6);

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
        end: Instant::now() + LONGEST,
    };
    match script {
        "claim-again-and-again" => Ok(claim_again(&context)),
        "claims" => Ok(format!("{:?}", backend.capabilities())),
        "convert-in-a-storm" => meetings::convert(&context),
        "drop-in-another-thread" => threads::drop_in_another(&context),
        "drop-without-a-runtime" => locking::drop_without_a_runtime(&context),
        "give-up-waits" => waiting::give_up(&context),
        "give-up-waits-in-a-race" => waiting::give_up_in_a_race(&context),
        "hammer" => race::run(&context),
        "hold-for-long" => meetings::hold_for_long(&context),
        "leave-things-behind" => meetings::leave_behind(&context),
        "lock-and-unlock" => locking::lock_and_unlock(&context),
        "lock-and-unlock-for-ever" => locking::for_ever(&context),
        "lock-and-unlock-while-spawning" => threads::lock_while_spawning(&context),
        "lock-read-only-as-a-user" => refusals::lock_read_only_as_a_user(&context),
        "open-and-close" => locking::open_and_close(&context),
        "open-in-vain" => refusals::open_in_vain(&context),
        "open-in-vain-as-a-user" => refusals::open_in_vain_as_a_user(&context),
        "read-in-turns" => waiting::read_in_turns(&context),
        "release-early" => meetings::release_early(&context),
        #[cfg(unix)]
        "siblings" => family::siblings(&context),
        #[cfg(windows)]
        "siblings" => Ok("unable Windows cannot fork".into()),
        "try-at-the-same-moment" => meetings::try_at_once(&context),
        "try-in-other-threads" => threads::try_in_others(&context),
        "try-many" => locking::try_many(&context),
        "wait-in-line" => waiting::in_line(&context),
        "wait-with-a-timeout" => waiting::with_a_timeout(&context),
        "walk" => walks::walk(&context),
        "walk-in-children" => walks::walk_in_children(&context),
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
    /// Whether there is no time for more.
    fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

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
