//! Timelines in columns: every maximum is kept, and columns are what their definition says.

use std::ops::Range;

use proptest::prelude::*;
use remat_algorithms::plan::Regions;
use remat_algorithms::predict::{ByKind, Column, Entry, Optimizer, Phase, Predictor, Scratch, Timeline, When};
use remat_graphs::zoo;

mod regions;

/// A timeline whose entries are this high; the operator of each is its length.
fn timeline(entries: &[(u64, u32)]) -> Timeline {
    let entry = |&(live, length): &(u64, u32)| Entry {
        when: When { phase: Phase::Forward, operator: Some(length), kernel: None, region: None },
        live,
        by_kind: ByKind::default(),
    };
    Timeline { entries: entries.iter().map(entry).collect() }
}

fn length(entry: &Entry) -> u64 {
    entry.when.operator.map_or(1, u64::from)
}

/// Column by column, every entry is asked whether it overlaps.
fn by_definition(timeline: &Timeline, stretch: Range<usize>, count: u32) -> Vec<Column> {
    let weights: Vec<u64> = stretch.clone().map(|i| length(&timeline.entries[i]).max(1)).collect();
    let total: u64 = weights.iter().sum();
    let column = |k: u64| {
        let (from, to) = (k * total, (k + 1) * total);
        let mut begins = 0;
        let mut inside = Vec::new();
        for (i, weight) in stretch.clone().zip(&weights) {
            let ends = begins + weight;
            if begins * u64::from(count) < to && ends * u64::from(count) > from {
                inside.push(i);
            }
            begins = ends;
        }
        let highest = inside.iter().map(|&i| timeline.entries[i].live).max().unwrap();
        let peak = *inside.iter().find(|&&i| timeline.entries[i].live == highest).unwrap();
        Column { entries: inside[0]..inside[inside.len() - 1] + 1, peak }
    };
    (0..u64::from(count)).map(column).collect()
}

proptest! {
    #[test]
    fn columns_are_what_their_definition_says(
        entries in prop::collection::vec((0u64..6, 0u32..5), 1..40),
        ends in (0usize..40, 0usize..45),
        count in 1u32..60,
    ) {
        let timeline = timeline(&entries);
        let stretch = ends.0.min(ends.1)..ends.0.max(ends.1);
        let inside = stretch.start.min(entries.len())..stretch.end.min(entries.len());
        let columns = timeline.columns(stretch, count, length);
        if inside.is_empty() {
            prop_assert!(columns.is_empty());
        } else {
            prop_assert_eq!(columns, by_definition(&timeline, inside, count));
        }
    }
}

#[test]
fn the_peak_of_every_step_is_in_its_columns() {
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        for (kind, segments) in regions::all(&graph) {
            let regions = Regions::resolve(&graph, &segments).unwrap();
            let timeline = Timeline::new(&predictor, &regions, Some(Optimizer::AdamwForeach), &mut scratch);
            let all = timeline.entries.len();
            for count in [1, 2, 7, 64, 80, 801, all as u32, 3 * all as u32] {
                let place = format!("{} {kind} in {count}", graph.name());
                let columns = timeline.columns(0..all, count, |_| 1);
                assert_eq!(columns.len(), count as usize, "{place}");
                let highest = columns
                    .iter()
                    .map(|c| &timeline.entries[c.peak])
                    .reduce(|best, e| if e.live > best.live { e } else { best });
                assert_eq!(highest, timeline.peak(), "{place}");
                assert_eq!(columns[0].entries.start, 0, "{place}");
                assert_eq!(columns[columns.len() - 1].entries.end, all, "{place}");
                for pair in columns.windows(2) {
                    let gap = pair[0].entries.end - pair[1].entries.start.min(pair[0].entries.end);
                    assert!(pair[1].entries.start <= pair[0].entries.end && gap <= 1, "{place}");
                }
            }
            // A column for each entry is the timeline itself.
            let each = timeline.columns(0..all, all as u32, |_| 1);
            assert!(each.iter().enumerate().all(|(i, c)| c.peak == i && c.entries == (i..i + 1)));
        }
    }
}

#[test]
fn nothing_has_no_columns() {
    let timeline = timeline(&[(1, 1), (2, 1)]);
    for stretch in [0..0, 2..9, 5..9] {
        assert_eq!(timeline.columns(stretch, 10, |_| 1), []);
    }
    assert_eq!(timeline.columns(0..2, 0, |_| 1), []);
    assert_eq!(Timeline::default().columns(0..0, 10, |_| 1), []);
}

#[test]
fn lengths_of_any_size_do_not_overflow() {
    let timeline = timeline(&[(1, 1), (5, 1), (2, 1)]);
    let columns = timeline.columns(0..3, u32::MAX >> 16, |_| u64::MAX);
    assert_eq!(columns.iter().filter(|c| timeline.entries[c.peak].live == 5).count(), 21845);
}
