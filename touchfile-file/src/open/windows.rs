//! Opening a lock file on Windows.

use std::fs::{self, File};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Component, Path, Prefix};

use touchfile_core::OpenOptions;

use super::{Access, MAX_ROUNDS, invalid, is_symlink};
use crate::Symlinks;

/// `FILE_FLAG_OPEN_REPARSE_POINT` of CreateFileW: a symbolic link is opened itself.
const OPEN_LINK: u32 = 0x0020_0000;

/// `SECURITY_IDENTIFICATION`: who serves a named pipe that was put at the path cannot act as this user.
const IDENTIFICATION: u32 = 0x0001_0000;

/// `FILE_FLAG_BACKUP_SEMANTICS`: a directory is opened, too.
const BACKUP_SEMANTICS: u32 = 0x0200_0000;

const GENERIC_READ: u32 = 0x8000_0000;

/// `ERROR_ACCESS_DENIED`, and the next ones `ERROR_SHARING_VIOLATION` and `ERROR_DELETE_PENDING`.
const ACCESS_DENIED: i32 = 5;
const SHARING_VIOLATION: i32 = 32;
const DELETE_PENDING: i32 = 303;

/// Flags that do not matter to what is opened: there are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFlags;

impl OpenFlags {
    pub(crate) const fn empty() -> Self {
        Self
    }
}

/// [`open`](super::open), with the access that the lock needs.
///
/// std shares the file with all who read, write, rename or remove it, and lets no child inherit the
/// handle. It takes paths that are longer than `MAX_PATH`.
pub(crate) fn open_with(
    path: &Path,
    options: &OpenOptions,
    access: Access,
    _: OpenFlags,
) -> io::Result<File> {
    if options.create_mode.is_some() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "permission bits (create_mode) exist on Unix only: a new file has the permissions that its directory hands down",
        ));
    }
    if options.no_symlinks {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "links on the way to a file cannot be refused on Windows (no_symlinks)",
        ));
    }
    if let Some(reason) = no_file(path) {
        return Err(invalid(reason));
    }
    let access = if options.write {
        Access::ReadWrite
    } else {
        access
    };
    for _ in 0..MAX_ROUNDS {
        match open_existing(path, options, access) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.create => {
                match create(path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if is_symlink(path) {
                            return Err(invalid("it is a symbolic link that leads nowhere"));
                        }
                        // Somebody else created it in between: open theirs.
                    }
                    created => return created.map_err(|error| explained(error, path)),
                }
            }
            opened => return checked(opened.map_err(|error| explained(error, path))?),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it keeps being created and removed by somebody else",
    ))
}

/// Why `path` names no file, if that can be seen: to open a device can have effects.
pub(crate) fn no_file(path: &Path) -> Option<&'static str> {
    let Some(Component::Prefix(prefix)) = path.components().next() else {
        return None;
    };
    match prefix.kind() {
        // `NUL`, `CON` or `COM1` in whatever directory has become such a path by now.
        Prefix::DeviceNS(_) => {
            Some("it is the name of a device, or one that Windows reserves for a device")
        }
        Prefix::UNC(_, share) | Prefix::VerbatimUNC(_, share)
            if share.eq_ignore_ascii_case("pipe") || share.eq_ignore_ascii_case("mailslot") =>
        {
            Some("it is a named pipe or a mailslot")
        }
        _ => None,
    }
}

fn open_existing(path: &Path, options: &OpenOptions, access: Access) -> io::Result<File> {
    let link = if options.follow_symlinks {
        0
    } else {
        OPEN_LINK
    };
    let open = |access: Access| how(access, link).open(path);
    match open(access) {
        // A file that is read-only.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && access == Access::ReadWrite =>
        {
            open(Access::Read)
        }
        done => done,
    }
}

fn create(path: &Path) -> io::Result<File> {
    how(Access::Read, OPEN_LINK)
        .write(true) // std creates no file otherwise; what counts is the mode
        .access_mode(GENERIC_READ)
        .create_new(true)
        .open(path)
}

fn how(access: Access, flags: u32) -> fs::OpenOptions {
    let mut how = fs::OpenOptions::new();
    how.read(true)
        .write(access == Access::ReadWrite)
        .custom_flags(flags)
        .security_qos_flags(IDENTIFICATION);
    how
}

/// Opens what is needed to ask for the identity of a file and no more: a directory as well, and a file
/// that others do not share.
pub(crate) fn open_to_identify(path: &Path, symlinks: Symlinks) -> io::Result<File> {
    let link = match symlinks {
        Symlinks::Follow => 0,
        Symlinks::NoFollow | Symlinks::Refuse => OPEN_LINK,
    };
    how(Access::Read, link | BACKUP_SEMANTICS)
        .access_mode(0)
        .open(path)
}

/// Whether this error of opening `path` means that the file was removed and is open somewhere.
///
/// Removing a file may leave its name until it is closed, and opening it is refused with an error that
/// means a lack of rights as well. But whoever can list a directory may ask what is in it.
fn is_delete_pending(error: &io::Error, path: &Path) -> bool {
    match error.raw_os_error() {
        Some(DELETE_PENDING) => true,
        Some(ACCESS_DENIED) => {
            open_to_identify(path, Symlinks::NoFollow)
                .is_err_and(|error| error.raw_os_error() == Some(ACCESS_DENIED))
                && path.symlink_metadata().is_ok()
        }
        _ => false,
    }
}

/// Refuses what cannot be a lock file, though it could be opened.
fn checked(file: File) -> io::Result<File> {
    if !winapi_util::file::typ(&file)?.is_disk() {
        return Err(invalid("it is a device or a pipe"));
    }
    if file.metadata()?.is_symlink() {
        return Err(invalid(
            "it is a symbolic link, which is followed only if asked for (follow_symlinks)",
        ));
    }
    Ok(file)
}

/// Says what Windows means by an error that it uses for several things.
fn explained(error: io::Error, path: &Path) -> io::Error {
    let because = |kind, reason| io::Error::new(kind, format!("{reason}: {error}"));
    if error.raw_os_error() == Some(SHARING_VIOLATION) {
        let reason = "another program has it open and shares it with nobody";
        return because(io::ErrorKind::ResourceBusy, reason);
    }
    if is_delete_pending(&error, path) {
        let reason = "it was removed, and its name is free once all who have it open close it";
        return because(io::ErrorKind::WouldBlock, reason);
    }
    if error.kind() == io::ErrorKind::PermissionDenied && path.is_dir() {
        let reason = "it is a directory, which Windows does not lock";
        return because(io::ErrorKind::IsADirectory, reason);
    }
    error
}
