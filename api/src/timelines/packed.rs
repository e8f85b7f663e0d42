//! A day's crossings in about two bytes each, with fast search by time and fast sums.
//!
//! This is the coding of P. Elias (1974) and R. M. Fano (1971) for ascending numbers, plus one bit for the direction.
//! The day is divided into buckets whose length in milliseconds is a power of two, about as many as there are
//! crossings. The position of a crossing within its bucket is stored in binary. Its bucket is stored in unary: a one
//! for each crossing and a zero at the end of each bucket, in the order of the day. So n crossings of a day of D ms
//! take between 3 + log₂(D/n) and 4 + log₂(D/n) bits each, including the direction. Another bit each goes for the
//! marks, thanks to which a search starts at most 63 buckets too early.

use std::sync::Arc;

use super::step::Step;

const DAY_MS: usize = 86_400_000;
/// Number of buckets per mark, and of bits per word.
const WORD: usize = 64;

/// The crossings of one day, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// The sections: marks, buckets, instants within buckets, directions.
    words: Arc<[u64]>,
    len: u32,
    /// The length of a bucket is 2 to the power of this, in milliseconds.
    bucket_bits: u8,
}

/// The starts of the sections, in words. The marks start at zero.
struct Sections {
    buckets: usize,
    instants: usize,
    directions: usize,
    end: usize,
}

impl Sections {
    fn new(len: usize, bucket_bits: usize) -> Self {
        let all_buckets = bucket_of(DAY_MS, bucket_bits) + 1;
        let buckets = all_buckets.div_ceil(WORD);
        let instants = buckets + (len + all_buckets).div_ceil(WORD);
        let directions = instants + (len * bucket_bits).div_ceil(WORD);
        Self { buckets, instants, directions, end: directions + len.div_ceil(WORD) }
    }
}

impl Packed {
    /// Packs crossings, which must be in order.
    pub(super) fn new(steps: &[Step]) -> Self {
        let len = steps.len();
        if len == 0 {
            return Self::default();
        }
        let bucket_bits = (DAY_MS / len).max(1).ilog2() as usize + 1;
        let sections = Sections::new(len, bucket_bits);
        let mut words = vec![0; sections.end];
        let (mut marks, mut toward) = (0, 0);
        for (index, step) in steps.iter().enumerate() {
            let bucket = bucket_of(step.ms() as usize, bucket_bits);
            while marks * WORD <= bucket {
                words[marks] = mark(index + marks * WORD, toward);
                marks += 1;
            }
            set(&mut words[sections.buckets..], index + bucket, 1);
            let within = u64::from(step.ms()) & low(bucket_bits);
            set(&mut words[sections.instants..], index * bucket_bits, within);
            set(&mut words[sections.directions..], index, step.toward());
            toward += step.toward();
        }
        for (group, word) in words[..sections.buckets].iter_mut().enumerate().skip(marks) {
            *word = mark(len + group * WORD, toward);
        }
        // A day has fewer crossings than this: their marks take 32 bits each.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Self { words: words.into(), len, bucket_bits: u8::try_from(bucket_bits).unwrap_or(u8::MAX) }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    fn bucket_bits(&self) -> usize {
        self.bucket_bits.into()
    }

    /// Returns the number of crossings before the millisecond `end` of the day, at most 86,400,000, and how many of
    /// them went toward the DPU.
    pub(super) fn before(&self, end: usize) -> (usize, u64) {
        if self.len == 0 {
            return (0, 0);
        }
        let sections = self.sections();
        let bucket = bucket_of(end, self.bucket_bits());
        let group = bucket / WORD;
        let (start, toward) = marked(self.words[group]);
        // Crossings and ends of buckets have one place each: a bucket's place minus its number counts crossings.
        let buckets = &self.words[sections.buckets..sections.instants];
        let place = after_zeros(buckets, start, bucket % WORD);
        let (first, mut from) = (start - group * WORD, place - bucket);
        let mut until = from + ones_from(buckets, place);
        let within = end as u64 & low(self.bucket_bits());
        while from < until {
            let middle = usize::midpoint(from, until);
            if self.within(&sections, middle) < within {
                from = middle + 1;
            } else {
                until = middle;
            }
        }
        (from, toward + ones_between(&self.words[sections.directions..], first, from))
    }

