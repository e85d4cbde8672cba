//! Looking at a path before there is a handle, and making up names for temporary files.

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Refuses a path whose parent directory is missing, or that says by a slash at its end that it
/// is a directory when it is none.
pub(crate) fn check_place(path: &Path) -> Result<(), (Cow<'static, str>, Option<io::Error>)> {
    let Some(parent) = path.parent() else {
        return Ok(()); // the root directory, which is there
    };
    let parent_name = parent.display();
    match fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err((format!("{parent_name} is not a directory").into(), None)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err((
                format!("its parent directory {parent_name} is missing; create it first").into(),
                Some(error),
            ));
        }
        Err(error) => {
            return Err((
                format!("its parent directory {parent_name} cannot be used").into(),
                Some(error),
            ));
        }
    }
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        // Without the slash, which would follow a link.
        let is_directory = match fs::symlink_metadata(path.components().as_path()) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) => error.kind() != io::ErrorKind::NotFound, // opening it will tell
        };
        if !is_directory {
            return Err(("it ends with a slash and is not a directory".into(), None));
        }
    }
    Ok(())
}

/// Creates an empty file with a new name in `directory`, readable and writable by its owner or as
/// `mode` says.
pub(crate) fn create_temporary(directory: &Path, mode: Option<u32>) -> io::Result<PathBuf> {
    let create = |file: io::Result<tempfile::NamedTempFile>| {
        let file = file?;
        #[cfg(unix)]
        if let Some(mode) = mode {
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(mode))?;
        }
        let (_, path) = file.keep()?;
        Ok(path)
    };
    let file = tempfile::Builder::new()
        .prefix("touchfile-")
        .suffix(".lock")
        .tempfile_in(directory);
    // tempfile wraps what the system said, and hides its number.
    create(file).map_err(|error| match innermost(&error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error,
    })
}

fn innermost(error: &io::Error) -> Option<i32> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        cause = error.source();
    }
    None
}
