//! Peak against recomputation: all plans worth having, the shown ones, and other algorithms.

use std::fmt::Write as _;

use remat::bytes::human;

use super::labels::Labels;
use super::{Canvas, Drawn};
use crate::report::data::{OfGraph, Point};
use crate::report::svg::{Scale, Svg, byte_ticks, bytes_label, percent_ticks, px, width};

/// Millionths, as axes count shares.
#[expect(clippy::cast_sign_loss, reason = "no less than 0")]
fn millionths(share: f64) -> u64 {
    (share * 1e6).round().max(0.0) as u64
}

/// Draws the frontier of a graph; without points, what is known.
pub(super) fn draw(graph: &OfGraph, canvas: Canvas) -> Drawn {
    let cases: Vec<Point> = graph.cases.iter().map(super::super::data::Case::point).collect();
    let frontier = graph.frontier.as_deref().unwrap_or_default();
    let all = || frontier.iter().chain(&graph.algorithms).chain(&cases);
    let peaks = || all().map(|p| p.peak).chain(graph.budgets.iter().copied());
    let (least, most) = (peaks().min().unwrap_or(0), peaks().max().unwrap_or(1));
    let x_ticks = byte_ticks(least, most, if canvas.is_narrow { 4 } else { 7 });
    let y_ticks = percent_ticks(all().map(|p| millionths(p.overhead)).max().unwrap_or(0).max(10_000), 5);
    let (left, right) = if canvas.is_narrow { (48.0, canvas.width - 10.0) } else { (64.0, canvas.width - 24.0) };
    let top = if canvas.is_titled { 50.0 } else { 26.0 };
    let bottom = top + if canvas.is_narrow { 220.0 } else { 270.0 };
    let ends = |ticks: &[u64]| (ticks.first().copied().unwrap_or(0), ticks.last().copied().unwrap_or(1));
    let x = Scale::between(ends(&x_ticks).0, ends(&x_ticks).1, left, right);
    let y = Scale::new(ends(&y_ticks).1, bottom, top);

    let mut svg = Svg::default();
    if canvas.is_titled {
        svg.label(left, 20.0, "title", &format!("{}, peak against recomputation", graph.graph));
    }
    let axis = "recomputation, share of forward and backward pass";
    svg.label(if canvas.is_narrow { 4.0 } else { left - 40.0 }, top - 12.0, "quiet", axis);
    for &tick in &y_ticks {
        svg.line((left, y.at(tick)), (right, y.at(tick)), if tick == 0 { "axis" } else { "grid" });
        svg.label(left - 8.0, y.at(tick) + 4.0, "tick end", &percent(tick));
    }
    let mut free = 0.0;
    for &tick in &x_ticks {
        let (at, text) = (x.at(tick), bytes_label(tick));
        svg.line((at, top), (at, bottom), "grid");
        // Within the picture, and beside the label before.
        let middle = at.min(canvas.width - width(&text) / 2.0 - 2.0);
        if middle - width(&text) / 2.0 >= free {
            svg.label(middle, bottom + 16.0, "tick mid", &text);
            free = middle + width(&text) / 2.0 + 6.0;
        }
    }
    let apart = if canvas.is_titled { apart(graph) } else { String::new() };
    svg.label(left, bottom + 34.0, "quiet", &format!("peak memory of the step{apart}"));

    let at = |p: &Point| (x.at(p.peak), y.at(millionths(p.overhead)));
    let mut labels = Labels::within([left, top - 10.0, canvas.width, bottom]);
    for &budget in &graph.budgets {
        svg.line((x.at(budget), top), (x.at(budget), bottom), "limit");
        labels.avoid_line((x.at(budget), top), (x.at(budget), bottom));
        labels.place(
            &mut svg,
            (x.at(budget) - 6.0, top + 8.0),
            &format!("budget {}", human(budget)),
            "halo limit-label",
        );
    }
    if !frontier.is_empty() {
        svg.element("path").attr("d", staircase(frontier, &at)).attr("class", "step").empty();
        for pair in frontier.windows(2) {
            let ((x1, y1), (x2, y2)) = (at(&pair[1]), at(&pair[0]));
            labels.avoid_line((x1, y1), (x2, y1));
            labels.avoid_line((x2, y1), (x2, y2));
        }
        for p in frontier {
            let (cx, cy) = at(p);
            svg.element("circle").at("cx", cx).at("cy", cy).attr("r", 2.6).attr("class", "point").open();
            svg.element("title").text(&said(p));
            svg.close();
        }
    }
    for p in &graph.algorithms {
        let (cx, cy) = at(p);
        svg.element("rect").rect(cx - 3.5, cy - 3.5, 7.0, 7.0).attr("class", "algorithm").open();
        svg.element("title").text(&said(p));
        svg.close();
        labels.avoid(cx, cy, 4.0);
    }
    for p in &cases {
        let (cx, cy) = at(p);
        svg.element("circle").at("cx", cx).at("cy", cy).attr("r", 6).attr("class", "chosen").open();
        svg.element("title").text(&said(p));
        svg.close();
        labels.avoid(cx, cy, 6.0);
    }
    for p in &cases {
        labels.place(&mut svg, at(p), &p.label, "halo strong");
    }
    for (place, names) in together(&graph.algorithms, &cases, &at) {
        let text = match names.len() {
            // All of them are in the table beside the picture.
            n @ 3.. if canvas.is_narrow => format!("{} and {} more", names[0], n - 1),
            _ => names.join(", "),
        };
        labels.place(&mut svg, place, &text, "halo quiet");
    }
    let shown: Vec<String> = cases.iter().map(said).collect();
    Drawn {
        markup: svg.finish(),
        height: bottom + if canvas.is_titled { 54.0 } else { 42.0 },
        title: format!("{}: peak against recomputation", graph.graph),
        description: format!(
            "{} plans of which none is beaten in both{}. Shown: {}.",
            frontier.len(),
            super::apart(graph),
            shown.join("; ")
        ),
    }
}

