//! A manager and agents without a machine: real TLS on loopback, for tests of the whole path.

mod agent;

pub use agent::{Agent, Power};

use crate::api::{self, ApproveRequest, Status};
use crate::book::Book;
use crate::core::Core;
use crate::journal::Journal;
use crate::network::NetworkView;
use crate::workdir::WorkDir;
use crate::{open, run};
use cairn_model::cluster::{Fingerprint, Name};
use cairn_model::phase::Phase;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A manager on temporary folders, without sockets of its own.
pub struct Lab {
    pub core: Arc<Core>,
    pub show: JoinHandle<()>,
}

pub fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple").unwrap()
}

/// A cluster file in the folder, with a place for an etcd node and one for a compute node.
pub fn new_file(folder: &Path) -> ClusterFile {
    let file = ClusterFile::new("home".parse().unwrap(), 1, 1, 0).unwrap();
    disk::create(&folder.join("home.cairn"), &file.seal(&passphrase()).unwrap()).unwrap();
    let image = folder.join("image");
    std::fs::create_dir(&image).unwrap();
    let entry = r#"{"size":1,"sha256":"00"}"#;
    let files: Vec<String> = crate::image::files(cairn_layout::Arch::X86_64)
        .iter()
        .map(|name| format!("\"{name}\":{entry}"))
        .collect();
    let hash = "ab".repeat(32);
    let files = files.join(",");
    let manifest =
        format!(r#"{{"version":"0.1.0+abababab","arch":"x86-64","root_hash":"{hash}","files":{{{files}}}}}"#);
    std::fs::write(image.join("manifest.json"), manifest).unwrap();
    file
}

impl Lab {
    /// Opens the folder's file with this working directory, as [`crate::run`] does.
    pub fn start(folder: &Path, work: &str) -> Self {
        let work = WorkDir::open(&folder.join(work)).unwrap();
        let token = work.token().unwrap();
        let given = disk::load(&folder.join("home.cairn")).unwrap();
        let book = open::book(Some(&given), passphrase(), Arc::new(work)).unwrap();
        let trust = open::trust(&book.file()).unwrap();
        let network = NetworkView { image_url: Some("http://127.0.0.1:1".into()), ..NetworkView::default() };
        let core = Core::new(book, trust, token, Arc::default(), folder.join("image"), network);
        Self { show: tokio::spawn(run::show(Arc::clone(&core))), core }
    }

    /// Waits until what is shown is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Status) -> bool) -> Status {
        let mut shown = self.core.shown();
        let found = timeout(Duration::from_secs(60), shown.wait_for(|status| so(status))).await;
        match found {
            Ok(status) => status.unwrap().as_ref().clone(),
            Err(_) => panic!("did not come to pass: {what}; {:#?}", self.core.status()),
        }
    }

    pub async fn until_node(&self, node: &str, phase: Phase) -> Status {
        let so = |status: &Status| status.nodes.iter().any(|n| n.name == node && n.phase == phase);
        self.until(&format!("{node} is {phase}"), so).await
    }

    pub async fn until_code(&self) -> api::MachineStatus {
        let status = self.until("a code", |status| status.machines.iter().any(|m| m.code.is_some())).await;
        status.machines.into_iter().find(|m| m.code.is_some()).unwrap()
    }

    pub async fn approve(
        &self,
        id: &str,
        code: &str,
        node: &str,
    ) -> Result<api::ApproveResponse, api::Problem> {
        let request = ApproveRequest {
            code: code.to_owned(),
            node: Some(node.to_owned()),
            ..ApproveRequest::default()
        };
        Ok(api::give(&self.core, id, &request).await?)
    }

    /// Ends without closing anything in order, as SIGKILL would; the working directory is free afterwards.
    pub async fn kill(self) {
        self.show.abort();
        self.core.registry().forget_all();
        while Arc::strong_count(&self.core) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A new cluster's lab, and a blank machine that shows its code.
pub async fn with_a_blank_machine() -> (tempfile::TempDir, Lab, Arc<Agent>, Power, api::MachineStatus) {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let agent = Agent::blank(None);
    let power = agent.power_on(&lab).await;
    let machine = lab.until_code().await;
    (folder, lab, agent, power, machine)
}

/// All that the folder's journal remembers.
pub fn journal(folder: &Path, work: &str) -> Journal {
    Journal::load(&folder.join(work).join("journal.json")).unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What the book in the folder says now.
pub fn enrolled_boot(book: &Book, node: &str) -> Option<Fingerprint> {
    book.file().cluster().node(&name(node)).unwrap().enrolled.as_ref().map(|machine| machine.boot)
}
