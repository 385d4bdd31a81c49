//! Life of every allocation: from the tick that makes it to the last tick at which something holds it.

use super::error::{CheckError, Step};
use super::facts::Facts;
use super::schedule::{Activity, NEVER, Schedule, Tick};
use super::tree::Tree;

/// Life of one allocation, both ends included. `birth` is [`NEVER`] for what is not allocated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) birth: Tick,
    pub(super) death: Tick,
}

/// An allocation: activity and storage.
pub(super) type Instance = (usize, u32);

/// Lives of all activations, made once in the forward pass and again in each recomputation.
pub(super) struct Lives<'a> {
    facts: &'a Facts<'a>,
    tree: &'a Tree,
    line: &'a Schedule,
    /// Per region, the tick at which the last saved tensor that refers to it, directly or through regions inside, is
    /// released.
    done: Vec<Tick>,
    /// Per activity, by order of production.
    pub(super) all: Vec<Vec<Life>>,
    /// Per recomputation, the casts of parameters that it makes although the forward pass found them in the autocast
    /// cache, by storage.
    recasts: Vec<Vec<(u32, Life)>>,
}

impl<'a> Lives<'a> {
    /// Time O(depth x kernels x log), memory O(depth x kernels).
    pub(super) fn new(facts: &'a Facts<'a>, tree: &'a Tree, line: &'a Schedule) -> Result<Self, CheckError> {
        let mut done: Vec<Tick> = vec![0; tree.scopes.len()];
        for (scope, releases) in tree.innermost.iter().zip(&facts.releases) {
            if let &Some(s) = scope {
                let released = releases.iter().map(|&(_, release)| line.released(release, false));
                done[s] = released.max().unwrap_or(0).max(done[s]);
            }
        }
        // Children follow their parents.
        for (s, region) in tree.scopes.iter().enumerate().rev() {
            if let Some(p) = region.parent.filter(|_| !region.inputs.is_empty()) {
                done[p] = done[p].max(done[s]);
            }
        }
        let activities = line.activities.len();
        let (all, recasts) = (Vec::with_capacity(activities), Vec::with_capacity(activities));
        let mut lives = Self { facts, tree, line, done, all, recasts };
        for a in 0..activities {
            let made = lives.made(a);
            lives.all.push(made);
            let recast = lives.recast(a);
            lives.recasts.push(recast);
        }
        for &s in &facts.loss_result {
            lives.hold((0, s), line.end);
        }
        lives.hold_kept();
        lives.hold_inputs()?;
        for a in 0..line.activities.len() {
            lives.hold_saved(a)?;
        }
        Ok(lives)
    }

    /// The allocation that the step `(operator, kernel)` of an activity finds under a storage: its own, or that of the
    /// next activity around which made it; for kept results and through kept views that of the forward pass.
    pub(super) fn resolve(&self, activity: usize, storage: u32, step: (u32, u32)) -> Option<Instance> {
        let writer = self.facts.writer[storage as usize]?;
        if self.recasts[activity].binary_search_by_key(&storage, |r| r.0).is_ok() {
            return Some((activity, storage));
        }
        let mut scope = self.line.activities[activity].scope;
        let mut step = step;
        while let Some(s) = scope {
            let region = &self.tree.scopes[s];
            let in_tuple =
                region.tuples.binary_search(&storage).is_ok() && region.inputs.binary_search(&storage).is_err();
            if in_tuple || self.tree.view(s, storage, step).is_some() {
                return Some((0, storage));
            }
            step = (region.start, 0);
            if (region.start..region.end).contains(&writer.0) {
                if self.tree.keeps(s, writer) {
                    return Some((0, storage));
                }
                return self.line.recomputed[s].map(|a| (a, storage));
            }
            scope = region.parent;
        }
        Some((0, storage))
    }

