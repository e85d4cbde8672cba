//! Output whose loss is reported, if the disk is full or the reader is gone.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

#[cfg(unix)]
use serde::Serialize;

use crate::exit::Failure;

/// `value` as indented JSON.
#[cfg(unix)]
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("no map has keys but strings") + "\n"
}

/// `value` as JSON in one line.
#[cfg(unix)]
pub(crate) fn json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("no map has keys but strings") + "\n"
}

/// Prints all of `text` on standard output.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    conclude(io::stdout().write_all(text.as_ref()))
}

/// Checks that everything `written` to standard output has arrived.
///
/// If the reader is gone, this ends the process by SIGPIPE, as it ends other programs.
pub(crate) fn conclude(written: io::Result<()>) -> Result<(), Failure> {
    let done = written
        .and_then(|()| io::stdout().flush())
        .and_then(|()| check_closing());
    done.map_err(|error| {
        end_if_unread(&error);
        Failure::output(&error)
    })
}

/// Ends the process by SIGPIPE if `error` is EPIPE. Rust ignores the signal, while it ends other programs.
/// If it was ignored before, nothing happens.
#[cfg(unix)]
pub(crate) fn end_if_unread(error: &io::Error) {
    use nix::sys::signal::Signal;
    use signal_hook::low_level::emulate_default_handler;

    use crate::inherited::inherited;

    if error.kind() == io::ErrorKind::BrokenPipe && !inherited().ignores(Signal::SIGPIPE) {
        // It returns only if it fails, and then the caller reports the error.
        emulate_default_handler(Signal::SIGPIPE as i32).ok();
    }
}

/// Windows has no such signal: the error is told.
#[cfg(windows)]
fn end_if_unread(_: &io::Error) {}

/// Writes `text` to a new file.
pub(crate) fn save(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    close(file)
}

/// Closes a copy of standard output, because a network file system may report a full disk only when a
/// descriptor is closed (close(2), NOTES).
#[cfg(unix)]
fn check_closing() -> io::Result<()> {
    use std::os::fd::AsFd;

    close(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn check_closing() -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(std::os::fd::OwnedFd::from(file))?)
}

/// Windows tells it when the data is flushed.
#[cfg(windows)]
fn close(file: File) -> io::Result<()> {
    file.sync_all()
}
