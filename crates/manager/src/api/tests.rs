//! Who may ask what, tried on the whole router.

use crate::api::{JobStatus, NetworkReport, Problem, Status, router};
use crate::lan::Lan;
use crate::simulation::{Lab, new_file};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use cairn_artifacts::{Store, Sum};
use std::sync::Arc;
use tokio::time::Instant;
use tower::ServiceExt as _;

const HOST: &str = "127.0.0.1:4200";

pub(super) struct Site {
    pub(super) lab: Lab,
    router: Router,
    pub(super) folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        let site = crate::site::Site::plain(HOST.parse().unwrap()).unwrap();
        Self { router: router(Arc::clone(&lab.core), site, Lan::new(false, None, 0)), lab, folder }
    }

    pub(super) async fn send(&self, request: Builder, body: &str) -> Response {
        self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.lab.core.token.expose())
    }

    pub(super) fn cookie(&self) -> String {
        let session = self.lab.core.sessions.begin(Instant::now()).unwrap();
        format!("other=1; cairn_session={}", session.expose())
    }
}

pub(super) fn get(path: &str) -> Builder {
    Request::get(path).header(header::HOST, HOST)
}

pub(super) fn post(path: &str) -> Builder {
    Request::post(path).header(header::HOST, HOST)
}

pub(super) fn put(path: &str) -> Builder {
    Request::put(path).header(header::HOST, HOST)
}

pub(super) fn delete(path: &str) -> Builder {
    Request::delete(path).header(header::HOST, HOST)
}

