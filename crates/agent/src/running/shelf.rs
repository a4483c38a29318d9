//! What a node needs from outside its image: fetched from where the manager says, checked, and put where
//! it is used.

use cairn_artifacts::{Client, Patience, Told, Want, fetch};
use cairn_model::cluster::is_k3s_release;
use cairn_model::node_config::K3s;
use cairn_wire::message::{Artifact, ImageFile, Wanted};
use cairn_workflow::log::chain;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// k3s's program.
pub const K3S: &str = "k3s";
/// The container images that it starts with, so that it needs no internet.
pub const K3S_IMAGES: &str = "k3s-images";
/// What can't be fetched is not wanted again at once.
const AGAIN: Duration = Duration::from_secs(30);

/// Below `/var/lib`, where all that changes is encrypted.
pub struct Shelf {
    /// What was fetched, by name and version; `k3s` here is what the unit starts.
    artifacts: PathBuf,
    /// Where k3s looks for images (docs.k3s.io, "Air-Gap Install").
    images: PathBuf,
    under_way: Mutex<BTreeMap<String, UnderWay>>,
}

/// How it stands with something that is not there, by its name.
enum UnderWay {
    Fetching { done: u64, total: u64 },
    Failed { why: String, at: Instant },
}

impl UnderWay {
    fn may_begin(&self) -> bool {
        matches!(self, Self::Failed { at, .. } if at.elapsed() >= AGAIN)
    }
}

