//! Answers of the HTTP library itself. It refuses a request whose head is malformed or too large before any router sees it, with
//! an empty body and no say of ours; [`Explained`] sits between it and the socket and gives those answers the form that every
//! error has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use command_api::web::context::REQUEST_ID;
use command_api::web::conventions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket whose bare error answers are replaced by problems.
pub(super) struct Explained<S> {
    socket: S,
    /// An answer of ours of which so many bytes are written.
    answer: Option<(Vec<u8>, usize)>,
}

impl<S> Explained<S> {
    /// Sits in front of a socket.
    pub(super) fn new(socket: S) -> Self {
        Self { socket, answer: None }
    }
}

/// The answer instead of a bare one, if `written` is one: a whole head without a body that has no request id, which all answers
/// of our own have.
fn explained(written: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(written).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next()?.strip_prefix("HTTP/1.1 4").and_then(|rest| rest.get(..2)).map(|n| format!("4{n}"));
    let status: StatusCode = status?.parse().ok()?;
    let named = |line: &str, name: &str| {
        line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    let lines: Vec<&str> = lines.collect();
    if lines.iter().any(|line| named(line, REQUEST_ID.as_str())) {
        return None;
    }
    let empty = |line: &&&str| line.split_once(':').is_some_and(|(_, value)| value.trim() == "0");
    lines.iter().filter(|line| named(line, "content-length")).find(empty)?;

    let response = conventions::unreadable(status);
    let mut answer = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for line in lines.iter().filter(|line| !named(line, "content-length")) {
        answer.extend_from_slice(line.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != "content-length") {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
    answer.extend_from_slice(response.body());
    Some(answer)
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    /// Writes what is left of an answer of ours.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.answer {
            let n =
                ready!(Pin::new(&mut self.socket).poll_write(cx, bytes.get(*written..).unwrap_or_default()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
            if *written == bytes.len() {
                self.answer = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        let Some(answer) = explained(buf) else { return Pin::new(&mut self.socket).poll_write(cx, buf) };
        self.answer = Some((answer, 0));
        // Taken in any case; what the socket doesn't take now goes with the next write, flush or shutdown.
        match self.poll_answer(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A bare answer is a head and nothing else.
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    // proves: SEC-10
    #[test]
    fn only_bare_errors_are_explained() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let text = String::from_utf8(explained(bare).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        for line in
            ["connection: close", "date: x", "content-type: application/problem+json", "x-request-id: "]
        {
            assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
        }
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 431);
        for ours in [
            "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\nmore",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4\r\n\r\n",
            "",
        ] {
            assert_eq!(explained(ours.as_bytes()), None, "{ours}");
        }
    }

    #[tokio::test]
    async fn an_answer_gets_through_a_socket_that_takes_little_at_once() {
        let (socket, mut client) = tokio::io::duplex(7);
        let mut socket = Explained::new(socket);
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            text
        });
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        socket.shutdown().await.unwrap();
        drop(socket);
        assert!(reading.await.unwrap().ends_with("\"the request is malformed\"}"));
    }
}
