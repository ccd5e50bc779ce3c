//! `cargo xtask bench micro`: the micro-benchmarks, each thing's time beside that of parsing a date.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{DOCUMENT, replace_between};
use crate::shell;

const BEGIN: &str = "<!-- begin: cargo xtask bench micro -->";
const END: &str = "<!-- end: cargo xtask bench micro -->";

/// Each package with its benchmark.
const BENCHES: [(&str, &str); 2] = [("curfew-engine", "plan"), ("curfew-store", "tables")];
/// What the others are divided by.
const UNIT: &str = "parse_date";

/// What divan measured.
#[derive(Debug, PartialEq)]
struct Measured {
    /// The function, and its argument if it has any.
    name: String,
    /// Nanoseconds in the median, for each item where items are counted.
    nanoseconds: f64,
}

/// Measures, and rewrites its table.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut measured = Vec::new();
    for (package, bench) in BENCHES {
        let line = format!("cargo bench --locked -p {package} --bench {bench}");
        let output = shell::output(&mut shell::command(root, &line))?;
        eprintln!("{output}");
        measured.extend(parse(&output));
    }
    replace_between(&root.join(DOCUMENT), BEGIN, END, &table(&measured)?)
}

fn table(measured: &[Measured]) -> Result<String> {
    let unit = measured.iter().find(|one| one.name == UNIT);
    let unit = unit.with_context(|| format!("the benchmark `{UNIT}` is missing"))?.nanoseconds;
    let mut text = "\n\n| what | each, ns | times a date |\n| --- | ---: | ---: |\n".to_owned();
    for Measured { name, nanoseconds } in measured {
        writeln!(text, "| {name} | {nanoseconds:.0} | {:.0} |", nanoseconds / unit)?;
    }
    Ok(text)
}

/// Reads the tree that divan prints: a line for each benchmark or group, and below it one with the
/// items in a second where they are counted.
fn parse(output: &str) -> Vec<Measured> {
    const TREE: [char; 5] = ['│', '├', '╰', '─', ' '];
    let mut found: Vec<Measured> = Vec::new();
    let mut group = "";
    for line in output.lines() {
        let is_nested = line.starts_with("│  ") || line.starts_with("   ");
        let columns: Vec<&str> = line.trim_start_matches(TREE).split('│').map(str::trim).collect();
        let [first, _, median, ..] = columns[..] else { continue };
        if first.ends_with("item/s") {
            if let (Some(last), Some(rate)) = (found.last_mut(), number(median)) {
                last.nanoseconds = 1e9 / rate;
            }
            continue;
        }
        let (name, _) = first.split_once("  ").unwrap_or((first, ""));
        let Some(nanoseconds) = number(median) else {
            if !is_nested {
                group = name;
            }
            continue;
        };
        let name = if is_nested { format!("{group}, {name}") } else { name.to_owned() };
        found.push(Measured { name, nanoseconds });
    }
    found
}

/// A time in nanoseconds or a rate in items a second.
fn number(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let factor = match unit {
        "ns" | "item/s" => 1.0,
        "µs" | "Kitem/s" => 1e3,
        "ms" | "Mitem/s" => 1e6,
        "s" | "Gitem/s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Timer precision: 20 ns
plan                  fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ balance_a_million  1.165 s       │ 4.536 s       │ 2 s           │ 2.165 s       │ 5       │ 5
│                     857.6 Kitem/s │ 220.4 Kitem/s │ 500 Kitem/s   │ 461.8 Kitem/s │         │
├─ draft_contact                    │               │               │               │         │
│  ├─ 0               690.7 ns      │ 8.311 µs      │ 720.7 ns      │ 808.1 ns      │ 100     │ 100
├─ merge_a_thousand                 │               │               │               │         │
│  ╰─ Same            163.5 µs      │ 737.1 µs      │ 206.2 µs      │ 214.8 µs      │ 100     │ 100
│                     6.113 Mitem/s │ 1.356 Mitem/s │ 4 Mitem/s     │ 4.653 Mitem/s │         │
╰─ parse_date         8.528 ns      │ 8.571 ns      │ 8 ns          │ 8.55 ns       │ 100     │ 25600
";

    #[test]
    fn a_time_is_that_of_one_item_beside_that_of_a_date() {
        let measured = parse(OUTPUT);
        let names: Vec<&str> = measured.iter().map(|one| &*one.name).collect();
        assert_eq!(
            names,
            ["balance_a_million", "draft_contact, 0", "merge_a_thousand, Same", "parse_date"]
        );
        let table = table(&measured).unwrap();
        for line in [
            "| balance_a_million | 2000 | 250 |",
            "| draft_contact, 0 | 721 | 90 |",
            "| merge_a_thousand, Same | 250 | 31 |",
            "| parse_date | 8 | 1 |",
        ] {
            assert!(table.contains(line), "{table}");
        }
    }

    #[test]
    fn without_the_benchmark_that_others_are_divided_by_there_is_no_table() {
        assert!(table(&parse("")).unwrap_err().to_string().contains("`parse_date` is missing"));
    }
}
