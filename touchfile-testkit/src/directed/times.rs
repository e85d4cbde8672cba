//! How long calls take, and how long they may take.

use std::fmt::Display;
use std::io;

use super::driver::Driver;
use super::scripted::steps_of;
use crate::Law;
use crate::case::{Case, Undone, enough};
use crate::process::Answer;
use crate::timing::{CallTimes, TimedCall, Times};

/// How many rounds are planned. With less than a tenth a median says nothing.
const ROUNDS: u64 = 50;

/// A call is slow if it is slow in each of this many measurements.
const SERIES: usize = 3;

/// How many microseconds the calls of any backend may take, on any machine.
const PROMPT_US: u64 = 50_000;
const SOON_US: u64 = 500_000;

/// How many times as long as an attempt at a free lock, and as a thread that only sleeps is late, they
/// may take in addition.
const PROMPT_TIMES: u64 = 10;
const SOON_TIMES: u64 = 20;

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Liveness::calls_take_no_longer_than_they_may,
    }
}

fn calls_take_no_longer_than_they_may(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    let mut slow = TimedCall::ALL.to_vec();
    let mut why = String::new();
    for _ in 0..SERIES {
        let times = match measure(driver)? {
            Ok(times) => times,
            Err(answer) => return steps_of(driver, answer),
        };
        driver.measured = vec![times.in_words()];
        enough(times.rounds, ROUNDS)?;
        slow.retain(|&call| times.of(call).median > times.most(call));
        let Some(&first) = slow.first() else {
            return Ok(times.rounds * TimedCall::ALL.len() as u64);
        };
        why = times.why_slow(first);
    }
    Err(driver.broken(slow[0].law(), why))
}

/// Lets a process measure. If something else was wrong, returns its answer.
fn measure(driver: &mut Driver<'_>) -> Result<Result<Times, Answer>, Undone> {
    let (time_ms, patience_ms) = (
        driver.context.times(1_200),
        driver.context.patience.as_millis(),
    );
    let words: [&dyn Display; 3] = [&ROUNDS, &time_ms, &patience_ms];
    Ok(match driver.run_script(0, "time-calls", &words)? {
        Answer::Text(text) => Ok(serde_json::from_str(&text).map_err(io::Error::from)?),
        answer => Err(answer),
    })
}

impl TimedCall {
    /// The law that is broken if such calls take too long.
    fn law(self) -> Law {
        match self {
            Self::TryFree | Self::TryHeld | Self::WaitAfterRelease => Law::Liveness,
            Self::BeginToWait | Self::GiveUp => Law::CancelSafety,
            Self::Unlock | Self::Drop => Law::Release,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TryFree => "an attempt at a free lock",
            Self::TryHeld => "an attempt at a held lock",
            Self::BeginToWait => "the first poll of a wait",
            Self::GiveUp => "giving up a wait",
            Self::Unlock => "unlocking",
            Self::WaitAfterRelease => "a wait after the release",
            Self::Drop => "dropping the handle",
        }
    }
}

impl Times {
    fn of(&self, wanted: TimedCall) -> CallTimes {
        let all = &mut self.calls.iter();
        let found = all.find(|one| one.call == wanted);
        *found.expect("every call is measured")
    }

    /// How many microseconds such a call may take, as a median.
    fn most(&self, call: TimedCall) -> u64 {
        let (always, times) = match call {
            // It is what the others are measured by.
            TimedCall::TryFree => return u64::MAX,
            TimedCall::WaitAfterRelease => (SOON_US, SOON_TIMES),
            _ => (PROMPT_US, PROMPT_TIMES),
        };
        let unit = self.of(TimedCall::TryFree).median + self.lateness;
        unit.saturating_mul(times).saturating_add(always)
    }

    fn why_slow(&self, call: TimedCall) -> String {
        format!(
            "{} takes {} ms, again and again, and may take {} ms, as an attempt at a free lock takes \
             {} ms, and a thread that only sleeps wakes {} ms too late",
            call.name(),
            ms(self.of(call).median),
            ms(self.most(call)),
            ms(self.of(TimedCall::TryFree).median),
            ms(self.lateness),
        )
    }

    fn in_words(&self) -> String {
        let calls = self.calls.iter().map(|one| {
            format!(
                "{} {} (longest {})",
                one.call.name(),
                ms(one.median),
                ms(one.longest)
            )
        });
        format!(
            "the median time of {} calls in ms: {}; what is prompt may take {}, and what is soon {}",
            self.rounds,
            calls.collect::<Vec<_>>().join(", "),
            ms(self.most(TimedCall::Unlock)),
            ms(self.most(TimedCall::WaitAfterRelease)),
        )
    }
}

/// Microseconds as milliseconds.
fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
}
