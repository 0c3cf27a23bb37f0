//! tephra: a store of events in this process. One thread writes, and syncs a group of appends (fdatasync) before it replies to any.

use std::sync::Arc;

use ::tephra::{
    AppendCondition, AppendError, Event, EventType, Position, Query, QueryItem, SegmentConfig, SegmentSet,
    Tag, Tags, WriteCoordinator, WriteHandle, WriterConfig,
};
use tests::bench::{Line, callers as measure};

use crate::directory;
use crate::peers::Streams;

/// The size of its documentation.
const SEGMENT: usize = 256 << 20;

/// Has callers append to a new store.
pub(crate) async fn run(callers: usize, streams: Streams, event: &Arc<[u8]>) -> Line {
    let dir = directory();
    let set = SegmentSet::open(dir.path(), SegmentConfig::new(SEGMENT)).unwrap();
    let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default()).unwrap();
    let event = Arc::clone(event);
    let line = measure(callers, move |_| {
        let (handle, event) = (handle.clone(), Arc::clone(&event));
        async move { append(&handle, streams, &event).await }
    })
    .await;
    coordinator.shutdown();
    line
}

/// Appends an event, and returns when it is on disk.
async fn append(handle: &WriteHandle, streams: Streams, payload: &[u8]) {
    let tags = Tags::new([Tag::new(streams.tag()).unwrap()]).unwrap();
    let event = Event::new(&EventType::new(streams.event_type()).unwrap(), &tags, payload).unwrap();
    let query = Query::item(QueryItem::with_tags(tags));
    loop {
        let condition = match streams {
            Streams::Spread => Some(AppendCondition::new(query.clone())),
            Streams::HotExpected => {
                Some(AppendCondition::new(query.clone()).after(last_position(handle, &query)))
            }
            Streams::HotUnconditioned => None,
        };
        match handle.append_async(vec![event.clone()], condition).await {
            Ok(_) => return,
            Err(AppendError::Conflict { .. }) if streams == Streams::HotExpected => {}
            Err(error) => panic!("tephra refuses an event: {error}"),
        }
    }
}

fn last_position(handle: &WriteHandle, query: &Query) -> Position {
    let mut last = handle.read_back(query, Position::MAX, Some(1));
    last.next().map_or(Position::ZERO, |event| event.unwrap().position)
}
