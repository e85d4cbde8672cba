//! What happens to each call of a simulated process.

use std::future;
use std::io;
use std::path::Path;

use tokio::runtime;

use super::World;
use crate::Call;
use crate::state::ProcessRef;

impl World {
    /// The beginning of every call: it waits while its process is stopped and during a delay fault.
    pub(crate) async fn enter(
        &self,
        process: &ProcessRef,
        path: &Path,
        call: Call,
    ) -> io::Result<()> {
        let running =
            || future::poll_fn(|cx| self.0.with(|state| state.poll_running(process, cx.waker())));
        running().await?;
        if let Some(by) = self.0.with(|state| state.begin_delay(call, process, path)) {
            if runtime::Handle::try_current().is_err() {
                return Err(io::Error::other("a delay fault needs a tokio runtime"));
            }
            tokio::time::sleep(by).await;
            running().await?;
        }
        Ok(())
    }
}
