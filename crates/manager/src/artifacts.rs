//! What nodes want from outside the image: found among the pins, given from the store, and served to them.

use crate::core::Core;
use crate::enrol::ActError;
use crate::network;
use cairn_artifacts::pins::PinsError;
use cairn_artifacts::pull::{self, Item};
use cairn_artifacts::store::{State, StoreError};
use cairn_artifacts::{Arch, FetchError, Patience, Pin, Pins, Store, Sum};
use cairn_model::cluster::Fingerprint;
use cairn_netboot::{Files, HTTP_PORT, Http, Story};
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Artifact, ImageFile, Request, Response, Wanted};
use cairn_workflow::What;
use cairn_workflow::log::chain;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Where they are below a server's address.
const PATH: &str = "artifacts";
/// How soon it is tried again to listen on an address that this machine does not have yet.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pins(#[from] PinsError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("artifacts are being fetched already")]
    Pulling,
}

/// The store, and where it is served.
pub struct Artifacts {
    folder: PathBuf,
    /// Where the manager's own server has it, for nodes that reach its cluster address.
    served: Mutex<Option<String>>,
    /// Files as they were when their content was read, and how that stood: reading takes seconds.
    read: Mutex<BTreeMap<Sum, (Stamp, State)>>,
    pulling: AtomicBool,
}

type Stamp = (u64, Option<SystemTime>);

/// What a node can be given of what it wants, and why it can't be given the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub artifacts: Vec<Artifact>,
    pub lacking: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Artifacts {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, served: Mutex::default(), read: Mutex::default(), pulling: AtomicBool::new(false) }
    }

    /// What a file server has to serve.
    pub fn files(&self) -> Files {
        Files::new().with_sums(PATH, &self.folder)
    }

    /// Where they are served, until this is told again.
    pub fn serve_at(&self, base: Option<String>) {
        *lock(&self.served) = base;
    }

    fn served(&self) -> Option<String> {
        lock(&self.served).clone()
    }

    fn open(&self) -> Result<(Store, Pins), ArtifactsError> {
        let store = Store::open(&self.folder)?;
        let pins = store.pins()?;
        Ok((store, pins))
    }

    /// Every pin, and how it stands. Reads what it has not read before, so it may take seconds.
    ///
    /// # Errors
    /// When the store or the owner's pins can't be used.
    pub fn look(&self) -> Result<Vec<Item>, ArtifactsError> {
        let (store, pins) = self.open()?;
        let item = |pin: Pin| Ok(Item { state: self.state(&store, &pin)?, pin });
        pins.pins.into_iter().map(item).collect()
    }

    /// Only one may fetch at a time.
    ///
    /// # Errors
    /// When one does already.
    pub fn begin(self: &Arc<Self>) -> Result<Pulling, ArtifactsError> {
        if self.pulling.swap(true, Ordering::AcqRel) {
            return Err(ArtifactsError::Pulling);
        }
        Ok(Pulling(Arc::clone(self)))
    }

    fn state(&self, store: &Store, pin: &Pin) -> Result<State, ArtifactsError> {
        let about = pin.sum.and_then(|sum| Some((sum, std::fs::metadata(store.path(sum)).ok()?)));
        let Some((sum, about)) = about else { return Ok(store.state(pin)?) };
        let known =
            lock(&self.read).get(&sum).filter(|(then, _)| *then == stamp(&about)).map(|known| known.1);
        if let Some(state) = known {
            return Ok(state);
        }
        let state = store.state(pin)?;
        lock(&self.read).insert(sum, (stamp(&about), state));
        Ok(state)
    }

    fn offer(&self, wants: &[Wanted], base: &str) -> Offer {
        let (store, pins) = match self.open() {
            Ok(opened) => opened,
            Err(error) => return Offer { lacking: vec![chain(&error)], ..Offer::default() },
        };
        let mut offer = Offer::default();
        for wanted in wants {
            match choose(&pins, wanted).and_then(|pin| self.file(&store, pin, base)) {
                Ok(file) => offer.artifacts.push(Artifact { wanted: wanted.clone(), file }),
                Err(why) => offer.lacking.push(why),
            }
        }
        offer
    }

    /// By which name firmware of that architecture fetches a UEFI program, or why it can't. Of several versions one that
    /// is there.
    ///
    /// # Errors
    /// What to do to have it.
    pub fn program(&self, name: &str, arch: Arch) -> Result<String, String> {
        let (store, pins) = self.open().map_err(|error| chain(&error))?;
        let mut why = format!("{} pins no {name} for {arch}; add it there", pins.source);
        for pin in pins.pins.iter().filter(|pin| pin.name == name && pin.arch == arch) {
            match self.file(&store, pin, "") {
                Ok(ImageFile { sha256, .. }) => return Ok(format!("{PATH}/{sha256}.efi")),
                Err(lacking) => why = lacking,
            }
        }
        Err(why)
    }

    fn file(&self, store: &Store, pin: &Pin, base: &str) -> Result<ImageFile, String> {
        let state = self.state(store, pin).map_err(|error| chain(&error))?;
        Err(match (state, pin.sum) {
            (State::There { size }, Some(sum)) => {
                let url = format!("{}/{PATH}/{sum}", base.trim_end_matches('/'));
                return Ok(ImageFile { url, size, sha256: sum.to_string() });
            }
            (State::Missing { .. }, _) => format!(
                "the manager does not have {pin} yet: run `cairn artifacts pull`, or `import` where there is no network"
            ),
            (State::Damaged, _) => {
                format!("the manager has {pin}, but damaged: run `cairn artifacts pull`")
            }
            (State::NotLocked | State::There { .. }, _) => {
                format!("the manager has no checksum of {pin}: run `cairn artifacts lock`, then `pull`")
            }
        })
    }
}

