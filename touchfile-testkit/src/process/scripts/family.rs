//! A process and its forked children, all of which lock.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fork::{Fork, fork};
use rustix::process::{Pid, WaitOptions, waitpid};
use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, LockHandle};

use super::ScriptContext;
use crate::Law;
use crate::handles::Handle;
use crate::process::children::unable_to_fork;
use crate::process::{Answer, ScriptOutcome};

/// A forked child that executes commands of one byte.
struct Child {
    pid: i32,
    link: UnixStream,
}

/// The handle that a child uses, and the command that tries to lock with it.
const KINDS: [(&str, u8); 2] = [("inherited", b'i'), ("opened", b'o')];

/// Checks that this process and two children of it exclude each other.
pub(super) fn siblings(context: &ScriptContext<'_>) -> io::Result<Answer> {
    if let Some(unable) = unable_to_fork() {
        return Ok(unable);
    }
    let mut steps = 0;
    for (first, one) in KINDS {
        for (second, other) in KINDS {
            let parents = context.runtime.block_on(context.open())?;
            let mut handles = Handles {
                inherited: context.runtime.block_on(context.open())?,
                own: None,
            };
            let mut parents = Some(parents);
            let (mut a, mut b) = (
                Child::new(context, &mut handles)?,
                Child::new(context, &mut handles)?,
            );
            let mut trace = Vec::new();
            let mut is = |who: &str, got: bool, expected: bool| -> Option<ScriptOutcome> {
                let word = if got { "acquired" } else { "busy" };
                trace.push(format!("{who} tries to take the exclusive lock: {word}"));
                steps += 1;
                let (law, what) = match (got, expected) {
                    (true, false) => (Law::Exclusion, "it got the lock, but another one holds it"),
                    (false, true) => (Law::Release, "the lock is busy, but nobody holds it"),
                    _ => return None,
                };
                Some(ScriptOutcome::Broken {
                    law,
                    what: what.into(),
                    trace: trace.clone(),
                })
            };
            let (a_name, b_name) = (
                format!("the first child, with a handle that it has {first},"),
                format!("the second child, with a handle that it has {second},"),
            );
            let attempt = |handle: &mut Option<Handle>| -> io::Result<bool> {
                let handle = handle.as_mut().expect("the parent has one");
                let got = context.runtime.block_on(handle.try_lock(Exclusive))?;
                if got == Attempt::Acquired {
                    context.runtime.block_on(handle.unlock())?;
                }
                Ok(got == Attempt::Acquired)
            };
            let mut found = is(&a_name, a.ask(one)?, true);
            if found.is_none() {
                found = is(&b_name, b.ask(other)?, false);
            }
            if found.is_none() {
                found = is("the parent", attempt(&mut parents)?, false);
            }
            if found.is_none() {
                a.ask(b'u')?;
                found = is(&b_name, b.ask(other)?, true);
            }
            if found.is_none() {
                found = is(&a_name, a.ask(one)?, false);
            }
            if found.is_none() {
                found = is("the parent", attempt(&mut parents)?, false);
            }
            if found.is_none() {
                b.ask(b'u')?;
                found = is("the parent", attempt(&mut parents)?, true);
            }
            // The second child has a copy of the link to the first, and has to end before it.
            b.end()?;
            a.end()?;
            if let Some(found) = found {
                return Ok(found.into());
            }
        }
    }
    Ok(ScriptOutcome::done(steps).into())
}

struct Handles {
    inherited: Handle,
    own: Option<Handle>,
}

impl Child {
    fn new(context: &ScriptContext<'_>, handles: &mut Handles) -> io::Result<Self> {
        let (link, other) = UnixStream::pair()?;
        match fork().map_err(io::Error::other)? {
            Fork::Child => {
                drop(link);
                // The child ends when its link is closed.
                let served = serve(context, handles, other);
                std::process::exit(i32::from(served.is_err()));
            }
            Fork::Parent(pid) => Ok(Self { pid, link }),
        }
    }

    /// Sends a command, and returns whether the lock was acquired.
    fn ask(&mut self, what: u8) -> io::Result<bool> {
        self.link.set_read_timeout(Some(Duration::from_secs(20)))?;
        self.link.write_all(&[what])?;
        let mut answer = [0];
        self.link.read_exact(&mut answer)?;
        match answer[0] {
            b'a' => Ok(true),
            b'b' => Ok(false),
            _ => Err(io::Error::other("a call failed in a forked child")),
        }
    }

    fn end(self) -> io::Result<()> {
        drop(self.link);
        let pid = Pid::from_raw(self.pid);
        rustix::io::retry_on_intr(|| waitpid(pid, WaitOptions::empty()))?;
        Ok(())
    }
}

fn serve(
    context: &ScriptContext<'_>,
    handles: &mut Handles,
    mut link: UnixStream,
) -> io::Result<()> {
    let mut what = [0];
    while link.read(&mut what)? == 1 {
        let said = match what[0] {
            b'i' => attempt(context, &mut handles.inherited),
            b'o' => {
                let handle = match handles.own.take() {
                    Some(handle) => Ok(handle),
                    None => context.runtime.block_on(context.open()),
                };
                handle.and_then(|handle| attempt(context, handles.own.insert(handle)))
            }
            _ => {
                let unlocked = context.runtime.block_on(async {
                    handles.inherited.unlock().await?;
                    match &mut handles.own {
                        Some(handle) => handle.unlock().await,
                        None => Ok(()),
                    }
                });
                unlocked.map(|()| Attempt::Acquired)
            }
        };
        link.write_all(match said {
            Ok(Attempt::Acquired) => b"a",
            Ok(Attempt::WouldBlock) => b"b",
            Err(_) => b"e",
        })?;
    }
    Ok(())
}

fn attempt(context: &ScriptContext<'_>, handle: &mut Handle) -> io::Result<Attempt> {
    context.runtime.block_on(handle.try_lock(Exclusive))
}
