//! Paths that no file can be opened by, and a process that may not open every file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, LockBackend, LockHandle, OpenOptions};

use super::ScriptContext;
use crate::Law;
use crate::system;
use crate::walk::Arrival;

/// How often each is tried, so that what it leaves behind adds up.
const TIMES: usize = 12;

/// Tries to open what cannot be opened, and says what came of it.
pub(super) fn open_in_vain(context: &ScriptContext<'_>) -> io::Result<String> {
    let dir = context.path.parent().unwrap_or(Path::new("/"));
    let mut paths = vec![
        ("a missing directory", dir.join("missing").join("a.lock")),
        ("a name that is too long", dir.join("l".repeat(300))),
    ];
    let file = dir.join("a-file");
    fs::write(&file, "")?;
    paths.push(("a file as a directory", file.join("a.lock")));
    let (one, other) = (dir.join("one-link"), dir.join("other-link"));
    if system::symlink(&other, &one).is_ok() && system::symlink(&one, &other).is_ok() {
        paths.push(("links that lead to each other", one.join("a.lock")));
    }
    let closed = dir.join("closed");
    fs::create_dir(&closed)?;
    system::set_mode(&closed, 0o000)?;
    paths.push(("a directory without permission", closed.join("a.lock")));
    let secret = dir.join("secret");
    fs::write(&secret, "")?;
    system::set_mode(&secret, 0o000)?;
    paths.push(("a file without permission", secret));
    let mut steps = 0;
    for (what, path) in &paths {
        if let Some(broken) = one_in_vain(context, what, path)? {
            return Ok(broken.to_text());
        }
        steps += TIMES as u64;
    }
    Ok(Arrival::Done { steps }.to_text())
}

fn one_in_vain(
    context: &ScriptContext<'_>,
    what: &str,
    path: &PathBuf,
) -> io::Result<Option<Arrival>> {
    // What the system says to any program.
    let reference = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let Err(reference) = reference else {
        return Ok(None); // this user may, or this system does not mind
    };
    let count = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = count();
    for _ in 0..TIMES {
        let opened = context
            .runtime
            .block_on(context.backend.open(path, &OpenOptions::new()));
        let (law, answer) = match opened {
            // One that locks beside the file may not need it.
            Ok(_) if reference.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Ok(_) => (Law::Errors, "it was opened".to_owned()),
            Err(error) if error.kind() == reference.kind() => continue,
            Err(error) if error.kind() == ErrorKind::Unsupported => continue,
            // The system's kind cannot be made yet by anybody but std.
            Err(error)
                if format!("{:?}", reference.kind()) == "FilesystemLoop"
                    && error.kind() == ErrorKind::InvalidInput =>
            {
                continue;
            }
            Err(error) => (Law::Errors, format!("{:?}: {error}", error.kind())),
        };
        return Ok(Some(Arrival::Broken {
            law,
            what: format!(
                "the system says {:?} to this, and so must the backend, not: {answer}",
                reference.kind()
            ),
            story: vec![format!("{what} is opened: {answer}")],
        }));
    }
    let after = count();
    if after >= before + TIMES / 2 {
        return Ok(Some(Arrival::Broken {
            law: Law::AcquiredMeansAcquired,
            what: format!(
                "an open that fails leaves a descriptor: {before} became {after} in {TIMES} times"
            ),
            story: vec![format!("{what} is opened {TIMES} times")],
        }));
    }
    Ok(None)
}

/// Gives up, for ever, what lets root open every file; false if this process cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn become_an_ordinary_user() -> bool {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let Ok(mut sets) = capabilities(None) else {
        return false;
    };
    let all = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective.remove(all);
    sets.permitted.remove(all);
    set_capabilities(None, sets).is_ok()
}

/// On Windows nobody may write to a read-only file.
#[cfg(windows)]
fn become_an_ordinary_user() -> bool {
    true
}

/// Elsewhere root keeps all that it may.
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
fn become_an_ordinary_user() -> bool {
    !rustix::process::geteuid().is_root()
}

/// [`open_in_vain`] by a process that has given up root, and is good for nothing else then.
pub(super) fn open_in_vain_as_a_user(context: &ScriptContext<'_>) -> io::Result<String> {
    if !become_an_ordinary_user() {
        return Ok("unable it cannot give up root".into());
    }
    open_in_vain(context)
}

/// An exclusive lock on a file that this process may not write to.
pub(super) fn lock_read_only_as_a_user(context: &ScriptContext<'_>) -> io::Result<String> {
    if !become_an_ordinary_user() {
        return Ok("unable it cannot give up root".into());
    }
    fs::write(context.path, "")?;
    system::set_mode(context.path, 0o444)?;
    if fs::OpenOptions::new()
        .write(true)
        .open(context.path)
        .is_ok()
    {
        return Ok("unable this process may write to every file".into());
    }
    let claimed = context.backend.capabilities().exclusive_read_only;
    let locked = context.runtime.block_on(async {
        let mut handle = context.open().await?;
        handle.try_lock(Exclusive).await
    });
    let (law, what) = match locked {
        Ok(Attempt::Acquired) => return Ok(Arrival::Done { steps: 1 }.to_text()),
        Ok(Attempt::WouldBlock) => (Law::NoFalseBusy, "it is busy, but nobody holds it".into()),
        Err(error) if claimed => (
            Law::Capabilities,
            format!("`exclusive_read_only` is claimed, but it was refused: {error}"),
        ),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(Arrival::Done { steps: 1 }.to_text());
        }
        Err(error) => (
            Law::Capabilities,
            format!(
                "`exclusive_read_only` is not claimed: it must be refused with Unsupported, not: {error}"
            ),
        ),
    };
    Ok(Arrival::Broken {
        law,
        what,
        story: vec!["the exclusive lock is tried on a file without permission to write".into()],
    }
    .to_text())
}
