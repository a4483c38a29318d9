//! Style, scripts, fonts and icon, inside the binary and named by their content, so that browsers keep
//! them for ever and never an old one. What is not ours comes from npm by `build.rs`.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

struct Asset {
    /// As it is known here, such as `page.css`.
    name: &'static str,
    /// As browsers ask for it.
    hashed: String,
    kind: &'static str,
    body: Vec<u8>,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! fetched {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut assets = vec![
        asset("htmx.js", SCRIPT, fetched!("htmx.js").to_vec()),
        asset("sse.js", SCRIPT, fetched!("sse.js").to_vec()),
        asset("idiomorph.js", SCRIPT, fetched!("idiomorph.js").to_vec()),
        asset("page.js", SCRIPT, include_bytes!("assets/page.js").to_vec()),
        asset("console.js", SCRIPT, include_bytes!("assets/console.js").to_vec()),
        asset("log.js", SCRIPT, include_bytes!("assets/log.js").to_vec()),
        asset("plex-sans.woff2", "font/woff2", fetched!("plex-sans.woff2").to_vec()),
        asset("plex-mono.woff2", "font/woff2", fetched!("plex-mono.woff2").to_vec()),
        asset("plex-licence.txt", "text/plain; charset=utf-8", fetched!("plex-licence.txt").to_vec()),
        asset("cairn.svg", "image/svg+xml", include_bytes!("assets/cairn.svg").to_vec()),
    ];
    let style = [
        include_str!("assets/base.css"),
        include_str!("assets/frame.css"),
        include_str!("assets/parts.css"),
        include_str!("assets/pages.css"),
    ];
    // the fonts' names stand in the style, so theirs are known first
    let style = assets.iter().fold(style.concat(), |style, it| style.replace(it.name, &it.hashed));
    assets.push(asset("page.css", CSS, style.into_bytes()));
    assets
});

fn asset(name: &'static str, kind: &'static str, body: Vec<u8>) -> Asset {
    let hash: String = hex::encode(Sha256::digest(&body)).chars().take(12).collect();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    Asset { name, hashed: format!("{stem}-{hash}.{ending}"), kind, body }
}

/// Where browsers find an asset.
pub fn path(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    format!("/assets/{}", found.map_or(name, |asset| &asset.hashed))
}

pub async fn get(Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.hashed == name);
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.body.as_slice()).into_response()
}
