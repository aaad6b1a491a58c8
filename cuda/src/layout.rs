//! Where everything lies on the device and in pinned memory: arithmetic only, so that it is tested without a GPU
//! (`tests/cuda_layout.rs`), and an estimate is what is taken.
//!
//! A feature map is \[window\]\[D\]\[H\]\[W\]\[channels\], channels padded to a multiple of 16. The maps of a chunk of windows share
//! one piece of memory: each has the first place that is free from the step that makes it to the last that reads it.

use crate::table::{HEAD, Map, NONE, STEM, Size, Step, UPSAMPLE};

/// Channels of a map are padded to a multiple of this.
const CHANNEL_BLOCK: u64 = 16;
/// Everything lies at multiples of this, as CUDA's own allocations do.
const ALIGNMENT: u64 = 256;
/// Kernels count elements in 32 bits.
const MOST_ELEMENTS: u64 = i32::MAX as u64;

/// A network without its weights.
#[derive(Clone, Debug)]
pub struct Network {
    /// The number of the precision in the C ABI: 0 f32, 1 f16.
    pub precision: i32,
    pub classes: i32,
    pub window: [i32; 3],
    pub maps: Vec<Map>,
    pub steps: Vec<Step>,
}

/// Bytes, and where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub bytes: u64,
}

impl Place {
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Places one after the other.
#[derive(Default)]
struct Row(u64);

impl Row {
    fn place(&mut self, bytes: u64) -> Place {
        let place = Place { offset: self.0, bytes };
        self.0 = aligned(place.end());
        place
    }
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

fn voxels(shape: [i32; 3]) -> u64 {
    shape.iter().map(|&n| u64::try_from(n).unwrap_or(0)).product()
}

/// Channels, padded.
pub fn padded(channels: i32) -> u64 {
    u64::try_from(channels).unwrap_or(0).next_multiple_of(CHANNEL_BLOCK)
}

impl Network {
    /// Why the network contradicts itself, if it does: what a step reads must have been made, with fitting shapes.
    pub fn contradiction(&self) -> Option<String> {
        let map = |number: i32| usize::try_from(number).ok().and_then(|number| self.maps.get(number));
        let mut made = vec![false; self.maps.len()];
        let whole = |map: &Map| map.channels > 0 && map.shape.iter().all(|&n| n > 0);
        if !(0..=1).contains(&self.precision) || !(1..=256).contains(&self.classes) || !self.maps.iter().all(whole) {
            return Some("precision, classes or a shape that there is not".into());
        }
        for (number, step) in self.steps.iter().enumerate() {
            let reads: &[i32] = if step.second == NONE { &[step.input] } else { &[step.input, step.second] };
            let is_read = |&read: &i32| map(read).is_some() && usize::try_from(read).is_ok_and(|read| made[read]);
            let input = if step.kind == STEM { Some(self.window) } else { map(step.input).map(|map| map.shape) };
            let output = map(step.output).map(|map| map.shape);
            let fits = match step.kind {
                STEM => output == Some(self.window),
                HEAD => input == Some(self.window) && step.output == NONE && number + 1 == self.steps.len(),
                UPSAMPLE => output.is_some() && output == input.map(|shape| shape.map(|n| n.saturating_mul(2))),
                _ => output.is_some() && output == input,
            };
            let second = step.second == NONE || map(step.second).map(|map| map.shape) == input;
            let pooled = step.pooled == NONE || map(step.pooled).map(|map| map.shape) == output.map(|shape| shape.map(|n| n / 2));
            if !fits || !second || !pooled || (step.kind != STEM && !reads.iter().all(is_read)) || step.layer < 0 {
                return Some(format!("step {number} does not fit what is before it"));
            }
            for output in [step.output, step.pooled].into_iter().filter_map(|output| usize::try_from(output).ok()) {
                if std::mem::replace(&mut made[output], true) {
                    return Some(format!("step {number} makes a map again"));
                }
            }
        }
        (self.steps.last().map(|step| step.kind) != Some(HEAD)).then(|| "the last step is no head".into())
    }

    /// Bytes of an element of a feature map.
    pub fn element(&self) -> u64 {
        if self.precision == 0 { 4 } else { 2 }
    }

