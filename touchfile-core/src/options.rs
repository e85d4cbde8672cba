//! How a lock file is opened.

/// How [`LockBackend::open`](crate::LockBackend::open) opens a lock file.
///
/// A backend refuses what it cannot do with [`std::io::ErrorKind::Unsupported`].
///
/// # Examples
///
/// ```
/// use touchfile_core::OpenOptions;
///
/// let mut options = OpenOptions::new();
/// options.create = false; // the file must be there already
/// options.create_mode = Some(0o660); // for a group, whatever the umask
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct OpenOptions {
    /// Create the file when it is missing. Default: true.
    pub create: bool,
    /// Permission bits of a file that is created, exactly as given. Default: none given, which is
    /// `0o666` less the umask. Users of one group share a lock only if the mode lets them open it.
    pub create_mode: Option<u32>,
    /// Follow a symbolic link that is the last component of the path. Default: false, so that a
    /// link planted in a directory others can write to leads nowhere.
    pub follow_symlinks: bool,
    /// Refuse a path with a symbolic link anywhere in it. Default: false, so that a directory on the way
    /// may be a link. Set it where others can write a directory above the file: they could lead it
    /// elsewhere, where it would be created. It excludes [`follow_symlinks`](Self::follow_symlinks).
    pub no_symlinks: bool,
    /// Remove the file as the last act of the last holder. Default: false.
    pub remove_on_release: bool,
    /// Open the file for writing too, where that is allowed. Default: false, so that a backend opens
    /// it for what its locks need, which is reading for most. Set it to write to the file while the
    /// lock is held.
    pub write: bool,
}

impl OpenOptions {
    /// The defaults: create with the usual mode, follow no link, leave the file in place.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            create: true,
            create_mode: None,
            follow_symlinks: false,
            no_symlinks: false,
            remove_on_release: false,
            write: false,
        }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}
