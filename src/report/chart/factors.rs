//! Memory by module: one bar per plan, stacked by kind.

use remat::algorithms::predict::Factors;
use remat::bytes::human;

use super::kinds::{CLASSES, NAMES, of_factors};
use super::labels::{key, shortened, wrapped};
use super::timeline::hatch;
use super::{Canvas, Drawn};
use crate::report::data::OfGraph;
use crate::report::svg::{Scale, Svg, byte_ticks, bytes_label, width};

/// Height of one bar.
const BAR: f64 = 14.0;

/// Width that bars have at least beside full names.
const LEAST: f64 = 300.0;

/// Draws the bars of all modules, in order of first execution.
pub(super) fn draw(graph: &OfGraph, canvas: Canvas, id: &str) -> Drawn {
    let modules = modules(graph);
    let find = |case: usize, module: &str| graph.cases[case].factors.modules.iter().find(|f| f.module == module);
    let most = graph.cases.iter().flat_map(|c| &c.factors.modules).map(Factors::sum).max().unwrap_or(0).max(1);
    let used = |kind: &usize| graph.cases.iter().any(|c| of_factors(&c.factors.total)[*kind] > 0);
    let kinds: Vec<usize> = (0..7).filter(used).collect();

    let mut svg = Svg::default();
    hatch(&mut svg, id);
    let mut y = if canvas.is_titled { 34.0 } else { 4.0 };
    if canvas.is_titled {
        svg.label(12.0, 20.0, "title", &format!("{}, memory by module", graph.graph));
    }
    let names: Vec<String> = kinds.iter().map(|&k| NAMES[k].to_owned()).collect();
    let (places, height) = wrapped(&names, 12.0, canvas.width - 12.0);
    let entries: Vec<(&str, String)> = kinds.iter().map(|&k| CLASSES[k]).zip(names).collect();
    key(&mut svg, &entries, &places, y);
    y += height;

    // Room for the names on the left and the sums on the right.
    let longest = modules.iter().map(|m| width(named(m))).fold(0.0, f64::max);
    let left = if canvas.is_narrow { 12.0 } else { longest.clamp(60.0, 300.0) + 24.0 };
    let many = graph.cases.len() > 1;
    let mut case_names: Vec<String> = graph.cases.iter().map(|c| c.label.clone()).collect();
    let widest = |names: &[String]| names.iter().map(|n| width(n)).fold(0.0, f64::max);
    if many && canvas.width - left - 84.0 - widest(&case_names) < LEAST {
        // Numbers stand for names that leave no room for bars.
        for (i, name) in case_names.iter_mut().enumerate() {
            let text = shortened(&format!("({}) {name}", i + 1), canvas.width - 24.0);
            svg.label(12.0, y + 10.0, "quiet", &text);
            *name = format!("({})", i + 1);
            y += 17.0;
        }
    }
    y += 8.0;
    let right = canvas.width - if many { 84.0 + widest(&case_names) } else { 76.0 };
    let x = Scale::new(most, left, right);
    let (first, step) = (y + 6.0, 6.0 + BAR * graph.cases.len() as f64 + if canvas.is_narrow { 15.0 } else { 0.0 });
    let bottom = first + step * modules.len() as f64;
    let mut ticks = byte_ticks(0, most, if canvas.is_narrow { 3 } else { 5 });
    ticks.retain(|&t| t <= most);
    for tick in ticks {
        svg.line((x.at(tick), y), (x.at(tick), bottom), if tick == 0 { "axis" } else { "grid" });
        svg.label(x.at(tick), bottom + 16.0, if tick == 0 { "tick" } else { "tick mid" }, &bytes_label(tick));
    }
    y = first;
    for module in &modules {
        if canvas.is_narrow {
            svg.label(left, y + 10.0, "halo", &shortened(named(module), canvas.width - 30.0));
            y += 15.0;
        } else {
            let middle = y + BAR * graph.cases.len() as f64 / 2.0 + 4.0;
            svg.label(left - 10.0, middle, "end", &shortened(named(module), left - 24.0));
        }
        for (case, case_name) in case_names.iter().enumerate() {
            let row = find(case, module).cloned().unwrap_or_default();
            bar(&mut svg, id, &x, y, &row, &kinds);
            let sum = human(row.sum());
            let text = if many { format!("{sum}  {case_name}") } else { sum };
            svg.label(x.at(row.sum()) + 5.0, y + BAR - 3.0, if case == 0 { "quiet halo" } else { "halo" }, &text);
            y += BAR;
        }
        y += 6.0;
    }
    let description = format!(
        "One bar per module and plan; gradients are those after the backward pass, activations those between the passes, \
         recomputed and temporaries those at the peak. {}.",
        totals(graph)
    );
    Drawn {
        markup: svg.finish(),
        height: bottom + 28.0,
        title: format!("{}: memory by module", graph.graph),
        description,
    }
}

fn bar(svg: &mut Svg, id: &str, x: &Scale, y: f64, row: &Factors, kinds: &[usize]) {
    let by = of_factors(row);
    let mut from = 0;
    for &kind in kinds.iter().filter(|&&k| by[k] > 0) {
        let (start, end) = (x.at(from), x.at(from + by[kind]));
        rect_of(svg, (start, end), y).attr("class", CLASSES[kind]).open();
        svg.element("title").text(&format!("{}: {} {}", named(&row.module), NAMES[kind], human(by[kind])));
        svg.close();
        if kind == 5 {
            rect_of(svg, (start, end), y)
                .attr("fill", format!("url(#{id}-hatch)"))
                .attr("pointer-events", "none")
                .empty();
        }
        from += by[kind];
    }
}

fn rect_of(svg: &mut Svg, (start, end): (f64, f64), y: f64) -> crate::report::svg::Element<'_> {
    svg.element("rect").rect(start, y, (end - start).max(0.4), BAR - 1.0)
}

/// All modules that hold anything in any case, in the order of the first case, then of the others.
fn modules(graph: &OfGraph) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for f in graph.cases.iter().flat_map(|c| &c.factors.modules) {
        if !all.contains(&f.module) {
            all.push(f.module.clone());
        }
    }
    all
}

/// The name of a module; the model itself has none.
pub(crate) fn named(module: &str) -> &str {
    if module.is_empty() { "(model)" } else { module }
}

fn totals(graph: &OfGraph) -> String {
    let of = |c: &crate::report::data::Case| {
        let total = of_factors(&c.factors.total);
        let parts: Vec<String> =
            (0..7).filter(|&k| total[k] > 0).map(|k| format!("{} {}", NAMES[k], human(total[k]))).collect();
        format!("{}: {}", c.label, parts.join(", "))
    };
    graph.cases.iter().map(of).collect::<Vec<_>>().join("; ")
}
