//! A QR code. Black on white in the dark, too: some readers take no other.

use crate::qr;
use maud::{Markup, html};

pub fn qr(text: &str) -> Markup {
    html! {
        @if let Some(picture) = qr::qr(text) {
            @let side = picture.side;
            svg.qr viewBox={ "0 0 " (side) " " (side) } role="img" aria-label={ "QR code of " (text) } shape-rendering="crispEdges" {
                rect width=(side) height=(side) fill="#fff" {}
                path d=(picture.path) fill="#000" {}
            }
        }
    }
}
