//! Documents that cannot be read: exit code 2, and the place of what is wrong.

use snapbox::str;

use crate::{CHAIN, Folder, STEP, gzip, remat};

/// Plans a document and expects a refusal.
fn refused(content: impl AsRef<[u8]>) -> snapbox::cmd::OutputAssert {
    Folder::new().with("g.json", content).remat("plan g.json").assert().code(2).stdout_eq("")
}

#[test]
fn a_missing_file() {
    remat("plan missing.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot read missing.json: No such file or directory (os error 2)
hint: GRAPH is a path, or - for standard input

"#]]);
}

#[test]
fn a_name_that_comes_close() {
    remat("plan resnet50").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no file and no built-in step named resnet50
hint: the zoo has resnet50-b32, resnet50-b64-amp, resnet101-b32, resnet18-b64

"#]]);
}

#[test]
fn a_name_like_no_other() {
    remat("plan nothing").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no file and no built-in step named nothing
hint: `remat zoo` lists the built-in steps; a path has a folder or an extension

"#]]);
}

#[test]
fn a_folder() {
    Folder::new().remat("plan ..").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot read ..: is a directory
hint: name a file in it

"#]]);
}

#[test]
fn nothing_at_all() {
    refused("").stderr_eq(str![[r#"
error: g.json: document: there is nothing in it (line 1 column 1)

"#]]);
}

#[test]
fn no_json() {
    refused("digraph {}").stderr_eq(str![[r#"
error: g.json: document: expected a JSON object: the first character must be { (line 1 column 1)

"#]]);
}

#[test]
fn bytes_that_are_no_text() {
    refused(b"{\"format\": \"chain/1\", \"name\": \"\xff\"}").stderr_eq(str![[r#"
error: g.json: name: invalid unicode code point (line 1 column 32)

"#]]);
}

#[test]
fn a_gzip_stream_cut_short() {
    let whole = gzip(STEP.as_bytes());
    refused(&whole[..whole.len() / 2]).stderr_eq(str![[r#"
error: g.json: the gzip stream is damaged or cut short: incomplete deflate stream
hint: copy or compress the file again

"#]]);
}

#[test]
fn a_gzip_stream_with_a_flipped_bit() {
    let mut whole = gzip(STEP.as_bytes());
    let end = whole.len();
    whole[end - 6] ^= 1;
    refused(whole).stderr_eq(str![[r#"
error: g.json: the gzip stream is damaged or cut short: corrupt gzip stream does not have a matching checksum
hint: copy or compress the file again

"#]]);
}

#[test]
fn a_gzip_bomb() {
    // A quarter of a GiB of spaces in a quarter of a MiB.
    refused(gzip(&vec![b' '; 256 << 20])).stderr_eq(str![[r#"
error: g.json: larger than 128 MiB after decompression; is this a trace?

"#]]);
}

#[test]
fn deep_nesting() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused(&deep).stderr_eq(str![[r#"
error: g.json: document: expected a JSON object: the first character must be { (line 1 column 1)

"#]]);
    refused(format!(r#"{{"format": "trace/1", "unknown": {deep}}}"#)).stderr_eq(str![[r#"
error: g.json: document: missing field `name` (line 1 column 200034)

"#]]);
}

#[test]
fn a_document_without_a_format() {
    refused("{}").stderr_eq(str![[r#"
error: g.json: format: expected "trace/1" or "chain/1", found nothing

"#]]);
}

#[test]
fn a_format_of_the_future() {
    refused(CHAIN.replace("chain/1", "chain/2")).stderr_eq(str![[r#"
error: g.json: format: expected "trace/1" or "chain/1", found "chain/2"

"#]]);
}

#[test]
fn a_plan_in_place_of_a_graph() {
    refused(r#"{"format": "plan/1", "segments": []}"#).stderr_eq(str![[r#"
error: g.json: format: expected "trace/1" or "chain/1", found "plan/1"
hint: this is a plan; the graph comes first, then the plan

"#]]);
}

#[test]
fn not_a_number() {
    refused(CHAIN.replace("3000", "NaN")).stderr_eq(str![[r#"
error: g.json: layers: expected value (line 2 column 30)

"#]]);
}

#[test]
fn less_than_nothing() {
    refused(CHAIN.replace("3000", "-3000")).stderr_eq(str![[r#"
error: g.json: layers[1].bytes: invalid value: integer `-3000`, expected u64 (line 2 column 34)

"#]]);
}

#[test]
fn a_fraction_of_a_byte() {
    refused(CHAIN.replace("3000", "3000.5")).stderr_eq(str![[r#"
error: g.json: layers[1].bytes: invalid type: floating point `3000.5`, expected u64 (line 2 column 35)

"#]]);
}

#[test]
fn more_than_64_bits() {
    refused(CHAIN.replace("3000", "18446744073709551616")).stderr_eq(str![[r#"
error: g.json: layers[1].bytes: invalid type: floating point `1.8446744073709552e+19`, expected u64 (line 2 column 49)

"#]]);
}

#[test]
fn sizes_whose_sum_overflows() {
    refused(CHAIN.replace("3000", "18446744073709551615")).stderr_eq(str![[r#"
error: g.json is not valid:
  layers[1].bytes: sizes overflow: all layers together exceed 2^62 bytes

"#]]);
    refused(
        STEP.replace(
            r#""bytes": 3000, "kind": "activation""#,
            r#""bytes": 18446744073709551615, "kind": "activation""#,
        ),
    )
    .stderr_eq(str![[r#"
error: g.json is not valid:
  storages[2].bytes: sizes overflow: all storages together exceed 2^56 bytes

"#]]);
}

#[test]
fn a_chain_of_nothing() {
    refused(r#"{"format": "chain/1", "layers": []}"#).stderr_eq(str![[r#"
error: g.json is not valid:
  layers: is empty; a chain has at least one layer

"#]]);
}

#[test]
fn a_step_without_operators() {
    refused(r#"{"format": "trace/1", "name": "x", "block": 512, "storages": [], "operators": [], "backward": []}"#)
        .stderr_eq(str![[r#"
error: g.json is not valid:
  operators: is empty; the last operator must be the loss

"#]]);
}

#[test]
fn a_block_of_nothing() {
    refused(STEP.replace(r#""block": 512"#, r#""block": 0"#)).stderr_eq(str![[r#"
error: g.json is not valid:
  block: must be between 1 and 2^32 bytes, found 0

"#]]);
}

#[test]
fn a_storage_that_is_not_there() {
    refused(STEP.replace(r#""reads": [0, 4]"#, r#""reads": [0, 99]"#)).stderr_eq(str![[r#"
error: g.json is not valid:
  backward[1].reads[1]: storage 99 is out of range: there are 6 storages

"#]]);
}

#[test]
fn an_operator_that_is_not_there() {
    refused(STEP.replace(r#"{"of": 1,"#, r#"{"of": 7,"#)).stderr_eq(str![[r#"
error: g.json is not valid:
  backward[0].of: operator 7 is out of range: there are 2 operators

"#]]);
}

#[test]
fn a_save_after_more_kernels_than_there_are() {
    refused(STEP.replace(r#""saves": [[2, 0]]"#, r#""saves": [[2, 9]]"#)).stderr_eq(str![[r#"
error: g.json is not valid:
  operators[1].saves[0]: is saved after 9 kernels, but the operator has 1

"#]]);
}

#[test]
fn a_kind_of_storage_that_is_not_known() {
    refused(STEP.replace(r#""kind": "param_grad""#, r#""kind": "optimizer""#)).stderr_eq(str![[r#"
error: g.json: storages[5].kind: unknown variant `optimizer`, expected one of `param`, `buffer`, `input`, `constant`, `activation`, `gradient`, `param_grad` (line 8 column 36)

"#]]);
}

#[test]
fn escapes_in_a_document_do_not_reach_the_terminal() {
    let said = refused(CHAIN.replace("chain/1", r"\u001b[31mred\u0007"));
    assert!(!said.get_output().stderr.contains(&0x1b));
    let named = CHAIN.replace("four", r"\u001b[31mfour");
    let folder = Folder::new().with("g.json", named);
    let shown = folder.remat("inspect g.json").assert().success();
    assert!(!shown.get_output().stdout.contains(&0x1b));
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_unicode() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.json");
    let folder = Folder::new();
    folder.remat("plan").arg(name).assert().code(2).stdout_eq("");
    if std::fs::write(folder.0.path().join(name), CHAIN).is_ok() {
        folder.remat("plan").arg(name).assert().success().stderr_eq("");
    }
}
