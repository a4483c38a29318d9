//! A compute node gets what it wants: asked for over TLS, fetched over HTTP.

use crate::{config, describe, node, serve};
use cairn_agent::running::shelf::Shelf;
use cairn_netboot::{Files, Http, Story};
use cairn_wire::message::{Artifact, ImageFile, Request, Response};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// The manager's file server, with this store.
async fn serve_files(store: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let files = Files::new().with_sums("artifacts", store);
    tokio::spawn(Http { listener, files, story: Story::new() }.serve());
    address
}

fn keep(store: &Path, content: &[u8]) -> (String, u64) {
    let sum = hex::encode(Sha256::digest(content));
    std::fs::write(store.join(&sum), content).unwrap();
    (sum, u64::try_from(content.len()).unwrap())
}

#[tokio::test]
async fn a_compute_node_fetches_k3s_when_it_is_told_where_it_is() {
    let (store, var_lib) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = serve_files(store.path()).await;
    let shelf = Arc::new(Shelf::new(var_lib.path()));
    let mut client = serve(node(var_lib.path(), Arc::clone(&shelf))).await;

    let wants = describe(&mut client).await.wants;
    let names: Vec<&str> = wants.iter().map(|wanted| wanted.name.as_str()).collect();
    assert_eq!(names, ["k3s", "k3s-images"]);
    assert!(
        wants
            .iter()
            .all(|wanted| wanted.version == "v1.34.1+k3s1" && wanted.machine == std::env::consts::ARCH)
    );

    // a download broke off before, and the images are not what the manager says
    let program: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (sum, size) = keep(store.path(), &program);
    let artifacts = var_lib.path().join("cairn/artifacts");
    std::fs::create_dir_all(&artifacts).unwrap();
    std::fs::write(artifacts.join("k3s-v1.34.1+k3s1.new.part"), &program[..1_000_000]).unwrap();
    let (wrong, _) = keep(store.path(), b"the images");
    std::fs::write(store.path().join(&wrong), "THE IMAGES").unwrap();

    let url = |sum: &str| format!("http://{files}/artifacts/{sum}");
    let told = [
        ImageFile { url: url(&sum), size, sha256: sum.clone() },
        ImageFile { url: url(&wrong), size: 10, sha256: wrong },
    ];
    let told: Vec<Artifact> =
        wants.iter().cloned().zip(told).map(|(wanted, file)| Artifact { wanted, file }).collect();
    let answer = client.ask(&Request::Provide { artifacts: told }).await.unwrap();
    assert!(matches!(answer, Response::Done));

    // neither what is under way nor what just failed is asked for
    assert!(describe(&mut client).await.wants.is_empty());
    let k3s = config().k3s.unwrap();
    timeout(Duration::from_secs(60), async {
        while !shelf.waiting(&k3s).concat().contains("SHA-256") {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(std::fs::read(artifacts.join("k3s")).unwrap(), program);
    let waiting = shelf.waiting(&k3s);
    assert_eq!(waiting.len(), 1, "only the images are missing: {waiting:?}");
    assert!(waiting.concat().starts_with("waiting for artifact k3s-images v1.34.1+k3s1: http://"));
    assert!(!var_lib.path().join("rancher/k3s/agent/images").exists());
    let mut kept: Vec<_> =
        std::fs::read_dir(&artifacts).unwrap().map(|file| file.unwrap().file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["k3s", "k3s-v1.34.1+k3s1"]);
    assert!(describe(&mut client).await.wants.is_empty());
}
