//! The kinds of calls in which faults can show.

/// The kind of call in which a fault can show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Site {
    /// An attempt or a wait.
    Acquire,
    /// A wait, and what becomes of it.
    Wait,
    /// While the lock is held.
    Hold,
    Unlock,
    Drop,
    /// A question.
    Ask,
    Open,
    Convert,
    /// A call of the backend.
    Claims,
}

impl Site {
    /// Whether the call has a mode.
    pub(super) fn has_mode(self) -> bool {
        matches!(
            self,
            Self::Acquire | Self::Wait | Self::Hold | Self::Unlock | Self::Drop
        )
    }
}