    /// Bytes of a window's probabilities.
    fn probabilities(&self) -> u64 {
        4 * u64::try_from(self.classes).unwrap_or(0) * voxels(self.window)
    }

    /// Bytes of a map for this many windows.
    fn bytes(&self, map: &Map, windows: u64) -> u64 {
        windows * voxels(map.shape) * padded(map.channels) * self.element()
    }

    /// The most windows whose elements 32 bits count.
    fn most_windows(&self) -> u64 {
        let elements = self.maps.iter().map(|map| voxels(map.shape) * padded(map.channels));
        let most = elements.chain([self.probabilities() / 4]).max().unwrap_or(1);
        (MOST_ELEMENTS / most.max(1)).max(1)
    }

    /// The first and the last step that a map lives through.
    fn life(&self, map: usize) -> (usize, usize) {
        let is = |number: i32| usize::try_from(number) == Ok(map);
        let first = self.steps.iter().position(|step| is(step.output) || is(step.pooled)).unwrap_or(0);
        let last = self.steps.iter().rposition(|step| is(step.input) || is(step.second)).unwrap_or(first);
        (first, last.max(first))
    }

    /// A place for every map and, behind them, for the probabilities, for this many windows; and the bytes of all.
    fn arena(&self, windows: u64) -> (Vec<Place>, u64) {
        let last = self.steps.len().saturating_sub(1);
        let maps = self.maps.iter().enumerate().map(|(number, map)| (self.life(number), self.bytes(map, windows)));
        let all: Vec<((usize, usize), u64)> = maps.chain([((last, last), windows * self.probabilities())]).collect();
        let mut places: Vec<Place> = Vec::with_capacity(all.len());
        for &((first, last), bytes) in &all {
            let alive = |other: usize| all[other].0.0 <= last && first <= all[other].0.1;
            let mut taken: Vec<Place> = (0..places.len()).filter(|&other| alive(other)).map(|other| places[other]).collect();
            taken.sort_by_key(|place| place.offset);
            let mut place = Place { offset: 0, bytes };
            for other in taken {
                if other.offset < place.end() && place.offset < other.end() {
                    place.offset = aligned(other.end());
                }
            }
            places.push(place);
        }
        let bytes = places.iter().map(Place::end).max().unwrap_or(0);
        (places, aligned(bytes))
    }
}

/// Memory for volumes of a size, on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Windows that go through the network together.
    pub chunk: u64,
    /// The volume's voxels.
    pub input: Place,
    /// Places of voxels, for D, H and W one after the other.
    pub element: Place,
    /// Starts along D, H and W one after the other.
    pub starts: Place,
    /// The start of every window.
    pub windows: Place,
    /// The model grid.
    pub whitened: Place,
    /// The sum of the windows' probabilities.
    pub sums: Place,
    pub channels: Place,
    pub confidence: Place,
    /// [`Counters`].
    pub counters: Place,
    /// Of each map of the network.
    pub maps: Vec<Place>,
    pub probabilities: Place,
    /// All of it.
    pub bytes: u64,
}

/// What kernels count.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub saturated: u64,
    pub range: [u32; 2],
    pub invalid: u32,
    pub unused: u32,
}

impl Layout {
    /// The layout with this many windows together.
    fn with(network: &Network, size: &Size, chunk: u64) -> Layout {
        let mut row = Row::default();
        let input = row.place(size.input_bytes);
        let element = row.place(8 * size.indices);
        let starts = row.place(4 * size.starts);
        let windows = row.place(12 * size.windows);
        let whitened = row.place(4 * size.voxels);
        let sums = row.place(4 * size.voxels * u64::try_from(network.classes).unwrap_or(0));
        let channels = row.place(size.voxels);
        let confidence = row.place(4 * size.voxels);
        let counters = row.place(size_of::<Counters>() as u64);
        let (mut maps, bytes) = network.arena(chunk);
        let arena = row.place(bytes);
        maps.iter_mut().for_each(|place| place.offset += arena.offset);
        let probabilities = maps.pop().unwrap_or_default();
        Layout { chunk, input, element, starts, windows, whitened, sums, channels, confidence, counters, maps, probabilities, bytes: row.0 }
    }

