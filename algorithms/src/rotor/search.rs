//! Least recomputation of a frame in given memory: depth first, best bound first, with everything proven remembered.

use super::facts::{Facts, Reached};
use super::frames::Frames;
use super::price::Prices;
use super::schedule::{self, Step};
use super::stages::Stages;
use crate::plan::{Stats, Status};

/// Expansions after which a search stops unproven, unless told otherwise: about a minute.
pub const EXPANSION_LIMIT: u64 = 20_000_000;

/// Solves a chain for any number of budgets; what one search proves serves the next.
pub struct Solver<'a> {
    stages: &'a Stages,
    frames: Frames,
    /// For the budget at hand.
    prices: Prices,
    facts: Vec<Facts>,
    /// Options of the expansions under way, as a stack.
    options: Vec<(u64, u16)>,
    expansions: u64,
    queries: u64,
    limit: u64,
}

/// A schedule for a budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What the first frame, all stages, does.
    pub steps: Vec<Step>,
    /// Least memory in which the schedule works, the chain's input included, in bytes.
    pub peak: u64,
    /// Its recomputation in nanoseconds.
    pub time: u64,
    /// Optimal if no persistent schedule within the budget recomputes less.
    pub status: Status,
    /// Recomputation that no schedule within the budget is below.
    pub lower_bound: u64,
    /// `states` are the questions asked of frames, `evaluations` those that needed an expansion.
    pub stats: Stats,
}

/// What a question about a frame brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The least recomputation.
    Exactly(u64),
    /// A bound: the least recomputation is no smaller.
    AtLeast(u64),
}

impl<'a> Solver<'a> {
    /// Prepares a chain. Time O(n^3) with a small constant, memory O(n^2), for n stages.
    pub fn new(stages: &'a Stages) -> Self {
        let frames = Frames::new(stages);
        let mut facts = Vec::new();
        facts.resize_with(frames.classes, Facts::default);
        Self {
            stages,
            prices: Prices::new(stages, &frames, 0),
            frames,
            facts,
            options: Vec::new(),
            expansions: 0,
            queries: 0,
            limit: EXPANSION_LIMIT,
        }
    }

