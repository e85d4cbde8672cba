//! What this crate uses of tracing; without the feature `tracing`, the same names that do nothing.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{Instrument, Level, Span, debug, debug_span, enabled, field, warn};

#[cfg(not(feature = "tracing"))]
pub(crate) use nothing::{Instrument, Level, Span, debug, debug_span, enabled, field, warn};

#[cfg(not(feature = "tracing"))]
mod nothing {
    #[derive(Debug)]
    pub(crate) struct Span;

    #[derive(Debug)]
    pub(crate) struct Level;

    impl Level {
        pub(crate) const DEBUG: Self = Self;
        pub(crate) const WARN: Self = Self;
    }

    pub(crate) trait Instrument: Sized {
        fn instrument(self, _: Span) -> Self {
            self
        }
    }

    impl<T> Instrument for T {}

    pub(crate) mod field {
        pub(crate) fn debug<T>(value: T) -> T {
            value
        }

        pub(crate) fn display<T>(value: T) -> T {
            value
        }
    }

    /// Uses the fields of an event, so that nobody has to say that they are not used.
    macro_rules! event {
        (target: $target:literal, $($rest:tt)+) => { $crate::trace::event!(@ $($rest)+) };
        (@) => { () };
        (@ $message:literal $(, $($rest:tt)*)?) => { $crate::trace::event!(@ $($($rest)*)?) };
        (@ $name:ident = $sign:tt $value:expr $(, $($rest:tt)*)?) => {{
            let _ = &$value;
            $crate::trace::event!(@ $($($rest)*)?)
        }};
        (@ $name:ident $(, $($rest:tt)*)?) => {{
            let _ = &$name;
            $crate::trace::event!(@ $($($rest)*)?)
        }};
        (@ $sign:tt $name:ident $(, $($rest:tt)*)?) => {{
            let _ = &$name;
            $crate::trace::event!(@ $($($rest)*)?)
        }};
    }

    macro_rules! debug_span {
        ($($token:tt)*) => {{
            $crate::trace::event!($($token)*);
            $crate::trace::Span
        }};
    }

    macro_rules! enabled {
        (target: $target:literal, $level:expr) => {{
            let _ = $level;
            false
        }};
    }

    pub(crate) use {debug_span, enabled, event, event as debug, event as warn};
}

#[cfg(not(feature = "tracing"))]
pub(crate) use nothing::event;
