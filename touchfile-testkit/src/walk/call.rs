//! Making a call of the backend: in which thread and runtime, and how long it takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use touchfile_core::BoxBackend;

use super::Halt;
use super::caller::Caller;
use super::walker::Walker;
use crate::Law;
use crate::process::panic_message;

/// The kinds of calls that poll a wait once, and until it is over.
pub(super) const POLL: &str = "a poll of a wait";
pub(super) const WAIT: &str = "a wait";
pub(super) const HOLDERS: &str = "asking for the holders";
/// The kinds of calls that drop the future of a wait, without its handle and with it.
pub(super) const GIVING_UP: &str = "giving up a wait";
pub(super) const DROPPING_WAIT: &str = "dropping a handle that waits";

/// A call that takes longer is slow.
const SLOW: Duration = Duration::from_millis(300);

/// How many slow calls of one kind there must be before the kind is called slow.
const MANY: u32 = 4;

impl Walker<'_> {
    /// Makes a call in this thread and runtime. A panic breaks `law`.
    pub(super) fn call<T: Send>(
        &mut self,
        caller: Caller,
        kind: &'static str,
        law: Law,
        call: impl FnOnce(&Runtime, &BoxBackend) -> T + Send,
    ) -> Result<T, Halt> {
        let (runtime, backend) = (&self.runtimes[caller.runtime], self.backend);
        self.progress.record_call(matches!(kind, POLL | WAIT));
        let begun = Instant::now();
        let call = move || catch_unwind(AssertUnwindSafe(|| call(runtime, backend)));
        let said = if caller.thread {
            thread::scope(|scope| scope.spawn(call).join()).and_then(|said| said)
        } else {
            call()
        };
        self.progress.record_call(false);
        let took = begun.elapsed();
        // A whole wait may take any time, but each poll must be fast. So may the search for the holders,
        // which goes through all processes and which `TouchFile` gives up when it takes long.
        if took > SLOW && !matches!(kind, WAIT | HOLDERS) {
            let law = match kind {
                "an attempt" | "an upgrade" => Law::Liveness,
                GIVING_UP | DROPPING_WAIT | POLL => Law::CancelSafety,
                _ => law,
            };
            // The walk gets more time, to find out whether such calls are slow again. It does not get
            // so much that a slow backend is taken for one that hangs.
            if self.is_slow(kind, law) <= 2 * MANY {
                self.end += took.min(SLOW * 3);
            }
        }
        said.map_err(|panic| {
            Halt::broken(law, format!("{kind} panicked: {}", panic_message(&*panic)))
        })
    }

    /// Remembers a slow call, and returns how many calls of its kind were slow.
    fn is_slow(&mut self, kind: &'static str, law: Law) -> u32 {
        match self.slow.iter_mut().find(|(other, ..)| *other == kind) {
            Some((.., times)) => {
                *times += 1;
                *times
            }
            None => {
                self.slow.push((kind, law, 1));
                1
            }
        }
    }

    /// Reports a kind of call that was slow several times when no other was. On a busy machine all
    /// kinds are slow.
    pub(super) fn judge_times(&self) -> Result<(), Halt> {
        let all: u32 = self.slow.iter().map(|(.., times)| times).sum();
        for &(kind, law, times) in &self.slow {
            if times >= MANY && all - times <= times / 4 {
                return Err(Halt::broken(
                    law,
                    format!("{kind} took more than {SLOW:?}, {times} times, and no other call did"),
                ));
            }
        }
        Ok(())
    }
}
