//! Random numbers that can be had again.

#![expect(clippy::print_stdout, reason = "the seed of a test is part of its record")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Random numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// From a seed that is printed; `DOCKER_ORCH_SEED` gives it again.
    pub(crate) fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos().into();
        let given = std::env::var("DOCKER_ORCH_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(now);
        println!("DOCKER_ORCH_SEED={seed}");
        Self(seed)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