/// How far apart the budgets of the line are, after a semicolon.
pub(crate) fn apart(graph: &OfGraph) -> String {
    let of = |step| format!("; budgets of the line are {} apart, those of shown plans added", human(step));
    graph.resolution.map(of).unwrap_or_default()
}

/// A place and the names of what lies there.
type Spot<'a> = ((f64, f64), Vec<&'a str>);

/// Names of algorithms, those that lie on the same spot together; none for what a case is called, or for no recomputation.
fn together<'a>(all: &'a [Point], cases: &[Point], at: &impl Fn(&Point) -> (f64, f64)) -> Vec<Spot<'a>> {
    let is_new = |p: &&Point| p.label != "none" && !cases.iter().any(|c| (c.peak, &c.label) == (p.peak, &p.label));
    let mut spots: Vec<Spot<'a>> = Vec::new();
    for p in all.iter().filter(is_new) {
        let (x, y) = at(p);
        let near = |spot: &&mut Spot<'a>| (spot.0.0 - x).abs() < 4.0 && (spot.0.1 - y).abs() < 4.0;
        match spots.iter_mut().find(near) {
            Some((_, names)) => names.push(&p.label),
            None => spots.push(((x, y), vec![&p.label])),
        }
    }
    spots
}

fn said(p: &Point) -> String {
    format!("{}: peak {}, {} more time", p.label, human(p.peak), percent(millionths(p.overhead)))
}

/// Millionths as a percentage, with as many decimals as it takes, at most one.
fn percent(millionths: u64) -> String {
    let tenths = (millionths + 500) / 1000;
    if tenths.is_multiple_of(10) { format!("{}%", tenths / 10) } else { format!("{}.{}%", tenths / 10, tenths % 10) }
}

/// For every budget, the least recomputation known within it. Peaks fall along the points.
fn staircase(points: &[Point], at: &impl Fn(&Point) -> (f64, f64)) -> String {
    let mut path = String::new();
    for p in points.iter().rev() {
        let (x, y) = at(p);
        if path.is_empty() {
            path = format!("M{} {}", px(x), px(y));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "H{}V{}", px(x), px(y));
        }
    }
    path
}
