//! From a search's answer to rows.

use projections::engine::read_models::ReadError;
use projections::engine::rows::Value;
use projections::engine::search::Found;
use serde_json::Value as Json;

use crate::search_document::Document;
use crate::text_query::{TextQuery, by_count, score_key};

/// Reads an answer: its rows, and the place of the page's end if there is another one.
pub(super) fn hits(answer: &Json, wanted: &TextQuery) -> Result<(Found, Option<Vec<Value>>), ReadError> {
    let unfit =
        |what: &str| ReadError::Unavailable(format!("elasticsearch: an answer can't be read: {what}"));
    if answer["timed_out"] == true {
        return Err(ReadError::Overloaded);
    }
    if answer["_shards"]["failed"].as_u64() != Some(0) {
        return Err(ReadError::Unavailable("elasticsearch: a part of the index didn't answer".to_owned()));
    }
    let (search, index) = (&wanted.search, wanted.search.index);
    let found = answer["hits"]["hits"].as_array().ok_or_else(|| unfit("hits"))?;
    let mut rows = Vec::with_capacity(found.len().min(search.page.limit));
    for hit in found.iter().take(search.page.limit) {
        let document = Document::from_source(index, &hit["_source"]);
        rows.push(document.map_err(|e| ReadError::Unavailable(e.to_string()))?.into_row(index));
    }
    let last = rows.last().zip(found.get(rows.len().wrapping_sub(1)));
    let end = last.filter(|_| found.len() > search.page.limit).map(|(row, hit)| {
        let mut place = Vec::with_capacity(search.order.len() + 1);
        if search.best_first {
            // Elasticsearch computes with 32 bits and writes them exactly.
            #[expect(clippy::cast_possible_truncation, reason = "the number came from 32 bits")]
            let score = hit["sort"][0].as_f64().ok_or_else(|| unfit("sort"))? as f32;
            place.push(Value::Int(score_key(score)));
        }
        for (column, _) in &search.order {
            place.push(row.value(column)?.clone());
        }
        Ok::<_, ReadError>(place)
    });
    let bucket = |bucket: &Json| {
        let read = || Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?));
        read().ok_or_else(|| unfit("facets"))
    };
    let facet = |facet: &&str| {
        let buckets = answer["aggregations"][facet]["buckets"].as_array().ok_or_else(|| unfit("facets"))?;
        Ok::<_, ReadError>(by_count(buckets.iter().map(bucket).collect::<Result<_, _>>()?))
    };
    let facets = search.facets.iter().map(facet).collect::<Result<_, _>>()?;
    let total = answer["hits"]["total"]["value"].as_u64().ok_or_else(|| unfit("total"))?;
    Ok((Found { rows, next: None, total, facets }, end.transpose()?))
}
