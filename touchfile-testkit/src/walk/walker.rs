//! The state of a walk, and the choice of the next step.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::{BoxBackend, Capabilities, LockBackend, OpenOptions};

use super::caller::{Caller, USUAL};
use super::files::{Event, File, files};
use super::slot::{Kept, Slot};
use super::{Halt, Plan, Progress, Style};
use crate::Law;
use crate::countdown::Countdown;
use crate::free::Random;
use crate::handles::{Handle, runtime};

/// How long the preparation of handles may take. On an idle machine it takes much less.
const PREPARATION: Duration = Duration::from_secs(4);

/// How many lines of the trace are kept, and how many are reported.
const KEPT: usize = 400;
const REPORTED: usize = 14;

pub(super) struct Walker<'a> {
    pub(super) backend: &'a BoxBackend,
    pub(super) claims: Capabilities,
    pub(super) style: Style,
    pub(super) patience: Duration,
    pub(super) random: Random,
    pub(super) files: Vec<File>,
    pub(super) slots: Vec<Slot>,
    pub(super) dir: PathBuf,
    pub(super) runtimes: Vec<Runtime>,
    pub(super) progress: &'a Progress,
    trace: Vec<(usize, String)>,
    steps: u64,
    pub(super) names: u32,
    time: Duration,
    /// When the walk ends.
    pub(super) end: Instant,
    /// How many calls have prepared the handles, and how many were to.
    pub(super) prepared: (u64, u64),
    /// The kinds of calls that were slow, the law that this breaks, and how many were.
    pub(super) slow: Vec<(&'static str, Law, u32)>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        backend: &'a BoxBackend,
        dir: &Path,
        plan: &Plan,
        progress: &'a Progress,
    ) -> io::Result<Self> {
        let claims = backend.capabilities();
        Ok(Self {
            backend,
            claims,
            style: plan.style,
            patience: plan.patience,
            random: Random::new(plan.seed, plan.style as u32, 77),
            files: files(dir, plan.style, claims)?,
            slots: Vec::new(),
            dir: dir.to_owned(),
            runtimes: vec![runtime()?, runtime()?],
            progress,
            trace: Vec::new(),
            steps: 0,
            names: 0,
            time: plan.time,
            end: Instant::now() + plan.time,
            prepared: (0, 0),
            slow: Vec::new(),
        })
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

    /// The latest lines of the trace about the file of the last line.
    pub(super) fn trace(&self) -> Vec<String> {
        let Some((file, _)) = self.trace.last() else {
            return Vec::new();
        };
        let about = self.trace.iter().filter(|(about, _)| about == file);
        let mut lines: Vec<_> = about.map(|(_, line)| line.clone()).collect();
        lines.drain(..lines.len().saturating_sub(REPORTED));
        lines
    }

    pub(super) fn record(&mut self, file: usize, line: String) {
        self.trace.push((file, line));
        if self.trace.len() > 2 * KEPT {
            self.trace.drain(..KEPT);
        }
    }

    pub(super) fn remember(&mut self, file: usize, event: Event) {
        self.files[file].events.push(event);
    }

    /// Takes the handle of a slot that does not wait.
    pub(super) fn take(&mut self, slot: usize) -> Handle {
        match std::mem::replace(&mut self.slots[slot].kept, Kept::Away) {
            Kept::Idle(handle) => handle,
            _ => unreachable!("a waiter is not asked for its handle"),
        }
    }

    pub(super) fn countdown(&self) -> Countdown {
        Countdown::new(self.patience)
    }

    /// Opens and uses handles as the style demands, before the first step.
    pub(super) fn begin(&mut self) -> Result<(), Halt> {
        self.end = Instant::now() + PREPARATION;
        match self.style {
            Style::Worn => {
                for file in 0..self.files.len() {
                    let slot = self.open(file, USUAL)?;
                    self.prepared.1 += 1_000;
                    self.prepared.0 += self.wear(slot, 1_000)?;
                    // A second handle has no past.
                    self.open(file, USUAL)?;
                }
            }
            Style::Crowded => {
                self.prepared.1 = 17 + 64;
                for _ in 0..17 {
                    let slot = self.open(0, USUAL)?;
                    self.prepared.0 += 1;
                    if self.claims.shared && Instant::now() < self.end {
                        self.try_lock(slot, Shared, false, USUAL)?;
                    }
                }
                for _ in 0..64 {
                    if Instant::now() < self.end {
                        self.open(1, USUAL)?;
                        self.prepared.0 += 1;
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
        let caller = self.caller();
        let file = self.some_file();
        let here: Vec<_> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].file == file)
            .collect();
        let few = if self.style == Style::Crowded { 18 } else { 4 };
        let random = self.random.below(100);
        if here.is_empty() || (here.len() < few && random < 12) {
            self.open(file, caller)?;
            return Ok(());
        }
        if random == 99 {
            return self.ask_backend(file, caller);
        }
        let openings = if self.style == Style::Everywhere {
            8
        } else {
            1
        };
        if (98 - openings..98).contains(&random) && self.claims.real_files && self.dir.is_dir() {
            return self.open_elsewhere(file, caller);
        }
        // In styles with long-lived handles no file is replaced, because its handles would be dropped.
        if random == 98 && !self.lives_long() && self.claims.identity && self.claims.real_files {
            return self.replace(file);
        }
        let at = usize::try_from(self.random.below(here.len() as u64)).unwrap_or(0);
        let slot = here[at];
        if self.slots[slot].waits_for().is_some() {
            self.step_of_waiter(slot, caller)?;
        } else if self.slots[slot].held.is_some() {
            self.step_of_holder(slot, caller)?;
        } else {
            self.step_of_idle(slot, caller)?;
        }
        Ok(())
    }

    /// Drops all handles.
    pub(super) fn end(&mut self) -> Result<(), Halt> {
        while !self.slots.is_empty() {
            let holders = self.slots.iter().rposition(|slot| slot.held.is_some());
            let slot = holders.unwrap_or(self.slots.len() - 1);
            self.drop_slot(slot, USUAL)?;
        }
        for file in 0..self.files.len() {
            self.files[file].witness = None;
        }
        self.judge_times()
    }

    fn step_of_idle(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        let mode = self.mode();
        match self.random.below(100) {
            _ if self.slots[slot].stale => match self.random.below(3) {
                0 => self.drop_slot(slot, caller),
                1 => self.unlock(slot, caller),
                _ => self.ask_current(slot, caller),
            },
            0..40 => self.try_lock(slot, mode, false, caller),
            40..50 => self.try_lock(slot, mode, true, caller),
            // A wait takes a hundred times as long as an attempt.
            50..60 => self.start_waiting(slot, mode, caller),
            60..75 if !self.lives_long() => self.start_waiting(slot, mode, caller),
            60..75 => self.try_lock(slot, mode, false, caller),
            75..79 => self.unlock(slot, caller),
            79..84 => self.ask_current(slot, caller),
            84..87 => self.ask_lost(slot, caller),
            87..90 => self.convert_nothing(slot, caller),
            90..96 if self.lives_long() => self.wear(slot, 40).map(drop),
            _ => self.drop_sometimes(slot, caller),
        }
    }

    fn step_of_holder(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        match self.random.below(100) {
            // The lock of a file without a name cannot be checked.
            38..50 | 62..86 if self.slots[slot].stale => self.ask_current(slot, caller),
            0..38 => self.unlock(slot, caller),
            38..50 => self.ask_again(slot, caller),
            50..58 => self.ask_current(slot, caller),
            58..62 => self.ask_lost(slot, caller),
            62..74 => self.downgrade(slot, caller),
            74..86 => self.upgrade(slot, caller),
            _ => self.drop_sometimes(slot, caller),
        }
    }

    fn step_of_waiter(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        match self.random.below(100) {
            0..45 => self.poll_briefly(slot),
            45..65 => self.give_up(slot, caller),
            65..85 => self.give_up_as_it_is_released(slot, caller),
            _ => self.drop_sometimes(slot, caller),
        }
    }

    fn drop_sometimes(&mut self, slot: usize, caller: Caller) -> Result<(), Halt> {
        if self.lives_long() && self.random.below(20) > 0 {
            return Ok(());
        }
        self.drop_slot(slot, caller)
    }

    fn lives_long(&self) -> bool {
        matches!(self.style, Style::Worn | Style::Crowded)
    }

    fn mode(&mut self) -> LockMode {
        let shared = match self.style {
            Style::Crowded => 85,
            _ => 45,
        };
        if self.claims.shared && self.random.chance(shared) {
            Shared
        } else {
            Exclusive
        }
    }

    fn some_file(&mut self) -> usize {
        let all = self.files.len() as u64;
        let any = usize::try_from(self.random.below(all)).unwrap_or(0);
        // Mostly the same file is chosen, so that its handles conflict.
        match self.style {
            Style::Everywhere => any,
            _ if self.random.chance(80) => 0,
            _ => any,
        }
    }

    fn caller(&mut self) -> Caller {
        Caller {
            thread: self.random.chance(8),
            runtime: usize::from(self.random.chance(15)),
        }
    }

    /// Opens a new handle on one of the paths of a file.
    pub(super) fn open(&mut self, file: usize, caller: Caller) -> Result<usize, Halt> {
        let paths = self.files[file].paths.len() as u64;
        let path = usize::try_from(self.random.below(paths)).unwrap_or(0);
        let path = self.files[file].paths[path].clone();
        let name = self.names;
        self.names += 1;
        let said = self.call(caller, "opening", Law::Errors, |runtime, backend| {
            runtime.block_on(backend.open(&path, &OpenOptions::new()))
        })?;
        self.record(
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
                self.check_lock(file)?;
                Ok(self.slots.len() - 1)
            }
            Err(error) => Err(Halt::broken(
                Law::Errors,
                format!("the lock file could not be opened: {error}"),
            )),
        }
    }
}
