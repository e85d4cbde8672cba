//! Samples of who holds the lock, for the messages about a wait.
//!
//! A sample costs something. So none is taken before there has been a wait, and however many wait in
//! this process, few samples are taken at the same time. Nothing but messages depends on them.

use std::io;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant as StdInstant, SystemTime};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::TouchFile;
use crate::runtime::{self, block_on_timeout};
use crate::{Holder, LockBackend, LockMode};

/// The latest sample of a `TouchFile`, and when it was begun.
///
/// The clock is the real one: a test may have stopped the other.
pub(super) type SharedSample = Mutex<Option<(StdInstant, Vec<Holder>)>>;

impl<B: LockBackend> TouchFile<B> {
    /// Samples all holders, or takes the sample of another task that began after this one asked. So a
    /// thousand waiters whose time is up take two samples and not a thousand.
    async fn sample_holders(&self) -> io::Result<Vec<Holder>> {
        let asked = StdInstant::now();
        let mut latest = self.sample.lock().await;
        if let Some((began, holders)) = &*latest {
            if *began > asked {
                return Ok(holders.clone());
            }
        }
        let began = StdInstant::now();
        let holders = self.backend.holders(&self.path).await?;
        *latest = Some((began, holders.clone()));
        Ok(holders)
    }

    /// The holders in the way of a lock in `mode`, in the words of a message, if they were sampled
    /// within the last `waited`. It does not wait and asks nobody.
    pub(super) fn sampled_in_words(&self, mode: LockMode, waited: Duration) -> Option<String> {
        let latest = self.sample.try_lock().ok()?;
        let (began, holders) = latest.as_ref()?;
        if began.elapsed() > waited {
            return None;
        }
        let in_the_way = |holder: &&Holder| holder.is_in_the_way_of(mode);
        let holders: Vec<Holder> = holders.iter().filter(in_the_way).cloned().collect();
        Holder::in_words(&holders)
    }
}

/// Samples the holders that are in the way of one wait, and remembers since when each is seen.
#[derive(Debug)]
pub(super) struct HolderSampler<'a, B: LockBackend> {
    touch: &'a TouchFile<B>,
    mode: LockMode,
    began: SystemTime,
    seen: StdMutex<Vec<(Instant, Holder)>>,
    latest: StdMutex<Vec<Holder>>,
}

impl<'a, B: LockBackend> HolderSampler<'a, B> {
    /// For a wait that begins now.
    pub(super) fn new(touch: &'a TouchFile<B>, mode: LockMode) -> Self {
        Self {
            touch,
            mode,
            began: SystemTime::now(),
            seen: StdMutex::default(),
            latest: StdMutex::default(),
        }
    }

    /// When to take samples in a wait of `timeout`, from its beginning, the last one first.
    ///
    /// The last sample is for the message at the end. The first one lets that message tell for how
    /// long a holder has been seen.
    pub(super) fn times(timeout: Option<Duration>) -> Vec<Duration> {
        let Some(timeout) = timeout.filter(|timeout| *timeout >= MIN_TIMEOUT) else {
            return Vec::new();
        };
        let last = timeout - MAX_SAMPLE_TIME.min(timeout / LAST_PART);
        let mut times = vec![last];
        if FIRST_SAMPLE < last {
            times.push(FIRST_SAMPLE);
        }
        times
    }

    async fn sample(&self) -> io::Result<Vec<Holder>> {
        Ok(self.note(self.touch.sample_holders().await?))
    }

    /// Drops who is neither in the way nor waits before this wait, and notes since when the others are seen.
    fn note(&self, mut holders: Vec<Holder>) -> Vec<Holder> {
        let now = Instant::now();
        holders.retain(|holder| {
            holder.is_in_the_way_of(self.mode) || holder.waits_since_before(self.began)
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |holder: &Holder| {
            let before = seen.iter().find(|(_, before)| before.is_same(holder));
            before.map_or(now, |(since, _)| *since)
        };
        let dated: Vec<_> = holders.iter().map(since).collect();
        *seen = dated.iter().copied().zip(holders.iter().cloned()).collect();
        for (holder, since) in holders.iter_mut().zip(dated) {
            if since < now && !holder.waiting {
                holder.seen_for = Some(now - since);
            }
        }
        holders
    }

    /// Takes the sample for the message at the end of the wait.
    pub(super) async fn sample_for_timeout(&self) {
        let latest = |holders| {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = holders;
        };
        // An earlier sample may be true no more.
        latest(Vec::new());
        // If it fails the message tells less.
        if let Some(Ok(holders)) = self.sample_without_blocking().await {
            latest(holders);
        }
    }

    /// The holders in the words of a message, if there are any and they can be found.
    pub(super) async fn sample_in_words(&self) -> Option<String> {
        let holders = self.sample_without_blocking().await?;
        Holder::in_words(&holders.ok()?)
    }

    /// The sample for the message of a timeout of zero, which has no time for one before its end. It is
    /// empty if that takes too long.
    pub(super) async fn sample_at_once(&self) -> Vec<Holder> {
        let sample = runtime::timeout(MAX_SAMPLE_TIME, self.sample_without_blocking()).await;
        sample.flatten().and_then(Result::ok).unwrap_or_default()
    }

    /// A sample; `None` on a file system that may not answer: a thread that asks it could hang with it.
    async fn sample_without_blocking(&self) -> Option<io::Result<Vec<Holder>>> {
        let TouchFile {
            backend,
            path,
            options,
            ..
        } = self.touch;
        if backend.open_may_block(path, options) {
            return None;
        }
        Some(self.sample().await)
    }

    /// The sample for the message; it is empty if it has not come to its end.
    pub(super) fn take_latest(&self) -> Vec<Holder> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut latest)
    }
}

/// [`HolderSampler`] without the type of its backend, for callers that cannot await.
pub(super) trait SampleNow: Sync {
    fn sample_now(&self) -> io::Result<Vec<Holder>>;
}

impl<B: LockBackend> SampleNow for HolderSampler<'_, B> {
    fn sample_now(&self) -> io::Result<Vec<Holder>> {
        // It is not taken together with another task, which may wait for this very thread.
        let sample = self.touch.backend.holders(&self.touch.path);
        let sampled = block_on_timeout(MAX_SAMPLE_TIME, sample).unwrap_or_else(|| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "looking for the holders takes too long",
            ))
        });
        Ok(self.note(sampled?))
    }
}

/// How long a sample may take. Among hundreds of processes it takes a hundredth of that.
const MAX_SAMPLE_TIME: Duration = Duration::from_millis(250);

/// No sample is taken in a wait with a shorter timeout: whoever gives up that soon may do so many
/// times a second.
const MIN_TIMEOUT: Duration = Duration::from_millis(50);

/// The last sample is begun when this part of the wait is left, or [`MAX_SAMPLE_TIME`] if that is
/// less, so that the deadline is not overrun for the sake of a message.
const LAST_PART: u32 = 4;

/// When the first sample is taken.
const FIRST_SAMPLE: Duration = Duration::from_millis(250);
