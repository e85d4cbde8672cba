//! The calls of Windows, and all of this crate's `unsafe` code.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::windows::io::AsRawHandle;

use touchfile_core::{Attempt, LockMode};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_REMOTE_PROTOCOL_INFO, FileRemoteProtocolInfo, GetFileInformationByHandleEx,
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

/// Makes one attempt to lock `bytes` of `file`, and does not wait.
pub(crate) fn try_lock(
    file: &File,
    mode: LockMode,
    bytes: &RangeInclusive<u64>,
) -> io::Result<Attempt> {
    let flags = match mode {
        LockMode::Exclusive => LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY,
        LockMode::Shared => LOCKFILE_FAIL_IMMEDIATELY,
    };
    let (mut place, low, high) = arguments(bytes);
    // SAFETY: the handle is open for as long as `file` is borrowed. std opens files for synchronous calls,
    // so `place` is not used any more when this one returns.
    let locked = unsafe { LockFileEx(handle(file), flags, 0, low, high, &raw mut place) };
    if locked != 0 {
        return Ok(Attempt::Acquired);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(ERROR_LOCK_VIOLATION as i32) {
        return Ok(Attempt::WouldBlock);
    }
    Err(error)
}

/// Unlocks `bytes` of `file`, which were locked as one range.
pub(crate) fn unlock(file: &File, bytes: &RangeInclusive<u64>) -> io::Result<()> {
    let (mut place, low, high) = arguments(bytes);
    // SAFETY: as in `try_lock`.
    let unlocked = unsafe { UnlockFileEx(handle(file), 0, low, high, &raw mut place) };
    if unlocked != 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Whether `file` is on another host, if Windows tells.
pub(crate) fn is_remote(file: &File) -> Option<bool> {
    // SAFETY: it is a structure of numbers.
    let mut protocol: FILE_REMOTE_PROTOCOL_INFO = unsafe { std::mem::zeroed() };
    let size = size_of_val(&protocol) as u32;
    // SAFETY: the handle is open for as long as `file` is borrowed, and what the call writes is a
    // structure of this type and size.
    let told = unsafe {
        GetFileInformationByHandleEx(
            handle(file),
            FileRemoteProtocolInfo,
            (&raw mut protocol).cast(),
            size,
        )
    };
    if told != 0 {
        return Some(true);
    }
    // What is local has no protocol.
    let error = io::Error::last_os_error().raw_os_error();
    (error == Some(ERROR_INVALID_PARAMETER as i32)).then_some(false)
}

fn handle(file: &File) -> HANDLE {
    file.as_raw_handle()
}

/// Where a range begins, and the two halves of its length.
fn arguments(bytes: &RangeInclusive<u64>) -> (OVERLAPPED, u32, u32) {
    let halves = |number: u64| (number as u32, (number >> 32) as u32);
    // SAFETY: it is a structure of numbers and a null pointer.
    let mut place: OVERLAPPED = unsafe { std::mem::zeroed() };
    let (low, high) = halves(*bytes.start());
    place.Anonymous.Anonymous.Offset = low;
    place.Anonymous.Anonymous.OffsetHigh = high;
    let (low, high) = halves(bytes.end() - bytes.start() + 1);
    (place, low, high)
}
