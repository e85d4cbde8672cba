//! Signals for process 1 of a pid namespace, as in a container.
//!
//! The kernel delivers a signal to process 1 only if there is a handler for it (`pid_namespaces(7)`). So
//! a signal that ends any other process would not end process 1 while it waits for a lock. Only SIGKILL
//! from outside of the namespace would.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::inherited::inherited;

/// The signals that end a process which waits for a lock.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// While this exists, process 1 ends with status 128+n at signal n.
#[derive(Debug)]
pub(crate) struct ExitOnSignal {
    ends: Arc<AtomicBool>,
}

/// Lets signals end this process even if it is process 1.
///
/// Another process needs no handler, so that its parent sees the signal.
pub(crate) fn exit_on_signals() -> ExitOnSignal {
    let ends = Arc::new(AtomicBool::new(true));
    if process::id() == 1 {
        let harmful = |signal: &Signal| !inherited().ignores(*signal);
        for signal in ENDING.into_iter().filter(harmful) {
            let (signal, status) = (signal as i32, 128 + signal as i32);
            // If the handler cannot be registered, the signal has no effect, as before.
            signal_hook::flag::register_conditional_shutdown(signal, status, ends.clone()).ok();
        }
    }
    ExitOnSignal { ends }
}

impl Drop for ExitOnSignal {
    fn drop(&mut self) {
        self.ends.store(false, Ordering::SeqCst);
    }
}
