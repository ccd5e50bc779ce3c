//! Made-up contacts: plausible as a whole, none of them real.

use curfew_engine::{Day, State, Today};
use curfew_store::contacts::{Cell, ContactRow};

use super::{
    places::{PLACES, ZipCodes},
    random::{Part, Random},
};

/// The youngest and the oldest, in completed years.
pub(crate) const AGES: std::ops::RangeInclusive<i16> = 64..=95;

const FIRST_NAMES: [&str; 72] = [
    "Ada", "Albert", "Alice", "Amos", "Anita", "Arthur", "Barbara", "Beatrice", "Bernard", "Betty",
    "Carl", "Carmen", "Carol", "Cecil", "Clara", "Clyde", "Cora", "Daniel", "Della", "Donald",
    "Doris", "Earl", "Edith", "Edna", "Eleanor", "Elmer", "Elsie", "Ernest", "Esther", "Eugene",
    "Eva", "Florence", "Floyd", "Frances", "Frank", "George", "Gladys", "Grace", "Harold",
    "Harriet", "Hazel", "Helen", "Henry", "Herbert", "Ida", "Irene", "Irma", "Jack", "James",
    "Juan", "Judith", "Laura", "Leonard", "Lillian", "Lloyd", "Lucille", "Luis", "Mabel", "Marcia",
    "Martin", "Maxine", "Milton", "Nora", "Norman", "Oscar", "Pearl", "Ralph", "Rosa", "Ruth",
    "Stella", "Vernon", "Walter",
];

const LAST_NAMES: [&str; 80] = [
    "Abbott", "Acosta", "Adair", "Alder", "Ames", "Archer", "Ashby", "Bailey", "Barlow", "Becker",
    "Bell", "Benson", "Birch", "Blake", "Boone", "Bowen", "Brandt", "Brook", "Burke", "Calder",
    "Carver", "Castillo", "Chandler", "Cole", "Conway", "Cooper", "Crane", "Dalton", "Davila",
    "Dawson", "Draper", "Dunn", "Eaton", "Ellis", "Farmer", "Fisher", "Fletcher", "Flores",
    "Foster", "Frost", "Gallo", "Garner", "Glover", "Hale", "Harper", "Hayes", "Holt", "Ibarra",
    "Jensen", "Keller", "Lane", "Larsen", "Lowell", "Marsh", "Mercer", "Miller", "Navarro",
    "Nolan", "Oakley", "O'Dell", "Page", "Parker", "Pike", "Porter", "Quinn", "Ramos", "Reed",
    "Rivera", "Sawyer", "Shaw", "Silva", "Stone", "Tanner", "Turner", "Vance", "Vega", "Walsh",
    "Weaver", "Wheeler", "York",
];

const DOMAINS: [&str; 3] = ["example.com", "example.org", "example.net"];
const CARRIERS: [&str; 6] = [
    "Alpine Mutual",
    "Blue Harbor",
    "Cedar Health",
    "First Prairie",
    "Lakeside Senior",
    "United Hearth",
];
const PLANS: [&str; 4] = ["F", "G", "N", "High-deductible G"];

/// Somebody, as the files should have them.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) email: String,
    pub(crate) zip: u32,
    pub(crate) state: State,
    pub(crate) birth: Option<Day>,
    pub(crate) effective: Option<Day>,
    pub(crate) phone: Option<String>,
    pub(crate) carrier: &'static str,
    pub(crate) plan: &'static str,
    pub(crate) is_active: bool,
}

/// What is wrong with a row: everything that SPEC section 2 names, and values of other storage
/// classes where another program could have left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dirt {
    NoEmail,
    EmptyEmail,
    EmailWithoutAt,
    EmailWithTwoAts,
    EmailWithSpace,
    EmailWithoutDot,
    EmailNotUtf8,
    EmailBlob,
    NoZip,
    EmptyZip,
    ShortZip,
    ZipWithLetter,
    LongZip,
    UnknownZip,
    ZipBlob,
    UnrealBirthDate,
    BadBirthDate,
    FutureBirthDate,
    BirthDateBlob,
    UnrealEffectiveDate,
    BadEffectiveDate,
    OtherState,
}

impl Dirt {
    pub(crate) const ALL: [Self; 22] = [
        Self::NoEmail,
        Self::EmptyEmail,
        Self::EmailWithoutAt,
        Self::EmailWithTwoAts,
        Self::EmailWithSpace,
        Self::EmailWithoutDot,
        Self::EmailNotUtf8,
        Self::EmailBlob,
        Self::NoZip,
        Self::EmptyZip,
        Self::ShortZip,
        Self::ZipWithLetter,
        Self::LongZip,
        Self::UnknownZip,
        Self::ZipBlob,
        Self::UnrealBirthDate,
        Self::BadBirthDate,
        Self::FutureBirthDate,
        Self::BirthDateBlob,
        Self::UnrealEffectiveDate,
        Self::BadEffectiveDate,
        Self::OtherState,
    ];
}

