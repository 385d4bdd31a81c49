//! Where labels go, so that none covers another.

use crate::report::svg::{Svg, width};

/// Height of a line of text.
pub(super) const LINE: f64 = 14.0;

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

/// Places labels next to points, one after the other.
#[derive(Debug)]
pub(super) struct Labels {
    bounds: Area,
    taken: Vec<Area>,
}

impl Labels {
    /// Labels within these bounds.
    pub(super) fn within(bounds: Area) -> Self {
        Self { bounds, taken: Vec::new() }
    }

    /// Keeps labels away from a point.
    pub(super) fn avoid(&mut self, x: f64, y: f64, radius: f64) {
        self.taken.push([x - radius, y - radius, x + radius, y + radius]);
    }

    /// Keeps labels away from a horizontal or vertical line.
    pub(super) fn avoid_line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.taken.push([x1.min(x2) - 2.0, y1.min(y2) - 2.0, x1.max(x2) + 2.0, y1.max(y2) + 2.0]);
    }

    /// Writes a label near a point, with a line to it where it is not beside it.
    pub(super) fn place(&mut self, svg: &mut Svg, (x, y): (f64, f64), text: &str, class: &str) {
        // Bold text is wider.
        let is_bold = class.split(' ').any(|c| matches!(c, "strong" | "limit-label"));
        let w = width(text) * if is_bold { 1.15 } else { 1.0 } + 4.0;
        let beside = [(9.0, 0.0), (-9.0 - w, 0.0)];
        let around = (1..=9).flat_map(|ring| {
            let d = f64::from(ring) * 13.0;
            [(9.0, -d), (9.0, d), (-9.0 - w, -d), (-9.0 - w, d), (-w / 2.0, -d), (-w / 2.0, d)]
        });
        let area = |(dx, dy): (f64, f64)| [x + dx, y + dy - LINE / 2.0, x + dx + w, y + dy + LINE / 2.0];
        let free = beside.into_iter().chain(around).find(|&at| self.is_free(area(at)));
        // Where nothing is free, rather over another label than over the edge.
        let is_cut = x + beside[0].0 + w > self.bounds[2];
        let at = free.unwrap_or(beside[usize::from(is_cut)]);
        let [left, top, right, bottom] = area(at);
        self.taken.push([left, top, right, bottom]);
        if at.1.abs() > LINE {
            let near = x.clamp(left, right);
            svg.line((x, y), (near, if at.1 < 0.0 { bottom } else { top }), "leader");
        }
        svg.label(left + 2.0, bottom - 3.0, class, text);
    }

    fn is_free(&self, [left, top, right, bottom]: Area) -> bool {
        let inside =
            left >= self.bounds[0] && top >= self.bounds[1] && right <= self.bounds[2] && bottom <= self.bounds[3];
        let apart = |t: &Area| right <= t[0] || left >= t[2] || bottom <= t[1] || top >= t[3];
        inside && self.taken.iter().all(apart)
    }
}

/// Splits entries of a key over lines of a width; each entry is a swatch and its text.
pub(super) fn wrapped(texts: &[String], from: f64, until: f64) -> (Vec<(f64, f64)>, f64) {
    let (mut x, mut line) = (from, 0.0);
    let mut places = Vec::with_capacity(texts.len());
    for text in texts {
        let w = width(text) + 34.0;
        if x + w > until + 16.0 && x > from {
            x = from;
            line += 1.0;
        }
        places.push((x, line * 17.0));
        x += w;
    }
    let height = if texts.is_empty() { 0.0 } else { (line + 1.0) * 17.0 };
    (places, height)
}

/// Draws the entries of a key from `y` downwards.
pub(super) fn key(svg: &mut Svg, entries: &[(&str, String)], places: &[(f64, f64)], y: f64) {
    for ((class, text), (x, dy)) in entries.iter().zip(places) {
        svg.element("rect").rect(*x, y + dy, 11.0, 11.0).attr("class", class).empty();
        svg.label(x + 16.0, y + dy + 10.0, "quiet", text);
    }
}

/// Text shortened in its middle to about so many pixels.
#[expect(clippy::cast_sign_loss, reason = "widths are no less than 0")]
pub(super) fn shortened(text: &str, until: f64) -> String {
    if width(text) <= until {
        return text.to_owned();
    }
    let all: Vec<char> = text.chars().collect();
    let keep = ((until / 6.6) as usize).max(3) - 1;
    let (head, tail) = (keep / 2, keep - keep / 2);
    all[..head].iter().chain(&['…']).chain(&all[all.len() - tail..]).collect()
}
