//! Openings that must fail, and openings of files that do not exist yet.

use std::fs;
use std::io;
use std::path::Path;

use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::Halt;
use super::caller::Caller;
use super::walker::Walker;
use crate::Law;
use crate::process::is_right_refusal;
use crate::system;

/// The mode of new files.
const MODE: u32 = 0o640;

impl Walker<'_> {
    /// Opens a path other than those of the lock files, by any way to their directory.
    pub(super) fn open_elsewhere(&mut self, file: usize, caller: Caller) -> Result<(), Halt> {
        let paths = &self.files[0].paths;
        let path = usize::try_from(self.random.below(paths.len() as u64)).unwrap_or(0);
        let dir = paths[path].parent().unwrap_or(&self.dir).to_owned();
        let name = match self.random.below(3) {
            0 => "a new file".to_owned(),
            1 => "n".repeat(240),
            _ => "new".to_owned(),
        };
        match self.random.below(6) {
            0 => self.open_in_vain(file, caller, &dir.join("missing").join(name)),
            1 => self.open_in_vain(file, caller, &dir.join("l".repeat(300))),
            2 => self.open_without_creating(file, caller, &dir.join(name)),
            3 => self.open_link_to_nothing(file, caller, &dir.join(name)),
            4 => self.open_link_to_file(file, caller, &dir.join(name)),
            _ => self.open_with_mode(file, caller, &dir.join(name)),
        }
    }

    /// Opens a path that no program can open.
    fn open_in_vain(&mut self, file: usize, caller: Caller, path: &Path) -> Result<(), Halt> {
        // The error that the system gives to any program.
        let Err(reference) = fs::File::create(path) else {
            return Ok(fs::remove_file(path)?);
        };
        match self.open_once(file, caller, path, &OpenOptions::new())? {
            Err(error) if is_right_refusal(&error, &reference) => Ok(()),
            answer => Err(Halt::broken(
                Law::Errors,
                format!(
                    "the system says {:?} to this, and so must the backend, not: {}",
                    reference.kind(),
                    in_words(&answer)
                ),
            )),
        }
    }

    fn open_without_creating(
        &mut self,
        file: usize,
        caller: Caller,
        path: &Path,
    ) -> Result<(), Halt> {
        let mut options = OpenOptions::new();
        options.create = false;
        self.open_once(file, caller, path, &options)?.ok();
        must_be_missing(
            path,
            "a file was created, though `create` was not set",
            Law::Errors,
        )
    }

    fn open_link_to_nothing(
        &mut self,
        file: usize,
        caller: Caller,
        path: &Path,
    ) -> Result<(), Halt> {
        let target = self.dir.join("target");
        if system::symlink(&target, path).is_err() {
            return Ok(());
        }
        self.open_once(file, caller, path, &OpenOptions::new())?
            .ok();
        fs::remove_file(path)?;
        must_be_missing(
            &target,
            "a link was followed, though `follow_symlinks` was not set, and a file created where it leads",
            Law::Errors,
        )
    }

    /// Locks a link and the file where it leads. A backend may refuse the link or lock it as a name of its
    /// own, but not as the file.
    fn open_link_to_file(&mut self, file: usize, caller: Caller, path: &Path) -> Result<(), Halt> {
        let target = self.dir.join("target");
        fs::write(&target, "")?;
        if system::symlink(&target, path).is_err() {
            return Ok(());
        }
        let said = self.call(caller, "opening", Law::Errors, |runtime, backend| {
            runtime.block_on(async {
                let options = OpenOptions::new();
                let Ok(mut link) = backend.open(path, &options).await else {
                    return Ok(false);
                };
                let mut of_target = backend.open(&target, &options).await?;
                let is_held = link.try_lock(LockMode::Exclusive).await? == Attempt::Acquired;
                let is_busy = of_target.try_lock(LockMode::Exclusive).await? == Attempt::WouldBlock;
                Ok::<_, io::Error>(is_held && is_busy)
            })
        })?;
        self.record(
            file,
            format!(
                "{}, a link, is opened and locked, and so is the file where it leads{}",
                path.display(),
                caller.in_words(),
            ),
        );
        fs::remove_file(path)?;
        fs::remove_file(&target)?;
        match said {
            Ok(true) => Err(Halt::broken(
                Law::Errors,
                "a link was followed, though `follow_symlinks` was not set: who locks it has locked the file",
            )),
            _ => Ok(()),
        }
    }

    fn open_with_mode(&mut self, file: usize, caller: Caller, path: &Path) -> Result<(), Halt> {
        let mut options = OpenOptions::new();
        options.create_mode = Some(MODE);
        let opened = self.open_once(file, caller, path, &options)?;
        // A backend may make its file when it locks.
        let Ok(metadata) = fs::metadata(path) else {
            return Ok(());
        };
        fs::remove_file(path)?;
        match system::mode(&metadata) {
            Some(mode) if opened.is_ok() && mode != MODE => Err(Halt::broken(
                Law::Capabilities,
                format!("the mode of the new file is {mode:o}, but {MODE:o} was asked for"),
            )),
            _ => Ok(()),
        }
    }

    /// Opens a path and drops the handle.
    fn open_once(
        &mut self,
        file: usize,
        caller: Caller,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<io::Result<()>, Halt> {
        let said = self.call(caller, "opening", Law::Errors, |runtime, backend| {
            runtime.block_on(backend.open(path, options)).map(drop)
        })?;
        self.record(
            file,
            format!(
                "{} is opened{}: {}",
                path.display(),
                caller.in_words(),
                in_words(&said)
            ),
        );
        Ok(said)
    }
}

fn must_be_missing(path: &Path, what: &str, law: Law) -> Result<(), Halt> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
        return Err(Halt::broken(law, what));
    }
    Ok(())
}

fn in_words(said: &io::Result<()>) -> String {
    match said {
        Ok(()) => "it was opened".to_owned(),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}
