//! States and territories: their names, how many people live there, and their ZIP codes.

use curfew_engine::State;

/// Code, name, and inhabitants in thousands by the census of 2020.
pub(crate) const PLACES: [(&str, &str, u32); 56] = [
    ("AK", "Alaska", 733),
    ("AL", "Alabama", 5024),
    ("AR", "Arkansas", 3012),
    ("AS", "American Samoa", 50),
    ("AZ", "Arizona", 7152),
    ("CA", "California", 39_538),
    ("CO", "Colorado", 5774),
    ("CT", "Connecticut", 3606),
    ("DC", "District of Columbia", 690),
    ("DE", "Delaware", 990),
    ("FL", "Florida", 21_538),
    ("GA", "Georgia", 10_712),
    ("GU", "Guam", 154),
    ("HI", "Hawaii", 1455),
    ("IA", "Iowa", 3190),
    ("ID", "Idaho", 1839),
    ("IL", "Illinois", 12_813),
    ("IN", "Indiana", 6786),
    ("KS", "Kansas", 2938),
    ("KY", "Kentucky", 4506),
    ("LA", "Louisiana", 4658),
    ("MA", "Massachusetts", 7030),
    ("MD", "Maryland", 6177),
    ("ME", "Maine", 1362),
    ("MI", "Michigan", 10_077),
    ("MN", "Minnesota", 5707),
    ("MO", "Missouri", 6155),
    ("MP", "Northern Mariana Islands", 47),
    ("MS", "Mississippi", 2961),
    ("MT", "Montana", 1084),
    ("NC", "North Carolina", 10_439),
    ("ND", "North Dakota", 779),
    ("NE", "Nebraska", 1962),
    ("NH", "New Hampshire", 1378),
    ("NJ", "New Jersey", 9289),
    ("NM", "New Mexico", 2118),
    ("NV", "Nevada", 3105),
    ("NY", "New York", 20_201),
    ("OH", "Ohio", 11_799),
    ("OK", "Oklahoma", 3959),
    ("OR", "Oregon", 4237),
    ("PA", "Pennsylvania", 13_003),
    ("PR", "Puerto Rico", 3286),
    ("RI", "Rhode Island", 1097),
    ("SC", "South Carolina", 5118),
    ("SD", "South Dakota", 887),
    ("TN", "Tennessee", 6911),
    ("TX", "Texas", 29_146),
    ("UT", "Utah", 3272),
    ("VA", "Virginia", 8631),
    ("VI", "Virgin Islands", 87),
    ("VT", "Vermont", 643),
    ("WA", "Washington", 7705),
    ("WI", "Wisconsin", 5894),
    ("WV", "West Virginia", 1794),
    ("WY", "Wyoming", 577),
];

/// The two-letter code of a state or territory by its name, in any case.
pub(crate) fn code_of_name(name: &str) -> Option<&'static str> {
    PLACES.iter().find(|(_, other, _)| other.eq_ignore_ascii_case(name)).map(|(code, ..)| *code)
}

/// The ZIP codes in use, by state, ascending.
#[derive(Debug)]
pub(crate) struct ZipCodes {
    by_state: Vec<Vec<u32>>,
}

impl ZipCodes {
    pub(crate) fn new() -> Self {
        let mut by_state = vec![Vec::new(); State::count()];
        for zip in 0..100_000 {
            if let Some(state) = State::of_zip(zip) {
                by_state[state.index()].push(zip);
            }
        }
        Self { by_state }
    }

    /// The ZIP codes of a state.
    pub(crate) fn of(&self, state: State) -> &[u32] {
        &self.by_state[state.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_code_of_its_own_and_zip_codes() {
        let zips = ZipCodes::new();
        assert!(PLACES.is_sorted());
        for (code, name, _) in PLACES {
            let state = State::from_code(code).unwrap();
            assert!(!zips.of(state).is_empty(), "{code}");
            assert_eq!(code_of_name(&name.to_uppercase()), Some(code));
        }
        assert_eq!(code_of_name("CA"), None);
    }

    #[test]
    fn the_fifty_states_and_the_district_have_the_inhabitants_of_the_census() {
        let territories = ["AS", "GU", "MP", "PR", "VI"];
        let states = PLACES.iter().filter(|(code, ..)| !territories.contains(code));
        let (count, sum) = states.fold((0, 0), |(n, sum), (_, _, more)| (n + 1, sum + more));
        assert_eq!(count, 51);
        // 331,449,281 by the census of 2020; each is rounded to thousands.
        assert!((331_449 - 25..=331_449 + 25).contains(&sum), "{sum}");
    }

    #[test]
    fn every_zip_code_is_listed_in_its_state() {
        let zips = ZipCodes::new();
        for state in State::all() {
            assert!(zips.of(state).iter().all(|zip| State::of_zip(*zip) == Some(state)));
        }
        assert!(zips.of(State::from_code("CA").unwrap()).contains(&90_210));
    }
}
