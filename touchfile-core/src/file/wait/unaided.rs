//! Waiting where the system tells of nothing: by looking.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Lock;
use crate::file::FileId;

pub(in crate::file) fn announce(_: &File, _: FileId, _: &Path, _: bool) {}

pub(in crate::file) const MARK: OFlags = OFlags::empty();

/// Nobody's release is announced.
#[derive(Debug)]
pub(in crate::file) struct Inquiry;

impl Inquiry {
    pub(in crate::file) fn new(_: Lock) -> Self {
        Self
    }

    pub(in crate::file) fn answer(&self, _: Instant, _: Duration) -> Option<bool> {
        Some(false)
    }
}

#[derive(Debug)]
pub(in crate::file) enum Place {
    Leads(Option<Leader>),
    Follows(Follower),
}

#[derive(Debug)]
pub(in crate::file) enum Turn {
    Leads(Leader),
    Broken,
}

/// Nobody.
#[derive(Debug)]
pub(in crate::file) enum Leader {}

/// Nobody.
#[derive(Debug)]
pub(in crate::file) enum Follower {}

/// Nothing.
#[derive(Debug)]
pub(in crate::file) enum Releases {}

#[derive(Clone, Debug)]
pub(in crate::file) struct Line;

impl Line {
    pub(in crate::file) fn of(_: fmt::Arguments<'_>) -> Option<Self> {
        None
    }

    pub(in crate::file) fn enter(&self) -> Place {
        Place::Leads(None)
    }

    pub(in crate::file) fn join(&self) -> Option<Follower> {
        None
    }
}

impl Leader {
    pub(in crate::file) fn pass_on(&mut self) {
        match *self {}
    }
}

impl Follower {
    pub(in crate::file) fn is_watched(&self) -> bool {
        match *self {}
    }

    pub(in crate::file) fn poll_turn(&mut self, _: &mut Context<'_>) -> Poll<Turn> {
        match *self {}
    }
}

impl Releases {
    pub(in crate::file) fn of(_: &Path, _: bool) -> Option<Self> {
        None
    }

    pub(in crate::file) fn retire(&mut self) {
        match *self {}
    }

    pub(in crate::file) async fn next(&mut self) -> io::Result<()> {
        match *self {}
    }
}
