use super::*;
use crate::network::NetworkView;
use crate::simulation::passphrase;
use crate::workdir::WorkDir;
use axum::body::to_bytes;
use axum::http::request::Builder;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const LOCAL: &str = "127.0.0.1:4200";
const LAN: &str = "192.168.1.5:4243";
const PASSPHRASE: &str = "correct horse battery staple";

struct Stand {
    door: Arc<Door>,
    router: Router,
    token: String,
    host: &'static str,
    site: Site,
}

impl Stand {
    fn new(folder: &Path, host: &'static str) -> Self {
        let work = WorkDir::open(&folder.join("work")).unwrap();
        let door = Arc::new(Door::new(work, None, folder.join("image"), NetworkView::default()).unwrap());
        let token = door.token.expose().to_owned();
        let bound = host.parse().unwrap();
        let site = Site::plain(bound).unwrap_or(Site::Network(bound));
        Self { router: router(Arc::clone(&door), site, Lan::new(false, None, 0)), door, token, host, site }
    }

    async fn send(&self, request: Builder, body: impl Into<String>) -> (StatusCode, String) {
        let request = request.header(header::HOST, self.host).body(Body::from(body.into())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let place = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, place.unwrap_or_else(|| String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn json(&self, path: &str, body: serde_json::Value) -> (StatusCode, serde_json::Value) {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let (status, text) = self.send(request, body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// With the cookie of a browser that has logged in.
    async fn form(&self, path: &str, body: &str) -> (StatusCode, String) {
        let session = self.door.core().map(|core| core.sessions.begin(Instant::now()).unwrap());
        let cookie = format!("cairn_session={}", session.as_ref().map_or("", |cookie| cookie.expose()));
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, self.site.origin(self.host))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, body).await
    }
}

fn encode(text: &str) -> String {
    let byte = |byte: u8| format!("%{byte:02x}");
    text.bytes().map(byte).collect()
}

#[tokio::test]
async fn a_closed_manager_leads_to_the_start_and_says_so_to_programs() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LOCAL);
    assert_eq!(site.send(Request::get("/"), "").await, (StatusCode::SEE_OTHER, "/start".to_owned()));
    let (status, words) = site.send(Request::get("/api/v1/status"), "").await;
    assert!(status == StatusCode::CONFLICT && words.contains("cairn:closed"), "{status} {words}");
    let (status, page) = site.send(Request::get("/start"), "").await;
    assert!(status == StatusCode::OK && page.contains("Make the cluster") && !page.contains("Session token"));
    assert_eq!(site.send(Request::get("/healthz"), "").await.0, StatusCode::OK);
    let foreign = Request::post("/api/v1/open").header(header::ORIGIN, "http://evil.example");
    let body = serde_json::json!({ "passphrase": PASSPHRASE }).to_string();
    let foreign = foreign.header(header::CONTENT_TYPE, "application/json");
    assert_eq!(site.send(foreign, body).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_new_cluster_is_kept_by_its_owner_and_opened_again_by_its_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LOCAL);
    let (status, made) = site.json("/api/v1/new", serde_json::json!({ "name": "home" })).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let (secret, file) = (made["passphrase"].as_str().unwrap(), made["file"].as_str().unwrap());
    assert!(secret.split('-').count() == 7 && made["left"].as_u64().unwrap() > 1000);
    assert_eq!(
        site.json("/api/v1/new", serde_json::json!({ "name": "other" })).await.0,
        StatusCode::CONFLICT
    );
    // the page shows both until they were pasted back whole
    let wrong = format!("passphrase={}&file={}", encode(secret), encode(&file[..file.len() - 40]));
    let (status, page) = site.form("/keep", &wrong).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains(secret), "{status}");
    let (status, page) = site.form("/keep", &format!("passphrase=other&file={}", encode(file))).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains("passphrase"), "{status}");
    let right = format!("passphrase={}&file={}", encode(secret), encode(file));
    assert_eq!(site.form("/keep", &right).await, (StatusCode::SEE_OTHER, "/".to_owned()));
    let (_, page) = site.form("/keep", &wrong).await;
    assert!(!page.contains(secret), "the passphrase is shown again");
    let bearer = format!("Bearer {}", site.token);
    let status = site.send(Request::get("/api/v1/status").header(header::AUTHORIZATION, bearer), "").await.1;
    let status: crate::api::Status = serde_json::from_str(&status).unwrap();
    assert!(status.cluster.stored == Some(1) && !status.cluster.ask_to_store);
    assert_eq!(status.nodes.len(), 3, "three places for etcd");
    drop(site);

    let site = Stand::new(folder.path(), LOCAL);
    let (_, page) = site.send(Request::get("/start"), "").await;
    assert!(page.contains("Open home"), "{page}");
    let (status, words) = site.json("/api/v1/open", serde_json::json!({ "passphrase": "wrong" })).await;
    assert!(status == StatusCode::FORBIDDEN && words["type"] == "cairn:wrong-passphrase", "{words}");
    let (status, opened) = site.json("/api/v1/open", serde_json::json!({ "passphrase": secret })).await;
    assert!(status == StatusCode::OK && opened["open"] == true && opened["cluster"] == "home", "{opened}");
}

