//! What pictures of a step are drawn from: times, runs, what is alive in each, what regions are worth.

use remat_algorithms::cost::Costs;
use remat_algorithms::plan::assemble::rerun;
use remat_algorithms::plan::{Regions, Segment};
use remat_algorithms::predict::{
    Clock, FactorOptions, FactorTable, Largest, Optimizer, PeakOf, Phase, Predictor, Scratch, Timeline, alive_at_peak,
    alive_over, fitting_depth, worth,
};
use remat_graphs::{CostModel, Graph, zoo};

mod regions;

fn costs(graph: &Graph) -> Costs {
    let model = CostModel::device("h100").unwrap();
    Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k))
}

/// Four plans of every step of the zoo, one of them selective.
fn plans() -> impl Iterator<Item = (Graph, Vec<Segment>)> {
    zoo::names().map(|n| zoo::load(n).unwrap()).flat_map(|graph| {
        let mut plans: Vec<Vec<Segment>> = regions::all(&graph).into_iter().map(|(_, segments)| segments).collect();
        let mut selective = regions::uniform(&graph, 5);
        for s in &mut selective {
            s.save = ["mm.default", "addmm.default", "convolution.default"].map(Into::into).into();
        }
        if Regions::resolve(&graph, &selective).is_ok() {
            plans.push(selective);
        }
        plans.into_iter().map(move |segments| (graph.clone(), segments)).collect::<Vec<_>>()
    })
}

#[test]
fn the_clock_and_the_regions_take_as_long_as_the_plan_says() {
    for (graph, segments) in plans() {
        let (predictor, costs, mut scratch) = (Predictor::new(&graph), costs(&graph), Scratch::default());
        let regions = Regions::resolve(&graph, &segments).unwrap();
        let (_, again) = rerun(&predictor, &costs, &regions, &mut scratch);
        let clock = Clock::new(&predictor, &costs, &regions, &mut scratch);
        assert_eq!(clock.total(), costs.step_ns() + again.ns, "{}", graph.name());

        let timeline = Timeline::new(&predictor, &regions, Some(Optimizer::Adam), &mut scratch);
        let all = worth(&predictor, &regions, None, &timeline, &clock, &mut scratch);
        assert_eq!(all.iter().map(|w| w.ns).sum::<u64>(), again.ns, "{}", graph.name());
        assert_eq!(all.len(), regions.all.len());
    }
}

#[test]
fn runs_keep_every_peak() {
    for (graph, segments) in plans() {
        let (predictor, mut scratch) = (Predictor::new(&graph), Scratch::default());
        let regions = Regions::resolve(&graph, &segments).unwrap();
        let clock = Clock::new(&predictor, &costs(&graph), &regions, &mut scratch);
        let timeline = Timeline::new(&predictor, &regions, Some(Optimizer::Adam), &mut scratch);
        let entries = &timeline.entries;
        let spans = timeline.spans();
        assert_eq!(spans.iter().map(|s| s.end - s.first).sum::<usize>(), entries.len());
        for parts in [1, 7, 300, 100_000] {
            let runs = timeline.runs(&clock, parts);
            assert!(runs.len() <= parts as usize + spans.len(), "{} {parts}", graph.name());
            let mut at = 0;
            for c in &runs {
                assert_eq!(c.first, at);
                assert!((c.first..c.end).contains(&c.peak));
                assert_eq!(entries[c.first..c.end].iter().map(|e| e.live).max(), Some(entries[c.peak].live));
                assert!(entries[c.first..c.end].iter().all(|e| e.when.phase == entries[c.peak].when.phase));
                assert_eq!(entries[c.peak].by_kind.sum(), entries[c.peak].live);
                at = c.end;
            }
            assert_eq!(at, entries.len());
            for span in &spans {
                let shown = runs.iter().filter(|c| (span.first..span.end).contains(&c.peak));
                let largest = entries[span.first..span.end].iter().map(|e| e.live).max();
                assert_eq!(shown.map(|c| entries[c.peak].live).max(), largest);
            }
        }
    }
}

