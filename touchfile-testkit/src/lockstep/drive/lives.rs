//! The steps that are about processes, their children, and files.

use super::{Drive, Halt, slot};
use crate::Law;
use crate::lockstep::model::State;
use crate::lockstep::step::{FILES, HandleId, Step};
use crate::process::{Answer, Order};
use crate::stage::Stage;

impl Drive<'_> {
    pub(super) fn kill(&mut self, process: u8) {
        self.stage.kill(usize::from(process));
        // A child with copies keeps the locks of a parent that could not unlock, and cannot help it.
        for child in self.forked.remove(&process).unwrap_or_default() {
            self.stage.end_orphan(child);
        }
        self.model.killed(process);
        self.tell(Step::Kill { process }, "");
    }

    pub(super) fn resume(&mut self, process: u8) {
        self.stage.resume(usize::from(process));
        self.model.resume(process);
        self.tell(Step::Continue { process }, "");
    }

    pub(super) fn fork_and_drop(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::ForkAndExec, &Order::ForkAndDrop(slot(id)))?;
        if let Answer::Unable(_) = answer {
            return Ok(());
        }
        self.tell(Step::ForkAndDrop { process, handle }, "");
        self.expect_done(Law::ForkAndExec, "the child that dropped its copy", &answer)?;
        self.model.child_dropped(id);
        Ok(())
    }

    pub(super) fn have_a_child(&mut self, step: Step, process: u8) -> Result<(), Halt> {
        let (order, forks) = match step {
            Step::Fork { .. } => (Order::Fork, true),
            _ => (Order::Spawn, false),
        };
        let id = HandleId { process, handle: 0 };
        if let Answer::Pid(pid) = self.ask(id, Law::ForkAndExec, &order)? {
            self.tell(step, "");
            self.model.child_lives(process);
            if forks {
                self.forked.entry(process).or_default().push(pid);
            }
            self.stage.remember_child(pid);
        }
        Ok(())
    }

    pub(super) fn hard_link(&mut self, file: u8) -> Result<(), Halt> {
        if !self.model.names_a_file(file) {
            return Ok(());
        }
        let (original, link) = (self.path(file), self.path(FILES - 1 - file));
        self.stage.unlink(&link)?;
        match self.stage.hard_link(&original, &link) {
            Err(error) if Stage::has_no_links(&error) => {
                let file = FILES - 1 - file;
                self.model.unlink(file);
                self.tell(Step::Unlink { file }, "");
                return Ok(());
            }
            done => done?,
        }
        self.model.hard_link(file);
        self.tell(Step::HardLink { file }, "");
        Ok(())
    }
}
