//! Progress of long work, for whoever watches standard error.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;
use crate::terminal::Canvas;

/// Work that takes less shows nothing.
const DELAY: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(120);

/// A line on a terminal while work goes on; it is gone when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Absent where nobody watches.
    starter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Work without a known length: what it is, and for how long it has been going on.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner} {wide_msg} {elapsed}"));
        bar.set_message(output::printable(&what.into()));
        // A dumb terminal cannot redraw a line.
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let starter = (output::is_watched() && !is_dumb).then(|| start(&bar));
        Self { bar, starter }
    }

    /// So much of so much is done.
    pub(crate) fn at(&self, done: u64, all: u64) {
        if self.bar.length() != Some(all) {
            self.bar.set_style(style("{msg} {wide_bar} {percent:>3}% {eta:>4}"));
            self.bar.set_length(all);
        }
        self.bar.set_position(done);
    }

    /// What is done now.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        self.bar.set_message(output::printable(&what.into()));
    }
}

/// Shows the bar once its time has come.
fn start(bar: &ProgressBar) -> (Sender<()>, JoinHandle<()>) {
    let (ended, end) = mpsc::channel();
    let bar = bar.clone();
    let thread = thread::spawn(move || {
        if end.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
        }
    });
    (ended, thread)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.starter.take() {
            drop(ended);
            // It cannot have panicked in a way that matters to the work.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if Canvas::stderr().is_unicode { style } else { style.progress_chars("#>-").tick_chars("-\\|/ ") }
}
