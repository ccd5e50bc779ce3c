//! Compares two databases and saves the difference: `cargo run --release -p libsql-diff --example
//! diff A.db B.db OUT`. `cargo xtask bench diff` measures it.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "an example talks to the terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, out] = &arguments[..] else {
        eprintln!("usage: diff A.db B.db OUT");
        return ExitCode::from(2);
    };
    let outcome = libsql_diff::diff(a, b).and_then(|diff| {
        diff.save(out)?;
        for table in &diff.summary().tables {
            eprintln!(
                "{}: {} rows come, {} change, {} go",
                table.name, table.inserted, table.updated, table.deleted
            );
        }
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}
