//! The page on the owner's phone: switched on here, and opened there by a picture.

use super::actions::shown;
use super::shell::{Page, Place};
use super::ui::{self, Tone, notice};
use super::visitor::Visitor;
use crate::api::{self, Asked, LanSwitch, Session, Shared};
use crate::lan::LanStatus;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

/// Pairs of a fingerprint in one line, so that eight lines of a phone are compared with the same here.
const PAIRS: usize = 8;

pub async fn page(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = shared.core.shown().borrow().clone();
    let content = content(&shared.lan.status(), shared.site.is_network());
    Page { place: Place::Network, path: "/phone", title: "On your phone", status: &status, content }
        .answer(&visitor)
}

pub async fn on(session: Session, state: State<Shared>) -> Response {
    switch(session, state, true).await
}

pub async fn off(session: Session, state: State<Shared>) -> Response {
    switch(session, state, false).await
}

async fn switch(session: Session, state: State<Shared>, on: bool) -> Response {
    let switched = api::switch_lan(session, state, Asked(LanSwitch { on })).await;
    shown(switched.map(|_| Redirect::to("/phone").into_response()), "/phone")
}

/// `from_afar` when the visitor is on the network already, where nothing is switched.
pub fn content(lan: &LanStatus, from_afar: bool) -> Markup {
    html! {
        header.page { h1 { "This page on your phone" } p.quiet { "By HTTPS, in your own network. The passphrase is the login there, too." } }
        @for problem in &lan.problems { (notice(Tone::Attention, problem)) }
        @if lan.on {
            (way(lan))
            @if !from_afar {
                section aria-labelledby="off" {
                    h2 #off { "When you are done" }
                    form method="post" action="/phone/off" { button.plain type="submit" { "Take the page off the network" } }
                    p.quiet { "It ends by itself with the manager, unless that was started with " code.word { "--lan" } "." }
                }
            }
        } @else {
            (ui::empty("Only this machine has the page", "Switched on, everyone in your network can reach the login, and nobody without the passphrase gets further."))
            @if !from_afar {
                form.row.after method="post" action="/phone/on" { button type="submit" { "Open this page on a phone" } }
            }
        }
        @if from_afar { p.quiet { "It is switched on and off at the manager's own machine." } }
    }
}

fn way(lan: &LanStatus) -> Markup {
    html! {
        div.phone {
            @if let Some(first) = lan.pages.first() {
                section.card aria-labelledby="scan" {
                    h2 #scan { "1. Scan this" }
                    (ui::qr(first))
                    p.label { "or type" }
                    @for page in &lan.pages { p.address { code { (page) } } }
                }
            }
            @if let Some(fingerprint) = &lan.fingerprint {
                section.card aria-labelledby="compare" {
                    h2 #compare { "2. Compare, then go on" }
                    p { "Your phone will warn you: no authority on the internet can vouch for an address in your house, so only you can tell that this is your manager." }
                    p { "Look at the certificate in the warning (" em { "details" } " or " em { "view certificate" }
                        "). If its SHA-256 fingerprint is this one, nobody is in between, and you may go on. If it is another, don't type the passphrase." }
                    p.label { "SHA-256 fingerprint" }
                    (self::fingerprint(fingerprint))
                }
            }
        }
    }
}

/// In lines of pairs, of which no browser breaks one.
fn fingerprint(text: &str) -> Markup {
    let pairs: Vec<&str> = text.split(':').collect();
    html! {
        p.fingerprint {
            @for line in pairs.chunks(PAIRS) { code { @for pair in line { span { (pair) } " " } } }
        }
    }
}
