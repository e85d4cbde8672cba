//! Somebody else, in a thread of the worker of `cancel`: has the lock before, and looks afterwards.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{Nanos, sleep_until};
use crate::contenders::{Family, open_file, try_lock, unlock};

/// Holds the lock when it is told to, by the raw system calls.
pub(super) struct Other {
    orders: Sender<Hold>,
    answers: Receiver<io::Result<()>>,
    family: Family,
    file: File,
}

struct Hold {
    until: Nanos,
    cancel: Option<(Nanos, oneshot::Sender<()>)>,
}

impl Other {
    pub(super) fn new(family: Family, path: &Path) -> io::Result<Self> {
        let (orders, hear) = channel::<Hold>();
        let (say, answers) = channel();
        let (file, own) = (open_file(path)?, open_file(path)?);
        thread::spawn(move || {
            for Hold { until, cancel } in hear {
                let held = wait_for(family, &own);
                let failed = held.is_err();
                if say.send(held).is_err() || failed {
                    break;
                }
                let mut cancel = cancel;
                if let Some((moment, send)) = cancel.take_if(|(moment, _)| *moment < until) {
                    sleep_until(moment);
                    send.send(()).ok();
                }
                sleep_until(until);
                let released = unlock(family, &own);
                if let Some((moment, send)) = cancel {
                    sleep_until(moment);
                    send.send(()).ok();
                }
                if say.send(released).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            orders,
            answers,
            family,
            file,
        })
    }

    /// Returns when it holds the lock, which it does until then, and cancels when it is told to.
    pub(super) fn hold(
        &self,
        until: Nanos,
        cancel: Option<(Nanos, oneshot::Sender<()>)>,
    ) -> io::Result<()> {
        self.orders
            .send(Hold { until, cancel })
            .map_err(io::Error::other)?;
        self.has_released()
    }

    /// Returns when it has.
    pub(super) fn has_released(&self) -> io::Result<()> {
        self.answers.recv().map_err(io::Error::other)?
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether somebody holds the lock, when all have released it and nobody wants it.
    pub(super) fn finds_it_taken(&mut self) -> io::Result<bool> {
        if try_lock(self.family, &self.file)? {
            unlock(self.family, &self.file)?;
            return Ok(false);
        }
        wait_for(self.family, &self.file)?;
        unlock(self.family, &self.file)?;
        Ok(true)
    }
}

/// Without waiting in the kernel, where it would stand in a queue with what it looks for.
fn wait_for(family: Family, file: &File) -> io::Result<()> {
    while !try_lock(family, file)? {
        thread::sleep(Duration::from_micros(20));
    }
    Ok(())
}
