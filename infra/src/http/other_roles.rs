//! Operations of roles that run in other processes: 404, with a hint whom to ask.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, MethodRouter, on};
use command_api::web::problem::Problem;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::config::Role;

/// Every operation of a document, answered by a hint.
pub(super) fn routes(document: &OpenApi, role: Role) -> Router {
    let mut router = Router::new();
    for (path, item) in &document.paths.paths {
        if let Some(method) = hinting(item, role) {
            router = router.route(path, method);
        }
    }
    router
}

fn hinting(item: &PathItem, role: Role) -> Option<MethodRouter> {
    let methods = [
        (item.get.is_some(), MethodFilter::GET),
        (item.post.is_some(), MethodFilter::POST),
        (item.put.is_some(), MethodFilter::PUT),
        (item.delete.is_some(), MethodFilter::DELETE),
        (item.patch.is_some(), MethodFilter::PATCH),
    ];
    let filter =
        methods.into_iter().filter(|(has, _)| *has).map(|(_, filter)| filter).reduce(MethodFilter::or)?;
    Some(on(filter, async move || problem(role)))
}

fn problem(role: Role) -> Problem {
    let detail =
        format!("this process doesn't run the role {role}, which answers this: ask a process that does");
    Problem::new(StatusCode::NOT_FOUND, "other-role", detail)
}
