//! What is tabulated for every frame before the search.

use super::classes::classes;
use super::stages::Stages;

/// One frame `(s, t)`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame {
    /// Least memory in which the frame can be processed.
    pub least: u64,
    /// Memory in which it can be processed without recomputation.
    pub full: u64,
    /// Recomputation of a schedule with least memory.
    pub time: u64,
    /// Frames of one class are alike.
    pub class: u32,
    /// First step of that schedule, as a distance: 0 keeps `s`, `d` jumps to `s + d`.
    pub step: u16,
}

/// All frames `(s, t)`, `1 <= s <= t <= n`.
pub(super) struct Frames {
    width: usize,
    by_start: Vec<Frame>,
    /// Least memory at `[t][s]`.
    least_by_end: Vec<u64>,
    /// Number of classes.
    pub(super) classes: usize,
}

impl Frames {
    /// Time O(n^3), memory O(n^2).
    pub(super) fn new(stages: &Stages) -> Self {
        let n = stages.count();
        let width = n + 1;
        let size = width * width;
        let (class, classes) = classes(stages);
        let by_start = class.into_iter().map(|class| Frame { class, ..Frame::default() }).collect();
        let mut all = Self { width, by_start, least_by_end: vec![0; size], classes };
        for s in (1..=n).rev() {
            for t in s..=n {
                all.fill(stages, s, t);
            }
        }
        all
    }

    fn fill(&mut self, stages: &Stages, s: usize, t: usize) {
        let save = stages.save(s, t);
        if s == t {
            self.set(s, t, Frame { least: save, full: save, ..Frame::default() });
            return;
        }
        let tape = stages.get(s).tape;
        let after = *self.get(s + 1, t);
        let full = save.max(after.full + tape);
        let (mut least, mut time, mut step) = (save.max(after.least + tape), after.time, 0);
        let gradient = stages.get(t).gradient;
        let mut run = 0;
        for k in s + 1..=t {
            run = run.max(gradient + stages.run(k - 1, k - 1 > s));
            if run > least {
                break;
            }
            let inner = self.get(s, k - 1);
            let kept = stages.get(k - 1).output;
            let need = run.max(self.least_by_end[t * self.width + k] + kept).max(inner.least);
            if need <= least {
                let rest = self.get(k, t).time;
                let cost = stages.time(s, k).saturating_add(inner.time).saturating_add(rest);
                if (need, cost) < (least, time) {
                    (least, time, step) = (need, cost, (k - s) as u16);
                }
            }
        }
        self.set(s, t, Frame { least, full, time, step, class: 0 });
    }

    fn set(&mut self, s: usize, t: usize, new: Frame) {
        let frame = &mut self.by_start[s * self.width + t];
        *frame = Frame { class: frame.class, ..new };
        self.least_by_end[t * self.width + s] = new.least;
    }

    pub(super) fn get(&self, s: usize, t: usize) -> &Frame {
        &self.by_start[s * self.width + t]
    }
}
