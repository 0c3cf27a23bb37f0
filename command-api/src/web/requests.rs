//! What metrics tell of requests: how long each operation takes to answer, by the class of the answer's status. That one histogram counts
//! the requests and the errors too. A request whose client left before its answer is in none of it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Histogram, Recorder, histogram, with_local_recorder};

use crate::web::access::Operation;

/// What stands for the method and route of whatever is no operation: paths are anybody's to make up, and labels must stay few.
const OTHER: &str = "other";

/// The requests of a server, by operation.
pub struct Requests {
    recorder: Arc<dyn Recorder + Send + Sync>,
    /// By route.
    operations: HashMap<String, Vec<Answers>>,
    others: Answers,
}

/// The answers of one operation.
pub(crate) struct Answers {
    method: &'static str,
    route: String,
    /// From 1xx to 5xx; each is in the recorder once there is such an answer.
    classes: [OnceLock<Histogram>; 5],
}

impl Answers {
    fn new(method: &'static str, route: &str) -> Self {
        Self { method, route: route.to_owned(), classes: Default::default() }
    }
}

impl Requests {
    /// Those of these operations, told to the recorder.
    #[must_use]
    pub fn of(operations: &[Operation], recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let mut by_route: HashMap<String, Vec<Answers>> = HashMap::new();
        for Operation { method, path, .. } in operations {
            by_route.entry(path.clone()).or_default().push(Answers::new(method, path));
        }
        Self { recorder, operations: by_route, others: Answers::new(OTHER, OTHER) }
    }

    /// The operation of a method on a path template.
    pub(crate) fn operation(&self, method: &Method, template: &str) -> &Answers {
        let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
        let operations = self.operations.get(template).into_iter().flatten();
        operations.into_iter().find(|operation| operation.method == wanted).unwrap_or(&self.others)
    }

    /// An operation has answered.
    pub(crate) fn answered(&self, operation: &Answers, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, operation.classes.len());
        let registered = operation.classes[class - 1].get_or_init(|| {
            with_local_recorder(&*self.recorder, || {
                histogram!(
                    "tillstream_http_request_duration_seconds",
                    "method" => operation.method,
                    "route" => operation.route.clone(),
                    "status" => format!("{class}xx"),
                )
            })
        });
        registered.record(took);
    }
}
