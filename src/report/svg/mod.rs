//! Pictures as SVG: elements, scales, and the colours of a picture that stands alone.

mod scale;
pub(crate) mod theme;

use std::fmt::{Display, Write as _};

pub(crate) use scale::{Scale, byte_ticks, bytes_label, percent_ticks, time_label, time_ticks};

/// A picture under construction.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    out: String,
    open: Vec<&'static str>,
}

/// An element whose attributes are being written.
#[must_use = "an element ends with `empty`, `text` or `open`"]
pub(crate) struct Element<'a> {
    svg: &'a mut Svg,
    name: &'static str,
}

impl Svg {
    /// Begins an element.
    pub(crate) fn element(&mut self, name: &'static str) -> Element<'_> {
        let _ = write!(self.out, "<{name}");
        Element { svg: self, name }
    }

    /// Ends the innermost open element.
    pub(crate) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            let _ = writeln!(self.out, "</{name}>");
        }
    }

    /// Text at a point; `class` decides how it is set.
    pub(crate) fn label(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.element("text").at("x", x).at("y", y).attr("class", class).text(text);
    }

    /// A straight line.
    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.element("line").at("x1", x1).at("y1", y1).at("x2", x2).at("y2", y2).attr("class", class).empty();
    }

    /// Puts markup in that is well-formed already.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// The finished picture; ends what is open.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }
}

impl Element<'_> {
    /// An attribute.
    pub(crate) fn attr(self, name: &str, value: impl Display) -> Self {
        let _ = write!(self.svg.out, " {name}=\"{}\"", escape(&value.to_string()));
        self
    }

    /// A coordinate or a length.
    pub(crate) fn at(self, name: &str, value: f64) -> Self {
        self.attr(name, px(value))
    }

    /// Position and size of a rectangle.
    pub(crate) fn rect(self, x: f64, y: f64, width: f64, height: f64) -> Self {
        self.at("x", x).at("y", y).at("width", width.max(0.0)).at("height", height.max(0.0))
    }

    /// Ends an element without content.
    pub(crate) fn empty(self) {
        self.svg.out.push_str("/>\n");
    }

    /// Ends an element with text.
    pub(crate) fn text(self, text: &str) {
        let _ = writeln!(self.svg.out, ">{}</{}>", escape(text), self.name);
    }

    /// Leaves the element open for others.
    pub(crate) fn open(self) {
        self.svg.out.push_str(">\n");
        self.svg.open.push(self.name);
    }
}

/// A length in tenths of a pixel, as short as possible.
pub(crate) fn px(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    let (whole, tenth) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if tenth == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{tenth}") }
}

/// Text for markup, without characters that XML forbids.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// About how wide text is, in pixels at 12 px: no font is at hand.
pub(crate) fn width(text: &str) -> f64 {
    text.chars().map(|c| if matches!(c, 'i' | 'l' | '.' | ',' | ' ' | '\'') { 3.6 } else { 6.9 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        assert_eq!([0.0, -0.04, 12.34, 100.0, -1.25].map(px), ["0", "0", "12.3", "100", "-1.3"]);
    }

    #[test]
    fn nothing_breaks_out_of_markup() {
        let mut svg = Svg::default();
        svg.element("g").attr("class", "a\"b").open();
        svg.label(1.0, 2.0, "c", "</text><script>\u{0}&");
        assert_eq!(
            svg.finish(),
            "<g class=\"a&quot;b\">\n<text x=\"1\" y=\"2\" class=\"c\">&lt;/text&gt;&lt;script&gt;\u{fffd}&amp;</text>\n</g>\n"
        );
    }
}
