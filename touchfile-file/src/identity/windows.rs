//! GetFileInformationByHandle.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{FileId, Symlinks};
use crate::open::open_to_identify;

pub(super) fn from_file(file: &File) -> io::Result<FileId> {
    let information = winapi_util::file::information(file)?;
    Ok(FileId {
        device: information.volume_serial_number(),
        inode: information.file_index(),
    })
}

pub(super) fn has_name(file: &File) -> io::Result<bool> {
    Ok(winapi_util::file::information(file)?.number_of_links() > 0)
}

pub(super) fn from_path(path: &Path, symlinks: Symlinks) -> io::Result<Option<FileId>> {
    match open_to_identify(path, symlinks) {
        Ok(file) => from_file(&file).map(Some),
        // So is refused what was removed and is still open somewhere.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
