//! The page by HTTPS, over real sockets; OpenSSL's own client is the judge of certificate and version.

use super::*;
use crate::network::NetworkView;
use crate::workdir::WorkDir;
use cairn_vault::file::Passphrase;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinHandle;

const PASSPHRASE: &str = "correct horse battery staple";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A manager whose network is loopback.
struct Stand {
    door: Arc<Door>,
    lan: Arc<Lan>,
    keeping: JoinHandle<()>,
}

impl Stand {
    async fn new(folder: &Path) -> Self {
        let work = WorkDir::open(&folder.join("work")).unwrap();
        let door = Arc::new(Door::new(work, None, folder.join("image"), NetworkView::default()).unwrap());
        let lan = Lan::new(false, Some(HERE), 0);
        let keeping = tokio::spawn(Arc::clone(&lan).keep(Arc::clone(&door), None));
        Self { door, lan, keeping }
    }

    async fn on(&self) -> (SocketAddr, String) {
        let status = self.lan.switch(true).await;
        assert_eq!(status.problems, Vec::<String>::new());
        let page = status.pages[0].trim_start_matches("https://").parse().unwrap();
        (page, status.fingerprint.unwrap())
    }

    async fn with_a_cluster(&self) {
        let passphrase = Passphrase::new(PASSPHRASE).unwrap();
        let site = Site::Loopback((HERE, 1).into());
        self.door.create("home".parse().unwrap(), passphrase, site).await.unwrap();
    }

    async fn end(self) {
        self.keeping.abort();
        assert!(self.keeping.await.is_err());
        // what was served lets go of the working directory
        while Arc::strong_count(&self.door) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

async fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl is there");
    let mut stdin = child.stdin.take().unwrap();
    // who refuses the handshake does not read it
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

/// Asks by OpenSSL's client; the connection is closed after the answer.
async fn ask(page: SocketAddr, host: &str, request: &str, more: &str, body: &str) -> String {
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    );
    openssl(&["s_client", "-quiet", "-connect", &page.to_string()], &text).await
}

fn status_of(answer: &str) -> &str {
    let line = answer.lines().find_map(|line| line.strip_prefix("HTTP/1.1 "));
    line.and_then(|line| line.get(..3)).unwrap_or("none")
}

#[tokio::test]
async fn openssl_sees_tls_1_3_and_the_certificate_of_the_fingerprint_that_the_page_shows_after_a_restart_too()
{
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::new(folder.path()).await;
    let (page, fingerprint) = stand.on().await;
    let at = page.to_string();
    let seen = openssl(&["s_client", "-connect", &at, "-alpn", "http/1.1"], "").await;
    assert!(seen.contains("TLSv1.3") && seen.contains("ALPN protocol: http/1.1"), "{seen}");
    let begin = seen.find("-----BEGIN CERTIFICATE").unwrap();
    let read = ["x509", "-noout", "-fingerprint", "-sha256", "-text"];
    let certificate = openssl(&read, &seen[begin..]).await;
    assert!(certificate.contains(&format!("Fingerprint={fingerprint}")), "{certificate}");
    for said in ["IP Address:127.0.0.1", "prime256v1", "ecdsa-with-SHA256", "TLS Web Server Authentication"] {
        assert!(certificate.contains(said), "{said}: {certificate}");
    }
    for old in ["-tls1_2", "-tls1_1"] {
        let refused = openssl(&["s_client", old, "-connect", &at], "").await;
        assert!(refused.contains("no peer certificate available"), "{old}: {refused}");
    }

    stand.with_a_cluster().await;
    let shown = crate::web::phone_page(&stand.lan.status());
    let pairs: Vec<String> = fingerprint.split(':').map(|pair| format!("<span>{pair}</span>")).collect();
    assert!(pairs.iter().all(|pair| shown.contains(pair)) && shown.contains(&format!("https://{page}")));
    stand.end().await;

    let again = Stand::new(folder.path()).await;
    let (page, after) = again.on().await;
    assert_eq!(after, fingerprint);
    let seen = openssl(&["s_client", "-connect", &page.to_string()], "").await;
    let begin = seen.find("-----BEGIN CERTIFICATE").unwrap();
    assert!(openssl(&read, &seen[begin..]).await.contains(&fingerprint));
    again.end().await;
}

#[tokio::test]
async fn plain_http_a_foreign_host_and_a_foreign_origin_are_refused_and_the_cookie_is_secure() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::new(folder.path()).await;
    stand.with_a_cluster().await;
    let (page, _) = stand.on().await;
    let host = page.to_string();

