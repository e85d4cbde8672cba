//! Man pages. The parts at the end of each help become sections of man-pages(7).

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

/// The headings of the parts at the end of a help, and their sections, in the order of man-pages(7).
const SECTIONS: [(&str, &str); 3] = [
    ("Exit status:", "EXIT STATUS"),
    ("Environment:", "ENVIRONMENT"),
    ("Examples:", "EXAMPLES"),
];

/// Writes a page for each command.
pub(super) fn write(command: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    for page in command.get_subcommands().chain([&command]) {
        let man = Man::new(page.clone());
        let man = man.source(concat!("touchfile ", env!("CARGO_PKG_VERSION")));
        let file = directory.join(man.get_filename());
        fs::write(file, render(page, &man)?)?;
    }
    Ok(())
}

fn render(command: &Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let end = command.get_after_help().map(ToString::to_string);
    let end = end.unwrap_or_default();
    for (heading, section) in SECTIONS {
        if let Some(part) = part(&end, heading) {
            // The text is neither filled nor hyphenated.
            writeln!(page, ".SH {section}\n.nf\n{}.fi", escaped(&part))?;
        }
    }
    let see_also: Vec<String> = see_also(command.get_name())
        .iter()
        .map(|(page, section)| format!("\\fB{}\\fR({section})", escaped(page).trim_end()))
        .collect();
    writeln!(page, ".SH SEE ALSO\n{}", see_also.join(",\n"))?;
    Ok(page)
}

/// The lines below `heading`, up to the next line that is not indented.
fn part(text: &str, heading: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    lines.next()?;
    let lines: Vec<&str> = lines
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect();
    Some(lines.join("\n").trim_end().to_owned())
}

/// The text with the characters escaped that are special in roff(7).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            escaped.push_str("\\&");
        }
        escaped.push_str(&line.replace('\\', "\\(rs").replace('-', "\\-"));
        escaped.push('\n');
    }
    escaped
}

fn see_also(command: &str) -> &'static [(&'static str, u8)] {
    match command {
        "conformance" => &[("touchfile", 1), ("touchfile-doctor", 1)],
        "doctor" => &[
            ("touchfile", 1),
            ("touchfile-conformance", 1),
            ("flock", 2),
            ("fcntl", 2),
            ("nfs", 5),
        ],
        "flock" => &[
            ("touchfile", 1),
            ("touchfile-run", 1),
            ("flock", 1),
            ("flock", 2),
        ],
        "run" => &[
            ("touchfile", 1),
            ("touchfile-flock", 1),
            ("touchfile-who", 1),
            ("flock", 1),
            ("timeout", 1),
            ("flock", 2),
            ("fcntl_locking", 2),
        ],
        "who" => &[
            ("touchfile", 1),
            ("lslocks", 8),
            ("fuser", 1),
            ("proc_locks", 5),
        ],
        _ => &[
            ("touchfile-run", 1),
            ("touchfile-flock", 1),
            ("touchfile-who", 1),
            ("touchfile-doctor", 1),
            ("touchfile-conformance", 1),
            ("flock", 1),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_next_begins() {
        let text = "Examples:\n  # One\n  touchfile\n\n  two\n\nExit status:\n  0  well";
        let examples = part(text, "Examples:");
        assert_eq!(examples.as_deref(), Some("# One\ntouchfile\n\ntwo"));
        assert_eq!(part(text, "Exit status:").as_deref(), Some("0  well"));
        assert_eq!(part(text, "Environment:"), None);
    }

    #[test]
    fn nothing_in_a_text_is_an_instruction() {
        assert_eq!(escaped(".nf\n'x' -- \\n"), "\\&.nf\n\\&'x' \\-\\- \\(rsn\n");
    }
}
