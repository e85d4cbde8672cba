//! What a lock is worth.

use std::fmt;
use std::str::FromStr;

use crate::names::{self, UnknownName};

/// Whom a lock can be expected to exclude, as far as the backend can tell.
///
/// It is said between programs that lock in the same way. It displays in lower case, such as
/// `cross-host`, and is parsed from that.
///
/// # Examples
///
/// ```
/// use touchfile_core::Guarantee;
///
/// assert_eq!(Guarantee::HostLocal.to_string(), "host-local");
/// assert_eq!("cross-host".parse(), Ok(Guarantee::CrossHost));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Guarantee {
    /// Processes on all hosts that have the file system mounted, in a way that guarantees it there.
    CrossHost,
    /// Processes on this host. Of a local file system that is all there are.
    HostLocal,
    /// Nobody: the file system pretends to lock, or refuses to.
    None,
    /// Nothing that could be asked tells. Usually processes on this host at least.
    Unknown,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CrossHost => "cross-host",
            Self::HostLocal => "host-local",
            Self::None => "none",
            Self::Unknown => "unknown",
        })
    }
}

impl FromStr for Guarantee {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let all = [Self::CrossHost, Self::HostLocal, Self::None, Self::Unknown];
        names::parse("guarantee", &all, text)
    }
}
