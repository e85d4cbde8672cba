//! Who walks: the choice of the next step.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{BoxBackend, Capabilities, LockBackend, OpenOptions};

use super::files::{Event, File, files};
use super::slot::{Kept, Slot};
use super::{Halt, Plan, Pulse, Style, claims};
use crate::Law;
use crate::free::Random;
use crate::process::panic_message;

/// A call that takes longer is looked at more closely.
const SLOW: Duration = Duration::from_millis(300);

/// What wearing handles may take. It is a fraction of that on a machine that is not busy.
const PREPARATION: Duration = Duration::from_secs(4);

/// What calls are that poll a wait once, or until it is over.
pub(super) const POLL: &str = "a poll of a wait";
pub(super) const WAIT: &str = "a wait";

/// How many lines of a trace are kept, and how many are told.
const KEPT: usize = 400;
const TOLD: usize = 14;

pub(super) struct Walker<'a> {
    pub(super) backend: &'a BoxBackend,
    pub(super) claims: Capabilities,
    pub(super) style: Style,
    pub(super) patience: Duration,
    pub(super) dice: Random,
    pub(super) files: Vec<File>,
    pub(super) slots: Vec<Slot>,
    pub(super) dir: PathBuf,
    runtimes: Vec<Runtime>,
    pulse: &'a Pulse,
    trace: Vec<(usize, String)>,
    steps: u64,
    pub(super) names: u32,
    time: Duration,
    /// When it is over.
    pub(super) end: Instant,
    /// How many calls of each kind were slow, and how many others were in the meantime.
    slow: Vec<(&'static str, Law, u32)>,
}

/// In which thread and runtime a call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) thread: bool,
    pub(super) runtime: usize,
}

pub(super) const HERE: Place = Place {
    thread: false,
    runtime: 0,
};

