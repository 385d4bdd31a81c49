//! States of a network while it is built: cuts with the sets of storages held there, each once.

use rustc_hash::FxHashMap;

use super::slots::Slots;

/// States by cut and mask, numbered as they are found.
#[derive(Debug)]
pub(super) struct States {
    /// Cut of every state.
    pub cuts: Vec<u32>,
    /// Per cut, its states in the order in which they were found.
    at: Vec<Vec<u32>>,
    /// Per cut that was not left, its states by mask.
    found: Vec<FxHashMap<Vec<u64>, u32>>,
    masks: Vec<Vec<u64>>,
}

impl States {
    /// None yet, at cuts up to `last`.
    pub(super) fn new(last: u32) -> Self {
        let cuts = last as usize + 1;
        Self {
            cuts: Vec::new(),
            at: vec![Vec::new(); cuts],
            found: vec![FxHashMap::default(); cuts],
            masks: Vec::new(),
        }
    }

    /// The state at a cut in which what is left of a mask there is held, and whether it is new.
    pub(super) fn reach(&mut self, cut: u32, mask: &mut [u64], slots: &Slots) -> (u32, bool) {
        slots.restrict(mask, cut);
        if let Some(&id) = self.found[cut as usize].get(&*mask) {
            return (id, false);
        }
        let id = self.cuts.len() as u32;
        self.found[cut as usize].insert(mask.to_vec(), id);
        self.masks.push(mask.to_vec());
        self.cuts.push(cut);
        self.at[cut as usize].push(id);
        (id, true)
    }

    /// States of a cut.
    pub(super) fn at(&self, cut: u32) -> &[u32] {
        &self.at[cut as usize]
    }

    /// What is held in a state of a cut that was not left.
    pub(super) fn mask(&self, id: u32) -> &[u64] {
        &self.masks[id as usize]
    }

    /// No step leads to a cut any more. Returns the masks of its states.
    pub(super) fn leave(&mut self, cut: u32) -> Vec<Vec<u64>> {
        self.found[cut as usize] = FxHashMap::default();
        self.at[cut as usize].iter().map(|&id| std::mem::take(&mut self.masks[id as usize])).collect()
    }
}
