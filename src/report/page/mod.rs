//! The page: one HTML document that needs nothing else.

mod moments;
mod views;

use askama::Template;

use super::chart::{self, Canvas};
use super::data::{OfGraph, Report};
use super::svg::theme;
use views::{CaseView, Cell, FactorsView, GraphView, RegionsView};

/// Moments that a page tells apart in all its timelines together: about 300 bytes each.
const MOMENTS: usize = 2400;

/// Parts of the time that each of so many timelines tells apart.
pub(crate) fn parts(timelines: usize) -> u32 {
    (MOMENTS / timelines.max(1)).clamp(100, 900) as u32
}

#[derive(Template)]
#[template(path = "page.html", config = "src/report/page/askama.toml")]
struct Page {
    title: String,
    colours: String,
    rules: &'static str,
    style: &'static str,
    script: &'static str,
    data: String,
    overview: Vec<Cell>,
    graphs: Vec<GraphView>,
}

/// The page of a report.
///
/// # Errors
/// None in practice: a page is written to memory.
pub(crate) fn page(report: &Report) -> Result<String, askama::Error> {
    let cases = report.graphs.iter().map(|g| g.cases.len()).sum();
    let wide = Canvas { parts: parts(cases), ..Canvas::WIDE };
    let narrow = Canvas { parts: parts(cases).min(Canvas::NARROW.parts), ..Canvas::NARROW };
    let graphs: Vec<GraphView> =
        report.graphs.iter().enumerate().map(|(g, graph)| view(g, graph, wide, narrow)).collect();
    let names: Vec<&str> = report.graphs.iter().map(|g| g.graph.as_str()).collect();
    let overview = if report.graphs.len() > 1 {
        report.graphs.iter().enumerate().map(Cell::of_graph).collect()
    } else {
        Vec::new()
    };
    Page {
        title: format!("{}: memory of a training step", names.join(", ")),
        colours: theme::variables(),
        rules: theme::RULES,
        style: include_str!("page.css"),
        script: include_str!("page.js"),
        data: moments::data(report),
        overview,
        graphs,
    }
    .render()
}

fn view(g: usize, graph: &OfGraph, wide: Canvas, narrow: Canvas) -> GraphView {
    let both = |draw: &dyn Fn(Canvas, &str) -> chart::Drawn, name: &str| {
        let (w, n) = (format!("{name}-wide"), format!("{name}-narrow"));
        [chart::inline(&draw(wide, &w), wide, &w), chart::inline(&draw(narrow, &n), narrow, &n)]
    };
    let cases = graph.cases.iter().enumerate().map(|(c, case)| {
        let charts = both(&|canvas, id| chart::timeline(graph, c, canvas, id), &format!("time-{g}-{c}"));
        CaseView::of(g, c, graph, case, charts)
    });
    GraphView {
        cases: cases.collect(),
        apart: chart::apart(graph),
        frontier: graph
            .frontier
            .as_ref()
            .map(|_| both(&|canvas, _| chart::frontier(graph, canvas), &format!("frontier-{g}"))),
        points: views::points(graph),
        factor_charts: both(&|canvas, id| chart::factors(graph, canvas, id), &format!("factors-{g}")),
        factors: graph.cases.iter().map(FactorsView::of).collect(),
        regions: graph.cases.iter().skip(1).enumerate().map(|(c, case)| RegionsView::of(g, c + 1, case)).collect(),
        ..GraphView::of(g, graph)
    }
}
