//! A correct backend with a fault.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use touchfile_core::{
    BoxBackend, Capabilities, Holder, LockBackend, LockMode, OpenOptions, Platform,
};

use super::Mutant;
use super::common::Common;
use super::fault::{Claim, Fault};
use super::handle::Handle;
use super::side_effect::{Op, SideEffect};
use super::state::{HandleState, ProcessState};
use super::trigger::Trigger;

#[derive(Debug)]
pub(super) struct Mutated(Arc<Common>);

impl Mutated {
    pub(super) fn new(mutant: Mutant, honest: BoxBackend) -> Self {
        let process = ProcessState::new(mutant.trigger == Trigger::InSecondChild);
        Self(Arc::new(Common {
            mutant,
            honest,
            process,
        }))
    }

    fn shows(&self, fault: Fault, path: &Path) -> bool {
        self.0.shows(fault, None, &HandleState::default(), path)
    }
}

#[async_trait]
impl LockBackend for Mutated {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        "mutant"
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = self.0.honest.capabilities();
        if self.shows(Fault::ClaimsChange, Path::new("")) {
            claims.fair = !claims.fair;
        }
        match self.0.mutant.fault {
            Fault::Claims(claim) => *field(&mut claims, claim) = true,
            Fault::Hides(claim) => *field(&mut claims, claim) = false,
            _ => {}
        }
        claims
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Handle> {
        let common = &self.0;
        common.process.called();
        let mut options = options.clone();
        options.create |= self.shows(Fault::CreatesAnyway, path);
        options.follow_symlinks |= self.shows(Fault::FollowsLinks, path);
        if self.shows(Fault::IgnoresMode, path) {
            options.create_mode = Some(0o600);
        }
        if common.mutant.fault == Fault::Claims(Claim::Removal) {
            options.remove_on_release = false;
        }
        match Handle::open(common, path, &options).await {
            Ok(handle) => Ok(handle),
            Err(error) => Err(self.failed(error, path)),
        }
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        let common = &self.0;
        common.process.called();
        common.does(Op::AskHolders, None, &HandleState::default(), path);
        if self.shows(Fault::HoldersFail, path) {
            return Err(io::Error::other("nobody knows"));
        }
        let mut holders = common.honest.holders(path).await?;
        if self.shows(Fault::GhostHolder, path) {
            let mut ghost = Holder::new(LockMode::Exclusive);
            ghost.process = touchfile_core::ProcessId::Known(1);
            holders.push(ghost);
        }
        Ok(holders)
    }

    fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
        self.0.honest.open_may_block(path, options)
    }

    fn platform(&self) -> &'static dyn Platform {
        self.0.honest.platform()
    }
}

impl Mutated {
    /// Changes the error of an open, if that is the fault.
    fn failed(&self, error: io::Error, path: &Path) -> io::Error {
        use io::ErrorKind::{NotADirectory, NotFound, WouldBlock};
        if self.shows(Fault::LeaksFailedOpen, path) {
            SideEffect::LeaksDescriptor.on(path);
        }
        let usual = matches!(error.kind(), NotFound | NotADirectory);
        if self.shows(Fault::OpensAsBusy, path)
            || (!usual && self.shows(Fault::OpensAsBusyElse, path))
        {
            return WouldBlock.into();
        }
        if self.shows(Fault::OpensAsOther, path)
            || (!usual && self.shows(Fault::OpensAsOtherElse, path))
        {
            return io::Error::other("it cannot be opened");
        }
        error
    }
}

fn field(claims: &mut Capabilities, claim: Claim) -> &mut bool {
    match claim {
        Claim::Conversion => &mut claims.atomic_conversion,
        Claim::ExcludesFcntl => &mut claims.excludes_fcntl,
        Claim::ExcludesFlock => &mut claims.excludes_flock,
        Claim::Fair => &mut claims.fair,
        Claim::Identity => &mut claims.identity,
        Claim::ReadOnly => &mut claims.exclusive_read_only,
        Claim::Removal => &mut claims.remove_on_release,
        Claim::Shared => &mut claims.shared,
    }
}
