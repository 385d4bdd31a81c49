//! What must hold of a page in a browser.

use remat::bytes::human;
use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::pages::Pages;

fn open(browser: &Browser, page: &std::path::Path) -> Tab {
    let tab = browser.tab(1280, 900);
    tab.media("screen", "light");
    tab.open(page);
    tab
}

fn bytes(value: &Value) -> u64 {
    value.as_u64().expect("bytes")
}

/// What a page complains of.
fn complaints(tab: &Tab) -> Vec<Value> {
    ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"]
        .iter()
        .flat_map(|e| tab.events(e))
        .collect()
}

pub(crate) fn opens_quietly(browser: &Browser, pages: &Pages) {
    for page in [pages.one(), pages.many()] {
        let tab = open(browser, &page);
        tab.point(400.0, 500.0);
        tab.press("Tab");
        tab.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        assert_eq!(complaints(&tab), [] as [Value; 0]);
        let requests = tab.events("Network.requestWillBeSent");
        let addresses: Vec<&str> = requests.iter().filter_map(|r| r["request"]["url"].as_str()).collect();
        let fetched: Vec<&&str> = addresses.iter().filter(|a| !a.starts_with("data:")).collect();
        assert_eq!(fetched, [&format!("file://{}", page.display()).as_str()]);
        assert_eq!(
            tab.eval("performance.getEntriesByType('resource').filter((r) => !r.name.startsWith('data:')).length"),
            0
        );
    }
}

pub(crate) fn numbers(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    let (with, without) = (bytes(&pages.plan["predicted"]["peak"]), bytes(&pages.plan["without"]["peak"]));
    let compared = "[...document.querySelectorAll('.compare [data-bytes]')].map((c) => Number(c.dataset.bytes))";
    assert_eq!(tab.eval(compared), json!([without, with]));
    let headline = tab.text("document.querySelector('.headline').textContent");
    assert!(headline.contains(&human(without)) && headline.contains(&human(with)), "{headline}");
    let chips = tab.text("document.querySelector('.chips').textContent");
    let overhead = pages.plan["recompute"]["overhead"].as_f64().expect("a share");
    let segments = pages.plan["segments"].as_array().expect("segments");
    assert!(chips.contains(&format!("{:.1}% more time", overhead * 100.0)), "{chips}");
    assert!(chips.contains(&format!("{} region", segments.len())), "{chips}");
    assert_eq!(chips.contains("proven optimal"), pages.plan["status"] == "optimal", "{chips}");
    // The moment that is shown first is the peak.
    let now = "[...document.querySelectorAll('.now')].map((n) => Number(n.dataset.bytes))";
    assert_eq!(tab.eval(now), json!([without, with]));
    let operators = "[...document.querySelectorAll('table.regions tbody tr')].map((r) => r.cells[2].textContent)";
    let expected: Vec<String> =
        segments.iter().map(|s| format!("{}–{}", bytes(&s["start"]), bytes(&s["end"]) - 1)).collect();
    assert_eq!(tab.eval(operators), json!(expected));
    let peaks = tab.text("[...document.querySelectorAll('.dot + text')].map((t) => t.textContent).join()");
    assert!(peaks.contains(&format!("peak {}", human(with))), "{peaks}");
    let budget = bytes(&pages.plan["budget"]);
    assert!(tab.text("document.querySelector('.limit-label').textContent").contains(&human(budget)));
}

/// The page's moments against the whole timeline.
pub(crate) fn moments(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    let data: Value = serde_json::from_str(&tab.text("document.getElementById('data').textContent")).expect("JSON");
    let cases = pages.report["graphs"][0]["cases"].as_array().expect("cases");
    for (shown, case) in data["graphs"][0]["cases"].as_array().expect("cases").iter().zip(cases) {
        let entries = case["timeline"].as_array().expect("entries");
        let count = shown["start"].as_array().expect("starts").len();
        let mut largest = 0;
        for i in 0..count {
            let kinds = shown["kinds"].as_array().expect("kinds");
            let live: u64 =
                kinds.iter().map(|k| bytes(if k.as_array().expect("a kind").len() == 1 { &k[0] } else { &k[i] })).sum();
            let (at, operator) = (bytes(&shown["at"][i]), shown["operator"][i].as_i64().expect("an operator"));
            let is_it = |e: &&Value| {
                let same = e["operator"].as_i64().unwrap_or(-1) == operator;
                bytes(&e["start_ns"]) == at && bytes(&e["live"]) == live && same
            };
            assert!(entries.iter().any(|e| is_it(&e)), "{}: {live} bytes at {at} ns", case["label"]);
            largest = largest.max(live);
        }
        assert_eq!(largest, bytes(&case["predicted"]["peak"]));
    }
}

