//! What every page has around it, and the headers that keep it to itself.

use super::ui::{Icon, Tone, icon, mark};
use super::visitor::Visitor;
use super::{assets, words};
use crate::api::Status;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// Nothing from anywhere else, no script or style inside the page, nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What would need `eval` or a style in the page is off, and no copy of a page is kept in the browser.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"allowScriptTags":false,"historyEnabled":false,"historyCacheSize":0}"#;

pub fn headers() -> HeaderMap {
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // "no-referrer" would have browsers send forms with `Origin: null`, which is refused
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    all.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

/// The pages that the navigation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Overview,
    Discover,
    Media,
    Cluster,
    Network,
}

impl Place {
    const ALL: [Self; 5] = [Self::Overview, Self::Discover, Self::Media, Self::Cluster, Self::Network];

    fn word(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Discover => "Discover",
            Self::Media => "Media",
            Self::Cluster => "Cluster",
            Self::Network => "Network",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Discover => "/discover",
            Self::Media => "/media",
            Self::Cluster => "/cluster",
            Self::Network => "/network",
        }
    }

    /// When the live part is fetched anew. What is heard on the wire and which disks are plugged in is no
    /// part of the status.
    fn trigger(self) -> &'static str {
        match self {
            Self::Discover | Self::Network | Self::Media => "sse:status, htmx:sseOpen from:body, every 3s",
            _ => "sse:status, htmx:sseOpen from:body",
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Overview => Icon::Overview,
            Self::Discover => Icon::Discover,
            Self::Media => Icon::Media,
            Self::Cluster => Icon::Cluster,
            Self::Network => Icon::Network,
        }
    }
}

/// A page of the opened cluster: where it stands, its own address, and what is on it.
pub struct Page<'a> {
    pub place: Place,
    pub path: &'a str,
    pub title: &'a str,
    pub status: &'a Status,
    pub content: Markup,
}

impl Page<'_> {
    pub fn answer(&self, visitor: &Visitor) -> Response {
        if visitor.live_part_only {
            return (headers(), self.live()).into_response();
        }
        whole(
            StatusCode::OK,
            &format!("{} · {}", self.title, self.status.cluster.name),
            true,
            &html! {
                // everything that changes by itself is swapped as one, whenever the manager says that it has something new
                div #live hx-get=(self.path) hx-trigger=(self.place.trigger()) hx-swap="morph:innerHTML"
                    hx-target="this" hx-sync="this:queue last" hx-disinherit="*" { (self.live()) }
            },
        )
    }

    pub fn live(&self) -> Markup {
        html! {
            (self.navigation())
            div.stale-line role="alert" {
                (mark(Tone::Attention)) "The manager does not answer. What stands here may be old."
            }
            main #main tabindex="-1" { (self.content) }
        }
    }

    fn navigation(&self) -> Markup {
        let cluster = &self.status.cluster;
        let waiting = words::waiting_machines(self.status);
        html! {
            header.side {
                a.brand href="/" {
                    img src=(assets::path("cairn.svg")) alt="" width="28" height="28";
                    span { strong { (cluster.name) } span.quiet { "Cairn" } }
                }
                nav aria-label="Pages" {
                    ul {
                        @for place in Place::ALL {
                            li {
                                a href=(place.path()) aria-current=[(place == self.place).then_some("page")] {
                                    (icon(place.icon())) span { (place.word()) }
                                    @if place == Place::Discover && waiting > 0 {
                                        span.count { (waiting) span.sr { " waiting for you" } }
                                    }
                                }
                            }
                        }
                    }
                }
                div.side-end {
                    a href="/keep" { "Cluster file " span.quiet { "generation " (cluster.generation) } }
                    a href="/phone" { "On your phone" }
                    form method="post" action="/logout" { button.link type="submit" { "Log out" } }
                }
            }
        }
    }
}

/// A whole document.
pub fn whole(status: StatusCode, title: &str, live: bool, body: &Markup) -> Response {
    let scripts = ["htmx.js", "sse.js", "idiomorph.js"];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="theme-color" media="(prefers-color-scheme: light)" content="#f4f6f5";
                meta name="theme-color" media="(prefers-color-scheme: dark)" content="#101516";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Cairn" }
                link rel="icon" href=(assets::path("cairn.svg"));
                link rel="stylesheet" href=(assets::path("page.css"));
                @for script in scripts { script src=(assets::path(script)) defer {} }
                @for script in ["page.js", "log.js", "console.js"] { script src=(assets::path(script)) defer {} }
            }
            body hx-ext="sse,morph" sse-connect=[live.then_some("/api/v1/events")] {
                a.skip href="#main" { "Skip to what the page says" }
                (body)
            }
        }
    };
    (status, headers(), page).into_response()
}

/// A page outside the cluster's: logging in, an error.
pub fn narrow(status: StatusCode, title: &str, content: &Markup) -> Response {
    whole(
        status,
        title,
        false,
        &html! {
            main #main.narrow tabindex="-1" {
                p.brand { img src=(assets::path("cairn.svg")) alt="" width="40" height="40"; strong { "Cairn" } }
                (content)
            }
        },
    )
}

/// A page that says what went wrong and leads back.
pub fn problem(status: StatusCode, sentences: &[String], back: &str) -> Response {
    narrow(
        status,
        "That did not work",
        &html! {
            h1 { "That did not work" }
            @for sentence in sentences { p.notice.failed role="alert" { (mark(Tone::Failed)) span { (sentence) } } }
            p { a.button href=(back) { "Go back" } }
        },
    )
}
