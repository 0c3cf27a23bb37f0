//! The embedded family: SQLite, tantivy and memory, in directories that this process holds alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use command_api::web::tokens::SigningKeys;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::keys::SubjectKeys;
use domain::ports::log::{EventLog, LogReader};
use domain::position::Position;
use projections::engine::follower::Follower;
use projections::engine::model::Projection;
use projections::engine::read_models::ReadModels;
use projections::engine::search::TextSearch;
use projections::engine::watermark::Watermark;
use query_api::CursorKey;
use sagas::standing::SagaWork;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::beside;
use super::disk_probe::DiskProbe;
use super::{Backends, Group};
use crate::application::{Application, Projections};
use crate::config::{Config, Embedded};
use crate::data_dir::DataDir;
use crate::event_copy::EventCopy;
use crate::feed::InProcessFeed;
use crate::key_files;
use crate::rebuild::renewal::{EmbeddedRenewal, Renewal};
use crate::sqlite::events_copy::SqliteEvents;
use crate::sqlite::keys::SqliteKeys;
use crate::sqlite::log::SqliteLog;
use crate::sqlite::read_models::EmbeddedReadModels;
use crate::sqlite::read_store::SqliteReadStore;
use crate::sqlite::saga_work::SqliteSagaWork;
use crate::tantivy::{TantivyIndices, TantivySearch, searched};

/// The rest between small transactions of rows: an order's events come in some frames within a few milliseconds, and a transaction for each would
/// write the same pages again.
const ROWS_EVERY: Duration = Duration::from_millis(20);

/// The embedded backends of the one process that may use them.
pub struct EmbeddedBackends {
    projections: Projections,
    log: Arc<SqliteLog>,
    feed: Arc<InProcessFeed>,
    keys: Arc<SqliteKeys>,
    read: OnceCell<ReadFiles>,
    read_dir: PathBuf,
    data_dir: PathBuf,
    disk: DiskProbe,
    /// Held to the end.
    _directories: Vec<DataDir>,
}

struct ReadFiles {
    rows: Arc<SqliteReadStore>,
    search: Vec<(Arc<dyn Projection>, Arc<TantivySearch>)>,
}

impl EmbeddedBackends {
    /// Locks the directories, makes what is missing in them, and opens the log.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn open(
        application: &Application,
        config: &Config,
        places: Embedded<'_>,
    ) -> anyhow::Result<Self> {
        // Before anything is made or touched.
        beside::refuse_lost_log(places, application.files)?;
        let directories = DataDir::open_all(&places.directories())?;
        let log = SqliteLog::open(places.log, config.log.shards)?;
        Self::over(application.projections.clone(), log, places, directories).await
    }

    /// Opens a store that is there, and makes nothing.
    ///
    /// # Errors
    /// When there is none, or a part can't be opened; the reason names it.
    pub async fn open_existing(projections: Projections, places: Embedded<'_>) -> anyhow::Result<Self> {
        beside::expect_store(places)?;
        let directories = DataDir::open_all(&places.directories())?;
        let log = SqliteLog::open_existing(places.log)?;
        Self::over(projections, log, places, directories).await
    }

    async fn over(
        projections: Projections,
        log: SqliteLog,
        places: Embedded<'_>,
        directories: Vec<DataDir>,
    ) -> anyhow::Result<Self> {
        let (data_dir, log) = (places.data.to_owned(), Arc::new(log));
        beside::refuse_others(places.read, log.store().id)?;
        let feed = Arc::new(InProcessFeed::open(Arc::clone(&log) as Arc<dyn LogReader>).await?);
        // A new store gets new keys; a log that has events refers to those that it was written with.
        let used = feed.heads().iter().any(|head| head.n > 0);
        if !used {
            beside::refuse_emptied_log(places)?;
        }
        let keys = if used { SqliteKeys::open_existing(&data_dir)? } else { SqliteKeys::open(&data_dir)? };
        Ok(Self {
            projections,
            log,
            feed,
            keys: Arc::new(keys),
            read: OnceCell::new(),
            read_dir: places.read.to_owned(),
            disk: DiskProbe::new(&data_dir),
            data_dir,
            _directories: directories,
        })
    }

    async fn read(&self) -> anyhow::Result<&ReadFiles> {
        let open = || async {
            let rows = Arc::new(SqliteReadStore::open(&self.read_dir)?);
            let search = searched(&self.projections.documents).map(|(index, projection)| {
                let index = TantivySearch::new(index, &self.read_dir, rows.clone());
                (Arc::clone(projection), Arc::new(index))
            });
            Ok(ReadFiles { search: search.collect(), rows })
        };
        self.read.get_or_try_init(open).await
    }
}

