//! Conversions with a fault.

use std::io;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Attempt, ConvertLock, LockHandle};

use super::fault::Fault;
use super::handle::{Handle, SLOW};

#[async_trait]
impl ConvertLock for Handle {
    async fn downgrade(&mut self) -> io::Result<()> {
        if self.begins()? {
            return Ok(());
        }
        if self.held == Some(Exclusive) {
            if self.shows(Fault::DowngradeKeeps, None) {
                self.held = Some(Shared);
                return Ok(());
            }
            if self.shows(Fault::DowngradeGap, None) {
                self.honest().unlock().await?;
                thread::sleep(Duration::from_micros(300));
                self.honest().lock(Shared).await?;
                self.held = Some(Shared);
                return Ok(());
            }
        }
        self.converted()?.downgrade().await?;
        self.held = self.held.map(|_| Shared);
        if self.held.is_some() && self.shows(Fault::DowngradeLoses, None) {
            self.honest().unlock().await?;
        }
        Ok(())
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        if self.begins()? {
            return Ok(Attempt::Acquired);
        }
        if self.held == Some(Shared) {
            if self.shows(Fault::UpgradeRefuses, None) {
                return Ok(Attempt::WouldBlock);
            }
            if self.shows(Fault::UpgradeFails, None) {
                return Err(io::Error::other("something went wrong"));
            }
            if self.shows(Fault::UpgradeStaysShared, None) {
                // The fault shows only if the upgrade would have succeeded.
                let attempt = self.converted()?.try_upgrade().await?;
                if attempt == Attempt::Acquired {
                    self.converted()?.downgrade().await?;
                    self.held = Some(Exclusive);
                }
                return Ok(attempt);
            }
        }
        match self.converted()?.try_upgrade().await? {
            Attempt::Acquired => {
                self.held = self.held.map(|_| Exclusive);
                Ok(Attempt::Acquired)
            }
            Attempt::WouldBlock => self.upgrade_is_busy().await,
        }
    }
}

impl Handle {
    /// Refuses a conversion if nothing is held. Returns true if the fault is not to refuse it.
    fn begins(&mut self) -> io::Result<bool> {
        self.common.process.called();
        self.state.converts();
        if self.held.is_some() {
            return Ok(false);
        }
        if self.shows(Fault::ConvertsNothing, None) {
            return Ok(true);
        }
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn converted(&mut self) -> io::Result<&mut dyn ConvertLock> {
        let convertible = self.honest().convertible();
        convertible.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    async fn upgrade_is_busy(&mut self) -> io::Result<Attempt> {
        if self.shows(Fault::UpgradeGrants, None) {
            self.held = Some(Exclusive);
            return Ok(Attempt::Acquired);
        }
        if self.shows(Fault::UpgradeLoses, None) {
            self.honest().unlock().await?;
        }
        if self.shows(Fault::UpgradeWaits, None) {
            tokio::time::sleep(SLOW).await;
        }
        Ok(Attempt::WouldBlock)
    }
}
