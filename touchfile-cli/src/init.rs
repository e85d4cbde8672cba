//! What process 1 of a pid namespace has to do, as in a container.
//!
//! The kernel delivers no signal to process 1 that has no handler there (`pid_namespaces(7)`). So a
//! signal that ends any other process would leave process 1 waiting for its lock. Only SIGKILL from
//! outside of the namespace would end it.

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

/// While this lives, process 1 ends with 128+n at signal n, as any other process is ended by it.
#[derive(Debug)]
pub(crate) struct ExitOnSignal {
    ends: Arc<AtomicBool>,
}

/// Lets signals end this process even if it is process 1.
///
/// Every other process is ended without a handler, so that its parent sees the signal itself.
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
