//! Operations, each with who may call it. That is said once, where the route is: the guard goes by it, and so does the document.

use utoipa::IntoResponses;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation as Described, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::web::access::{Access, Operation};
use crate::web::openapi::{BEARER, ByRole, LoggedIn};

/// Operations of a part of the server, with their part of the OpenAPI document.
pub struct Routes<S = ()> {
    router: OpenApiRouter<S>,
    operations: Vec<Operation>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: OpenApiRouter::new(), operations: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Operations that go into a document which has something already.
    #[must_use]
    pub fn of(document: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(document), operations: Vec::new() }
    }

    /// Adds what anybody may call.
    #[must_use]
    pub fn public(self, routes: UtoipaMethodRouter<S>) -> Self {
        self.with(Access::Public, routes)
    }

    /// Adds what needs a valid access token; what is whose is decided in the handler.
    #[must_use]
    pub fn authenticated(self, routes: UtoipaMethodRouter<S>) -> Self {
        self.with(Access::Authenticated, routes)
    }

    /// Adds what needs at least one of these roles.
    #[must_use]
    pub fn roles(self, roles: &[impl Copy + Into<&'static str>], routes: UtoipaMethodRouter<S>) -> Self {
        self.with(Access::Roles(roles.iter().map(|role| (*role).into()).collect()), routes)
    }

    fn with(mut self, access: Access, (schemas, mut paths, router): UtoipaMethodRouter<S>) -> Self {
        for (path, item) in &mut paths.paths {
            for (method, operation) in described(item) {
                secure(operation, &access);
                self.operations.push(Operation { method, path: path.clone(), access: access.clone() });
            }
        }
        Self { router: self.router.routes((schemas, paths, router)), ..self }
    }

    /// Adds those of another part.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The same, each handler with the state.
    #[must_use]
    pub fn with_state(self, state: S) -> Routes {
        Routes { router: self.router.with_state(state), operations: self.operations }
    }

    /// Who may call what.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The routes, and their part of the document.
    pub fn split(self) -> (axum::Router<S>, OpenApi) {
        self.router.split_for_parts()
    }
}

/// The operations of a path that there are.
fn described(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Described)> {
    [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("DELETE", &mut item.delete),
        ("PATCH", &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// Says in the document what an operation asks of its caller, and what happens to others.
fn secure(operation: &mut Described, access: &Access) {
    let refusals = match access {
        Access::Public => return,
        Access::Authenticated => LoggedIn::responses(),
        Access::Roles(_) => ByRole::responses(),
    };
    operation.responses.responses.extend(refusals);
    operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
}
