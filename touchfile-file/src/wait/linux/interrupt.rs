//! Interrupting a system call in which another thread of this process is blocked.
//!
//! The kernel lets a thread out of flock(2) and fcntl(2) only for a signal that has a handler, and
//! restarts the call after that unless the handler was installed without `SA_RESTART` (signal(7),
//! "Interruption of system calls"). So such a handler, which does nothing, is installed for one
//! realtime signal that nobody uses, the first time a thread is to be blocked. The signal is sent to
//! that thread alone. Programs that are executed start with the default again.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use libc::{c_int, pid_t};

/// A thread of this process that runs [`interruptibly`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Interruptible {
    thread: pid_t,
    signal: c_int,
}

/// Runs `call` so that this thread can be interrupted, and keeps all other signals from it: they are
/// for the threads of the program. `None`, and `call` is not made, if there is no signal to be had.
pub(super) fn interruptibly<T>(call: impl FnOnce(Interruptible) -> T) -> Option<T> {
    let signal = signal()?;
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    let mut usual = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) initializes the whole set that it is given, and the others get it
    // initialized; nothing is stored beyond the calls. The mask is that of this thread alone.
    let is_masked = unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        libc::sigdelset(mask.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), usual.as_mut_ptr()) == 0
    };
    if !is_masked {
        return None;
    }
    let result = call(Interruptible {
        thread: rustix::thread::gettid().as_raw_nonzero().get(),
        signal,
    });
    // SAFETY: the call above has succeeded, and so has stored this thread's usual mask.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, usual.as_ptr(), ptr::null_mut()) };
    Some(result)
}

impl Interruptible {
    #[cfg(test)]
    pub(super) fn number(self) -> pid_t {
        self.thread
    }

    /// Interrupts what the thread is doing; nothing happens if it is blocked nowhere. Returns false if
    /// there is no signal any more by which it could be interrupted.
    ///
    /// The thread must be there: the caller has seen to that.
    pub(super) fn interrupt(self) -> bool {
        // Whoever has taken the handler away since may have left the default action in its place,
        // which would end the process.
        if handler(self.signal) != Some(handler_address()) {
            return false;
        }
        // SAFETY: tgkill(2) takes three numbers. The signal has a handler, which does nothing.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.thread, self.signal) == 0 }
    }
}

/// The signal that interrupts, with its handler; `None` if all of them have another handler.
fn signal() -> Option<c_int> {
    static SIGNAL: OnceLock<Option<c_int>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        // From the end: those who choose a signal of their own mostly start at the beginning.
        let unused = |signal: &c_int| handler(*signal) == Some(libc::SIG_DFL);
        let signal = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(unused)?;
        install(signal).then_some(signal)
    })
}

fn install(signal: c_int) -> bool {
    // SAFETY: all zeros is a valid `sigaction`: no flags, so no SA_RESTART, and an empty mask. The
    // handler returns at once, so it is safe in whatever the thread is doing. It stays for as long as
    // the process: it is part of this program's code.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler_address();
        libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0
    }
}

/// The handler that `signal` has; `None` if the system does not tell.
fn handler(signal: c_int) -> Option<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction(2) only writes the old one to where it is told, which is
    // large enough and was initialized before.
    unsafe {
        let told = libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0;
        told.then(|| action.assume_init().sa_sigaction)
    }
}

fn handler_address() -> libc::sighandler_t {
    extern "C" fn do_nothing(_: c_int) {}

    let handler: extern "C" fn(c_int) = do_nothing;
    handler as libc::sighandler_t
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_blocked_call_is_interrupted_though_the_thread_was_made_with_all_signals_masked() {
        let (mut end, other) = UnixStream::pair().unwrap();
        let (send, receive) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        interruptibly(|_| {
            // This thread has all others masked, and so has the new one at first.
            thread::spawn(move || {
                let interrupted = interruptibly(|thread| {
                    send.send(thread).unwrap();
                    end.read(&mut [0]).unwrap_err().kind()
                });
                done.send(interrupted).unwrap();
            })
        })
        .unwrap();
        let thread = receive.recv().unwrap();
        let interrupted = loop {
            thread.interrupt();
            if let Ok(interrupted) = is_done.recv_timeout(Duration::from_millis(1)) {
                break interrupted;
            }
        };
        assert_eq!(interrupted, Some(io::ErrorKind::Interrupted));
        drop(other);
    }

    #[test]
    fn the_signals_of_a_thread_are_as_before_afterwards() {
        let mask = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mask = status.lines().find(|line| line.starts_with("SigBlk:"));
            mask.unwrap().to_owned()
        };
        let before = mask();
        let within = interruptibly(|_| mask()).unwrap();
        assert_ne!(within, before);
        assert_eq!(mask(), before);
    }
}
