//! Checkpoints: one small document per shard beside the documents that it covers, and reading documents in real time.

use domain::frame::FrameId;
use domain::position::{Position, Seen, Shard};
use hex::FromHex;
use projections::engine::index::SearchIndex;
use projections::engine::origin::Mark;
use serde_json::{Value, json};

use super::bulk::Write;
use super::client::{Client, Failure};
use super::mapping::CHECKPOINT;

/// The most documents in one request; each may have some ten kilobytes.
const READ_AT_ONCE: usize = 500;

/// A document as it is stored, refreshed or not.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) source: Value,
    seq_no: i64,
    primary_term: i64,
}

/// Which documents are there.
pub(super) async fn present(client: &Client, index: &str, ids: &[String]) -> Result<Vec<String>, Failure> {
    let found = read_from(client, &format!("/{index}/_mget?_source=false"), ids).await?;
    Ok(found.into_iter().map(|stored| stored.id).collect())
}

/// Reads documents by id, in real time; those that are there.
pub(super) async fn read(client: &Client, alias: &str, ids: &[String]) -> Result<Vec<Stored>, Failure> {
    read_from(client, &format!("/{alias}/_mget"), ids).await
}

async fn read_from(client: &Client, path: &str, ids: &[String]) -> Result<Vec<Stored>, Failure> {
    let mut found = Vec::new();
    for ids in ids.chunks(READ_AT_ONCE) {
        let mut answer = client.post(path, json!({"ids": ids})).await?;
        let Some(documents) = answer["docs"].as_array_mut() else {
            return Err(Failure::Unavailable("an answer lacks documents".to_owned()));
        };
        for document in documents {
            if !document["error"].is_null() {
                let lost = document["error"]["type"] == "index_not_found_exception";
                return Err(Failure::of(if lost { 404 } else { 503 }, &document["error"]));
            }
            if document["found"] == true {
                found.push(Stored {
                    id: document["_id"].as_str().unwrap_or_default().to_owned(),
                    seq_no: document["_seq_no"].as_i64().unwrap_or(-1),
                    primary_term: document["_primary_term"].as_i64().unwrap_or(-1),
                    source: document["_source"].take(),
                });
            }
        }
    }
    Ok(found)
}

/// The id of a shard's checkpoint.
pub(super) fn id(shard: Shard) -> String {
    format!("{CHECKPOINT}-{shard}")
}

/// The position that a checkpoint holds.
pub(super) fn position(source: &Value) -> Option<Position> {
    if source["doc_type"] != CHECKPOINT {
        return None;
    }
    let shard = u16::try_from(source["shard"].as_u64()?).ok()?;
    Some(Position { shard: Shard(shard), n: source["position"].as_u64()? })
}

/// The frame that holds the position of a checkpoint.
fn mark(source: &Value) -> Option<Mark> {
    let number = source["frame"].as_u64()?;
    let frame = FrameId { number, hash: FromHex::from_hex(source["frame_hash"].as_str()?).ok()? };
    Some(Mark { position: position(source)?, frame })
}

/// The positions applied.
pub(super) async fn applied(client: &Client, alias: &str, shards: u16) -> Result<Seen, Failure> {
    Ok(stood(client, alias, shards).await?.0)
}

/// The positions applied, and the frames that hold them.
pub(super) async fn stood(client: &Client, alias: &str, shards: u16) -> Result<(Seen, Vec<Mark>), Failure> {
    let ids: Vec<String> = (0..shards).map(|shard| id(Shard(shard))).collect();
    let mut seen = Seen::none(shards);
    let stored = read(client, alias, &ids).await?;
    stored.iter().filter_map(|stored| position(&stored.source)).for_each(|position| seen.advance(position));
    Ok((seen, stored.iter().filter_map(|stored| mark(&stored.source)).collect()))
}

/// The write that moves a checkpoint from where it was read, to a position in a frame.
pub(super) fn moved(
    kind: &SearchIndex,
    stored: Option<&Stored>,
    to: Position,
    frame: Option<FrameId>,
) -> Write {
    let mut source = json!({
        "doc_type": CHECKPOINT, "projection": kind.projection, "shard": to.shard.0, "position": to.n,
    });
    if let Some(frame) = frame {
        source["frame"] = frame.number.into();
        source["frame_hash"] = hex::encode(frame.hash).into();
    }
    let source = source.to_string().into_bytes();
    match stored {
        Some(stored) => Write::unchanged(&id(to.shard), stored.seq_no, stored.primary_term, source),
        None => Write::new(&id(to.shard), source),
    }
}
