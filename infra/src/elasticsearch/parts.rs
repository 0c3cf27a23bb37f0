//! The parts of a generation that only grows: an index has one primary shard, and one that grows for ever is too large to be moved or
//! recovered. So when the newest part is large, another one takes over, behind the same aliases.
//!
//! Only the newest part is written, through its own alias, and holds the checkpoints. A takeover is a chain of steps that any process
//! repeats or ends: the next part is made, the one before is closed to writes (which waits for those under way), what it holds is noted
//! in the next one, the checkpoints are copied, and the aliases move in one step. A document is never in two parts: what was written
//! but not yet covered by a checkpoint when a part was closed is known by its position, and looked for there before it is written again.

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use domain::position::{Position, Seen, Shard};
use serde_json::{Value, json};

use super::bulk;
use super::checkpoints;
use super::client::{Answer, Failure};
use super::generations::{Generation, IndexPlace, documents_only, writes};

/// When a part is large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Large {
    /// Bytes on disk, without copies.
    pub(super) bytes: u64,
    /// How often its size is asked for.
    pub(super) look_every: std::time::Duration,
}

impl Default for Large {
    fn default() -> Self {
        // Elasticsearch's own advice is 10 to 50 GB a shard.
        Self { bytes: 30 << 30, look_every: std::time::Duration::from_secs(10) }
    }
}

/// What the parts before the newest one hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Older {
    /// Their names, oldest first.
    pub(super) parts: Vec<String>,
    /// The highest positions in them: no document above is there, most of those below are.
    pub(super) through: Seen,
}

impl Older {
    /// What the newest part notes of the parts before it.
    pub(super) fn noted(parts: &[String], meta: &Value) -> Option<Self> {
        let (_, older) = parts.split_last()?;
        let noted = meta["tillstream"]["older"].as_array()?;
        let mut through = Seen::none(u16::try_from(noted.len()).ok()?);
        for (shard, n) in (0..).zip(noted) {
            through.advance(Position { shard: Shard(shard), n: n.as_u64().unwrap_or(u64::MAX) });
        }
        Some(Self { parts: older.to_vec(), through })
    }
}

/// The name of a generation's part; the first one's is the generation's.
fn name(generation: &str, number: usize) -> String {
    if number <= 1 { generation.to_owned() } else { format!("{generation}-{number:06}") }
}

/// The generation of an index behind an alias, and which part of it.
pub(super) fn place_of(alias: &str, index: &str) -> Option<(String, usize)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rest = index.strip_prefix(alias)?.strip_prefix('-')?;
    let (generation, number) = match rest.split_once('-') {
        Some((generation, number)) => (generation, digits(number).then(|| number.parse().ok())??),
        None => (rest, 1),
    };
    digits(generation).then(|| (format!("{alias}-{generation}"), number))
}

/// All parts of a generation, to be read as one.
pub(super) fn every(generation: &str) -> String {
    format!("{generation},{generation}-0*")
}

/// The alias of a part that is being made.
pub(super) fn next_alias(generation: &str) -> String {
    format!("{generation}-next")
}