    pub(super) fn life(&self, (activity, storage): Instance) -> Option<&Life> {
        let first = self.facts.ranks[self.line.activities[activity].start as usize];
        let life = match self.facts.rank[storage as usize].checked_sub(first) {
            Some(at) => self.all[activity].get(at)?,
            None => &self.recasts[activity].iter().find(|r| r.0 == storage)?.1,
        };
        Some(life).filter(|l| l.birth != NEVER)
    }

    /// Is the allocation that a step needs alive at its tick?
    pub(super) fn require(
        &self,
        activity: usize,
        storage: u32,
        (position, at): ((u32, u32), Tick),
        step: Step,
    ) -> Result<Instance, CheckError> {
        let instance = self.resolve(activity, storage, position).ok_or(CheckError::Missing { step, storage })?;
        match self.life(instance) {
            Some(life) if life.birth < at => {
                if at <= life.death {
                    Ok(instance)
                } else {
                    Err(CheckError::Dead { step, storage })
                }
            }
            _ => Err(CheckError::Missing { step, storage }),
        }
    }

    fn hold(&mut self, (activity, storage): Instance, until: Tick) {
        let first = self.facts.ranks[self.line.activities[activity].start as usize];
        let life = match self.facts.rank[storage as usize].checked_sub(first) {
            Some(at) => self.all[activity].get_mut(at),
            None => self.recasts[activity].iter_mut().find(|r| r.0 == storage).map(|r| &mut r.1),
        };
        if let Some(life) = life.filter(|l| l.birth != NEVER) {
            life.death = life.death.max(until);
        }
    }

    /// What the running code of an activity makes and holds.
    fn made(&self, a: usize) -> Vec<Life> {
        let (facts, activity) = (self.facts, &self.line.activities[a]);
        let first = facts.ranks[activity.start as usize];
        let mut lives = vec![Life { birth: NEVER, death: 0 }; facts.ranks[activity.end as usize] - first];
        for o in activity.start..activity.end {
            let kernels = &facts.trace.operators[o as usize].kernels;
            for k in 0..activity.reached(facts, o) {
                if activity.scope.is_some_and(|s| self.tree.keeps(s, (o, k))) {
                    continue;
                }
                let birth = activity.kernel_at(facts, (o, k));
                for &s in &kernels[k as usize].writes {
                    let death = birth.max(self.code_end(activity, s, (o, k)));
                    lives[facts.rank[s as usize] - first] = Life { birth, death };
                }
            }
        }
        lives
    }

    /// Casts that a recomputation makes when it calls the first operator that reads them: its autocast cache starts empty.
    fn recast(&self, a: usize) -> Vec<(u32, Life)> {
        let (facts, activity) = (self.facts, &self.line.activities[a]);
        let mut made: Vec<(u32, Life)> = Vec::new();
        for o in activity.start..activity.end {
            let birth = activity.called_at(o);
            let kernels = facts.trace.operators[o as usize].kernels.iter().filter(|_| birth != NEVER);
            for &s in kernels.flat_map(|k| &k.reads) {
                let is_before = facts.writer[s as usize].is_some_and(|w| w.0 < activity.start);
                if is_before && facts.cached_cast[s as usize] && made.iter().all(|m| m.0 != s) {
                    made.push((s, Life { birth, death: activity.ends }));
                }
            }
        }
        made.sort_unstable_by_key(|m| m.0);
        made
    }

    /// Until when the running code of an activity holds the result of a kernel, casts by autocast included.
    fn code_end(&self, activity: &Activity, storage: u32, at: (u32, u32)) -> Tick {
        if self.facts.cached_cast[storage as usize] {
            return activity.ends;
        }
        let cast = if self.facts.is_input_cast(at.0, at.1) { activity.returns_at(self.facts, at.0) } else { 0 };
        let last = self.facts.last[storage as usize];
        // Behind a kept view that its operator returns, nobody reads the result itself.
        let view = activity.scope.and_then(|s| self.tree.view(s, storage, (u32::MAX, 0)));
        let last = view.map_or(last, |v| last.map(|l| l.min(v.at.0)));
        cast.max(self.frame_end(activity, storage, at, last))
    }