/// The right to fetch, until it is dropped.
pub struct Pulling(Arc<Artifacts>);

impl Drop for Pulling {
    fn drop(&mut self) {
        self.0.pulling.store(false, Ordering::Release);
    }
}

impl Pulling {
    /// Fetches what is missing of these and reports on it. Takes minutes.
    ///
    /// # Errors
    /// The first that could not be had.
    pub fn run(self, items: &[Item], report: &mut dyn FnMut(What)) -> Result<(), ArtifactsError> {
        let client = cairn_artifacts::Client::internet(Patience::default());
        Ok(pull::pull(&Store::open(&self.0.folder)?, &client, items, report)?)
    }
}

fn stamp(about: &Metadata) -> Stamp {
    (about.len(), about.modified().ok())
}

/// The pin of what is wanted, or why there is none.
fn choose<'a>(pins: &'a Pins, wanted: &Wanted) -> Result<&'a Pin, String> {
    let Wanted { name, version, machine } = wanted;
    let Some(arch) = Arch::of_machine(machine) else {
        return Err(format!("there is no {name} for the architecture {machine}"));
    };
    pins.find(name, version, arch)
        .ok_or_else(|| format!("{} pins no {name} {version} for {arch}; add it there", pins.source))
}

/// Tells a node where to fetch what it wants, as far as it is there.
pub async fn provide(
    core: &Core,
    client: &mut Client,
    key: &Fingerprint,
    wants: &[Wanted],
) -> Result<(), ActError> {
    let base = core.artifacts.served().or_else(|| core.network().image_base());
    let offer = match base {
        Some(base) => {
            let (artifacts, wants) = (Arc::clone(&core.artifacts), wants.to_vec());
            let offer = tokio::task::spawn_blocking(move || artifacts.offer(&wants, &base)).await;
            offer.unwrap_or_else(|error| Offer { lacking: vec![error.to_string()], ..Offer::default() })
        }
        None => Offer {
            lacking: vec![
                "there is no address from which nodes can fetch: start the manager with --interface".into(),
            ],
            ..Offer::default()
        },
    };
    let Offer { artifacts, lacking } = offer;
    core.machine(key, |machine| machine.lacking = lacking);
    if artifacts.is_empty() {
        return Ok(());
    }
    match client.ask(&Request::Provide { artifacts }).await? {
        Response::Done => Ok(()),
        _ => Err(ClientError::Unexpected.into()),
    }
}

