//! What a holder does for those who wait.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::stopwatch::{Stopwatch, tick};
use super::{Follower, Leader, Releases};
use touchfile_core::LockMode;

/// What a handle knows of others who want its lock.
///
/// Two courtesies make waiting prompt and fair, and neither costs an uncontended holder more than
/// a look at the clock's ticks:
///
/// - Releasing a lock makes no event by itself. A holder makes one if somebody may be waiting for
///   it: if it has held the lock for longer than [`BRIEF`](Self::BRIEF), or had to wait for it
///   itself. Whoever waits for less is still trying.
/// - Whoever locks again at once would always win against those who have to wake up first. So a
///   holder looks whether anybody is in line, once in some milliseconds and each time after there
///   was, and then stands in line behind them.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    /// The present or latest lock was waited for.
    waited: bool,
    /// When somebody in line was last looked for, by the [`tick`]s of the clock.
    looked: Option<Duration>,
    /// How long the present lock has been held.
    hold: Stopwatch,
    /// Those in line are known not to run, and not looked for, until then.
    ignored: Option<(Instant, Duration)>,
    /// The place in line that was found when looking for others.
    place: Option<Follower>,
    /// The head of the line, kept while the lock is held.
    lead: Option<Leader>,
    /// What the wait for the present lock has used, kept so that tidying up delays nobody.
    used: Option<Releases>,
}

impl Courtesy {
    /// A lock that is held for no longer is released without an event.
    pub(super) const BRIEF: Duration = Duration::from_micros(100);

    /// For how long others are not looked for after the first of them did not take its turn; twice
    /// as long each time, up to [`LONGEST_IGNORED`](Self::LONGEST_IGNORED).
    const IGNORED: Duration = Duration::from_millis(500);
    const LONGEST_IGNORED: Duration = Duration::from_secs(60);

    /// How often a handle that does not meet anybody looks for others: at each tick of the clock.
    const OFTEN: Duration = Duration::from_millis(1);

    /// Whether to look for others now.
    #[inline]
    pub(crate) fn is_time_to_look(&mut self) -> bool {
        let now = tick();
        // The lock is about to be tried: this moment will do for when it was acquired.
        self.hold.start(now);
        if !self.waited
            && let Some(looked) = self.looked
            && now - looked < Self::OFTEN
        {
            return false;
        }
        self.looked = Some(now);
        self.ignored
            .is_none_or(|(until, _)| Instant::now() >= until)
    }

    /// Keeps the place in line that looking for others has brought; `None` if there are none.
    pub(crate) fn keep_place(&mut self, place: Option<Follower>) -> bool {
        self.waited = place.is_some();
        self.place = place;
        self.waited
    }

    pub(crate) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    pub(crate) fn take_place(&mut self) -> Option<Follower> {
        self.place.take()
    }

    /// The lead came, as it should.
    pub(super) fn got_its_turn(&mut self) {
        self.ignored = None;
    }

    /// The lock was free, and whoever is ahead in line did not take it.
    pub(super) fn passed_by(&mut self) {
        self.waited = true;
        let pause = self.ignored.map_or(Self::IGNORED, |(_, last)| 2 * last);
        let pause = pause.min(Self::LONGEST_IGNORED);
        self.ignored = Some((Instant::now() + pause, pause));
    }

    /// The lock was waited for, in line.
    pub(super) fn waited(&mut self, mode: LockMode, lead: Option<Leader>, used: Option<Releases>) {
        self.waited = true;
        // The next in line may share it: the lead goes on at once.
        self.lead = lead.filter(|_| mode == LockMode::Exclusive);
        self.used = used;
    }

    #[inline]
    pub(crate) fn acquired(&mut self) {
        self.place = None;
        if !self.hold.is_started() {
            self.hold.start(tick());
        }
    }

    /// Wakes whoever may be waiting for the lock that was just released: the next in line, and
    /// with `announce` those who are not.
    #[inline]
    pub(crate) fn released(&mut self, announce: impl FnOnce()) {
        if !self.hold.was_longer_than(Self::BRIEF) && !self.waited {
            return;
        }
        self.let_pass(announce);
    }

    /// Wakes those who may be waiting for the lock, which others can have or share now.
    pub(crate) fn let_pass(&mut self, announce: impl FnOnce()) {
        if let Some(lead) = &mut self.lead {
            lead.pass_on();
        }
        announce();
        self.lead = None;
        self.used = None;
    }
}

/// `pause`, give or take a quarter, so that those who wait do not all look at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = (RandomState::new().hash_one(0) % 512) as u32;
    pause * (768 + random) / 1024
}
