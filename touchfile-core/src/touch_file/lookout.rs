//! Looking who is in the way of a wait.
//!
//! That costs something, so nobody looks before there has been a wait, and however many wait in
//! this process, few look at the same time. What is seen is for messages; nothing depends on it.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::Mutex;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::TouchFile;
use crate::{Holder, LockBackend, LockMode};

/// How long anybody is kept waiting for an answer. Among hundreds of processes it takes a
/// hundredth of that.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whoever gives up sooner has others to ask, and may do so many times a second.
const WORTH_A_LOOK: Duration = Duration::from_millis(50);

/// The last look begins when this part of the wait is left, at the most [`PATIENCE`] before its
/// end: so that the deadline is not overrun for the sake of a message.
const PART: u32 = 4;

/// When it is first looked, so that the last look can tell for how long somebody has been there.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// What was last seen of the holders, and when somebody began to look.
///
/// The clock is the real one: a test may have stopped the other.
pub(super) type Sight = Mutex<Option<(StdInstant, Vec<Holder>)>>;

impl<B: LockBackend> TouchFile<B> {
    /// Looks at all holders, or takes what another task has seen that began to look after this
    /// one had asked. So a thousand waiters whose time is up look twice and not a thousand times.
    async fn look(&self) -> io::Result<Vec<Holder>> {
        let asked = StdInstant::now();
        let mut sight = self.sight.lock().await;
        if let Some((began, holders)) = &*sight
            && *began > asked
        {
            return Ok(holders.clone());
        }
        let began = StdInstant::now();
        let holders = self.backend.holders(&self.path).await?;
        *sight = Some((began, holders.clone()));
        Ok(holders)
    }
}

/// Who is in the way of one wait, and since when it has been seen to be.
#[derive(Debug)]
pub(super) struct Lookout<'a, B: LockBackend> {
    touch: &'a TouchFile<B>,
    mode: LockMode,
    seen: StdMutex<Vec<(Instant, Holder)>>,
    latest: StdMutex<Vec<Holder>>,
}

impl<'a, B: LockBackend> Lookout<'a, B> {
    pub(super) fn new(touch: &'a TouchFile<B>, mode: LockMode) -> Self {
        Self {
            touch,
            mode,
            seen: StdMutex::default(),
            latest: StdMutex::default(),
        }
    }

    /// When to look during a wait of `timeout`, from its beginning, the last time first.
    pub(super) fn times(timeout: Option<Duration>) -> Vec<Duration> {
        let Some(timeout) = timeout.filter(|timeout| *timeout >= WORTH_A_LOOK) else {
            return Vec::new();
        };
        let last = timeout - PATIENCE.min(timeout / PART);
        let mut times = vec![last];
        if FIRST_LOOK < last {
            times.push(FIRST_LOOK);
        }
        times
    }

    /// Looks, for as long as it takes.
    pub(super) async fn look(&self) -> io::Result<Vec<Holder>> {
        Ok(self.note(self.touch.look().await?))
    }

    /// Keeps in mind who is in the way, and says since when it was seen to be.
    fn note(&self, mut holders: Vec<Holder>) -> Vec<Holder> {
        let now = Instant::now();
        holders.retain(|holder| holder.is_in_the_way_of(self.mode));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |holder: &Holder| {
            let before = seen.iter().find(|(_, before)| before.is_same(holder));
            before.map_or(now, |(since, _)| *since)
        };
        let dated: Vec<_> = holders.iter().map(since).collect();
        *seen = dated.iter().copied().zip(holders.iter().cloned()).collect();
        for (holder, since) in holders.iter_mut().zip(dated) {
            if since < now {
                holder.seen_for = Some(now - since);
            }
        }
        holders
    }

    /// Looks for the message at the end of the wait.
    pub(super) async fn look_ahead(&self) {
        let latest = |holders| {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = holders;
        };
        // What was seen before the last look may be true no more.
        latest(Vec::new());
        // A thread that looks at what hangs would stay with it for as long.
        if self
            .touch
            .backend
            .open_may_block(&self.touch.path, &self.touch.options)
        {
            return;
        }
        // If it fails the message tells less.
        if let Ok(holders) = self.look().await {
            latest(holders);
        }
    }

    /// What the latest look has seen; nothing if it has not come to its end.
    pub(super) fn latest(&self) -> Vec<Holder> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut latest)
    }
}

/// [`Lookout`] without the type of its backend, for callers that cannot await.
pub(super) trait LookNow: Sync {
    fn look_now(&self) -> io::Result<Vec<Holder>>;
}

impl<B: LockBackend> LookNow for Lookout<'_, B> {
    fn look_now(&self) -> io::Result<Vec<Holder>> {
        // Not together with another task: that may be one which this thread should go on with.
        let look = self.touch.backend.holders(&self.touch.path);
        let seen = block_at_most(PATIENCE, look).unwrap_or_else(|| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "looking for the holders takes too long",
            ))
        });
        Ok(self.note(seen?))
    }
}

/// Blocks the thread until `future` is ready, for this long at the most.
///
/// Unlike a runtime's `block_on`, it works inside an async task.
fn block_at_most<F: Future>(most: Duration, future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    // The budget of the task around us is not renewed before it returns to its runtime.
    let mut future = pin!(unconstrained(future));
    let started = StdInstant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let left = most.checked_sub(started.elapsed())?;
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_ends_when_the_answer_comes_or_the_time_is_up() {
        let (send, receive) = tokio::sync::oneshot::channel();
        thread::spawn(move || send.send(7));
        let answer = block_at_most(Duration::from_secs(60), receive);
        assert_eq!(answer.unwrap().unwrap(), 7);
        let started = StdInstant::now();
        let most = Duration::from_millis(20);
        assert!(block_at_most(most, std::future::pending::<()>()).is_none());
        assert!(started.elapsed() >= most);
    }
}
