//! Another application on the platform, whole and in one file: a board on which anybody pins notes and takes them down. Aggregate, projection,
//! operations, and [`application`], which joins them; log, owners, feed, read models, HTTP, audit and command line are the platform's.
//! `cargo run -p tests --example board -- serve` serves it.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use command_api::web::CommandState;
use command_api::web::access::OPERATOR;
use command_api::web::body::{NoBody, prose};
use command_api::web::caller::Caller;
use command_api::web::issue::{Incoming, Key, Reply};
use command_api::web::openapi::{ById, Conflicting, OptionalKey, Usual, WithBody};
use command_api::web::problem::Problem;
use command_api::web::routes::Routes;
use domain::aggregate::{Aggregate, DecisionContext, Registry, StreamMeta};
use domain::command::Step;
use domain::event::{RecordedEvent, serialize_wire_time};
use domain::refusal::{DomainError, RefusalKind};
use domain::stream::StreamId;
use domain::upcast::DecodeError;
use infra::application::{Application, Projections};
use infra::config::Config;
use projections::engine::mapping::{CREATED_AT, TENANT};
use projections::engine::model::Projection;
use projections::engine::query::Direction::Ascending;
use projections::engine::query::{Condition, Row, Select, Unreadable, View, first, list};
use projections::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};
use query_api::QueryState;
use query_api::web::ask::{Ask, not_parked};
use query_api::web::cursor::Scope;
use query_api::web::docs::{ConditionalParam, PageParams, SyncParam};
use query_api::web::failed::Failed;
use query_api::web::params::path_id;
use query_api::web::reply::{ListOf, ok, tagged};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

const NOTE: &str = "note";

/// The board, as an application.
#[must_use]
pub fn application(_config: &Config) -> Application {
    let commands =
        || Routes::of(command_api::web::openapi::base()).public(routes!(pin)).public(routes!(take_down));
    let queries =
        || query_api::audit_routes(&[OPERATOR]).public(routes!(get_note)).public(routes!(list_notes));
    Application {
        projections: Projections::with_audit(vec![Arc::new(Notes)]),
        commands,
        queries,
        ..Application::of(Registry::default().with::<Note>())
    }
}

/// A command for a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteCommand {
    /// Pins it.
    Pin {
        /// What it says.
        text: String,
    },
    /// Takes it down.
    TakeDown,
}

/// `note.pinned` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotePinned {
    /// What it says.
    pub text: String,
}

/// `note.taken_down` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteTakenDown {}

domain::events! {
    /// What can happen to a note.
    pub enum NoteEvent {
        /// Somebody pinned it.
        "note.pinned" 1 => Pinned(NotePinned),
        /// Somebody took it down.
        "note.taken_down" 1 => TakenDown(NoteTakenDown),
    }
}

/// Why a command for a note is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It hangs there already.
    #[error("the note exists already")]
    Exists,
    /// There is none, or it was taken down.
    #[error("there is no such note")]
    NotFound,
}

impl DomainError for NoteError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Exists => RefusalKind::Conflict,
            Self::NotFound => RefusalKind::NotFound,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "note-exists",
            Self::NotFound => "note-not-found",
        }
    }
}

/// A note's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    text: Option<String>,
    taken_down: bool,
}

domain::cqrs_aggregate!(Note, "note", NoteCommand, NoteEvent, NoteError);

impl Aggregate for Note {
    fn decide(&self, command: &NoteCommand, _: &DecisionContext) -> Result<Vec<NoteEvent>, NoteError> {
        match (command, &self.text) {
            (NoteCommand::Pin { text }, None) => {
                Ok(vec![NoteEvent::Pinned(NotePinned { text: text.clone() })])
            }
            (NoteCommand::Pin { .. }, Some(_)) => Err(NoteError::Exists),
            (NoteCommand::TakeDown, Some(_)) if !self.taken_down => {
                Ok(vec![NoteEvent::TakenDown(NoteTakenDown {})])
            }
            (NoteCommand::TakeDown, _) => Err(NoteError::NotFound),
        }
    }

    fn evolve(&mut self, event: &NoteEvent) {
        match event {
            NoteEvent::Pinned(pinned) => self.text = Some(pinned.text.clone()),
            NoteEvent::TakenDown(_) => self.taken_down = true,
        }
    }

    fn answer(&self, meta: &StreamMeta) -> Option<serde_json::Value> {
        let view = NoteView {
            id: meta.stream.id().parse().ok()?,
            text: self.text.clone()?,
            version: meta.version,
            created_at: meta.created_at,
        };
        serde_json::to_value(view).ok()
    }
}

/// A note, as commands and queries return it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Note)]
pub struct NoteView {
    id: Uuid,
    text: String,
    version: u64,
    #[serde(serialize_with = "serialize_wire_time")]
    created_at: DateTime<Utc>,
}