#[test]
fn what_is_alive_over_a_step_is_what_is_alive_at_its_peak() {
    for (graph, segments) in plans() {
        let (predictor, mut scratch) = (Predictor::new(&graph), Scratch::default());
        let regions = Regions::resolve(&graph, &segments).unwrap();
        for optimizer in [None, Some(Optimizer::Adam), Some(Optimizer::AdamwForeach)] {
            let timeline = Timeline::new(&predictor, &regions, optimizer, &mut scratch);
            let peak = timeline.peak().unwrap();
            let at = timeline.entries.iter().position(|e| e == peak).unwrap();
            let last = timeline.entries.len() - 1;
            let mut entries = vec![0, at / 2, at, last];
            entries.sort_unstable();
            entries.dedup();
            let largest = Largest { storages: usize::MAX, modules: usize::MAX, depth: 64 };
            let over = alive_over(&predictor, &regions, optimizer, &entries, largest, &mut scratch);
            for (then, &entry) in over.moments.iter().zip(&entries) {
                let live = timeline.entries[entry].live;
                assert_eq!(then.storages.iter().map(|&s| over.storages[s as usize].bytes).sum::<u64>(), live);
                assert_eq!(then.modules.iter().map(|m| m.1).sum::<u64>(), live, "{}", graph.name());
                assert_eq!(then.count, then.storages.len());
            }
            let then = &over.moments[entries.binary_search(&at).unwrap()];
            let expected = alive_at_peak(&predictor, &regions, optimizer, PeakOf::Step, &mut scratch).unwrap();
            let storages: Vec<_> = then.storages.iter().map(|&s| over.storages[s as usize].clone()).collect();
            assert_eq!(storages, expected.storages, "{}", graph.name());
            let modules: Vec<_> = then.modules.iter().map(|m| (over.modules[m.0 as usize].clone(), m.1)).collect();
            let expected: Vec<_> = expected.by_module.into_iter().map(|m| (m.module, m.bytes)).collect();
            assert_eq!(modules, expected, "{}", graph.name());

            let few = Largest { storages: 3, modules: 2, depth: 1 };
            let few = alive_over(&predictor, &regions, optimizer, &entries, few, &mut scratch);
            let three = &few.moments[entries.binary_search(&at).unwrap()].storages;
            assert!(three.iter().map(|&s| &few.storages[s as usize]).eq(storages.iter().take(3)));
        }
    }
}

/// The segments less one, and the indices of the regions that are left.
fn less(segments: &[Segment], at: &mut usize, gone: usize) -> Vec<Segment> {
    let mut left = Vec::new();
    for s in segments {
        let is_gone = *at == gone;
        *at += 1;
        let inner = less(&s.inner, at, gone);
        if !is_gone {
            left.push(Segment { inner, ..s.clone() });
        }
    }
    left
}

#[test]
fn a_region_is_worth_the_difference_that_it_makes() {
    for (graph, segments) in plans() {
        let (predictor, mut scratch) = (Predictor::new(&graph), Scratch::default());
        let regions = Regions::resolve(&graph, &segments).unwrap();
        let clock = Clock::new(&predictor, &costs(&graph), &regions, &mut scratch);
        let timeline = Timeline::new(&predictor, &regions, None, &mut scratch);
        let all = worth(&predictor, &regions, None, &timeline, &clock, &mut scratch);
        let with = predictor.peaks(&regions, None, &mut scratch);
        let mut inner = 0;
        for (r, w) in all.iter().enumerate() {
            let expected = Regions::resolve(&graph, &less(&segments, &mut 0, r)).unwrap();
            assert_eq!(regions.without(r as u32), expected);
            let peaks = predictor.peaks(&expected, None, &mut scratch);
            assert_eq!(w.peak_without, peaks.peak);
            if regions.all[r].parent.is_none() {
                let saved = i128::from(peaks.after_forward) - i128::from(with.after_forward);
                assert_eq!(w.saved.map(i128::from), Some(saved), "{} {r}", graph.name());
            } else {
                inner += i64::from(w.saved.is_some_and(|s| s > 0));
            }
            let runs = timeline.forward_of(regions.all[r].start, regions.all[r].end);
            assert!(timeline.entries[runs].iter().all(|e| e.when.phase == Phase::Forward));
        }
        if regions.depth > 1 {
            assert!(inner > 0, "{}: nested regions spare nothing", graph.name());
        }
    }
}

#[test]
fn a_table_gets_as_many_rows_as_fit() {
    for name in zoo::names() {
        let graph = zoo::load(name).unwrap();
        let predictor = Predictor::new(&graph);
        for rows in [8, 40] {
            let depth = fitting_depth(&graph, rows);
            let options = FactorOptions { depth, ..FactorOptions::default() };
            let table = FactorTable::new(&predictor, &Regions::default(), &options, &mut Scratch::default()).unwrap();
            // Modules that run nothing themselves may own parameters.
            assert!(depth == 1 || table.modules.len() <= rows + 2, "{name}: {} rows", table.modules.len());
        }
    }
}
