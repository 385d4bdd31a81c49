//! The forward pass, which recomputations run again.

use super::{Context, Observer, Replay};

impl<O: Observer> Replay<'_, '_, O> {
    pub(super) fn forward(&mut self) {
        let context = Context { region: None, saves: true };
        let end = self.program.operators.len() as u32;
        let regions = self.regions;
        self.range(0, end, &regions.outermost, context);
        self.stop_running(0);
        self.result.after_forward = self.live;
        self.observer.backward_starts();
    }

    /// Runs operators `at..end` with the given regions checkpointed.
    pub(super) fn range(&mut self, mut at: u32, end: u32, regions: &[u32], context: Context) {
        for &r in regions {
            let region = &self.regions.all[r as usize];
            while at < region.start {
                self.operator(at, context, None);
                at += 1;
            }
            self.checkpoint(r, context);
            at = region.end;
        }
        while at < end {
            self.operator(at, context, None);
            at += 1;
        }
    }

    /// Runs a region as a checkpoint: nothing in it is saved, its inputs are.
    pub(super) fn checkpoint(&mut self, r: u32, context: Context) {
        let regions = self.regions;
        let region = &regions.all[r as usize];
        self.hold_inputs(r, context.region);
        self.hold_tuple(r, context.region);
        self.range(region.start, region.end, &region.inner, Context { region: context.region, saves: false });
        if context.region.is_none() && self.plans[r as usize].has_saves {
            self.plans[r as usize].holds_tuple = true;
        } else {
            self.release_tuple(r, context.region);
        }
        let plan = &mut self.plans[r as usize];
        if plan.has_saves && context.saves && !plan.is_over {
            plan.holds_inputs = true;
        } else {
            self.release_inputs(r, context.region);
        }
        // Kept results belong to the first run alone: a recomputation of the outer region makes and drops its own.
        if context.region.is_none() && !region.kept.is_empty() {
            self.plans[r as usize].holds_kept = true;
            if !self.plans[r as usize].has_saves {
                self.release_kept(r);
            }
        }
    }

    pub(super) fn operator(&mut self, o: u32, context: Context, stop: Option<u32>) {
        let program = self.program;
        let step = program.operators[o as usize];
        let level = self.level(context.region);
        let again = context.region.is_some();
        for &s in program.storages(step.casts) {
            // The autocast cache is empty when a recomputation starts.
            if !self.s.running[self.instance(s, level)] {
                self.run(s, level);
                self.moment(o, 0, context);
            }
        }
        let saves =
            if context.saves && !(again && self.s.done[o as usize]) { &program.saves[step.saves.range()] } else { &[] };
        let mut saved = 0;
        let mut ran = false;
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            let k = k as u32;
            saved = self.save(saves, saved, k, context.region);
            if stop == Some(k) {
                self.result.operators += u64::from(ran);
                return;
            }
            let allocs = program.storages(kernel.allocs);
            let kept = self.kept(o, k);
            if kept.is_some() && kept == context.region {
                for &s in allocs {
                    self.hand_over(s);
                }
            } else {
                for &s in allocs {
                    self.run(s, level);
                    if kept.is_some() && !again {
                        self.hold(s, 0);
                    }
                }
                if again {
                    self.observer.ran_again(o, k);
                    ran = true;
                }
            }
            self.moment(o, k, context);
            for &s in program.storages(kernel.frees) {
                self.let_go(s, context.region);
            }
        }
        self.save(saves, saved, step.kernels.range().len() as u32, context.region);
        self.result.operators += u64::from(ran);
        if stop.is_some() {
            return;
        }
        let from = context.region.map_or(0, |r| self.regions.all[r as usize].start);
        for &s in program.storages(step.returns) {
            if program.graph.producer(s).is_some_and(|p| p >= from) {
                self.let_go(s, context.region);
            }
        }
    }

    /// Saves what is due after `k` kernels; returns how many saves are done.
    pub(super) fn save(&mut self, saves: &[(u32, u32)], mut from: usize, k: u32, region: Option<u32>) -> usize {
        while from < saves.len() && saves[from].1 <= k {
            let s = saves[from].0;
            let level = self.level_of(s, region);
            self.hold(s, level);
            from += 1;
        }
        from
    }
}
