//! What a medium carries that was asked for over the whole router, and what is refused.

use super::tests::{Site, get, post, text};
use crate::api::{IMAGE_LENGTH, IMAGE_SHA256, MEDIUM_ID, MediumState, MediumStatus};
use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use axum::response::Response;
use cairn_layout::{Esp, SectorSize};
use cairn_model::static_address::{self, StaticAddress};
use cairn_model::wifi::{self, Wifi};
use cairn_vault::join::JoinMaterial;
use serde::de::DeserializeOwned;
use std::fs::File;

const API: &str = "/api/v1/nodes/etcd-1/medium";
const PAGE: &str = "/media/download";

/// With the image of which media are made.
fn site() -> Site {
    let site = Site::new();
    crate::image::tests::fake(&site.folder.path().join("image"));
    site
}

/// As a program asks of the API, and a form of a page.
async fn ask(site: &Site, path: &str, body: &str) -> Response {
    let kind = if path == API { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = post(path).header(header::AUTHORIZATION, site.bearer()).header(header::CONTENT_TYPE, kind);
    site.send(request, body).await
}

/// With holes, as the image had.
async fn unpacked(answer: Response) -> File {
    use std::io::Read as _;
    use std::os::unix::fs::FileExt as _;
    let packed = to_bytes(answer.into_body(), 64 << 20).await.unwrap();
    let (file, mut gzip, mut at) = (tempfile::tempfile().unwrap(), flate2::read::GzDecoder::new(&*packed), 0);
    let mut block = Vec::new();
    while gzip.by_ref().take(1 << 20).read_to_end(&mut block).unwrap() > 0 {
        if !crate::media::sparse::is_zero(&block) {
            file.write_all_at(&block, at).unwrap();
        }
        at += u64::try_from(block.len()).unwrap();
        block.clear();
    }
    file.set_len(at).unwrap();
    file
}

/// What is in this file of the boot partition, if it is there.
fn carried<T: DeserializeOwned>(image: &mut File, name: &str) -> Option<T> {
    let mut esp = Esp::open(image, SectorSize::B512).unwrap();
    esp.read(name).unwrap().map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_medium_carries_a_join_key_that_the_journal_knows() {
    let site = site();
    let answer = ask(&site, API, "").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/gzip");
    let head = |name| answer.headers()[name].to_str().unwrap().to_owned();
    assert!(head(header::CONTENT_DISPOSITION).ends_with("\"cairn-etcd-1.img.gz\""));
    let (id, length, sum) = (head(MEDIUM_ID), head(IMAGE_LENGTH), head(IMAGE_SHA256));
    let mut file = unpacked(answer).await;
    assert_eq!(file.metadata().unwrap().len().to_string(), length);
    assert_eq!(crate::media::sparse::sha256(&file, length.parse().unwrap()).unwrap(), sum);
    let material: JoinMaterial = carried(&mut file, "cairn/join.json").unwrap();
    assert_eq!(material.terms.node.as_str(), "etcd-1");
    assert_eq!(material.terms.key_id.to_string(), id);
    assert!(site.lab.core.book.journal(|journal| journal.media.contains_key(&material.terms.key_id)));

    let answer = site.send(get("/api/v1/media").header(header::AUTHORIZATION, site.bearer()), "").await;
    let media: Vec<MediumStatus> = serde_json::from_str(&text(answer).await).unwrap();
    let [medium] = media.as_slice() else { panic!("{media:?}") };
    assert_eq!((medium.id.as_str(), medium.sha256.as_str(), medium.state), (&*id, &*sum, MediumState::Good));

    let raw = ask(&site, API, r#"{"format":"raw"}"#).await;
    assert_eq!(raw.headers()[header::CONTENT_LENGTH], length);
    assert_ne!(raw.headers()[MEDIUM_ID], id, "each medium has a key of its own");
}

#[tokio::test]
async fn a_medium_for_a_machine_without_a_cable_carries_its_wifi_and_no_other_does() {
    let site = site();
    for (body, carries) in [
        ("", false),
        (r#"{"wifi":{"country":"de","ssid":"home","key":"open sesame","hidden":true}}"#, true),
        (r#"{"kind":"installer","wifi":{"country":"de","ssid":"home","key":"open sesame"}}"#, true),
    ] {
        let mut file = unpacked(ask(&site, API, body).await).await;
        let wifi: Option<Wifi> = carried(&mut file, wifi::FILE);
        assert_eq!(wifi.is_some(), carries, "{body}");
        assert!(wifi.is_none_or(|wifi| wifi.key.expose() == "open sesame" && wifi.country.as_str() == "DE"));
    }
}

#[tokio::test]
async fn a_medium_of_any_kind_carries_its_static_address_and_no_other_does() {
    let site = site();
    let wanted = r#"{"address":"192.168.1.21/24","gateway":"192.168.1.1","dns":["9.9.9.9"]}"#;
    let filled = "node=etcd-1&kind=usb&address=192.168.1.21%2F24&gateway=192.168.1.1&dns=9.9.9.9+";
    for (path, body, carries) in [
        (API, "{}".to_owned(), false),
        (API, format!(r#"{{"address":{wanted}}}"#), true),
        (API, format!(r#"{{"kind":"installer","address":{wanted}}}"#), true),
        (PAGE, filled.to_owned(), true),
        (PAGE, "node=etcd-1&kind=usb&address=&gateway=&dns=".to_owned(), false),
    ] {
        let mut file = unpacked(ask(&site, path, &body).await).await;
        let found: Option<StaticAddress> = carried(&mut file, static_address::FILE);
        assert_eq!(found, carries.then(|| serde_json::from_str(wanted).unwrap()), "{body}");
    }
}

#[tokio::test]
async fn a_static_address_that_can_not_be_is_refused_with_the_reason() {
    let site = site();
    let own = site.lab.core.book.file().cluster().network;
    let of = |address: &str, gateway: &str| {
        format!(r#"{{"address":{{"address":"{address}","gateway":"{gateway}"}}}}"#)
    };
    for (body, reason) in [
        (of("192.168.1.21/24", "192.168.2.1"), "not in the network 192.168.1.0/24"),
        (of(&format!("{}/24", own.host(200)), &own.host(1).to_string()), "the cluster's own network"),
    ] {
        let answer = ask(&site, API, &body).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let words = text(answer).await;
        assert!(words.contains(reason), "{words}");
    }
    for form in ["address=192.168.1.21%2F24", "address=192.168.1.0%2F24&gateway=192.168.1.1"] {
        let answer = ask(&site, PAGE, &format!("node=etcd-1&kind=usb&{form}")).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        assert!(text(answer).await.contains("Nothing was prepared: "), "{form}");
    }
}

#[tokio::test]
async fn a_wifi_that_can_not_be_is_refused_without_repeating_its_key() {
    let site = site();
    let answer = ask(&site, API, r#"{"wifi":{"country":"DE","ssid":"home","key":"sesame"}}"#).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let words = text(answer).await;
    assert!(words.contains("8 to 63 characters") && !words.contains("sesame"), "{words}");
    for (path, form) in [
        (PAGE, "node=etcd-1&kind=usb&wifi_country=DE&wifi_ssid=home&wifi_key=sesame"),
        (
            "/media/write",
            "node=etcd-1&kind=usb&disk=x&erase=true&wifi_country=UK&wifi_ssid=home&wifi_key=sesame+seeds",
        ),
        ("/media/write", "node=etcd-1&kind=usb&disk=x&erase=true&wifi_key=sesame+seeds"),
    ] {
        let answer = ask(&site, path, form).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        let words = text(answer).await;
        assert!(words.contains("Nothing was prepared") && !words.contains("sesame"), "{words}");
    }
}
