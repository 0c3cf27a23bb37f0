//! What a connection is told for which there is no room. Not by way of the HTTP library: it must cost next to nothing.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use command_api::web::conventions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Read at a time, in bytes.
const CHUNK: usize = 1_024;
/// How much of a request is read, in bytes: a head of the largest size, and as much again.
const MOST: usize = 128 * 1_024;
/// How long the client may go on sending after it was told.
const LINGER: Duration = Duration::from_secs(1);

/// Reads a request's head, within `head_wait`, answers 503, and closes the connection.
pub(super) async fn tell(stream: impl AsyncRead + AsyncWrite + Unpin, head_wait: Duration) {
    // A client that breaks off is none that wants to know.
    if let Ok(Err(error)) = timeout(head_wait, exchange(stream)).await {
        tracing::debug!(%error, "a connection ended before it was told that there is no room");
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    let (mut last, mut first, mut read) = ([0; 4], [0; 5], 0);
    'head: while read < MOST {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok(());
        }
        for byte in chunk.iter().take(n) {
            if let Some(place) = first.get_mut(read) {
                *place = *byte;
            }
            read += 1;
            last.rotate_left(1);
            last[3] = *byte;
            if last == *b"\r\n\r\n" {
                break 'head;
            }
        }
    }
    stream.write_all(&answer(first == *b"HEAD ")).await?;
    stream.shutdown().await?;
    // A connection closed on bytes that nobody has read is reset, and takes the answer with it.
    let rest = async {
        while read < MOST {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => read += n,
            }
        }
    };
    let _ = timeout(LINGER, rest).await;
    Ok(())
}

fn answer(without_body: bool) -> Vec<u8> {
    let response = conventions::no_room();
    let mut answer = format!("HTTP/1.1 {}\r\n", StatusCode::SERVICE_UNAVAILABLE).into_bytes();
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != "content-length") {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    let length = response.body().len();
    answer.extend_from_slice(format!("connection: close\r\ncontent-length: {length}\r\n\r\n").as_bytes());
    if !without_body {
        answer.extend_from_slice(response.body());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(request: &[u8]) -> String {
        let (server, mut client) = tokio::io::duplex(256);
        let telling = tokio::spawn(tell(server, Duration::from_secs(600)));
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        telling.await.unwrap();
        answer
    }

    // proves: SEC-10, OPS-3
    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_room_gets_a_whole_answer() {
        let long = format!("GET /{} HTTP/1.1\r\nhost: here\r\n\r\n", "x".repeat(3_000));
        for request in [
            "GET / HTTP/1.1\r\nhost: here\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd",
            &long,
        ] {
            let answer = told(request.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
            for line in [
                "content-type: application/problem+json",
                "retry-after: 1",
                "connection: close",
                "x-request-id: ",
            ] {
                assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
            }
            assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["type"].as_str().unwrap().ends_with("/overloaded"), "{body}");
        }
        assert!(told(b"HEAD / HTTP/1.1\r\nhost: here\r\n\r\n").await.ends_with("\r\n\r\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_is_closed_in_the_end() {
        let (server, mut client) = tokio::io::duplex(256);
        tell(server, Duration::from_secs(600)).await;
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
