//! Which regions the caller's rules allow.

use globset::{Glob, GlobMatcher};
use remat_algorithms::interval::Allowed;
use remat_graphs::Graph;

use crate::options::{Error, Granularity, RegionRules};

/// Regions that the rules allow. Time O(regions).
pub(crate) fn allowed(graph: &Graph, rules: &RegionRules) -> Result<Allowed, Error> {
    let mut allowed = match rules.granularity {
        Granularity::Operator => Allowed::operators(graph),
        Granularity::Module => Allowed::modules(graph),
    };
    if !rules.only.is_empty() {
        let outside = counts(&matching(graph, &rules.only)?, false);
        allowed.retain(|a, b| outside[a as usize] == outside[b as usize]);
    }
    if !rules.never.is_empty() {
        let inside = counts(&matching(graph, &rules.never)?, true);
        allowed.retain(|a, b| inside[a as usize] == inside[b as usize]);
    }
    if !rules.once.is_empty() {
        let mut once = vec![false; graph.operators().len()];
        for &o in &rules.once {
            if let Some(is) = once.get_mut(o as usize) {
                *is = true;
            }
        }
        let inside = counts(&once, true);
        allowed.retain(|a, b| inside[a as usize] == inside[b as usize]);
    }
    Ok(allowed)
}

/// Per operator: does its module, or a module around it, match one of the patterns?
fn matching(graph: &Graph, patterns: &[String]) -> Result<Vec<bool>, Error> {
    let mut matches = vec![false; graph.operators().len()];
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .map_err(|e| Error::Pattern { pattern: pattern.clone(), message: e.kind().to_string() })?
            .compile_matcher();
        let mut any = false;
        for (operator, is) in graph.operators().iter().zip(&mut matches) {
            let found = matches_path(&glob, &operator.module);
            any |= found;
            *is |= found;
        }
        if !any {
            return Err(Error::NoModule { pattern: pattern.clone() });
        }
    }
    Ok(matches)
}

fn matches_path(glob: &GlobMatcher, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(i, _)| i).chain([path.len()]);
    ends.into_iter().any(|end| glob.is_match(&path[..end]))
}

/// How many of the first k operators have the given value, for every k.
fn counts(of: &[bool], value: bool) -> Vec<u32> {
    let mut count = 0;
    let before = of.iter().map(|&is| {
        let so_far = count;
        count += u32::from(is == value);
        so_far
    });
    let mut counts: Vec<u32> = before.collect();
    counts.push(count);
    counts
}
