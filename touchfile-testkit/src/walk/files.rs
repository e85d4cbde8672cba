//! The files of a walk, and the paths that lead to them.

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
    /// Every path that leads to it.
    pub(super) paths: Vec<PathBuf>,
    /// What happened to its lock since it was last known to be free.
    pub(super) events: Vec<Event>,
    /// A handle that looks whether the lock is held.
    pub(super) witness: Option<Handle>,
    pub(super) looks: u32,
    /// Its name was given to another file, at least once.
    pub(super) replaced: u32,
}

/// What may be why a lock is still held though nobody holds it.
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
            looks: 0,
            replaced: 0,
        }
    }

    /// Another path of the same kind, on which nothing has ever happened.
    pub(super) fn like_it(&self, number: u32) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        if name.len() > 200 {
            // As long, so that there is room.
            name = OsString::from("m".repeat(200));
        }
        name.push(format!(".{number}"));
        let new = self.path.with_file_name(name);
        // What cannot be made alike is a new file, which is good enough.
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
    // Where there are no links, there are fewer paths.
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
        file.paths.extend(made.iter().map(|path| path.join(&name)));
    }
    let odd = system::path_from_bytes(b"an odd \xff name".to_vec());
    let long = PathBuf::from("l".repeat(240));
    for name in odd.into_iter().chain([long]) {
        let path = dir.join(name);
        // Not every file system takes every name.
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
