//! Where those who wait for a lock stand in line.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::system;
use crate::FileId;

/// Where the processes of one user that wait for a lock stand in line.
///
/// Exclusion never depends on it: it decides who is served first.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QueuePlace {
    /// In the abstract namespace of unix(7), where other users can take the place.
    Abstract,
    /// In a directory that only this user can write.
    Directory(PathBuf),
    /// Nowhere: this system has no queues.
    None,
    /// Nowhere: the user with this number has taken the place.
    Taken(u32),
}

impl QueuePlace {
    /// Where the processes of the present user would stand in line for the locks of `file`.
    ///
    /// Without a file, what another user may have taken is not looked for.
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    ///
    /// ```
    /// use touchfile_file::QueuePlace;
    ///
    /// # #[cfg(target_os = "linux")]
    /// assert_ne!(QueuePlace::of(None)?, QueuePlace::None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of(file: Option<&File>) -> io::Result<Self> {
        let id = file.map(FileId::from_file).transpose()?;
        let keys = ["flock", "fcntl"].map(|kind| id.map(|id| format!("{kind}/{id}")));
        let keys: Vec<String> = keys.into_iter().flatten().collect();
        Ok(system().queue_place(&keys))
    }
}
