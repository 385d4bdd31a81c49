//! `BENCHMARKS.md` says what the planners do now: its figures for one step, planning times aside, and for one published
//! network. The rest is written by `cargo run --release --example benchmarks > BENCHMARKS.md`.

#![expect(clippy::print_stderr, reason = "the modules are those of a program that says how far it is")]

#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../examples/benchmarks/neighbours.rs"]
mod neighbours;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../examples/benchmarks/published.rs"]
mod published;

/// Rows of tables without the column of planning times.
fn rows(text: &str) -> Vec<String> {
    let without_time = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        cells
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != 5 || cells.len() < 8)
            .map(|(_, c)| c.trim())
            .collect::<Vec<_>>()
            .join("|")
    };
    text.lines().filter(|l| l.starts_with("| `")).map(without_time).collect()
}

#[test]
fn figures_are_not_stale() {
    let committed = include_str!("../BENCHMARKS.md");
    let kept = rows(committed);
    for row in rows(&neighbours::section(&["unet-b8"]).expect("plans")) {
        assert!(kept.contains(&row), "not in BENCHMARKS.md: {row}");
    }
    let resnet = published::table().into_iter().find(|p| p.network == "resnet18").expect("in their table");
    let (_, _, ours) = published::plan(&resnet).expect("plans").expect("a built-in step");
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (regular, theirs) = (resnet.regular_mb, resnet.theirs_mb);
    let row = format!("| {regular} | {:.0} | {theirs} | {:.0} |", mb(ours.without), mb(ours.least));
    assert!(committed.contains(&row), "not in BENCHMARKS.md: {row}");
}
