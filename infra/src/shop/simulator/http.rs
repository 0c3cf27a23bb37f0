//! `GET /simulator/charges`: the provider's books, for whoever wants to check from outside what was charged; and
//! `/simulator/state`, which takes the provider or the carrier away, or has them refuse.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use command_api::web::body::{self, Rule, line, string};
use command_api::web::openapi::{Usual, WithBody};
use command_api::web::problem::Problem;
use command_api::web::routes::Routes;
use command_api::web::unserved::Unserved;
use domain::money::Money;
use sagas::fulfilment::ports::ProviderError;
use serde::Serialize;
use utoipa_axum::routes;

use super::switches::{Switch, Who};
use super::{ChargeRow, Simulator};

const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;

/// A charge at the simulated provider.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SimulatedCharge {
    /// The provider's own id.
    id: String,
    /// The payment.
    payment_id: String,
    /// The order.
    order_id: String,
    /// What was to be charged.
    amount: Money,
    /// `authorized`, `captured`, `declined`, `voided`, `partially_refunded` or `refunded`.
    status: &'static str,
    /// What was taken.
    captured: Money,
    /// What went back.
    refunded: Money,
}

impl From<ChargeRow> for SimulatedCharge {
    fn from(row: ChargeRow) -> Self {
        let ChargeRow { seq: _, id, payment_id, order_id, amount, status, captured, refunded } = row;
        Self { id, payment_id, order_id, amount, status, captured, refunded }
    }
}

/// A page of charges.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SimulatedChargeList {
    /// In the order in which they reached the provider.
    items: Vec<SimulatedCharge>,
    /// Where the next page starts; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// How the simulated provider and carrier are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SimulatorState {
    /// `up`; `down`: away, nothing is carried out; `refusing`: says no, for good, to whatever is new.
    #[schema(example = "up")]
    payments: String,
    /// The same of the carrier.
    #[schema(example = "up")]
    carrier: String,
}

command_api::body! {
    /// Where to turn the simulated provider and carrier; who is missing stays as it is.
    struct SimulatorTurn {
        /// `up`; `down`: away, nothing is carried out; `refusing`: says no, for good, to whatever is new.
        payments: Option<Switch> = switch().optional(),
        /// The same of the carrier.
        carrier: Option<Switch> = switch().optional(),
    }
}

fn switch() -> Rule<Switch> {
    line(1..=20)
        .then(|word| Switch::of(&word).ok_or("must be up, down or refusing"))
        .described(string)
        .example("up")
}

/// Its operations.
#[must_use]
pub fn routes() -> Routes<Simulator> {
    Routes::default().public(routes!(list_charges)).public(routes!(get_state, put_state))
}

fn unavailable(error: ProviderError) -> Problem {
    Unserved::Overloaded.problem(error.to_string())
}

async fn state(simulator: &Simulator) -> Result<Json<SimulatorState>, Problem> {
    let payments = simulator.switch(Who::Payments).await.map_err(unavailable)?;
    let carrier = simulator.carrier().switch(Who::Carrier).await.map_err(unavailable)?;
    Ok(Json(SimulatorState { payments: payments.as_str().to_owned(), carrier: carrier.as_str().to_owned() }))
}

/// How the simulated provider and carrier are.
#[utoipa::path(
    get,
    path = "/simulator/state",
    operation_id = "get_simulator_state",
    tag = "simulator",
    summary = "How the simulated provider and carrier are",
    responses((status = 200, description = "How they are", body = SimulatorState), Usual),
    security(())
)]
async fn get_state(State(simulator): State<Simulator>) -> Result<Json<SimulatorState>, Problem> {
    state(&simulator).await
}

/// Takes the simulated provider or carrier away, has them refuse, or brings them back; also across restarts. A field that is missing
/// leaves its part as it is.
#[utoipa::path(
    put,
    path = "/simulator/state",
    operation_id = "put_simulator_state",
    tag = "simulator",
    summary = "Set how the simulated provider and carrier are",
    request_body = SimulatorTurn,
    responses((status = 200, description = "How they are from now on", body = SimulatorState), Usual, WithBody),
    security(())
)]
async fn put_state(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SimulatorState>, Problem> {
    let bytes = body::read(&headers, body).await?;
    let turn: SimulatorTurn = body::check(&body::parse::<SimulatorTurn>(&headers, &bytes)?)?;
    if let Some(to) = turn.payments {
        simulator.turn(Who::Payments, to).await.map_err(unavailable)?;
    }
    if let Some(to) = turn.carrier {
        simulator.carrier().turn(Who::Carrier, to).await.map_err(unavailable)?;
    }
    state(&simulator).await
}

fn cursor_of(seq: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("1:{seq}"))
}

fn place_of(cursor: &str) -> Option<i64> {
    let place = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let seq: i64 = place.strip_prefix("1:")?.parse().ok()?;
    // Only what this server writes, letter by letter.
    (seq >= 0 && cursor_of(seq) == cursor).then_some(seq)
}

/// `limit` and the place that `cursor` names; anything else is refused. Neither ever needs percent-encoding.
fn page(raw: Option<&str>) -> Result<(usize, i64), Problem> {
    let (mut limit, mut after) = (None, None);
    for part in raw.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "limit" | "cursor" if (if name == "limit" { limit.is_some() } else { after.is_some() }) => {
                return Err(Problem::bad_parameter(name, "the parameter is given twice"));
            }
            "limit" => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|n| digits && (1..=MAX_LIMIT).contains(n));
                let refused =
                    || Problem::bad_parameter("limit", format!("not an integer from 1 to {MAX_LIMIT}"));
                limit = Some(number.ok_or_else(refused)?);
            }
            "cursor" => {
                let refused = || {
                    Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", "the cursor is not one of this list")
                };
                after = Some(place_of(value).ok_or_else(refused)?);
            }
            _ => {
                let shown: String = name.chars().take(60).collect();
                return Err(Problem::bad_parameter(&shown, "this operation has no such parameter"));
            }
        }
    }
    Ok((limit.unwrap_or(DEFAULT_LIMIT), after.unwrap_or(0)))
}

/// One entry per charge that reached the simulated payment provider, declined ones too.
#[utoipa::path(
    get,
    path = "/simulator/charges",
    operation_id = "list_simulated_charges",
    tag = "simulator",
    summary = "List the charges at the simulated provider",
    params(
        ("limit" = Option<u32>, Query, description = "how many items at most", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of charges", body = SimulatedChargeList), Usual),
    security(())
)]
async fn list_charges(
    State(simulator): State<Simulator>,
    RawQuery(raw): RawQuery,
) -> Result<Json<SimulatedChargeList>, Problem> {
    let (limit, after) = page(raw.as_deref())?;
    // One more than asked for tells whether there is a next page.
    let mut rows = simulator.charges(after, limit + 1).await.map_err(unavailable)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| cursor_of(row.seq));
    Ok(Json(SimulatedChargeList { items: rows.into_iter().map(Into::into).collect(), next_cursor }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_strictly() {
        assert_eq!(page(None).unwrap(), (20, 0));
        assert_eq!(page(Some(&format!("limit=7&cursor={}", cursor_of(41)))).unwrap(), (7, 41));
        let long = format!("cursor={}", "A".repeat(5_000));
        for bad in [
            "limit=0",
            "limit=101",
            "limit=+1",
            "limit=",
            "limit=1&limit=1",
            "cursor=",
            "cursor=MTo",
            "page=1",
            &long,
        ] {
            assert_eq!(page(Some(bad)).unwrap_err().status, 400, "{bad}");
        }
    }
}
