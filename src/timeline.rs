//! The memory of a step, kernel by kernel, in a few rows of text.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use console::measure_text_width;
use remat::Graph;
use remat::algorithms::Regions;
use remat::algorithms::predict::{Entry, Optimizer, Phase, Predictor, Scratch, Timeline};
use remat::bytes::human;

use crate::glyphs::Glyphs;
use crate::output::printable;
use crate::terminal::Canvas;

/// Rows of a curve.
const ROWS: usize = 5;
/// Columns of the optimizer's step, which is a single moment.
const OPTIMIZER: usize = 2;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().bold();
const LIMIT: Style = AnsiColor::Red.on_default();

/// A step without its plan and with it, on the same scale.
#[derive(Debug)]
pub(crate) struct Picture<'g> {
    graph: &'g Graph,
    curves: Vec<(&'static str, Timeline)>,
    budget: Option<u64>,
}

/// What one column of a curve shows.
#[derive(Debug, Clone, Copy)]
struct Bar {
    live: u64,
    phase: Phase,
    /// Does anything in it run again?
    is_again: bool,
}

/// How the width is divided: the same for all curves, so that their forward passes lie one above the other.
#[derive(Debug)]
struct Layout {
    /// Columns of the labels on the left.
    label: usize,
    forward: usize,
    /// Columns and kernels of the longest backward pass.
    backward: (usize, usize),
    optimizer: usize,
    /// Bytes at the upper end of the scale.
    top: u64,
}

impl Layout {
    /// Columns of the longest curve.
    fn width(&self) -> usize {
        self.forward + self.backward.0 + self.optimizer
    }
}

impl<'g> Picture<'g> {
    /// A step without checkpointing, and with the regions of a plan where there are any.
    pub(crate) fn new(
        predictor: &Predictor<'g>,
        regions: &Regions,
        optimizer: Option<Optimizer>,
        budget: Option<u64>,
    ) -> Self {
        let mut scratch = Scratch::default();
        let mut timeline = |regions: &Regions| Timeline::new(predictor, regions, optimizer, &mut scratch);
        let mut curves = vec![("no plan", timeline(&Regions::default()))];
        if !regions.all.is_empty() {
            curves.push(("plan", timeline(regions)));
        }
        Self { graph: predictor.graph(), curves, budget }
    }

    /// The curves as text with styles, none of its lines wider than the canvas.
    pub(crate) fn text(&self, canvas: Canvas) -> String {
        let glyphs = Glyphs::new(canvas.is_unicode);
        let layout = self.layout(canvas);
        let mut lines = Vec::new();
        for (name, timeline) in &self.curves {
            self.curve(name, timeline, &layout, glyphs, &mut lines);
        }
        lines.push(self.phases(&layout));
        lines.extend(self.key(&layout, glyphs));
        lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }

    fn layout(&self, canvas: Canvas) -> Layout {
        let counts = || self.curves.iter().map(|(_, timeline)| counts(timeline));
        let peaks = self.curves.iter().filter_map(|(_, timeline)| timeline.peak());
        let top = peaks.map(|e| e.live).max().unwrap_or(0).max(1);
        let labels = [Some(top), self.budget].into_iter().flatten().map(|bytes| human(bytes).len());
        let label = labels.chain(self.curves.iter().map(|(name, _)| name.len())).max().unwrap_or(0);
        let optimizer = if counts().any(|c| c[2] > 0) { OPTIMIZER } else { 0 };
        let forward_kernels = counts().map(|c| c[0]).max().unwrap_or(0);
        let backward_kernels = counts().map(|c| c[1]).max().unwrap_or(0);
        let width = canvas.width - label - 2 - optimizer;
        let forward = share(width, forward_kernels, forward_kernels + backward_kernels)
            .min(width - usize::from(backward_kernels > 0));
        Layout { label, forward, backward: (width - forward, backward_kernels), optimizer, top }
    }

