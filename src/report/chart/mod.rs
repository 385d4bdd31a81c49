//! The pictures of a report, one file each.

mod factors;
mod frontier;
mod kinds;
mod labels;
mod timeline;

use super::data::{OfGraph, Report};
use super::svg::{Svg, theme};
use crate::args::Chart;

pub(crate) use factors::named;
pub(crate) use frontier::apart;
pub(crate) use kinds::{CLASSES, NAMES, kind_of, of_entry};

/// What a picture is drawn for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// Width in pixels.
    pub width: f64,
    /// On a phone: less text, beside nothing.
    pub is_narrow: bool,
    /// Parts of the time that a timeline tells apart.
    pub parts: u32,
    /// Does the picture name its graph and plan? On a page, headings do.
    pub is_titled: bool,
}

impl Canvas {
    /// A column of text on a desk, or a sheet of paper.
    pub(crate) const WIDE: Self = Self { width: 920.0, is_narrow: false, parts: 700, is_titled: false };
    /// A phone.
    pub(crate) const NARROW: Self = Self { width: 358.0, is_narrow: true, parts: 260, is_titled: false };
}

/// A part of a picture: its markup from 0 downwards, how high it is, and what it says in a sentence.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub markup: String,
    pub height: f64,
    pub title: String,
    pub description: String,
}

/// Memory over time of one case.
pub(crate) fn timeline(graph: &OfGraph, case: usize, canvas: Canvas, id: &str) -> Drawn {
    timeline::draw(graph, case, canvas, id)
}

/// Peak against recomputation.
pub(crate) fn frontier(graph: &OfGraph, canvas: Canvas) -> Drawn {
    frontier::draw(graph, canvas)
}

/// Memory by module.
pub(crate) fn factors(graph: &OfGraph, canvas: Canvas, id: &str) -> Drawn {
    factors::draw(graph, canvas, id)
}

/// One picture of all graphs and plans as a document of its own.
pub(crate) fn picture(report: &Report, chart: Chart) -> String {
    let canvas = Canvas { is_titled: true, parts: 1200, ..Canvas::WIDE };
    let mut parts = Vec::new();
    for (g, graph) in report.graphs.iter().enumerate() {
        match chart {
            Chart::Frontier => parts.push(frontier(graph, canvas)),
            Chart::Factors => parts.push(factors(graph, canvas, &format!("f{g}"))),
            Chart::Timeline | Chart::Regions => {
                parts.extend((0..graph.cases.len()).map(|c| timeline(graph, c, canvas, &format!("t{g}-{c}"))));
            }
        }
    }
    let height = parts.iter().map(|p| p.height).sum::<f64>();
    let mut svg = Svg::default();
    let titles: Vec<&str> = parts.iter().map(|p| p.title.as_str()).collect();
    let descriptions: Vec<&str> = parts.iter().map(|p| p.description.as_str()).collect();
    open(&mut svg, canvas.width, height, "picture", true);
    svg.element("title").attr("id", "picture-title").text(&titles.join("; "));
    svg.element("desc").attr("id", "picture-desc").text(&descriptions.join(" "));
    svg.element("style").open();
    svg.raw(&theme::standalone());
    svg.close();
    svg.element("rect").rect(0.0, 0.0, canvas.width, height).attr("class", "back").empty();
    let mut y = 0.0;
    for part in &parts {
        svg.element("g").attr("transform", format!("translate(0 {})", super::svg::px(y))).open();
        svg.raw(&part.markup);
        svg.close();
        y += part.height;
    }
    svg.finish()
}

/// A picture for a page.
pub(crate) fn inline(drawn: &Drawn, canvas: Canvas, id: &str) -> String {
    let mut svg = Svg::default();
    open(&mut svg, canvas.width, drawn.height, id, false);
    svg.element("title").attr("id", format!("{id}-title")).text(&drawn.title);
    svg.element("desc").attr("id", format!("{id}-desc")).text(&drawn.description);
    svg.raw(&drawn.markup);
    svg.finish()
}

fn open(svg: &mut Svg, width: f64, height: f64, id: &str, is_alone: bool) {
    let (w, h) = (super::svg::px(width), super::svg::px(height));
    let mut root = svg.element("svg");
    if is_alone {
        root = root.attr("xmlns", "http://www.w3.org/2000/svg").attr("width", &w).attr("height", &h);
    }
    root.attr("viewBox", format!("0 0 {w} {h}"))
        .attr("class", "remat")
        .attr("role", "img")
        .attr("aria-labelledby", format!("{id}-title {id}-desc"))
        .open();
}
