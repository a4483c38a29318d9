//! Puts what the page takes from npm into the program. `scripts/web-packages` has fetched it before:
//! a build asks no network.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let list = own.join("web/packages");
    let fetched = own.join("../../.cache/web");
    for path in [&list, &fetched] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    if let Err(error) = embed(&list, &fetched, &out) {
        println!(
            "cargo::error=the web page's packages are not in .cache/web as crates/manager/web/packages lists them ({error}): run `make setup`, or scripts/web-packages alone"
        );
    }
}

fn embed(list: &Path, fetched: &Path, out: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let wanted = read(list)?;
    if read(&fetched.join("packages"))? != wanted {
        return Err("they are of another version".into());
    }
    for line in wanted.lines().filter(|line| !line.starts_with('#')) {
        let name = line.rsplit(' ').next().unwrap_or_default();
        fs::copy(fetched.join(name), out.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
