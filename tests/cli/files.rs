//! Files are written whole or not at all, and what was there is never lost.

use std::fs;

use snapbox::str;

use crate::{CHAIN, Folder, remat, stdout};

#[test]
fn a_plan_goes_into_a_file_and_nothing_else_is_left() {
    let folder = Folder::new();
    folder.remat("plan unet-b8 --algorithm sqrt -o plan.json").assert().success().stdout_eq("").stderr_eq("");
    assert_eq!(folder.names(), ["plan.json"]);
    folder.remat("check unet-b8 plan.json").assert().success();
}

#[test]
fn a_failed_command_leaves_the_old_file() {
    let folder = Folder::new().with("plan.json", "precious").with("bad.json", "{");
    folder.remat("plan bad.json -o plan.json").assert().code(2);
    folder.remat("plan unet-b8 --algorithm best -o plan.json").assert().code(2);
    assert_eq!(folder.read("plan.json"), "precious");
    assert_eq!(folder.names(), ["bad.json", "plan.json"]);
}

#[test]
fn a_plan_may_replace_the_graph_it_was_made_of() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("plan g.json -o g.json").assert().success();
    assert!(folder.read("g.json").contains("plan/1"));
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = Folder::new();
    folder.remat("plan unet-b8 -o not/there.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot write not/there.json: there is no folder not

"#]]);
}

#[test]
fn a_folder_in_place_of_a_file() {
    let folder = Folder::new();
    fs::create_dir(folder.path("out")).expect("create");
    folder.remat("plan unet-b8 -o out").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot write out: is a directory

"#]]);
}

#[test]
fn a_dash_is_standard_output() {
    let done = remat("plan unet-b8 -o -").assert().success().stderr_eq("");
    assert!(stdout(&done).starts_with("{\n  \"format\": \"plan/1\""));
}

#[test]
fn a_file_gets_the_plan_also_where_a_summary_is_printed() {
    let folder = Folder::new();
    let done = folder.remat("plan unet-b8 -o plan.json --format table").assert().success().stderr_eq("");
    assert!(stdout(&done).starts_with("graph "));
    assert!(folder.read("plan.json").starts_with("{\n  \"format\": \"plan/1\""));
}

#[cfg(unix)]
#[test]
fn links_stay_links_and_modes_stay_modes() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new().with("real.json", "old");
    fs::set_permissions(folder.path("real.json"), fs::Permissions::from_mode(0o640)).expect("mode");
    std::os::unix::fs::symlink("real.json", folder.path("link.json")).expect("link");
    folder.remat("plan unet-b8 -o link.json").assert().success();
    assert!(fs::symlink_metadata(folder.path("link.json")).expect("link").is_symlink());
    assert!(folder.read("real.json").contains("plan/1"));
    assert_eq!(fs::metadata(folder.path("real.json")).expect("mode").permissions().mode() & 0o777, 0o640);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_failure() {
    use std::process::{Command, Stdio};
    let commands = [
        "inspect llama-1b-b2-s1024-bf16 --format dot --backward",
        "predict unet-b8 --depth 9",
        "plan unet-b8 --format table",
        "plan unet-b8",
        "compare unet-b8 -a sqrt",
        "zoo",
        "man",
        "completions zsh",
        "help",
        "--version",
    ];
    for command in commands {
        let mut child = Command::new(snapbox::cmd::cargo_bin!("remat"))
            .args(command.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        drop(child.stdout.take());
        let done = child.wait_with_output().expect("wait");
        assert!(done.status.success(), "{command}: {done:?}");
        assert!(done.stderr.is_empty(), "{command}: {done:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_there() {
    let done = remat("plan unet-b8 -o /proc/plan.json").assert().code(2).stdout_eq("");
    assert!(!String::from_utf8_lossy(&done.get_output().stderr).contains("there is no folder"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said() {
    for command in ["plan unet-b8", "zoo", "--help"] {
        let full = fs::File::options().write(true).open("/dev/full").expect("open");
        let done = std::process::Command::new(snapbox::cmd::cargo_bin!("remat"))
            .args(command.split_whitespace())
            .stdout(full)
            .output()
            .expect("run");
        assert_eq!(done.status.code(), Some(2), "{command}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("No space left on device"), "{command}: {done:?}");
    }
    remat("plan unet-b8 -o /dev/full").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot write /dev/full: No space left on device (os error 28)

"#]]);
}
