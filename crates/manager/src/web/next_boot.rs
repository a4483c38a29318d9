//! What a machine starts once, at its next network boot: offered, shown, and taken back.

use super::actions::{page_of, shown};
use super::ui::{Tone, notice};
use crate::api::{self, NextBoot, NextBootRequest, Part, Problem, Session, Shared};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use maud::{Markup, html};

/// The buttons' form. Apart from them, as a machine's card stands in the form that approves it.
const FORM: &str = "next-boot";
/// In the place of what is to start.
const USUAL: &str = "usual";

/// Stands once on a page that has [`choice`]s, outside every other form.
pub fn form() -> Markup {
    html! { form id=(FORM) method="post" {} }
}

/// `id` is the fold's own, `path` where the machine's buttons lead.
pub fn choice(id: &str, path: &str, waiting: Option<NextBoot>) -> Markup {
    let button = |start: &str, words: &str| {
        html! { button.plain type="submit" form=(FORM) formaction={ (path) "/next-boot/" (start) } { (words) } }
    };
    html! {
        @if let Some(start) = waiting {
            (notice(Tone::Attention, html! { "When it next boots from the network, it starts " (start) ", once." }))
            div.row { (button(USUAL, "Start what is usual after all")) }
        } @else {
            details.confirm id=(id) {
                summary.button.plain { "Start something else once" }
                p { "The next time this machine boots from the network it starts that instead, and afterwards what is usual again. Nothing is restarted now." }
                div.row {
                    (button(NextBoot::MemoryTest.name(), "Memory test"))
                    (button(NextBoot::Rescue.name(), "Rescue system"))
                }
            }
        }
    }
}

fn wanted(start: &str) -> Result<Option<NextBootRequest>, Problem> {
    if start == USUAL {
        return Ok(None);
    }
    let found = NextBoot::named(start);
    let words = || format!("a machine can't start '{start}'; it can start a rescue system or a memory test");
    let none = || Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", words());
    found.map(|start| Some(NextBootRequest { start })).ok_or_else(none)
}

pub async fn node(
    session: Session,
    state: State<Shared>,
    Path((name, start)): Path<(String, String)>,
) -> Response {
    let page = page_of(&name);
    let done = match wanted(&start) {
        Ok(Some(request)) => api::set_node(session, state, Part(name), api::Asked(request)).await,
        Ok(None) => api::forget_node(session, state, Part(name)).await,
        Err(problem) => Err(problem),
    };
    shown(done.map(|_| Redirect::to(&page)), &page)
}

pub async fn machine(
    session: Session,
    state: State<Shared>,
    Path((id, start)): Path<(String, String)>,
) -> Response {
    let done = match wanted(&start) {
        Ok(Some(request)) => api::set_machine(session, state, Part(id), api::Asked(request)).await,
        Ok(None) => api::forget_machine(session, state, Part(id)).await,
        Err(problem) => Err(problem),
    };
    shown(done.map(|_| Redirect::to("/discover")), "/discover")
}
