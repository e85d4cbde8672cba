//! Opening a lock file on Unix.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use touchfile_core::OpenOptions;

use super::{Access, MAX_ROUNDS, invalid, is_symlink};
use crate::location::Location;
use crate::{Symlinks, retry_interrupted};

/// Flags of open(2).
pub(crate) use rustix::fs::OFlags as OpenFlags;

/// Never become the controlling terminal's owner, never wait for a FIFO's other end, and never
/// let a child keep the descriptor across exec. Never truncate: `TRUNC` is missing on purpose
/// (CVE-2025-68146).
const ALWAYS: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOCTTY)
    .union(OFlags::NONBLOCK);

/// [`open`](super::open), with the access that the lock needs, and flags that do not matter to what is opened.
pub(crate) fn open_with(
    path: &Path,
    options: &OpenOptions,
    access: Access,
    mark: OpenFlags,
) -> io::Result<File> {
    let access = if options.write {
        Access::ReadWrite
    } else {
        access
    };
    let flags = if options.follow_symlinks {
        ALWAYS | mark
    } else {
        ALWAYS | OFlags::NOFOLLOW | mark
    };
    let location = match Location::of(path, Symlinks::in_options(options)) {
        Err(Errno::LOOP) => {
            return Err(invalid(
                "there is a symbolic link on the way to it, which is refused (no_symlinks)",
            ));
        }
        location => location?,
    };
    for _ in 0..MAX_ROUNDS {
        match open_existing(&location, flags, access) {
            Err(Errno::NOENT) if options.create => {
                match create(&location, flags, access, options) {
                    Err(Errno::EXIST) if is_symlink(path) => {
                        return Err(invalid("it is a symbolic link that leads nowhere"));
                    }
                    // Somebody else created it in between: open theirs.
                    Err(Errno::EXIST) => {}
                    created => return Ok(created?),
                }
            }
            Err(errno)
                if is_link_refused(errno) && !options.follow_symlinks && is_symlink(path) =>
            {
                return Err(invalid(if options.no_symlinks {
                    "it is a symbolic link, which is refused (no_symlinks)"
                } else {
                    "it is a symbolic link, which is followed only if asked for (follow_symlinks)"
                }));
            }
            Err(Errno::LOOP) => {
                return Err(invalid("the symbolic links on the way to it form a loop"));
            }
            // macOS and the BSDs say EOPNOTSUPP of a socket.
            Err(Errno::NXIO | Errno::OPNOTSUPP) => {
                return Err(invalid("it is a socket or a device nobody serves"));
            }
            opened => return checked(opened?),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it keeps being created and removed by somebody else",
    ))
}

fn open_existing(
    location: &Location<'_>,
    flags: OFlags,
    access: Access,
) -> rustix::io::Result<File> {
    let (directory, name) = (location.directory(), location.name());
    let open = |access: Access| {
        let flags = flags | access.flags();
        rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, flags, Mode::empty()))
    };
    match open(access) {
        Err(Errno::ACCESS | Errno::ISDIR | Errno::PERM | Errno::ROFS | Errno::TXTBSY)
            if access == Access::ReadWrite =>
        {
            open(Access::Read)
        }
        done => done,
    }
    .map(File::from)
}

fn create(
    location: &Location<'_>,
    flags: OFlags,
    access: Access,
    options: &OpenOptions,
) -> rustix::io::Result<File> {
    let mode = Mode::from_raw_mode(options.create_mode.unwrap_or(0o666) as _);
    let flags = flags | access.flags() | OFlags::CREATE | OFlags::EXCL;
    let (directory, name) = (location.directory(), location.name());
    let fd = rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, flags, mode))?;
    if options.create_mode.is_some() {
        // The mode was asked for as it is, and the umask has taken its part.
        rustix::io::retry_on_intr(|| rustix::fs::fchmod(&fd, mode))?;
    }
    Ok(File::from(fd))
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
        }
    }
}

/// Refuses what cannot be a lock file, though it could be opened.
fn checked(file: File) -> io::Result<File> {
    let stat = retry_interrupted(|| Ok(rustix::fs::fstat(&file)?))?;
    match FileType::from_raw_mode(stat.st_mode as _) {
        FileType::RegularFile | FileType::Directory => Ok(file),
        FileType::Fifo => Err(invalid("it is a FIFO")),
        FileType::Socket => Err(invalid("it is a socket")),
        FileType::BlockDevice | FileType::CharacterDevice => Err(invalid("it is a device")),
        _ => Err(invalid("it is neither a regular file nor a directory")),
    }
}

/// Whether this is what open(2) says of a link with `O_NOFOLLOW`: ELOOP, but EMLINK on FreeBSD and
/// DragonFly, and EFTYPE on NetBSD.
fn is_link_refused(errno: Errno) -> bool {
    #[cfg(target_os = "netbsd")]
    if errno == Errno::FTYPE {
        return true;
    }
    matches!(errno, Errno::LOOP | Errno::MLINK)
}
