//! Descriptors of lock files that an executed program would inherit.

#[cfg(unix)]
use std::fs;
use std::path::Path;

use super::Halt;
use super::walker::Walker;
use crate::Law;

/// The flag of open(2) in /proc/self/fdinfo. Linux has another value on three old architectures only,
/// where this check finds nothing.
#[cfg(unix)]
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

impl Walker<'_> {
    /// Checks that an executed program would not inherit a descriptor of the lock file.
    pub(super) fn check_inheritable(&mut self, file: usize) -> Result<(), Halt> {
        let path = self.files[file].path.clone();
        if !self.claims.fork_safe || !self.claims.real_files || !is_inheritable(&path) {
            return Ok(());
        }
        Err(Halt::broken(
            Law::ForkAndExec,
            "a descriptor of the lock file is not close-on-exec: a program that is executed now \
             inherits it, and the lock with it",
        ))
    }
}

/// Windows does not list the handles of a process.
#[cfg(not(unix))]
fn is_inheritable(_: &Path) -> bool {
    false
}

/// Whether this process has a descriptor of the file that is not close-on-exec.
#[cfg(unix)]
fn is_inheritable(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let (Ok(file), Ok(descriptors)) = (fs::metadata(path), fs::read_dir("/proc/self/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let same = fs::metadata(descriptor.path())
            .is_ok_and(|other| (other.dev(), other.ino()) == (file.dev(), file.ino()));
        same && flags(&descriptor.file_name().to_string_lossy())
            .is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
    })
}

#[cfg(unix)]
fn flags(descriptor: &str) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}
