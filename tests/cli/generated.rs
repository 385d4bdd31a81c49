//! Manual pages and completion scripts, kept in `src/generated` for those who package remat.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use crate::{Folder, remat, stdout};

/// Where they are kept.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/generated");

/// What the arguments give now: path within the folder, and content.
fn generated() -> BTreeMap<String, String> {
    let printed = |arguments: &str| stdout(&remat(arguments).assert().success().stderr_eq(""));
    let page = printed("man");
    // Every command is named in the page of remat itself.
    let commands = page.lines().filter_map(|l| l.strip_prefix("remat\\-")?.strip_suffix("(1)"));
    let mut files: BTreeMap<String, String> =
        commands.map(|c| (format!("man/remat-{c}.1"), printed(&format!("man {c}")))).collect();
    assert!(files.len() >= 9, "commands are missing from the manual: {:?}", files.keys());
    files.insert("man/remat.1".into(), page);
    let shells = [
        ("bash", "remat.bash"),
        ("elvish", "remat.elv"),
        ("fish", "remat.fish"),
        ("powershell", "_remat.ps1"),
        ("zsh", "_remat"),
    ];
    for (shell, name) in shells {
        files.insert(format!("completions/{name}"), printed(&format!("completions {shell}")));
    }
    files
}

/// What is in the folder.
fn kept() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in ["completions", "man"] {
        let entries = fs::read_dir(Path::new(FOLDER).join(folder)).into_iter().flatten();
        for path in entries.map(|e| e.expect("list").path()) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            files.insert(format!("{folder}/{name}"), fs::read_to_string(&path).expect("read"));
        }
    }
    files
}

#[test]
fn manual_pages_and_completions_are_up_to_date() {
    let (new, old) = (generated(), kept());
    if env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            fs::remove_file(Path::new(FOLDER).join(name)).expect("remove");
        }
        for (name, text) in new.iter().filter(|(name, text)| old.get(*name) != Some(*text)) {
            let path = Path::new(FOLDER).join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("create");
            fs::write(path, text).expect("write");
        }
        return;
    }
    let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
    let stale: Vec<&String> = names.filter(|name| new.get(*name) != old.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "stale in src/generated: {stale:?}\nbring them up to date: SNAPSHOTS=overwrite cargo test --test cli"
    );
}

#[test]
fn help_fits_eighty_columns_and_has_examples() {
    let page = stdout(&remat("man").assert().success());
    let commands = page.lines().filter_map(|l| l.strip_prefix("remat\\-")?.strip_suffix("(1)"));
    for command in [""].into_iter().chain(commands) {
        for flag in ["-h", "--help"] {
            let help = stdout(&remat(&format!("{command} {flag}")).assert().success().stderr_eq(""));
            let widest = help.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{command} {flag}: {widest:?} columns\n{help}");
            let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command} has no examples"));
            for line in examples.lines() {
                assert!(line.starts_with("  ") && line.contains("remat "), "{command} {flag} is wrapped:\n{help}");
            }
        }
    }
}

#[test]
fn examples_of_the_help_work() {
    let folder = Folder::new();
    let page = stdout(&remat("man").assert().success());
    let commands = page.lines().filter_map(|l| l.strip_prefix("remat\\-")?.strip_suffix("(1)"));
    for command in [""].into_iter().chain(commands) {
        let help = stdout(&remat(&format!("{command} --help")).assert().success());
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples");
        for line in examples.lines() {
            // What a shell would run first; files that exist only in examples are left out.
            let line = line.split(['#', '|', '>']).next().unwrap_or_default().trim();
            let Some(arguments) = line.strip_prefix("remat ") else { continue };
            if ["plan.json", "step.trace.json.gz", "frontier"].iter().any(|file| arguments.contains(file)) {
                continue;
            }
            folder.remat(&arguments.replace('\'', "")).assert().success();
        }
    }
}
