//! The characters that charts and tables are made of.

/// One set of characters.
#[derive(Debug)]
pub(crate) struct Glyphs {
    /// A cell filled from the bottom: empty first, full last.
    pub fill: &'static [char],
    /// A full cell above the budget.
    pub over: char,
    /// The budget, where a cell is empty.
    pub limit: char,
    /// Where the peak is.
    pub marker: char,
    /// The vertical axis, and where it has a label.
    pub axis: char,
    /// See `axis`.
    pub tick: char,
    /// Where the axes meet.
    pub corner: char,
    /// The horizontal axis, and where something runs again.
    pub base: char,
    /// See `base`.
    pub again: char,
    /// The start of a phase on the horizontal axis, and above it.
    pub joint: char,
    /// See `joint`.
    pub split: char,
    /// In place of the end of a text.
    pub tail: &'static str,
}

static UNICODE: Glyphs = Glyphs {
    fill: &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    over: '▒',
    limit: '╌',
    marker: '▼',
    axis: '│',
    tick: '┤',
    corner: '└',
    base: '─',
    again: '═',
    joint: '┴',
    split: '┊',
    tail: "…",
};

static ASCII: Glyphs = Glyphs {
    fill: &[' ', '.', ':', '#'],
    over: '%',
    limit: '-',
    marker: 'v',
    axis: '|',
    tick: '+',
    corner: '+',
    base: '-',
    again: '=',
    joint: '+',
    split: '|',
    tail: "...",
};

impl Glyphs {
    /// The set for a canvas that can show more than ASCII, or cannot.
    pub(crate) fn new(is_unicode: bool) -> &'static Self {
        if is_unicode { &UNICODE } else { &ASCII }
    }

    /// Steps from an empty cell to a full one.
    pub(crate) fn steps(&self) -> usize {
        self.fill.len() - 1
    }
}
