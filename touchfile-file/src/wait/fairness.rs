//! What a handle does for others who want its lock.

use std::time::{Duration, Instant};

use touchfile_core::LockMode;

use super::hold_timer::{HoldTimer, tick};
use super::system::{FileEvents, Follower, Joined, QueueHead};

/// What a handle knows of others who want its lock, and keeps for them.
///
/// Waiting is prompt and fair because holders do two things, and neither costs an uncontended holder
/// more than a look at the clock's ticks:
///
/// - Releasing a lock makes no event by itself. A holder makes one if somebody may be waiting for
///   it: if it has held the lock for longer than [`BRIEF_HOLD`](Self::BRIEF_HOLD), or had to wait for
///   it itself. Whoever waits for a shorter time is still spinning.
/// - Whoever locks again at once would always win against those who have to wake up first. So a
///   handle looks for a queue once in some milliseconds, and each time after there was one, and then
///   stands behind those in it.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    /// The present or latest lock was contended.
    contended: bool,
    /// When a queue was last looked for, by the [`tick`]s of the clock.
    queue_looked_for: Option<Duration>,
    /// How long the present lock has been held.
    hold: HoldTimer,
    /// Until when the queue is ignored because its head does not run, and for how long it is then.
    queue_ignored: Option<(Instant, Duration)>,
    /// Another user has the name of the queue.
    without_queue: Option<WithoutQueue>,
    /// The place that looking for a queue has brought.
    place: Option<Box<dyn Follower>>,
    /// The head of the queue, kept while the lock is held.
    head: Option<Box<dyn QueueHead>>,
    /// The events that the wait for the present lock has used, kept so that tidying up delays nobody.
    used_events: Option<Box<dyn FileEvents>>,
}

/// The latest hold of a handle that found that another user has the name of its queue.
#[derive(Clone, Copy, Debug, Default)]
struct WithoutQueue {
    acquired: Option<Instant>,
    released: Option<Instant>,
}

impl WithoutQueue {
    fn latest_hold(self) -> Option<(Instant, Instant)> {
        Some((self.acquired?, self.released?))
    }
}

impl Fairness {
    /// A lock that is held for no longer is released without an event.
    pub(super) const BRIEF_HOLD: Duration = Duration::from_micros(100);

    /// Whether to look for a queue now.
    #[inline]
    pub(super) fn is_time_to_look(&mut self) -> bool {
        /// How often a handle that does not meet anybody looks: at each tick of the clock.
        const LOOK_INTERVAL: Duration = Duration::from_millis(1);

        let now = tick();
        // The lock is about to be tried: this time counts as when it was acquired.
        self.hold.start(now);
        let looked_lately = |looked| now - looked < LOOK_INTERVAL;
        if !self.contended && self.queue_looked_for.is_some_and(looked_lately) {
            return false;
        }
        self.queue_looked_for = Some(now);
        self.queue_ignored
            .is_none_or(|(until, _)| Instant::now() >= until)
    }

    /// Keeps the place that looking for a queue has brought; returns whether there is one.
    pub(super) fn keep_place(&mut self, joined: Joined) -> bool {
        self.without_queue = match (&joined, self.without_queue.take()) {
            (Joined::Taken, known) => Some(known.unwrap_or_default()),
            _ => None,
        };
        self.place = match joined {
            Joined::Behind(place) => Some(place),
            Joined::Nobody | Joined::Taken => None,
        };
        self.contended = self.place.is_some();
        self.contended
    }

    /// For how long to leave the lock to others before it is taken again, where there can be no queue.
    ///
    /// It is as long as the latest hold was, so that whoever has taken the name of the queue costs
    /// half of the time at most, and no longer than who is awake needs to take it.
    pub(super) fn turn_of_others(&self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_millis(2);

        let (acquired, released) = self.without_queue?.latest_hold()?;
        let pause = (released - acquired).min(LONGEST);
        pause
            .checked_sub(released.elapsed())
            .filter(|left| !left.is_zero())
    }

    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    pub(super) fn take_place(&mut self) -> Option<Box<dyn Follower>> {
        self.place.take()
    }

    /// This handle became the head of the queue, as it should.
    pub(super) fn became_head(&mut self) {
        self.queue_ignored = None;
    }

    /// The lock was free, and the head of the queue did not take it.
    pub(super) fn passed_head(&mut self) {
        /// For how long the queue is ignored after that; twice as long each time.
        const SHORTEST: Duration = Duration::from_millis(500);
        const LONGEST: Duration = Duration::from_secs(60);

        self.contended = true;
        let pause = self.queue_ignored.map_or(SHORTEST, |(_, last)| 2 * last);
        let pause = pause.min(LONGEST);
        self.queue_ignored = Some((Instant::now() + pause, pause));
    }

    /// The lock was waited for, as the head of the queue.
    pub(super) fn waited(
        &mut self,
        mode: LockMode,
        head: Option<Box<dyn QueueHead>>,
        used_events: Option<Box<dyn FileEvents>>,
    ) {
        self.contended = true;
        // The next in the queue may share a shared lock: the head is handed over at once.
        self.head = head.filter(|_| mode == LockMode::Exclusive);
        self.used_events = used_events;
    }

    #[inline]
    pub(super) fn acquired(&mut self) {
        self.place = None;
        if self.without_queue.is_some() {
            self.without_queue = Some(WithoutQueue {
                acquired: Some(Instant::now()),
                released: None,
            });
        }
        if !self.hold.is_started() {
            self.hold.start(tick());
        }
    }

    /// Whether somebody may be waiting for the lock that was just released.
    #[inline]
    pub(super) fn may_be_waited_for(&mut self) -> bool {
        if let Some(without_queue) = &mut self.without_queue {
            without_queue.released = Some(Instant::now());
        }
        self.hold.was_longer_than(Self::BRIEF_HOLD) || self.contended
    }

    /// Wakes those who may be waiting for the lock, which others can have or share now: the next in
    /// the queue, and by `notify_waiters` those who are in none.
    pub(super) fn hand_over(&mut self, notify_waiters: impl FnOnce()) {
        if let Some(head) = &mut self.head {
            head.hand_over();
        }
        notify_waiters();
        self.head = None;
        self.used_events = None;
    }
}
