//! What every page has around it, and the headers that keep it to itself.

use super::assets::{ICON, SCRIPT, STYLE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// Nothing from anywhere else, no script or style inside the page, nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn headers() -> HeaderMap {
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    all.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

/// A whole page.
pub fn page(status: StatusCode, title: &str, live: bool, content: &Markup) -> Response {
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON.path());
                link rel="stylesheet" href=(STYLE.path());
                @if live { script src=(SCRIPT.path()) defer {} }
            }
            body { (content) }
        }
    };
    (status, headers(), body).into_response()
}

/// A page that says what went wrong and leads back.
pub fn problem(status: StatusCode, words: &str) -> Response {
    let content = html! {
        main.narrow {
            h1 { "That did not work" }
            p.alert role="alert" { (words) }
            p { a.button href="/" { "Back to the cluster" } }
        }
    };
    page(status, "Cairn: that did not work", false, &content)
}
