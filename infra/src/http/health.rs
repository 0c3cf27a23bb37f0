//! Health: is the process alive, can it do its work, and how is each part. The first two are everybody's to ask, and cost nothing that
//! grows with the store; the last is for operators.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use command_api::owner::Owners;
use command_api::web::door::Door;
use command_api::web::problem::{FieldError, Problem};
use command_api::web::routes::Routes;
use command_api::web::unserved::Unserved;
use domain::ports::leases::Lease;
use domain::position::Position;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::engine::status::{ProjectionStatus, State as Running};
use sagas::standing::{SagaWork, StuckSaga};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::admission::Admission;
use super::exposure::{AdminAddress, Exposure, Operator};
use crate::backends::{Backends, Promises};
use crate::config::Role;
use crate::conservation::{Watch, Watched};
use crate::progress::Progress;
use crate::saga_standing;

/// How many stuck sagas are named.
const MAX_STUCK: usize = 100;

/// Derived rows that can't be written for so long are a fault: the owner keeps what it decides in memory meanwhile.
const DERIVED_WITHIN: Duration = Duration::from_secs(30);

/// How long the leases may take to be read.
const LEASES_WITHIN: Duration = Duration::from_secs(2);

/// How long what is known of the sagas counts as still true, however many ask.
const SAGAS_FOR: Duration = Duration::from_secs(1);

/// What health is asked of.
#[derive(Clone)]
pub struct Health {
    asked: Arc<Asked>,
    exposure: Exposure,
}

struct Asked {
    parts: HealthParts,
    /// As they were last looked at; one looks at a time.
    sagas: Mutex<Option<(Instant, SagaHealth)>>,
}

/// The parts of a process.
pub struct HealthParts {
    /// The roles that it runs.
    pub roles: Vec<Role>,
    /// Its backends.
    pub backends: Arc<dyn Backends>,
    /// Its owners.
    pub owners: Option<Arc<Owners>>,
    /// How far the projections are.
    pub progress: Progress,
    /// The sagas' work, where they run.
    pub sagas: Option<Arc<dyn SagaWork>>,
    /// Why one may be stuck.
    pub stuck_reasons: &'static [&'static str],
    /// The comparison of the copies, where projections run.
    pub conservation: Option<Watch>,
    /// How long work of a saga may be due before the saga counts as stuck.
    pub stuck_after: Duration,
    /// A process is not ready while a projection is more than this many events behind.
    pub max_lag: u64,
    /// Its requests.
    pub(crate) door: Door,
    /// Its connections.
    pub(crate) connections: Admission,
    /// What its parts recorded.
    pub(crate) figures: PrometheusHandle,
}

impl Health {
    /// Health of a process, as everybody may ask for it. `admin` says where operators ask.
    #[must_use]
    pub(crate) fn new(parts: HealthParts, admin: AdminAddress) -> Self {
        let asked = Arc::new(Asked { parts, sagas: Mutex::default() });
        Self { asked, exposure: Exposure::Everybody(admin) }
    }

    /// The same for those who may see all of it.
    pub(super) fn for_operators(&self) -> Self {
        Self { exposure: Exposure::Operators, ..self.clone() }
    }

    pub(super) fn parts(&self) -> &HealthParts {
        &self.asked.parts
    }

    pub(super) fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    /// What readiness depends on. Of sagas nothing: a load balancer that takes the servers away for one order helps nobody.
    async fn needed(&self) -> Needed {
        let parts = self.parts();
        let heads = parts.backends.heads();
        let projections = parts.progress.status(&heads).await;
        let log = LogHealth { heads, fault: parts.backends.fault().await };
        Needed { log, projections }
    }

