//! Memory over the step, stacked by kind, above its phases and regions.

use std::fmt::Write as _;

use remat::algorithms::predict::{Phase, Run};
use remat::bytes::human;

use super::kinds::{CLASSES, NAMES, of_entry};
use super::labels::{key, wrapped};
use super::{Canvas, Drawn};
use crate::report::data::{Case, OfGraph, Region};
use crate::report::svg::{Scale, Svg, byte_ticks, bytes_label, px, time_label, time_ticks, width};

/// Width of the optimizer's step, which takes no time that is known.
const OPTIMIZER: f64 = 44.0;
/// Height of the row of one depth of regions, and of the phases.
const ROW: f64 = 11.0;
const PHASES: f64 = 17.0;
/// Rows for nested regions; deeper ones share the last.
const DEPTHS: u32 = 5;

/// Where everything lies.
struct Layout<'a> {
    case: &'a Case,
    graph: &'a OfGraph,
    canvas: Canvas,
    x: Scale,
    y: Scale,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Longest of all cases, in the unit of [`Curve::end`].
    length: u64,
    depths: u32,
}

/// Draws one case; all cases of a graph have the same axes.
pub(super) fn draw(graph: &OfGraph, case: usize, canvas: Canvas, id: &str) -> Drawn {
    let lay = Layout::new(graph, case, canvas);
    let runs = lay.case.timeline.timeline.runs(&lay.case.timeline.clock, canvas.parts);
    let mut svg = Svg::default();
    lay.title(&mut svg);
    lay.grid(&mut svg);
    let unlabelled = lay.areas(&mut svg, &runs, id);
    lay.boundaries(&mut svg);
    lay.limits(&mut svg);
    lay.peak(&mut svg);
    lay.ribbon(&mut svg);
    let y = lay.axis(&mut svg);
    let texts: Vec<String> = unlabelled.iter().map(|(_, text)| text.clone()).collect();
    let (places, height) = wrapped(&texts, lay.left, lay.right);
    key(&mut svg, &unlabelled, &places, y + 4.0);
    if !canvas.is_titled {
        lay.cursor(&mut svg);
    }
    let peaks = &lay.case.predicted;
    let description = format!(
        "Stacked areas over the time of one training step. Memory peaks at {} ({} bytes); {} are alive between forward \
         and backward pass, {} before the step.",
        human(peaks.peak),
        peaks.peak,
        human(peaks.after_forward),
        human(peaks.static_bytes),
    );
    let height = y + height + if canvas.is_titled { 22.0 } else { 8.0 };
    Drawn {
        markup: svg.finish(),
        height,
        title: format!("{}, {}: memory over time", graph.graph, lay.case.label),
        description,
    }
}

impl<'a> Layout<'a> {
    fn new(graph: &'a OfGraph, case: usize, canvas: Canvas) -> Self {
        let length = graph.cases.iter().map(|c| c.timeline.length()).max().unwrap_or(0).max(1);
        let highest = graph.cases.iter().map(|c| c.predicted.peak);
        let highest = highest.chain(graph.budgets.iter().copied()).max().unwrap_or(0).max(1);
        let ticks = byte_ticks(0, highest, if canvas.is_narrow { 4 } else { 8 });
        let max = ticks.last().copied().unwrap_or(highest);
        let has_optimizer = graph.optimizer.is_some_and(|_| graph.cases.iter().any(|c| c.timeline.has_optimizer()));
        let left = if canvas.is_narrow { 52.0 } else { 72.0 };
        let right = canvas.width - if canvas.is_narrow { 8.0 } else { 18.0 };
        let until = right - if has_optimizer { OPTIMIZER } else { 0.0 };
        let top = if canvas.is_titled { 50.0 } else { 26.0 };
        let bottom = top + if canvas.is_narrow { 180.0 } else { 290.0 };
        Self {
            case: &graph.cases[case],
            graph,
            canvas,
            x: Scale::new(length, left, until),
            y: Scale::new(max, bottom, top),
            left,
            right,
            top,
            bottom,
            length,
            depths: graph.cases[case].regions.iter().map(|r| r.depth).max().unwrap_or(0).min(DEPTHS),
        }
    }

