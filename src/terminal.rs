//! What there is to draw on.

use std::env;
use std::io::IsTerminal;

use console::Term;

/// Where text is drawn: how wide it may be, and in which characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// Columns.
    pub width: usize,
    /// May it hold more than ASCII?
    pub is_unicode: bool,
}

impl Canvas {
    /// Width for pipes and wide terminals.
    const WIDEST: usize = 80;
    /// Below, lines are wrapped by the terminal.
    const NARROWEST: usize = 40;

    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::on(&std::io::stdout(), &Term::stdout())
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Self::on(&std::io::stderr(), &Term::stderr())
    }

    fn on(stream: &impl IsTerminal, terminal: &Term) -> Self {
        let columns = terminal.size_checked().map_or(Self::WIDEST, |(_, columns)| usize::from(columns));
        let is_terminal = stream.is_terminal();
        Self { width: columns.clamp(Self::NARROWEST, Self::WIDEST), is_unicode: is_unicode(is_terminal) }
    }
}

/// Columns of the terminal that standard output goes to, if it does.
pub(crate) fn columns() -> Option<usize> {
    Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// A pipe takes UTF-8 unless the locale says otherwise; a terminal has to be known for it.
fn is_unicode(is_terminal: bool) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().any(is_set);
    !(is_terminal || has_locale) || supports_unicode::supports_unicode()
}