    async fn report(&self) -> Report {
        let parts = self.parts();
        let needed = self.needed().await;
        let sagas = self.sagas().await;
        let mut faults = needed.faults(parts.max_lag);
        faults.extend(self.derived());
        faults.extend(sagas.fault.iter().map(|reason| fault("/sagas".to_owned(), reason.clone())));
        // Readiness leaves it out: a copy that differs keeps nobody from being answered.
        let conservation = parts.conservation.as_ref().and_then(Watch::last);
        faults.extend(conservation.iter().flat_map(Watched::faults).map(|(shard, detail)| {
            let of = shard.map_or(String::new(), |shard| format!("/shards/{shard}"));
            fault(format!("/conservation{of}"), detail)
        }));
        Report {
            // A saga that is stuck is somebody's business, and no reason to take the process away.
            status: if faults.is_empty() && sagas.stuck.is_empty() { Status::Up } else { Status::Degraded },
            version: env!("CARGO_PKG_VERSION"),
            roles: parts.roles.iter().map(ToString::to_string).collect(),
            log: needed.log,
            owners: parts.owners.as_ref().map(|owners| owners.heads()).unwrap_or_default(),
            promises: parts.backends.promises(),
            projections: needed.projections,
            sagas,
            conservation,
            owned_by: self.owned_by().await,
            faults,
        }
    }

    /// Shards whose derived rows can't be written for long. Commands are taken until their owners' memory is full.
    fn derived(&self) -> Vec<FieldError> {
        let shards = self.parts().owners.iter().flat_map(|owners| owners.figures());
        let failing = shards.filter_map(|(shard, figures)| {
            let (since, reason) = figures.derived_failing().filter(|(since, _)| *since >= DERIVED_WITHIN)?;
            let seconds = since.as_secs();
            let detail = format!("shard {shard}: derived rows can't be written for {seconds} s: {reason}");
            Some(fault("/log/derived".to_owned(), detail))
        });
        failing.collect()
    }

    /// The sagas, as they were a moment ago at most.
    pub(super) async fn sagas(&self) -> SagaHealth {
        let Some(work) = &self.parts().sagas else { return SagaHealth::default() };
        let mut last = self.asked.sagas.lock().await;
        if let Some((at, sagas)) = &*last
            && at.elapsed() < SAGAS_FOR
        {
            return sagas.clone();
        }
        let overdue = saga_standing::ago(self.parts().stuck_after);
        let sagas = match work.stuck(overdue, MAX_STUCK).await {
            Ok(stuck) => SagaHealth {
                stuck: stuck.iter().map(|saga| saga.order_id).collect(),
                reasons: stuck.into_iter().map(Stuck::from).collect(),
                fault: None,
            },
            Err(error) => SagaHealth { fault: Some(error.to_string()), ..SagaHealth::default() },
        };
        *last = Some((Instant::now(), sagas.clone()));
        sagas
    }

    /// The leases; none when they can't be read soon.
    async fn owned_by(&self) -> Option<Vec<ShardOwner>> {
        let leases = async { self.parts().backends.cluster().await.ok()??.leases.leases().await.ok() };
        let leases = tokio::time::timeout(LEASES_WITHIN, leases).await.ok()??;
        let owner = |lease: Lease| ShardOwner {
            shard: lease.shard.0,
            address: lease.owner.map(|owner| owner.address),
            epoch: lease.epoch,
        };
        Some(leases.into_iter().map(owner).collect())
    }
}

/// The parts without which a server can't do its work.
struct Needed {
    log: LogHealth,
    projections: Vec<ProjectionStatus>,
}

impl Needed {
    fn faults(&self, max_lag: u64) -> Vec<FieldError> {
        let log = self.log.fault.iter().map(|reason| fault("/log".to_owned(), reason.clone()));
        let projections = self.projections.iter().filter_map(|projection| {
            let detail = match &projection.state {
                Running::Running => match u64::try_from(projection.lag_events) {
                    Ok(behind) if behind <= max_lag => return None,
                    Ok(behind) => format!("{behind} events behind"),
                    Err(_) => format!(
                        "it shows {} events that the log doesn't hold; when it starts again it is built anew",
                        projection.lag_events.unsigned_abs()
                    ),
                },
                Running::Retrying { reason } | Running::Waiting { reason } | Running::Stopped { reason } => {
                    reason.clone()
                }
            };
            Some(fault(format!("/projections/{}", projection.name), detail))
        });
        log.chain(projections).collect()
    }
}

fn fault(pointer: String, detail: String) -> FieldError {
    FieldError { pointer, detail }
}

