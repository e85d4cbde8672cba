//! The thread and the runtime in which a call is made.

/// The thread and the runtime in which a call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Caller {
    /// Whether it is another thread than that of the walk.
    pub(super) thread: bool,
    /// The index of the runtime.
    pub(super) runtime: usize,
}

pub(super) const USUAL: Caller = Caller {
    thread: false,
    runtime: 0,
};

impl Caller {
    /// The thread and runtime as a clause of a sentence, if they are not the usual ones.
    pub(super) fn in_words(self) -> &'static str {
        match (self.thread, self.runtime) {
            (true, 0) => ", in another thread",
            (true, _) => ", in another thread and runtime",
            (false, 0) => "",
            (false, _) => ", in another runtime",
        }
    }
}
