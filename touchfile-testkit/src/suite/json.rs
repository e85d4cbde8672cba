//! A report for machines.

use std::fmt::{self, Write};

use super::report::{CaseReport, Report, Verdict};

/// The report as one JSON object.
pub(super) fn json(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_report(&mut out, report).ok();
    out
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(
        out,
        "{{\"suite\": {}, \"backend\": {}, \"seed\": {}, \"passed\": {}, \"elapsed_ms\": {}, \"cases\": [",
        text(&report.suite),
        text(&report.backend),
        report.seed,
        report.passed(),
        report.elapsed.as_millis()
    )?;
    for (number, case) in report.cases.iter().enumerate() {
        let comma = if number + 1 == report.cases.len() {
            ""
        } else {
            ","
        };
        writeln!(out, "  {}{comma}", case_json(case)?)?;
    }
    writeln!(out, "]}}")
}

fn case_json(case: &CaseReport) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let law = case
        .law
        .map_or_else(|| "null".into(), |law| text(law.name()));
    write!(
        out,
        "{{\"name\": {}, \"law\": {law}, \"tried\": {}, \"elapsed_ms\": {}, \"measured\": [{}], ",
        text(&case.name),
        case.tried,
        case.elapsed.as_millis(),
        case.measured
            .iter()
            .map(|line| text(line))
            .collect::<Vec<_>>()
            .join(", ")
    )?;
    match &case.verdict {
        Verdict::Broken(finding) => write!(
            out,
            "\"verdict\": \"broken\", \"broken_law\": {}, \"story\": {}, \"steps\": [{}]",
            text(finding.law.name()),
            text(&finding.story),
            finding
                .steps
                .iter()
                .map(|step| text(&format!("{step:?}")))
                .collect::<Vec<_>>()
                .join(", ")
        )?,
        Verdict::Failed(why) => write!(out, "\"verdict\": \"failed\", \"reason\": {}", text(why))?,
        Verdict::NotRun => write!(out, "\"verdict\": \"not-run\"")?,
        Verdict::Passed => write!(out, "\"verdict\": \"passed\"")?,
        Verdict::Skipped(why) => {
            write!(out, "\"verdict\": \"skipped\", \"reason\": {}", text(why))?;
        }
    }
    out.push('}');
    Ok(out)
}

fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            char if char < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted() {
        assert_eq!(text("a\"b\\c\nd\u{1}ü"), "\"a\\\"b\\\\c\\nd\\u0001ü\"");
    }
}
