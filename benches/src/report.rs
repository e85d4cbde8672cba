//! Tables of results, and the same as rows of JSON.

use serde_json::{Value, json};

use crate::clock::Nanos;
use crate::contenders::FLOOR;
use crate::stats::Sample;

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tables: Vec<Table>,
    /// For the plots: how late the waiters were, by variant and contender.
    pub(crate) latencies: Vec<(String, &'static str, Sample)>,
    /// For the plots: acquisitions of each process, by variant and contender.
    pub(crate) shares: Vec<(String, &'static str, Vec<u64>)>,
}

/// What one scenario, or one variant of it, found.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) scenario: &'static str,
    /// Empty where a scenario has but one table.
    pub(crate) variant: String,
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) lines: Vec<(&'static str, Vec<f64>)>,
    /// Who could not take part, and why.
    pub(crate) unable: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Whether the ratio to the floor is shown beside it.
    pub(crate) ratio: bool,
}

pub(crate) const fn column(name: &'static str, unit: &'static str) -> Column {
    Column {
        name,
        unit,
        ratio: false,
    }
}

pub(crate) const fn with_ratio(name: &'static str, unit: &'static str) -> Column {
    Column {
        name,
        unit,
        ratio: true,
    }
}

/// p50, p90, p99 and the maximum of times in microseconds.
pub(crate) const LATENCY: [Column; 4] = [
    with_ratio("p50", "µs"),
    column("p90", "µs"),
    column("p99", "µs"),
    column("max", "µs"),
];

impl Report {
    /// The value of a metric, as JSON names it.
    pub(crate) fn value(&self, scenario: &str, contender: &str, metric: &str) -> Option<f64> {
        let tables = self
            .tables
            .iter()
            .filter(|table| table.scenario == scenario);
        tables.flat_map(Table::rows).find_map(|row| {
            (row.contender == contender && row.metric == metric).then_some(row.value)
        })
    }

    /// Keeps times for the plots, and returns their summary in microseconds.
    pub(crate) fn keep_latency(
        &mut self,
        variant: &str,
        contender: &'static str,
        times: Vec<Nanos>,
    ) -> Vec<f64> {
        let sample = Sample::new(times);
        let summary = sample.summary(1e3).to_vec();
        self.latencies.push((variant.to_owned(), contender, sample));
        summary
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for table in &self.tables {
            for row in table.rows() {
                rows.push(json!({
                    "scenario": table.scenario,
                    "contender": row.contender,
                    "metric": row.metric,
                    "value": row.value,
                    "unit": row.unit,
                }));
            }
            for (contender, reason) in &table.unable {
                rows.push(json!({
                    "scenario": table.scenario,
                    "contender": contender,
                    "metric": table.metric("unable"),
                    "value": null,
                    "unit": reason,
                }));
            }
        }
        rows
    }
}

struct Row {
    contender: &'static str,
    metric: String,
    value: f64,
    unit: &'static str,
}

impl Table {
    fn metric(&self, name: &str) -> String {
        if self.variant.is_empty() {
            name.to_owned()
        } else {
            format!("{}: {name}", self.variant)
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.lines.iter().flat_map(|(contender, values)| {
            self.columns.iter().zip(values).map(|(column, value)| Row {
                contender,
                metric: self.metric(column.name),
                value: *value,
                unit: column.unit,
            })
        })
    }

    /// As a table of Markdown, aligned so that it can be read as it is.
    pub(crate) fn markdown(&self) -> String {
        let mut cells = vec![vec![String::new()]];
        for column in &self.columns {
            let unit = match column.unit {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            cells[0].push(format!("{}{unit}", column.name));
            if column.ratio {
                cells[0].push("× floor".to_owned());
            }
        }
        let floor = self.lines.iter().find(|(name, _)| *name == FLOOR);
        for (contender, values) in &self.lines {
            let mut line = vec![(*contender).to_owned()];
            for (place, (column, value)) in self.columns.iter().zip(values).enumerate() {
                line.push(number(*value));
                if column.ratio {
                    let floor = floor.and_then(|(_, values)| values.get(place));
                    line.push(floor.map_or_else(String::new, |floor| ratio(value / floor)));
                }
            }
            cells.push(line);
        }

        let widths: Vec<usize> = (0..cells[0].len())
            .map(|place| {
                let width = |line: &Vec<String>| line[place].chars().count();
                cells.iter().map(width).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for (number, line) in cells.iter().enumerate() {
            for (place, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.chars().count());
                let (before, after) = if place == 0 {
                    ("", &*space)
                } else {
                    (&*space, "")
                };
                text.push_str(&format!("| {before}{cell}{after} "));
            }
            text.push_str("|\n");
            if number == 0 {
                for (place, width) in widths.iter().enumerate() {
                    let (fill, end) = if place == 0 {
                        (width + 2, "")
                    } else {
                        (width + 1, ":")
                    };
                    text.push_str(&format!("|{}{end}", "-".repeat(fill)));
                }
                text.push_str("|\n");
            }
        }
        let mut reasons: Vec<&str> = Vec::new();
        for (_, reason) in &self.unable {
            if !reasons.contains(&&**reason) {
                reasons.push(reason);
            }
        }
        for reason in reasons {
            let with_it = self.unable.iter().filter(|(_, other)| other == reason);
            let names: Vec<_> = with_it.map(|(contender, _)| *contender).collect();
            text.push_str(&format!("\nNot {}: {reason}.\n", names.join("; ")));
        }
        text
    }

    /// What is above the table.
    pub(crate) fn title(&self) -> String {
        if self.variant.is_empty() {
            self.scenario.to_owned()
        } else {
            format!("{}, {}", self.scenario, self.variant)
        }
    }
}

/// Three digits that count, and all those before the point.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "-".to_owned()
    } else if size >= 1e4 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            let left = digits.len() - place;
            if place > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if size >= 100.0 || value == value.trunc() {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

fn ratio(value: f64) -> String {
    if value >= 9.95 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::{FLOOR, Report, Table, column, number, with_ratio};

    fn table() -> Table {
        Table {
            scenario: "handoff",
            variant: "unlock".to_owned(),
            caption: String::new(),
            columns: vec![with_ratio("p50", "µs"), column("max", "µs")],
            lines: vec![(FLOOR, vec![10.0, 20.5]), ("other", vec![25.0, 12_345.6])],
            unable: vec![("third", "it has no shared mode".to_owned())],
        }
    }

    #[test]
    fn a_table_shows_ratios_to_the_floor_and_who_could_not() {
        let lines = [
            "|              | p50, µs | × floor | max, µs |",
            "|--------------|--------:|--------:|--------:|",
            "| raw flock(2) |      10 |    1.00 |    20.5 |",
            "| other        |      25 |    2.50 |  12,346 |",
            "",
            "Not third: it has no shared mode.",
        ];
        assert_eq!(table().markdown(), lines.join("\n") + "\n");
    }

    #[test]
    fn rows_of_json_name_the_variant() {
        let report = Report {
            tables: vec![table()],
            ..Report::default()
        };
        assert_eq!(report.value("handoff", "other", "unlock: p50"), Some(25.0));
        let rows = report.json();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[4]["metric"], "unlock: unable");
        assert_eq!(rows[4]["unit"], "it has no shared mode");
    }

    #[test]
    fn numbers_are_as_long_as_they_are_exact() {
        let all = [0.01234, 1.234, 12.34, 123.4, 1234.5, 123_456.7, 7.0];
        let shown = ["0.012", "1.23", "12.3", "123", "1234", "123,457", "7"];
        assert_eq!(all.map(number), shown);
    }
}
