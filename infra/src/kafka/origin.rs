//! Whether the topic carries the events of the log that is there now.

use std::time::Duration;

use domain::ports::log::{LogError, LogReader, StoreInfo};
use projections::engine::origin::frame_at;
use uuid::Uuid;

use super::record::Record;
use super::scan::{Last, last_records};
use super::topic::partitions;
use super::{Error, KafkaUrl};

/// How often a record is looked for in a log that may show it a little later.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Compares the last record of each partition with the log. What lies before it was published in order, and decided before.
///
/// # Errors
/// [`Error::OtherLog`], [`Error::Ahead`], [`Error::OtherEvent`]; [`Error::Unavailable`] when Kafka or the log can't be read,
/// [`Error::NoTopic`].
pub async fn compare(url: &KafkaUrl, log: &dyn LogReader) -> Result<(), Error> {
    let store = log.store();
    for last in last_records(url, store).await? {
        match last {
            Last::Other(theirs) => {
                return Err(Error::OtherLog { topic: url.topic().to_owned(), theirs, ours: store.id });
            }
            Last::Ours(record) => compare_one(url, log, &record).await?,
        }
    }
    Ok(())
}

/// Whether the topic carries an event of any store; none that isn't there does.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn carries_events(url: &KafkaUrl) -> Result<bool, Error> {
    // No store has this id, so whatever is found is another one's.
    let nobody = StoreInfo { id: Uuid::nil(), shards: partitions(url).await? };
    if nobody.shards == 0 {
        return Ok(false);
    }
    Ok(last_records(url, nobody).await?.iter().any(|last| matches!(last, Last::Other(_))))
}

async fn compare_one(url: &KafkaUrl, log: &dyn LogReader, record: &Record) -> Result<(), Error> {
    let (position, topic) = (record.event.position, || url.topic().to_owned());
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        match frame_at(log, position, Some(record.frame)).await {
            Ok(Some((frame, id))) => {
                let same = id == record.event.id && record.hash.is_none_or(|hash| hash == frame.hash);
                return if same { Ok(()) } else { Err(Error::OtherEvent { topic: topic(), position }) };
            }
            Ok(None) => {}
            // Whoever needs it will say so.
            Err(LogError::Corrupt(..)) => return Ok(()),
            Err(error) => return Err(unread(&error)),
        }
    }
    match log.head(position.shard).await {
        Ok(head) if head.n < position.n => Err(Error::Ahead { topic: topic(), position }),
        Ok(_) => Err(Error::OtherEvent { topic: topic(), position }),
        Err(error) => Err(unread(&error)),
    }
}

fn unread(error: &LogError) -> Error {
    Error::Unavailable(error.to_string())
}
