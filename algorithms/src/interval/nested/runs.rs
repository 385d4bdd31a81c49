//! What running a region adds to memory while it is recomputed, whatever else is held.

use rayon::prelude::*;

use super::super::profile::{FOREVER, Profile};
use super::network::Source;

/// What a run from the start of a region adds to memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Bytes that were made since the start and are still needed, before the operator runs.
    pub before: u64,
    /// Largest bytes made since the start and still needed, up to the operator.
    pub most: u64,
}

/// What a recomputation adds while it runs one operator, whatever region it belongs to.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// Largest bytes of what the operator makes, with what it saves of it if it saves.
    pub plain: u64,
    pub plain_at_stop: u64,
    pub quiet: u64,
    /// Bytes it makes that later operators read.
    pub stays: u64,
}

/// What every operator adds to a recomputation while it runs.
pub(super) fn own(profile: &Profile<'_, '_>) -> Vec<Own> {
    let program = profile.program;
    let graph = program.graph;
    let mut own = Vec::with_capacity(profile.operators.len());
    let mut is_running = vec![false; graph.storages().len()];
    let mut is_saved = vec![false; graph.storages().len()];
    for (o, step) in program.operators.iter().enumerate() {
        let casts: u64 = program.storages(step.casts).iter().map(|&s| graph.size(s)).sum();
        let saves = &program.saves[step.saves.range()];
        let (mut running, mut saved, mut due) = (casts, 0, 0);
        let mut of = Own { plain: casts, plain_at_stop: casts, quiet: casts, stays: 0 };
        let mut made: Vec<u32> = Vec::new();
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            for &s in program.storages(kernel.allocs) {
                running += graph.size(s);
                is_running[s as usize] = true;
                made.push(s);
            }
            while due < saves.len() && saves[due].1 as usize <= k {
                is_saved[saves[due].0 as usize] = true;
                due += 1;
            }
            // Saved, and no longer held by the running code.
            saved = saved.max(
                made.iter().filter(|&&s| is_saved[s as usize] && !is_running[s as usize]).map(|&s| graph.size(s)).sum(),
            );
            of.plain = of.plain.max(running + saved);
            of.quiet = of.quiet.max(running);
            if step.last_save.is_some_and(|last| (k as u32) < last) {
                of.plain_at_stop = of.plain;
            }
            for &s in program.storages(kernel.frees) {
                if std::mem::take(&mut is_running[s as usize]) {
                    running -= graph.size(s);
                }
            }
        }
        for &s in &made {
            let until = profile.running_until[s as usize];
            if is_running[s as usize] && until > o as u32 {
                of.stays += graph.size(s);
            }
            is_running[s as usize] = false;
        }
        for s in saves {
            is_saved[s.0 as usize] = false;
        }
        own.push(of);
    }
    own
}

/// What runs from all starts of regions add, up to the last end of a region from there.
pub(super) fn runs(source: &Source<'_, '_, '_>, own: &[Own]) -> Vec<Vec<Run>> {
    let profile = source.profile;
    let graph = profile.program.graph;
    let mut ending: Vec<Vec<u32>> = vec![Vec::new(); profile.operators.len()];
    for (s, &until) in profile.running_until.iter().enumerate() {
        let made = graph.producer(s as u32);
        if until != FOREVER && made.is_some_and(|made| made < until) && !profile.always[s] {
            ending[until as usize].push(s as u32);
        }
    }
    (0..source.locals.len())
        .into_par_iter()
        .map(|c| {
            let inner = source.locals[c].regions.last().map_or(c, |r| r.end as usize);
            let outer = source.outer.ends[c].last().map_or(c, |&end| end as usize);
            let end = inner.max(outer);
            let mut run = Run { before: 0, most: 0 };
            let mut all = Vec::with_capacity(end - c);
            for t in c..end {
                run.most = run.most.max(run.before + own[t].quiet);
                all.push(run);
                let gone = ending[t].iter().filter(|&&s| graph.producer(s).is_some_and(|made| made as usize >= c));
                run.before += own[t].stays;
                run.before -= gone.map(|&s| graph.size(s)).sum::<u64>();
            }
            all
        })
        .collect()
}