impl IndexPlace<'_> {
    /// Whether a part is large; one without documents never is.
    pub(super) async fn is_large(&self, part: &str, shards: u16, large: Large) -> Result<bool, Failure> {
        let stats = self.client.get(&format!("/{part}/_stats/store,docs")).await?;
        let primaries = &stats["_all"]["primaries"];
        let bytes = primaries["store"]["size_in_bytes"].as_u64();
        let documents = primaries["docs"]["count"].as_u64();
        let unfit = || Failure::Unavailable(format!("{part} has no size"));
        let (bytes, documents) = bytes.zip(documents).ok_or_else(unfit)?;
        // Every shard has a checkpoint beside the documents.
        Ok(bytes >= large.bytes && documents > u64::from(shards))
    }

    /// Has another part take over from a generation's newest one, or ends what somebody began.
    pub(super) async fn roll_over(&self, generation: &Generation, shards: u16) -> Result<(), Failure> {
        let old = generation.newest();
        let next = name(&generation.name, generation.parts.len() + 1);
        let alias = next_alias(&generation.name);
        if !generation.has_next {
            let mut body = self.definition()?;
            body["aliases"][alias.as_str()] = json!({});
            let made =
                self.client.send(Method::Put, &format!("/{next}"), Some(JsonBody::new(body))).await?.ok();
            // There already: somebody else is at it, too.
            match made {
                Ok(_) => {}
                Err(Failure::Refused(reason)) if reason.contains("resource_already_exists") => {}
                Err(failure) => return Err(failure),
            }
        }
        // Done when no write is under way any more: what it holds from here on is what it holds for ever.
        self.client.ask(Method::Put, &format!("/{old}/_block/write")).await.and_then(Answer::ok)?;
        self.client.ask(Method::Post, &format!("/{old}/_refresh")).await.and_then(Answer::ok)?;
        let through = self.through(generation, shards).await?;
        let through: Vec<u64> = (0..shards).map(|shard| through.last(Shard(shard))).collect();
        let meta = JsonBody::new(json!({"_meta": {"tillstream": {"older": through}}}));
        let noted = self.client.send(Method::Put, &format!("/{next}/_mapping"), Some(meta)).await;
        noted.and_then(Answer::ok)?;
        let ids: Vec<String> = (0..shards).map(|shard| checkpoints::id(Shard(shard))).collect();
        let stored = checkpoints::read(self.client, old, &ids).await?;
        let copies: Vec<bulk::Write> =
            stored.iter().map(|one| bulk::Write::new(&one.id, one.source.to_string().into_bytes())).collect();
        // A conflict: somebody has copied it before.
        bulk::write(self.client, &alias, &copies).await?;
        let mut actions = vec![
            // Whoever finds it gone was slower than another one.
            json!({"remove": {"index": old, "alias": writes(old), "must_exist": true}}),
            json!({"remove": {"index": next, "alias": alias, "must_exist": true}}),
            json!({"add": {"index": next, "alias": writes(&next)}}),
        ];
        if generation.live {
            let readers = generation.readers.iter();
            actions
                .extend(readers.map(
                    |alias| json!({"add": {"index": next, "alias": alias, "filter": documents_only()}}),
                ));
        }
        self.client.post("/_aliases", json!({"actions": actions})).await?;
        tracing::info!(part = next, "another part of the search index takes over");
        Ok(())
    }

    /// The highest positions in a generation.
    async fn through(&self, generation: &Generation, shards: u16) -> Result<Seen, Failure> {
        let body = json!({
            "size": 0,
            "query": {"term": {"doc_type": self.kind.document}},
            "aggs": {"shards": {
                "terms": {"field": "shard", "size": shards},
                "aggs": {"through": {"max": {"field": "n"}}},
            }},
        });
        let answer = self.client.post(&format!("/{}/_search", generation.parts.join(",")), body).await?;
        let unfit = || Failure::Unavailable(format!("{} can't be summed up", generation.name));
        if answer["_shards"]["failed"].as_u64() != Some(0) || answer["timed_out"] == true {
            return Err(unfit());
        }
        let mut through = Seen::none(shards);
        for bucket in answer["aggregations"]["shards"]["buckets"].as_array().ok_or_else(unfit)? {
            let shard =
                bucket["key"].as_u64().and_then(|shard| u16::try_from(shard).ok()).ok_or_else(unfit)?;
            // A double holds positions exactly up to 2^53.
            let n = bucket["through"]["value"].as_f64().ok_or_else(unfit)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a position, and whole"
            )]
            through.advance(Position { shard: Shard(shard), n: n.ceil() as u64 });
        }
        Ok(through)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_after_their_generation() {
        let parse = |index: &str| place_of("x-events", index);
        let of = |generation: &str, number| Some((format!("x-events-{generation}"), number));
        assert_eq!(parse("x-events-0001700000000000"), of("0001700000000000", 1));
        assert_eq!(parse("x-events-0001700000000000-000002"), of("0001700000000000", 2));
        assert_eq!(parse(&name("x-events-17", 12)), of("17", 12));
        for other in [
            "x-events",
            "x-events-",
            "x-events-1a",
            "x-events-1-",
            "x-events-1-x",
            "y-events-1",
            "x-orders-1",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
