//! The built-in zoo: recorded training steps of real networks, compressed into the binary.
//!
//! Every entry was recorded kernel by kernel from PyTorch on a CUDA device; names end in the batch size (`b`), the
//! sequence length (`s`) and the precision, where it is not float32 throughout.

use std::fmt;

use crate::graph::Graph;
use crate::read::{self, Document, LoadError};

/// One built-in step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Name by which it is loaded.
    pub name: &'static str,
    /// What was recorded, in one line.
    pub about: &'static str,
    /// The `trace/1` document, gzip.
    pub compressed: &'static [u8],
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("about", &self.about).finish_non_exhaustive()
    }
}

macro_rules! zoo {
    ($($name:literal: $about:literal,)*) => {
        /// All entries, by name.
        const ENTRIES: &[Entry] = &[$(Entry {
            name: $name,
            about: $about,
            compressed: include_bytes!(concat!("../zoo/", $name, ".trace.json.gz")),
        }),*];
    };
}

zoo! {
    "alexnet-b128": "AlexNet (Krizhevsky 2014) at 224x224",
    "bert-base-b16-s256": "BERT base with its masked language model head",
    "densenet121-b32": "DenseNet-121 (Huang et al. 2017) at 224x224",
    "googlenet-b64": "GoogLeNet (Szegedy et al. 2015) at 224x224, without auxiliary heads",
    "gpt2-b8-s512": "GPT-2 with 12 layers of width 768",
    "gpt2-b8-s512-amp": "GPT-2 with 12 layers of width 768 under bfloat16 autocast",
    "llama-1b-b2-s1024-bf16": "Llama with 16 layers of width 2048, about 1.2 billion parameters, in bfloat16",
    "llama-lora-b4-s1024-bf16": "Llama with 12 frozen layers of width 2048 and rank-16 LoRA on queries and values, in bfloat16",
    "llava-b4-s256-bf16": "frozen CLIP vision tower, trained projector and Llama with 8 layers of width 1024, in bfloat16",
    "mobilenet_v3_large-b64": "MobileNetV3 Large (Howard et al. 2019) at 224x224",
    "resnet101-b32": "ResNet-101 (He et al. 2016) at 224x224",
    "resnet18-b64": "ResNet-18 (He et al. 2016) at 224x224",
    "resnet32-cifar-b512": "ResNet-32 for CIFAR-10 (He et al. 2016) at 32x32, without in-place operators",
    "resnet50-b32": "ResNet-50 (He et al. 2016) at 224x224",
    "resnet50-b64-amp": "ResNet-50 (He et al. 2016) at 224x224 under bfloat16 autocast",
    "t5-small-b8-s256": "T5 small, encoder and decoder",
    "unet-b8": "U-Net (Ronneberger et al. 2015) of depth 4 and base width 64 at 256x256",
    "vgg16-b32": "VGG-16 (Simonyan and Zisserman 2015) at 224x224",
    "vgg19_bn-b32": "VGG-19 with batch normalisation at 224x224",
    "vit_b_16-b32": "Vision Transformer B/16 (Dosovitskiy et al. 2021) at 224x224",
    "whisper-dialect-lora-b8": "frozen Whisper encoder of 6 layers with LoRA and a trained classification head",
}

/// All entries, in order of their names.
pub fn entries() -> &'static [Entry] {
    ENTRIES
}

/// Names of all entries, ascending.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|e| e.name)
}

/// The entry of that name. Time O(log entries).
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.binary_search_by(|e| e.name.cmp(name)).ok().map(|i| &ENTRIES[i])
}

/// Loads an entry as a checked graph. Time O(size of the trace), a few milliseconds.
///
/// # Errors
/// [`LoadError::Unknown`] with the nearest names if there is no such entry.
pub fn load(name: &str) -> Result<Graph, LoadError> {
    let entry = find(name).ok_or_else(|| LoadError::Unknown { name: read::excerpt(name), nearest: nearest(name) })?;
    match read::parse(&read::decompress(entry.compressed, entry.name)?, entry.name)? {
        Document::Graph(graph) => Ok(*graph),
        Document::Chain(_) => Err(LoadError::Format {
            name: entry.name.into(),
            expected: format!("\"{}\"", crate::trace::TRACE_FORMAT),
            found: format!("\"{}\"", crate::chain::CHAIN_FORMAT),
        }),
    }
}

/// Names that come closest to `name`: those that contain it or start alike, then those a few edits away. At most four.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let wanted: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let text: String = wanted.iter().collect();
    if text.is_empty() {
        return Vec::new();
    }
    let mut ranked: Vec<(usize, &'static str)> = names()
        .filter_map(|candidate| {
            let family = candidate.split('-').next().unwrap_or(candidate);
            let by_edits = edits(&wanted, candidate).min(edits(&wanted, family) + 1);
            let distance = match () {
                () if candidate.contains(&text) => 0,
                () if text.split('-').next() == Some(family) => by_edits.min(1),
                () => by_edits,
            };
            (distance <= wanted.len().div_ceil(3).max(2)).then_some((distance, candidate))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(4).map(|(_, candidate)| candidate).collect()
}

/// Edit distance (Levenshtein 1966), time O(a b).
fn edits(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, y) in b.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &x) in a.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_described() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.name < b.name));
        assert!(ENTRIES.iter().all(|e| !e.about.is_empty() && e.about.len() < 110));
    }

    #[test]
    fn distance_counts_edits() {
        let of = |a: &str, b| edits(&a.chars().collect::<Vec<_>>(), b);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("abc", "abc"), 0);
    }

    #[test]
    fn typos_and_families_find_their_names() {
        assert_eq!(nearest("resnet50-b23"), ["resnet50-b32", "resnet50-b64-amp", "resnet101-b32", "resnet18-b64"]);
        assert!(nearest("gpt2").contains(&"gpt2-b8-s512"));
        assert!(nearest("LLAMA")[..2].iter().all(|n| n.starts_with("llama")));
        assert_eq!(nearest("nothing like this"), [""; 0]);
        assert_eq!(nearest(""), [""; 0]);
    }
}
