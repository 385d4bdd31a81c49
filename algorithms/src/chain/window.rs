//! The queue behind every sliding minimum and maximum here.

/// A queue of indices that grows at one end and shrinks at both. At most as many pushes as its capacity, so it is a
/// flat list with a moving head and never reallocates.
#[derive(Debug, Default)]
pub(super) struct Window {
    items: Vec<u32>,
    head: usize,
}

impl Window {
    /// An empty queue for `pushes` pushes.
    pub(super) fn with_capacity(pushes: usize) -> Self {
        Self { items: Vec::with_capacity(pushes), head: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.head = 0;
    }

    /// The entries, oldest first.
    pub(super) fn entries(&self) -> &[u32] {
        &self.items[self.head..]
    }

    /// The entry that was pushed first.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.items.get(self.head).copied()
    }

    /// Drops the oldest entry.
    pub(super) fn pop_oldest(&mut self) {
        self.head = (self.head + 1).min(self.items.len());
    }

    /// Drops entries from the new end while `outdone` holds for them, then adds `item`. Returns the number dropped.
    pub(super) fn push(&mut self, item: u32, mut outdone: impl FnMut(u32) -> bool) -> u64 {
        let before = self.items.len();
        while self.items.len() > self.head && outdone(self.items[self.items.len() - 1]) {
            self.items.pop();
        }
        let dropped = before - self.items.len();
        self.items.push(item);
        dropped as u64
    }
}
