//! What the owner keeps: passphrase and sealed text as one entry of a password manager, pasted back once.

use super::shell;
use super::ui::{copy_button, password, pasted, refused};
use crate::api::{Problem, Session, Shared};
use crate::keep;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::secret::Secret;
use cairn_vault::file::{Entry, ImportError, Passphrase, Strength};
use cairn_workflow::log::chain;
use maud::{Markup, html};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct PastedBack {
    file: String,
    #[serde(default = "none")]
    passphrase: Secret,
}

fn none() -> Secret {
    Secret::new(String::new())
}

pub async fn page(_: Session, State(shared): State<Shared>) -> Response {
    show(&shared, StatusCode::OK, None).await
}

pub async fn confirm(_: Session, State(shared): State<Shared>, Form(form): Form<PastedBack>) -> Response {
    let PastedBack { file, passphrase } = form;
    match keep::confirm(&shared.core, &passphrase, &file).await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(error) => show(&shared, StatusCode::UNPROCESSABLE_ENTITY, Some(&chain(&error))).await,
    }
}

pub async fn later(_: Session, State(shared): State<Shared>) -> Response {
    shared.core.reminded();
    Redirect::to("/").into_response()
}

/// The entry as a file that the password manager imports.
pub async fn import(_: Session, State(shared): State<Shared>, Path(program): Path<String>) -> Response {
    let made = async {
        if !keep::first(&shared.core) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "stored",
                "the entry is stored, so its passphrase is not given out again: put the new note in its place",
            ));
        }
        let (entry, _) = shared.core.book.entry().await.map_err(|error| Problem::internal(&error))?;
        let (text, name) = match program.as_str() {
            "bitwarden" => (entry.bitwarden(), "cairn-bitwarden.json"),
            "keepassxc" => (entry.keepass(), "cairn-keepassxc.xml"),
            _ => {
                return Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "no-such-program",
                    "there is no import file for this",
                ));
            }
        };
        Ok((text.map_err(|error| refuse(&error))?, name))
    };
    match made.await {
        Ok((text, name)) => {
            let disposition = format!("attachment; filename=\"{name}\"");
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (headers, text.expose().to_owned()).into_response()
        }
        Err(problem) => shell::problem(problem.code(), &[problem.detail], "/keep"),
    }
}

fn refuse(error: &ImportError) -> Problem {
    match error {
        ImportError::TooLong(_) => Problem::new(StatusCode::CONFLICT, "too-long", error.to_string()),
        ImportError::Encode | ImportError::ControlCharacter => Problem::internal(error),
    }
}

async fn show(shared: &Shared, status: StatusCode, error: Option<&str>) -> Response {
    match shared.core.book.entry().await {
        Ok((entry, _)) => {
            shell::narrow(status, "Keep the cluster file", &content(&entry, keep::first(&shared.core), error))
        }
        Err(error) => shell::problem(StatusCode::INTERNAL_SERVER_ERROR, &[chain(&error)], "/"),
    }
}

pub fn content(entry: &Entry, first: bool, error: Option<&str>) -> Markup {
    html! {
        h1 { "Keep your cluster file" }
        (refused(error))
        p { "Passphrase and file are the way back to everything: the configuration and every secret. Make "
            strong { "one entry" } " in your password manager. Nobody can recover a lost passphrase." }
        section.card aria-labelledby="entry" {
            h2 #entry { "The entry " strong { (entry.title()) } }
            @if first {
                p.label { "Password" }
                p.copyable { code #password { (entry.password().expose()) } (copy_button("password", "Copy")) }
                (strength(entry))
            } @else {
                p.quiet { "Its password is the passphrase that you have stored. It is not shown again." }
            }
            p.label { "Note " span.quiet { "· " (entry.room()) } }
            @if let Some(advice) = entry.room().advice() { p { (advice) } }
            pre.note-text #note tabindex="0" { (entry.notes()) }
            p.row {
                (copy_button("note", "Copy the note"))
                a.button.plain href="/cluster-file" download="cluster.cairn" { "Download it" }
            }
            @if first { (imports(entry)) }
        }
        section.card aria-labelledby="back" {
            h2 #back { "Paste it back once" }
            p.quiet { "From the password manager, not from here: so you know that it kept everything." }
            form.stack method="post" action="/keep" {
                @if first { (password("back-passphrase", "passphrase", "Password of the entry", "off")) }
                (pasted("back-file", "file", "Note of the entry", 4))
                button type="submit" { "I have stored it" }
            }
            form method="post" action="/keep/later" { button.link type="submit" { "Later" } }
        }
    }
}

/// Of the passphrase: the longest that guessing would take with what an attacker may have.
fn strength(entry: &Entry) -> Markup {
    let words = Passphrase::new(entry.password().expose()).map(|it| Strength::of(&it, &[]).sentence());
    html! { @if let Ok(words) = words { p.quiet { (words) } } }
}

fn imports(entry: &Entry) -> Markup {
    html! {
        details.more {
            summary { "Import it instead" }
            p.quiet { "An import file holds both in the clear: delete it once it is imported." }
            div.row {
                @if entry.room().fits_a_note() {
                    form method="post" action="/keep/import/bitwarden" { button.plain type="submit" { "For Bitwarden" } }
                }
                form method="post" action="/keep/import/keepassxc" { button.plain type="submit" { "For KeePassXC" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lan::Lan;
    use crate::simulation::{Lab, new_file};
    use crate::site::Site;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_passphrase_is_given_out_only_until_it_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        let ask = |program: &str| {
            let site = Site::Loopback(([127, 0, 0, 1], 4200).into());
            let shared = Shared { core: Arc::clone(&lab.core), site, lan: Lan::new(false, None, 0) };
            import(Session, State(shared), Path(program.to_owned()))
        };
        // the owner who gave the file has it; one whose cluster is new does not
        lab.core.book.note(|journal| journal.stored = None).unwrap();
        assert_eq!(ask("bitwarden").await.status(), StatusCode::OK);
        assert_eq!(ask("lastpass").await.status(), StatusCode::NOT_FOUND);
        lab.core.book.note(|journal| journal.stored = Some(1)).unwrap();
        for program in ["bitwarden", "keepassxc"] {
            assert_eq!(ask(program).await.status(), StatusCode::CONFLICT);
        }
    }
}