    /// Height of the rows below the areas.
    fn rows(&self) -> f64 {
        6.0 + f64::from(self.depths) * ROW + if self.depths > 0 { 2.0 } else { 0.0 } + PHASES
    }

    fn title(&self, svg: &mut Svg) {
        if self.canvas.is_titled {
            let text = format!("{}, {}", self.graph.graph, self.case.label);
            svg.label(self.left, 20.0, "title", &text);
        }
        let x = if self.canvas.is_narrow { 2.0 } else { 18.0 };
        svg.label(x, self.top - 12.0, "quiet", "memory");
    }

    fn grid(&self, svg: &mut Svg) {
        let max = self.y_max();
        for tick in byte_ticks(0, max, if self.canvas.is_narrow { 4 } else { 8 }) {
            let y = self.y.at(tick);
            svg.line((self.left, y), (self.right, y), if tick == 0 { "axis" } else { "grid" });
            svg.label(self.left - 8.0, y + 3.0, "tick end", &bytes_label(tick));
        }
    }

    fn y_max(&self) -> u64 {
        let highest = self.graph.cases.iter().map(|c| c.predicted.peak);
        highest.chain(self.graph.budgets.iter().copied()).max().unwrap_or(0).max(1)
    }

    /// Pixels from and until which a run is drawn.
    fn extent(&self, run: &Run) -> (f64, f64) {
        let curve = &self.case.timeline;
        if curve.timeline.entries[run.peak].when.phase == Phase::Optimizer {
            let from = self.x.at(curve.length());
            return (from, from + OPTIMIZER);
        }
        (self.x.at(curve.start(run.first)), self.x.at(curve.end(run.end - 1)))
    }

    /// Areas from the top of the stack to its bottom, each down to zero: the next one covers what is not its own. Returns
    /// the kinds that are too thin for a label.
    fn areas(&self, svg: &mut Svg, runs: &[Run], id: &str) -> Vec<(&'static str, String)> {
        let entries = &self.case.timeline.timeline.entries;
        let stacks: Vec<[u64; 7]> = runs.iter().map(|run| of_entry(&entries[run.peak].by_kind)).collect();
        let extents: Vec<(f64, f64)> = runs.iter().map(|run| self.extent(run)).collect();
        let up_to = |stack: &[u64; 7], kind: usize| stack[..=kind].iter().sum::<u64>();
        if stacks.iter().any(|s| s[5] > 0) {
            hatch(svg, id);
        }
        let shown: Vec<usize> = (0..7).filter(|&kind| stacks.iter().any(|s| s[kind] > 0)).collect();
        for &kind in shown.iter().rev() {
            let path = outline(self.bottom, &extents, |i| self.y.at(up_to(&stacks[i], kind)));
            let class = format!("area {}", CLASSES[kind]);
            svg.element("path").attr("d", &path).attr("class", class).empty();
            if kind == 5 {
                svg.element("path").attr("d", path).attr("fill", format!("url(#{id}-hatch)")).empty();
            }
        }
        let mut unlabelled = Vec::new();
        for &kind in &shown {
            let band = |i: usize| {
                let top = up_to(&stacks[i], kind);
                (self.y.at(top), self.y.at(top - stacks[i][kind]))
            };
            let text = NAMES[kind];
            if let Some((x, y)) = widest(&extents, band, width(text) + 8.0) {
                svg.label(x, y + 4.0, "halo mid", text);
            } else {
                let most = stacks.iter().map(|s| s[kind]).max().unwrap_or(0);
                unlabelled.push((CLASSES[kind], format!("{text}, at most {}", human(most))));
            }
        }
        unlabelled
    }

    /// Where the forward pass ends.
    fn boundaries(&self, svg: &mut Svg) {
        let curve = &self.case.timeline;
        for span in &curve.spans {
            if span.phase == Phase::Forward || span.phase == Phase::Optimizer {
                let end = if span.phase == Phase::Forward { curve.end(span.end - 1) } else { curve.length() };
                let x = self.x.at(end);
                svg.line((x, self.top), (x, self.bottom + self.rows()), "boundary");
            }
        }
    }