#[async_trait]
impl Backends for EmbeddedBackends {
    fn log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }

    fn heads(&self) -> Vec<Position> {
        self.feed.heads()
    }

    fn feed_bytes(&self) -> usize {
        self.feed.kept_bytes()
    }

    async fn fault(&self) -> Option<String> {
        self.disk.fault().await
    }

    async fn fan_out(&self) -> anyhow::Result<Arc<dyn FanOut>> {
        Ok(self.feed.clone())
    }

    async fn feed(&self) -> anyhow::Result<Arc<dyn Feed>> {
        Ok(self.feed.clone())
    }

    async fn keys(&self) -> anyhow::Result<Arc<dyn SubjectKeys>> {
        Ok(self.keys.clone())
    }

    async fn signing_keys(&self) -> anyhow::Result<SigningKeys> {
        key_files::signing_keys(&self.data_dir)
    }

    async fn cursor_key(&self) -> anyhow::Result<CursorKey> {
        key_files::cursor_key(&self.data_dir)
    }

    async fn groups(&self) -> anyhow::Result<Vec<Group>> {
        let read = self.read().await?;
        let rows = Group {
            name: "rows",
            store: read.rows.clone(),
            projections: self.projections.rows.clone(),
            apply_every: ROWS_EVERY,
        };
        let search = read.search.iter().map(|(projection, index)| Group {
            name: projection.name(),
            store: index.clone(),
            projections: vec![Arc::clone(projection)],
            apply_every: Duration::ZERO,
        });
        Ok([rows].into_iter().chain(search).collect())
    }

    async fn renewal(&self) -> anyhow::Result<Arc<dyn Renewal>> {
        let read = self.read().await?;
        Ok(Arc::new(EmbeddedRenewal {
            projections: self.projections.rows.clone(),
            dir: self.read_dir.clone(),
            rows: read.rows.clone(),
            search: read.search.clone(),
            log: self.log.clone(),
        }))
    }

    async fn follow(&self, _shutdown: &CancellationToken) -> anyhow::Result<Vec<Arc<Follower>>> {
        Ok(Vec::new())
    }

    async fn read_models(&self, marks: Vec<Watermark>) -> anyhow::Result<Arc<dyn ReadModels>> {
        let read = self.read().await?;
        Ok(Arc::new(EmbeddedReadModels::new(read.rows.clone(), marks)))
    }

    async fn search(&self) -> anyhow::Result<Arc<dyn TextSearch>> {
        let indices = self.read().await?.search.iter().map(|(_, index)| Arc::clone(index));
        Ok(Arc::new(TantivyIndices(indices.collect())))
    }

    async fn saga_work(&self) -> anyhow::Result<Arc<dyn SagaWork>> {
        Ok(Arc::new(SqliteSagaWork::new(self.read().await?.rows.clone())))
    }

    async fn copies(&self) -> anyhow::Result<Vec<Arc<dyn EventCopy>>> {
        Ok(vec![Arc::new(SqliteEvents::new(self.read().await?.rows.clone()))])
    }

    async fn stop(&self) {}
}
