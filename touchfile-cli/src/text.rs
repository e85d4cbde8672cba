//! Text in one line. Names of files and processes can contain any characters.

/// The length at which a word, such as a path, is shortened.
const LONGEST_WORD: usize = 512;

/// The length at which a whole line is shortened.
const LONGEST_LINE: usize = 2_048;

/// `text` as one line without control characters.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// `line` with shortened paths. If it is still long, it is shortened as a whole.
pub(crate) fn shortened(line: &str) -> String {
    let words = line
        .split(' ')
        .map(|word| without_middle(word, LONGEST_WORD));
    without_middle(&words.collect::<Vec<_>>().join(" "), LONGEST_LINE)
}

/// The beginning and the end of `text`, in at most `longest` characters.
fn without_middle(text: &str, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text.to_owned();
    }
    let kept = longest - 1;
    let start = text.chars().take(kept.div_ceil(2));
    let end = text.chars().skip(count - kept / 2);
    start.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_path_the_start_and_the_end_are_told() {
        let path = format!("/start{}/end", "/é".repeat(4_000));
        let line = shortened(&format!("cannot use {path} twice, {path}: why"));
        assert!(line.starts_with("cannot use /start/é"), "{line}");
        assert_eq!(line.matches("…").count(), 2, "{line}");
        assert!(line.contains("/é/end twice, /start"), "{line}");
        assert!(line.ends_with("/é/end: why"), "{line}");
        assert!(line.chars().count() <= 2 * LONGEST_WORD + 40, "{line}");
    }

    #[test]
    fn a_line_of_many_words_is_not_endless_either() {
        let line = shortened(&"word ".repeat(10_000));
        assert_eq!(line.chars().count(), LONGEST_LINE);
        assert_eq!(shortened("short"), "short");
    }
}
