use super::*;
use crate::api::router;
use crate::lan::Lan;
use crate::simulation::{Lab, new_file};
use crate::site::Site;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt as _;

const HOST: &str = "127.0.0.1:4200";

fn document() -> Value {
    serde_json::from_str(text().unwrap()).unwrap()
}

/// Method, path and operation.
fn all(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
    });
    methods.collect()
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_to_something() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_errors_that_are_problems() {
    let document = document();
    let operations = all(&document);
    let mut names = std::collections::BTreeSet::new();
    for (method, path, operation) in &operations {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{method} {path} {status}");
            let is_problem = response["content"].get(PROBLEM).is_some();
            assert_eq!(is_problem, status.starts_with(['4', '5']), "{method} {path} {status}");
        }
    }
    assert!(operations.len() >= 34, "{}", operations.len());
}

#[test]
fn secrets_are_texts_that_are_not_shown() {
    let document = document();
    let secret = document.pointer("/components/schemas/Secret").unwrap();
    assert_eq!((&secret["type"], &secret["format"]), (&"string".into(), &"password".into()));
}

#[tokio::test]
async fn what_is_behind_the_door_wants_a_session_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let site = Site::Loopback(HOST.parse().unwrap());
    let router = router(Arc::clone(&lab.core), site, Lan::new(false, None, 0));
    let inside = crate::api::operations().into_openapi();
    let document = document();
    for (method, path, operation) in all(&document) {
        let is_inside = inside.paths.paths.contains_key(&path);
        assert_eq!(operation["responses"].get("409").is_some() && is_inside, is_inside, "{method} {path}");
        if !is_inside {
            continue;
        }
        assert_eq!(operation["security"].as_array().unwrap().len(), 2, "{method} {path}");
        let path = path.replace("{name}", "etcd-1").replace("{id}", "x");
        let request = Request::builder().method(method.as_str()).uri(&path).header(header::HOST, HOST);
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}
