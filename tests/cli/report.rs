//! Reports: the same bytes for the same input, in every form.

use snapbox::{file, str};

use crate::{CHAIN, Folder, STEP, json, remat, stdout};

/// A plan that runs the only operator of the smallest step again.
const PLAN: &str = r#"{"format": "plan/1", "graph": "tiny", "algorithm": "by hand", "budget": 9000,
"segments": [{"start": 0, "end": 1}]}"#;

fn folder() -> Folder {
    Folder::new().with("g.json", STEP).with("plan.json", PLAN)
}

#[test]
fn the_timeline_as_a_picture() {
    let drawn = folder().remat("report g.json --plan plan.json --format svg").assert().success().stderr_eq("");
    drawn.stdout_eq(file!["report/timeline.svg": Text]);
}

#[test]
fn the_frontier_as_a_picture() {
    let arguments = "report g.json --plan plan.json --format svg --chart frontier --optimizer adam";
    folder().remat(arguments).assert().success().stderr_eq("").stdout_eq(file!["report/frontier.svg": Text]);
}

#[test]
fn factors_as_a_picture() {
    let arguments = "report g.json --plan plan.json --format svg --chart factors";
    folder().remat(arguments).assert().success().stderr_eq("").stdout_eq(file!["report/factors.svg": Text]);
}