    /// Budgets, and the peak without checkpointing.
    fn limits(&self, svg: &mut Svg) {
        for &budget in &self.graph.budgets {
            let y = self.y.at(budget);
            svg.line((self.left, y), (self.right, y), "limit");
            // Above the line, unless the peak's label is there.
            let is_taken = (self.y.at(self.case.predicted.peak) - y).abs() < 18.0;
            let below = if is_taken { 13.0 } else { -5.0 };
            svg.label(self.left + 6.0, y + below, "halo limit-label", &format!("budget {}", human(budget)));
        }
        if let Some(plain) = self.graph.cases.first().filter(|_| self.case.plan.is_some()) {
            let y = self.y.at(plain.predicted.peak);
            svg.line((self.left, y), (self.right, y), "other");
            let text = if self.canvas.is_narrow { "without" } else { "no checkpointing" };
            svg.label(self.right - 4.0, y - 5.0, "halo quiet end", &format!("{text} {}", human(plain.predicted.peak)));
        }
    }

    fn peak(&self, svg: &mut Svg) {
        let curve = &self.case.timeline;
        let Some(at) = curve.peak() else { return };
        let live = curve.timeline.entries[at].live;
        let (x, y) = match curve.timeline.entries[at].when.phase {
            Phase::Optimizer => (self.x.at(curve.length()) + OPTIMIZER / 2.0, self.y.at(live)),
            _ => (f64::midpoint(self.x.at(curve.start(at)), self.x.at(curve.end(at))), self.y.at(live)),
        };
        svg.line((self.left, y), (self.right, y), "peak");
        svg.element("circle").at("cx", x).at("cy", y).attr("r", 4).attr("class", "dot").empty();
        let text = format!("peak {}", human(live));
        let (anchor, dx) = if x + width(&text) + 14.0 > self.right { (" end", -9.0) } else { ("", 9.0) };
        svg.label(x + dx, y - 6.0, &format!("halo strong{anchor}"), &text);
    }

    /// Regions where they run first and again, and the phases.
    fn ribbon(&self, svg: &mut Svg) {
        let curve = &self.case.timeline;
        let row = |r: &Region| self.bottom + 6.0 + f64::from(r.depth.min(DEPTHS) - 1) * ROW;
        for (i, region) in self.case.regions.iter().enumerate() {
            if !region.forward.is_empty() {
                let (from, until) =
                    (self.x.at(curve.start(region.forward.start)), self.x.at(curve.end(region.forward.end - 1)));
                self.bar(svg, i, (from, until), row(region), "region");
            }
        }
        for span in curve.spans.iter().filter(|s| s.phase == Phase::Recompute) {
            if let Some((i, region)) = span.region.and_then(|i| Some((i as usize, self.case.regions.get(i as usize)?)))
            {
                let (from, until) = (self.x.at(curve.start(span.first)), self.x.at(curve.end(span.end - 1)));
                self.bar(svg, i, (from, until), row(region), "again k-recomputed");
            }
        }
        if self.depths > 0 {
            svg.label(self.left - 8.0, self.bottom + 15.0, "quiet end", "regions");
        }
        let y = self.bottom + self.rows() - PHASES;
        let is_forward = |s: &&remat::algorithms::predict::Span| s.phase == Phase::Forward;
        let forward = curve.spans.iter().find(is_forward).map_or(0, |s| curve.end(s.end - 1));
        let (start, middle, end) = (self.left, self.x.at(forward), self.x.at(curve.length()));
        phase(svg, y, start, middle, "forward");
        let again = self.case.timeline.spans.iter().any(|s| s.phase == Phase::Recompute);
        phase(svg, y, middle, end, if again { "backward with recomputation" } else { "backward" });
        if curve.has_optimizer() {
            phase(svg, y, end, end + OPTIMIZER, "optim.");
        }
        svg.label(self.left - 8.0, y + 12.0, "quiet end", "phase");
    }

    /// What a page moves to the moment it speaks of, and how it finds the place.
    fn cursor(&self, svg: &mut Svg) {
        svg.element("line")
            .attr("class", "cursor")
            .at("x1", self.left)
            .at("x2", self.left)
            .at("y1", self.top)
            .at("y2", self.bottom + self.rows())
            .attr("data-from", px(self.left))
            .attr("data-until", px(self.x.at(self.length)))
            .attr("data-length", self.length)
            .attr("data-optimizer", px(self.x.at(self.case.timeline.length()) + OPTIMIZER / 2.0))
            .empty();
    }

