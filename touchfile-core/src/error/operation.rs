//! What an error is about.

use std::fmt;

use crate::LockMode;

/// How a held lock was lost; displays as a clause.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Loss {
    /// The time for which the lock was granted has passed, and nobody has confirmed it since.
    Expired,
    /// The path names another file by now, or none, and that other file is what others lock.
    Replaced,
    /// Whoever keeps the lock, such as the server of a network file system, has given it up.
    Revoked,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its lease has run out, and somebody else may have taken it",
            Self::Replaced => "the path names another file by now, or none",
            Self::Revoked => {
                "whoever keeps it has given it up, and somebody else may have taken it"
            }
        })
    }
}

/// What was being done when an [`Error`](crate::Error) arose; displays as a verb, as in "cannot *open* /a.lock".
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Preparing to lock a file that is open already.
    Adopt,
    /// Checking that the path still names the locked file.
    CheckIdentity,
    /// Making a temporary lock file.
    CreateTemporary,
    /// Making an exclusive lock a shared one.
    Downgrade,
    /// Finding out what a lock is worth.
    FindGuarantee,
    /// Finding out who holds the lock.
    FindHolders,
    /// Taking the lock.
    Lock(LockMode),
    /// Opening or creating the file.
    Open,
    /// Removing the file when it is released.
    Remove,
    /// Making a shared lock an exclusive one.
    Upgrade,
    /// Getting at the locked file.
    UseFile,
    /// Checking that the lock is still held.
    Verify,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt => f.write_str("take over the open file"),
            Self::CheckIdentity => f.write_str("check the identity of"),
            Self::CreateTemporary => f.write_str("create a temporary file in"),
            Self::Downgrade => f.write_str("downgrade the lock on"),
            Self::FindGuarantee => f.write_str("find out what a lock is worth on"),
            Self::FindHolders => f.write_str("find out who holds a lock on"),
            Self::Lock(LockMode::Exclusive) => f.write_str("take an exclusive lock on"),
            Self::Lock(LockMode::Shared) => f.write_str("take a shared lock on"),
            Self::Open => f.write_str("open"),
            Self::Remove => f.write_str("remove on release"),
            Self::Upgrade => f.write_str("upgrade the lock on"),
            Self::UseFile => f.write_str("use the locked file"),
            Self::Verify => f.write_str("verify the lock on"),
        }
    }
}