/// Budgets of the line lie apart; a plan for one in between is a point of it.
#[test]
fn no_shown_plan_of_the_exact_planner_beats_the_frontier() {
    let folder = Folder::new();
    folder.remat("plan unet-b8 --budget 1.3GiB -o plan.json").assert().success();
    for arguments in ["--budget 1.2GiB --budget 1.3GiB", "--plan plan.json --algorithm auto --budget 1.2GiB"] {
        let arguments = format!("report unet-b8 {arguments} --resolution 20% --format json");
        let report = stdout(&folder.remat(&arguments).assert().success().stderr_eq(""));
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let graph = &report["graphs"][0];
        let pair = |peak: &serde_json::Value, time: &serde_json::Value| {
            (peak.as_u64().expect("bytes"), time.as_f64().expect("seconds"))
        };
        let points = graph["frontier"].as_array().expect("points");
        let points: Vec<_> = points.iter().map(|p| pair(&p["peak"], &p["seconds"])).collect();
        assert!(points.windows(2).all(|two| two[0].0 > two[1].0 && two[0].1 < two[1].1), "{points:?}");
        let cases = graph["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 3);
        for case in cases {
            let (peak, time) = pair(&case["predicted"]["peak"], &case["recompute"]["time"]);
            assert!(points.iter().any(|p| p.0 <= peak && p.1 <= time), "{peak} {time}: {points:?}");
        }
    }
}

/// The picture in the README.
#[test]
fn the_example_is_up_to_date() {
    let drawn = remat("report unet-b8 --budget 60% --chart timeline --format svg").assert().success().stderr_eq("");
    drawn.stdout_eq(file!["../../examples/unet-b8.svg": Text]);
}

#[test]
fn the_data_behind_pictures() {
    let csv = |chart: &str| {
        let arguments = format!("report g.json --plan plan.json --optimizer adam --format csv --chart {chart}");
        folder().remat(&arguments).assert().success().stderr_eq("")
    };
    csv("timeline").stdout_eq(str![[r#"
graph,plan,phase,region,operator,module,start_ns,end_ns,live,parameters,gradients,optimizer_states,buffers,inputs,saved,recomputed,temporaries
tiny,no checkpointing,forward,,linear,fc,0,3002,10752,2048,0,4608,0,1024,3072,0,0
tiny,no checkpointing,forward,,loss,,3002,6003,11264,2048,0,4608,0,1024,3072,0,512
tiny,no checkpointing,backward,,loss,,6003,9004,13824,2048,0,4608,0,1024,3072,0,3072
tiny,no checkpointing,backward,,linear,fc,9004,12006,12800,2048,2048,4608,0,1024,0,0,3072
tiny,no checkpointing,optimizer,,,,12006,12006,15872,2048,2048,4608,0,1024,0,0,6144
tiny,plan.json,forward,,linear,fc,0,3002,10752,2048,0,4608,0,1024,3072,0,0
tiny,plan.json,forward,,loss,,3002,6003,11264,2048,0,4608,0,1024,3072,0,512
tiny,plan.json,backward,,loss,,6003,9004,13824,2048,0,4608,0,1024,3072,0,3072
tiny,plan.json,backward,,linear,fc,9004,12006,12800,2048,2048,4608,0,1024,0,0,3072
tiny,plan.json,optimizer,,,,12006,12006,15872,2048,2048,4608,0,1024,0,0,6144

"#]]);
    csv("frontier").stdout_eq(str![[r#"
graph,series,label,peak,seconds,overhead,regions,status
tiny,frontier,interval,15872,0,0,0,optimal
tiny,algorithm,none,15872,0,0,0,feasible
tiny,algorithm,every,15872,0,0,0,feasible
tiny,algorithm,sqrt,15872,0,0,0,feasible
tiny,algorithm,uniform-8,15872,0,0,0,feasible
tiny,algorithm,chen,15872,0,0,0,feasible
tiny,algorithm,cubic,15872,0,0,0,feasible
tiny,algorithm,linear,15872,0,0,0,feasible
tiny,algorithm,linear-x,15872,0,0,0,feasible
tiny,algorithm,kusumoto-time,15872,0,0,0,feasible
tiny,algorithm,kusumoto-memory,15872,0,0,0,feasible
tiny,algorithm,rotor,15872,0,0,0,feasible
tiny,shown,no checkpointing,15872,0,0,0,optimal
tiny,shown,plan.json,15872,0,0,1,feasible

"#]]);
    csv("factors").stdout_eq(str![[r#"
graph,plan,module,trainable_parameters,frozen_parameters,buffers,inputs,gradients,optimizer_states,activations,recomputed,temporaries
tiny,no checkpointing,fc,0,0,0,0,0,0,3072,0,0
tiny,no checkpointing,,2048,0,0,1024,2048,4608,0,0,3072
tiny,plan.json,fc,0,0,0,0,0,0,3072,0,0
tiny,plan.json,,2048,0,0,1024,2048,4608,0,0,3072

"#]]);
    csv("regions").stdout_eq(str![[r#"
graph,plan,region,parent,modules,start,end,depth,kept_kernels,saved,peak_without,ns,kernels
tiny,plan.json,0,,fc,0,1,1,0,0,15872,0,0

"#]]);
    let arguments = "report g.json --plan plan.json --format json";
    folder().remat(arguments).assert().success().stderr_eq("").stdout_eq(file!["report/report.json": Text]);
}

#[test]
fn reports_say_what_plan_and_predict_say() {
    let plan = json("plan unet-b8 --optimizer adamw-foreach --budget 60%");
    let report = json("report unet-b8 --optimizer adamw-foreach --budget 60% --no-frontier --format json");
    let cases = &report["graphs"][0]["cases"];
    assert_eq!(cases[0]["predicted"], plan["without"]);
    assert_eq!(cases[1]["predicted"], plan["predicted"]);
    assert_eq!(cases[1]["recompute"], plan["recompute"]);
    assert_eq!(cases[1]["regions"].as_array().map(Vec::len), plan["segments"].as_array().map(Vec::len));
    for case in cases.as_array().expect("cases") {
        let entries = case["timeline"].as_array().expect("entries");
        let live = |e: &serde_json::Value| e["live"].as_u64().expect("bytes");
        assert_eq!(entries.iter().map(live).max(), case["predicted"]["peak"].as_u64());
        let kinds =
            ["parameters", "gradients", "optimizer_states", "buffers", "inputs", "saved", "recomputed", "temporaries"];
        for e in entries {
            assert_eq!(kinds.iter().map(|k| e[k].as_u64().expect("bytes")).sum::<u64>(), live(e));
        }
    }
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    for form in ["html", "svg", "csv", "json"] {
        let arguments = format!("report unet-b8 --budget 60% --resolution 20% --format {form}");
        let one = stdout(&remat(&arguments).env("RAYON_NUM_THREADS", "1").assert().success());
        let many = stdout(&remat(&arguments).env("RAYON_NUM_THREADS", "4").assert().success());
        assert!(one == many, "{form}");
    }
}

#[test]
fn pages_are_whole_and_small() {
    for step in ["llama-1b-b2-s1024-bf16", "densenet121-b32"] {
        let arguments = format!("report {step} --algorithm chen --algorithm sqrt --no-frontier --optimizer adamw");
        let page = stdout(&remat(&arguments).assert().success().stderr_eq(""));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "{step}");
        assert!(page.len() < 1 << 20, "{step}: {} bytes", page.len());
        // Nothing is fetched: no address but the names of XML vocabularies.
        let addresses = page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses - page.matches("http-equiv").count(), 0, "{step}");
    }
}

#[test]
fn names_do_not_break_out_of_the_page() {
    let evil = r"</script><script>alert(1)</script><b>";
    let step = STEP.replace("\"tiny\"", &format!("\"{evil}\"")).replace("\"fc\"", &format!("\"{evil}\""));
    let page = stdout(&Folder::new().with("g.json", step).remat("report g.json").assert().success());
    assert!(!page.contains("<script>alert") && !page.contains("</script><b>"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_page_is_not_for_a_terminal() {
    let (code, said) = crate::terminal::shown("report resnet18-b64 --no-frontier");
    assert_eq!(code, Some(2));
    snapbox::assert_data_eq!(
        said,
        str![[r#"
error: a page is for a browser, not for a terminal
hint: -o report.html, or -o - for standard output

"#]]
    );
}

#[test]
fn the_ending_of_the_file_decides_the_form() {
    let folder = folder();
    for (name, start) in [("a.svg", "<svg "), ("a.csv", "graph,plan,"), ("a.json", "{\n"), ("a", "<!doctype html>")] {
        folder.remat(&format!("report g.json -o {name}")).assert().success().stdout_eq("").stderr_eq("");
        assert!(folder.read(name).starts_with(start), "{name}");
    }
    folder.remat("report g.json -o a.svg --format csv").assert().success();
    assert!(folder.read("a.svg").starts_with("graph,plan,"));
    folder.remat("report g.json -o a.pdf --format svg").assert().success();
    assert!(folder.read("a.pdf").starts_with("<svg "));
}

#[test]
fn plans_go_to_the_graphs_that_they_name() {
    let folder = folder().with("other.json", STEP.replace("\"tiny\"", "\"other\""));
    let report = folder.remat("report other.json g.json --plan plan.json --format json").assert().success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&report)).expect("JSON");
    assert_eq!(report["graphs"][0]["cases"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["graphs"][1]["cases"][1]["label"], "plan.json");
    folder.remat("report other.json g.json other.json --plan plan.json -o page.html").assert().success();
    folder.remat("report other.json unet-b8 --plan plan.json -o no.html").assert().code(2).stdout_eq("").stderr_eq(
        str![[r#"
error: plan.json is for "tiny", which is none of the graphs
hint: among several graphs, a plan goes to the one whose name is its `graph`

"#]],
    );
    assert!(!folder.names().contains(&"no.html".to_owned()));
}

#[test]
fn what_cannot_be_reported_on() {
    let folder = folder().with("chain.json", CHAIN).with("kept.html", "before");
    let said = |arguments: &str, code: i32| folder.remat(arguments).assert().code(code).stdout_eq("");
    said("report chain.json", 2).stderr_eq(str![[r#"
error: chain.json is a chain; a report needs a training graph
hint: `remat compare` shows what the chain planners make of it

"#]]);
    said("report g.json --chart frontier", 2).stderr_eq(str![[r#"
error: --chart is for single pictures and tables
hint: add --format svg or --format csv; html and json hold them all

"#]]);
    said("report g.json --chart regions --format svg", 2).stderr_eq(str![[r#"
error: the list of regions is no picture
hint: --chart timeline draws them; --chart regions --format csv lists them

"#]]);
    said("report unet-b8 --budget 1GiB -o kept.html", 1).stderr_eq(str![[r#"
error: unet-b8: no plan within 1.00 GiB (1073741824 bytes): the least possible peak is 1.11 GiB (1194042880 bytes)
hint: raise --budget, or allow more with --nesting 2 or --selective

"#]]);
    said("report unet-b8 --budget 80% --algorithm sqrt", 2).stderr_eq(str![[r#"
error: only interval, rotor and kusumoto keep to a --budget
hint: leave --algorithm out

"#]]);
    said("report g.json --chart frontier --no-frontier --format svg", 2).stderr_eq(str![[r#"
error: --chart frontier draws what --no-frontier leaves out
hint: leave one of them out

"#]]);
    said("report g.json -o kept.pdf", 2).stderr_eq(str![[r#"
error: -o kept.pdf: no report has the ending .pdf
hint: endings are .html, .svg, .csv and .json; --format writes one of them to any name

"#]]);
    said("report unet-b8 --plan plan.json -o kept.html", 2).stderr_eq(str![[r#"
error: plan.json is a plan for tiny, not unet-b8
hint: give the graph that the plan was made of, or make a plan of this one with `remat plan`

"#]]);
    said("report unet-b8 --plan plan.json -o kept.html --budget 0", 2).stderr_eq(str![[r#"
error: --budget 0: must be more than nothing

"#]]);
    let folder = folder.with("bad.json", PLAN.replace("\"end\": 1", "\"end\": 99"));
    folder.remat("report g.json --plan bad.json -o kept.html").assert().code(2).stderr_eq(str![[r#"
error: bad.json: segments[0]: region 0..99 must be a non-empty range within the 1 operators before the loss
hint: was the plan made for another graph? `remat inspect` shows this one

"#]]);
    assert_eq!(folder.read("kept.html"), "before");
}

#[test]
fn a_plan_for_other_settings_is_noticed() {
    let stated = PLAN.replace("\"segments\"", "\"predicted\": {\"peak\": 7}, \"segments\"");
    let folder = folder().with("stated.json", stated);
    let said = folder.remat("report g.json --plan stated.json --no-frontier").assert().success().stderr_eq(str![[r#"
note: stated.json states a peak of 7 B; here it is 9216 B. Was it made with another --optimizer?

"#]]);
    assert!(stdout(&said).contains("states a peak of 7 B"));
}

#[test]
fn steps_that_take_no_time_or_run_nothing_have_pictures() {
    // Kernels are counted where none takes time.
    let timeless = STEP
        .replace("\"flops\": 10,", "\"flops\": 10, \"ns\": 0,")
        .replace("\"flops\": 1,", "\"flops\": 1, \"ns\": 0,");
    let empty = r#"{"format": "trace/1", "name": "empty", "device": "cuda", "autocast": null, "torch": "2", "block": 512,
"storages": [{"bytes": 1000, "kind": "input"}], "backward": [],
"operators": [{"name": "loss", "op": "loss", "module": "", "random": false, "kernels": [], "saves": []}]}"#;
    let folder = Folder::new().with("timeless.json", timeless).with("empty.json", empty);
    for graph in ["timeless.json", "empty.json"] {
        for form in ["html", "json", "svg", "svg --chart frontier", "svg --chart factors", "csv --chart regions"] {
            let arguments = format!("report {graph} --algorithm none --format {form}");
            let arguments = if form.contains("--chart fr") {
                arguments
            } else {
                arguments.replace("--format", "--no-frontier --format")
            };
            let said = stdout(&folder.remat(&arguments).assert().success().stderr_eq(""));
            assert!(!said.contains("NaN") && !said.contains("inf\""), "{arguments}");
            assert!(graph != "timeless.json" || form != "svg" || said.contains(">kernels<"), "{arguments}");
        }
    }
}
