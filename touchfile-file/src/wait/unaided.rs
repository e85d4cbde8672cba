//! Waiting where the system tells of nothing: by looking.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Lock;
use crate::{BlockingLock, FileId};
use touchfile_core::LockMode;

pub(crate) fn announce(_: &File, _: FileId, _: &Path, _: bool) {}

pub(crate) const MARK: OFlags = OFlags::empty();

/// Nobody's release is announced.
#[derive(Debug)]
pub(crate) struct Inquiry;

impl Inquiry {
    pub(crate) fn new(_: Lock) -> Self {
        Self
    }

    pub(crate) fn answer(&self, _: Instant, _: Duration) -> Option<bool> {
        Some(false)
    }
}

#[derive(Debug)]
pub(crate) enum Place {
    Leads(Option<Leader>),
    Follows(Follower),
}

#[derive(Debug)]
pub(crate) enum Turn {
    Leads(Leader),
    Broken,
}

/// Nobody.
#[derive(Debug)]
pub(crate) enum Leader {}

/// Nobody.
#[derive(Debug)]
pub(crate) enum Follower {}

/// Nothing.
#[derive(Debug)]
pub(crate) enum Releases {}

#[derive(Clone, Debug)]
pub(crate) struct Line;

impl Line {
    pub(crate) fn of(_: fmt::Arguments<'_>) -> Option<Self> {
        None
    }

    pub(crate) fn enter(&self) -> Place {
        Place::Leads(None)
    }

    pub(crate) fn join(&self) -> Option<Follower> {
        None
    }
}

impl Leader {
    pub(crate) fn pass_on(&mut self) {
        match *self {}
    }
}

impl Follower {
    pub(crate) fn is_watched(&self) -> bool {
        match *self {}
    }

    pub(crate) fn poll_turn(&mut self, _: &mut Context<'_>) -> Poll<Turn> {
        match *self {}
    }
}

impl Releases {
    pub(crate) fn of(_: &Path, _: bool) -> Option<Self> {
        None
    }

    pub(crate) fn retire(&mut self) {
        match *self {}
    }

    pub(crate) async fn next(&mut self) -> io::Result<()> {
        match *self {}
    }
}

/// None.
#[derive(Debug)]
pub(crate) enum KernelWait {}

impl KernelWait {
    pub(crate) fn start(
        _: Arc<dyn BlockingLock>,
        _: LockMode,
        _: impl FnOnce() -> Option<File>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn poll_acquired(&mut self, _: &mut Context<'_>) -> Poll<Option<File>> {
        match *self {}
    }
}
