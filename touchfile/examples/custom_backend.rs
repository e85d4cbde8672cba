//! A way of locking of our own: whoever binds a name among Linux's abstract Unix sockets holds it.
//!
//! The kernel gives each name to one socket at a time and takes it back when the socket is closed,
//! also by SIGKILL (unix(7), "abstract"). No file is needed, and none is left behind. It knows no
//! shared locks, and a forked child has its parent's socket, and so its lock, too: the backend
//! says so in its capabilities, and `TouchFile` refuses what it does not claim.
//!
//! A real backend would go on from here to the conformance suite: see CONTRIBUTING.md.

#[cfg(target_os = "linux")]
mod socket {
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::path::Path;

    use async_trait::async_trait;
    use touchfile_core::{Attempt, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions};

    #[derive(Debug)]
    pub(super) struct SocketBackend;

    #[derive(Debug)]
    pub(super) struct SocketHandle {
        name: SocketAddr,
        /// Bound while the lock is held. Dropping the handle closes it.
        held: Option<UnixListener>,
    }

    #[async_trait]
    impl LockBackend for SocketBackend {
        type Handle = SocketHandle;

        fn name(&self) -> &'static str {
            "socket"
        }

        fn capabilities(&self) -> Capabilities {
            let mut capabilities = Capabilities::NONE;
            capabilities.cross_process = true;
            capabilities.crash_release = true;
            capabilities
        }

        async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<SocketHandle> {
            if *options != OpenOptions::new() {
                return Err(unsupported("a socket's name is no file"));
            }
            let name = [b"touchfile:", path.as_os_str().as_bytes()].concat();
            let name = SocketAddr::from_abstract_name(name)?; // refuses what is too long
            Ok(SocketHandle { name, held: None })
        }
    }

    #[async_trait]
    impl LockHandle for SocketHandle {
        async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
            if mode == LockMode::Shared {
                return Err(unsupported("a socket has one owner"));
            }
            if self.held.is_some() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            match UnixListener::bind_addr(&self.name) {
                Ok(socket) => {
                    self.held = Some(socket);
                    Ok(Attempt::Acquired)
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Attempt::WouldBlock),
                Err(error) => Err(error),
            }
        }

        async fn unlock(&mut self) -> io::Result<()> {
            self.held = None;
            Ok(())
        }

        async fn is_current(&self, _path: &Path) -> io::Result<bool> {
            Err(unsupported(
                "there is no file whose identity could be checked",
            ))
        }
    }

    fn unsupported(why: &str) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, why)
    }
}

#[cfg(target_os = "linux")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> touchfile::Result<()> {
    use std::time::Duration;

    use socket::SocketBackend;
    use touchfile::{LockMode, TouchFile};

    let path = format!("/custom_backend/{}", std::process::id());
    let one = TouchFile::new(SocketBackend, &path)?;
    let other = TouchFile::new(SocketBackend, &path)?;

    // The queue, deadlines, owned guards, blocking(): all of it comes with two traits.
    let guard = one.lock_exclusive().await?;
    let patience = Duration::from_millis(50);
    let refused = other.lock_timeout(LockMode::Exclusive, patience).await;
    println!("while it is held: {}", refused.expect_err("it is held"));

    guard.unlock().await?;
    let guard = other.lock_exclusive().await?;
    println!("once it is free: {guard:?}");

    let unclaimed = one.lock_shared().await;
    println!(
        "what is not claimed: {}",
        unclaimed.expect_err("it is refused")
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("abstract Unix sockets exist on Linux only");
}
