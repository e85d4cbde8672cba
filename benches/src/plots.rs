//! Plots: how late waiters are, and how the lock is shared out.

use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::contenders::{FLOOR, named};
use crate::report::Report;
use crate::stats::Sample;

const SIZE: (u32, u32) = (900, 480);
/// For the names of contenders.
const MARGIN: u32 = 210;
const FONT: (&str, u32) = ("sans-serif", 16);
/// A curve has no more points than can be told apart.
const POINTS: u32 = 120;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes what can be drawn of a report into a directory.
pub(crate) fn draw(report: &Report, directory: &Path) -> io::Result<()> {
    for variant in variants(&report.latencies) {
        let file = directory.join(file_name("handoff", variant));
        let curves =
            of_variant(&report.latencies, variant).filter(|(_, sample)| !sample.is_empty());
        drawn(&file, |area| {
            latencies(area, variant, &curves.collect::<Vec<_>>())
        })?;
    }
    for variant in variants(&report.shares) {
        let file = directory.join(file_name("shares", variant));
        let bars: Vec<_> = of_variant(&report.shares, variant).collect();
        drawn(&file, |area| shares(area, variant, &bars))?;
    }
    Ok(())
}

fn drawn(
    file: &Path,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> io::Result<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let done = area
        .fill(&WHITE)
        .map_err(Into::into)
        .and_then(|()| draw(&area));
    let done = done.and_then(|()| Ok(area.present()?));
    done.map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

/// For each contender, which share of the waiters was no later than that.
fn latencies(
    area: &Area<'_>,
    variant: &str,
    curves: &[(&'static str, &Sample)],
) -> Result<(), Box<dyn std::error::Error>> {
    let latest = curves.iter().map(|(_, sample)| sample.percentile(1.0, 1e3));
    let latest = latest.fold(1_000.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("Handoff, {variant}: share of the waiters that have the lock by then"),
            FONT,
        )
        .margin(10)
        .margin_right(MARGIN)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((5.0..latest).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("µs after the release")
        .y_desc("%")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(FONT)
        .draw()?;
    for (number, (contender, sample)) in curves.iter().enumerate() {
        let style = style(contender, number);
        let points = (0..=POINTS).map(|point| {
            let share = f64::from(point) / f64::from(POINTS);
            (
                sample.percentile(share.max(1e-9), 1e3).max(5.0),
                share * 100.0,
            )
        });
        chart.draw_series(LineSeries::new(points, style))?;
        let y = 40 + 18 * i32::try_from(number)?;
        legend(area, contender, y, style)?;
    }
    Ok(())
}

fn legend(
    area: &Area<'_>,
    contender: &str,
    y: i32,
    style: ShapeStyle,
) -> Result<(), Box<dyn std::error::Error>> {
    let x = i32::try_from(SIZE.0 - MARGIN)?;
    area.draw(&PathElement::new([(x, y), (x + 18, y)], style))?;
    area.draw(&Text::new(contender.to_owned(), (x + 24, y - 7), FONT))?;
    Ok(())
}

/// For each contender a bar, cut into the shares of the processes.
fn shares(
    area: &Area<'_>,
    variant: &str,
    bars: &[(&'static str, &Vec<u64>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let height = 18;
    let top = 40;
    let (left, right) = (i32::try_from(MARGIN)?, i32::try_from(SIZE.0)? - 20);
    let title = format!("Fairness, {variant}: the share of each process");
    area.draw(&Text::new(title, (left, 12), FONT))?;
    for (number, (contender, shares)) in bars.iter().enumerate() {
        let y = top + (height + 8) * i32::try_from(number)?;
        area.draw(&Text::new((*contender).to_owned(), (10, y + 2), FONT))?;
        let total = shares.iter().sum::<u64>().max(1);
        let mut sorted = (*shares).clone();
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        let mut so_far = 0;
        let place = |share: u64| -> Result<i32, std::num::TryFromIntError> {
            let width = u64::try_from(right - left)?;
            Ok(left + i32::try_from(width * share / total)?)
        };
        for (process, share) in sorted.iter().enumerate() {
            let from = place(so_far)?;
            so_far += share;
            let corners = [(from, y), (place(so_far)?, y + height)];
            let color = Palette99::pick(process).mix(0.8);
            area.draw(&Rectangle::new(corners, color.filled()))?;
            area.draw(&Rectangle::new(corners, WHITE))?;
        }
    }
    Ok(())
}

/// Ours are drawn thick, and the floor in black.
fn style(contender: &str, number: usize) -> ShapeStyle {
    if contender == FLOOR {
        return BLACK.stroke_width(2);
    }
    let ours = named(contender).is_some_and(|contender| contender.is_ours());
    let colors = if ours { OURS } else { PEERS };
    colors[number % colors.len()].stroke_width(if ours { 3 } else { 1 })
}

/// Warm colors.
const OURS: &[RGBColor] = &[
    RGBColor(214, 39, 40),
    RGBColor(255, 127, 14),
    RGBColor(140, 20, 80),
    RGBColor(200, 160, 0),
];

/// Cold ones, all of them dark enough for a thin line.
const PEERS: &[RGBColor] = &[
    RGBColor(31, 119, 180),
    RGBColor(44, 140, 44),
    RGBColor(110, 110, 110),
    RGBColor(0, 150, 160),
    RGBColor(70, 60, 160),
    RGBColor(120, 160, 40),
    RGBColor(140, 86, 75),
    RGBColor(0, 90, 90),
    RGBColor(90, 130, 220),
    RGBColor(60, 60, 60),
];

type Kept<T> = [(String, &'static str, T)];

fn variants<T>(kept: &Kept<T>) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (variant, ..) in kept {
        if !names.contains(&&**variant) {
            names.push(variant);
        }
    }
    names
}

fn of_variant<'a, T>(
    kept: &'a Kept<T>,
    wanted: &'a str,
) -> impl Iterator<Item = (&'static str, &'a T)> {
    let wanted = kept.iter().filter(move |(variant, ..)| variant == wanted);
    wanted.map(|(_, contender, what)| (*contender, what))
}

/// `k=8 200 µs` as a name that needs no quoting.
fn file_name(kind: &str, variant: &str) -> String {
    let plain = variant.replace("µs", "us").replace('=', "");
    format!("{kind}-{}.svg", plain.replace([' ', ','], "-"))
}
