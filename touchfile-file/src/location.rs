//! The location of a lock file: a directory that is held by a descriptor, and a name in it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::Symlinks;

/// Looking up names in a directory takes no right to read it where the system has `O_PATH`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOOK_UP: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LOOK_UP: OFlags = OFlags::RDONLY;

const DIRECTORY: OFlags = LOOK_UP.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where a file is, for several calls: they all mean the same directory, whatever becomes of its path.
#[derive(Debug)]
pub(crate) struct Location<'a> {
    /// Missing where the path is looked up anew by each call.
    directory: Option<OwnedFd>,
    name: &'a Path,
}

impl<'a> Location<'a> {
    /// The location of the file at `path`. Only with [`Symlinks::Refuse`] is its directory held.
    ///
    /// `ELOOP` if there is a symbolic link on the way to it, where these are refused.
    pub(crate) fn of(path: &'a Path, symlinks: Symlinks) -> rustix::io::Result<Self> {
        let held = match symlinks {
            Symlinks::Follow | Symlinks::NoFollow => None,
            Symlinks::Refuse => Self::held(path, symlinks)?,
        };
        Ok(held.unwrap_or(Self {
            directory: None,
            name: path,
        }))
    }

    /// The location of the file at `path`, with its directory held; `None` for the root directory.
    pub(crate) fn held(path: &'a Path, symlinks: Symlinks) -> rustix::io::Result<Option<Self>> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        let opened = match symlinks {
            Symlinks::Refuse => open_without_links(directory)?,
            Symlinks::Follow | Symlinks::NoFollow => {
                retry_on_intr(|| rustix::fs::open(directory, DIRECTORY, Mode::empty()))?
            }
        };
        Ok(Some(Self {
            directory: Some(opened),
            name: Path::new(name),
        }))
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_ref().map_or(CWD, AsFd::as_fd)
    }

    pub(crate) fn name(&self) -> &Path {
        self.name
    }
}

/// Opens a directory, unless there is a symbolic link on the way to it: `ELOOP`.
fn open_without_links(directory: &Path) -> rustix::io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{ResolveFlags, openat2};

        let resolve = ResolveFlags::NO_SYMLINKS;
        let opened = retry_on_intr(|| openat2(CWD, directory, DIRECTORY, Mode::empty(), resolve));
        // Before Linux 5.6, and in a sandbox that knows of no such call.
        if !matches!(opened, Err(Errno::NOSYS | Errno::PERM)) {
            return opened;
        }
    }
    walk_without_links(directory)
}

/// The same, one component after the other.
fn walk_without_links(directory: &Path) -> rustix::io::Result<OwnedFd> {
    let open = |at: BorrowedFd<'_>, name: &OsStr| {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))
    };
    let start = match directory.has_root() {
        true => OsStr::new("/"),
        false => OsStr::new("."),
    };
    let mut place = open(CWD, start)?;
    for component in directory.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            _ => continue,
        };
        place = open(place.as_fd(), name).map_err(|errno| {
            // What was asked for is a directory, which a link is not.
            let is_link = errno == Errno::NOTDIR && is_link_in(place.as_fd(), name);
            if is_link { Errno::LOOP } else { errno }
        })?;
    }
    Ok(place)
}

fn is_link_in(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    use rustix::fs::{AtFlags, FileType, statat};

    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode as _) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_to_a_directory_refuse_links_on_the_way_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("b", root.join("a/link")).unwrap();
        for (path, expected) in [
            ("a/b", None),
            ("a/../a/./b", None),
            ("link", Some(Errno::LOOP)),
            ("link/b", Some(Errno::LOOP)),
            ("a/link", Some(Errno::LOOP)),
            ("a/missing", Some(Errno::NOENT)),
            ("file", Some(Errno::NOTDIR)),
            ("file/b", Some(Errno::NOTDIR)),
        ] {
            let path = root.join(path);
            for open in [open_without_links, walk_without_links] {
                assert_eq!(open(&path).err(), expected, "{}", path.display());
            }
        }
        assert!(walk_without_links(Path::new(".")).is_ok());
        assert!(walk_without_links(Path::new("/")).is_ok());
    }
}
