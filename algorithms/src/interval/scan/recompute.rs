//! The recomputation of a region, kernel by kernel.

use super::Scanner;

impl Scanner<'_, '_, '_> {
    /// Runs the operator's kernels as a recomputation from `a` does.
    pub(super) fn recompute(&mut self, j: u32) {
        let program = self.p.program;
        let op = &self.p.operators[j as usize];
        let step = &program.operators[j as usize];
        let saves = &program.saves[step.saves.range()];
        if op.is_needy {
            self.confirm();
        }
        let mut kept_at_stop = self.now.kept;
        for &s in program.storages(step.casts) {
            if self.m.running[s as usize] != self.m.stamp {
                self.run(s);
                self.moment();
            }
        }
        let mut partial = self.now.recomputed_if_last;
        let mut due = 0;
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            due = self.save(saves, due, k as u32, j);
            for &s in program.storages(kernel.allocs) {
                self.run(s);
            }
            let running = op.moments[k].running;
            self.now.forward = self.now.forward.max(running + self.now.held_inputs + self.now.kept_alone);
            self.moment();
            if step.last_save.is_some_and(|last| (k as u32) < last) {
                partial = self.now.recomputed_if_last;
                kept_at_stop = self.now.kept;
            }
            for &s in program.storages(kernel.frees) {
                self.let_go(s);
            }
        }
        self.save(saves, due, u32::MAX, j);
        for &s in program.storages(step.returns) {
            if program.graph.producer(s).is_some_and(|made| made >= self.a) {
                self.let_go(s);
            }
        }
        for &s in &op.reads {
            if self.m.input[s as usize] == self.m.stamp && self.p.running_until[s as usize] == j {
                self.now.held_inputs += program.graph.size(s);
            }
        }
        let (saved, saved_to_stop) = self.keep.map_or((0, 0), |k| k.saved[j as usize]);
        if let Some(trigger) = op.nodes.iter().find(|n| n.needs) {
            self.now.found = trigger.at_start;
        }
        if op.is_needy || op.is_saver && self.now.recompute.is_some() {
            self.now.recompute = Some(partial.saturating_add_unsigned(self.now.found));
        }
        if op.is_saver {
            self.now.time_at_stop = self.now.time + op.time_to_last_save - saved_to_stop;
            self.now.kept_at_stop = kept_at_stop;
        }
        if op.is_needy {
            self.now.floor_time = self.now.time_at_stop;
        }
        self.now.time += op.time - saved;
    }

    /// A needy operator follows: what the operators before it have saved is held.
    fn confirm(&mut self) {
        self.now.tentative = 0;
        self.now.recomputed_if_last = self.now.recomputed;
        for s in self.tentative.drain(..) {
            self.m.tentative[s as usize] = 0;
        }
    }

    /// Recomputed bytes alive, less what is kept so far: what is kept is alive whether it has been handed over or not.
    fn moment(&mut self) {
        let now = &mut self.now;
        let alive = now.live.cast_signed() - now.kept.cast_signed();
        now.recomputed = now.recomputed.max(alive);
        now.recomputed_if_last = now.recomputed_if_last.max(alive - now.tentative.cast_signed());
    }

    fn is_kept(&self, s: u32) -> bool {
        self.keep.is_some_and(|k| k.is_kept[s as usize])
    }

    /// Saves what is due after `k` kernels of operator `j`.
    fn save(&mut self, saves: &[(u32, u32)], mut due: usize, k: u32, j: u32) -> usize {
        while due < saves.len() && saves[due].1 <= k {
            let s = saves[due].0;
            if self.is_own(s) && self.m.saved[s as usize] != self.m.stamp {
                self.m.saved[s as usize] = self.m.stamp;
                self.m.saver[s as usize] = j;
                let size = self.p.program.graph.size(s);
                self.now.saved += size;
                let is_tentative = !self.p.operators[j as usize].is_needy;
                if is_tentative {
                    self.m.tentative[s as usize] = self.m.stamp;
                    self.tentative.push(s);
                }
                // The running code may have let go of a result before it is saved; it is alive all the same.
                if self.m.running[s as usize] != self.m.stamp {
                    self.now.live += size;
                    self.now.tentative += if is_tentative { size } else { 0 };
                }
            }
            due += 1;
        }
        due
    }

    /// Does a recomputation from `a` make its own instance of the storage?
    pub(super) fn is_own(&self, s: u32) -> bool {
        let program = self.p.program;
        program.is_cached_cast[s as usize] || program.graph.producer(s).is_some_and(|made| made >= self.a)
    }

    fn run(&mut self, s: u32) {
        self.m.running[s as usize] = self.m.stamp;
        let size = self.p.program.graph.size(s);
        self.now.live += size;
        if self.is_kept(s) {
            self.now.kept += size;
            self.out.kept.push(s);
        }
    }

    fn let_go(&mut self, s: u32) {
        if self.m.running[s as usize] == self.m.stamp {
            self.m.running[s as usize] = 0;
            if self.is_kept(s) {
                self.now.kept_alone += self.p.program.graph.size(s);
            }
            let size = self.p.program.graph.size(s);
            if self.m.saved[s as usize] != self.m.stamp {
                self.now.live -= size;
            } else if self.m.tentative[s as usize] == self.m.stamp {
                self.now.tentative += size;
            }
        }
    }
}
