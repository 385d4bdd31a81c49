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
    // A region is allowed if it holds no operator that is ruled out.
    let mut rule_out = |is_out: &[bool]| {
        let out = counts(is_out);
        allowed.retain(|a, b| out[a as usize] == out[b as usize]);
    };
    if !rules.only.is_empty() {
        let outside: Vec<bool> = matching(graph, &rules.only)?.into_iter().map(|is| !is).collect();
        rule_out(&outside);
    }
    if !rules.never.is_empty() {
        rule_out(&matching(graph, &rules.never)?);
    }
    if !rules.once.is_empty() {
        let mut is_once = vec![false; graph.operators().len()];
        for &o in &rules.once {
            if let Some(is) = is_once.get_mut(o as usize) {
                *is = true;
            }
        }
        rule_out(&is_once);
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

/// How many of the first k operators are marked, for every k.
fn counts(marked: &[bool]) -> Vec<u32> {
    let sum = marked.iter().scan(0, |count, &is| {
        *count += u32::from(is);
        Some(*count)
    });
    std::iter::once(0).chain(sum).collect()
}