    /// Stops searches after so many expansions.
    pub fn limit_expansions(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Least budget under which there is a schedule, in bytes, the chain's input included.
    pub fn least_budget(&self) -> u64 {
        self.stages.input() + self.frames.get(1, self.stages.count()).least
    }

    /// Budget from which on nothing needs to be recomputed.
    pub fn full_budget(&self) -> u64 {
        self.stages.input() + self.frames.get(1, self.stages.count()).full
    }

    /// The schedule with the least recomputation within a budget; nothing if there is none.
    ///
    /// # Complexity
    /// Time and memory grow with the frames and amounts of memory that bounds cannot exclude; see the module.
    pub fn solve(&mut self, budget: u64) -> Option<Outcome> {
        if budget < self.least_budget() {
            return None;
        }
        let (n, m) = (self.stages.count(), budget - self.stages.input());
        (self.expansions, self.queries) = (0, 0);
        self.prices = Prices::new(self.stages, &self.frames, m);
        // A limit near the optimum keeps the search narrow; each round knows what the ones before have proven.
        let mut bound = self.bound(1, n, m, 0).0;
        let mut allowance = (bound >> 7).max(self.stages.time(1, n + 1) >> 10).max(1);
        let status = loop {
            match self.ask(1, n, m, bound.saturating_add(allowance), 0) {
                Answer::Exactly(time) => {
                    bound = time;
                    break Status::Optimal;
                }
                Answer::AtLeast(time) => bound = bound.max(time),
            }
            if self.expansions >= self.limit {
                break Status::Feasible;
            }
            allowance = allowance.saturating_mul(4);
        };
        let mut steps = Vec::new();
        self.steps(1, n, m, &mut steps);
        Some(Outcome {
            peak: self.stages.input() + schedule::memory(self.stages, &steps),
            time: schedule::recomputation(self.stages, &steps),
            steps,
            status,
            lower_bound: bound,
            stats: Stats { states: self.queries, evaluations: self.expansions, seconds: 0.0 },
        })
    }

    /// Bytes that stay held when stage `k` follows the first step of frame `(s, ·)`.
    fn held(&self, s: usize, step: u16) -> u64 {
        match step {
            0 => self.stages.get(s).tape,
            d => self.stages.get(s + d as usize - 1).output,
        }
    }

    /// A lower bound, and the price that gave it; `near` is where to look for it.
    fn bound(&self, s: usize, t: usize, m: u64, near: usize) -> (u64, usize) {
        let frame = self.frames.get(s, t);
        if m < frame.least {
            return (u64::MAX, near);
        }
        if m >= frame.full {
            return (0, near);
        }
        let (priced, price) = self.prices.bound(s, t, m, near);
        (priced.max(self.facts[frame.class as usize].proven(m)), price)
    }

    /// The lower bound if it is at most `limit`. What has been proven excludes most frames, and costs less to look up than a
    /// priced bound.
    fn bound_within(&self, s: usize, t: usize, m: u64, near: usize, limit: u64) -> Option<u64> {
        let frame = self.frames.get(s, t);
        if m < frame.least {
            return None;
        }
        if m >= frame.full {
            return Some(0);
        }
        let proven = self.facts[frame.class as usize].proven(m);
        if proven > limit {
            return None;
        }
        let bound = proven.max(self.prices.bound(s, t, m, near).0);
        Some(bound).filter(|&b| b <= limit)
    }

    /// The best schedule known; `m` is no less than the frame's least memory.
    fn reached(&self, s: usize, t: usize, m: u64) -> Reached {
        let frame = self.frames.get(s, t);
        if m >= frame.full {
            return Reached { from: frame.full, time: 0, step: 0 };
        }
        let known = self.facts[frame.class as usize].reached(m);
        known.unwrap_or(Reached { from: frame.least, time: frame.time, step: frame.step })
    }

    /// The least recomputation of a frame in `m` bytes, if it is at most `limit`; otherwise a bound above the limit, or,
    /// when the search has to stop, any bound.
    fn ask(&mut self, s: usize, t: usize, m: u64, limit: u64, near: usize) -> Answer {
        self.queries += 1;
        let (bound, price) = self.bound(s, t, m, near);
        if bound > limit {
            return Answer::AtLeast(bound);
        }
        let known = self.reached(s, t, m).time;
        if known <= bound {
            return Answer::Exactly(known);
        }
        if self.expansions >= self.limit {
            return Answer::AtLeast(bound);
        }
        self.expansions += 1;
        // Once here, a little more is asked for: coming back with a slightly higher limit would cost as much again.
        let limit = limit.max(bound.saturating_add(bound >> 6));

        // Only what is below `best` is of interest; `open` is a bound for all that was not followed.
        let (mut best, mut open) = (known, limit.saturating_add(1));
        let first = self.options.len();
        self.collect(s, t, m, limit.min(best - 1), price);
        let mut at = first;
        // A schedule that reaches the bound of the whole frame cannot be bettered.
        while at < self.options.len() && best > bound {
            let (bound, step) = self.options[at];
            at += 1;
            let below = limit.min(best - 1);
            if bound > below {
                open = open.min(bound);
                break;
            }
            match self.follow(s, t, m, step, below, price) {
                Answer::Exactly(time) => best = time,
                Answer::AtLeast(time) => open = open.min(time),
            }
        }
        self.options.truncate(first);
        let proven = best.min(open).max(bound);
        self.facts[self.frames.get(s, t).class as usize].prove(m, proven);
        if best == proven { Answer::Exactly(best) } else { Answer::AtLeast(proven) }
    }

    /// Pushes the steps that may lead to no more than `limit`, best bound first.
    fn collect(&mut self, s: usize, t: usize, m: u64, limit: u64, price: usize) {
        let mut options = std::mem::take(&mut self.options);
        let first = options.len();
        let tape = self.stages.get(s).tape;
        if m >= self.stages.save(s, t).max(tape) && s < t {
            options.extend(self.bound_within(s + 1, t, m - tape, price, limit).map(|bound| (bound, 0)));
        }
        let last = self.last_jump(s, t, m, limit);
        // Less than `limit` is no use to an inner frame that is longer and finds no smaller a gradient: its schedules, less
        // the stages behind, are schedules of the shorter one.
        let mut excluded = u64::MAX;
        self.prices.jumps((s, t, m), last, price, limit, self.stages.time(1, s), |k| {
            let gradient = self.stages.get(k - 1).gradient;
            if gradient >= excluded {
                return;
            }
            let again = self.stages.time(s, k);
            let (Some(room), Some(left)) = (limit.checked_sub(again), m.checked_sub(self.stages.get(k - 1).output))
            else {
                return;
            };
            let Some(inner) = self.bound_within(s, k - 1, m, price, room) else {
                excluded = gradient;
                return;
            };
            if let Some(rest) = self.bound_within(k, t, left, price, room - inner) {
                options.push((again + rest + inner, (k - s) as u16));
            }
        });
        options[first..].sort_unstable();
        self.options = options;
    }

    /// The largest `k` to which a jump from `s` takes no more memory to run than `m` and no more time than `limit`.
    fn last_jump(&self, s: usize, t: usize, m: u64, limit: u64) -> usize {
        let Some(room) = m.checked_sub(self.stages.get(t).gradient) else { return s };
        let mut k = s;
        while k < t && self.stages.run(k, k > s) <= room && self.stages.time(s, k + 1) <= limit {
            k += 1;
        }
        k
    }

    /// Follows one step: exact if it leads to at most `limit`.
    fn follow(&mut self, s: usize, t: usize, m: u64, step: u16, limit: u64, price: usize) -> Answer {
        let held = self.held(s, step);
        let left = m - held;
        let save = self.stages.save(s, t);
        let (time, from) = if step == 0 {
            match self.ask(s + 1, t, left, limit, price) {
                Answer::Exactly(time) if time <= limit => {
                    (time, save.max(self.reached(s + 1, t, left).from.saturating_add(held)))
                }
                other => return at_least(other, 0),
            }
        } else {
            let k = s + step as usize;
            let again = self.stages.time(s, k);
            let (rest, _) = self.bound(k, t, left, price);
            let Some(room) = limit.checked_sub(again).and_then(|l| l.checked_sub(rest)) else {
                return Answer::AtLeast(again.saturating_add(rest));
            };
            let inner = match self.ask(s, k - 1, m, room, price) {
                Answer::Exactly(time) if time <= room => time,
                other => return at_least(other, again + rest),
            };
            match self.ask(k, t, left, limit - again - inner, price) {
                Answer::Exactly(rest) if again + inner + rest <= limit => {
                    let run = (s..k).map(|j| self.stages.run(j, j > s)).max().unwrap_or(0);
                    let from = (self.stages.get(t).gradient + run)
                        .max(self.reached(k, t, left).from.saturating_add(held))
                        .max(self.reached(s, k - 1, m).from);
                    (again + inner + rest, from)
                }
                other => return at_least(other, again + inner),
            }
        };
        self.facts[self.frames.get(s, t).class as usize].reach(Reached { from, time, step });
        Answer::Exactly(time)
    }

    /// The best schedule known for a frame.
    fn steps(&self, mut s: usize, t: usize, mut m: u64, into: &mut Vec<Step>) {
        while s < t {
            let step = self.reached(s, t, m).step;
            let k = s + step as usize;
            if step == 0 {
                into.push(Step::Keep(s as u32));
            } else {
                let mut inner = Vec::new();
                self.steps(s, k - 1, m, &mut inner);
                into.push(Step::Region { start: s as u32, end: k as u32 - 1, inner });
            }
            m -= self.held(s, step);
            s = k.max(s + 1);
        }
        into.push(Step::Keep(t as u32));
    }
}

/// What an answer says as a bound, `more` on top.
fn at_least(answer: Answer, more: u64) -> Answer {
    let (Answer::Exactly(time) | Answer::AtLeast(time)) = answer;
    Answer::AtLeast(time.saturating_add(more))
}
