//! Content negotiation: does the client read JSON, and did it send JSON?

use axum::http::{HeaderMap, StatusCode, header};

use crate::web::problem::Problem;

/// 406 when the request's `Accept` excludes JSON.
///
/// # Errors
/// The problem.
pub fn accepts_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut stated = false;
    // (specificity, quality in thousandths) of the most specific range that names JSON.
    let mut best: Option<(u8, u16)> = None;
    for range in
        headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        if media.is_empty() {
            continue;
        }
        stated = true;
        let specificity = match media.as_str() {
            "application/json" => 3,
            "application/*" => 2,
            "*/*" | "*" => 1,
            _ => continue,
        };
        let quality =
            parts.filter_map(|p| p.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = quality.map_or(1000, |(_, value)| thousandths(value));
        if best.is_none_or(|(s, q)| (specificity, quality) > (s, q)) {
            best = Some((specificity, quality));
        }
    }
    match best {
        Some((_, quality)) if quality > 0 => Ok(()),
        None if !stated => Ok(()),
        _ => Err(Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "this operation answers application/json, which the accept header excludes",
        )),
    }
}

fn thousandths(quality: &str) -> u16 {
    let value: f32 = quality.trim().parse().unwrap_or(0.0);
    // Between 0 and 1000, so the cast is exact enough.
    (value.clamp(0.0, 1.0) * 1000.0) as u16
}

/// 415 unless the request's `Content-Type` is JSON.
///
/// # Errors
/// The problem.
pub fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut parts = stated.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charset =
        parts.filter_map(|p| p.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    let utf8 = charset.is_none_or(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if json && utf8 {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "the body must be application/json in utf-8, and its content-type must say so",
    ))
}

/// 415 when the request's `Content-Encoding` says that the body is compressed: none is taken, so that a small body can't unfold
/// into a huge one.
///
/// # Errors
/// The problem.
pub fn is_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|v| v.to_str().unwrap_or("unknown").split(',')).map(str::trim);
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity")) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "the body must be sent as it is, without a content-encoding",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn accept_is_weighed_by_its_most_specific_range() {
        let ok = |value| accepts_json(&headers(header::ACCEPT, value)).is_ok();
        assert!(accepts_json(&HeaderMap::new()).is_ok());
        for value in [
            "application/json",
            "*/*",
            "text/html, */*;q=0.1",
            "application/*",
            "text/html,application/json;q=0.2",
        ] {
            assert!(ok(value), "{value}");
        }
        for value in
            ["text/html", "application/json;q=0", "application/json;q=0, */*", "image/*", "application/xml"]
        {
            assert!(!ok(value), "{value}");
        }
    }

    #[test]
    fn bodies_must_say_that_they_are_json() {
        let ok = |value| is_json(&headers(header::CONTENT_TYPE, value)).is_ok();
        assert!(ok("application/json") && ok("Application/JSON; charset=UTF-8"));
        for value in
            ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json"]
        {
            assert!(!ok(value), "{value}");
        }
        assert!(is_json(&HeaderMap::new()).is_err());
    }

    // proves: SEC-10
    #[test]
    fn bodies_must_not_be_compressed() {
        let ok = |value| is_plain(&headers(header::CONTENT_ENCODING, value)).is_ok();
        assert!(is_plain(&HeaderMap::new()).is_ok() && ok("identity") && ok(""));
        for value in ["gzip", "br", "identity, gzip", "x"] {
            assert!(!ok(value), "{value}");
        }
    }
}