    /// Until when the running code holds a storage made by the kernel `(operator, kernel)` of the activity and read
    /// for the last time by the operator `last`.
    fn frame_end(&self, activity: &Activity, storage: u32, (operator, kernel): (u32, u32), last: Option<u32>) -> Tick {
        let facts = self.facts;
        let Some(last) = last.filter(|&l| l >= operator) else { return 0 };
        if last == operator {
            let kernels = &facts.trace.operators[operator as usize].kernels;
            let reads = |k: &usize| kernels[*k].reads.contains(&storage) || kernels[*k].mutates.contains(&storage);
            let reader = (kernel as usize + 1..kernels.len()).rev().find(reads).map(|k| k as u32);
            // What is to be saved after some kernels is held while they run.
            let saves = facts.trace.operators[operator as usize].saves.iter().filter(|s| s.0 == storage);
            let held = saves.filter_map(|s| s.1.checked_sub(1)).max().max(reader);
            return held.map_or(0, |k| activity.kernel_at(facts, (operator, k)));
        }
        if last >= activity.end {
            return activity.ends;
        }
        let mut body = activity.scope;
        loop {
            match self.tree.child_at(body, last) {
                None => return activity.returns_at(facts, last),
                Some(child) if self.tree.scopes[child].start <= operator => body = Some(child),
                Some(child) => return activity.frame(child).map_or(activity.ends, |f| f.1),
            }
        }
    }

    /// Region inputs: of an outermost region from the forward pass on until its backward is over; of an inner one from
    /// its entry in the recomputation around it until its own recomputation is done.
    fn hold_inputs(&mut self) -> Result<(), CheckError> {
        for s in (0..self.tree.scopes.len()).filter(|&s| self.tree.scopes[s].anchored) {
            let region = &self.tree.scopes[s];
            let own = self.line.recomputed[s];
            let (from, until) = match region.parent {
                None => (Some(0), self.done[s]),
                Some(p) => {
                    let from = self.line.recomputed[p].filter(|&a| self.line.activities[a].frame(s).is_some());
                    (from, own.map_or_else(|| self.done[s], |a| self.line.activities[a].ends))
                }
            };
            let step = Step::Enter { start: region.start, end: region.end };
            for &storage in region.inputs.iter().filter(|&&i| self.facts.writer[i as usize].is_some()) {
                // The region around is not recomputed, so this one must not be.
                let Some(from) = from else {
                    own.map_or(Ok(()), |_| Err(CheckError::Missing { step, storage }))?;
                    continue;
                };
                let Some((entry, _)) = self.line.activities[from].frame(s) else { continue };
                let instance = self.require(from, storage, ((region.start, 0), entry), step)?;
                self.hold(instance, until);
            }
        }
        Ok(())
    }

    /// Kept results: from the forward pass until the recomputation reaches them, then as its own results; until the
    /// region's backward is over if it never does; until the region returns if nothing refers to it. A kept view holds
    /// its storage in the same way.
    fn hold_kept(&mut self) {
        for s in 0..self.tree.scopes.len() {
            let region = &self.tree.scopes[s];
            for &(o, k) in &region.kept {
                for &storage in &self.facts.trace.operators[o as usize].kernels[k as usize].writes {
                    self.hold_cached(s, storage, (o, k), |lives, activity| lives.code_end(activity, storage, (o, k)));
                }
            }
            for &storage in &region.tuples {
                let frame = |line: &Schedule, a: usize| line.activities[a].frame(s).map_or(0, |f| f.1);
                self.hold((0, storage), if region.anchored { self.done[s] } else { frame(self.line, 0) });
                self.hold_again(s, storage, (region.start, 0));
            }
            for &view in &region.views {
                self.hold_cached(s, view.storage, view.at, |lives, activity| {
                    let last = lives.facts.last[view.storage as usize].filter(|_| view.returned);
                    let returns = activity.returns_at(lives.facts, view.at.0);
                    returns.max(lives.frame_end(activity, view.storage, view.at, last))
                });
            }
        }
    }

