//! States and territories, and the table from ZIP code to state.

use std::fmt;

/// The codes that occur in the ZIP data, sorted; a [`State`] is an index into it.
static CODES: &[&str] = &include!(concat!(env!("OUT_DIR"), "/state_codes.rs"));
/// For every five-digit code: 0 if there is no such ZIP code, else one more than the state's index.
static ZIP_STATES: &[u8; 100_000] = include_bytes!(concat!(env!("OUT_DIR"), "/zip_states.bin"));
/// Armed-forces post offices have ZIP codes, but are not places with laws of their own.
const MILITARY: [&str; 3] = ["AA", "AE", "AP"];
/// For every two letters: 0 if they are no state's code, else one more than the state's index.
static CODE_PLACES: [u8; 26 * 26] = code_places();

const fn code_places() -> [u8; 26 * 26] {
    let codes: &[&str] = &include!(concat!(env!("OUT_DIR"), "/state_codes.rs"));
    let mut places = [0; 26 * 26];
    let mut index = 0;
    let mut place = 1;
    while index < codes.len() {
        let code = codes[index].as_bytes();
        let mut is_military = false;
        let mut at = 0;
        while at < MILITARY.len() {
            let other = MILITARY[at].as_bytes();
            is_military |= code[0] == other[0] && code[1] == other[1];
            at += 1;
        }
        if !is_military {
            places[(code[0] - b'A') as usize * 26 + (code[1] - b'A') as usize] = place;
        }
        index += 1;
        place += 1;
    }
    places
}

/// A state, the District of Columbia, a territory, or an armed-forces post region.
///
/// Orders by code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State(u8);

impl State {
    /// How many codes there are; [`State::index`] is below it.
    pub fn count() -> usize {
        CODES.len()
    }

    /// Every code, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(CODES.len()).map(Self)
    }

    /// The state with this two-letter code, in any case; armed-forces regions are not among them.
    ///
    /// ```
    /// use curfew_engine::State;
    /// assert_eq!(State::from_code("nv").unwrap().code(), "NV");
    /// assert!(State::from_code("XX").is_none());
    /// assert!(State::from_code("AE").is_none());
    /// ```
    pub fn from_code(code: &str) -> Option<Self> {
        Self::from_bytes(code.as_bytes())
    }

    /// Like [`State::from_code`].
    pub(crate) fn from_bytes(code: &[u8]) -> Option<Self> {
        let bytes: [u8; 2] = code.try_into().ok()?;
        let [first, second] = bytes.map(|byte| byte.to_ascii_uppercase().wrapping_sub(b'A'));
        if first >= 26 || second >= 26 {
            return None;
        }
        let place = CODE_PLACES[usize::from(first) * 26 + usize::from(second)];
        place.checked_sub(1).map(Self)
    }

    /// The state of a five-digit ZIP code (0 to 99999), or `None` if the code is not in use.
    pub fn of_zip(zip: u32) -> Option<Self> {
        match ZIP_STATES.get(usize::try_from(zip).ok()?)? {
            0 => None,
            index => Some(Self(index - 1)),
        }
    }

    /// The two-letter code in capitals.
    pub fn code(self) -> &'static str {
        CODES[usize::from(self.0)]
    }

    /// The state's place in the order of codes, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_states_the_district_and_the_territories_have_codes() {
        let codes: Vec<&str> = State::all()
            .filter(|state| State::from_code(state.code()).is_some())
            .map(State::code)
            .collect();
        assert_eq!(codes.len(), 50 + 1 + 8, "{codes:?}");
        for territory in ["DC", "PR", "VI", "GU", "AS", "MP", "FM", "MH", "PW"] {
            assert!(codes.contains(&territory), "{territory}");
        }
    }

    #[test]
    fn zip_codes_lead_to_their_states() {
        for (zip, state) in
            [(90210, "CA"), (501, "NY"), (10001, "NY"), (20001, "DC"), (89101, "NV"), (907, "PR")]
        {
            assert_eq!(State::of_zip(zip).map(State::code), Some(state), "{zip}");
        }
        assert_eq!(State::of_zip(0), None);
        assert_eq!(State::of_zip(99_999), None);
        assert_eq!(State::of_zip(100_000), None);
    }
}
