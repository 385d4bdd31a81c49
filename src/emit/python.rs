//! Python literals, and files of code put together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where lines are broken.
const WIDTH: usize = 120;

/// A string literal of printable ASCII characters.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            ' '..='~' => write!(out, "{c}"),
            _ if c <= '\u{ffff}' => write!(out, "\\u{:04x}", u32::from(c)),
            _ => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out.push('"');
    out
}

/// Text that can stand in a docstring.
pub(super) fn prose(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '?' }).collect()
}

/// Items between brackets: on the line that `prefix` begins if they fit, otherwise on lines of their own.
pub(super) fn list(prefix: &str, indent: usize, [open, close]: [char; 2], items: &[String], suffix: &str) -> String {
    let margin = " ".repeat(indent);
    let line = format!("{margin}{prefix}{open}{}{close}{suffix}", items.join(", "));
    if line.len() <= WIDTH && !line.contains('\n') {
        return line;
    }
    let mut out = format!("{margin}{prefix}{open}");
    let inner = format!("\n{margin}    ");
    let mut column = WIDTH;
    for item in items {
        if column + item.len() + 2 > WIDTH {
            out.push_str(&inner);
            column = inner.len() - 1;
        } else {
            out.push(' ');
        }
        column += item.len() + 2;
        out.push_str(item);
        out.push(',');
    }
    let _ = write!(out, "\n{margin}{close}{suffix}");
    out
}

/// A file of the Python package: what it imports from outside of the package, and its code.
pub(super) struct Part<'a> {
    imports: Vec<&'a str>,
    pub(super) body: &'a str,
}

impl<'a> Part<'a> {
    /// Takes a file apart: documentation, imports of one line each, then code.
    pub(super) fn of(file: &'a str) -> Self {
        let is_import = |line: &str| line.starts_with("import ") || line.starts_with("from ");
        let (mut imports, mut at, mut end) = (Vec::new(), 0, 0);
        for line in file.split_inclusive('\n') {
            at += line.len();
            if is_import(line) {
                imports.push(line.trim_end());
                end = at;
            } else if end > 0 && !line.trim().is_empty() {
                break;
            }
        }
        imports.retain(|line| !line.starts_with("from .") && !line.starts_with("from __future__"));
        Self { imports, body: file[end..].trim() }
    }
}

/// The imports of several parts: the standard library's, then those of PyTorch; each name once.
pub(super) fn imports(parts: &[Part<'_>]) -> String {
    let mut names: BTreeMap<(bool, bool, &str), Vec<&str>> = BTreeMap::new();
    for line in parts.iter().flat_map(|p| &p.imports) {
        let (from, module, imported) = match line.strip_prefix("from ").and_then(|l| l.split_once(" import ")) {
            Some((module, imported)) => (true, module, imported),
            None => (false, line.trim_start_matches("import "), ""),
        };
        let known = names.entry((module.starts_with("torch"), from, module)).or_default();
        known.extend(imported.split(", ").filter(|n| !n.is_empty()));
    }
    let mut out = String::from("from __future__ import annotations\n");
    let mut group = None;
    for ((is_torch, from, module), mut imported) in names {
        if group.replace(is_torch) != Some(is_torch) {
            out.push('\n');
        }
        imported.sort_unstable_by_key(|name| (name.starts_with(char::is_lowercase), *name));
        imported.dedup();
        let _ = if from {
            writeln!(out, "from {module} import {}", imported.join(", "))
        } else {
            writeln!(out, "import {module}")
        };
    }
    out.truncate(out.trim_end().len());
    out
}
