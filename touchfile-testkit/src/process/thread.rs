//! A thread that stands for a process, for backends in memory.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use touchfile_core::BoxBackend;

use super::execute::Executor;
use super::{Answer, Command, Lost};

/// A thread that executes commands. It ends when this is dropped and its last command has returned.
#[derive(Debug)]
pub(crate) struct Thread {
    commands: Sender<Command>,
    answers: Receiver<Answer>,
}

impl Thread {
    pub(super) fn new(backend: BoxBackend) -> Self {
        let (commands, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        thread::spawn(move || {
            let Ok(mut executor) = Executor::new(backend) else {
                return;
            };
            while let Ok(command) = inbox.recv() {
                if outbox.send(executor.execute(command)).is_err() {
                    break;
                }
            }
        });
        Self { commands, answers }
    }

    pub(super) fn send(&mut self, command: &Command) {
        // If the thread has ended, this shows when it does not answer.
        drop(self.commands.send(command.clone()));
    }

    pub(super) fn receive(&mut self, within: Duration) -> Result<Answer, Lost> {
        self.answers
            .recv_timeout(within)
            .map_err(|error| match error {
                RecvTimeoutError::Disconnected => Lost::Ended,
                RecvTimeoutError::Timeout => Lost::Silent(within),
            })
    }
}
