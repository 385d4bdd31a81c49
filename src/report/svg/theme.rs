//! Colours of pictures and pages, light and dark.
//!
//! Kinds of memory have colours derived from Okabe and Ito's palette ("Color Universal Design", 2008), made darker or
//! lighter until each stands out from the background by at least 3:1 (WCAG 2.2, 1.4.11) and from its neighbours in the
//! stack also for people with protanopia, deuteranopia or tritanopia. Recomputed memory is hatched, so that it shows without
//! colour, too.

use std::fmt::Write as _;

/// A colour in both themes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Colour {
    /// Name of the CSS variable and class.
    pub name: &'static str,
    pub light: &'static str,
    pub dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// Colours of kinds, in the order in which they are stacked.
pub(crate) const KINDS: [Colour; 7] = [
    colour("parameters", "#00588a", "#2a84c4"),
    colour("optimizer", "#3d97cf", "#8ed2f7"),
    colour("inputs", "#8b919b", "#858d99"),
    colour("gradients", "#00684f", "#2cc79c"),
    colour("saved", "#c98500", "#f0b32e"),
    colour("recomputed", "#9e3d00", "#d9622b"),
    colour("temporaries", "#c46a9c", "#e6a8cb"),
];

/// Everything else: background, raised background, text, secondary text, lines, accents.
pub(crate) const SURFACES: [Colour; 8] = [
    colour("surface", "#ffffff", "#14171c"),
    colour("raised", "#f5f6f8", "#1d2229"),
    colour("ink", "#1b1f24", "#e8ebef"),
    colour("muted", "#59616c", "#a3acb8"),
    colour("rule", "#d9dde3", "#343b45"),
    colour("accent", "#00588a", "#7cc4f0"),
    colour("limit", "#b3261e", "#ff8a80"),
    colour("good", "#00684f", "#4cd6ae"),
];

/// Definitions of all colours as CSS variables, by theme of the reader's system and of the page's own switch.
pub(crate) fn variables() -> String {
    let all = || SURFACES.iter().chain(&KINDS);
    let block = |of: fn(&Colour) -> &'static str| {
        all().fold(String::new(), |mut text, c| {
            let _ = write!(text, "--{}:{};", c.name, of(c));
            text
        })
    };
    let (light, dark) = (block(|c| c.light), block(|c| c.dark));
    format!(
        ":root{{color-scheme:light;{light}}}\n\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n\
         :root[data-theme=dark]{{color-scheme:dark;{dark}}}\n\
         @media print{{:root,:root:not([data-theme=light]),:root[data-theme=dark]{{color-scheme:light;{light}}}}}\n"
    )
}

/// How pictures are set, with colours as variables.
pub(crate) const RULES: &str = include_str!("chart.css");

/// The rules for a picture that stands alone: colours are written out, because many programs that read SVG know no
/// variables. Light unless the viewer asks for dark.
pub(crate) fn standalone() -> String {
    let with = |of: fn(&Colour) -> &'static str| {
        SURFACES.iter().chain(&KINDS).fold(RULES.to_owned(), |css, c| css.replace(&format!("var(--{})", c.name), of(c)))
    };
    format!("{}@media (prefers-color-scheme:dark){{\n{}}}\n", with(|c| c.light), with(|c| c.dark))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    fn linear(hex: &str) -> Rgb {
        [1, 3, 5].map(|i| {
            let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |hex| {
            let [r, g, b] = linear(hex);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Machado, Oliveira and Fernandes (2009), severity 1: normal, protanopia, deuteranopia, tritanopia.
    const SIGHTS: [[Rgb; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]],
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]],
    ];

    /// CIE L*a*b* under D65.
    fn lab(hex: &str, sight: &[Rgb; 3]) -> Rgb {
        let rgb = linear(hex);
        let dot = |row: &Rgb| row.iter().zip(&rgb).map(|(a, b)| a * b).sum::<f64>().clamp(0.0, 1.0);
        let [r, g, b] = [dot(&sight[0]), dot(&sight[1]), dot(&sight[2])];
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.412_456 * r + 0.357_576 * g + 0.180_438 * b) / 0.950_47);
        let y = f(0.212_673 * r + 0.715_152 * g + 0.072_175 * b);
        let z = f((0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn distance(a: Rgb, b: Rgb) -> f64 {
        a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    #[test]
    fn colours_stand_out_from_the_background() {
        let of = |name| SURFACES.iter().find(|c| c.name == name).unwrap();
        let surface = of("surface");
        for kind in &KINDS {
            assert!(contrast(kind.light, surface.light) >= 3.0, "{} light", kind.name);
            assert!(contrast(kind.dark, surface.dark) >= 3.0, "{} dark", kind.name);
        }
        for text in ["ink", "muted", "accent", "limit", "good"].map(of) {
            for background in [surface, of("raised")] {
                assert!(contrast(text.light, background.light) >= 4.5, "{} light", text.name);
                assert!(contrast(text.dark, background.dark) >= 4.5, "{} dark", text.name);
            }
        }
    }

    #[test]
    fn neighbours_in_the_stack_differ_for_every_sight() {
        for pair in KINDS.windows(2) {
            for sight in &SIGHTS {
                let light = distance(lab(pair[0].light, sight), lab(pair[1].light, sight));
                let dark = distance(lab(pair[0].dark, sight), lab(pair[1].dark, sight));
                assert!(light >= 18.0 && dark >= 18.0, "{} {}: {light} {dark}", pair[0].name, pair[1].name);
            }
        }
    }

    #[test]
    fn pictures_alone_need_no_variables() {
        let css = standalone();
        assert!(!css.contains("var("), "{css}");
        for c in SURFACES.iter().chain(&KINDS) {
            assert!(RULES.contains(c.name) || variables().contains(c.name));
        }
    }
}
