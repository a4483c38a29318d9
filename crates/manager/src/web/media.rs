//! Prepared media: for machines that can't start from the network.

use super::ui;
use crate::api::{NodeStatus, Status};
use maud::{Markup, html};

pub fn content(status: &Status) -> Markup {
    let free: Vec<&NodeStatus> = status.nodes.iter().filter(|node| !node.enrolled).collect();
    html! {
        header.page {
            h1 { "Media" }
            p.quiet { "A card or stick with the whole system on it, for one named node. It joins by itself: its key is good once, and for seven days." }
        }
        @if free.is_empty() {
            (ui::empty("Every place is taken", "A medium is prepared for a place that no machine has taken."))
        } @else {
            ul.cards {
                @for node in free {
                    li.card id={ "medium-" (node.name) } {
                        h3 { (node.name) }
                        p.facts { (node.role) " · " (node.address) }
                        form method="post" action={ "/nodes/" (node.name) "/medium" } {
                            button type="submit" { "Prepare and download" }
                        }
                    }
                }
            }
        }
    }
}
