//! Rotor on long chains, against the time of a table over memory slots.

use std::fmt::Write;
use std::time::Instant;

use remat::algorithms::rotor::Solver;

use crate::neighbours::time;
use chains::residual;

#[path = "../../benches/stages/mod.rs"]
mod chains;

pub(crate) fn section() -> String {
    let mut out = String::from(
        "## Rotor on long chains\n\n\
         Beaumont et al.'s program tabulates memory in slots, 500 in practice, and rounds every size up to whole slots. A C \
         implementation of it takes 13 s for 200 stages and 64 s for 339 on a machine with 2 cores (a published figure, whatever \
         the budget). remat's own implementation has no slots and is exact to the byte. The chains are three groups of equal blocks; \
         the budget is a multiple of the least one that has a schedule, or a share of what keeps everything.\n\n\
         | stages | budget | of keeping everything | recomputed forward time | expansions | solved in | slots in C |\n\
         |---:|---|---:|---:|---:|---:|---:|\n",
    );
    for (count, c) in [(100, "-"), (200, "13 s"), (339, "64 s")] {
        let Some(stages) = residual(count) else { continue };
        let tables = Solver::new(&stages);
        let (least, full) = (tables.least_budget(), tables.full_budget());
        let budgets = [
            ("1.3 x least", least / 10 * 13),
            ("2 x least", least * 2),
            ("4 x least", least * 4),
            ("10 % of all", full / 10),
            ("25 % of all", full / 4),
            ("50 % of all", full / 2),
        ];
        for (name, budget) in budgets {
            let started = Instant::now();
            let Some(found) = Solver::new(&stages).solve(budget) else { continue };
            let seconds = started.elapsed().as_secs_f64();
            let share = |part: u64, all: u64| 100.0 * part as f64 / all as f64;
            let forward = stages.time(1, count + 1);
            let row = writeln!(
                out,
                "| {count} | {name} | {:.1} % | {:.1} % | {} | {} | {c} |",
                share(budget, full),
                share(found.time, forward),
                found.stats.evaluations,
                time(seconds)
            );
            debug_assert!(row.is_ok(), "strings take all that is written");
        }
    }
    out
}