    let mut plain = TcpStream::connect(page).await.unwrap();
    plain.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // an alert, and the end
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "{answer:?}");

    assert_eq!(status_of(&ask(page, &host, "GET /healthz", "", "").await), "200");
    let port = page.port();
    for foreign in ["evil.example", "127.0.0.1", "localhost", "192.168.1.5"] {
        let with_port = format!("{foreign}:{}", if foreign == "127.0.0.1" { port ^ 1 } else { port });
        assert_eq!(status_of(&ask(page, &with_port, "GET /healthz", "", "").await), "421", "{with_port}");
    }

    let login = format!("passphrase={}", PASSPHRASE.replace(' ', "+"));
    for foreign in [format!("http://{host}"), "https://evil.example".to_owned(), "null".to_owned()] {
        let origin = format!("Origin: {foreign}\r\n");
        assert_eq!(status_of(&ask(page, &host, "POST /login", &origin, &login).await), "403", "{foreign}");
    }
    let own = format!("Origin: https://{host}\r\n");
    let answer = ask(page, &host, "POST /login", &own, &login).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(
        status_of(&answer) == "303" && cookie.contains("; Secure") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    assert!(!answer.to_lowercase().contains("strict-transport-security"), "{answer}");

    // the session is one, but nothing is switched from the network
    let session = cookie.split(';').next().unwrap();
    let with = |origin: &str| format!("Cookie: {session}\r\nOrigin: {origin}\r\n");
    let switched = ask(page, &host, "POST /phone/off", &with(&format!("https://{host}")), "").await;
    assert_eq!(status_of(&switched), "403");
    let forged = ask(page, &host, "POST /logout", &with("https://evil.example"), "").await;
    assert_eq!(status_of(&forged), "403");
    let token = format!("Authorization: Bearer {}\r\n", stand.door.token.expose());
    assert_eq!(status_of(&ask(page, &host, "GET /api/v1/status", &token, "").await), "200");
    stand.end().await;
}

#[tokio::test]
async fn switched_off_it_ends_what_was_connected_and_takes_nobody_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::new(folder.path()).await;
    let (page, _) = stand.on().await;
    let mut held = TcpStream::connect(page).await.unwrap();
    let status = stand.lan.switch(false).await;
    assert_eq!(status, LanStatus::default());
    let mut rest = Vec::new();
    // ends, or is reset
    let _ = held.read_to_end(&mut rest).await;
    while TcpStream::connect(page).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stand.end().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_served_is_said_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let work = WorkDir::open(&folder.path().join("work")).unwrap();
    let door = Door::new(work, None, folder.path().join("image"), NetworkView::default()).unwrap();
    // of a block for documentation, which no machine has (RFC 5737)
    let lan = Lan::new(true, Some("192.0.2.1".parse().unwrap()), 0);
    let keeping = tokio::spawn(Arc::clone(&lan).keep(Arc::new(door), None));
    let mut status = lan.follow();
    let said = status.wait_for(|status| !status.problems.is_empty()).await.unwrap().clone();
    assert!(said.on && said.pages.is_empty() && said.problems[0].contains("192.0.2.1"), "{said:?}");
    assert!(!keeping.is_finished());
    keeping.abort();
}
