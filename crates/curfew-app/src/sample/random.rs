//! Randomness that is the same for the same seed, on every machine and with every version.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a stream of random numbers is for. What one part draws does not depend on the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Contact = 0,
    History = 1,
    Campaigns = 2,
    Sample = 3,
}

/// The `ChaCha` cipher with 8 rounds: a published algorithm, so that a seed means the same for ever, with a
/// stream of its own for every contact, so that a contact is the same among a hundred and among
/// millions. How numbers are drawn from it is written down here, because what crates for
/// distributions do changes between their versions.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Begins the stream of a contact.
    #[must_use]
    pub(crate) fn stream(&self, part: Part, contact_id: i64) -> Self {
        let mut rng = self.0.clone();
        rng.set_stream(contact_id.cast_unsigned() << 2 | part as u64);
        rng.set_word_pos(0);
        Self(rng)
    }

    /// A number from 0 to `n - 1`; 0 if `n` is 0. Every number is as likely as the others but for
    /// one part in 2^32 / `n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(n);
        u32::try_from(wide >> 32).expect("below 2^32")
    }

    /// A number from 0 to `n - 1`, as days are counted.
    pub(crate) fn days(&mut self, n: u16) -> i32 {
        i32::try_from(self.below(n.into())).expect("below 65,536")
    }

    /// True in so many of a thousand cases.
    pub(crate) fn in_thousand(&mut self, cases: u32) -> bool {
        self.below(1000) < cases
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        let count = u32::try_from(list.len()).expect("a short list");
        list[self.below(count) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_algorithm() {
        // ChaCha8, 256-bit key 0, IV 0: the key stream begins 3e00ef2f895f40d67f5bb8e81f09a5a1.
        let mut random = Random::new(0);
        let words: Vec<u32> = (0..4).map(|_| random.0.next_u32()).collect();
        assert_eq!(words, [0x2fef_003e, 0xd640_5f89, 0xe8b8_5b7f, 0xa1a5_091f]);
    }

    #[test]
    fn streams_differ_and_do_not_depend_on_what_was_drawn() {
        let mut base = Random::new(7);
        let draw = |mut random: Random| random.below(u32::MAX);
        let first = draw(base.stream(Part::Contact, 1));
        base.below(10);
        assert_eq!(draw(base.stream(Part::Contact, 1)), first);
        assert_ne!(draw(base.stream(Part::Contact, 2)), first);
        assert_ne!(draw(base.stream(Part::History, 1)), first);
        assert_ne!(draw(Random::new(8).stream(Part::Contact, 1)), first);
    }

    #[test]
    fn numbers_lie_below_their_bound() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.pick(&['a']), 'a');
        assert!(random.in_thousand(1000) && !random.in_thousand(0));
    }
}
