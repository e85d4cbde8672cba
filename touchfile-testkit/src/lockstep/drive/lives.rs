//! The steps about processes, their children and files.

use super::{Drive, Halt, slot};
use crate::Law;
use crate::fixture::Fixture;
use crate::lockstep::model::State;
use crate::lockstep::step::{FILES, HandleId, Step};
use crate::process::{Answer, Command};

impl Drive<'_> {
    pub(super) fn kill(&mut self, process: u8) {
        self.fixture.kill(usize::from(process));
        // A forked child keeps the locks of a killed parent, which no backend can prevent.
        for child in self.forked.remove(&process).unwrap_or_default() {
            self.fixture.end_orphan(child);
        }
        self.model.killed(process);
        self.record(Step::Kill { process }, "");
    }

    pub(super) fn resume(&mut self, process: u8) {
        self.fixture.resume(usize::from(process));
        self.model.resume(process);
        self.record(Step::Continue { process }, "");
    }

    pub(super) fn fork_and_drop(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::ForkAndExec, &Command::ForkAndDrop(slot(id)))?;
        if let Answer::Unable(_) = answer {
            return Ok(());
        }
        self.record(Step::ForkAndDrop { process, handle }, "");
        self.expect_done(Law::ForkAndExec, "the child that dropped its copy", &answer)?;
        self.model.child_dropped(id);
        Ok(())
    }

    pub(super) fn have_a_child(&mut self, step: Step, process: u8) -> Result<(), Halt> {
        let (command, forks) = match step {
            Step::Fork { .. } => (Command::Fork, true),
            _ => (Command::Spawn, false),
        };
        let id = HandleId { process, handle: 0 };
        if let Answer::Pid(pid) = self.ask(id, Law::ForkAndExec, &command)? {
            self.record(step, "");
            self.model.child_lives(process);
            if forks {
                self.forked.entry(process).or_default().push(pid);
            }
            self.fixture.remember_child(pid);
        }
        Ok(())
    }

    pub(super) fn hard_link(&mut self, file: u8) -> Result<(), Halt> {
        if !self.model.names_a_file(file) {
            return Ok(());
        }
        let (original, link) = (self.path(file), self.path(FILES - 1 - file));
        self.fixture.unlink(&link)?;
        match self.fixture.hard_link(&original, &link) {
            Err(error) if Fixture::has_no_links(&error) => {
                let file = FILES - 1 - file;
                self.model.unlink(file);
                self.record(Step::Unlink { file }, "");
                return Ok(());
            }
            done => done?,
        }
        self.model.hard_link(file);
        self.record(Step::HardLink { file }, "");
        Ok(())
    }
}
