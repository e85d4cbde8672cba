//! Lane 3, directed: a case for each law and for each known way to get it wrong.

use crate::suite::Case;

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
