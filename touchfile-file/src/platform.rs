//! The operating system, as `touchfile-core` asks for it.

use std::fs::{self, File};
use std::io;
use std::path::{self, Path, PathBuf};

use touchfile_core::{Error, NoPlatform, OpenOptions, Platform, Result};

use crate::{ForkGeneration, opening_may_stall};

/// The operating system, for [`LockBackend::platform`](touchfile_core::LockBackend::platform) of a
/// backend on real files.
///
/// Paths become absolute (a relative one starts at the current directory), and a missing parent
/// directory is an error at once, unless the path is on a file system that may not answer. Forks are
/// noticed without a system call.
///
/// ```
/// use std::path::Path;
/// use touchfile_core::OpenOptions;
///
/// let options = OpenOptions::new();
/// let path = touchfile_file::platform().resolve(Path::new("a.lock"), &options)?;
/// assert_eq!(path, std::env::current_dir().unwrap().join("a.lock"));
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[must_use]
pub fn platform() -> &'static dyn Platform {
    &OperatingSystem
}

#[derive(Debug)]
struct OperatingSystem;

impl Platform for OperatingSystem {
    fn has_files(&self) -> bool {
        true
    }

    fn resolve(&self, name: &Path, options: &OpenOptions) -> Result<PathBuf> {
        if name.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(Error::invalid_path(name, "it contains a NUL byte", None));
        }
        let path = path::absolute(name).map_err(|error| {
            let reason = "it is relative, and there is no current directory";
            Error::invalid_path(name, reason, Some(error))
        })?;
        check_length(name, &path)?;
        check_device(name, &path)?;
        // A file system that may not answer is asked when the file is first locked: a deadline
        // can be set there.
        if !self.open_may_block(&path, options) {
            check_parent(&path)?;
            check_trailing_slash(&path)?;
        }
        // Without a slash at its end, by which a link would be followed.
        Ok(path.components().collect())
    }

    fn name_of(&self, file: &File) -> Option<PathBuf> {
        name_of(file)
    }

    fn temporary_directory(&self) -> PathBuf {
        std::env::temp_dir()
    }

    fn create_temporary(&self, directory: &Path, options: &OpenOptions) -> io::Result<PathBuf> {
        let directory = path::absolute(directory)?;
        if !directory.is_dir() {
            let reason = "it is no directory for temporary files";
            return Err(io::Error::new(io::ErrorKind::NotADirectory, reason));
        }
        loop {
            let path = NoPlatform.create_temporary(&directory, options)?;
            match create_new(&path, options.create_mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| path),
            }
        }
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        opening_may_stall(path, options.follow_symlinks)
    }

    fn error_kind(&self, error: &io::Error) -> io::ErrorKind {
        os_error_kind(error).unwrap_or_else(|| error.kind())
    }

    fn fork_generation(&self) -> u64 {
        ForkGeneration::current().number()
    }
}

/// By /proc, where a file without a name can be found, too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn name_of(file: &File) -> Option<PathBuf> {
    let link = PathBuf::from(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(file)
    ));
    let name = fs::read_link(&link).ok()?;
    // One that was removed has a name that ends with a remark, and one that never had a name is
    // described.
    let is_named = name.is_absolute() && crate::identity::has_name(file).is_ok_and(|named| named);
    Some(if is_named { name } else { link })
}

/// F_GETPATH of fcntl(2).
#[cfg(target_vendor = "apple")]
fn name_of(file: &File) -> Option<PathBuf> {
    let name = rustix::fs::getpath(file).ok()?;
    Some(std::os::unix::ffi::OsStringExt::from_vec(name.into_bytes()))
        .map(|name: std::ffi::OsString| name.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn name_of(_: &File) -> Option<PathBuf> {
    None
}

/// Refuses a path that no system call takes. The directory that it is relative to is as deep as that.
fn check_length(name: &Path, path: &Path) -> Result<()> {
    /// PATH_MAX of Linux, with the zero at its end; other systems take less, and say so.
    const PATH_MAX: usize = 4096;

    let length = path.as_os_str().len();
    if cfg!(not(unix)) || length < PATH_MAX {
        return Ok(());
    }
    let reason = format!(
        "its absolute name has {length} bytes, and the system takes {} at most",
        PATH_MAX - 1
    );
    // The name as it was given: the whole would be no message.
    Err(Error::invalid_path(name, reason, None))
}

/// Refuses a path that Windows keeps for a device, such as `NUL` or `COM1` in any directory.
fn check_device(name: &Path, path: &Path) -> Result<()> {
    #[cfg(windows)]
    if let Some(reason) = crate::open::no_file(path) {
        return Err(Error::invalid_path(name, reason, None));
    }
    let _ = (name, path);
    Ok(())
}

/// Refuses a path whose parent directory is missing.
fn check_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(()); // the root directory, which is there
    };
    let parent_name = parent.display();
    let reason = match fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => {
            let reason = format!("{parent_name} is not a directory");
            return Err(Error::invalid_path(path, reason, None));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Error::permission_to_open(path, error));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (
            format!("its parent directory {parent_name} is missing; create it first"),
            error,
        ),
        Err(error) => (
            format!("its parent directory {parent_name} cannot be used"),
            error,
        ),
    };
    Err(Error::invalid_path(path, reason.0, Some(reason.1)))
}

