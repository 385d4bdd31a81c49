//! Replays a step under a plan, allocation by allocation.
//!
//! Every storage instance has a count of who holds it: the running code, autograd, a region for its inputs, a
//! selective region for what it keeps. It is released when the count falls to zero. A recomputation makes new
//! instances: instance level 0 is the forward pass, level `d` a recomputation of a region of depth `d`.

mod backward;
mod forward;
mod holds;
mod observer;
mod regions;

pub use observer::{Moment, Observer, Replayed, Unobserved};

use super::program::Program;
use crate::plan::Regions;
use regions::RegionPlan;

/// Reusable memory of replays over one program.
#[derive(Debug, Default)]
pub struct Scratch {
    holds: Vec<u32>,
    running: Vec<bool>,
    running_list: Vec<(u32, u32)>,
    done: Vec<bool>,
    region_of: Vec<Option<u32>>,
    kept_by: Vec<Option<u32>>,
}

/// Who is running operators.
#[derive(Clone, Copy)]
struct Context {
    /// Region being recomputed; absent in the forward pass.
    region: Option<u32>,
    /// Does autograd save here? Not inside a region of the forward pass.
    saves: bool,
}

/// Replays a step. Time O(kernels run), memory O(storages × depth); no allocation per event.
pub fn replay<O: Observer>(
    program: &Program<'_>,
    regions: &Regions,
    scratch: &mut Scratch,
    observer: &mut O,
) -> Replayed {
    let mut r = Replay::new(program, regions, scratch, observer);
    r.forward();
    r.backward();
    r.result
}

struct Replay<'a, 'g, O> {
    program: &'a Program<'g>,
    regions: &'a Regions,
    plans: Vec<RegionPlan>,
    s: &'a mut Scratch,
    observer: &'a mut O,
    storages: usize,
    live: u64,
    in_backward: bool,
    result: Replayed,
}

impl<'a, 'g, O: Observer> Replay<'a, 'g, O> {
    fn new(program: &'a Program<'g>, regions: &'a Regions, s: &'a mut Scratch, observer: &'a mut O) -> Self {
        let graph = program.graph;
        let storages = graph.storages().len();
        let operators = graph.operators().len();
        let instances = storages * (regions.depth as usize + 1);
        refill(&mut s.holds, instances, 0);
        refill(&mut s.running, instances, false);
        refill(&mut s.done, operators, false);
        refill(&mut s.region_of, operators, None);
        refill(&mut s.kept_by, storages, None);
        s.running_list.clear();
        // Outer regions come before inner ones, so the innermost wins.
        for (i, r) in regions.all.iter().enumerate() {
            s.region_of[r.start as usize..r.end as usize].fill(Some(i as u32));
            for &(o, k) in &r.kept {
                for &w in &graph.operators()[o as usize].kernels[k as usize].writes {
                    s.kept_by[w as usize] = Some(i as u32);
                }
            }
        }
        let live = graph.static_bytes() + graph.input_bytes();
        let plans = vec![RegionPlan::default(); regions.all.len()];
        let mut r = Self {
            program,
            regions,
            plans,
            s,
            observer,
            storages,
            live,
            in_backward: false,
            result: Replayed { peak_forward: live, peak_backward: 0, ..Replayed::default() },
        };
        r.prepare();
        r
    }
}

fn refill<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    list.clear();
    list.resize(len, value);
}
