//! Text in one word: what the line protocol carries.

use std::path::{Path, PathBuf};

use crate::system;

/// `bytes` without white space or line breaks, and never empty.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut word = String::from("=");
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

/// What was [escaped](escape).
pub(crate) fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut parts = word.strip_prefix('=')?.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

pub(crate) fn escape_path(path: &Path) -> String {
    escape(system::path_to_bytes(path))
}

pub(crate) fn unescape_path(word: &str) -> Option<PathBuf> {
    system::path_from_bytes(unescape(word)?)
}

/// The text that was escaped, whatever it was.
pub(crate) fn unescape_text(word: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&unescape(word)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_escaped_is_one_word_and_comes_back() {
        for bytes in [
            &b""[..],
            b"a b\nc",
            b"100%",
            b"=%3d",
            b"\xff\x00",
            "ü".as_bytes(),
        ] {
            let word = escape(bytes);
            assert!(!word.is_empty() && !word.contains(char::is_whitespace));
            assert_eq!(unescape(&word).as_deref(), Some(bytes));
        }
    }
}
