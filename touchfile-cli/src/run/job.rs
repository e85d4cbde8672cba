//! What Windows has in place of signals and process groups, and all the `unsafe` code of it.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::core::BOOL;

/// A job object: this process and all that it starts from now on, which end when it ends.
///
/// A command that outlived this process would run without its lock, since no lock of Windows can be
/// inherited. The one handle of the job is closed with this process, however that ends, and not before:
/// to close it ends this process as well.
#[derive(Debug)]
pub(super) struct Job(ManuallyDrop<OwnedHandle>);

impl Job {
    /// Puts this process into a new job.
    pub(super) fn with_this_process() -> io::Result<Self> {
        // SAFETY: both pointers may be null: no other security than the default, and no name.
        let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made, and nothing else owns it.
        let job = Self(ManuallyDrop::new(unsafe {
            OwnedHandle::from_raw_handle(job)
        }));
        job.set_limits(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        // SAFETY: the job is open, and the other handle is a constant that means this process.
        let assigned =
            unsafe { AssignProcessToJobObject(job.0.as_raw_handle(), GetCurrentProcess()) };
        done(assigned)?;
        Ok(job)
    }

    /// Lets all that is in the job go on when this process ends.
    pub(super) fn let_go(self) -> io::Result<()> {
        self.set_limits(0)
    }

    fn set_limits(&self, flags: u32) -> io::Result<()> {
        // SAFETY: it is a structure of numbers.
        let mut limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = unsafe { std::mem::zeroed() };
        limits.BasicLimitInformation.LimitFlags = flags;
        // SAFETY: the job is open, and what the call reads is a structure of this kind and size.
        done(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of_val(&limits) as u32,
            )
        })
    }
}

/// Keeps Ctrl-C and Ctrl-Break, which the command has from the console itself, from ending this process.
///
/// A handler is not inherited, unlike the setting that ignores Ctrl-C.
pub(super) fn ignore_ctrl_c() -> io::Result<()> {
    unsafe extern "system" fn is_handled(event: u32) -> BOOL {
        (event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT).into()
    }

    // SAFETY: the handler is a function, which is there for as long as the process, and does nothing that a
    // thread of its own could not do at any time.
    done(unsafe { SetConsoleCtrlHandler(Some(is_handled), 1) })
}

fn done(success: BOOL) -> io::Result<()> {
    if success == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
