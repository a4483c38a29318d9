//! What the form says: the ticked machines, each with its own code, place and disk.

use crate::api::{self, ApproveRequest, Problem, Session, Shared};
use crate::web::shell;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

/// Fields as browsers send them, `WHAT.MACHINE`: an empty choice is none, what is not ticked is absent.
type Fields = Vec<(String, String)>;

fn requests(fields: &Fields) -> Vec<(String, ApproveRequest)> {
    let ticked = fields.iter().filter(|(name, _)| name == "machine").map(|(_, id)| id);
    let request = |id: &String| {
        let given = |what: &str| {
            let wanted = format!("{what}.{id}");
            fields
                .iter()
                .find(|(name, text)| *name == wanted && !text.is_empty())
                .map(|(_, text)| text.clone())
        };
        let code = given("code").unwrap_or_default();
        let request = ApproveRequest {
            code,
            node: given("node"),
            disk: given("disk"),
            wipe: given("wipe").is_some(),
            ..ApproveRequest::default()
        };
        (id.clone(), request)
    };
    ticked.map(request).collect()
}

/// All that can be approved is; what can't is said, each in its own sentence.
pub async fn approve(_: Session, State(shared): State<Shared>, Form(fields): Form<Fields>) -> Response {
    let requests = requests(&fields);
    if requests.is_empty() {
        let words = "No machine was ticked. Compare the code on its screen, tick its box, and approve again.";
        return shell::problem(StatusCode::BAD_REQUEST, &[words.to_owned()], "/discover");
    }
    let mut refused = Vec::new();
    for (id, request) in &requests {
        if let Err(error) = api::give(&shared.core, id, request).await {
            let short: String = id.chars().take(8).collect();
            refused.push(format!("{short}: {}", Problem::from(error).detail));
        }
    }
    match refused.as_slice() {
        [] => Redirect::to("/discover").into_response(),
        refused => shell::problem(StatusCode::CONFLICT, refused, "/discover"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ticked_machines_are_approved_each_with_its_own_choices() {
        let fields = [
            ("code.aa", "111-111"),
            ("node.aa", "etcd-1"),
            ("disk.aa", "sda"),
            ("wipe.aa", "true"),
            ("machine", "bb"),
            ("code.bb", "222-222"),
            ("node.bb", ""),
            ("code.cc", "333-333"),
            ("machine", "cc"),
            ("disk.cc", "nvme"),
            ("wipe.cc", "true"),
        ];
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        let bb = ApproveRequest { code: "222-222".into(), ..ApproveRequest::default() };
        let cc = ApproveRequest {
            code: "333-333".into(),
            node: None,
            disk: Some("nvme".into()),
            wipe: true,
            ..ApproveRequest::default()
        };
        assert_eq!(requests(&fields), [("bb".to_owned(), bb), ("cc".to_owned(), cc)]);
    }
}
