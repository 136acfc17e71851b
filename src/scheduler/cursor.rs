//! Where a search stopped, so that the next one need not begin at the start.

/// The place at which something did not hold when it was last looked at. A hint alone: it is looked at again each time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor(usize);

impl Cursor {
    /// Whether it holds of all places up to `end`; stops at the first of which it does not.
    pub(super) fn all(&mut self, end: usize, holds: impl Fn(usize) -> bool) -> bool {
        for _ in 0..end {
            if !holds(self.0 % end) {
                return false;
            }
            self.0 = (self.0 + 1) % end;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_search_goes_on_where_the_last_one_stopped() {
        let (mut cursor, looks) = (Cursor::default(), Cell::new(0));
        for settled in 0..100 {
            let is_settled = |place| {
                looks.set(looks.get() + 1);
                place < settled
            };
            assert!(!cursor.all(100, is_settled));
        }
        assert_eq!(looks.get(), 199);
        // What is behind it may have changed meanwhile.
        assert!(!cursor.all(100, |place| place != 0));
        assert!(cursor.all(100, |_| true));
        assert!(cursor.all(0, |_| false));
    }
}
