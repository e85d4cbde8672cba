//! A line on a terminal that is drawn again and again, and goes away.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::text::printable;

/// Where the width of the terminal is not known.
const USUAL_WIDTH: usize = 80;

const FRAMES: [char; 8] = ['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈'];

/// Goes to the start of the line and erases all from there on. If the window has shrunk since the
/// line was drawn, the terminal may have broken it into several.
const ERASE: &str = "\r\x1b[J";

/// Keeps the terminal from breaking a line that is too long after all, as some letters take two
/// columns (DECAWM), and puts an end to that.
const NO_BREAKS: &str = "\x1b[?7l";
const BREAKS: &str = "\x1b[?7h";

/// A line on standard error that says how long something has taken, and more.
#[derive(Debug, Default)]
pub(super) struct Line {
    drawn: AtomicBool,
    frame: AtomicUsize,
}

impl Line {
    /// Draws the line, with what `text` says for so many columns.
    ///
    /// The cursor is left where the line starts, and so does not move when the window shrinks.
    pub(super) fn draw(&self, elapsed: Duration, text: impl FnOnce(usize) -> String) {
        let frame = self.frame.fetch_add(1, Ordering::Relaxed) % FRAMES.len();
        let seconds = Duration::from_secs(elapsed.as_secs());
        let elapsed = humantime::format_duration(seconds);
        let start = format!("{} [{elapsed}] ", FRAMES[frame]);
        // The last column is left free: what is there may break the line in some terminals.
        let columns = width().saturating_sub(start.chars().count() + 1);
        let line = format!("{start}{}", printable(&text(columns)));
        let line: String = line.chars().take(width().saturating_sub(1)).collect();
        self.drawn.store(true, Ordering::Relaxed);
        put(&format!("{ERASE}{NO_BREAKS}{line}{BREAKS}\r"));
    }

    /// Lets it go away, if it is there.
    pub(super) fn erase(&self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            put(ERASE);
        }
    }
}

fn put(text: &str) {
    // One call, so that it does not mix with what others write.
    io::stderr().write_all(text.as_bytes()).ok();
}

#[cfg(windows)]
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    columns
        .and_then(|text| text.parse().ok())
        .unwrap_or(USUAL_WIDTH)
}

#[cfg(unix)]
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    match columns {
        0 => USUAL_WIDTH,
        columns => columns.into(),
    }
}
