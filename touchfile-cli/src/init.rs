//! Being process 1, as in a container.
//!
//! The kernel keeps from process 1 of a pid namespace every signal that it has no handler for
//! (`pid_namespaces(7)`): what ends any other process leaves it waiting for its lock, deaf to all
//! but SIGKILL from outside.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::inherited::inherited;

/// What ends a process that waits.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// While this lives, process 1 ends with 128+n at signal n, as any other process is ended by it.
#[derive(Debug)]
pub(crate) struct Mortal {
    ends: Arc<AtomicBool>,
}

/// Lets signals end this process even if it is process 1. In any other they do without handlers,
/// and it stays so: whoever waits for it then sees the signal itself.
pub(crate) fn mortal() -> Mortal {
    let ends = Arc::new(AtomicBool::new(true));
    if process::id() == 1 {
        let harmful = |signal: &Signal| !inherited().ignores(*signal);
        for signal in ENDING.into_iter().filter(harmful) {
            let (signal, status) = (signal as i32, 128 + signal as i32);
            // Without it, it is as it was.
            signal_hook::flag::register_conditional_shutdown(signal, status, ends.clone()).ok();
        }
    }
    Mortal { ends }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.ends.store(false, Ordering::SeqCst);
    }
}
