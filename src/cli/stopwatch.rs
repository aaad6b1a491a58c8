//! One clock with laps: stages that follow each other without a gap, so that they add up to the total.

use std::time::Instant;

/// A clock that was started once; every lap begins where the one before it ended.
#[derive(Debug)]
pub(super) struct Stopwatch {
    start: Instant,
    lap: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Stopwatch { start: now, lap: now }
    }

    /// Ends the current lap, begins the next, and returns the ended one's seconds.
    pub(super) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = (now - self.lap).as_secs_f64();
        self.lap = now;
        seconds
    }

    /// Seconds from the start to the end of the last lap.
    pub(super) fn total(&self) -> f64 {
        (self.lap - self.start).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_add_up_to_the_total() {
        let mut watch = Stopwatch::start();
        let sum: f64 = (0..100).map(|_| watch.lap()).sum();
        assert!((sum - watch.total()).abs() < 1e-9, "{sum} and {}", watch.total());
    }
}