    fn curve(&self, name: &str, timeline: &Timeline, layout: &Layout, glyphs: &Glyphs, lines: &mut Vec<String>) {
        let [forward, backward, optimizer] = counts(timeline);
        let columns = [
            (forward, layout.forward),
            (backward, share(layout.backward.0, backward, layout.backward.1)),
            (optimizer, layout.optimizer),
        ];
        let (mut bars, mut starts, mut at) = (Vec::new(), Vec::new(), 0);
        let mut highest = None;
        for (kernels, count) in columns {
            if !bars.is_empty() && count > 0 {
                starts.push(bars.len());
            }
            for column in timeline.columns(at..at + kernels, count as u32, |_| 1) {
                let Entry { live, when, .. } = timeline.entries[column.peak];
                let again = |e: &Entry| e.when.phase == Phase::Recompute;
                if highest.is_none_or(|(_, most): (usize, &Entry)| live > most.live) {
                    highest = Some((bars.len(), &timeline.entries[column.peak]));
                }
                bars.push(Bar {
                    live,
                    phase: when.phase,
                    is_again: timeline.entries[column.entries].iter().any(again),
                });
            }
            at += kernels;
        }
        if let Some((column, entry)) = highest {
            lines.push(self.marker(name, column, entry, layout, glyphs));
        }
        let full = glyphs.steps() * ROWS;
        let height = |bytes| height(bytes, layout.top, full);
        let budget = self.budget.filter(|&b| b <= layout.top).map(height);
        for row in (0..ROWS).rev() {
            let floor = row * glyphs.steps();
            let holds = |h: usize| h > floor && h <= floor + glyphs.steps();
            let is_limit = budget.is_some_and(holds);
            let label = match (row, self.budget) {
                (_, Some(budget)) if is_limit => human(budget),
                (row, _) if row + 1 == ROWS => human(layout.top),
                _ => String::new(),
            };
            let mut line = Line::new(&label, layout, if label.is_empty() { glyphs.axis } else { glyphs.tick });
            for (i, bar) in bars.iter().enumerate() {
                let height = height(bar.live);
                let is_over = budget.is_some_and(|b| floor >= b);
                match height.saturating_sub(floor).min(glyphs.steps()) {
                    0 if is_limit => line.push(glyphs.limit, LIMIT),
                    0 if starts.contains(&i) => line.push(glyphs.split, PLAIN),
                    0 => line.push(' ', PLAIN),
                    step if is_over && step == glyphs.steps() => line.push(glyphs.over, LIMIT),
                    step if is_over => line.push(glyphs.fill[step], LIMIT),
                    step => line.push(glyphs.fill[step], colour(bar.phase)),
                }
            }
            lines.push(line.finish());
        }
        let mut line = Line::new("0 B", layout, glyphs.corner);
        for (i, bar) in bars.iter().enumerate() {
            match bar.is_again {
                _ if starts.contains(&i) => line.push(glyphs.joint, PLAIN),
                true => line.push(glyphs.again, colour(Phase::Recompute)),
                false => line.push(glyphs.base, PLAIN),
            }
        }
        lines.push(line.finish());
    }

    /// Where the peak is, how high, and what runs there.
    fn marker(&self, name: &str, column: usize, peak: &Entry, layout: &Layout, glyphs: &Glyphs) -> String {
        let width = layout.forward + layout.backward.0 + layout.optimizer;
        let said = format!("{}, {}", human(peak.live), self.place(peak));
        let (left, right) = (column, width - column - 1);
        let room = left.max(right).saturating_sub(1);
        let said = console::truncate_str(&said, room, glyphs.tail);
        let mut line = Line::new(name, layout, ' ');
        if measure_text_width(&said) < right {
            line.text(&" ".repeat(column), PLAIN);
            line.text(&format!("{} {said}", glyphs.marker), BOLD);
        } else {
            line.text(&" ".repeat(left.saturating_sub(measure_text_width(&said) + 1)), PLAIN);
            line.text(&format!("{said} {}", glyphs.marker), BOLD);
        }
        line.finish()
    }

    fn place(&self, entry: &Entry) -> String {
        let operator = entry.when.operator.map(|o| &self.graph.operators()[o as usize]);
        let operator = operator.map(|o| match o.module.as_str() {
            "" => o.name.clone(),
            module => format!("{} in {module}", o.name),
        });
        let said = match (entry.when.phase, operator) {
            (Phase::Optimizer, _) => "step of the optimizer".into(),
            (Phase::Forward, operator) => operator.unwrap_or_else(|| "forward pass".into()),
            (Phase::Recompute, operator) => format!("recomputation of {}", operator.unwrap_or_default()),
            (Phase::Backward, Some(operator)) => format!("backward of {operator}"),
            (Phase::Backward, None) => "accumulation of a gradient".into(),
        };
        printable(&said).replace('\n', " ")
    }

