//! Making the `TouchFile` that a builder describes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::TouchFile;
use super::builder::{Place, TouchFileBuilder};
use super::idle::IdleHandles;
use super::recursion::LatestHolder;
use super::sampler::SharedSample;
use crate::platform::Process;
use crate::queue::Queue;
use crate::{Error, LockBackend, Operation, Result};

impl<B: LockBackend> TouchFileBuilder<B> {
    /// Makes the `TouchFile`. A temporary file is created now, any other when it is first locked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`] as in [`TouchFile::new`], [`Error::Unsupported`] if a setting asks
    /// for what the backend does not claim or for what cannot be had of a file that is open already, and
    /// what keeps a temporary file from being created.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let refused = TouchFile::builder(backend).path("").build().unwrap_err();
    /// assert!(matches!(refused, Error::InvalidPath { .. }), "{refused:?}");
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn build(self) -> Result<TouchFile<B>> {
        let Self {
            backend,
            place,
            mut options,
            verify,
            on_wait,
            timeout,
            retry,
            deny_recursion,
        } = self;
        let (capabilities, platform) = (backend.capabilities(), backend.platform());
        let (temporary, open) = match &place {
            Place::TemporaryIn(_) => (true, None),
            Place::Open(file) => (false, Some(file.clone())),
            Place::Path(_) => (false, None),
        };
        let has_files = platform.has_files();
        if temporary && has_files && options.create_mode.is_none() {
            // Should somebody remove it, what takes its place is private as well.
            options.create_mode = Some(0o600);
        }
        let path = match place {
            Place::Open(file) => platform
                .name_of(file.file())
                .unwrap_or_else(|| "(unnamed file)".into()),
            Place::Path(path) => path,
            Place::TemporaryIn(directory) => {
                directory.unwrap_or_else(|| platform.temporary_directory())
            }
        };
        let unsupported = |operation| {
            let why = "it does not claim that it can";
            let source = io::Error::new(io::ErrorKind::Unsupported, why);
            Err(Error::from_io(&backend, &path, operation, source))
        };
        let removes = options.remove_on_release || temporary && has_files;
        if removes && !capabilities.remove_on_release {
            return unsupported(Operation::Remove);
        }
        if verify == Some(true) && !capabilities.identity {
            return unsupported(Operation::CheckIdentity);
        }
        if open.is_some() && (options.remove_on_release || verify == Some(true)) {
            let operation = if options.remove_on_release {
                Operation::Remove
            } else {
                Operation::CheckIdentity
            };
            let why = "it was given open, without a path";
            let source = io::Error::new(io::ErrorKind::Unsupported, why);
            return Err(Error::from_io(&backend, &path, operation, source));
        }
        let path = if let Some(file) = &open {
            // A file system that may not answer is asked when the file is first locked.
            if !backend.open_may_block(&path, &options) {
                let made = backend.adopt(file).map(drop);
                made.map_err(|error| Error::from_io(&backend, &path, Operation::Adopt, error))?;
            }
            path
        } else if temporary {
            let created = platform.create_temporary(&path, &options);
            created.map_err(|error| {
                Error::from_io(&backend, &path, Operation::CreateTemporary, error)
            })?
        } else if path.as_os_str().is_empty() {
            let reason = "it is empty; TouchFile::temporary makes a file with a new name";
            return Err(Error::invalid_path(path, reason, None));
        } else {
            platform.resolve(&path, &options)?
        };
        // Where holders remove the file, whoever waits for it gets one that is gone.
        let verify = verify.unwrap_or(true) || removes;
        Ok(TouchFile {
            path,
            options,
            verify: verify && capabilities.identity && open.is_none(),
            file: open,
            on_wait,
            timeout,
            retry,
            temporary: AtomicBool::new(temporary && has_files),
            process: Process::current(platform),
            answers_later: backend.answers_later(),
            backend: Arc::new(backend),
            queue: Queue::new(),
            idle: IdleHandles::new(),
            latest_holder: LatestHolder::default(),
            deny_recursion,
            sample: SharedSample::default(),
            permits: None,
        })
    }
}
