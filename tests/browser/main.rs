//! Reports in a real browser: nothing is fetched, nothing fails, pointer and keyboard work, and the numbers shown are the
//! plan's.
//!
//! Needs Chromium or Chrome: the program that `REMAT_BROWSER` names, or one on the path. Without one every test is
//! ignored, and a line says so. `REMAT_SCREENSHOTS=FOLDER` leaves pictures of the pages there, for people to look at.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod browser;
mod checks;
mod pages;
mod pictures;

use std::process::ExitCode;
use std::sync::Arc;

use browser::Browser;
use libtest_mimic::{Arguments, Trial};
use pages::Pages;

type Check = fn(&Browser, &Pages);

const CHECKS: [(&str, Check); 10] = [
    ("opens_without_errors_and_requests", checks::opens_quietly),
    ("shows_the_numbers_of_the_plan", checks::numbers),
    ("shows_every_moment_as_predicted", checks::moments),
    ("the_pointer_tells_what_is_alive", checks::pointer),
    ("the_keyboard_tells_what_is_alive", checks::keyboard),
    ("shows_regions_within_regions", checks::nested),
    ("fits_a_phone", checks::phone),
    ("follows_the_theme_and_the_switch", checks::themes),
    ("prints_on_white_with_everything_open", checks::print),
    ("needs_no_script_to_be_read", checks::without_script),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let program = browser::find();
    let is_there = program.is_some();
    if !is_there {
        eprintln!("SKIPPED: no browser found; install chromium, or name one in REMAT_BROWSER");
    }
    // Started when the first check needs them; a listing of tests needs neither.
    let started = program.filter(|_| !arguments.list).map(|program| (Browser::start(&program), Pages::make()));
    let started = Arc::new(started);
    let trial = |(name, check): (&str, Check)| {
        let started = Arc::clone(&started);
        Trial::test(name, move || {
            let (browser, pages) = started.as_ref().as_ref().ok_or("no browser")?;
            check(browser, pages);
            Ok(())
        })
        .with_ignored_flag(!is_there)
    };
    let trials = CHECKS.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let (Some(folder), Some((browser, pages))) = (std::env::var_os("REMAT_SCREENSHOTS"), started.as_ref()) {
        pictures::take(browser, pages, folder.as_ref());
    }
    // The browser ends with it.
    drop(started);
    conclusion.exit_code()
}