/// The name and version of all that k3s needs.
fn names(wanted: &K3s) -> [(&'static str, &str); 2] {
    [(K3S, &wanted.version), (K3S_IMAGES, &wanted.version)]
}

impl Shelf {
    pub fn new(var_lib: &Path) -> Self {
        Self {
            artifacts: var_lib.join("cairn/artifacts"),
            images: var_lib.join("rancher/k3s/agent/images"),
            under_way: Mutex::default(),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<String, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of what has this name, and how its files end.
    fn home(&self, name: &str) -> (&Path, &'static str) {
        match name {
            K3S_IMAGES => (&self.images, ".tar.zst"),
            _ => (&self.artifacts, ""),
        }
    }

    fn place(&self, name: &str, version: &str) -> PathBuf {
        let (folder, ending) = self.home(name);
        folder.join(format!("{name}-{version}{ending}"))
    }

    fn is_there(&self, name: &str, version: &str) -> bool {
        let place = self.place(name, version);
        let used = name != K3S
            || fs::read_link(self.artifacts.join(K3S))
                .is_ok_and(|link| Some(link.as_os_str()) == place.file_name());
        used && place.is_file()
    }

    fn missing<'a>(&self, k3s: &'a K3s) -> impl Iterator<Item = (&'static str, &'a str)> {
        names(k3s).into_iter().filter(|(name, version)| !self.is_there(name, version))
    }

    /// What is missing, in words; nothing when k3s can start.
    pub fn waiting(&self, k3s: &K3s) -> Vec<String> {
        let under_way = self.under_way();
        let words = |(name, version)| {
            let text = format!("waiting for artifact {name} {version}");
            match under_way.get(name) {
                None => text,
                Some(UnderWay::Fetching { done, total }) => {
                    format!("{text}: {} of {} MB", done / 1_000_000, total / 1_000_000)
                }
                Some(UnderWay::Failed { why, .. }) => format!("{text}: {why}"),
            }
        };
        self.missing(k3s).map(words).collect()
    }

    /// What the manager is asked for.
    pub fn wants(&self, k3s: &K3s) -> Vec<Wanted> {
        let under_way = self.under_way();
        self.missing(k3s)
            .filter(|(name, _)| under_way.get(*name).is_none_or(UnderWay::may_begin))
            .map(|(name, version)| Wanted {
                name: name.to_owned(),
                version: version.to_owned(),
                machine: std::env::consts::ARCH.to_owned(),
            })
            .collect()
    }

    /// Fetches what is wanted of these, one after the other, in a thread of its own.
    pub fn take(self: &Arc<Self>, k3s: &K3s, mut artifacts: Vec<Artifact>) {
        let wants = self.wants(k3s);
        {
            let mut under_way = self.under_way();
            artifacts.retain(|Artifact { wanted, file }| {
                let begins =
                    wants.contains(wanted) && under_way.get(&wanted.name).is_none_or(UnderWay::may_begin);
                if begins {
                    let fetching = UnderWay::Fetching { done: 0, total: file.size };
                    under_way.insert(wanted.name.clone(), fetching);
                }
                begins
            });
        }
        if artifacts.is_empty() {
            return;
        }
        let shelf = Arc::clone(self);
        std::thread::spawn(move || {
            for Artifact { wanted, file } in artifacts {
                let fetched = shelf.fetch(&wanted, &file);
                let mut under_way = shelf.under_way();
                match fetched {
                    Ok(()) => drop(under_way.remove(&wanted.name)),
                    Err(why) => {
                        tracing::warn!(artifact = wanted.name, why, "not fetched");
                        under_way.insert(wanted.name, UnderWay::Failed { why, at: Instant::now() });
                    }
                }
            }
        });
    }

    fn fetch(&self, wanted: &Wanted, file: &ImageFile) -> Result<(), String> {
        if !is_k3s_release(&wanted.version) {
            return Err(format!("'{}' is no k3s release", wanted.version));
        }
        let sum = file.sha256.parse().map_err(|error| format!("the manager's checksum is wrong: {error}"))?;
        let want = Want { url: file.url.clone(), sum, size: Some(file.size) };
        let name = &wanted.name;
        let mut tell = |told| match told {
            Told::Progress { done, total } => {
                self.under_way().insert(name.clone(), UnderWay::Fetching { done, total });
            }
            Told::Retried { attempt, reason } => tracing::info!(name, attempt, reason, "fetched again"),
        };
        let wrong = |error: io::Error| format!("it can't be put into its place: {error}");
        fs::create_dir_all(&self.artifacts).map_err(wrong)?;
        // only what is whole comes where k3s looks
        let fetched = self.artifacts.join(format!("{name}-{}.new", wanted.version));
        fetch(&Client::direct(Patience::default()), &want, &fetched, &mut tell).map_err(|e| chain(&e))?;
        self.put(name, &wanted.version, &fetched).map_err(wrong)
    }

    /// Into its place, and what it replaces out of it.
    fn put(&self, name: &str, version: &str, fetched: &Path) -> io::Result<()> {
        let place = self.place(name, version);
        let folder = place.parent().unwrap_or(&self.artifacts);
        fs::create_dir_all(folder)?;
        fs::set_permissions(fetched, Permissions::from_mode(0o755))?;
        fs::rename(fetched, &place)?;
        if name == K3S {
            let link = self.artifacts.join("k3s.link");
            let _ = fs::remove_file(&link);
            symlink(place.file_name().unwrap_or_default(), &link)?;
            fs::rename(&link, self.artifacts.join(K3S))?;
        }
        fs::File::open(folder)?.sync_all()?;
        self.remove_others(name, &place)
    }

    /// Other versions of it, and what was begun of them; a program that runs goes on without its name.
    fn remove_others(&self, name: &str, place: &Path) -> io::Result<()> {
        let begun = [".new", ".new.part", ".new.part.tag"].map(|ending| (self.artifacts.as_path(), ending));
        for (folder, ending) in begun.into_iter().chain([self.home(name)]) {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if is_version_of(name, &path, ending) && path != place {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether it is `name`, a version and this ending, and nothing that only begins like it.
fn is_version_of(name: &str, path: &Path, ending: &str) -> bool {
    let file = path.file_name().and_then(|file| file.to_str());
    let version = file.and_then(|file| file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(ending));
    version.is_some_and(is_k3s_release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::node_config::K3sRole;

    #[test]
    fn a_missing_artifact_is_named_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let k3s = K3s { version: "v1.33.1+k3s1".into(), role: K3sRole::Server };
        let waiting = shelf.waiting(&k3s);
        let expected =
            ["waiting for artifact k3s v1.33.1+k3s1", "waiting for artifact k3s-images v1.33.1+k3s1"];
        assert_eq!(waiting, expected);
        assert_eq!(shelf.wants(&k3s).len(), 2);
    }

    #[test]
    fn a_new_version_takes_the_place_of_the_old_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let fetched = folder.path().join("fetched");
        for version in ["v1+k3s1", "v2+k3s1"] {
            for name in [K3S, K3S_IMAGES] {
                fs::create_dir_all(&shelf.artifacts).unwrap();
                fs::write(&fetched, version).unwrap();
                assert!(!shelf.is_there(name, version));
                shelf.put(name, version, &fetched).unwrap();
                assert!(shelf.is_there(name, version));
            }
            assert_eq!(fs::read_to_string(shelf.artifacts.join(K3S)).unwrap(), version);
        }
        assert!(!shelf.is_there(K3S, "v1+k3s1"));
        assert_eq!(fs::read_dir(&shelf.images).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&shelf.artifacts).unwrap().count(), 2);
        let mode = fs::metadata(shelf.artifacts.join(K3S)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn what_only_begins_like_a_version_stays_and_a_download_of_another_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let fetched = folder.path().join("fetched");
        let [foreign, note] =
            [shelf.images.join("k3s-images-vendor.tar"), shelf.artifacts.join("k3s-v1 note")];
        let begun =
            ["k3s-images-v1+k3s1.new.part", "k3s-images-v1+k3s1.new.part.tag", "k3s-v1+k3s1.new.part"];
        for path in [&shelf.images, &shelf.artifacts] {
            fs::create_dir_all(path).unwrap();
        }
        for path in begun.iter().map(|name| shelf.artifacts.join(name)).chain([foreign.clone(), note.clone()])
        {
            fs::write(path, "").unwrap();
        }
        for name in [K3S, K3S_IMAGES] {
            fs::write(&fetched, name).unwrap();
            shelf.put(name, "v2+k3s1", &fetched).unwrap();
        }
        assert!(foreign.exists() && note.exists());
        assert!(begun.iter().all(|name| !shelf.artifacts.join(name).exists()));
        assert!(shelf.is_there(K3S, "v2+k3s1") && shelf.is_there(K3S_IMAGES, "v2+k3s1"));
    }
}