pub(super) async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn without_the_token_nothing_is_read_or_changed() {
    let site = Site::new();
    let closed = [
        "/api/v1/status",
        "/api/v1/network",
        "/api/v1/lan",
        "/api/v1/serial",
        "/api/v1/serial/x/stream",
        "/api/v1/events",
        "/api/v1/cluster-file",
        "/api/v1/artifacts",
        "/api/v1/artifacts/pull",
        "/api/v1/boards",
        "/api/v1/disks",
        "/api/v1/media",
        "/api/v1/nodes/etcd-1/medium/write",
        "/api/v1/kubeconfig",
        "/api/v1/nodes/etcd-1/units",
        "/api/v1/nodes/etcd-1/logs",
        "/api/v1/nodes/etcd-1/logs?follow=true",
        "/cluster-file",
    ];
    for path in closed {
        assert_eq!(site.send(get(path), "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
        let wrong = get(path).header(header::AUTHORIZATION, "Bearer 0000");
        assert_eq!(site.send(wrong, "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
        let wrong =
            get(path).header(header::COOKIE, format!("cairn_session={}", site.lab.core.token.expose()));
        assert_eq!(site.send(wrong, "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let changes = [
        "/api/v1/network/scan",
        "/api/v1/lan",
        "/phone/on",
        "/phone/off",
        "/api/v1/serial/x/input",
        "/api/v1/machines/x/approve",
        "/api/v1/nodes/etcd-1/medium",
        "/api/v1/nodes/etcd-1/restart",
        "/api/v1/nodes/etcd-1/poweroff",
        "/api/v1/nodes/etcd-1/blink",
        "/api/v1/machines/x/blink",
        "/nodes/etcd-1/next-boot/rescue",
        "/machines/x/next-boot/usual",
        "/discover/approve",
        "/discover/scan",
        "/media/download",
        "/media/write",
        "/nodes/etcd-1/restart",
        "/logout",
    ];
    for path in changes {
        assert_eq!(site.send(post(path), "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(site.send(get("/login"), "").await.status(), StatusCode::OK);
    for path in ["/", "/discover", "/media", "/cluster", "/network", "/phone", "/nodes/etcd-1"] {
        let answer = site.send(get(path), "").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        let part = site.send(get(path).header("hx-request", "true"), "").await;
        assert_eq!(part.headers()["hx-redirect"], "/login", "{path}");
        assert_eq!(text(part).await, "", "{path}");
    }
}

#[tokio::test]
async fn every_page_is_there_whole_or_as_its_live_part() {
    let site = Site::new();
    for path in ["/", "/discover", "/media", "/cluster", "/network", "/nodes/etcd-1"] {
        let ask = || get(path).header(header::COOKIE, site.cookie());
        let whole = text(site.send(ask(), "").await).await;
        assert!(
            whole.starts_with("<!DOCTYPE html>") && whole.contains(&format!("hx-get=\"{path}\"")),
            "{whole}"
        );
        let part = text(site.send(ask().header("hx-request", "true"), "").await).await;
        assert!(part.starts_with("<header") && whole.contains(&part), "{path}: {part}");
    }
    let none = site.send(get("/nodes/nobody").header(header::COOKIE, site.cookie()), "").await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_status_is_read_with_the_token() {
    let site = Site::new();
    let answer = site.send(get("/api/v1/status").header(header::AUTHORIZATION, site.bearer()), "").await;
    let status: Status = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!((status.cluster.name.as_str(), status.nodes.len(), status.healthy), ("home", 2, false));
}

#[tokio::test]
async fn the_network_is_told_with_every_port_that_network_boot_needs() {
    let site = Site::new();
    let answer = site.send(get("/api/v1/network").header(header::AUTHORIZATION, site.bearer()), "").await;
    let report: NetworkReport = serde_json::from_str(&text(answer).await).unwrap();
    let ports: Vec<u16> = report.ports.iter().map(|it| it.port).collect();
    assert_eq!(ports, [67, 69, 4011, 4280]);
    assert!(!report.sentence.is_empty());
}

#[tokio::test]
async fn a_request_for_another_host_is_refused_whatever_it_carries() {
    let site = Site::new();
    for host in ["evil.example:4200", "192.168.1.2", ""] {
        let request = Request::get("/api/v1/status")
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, site.bearer());
        let answer = site.send(request, "").await;
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        let problem: Problem = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(problem.kind, "cairn:foreign-host");
    }
}

#[tokio::test]
async fn another_sites_page_cannot_use_the_browsers_session() {
    let site = Site::new();
    let request = |origin: Option<&str>| {
        let request = post("/api/v1/nodes/etcd-1/restart").header(header::COOKIE, site.cookie());
        match origin {
            Some(origin) => request.header(header::ORIGIN, origin),
            None => request,
        }
    };
    for origin in [Some("http://evil.example"), Some("null"), Some("http://127.0.0.1:9999"), None] {
        assert_eq!(site.send(request(origin), "").await.status(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    let own = site.send(request(Some("http://127.0.0.1:4200")), "").await;
    assert_eq!(own.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn logging_in_gives_a_cookie_that_opens_the_page() {
    let site = Site::new();
    let form = |passphrase: &str| format!("passphrase={}", passphrase.replace(' ', "+"));
    let login = || post("/login").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let wrong = site.send(login(), &form("abc")).await;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    assert!(!wrong.headers().contains_key(header::SET_COOKIE));
    let right = site.send(login(), &form("correct horse battery staple")).await;
    assert_eq!(right.status(), StatusCode::SEE_OTHER);
    let cookie = right.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    assert!(!cookie.contains(site.lab.core.token.expose()));
    let value = cookie.split(';').next().unwrap().to_owned();
    let page = site.send(get("/").header(header::COOKIE, value), "").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"));
    let page = text(page).await;
    assert!(page.contains("What do you want to do?"));
    // what the page refers to is there
    for reference in page.split("=\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(site.send(get(&format!("/assets/{reference}")), "").await.status(), StatusCode::OK);
    }
    assert_eq!(site.send(get("/assets/style.css"), "").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_there_is_not_is_said_to_programs_and_to_persons() {
    let site = Site::new();
    for (request, status, words) in [
        (get("/api/v1/nothing"), StatusCode::NOT_FOUND, "cairn:no-such-path"),
        (get("/api"), StatusCode::NOT_FOUND, "no such page"),
        (get("/nothing"), StatusCode::NOT_FOUND, "no such page"),
        (post("/api/v1/status"), StatusCode::METHOD_NOT_ALLOWED, "cairn:wrong-method"),
        (get("/nodes/etcd-1/restart"), StatusCode::METHOD_NOT_ALLOWED, "a button of a page"),
    ] {
        let answer = site.send(request, "").await;
        assert_eq!(answer.status(), status);
        // RFC 9110, section 15.5.6
        assert_eq!(answer.headers().contains_key(header::ALLOW), status == StatusCode::METHOD_NOT_ALLOWED);
        let text = text(answer).await;
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn logging_out_ends_this_browsers_session_and_no_other() {
    let site = Site::new();
    let [ours, other] = [(); 2].map(|()| site.cookie());
    let status = async |cookie: &str| {
        site.send(get("/api/v1/status").header(header::COOKIE, cookie), "").await.status()
    };
    assert_eq!((status(&ours).await, status(&other).await), (StatusCode::OK, StatusCode::OK));
    let log_out =
        post("/logout").header(header::COOKIE, &ours).header(header::ORIGIN, format!("http://{HOST}"));
    assert_eq!(site.send(log_out, "").await.status(), StatusCode::SEE_OTHER);
    assert_eq!((status(&ours).await, status(&other).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
}

#[tokio::test]
async fn errors_are_problems_in_words() {
    let site = Site::new();
    let request = |path: &str| {
        post(path)
            .header(header::AUTHORIZATION, site.bearer())
            .header(header::CONTENT_TYPE, "application/json")
    };
    let cases = [
        ("/api/v1/machines/x/approve", r#"{"code":"1"}"#, "cairn:no-such-machine"),
        ("/api/v1/machines/x/approve", r#"{"kode":"1"}"#, "cairn:bad-request"),
        ("/api/v1/network/scan", r#"{"interface":"nosuch0"}"#, "cairn:no-such-interface"),
        ("/api/v1/serial/..%2Ftty0/input", "x", "cairn:no-such-adapter"),
        ("/api/v1/network/scan", r#"{"interfaces":[]}"#, "cairn:bad-request"),
        ("/api/v1/nodes/nobody/medium", "", "cairn:no-such-node"),
        ("/api/v1/nodes/etcd-1/medium", r#"{"valid_seconds":99999999999}"#, "cairn:bad-request"),
        ("/api/v1/nodes/etcd-1/medium", "{", "cairn:bad-request"),
        ("/api/v1/nodes/nobody/medium/write", r#"{"disk":"sdz@0"}"#, "cairn:no-such-node"),
        ("/api/v1/nodes/etcd-1/medium/write", r#"{"disk":"sdz@0"}"#, "cairn:no-such-disk"),
        ("/api/v1/nodes/etcd-1/medium/write", r#"{"disk":"sdz@0","force":true}"#, "cairn:bad-request"),
        ("/api/v1/nodes/A%20B/restart", "", "cairn:no-such-node"),
        ("/api/v1/nodes/etcd-1/restart", "", "cairn:unreachable"),
    ];
    for (path, body, kind) in cases {
        let answer = site.send(request(path), body).await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
        let problem: Problem = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(problem.kind, kind, "{path} {body}");
    }
}

#[tokio::test]
async fn a_body_is_a_json_object_that_says_so_and_not_too_long() {
    let site = Site::new();
    let long = format!(r#"{{"interface":"{}"}}"#, "a".repeat(crate::api::MOST_BODY));
    let cases = [
        ("application/json", r#"["nosuch0"]"#, "cairn:bad-request"),
        ("application/json", "null", "cairn:bad-request"),
        ("application/json", &long, "cairn:too-long"),
        ("application/json; charset=utf-8", r#" {"interface":"nosuch0"}"#, "cairn:no-such-interface"),
        ("text/plain", r#"{"interface":"nosuch0"}"#, "cairn:not-json"),
    ];
    for (kind, body, expected) in cases {
        let request = post("/api/v1/network/scan").header(header::AUTHORIZATION, site.bearer());
        let answer = site.send(request.header(header::CONTENT_TYPE, kind), body).await;
        let problem: Problem = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(problem.kind, expected, "{kind} {body:.40}");
    }
}

#[tokio::test]
async fn the_cluster_file_is_given_sealed() {
    let site = Site::new();
    let answer =
        site.send(get("/api/v1/cluster-file").header(header::AUTHORIZATION, site.bearer()), "").await;
    assert!(text(answer).await.starts_with("# Cairn cluster file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_listed_and_fetched_as_a_job_that_can_be_followed() {
    let site = Site::new();
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/k3s", upstream.local_addr().unwrap());
    let app = axum::Router::new().route("/k3s", axum::routing::get(|| async { "the program" }));
    tokio::spawn(async move { axum::serve(upstream, app).await.unwrap() });
    let store = Store::open(&site.lab.core.book.work().artifacts()).unwrap();
    let sum = Sum::of_bytes(b"the program");
    let pin = format!("[[artifact]]\nname='k3s'\nversion='v1'\narch='amd64'\nurl='{url}'\nsha256='{sum}'\n");
    std::fs::write(store.pins_path(), pin).unwrap();
    let ask = |request: Builder| site.send(request.header(header::AUTHORIZATION, site.bearer()), "");
    let state = async || {
        let listed = text(ask(get("/api/v1/artifacts")).await).await;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed.pointer("/0/state").unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(ask(get("/api/v1/artifacts/pull")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(state().await, "missing");
    let alone = site.lab.core.artifacts.begin().unwrap();
    assert_eq!(ask(post("/api/v1/artifacts/pull")).await.status(), StatusCode::CONFLICT);
    drop(alone);
    let begun = ask(post("/api/v1/artifacts/pull")).await;
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let job: JobStatus = serde_json::from_str(&text(begun).await).unwrap();
    assert_eq!((job.job.as_str(), job.rows[0].title.as_str()), ("pull", "k3s v1 (amd64)"));
    let done = async || {
        let job: JobStatus =
            serde_json::from_str(&text(ask(get("/api/v1/artifacts/pull")).await).await).unwrap();
        job.rows.iter().all(|row| row.state == cairn_workflow::RowState::Done)
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !done().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(state().await, "there");
}
