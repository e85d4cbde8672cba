//! The paths of a world.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use touchfile_core::{OpenOptions, Platform, Result};

/// The paths of a [`World`](crate::World), which are the same on every system.
#[derive(Debug)]
pub(crate) struct Simulated;

impl Platform for Simulated {
    fn has_files(&self) -> bool {
        true
    }

    fn resolve(&self, name: &Path, _: &OpenOptions) -> Result<PathBuf> {
        Ok(absolute(name))
    }

    fn temporary_directory(&self) -> PathBuf {
        "/tmp".into()
    }
}

/// The absolute form of a path in a world, where a relative path starts at `/`.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path: PathBuf = Path::new("/").join(path).components().collect();
    if MAIN_SEPARATOR == '/' {
        return path;
    }
    // A history reads the same on every system.
    path.to_string_lossy().replace(MAIN_SEPARATOR, "/").into()
}