const CURVE: &str = "document.querySelectorAll('.curve')[1]";

fn now(tab: &Tab) -> String {
    tab.text(&format!("{CURVE}.parentElement.querySelector('.now').textContent"))
}

pub(crate) fn pointer(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    tab.eval(&format!("{CURVE}.scrollIntoView({{block: 'center'}})"));
    let line = format!("{CURVE}.querySelector('.wide .cursor')");
    let side = |name: &str| {
        let bounds = format!("{CURVE}.querySelector('.wide svg').getBoundingClientRect()");
        tab.number(&format!("{bounds}.{name}"))
    };
    let scale = side("width") / tab.number(&format!("{CURVE}.querySelector('.wide svg').viewBox.baseVal.width"));
    let place = |name: &str| tab.number(&format!("Number({line}.dataset.{name})"));
    let (from, until) = (place("from"), place("until"));
    let y = side("top") + side("height") / 3.0;
    let first = now(&tab);
    let mut said = Vec::new();
    for part in [0.02, 0.3, 0.6, 0.9] {
        let x = from + (until - from) * part;
        tab.point(side("left") + x * scale, y);
        tab.wait_for(&format!("Math.abs({line}.getAttribute('x1') - {x}) < 12"));
        assert_eq!(tab.text(&format!("getComputedStyle({line}).visibility")), "visible");
        said.push(now(&tab));
    }
    said.dedup();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].contains("forward") && !said[3].contains("forward"), "{said:?}");
    assert!(!said.contains(&first), "{first}");
    let listed = tab.number(&format!("{CURVE}.parentElement.querySelectorAll('.largest tr').length"));
    assert!(listed > 0.0);
    // A region lights up in the list and in the picture.
    tab.eval("document.querySelector('table.regions tbody tr').scrollIntoView({block: 'center'})");
    let row = "document.querySelector('table.regions tbody tr').getBoundingClientRect()";
    tab.point(tab.number(&format!("{row}.left")) + 40.0, tab.number(&format!("{row}.top")) + 8.0);
    tab.wait_for("document.querySelectorAll('rect.lit').length >= 2");
}

pub(crate) fn keyboard(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    let value = |tab: &Tab| tab.number(&format!("Number({CURVE}.getAttribute('aria-valuenow'))"));
    let last = tab.number(&format!("Number({CURVE}.getAttribute('aria-valuemax'))"));
    // Reached by Tab alone.
    let is_there = format!("document.activeElement === {CURVE}");
    for _ in 0..100 {
        if tab.eval(&is_there) == true {
            break;
        }
        tab.press("Tab");
    }
    assert_eq!(tab.eval(&is_there), true, "the curve is not reached");
    let peak = value(&tab);
    let at_peak = now(&tab);
    tab.press("ArrowRight");
    assert!((value(&tab) - peak - 1.0).abs() < 0.5);
    assert_ne!(now(&tab), at_peak);
    assert_eq!(tab.text(&format!("{CURVE}.getAttribute('aria-valuetext')")), now(&tab));
    assert_eq!(tab.text(&format!("{CURVE}.parentElement.querySelector('.now').getAttribute('aria-live')")), "polite");
    for (key, expected) in [("Home", 0.0), ("ArrowLeft", 0.0), ("PageUp", 20.0), ("End", last), ("ArrowRight", last)] {
        tab.press(key);
        assert!((value(&tab) - expected).abs() < 0.5, "{key}: {}", value(&tab));
    }
    assert!(now(&tab).contains("optimizer"), "{}", now(&tab));
    tab.press("p");
    assert_eq!(now(&tab), at_peak);
    assert_eq!(complaints(&tab), [] as [Value; 0]);
}

