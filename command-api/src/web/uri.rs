//! What of a request's URI is refused whatever the operation: what looks like a card's number (SEC-7). Proxies log URIs.

use axum::http::{StatusCode, Uri};
use domain::text::card;
use percent_encoding::percent_decode_str;

use crate::web::problem::Problem;

/// 400 when the path or a parameter looks like it holds a card's number.
pub(crate) fn has_no_card_number(uri: &Uri) -> Result<(), Problem> {
    let path = uri.path().split('/');
    let query = uri.query().unwrap_or_default().split(['&', '=']);
    if path.chain(query).any(|part| card::contains_number(&decoded(part))) {
        return Err(Problem::card_number(StatusCode::BAD_REQUEST));
    }
    Ok(())
}

/// The text behind the percent-encoding, as far as there is one.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &'static str) -> bool {
        has_no_card_number(&Uri::from_static(uri)).is_err()
    }

    // proves: SEC-7
    #[test]
    fn card_numbers_in_paths_and_parameters_are_refused_however_encoded() {
        for uri in [
            "/api/v1/orders/4111111111111111",
            "/api/v1/orders/4111%201111%201111%201111",
            "/api/v1/products/search?q=4111+1111+1111+1111",
            "/api/v1/products/search?q=%34%31111111%C2%A011111111",
            "/api/v1/products/search?q=%EF%BC%94111111111111111",
            "/api/v1/products?4111111111111111=1",
            "/api/v1/products?q=%4111111111111111%zz4111111111111111",
        ] {
            assert!(refused(uri), "{uri}");
        }
        for uri in [
            "/api/v1/orders/41111111-1111-4111-8111-111111111111",
            "/api/v1/products/search?q=4006381333931&limit=20&min_price=1000000",
            "/api/v1/audit/events?correlation_id=00000000-0000-0000-4111-111111111111&from=3:1764508",
            "/api/v1/products/search?q=%2B4915112345678",
        ] {
            assert!(!refused(uri), "{uri}");
        }
    }
}