/// How the server is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Report {
    /// `up`, or `degraded` while a part has a fault.
    status: Status,
    /// The program's version.
    version: &'static str,
    /// The roles that this process runs.
    roles: Vec<String>,
    /// The event log.
    log: LogHealth,
    /// The shards that this process owns, each with its last decided position.
    #[schema(value_type = Vec<String>)]
    owners: Vec<Position>,
    /// What the log's servers promise; null where there are none.
    promises: Option<Promises>,
    /// Every projection: its positions, lag and parked streams.
    #[schema(value_type = Vec<Object>)]
    projections: Vec<ProjectionStatus>,
    /// The sagas.
    sagas: SagaHealth,
    /// What the last comparison of all copies of the events found; null before it, and where no projections run.
    #[schema(value_type = Option<Object>)]
    conservation: Option<Watched>,
    /// Who owns which shard, where several processes can; null where only this one can.
    owned_by: Option<Vec<ShardOwner>>,
    /// What is wrong, by part.
    faults: Vec<FieldError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Up,
    Degraded,
}

/// Who owns a shard.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ShardOwner {
    /// The shard.
    shard: u16,
    /// Where its owner listens; null when it has none.
    address: Option<String>,
    /// The epoch of the owner's first frame.
    epoch: u64,
}

/// The event log's health.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct LogHealth {
    /// The last position of every shard.
    #[schema(value_type = Vec<String>)]
    heads: Vec<Position>,
    /// Why it can't be written.
    fault: Option<String>,
}

/// The sagas' health.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct SagaHealth {
    /// The orders of sagas that don't go on by themselves, longest first: an operator's matter. The first ones only;
    /// `/api/v1/operations/sagas?status=stuck` has all.
    stuck: Vec<Uuid>,
    /// Why, one for each.
    pub(super) reasons: Vec<Stuck>,
    /// Why they can't be looked at.
    pub(super) fault: Option<String>,
}

/// A saga that is stuck.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Stuck {
    /// Its order.
    order_id: Uuid,
    /// Why.
    pub(super) reason: String,
    /// Since when.
    #[serde(serialize_with = "domain::event::serialize_wire_time")]
    since: DateTime<Utc>,
}

impl From<StuckSaga> for Stuck {
    fn from(StuckSaga { order_id, reason, since, .. }: StuckSaga) -> Self {
        Self { order_id, reason, since }
    }
}

/// A short answer of health.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Alive {
    status: Status,
}

/// Its operations.
pub(crate) fn routes() -> Routes<Health> {
    Routes::default().public(routes!(live)).public(routes!(ready)).public(routes!(detail))
}

/// Whether the process is alive
///
/// Answers as long as the process can answer at all; says nothing of its parts.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    operation_id = "health_live",
    responses((status = 200, description = "it is", body = Alive))
)]
async fn live() -> Json<Alive> {
    Json(Alive { status: Status::Up })
}

/// Whether the server can do its work
///
/// Fails when the log can't be written, or a projection is stopped, failing or too far behind. `errors` says which, to operators: on
/// http.admin_listen, or from the same machine where that is off.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    operation_id = "health_ready",
    responses(
        (status = 200, description = "it can", body = Alive),
        (status = 503, description = "a needed part has a fault", body = Problem,
         content_type = "application/problem+json",
         headers(("Retry-After" = u32, description = "seconds to wait before repeating")))
    )
)]
async fn ready(State(health): State<Health>, operator: Operator) -> Result<Json<Alive>, Problem> {
    let faults = health.needed().await.faults(health.parts().max_lag);
    if faults.is_empty() {
        return Ok(Json(Alive { status: Status::Up }));
    }
    let problem =
        Unserved::Overloaded.problem("a part that is needed has a fault; operators see which on /health");
    Err(Problem { errors: if operator.0 { faults } else { Vec::new() }, ..problem })
}

/// How each part of the server is
///
/// Always 200: whether the server can do its work is `/health/ready`'s to say. For operators: on http.admin_listen, or where that is off
/// from the same machine; 404 for everybody else.
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    operation_id = "health",
    responses(
        (status = 200, description = "the parts", body = Report),
        (status = 404, description = "it is not for this caller", body = Problem,
         content_type = "application/problem+json")
    )
)]
async fn detail(State(health): State<Health>, operator: Operator) -> Result<Json<Report>, Problem> {
    operator.required()?;
    Ok(Json(health.report().await))
}
