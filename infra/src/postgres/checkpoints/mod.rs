//! The stored checkpoints, for processes in which the projections don't run. Whoever moves one notifies in the same transaction,
//! so they are read when they have moved and not on time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::pauses::Pauses;
use domain::position::{Position, Seen, Shard};
use projections::engine::follower::{Checkpoints, Parked, Visible};
use projections::engine::mark::{Generation, Mark};
use projections::engine::model::Projection;
use projections::engine::store::StoreError;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions, PgRow};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Database;
use super::read_store::schema::lacking;

/// Between attempts to listen again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(2));

/// The live checkpoints of a database, and a task that listens for their changes on a connection of its own.
pub struct PostgresCheckpoints {
    database: Database,
    /// As this program reads them.
    projections: Vec<Arc<dyn Projection>>,
    changed: Arc<Notify>,
}

impl PostgresCheckpoints {
    /// Starts to listen, until the shutdown.
    #[must_use]
    pub fn start(
        database: Database,
        projections: Vec<Arc<dyn Projection>>,
        shutdown: CancellationToken,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        tokio::spawn(listen(database.clone(), Arc::clone(&changed), shutdown));
        Self { database, projections, changed }
    }

    fn visible_of(&self, row: &PgRow) -> sqlx::Result<Visible> {
        let (name, mark) = visible(row)?;
        let (version, shape): (i32, &str) = (row.try_get("version")?, row.try_get("shape")?);
        let ours = self.projections.iter().find(|projection| projection.name() == name);
        let lacking = ours.and_then(|ours| Some((ours, lacking(ours.as_ref(), shape)?)));
        let unreadable = lacking.map(|(ours, column)| {
            let wanted = ours.version();
            format!("the live rows of {name} are of version {version} and have no {column}, which version {wanted} needs")
        });
        Ok(Visible { projection: name, mark, unreadable })
    }
}

async fn listen(database: Database, changed: Arc<Notify>, shutdown: CancellationToken) {
    let mut pauses = PAUSES;
    loop {
        let heard = tokio::select! {
            () = shutdown.cancelled() => return,
            heard = hear(&database, &changed, &mut pauses) => heard,
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "not told of moved checkpoints: they are read once a second meanwhile");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pauses.further()) => {}
        }
    }
}

/// Rings for every notification until the connection is lost.
async fn hear(database: &Database, changed: &Notify, pauses: &mut Pauses) -> sqlx::Result<()> {
    // A pool of its own: this connection is never given back, and must not be taken from the queries.
    let options = database.url().options().map_err(|e| sqlx::Error::Configuration(Box::new(e)))?;
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options)).await?;
    listener.eager_reconnect(false);
    listener.listen(&database.checkpoint_channel()).await?;
    pauses.reset();
    // What moved before it listened.
    changed.notify_one();
    while listener.try_recv().await?.is_some() {
        changed.notify_one();
    }
    Ok(())
}

fn visible(row: &PgRow) -> sqlx::Result<(String, Mark)> {
    let positions: Vec<i64> = row.try_get("positions")?;
    let mut seen = Seen::none(u16::try_from(positions.len()).unwrap_or(u16::MAX));
    for (shard, n) in (0..).zip(positions) {
        seen.advance(Position { shard: Shard(shard), n: u64::try_from(n).unwrap_or(0) });
    }
    let generation = Generation::named(row.try_get::<i32, _>("generation")?.to_string());
    Ok((row.try_get("projection")?, Mark { generation, seen }))
}

/// How far the live rows of a projection are, for a transaction that reads these too; nothing where there are none.
pub(super) async fn mark(conn: &mut PgConnection, projection: &str) -> sqlx::Result<Mark> {
    let select = sqlx::query(include_str!("select_mark.sql")).bind(projection);
    let row = select.fetch_optional(conn).await?;
    row.map_or_else(|| Ok(Mark::none(0)), |row| Ok(visible(&row)?.1))
}

fn parked(row: &PgRow) -> sqlx::Result<(String, Parked)> {
    let count = |column| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    let parked = Parked { streams: count("streams")?, events: count("events")? };
    Ok((row.try_get("projection")?, parked))
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// On the connections of the writers, which queries can't take: a reader's wait must not grow with the load of queries.
#[async_trait]
impl Checkpoints for PostgresCheckpoints {
    async fn visible(&self) -> Result<Vec<Visible>, StoreError> {
        let select = sqlx::query(include_str!("select_visible.sql"));
        let rows = select.fetch_all(self.database.writes()).await.map_err(unavailable)?;
        rows.iter().map(|row| self.visible_of(row).map_err(unavailable)).collect()
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn parked(&self) -> Result<Vec<(String, Parked)>, StoreError> {
        let select = sqlx::query(include_str!("select_parked.sql"));
        let rows = select.fetch_all(self.database.writes()).await.map_err(unavailable)?;
        rows.iter().map(|row| parked(row).map_err(unavailable)).collect()
    }
}