    /// The names of the phases, under the part of the width that is theirs.
    fn phases(&self, layout: &Layout) -> String {
        let [forward, backward, optimizer] = counts(&self.curves[0].1);
        let again = layout.backward.1 - backward;
        let recomputed = if again > 0 { format!(" + {again}") } else { String::new() };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let forward = [format!("forward, {forward} kernel{}", plural(forward)), "forward".into()];
        let backward =
            [format!("backward, {backward}{recomputed} kernel{}", plural(backward + again)), "backward".into()];
        let last = if optimizer > 0 { "optimizer" } else { "" };
        let mut line = Line::new("", layout, ' ');
        line.text(&fit(&forward, layout.forward), PLAIN);
        line.text(&fit(&backward, layout.width() - layout.forward - last.len()), PLAIN);
        line.text(last, PLAIN);
        line.finish()
    }

    /// What the less common characters mean, where they occur: side by side where that fits.
    fn key(&self, layout: &Layout, glyphs: &Glyphs) -> Vec<String> {
        let mut parts = Vec::new();
        if self.curves.len() > 1 {
            parts.push((glyphs.again, "recomputation".to_owned(), colour(Phase::Recompute)));
        }
        match self.budget {
            Some(budget) if budget <= layout.top => {
                parts.push((glyphs.limit, format!("budget {}", human(budget)), LIMIT));
                parts.push((glyphs.over, "above it".into(), LIMIT));
            }
            Some(budget) => parts.push((' ', format!("budget {} is higher", human(budget)), LIMIT)),
            None => {}
        }
        let width: usize = parts.iter().map(|(_, meaning, _)| meaning.len() + 5).sum();
        let per_line = if width <= layout.width() { parts.len().max(1) } else { 1 };
        let lines = parts.chunks(per_line).map(|parts| {
            let mut line = Line::new("", layout, ' ');
            for (glyph, meaning, style) in parts {
                line.push(*glyph, *style);
                line.text(&format!(" {meaning}   "), PLAIN);
            }
            line.finish()
        });
        lines.collect()
    }
}

/// A line behind its label, in runs of one style.
struct Line {
    done: String,
    run: String,
    style: Style,
}

impl Line {
    fn new(label: &str, layout: &Layout, axis: char) -> Self {
        Self { done: format!("{label:>0$} {axis}", layout.label), run: String::new(), style: PLAIN }
    }

    fn push(&mut self, glyph: char, style: Style) {
        if style != self.style {
            self.flush();
            self.style = style;
        }
        self.run.push(glyph);
    }

    fn text(&mut self, text: &str, style: Style) {
        text.chars().for_each(|c| self.push(c, style));
    }

    fn flush(&mut self) {
        let style = self.style;
        if !self.run.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(self.done, "{style}{}{style:#}", self.run);
            self.run.clear();
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.done
    }
}

/// Kernels of the forward pass, of the backward pass with what runs again, and moments of the optimizer.
fn counts(timeline: &Timeline) -> [usize; 3] {
    let until = |phase| timeline.entries.partition_point(|e| e.when.phase < phase);
    let (forward, all) = (until(Phase::Recompute), timeline.entries.len());
    // Recomputation and the backward pass take turns; the optimizer is last.
    let optimizer = timeline.entries.iter().rev().take_while(|e| e.when.phase == Phase::Optimizer).count();
    [forward, all - optimizer - forward, optimizer]
}

/// `whole × part / all`, rounded to nearest, and at least one of anything.
fn share(whole: usize, part: usize, all: usize) -> usize {
    if part == 0 { 0 } else { ((2 * whole * part + all) / (2 * all)).clamp(1, whole) }
}

/// Bytes in steps of the scale, rounded up, so that only nothing is drawn as nothing.
fn height(bytes: u64, top: u64, full: usize) -> usize {
    (u128::from(bytes) * full as u128).div_ceil(u128::from(top)) as usize
}

/// The first text that fits, padded to its room with a space at the end.
fn fit(texts: &[String], room: usize) -> String {
    let text = texts.iter().find(|t| t.len() < room).map_or("", String::as_str);
    format!("{text:<room$}")
}

/// Colours that tell apart without red and green.
fn colour(phase: Phase) -> Style {
    match phase {
        Phase::Forward => AnsiColor::Blue.on_default(),
        Phase::Backward => AnsiColor::Cyan.on_default(),
        Phase::Recompute => AnsiColor::Yellow.on_default(),
        Phase::Optimizer => AnsiColor::Magenta.on_default(),
    }
}