/// Refuses a path that says by a slash at its end that it is a directory when it is none.
fn check_trailing_slash(path: &Path) -> Result<()> {
    let last = path.as_os_str().as_encoded_bytes().last();
    if !last.is_some_and(|&byte| path::is_separator(byte.into())) {
        return Ok(());
    }
    // Without the slash, which would follow a link.
    let is_directory = match fs::symlink_metadata(path.components().as_path()) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() != io::ErrorKind::NotFound, // opening it will tell
    };
    if is_directory {
        return Ok(());
    }
    let reason = "it ends with a slash and is not a directory";
    Err(Error::invalid_path(path, reason, None))
}

/// Creates an empty file at `path`, where nothing may be yet, with the permissions `mode`.
fn create_new(path: &Path, mode: Option<u32>) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(mode).open(path)?;
        // The umask has taken its part of the mode, which was asked for as it is.
        let permitted = file.set_permissions(fs::Permissions::from_mode(mode));
        return permitted.inspect_err(|_| {
            fs::remove_file(path).ok();
        });
    }
    let _ = mode;
    options.open(path).map(drop)
}

/// The kind of the codes that [`io::ErrorKind`] has no stable name for.
#[cfg(unix)]
fn os_error_kind(error: &io::Error) -> Option<io::ErrorKind> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::LOOP | Errno::NAMETOOLONG => Some(io::ErrorKind::InvalidInput),
        Errno::NOLCK | Errno::MFILE | Errno::NFILE | Errno::NOBUFS => {
            Some(io::ErrorKind::ResourceBusy)
        }
        _ => None,
    }
}

#[cfg(windows)]
fn os_error_kind(error: &io::Error) -> Option<io::ErrorKind> {
    match error.raw_os_error()? {
        // ERROR_INVALID_FUNCTION and ERROR_NOT_SUPPORTED: a file system without locks
        1 | 50 => Some(io::ErrorKind::Unsupported),
        // ERROR_TOO_MANY_OPEN_FILES, ERROR_SHARING_VIOLATION and ERROR_NO_SYSTEM_RESOURCES
        4 | 32 | 1450 => Some(io::ErrorKind::ResourceBusy),
        // ERROR_BAD_NETPATH and ERROR_BAD_NET_NAME
        53 | 67 => Some(io::ErrorKind::NotFound),
        // ERROR_UNEXP_NET_ERR and ERROR_NETNAME_DELETED: the server or the share is gone
        59 | 64 => Some(io::ErrorKind::StaleNetworkFileHandle),
        // ERROR_INVALID_NAME, ERROR_FILENAME_EXCED_RANGE and ERROR_CANT_RESOLVE_FILENAME
        123 | 206 | 1921 => Some(io::ErrorKind::InvalidInput),
        // ERROR_DIRECTORY
        267 => Some(io::ErrorKind::NotADirectory),
        _ => None,
    }
}

#[cfg(not(any(unix, windows)))]
fn os_error_kind(_: &io::Error) -> Option<io::ErrorKind> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_for_the_system_is_refused_with_its_length() {
        let options = OpenOptions::new();
        let name = "d/".repeat(3_000) + "a.lock";
        let refused = platform().resolve(Path::new(&name), &options).unwrap_err();
        let Error::InvalidPath { reason, .. } = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("4095 at most"), "{reason}");
    }
}
