//! Which storages an earlier step may already hold when a later one wants them, as bit sets.

use super::profile::Profile;

/// Bit positions for storages that cross cuts: two storages that cross a common cut have different slots.
#[derive(Debug)]
pub(super) struct Slots {
    slot: Vec<Option<u32>>,
    /// Words of a mask.
    pub words: usize,
    /// Per cut: the slots of storages that cross it, as a mask.
    alive: Vec<u64>,
    /// Per cut: the storages that cross it, by last use.
    crossing: Vec<Vec<u32>>,
}

impl Slots {
    /// Assigns slots like registers: a slot is free again after its storage's last use. Time and memory O(operators +
    /// total crossings).
    pub(super) fn new(profile: &Profile<'_, '_>) -> Self {
        let graph = profile.program.graph;
        let n = profile.operators.len();
        let mut made: Vec<Vec<u32>> = vec![Vec::new(); n];
        for s in 0..profile.last_use.len() as u32 {
            let crosses = |p: &u32| profile.last_use[s as usize] > *p && !profile.always[s as usize];
            if let Some(p) = graph.producer(s).filter(crosses) {
                made[p as usize].push(s);
            }
        }
        let mut slot = vec![None; profile.last_use.len()];
        let mut free: Vec<u32> = Vec::new();
        let mut used = 0;
        let mut open: Vec<u32> = Vec::new();
        let mut crossing = vec![Vec::new(); n + 1];
        for (o, made) in made.iter().enumerate() {
            open.retain(|&s| {
                let stays = profile.last_use[s as usize] >= o as u32;
                if !stays {
                    free.extend(slot[s as usize]);
                }
                stays
            });
            crossing[o].clone_from(&open);
            for &s in made {
                let at = free.pop().unwrap_or_else(|| {
                    used += 1;
                    used - 1
                });
                slot[s as usize] = Some(at);
                open.push(s);
            }
        }
        for open in &mut crossing {
            open.sort_unstable_by_key(|&s| (profile.last_use[s as usize], s));
        }
        let words = (used as usize).div_ceil(64).max(1);
        let mut slots = Self { slot, words, alive: vec![0; words * (n + 1)], crossing };
        for k in 0..=n {
            for i in 0..slots.crossing[k].len() {
                let s = slots.crossing[k][i];
                set(&mut slots.alive[k * words..(k + 1) * words], slots.slot[s as usize]);
            }
        }
        slots
    }

    /// Storages that cross cut `k`, by last use.
    pub(super) fn crossing(&self, k: u32) -> &[u32] {
        &self.crossing[k as usize]
    }

    /// All that crosses cut `k`, as a mask.
    pub(super) fn alive_at(&self, k: u32) -> &[u64] {
        &self.alive[k as usize * self.words..(k as usize + 1) * self.words]
    }

    /// Sizes of the storages that cross cut `k`, by position in a mask.
    pub(super) fn sizes(&self, k: u32, size: impl Fn(u32) -> u64) -> Vec<u64> {
        let mut sizes = vec![0; self.words * 64];
        for &s in self.crossing(k) {
            if let Some(at) = self.slot[s as usize] {
                sizes[at as usize] = size(s);
            }
        }
        sizes
    }

    /// Keeps only what still crosses cut `k`.
    pub(super) fn restrict(&self, mask: &mut [u64], k: u32) {
        for (m, alive) in mask.iter_mut().zip(self.alive_at(k)) {
            *m &= alive;
        }
    }

    /// Takes a storage out, so that its slot can mean another one behind its last use.
    pub(super) fn remove(&self, mask: &mut [u64], s: u32) {
        if let Some(at) = self.slot[s as usize] {
            mask[at as usize / 64] &= !(1 << (at % 64));
        }
    }

    pub(super) fn add(&self, mask: &mut [u64], s: u32) {
        set(mask, self.slot[s as usize]);
    }

    /// Is a storage that crosses the mask's cut in the mask?
    pub(super) fn contains(&self, mask: &[u64], s: u32) -> bool {
        self.slot[s as usize].is_some_and(|at| mask[at as usize / 64] >> (at % 64) & 1 == 1)
    }
}

fn set(mask: &mut [u64], slot: Option<u32>) {
    if let Some(at) = slot {
        mask[at as usize / 64] |= 1 << (at % 64);
    }
}