/// Makes people of one seed.
#[derive(Debug)]
pub(crate) struct People {
    random: Random,
    today: Today,
    zips: ZipCodes,
    /// The states with the sum of the inhabitants up to and with each.
    weights: Vec<(u32, State)>,
}

impl People {
    pub(crate) fn new(seed: u64, today: Today) -> Self {
        let mut sum = 0;
        let weights = PLACES
            .iter()
            .map(|(code, _, inhabitants)| {
                sum += inhabitants;
                (sum, State::from_code(code).expect("the table's codes exist"))
            })
            .collect();
        Self { random: Random::new(seed), today, zips: ZipCodes::new(), weights }
    }

    /// The random numbers of a contact for one purpose.
    pub(crate) fn random(&self, part: Part, id: i64) -> Random {
        self.random.stream(part, id)
    }

    /// Contact `id`, who lives in `state`, or anywhere, in proportion to the inhabitants.
    pub(crate) fn person(&self, id: i64, state: Option<State>) -> (Person, Random) {
        let mut random = self.random(Part::Contact, id);
        let all = self.weights.last().map_or(0, |(sum, _)| *sum);
        let place = random.below(all);
        let anywhere = self.weights.partition_point(|(sum, _)| *sum <= place);
        let state = state.unwrap_or(self.weights[anywhere].1);
        let zip = random.pick(self.zips.of(state));

        let first_name = random.pick(&FIRST_NAMES);
        let last_name = random.pick(&LAST_NAMES);
        let domain = random.pick(&DOMAINS);
        let name = |text: &str| text.to_ascii_lowercase().replace('\'', "");
        let email = format!("{}.{}.{id}@{domain}", name(first_name), name(last_name));

        let birth = self.birth(&mut random);
        let effective = self.effective(birth, &mut random);
        let area = 200 + random.below(800);
        let line = random.below(100);
        let person = Person {
            id,
            first_name,
            last_name,
            email,
            zip,
            state,
            birth: (!random.in_thousand(20)).then_some(birth),
            effective: (!random.in_thousand(50)).then_some(effective),
            // 555-0100 to 555-0199 are kept free for fiction.
            phone: (!random.in_thousand(150)).then(|| format!("{area}-555-01{line:02}")),
            carrier: random.pick(&CARRIERS),
            plan: random.pick(&PLANS),
            is_active: !random.in_thousand(30),
        };
        (person, random)
    }

    /// Fewer the older they are.
    fn birth(&self, random: &mut Random) -> Day {
        let years = u32::from((*AGES.end() - *AGES.start() + 1).unsigned_abs());
        let older = random.below(years).min(random.below(years));
        let age = *AGES.start() + i16::try_from(older).expect("at most 31");
        let date = self.today.day.to_date();
        let year = date.year() - age;
        // The day on which they completed that age at the latest, and a year back from there.
        let birthday = Day::from_ymd(year, date.month(), date.day())
            .or_else(|| Day::from_ymd(year, 2, 28))
            .unwrap_or(self.today.day);
        birthday - random.days(365)
    }

    /// On the first of a month nearly always, in January most often, from the month in which they
    /// turn 65 on.
    fn effective(&self, birth: Day, random: &mut Random) -> Day {
        let born = birth.to_date();
        let first_year = born.year() + 65;
        let years = (self.today.year - first_year).clamp(0, 14).unsigned_abs();
        let year = self.today.year - i16::try_from(random.days(years + 1)).expect("at most 14");
        let month = 1 + random.below(12);
        let month = if random.in_thousand(350) { 1 } else { month };
        let day = 1 + random.below(28);
        let day = if random.in_thousand(920) { 1 } else { day };
        let small = |n: u32| i8::try_from(n).expect("at most 28");
        let earliest = Day::from_ymd(first_year, born.month(), 1).unwrap_or(birth);
        let date = Day::from_ymd(year, small(month), small(day)).unwrap_or(earliest);
        // Policies are known two months ahead.
        let date = if date > self.today.day + 60 {
            Day::from_ymd(year - 1, small(month), small(day)).unwrap_or(earliest)
        } else {
            date
        };
        date.max(earliest)
    }

