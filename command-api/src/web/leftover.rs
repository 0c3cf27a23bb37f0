//! Request bodies that a handler left unread. Answering while the client still sends makes many clients lose the answer
//! (the connection is reset under them), so a refused body is read off and dropped first, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use futures::{Stream, StreamExt};
use tokio::sync::oneshot;

/// Bodies up to this size fit into what a connection buffers, so they are not watched. Bytes.
const SMALL: u64 = 16 * 1024;
/// How much of an unread body is read off before the answer. Bytes.
const MOST: usize = 32 * 1024 * 1024;
/// How long reading off may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Gives back what of a request's body is still unread when its handler is done.
pub(crate) struct Leftover(oneshot::Receiver<BodyDataStream>);

impl Leftover {
    /// Watches a request's body, unless it is small or the client waits for a `100 Continue` before sending it.
    pub(crate) fn watch(request: &mut Request) -> Option<Self> {
        let waits = request.headers().contains_key(header::EXPECT);
        if waits || request.body().size_hint().upper().is_some_and(|bytes| bytes <= SMALL) {
            return None;
        }
        let (give_back, leftover) = oneshot::channel();
        let inner = Some(std::mem::take(request.body_mut()).into_data_stream());
        *request.body_mut() = Body::from_stream(Watched { inner, give_back: Some(give_back) });
        Some(Self(leftover))
    }

    /// Reads off what the handler left.
    pub(crate) async fn drain(mut self) {
        let Ok(mut body) = self.0.try_recv() else { return };
        let reading = async {
            let mut read = 0;
            while read < MOST {
                match body.next().await {
                    Some(Ok(bytes)) => read += bytes.len(),
                    Some(Err(_)) | None => break,
                }
            }
        };
        // Past the limit the connection is closed under the client, as it would have been without draining.
        let _ = tokio::time::timeout(LONGEST, reading).await;
    }
}

struct Watched {
    /// `None` once it has ended.
    inner: Option<BodyDataStream>,
    give_back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.inner else { return Poll::Ready(None) };
        let item = ready!(body.poll_next_unpin(cx));
        if matches!(item, None | Some(Err(_))) {
            self.inner = None;
        }
        Poll::Ready(item)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let (Some(body), Some(give_back)) = (self.inner.take(), self.give_back.take()) {
            // Nobody waits for it when the request was given up: then it is dropped here.
            let _ = give_back.send(body);
        }
    }
}