    fn bar(&self, svg: &mut Svg, i: usize, (from, until): (f64, f64), y: f64, class: &str) {
        let region = &self.case.regions[i];
        svg.element("rect")
            .rect(from, y, (until - from).max(0.8), ROW - 2.0)
            .attr("class", class)
            .attr("data-region", i)
            .open();
        let again = if class == "region" { "" } else { ", again" };
        svg.element("title").text(&format!("region {}{again}: {}", i + 1, region.modules_short(3)));
        svg.close();
    }

    /// The axis of time; returns where it ends.
    fn axis(&self, svg: &mut Svg) -> f64 {
        let y = self.bottom + self.rows();
        let is_timed = self.case.timeline.is_timed();
        for tick in time_ticks(self.length, if self.canvas.is_narrow { 4 } else { 10 }) {
            let x = self.x.at(tick);
            svg.line((x, y), (x, y + 4.0), "axis");
            let text = if is_timed { time_label(tick, self.length) } else { tick.to_string() };
            svg.label(x, y + 17.0, if x + 20.0 > self.canvas.width { "tick end" } else { "tick mid" }, &text);
        }
        let text = match (is_timed, self.canvas.is_narrow) {
            (true, false) => format!("time by the rates of {}", self.graph.device),
            (true, true) => "time".into(),
            (false, _) => "kernels".into(),
        };
        svg.label(self.left, y + 34.0, "quiet", &text);
        y + 40.0
    }
}

/// A part of the step, named if there is room.
fn phase(svg: &mut Svg, y: f64, from: f64, until: f64, name: &str) {
    svg.element("rect").rect(from, y, until - from, PHASES).attr("class", "phase").empty();
    let fits = |name: &&str| width(name) + 2.0 <= until - from;
    let first = name.split(' ').next().unwrap_or(name);
    if let Some(name) = [name, first].into_iter().find(fits) {
        svg.label(f64::midpoint(from, until), y + 12.5, "quiet mid", name);
    }
}

pub(super) fn hatch(svg: &mut Svg, id: &str) {
    svg.element("pattern")
        .attr("id", format!("{id}-hatch"))
        .attr("width", 5)
        .attr("height", 5)
        .attr("patternUnits", "userSpaceOnUse")
        .attr("patternTransform", "rotate(45)")
        .open();
    svg.element("line").attr("x1", 0).attr("y1", 0).attr("x2", 0).attr("y2", 5).attr("class", "hatch").empty();
    svg.close();
}

/// A staircase over the given extents, closed along the bottom.
fn outline(bottom: f64, extents: &[(f64, f64)], top: impl Fn(usize) -> f64) -> String {
    let Some(&(first, _)) = extents.first() else { return String::new() };
    let mut path = format!("M{} {}", px(first), px(bottom));
    let mut at = px(bottom);
    let mut x = px(first);
    for (i, &(_, until)) in extents.iter().enumerate() {
        let y = px(top(i));
        if y != at {
            // Writing to a string cannot fail.
            let _ = write!(path, "H{x}V{y}");
            at = y;
        }
        x = px(until);
    }
    let _ = write!(path, "H{x}V{}Z", px(bottom));
    path
}

/// The middle of the highest place for text of a width within a band; none if it is not high enough anywhere.
fn widest(extents: &[(f64, f64)], band: impl Fn(usize) -> (f64, f64), w: f64) -> Option<(f64, f64)> {
    let mut best: Option<(f64, f64, f64)> = None;
    for (i, &(from, _)) in extents.iter().enumerate() {
        let (mut top, mut bottom) = (f64::MIN, f64::MAX);
        let mut reached = from;
        for (j, &(_, until)) in extents.iter().enumerate().skip(i) {
            let (t, b) = band(j);
            (top, bottom) = (top.max(t), bottom.min(b));
            reached = until;
            if reached - from >= w {
                break;
            }
        }
        let height = bottom - top;
        if reached - from >= w && height >= 15.0 && best.is_none_or(|(_, _, h)| height > h + 0.5) {
            best = Some((from + w / 2.0, f64::midpoint(top, bottom), height));
        }
    }
    best.map(|(x, y, _)| (x, y))
}
