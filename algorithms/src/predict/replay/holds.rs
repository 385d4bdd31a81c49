//! Who holds which instance of a storage, and what is alive.

use super::{Context, Moment, Observer, Replay};

impl<O: Observer> Replay<'_, '_, O> {
    pub(super) fn moment(&mut self, operator: u32, kernel: u32, context: Context) {
        self.peak(match context.region {
            Some(region) => Moment::Recompute { region, operator, kernel },
            None => Moment::Forward { operator, kernel },
        });
    }

    pub(super) fn peak(&mut self, moment: Moment) {
        let peak = if self.in_backward { &mut self.result.peak_backward } else { &mut self.result.peak_forward };
        *peak = (*peak).max(self.live);
        self.observer.moment(moment, self.live);
    }

    pub(super) fn level(&self, region: Option<u32>) -> u32 {
        region.map_or(0, |r| self.regions.all[r as usize].depth)
    }

    /// Instance of a storage that operators of `region` see once it is recomputed.
    pub(super) fn level_of(&self, s: u32, mut region: Option<u32>) -> u32 {
        if self.program.is_cached_cast[s as usize] {
            return self.level(region);
        }
        let made = self.program.graph.producer(s).unwrap_or(0);
        while let Some(r) = region {
            if self.s.kept_by[s as usize] == Some(r) || self.plans[r as usize].tuple.contains(&s) {
                return 0;
            }
            let at = &self.regions.all[r as usize];
            if made >= at.start {
                return at.depth;
            }
            region = at.parent;
        }
        0
    }

    pub(super) fn instance(&self, s: u32, level: u32) -> usize {
        level as usize * self.storages + s as usize
    }

    /// Allocates an instance; the running code holds it.
    pub(super) fn run(&mut self, s: u32, level: u32) {
        self.hold(s, level);
        let at = self.instance(s, level);
        self.s.running[at] = true;
        self.s.running_list.push((s, level));
    }

    /// The running code drops a storage of its own.
    pub(super) fn let_go(&mut self, s: u32, region: Option<u32>) {
        let level = self.level_of(s, region);
        let at = self.instance(s, level);
        if std::mem::take(&mut self.s.running[at]) {
            self.unhold(s, level);
        }
    }

    /// The running code returns and drops all it still holds.
    pub(super) fn stop_running(&mut self, from: usize) {
        while self.s.running_list.len() > from {
            let Some((s, level)) = self.s.running_list.pop() else { break };
            let at = self.instance(s, level);
            let is_loss = !self.in_backward && self.program.held_by_caller.binary_search(&s).is_ok();
            if std::mem::take(&mut self.s.running[at]) && !is_loss {
                self.unhold(s, level);
            }
        }
    }

    pub(super) fn hold(&mut self, s: u32, level: u32) {
        let at = self.instance(s, level);
        if self.s.holds[at] == 0 {
            self.live += self.program.graph.size(s);
            self.observer.born(s, level);
        }
        self.s.holds[at] += 1;
    }

    pub(super) fn unhold(&mut self, s: u32, level: u32) {
        let at = self.instance(s, level);
        debug_assert!(self.s.holds[at] > 0, "storage {s} at level {level} is released twice");
        self.s.holds[at] -= 1;
        if self.s.holds[at] == 0 {
            self.live -= self.program.graph.size(s);
            self.observer.died(s, level);
        }
    }
}
