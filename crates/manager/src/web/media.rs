//! Prepared media: for machines that can't start from the network.

mod act;

use super::ui::{self, Choice, Tone, state};
use super::words;
use crate::api::{DiskStatus, JobStatus, MediumKind, MediumState, MediumStatus, Status};
use cairn_host::usb_boot::WaitingBoard;
use maud::{Markup, html};

pub use act::{download, look, write};

/// What is known about media beside the status.
pub struct MediaView {
    /// Of the manager's machine.
    pub disks: Vec<DiskStatus>,
    /// On its USB.
    pub boards: Vec<WaitingBoard>,
    pub media: Vec<MediumStatus>,
    /// What was written since the manager started, by node.
    pub jobs: Vec<(String, JobStatus)>,
}

pub fn content(status: &Status, view: &MediaView) -> Markup {
    let free: Vec<Choice<'_>> = status
        .nodes
        .iter()
        .filter(|node| !node.enrolled)
        .map(|node| Choice {
            value: &node.name,
            words: format!("{} ({})", node.name, node.role),
            chosen: false,
        })
        .collect();
    html! {
        header.page {
            h1 { "Media" }
            p.quiet { "A card or stick with the whole system on it, for one named node. It joins by itself: its key is good once, and for seven days." }
        }
        @for board in &view.boards { (waiting(board)) }
        (writing(&view.jobs))
        @if free.is_empty() {
            (ui::empty("Every place is taken", "A medium is prepared for a place that no machine has taken."))
        } @else {
            (form(&free, &view.disks))
        }
        (prepared(&view.media))
    }
}

/// Shown whether a place is free or not: the card may be one of a node that has run for years.
fn waiting(board: &WaitingBoard) -> Markup {
    ui::notice(
        Tone::Attention,
        html! { strong { "A " (board.models) " waits on USB port " (board.port) } ": " (board.advice) "." },
    )
}

/// As the API names them.
const BOARDS: [(&str, &str, bool); 3] = [
    ("uefi", "a PC or another x86-64 machine with UEFI", true),
    ("uefi-arm64", "an arm64 machine with UEFI", false),
    ("pi-zero-2-w", "a Raspberry Pi Zero 2 W, from an SD card", false),
];

fn form(free: &[Choice<'_>], disks: &[DiskStatus]) -> Markup {
    html! {
        form.card.medium #medium method="post" action="/media/download" {
            h2 { "Prepare a medium" }
            div.pair {
                (ui::select("medium-node", "node", "For the node", free))
                fieldset.kinds {
                    legend { "It is" }
                    @for (kind, value) in [(MediumKind::Sd, "sd"), (MediumKind::Usb, "usb")] {
                        @let id = format!("kind-{value}");
                        label.tick for=(id) {
                            input id=(id) type="radio" name="kind" value=(value) checked[kind == MediumKind::default()];
                            span { (kind) }
                        }
                    }
                }
            }
            fieldset.kinds {
                legend { "It starts" }
                @for (value, words, chosen) in BOARDS {
                    @let id = format!("board-{value}");
                    label.tick for=(id) {
                        input id=(id) type="radio" name="board" value=(value) checked[chosen];
                        span { (words) }
                    }
                }
            }
            (wifi())
            (static_address())
            div.ways {
                section aria-labelledby="download" {
                    h3 #download { "Download it" }
                    p.quiet { "Some 280 MB, compressed. Programs that write cards take it as it is." }
                    button type="submit" { "Prepare and download" }
                }
                section aria-labelledby="write" {
                    h3 #write { "Write it here" }
                    @if disks.is_empty() { p.quiet { "No disk was found on the manager's machine that may be written to. Plug in a card or a stick." } }
                    @for disk in disks { (target(disk)) }
                    @if disks.iter().any(|disk| disk.refused.is_none()) {
                        (ui::tick("medium-erase", "erase", "true", &html! { "Everything on the chosen disk is lost" }))
                        button.danger type="submit" formaction="/media/write" { "Erase it and write" }
                    }
                }
            }
        }
    }
}

/// Folded: most machines have a cable.
fn wifi() -> Markup {
    html! {
        details.story #medium-wifi {
            summary { "This machine has no cable: Wi-Fi" }
            p.quiet { "It lies on the medium unencrypted, for the machine needs it before it is unlocked: whoever has the card has the key of your Wi-Fi." }
            div.pair {
                (ui::text("wifi-ssid", "wifi_ssid", "Name of the network", 32))
                (ui::text("wifi-country", "wifi_country", "Country, in two letters", 2))
                (ui::secret("wifi-key", "wifi_key", "Key (WPA2 or WPA3)"))
            }
            (ui::tick("wifi-hidden", "wifi_hidden", "true", &html! { "The network hides its name" }))
        }
    }
}

/// Folded: most routers hand addresses out.
fn static_address() -> Markup {
    html! {
        details.story #medium-address {
            summary { "This machine gets a static address" }
            p.quiet { "Where no router hands addresses out, or you want to know this one beforehand. Take one that the router gives to nobody else. The cluster address stands beside it." }
            div.pair {
                (ui::text("address", "address", "Address, such as 192.168.1.21/24", 18))
                (ui::text("gateway", "gateway", "Gateway: the router's address", 15))
                (ui::text("dns", "dns", "DNS servers, if any, with spaces between", 50))
            }
        }
    }
}

/// A disk that is not offered says why.
fn target(disk: &DiskStatus) -> Markup {
    let id = format!("target-{}", ui::part(&disk.id));
    html! {
        label.disk for=(id) {
            input id=(id) type="radio" name="disk" value=(disk.id) disabled[disk.refused.is_some()];
            span.disk-words {
                span { @if disk.size > 0 { strong { (words::gigabytes(disk.size)) } " " } (disk.product) }
                @if let Some(refused) = &disk.refused { span.quiet { (refused) } }
            }
        }
    }
}

fn writing(jobs: &[(String, JobStatus)]) -> Markup {
    html! {
        @if !jobs.is_empty() {
            section aria-labelledby="writing" {
                h2.first #writing { "Written here" }
                ul.cards.wide {
                    @for (node, job) in jobs {
                        li.card id={ "writing-" (node) } { h3 { (node) } (ui::job(&format!("writing-job-{node}"), job)) }
                    }
                }
            }
        }
    }
}

fn prepared(media: &[MediumStatus]) -> Markup {
    html! {
        @if !media.is_empty() {
            section aria-labelledby="prepared" {
                h2 #prepared { "Prepared so far" }
                ul.rows {
                    @for medium in media {
                        @let tone = match medium.state {
                            MediumState::Good => Tone::Good,
                            MediumState::Used | MediumState::Obsolete => Tone::Off,
                            MediumState::Expired => Tone::Attention,
                        };
                        li {
                            strong { (medium.node) } span { (medium.kind) } (state(tone, medium.state))
                            @if medium.state == MediumState::Good { span.quiet { "until " (words::time(medium.expires)) } }
                            details.story id={ "sum-" (medium.id) } { summary { "Checksum" } code { "sha256 " (medium.sha256) } }
                        }
                    }
                }
            }
        }
    }
}
