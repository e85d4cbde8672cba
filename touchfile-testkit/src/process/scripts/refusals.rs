//! Paths that cannot be opened, and processes that may not open every file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use touchfile_core::LockMode::Exclusive;
use touchfile_core::{Attempt, LockBackend, LockHandle, OpenOptions};

use super::ScriptContext;
use crate::Law;
use crate::process::{Answer, ScriptOutcome};
use crate::system;

/// How often each path is tried, so that leaked descriptors add up.
const TIMES: usize = 12;

/// Tries to open paths that cannot be opened.
pub(super) fn open_in_vain(context: &ScriptContext<'_>) -> io::Result<ScriptOutcome> {
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
            return Ok(broken);
        }
        steps += TIMES as u64;
    }
    Ok(ScriptOutcome::done(steps))
}

fn one_in_vain(
    context: &ScriptContext<'_>,
    what: &str,
    path: &PathBuf,
) -> io::Result<Option<ScriptOutcome>> {
    // The error that the system gives to any program.
    let reference = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let Err(reference) = reference else {
        return Ok(None); // this user or this system can open it
    };
    let before = system::descriptors();
    for _ in 0..TIMES {
        let opened = context
            .runtime
            .block_on(context.backend.open(path, &OpenOptions::new()));
        let (law, answer) = match opened {
            // A backend that locks a file beside it need not open it.
            Ok(_) if reference.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Ok(_) => (Law::Errors, "it was opened".to_owned()),
            Err(error) if is_right_refusal(&error, &reference) => continue,
            Err(error) => (Law::Errors, format!("{:?}: {error}", error.kind())),
        };
        return Ok(Some(ScriptOutcome::Broken {
            law,
            what: format!(
                "the system says {:?} to this, and so must the backend, not: {answer}",
                reference.kind()
            ),
            trace: vec![format!("{what} is opened: {answer}")],
        }));
    }
    let after = system::descriptors();
    if after >= before + TIMES / 2 {
        return Ok(Some(ScriptOutcome::Broken {
            law: Law::AcquiredMeansAcquired,
            what: format!(
                "an open that fails leaves a descriptor: {before} became {after} in {TIMES} times"
            ),
            trace: vec![format!("{what} is opened {TIMES} times")],
        }));
    }
    Ok(None)
}

/// Whether a backend may refuse an opening with this error, if the system refuses it with `reference`.
pub(crate) fn is_right_refusal(error: &io::Error, reference: &io::Error) -> bool {
    error.kind() == reference.kind()
        || error.kind() == ErrorKind::Unsupported
        // This kind is unstable, so that a backend cannot use it.
        || (format!("{:?}", reference.kind()) == "FilesystemLoop"
            && error.kind() == ErrorKind::InvalidInput)
}

/// Gives up the capabilities that let root open every file. Returns false if that fails.
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

/// Elsewhere root keeps its rights.
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
fn become_an_ordinary_user() -> bool {
    !rustix::process::geteuid().is_root()
}

/// [`open_in_vain`] after giving up root. The process cannot be used for other cases afterwards.
pub(super) fn open_in_vain_as_a_user(context: &ScriptContext<'_>) -> io::Result<Answer> {
    if !become_an_ordinary_user() {
        return Ok(Answer::Unable("it cannot give up root".into()));
    }
    Ok(open_in_vain(context)?.into())
}

/// Tries to take an exclusive lock on a file that this process may not write to.
pub(super) fn lock_read_only_as_a_user(context: &ScriptContext<'_>) -> io::Result<Answer> {
    if !become_an_ordinary_user() {
        return Ok(Answer::Unable("it cannot give up root".into()));
    }
    fs::write(context.path, "")?;
    system::set_mode(context.path, 0o444)?;
    if fs::OpenOptions::new()
        .write(true)
        .open(context.path)
        .is_ok()
    {
        return Ok(Answer::Unable(
            "this process may write to every file".into(),
        ));
    }
    let claimed = context.backend.capabilities().exclusive_read_only;
    let locked = context.runtime.block_on(async {
        let mut handle = context.open().await?;
        handle.try_lock(Exclusive).await
    });
    let (law, what) = match locked {
        Ok(Attempt::Acquired) => return Ok(ScriptOutcome::done(1).into()),
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
            return Ok(ScriptOutcome::done(1).into());
        }
        Err(error) => (
            Law::Capabilities,
            format!(
                "`exclusive_read_only` is not claimed: it must be refused with Unsupported, not: {error}"
            ),
        ),
    };
    Ok(ScriptOutcome::Broken {
        law,
        what,
        trace: vec!["the exclusive lock is tried on a file without permission to write".into()],
    }
    .into())
}
