//! Names of values, as people write them.

use std::fmt;

/// A text that names none of the values that it could have named.
///
/// # Examples
///
/// ```
/// use touchfile_core::LockMode;
///
/// let error = "write".parse::<LockMode>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown lock mode `write`: use exclusive or shared");
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown {what} `{text}`: use {names}")]
pub struct UnknownName {
    what: &'static str,
    text: String,
    names: String,
}

/// The one of `values` that displays as `text`.
pub(crate) fn parse<T: Copy + fmt::Display>(
    what: &'static str,
    values: &[T],
    text: &str,
) -> Result<T, UnknownName> {
    let names: Vec<String> = values.iter().map(T::to_string).collect();
    if let Some(found) = names.iter().position(|name| name == text) {
        return Ok(values[found]);
    }
    let (last, others) = names.split_last().expect("there are values to choose from");
    Err(UnknownName {
        what,
        text: text.to_owned(),
        names: format!("{} or {last}", others.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use crate::{Guarantee, LockKind, LockMode};

    #[test]
    fn each_value_is_parsed_from_what_it_displays_as() {
        for mode in [LockMode::Exclusive, LockMode::Shared] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for kind in [LockKind::Flock, LockKind::Ofd, LockKind::Posix] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for guarantee in [
            Guarantee::CrossHost,
            Guarantee::HostLocal,
            Guarantee::None,
            Guarantee::Unknown,
        ] {
            assert_eq!(guarantee.to_string().parse(), Ok(guarantee));
        }
        assert!("Exclusive".parse::<LockMode>().is_err());
    }
}
