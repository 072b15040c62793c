//! The speeds as bars.

use plotters::prelude::*;

use super::{
    client::Work,
    results::{Results, Row},
};
use crate::failure::Failure;

const SIZE: (u32, u32) = (1200, 760);
const OURS: RGBColor = RGBColor(0x0b, 0x6e, 0x99);
const THEIRS: RGBColor = RGBColor(0xb0, 0xb4, 0xb8);

/// An SVG: a panel for each kind of work, a bar for each server.
pub(super) fn svg(results: &Results) -> Result<String, Failure> {
    let mut text = String::new();
    draw(results, &mut text).map_err(|error| Failure::Bench { what: format!("the plot: {error}") })?;
    Ok(text)
}

fn draw(results: &Results, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((2, 2));
    for ((place, work), panel) in Work::ALL.into_iter().enumerate().zip(&panels) {
        // The first stands on top.
        let bars: Vec<(&Row, f64)> =
            results.rows.iter().rev().map(|row| (row, row.speed(place).unwrap_or(0.0))).collect();
        let most = bars.iter().map(|(_, speed)| *speed).fold(1.0, f64::max);
        let count = bars.len() as i32;
        let mut chart = ChartBuilder::on(panel)
            .caption(format!("{}, {}", work.name(), work.unit()), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(190)
            .build_cartesian_2d(0.0..most * 1.15, (0..count - 1).into_segmented())?;
        let name = |segment: &SegmentValue<i32>| match segment {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => usize::try_from(*at)
                .ok()
                .and_then(|at| bars.get(at))
                .map_or_else(String::new, |(row, _)| row.contestant.name().into()),
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(bars.len())
            .y_label_formatter(&name)
            .x_label_formatter(&|speed| format!("{speed:.0}"))
            .label_style(("sans-serif", 13))
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(at, (row, speed))| {
            let at = at as i32;
            let colour = if row.contestant.rivals().is_empty() { THEIRS } else { OURS };
            let corners = [(0.0, SegmentValue::Exact(at)), (*speed, SegmentValue::Exact(at + 1))];
            let mut bar = Rectangle::new(corners, colour.filled());
            bar.set_margin(3, 3, 0, 0);
            bar
        }))?;
        chart.draw_series(bars.iter().enumerate().map(|(at, (_, speed))| {
            let label = if *speed > 0.0 { format!(" {speed:.0}") } else { " not measured".into() };
            Text::new(label, (*speed, SegmentValue::CenterOf(at as i32)), ("sans-serif", 12))
        }))?;
    }
    root.present()?;
    Ok(())
}
