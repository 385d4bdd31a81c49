//! The command line as its users meet it: command, exit code, standard output and standard error.
//!
//! `SNAPSHOTS=overwrite cargo test -p remat --test cli` writes down what the commands say now.

// Snapshots are rewritten by a tool that always writes hashes.
#![allow(clippy::needless_raw_string_hashes)]
#![expect(clippy::expect_used, reason = "tests")]

mod answers;
mod documents;
mod emit;
mod files;
mod generated;
mod graphs;
mod plans;
mod report;
mod slips;
#[cfg(target_os = "linux")]
mod terminal;
mod timeline;
mod usage;

use std::fs;
use std::path::PathBuf;

use snapbox::cmd::{Command, OutputAssert};

/// A folder of its own for one test, removed with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for temporary files"))
    }

    /// Writes a file into the folder.
    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).expect("write");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }

    /// All names in the folder, ascending.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("list");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("list").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// remat with these arguments, separated by spaces, run in the folder.
    fn remat(&self, arguments: &str) -> Command {
        remat(arguments).current_dir(self.0.path())
    }
}

/// remat with these arguments, separated by spaces.
fn remat(arguments: &str) -> Command {
    let mut command = Command::new(snapbox::cmd::cargo_bin!("remat")).env("LC_ALL", "C.UTF-8");
    // Nor do those who run the tests choose the colours.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command = command.env_remove(name);
    }
    command.args(arguments.split_whitespace())
}

/// What a command wrote to standard output.
fn stdout(assert: &OutputAssert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).expect("text")
}

/// Text without styles.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Standard output of a command that succeeds, as JSON.
fn json(arguments: &str) -> serde_json::Value {
    let done = remat(arguments).assert().success().stderr_eq("");
    serde_json::from_str(&stdout(&done)).expect("JSON")
}

/// Compresses a text.
fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("compress");
    encoder.finish().expect("compress")
}

/// A chain of four layers.
const CHAIN: &str = r#"{"format": "chain/1", "name": "four", "layers": [
  {"bytes": 1000}, {"bytes": 3000, "name": "wide"}, {"bytes": 2000}, {"bytes": 1000}]}"#;

/// The smallest step: one input, one parameter, one operator and a loss.
const STEP: &str = r#"{"format": "trace/1", "name": "tiny", "device": "cuda", "autocast": null, "torch": "2", "block": 512,
"storages": [
 {"bytes": 1000, "kind": "input"},
 {"bytes": 2000, "kind": "param"},
 {"bytes": 3000, "kind": "activation"},
 {"bytes": 4, "kind": "activation"},
 {"bytes": 3000, "kind": "gradient", "dies": 1},
 {"bytes": 2000, "kind": "param_grad", "of": 1}],
"operators": [
 {"name": "linear", "op": "linear.default", "module": "fc", "random": false,
  "kernels": [{"op": "mm", "reads": [0, 1], "writes": [2], "flops": 10, "bytes": 6000, "dtype": "float32"}], "saves": [[0, 0]]},
 {"name": "loss", "op": "mse_loss", "module": "", "random": false,
  "kernels": [{"op": "mse", "reads": [2], "writes": [3], "flops": 1, "bytes": 3000, "dtype": "float32"}], "saves": [[2, 0]]}],
"backward": [
 {"of": 1, "node": "MseBackward", "op": "mse_backward", "reads": [2], "writes": [4], "flops": 1, "bytes": 3000, "dtype": "float32"},
 {"of": 0, "node": "MmBackward", "op": "mm", "reads": [0, 4], "writes": [5], "flops": 10, "bytes": 6000, "dtype": "float32"}]}"#;
