//! Coordinates of the charts. The pictures are stretched to the width of the page, so labels are text beside them.

use chrono::{Datelike, NaiveDate};
use sentry_domain::Usd;

use crate::forecast::Forecast;
use crate::report::{Group, Report};
use crate::text;

/// Width of a day and height of the picture, in units of the picture.
const DAY_WIDTH: u128 = 100;
const HEIGHT: u128 = 1_000;
/// Space beside a bar.
const GAP: u128 = 12;
/// The groups that have a color of their own. The others are one color together.
const SERIES: usize = 5;
/// The most labels of the vertical axis above zero.
const MOST_TICKS: u128 = 4;

/// A rectangle of the chart, in its units.
pub struct Bar {
    pub x: u128,
    pub y: u128,
    pub height: u128,
    /// The number of the series, from 1; 0 for the groups without a color of their own.
    pub series: usize,
    /// The text that is shown when the pointer is on it.
    pub title: String,
}

/// A label and its place in percent of the picture.
pub struct Label {
    pub place: String,
    pub text: String,
}

/// A series of the chart by day.
pub struct Series {
    pub number: usize,
    pub name: String,
    pub amount: String,
}

/// The spend by day: what is spent as stacked bars, and the mean of the forecast for the days that are left.
pub struct DayChart {
    pub width: u128,
    pub height: u128,
    pub bar_width: u128,
    pub bars: Vec<Bar>,
    /// The bars of the days that are left.
    pub expected: Vec<Bar>,
    pub ticks: Vec<Label>,
    pub days: Vec<Label>,
    pub series: Vec<Series>,
}

impl DayChart {
    /// The chart of `report`. `None` if nothing is spent.
    pub fn of(report: &Report) -> Option<Self> {
        let mean = match report.forecast {
            Forecast::Expected { mean, .. } => mean.picodollars(),
            _ => 0,
        };
        let highest = report.days.iter().map(|day| day.spend.usd.picodollars()).max()?;
        if highest == 0 {
            return None;
        }
        let (top, step) = scale(highest.max(mean));
        let month_days = u128::from(report.month.length());
        let mut chart = Self {
            width: month_days * DAY_WIDTH,
            height: HEIGHT,
            bar_width: DAY_WIDTH - GAP,
            bars: Vec::new(),
            expected: Vec::new(),
            ticks: ticks(top, step),
            days: day_labels(report),
            series: series(report),
        };
        for (position, day) in (0..).zip(&report.days) {
            chart.stack(report, position, day.day, day.spend.usd.picodollars(), top);
        }
        if mean > 0 {
            chart.expect(report, mean, top);
        }
        Some(chart)
    }

    /// The bars of one day, the largest group at the bottom.
    fn stack(&mut self, report: &Report, position: usize, day: NaiveDate, total: u128, top: u128) {
        let mut below = 0;
        let groups = (1..).zip(report.groups.iter().take(SERIES));
        let mut parts: Vec<(usize, &str, u128)> =
            groups.map(|(series, group)| (series, group.name.as_str(), of_day(group, position))).collect();
        let named: u128 = parts.iter().map(|(_, _, amount)| amount).sum();
        parts.push((0, "others", total.saturating_sub(named)));
        for (series, name, amount) in parts.into_iter().filter(|(_, _, amount)| *amount > 0) {
            let (from, to) = (below * HEIGHT / top, (below + amount) * HEIGHT / top);
            below += amount;
            let title = format!("{}: {}, {}", day.format("%-d %B"), name, text::dollars(Usd::from_picodollars(amount)));
            let x = position as u128 * DAY_WIDTH + GAP / 2;
            self.bars.push(Bar { x, y: HEIGHT.saturating_sub(to), height: to - from, series, title });
        }
    }