    /// The row of a person, with dirt if there is to be some.
    pub(crate) fn with_row<T>(
        &self,
        person: &Person,
        dirt: Option<Dirt>,
        take: impl FnOnce(&ContactRow<'_>) -> T,
    ) -> T {
        let zip = format!("{:05}", person.zip);
        let birth = person.birth.map(|day| day.to_string());
        let effective = person.effective.map(|day| day.to_string());
        let mut row = ContactRow {
            id: person.id,
            first_name: person.first_name,
            last_name: person.last_name,
            email: Cell::Text(&person.email),
            zip_code: Cell::Text(&zip),
            state: Some(person.state.code()),
            birth_date: birth.as_deref().into(),
            effective_date: effective.as_deref().into(),
            phone_number: person.phone.as_deref(),
            current_carrier: Some(person.carrier),
            plan_type: Some(person.plan),
            status: if person.is_active { "active" } else { "inactive" },
        };
        let broken;
        let mut bytes = Vec::new();
        let with = |from: &str, to: &str| person.email.replacen(from, to, 1);
        match dirt {
            None => {}
            Some(Dirt::NoEmail) => row.email = Cell::Null,
            Some(Dirt::EmptyEmail) => row.email = Cell::Text(""),
            Some(
                dirt @ (Dirt::EmailWithoutAt
                | Dirt::EmailWithTwoAts
                | Dirt::EmailWithSpace
                | Dirt::EmailWithoutDot),
            ) => {
                broken = match dirt {
                    Dirt::EmailWithoutAt => with("@", " at "),
                    Dirt::EmailWithTwoAts => with("@", "@@"),
                    Dirt::EmailWithSpace => with(".", " "),
                    _ => format!("{}@example", person.email.split('@').next().unwrap_or("")),
                };
                row.email = Cell::Text(&broken);
            }
            Some(Dirt::EmailNotUtf8) => {
                // As a program would store it that takes its texts for Latin-1.
                bytes.push(0xe9);
                bytes.extend(person.email.as_bytes());
                row.email = Cell::RawText(&bytes);
            }
            Some(Dirt::EmailBlob) => row.email = Cell::Blob(person.email.as_bytes()),
            Some(Dirt::NoZip) => row.zip_code = Cell::Null,
            Some(Dirt::EmptyZip) => row.zip_code = Cell::Text(""),
            Some(Dirt::ShortZip) => row.zip_code = Cell::Text(&zip[..4]),
            Some(Dirt::ZipWithLetter | Dirt::LongZip) => {
                broken = match dirt {
                    Some(Dirt::LongZip) => format!("{zip}-12"),
                    _ => format!("{}O", &zip[..4]),
                };
                row.zip_code = Cell::Text(&broken);
            }
            Some(Dirt::UnknownZip) => row.zip_code = Cell::Text("00000"),
            Some(Dirt::ZipBlob) => row.zip_code = Cell::Blob(zip.as_bytes()),
            Some(Dirt::UnrealBirthDate) => row.birth_date = Cell::Text("1950-02-30"),
            Some(Dirt::BadBirthDate) => row.birth_date = Cell::Text("about 1950"),
            Some(Dirt::FutureBirthDate) => {
                broken = (self.today.day + 400).to_string();
                row.birth_date = Cell::Text(&broken);
            }
            Some(Dirt::BirthDateBlob) => row.birth_date = Cell::Blob(b"1950-06-01"),
            Some(Dirt::UnrealEffectiveDate) => row.effective_date = Cell::Text("2021-02-29"),
            Some(Dirt::BadEffectiveDate) => row.effective_date = Cell::Text("01/01/20"),
            Some(Dirt::OtherState) => {
                row.state = Some(if person.state.code() == "CA" { "NY" } else { "CA" });
            }
        }
        take(&row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_engine::{Anniversary, Problem, RawContact, Standing, Value};

    fn people(day: &str) -> People {
        People::new(1, Today::new(Day::parse(day).unwrap()).unwrap())
    }

    fn check(row: &ContactRow<'_>, today: Today) -> (Standing, Vec<Problem>) {
        fn value(cell: Cell<'_>) -> Value<'_> {
            match cell {
                Cell::Null => Value::Null,
                Cell::Text(text) => Value::of(text),
                Cell::RawText(bytes) => Value::Text(bytes),
                Cell::Blob(_) => Value::Other,
            }
        }
        let contact = RawContact {
            id: row.id,
            email: value(row.email),
            zip_code: value(row.zip_code),
            birth_date: value(row.birth_date),
            effective_date: value(row.effective_date),
            state: value(row.state.into()),
            phone_number: value(row.phone_number.into()),
            status: Value::Null,
        };
        let mut problems = Vec::new();
        let standing = contact.check(today, |issue| problems.push(issue.problem));
        (standing, problems)
    }

    #[test]
    fn people_are_as_old_as_they_should_be_and_nothing_is_wrong_with_them() {
        // The days on which ages are hardest to count.
        for day in ["2026-11-20", "2028-02-29", "2027-02-28", "2027-01-01"] {
            let people = people(day);
            let mut ages = [0; 100];
            for id in 1..3000 {
                let (person, _) = people.person(id, None);
                let today = people.today;
                if let Some(birth) = person.birth {
                    let age = Anniversary::of(birth).completed_years(today.day);
                    assert!((64..=95).contains(&age), "{day}: {birth} is {age}");
                    ages[usize::try_from(age).unwrap()] += 1;
                }
                let (standing, problems) = people.with_row(&person, None, |row| check(row, today));
                assert!(matches!(standing, Standing::Valid(_)));
                assert_eq!(problems, []);
            }
            assert!(ages[64] > ages[80] && ages[80] > ages[94], "{ages:?}");
        }
    }

    /// Chi-square of what was counted against the shares that were wanted.
    fn chi_square(counts: &[u32], weights: &[u32]) -> f64 {
        let total: u32 = counts.iter().sum();
        let all: u32 = weights.iter().sum();
        let terms = counts.iter().zip(weights).map(|(count, weight)| {
            let expected = f64::from(total) * f64::from(*weight) / f64::from(all);
            (f64::from(*count) - expected).powi(2) / expected
        });
        terms.sum()
    }

    #[test]
    fn states_are_drawn_by_population_and_ages_thin_out_evenly() {
        let people = people("2026-11-20");
        let mut states = [0; PLACES.len()];
        let mut ages = [0; 32];
        for id in 1..=40_000 {
            let (person, _) = people.person(id, None);
            let place = PLACES.iter().position(|(code, ..)| *code == person.state.code()).unwrap();
            states[place] += 1;
            let Some(birth) = person.birth else { continue };
            let age = Anniversary::of(birth).completed_years(people.today.day);
            ages[usize::try_from(age - 64).unwrap()] += 1;
        }
        // The bounds are exceeded by chance once in a thousand times, with 55 and 31 degrees.
        let states = chi_square(&states, &PLACES.map(|(_, _, inhabitants)| inhabitants));
        assert!(states < 93.2, "{states}");
        let weights: Vec<u32> = (0..32).map(|age| 2 * (32 - age) - 1).collect();
        let ages = chi_square(&ages, &weights);
        assert!(ages < 61.1, "{ages}");
    }

    #[test]
    fn effective_dates_cluster_on_the_first_and_in_january() {
        let people = people("2026-11-20");
        let dates: Vec<_> = (1..4000)
            .filter_map(|id| people.person(id, None).0.effective)
            .map(Day::to_date)
            .collect();
        let share = |count: usize| count * 100 / dates.len();
        assert!(share(dates.iter().filter(|date| date.day() == 1).count()) > 88);
        let january = share(dates.iter().filter(|date| date.month() == 1).count());
        assert!((30..45).contains(&january), "{january}");
    }

    #[test]
    fn every_kind_of_dirt_is_what_the_engine_complains_about() {
        let people = people("2026-11-20");
        let mut found = std::collections::BTreeSet::new();
        for dirt in Dirt::ALL {
            let (mut person, _) = people.person(1, None);
            person.birth = Some(Day::new(0));
            let (standing, problems) =
                people.with_row(&person, Some(dirt), |row| check(row, people.today));
            assert_eq!(problems.len(), 1, "{dirt:?}: {problems:?}");
            let leaves_it_valid = matches!(
                dirt,
                Dirt::UnrealBirthDate
                    | Dirt::BadBirthDate
                    | Dirt::FutureBirthDate
                    | Dirt::BirthDateBlob
                    | Dirt::UnrealEffectiveDate
                    | Dirt::BadEffectiveDate
                    | Dirt::OtherState
            );
            assert_eq!(standing == Standing::Invalid, !leaves_it_valid, "{dirt:?}");
            found.insert(problems[0]);
        }
        // Every problem that SPEC section 2 names; one cannot be: that an id occurs twice.
        let other_state = Problem::StateMismatch {
            stored: State::from_code("CA").unwrap(),
            of_zip: State::from_code("TX").unwrap(),
        };
        for problem in [
            Problem::Missing,
            Problem::Malformed,
            Problem::UnknownZip,
            Problem::NotARealDate,
            Problem::InTheFuture,
            other_state,
        ] {
            assert!(found.contains(&problem), "{problem:?}");
        }
    }
}
