//! The lab: a server, two clients, and faults of their network.

use std::cell::Cell;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::outcome::{Outcome, Undone};

/// How long anything may take that must happen. The machine may be busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The host on which a process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum At {
    A,
    B,
    Server,
}

#[derive(Debug)]
pub(crate) struct Lab {
    server: PathBuf,
    a: PathBuf,
    b: PathBuf,
    share: String,
    version: String,
    lease: Duration,
    names: Cell<u32>,
}

/// A client without a network. The network is restored when this is dropped.
#[derive(Debug)]
#[must_use = "the link comes back when this is dropped"]
pub(crate) struct Cut(At);

impl Lab {
    /// # Errors
    ///
    /// The name of the variable that is missing outside of the lab.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
        let lease = variable("NFS_LEASE")?;
        Ok(Self {
            server: variable("NFS_SERVER_DIR")?.into(),
            a: variable("NFS_CLIENT_A")?.into(),
            b: variable("NFS_CLIENT_B")?.into(),
            share: variable("NFS_SHARE")?,
            version: variable("NFS_VERSION")?,
            lease: Duration::from_secs(lease.parse().map_err(|_| "NFS_LEASE is no number")?),
            names: Cell::new(0),
        })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether this is NFS 3, which has no leases.
    pub(crate) fn is_v3(&self) -> bool {
        self.version == "3"
    }

    /// How long the server keeps the locks of a client that does not answer.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// The path of the shared directory on a host.
    pub(crate) fn dir(&self, at: At) -> &Path {
        match at {
            At::A => &self.a,
            At::B => &self.b,
            At::Server => &self.server,
        }
    }

    /// The source for another mount on client A.
    pub(crate) fn share_for_a(&self) -> String {
        format!("10.9.1.1:{}", self.share)
    }

    /// A new name for a lock file.
    pub(crate) fn new_name(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("{}.lock", self.names.get())
    }

    /// Cuts a client off.
    pub(crate) fn cut(&self, at: At) -> Result<Cut, Undone> {
        run("lab-link", &[at.letter(), "down"])?;
        Ok(Cut(at))
    }

    /// Makes the server forget a client of NFS 4, and its locks.
    pub(crate) fn forget(&self, at: At) -> Outcome {
        run("lab-server", &["expire", at.letter()])
    }

    /// Stops the server and starts it again.
    pub(crate) fn restart_server(&self) -> Outcome {
        run("lab-server", &["restart"])
    }
}

impl At {
    /// The command that starts a program on a host.
    pub(crate) fn launcher(self) -> Vec<OsString> {
        match self {
            Self::A | Self::B => vec!["as-client".into(), self.letter().into()],
            Self::Server => Vec::new(),
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Server => "server",
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = run("lab-link", &[self.0.letter(), "up"]) {
            println!("{error:?}");
        }
    }
}

/// Runs a command of the lab.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Undone::Failed(format!(
        "{program} {}: {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
