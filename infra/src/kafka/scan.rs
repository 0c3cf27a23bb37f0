//! Reading partitions by offset, beside any consumer group: what a publisher resumes after, and what the conservation check compares.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::ports::log::StoreInfo;
use domain::position::{Position, Shard};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::client::{ANSWER, Plain, blocking, settings};
use super::record::{Foreign, Record, decode, source, source_of};
use super::{Error, KafkaUrl, topic};

/// The longest wait for records that exist.
const RECORDS: Duration = Duration::from_secs(10);
/// How long a partition without a leader is asked again.
const LEADER_WITHIN: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// So many foreign records are skipped to find one of ours.
const FOREIGN: usize = 1000;
/// A scan reads so many events ahead of its receiver.
const AHEAD: usize = 4096;

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHeads {
    /// The shard that it carries.
    pub shard: Shard,
    /// How many records it retains, repeats included.
    pub records: u64,
    /// The position of the first record that it retains; `None` when it retains none of this store.
    pub first: Option<Position>,
    /// The position of its last record; `None` like `first`. After two publishers at once an earlier record may have a later one.
    pub last: Option<Position>,
}

/// A record of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Its place in the partition.
    pub offset: i64,
    /// Its position and the event's id; or, for a record that is no event of this store, why not.
    pub event: Result<(Position, Uuid), String>,
}

/// What each partition holds, in shard order.
///
/// # Errors
/// [`Error`].
pub async fn heads(url: &KafkaUrl, store: StoreInfo) -> Result<Vec<PartitionHeads>, Error> {
    let url = url.clone();
    blocking(move || {
        let probe = Probe::open(&url, store)?;
        let shards: Vec<Shard> = (0..store.shards).map(Shard).collect();
        let spans = probe.spans(&shards)?;
        let first = probe.nearest(&spans, Edge::First, &|message| probe.decode(message))?;
        let last = probe.nearest(&spans, Edge::Last, &|message| probe.decode(message))?;
        let heads = spans.iter().map(|span| PartitionHeads {
            shard: span.shard,
            records: span.len(),
            first: first.get(&span.shard).map(|record| record.event.position),
            last: last.get(&span.shard).map(|record| record.event.position),
        });
        Ok(heads.collect())
    })
    .await
}

