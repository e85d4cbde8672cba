//! Windows, without what only its own calls could do: no process is stopped, and none is forked.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsHandle;
use std::path::{self, Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::countdown::Countdown;

pub(crate) use std::os::windows::fs::{symlink_dir, symlink_file as symlink};

/// The time on the clock that all processes of a host share: that of the day, which nobody should set
/// during a run.
pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0))
}

/// Standard input, with a handle of its own.
pub(crate) fn input() -> io::Result<fs::File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// The standard output of a worker. Nothing tells when there is something to read in a pipe, so that a
/// thread waits for it.
#[derive(Debug)]
pub(crate) struct Output(Receiver<Vec<u8>>);

impl Output {
    pub(crate) fn new(mut output: ChildStdout) -> Self {
        let (send, receive) = channel();
        thread::spawn(move || {
            loop {
                let mut bytes = vec![0; 4096];
                let count = output.read(&mut bytes).unwrap_or(0);
                bytes.truncate(count);
                if send.send(bytes).is_err() || count == 0 {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// What the worker has written, nothing if it has closed its output; `None` if it does neither
    /// before the time has run out.
    pub(crate) fn read(&mut self, countdown: &mut Countdown) -> Option<Vec<u8>> {
        loop {
            let slice = countdown.slice();
            match self.0.recv_timeout(slice.unwrap_or_default()) {
                Ok(bytes) => return Some(bytes),
                Err(RecvTimeoutError::Disconnected) => return Some(Vec::new()),
                Err(RecvTimeoutError::Timeout) if slice.is_some() => {}
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }
}

pub(crate) fn stop(_: &Child) -> io::Result<()> {
    Err(unsupported("stop a process"))
}

pub(crate) fn resume(_: &Child) -> io::Result<()> {
    Err(unsupported("let a process go on"))
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("Windows has no signal to {what}"),
    )
}

/// Kills a process that is no child of this one.
pub(crate) fn end(pid: u32) {
    // It may have ended already.
    Command::new("taskkill")
        .args(["/F", "/PID", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok();
}

/// Whether the process that started this one has ended: nothing tells, so that it is taken to have after
/// a minute.
pub(crate) fn is_orphan() -> impl Fn() -> bool {
    let begun = std::time::Instant::now();
    move || begun.elapsed() > Duration::from_secs(60)
}

/// Whether this is how Windows says that a file system has no links of a kind, or that this user may
/// make none.
pub(crate) fn has_no_links(error: &io::Error) -> bool {
    // ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_CALL_NOT_IMPLEMENTED, ERROR_PRIVILEGE_NOT_HELD
    matches!(error.raw_os_error(), Some(1 | 50 | 120 | 1314))
        || error.kind() == io::ErrorKind::Unsupported
}

/// Makes a file read-only if nobody may write by these bits, and writable else.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(mode & 0o222 == 0);
    fs::set_permissions(path, permissions)
}

/// There are no permission bits.
pub(crate) fn mode(_: &Metadata) -> Option<u32> {
    None
}

/// Whether a file has more than one name, which is not told.
pub(crate) fn has_second_name(metadata: &Metadata) -> bool {
    let _ = metadata.file_attributes();
    false
}

/// Removes the name of a file, which may be open. It is moved away first: where the file system cannot
/// remove the name of an open file, it would stay until the file is closed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    static REMOVED: AtomicU32 = AtomicU32::new(0);

    let number = REMOVED.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_file_name(format!("removed-{}-{number}", std::process::id()));
    fs::rename(path, &aside)?;
    // A file that is read-only is not removed.
    set_mode(&aside, 0o600)?;
    fs::remove_file(&aside)
}

/// Removes a directory with all that is in it, be it read-only.
pub(crate) fn remove_tree(dir: &Path) -> io::Result<()> {
    make_writable(dir)?;
    fs::remove_dir_all(dir)
}

fn make_writable(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            make_writable(&entry.path())?;
        } else if kind.is_file() {
            set_mode(&entry.path(), 0o600)?;
        }
    }
    Ok(())
}

/// Renames `new` to `path`, and so replaces a file that may be open.
pub(crate) fn replace(path: &Path, new: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(new, path),
    }
}

/// The absolute path of a directory, as every process calls it. Not the verbatim one, in which `..` means
/// nothing.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    path::absolute(path)
}

/// A path of these bytes, if they are Unicode.
pub(crate) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// A program that does nothing and ends.
pub(crate) fn program_that_ends() -> Command {
    let mut command = Command::new("cmd");
    command.args(["/C", "exit"]);
    command
}
