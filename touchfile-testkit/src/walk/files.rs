//! The lock files of a walk, and their paths.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use touchfile_core::Capabilities;

use crate::system;

use super::Style;
use crate::handles::Handle;

/// One lock file.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// All its paths.
    pub(super) paths: Vec<PathBuf>,
    /// What has happened to its lock since it was last known to be free.
    pub(super) events: Vec<Event>,
    /// The handle that checks whether the lock is held.
    pub(super) witness: Option<Handle>,
    /// How often the witness was used.
    pub(super) checks: u32,
}

/// What may be the cause of a lock that is busy though no handle holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Busy,
    Failed,
    GivenUp,
    Released,
}

impl File {
    fn new(path: PathBuf, paths: Vec<PathBuf>) -> Self {
        Self {
            path,
            paths,
            events: Vec::new(),
            witness: None,
            checks: 0,
        }
    }

    /// A new path of the same kind.
    pub(super) fn like_it(&self, number: u32) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        if name.len() > 200 {
            // The suffix needs room in a long name.
            name = OsString::from("m".repeat(200));
        }
        name.push(format!(".{number}"));
        let new = self.path.with_file_name(name);
        // If the copy fails, the backend makes a new file, which is good enough.
        let Ok(metadata) = fs::metadata(&self.path) else {
            return new;
        };
        if fs::copy(&self.path, &new).is_ok() && system::has_second_name(&metadata) {
            let mut second = new.clone().into_os_string();
            second.push(".b");
            fs::hard_link(&new, second).ok();
        }
        new
    }
}

/// The files of a walk of this style.
pub(super) fn files(dir: &Path, style: Style, claims: Capabilities) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for name in ["a.lock", "b.lock"] {
        files.push(File::new(dir.join(name), vec![dir.join(name)]));
    }
    if style != Style::Everywhere || !claims.real_files || !dir.is_dir() {
        return Ok(files);
    }
    let mut made = Vec::new();
    // On a file system without links there are fewer paths.
    fs::create_dir(dir.join("sub"))?;
    made.push(dir.join("sub").join(".."));
    let linked = dir.join("linked");
    // Wine makes links that lead nowhere.
    if system::symlink_dir(dir, &linked).is_ok() && linked.join("sub").is_dir() {
        made.push(linked.clone());
        made.push(linked.join("sub").join(".."));
    }
    made.push(dir.join("."));
    for file in &mut files {
        let name = file.path.file_name().unwrap_or_default().to_owned();
        file.paths
            .extend(made.iter().map(|directory| directory.join(&name)));
    }
    let odd = system::path_from_bytes(b"an odd \xff name".to_vec());
    let long = PathBuf::from("l".repeat(240));
    for name in odd.into_iter().chain([long]) {
        let path = dir.join(name);
        // Some file systems refuse such names.
        if fs::write(&path, "").is_ok() {
            files.push(File::new(path.clone(), vec![path]));
        }
    }
    let full = dir.join("contents");
    fs::write(&full, "precious")?;
    files.push(File::new(full.clone(), vec![full]));
    if claims.identity {
        let (one, other) = (dir.join("one"), dir.join("other"));
        fs::write(&one, "")?;
        if fs::hard_link(&one, &other).is_ok() {
            files.push(File::new(one.clone(), vec![one, other]));
        }
    }
    if claims.exclusive_read_only {
        let path = dir.join("read-only");
        fs::write(&path, "")?;
        system::set_mode(&path, 0o444)?;
        files.push(File::new(path.clone(), vec![path]));
    }
    Ok(files)
}