#[tokio::test]
async fn what_is_no_cluster_file_is_refused_in_words_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LOCAL);
    let body = serde_json::json!({ "file": "shopping list", "passphrase": passphrase().to_secret() });
    let (status, words) = site.json("/api/v1/open", body).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY, "{words}");
    assert!(words["detail"].as_str().unwrap().contains("not a Cairn cluster file"), "{words}");
    let body = serde_json::json!({ "name": "Not a name!" });
    assert_eq!(site.json("/api/v1/new", body).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let broken = serde_json::json!({ "passphrase": { "secret": PASSPHRASE } });
    let (status, words) = site.json("/api/v1/open", broken).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && !words.to_string().contains(PASSPHRASE));
    assert!(!folder.path().join("work/cluster.cairn").exists());
}

#[tokio::test]
async fn from_the_network_only_the_tokens_bearer_makes_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LAN);
    let new = serde_json::json!({ "name": "home", "passphrase": PASSPHRASE });
    assert_eq!(site.json("/api/v1/new", new).await.0, StatusCode::UNAUTHORIZED);
    assert!(site.send(Request::get("/start"), "").await.1.contains("Session token"));
    let form = |token: &str| format!("name=home&passphrase={}&token={token}", encode(PASSPHRASE));
    assert_eq!(site.form("/start/new", &form("guess")).await.0, StatusCode::UNAUTHORIZED);
    let made = site.form("/start/new", &form(&site.token)).await;
    assert_eq!(made, (StatusCode::SEE_OTHER, "/keep".to_owned()));
}

#[tokio::test]
async fn from_the_network_nobody_brings_another_cluster_without_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Stand::new(&folder.path().join("elsewhere"), LOCAL);
    let new = serde_json::json!({ "name": "strangers", "passphrase": PASSPHRASE });
    let (_, made) = elsewhere.json("/api/v1/new", new).await;
    let file = made["file"].as_str().unwrap();

    let site = Stand::new(&folder.path().join("here"), LAN);
    let paste = || serde_json::json!({ "file": file, "passphrase": PASSPHRASE });
    let (status, words) = site.json("/api/v1/open", paste()).await;
    assert!(status == StatusCode::UNAUTHORIZED && words["type"] == "cairn:no-token", "{words}");
    assert!(site.send(Request::get("/start"), "").await.1.contains("open-token"));
    let form = |token: &str| format!("file={}&passphrase={}&token={token}", encode(file), encode(PASSPHRASE));
    assert_eq!(site.form("/start/open", &form("guess")).await.0, StatusCode::UNAUTHORIZED);
    assert!(site.door.core().is_none());
    let opened = site.form("/start/open", &form(&site.token)).await;
    assert_eq!(opened, (StatusCode::SEE_OTHER, "/".to_owned()));
    drop(site);

    // from now on it is known, and its passphrase is enough
    let site = Stand::new(&folder.path().join("here"), LAN);
    assert!(!site.send(Request::get("/start"), "").await.1.contains("open-token"));
    assert_eq!(site.json("/api/v1/open", paste()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn who_asks_an_open_manager_to_open_makes_no_try() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LOCAL);
    let body = serde_json::json!({ "name": "home", "passphrase": PASSPHRASE });
    assert_eq!(site.json("/api/v1/new", body).await.0, StatusCode::OK);
    let _turn = site.door.patience.turn(site.site).await;
    let body = serde_json::json!({ "passphrase": PASSPHRASE });
    let answer = timeout(Duration::from_secs(60), site.json("/api/v1/open", body)).await;
    let (status, words) = answer.expect("it is answered without a try");
    assert!(status == StatusCode::CONFLICT && words["type"] == "cairn:already-open", "{words}");
}

#[tokio::test]
async fn a_cluster_is_made_to_the_end_though_the_browser_hung_up() {
    let folder = tempfile::tempdir().unwrap();
    let site = Stand::new(folder.path(), LOCAL);
    tokio::select! {
        biased;
        _ = site.json("/api/v1/new", serde_json::json!({ "name": "home" })) => panic!("it takes longer"),
        // by then it has begun
        () = std::future::ready(()) => {}
    }
    let core = timeout(Duration::from_secs(60), site.door.opened()).await.expect("it opens");
    assert_eq!(core.book.file().cluster().name.as_str(), "home");
    drop(site.door.patience.turn(site.site).await);
}