    fn hold_cached(&mut self, s: usize, storage: u32, (o, k): (u32, u32), code_end: impl Fn(&Self, &Activity) -> Tick) {
        let (line, region) = (self.line, &self.tree.scopes[s]);
        let until = match line.recomputed[s].map(|a| &line.activities[a]) {
            _ if !region.anchored => line.activities[0].frame(s).map_or(0, |f| f.1),
            Some(activity) if k < activity.reached(self.facts, o) => {
                activity.kernel_at(self.facts, (o, k)).max(code_end(self, activity))
            }
            _ => self.done[s],
        };
        self.hold((0, storage), until);
        self.hold_again(s, storage, (o, k));
    }

    /// Recomputations around a region run it once more, and hold once more what it keeps or takes as a tuple.
    fn hold_again(&mut self, s: usize, storage: u32, at: (u32, u32)) {
        let (line, region) = (self.line, &self.tree.scopes[s]);
        let mut around = region.parent;
        while let Some(p) = around {
            if let Some((a, (_, returns))) = line.recomputed[p].and_then(|a| Some((a, line.activities[a].frame(s)?))) {
                let until = if region.anchored { line.activities[a].ends } else { returns };
                if let Some(instance) = self.resolve(a, storage, at) {
                    self.hold(instance, until);
                }
            }
            around = self.tree.scopes[p].parent;
        }
    }

    /// What autograd saves while an activity runs: in the forward pass outside regions, in a recomputation for the
    /// region's own operators.
    fn hold_saved(&mut self, a: usize) -> Result<(), CheckError> {
        let (facts, activity) = (self.facts, &self.line.activities[a]);
        for o in activity.start..activity.end {
            if activity.called_at(o) == NEVER || self.tree.innermost[o as usize] != activity.scope {
                continue;
            }
            for &(storage, after) in &facts.trace.operators[o as usize].saves {
                let Some((maker, _)) = facts.writer[storage as usize] else { continue };
                if after > activity.reached(facts, o) {
                    continue;
                }
                let releases = &facts.releases[o as usize];
                let Ok(i) = releases.binary_search_by_key(&storage, |r| r.0) else { continue };
                let until = self.line.released(releases[i].1, activity.scope.is_some());
                // What an operator makes for itself may be read for the last time before it is saved.
                let at = activity.called_at(o) + 1;
                let instance = if maker == o {
                    self.resolve(a, storage, (o, after))
                        .ok_or(CheckError::Missing { step: Step::Save { operator: o, after }, storage })?
                } else {
                    self.require(a, storage, ((o, after), at), Step::Save { operator: o, after })?
                };
                self.hold(instance, until);
            }
        }
        Ok(())
    }

    /// All allocations of the forward pass and of recomputations: birth, death and bytes.
    pub(super) fn allocations(&self) -> Vec<(Tick, Tick, u64)> {
        let mut sizes = vec![0; self.facts.ranks.last().copied().unwrap_or(0)];
        for (&rank, &size) in self.facts.rank.iter().zip(&self.facts.size).filter(|r| *r.0 != usize::MAX) {
            sizes[rank] = size;
        }
        let mut all = Vec::new();
        for (activity, lives) in self.line.activities.iter().zip(&self.all) {
            let sizes = &sizes[self.facts.ranks[activity.start as usize]..];
            let made = lives.iter().zip(sizes).filter(|(l, _)| l.birth != NEVER);
            all.extend(made.map(|(l, &size)| (l.birth, l.death, size)));
        }
        let recasts = self.recasts.iter().flatten();
        all.extend(recasts.map(|(s, l)| (l.birth, l.death, self.facts.size[*s as usize])));
        all
    }
}
