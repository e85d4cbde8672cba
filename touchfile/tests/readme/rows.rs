//! The code in the tables of README.md, compiled with no more imports than README names.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use touchfile::{FcntlBackend, LockMode, LockSet, Retry, TouchFile};
use touchfile_mock::{Call, World};

type Done = Result<(), Box<dyn Error>>;

async fn shutdown() {}

pub(crate) async fn waiting(touch: &TouchFile, mode: LockMode, deadline: Instant) -> Done {
    drop(touch.try_lock(mode).await?);
    drop(touch.lock_exclusive().await?);
    drop(touch.lock_shared().await?);
    drop(touch.lock_timeout(mode, Duration::from_secs(5)).await?);
    drop(touch.lock_until(mode, deadline).await?);
    touch.with_lock(mode, async |guard| guard.mode()).await?;
    tokio::select! { guard = touch.lock(mode) => drop(guard?), () = shutdown() => {} }
    Ok(())
}

pub(crate) async fn counting(path: &Path) -> Done {
    drop(touchfile::Semaphore::open(path, 4)?.acquire().await?);
    Ok(())
}

pub(crate) async fn owned(shared: Arc<TouchFile>, mode: LockMode) -> Done {
    let guard: touchfile::OwnedLockGuard = shared.clone().lock_owned(mode).await?;
    drop(guard);
    drop(shared.clone().lock_timeout_owned(mode, Duration::from_secs(5)).await?);
    Ok(())
}

pub(crate) fn blocking(touch: &TouchFile, shared: &Arc<TouchFile>, mode: LockMode) -> Done {
    touch.blocking().lock_exclusive()?.unlock()?;
    drop(shared.clone().blocking_owned().lock(mode)?);
    Ok(())
}

pub(crate) fn settings(path: &Path) -> Done {
    drop(TouchFile::open(path)?);
    drop(TouchFile::open_temporary()?);
    drop(TouchFile::options().path(path).timeout(Duration::from_secs(60)).build()?);
    drop(TouchFile::options().path(path).remove_on_release(true).build()?);
    drop(TouchFile::options().path(path).no_symlinks(true).build()?);
    drop(TouchFile::options().path(path).retry(Retry::new(5)).build()?);
    drop(TouchFile::options().path(path).write(true).build()?);
    drop(TouchFile::options().path(path).deny_recursion(true).build()?);
    drop(TouchFile::options().path(path).on_wait(Duration::from_secs(1), |wait| eprintln!("{wait}")).build()?);
    drop(TouchFile::new(FcntlBackend::range(0, 100)?, path)?);
    let file = tempfile::tempfile()?;
    drop(TouchFile::options().file(file));
    let file = tempfile::tempfile()?;
    drop(TouchFile::open_file(file)?);
    Ok(())
}

pub(crate) async fn asking(touch: &TouchFile, path: &Path) -> Done {
    drop(touch.holders().await?);
    drop(touchfile::holders(path)?);
    touch.guarantee()?;
    let guard = touch.lock_exclusive().await?;
    guard.verify().await?;
    guard.file()?.set_len(0)?;
    drop(guard.lost(Duration::from_secs(5)).await);
    Ok(())
}

pub(crate) async fn converting(touch: &TouchFile<FcntlBackend>) -> Done {
    let mut guard = touch.lock_exclusive().await?;
    guard.downgrade().await?;
    guard.try_upgrade().await?;
    Ok(())
}

pub(crate) async fn several(one: TouchFile, other: TouchFile, all: touchfile::LockSet) -> Done {
    drop(LockSet::new().exclusive(one).shared(other).lock().await?);
    drop(all.lock_timeout(Duration::from_secs(5)).await?);
    drop(all.blocking().lock()?);
    Ok(())
}

pub(crate) fn faults(world: &World) {
    world.kill("other");
    world.fail_next(Call::Unlock, 5);
    world.delay_next(Call::TryLock, Duration::from_secs(60));
    world.lose_lock("/job.lock");
    world.replace("/job.lock");
}
