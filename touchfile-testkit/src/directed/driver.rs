//! The driver of a directed case, which sends commands to processes and keeps the trace.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use touchfile_core::LockMode::{self, Exclusive};
use touchfile_core::OpenOptions;

use crate::Law;
use crate::case::{Context, Done, Finding, Undone};
use crate::countdown::Countdown;
use crate::fixture::Fixture;
use crate::process::{Answer, Command, Lost, Slot};

/// How many times as long as a call a script may take.
const SCRIPT: u32 = 5;

/// The processes and files of one directed case, and the trace so far.
pub(crate) struct Driver<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) fixture: Fixture<'a>,
    pub(super) law: Law,
    /// What the case has measured, in sentences for the report.
    pub(super) measured: Vec<String>,
    trace: Vec<String>,
}

/// The number of a process.
pub(crate) type ProcessNumber = usize;

impl<'a> Driver<'a> {
    /// Gives a file a second name, if there is such a thing here.
    pub(super) fn hard_link(&self, original: &Path, link: &Path) -> Result<(), Undone> {
        linked(self.fixture.hard_link(original, link))
    }

    /// A driver without processes. A wrong answer breaks `law`, unless the case names another.
    pub(crate) fn new(context: &'a Context<'a>, law: Law) -> Result<Self, Undone> {
        Ok(Self {
            context,
            fixture: context.host.fixture()?,
            law,
            measured: Vec::new(),
            trace: Vec::new(),
        })
    }

    /// The lock file of most cases.
    pub(crate) fn path(&self) -> PathBuf {
        self.fixture.path("a.lock")
    }

    /// The number of another process, or 0 if the backend does not claim `cross_process`.
    pub(crate) fn other(&self) -> ProcessNumber {
        usize::from(self.context.claims.cross_process)
    }

    /// Ends a case in which nothing was found, and keeps the workers for other cases.
    pub(crate) fn close(self, tried: u64) -> Done {
        self.fixture.close();
        Done {
            tried,
            measured: self.measured,
        }
    }

    /// Sends a command, receives the answer, and adds both to the trace.
    pub(crate) fn ask(
        &mut self,
        process: ProcessNumber,
        command: &Command,
    ) -> Result<Answer, Undone> {
        self.send(process, command)?;
        self.receive(process, command)
    }

    /// Sends a command, and does not wait for the answer.
    pub(crate) fn send(&mut self, process: ProcessNumber, command: &Command) -> Result<(), Undone> {
        self.fixture.process(process)?.send(command);
        Ok(())
    }

    /// Receives the answer to a command that was sent.
    pub(crate) fn receive(
        &mut self,
        process: ProcessNumber,
        command: &Command,
    ) -> Result<Answer, Undone> {
        let call = self.context.patience * 2;
        let within = match command {
            Command::AwaitLoss(_, time) | Command::Poll(_, time) => call + *time,
            Command::Run(..) => call * SCRIPT,
            _ => call,
        };
        let worker = self.fixture.process(process)?;
        match worker.receive(within) {
            Ok(answer) => {
                self.note(format!("process {process}: {command}: {answer}"));
                Ok(answer)
            }
            Err(lost) => {
                self.note(format!("process {process}: {command}: {lost}"));
                let (law, what) = match (lost, command) {
                    (Lost::Ended, _) => (Law::Errors, "the call ended its process"),
                    (_, Command::Start(..) | Command::Poll(..) | Command::Cancel(_)) => {
                        (Law::CancelSafety, "the call blocks its thread")
                    }
                    (_, Command::Unlock(_) | Command::Drop(_)) => {
                        (Law::Release, "the call blocks its thread")
                    }
                    (_, Command::TryLock(..) | Command::TryUpgrade(_)) => {
                        (Law::Liveness, "the attempt waits")
                    }
                    _ => (self.law, "it never ends"),
                };
                Err(self.broken(law, what))
            }
        }
    }

    /// Opens the usual lock file in the usual way.
    pub(crate) fn open(&mut self, process: ProcessNumber, slot: Slot) -> Result<(), Undone> {
        let path = self.path();
        self.open_with(process, slot, &path, &OpenOptions::new())
    }

