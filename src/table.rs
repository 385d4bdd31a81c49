//! Tables for people: columns under a rule, numbers to the right, no borders.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::glyphs::Glyphs;
use crate::output::printable;
use crate::terminal::{self, Canvas};

/// Longest rule where no terminal says how wide it is.
const WIDEST_RULE: usize = 100;

/// A rule under the header and nothing else.
fn style() -> TableStyle {
    let rule = Glyphs::new(Canvas::stdout().is_unicode).base;
    TableStyle::new().header_separator(LineStyle::none().fill(rule).junction(rule))
}

/// A table whose columns are aligned by a letter each: `l` to the left, `r` to the right.
pub(crate) fn new(header: &[&str], alignment: &str) -> Table {
    spaced(header, alignment, 2)
}

/// A table of many columns, closer together.
pub(crate) fn wide(header: &[&str], alignment: &str) -> Table {
    spaced(header, alignment, 1)
}

fn spaced(header: &[&str], alignment: &str, space: u16) -> Table {
    let mut table = Table::new();
    // Lines stay whole at any width; terminals wrap them.
    table.load_style(style()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for (i, letter) in alignment.chars().enumerate() {
        if let Some(column) = table.column_mut(i) {
            column.set_padding((0, space));
            if letter == 'r' {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// Adds a row of plain text.
pub(crate) fn row(table: &mut Table, cells: impl IntoIterator<Item = String>) {
    table.add_row(cells.into_iter().map(|cell| printable(&cell).replace('\n', " ")));
}

/// The table as text, without spaces at the ends of lines, with a newline at the end.
pub(crate) fn text(table: &Table) -> String {
    let rule = Glyphs::new(Canvas::stdout().is_unicode).base;
    let line = |line: String| match line.trim_end() {
        // A rule that runs into the next line looks like two.
        line if line.starts_with(rule) => line.chars().take(terminal::columns().unwrap_or(WIDEST_RULE)).collect(),
        line => line.to_owned(),
    };
    let mut text: String = table.lines().flat_map(|text| [line(text), "\n".into()]).collect();
    if text.is_empty() {
        text.push('\n');
    }
    text
}

/// Names and values, one pair a line.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.into_iter().fold(String::new(), |text, (name, value)| {
        format!("{text}{name:<width$}  {}\n", printable(&value).replace('\n', " "))
    })
}

/// Hundredths of a percent as a percentage with one decimal; a dash for a share of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".into();
    }
    let tenths = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// A count of things, in the plural where it is not one.
pub(crate) fn count(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// A count with a decimal unit, such as 12.3 GFLOP.
pub(crate) fn flops(flops: u64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let power = (flops.max(1).ilog10() / 3) as usize;
    if power == 0 {
        return format!("{flops} FLOP");
    }
    let scale = 10u128.pow(3 * power as u32);
    let tenths = (u128::from(flops) * 10 + scale / 2) / scale;
    format!("{}.{} {}FLOP", tenths / 10, tenths % 10, UNITS[power])
}

/// Seconds in the unit that suits them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
