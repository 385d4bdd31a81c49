//! `remat zoo`: the built-in steps.

use remat::algorithms::Regions;
use remat::algorithms::predict::{Predictor, Scratch};
use remat::graphs::zoo;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{output, table};

#[derive(Serialize)]
struct Row {
    name: &'static str,
    about: &'static str,
    operators: usize,
    #[serde(rename = "static")]
    static_bytes: u64,
    peak: u64,
}

pub(crate) fn run(format: Format) -> Result<(), Failure> {
    let (progress, all) = (Progress::new("replaying the steps"), zoo::entries().len() as u64);
    let entries = (0..).zip(zoo::entries());
    let rows =
        entries.inspect(|(i, _)| progress.at(*i, all)).map(|(_, entry)| row(entry)).collect::<Result<Vec<_>, _>>()?;
    drop(progress);
    match format {
        Format::Json => output::data(&output::json(&rows)?),
        Format::Table => {
            let mut t = table::wide(&["name", "operators", "static", "peak", "about"], "lrrrl");
            for r in rows {
                let [fixed, peak] = [r.static_bytes, r.peak].map(remat::bytes::human);
                table::row(&mut t, [r.name.into(), r.operators.to_string(), fixed, peak, r.about.into()]);
            }
            output::data(&table::text(&t))
        }
    }
}

fn row(entry: &'static zoo::Entry) -> Result<Row, Failure> {
    let graph = zoo::load(entry.name).map_err(|e| Failure::wrong(e.to_string()))?;
    let peaks = Predictor::new(&graph).peaks(&Regions::default(), None, &mut Scratch::default());
    Ok(Row {
        name: entry.name,
        about: entry.about,
        operators: graph.operators().len(),
        static_bytes: peaks.static_bytes,
        peak: peaks.peak,
    })
}
