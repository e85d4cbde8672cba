//! `who --watch`: refreshes the answer again and again.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use touchfile::Holder;

use super::file_status::{FileStatus, Name};
use super::names::Users;
use super::{Args, conclude, is_terminal, json, look_at_files};
use crate::exit::Failure;
use crate::output;

/// The shortest period. With a period of zero the command would never pause.
const SHORTEST: Duration = Duration::from_millis(50);

/// Erases the screen.
const CLEAR: &str = "\x1b[2J";

/// Shows the locks until a signal ends the process, such as SIGPIPE after the reader has gone.
///
/// Nothing has to be cleaned up in the end, so signals have their usual effect.
pub(super) fn run(args: &Args, period: Duration, users: &mut Users) -> Result<ExitCode, Failure> {
    let mut seen = Seen::default();
    let mut shown = String::new();
    loop {
        let mut files = look_at_files(args)?;
        seen.date(&mut files);
        let text = if args.json {
            output::json_line(&json::Answer::new(&files, users))
        } else {
            args.table(&files, users)
        };
        let shown_now = if args.json {
            text
        } else if is_terminal() {
            screen(period, &text, shown.is_empty())
        } else if shown.is_empty() {
            text
        } else {
            format!("\n{text}")
        };
        output::print(&shown_now)?;
        if shown.is_empty() {
            // A file that cannot be opened is reported once.
            conclude(files, args.json || is_terminal());
        }
        shown = shown_now;
        thread::sleep(period.max(SHORTEST));
    }
}

/// The output that replaces the previous screen by `text`. The screen is not erased first, because that
/// would flicker.
fn screen(period: Duration, text: &str, first: bool) -> String {
    const HOME: &str = "\x1b[H";
    const REST_OF_LINE: &str = "\x1b[K";
    const REST_OF_SCREEN: &str = "\x1b[J";
    let clear = if first { CLEAR } else { "" };
    let period = humantime::format_duration(period);
    let text = format!("every {period}, until Ctrl-C\n\n{text}");
    let text = text.replace('\n', &format!("{REST_OF_LINE}\n"));
    format!("{clear}{HOME}{text}{REST_OF_SCREEN}")
}

/// The time at which each holder was first seen.
#[derive(Debug, Default)]
struct Seen(HashMap<Name, Vec<(Instant, Holder)>>);

impl Seen {
    /// Sets how long each holder has been seen.
    fn date(&mut self, files: &mut [FileStatus]) {
        let now = Instant::now();
        let mut seen = HashMap::new();
        for file in files {
            let Ok(holders) = &mut file.found else {
                continue;
            };
            let before = self.0.get(&file.name);
            let since = |holder: &Holder| {
                let mut before = before.into_iter().flatten();
                let before = before.find(|(_, before)| before.is_same(holder));
                before.map_or(now, |(since, _)| *since)
            };
            let dated: Vec<_> = holders
                .iter()
                .map(|holder| (since(holder), holder.clone()))
                .collect();
            for (holder, (since, _)) in holders.iter_mut().zip(&dated) {
                holder.seen_for = Some(now - *since);
            }
            seen.insert(file.name.clone(), dated);
        }
        self.0 = seen;
    }
}
