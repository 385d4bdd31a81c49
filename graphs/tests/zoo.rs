//! The zoo is complete, loads, and is found by name.

use std::path::Path;

use remat_graphs::read::{self, Document, Source};
use remat_graphs::{ChainOfGraph, LoadError, zoo};

#[test]
fn every_file_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the zoo's folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .map(|file| file.strip_suffix(".trace.json.gz").expect("a compressed trace").to_owned())
        .collect();
    files.sort();
    assert_eq!(files, zoo::names().collect::<Vec<_>>());
}

#[test]
fn every_entry_loads_and_reduces_to_a_valid_chain() {
    for name in zoo::names() {
        let graph = zoo::load(name).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(graph.name(), name);
        assert!(graph.operators().len() > 20, "{name}");
        let reduced = ChainOfGraph::of(&graph);
        reduced.chain.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(reduced.chain.layers.len() >= 10, "{name}: {} layers", reduced.chain.layers.len());
        assert_eq!(reduced.cuts.last(), Some(&(graph.loss() + 1)), "{name}");
        assert!(reduced.cuts[..reduced.cuts.len() - 1].iter().all(|&k| graph.is_safe_cut(k)), "{name}");
        assert!(reduced.cuts.is_sorted_by(|a, b| a < b), "{name}");
        assert!(reduced.chain.layers.iter().zip(&reduced.handed_on).all(|(l, &h)| h <= l.bytes), "{name}");
    }
}

#[test]
fn sources_are_told_apart() {
    assert_eq!(Source::new("-"), Source::Stdin);
    assert!(matches!(Source::new("resnet50-b32"), Source::Zoo(e) if e.name == "resnet50-b32"));
    assert!(matches!(Source::new("./resnet50-b32"), Source::Path(_)));
    assert!(matches!(read::load(&Source::new("alexnet-b128")), Ok(Document::Graph(_))));
}

#[test]
fn an_unknown_name_says_what_is_near() {
    let error = read::load(&Source::new("resnet50-b16")).expect_err("no such entry");
    assert!(matches!(&error, LoadError::Unknown { nearest, .. } if nearest[0] == "resnet50-b32"));
    assert_eq!(
        error.to_string(),
        "there is no file and no built-in step named resnet50-b16\n\
         hint: the zoo has resnet50-b32, resnet50-b64-amp, resnet101-b32, resnet18-b64"
    );
    assert!(matches!(zoo::load("resnet50-b16"), Err(LoadError::Unknown { .. })));
    assert!(matches!(read::load(&Source::new("folder/x.json")), Err(LoadError::Io { .. })));
}
