//! Any text as the name of a file, and as the address of a card: only what is served is found.

#![no_main]

use std::path::Path;

use cairn_netboot::{Files, Mac};

libfuzzer_sys::fuzz_target!(|asked: &str| {
    let files = Files::new().with_uki("cairn.efi", "/srv/cairn.efi").with_sums("artifacts", "/srv/store");
    if let Some((name, path)) = files.find(asked) {
        let sum = |path: &Path| path.parent() == Some(Path::new("/srv/store")) && name.len() == 74;
        assert!(path == Path::new("/srv/cairn.efi") || sum(&path), "{name:?} is {path:?}");
        assert!(files.serves(asked));
    }
    if let Some((_, _, image)) = files.find_part(asked) {
        assert_eq!(image, Path::new("/srv/cairn.efi"));
    }
    if let Ok(mac) = asked.parse::<Mac>() {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
});
