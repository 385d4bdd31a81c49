//! Python literals.

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