    fn expect(&mut self, report: &Report, mean: u128, top: u128) {
        let height = mean * HEIGHT / top;
        let left = report.month.days().enumerate().skip(report.days.len());
        let bars = left.map(|(position, day)| Bar {
            x: position as u128 * DAY_WIDTH + GAP / 2,
            y: HEIGHT.saturating_sub(height),
            height,
            series: 0,
            title: format!("{}: expected {}", day.format("%-d %B"), text::dollars(Usd::from_picodollars(mean))),
        });
        self.expected.extend(bars);
    }
}

fn of_day(group: &Group, position: usize) -> u128 {
    group.daily.get(position).map_or(0, |usd| usd.picodollars())
}

fn series(report: &Report) -> Vec<Series> {
    let named = (1..).zip(report.groups.iter().take(SERIES)).filter(|(_, group)| group.figures.spend.usd > Usd::ZERO);
    let mut series: Vec<Series> = named
        .map(|(number, group)| Series { number, name: group.name.clone(), amount: text::spend(&group.figures.spend) })
        .collect();
    let shown: Usd = report.groups.iter().take(SERIES).map(|group| group.figures.spend.usd).sum();
    let others = report.total.spend.usd.saturating_sub(shown);
    if others > Usd::ZERO {
        series.push(Series { number: 0, name: "others".to_owned(), amount: text::dollars(others) });
    }
    series
}

/// The top of the axis and the step of its labels: 1, 2 or 5 times a power of ten.
fn scale(highest: u128) -> (u128, u128) {
    let mut power = 1_u128;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step.saturating_mul(MOST_TICKS) >= highest {
                return (step * highest.div_ceil(step).max(1), step);
            }
        }
        power = power.saturating_mul(10);
    }
}

fn ticks(top: u128, step: u128) -> Vec<Label> {
    let steps = (0..=top / step).map(|number| Label {
        place: place(top - number * step, top),
        text: text::dollars(Usd::from_picodollars(number * step)).trim_end_matches(".00").to_owned(),
    });
    steps.collect()
}

/// The first day and every fifth, in the middle of their bars.
fn day_labels(report: &Report) -> Vec<Label> {
    let length = report.month.length();
    let shown = report.month.days().filter(|day| day.day() == 1 || day.day() % 5 == 0);
    shown
        .map(|day| Label {
            place: place(u128::from(day.day() * 2 - 1), u128::from(length * 2)),
            text: day.day().to_string(),
        })
        .collect()
}

/// `part` of `whole` in percent with two decimals.
pub fn place(part: u128, whole: u128) -> String {
    let hundredths = part.saturating_mul(10_000).checked_div(whole).unwrap_or_default();
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The points of a line through `values`, in a picture of 100 × 20 units.
pub fn sparkline(values: &[u128]) -> Option<String> {
    let highest = values.iter().copied().max().filter(|highest| *highest > 0)?;
    let steps = values.len().checked_sub(1).filter(|steps| *steps > 0)?;
    let points = values.iter().enumerate().map(|(position, value)| {
        let (x, y) = (position * 1_000 / steps, 190 - value.saturating_mul(180) / highest);
        format!("{}.{},{}.{}", x / 10, x % 10, y / 10, y % 10)
    });
    Some(points.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_above_the_highest_bar() {
        assert_eq!(scale(7), (8, 2));
        assert_eq!(scale(41), (60, 20));
        assert_eq!(scale(100), (100, 50));
        assert_eq!(scale(1), (1, 1));
        for highest in [1_u128, 3, 99, 1_234, 5_000_000_000_001] {
            let (top, step) = scale(highest);
            assert!(top >= highest && top % step == 0 && top / step <= MOST_TICKS, "{highest}: {top} {step}");
        }
    }

    #[test]
    fn a_line_begins_at_the_left_and_reaches_the_top_at_its_highest_value() {
        assert_eq!(sparkline(&[0, 10, 5]).as_deref(), Some("0.0,19.0 50.0,1.0 100.0,10.0"));
        assert_eq!(sparkline(&[0, 0]), None);
        assert_eq!(sparkline(&[7]), None);
        assert_eq!(place(1, 3), "33.33");
    }
}