/// Serves the store on the manager's cluster address, whenever this machine has it: all running nodes
/// reach that, on a cable or in a home network.
pub async fn keep_server(core: Arc<Core>) {
    loop {
        let address = core.book.file().cluster().manager_address();
        if network::is_ours(address) {
            match TcpListener::bind((address, HTTP_PORT)).await {
                Ok(listener) => {
                    core.artifacts.serve_at(Some(format!("http://{address}:{HTTP_PORT}")));
                    let (files, story) = (core.artifacts.files(), Story::new());
                    let ended = Http { listener, files, story }.serve().await;
                    core.artifacts.serve_at(None);
                    tracing::warn!(?ended, "artifacts are not served any more");
                }
                Err(error) => tracing::debug!(%address, %error, "artifacts can't be served yet"),
            }
        }
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, version: &str, machine: &str) -> Wanted {
        Wanted { name: name.into(), version: version.into(), machine: machine.into() }
    }

    fn pin(name: &str, sum: Option<Sum>) -> String {
        let sum = sum.map(|sum| format!("sha256='{sum}'\n")).unwrap_or_default();
        format!("[[artifact]]\nname='{name}'\nversion='v1'\narch='amd64'\nurl='http://a/b'\n{sum}")
    }

    #[test]
    fn what_is_there_is_offered_and_for_the_rest_it_is_said_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path().to_owned());
        let sum = Sum::of_bytes(b"program");
        let pins = [pin("k3s", Some(sum)), pin("open", None), pin("away", Some(Sum::of_bytes(b"away")))];
        std::fs::write(folder.path().join("artifacts.toml"), pins.concat()).unwrap();
        std::fs::write(folder.path().join(sum.to_string()), "program").unwrap();
        let offer =
            |name, version, machine| artifacts.offer(&[wanted(name, version, machine)], "http://m:1/");
        let given = offer("k3s", "v1", "x86_64");
        let url = format!("http://m:1/artifacts/{sum}");
        let file = ImageFile { url, size: 7, sha256: sum.to_string() };
        let expected = Artifact { wanted: wanted("k3s", "v1", "x86_64"), file };
        assert_eq!(given, Offer { artifacts: vec![expected], lacking: vec![] });
        for (name, version, machine, said) in [
            ("k3s", "v2", "x86_64", "pins no k3s v2 for amd64; add it there"),
            ("k3s", "v1", "aarch64", "pins no k3s v1 for arm64"),
            ("k3s", "v1", "riscv64", "no k3s for the architecture riscv64"),
            ("open", "v1", "x86_64", "no checksum of open v1 (amd64): run `cairn artifacts lock`"),
            ("away", "v1", "x86_64", "does not have away v1 (amd64) yet: run `cairn artifacts pull`"),
        ] {
            let Offer { artifacts, lacking } = offer(name, version, machine);
            assert!(
                artifacts.is_empty() && lacking.len() == 1 && lacking.concat().contains(said),
                "{lacking:?}"
            );
        }
    }

    #[test]
    fn a_program_is_named_as_firmware_fetches_it_and_of_several_versions_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path().to_owned());
        let sum = Sum::of_bytes(b"program");
        let pins = [pin("xyz", Some(sum)), pin("xyz", None).replace("v1", "v0"), pin("open", None)];
        std::fs::write(folder.path().join("artifacts.toml"), pins.concat()).unwrap();
        let program = |name, arch| artifacts.program(name, arch);
        assert!(program("xyz", Arch::Arm64).unwrap_err().contains("pins no xyz for arm64"));
        assert!(program("open", Arch::Amd64).unwrap_err().contains("`cairn artifacts lock`"));
        assert!(program("xyz", Arch::Amd64).is_err());
        std::fs::write(folder.path().join(sum.to_string()), "program").unwrap();
        let name = program("xyz", Arch::Amd64).unwrap();
        assert_eq!(name, format!("artifacts/{sum}.efi"));
        assert!(artifacts.files().serves(&name));
    }

    #[test]
    fn a_file_that_changed_after_it_was_found_right_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path().to_owned());
        let sum = Sum::of_bytes(b"program");
        std::fs::write(folder.path().join("artifacts.toml"), pin("k3s", Some(sum))).unwrap();
        let path = folder.path().join(sum.to_string());
        let offer = || artifacts.offer(&[wanted("k3s", "v1", "x86_64")], "http://m:1");
        std::fs::write(&path, "program").unwrap();
        assert_eq!(offer().artifacts.len(), 1);
        assert_eq!(offer().artifacts.len(), 1);
        std::fs::write(&path, "pROGRAM!").unwrap();
        assert!(offer().lacking.concat().contains("damaged"));
    }
}