/// The records of a shard's partition from position `from` on, in the order of the partition, up to its end as it was at the call.
/// The receiver ends with the last one or with an error; dropping it ends the scan.
#[must_use]
pub fn scan(
    url: &KafkaUrl,
    store: StoreInfo,
    shard: Shard,
    from: u64,
) -> mpsc::Receiver<Result<Scanned, Error>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let url = url.clone();
    tokio::task::spawn_blocking(move || {
        let work = || {
            let probe = Probe::open(&url, store)?;
            let spans = probe.spans(&[shard])?;
            let mut wanted = |offset, read: Result<Record, Foreign>| {
                let event = match read {
                    Ok(record) if record.event.position.n < from => return true,
                    Ok(record) => Ok((record.event.position, record.event.id)),
                    Err(foreign) => Err(foreign.to_string()),
                };
                sender.blocking_send(Ok(Scanned { offset, event })).is_ok()
            };
            spans.iter().try_for_each(|span| probe.each(span, &mut wanted))
        };
        if let Err(error) = work() {
            // Nobody to tell when the receiver is gone.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Whether the partition has come to a position, wherever the record is. Reads as many records from its end as it has repeats. Where retention
/// has cut repeats from the newer records before them, it may say no although it had come there.
pub(super) async fn reaches(url: &KafkaUrl, store: StoreInfo, position: Position) -> Result<bool, Error> {
    let url = url.clone();
    blocking(move || {
        let probe = Probe::open(&url, store)?;
        let spans = probe.spans(&[position.shard])?;
        let first = probe.nearest(&spans, Edge::First, &|message| probe.decode(message))?;
        let (Some(span), Some(first)) = (spans.first(), first.get(&position.shard)) else { return Ok(false) };
        // There is no gap: at least the positions between the first one and this one come before it.
        let before = position.n.saturating_sub(first.event.position.n);
        let low = span.low.saturating_add(i64::try_from(before).unwrap_or(i64::MAX));
        let mut found = false;
        probe.each(&Span { low, ..*span }, &mut |_, read| {
            found |= read.is_ok_and(|record| record.event.position.n >= position.n);
            !found
        })?;
        Ok(found)
    })
    .await
}

/// The last position in the partition of each of the shards that has a record of ours; blocks.
pub(super) fn last_positions(
    url: &KafkaUrl,
    store: StoreInfo,
    shards: &[Shard],
) -> Result<HashMap<Shard, u64>, Error> {
    let probe = Probe::open(url, store)?;
    let last = probe.nearest(&probe.spans(shards)?, Edge::Last, &|message| probe.decode(message))?;
    Ok(last.into_iter().map(|(shard, record)| (shard, record.event.position.n)).collect())
}

/// The last record of a partition that is an event of any store.
pub(super) enum Last {
    /// Of the store asked for.
    Ours(Box<Record>),
    /// Of this one.
    Other(Uuid),
}

/// The last records of the partitions that have one.
pub(super) async fn last_records(url: &KafkaUrl, store: StoreInfo) -> Result<Vec<Last>, Error> {
    let url = url.clone();
    blocking(move || {
        let probe = Probe::open(&url, store)?;
        let shards: Vec<Shard> = (0..store.shards).map(Shard).collect();
        let read = |message: &BorrowedMessage<'_>| match source_of(message) {
            Some(other) if other != store.id => Ok(Last::Other(other)),
            _ => probe.decode(message).map(|record| Last::Ours(Box::new(record))),
        };
        let found = probe.nearest(&probe.spans(&shards)?, Edge::Last, &read)?;
        Ok(found.into_values().collect())
    })
    .await
}

/// A short-lived consumer outside any group.
struct Probe {
    consumer: BaseConsumer<Plain>,
    topic: String,
    store: StoreInfo,
    source: String,
}

/// The offsets that a partition retains: from `low` to before `high`.
struct Span {
    shard: Shard,
    low: i64,
    high: i64,
}

impl Span {
    fn len(&self) -> u64 {
        u64::try_from(self.high - self.low).unwrap_or(0)
    }
}

/// How a record is read.
type Read<'a, T> = dyn Fn(&BorrowedMessage<'_>) -> Result<T, Foreign> + 'a;

#[derive(Clone, Copy)]
enum Edge {
    First,
    Last,
}

/// Whether a partition has no leader just now: its broker learns that it leads later than others learn of the partition.
fn is_leaderless(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable))
}

impl Probe {
    fn open(url: &KafkaUrl, store: StoreInfo) -> Result<Self, Error> {
        let consumer: BaseConsumer<Plain> = settings(url)
            // Needed for reading at all; offsets are given, and none is kept.
            .set("group.id", format!("{}.probe", url.topic()))
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .set("auto.offset.reset", "error")
            .create_with_context(Plain)?;
        topic::look(consumer.client(), url.topic(), ANSWER)?.carries(url, store.shards)?;
        Ok(Self { consumer, topic: url.topic().to_owned(), store, source: source(store.id) })
    }

    fn spans(&self, shards: &[Shard]) -> Result<Vec<Span>, Error> {
        let span = |shard: &Shard| {
            let (low, high) = self.watermarks(*shard)?;
            Ok(Span { shard: *shard, low, high })
        };
        shards.iter().map(span).collect()
    }

    /// The offsets of a partition's first record and after its last one.
    fn watermarks(&self, shard: Shard) -> Result<(i64, i64), Error> {
        let until = Instant::now() + LEADER_WITHIN;
        loop {
            match self.consumer.fetch_watermarks(&self.topic, i32::from(shard.0), ANSWER) {
                Err(error) if is_leaderless(&error) && Instant::now() < until => {
                    std::thread::sleep(BETWEEN_LOOKS);
                }
                done => return Ok(done?),
            }
        }
    }