    /// The layout with as many windows together as the limit allows; `weights` are bytes that are taken already.
    pub fn new(network: &Network, size: &Size, weights: u64) -> Layout {
        let fits = |chunk: u64| Self::with(network, size, chunk).bytes.saturating_add(weights) <= size.limit;
        let (mut fitting, mut beyond) = (1, size.windows.clamp(1, network.most_windows()) + 1);
        while fitting + 1 < beyond {
            let middle = fitting + (beyond - fitting) / 2;
            if fits(middle) {
                fitting = middle;
            } else {
                beyond = middle;
            }
        }
        Self::with(network, size, fitting)
    }

    /// How many chunks so many windows are.
    pub fn chunks(&self, windows: u64) -> u64 {
        windows.div_ceil(self.chunk)
    }
}

/// Pinned memory for volumes of a size, on the host: what goes up and what comes down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub input: Place,
    pub element: Place,
    pub starts: Place,
    pub windows: Place,
    pub channels: Place,
    pub confidence: Place,
    pub counters: Place,
    pub bytes: u64,
}

impl Pinned {
    pub fn new(size: &Size) -> Pinned {
        let mut row = Row::default();
        let input = row.place(size.input_bytes);
        let element = row.place(8 * size.indices);
        let starts = row.place(4 * size.starts);
        let windows = row.place(12 * size.windows);
        let channels = row.place(size.voxels);
        let confidence = row.place(4 * size.voxels);
        let counters = row.place(size_of::<Counters>() as u64);
        Pinned { input, element, starts, windows, channels, confidence, counters, bytes: row.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CONVOLUTION;

    /// The paper's network of these channels, one window of 32×64×64.
    fn network(precision: i32, channels: &[i32]) -> Network {
        let shape = |level: usize| [32, 64, 64].map(|n: i32| n >> level);
        let (mut maps, mut steps) = (Vec::new(), Vec::new());
        let mut made = |channels: i32, level: usize| {
            maps.push(Map { channels, shape: shape(level) });
            maps.len() as i32 - 1
        };
        let (mut skips, mut current) = (Vec::new(), NONE);
        let mut layer = 0..;
        let mut step = |kind, input, second, output, pooled| Step { kind, input, second, output, pooled, layer: layer.next().unwrap() };
        for (level, &c) in channels.iter().enumerate() {
            let first = made(c, level);
            steps.push(step(if level == 0 { STEM } else { CONVOLUTION }, current, NONE, first, NONE));
            let second = made(c, level);
            let pooled = if level + 1 < channels.len() { made(c, level + 1) } else { NONE };
            steps.push(step(CONVOLUTION, first, NONE, second, pooled));
            skips.push(second);
            current = pooled;
        }
        current = skips.pop().unwrap();
        for (level, skip) in skips.into_iter().enumerate().rev() {
            let up = made(channels[level], level);
            steps.push(step(UPSAMPLE, current, NONE, up, NONE));
            let first = made(channels[level], level);
            steps.push(step(CONVOLUTION, skip, up, first, NONE));
            current = made(channels[level], level);
            steps.push(step(CONVOLUTION, first, NONE, current, NONE));
        }
        steps.push(step(HEAD, current, NONE, NONE, NONE));
        Network { precision, classes: 3, window: [32, 64, 64], maps, steps }
    }

    fn preset() -> Network {
        network(1, &[32, 64, 128, 256, 512])
    }

    /// 152×224×224 voxels of int16: 175 windows.
    fn size(limit: u64) -> Size {
        let voxels = 152 * 224 * 224;
        Size { input_bytes: 2 * voxels, voxels, indices: 600, starts: 17, windows: 175, limit }
    }

    #[test]
    fn nothing_that_is_still_to_be_read_is_overwritten_and_every_place_is_aligned() {
        for network in [preset(), network(0, &[3, 20, 33]), network(0, &[16, 16])] {
            assert_eq!(network.contradiction(), None);
            for windows in [1, 7] {
                let (places, bytes) = network.arena(windows);
                let last = network.steps.len() - 1;
                let lives: Vec<_> = (0..network.maps.len()).map(|map| network.life(map)).chain([(last, last)]).collect();
                for (a, b) in (0..places.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                    let together = lives[a].0 <= lives[b].1 && lives[b].0 <= lives[a].1;
                    let apart = places[a].end() <= places[b].offset || places[b].end() <= places[a].offset;
                    assert!(!together || apart, "{a} and {b}");
                }
                assert!(places.iter().all(|place| place.offset.is_multiple_of(ALIGNMENT) && place.end() <= bytes));
                // The outputs of a step and its inputs are alive at the same time: no step reads what it writes.
                for (number, step) in network.steps.iter().enumerate() {
                    for (read, write) in [step.input, step.second].iter().flat_map(|&r| [(r, step.output), (r, step.pooled)]) {
                        let (Ok(read), Ok(write)) = (usize::try_from(read), usize::try_from(write)) else { continue };
                        let (read, write) = (places[read], places[write]);
                        assert!(read.end() <= write.offset || write.end() <= read.offset, "step {number}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_presets_maps_take_less_than_half_of_what_they_would_apart() {
        let network = preset();
        let apart: u64 = network.maps.iter().map(|map| network.bytes(map, 1)).sum();
        let (_, bytes) = network.arena(1);
        assert!(bytes < apart / 2, "{bytes} of {apart}");
        // Level 0 alone: skip, upsampled half, result of the first convolution, in f16.
        assert!(bytes >= 3 * 32 * 32 * 64 * 64 * 2);
    }

    #[test]
    fn all_windows_go_together_where_they_fit_else_as_many_as_fit_but_one_at_least() {
        let network = preset();
        let all = Layout::new(&network, &size(u64::MAX), 1000);
        assert_eq!((all.chunk, all.chunks(175)), (175, 1));
        let one = Layout::new(&network, &size(0), 1000);
        assert_eq!((one.chunk, one.chunks(175)), (1, 175));
        for limit in [one.bytes + 1000, one.bytes * 2, one.bytes * 3, all.bytes + 999] {
            let some = Layout::new(&network, &size(limit), 1000);
            assert!(some.bytes + 1000 <= limit && Layout::with(&network, &size(limit), some.chunk + 1).bytes + 1000 > limit);
        }
        assert_eq!(Layout::new(&network, &size(all.bytes + 1000), 1000), all);
        assert_eq!(Layout::new(&network, &size(all.bytes + 999), 1000).chunk, 174);
    }

    #[test]
    fn elements_are_counted_in_32_bits() {
        let network = preset();
        let many = Layout::new(&network, &Size { windows: 100_000, ..size(u64::MAX) }, 0);
        let largest = network.maps.iter().map(|map| network.bytes(map, many.chunk) / network.element()).max().unwrap();
        assert!(largest <= i32::MAX as u64 && many.chunk == 511, "{}", many.chunk);
    }

    #[test]
    fn what_is_on_the_device_or_pinned_does_not_overlap_and_is_counted() {
        let layout = Layout::new(&preset(), &size(1 << 30), 0);
        let Layout { input, element, starts, windows, whitened, sums, channels, confidence, counters, .. } = layout;
        let mut places = vec![input, element, starts, windows, whitened, sums, channels, confidence, counters];
        let arena = layout.maps.iter().chain([&layout.probabilities]).map(|place| place.offset).min().unwrap();
        places.push(Place { offset: arena, bytes: layout.bytes - arena });
        assert!(places.windows(2).all(|pair| aligned(pair[0].end()) == pair[1].offset));
        assert_eq!(sums.bytes, 3 * whitened.bytes);
        let pinned = Pinned::new(&size(0));
        assert_eq!((pinned.input.bytes, pinned.channels.bytes * 4), (input.bytes, pinned.confidence.bytes));
        assert_eq!(pinned.counters.end().next_multiple_of(ALIGNMENT), pinned.bytes);
    }

    #[test]
    fn a_network_that_contradicts_itself_is_noticed() {
        let changes: [fn(&mut Network); 9] = [
            |network| network.precision = 2,
            |network| network.classes = 0,
            |network| network.maps[3].channels = 0,
            |network| network.maps[4].shape[1] = 63,
            |network| network.steps[5].input = 90,
            |network| network.steps[1].input = 7,
            |network| network.steps[2].output = network.steps[1].output,
            |network| network.steps[3].layer = -1,
            |network| network.steps.truncate(13),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut network = preset();
            change(&mut network);
            assert!(network.contradiction().is_some(), "change {number}");
        }
    }
}
