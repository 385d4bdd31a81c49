//! Pictures of the pages, for people.

use std::path::Path;

use serde_json::json;

use crate::browser::Browser;
use crate::pages::Pages;

pub(crate) fn take(browser: &Browser, pages: &Pages, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder for pictures");
    for (page, name) in [(pages.one(), "one"), (pages.many(), "many"), (pages.nested(), "nested")] {
        for (look, width, media, scheme) in [
            ("light", 1280, "screen", "light"),
            ("dark", 1280, "screen", "dark"),
            ("phone", 390, "screen", "light"),
            ("phone-dark", 390, "screen", "dark"),
            ("print", 800, "print", "light"),
        ] {
            let tab = browser.tab(width, 900);
            tab.media(media, scheme);
            tab.open(&page);
            let height = tab.number("document.documentElement.scrollHeight");
            let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
            let picture = tab.call("Page.captureScreenshot", &json!({"captureBeyondViewport": true, "clip": clip}));
            let picture = picture["data"].as_str().expect("a picture");
            std::fs::write(folder.join(format!("{name}-{look}.png")), decoded(picture)).expect("write");
        }
    }
}

/// Base64, as the protocol sends pictures.
fn decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.bytes().filter(|&c| c != b'=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, d| bits << 6 | d) << (6 * (4 - four.len()));
        [bits >> 16, bits >> 8, bits].map(|b| b as u8).into_iter().take(four.len() - 1)
    });
    bytes.collect()
}
