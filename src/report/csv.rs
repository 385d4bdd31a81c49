//! The data behind one picture as comma-separated values (RFC 4180), sizes in bytes.

use csv::Writer;
use remat::algorithms::plan::Status;
use remat::algorithms::predict::{ByKind, Factors, Phase};

use super::data::{Case, OfGraph, Point, Report};
use crate::args::Chart;

/// One table with a header; rows of all graphs and plans below each other.
pub(crate) fn table(report: &Report, chart: Chart) -> Result<String, csv::Error> {
    let mut rows = Rows(Writer::from_writer(Vec::new()));
    match chart {
        Chart::Timeline => rows.timeline(report)?,
        Chart::Frontier => rows.frontier(report)?,
        Chart::Factors => rows.factors(report)?,
        Chart::Regions => rows.regions(report)?,
    }
    // Everything written was text.
    let bytes = rows.0.into_inner().map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Rows(Writer<Vec<u8>>);

impl Rows {
    fn row<'a>(&mut self, texts: &[&'a str], numbers: impl IntoIterator<Item = &'a str>) -> Result<(), csv::Error> {
        self.0.write_record(texts.iter().copied().chain(numbers))
    }

    fn timeline(&mut self, report: &Report) -> Result<(), csv::Error> {
        self.row(
            &["graph", "plan", "phase", "region", "operator", "module"],
            "start_ns,end_ns,live,parameters,gradients,optimizer_states,buffers,inputs,saved,recomputed,temporaries"
                .split(','),
        )?;
        for (graph, case) in cases(report) {
            for timed in case.timeline.timed() {
                let when = &timed.entry.when;
                let operator = when.operator.and_then(|o| graph.operators.get(o as usize));
                let region = when.region.map_or_else(String::new, |r| r.to_string());
                let [name, module] =
                    operator.map_or(["", ""], |operator| [operator.name.as_str(), operator.module.as_str()]);
                let ByKind { parameters, gradients, optimizer_states, buffers, inputs, saved, recomputed, temporaries } =
                    timed.entry.by_kind;
                let numbers = [timed.start_ns, timed.end_ns, timed.entry.live, parameters, gradients]
                    .into_iter()
                    .chain([optimizer_states, buffers, inputs, saved, recomputed, temporaries]);
                let texts = [&graph.graph, &case.label, phase(when.phase), &region, name, module];
                self.row(&texts, numbers.map(|n| n.to_string()).collect::<Vec<_>>().iter().map(String::as_str))?;
            }
        }
        Ok(())
    }

    fn frontier(&mut self, report: &Report) -> Result<(), csv::Error> {
        self.row(&["graph", "series", "label"], "peak,seconds,overhead,regions,status".split(','))?;
        for graph in &report.graphs {
            for point in graph.frontier.iter().flatten() {
                self.point(&graph.graph, "frontier", point)?;
            }
            for point in &graph.algorithms {
                self.point(&graph.graph, "algorithm", point)?;
            }
            for case in &graph.cases {
                self.point(&graph.graph, "shown", &case.point())?;
            }
        }
        Ok(())
    }

    fn point(&mut self, graph: &str, series: &str, point: &Point) -> Result<(), csv::Error> {
        let status = if point.status == Status::Optimal { "optimal" } else { "feasible" };
        let numbers = [point.peak.to_string(), point.seconds.to_string(), point.overhead.to_string()];
        let regions = point.regions.to_string();
        let rest = numbers.iter().map(String::as_str).chain([regions.as_str(), status]);
        self.row(&[graph, series, &point.label], rest)
    }

    fn factors(&mut self, report: &Report) -> Result<(), csv::Error> {
        self.row(
            &["graph", "plan", "module"],
            "trainable_parameters,frozen_parameters,buffers,inputs,gradients,optimizer_states,activations,recomputed,\
             temporaries"
                .split(','),
        )?;
        for (graph, case) in cases(report) {
            for f in &case.factors.modules {
                let Factors { trainable_parameters, frozen_parameters, buffers, inputs, gradients, .. } = f;
                let numbers = [trainable_parameters, frozen_parameters, buffers, inputs, gradients]
                    .into_iter()
                    .chain([&f.optimizer_states, &f.activations, &f.recomputed, &f.temporaries]);
                let numbers: Vec<String> = numbers.map(u64::to_string).collect();
                self.row(&[&graph.graph, &case.label, &f.module], numbers.iter().map(String::as_str))?;
            }
        }
        Ok(())
    }

    fn regions(&mut self, report: &Report) -> Result<(), csv::Error> {
        self.row(
            &["graph", "plan", "region", "parent", "modules"],
            "start,end,depth,kept_kernels,saved,peak_without,ns,kernels".split(','),
        )?;
        for (graph, case) in cases(report) {
            for (i, r) in case.regions.iter().enumerate() {
                let parent = r.parent.map_or_else(String::new, |p| p.to_string());
                let saved = r.saved.map_or_else(String::new, |s| s.to_string());
                let numbers = [
                    r.start.to_string(),
                    r.end.to_string(),
                    r.depth.to_string(),
                    r.kept.to_string(),
                    saved,
                    r.peak_without.to_string(),
                    r.ns.to_string(),
                    r.kernels.to_string(),
                ];
                let texts = [&graph.graph, &case.label, &i.to_string(), &parent, &r.modules.join(" ")];
                self.row(&texts.map(String::as_str), numbers.iter().map(String::as_str))?;
            }
        }
        Ok(())
    }
}

fn cases(report: &Report) -> impl Iterator<Item = (&OfGraph, &Case)> {
    report.graphs.iter().flat_map(|graph| graph.cases.iter().map(move |case| (graph, case)))
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Forward => "forward",
        Phase::Recompute => "recompute",
        Phase::Backward => "backward",
        Phase::Optimizer => "optimizer",
    }
}
