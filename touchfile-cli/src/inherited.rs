//! The state of signals and limits that this process has inherited, and that its commands inherit.
//!
//! A command must start as if `touchfile` had not been between it and its caller. But Rust ignores
//! SIGPIPE before `main`, this program has handlers of its own, and `std` starts every process with no
//! signal blocked and with SIGPIPE at its default. So the state of signals is read before `main`, and
//! each new process sets it before it executes its program. Neither can be done in safe code.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::OnceLock;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::close;

/// The signals whose effect Rust or this program changes.
const CHANGED: [Signal; 8] = [
    Signal::SIGCHLD,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGPIPE,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

static INHERITED: OnceLock<Inherited> = OnceLock::new();

/// Lets the C runtime call [`read_before_main`]. On a system without this section SIGPIPE is taken to be
/// ignored.
#[used]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static READ_BEFORE_MAIN: extern "C" fn() = read_before_main;

extern "C" fn read_before_main() {
    INHERITED.get_or_init(Inherited::read);
}

/// Raises the soft limit of descriptors to the hard limit. The soft limit is low for programs that use
/// select(2), which this one does not.
pub(crate) fn raise_descriptor_limit() {
    if let Some((_, hard)) = inherited().descriptors {
        // If it cannot be raised, it stays as it is.
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

/// The inherited state of this process.
pub(crate) fn inherited() -> &'static Inherited {
    INHERITED.get_or_init(Inherited::read)
}

/// The inherited state of a process, as far as this program or Rust changes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inherited {
    blocked: SigSet,
    /// The signals of [`CHANGED`] that were ignored.
    ignored: SigSet,
    /// The soft and the hard limit of descriptors.
    descriptors: Option<(rlim_t, rlim_t)>,
}

impl Inherited {
    fn read() -> Self {
        let ignored = CHANGED.into_iter().filter(|signal| is_ignored(*signal));
        Self {
            blocked: SigSet::thread_get_mask().unwrap_or(SigSet::empty()),
            ignored: ignored.collect(),
            descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok(),
        }
    }

    /// Whether this process was started with `signal` ignored.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        self.ignored.contains(signal)
    }

    /// The soft limit of descriptors, whose numbers are below it.
    pub(crate) fn descriptor_limit(&self) -> Option<RawFd> {
        let (soft, _) = self.descriptors?;
        RawFd::try_from(soft).ok()
    }

    /// Lets `command` start with this state, and without the descriptor `closed`.
    pub(crate) fn pass_on(&'static self, command: &mut Command, closed: Option<RawFd>) {
        let prepare = move || {
            if let Some(descriptor) = closed {
                close(descriptor)?;
            }
            self.restore()
        };
        // SAFETY: in the child of fork(2), `prepare` allocates nothing and calls close(2),
        // signal(2) and sigprocmask(2), which are async-signal-safe (signal-safety(7)), and
        // setrlimit(2), which is only a system call.
        unsafe { command.pre_exec(prepare) };
    }

    fn restore(&self) -> io::Result<()> {
        for changed in CHANGED {
            let handler = if self.ignores(changed) {
                SigHandler::SigIgn
            } else {
                SigHandler::SigDfl
            };
            // SAFETY: neither handler is a function, so none can be called.
            unsafe { signal(changed, handler) }?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.blocked), None)?;
        if let Some((soft, hard)) = self.descriptors {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
        }
        Ok(())
    }
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes to `action`, if it succeeds.
    let action = unsafe {
        match libc::sigaction(signal as i32, ptr::null(), action.as_mut_ptr()) {
            0 => action.assume_init(),
            _ => return false,
        }
    };
    action.sa_sigaction == libc::SIG_IGN
}
