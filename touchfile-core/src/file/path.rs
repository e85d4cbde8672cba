//! Looking at a path before there is a handle, and making up names for temporary files.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Refuses a path whose parent directory is missing.
pub(crate) fn check_parent(path: &Path) -> Result<(), (Cow<'static, str>, Option<io::Error>)> {
    let Some(parent) = path.parent() else {
        return Ok(()); // the root directory, which is there
    };
    match fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err((
            format!("{} is not a directory", parent.display()).into(),
            None,
        )),
        Err(error) => Err((
            format!(
                "its parent directory {} cannot be used; create it first",
                parent.display()
            )
            .into(),
            Some(error),
        )),
    }
}

/// Creates an empty file with a new name in `directory`, readable and writable by its owner.
pub(crate) fn create_temporary(directory: &Path) -> io::Result<PathBuf> {
    let file = tempfile::Builder::new()
        .prefix("touchfile-")
        .suffix(".lock")
        .tempfile_in(directory)?;
    let (_, path) = file.keep()?;
    Ok(path)
}