    /// Reads on at these offsets.
    fn assign(&self, places: &HashMap<Shard, i64>) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for (shard, offset) in places {
            list.add_partition_offset(&self.topic, i32::from(shard.0), Offset::Offset(*offset))?;
        }
        Ok(self.consumer.assign(&list)?)
    }

    /// The next record of any partition assigned, until `deadline`.
    fn poll(&self, deadline: Instant) -> Result<BorrowedMessage<'_>, Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Unavailable(format!(
                    "topic {}: a record can't be read in time",
                    self.topic
                )));
            }
            match self.consumer.poll(left) {
                Some(Ok(message)) => return Ok(message),
                // The driver goes on by itself; the deadline bounds it.
                Some(Err(error)) => tracing::debug!(%error, "reading a partition"),
                None => {}
            }
        }
    }

    fn decode(&self, message: &BorrowedMessage<'_>) -> Result<Record, Foreign> {
        decode(message, &self.store, &self.source)
    }

    /// The record that can be read and is nearest to the partition's edge, for each partition that has one.
    fn nearest<T>(&self, spans: &[Span], edge: Edge, read: &Read<'_, T>) -> Result<HashMap<Shard, T>, Error> {
        let start = |span: &Span| match edge {
            Edge::First => span.low,
            Edge::Last => span.high - 1,
        };
        let mut places: HashMap<Shard, i64> =
            spans.iter().filter(|span| span.low < span.high).map(|span| (span.shard, start(span))).collect();
        let mut found = HashMap::new();
        for _ in 0..FOREIGN {
            if places.is_empty() {
                return Ok(found);
            }
            self.read_at(&mut places, &mut found, read)?;
            for span in spans {
                let Some(place) = places.get_mut(&span.shard) else { continue };
                *place += if matches!(edge, Edge::First) { 1 } else { -1 };
                if !(span.low..span.high).contains(place) {
                    places.remove(&span.shard);
                }
            }
        }
        tracing::warn!(topic = self.topic, shards = ?places.keys(), "found only foreign records");
        Ok(found)
    }

    /// Reads one record at each of the places; the places of foreign ones remain.
    fn read_at<T>(
        &self,
        places: &mut HashMap<Shard, i64>,
        found: &mut HashMap<Shard, T>,
        read: &Read<'_, T>,
    ) -> Result<(), Error> {
        self.assign(places)?;
        let deadline = Instant::now() + RECORDS;
        let mut open: HashMap<Shard, i64> = places.clone();
        while !open.is_empty() {
            let message = self.poll(deadline)?;
            let Ok(partition) = u16::try_from(message.partition()) else { continue };
            let shard = Shard(partition);
            // A place may be a hole left by deletion; then the record after it counts.
            if open.get(&shard).is_none_or(|offset| message.offset() < *offset) {
                continue;
            }
            open.remove(&shard);
            match read(&message) {
                Ok(record) => {
                    places.remove(&shard);
                    found.insert(shard, record);
                }
                Err(foreign) => {
                    tracing::warn!(%shard, offset = message.offset(), %foreign, "a foreign record in the topic");
                }
            }
        }
        Ok(())
    }

    /// Reads a span from its beginning to its end, until `wanted` says no.
    fn each(
        &self,
        span: &Span,
        wanted: &mut impl FnMut(i64, Result<Record, Foreign>) -> bool,
    ) -> Result<(), Error> {
        if span.low >= span.high {
            return Ok(());
        }
        self.assign(&HashMap::from([(span.shard, span.low)]))?;
        loop {
            let message = self.poll(Instant::now() + RECORDS)?;
            let offset = message.offset();
            if offset >= span.high || !wanted(offset, self.decode(&message)) {
                return Ok(());
            }
            if offset + 1 == span.high {
                return Ok(());
            }
        }
    }
}