pub(crate) fn nested(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.nested());
    let drawn = |class: &str| {
        let rows =
            format!("[...document.querySelectorAll('.curve .wide rect.{class}')].map((r) => r.getAttribute('y'))");
        tab.number(&format!("new Set({rows}).size"))
    };
    // Outer and inner regions have rows of their own, where they run first and where they run again.
    assert!((drawn("region") - 2.0).abs() < 0.5, "{}", drawn("region"));
    assert!((drawn("again") - 2.0).abs() < 0.5, "{}", drawn("again"));
    let indents =
        "[...document.querySelectorAll('table.regions th[style]')].map((h) => getComputedStyle(h).paddingLeft)";
    assert_eq!(tab.eval(&format!("[...new Set({indents})].sort().join()")), "0px,18px");
    // Every region of the list is in the picture.
    let listed = "[...document.querySelectorAll('table.regions tr[data-region]')]";
    let is_drawn = "(r) => document.querySelector(`.curve .wide rect.region[data-region=\"${r.dataset.region}\"]`)";
    assert_eq!(tab.eval(&format!("{listed}.every({is_drawn})")), true);
}

pub(crate) fn phone(browser: &Browser, pages: &Pages) {
    for page in [pages.one(), pages.many()] {
        let tab = browser.tab(390, 844);
        tab.open(&page);
        tab.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        assert!(tab.number("document.documentElement.scrollWidth") <= 390.0, "{}", page.display());
        assert_eq!(tab.eval("getComputedStyle(document.querySelector('.curve .wide')).display"), "none");
        assert!(tab.number("document.querySelector('.curve .narrow svg').getBoundingClientRect().width") > 300.0);
        // Text keeps its size: pictures are drawn for this width, not shrunk to it.
        let scale = "(() => { const s = document.querySelector('.curve .narrow svg'); \
                     return s.getBoundingClientRect().width / s.viewBox.baseVal.width; })()";
        assert!(tab.number(scale) > 0.9);
    }
}

pub(crate) fn themes(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    let back = "getComputedStyle(document.body).backgroundColor";
    let (light, dark) = ("rgb(255, 255, 255)", "rgb(20, 23, 28)");
    assert_eq!(tab.text(back), light);
    tab.media("screen", "dark");
    assert_eq!(tab.text(back), dark);
    let press = || tab.eval("document.getElementById('theme').click()");
    let named = || tab.text("document.querySelector('#theme span').textContent");
    for (name, expected) in [("light", light), ("dark", dark), ("system", dark)] {
        press();
        assert_eq!((named().as_str(), tab.text(back).as_str()), (name, expected));
    }
}

pub(crate) fn print(browser: &Browser, pages: &Pages) {
    let tab = open(browser, &pages.one());
    tab.media("print", "dark");
    assert_eq!(tab.text("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)");
    assert_eq!(tab.text("getComputedStyle(document.getElementById('theme')).display"), "none");
    assert_eq!(tab.text("getComputedStyle(document.querySelector('.curve .narrow')).display"), "none");
    tab.eval("dispatchEvent(new Event('beforeprint'))");
    assert_eq!(tab.eval("document.querySelectorAll('details:not([open])').length"), 0);
    let paper = tab.call("Page.printToPDF", &json!({"printBackground": true}));
    assert!(paper["data"].as_str().is_some_and(|d| d.starts_with("JVBER")));
}

pub(crate) fn without_script(browser: &Browser, pages: &Pages) {
    let tab = browser.tab(1280, 900);
    tab.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    tab.open(&pages.one());
    tab.call("Emulation.setScriptExecutionDisabled", &json!({"value": false}));
    let with = human(bytes(&pages.plan["predicted"]["peak"]));
    assert!(now(&tab).contains(&with), "{}", now(&tab));
    assert_eq!(tab.eval("document.getElementById('theme').hidden"), true);
    // Every picture says what it shows, in words and as a table.
    assert_eq!(tab.eval("[...document.querySelectorAll('svg[role=img]')].every((s) => s.querySelector('title') && s.querySelector('desc'))"), true);
    assert!(tab.number("document.querySelectorAll('table').length") >= 8.0);
}
