//! Inputs made to hurt: clear errors within bounded memory, no panic, nothing quadratic.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use remat_graphs::read::{self, DOCUMENT_LIMIT, Document, Source};
use remat_graphs::trace::ENTRIES_LIMIT;
use remat_graphs::{CostModel, Graph, LoadError, Trace, synthetic};
use serde_json::json;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A file that is removed again.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("remat-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("a temporary file");
        Self(path)
    }

    fn error(&self) -> LoadError {
        read::load(&Source::Path(self.0.clone())).expect_err("a hostile file")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn error(text: &str) -> String {
    read::parse(text.as_bytes(), "t").expect_err("a hostile document").to_string()
}

#[test]
fn plain_and_compressed_files_load_alike() {
    let text = serde_json::to_vec(&synthetic::tiny(1)).expect("JSON");
    let plain = File::new("plain.json", &text);
    let packed = File::new("packed.json.gz", &gzip(&text));
    // Two members, as `cat a.gz b.gz` makes them.
    let halves = [gzip(&text[..text.len() / 2]), gzip(&text[text.len() / 2..])].concat();
    let members = File::new("members.json.gz", &halves);
    for file in [&plain, &packed, &members] {
        let Ok(Document::Graph(graph)) = read::load_path(&file.0) else { panic!("{}", file.0.display()) };
        assert_eq!(graph.trace(), &synthetic::tiny(1));
    }
}

#[test]
fn a_truncated_or_damaged_gzip() {
    let mut bytes = gzip(&serde_json::to_vec(&synthetic::tiny(1)).expect("JSON"));
    for length in [2, 9, 20, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(File::new("cut.gz", &bytes[..length]).error(), LoadError::Gzip { .. }), "{length}");
    }
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    assert!(matches!(File::new("flipped.gz", &bytes).error(), LoadError::Gzip { .. } | LoadError::Json { .. }));
}

#[test]
fn a_zip_bomb_stops_at_the_limit() {
    // Spaces, so that a reader that did not count would only find out at the end.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..=DOCUMENT_LIMIT >> 20 {
        encoder.write_all(&chunk).expect("memory");
    }
    let bomb = encoder.finish().expect("memory");
    assert!(bomb.len() < 2 << 20);
    let error = File::new("bomb.gz", &bomb).error();
    assert!(matches!(error, LoadError::TooLarge { limit: DOCUMENT_LIMIT, .. }));
    assert!(error.to_string().ends_with("larger than 128 MiB after decompression; is this a trace?"), "{error}");
}

#[cfg(unix)]
#[test]
fn an_endless_file_stops_at_the_limit() {
    let error = read::load(&Source::new("/dev/zero")).expect_err("endless");
    assert!(matches!(error, LoadError::TooLarge { .. }));
}

#[test]
fn folders_and_missing_files() {
    let folder = std::env::temp_dir();
    assert!(matches!(read::load(&Source::Path(folder)), Err(LoadError::Io { .. })));
    assert!(matches!(read::load_path("no/such/file.json"), Err(LoadError::Io { .. })));
}

#[test]
fn a_device_of_one_s_own() {
    let good = r#"{"name": "mine", "bandwidth_gb_s": 100, "launch_ns": 0, "gflops": {"float32": 10}}"#;
    let model = CostModel::load(&File::new("good.json", good.as_bytes()).0).expect("a device");
    assert_eq!(model.of().name, "mine");
    let zero = good.replace("100", "0");
    let error = CostModel::load(&File::new("zero.json", zero.as_bytes()).0).expect_err("no bandwidth");
    assert!(error.to_string().ends_with("is not valid:\nbandwidth_gb_s: must be at least 1"), "{error}");
    let negative = good.replace("10}", "-10}");
    let error = CostModel::load(&File::new("negative.json", negative.as_bytes()).0).expect_err("a negative rate");
    assert!(error.to_string().contains("gflops.float32: invalid value: integer `-10`"), "{error}");
}

#[test]
fn deep_nesting() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        assert!(read::parse(deep.as_bytes(), "t").is_err(), "{open}");
        let inside = format!(r#"{{"format": "trace/1", "storages": {deep}}}"#);
        assert!(matches!(read::parse(inside.as_bytes(), "t"), Err(LoadError::Json { .. })), "{open}");
        let ignored = format!(r#"{{"format": "chain/1", "x": {deep}, "layers": [{{"bytes": 1}}]}}"#);
        // Either answer will do, a crash would not.
        drop(read::parse(ignored.as_bytes(), "t"));
    }
}

#[test]
fn numbers_that_are_none() {
    let chain = |bytes: &str| error(&format!("{{\"format\": \"chain/1\",\n \"layers\": [{{\"bytes\": {bytes}}}]}}"));
    assert_eq!(chain("-1"), "t: layers[0].bytes: invalid value: integer `-1`, expected u64 (line 2 column 24)");
    assert_eq!(chain("1.5"), "t: layers[0].bytes: invalid type: floating point `1.5`, expected u64 (line 2 column 25)");
    assert!(chain("1e400").contains("number out of range"));
    assert!(chain("99999999999999999999999").contains("layers[0].bytes: invalid type: floating point"));
    assert!(chain("NaN").starts_with("t: "), "{}", chain("NaN"));
    assert!(chain("-Infinity").starts_with("t: "));
    assert!(chain("\"12\"").contains("layers[0].bytes: invalid type: string \"12\", expected u64"));
    let index = error(
        r#"{"format": "trace/1", "name": "x", "block": 512, "storages": [], "backward": [],
            "operators": [{"name": "a", "op": "b", "saves": [], "kernels": [{"op": "c", "reads": [4294967296], "writes": []}]}]}"#,
    );
    assert!(index.contains("operators[0].kernels[0].reads[0]: invalid value: integer `4294967296`"), "{index}");
}

