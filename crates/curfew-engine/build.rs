//! Builds the table from ZIP code to state out of the `zipcodes` data: one byte for each of the
//! 100,000 codes, so that a look-up costs nothing at run time and no data is parsed at start.

#![expect(
    clippy::disallowed_methods,
    reason = "the build script writes the tables that the engine embeds"
)]

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut codes: Vec<&str> = zipcodes::database().iter().map(|zip| zip.state.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() < 256, "more state codes than one byte can number");

    let mut table = vec![0_u8; 100_000];
    for zip in zipcodes::database() {
        let number: usize = zip.zip_code.parse().expect("the data has five-digit ZIP codes only");
        let index = codes.binary_search(&zip.state.as_str()).expect("collected above");
        table[number] = u8::try_from(index + 1).expect("fewer than 256 codes");
    }

    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("zip_states.bin"), &table).expect("OUT_DIR is writable");
    let list: Vec<String> = codes.iter().map(|code| format!("{code:?}")).collect();
    fs::write(Path::new(&out).join("state_codes.rs"), format!("[{}]", list.join(", ")))
        .expect("OUT_DIR is writable");
}
