//! Lower bounds of recomputation: memory is priced per byte (Lagrange), and inner frames are given all of the budget.

use super::frames::Frames;
use super::stages::Stages;

/// Number of prices. Each is a bound; the best one counts.
const PRICES: usize = 40;
/// Highest price, as a multiple of all forward time per all tapes.
const HIGHEST: u64 = 64;
/// Sizes are counted in units so that all tapes are about `2^UNITS` of them, times so that all are about `2^TIMES`.
const UNITS: u32 = 24;
const TIMES: u32 = 34;
/// More than any sum of times and prices; two of them can be added.
const NEVER: u64 = 1 << 60;

/// For a frame `(s, t)` and memory `m <= M`, the most there ever is: a schedule's steps from `s` to `t` hold at most
/// `m - save(t, t)` bytes at the end, so for every price `p >= 0`
///
/// ```text
/// E(s, t, m)  >=  D_p(s, t) - p (m - save(t, t)),        D_p(t, t) = 0,
/// D_p(s, t) = min( p ā_s + D_p(s+1, t),  min over k of time(s, k) + I(s, k-1) + p a_{k-1} + D_p(k, t) ),
/// I(s, e) = max over p of D_p(s, e) - p (M - save(e, e))  <=  E(s, e, M)
/// ```
///
/// Sizes are rounded down and `m` up to whole units, so the bound holds in integers.
pub(super) struct Prices {
    unit: u32,
    scale: u32,
    price: [u64; PRICES],
    ends: Vec<End>,
    width: usize,
    /// `I(s, e)` at `[s][e]`, scaled; [`NEVER`] for frames that the budget has no room for.
    inner: Vec<u64>,
}

/// All frames that end in `t`.
struct End {
    /// Bytes that the last stage needs.
    last: u64,
    /// `D_p(s, t)` at `[s][p]`, scaled.
    to_go: Vec<u64>,
    /// `time(1, k) + p a_{k-1} + D_p(k, t)` at `[p][k]`, scaled.
    jump: Vec<u64>,
}

impl Prices {
    /// Prices for memory up to `most`. Time O(n^3) and memory O(n^2) for each price.
    pub(super) fn new(stages: &Stages, frames: &Frames, most: u64) -> Self {
        let n = stages.count();
        let bytes: u64 = (1..=n).map(|s| stages.get(s).tape).sum();
        let time = stages.time(1, n + 1);
        let unit = (64 - bytes.leading_zeros()).saturating_sub(UNITS);
        let scale = TIMES.saturating_sub(64 - time.leading_zeros());
        let mut price = [0; PRICES];
        let mut p = ((time << scale) / (bytes >> unit).max(1)).max(1) * HIGHEST;
        for slot in &mut price {
            *slot = p;
            p -= p / 5;
        }
        let width = n + 1;
        let none = End { last: 0, to_go: Vec::new(), jump: Vec::new() };
        let mut all = Self { unit, scale, price, ends: vec![none], width, inner: vec![NEVER; width * width] };
        for t in 1..=n {
            let end = all.end(stages, t);
            all.ends.push(end);
            for s in 1..=t {
                let frame = frames.get(s, t);
                if most >= frame.least {
                    let free = most >= frame.full;
                    all.inner[s * width + t] = if free { 0 } else { all.best(s, t, all.left(t, most), 0).0 };
                }
            }
        }
        all
    }

    fn end(&self, stages: &Stages, t: usize) -> End {
        let width = t + 1;
        let (mut to_go, mut jump) = (vec![0; width * PRICES], vec![0; width * PRICES]);
        for (row, &p) in self.price.iter().enumerate() {
            let jump = &mut jump[row * width..][..width];
            let mut after = 0;
            for s in (1..=t).rev() {
                let start = stages.time(1, s) << self.scale;
                if s < t {
                    let inner = &self.inner[s * self.width + s..][..t - s];
                    let best = jump[s + 1..].iter().zip(inner).fold(NEVER * 2, |best, (j, i)| best.min(j + i));
                    let keep = p * (stages.get(s).tape >> self.unit) + after;
                    after = keep.min(best - start);
                }
                to_go[s * PRICES + row] = after;
                jump[s] = start + p * (stages.get(s - 1).output >> self.unit) + after;
            }
        }
        End { last: stages.save(t, t), to_go, jump }
    }

    /// Units left for what is held, rounded up.
    fn left(&self, t: usize, m: u64) -> u64 {
        let bytes = m.saturating_sub(self.ends[t].last);
        (bytes >> self.unit) + u64::from(bytes & ((1 << self.unit) - 1) != 0)
    }

    /// The best scaled bound, and its price; the search starts at the price `near`.
    fn best(&self, s: usize, t: usize, left: u64, near: usize) -> (u64, usize) {
        let to_go = &self.ends[t].to_go[s * PRICES..][..PRICES];
        let at = |p: usize| to_go[p].saturating_sub(self.price[p].saturating_mul(left));
        // Concave in the price up to rounding, so climbing finds the best; any price is a bound.
        let (mut best, mut value) = (near, at(near));
        for dearer in [true, false] {
            loop {
                let next = if dearer { best.checked_sub(1) } else { Some(best + 1).filter(|&p| p < PRICES) };
                let Some(next) = next else { break };
                let v = at(next);
                // Where dear prices say nothing, go on to cheaper ones.
                if v > value || (value == 0 && v == 0 && !dearer) {
                    (best, value) = (next, v);
                } else {
                    break;
                }
            }
        }
        (value, best)
    }

    /// The bound for a frame in nanoseconds, and the price that gives it; the search starts at the price `near`.
    pub(super) fn bound(&self, s: usize, t: usize, m: u64, near: usize) -> (u64, usize) {
        let (value, price) = self.best(s, t, self.left(t, m), near);
        (value.div_ceil(1 << self.scale), price)
    }

    /// Offers every `k` in `s + 1 ..= last` for which jumping to `k` might take no more than `limit` nanoseconds, as far
    /// as the price tells. `before` is `time(1, s)`.
    pub(super) fn jumps(
        &self,
        frame: (usize, usize, u64),
        last: usize,
        price: usize,
        limit: u64,
        before: u64,
        mut offer: impl FnMut(usize),
    ) {
        let (s, t, m) = frame;
        let held = self.price[price].saturating_mul(self.left(t, m));
        let most = limit.saturating_add(before).saturating_mul(1 << self.scale).saturating_add(held).min(NEVER - 1);
        let row = &self.ends[t].jump[price * (t + 1)..][s + 1..=last];
        let inner = &self.inner[s * self.width + s..][..last - s];
        for ((k, cost), inner) in (s + 1..=last).zip(row).zip(inner) {
            if cost + inner <= most {
                offer(k);
            }
        }
    }
}