#[test]
fn documents_of_another_shape() {
    assert!(error("").contains("document: there is nothing in it"));
    assert!(error(r#"{"format": "trace/1", "#).contains("document: EOF"));
    assert!(error(r#"{"format": "trace/1", "storages": [{"#).contains("storages: EOF"));
    assert!(error("[1, 2]").contains("expected a JSON object"));
    // A list that has the values of all fields in their order, which serde alone would take for a document.
    assert!(error(r#"["chain/1", "x", [{"bytes": 1}]]"#).contains("expected a JSON object"));
    assert!(error("null").contains("expected a JSON object"));
    assert!(error("{}").ends_with(r#"format: expected "trace/1" or "chain/1", found nothing"#));
    assert!(error(r#"{"format": "trace/2"}"#).ends_with(r#"found "trace/2""#));
    assert!(error(r#"{"format": 7}"#).contains("format: invalid type: integer `7`"));
    assert!(error(r#"{"format": "chain/1"}"#).contains("missing field `layers`"));
    assert!(error(r#"{"format": "chain/1", "layers": [{"bytes": 1}]} {}"#).contains("trailing characters"));
    assert!(error(r#"{"format": "chain/1", "layers": [], "layers": []}"#).contains("duplicate field `layers`"));
    assert!(read::parse(b"\xff\xfe{}", "t").is_err());
}

#[test]
fn messages_stay_short_and_printable() {
    let long = "x\u{1b}[31m".repeat(100_000);
    let document = json!({"format": long, "layers": []}).to_string();
    let message = error(&document);
    assert!(message.len() < 2000 && !message.contains('\u{1b}'), "{} bytes", message.len());
    let document = json!({"format": "trace/1", "name": "", "block": 1, "storages": [{"bytes": 1, "kind": long}]});
    let message = error(&document.to_string());
    assert!(message.len() < 2000 && !message.contains('\u{1b}'), "{} bytes", message.len());
}

#[test]
fn lists_without_end() {
    let entries = "{\"bytes\":0,\"kind\":\"input\"},".repeat(ENTRIES_LIMIT + 1);
    let text = format!(r#"{{"format":"trace/1","name":"n","block":1,"storages":[{entries}"#);
    let message = error(&format!(r#"{}],"operators":[],"backward":[]}}"#, text.trim_end_matches(',')));
    assert!(message.contains("storages: more than 1048576 entries"), "{message}");
}

/// One operator with many kernels, saves and backward kernels, another with many nodes: none may cost their product.
#[test]
fn one_operator_of_a_hundred_thousand_kernels_and_saves() {
    const N: u32 = 100_000;
    let mut storages: Vec<_> = (0..N).map(|_| json!({"bytes": 1, "kind": "activation"})).collect();
    storages.push(json!({"bytes": 1, "kind": "gradient"}));
    let kernels: Vec<_> = (0..N).map(|i| json!({"op": "k", "reads": [], "writes": [i]})).collect();
    let saves: Vec<_> = (0..N).rev().map(|i| json!([i, i + 1])).collect();
    let mut backward = vec![json!({"of": null, "op": "ones", "reads": [], "writes": [N]})];
    // Changing node names make every kernel a node of its own.
    backward.extend(
        (0..N).map(|i| json!({"of": 0, "node": format!("n{}", i % 2), "op": "b", "reads": [i, N], "writes": []})),
    );
    let trace: Trace = serde_json::from_value(json!({
        "format": "trace/1", "name": "wide", "block": 512, "storages": storages, "backward": backward,
        "operators": [{"name": "a", "op": "a", "kernels": kernels, "saves": saves},
                      {"name": "loss", "op": "loss", "kernels": [], "saves": []}],
        "modules": (0..N).map(|_| json!({"path": "m", "start": 0, "end": 1})).collect::<Vec<_>>(),
    }))
    .expect("well-formed");
    let graph = Graph::new(trace.clone()).expect("valid");
    assert_eq!(graph.nodes().len(), N as usize + 1);
    assert_eq!(graph.nodes().iter().map(|n| n.frees.len()).sum::<usize>(), N as usize);
    // The same with every kernel waiting for the next one: a cycle through all of them.
    let mut cyclic = trace;
    for (i, kernel) in cyclic.operators[0].kernels.iter_mut().enumerate() {
        kernel.reads = vec![(i as u32 + 1) % N];
    }
    let faults = Graph::new(cyclic).expect_err("a cycle");
    assert_eq!(faults.shown.len() + faults.hidden, N as usize - 1 + 1);
}
