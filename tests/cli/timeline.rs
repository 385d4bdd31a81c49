//! The memory of a step drawn in a few rows of text.

use snapbox::str;

use crate::{Folder, STEP, json, plain, remat, stdout};

/// The lines of a drawing within what a command printed.
fn drawing(printed: &str) -> Vec<&str> {
    let first = printed.lines().skip_while(|line| !line.trim_start().starts_with("no plan"));
    first.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_budget_is_marked_in_the_step_without_the_plan_and_with_it() {
    let made = remat("plan unet-b8 --budget 60% --format table").assert().success().stderr_eq("");
    snapbox::assert_data_eq!(
        drawing(&stdout(&made)).join("\n"),
        str![[r#"
 no plan                    ▼ 2.93 GiB, backward of relu__17 in dec.3.5
2.93 GiB ┤              ▃▅▅▇▒▅▅▃▃
         │            ▂▒▒▒▒▒▒▒▒▒▒▒▒▆▆▅▃▄▃▃▃▃▁▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁
1.76 GiB ┤╌╌╌╌▁▁▂▂▃▄▅█████████████████████████████████████████▇▇▇▆▆▄▃▃▁▁╌╌╌╌
         │ ▃▆▇██████████████████████████████████████████████████████████▆▃▃
         │▇████████████████████████████████████████████████████████████████▆
     0 B └────────────────┴─────────────────────────────────────────────────
    plan                        ▼ 1.75 GiB, backward of conv2d_16 in dec.3.0
2.93 GiB ┤                ┊
         │                ┊
1.76 GiB ┤╌╌╌╌╌╌╌╌╌╌╌╌╌▅▅▅▅▇█▇▇▅█▄▅▄▄▄▄▅▃▃▃▃▃▃▂▂▂▂▂▂▁▂▂▂▂▂▂▁▁▁▁▁▁╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌
         │    ▁▂▂▂▃▄▅██████████████████████████████████████████████▇█▆▆▇▇▆▆▃▁▃▃
         │▆▇▇██████████████████████████████████████████████████████████████████▆
     0 B └────────────────┴──═─══──══─═─────══──────────═────══────═──══────═───
          forward         backward, 265 + 22 kernels
          ═ recomputation   ╌ budget 1.76 GiB   ▒ above it
"#]]
    );
}

#[test]
fn ascii_where_the_locale_knows_nothing_else() {
    let made = remat("plan unet-b8 --budget 60% --format table").env("LC_ALL", "C").assert().success().stderr_eq("");
    let made = stdout(&made);
    assert!(made.is_ascii());
    snapbox::assert_data_eq!(
        drawing(&made).join("\n"),
        str![[r#"
 no plan                    v 2.93 GiB, backward of relu__17 in dec.3.5
2.93 GiB +              :::%%::::
         |            .%%%%%%%%%%%%%%:.::...................
1.76 GiB +----.....::############################################:#:....----
         | ::############################################################..
         |#################################################################:
     0 B +----------------+-------------------------------------------------
    plan                        v 1.75 GiB, backward of conv2d_16 in dec.3.0
2.93 GiB +                |
         |                |
1.76 GiB +-------------::::####:#:::::::.:.......................---------------
         |    ....:::######################################################....
         |:####################################################################:
     0 B +----------------+--=-==--==-=-----==----------=----==----=--==----=---
          forward         backward, 265 + 22 kernels
          = recomputation   - budget 1.76 GiB   % above it
"#]]
    );
}

#[test]
fn the_step_of_an_optimizer_has_columns_of_its_own() {
    let said = remat("predict gpt2-b8-s512 --optimizer adamw-foreach").assert().success().stderr_eq("");
    snapbox::assert_data_eq!(
        drawing(&stdout(&said)).join("\n"),
        str![[r#"
 no plan                        ▼ 7.82 GiB, backward of loss
7.82 GiB ┤                     ▅█                                             ┊
         │                 ▁▂▃▄██▆▅▄▄▄▃▃▃▃▁▁▁▁                                ┊
         │          ▁▂▄▄▆▆█████████████████████▇▇▆▆▆▆▅▄▄▄▃▃▃▃▁▁▁              ┊
         │   ▂▃▄▅▆▇██████████████████████████████████████████████▇▇▇▆▆▆▆▄▄▄▃▃▃▄▄
         │██████████████████████████████████████████████████████████████████████
     0 B └──────────────────────┴─────────────────────────────────────────────┴─
          forward, 552 kernels  backward, 1158 kernels                 optimizer
"#]]
    );
}

#[test]
fn a_budget_beyond_the_peak_is_said() {
    let made = remat("plan unet-b8 --budget 80GiB --format table").assert().success();
    assert!(stdout(&made).contains("budget 80.00 GiB is higher"));
}

#[test]
fn steps_of_any_size_fit_and_show_their_exact_peaks() {
    let zoo = json("zoo --format json");
    for entry in zoo.as_array().expect("a list") {
        let name = entry["name"].as_str().expect("a name");
        let folder = Folder::new();
        let made = format!("plan {name} --algorithm sqrt --optimizer adam -o plan.json --format table");
        let made = stdout(&folder.remat(&made).assert().success().stderr_eq(""));
        let followed = format!("predict {name} --plan plan.json --optimizer adam");
        let followed = stdout(&folder.remat(&followed).assert().success().stderr_eq(""));
        assert_eq!(drawing(&made), drawing(&followed), "{name}");
        let plan: serde_json::Value = serde_json::from_str(&folder.read("plan.json")).expect("JSON");
        let peak = |of: &str| remat::bytes::human(plan[of]["peak"].as_u64().expect("bytes"));
        for (curve, of) in [("no plan", "without"), ("plan", "predicted")] {
            let line = drawing(&made).into_iter().find(|l| l.trim_start().starts_with(curve)).expect("a curve");
            assert!(line.contains(&format!("{}, ", peak(of))), "{name}: {line}");
            assert!(line.contains('▼'), "{name}: {line}");
        }
        assert!(drawing(&made).iter().all(|line| line.chars().count() <= 80), "{name}:\n{made}");
    }
}

#[test]
fn one_kernel_is_enough_and_names_cannot_harm() {
    let hostile = STEP.replace("\"name\": \"linear\"", &format!("\"name\": \"\\u001b[2J\\n{}\"", "模".repeat(200)));
    let folder = Folder::new().with("tiny.json", STEP).with("hostile.json", hostile);
    let said = folder.remat("predict tiny.json").assert().success().stderr_eq("");
    snapbox::assert_data_eq!(
        drawing(&stdout(&said)).join("\n"),
        str![[r#"
 no plan                                     ▼ 9.00 KiB, backward of loss
9.00 KiB ┤                                   ██████████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
         │▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅███████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
     0 B └───────────────────────────────────┴──────────────────────────────────
          forward, 2 kernels                 backward, 2 kernels
"#]]
    );
    let said = stdout(&folder.remat("predict hostile.json").assert().success().stderr_eq(""));
    snapbox::assert_data_eq!(
        drawing(&said).join("\n"),
        str![[r#"
 no plan                                     ▼ 9.00 KiB, backward of loss
9.00 KiB ┤                                   ██████████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
         │▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅███████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
         │██████████████████████████████████████████████████████████████████████
     0 B └───────────────────────────────────┴──────────────────────────────────
          forward, 2 kernels                 backward, 2 kernels
"#]]
    );
    assert!(!said.contains('\u{1b}'));
}

#[test]
fn colours_add_nothing_but_colour() {
    let command = || remat("plan unet-b8 --budget 60% --format table");
    let colourful = stdout(&command().env("CLICOLOR_FORCE", "1").assert().success());
    assert!(colourful.contains("\u{1b}[3"));
    let colourless = stdout(&command().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").assert().success());
    assert!(!colourless.contains('\u{1b}'));
    assert_eq!(plain(&colourful), colourless);
    assert_eq!(stdout(&command().assert().success()), colourless);
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use super::{drawing, plain};
    use crate::terminal::watched;

    #[test]
    fn a_plan_on_standard_output_is_a_document_beside_its_drawing() {
        let (printed, seen) = watched("plan unet-b8 --budget 60%", 80, &[]);
        assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok());
        assert!(seen.contains("\u{1b}[3"), "{seen}");
        let seen = plain(&seen);
        assert!(seen.contains("peak 1.75 GiB instead of 2.93 GiB (59.8%)\n"), "{seen}");
        let (summary, again) = watched("plan unet-b8 --budget 60% --format table", 80, &[]);
        assert_eq!(drawing(&seen), drawing(&summary));
        assert_eq!(again, "");
    }

    #[test]
    fn colours_are_refused() {
        let (_, seen) = watched("plan unet-b8 --budget 60%", 80, &[("NO_COLOR", "1")]);
        assert!(!seen.contains("\u{1b}[3"), "{seen}");
        assert!(seen.contains('█'));
    }

    #[test]
    fn progress_is_gone_when_the_work_is_done() {
        let (printed, seen) = watched("frontier unet-b8 --format csv", 80, &[]);
        assert!(printed.starts_with("peak_bytes,"));
        // The last that is drawn is an empty line, if anything was.
        assert!(seen.is_empty() || seen.ends_with("\r\u{1b}[2K"), "{seen:?}");
        let (_, seen) = watched("frontier unet-b8 --format csv", 80, &[("TERM", "dumb")]);
        assert_eq!(seen, "");
    }

    #[test]
    fn narrow_terminals_are_not_overrun() {
        for columns in [40, 57, 79, 200] {
            let (_, seen) = watched("plan unet-b8 --budget 60%", columns, &[]);
            let seen = plain(&seen);
            let widest = drawing(&seen).iter().map(|line| line.chars().count()).max();
            assert_eq!(widest, Some(usize::from(columns).min(80)), "{seen}");
        }
    }
}