    pub(crate) fn open_with(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<(), Undone> {
        let command = Command::Open(slot, path.to_owned(), options.clone());
        match self.ask(process, &command)? {
            Answer::Done => Ok(()),
            _ => Err(self.broken(Law::Errors, "the lock file could not be opened")),
        }
    }

    pub(crate) fn try_lock(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
    ) -> Result<Answer, Undone> {
        self.ask(process, &Command::TryLock(slot, mode))
    }

    /// Tries to take a lock that no living process holds.
    pub(super) fn try_free(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
    ) -> Result<Answer, Undone> {
        loop {
            let answer = self.try_lock(process, slot, mode)?;
            if answer != Answer::WouldBlock || !self.fixture.killed_may_hold() {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Opens the usual lock file and takes its exclusive lock, as the beginning of a case.
    pub(crate) fn hold(&mut self, process: ProcessNumber, slot: Slot) -> Result<(), Undone> {
        self.hold_as(process, slot, Exclusive)
    }

    pub(crate) fn hold_as(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
    ) -> Result<(), Undone> {
        self.open(process, slot)?;
        match self.try_free(process, slot, mode)? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody holds the lock")),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// Begins to wait for a lock that another handle holds.
    pub(crate) fn wait(
        &mut self,
        process: ProcessNumber,
        slot: Slot,
        mode: LockMode,
    ) -> Result<(), Undone> {
        match self.ask(process, &Command::Start(slot, mode))? {
            Answer::Pending => Ok(()),
            Answer::Acquired => {
                Err(self.broken(Law::Exclusion, "it got the lock, but somebody holds it"))
            }
            answer => Err(self.wrong(&answer)),
        }
    }

    pub(crate) fn unlock(&mut self, process: ProcessNumber, slot: Slot) -> Result<(), Undone> {
        self.must_be_done(process, &Command::Unlock(slot))
    }

    pub(crate) fn drop_handle(&mut self, process: ProcessNumber, slot: Slot) -> Result<(), Undone> {
        self.must_be_done(process, &Command::Drop(slot))
    }

    /// Runs a script on the usual file.
    pub(crate) fn run_script(
        &mut self,
        process: ProcessNumber,
        script: &str,
        words: &[&dyn Display],
    ) -> Result<Answer, Undone> {
        let command = self.script(script, words);
        self.ask(process, &command)
    }

    /// Runs a script that must succeed, and returns the text with which it answers.
    pub(crate) fn run(
        &mut self,
        process: ProcessNumber,
        script: &str,
        words: &[&dyn Display],
    ) -> Result<String, Undone> {
        let answer = self.run_script(process, script, words)?;
        self.text_of(answer)
    }

    /// The command to run a script on the usual file.
    pub(crate) fn script(&self, script: &str, words: &[&dyn Display]) -> Command {
        let words = words.iter().map(ToString::to_string).collect();
        Command::Run(script.to_owned(), self.path(), words)
    }

    /// Receives the result of a script that was sent.
    pub(crate) fn result_of(
        &mut self,
        process: ProcessNumber,
        command: &Command,
    ) -> Result<String, Undone> {
        let answer = self.receive(process, command)?;
        self.text_of(answer)
    }

    fn text_of(&self, answer: Answer) -> Result<String, Undone> {
        match answer {
            Answer::Text(text) => Ok(text),
            answer => Err(self.wrong(&answer)),
        }
    }

    pub(crate) fn kill(&mut self, process: ProcessNumber) {
        self.fixture.kill(process);
        self.note(format!("process {process} is killed"));
    }

    /// The finding that an answer was wrong.
    pub(crate) fn wrong(&self, answer: &Answer) -> Undone {
        let law = match answer {
            Answer::Panicked(_) => self.law,
            answer if answer.is_kind(io::ErrorKind::Unsupported) => Law::Capabilities,
            Answer::Failed { .. } => Law::Errors,
            _ => self.law,
        };
        self.broken(law, format!("the answer was: {answer}"))
    }

    /// The finding that a law is broken, with the trace so far.
    pub(crate) fn broken(&self, law: Law, what: impl Into<String>) -> Undone {
        let mut trace = String::new();
        let left_out = self.trace.len().saturating_sub(12);
        if left_out > 0 {
            trace.push_str(&format!("  … {left_out} lines before\n"));
        }
        for (number, line) in self.trace.iter().enumerate().skip(left_out) {
            trace.push_str(&format!("{:3}. {line}\n", number + 1));
        }
        trace.push_str(&format!("This breaks {law}: {}.\n", what.into()));
        let finding = Finding {
            law,
            case: String::new(),
            trace,
            steps: Vec::new(),
        };
        Undone::Broken(Box::new(finding), 1)
    }

    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }

    /// How many lines the trace has.
    pub(super) fn trace_length(&self) -> usize {
        self.trace.len()
    }

    /// Removes the lines after this many from the trace.
    pub(super) fn truncate_trace(&mut self, length: usize) {
        self.trace.truncate(length);
    }
}

/// Repeats until a condition holds, and returns whether it came to hold in time.
pub(crate) fn until(
    within: Duration,
    mut holds: impl FnMut() -> Result<bool, Undone>,
) -> Result<bool, Undone> {
    let mut countdown = Countdown::new(within);
    while !holds()? {
        if countdown.slice().is_none() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

/// The number of attempts in an answer such as "3 acquired, 4 busy", or that in "7 turns".
pub(super) fn tries(said: &str) -> u64 {
    let words = said.split(' ').filter_map(|word| word.parse::<u64>().ok());
    words.sum()
}

/// Skips the case if the file system has no links of this kind.
pub(super) fn linked(made: io::Result<()>) -> Result<(), Undone> {
    match made {
        Err(error) if Fixture::has_no_links(&error) => {
            Err(Undone::Skipped("there are no such links here".into()))
        }
        made => Ok(made?),
    }
}
