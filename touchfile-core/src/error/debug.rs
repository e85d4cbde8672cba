//! What `{:?}` prints of an [`Error`].

use std::error::Error as _;
use std::fmt;

use super::Error;

impl fmt::Debug for Error {
    /// The message and its causes, as `fn main() -> Result<()>` prints them; with `#`, the fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return self.fmt_fields(f);
        }
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error {
    fn fmt_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Deadlock { .. } => "Deadlock",
            Self::InvalidPath { .. } => "InvalidPath",
            Self::Io { .. } => "Io",
            Self::Lost { .. } => "Lost",
            Self::Permission { .. } => "Permission",
            Self::Release { .. } => "Release",
            Self::Replaced { .. } => "Replaced",
            Self::Timeout { .. } => "Timeout",
            Self::Transient { .. } => "Transient",
            Self::Unsupported { .. } => "Unsupported",
        };
        let mut fields = f.debug_struct(name);
        fields.field("path", &self.path());
        match self {
            Self::InvalidPath { reason, source, .. } => {
                fields.field("reason", reason).field("source", source)
            }
            Self::Io {
                operation, source, ..
            }
            | Self::Permission {
                operation, source, ..
            }
            | Self::Transient {
                operation, source, ..
            } => fields.field("operation", operation).field("source", source),
            Self::Deadlock { mode, .. } => fields.field("mode", mode),
            Self::Lost { mode, loss, .. } => fields.field("mode", mode).field("loss", loss),
            Self::Release { mode, source, .. } => {
                fields.field("mode", mode).field("source", source)
            }
            Self::Replaced { times, .. } => fields.field("times", times),
            Self::Timeout {
                mode,
                permits,
                waited,
                holders,
                queued,
                recursive,
                ..
            } => fields
                .field("mode", mode)
                .field("permits", permits)
                .field("waited", waited)
                .field("holders", holders)
                .field("queued", queued)
                .field("recursive", recursive),
            Self::Unsupported {
                backend,
                operation,
                source,
                ..
            } => fields
                .field("backend", backend)
                .field("operation", operation)
                .field("source", source),
        };
        fields.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::Operation;

    #[test]
    fn debug_prints_a_sentence_with_its_causes_and_the_alternate_form_the_fields() {
        let error = Error::Io {
            path: PathBuf::from("/a.lock"),
            operation: Operation::Open,
            source: io::Error::other("the cause"),
        };
        assert_eq!(format!("{error:?}"), "cannot open /a.lock: the cause");
        let fields = format!("{error:#?}");
        assert!(fields.starts_with("Io {\n"), "{fields}");
        assert!(fields.contains("operation: Open"), "{fields}");
    }

    #[test]
    fn an_empty_path_is_seen_in_a_message() {
        let error = Error::invalid_path("", "it is empty", None);
        assert_eq!(
            error.to_string(),
            r#"cannot use "" as a lock file: it is empty"#
        );
    }
}
