//! How machines reach the manager, in one sentence; the rest is under "Troubleshoot".

use super::ui::{Tone, notice};
use crate::api::Status;
use maud::{Markup, html};

pub fn content(status: &Status) -> Markup {
    let network = &status.network;
    let tone = match network.state.as_str() {
        "running" => Tone::Good,
        "refused" => Tone::Failed,
        "starting" => Tone::Working,
        _ => Tone::Off,
    };
    html! {
        header.page { h1 { "Network" } p.quiet { "How machines reach this manager." } }
        (notice(tone, &network.message))
        @if let Some(error) = &network.address_error { (notice(Tone::Attention, error)) }
    }
}
