//! Writes a run with made-up figures and its report: for looking at the page.
//! `cargo run -p athanor-report --example sample_report -- FOLDER`

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "sample-run".into());
    let dir = std::path::Path::new(&dir);
    synthetic::write(dir);
    match athanor_report::write_report(dir) {
        Ok(path) => println!("{}", path.display()),
        Err(error) => eprintln!("{error}"),
    }
    match athanor_report::inspect::inspect(dir) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("{error}"),
    }
}