impl<'a> Walker<'a> {
    pub(super) fn new(
        backend: &'a BoxBackend,
        dir: &Path,
        plan: &Plan,
        pulse: &'a Pulse,
    ) -> io::Result<Self> {
        let claims = claims(backend);
        let runtime = || Builder::new_current_thread().enable_all().build();
        Ok(Self {
            backend,
            claims,
            style: plan.style,
            patience: plan.patience,
            dice: Random::new(plan.seed, plan.style as u32, 77),
            files: files(dir, plan.style, claims)?,
            slots: Vec::new(),
            dir: dir.to_owned(),
            runtimes: vec![runtime()?, runtime()?],
            pulse,
            trace: Vec::new(),
            steps: 0,
            names: 0,
            time: plan.time,
            end: Instant::now() + plan.time,
            slow: Vec::new(),
        })
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

    /// The latest lines, about the file of the last of them.
    pub(super) fn trace(&self) -> Vec<String> {
        let Some((file, _)) = self.trace.last() else {
            return Vec::new();
        };
        let about = self.trace.iter().filter(|(about, _)| about == file);
        let mut lines: Vec<_> = about.map(|(_, line)| line.clone()).collect();
        lines.drain(..lines.len().saturating_sub(TOLD));
        lines
    }

    pub(super) fn tell(&mut self, file: usize, line: String) {
        self.trace.push((file, line));
        if self.trace.len() > 2 * KEPT {
            self.trace.drain(..KEPT);
        }
    }

    pub(super) fn remember(&mut self, file: usize, event: Event) {
        self.files[file].events.push(event);
    }

    /// What is there before the first step.
    pub(super) fn begin(&mut self) -> Result<(), Halt> {
        self.end = Instant::now() + PREPARATION;
        match self.style {
            Style::Worn => {
                for file in 0..self.files.len() {
                    let slot = self.open(file, HERE)?;
                    self.wear(slot, 1_000)?;
                    // And one that is not.
                    self.open(file, HERE)?;
                }
            }
            Style::Crowded => {
                for _ in 0..17 {
                    let slot = self.open(0, HERE)?;
                    if self.claims.shared && Instant::now() < self.end {
                        self.try_lock(slot, Shared, false, HERE)?;
                    }
                }
                for _ in 0..64 {
                    if Instant::now() < self.end {
                        self.open(1, HERE)?;
                    }
                }
            }
            Style::Everywhere | Style::Mixed => {}
        }
        self.end = Instant::now() + self.time;
        Ok(())
    }

    pub(super) fn step(&mut self) -> Result<(), Halt> {
        self.steps += 1;
        let place = self.place();
        let file = self.some_file();
        let here: Vec<_> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].file == file)
            .collect();
        let few = if self.style == Style::Crowded { 18 } else { 4 };
        let dice = self.dice.below(100);
        if here.is_empty() || (here.len() < few && dice < 12) {
            self.open(file, place)?;
            return Ok(());
        }
        if dice == 99 {
            return self.ask_backend(file, place);
        }
        // Handles on a file that was replaced do not live long.
        if dice == 98 && !self.lives_long() && self.claims.identity && self.claims.real_files {
            return self.replace(file);
        }
        let at = usize::try_from(self.dice.below(here.len() as u64)).unwrap_or(0);
        let slot = here[at];
        if self.slots[slot].waits_for().is_some() {
            self.step_of_waiter(slot, place)?;
        } else if self.slots[slot].held.is_some() {
            self.step_of_holder(slot, place)?;
        } else {
            self.step_of_idle(slot, place)?;
        }
        Ok(())
    }

    /// Everybody lets go.
    pub(super) fn end(&mut self) -> Result<(), Halt> {
        while !self.slots.is_empty() {
            let holders = self.slots.iter().rposition(|slot| slot.held.is_some());
            let slot = holders.unwrap_or(self.slots.len() - 1);
            self.drop_slot(slot, HERE)?;
        }
        for file in 0..self.files.len() {
            self.files[file].witness = None;
        }
        self.judge_times()
    }

    fn step_of_idle(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        let mode = self.mode();
        match self.dice.below(100) {
            _ if self.slots[slot].stale => match self.dice.below(3) {
                0 => self.drop_slot(slot, place),
                1 => self.unlock(slot, place),
                _ => self.ask_current(slot, place),
            },
            0..40 => self.try_lock(slot, mode, false, place),
            40..50 => self.try_lock(slot, mode, true, place),
            // A wait takes a hundred times what an attempt does.
            50..60 => self.start_waiting(slot, mode, place),
            60..75 if !self.lives_long() => self.start_waiting(slot, mode, place),
            60..75 => self.try_lock(slot, mode, false, place),
            75..79 => self.unlock(slot, place),
            79..84 => self.ask_current(slot, place),
            84..87 => self.ask_lost(slot, place),
            87..90 => self.convert_nothing(slot, place),
            90..96 if self.lives_long() => self.wear(slot, 40),
            _ => self.drop_sometimes(slot, place),
        }
    }

    fn step_of_holder(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        match self.dice.below(100) {
            // Nobody can look at the lock of a file that has no name.
            38..50 | 62..86 if self.slots[slot].stale => self.ask_current(slot, place),
            0..38 => self.unlock(slot, place),
            38..50 => self.ask_again(slot, place),
            50..58 => self.ask_current(slot, place),
            58..62 => self.ask_lost(slot, place),
            62..74 => self.downgrade(slot, place),
            74..86 => self.upgrade(slot, place),
            _ => self.drop_sometimes(slot, place),
        }
    }

    fn step_of_waiter(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        match self.dice.below(100) {
            0..45 => self.poll_briefly(slot),
            45..65 => self.give_up(slot, place),
            65..85 => self.give_up_as_it_is_released(slot, place),
            _ => self.drop_sometimes(slot, place),
        }
    }

    fn drop_sometimes(&mut self, slot: usize, place: Place) -> Result<(), Halt> {
        if self.lives_long() && self.dice.below(20) > 0 {
            return Ok(());
        }
        self.drop_slot(slot, place)
    }

    fn lives_long(&self) -> bool {
        matches!(self.style, Style::Worn | Style::Crowded)
    }

    fn mode(&mut self) -> LockMode {
        let shared = match self.style {
            Style::Crowded => 85,
            _ => 45,
        };
        if self.claims.shared && self.dice.chance(shared) {
            Shared
        } else {
            Exclusive
        }
    }

    fn some_file(&mut self) -> usize {
        let all = self.files.len() as u64;
        let any = usize::try_from(self.dice.below(all)).unwrap_or(0);
        // Mostly one, so that handles meet.
        match self.style {
            Style::Everywhere => any,
            _ if self.dice.chance(80) => 0,
            _ => any,
        }
    }

    fn place(&mut self) -> Place {
        Place {
            thread: self.dice.chance(8),
            runtime: usize::from(self.dice.chance(15)),
        }
    }

    /// Makes a new handle.
    pub(super) fn open(&mut self, file: usize, place: Place) -> Result<usize, Halt> {
        let roads = self.files[file].roads.len() as u64;
        let road = usize::try_from(self.dice.below(roads)).unwrap_or(0);
        let path = self.files[file].roads[road].clone();
        let name = self.names;
        self.names += 1;
        let said = self.call(place, "opening", Law::Errors, |runtime, backend| {
            runtime.block_on(backend.open(&path, &OpenOptions::new()))
        })?;
        self.tell(
            file,
            format!("handle {name} is opened on {}", path.display()),
        );
        match said {
            Ok(handle) => {
                self.slots.push(Slot {
                    name,
                    file,
                    path,
                    stale: false,
                    held: None,
                    has_place: false,
                    kept: Kept::Idle(handle),
                });
                self.look(file, place)?;
                Ok(self.slots.len() - 1)
            }
            Err(error) => Err(Halt::broken(
                Law::Errors,
                format!("the lock file could not be opened: {error}"),
            )),
        }
    }

    /// Makes a call, in its place; a panic breaks `law`.
    pub(super) fn call<T: Send>(
        &mut self,
        place: Place,
        kind: &'static str,
        law: Law,
        call: impl FnOnce(&Runtime, &BoxBackend) -> T + Send,
    ) -> Result<T, Halt> {
        let (runtime, backend) = (&self.runtimes[place.runtime], self.backend);
        self.pulse.beat(matches!(kind, POLL | WAIT));
        let begun = Instant::now();
        let call = move || catch_unwind(AssertUnwindSafe(|| call(runtime, backend)));
        let said = if place.thread {
            thread::scope(|scope| scope.spawn(call).join()).and_then(|said| said)
        } else {
            call()
        };
        self.pulse.beat(false);
        let took = begun.elapsed();
        // A wait takes what it takes; each poll of it does not.
        if took > SLOW && kind != WAIT {
            let law = match kind {
                "an attempt" | "an upgrade" => Law::Liveness,
                "giving up a wait" | POLL => Law::CancelSafety,
                _ => law,
            };
            self.is_slow(kind, law);
            // So that there is time to see whether it is so again.
            self.end += took.min(SLOW * 3);
        }
        said.map_err(|panic| {
            Halt::broken(law, format!("{kind} panicked: {}", panic_message(&*panic)))
        })
    }

    fn is_slow(&mut self, kind: &'static str, law: Law) {
        match self.slow.iter_mut().find(|(other, ..)| *other == kind) {
            Some((.., times)) => *times += 1,
            None => self.slow.push((kind, law, 1)),
        }
    }

    /// One kind of call that is slow again and again, when no other is, is not slow because the
    /// machine is busy.
    pub(super) fn judge_times(&self) -> Result<(), Halt> {
        let all: u32 = self.slow.iter().map(|(.., times)| times).sum();
        for &(kind, law, times) in &self.slow {
            if times >= 4 && all - times <= times / 4 {
                return Err(Halt::broken(
                    law,
                    format!("{kind} took more than {SLOW:?}, {times} times, and no other call did"),
                ));
            }
        }
        Ok(())
    }
}