    /// Returns the crossings in order.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        let sections = self.sections();
        let mut place = 0;
        (0..self.len()).map(move |index| {
            place = next_one(&self.words[sections.buckets..], place);
            let bucket = place - index;
            place += 1;
            let ms = (bucket as u64) << self.bucket_bits() | self.within(&sections, index);
            Step::from_parts(ms, get(&self.words[sections.directions..], index, 1))
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    fn sections(&self) -> Sections {
        Sections::new(self.len(), self.bucket_bits())
    }

    /// Returns the millisecond of a crossing within its bucket.
    fn within(&self, sections: &Sections, index: usize) -> u64 {
        get(&self.words[sections.instants..], index * self.bucket_bits(), self.bucket_bits())
    }
}

fn bucket_of(ms: usize, bucket_bits: usize) -> usize {
    ms >> bucket_bits
}

/// Returns a mark: the place where its first bucket starts, and the number of crossings toward the DPU before it.
fn mark(place: usize, toward: u64) -> u64 {
    place as u64 | toward << 32
}

fn marked(mark: u64) -> (usize, u64) {
    (usize::try_from(mark & low(32)).unwrap_or(usize::MAX), mark >> 32)
}

/// Returns `bits` ones, fewer than a word has.
fn low(bits: usize) -> u64 {
    (1 << bits) - 1
}

/// Returns the number in `bits` bits at `place`, fewer than a word has.
fn get(words: &[u64], place: usize, bits: usize) -> u64 {
    let (word, shift) = (place / WORD, place % WORD);
    let mut number = words[word] >> shift;
    if shift + bits > WORD {
        number |= words[word + 1] << (WORD - shift);
    }
    number & low(bits)
}

/// Writes a number over zeros.
fn set(words: &mut [u64], place: usize, number: u64) {
    let (word, shift) = (place / WORD, place % WORD);
    words[word] |= number << shift;
    if shift > 0 && number >> (WORD - shift) > 0 {
        words[word + 1] |= number >> (WORD - shift);
    }
}

/// Returns the place after the next `zeros` zeros, which must exist.
fn after_zeros(words: &[u64], from: usize, zeros: usize) -> usize {
    if zeros == 0 {
        return from;
    }
    let (mut at, mut left) = (from / WORD, zeros);
    let mut open = !words[at] & u64::MAX << (from % WORD);
    loop {
        let here = open.count_ones() as usize;
        if left <= here {
            break;
        }
        left -= here;
        at += 1;
        open = !words[at];
    }
    for _ in 1..left {
        open &= open - 1;
    }
    at * WORD + open.trailing_zeros() as usize + 1
}

/// Returns the number of ones before the next zero, which must exist.
fn ones_from(words: &[u64], from: usize) -> usize {
    let mut place = from;
    loop {
        let ones = (words[place / WORD] >> (place % WORD)).trailing_ones() as usize;
        place += ones;
        if ones == 0 || !place.is_multiple_of(WORD) {
            return place - from;
        }
    }
}

/// Returns the place of the next one, which must exist.
fn next_one(words: &[u64], from: usize) -> usize {
    let mut at = from / WORD;
    let mut ones = words[at] & u64::MAX << (from % WORD);
    while ones == 0 {
        at += 1;
        ones = words[at];
    }
    at * WORD + ones.trailing_zeros() as usize
}

/// Returns the number of ones between two places.
fn ones_between(words: &[u64], from: usize, until: usize) -> u64 {
    let (first, last) = (from / WORD, until / WORD);
    let ones: u32 = words[first..last].iter().map(|word| word.count_ones()).sum();
    let below = |place: usize| {
        let word = words.get(place / WORD).copied().unwrap_or_default();
        (word & low(place % WORD)).count_ones()
    };
    u64::from(ones + below(until) - below(from))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Generates realistic instants: spread over the day, in a rush, or all at once.
    fn instants() -> impl Strategy<Value = Vec<u64>> {
        let day = DAY_MS as u64;
        let rush = (0..day - 5_000, 1..5_000_u64)
            .prop_flat_map(|(start, ms)| vec(start..start + ms, 0..400).prop_map(|rush| rush));
        let spread = prop_oneof![vec(0..day, 0..30), vec(0..day, 0..1_500)];
        let ends = vec(prop_oneof![Just(0), Just(day - 1)], 0..70);
        (spread, vec(rush, 0..3), ends)
            .prop_map(|(spread, rushes, ends)| [spread, rushes.concat(), ends].concat())
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        instants().prop_flat_map(|instants| {
            let len = instants.len();
            vec(0..2_u64, len).prop_map(move |toward| {
                let mut steps: Vec<_> =
                    instants.iter().zip(toward).map(|(ms, toward)| Step::from_parts(*ms, toward)).collect();
                steps.sort();
                steps
            })
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_linear_search(steps in steps(), ends in vec(0..=DAY_MS, 20)) {
            let packed = Packed::new(&steps);
            let near = steps.iter().flat_map(|step| [step.ms() as usize, step.ms() as usize + 1]);
            for end in near.step_by(7).chain(ends).chain([0, DAY_MS]) {
                let walked = steps.iter().filter(|step| (step.ms() as usize) < end);
                let found = walked.fold((0, 0), |(seen, toward), step| (seen + 1, toward + step.toward()));
                prop_assert_eq!(packed.before(end), found, "before {}", end);
            }
            prop_assert_eq!(packed.steps().collect::<Vec<_>>(), steps);
        }
    }

    #[test]
    fn a_crossing_takes_about_two_bytes() {
        for (number, bits_max) in [(100, 26), (1_000, 22), (11_111, 18), (100_000, 14)] {
            let steps: Vec<_> = (0..number)
                .map(|index| Step::from_parts(DAY_MS as u64 * index / number, index % 2))
                .collect();
            let bits = Packed::new(&steps).heap_bytes() * 8 / steps.len();
            assert!(bits <= bits_max, "{number}: {bits} bits");
        }
    }
}
