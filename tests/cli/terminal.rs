//! The command line as it looks on a terminal.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs remat with these arguments, separated by spaces, with standard error on a terminal of so many columns.
///
/// Returns what it wrote to standard output, which is a pipe, and what the terminal was sent.
pub(crate) fn watched(arguments: &str, columns: u16, environment: &[(&str, &str)]) -> (String, String) {
    let (terminal, other_end) = pair(columns);
    let mut command = command(arguments);
    command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(other_end);
    let child = command.spawn().expect("start");
    // The terminal ends when nobody has its other end any more.
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // Linux says that a terminal has ended by an error.
        let _ = File::from(terminal).read_to_end(&mut seen);
        String::from_utf8(seen).expect("text").replace("\r\n", "\n")
    });
    let done = child.wait_with_output().expect("wait");
    assert!(done.status.success(), "{done:?}");
    (String::from_utf8(done.stdout).expect("text"), reader.join().expect("read"))
}

/// Runs remat with standard output on a terminal; returns its exit code and what it wrote to standard error.
pub(crate) fn shown(arguments: &str) -> (Option<i32>, String) {
    // Nobody reads it: only for what writes less than a terminal holds.
    let (_terminal, other_end) = pair(80);
    let done = command(arguments).stdin(Stdio::null()).stdout(other_end).stderr(Stdio::piped()).output();
    let done = done.expect("start");
    (done.status.code(), String::from_utf8(done.stderr).expect("text"))
}

/// Both ends of a terminal with so many columns.
fn pair(columns: u16) -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("grant");
    unlockpt(&terminal).expect("unlock");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("size");
    let name = ptsname(&terminal, Vec::new()).expect("name");
    let other_end =
        File::options().read(true).write(true).open(name.to_str().expect("name")).expect("the terminal's other end");
    (terminal, other_end)
}

fn command(arguments: &str) -> Command {
    let mut command = Command::new(snapbox::cmd::cargo_bin!("remat"));
    command.args(arguments.split_whitespace()).env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}
