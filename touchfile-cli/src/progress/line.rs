//! A line on a terminal, which is redrawn and erased in the end.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::text::printable;

/// The width of a terminal if it is not known.
const USUAL_WIDTH: usize = 80;

const FRAMES: [char; 8] = ['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈'];

/// Moves to the start of the line and erases everything after it. If the window has become narrower, the
/// terminal may have broken the line into several.
const ERASE: &str = "\r\x1b[J";

/// Switches automatic line breaks off and on (DECAWM). A line may be too long in spite of its number of
/// letters, because some letters take two columns.
const NO_BREAKS: &str = "\x1b[?7l";
const BREAKS: &str = "\x1b[?7h";

/// A line on standard error with a text and the elapsed time.
#[derive(Debug, Default)]
pub(super) struct Line {
    drawn: AtomicBool,
    frame: AtomicUsize,
}

impl Line {
    /// Draws the line. `text` makes the text for a number of columns.
    ///
    /// The cursor stays at the start of the line, and so does not move when the window becomes narrower.
    pub(super) fn draw(&self, elapsed: Duration, text: impl FnOnce(usize) -> String) {
        let frame = self.frame.fetch_add(1, Ordering::Relaxed) % FRAMES.len();
        let seconds = Duration::from_secs(elapsed.as_secs());
        let elapsed = humantime::format_duration(seconds);
        let start = format!("{} [{elapsed}] ", FRAMES[frame]);
        // The last column is left free, because some terminals break a line that uses it.
        let columns = width().saturating_sub(start.chars().count() + 1);
        let line = format!("{start}{}", printable(&text(columns)));
        let line: String = line.chars().take(width().saturating_sub(1)).collect();
        self.drawn.store(true, Ordering::Relaxed);
        put(&format!("{ERASE}{NO_BREAKS}{line}{BREAKS}\r"));
    }

    /// Erases the line, if it is shown.
    pub(super) fn erase(&self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            put(ERASE);
        }
    }
}

fn put(text: &str) {
    // It is one call of write(2), so that it does not mix with other output.
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
