//! The workers of `handoff` and `crash`: one holds, another waits.

use std::io;
use std::path::Path;

use crate::clock::{Nanos, now, sleep_until};
use crate::contenders::{Contender, Mode, Release};
use crate::run::misheard;
use crate::worker::{Side, Worker, say};

pub(super) const ROLE: &str = "turns";

/// How a holder lets go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Guard and file are closed.
    Drop,
    Exit,
    Kill,
    /// The explicit release; the file stays open.
    Unlock,
}

/// A holder and a waiter.
pub(super) struct Pair {
    holder: Worker,
    waiter: Worker,
    holds: &'static Contender,
    path: std::path::PathBuf,
}

impl Pair {
    pub(super) fn new(
        holds: &'static Contender,
        waits: &'static Contender,
        path: &Path,
    ) -> io::Result<Self> {
        Ok(Self {
            holder: Worker::spawn(ROLE, holds, path)?,
            waiter: Worker::spawn(ROLE, waits, path)?,
            holds,
            path: path.to_owned(),
        })
    }

    pub(super) fn waiter(&self) -> &'static Contender {
        self.waiter.contender()
    }

    /// How long after the release the waiter has the lock, having waited for `wait` before it.
    pub(super) fn hand_over(&mut self, end: End, wait: Nanos) -> io::Result<Nanos> {
        self.holder.ask(match end {
            End::Drop => "hold drop",
            End::Exit => "hold exit",
            End::Kill | End::Unlock => "hold unlock",
        })?;
        self.waiter.ask("wait")?;
        let mut released = now() + wait;
        match end {
            End::Drop | End::Exit | End::Unlock => self.holder.send(&released.to_string())?,
            End::Kill => {
                sleep_until(released);
                released = now();
                self.holder.kill()?;
            }
        }
        // The holder's answer comes later: reading it now would cost the waiter a processor.
        let acquired = self.waiter.number()?;
        match end {
            End::Drop | End::Unlock => released = self.holder.number()?,
            End::Exit | End::Kill => self.holder = Worker::spawn(ROLE, self.holds, &self.path)?,
        }
        // A poll may come between the release and our clock: it is not early, but at once.
        Ok(acquired.saturating_sub(released))
    }
}

pub(super) fn play(mut side: Side) -> io::Result<()> {
    let mut participant = side.open()?;
    while let Some(order) = side.commands.next() {
        match &*order {
            "wait" => {
                say("waiting")?;
                let runtime = &side.runtime;
                let acquired = participant.with(runtime, Mode::Exclusive, Release::Drop, now)?;
                say(acquired)?;
            }
            "hold unlock" | "hold drop" | "hold exit" => {
                let release = match &*order {
                    "hold unlock" => Release::Explicit,
                    _ => Release::Drop,
                };
                let released =
                    participant.with(&side.runtime, Mode::Exclusive, release, || {
                        say("held")?;
                        let moment = side
                            .commands
                            .next_numbers()
                            .and_then(|all| all.first().copied());
                        sleep_until(moment.ok_or_else(misheard)?);
                        if order == "hold exit" {
                            std::process::exit(0);
                        }
                        Ok::<_, io::Error>(now())
                    })??;
                if order == "hold drop" {
                    drop(participant);
                    participant = side.open()?;
                }
                say(released)?;
            }
            _ => return Err(misheard()),
        }
    }
    Ok(())
}