/// One row per note.
static NOTES: Table = Table {
    name: "notes",
    about: "One row per note.",
    key: &[TENANT, col("note_id", ColumnKind::Uuid, "The note")],
    groups: &[Group {
        name: "note",
        source: NOTE,
        columns: &[
            col("text", ColumnKind::Text, "What it says"),
            col("taken_down", ColumnKind::Bool, "It hangs there no more"),
            CREATED_AT,
        ],
    }],
    indexes: &[Index {
        name: "notes_by_created",
        on: &["tenant", "taken_down", "created_at", "note_id"],
        only: None,
    }],
};

/// The projection `notes`.
#[derive(Debug, Clone, Copy)]
struct Notes;

impl Projection for Notes {
    fn name(&self) -> &'static str {
        NoteView::PROJECTION
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&NOTES] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != NOTE {
            return Ok(vec![]);
        }
        let set = match event.typed::<NoteEvent>()? {
            NoteEvent::Pinned(pinned) => vec![
                ("text", Value::Text(pinned.text)),
                ("taken_down", Value::Bool(false)),
                ("created_at", Value::Time(event.time)),
            ],
            NoteEvent::TakenDown(_) => vec![("taken_down", Value::Bool(true))],
        };
        Ok(vec![RowChange {
            table: &NOTES,
            key: vec![Value::Text(event.stream.tenant().to_owned()), Value::Uuid(event.stream_uuid()?)],
            group: "note",
            version: event.version,
            set,
        }])
    }
}

impl View for NoteView {
    const PROJECTION: &'static str = "notes";
    const TABLE: &'static Table = &NOTES;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("note_id")?,
            text: row.text("text")?.to_owned(),
            version: row.version("note")?,
            created_at: row.time("created_at")?,
        })
    }
}

fn hanging(tenant: &str) -> Select {
    Select::of::<NoteView>(tenant).and(Condition::Is("taken_down", Value::Bool(false)))
}

command_api::body! {
    /// A note to pin.
    struct NoteInput {
        /// What it says.
        text: String = prose(1..=500),
    }
}

/// Pins a note.
#[utoipa::path(
    post, path = "/api/v1/notes", operation_id = "pin_note", tag = "notes",
    params(OptionalKey), request_body = NoteInput,
    responses((status = 201, description = "The note.", body = NoteView), Usual, WithBody, Conflicting),
)]
async fn pin(State(state): State<CommandState>, incoming: Incoming) -> Result<Reply, Problem> {
    let (issue, NoteInput { text }) = incoming.read(&state, Key::Optional).await?;
    let (_, stream) = issue.draw(NOTE, state.gateway.shards());
    let accepted = issue.submit(&state, vec![Step::create(stream, NoteCommand::Pin { text })]).await?;
    Ok(Reply::of(StatusCode::CREATED, &accepted)?.tagged().within("/api/v1/notes"))
}

/// Takes a note down.
#[utoipa::path(
    delete, path = "/api/v1/notes/{id}", operation_id = "take_note_down", tag = "notes",
    params(("id" = Uuid, Path, description = "The note."), OptionalKey),
    responses((status = 200, description = "The note.", body = NoteView), Usual, WithBody, ById, Conflicting),
)]
async fn take_down(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let id = command_api::web::issue::path_id(&id, NOTE)?;
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    let stream = StreamId::new(&issue.tenant, NOTE, id);
    let accepted = issue.submit(&state, vec![Step::new(stream, NoteCommand::TakeDown)]).await?;
    Ok(Reply::of(StatusCode::OK, &accepted)?.tagged())
}

/// A note that hangs there.
#[utoipa::path(
    get, path = "/api/v1/notes/{id}", operation_id = "get_note", tag = "notes",
    params(("id" = Uuid, Path, description = "The note."), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The note.", body = NoteView),
        (status = 304, description = "The client has this version."),
        Usual, ById,
    ),
)]
async fn get_note(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let (id, tenant) = (path_id(&id, NOTE)?, Caller::tenant_of(caller.as_ref()));
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[NoteView::PROJECTION]).await?;
    not_parked(&state, NoteView::PROJECTION, &StreamId::new(tenant, NOTE, id)).await?;
    let note: Option<NoteView> =
        first(&*read, hanging(tenant).and(Condition::Is("note_id", Value::Uuid(id)))).await?;
    let note = note.ok_or_else(|| Problem::not_found(NOTE))?;
    tagged(&ask, &note.version, &note)
}

/// The notes that hang there, in the order in which they were pinned.
#[utoipa::path(
    get, path = "/api/v1/notes", operation_id = "list_notes", tag = "notes",
    params(PageParams, SyncParam),
    responses((status = 200, description = "A page of notes.", body = ListOf<NoteView>), Usual),
)]
async fn list_notes(
    State(state): State<QueryState>,
    caller: Option<Caller>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let tenant = Caller::tenant_of(caller.as_ref());
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["limit", "cursor"])?;
    let scope = Scope { operation: "list_notes", tenant, caller: None, filters: ask.params.filters() };
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[NoteView::PROJECTION]).await?;
    let select = hanging(tenant).by("created_at", Ascending).by("note_id", Ascending);
    let listed = list::<NoteView>(&*read, "notes", select, &page).await?;
    ok(&ListOf::new(&state, &scope, listed.items, listed.next.as_deref()))
}
